"""Long answers of gRPC: files and profiles that clients take with the limits that they come with, and exports that their
client leaves."""

import io
import json
import random
import string
import threading
import time
from urllib.parse import parse_qs, urlsplit

import grpc
import pyarrow.csv
import pyarrow.parquet
import pytest

from conftest import WEB_AND_TILL, Project
from serving import serving, wait_for
from small_store import Answers, SmallStore, environment, storing
from test_grpc import Client

PEOPLE = 20_000
NAME_LENGTH = 600
MESSAGE_BYTES_MAX = 4 << 20  # what clients of gRPC take unless they are told otherwise
PIECE_BYTES_MAX = 1 << 20
SERVE = '\n[serve]\nexport_to = ["s3://lake/exports/"]\n'


@pytest.fixture(scope="module")
def people(binary, tmp_path_factory):
    """A project of people with long names, and one of whom much is known."""
    project = Project(binary, tmp_path_factory.mktemp("people"), WEB_AND_TILL + SERVE)
    (project.folder / "segments").mkdir()
    (project.folder / "segments" / "people.sql").write_text("first_name is not null\n")
    dice = random.Random(3)
    name = lambda: "".join(dice.choices(string.ascii_letters + string.digits, k=NAME_LENGTH))
    rows = "".join(f"{number},2026-03-01,p{number}@example.com,{name()}\n" for number in range(PEOPLE))
    project.ingest("crm", project.write("crm.csv", "id,updated,email,first_name\n" + rows))
    calls = (
        {"type": "track", "event": "Seen", "messageId": f"m{number}", "userId": "u1", "timestamp": f"2026-03-01T10:{number:02}:00Z",
         "properties": {"text": "x" * 200_000}}
        for number in range(40)
    )
    project.ingest("web", project.write("web.ndjson", "".join(json.dumps(call) + "\n" for call in calls)))
    project.refresh()
    return project


@pytest.mark.parametrize("form", ["CSV", "NDJSON", "PARQUET"])
def test_a_client_with_its_own_limits_reads_a_long_export(people, form):
    request = {"segment": "people", "columns": ["profile_id", "first_name"], "format": f"EXPORT_FORMAT_{form}"}
    with serving(people) as server:
        server.wait_until_ready()
        answers = list(Client(server.address).raw("SegmentService/ExportSegmentMembers", request))
    assert max(len(answer.data) for answer in answers) <= PIECE_BYTES_MAX
    file = b"".join(answer.data for answer in answers)
    assert len(file) > MESSAGE_BYTES_MAX
    if form == "PARQUET":
        names = pyarrow.parquet.read_table(io.BytesIO(file)).column("first_name").to_pylist()
    elif form == "CSV":
        names = pyarrow.csv.read_csv(io.BytesIO(file)).column("first_name").to_pylist()
    else:
        names = [json.loads(line)["first_name"] for line in file.splitlines()]
    expected = people.sql("select first_name from profile.profiles where first_name is not null order by first_name")
    assert len(names) == PEOPLE and sorted(names) == [row["first_name"] for row in expected]


def test_a_client_with_its_own_limits_reads_a_profile_of_many_long_events(people):
    request = {"identifier": {"namespace": "user_id", "value": "u1"}, "eventLimit": 1000}
    with serving(people) as server:
        server.wait_until_ready()
        events = Client(server.address).call("ProfileService/GetProfile", request)["profile"]["events"]
        assert len(events) == (3 << 20) // 200_200
        assert [event["eventId"] for event in events] == [f"m{39 - place}" for place in range(len(events))]
        few = Client(server.address).call("ProfileService/GetProfile", request | {"eventLimit": 3})["profile"]["events"]
        assert few == events[:3]


def test_a_client_with_its_own_limits_reads_a_profile_of_many_identifiers(new_project):
    project = new_project()
    call = lambda user, number, length: {
        "type": "page", "messageId": f"{user}-{number}", "userId": user, "anonymousId": f"{user}-{number:05}-{'x' * length}",
        "timestamp": "2026-03-01T10:00:00Z",
    }
    calls = [call("many", number, 1) for number in range(1_500)] + [call("long", number, 400) for number in range(12_000)]
    project.ingest("web", project.write("web.ndjson", "".join(json.dumps(one) + "\n" for one in calls)))
    project.refresh()
    with serving(project) as server:
        server.wait_until_ready()
        client = Client(server.address)
        profile_of = lambda user: client.call("ProfileService/GetProfile", {"identifier": {"namespace": "user_id", "value": user}})["profile"]
        many, long = profile_of("many"), profile_of("long")
    assert many["identifierCount"] == "1501" and len(many["identifiers"]) == 1_000
    first = project.sql("select value from identity.identities where value like 'many%' order by namespace, value limit 1000")
    assert [known["identifier"]["value"] for known in many["identifiers"]] == [row["value"] for row in first]
    assert long["identifierCount"] == "12001" and 500 < len(long["identifiers"]) < 1_000
    assert many["attributeCount"] == str(len(many["attributes"]))


class SlowAnswers(Answers):
    """Objects are taken in parts as well. The answer to a part waits until the store `may_answer`; whether there is an
    object is answered to `together` at once; an answer that is `lost` is never sent."""

    def upload(self):
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def do_POST(self):
        if "uploads" in self.upload():
            self.server.uploads.append("begun")
            body = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            return self.answer(200, body, Content_Type="application/xml")
        if "uploadId" not in self.upload():
            return super().do_POST()
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.uploads.append("completed")
        body = b'<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>'
        self.answer(200, body, Content_Type="application/xml")

    def do_HEAD(self):
        self.server.together.wait(60)
        super().do_HEAD()

    def do_PUT(self):
        if self.server.lost.is_set():
            self.server.lost.clear()
            self.server.objects[self.key()] = (self.rfile.read(int(self.headers["Content-Length"])), time.time())
            self.close_connection = True
            return
        if "partNumber" not in self.upload():
            return super().do_PUT()
        length = len(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.uploads.append(length)
        self.server.may_answer.wait(60)
        self.answer(200, ETag='"1"')

    def do_DELETE(self):
        if "uploadId" not in self.upload():
            return super().do_DELETE()
        self.server.uploads.append("aborted")
        self.answer(204)


@pytest.fixture
def slow_store():
    with storing(SmallStore(SlowAnswers)) as store:
        store.uploads, store.may_answer, store.lost, store.together = [], threading.Event(), threading.Event(), threading.Barrier(1)
        yield store
        store.may_answer.set()


def test_an_export_that_its_client_leaves_is_thrown_away(people, slow_store):
    project = Project(people.binary, people.folder, env=environment(slow_store.server_port))
    request = {"segment": "people", "columns": ["first_name"], "format": "EXPORT_FORMAT_NDJSON", "url": "s3://lake/exports/people.ndjson"}
    with serving(project) as server:
        server.wait_until_ready()
        client = Client(server.address)
        call = client.raw("SegmentService/ExportSegmentMembers", request)
        wait_for(lambda: 10 << 20 in slow_store.uploads, "the first part is on its way")
        call.cancel()
        wait_for(lambda: "aborted" in slow_store.uploads, "what was sent is thrown away")
        assert "completed" not in slow_store.uploads
        method = 'method="SegmentService/ExportSegmentMembers"'
        wait_for(lambda: f'tessera_requests_total{{{method},code="Cancelled"}} 1' in server.get("/metrics")[1], "it is counted as what it was")

        slow_store.uploads.clear()
        slow_store.may_answer.set()
        [answer] = client.call("SegmentService/ExportSegmentMembers", request)
        parts = [part for part in slow_store.uploads if isinstance(part, int)]
        assert int(answer["writtenBytes"]) == sum(parts) > 10 << 20
        assert slow_store.uploads[0] == "begun" and slow_store.uploads[-1] == "completed"


def test_of_exports_to_one_url_at_once_one_is_written_and_the_others_are_refused(people, slow_store):
    project = Project(people.binary, people.folder, env=environment(slow_store.server_port))
    columns = ["profile_id", "entered_at", "order_count", "last_seen_at"]
    slow_store.together = threading.Barrier(len(columns))
    with serving(project) as server:
        server.wait_until_ready()
        client = Client(server.address)
        request = {"segment": "people", "format": "EXPORT_FORMAT_PARQUET", "url": "s3://lake/exports/people.parquet"}
        calls = {column: client.raw("SegmentService/ExportSegmentMembers", request | {"columns": [column]}) for column in columns}
        written, codes = [], []
        for column, call in calls.items():
            try:
                [_] = call
                written.append(column)
            except grpc.RpcError as error:
                codes.append(error.code())
    assert codes == [grpc.StatusCode.ALREADY_EXISTS] * (len(columns) - 1)
    [(file, _)] = slow_store.objects.values()
    table = pyarrow.parquet.read_table(io.BytesIO(file))
    assert table.num_rows == PEOPLE and table.column_names == written


def test_an_export_of_which_the_reply_is_lost_is_done(people, slow_store):
    project = Project(people.binary, people.folder, env=environment(slow_store.server_port))
    slow_store.lost.set()
    export = ("segment", "export", "people", "--format", "csv", "--to", "s3://lake/exports/people.csv")
    project.run(*export)
    assert not slow_store.lost.is_set()
    [(file, _)] = slow_store.objects.values()
    assert file.count(b"\n") == PEOPLE + 1
    assert "is there already" in project.refused(*export)
