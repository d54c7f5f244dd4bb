"""Segments that tools make, change, delete and take away: over gRPC, on the command line, by two servers at once."""

import base64
import csv
import io
import json
import re
import threading

import grpc
import polars
import pytest

from conftest import WEB_AND_TILL, Project
from serving import serving, wait_for
from test_grpc import Client

SEGMENT = {"segment": "big", "title": "Big spenders", "purpose": "marketing", "expression": "lifetime_value > 50"}


@pytest.fixture
def shop_of_orders(binary, tmp_path):
    """A till's customers, refreshed once, with a segment in a file."""
    project = Project(binary, tmp_path / "shop", WEB_AND_TILL)
    (project.folder / "segments").mkdir()
    (project.folder / "segments" / "buyers.sql").write_text("order_count >= 1\n")
    rows = "".join(f"k{number},2026-03-01,{number},1\n" for number in range(300))
    project.ingest("till", project.write("till.csv", "customer_id,purchased_on,amount,quantity\n" + rows))
    project.refresh()
    return project


def refreshed(client):
    started = client.call("RefreshService/RunRefresh")["refresh"]
    *_, last = client.call("RefreshService/WatchRefresh", {"refreshId": started["refreshId"]})
    wait_for(lambda: client.call("SegmentService/ListSegments")["generation"]["number"] == last["refresh"]["generation"], "the generation is served")


def test_a_segment_lives_as_long_as_somebody_wants_it(shop_of_orders):
    project = shop_of_orders
    with serving(project) as server:
        client = Client(server.address)
        made = client.call("SegmentService/CreateSegment", {"segment": SEGMENT, "createdBy": "ada"})["segment"]
        assert made["isPending"] and made["etag"] and made["updatedBy"] == "ada" and made["title"] == "Big spenders"
        shown = client.call("SegmentService/GetSegment", {"segment": "big"})["segment"]
        assert shown["words"] == "lifetime_value is more than 50" and shown["etag"] == made["etag"] and shown["isPending"]
        assert {segment["segment"] for segment in client.call("SegmentService/ListSegments")["segments"]} == {"big", "buyers"}

        refreshed(client)
        expected = project.value("select count(*) from profile.profiles where lifetime_value > 50")
        shown = client.call("SegmentService/GetSegment", {"segment": "big"})["segment"]
        assert int(shown["size"]) == expected > 0 and not shown["isPending"]
        assert len(project.sql(shown["sql"])) == expected, "its query has as many"
        estimate = client.call("SegmentService/EstimateSegment", {"expression": "in_segment('big') and did('Order Completed')"})
        assert len(project.sql(estimate["sql"])) == int(estimate["size"]) == expected

        # Of what is not in the mask nothing changes; with the etag of before nothing does.
        change = {"segment": {"segment": "big", "etag": made["etag"], "expression": "lifetime_value > 100", "title": "not in the mask"}}
        changed = client.call("SegmentService/UpdateSegment", change | {"updateMask": "expression", "updatedBy": "ben"})["segment"]
        assert (changed["title"], changed["purpose"], changed["expression"], changed["updatedBy"]) == (
            "Big spenders", "marketing", "lifetime_value > 100", "ben")
        assert client.refused("SegmentService/UpdateSegment", change | {"updateMask": "title", "updatedBy": "ada"})[:2] == (
            grpc.StatusCode.ABORTED, "CONFLICT")
        assert client.refused("SegmentService/DeleteSegment", {"segment": "big", "etag": made["etag"], "deletedBy": "ada"})[:2] == (
            grpc.StatusCode.ABORTED, "CONFLICT")
        shown = client.call("SegmentService/GetSegment", {"segment": "big"})["segment"]
        assert shown["isPending"] and int(shown["size"]) == expected

    # Another server, after a restart, knows all of it.
    with serving(project) as server:
        client = Client(server.address)
        assert client.call("SegmentService/GetSegment", {"segment": "big"})["segment"]["updatedBy"] == "ben"
        refreshed(client)
        fewer = project.value("select count(*) from profile.profiles where lifetime_value > 100")
        assert int(client.call("SegmentService/GetSegment", {"segment": "big"})["segment"]["size"]) == fewer < expected
        left = client.call("SegmentService/ListSegmentChanges", {"segment": "big", "afterGeneration": 2})["changes"]
        assert len(left) == expected - fewer and not any(change["isEntry"] for change in left)

        client.call("SegmentService/DeleteSegment", {"segment": "big", "etag": changed["etag"], "deletedBy": "ada"})
        assert client.refused("SegmentService/GetSegment", {"segment": "big"})[1] == "SEGMENT_NOT_FOUND"
        refreshed(client)
        assert client.refused("SegmentService/ListSegmentMembers", {"segment": "big"})[1] == "SEGMENT_NOT_FOUND"
        # Whoever copies members elsewhere learns that all have left.
        left = client.call("SegmentService/ListSegmentChanges", {"segment": "big", "afterGeneration": 3, "pageSize": 1000})["changes"]
        assert len(left) == fewer and not any(change["isEntry"] for change in left)
        assert client.refused("SegmentService/ListSegmentChanges", {"segment": "bg"})[1] == "SEGMENT_NOT_FOUND"
        # It can be made again.
        client.call("SegmentService/CreateSegment", {"segment": SEGMENT, "createdBy": "ada"})
    history = project.sql("select changed_by, expression from ops.segments where segment = 'big' order by revision")
    assert [row["changed_by"] for row in history] == ["ada", "ben", "ada", "ada"] and history[2]["expression"] is None


def test_what_surrounds_an_expression_does_not_keep_it_pending(shop_of_orders):
    project = shop_of_orders
    texts = {"blanks": "  order_count > 0 \n", "ended": "order_count > 0;", "both": "\norder_count > 0 ;\n", "told": "-- only for people\norder_count > 0"}
    with serving(project) as server:
        client = Client(server.address)
        for name, text in texts.items():
            client.call("SegmentService/CreateSegment", {"segment": {"segment": name, "expression": text}, "createdBy": "ada"})

        def listed():
            return {segment["segment"]: segment for segment in client.call("SegmentService/ListSegments")["segments"]}

        assert {listed()[name]["expression"] for name in ("blanks", "ended", "both")} == {"order_count > 0"}
        assert listed()["told"]["expression"] == texts["told"]
        assert all(listed()[name]["isPending"] for name in texts)
        refreshed(client)
        for name in texts:
            assert int(listed()[name]["size"]) == 300 and not listed()[name]["isPending"], name
        client.call("SegmentService/UpdateSegment", {"segment": {"segment": "told", "expression": "order_count > 1;"}, "updateMask": "expression", "updatedBy": "ada"})
        assert listed()["told"]["isPending"]


def test_what_cannot_be_saved_is_told(shop_of_orders):
    project = shop_of_orders
    with serving(project) as server:
        client = Client(server.address)

        def refused(method, request):
            return client.refused(f"SegmentService/{method}", request)

        made = {"segment": SEGMENT, "createdBy": "ada"}
        client.call("SegmentService/CreateSegment", made)
        invalid, exists = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ALREADY_EXISTS
        assert refused("CreateSegment", made)[:2] == (exists, "ALREADY_EXISTS")
        assert refused("CreateSegment", {"segment": SEGMENT | {"segment": "buyers"}, "createdBy": "ada"})[:2] == (exists, "ALREADY_EXISTS")
        assert refused("UpdateSegment", {"segment": {"segment": "buyers", "title": "x"}, "updatedBy": "ada"})[:2] == (exists, "ALREADY_EXISTS")
        assert refused("DeleteSegment", {"segment": "buyers", "deletedBy": "ada"})[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION")
        assert refused("DeleteSegment", {"segment": "none", "deletedBy": "ada"})[1] == "SEGMENT_NOT_FOUND"
        for wrong in ({"expression": "lifetime_valeu > 5"}, {"expression": "-- title: x\norder_count > 1"}, {"expression": "in_segment('none')"},
                      {"expression": "in_list('none')"}, {"segment": "me", "expression": "in_segment('me')"}):
            answer = refused("CreateSegment", {"segment": SEGMENT | {"segment": "other"} | wrong, "createdBy": "ada"})
            assert answer == (invalid, "EXPRESSION_INVALID", ["segment.expression"]), wrong
        for field, wrong in (("segment", "Big!"), ("segment", "Bad Name"), ("title", "two\nlines"), ("purpose", "two\rlines"), ("description", "two\nlines")):
            answer = refused("CreateSegment", {"segment": SEGMENT | {"segment": "other"} | {field: wrong}, "createdBy": "ada"})
            assert answer == (invalid, "INPUT_INVALID", [f"segment.{field}"]), wrong
        change = {"segment": {"segment": "big", "title": "two\nlines"}, "updateMask": "title", "updatedBy": "ada"}
        assert refused("UpdateSegment", change) == (invalid, "INPUT_INVALID", ["segment.title"])
        change = {"segment": {"segment": "none", "title": "x"}, "updateMask": "title", "updatedBy": "ada"}
        assert refused("UpdateSegment", change)[1] == "SEGMENT_NOT_FOUND"
        assert refused("CreateSegment", {"segment": SEGMENT | {"segment": "other"}}) == (invalid, "INPUT_INVALID", ["created_by"]), "nobody made it"
        # It is not the caller's fault if another one is wrong.
        (project.folder / "segments" / "wrong.sql").write_text("lifetime_valeu > 1\n")
        assert refused("CreateSegment", {"segment": SEGMENT | {"segment": "other"}, "createdBy": "ada"})[0] == grpc.StatusCode.FAILED_PRECONDITION
        (project.folder / "segments" / "wrong.sql").unlink()
        # What an update puts in the place of something wrong is the caller's. And what files define, too, can be deleted.
        (project.folder / "segments" / "soon_gone.sql").write_text("order_count > 2\n")
        for name in ("left", "twice", "doubled"):
            expression = "in_segment('soon_gone')" if name == "left" else "order_count > 3"
            client.call("SegmentService/CreateSegment", {"segment": {"segment": name, "expression": expression}, "createdBy": "ada"})
        (project.folder / "segments" / "soon_gone.sql").unlink()
        change = {"segment": {"segment": "left", "expression": "in_segment('typo')"}, "updateMask": "expression", "updatedBy": "ada"}
        assert refused("UpdateSegment", change)[:2] == (invalid, "EXPRESSION_INVALID")
        for name in ("twice", "doubled"):
            (project.folder / "segments" / f"{name}.sql").write_text("order_count > 4\n")
        for name in ("left", "twice", "doubled"):
            client.call("SegmentService/DeleteSegment", {"segment": name, "deletedBy": "ada"})
            (project.folder / "segments" / f"{name}.sql").unlink(missing_ok=True)
        assert refused("UpdateSegment", {"segment": SEGMENT, "updateMask": "size", "updatedBy": "ada"})[2] == ["update_mask"]

        # A segment that another one names stays; no circle is made.
        client.call("SegmentService/CreateSegment", {"segment": {"segment": "upper", "expression": "in_segment('big')"}, "createdBy": "ada"})
        assert refused("DeleteSegment", {"segment": "big", "deletedBy": "ada"})[0] == grpc.StatusCode.FAILED_PRECONDITION
        assert refused("UpdateSegment", {"segment": SEGMENT | {"expression": "in_segment('upper')"}, "updatedBy": "ada"})[0] == invalid
    # A file of the same name is refused, and what to do is said.
    (project.folder / "segments" / "big.sql").write_text("order_count >= 3\n")
    for command in (["refresh"], ["check"]):
        assert "segments/big.sql: ada made a segment `big` with `tessera segment create` or a call: rename the file, or `tessera segment delete big`" in project.refused(*command)
    project.run("segment", "delete", "big", "--by", "ada")
    project.refresh()


def test_two_servers_lose_no_change(shop_of_orders):
    project = shop_of_orders
    with serving(project) as one, serving(project) as other:
        clients = [Client(one.address), Client(other.address)]

        def make(client, names):
            for name in names:
                client.call("SegmentService/CreateSegment", {"segment": SEGMENT | {"segment": name}, "createdBy": "ada"})

        names = [[f"s{server}-{number}" for number in range(12)] for server in range(2)]
        threads = [threading.Thread(target=make, args=pair) for pair in zip(clients, names)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in clients:
            listed = {segment["segment"] for segment in client.call("SegmentService/ListSegments")["segments"]}
            assert listed == {"buyers", *names[0], *names[1]}


def test_changes_are_paged_without_gap(shop_of_orders):
    project = shop_of_orders
    with serving(project) as server:
        client, changes, token = Client(server.address), [], ""
        while True:
            page = client.call("SegmentService/ListSegmentChanges", {"segment": "buyers", "pageSize": 70, "pageToken": token})
            changes += [(change["generation"], change["profileId"], change["isEntry"]) for change in page["changes"]]
            token = page["nextPageToken"]
            if not token:
                break
    expected = project.sql("select generation, profile_id from segment.changes where segment = 'buyers'")
    assert len(changes) == len(set(changes)) == 300 and set(changes) == {(str(row["generation"]), row["profile_id"], True) for row in expected}


def test_members_are_exported_in_every_format(shop_of_orders, tmp_path):
    project = shop_of_orders
    (project.folder / "segments" / "nobody.sql").write_text("order_count > 1000\n")
    project.refresh()
    columns = ["profile_id", "lifetime_value", "entered_at"]
    expected = {(row["profile_id"], float(row["lifetime_value"])) for row in project.sql("select profile_id, lifetime_value from profile.profiles")}

    def read(kind, data):
        if kind == "csv":
            return list(csv.DictReader(io.StringIO(data.decode())))
        if kind == "ndjson":
            return [json.loads(line) for line in data.splitlines()]
        return polars.read_parquet(io.BytesIO(data)).to_dicts()

    with serving(project) as server:
        client = Client(server.address)
        for kind in ("csv", "ndjson", "parquet"):
            request = {"segment": "buyers", "columns": columns, "format": f"EXPORT_FORMAT_{kind.upper()}"}
            method = client.method("SegmentService/ExportSegmentMembers")
            assert method.server_streaming
            pieces = client.raw("SegmentService/ExportSegmentMembers", request)
            rows = read(kind, b"".join(piece.data for piece in pieces))
            assert list(rows[0]) == columns
            assert {(row["profile_id"], float(row["lifetime_value"])) for row in rows} == expected, kind
        [nothing] = client.raw("SegmentService/ExportSegmentMembers", {"segment": "nobody", "format": "EXPORT_FORMAT_NDJSON"})
        assert nothing.generation.number == 2 and not nothing.data
        for request, fields in (({"format": "EXPORT_FORMAT_CSV", "columns": ["lifetime_valeu"]}, ["columns"]), ({}, ["format"])):
            assert client.refused("SegmentService/ExportSegmentMembers", {"segment": "buyers"} | request)[2] == fields
    for kind in ("csv", "ndjson", "parquet"):
        file = tmp_path / f"buyers.{kind}"
        project.run("segment", "export", "buyers", "--columns", ",".join(columns), "--format", kind, "--to", file)
        assert {(row["profile_id"], float(row["lifetime_value"])) for row in read(kind, file.read_bytes())} == expected, kind
    assert "is there already" in project.refused("segment", "export", "buyers", "--to", file)
    assert sorted(path.name for path in tmp_path.glob("buyers.*")) == ["buyers.csv", "buyers.ndjson", "buyers.parquet"]


def test_members_are_written_where_the_project_allows(shop_of_orders, tmp_path):
    project = shop_of_orders
    allowed = tmp_path / "exports"
    with (project.folder / "tessera.toml").open("a") as config:
        config.write(f'[serve]\nexport_to = ["file://{allowed}/", "file:///proc/"]\n')
    with serving(project) as server:
        client = Client(server.address)
        request = {"segment": "buyers", "format": "EXPORT_FORMAT_CSV"}

        def refused(url):
            return client.refused("SegmentService/ExportSegmentMembers", request | {"url": url})

        url = f"file://{allowed}/of%20today/buyers.csv"
        [written] = client.call("SegmentService/ExportSegmentMembers", request | {"url": url})
        file = allowed / "of today" / "buyers.csv"
        assert file.stat().st_size == int(written["writtenBytes"]) > 0 and not written["data"]
        assert len(list(csv.DictReader(file.open()))) == 300
        assert refused(url)[:2] == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")
        for elsewhere in (f"file://{tmp_path}/b.csv", f"file://{allowed}/../b.csv", f"file://{allowed}/%2e%2e/b.csv", "s3://bucket/b.csv", "b.csv"):
            assert refused(elsewhere)[1:] == ("INPUT_INVALID", ["url"]), elsewhere
        for nothing in (f"file://{allowed}/", f"file://{allowed}/..%2fb.csv"):
            assert refused(nothing)[0] == grpc.StatusCode.INVALID_ARGUMENT, nothing
        # To try again would not help with these.
        for unwritable in (f"{url}/b.csv", f"file://{allowed}/{'x' * 300}.csv", "file:///proc/b.csv"):
            assert refused(unwritable)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION"), unwritable
        for cut in (f"file://{allowed}/a?b=c.csv", f"file://{allowed}/a#b.csv"):
            assert refused(cut) == (grpc.StatusCode.INVALID_ARGUMENT, "INPUT_INVALID", ["url"]), cut
    assert not (tmp_path / "b.csv").exists() and [path.name for path in allowed.iterdir()] == ["of today"]
    assert "%3F" in project.refused("segment", "export", "buyers", "--to", f"file://{tmp_path}/a?b.csv")
    assert "cannot be written" in project.refused("segment", "export", "buyers", "--to", file / "b.csv")
    project.run("segment", "export", "buyers", "--to", f"file://{tmp_path}/by_url.csv")
    assert (tmp_path / "by_url.csv").read_bytes().count(b"\n") == 301


def test_the_command_line_does_the_same(shop_of_orders):
    project = shop_of_orders
    project.run("segment", "create", "big", "lifetime_value > 50", "--title", "Big spenders", "--by", "ada")
    # It is there before it has members.
    listed = project.run("segment", "list").stdout
    assert "| big     | Big spenders |      |         | true    |" in listed and "| buyers  |              | 300  |         | false   |" in listed
    shown = project.run("segment", "get", "big").stdout
    assert "lifetime_value is more than 50" in shown and "changed by           ada" in shown and "the next refresh evaluates it" in shown
    assert "a new one needs a `tessera refresh`" in project.refused("segment", "members", "big")
    assert "did you mean" in project.refused("segment", "create", "other", "lifetime_valeu > 50", "--by", "ada")
    # A line is one of the expression, whatever else is said of the segment.
    assert "other:1:1:" in project.refused("segment", "create", "other", "in_segment('none')", "--title", "Other", "--by", "ada")
    project.refresh()
    before = project.value("select count(*) from segment.memberships where segment = 'big'")
    etag = re.search(r"^etag +(\S+)$", shown, re.MULTILINE)[1]
    project.run("segment", "update", "big", "--expression", "top(10, lifetime_value)", "--by", "ben", "--etag", etag)
    assert "ben has changed segment `big` since" in project.refused("segment", "update", "big", "--title", "x", "--by", "ada", "--etag", etag)
    assert "ben has changed segment `big` since" in project.refused("segment", "delete", "big", "--by", "ada", "--etag", etag)
    project.refresh()
    assert before > 10 == project.value("select count(*) from segment.memberships where segment = 'big'")
    shown = project.run("segment", "show", "big").stdout
    assert "Big spenders" in shown and "one of the 10 with the highest lifetime_value" in shown
    assert re.search(r"^pending +no$", shown, re.MULTILINE) and "changed by           ben" in shown and "entered" in shown
    shown = project.run("segment", "members", "buyers").stdout
    assert "50 rows\n50 of 300: `--limit 300` prints all" in shown and shown.count("entered_at") == 1
    finished = project.run("segment", "members", "buyers", "--limit", "7", "--format", "csv")
    assert len(list(csv.DictReader(io.StringIO(finished.stdout)))) == 7 and "7 of 300" in finished.stderr
    assert "--limit" not in project.run("segment", "members", "big").stdout
    assert "note: no event is named `Order Complted`; did you mean `Order Completed`?" in project.run("segment", "estimate", "did('Order Complted')").stdout
    estimated = project.run("segment", "estimate", "order_count >= 1", "--by-column", "touchpoint").stdout
    assert "note:" not in estimated
    assert "300 of 300 people: 100.00 %" in estimated and "pos" in estimated
    changes = list(csv.DictReader(io.StringIO(project.run("segment", "changes", "big", "--after", "2", "--format", "csv").stdout)))
    assert sum(change["change"] == "left" for change in changes) >= before - 10 and {change["generation"] for change in changes} == {"3"}
    compared = project.run("segment", "compare", "buyers", "big", "buyers", "--columns", "order_count,touchpoint").stdout
    assert "| big     | 10   | 10     | 10  | 10     | 0           |" in compared and "in any: 300, in all: 10, people: 300" in compared
    assert re.search(r"\| mean +\| 1.00 +\| 1.00 +\| 1.00 \|", compared) and re.search(r"\| pos +\| 300 +\| 300 +\| 1.00 \|", compared)
    project.run("segment", "delete", "big", "--by", "ada")
    assert "big" not in project.run("segment", "list").stdout
    project.refresh()
    assert "there is no segment `big`" in project.refused("segment", "show", "big")
    assert project.value("select count(*) from segment.memberships where segment = 'big'") == 0


def test_uploaded_lists_name_people_one_by_one(shop_of_orders, tmp_path):
    project = shop_of_orders
    (project.folder / "lists").mkdir()
    (project.folder / "lists" / "filed.csv").write_text("customer_id\nk1\n")

    def pieces(name, text, by="ada"):
        """In pieces that end in the middle of a line."""
        data = [base64.b64encode(text[start : start + 5].encode()).decode() for start in range(0, len(text), 5)] or [""]
        return [{"list": name, "uploadedBy": by, "data": data[0]}] + [{"data": piece} for piece in data[1:]]

    with serving(project) as server:
        client = Client(server.address)
        uploaded = client.call("SegmentService/UploadList", pieces("vip", "customer_id;email\nk7;\nk8;\nk8;\nnobody;no address\n"))
        assert uploaded == {"identifierCount": "3", "droppedCount": "1"}
        client.call("SegmentService/CreateSegment", {"segment": {"segment": "chosen", "expression": "order_count >= 1"}, "createdBy": "ada"})
        refreshed(client)
        client.call("SegmentService/UpdateSegment", {"segment": {"segment": "chosen", "expression": "in_list('vip')"}, "updateMask": "expression", "updatedBy": "ada"})
        refreshed(client)
        assert int(client.call("SegmentService/GetSegment", {"segment": "chosen"})["segment"]["size"]) == 2

        def refused(request):
            return client.refused("SegmentService/UploadList", request)

        invalid = (grpc.StatusCode.INVALID_ARGUMENT, "LIST_INVALID", ["data"])
        assert refused(pieces("vip", "customer\nk1\n")) == refused(pieces("vip", "")) == invalid
        assert refused(pieces("vip", 'customer_id\nk1\n"k2\nk3\n')) == refused(pieces("vip", 'customer_id\n"k1\n"k2"\n')) == invalid, "a quote swallows values"
        assert refused(pieces("V I P", "email\n")) == (grpc.StatusCode.INVALID_ARGUMENT, "INPUT_INVALID", ["list"])
        assert refused(pieces("vip", "customer_id\nk1,k2\n")) == invalid
        assert refused(pieces("vip", "customer_id\n", by=" ")) == (grpc.StatusCode.INVALID_ARGUMENT, "INPUT_INVALID", ["uploaded_by"])
        assert refused([])[2] == refused([{"data": ""}])[2] == ["list"]
        # A later piece that says it again changes nothing; one that says something else is of another list.
        first, *later = pieces("vip", "customer_id\nk7\nk8\n")
        assert client.call("SegmentService/UploadList", [first, {"list": "vip", "uploadedBy": "ada"}, *later])["identifierCount"] == "2"
        for field, other in [("list", {"list": "others"}), ("uploaded_by", {"uploadedBy": "ben"})]:
            assert refused([first, *later, other]) == (grpc.StatusCode.INVALID_ARGUMENT, "INPUT_INVALID", [field])
        # A segment may name a list as soon as that is uploaded; who is on it a refresh finds out.
        client.call("SegmentService/UploadList", pieces("new", "customer_id\nk1\n"))
        client.call("SegmentService/CreateSegment", {"segment": {"segment": "of_new", "expression": "in_list('new')"}, "createdBy": "ada"})
        assert client.call("SegmentService/GetSegment", {"segment": "of_new"})["segment"]["words"]
        assert client.refused("SegmentService/EstimateSegment", {"expression": "in_list('new')"})[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION")
        assert client.refused("SegmentService/EstimateSegment", {"expression": "in_list('knew')"})[1] == "EXPRESSION_INVALID"
        refreshed(client)
        assert int(client.call("SegmentService/GetSegment", {"segment": "of_new"})["segment"]["size"]) == 1
        client.call("SegmentService/DeleteSegment", {"segment": "of_new", "deletedBy": "ada"})
        client.call("SegmentService/DeleteList", {"list": "new", "deletedBy": "ada"})
        late = {"segment": {"segment": "too_late", "expression": "in_list('new')"}, "createdBy": "ada"}
        assert client.refused("SegmentService/CreateSegment", late)[1] == "EXPRESSION_INVALID"
        assert refused(pieces("filed", "customer_id\nk1\n"))[0] == grpc.StatusCode.ALREADY_EXISTS
        assert client.refused("SegmentService/DeleteList", {"list": "none", "deletedBy": "ada"})[0] == grpc.StatusCode.NOT_FOUND
        assert client.refused("SegmentService/DeleteList", {"list": "vip", "deletedBy": "ada"})[0] == grpc.StatusCode.FAILED_PRECONDITION

    # Another one takes its place, by whatever door; after the segment is gone it can be deleted.
    file = project.write("vip.csv", "customer_id\n" + "".join(f"k{number}\n" for number in range(5)))
    assert "5 identifiers" in project.run("segment", "upload-list", "vip", file, "--by", "ben").stdout
    project.refresh()
    assert project.value("select count(*) from segment.memberships where segment = 'chosen'") == 5
    assert "names list `vip`" in project.refused("segment", "delete-list", "vip", "--by", "ben")
    project.run("segment", "delete", "chosen", "--by", "ben")
    project.run("segment", "delete-list", "vip", "--by", "ben")
    project.refresh("--full")
    assert [row["list"] for row in project.sql("select list from segment.lists")] == ["filed"]
    assert [row["changed_by"] for row in project.sql("select changed_by from ops.lists order by changed_at")] == ["ada", "ada", "ada", "ada", "ben", "ben"]
