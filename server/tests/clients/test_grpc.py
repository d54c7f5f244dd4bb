"""Tools' way in: a client that knows the services by reflection only."""

import base64
import json
import signal
import threading
import time

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from conftest import WEB_AND_TILL, Project, orders
from serving import serving, wait_for


class Client:
    """Calls methods by name, with dictionaries."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        database = ProtoReflectionDescriptorDatabase(self.channel)
        self.services, self.pool = database.get_services(), DescriptorPool(database)

    def method(self, name):
        service, _, method = name.partition("/")
        return self.pool.FindServiceByName(f"tessera.v1.{service}").FindMethodByName(method)

    def raw(self, name, request=None):
        """The answer, or a stream of answers, as they are. A method that takes a stream takes a list of requests."""
        method = self.method(name)
        answer_class, request_class = GetMessageClass(method.output_type), GetMessageClass(method.input_type)
        if method.client_streaming:
            messages = [json_format.ParseDict(one, request_class()) for one in request]
            call = self.channel.stream_unary(f"/tessera.v1.{name}", request_class.SerializeToString, answer_class.FromString)
            return call(iter(messages), timeout=120)
        message = json_format.ParseDict(request or {}, request_class())
        kind = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        call = kind(f"/tessera.v1.{name}", type(message).SerializeToString, answer_class.FromString)
        return call(message, timeout=120)

    def call(self, name, request=None):
        answer = self.raw(name, request)
        if self.method(name).server_streaming:
            return (json_format.MessageToDict(one, always_print_fields_with_no_presence=True) for one in answer)
        return json_format.MessageToDict(answer, always_print_fields_with_no_presence=True)

    def refused(self, name, request=None):
        """Code, reason and the fields that are wrong."""
        with pytest.raises(grpc.RpcError) as error:
            list(self.call(name, request))
        reason, fields = None, []
        for detail in rpc_status.from_call(error.value).details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
                assert info.domain == "tessera"
                reason = info.reason
            if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                request = error_details_pb2.BadRequest()
                detail.Unpack(request)
                fields = [violation.field for violation in request.field_violations]
        return error.value.code(), reason, fields


@pytest.fixture(scope="module")
def client(server):
    return Client(server.address)


def test_reflection_and_health(client):
    assert {"tessera.v1.ProfileService", "tessera.v1.SegmentService", "tessera.v1.BehaviorService", "tessera.v1.RefreshService"} <= set(client.services)
    health = health_pb2_grpc.HealthStub(client.channel)
    assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING


def test_a_profile_by_any_of_its_identifiers(shop, client):
    [person] = shop.sql("select * from profile.profiles order by lifetime_value desc, profile_id limit 1")
    by_id = client.call("ProfileService/GetProfile", {"profileId": person["profile_id"], "eventLimit": 5})
    assert by_id["generation"]["number"] == "1" and by_id["generation"]["publishTime"]
    profile = by_id["profile"]
    assert profile["traits"]["order_count"] == person["order_count"]
    assert float(profile["traits"]["lifetime_value"]) == float(person["lifetime_value"])
    assert len(profile["identifiers"]) == person["identifier_count"]
    times = [event["occurTime"] for event in profile["events"]]
    assert len(times) == 5 and times == sorted(times, reverse=True)
    for known in profile["identifiers"]:
        found = client.call("ProfileService/GetProfile", {"identifier": known["identifier"]})
        assert found["profile"]["profileId"] == person["profile_id"]
        assert found["profile"]["events"] == []
    segments = {row["segment"] for row in shop.sql(f"select segment from segment.memberships where profile_id = '{person['profile_id']}'")}
    assert {segment["segment"] for segment in profile["segments"]} == segments
    assert [attribute["name"] for attribute in profile["attributes"]] == sorted(attribute["name"] for attribute in profile["attributes"])


def test_why_identifiers_are_one_person(shop, client):
    [known] = shop.sql("select min(namespace || ':' || value) as a, max(namespace || ':' || value) as b from identity.identities group by profile_id having count(*) > 3 order by 1 limit 1")
    ends = [dict(zip(("namespace", "value"), known[end].split(":", 1))) for end in ("a", "b")]
    explained = client.call("ProfileService/ExplainIdentity", {"a": ends[0], "b": ends[1]})
    assert explained["aProfileId"] == explained["bProfileId"] and explained["generation"]["number"] == "1"
    here = ends[0]
    for link in explained["links"]:
        assert here in (link["a"], link["b"]) and "droppedReason" not in link
        assert link["sources"] and int(link["eventCount"]) >= 0 and link["firstSeenTime"] <= link["lastSeenTime"]
        here = link["b"] if here == link["a"] else link["a"]
    assert here == ends[1] and explained["links"]

    # Those whom a dropped link keeps apart.
    [dropped] = shop.sql("select * from identity.dropped_links order by a_namespace, a_value, b_namespace, b_value limit 1")
    ends = [{"namespace": dropped[f"{end}_namespace"], "value": dropped[f"{end}_value"]} for end in ("a", "b")]
    explained = client.call("ProfileService/ExplainIdentity", {"a": ends[0], "b": ends[1]})
    assert explained["aProfileId"] != explained["bProfileId"]
    assert [link["droppedReason"] for link in explained["links"]] == [dropped["reason"]]

    with pytest.raises(grpc.RpcError) as refused:
        client.call("ProfileService/ExplainIdentity", {"a": ends[0], "b": {"namespace": "email", "value": "nobody@nowhere.example"}})
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND and "nobody@nowhere" not in refused.value.details()
    with pytest.raises(grpc.RpcError) as refused:
        client.call("ProfileService/ExplainIdentity", {"a": ends[0], "b": {"namespace": "email", "value": "not an address"}})
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_segments_and_estimates(shop, client):
    listed = {segment["segment"]: int(segment["size"]) for segment in client.call("SegmentService/ListSegments")["segments"]}
    sizes = shop.sql("select segments.segment, count(memberships.profile_id) as n from segment.segments left join segment.memberships on memberships.segment = segments.segment group by 1")
    assert listed == {row["segment"]: row["n"] for row in sizes} and len(listed) > 1
    for name, size in listed.items():
        segment = client.call("SegmentService/GetSegment", {"segment": name})["segment"]
        estimate = client.call("SegmentService/EstimateSegment", {"expression": segment["expression"], "previewSize": 3})
        assert int(segment["size"]) == size == int(estimate["size"]), name
        assert len(estimate["previewProfileIds"]) == min(size, 3)
    first = client.call("SegmentService/ListSegments", {"pageSize": 1})
    second = client.call("SegmentService/ListSegments", {"pageSize": 1, "pageToken": first["nextPageToken"]})
    assert [first["segments"][0]["segment"], second["segments"][0]["segment"]] == sorted(listed)[:2]
    both = client.call("SegmentService/EstimateSegment", {"expression": f"in_segment('{sorted(listed)[0]}') or order_count > 0"})
    assert int(both["size"]) == shop.value(
        f"select count(*) from profile.profiles where order_count > 0 or profile_id in (select profile_id from segment.memberships where segment = '{sorted(listed)[0]}')")


def test_estimates_say_how_people_divide(shop, client):
    answer = client.call("SegmentService/EstimateSegment", {"expression": "order_count > 0", "breakdownBy": ["country", "touchpoint"]})
    assert answer["words"] == "order_count is more than 0"
    countries, touchpoints = answer["breakdowns"]
    expected = shop.sql("select country, count(*) as n from profile.profiles where order_count > 0 group by 1")
    assert {value.get("value"): int(value["count"]) for value in countries["values"]} == {row.get("country"): row["n"] for row in expected}
    expected = shop.sql(
        "select touchpoint, count(distinct profile_id) as n from behavior.events"
        " where profile_id in (select profile_id from profile.profiles where order_count > 0) group by 1")
    found = {value["value"]: int(value["count"]) for value in touchpoints["values"]}
    assert {name: count for name, count in found.items() if count} == {row["touchpoint"]: row["n"] for row in expected}
    assert client.refused("SegmentService/EstimateSegment", {"expression": "order_count > 0", "breakdownBy": ["contry"]}) == (
        grpc.StatusCode.INVALID_ARGUMENT, "INPUT_INVALID", ["breakdown_by"])


@pytest.mark.parametrize("expression, hints", [
    ("did('Order Complted')", ["no event is named `Order Complted`; did you mean `Order Completed`?"]),
    ("did_sequence('Product Viewed' then not 'Order Cancel' then 'Order Completed')", ["no event is named `Order Cancel`; known: "]),
    ("event_sum('Order Completed', property('totl')) > 0", ["no `Order Completed` says a number as `totl` on the days that count"]),
    ("did('Order Completed') filter (where property('paid') = 'in shells')", ["no `Order Completed` where `property('paid') = 'in shells'` on the days that count"]),
    ("did('Order Completed')", []),
    ("order_count > 1000000", []),
])
def test_estimates_hint_at_what_matches_nothing(client, expression, hints):
    found = client.call("SegmentService/EstimateSegment", {"expression": expression})["hints"]
    assert len(found) == len(hints) and all(one.startswith(hint) for one, hint in zip(found, hints)), found


def test_segments_compare(shop, client):
    sizes = {segment["segment"]: int(segment["size"]) for segment in client.call("SegmentService/ListSegments")["segments"]}
    left, right = sorted(sizes, key=sizes.get)[-2:]
    answer = client.call("SegmentService/CompareSegments", {"segments": [left, right], "columns": ["country", "lifetime_value"]})
    people = lambda name: {row["profile_id"] for row in shop.sql(f"select profile_id from segment.memberships where segment = '{name}'")}
    of_left, of_right = people(left), people(right)
    assert [int(overlap["size"]) for overlap in answer["overlaps"]] == [len(of_left), len(of_right)]
    assert [int(shared) for shared in answer["overlaps"][0]["shared"]] == [len(of_left), len(of_left & of_right)]
    assert int(answer["overlaps"][0]["only"]) == len(of_left - of_right)
    assert (int(answer["unionSize"]), int(answer["intersectionSize"])) == (len(of_left | of_right), len(of_left & of_right))
    countries, values = answer["columns"]
    everybody = int(answer["profileCount"])
    value = countries["values"][0]
    members = int(countries["segments"][0]["counts"][0])
    assert countries["segments"][0]["lift"][0] == pytest.approx((members / len(of_left)) / (int(value["count"]) / everybody))
    mean = shop.value(f"select avg(cast(lifetime_value as double)) from profile.profiles where profile_id in (select profile_id from segment.memberships where segment = '{left}')")
    assert values["segments"][0]["mean"] == pytest.approx(float(mean))
    assert client.refused("SegmentService/CompareSegments", {"segments": [left]})[2] == ["segments"]
    assert client.refused("SegmentService/CompareSegments", {"segments": [left, "none"]})[1] == "SEGMENT_NOT_FOUND"


def test_trends_are_those_of_the_table(shop, client):
    days = shop.sql("select * from behavior.trends order by date desc limit 10")
    request = {"metrics": ["METRIC_EVENTS", "METRIC_ACTIVE_PROFILES", "METRIC_ORDERS", "METRIC_REVENUE"], "startDate": days[-1]["date"], "endDate": days[0]["date"]}
    points = {point["date"]: [value["value"] for value in point["values"]] for point in client.call("BehaviorService/QueryTrend", request)["points"]}
    for day in days:
        events, people, bought, revenue = points.pop(day["date"])
        assert (int(events), int(people), int(bought)) == (day["event_count"], day["active_profiles"], day["order_count"])
        assert float(revenue) == float(day["revenue"])
    assert all(values == ["0", "0", "0", "0"] for values in points.values())
    weeks = client.call("BehaviorService/QueryTrend", request | {"interval": "INTERVAL_WEEK", "touchpoint": "web"})["points"]
    total = shop.value(f"select sum(event_count) from behavior.daily_activity where touchpoint = 'web' and date between '{days[-1]['date']}' and '{days[0]['date']}'")
    assert sum(int(week["values"][0]["value"]) for week in weeks) == total


@pytest.mark.parametrize("call, request_, code, reason, fields", [
    ("ProfileService/GetProfile", {}, "INVALID_ARGUMENT", "INPUT_INVALID", ["key"]),
    ("ProfileService/GetProfile", {"profileId": "x", "eventLimit": -1}, "INVALID_ARGUMENT", "INPUT_INVALID", ["event_limit"]),
    ("ProfileService/GetProfile", {"profileId": "nobody"}, "NOT_FOUND", "PROFILE_NOT_FOUND", []),
    ("ProfileService/GetProfile", {"identifier": {"namespace": "email", "value": "null"}}, "INVALID_ARGUMENT", "IDENTIFIER_INVALID", ["identifier"]),
    ("SegmentService/GetSegment", {"segment": "none"}, "NOT_FOUND", "SEGMENT_NOT_FOUND", []),
    ("SegmentService/GetSegment", {}, "INVALID_ARGUMENT", "INPUT_INVALID", ["segment"]),
    ("SegmentService/DeleteSegment", {"deletedBy": "ada"}, "INVALID_ARGUMENT", "INPUT_INVALID", ["segment"]),
    ("SegmentService/DeleteList", {"deletedBy": "ada"}, "INVALID_ARGUMENT", "INPUT_INVALID", ["list"]),
    ("SegmentService/EstimateSegment", {"expression": "lifetime_valu > 3"}, "INVALID_ARGUMENT", "EXPRESSION_INVALID", ["expression"]),
    ("SegmentService/ListSegmentMembers", {"segment": "none"}, "NOT_FOUND", "SEGMENT_NOT_FOUND", []),
    ("SegmentService/ListSegmentMembers", {"segment": "none", "pageToken": "x"}, "INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", ["page_token"]),
    ("SegmentService/ListSegmentChanges", {"segment": "big_spenders", "afterGeneration": -1}, "INVALID_ARGUMENT", "INPUT_INVALID", ["after_generation"]),
    ("SegmentService/ListSegments", {"pageSize": 5000}, "INVALID_ARGUMENT", "INPUT_INVALID", ["page_size"]),
    ("BehaviorService/QueryTrend", {"metrics": ["METRIC_EVENTS"], "startDate": "1.1.26", "endDate": "2026-01-02"}, "INVALID_ARGUMENT", "INPUT_INVALID", ["start_date"]),
    ("BehaviorService/QueryTrend", {"metrics": ["METRIC_EVENTS"], "startDate": "2026-1-1", "endDate": "2026-01-02"}, "INVALID_ARGUMENT", "INPUT_INVALID", ["start_date"]),
    ("BehaviorService/QueryTrend", {"startDate": "2026-01-01", "endDate": "2026-01-02"}, "INVALID_ARGUMENT", "INPUT_INVALID", ["metrics"]),
    ("BehaviorService/QueryTrend", {"metrics": ["METRIC_EVENTS"], "startDate": "2026-01-01", "endDate": "2026-01-02", "segment": "none"}, "NOT_FOUND", "SEGMENT_NOT_FOUND", []),
    ("RefreshService/GetRefresh", {"refreshId": "none"}, "NOT_FOUND", "REFRESH_NOT_FOUND", []),
    ("RefreshService/WatchRefresh", {"refreshId": "none"}, "NOT_FOUND", "REFRESH_NOT_FOUND", []),
])
def test_errors_have_a_code_a_reason_and_the_field(client, call, request_, code, reason, fields):
    assert client.refused(call, request_) == (grpc.StatusCode[code], reason, fields)


def test_a_page_token_that_was_changed_is_refused(shop, client):
    segment = shop.value("select segment from segment.memberships group by 1 order by count(*) desc, 1 limit 1")

    def changed(token, last):
        """The token, with another place to go on from."""
        parts = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return base64.urlsafe_b64encode(json.dumps([*parts[:3], last]).encode()).decode().rstrip("=")

    for method, places in [
        ("ListSegmentMembers", ["abc", "-1", "9" * 20, ""]),
        ("ListSegmentChanges", ["x", "abc def ghi", "-1 entered x", f"{'9' * 20} entered x", "1 entered"]),
    ]:
        first = {"segment": segment, "pageSize": 1}
        token = client.call(f"SegmentService/{method}", first)["nextPageToken"]
        client.call(f"SegmentService/{method}", first | {"pageToken": token})
        for place in places:
            refused = client.refused(f"SegmentService/{method}", first | {"pageToken": changed(token, place)})
            assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", ["page_token"]), (method, place)


def test_pages_are_of_one_generation_while_refreshes_publish(binary, tmp_path):
    project = Project(binary, tmp_path / "pages", WEB_AND_TILL)
    (project.folder / "segments").mkdir()
    (project.folder / "segments" / "buyers.sql").write_text("order_count >= 1\n")
    project.ingest("till", project.write("a.csv", orders(250)))
    project.refresh()
    expected = [row["profile_id"] for row in project.sql("select profile_id from segment.memberships order by profile_id")]
    with serving(project) as server:
        server.wait_until_ready()
        client = Client(server.address)
        members, token, generations = [], "", set()
        while True:
            page = client.call("SegmentService/ListSegmentMembers", {"segment": "buyers", "pageSize": 60, "pageToken": token})
            members += [member["profileId"] for member in page["members"]]
            generations.add(page["generation"]["number"])
            token = page["nextPageToken"]
            if not token:
                break
            project.ingest("till", project.write("b.csv", orders(50, first=1000 + len(members))))
            started = client.call("RefreshService/RunRefresh")["refresh"]
            states = [answer["refresh"]["state"] for answer in client.call("RefreshService/WatchRefresh", {"refreshId": started["refreshId"]})]
            assert states[-1] == "REFRESH_STATE_PUBLISHED"
        assert sorted(members) == expected and generations == {"1"}
        assert int(client.call("SegmentService/GetSegment", {"segment": "buyers"})["segment"]["size"]) > 250

        listed = client.call("RefreshService/ListRefreshes", {"pageSize": 2})
        assert len(listed["refreshes"]) == 2 and listed["nextPageToken"]
        everything, token = [], ""
        while True:
            page = client.call("RefreshService/ListRefreshes", {"pageSize": 2, "pageToken": token})
            everything += page["refreshes"]
            token = page["nextPageToken"]
            if not token:
                break
        assert [int(refresh["generation"]) for refresh in everything] == list(range(len(everything), 0, -1))
        one = client.call("RefreshService/GetRefresh", {"refreshId": everything[-1]["refreshId"]})["refresh"]
        assert one["state"] == "REFRESH_STATE_PUBLISHED" and any(step["name"] == "staging.events" for step in one["steps"])


def test_a_schedule_refreshes_once_whoever_serves(binary, tmp_path):
    schedule = WEB_AND_TILL + '\n[[schedule]]\nname = "each_minute"\ncron = "* * * * *"\n'
    project = Project(binary, tmp_path / "schedule", schedule)
    project.ingest("till", project.write("a.csv", orders(20)))

    def published():
        return len(list((project.folder / "lake" / "_generations").glob("*.json")))

    with serving(project) as one, serving(Project(binary, project.folder)) as other:
        # Nothing was ever refreshed: the last instant was missed, and one of the two makes up for it.
        one.wait_until_ready()
        other.wait_until_ready()
        first = published()
        wait_for(lambda: published() > first, "the next minute's refresh", 75)
        time.sleep(5)
        begun = project.sql("select date_trunc('minute', started_at) as minute, count(*) as n from ops.refreshes where name is null group by 1")
        assert len(begun) >= 2 and all(row["n"] == 1 for row in begun), begun


def test_an_end_in_the_middle_of_everything(binary, tmp_path):
    project = Project(binary, tmp_path / "end", WEB_AND_TILL)
    project.ingest("till", project.write("a.csv", orders(3000)))
    project.refresh()
    with serving(project) as server:
        server.wait_until_ready()
        client = Client(server.address)
        project.ingest("till", project.write("b.csv", orders(3000, first=5000)))
        refresh = client.call("RefreshService/RunRefresh", {"full": True})["refresh"]
        seen = []
        watcher = threading.Thread(target=lambda: seen.extend(client.call("RefreshService/WatchRefresh", {"refreshId": refresh["refreshId"]})))
        watcher.start()
        wait_for(lambda: seen, "the refresh is watched")
        assert server.end(signal.SIGTERM) == 0
        watcher.join(60)
    last = seen[-1]["refresh"]
    assert last["state"] in ("REFRESH_STATE_FAILED", "REFRESH_STATE_PUBLISHED"), json.dumps(last)
    # Whatever it did not do, the next refresh does, at once: the lease was given back.
    project.refresh()
    assert project.value("select count(*) from staging.events") == 6000


def test_a_failed_refresh_writes_down_no_value_of_the_data(new_project):
    project = new_project()
    crm = "id,updated,email,first_name\n7,2026-03-01,ada@example.com,Ada\n"
    project.ingest("crm", project.write("crm.csv", crm))
    project.refresh()
    model = project.folder / "models" / "behavior" / "numbers.sql"
    model.parent.mkdir(parents=True)
    model.write_text("select cast(value as bigint) as number from identity.identities where namespace = 'email'\n")
    with serving(project) as server:
        server.wait_until_ready()
        client = Client(server.address)
        refresh_id = client.call("RefreshService/RunRefresh")["refresh"]["refreshId"]
        [*_, last] = client.call("RefreshService/WatchRefresh", {"refreshId": refresh_id})
    assert last["refresh"]["state"] == "REFRESH_STATE_FAILED"
    [stored] = project.sql(f"select error from ops.refreshes where name is null and refresh_id = '{refresh_id}'")
    log = (project.folder / "serve.log").read_text()
    assert "refresh failed" in log
    for text in (last["refresh"]["error"], stored["error"], log):
        assert "models/behavior/numbers.sql" in text and "ada@example.com" not in text, text
    # Who runs it by hand sees it all.
    assert "ada@example.com" in project.refused("refresh")


def test_a_configuration_that_changed_is_not_refreshed_by_the_old_one(project):
    project.ingest("till", project.write("a.csv", orders(5)))
    project.refresh()
    configuration = project.folder / "tessera.toml"
    before = configuration.read_text()
    with serving(project) as server:
        server.wait_until_ready()
        client = Client(server.address)
        # Words, and what is the server's own, change nothing.
        configuration.write_text(f"# ours\n{before}\n[[schedule]]\nname = 'yearly'\ncron = '0 0 1 1 *'\n")
        client.call("RefreshService/RunRefresh")
        configuration.write_text(f"{before}\n[behavior]\nsession_timeout_minutes = 5\n")
        with pytest.raises(grpc.RpcError) as refused:
            client.call("RefreshService/RunRefresh")
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION, refused.value
        assert "restart it" in refused.value.details()
