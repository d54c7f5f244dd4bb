"""A lake on an object store: a real S3 server, many writers at once, and a server that would lose data."""

import hashlib
import json
import os
import socket
import subprocess
import sysconfig
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import grpc
import pyarrow.fs
import pyarrow.parquet
import pytest
from deltalake import DeltaTable

from conftest import WEB_AND_TILL, Project, orders, assert_same
from serving import serving, wait_for

GRPC_OFFSET = 10_000  # SeaweedFS opens a second port at this distance from some of its first ones
READY_SECONDS = 60
HELD_SECONDS = 5


def environment(port):
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "tessera-test",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    }


def files(env):
    """A store as pyarrow reads it."""
    return pyarrow.fs.S3FileSystem(
        access_key=env["AWS_ACCESS_KEY_ID"], secret_key=env["AWS_SECRET_ACCESS_KEY"], region=env["AWS_REGION"],
        endpoint_override=env["AWS_ENDPOINT_URL"].removeprefix("http://"), scheme="http", connect_timeout=2, request_timeout=5,
    )


def free_ports(count):
    """Ports of which the one and the one `GRPC_OFFSET` above are free."""
    ports, sockets = [], []
    for port in range(20_000 + os.getpid() % 2_000, 32_000):
        pair = [socket.socket(), socket.socket()]
        try:
            for one, offset in zip(pair, (0, GRPC_OFFSET)):
                one.bind(("127.0.0.1", port + offset))
        except OSError:
            [one.close() for one in pair]
            continue
        sockets += pair
        ports.append(port)
        if len(ports) == count:
            break
    [one.close() for one in sockets]
    return ports


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory):
    """A SeaweedFS with the bucket `lake`, alone on ports of its own; the environment that finds it."""
    folder = tmp_path_factory.mktemp("seaweed")
    master, volume, filer, s3, admin = free_ports(5)
    program = Path(sysconfig.get_path("scripts")) / "weed"
    command = [program, "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-bucket=lake", "-master.telemetry=false", "-webdav=false",
               f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}", f"-admin.port={admin}",
               "-s3.port.iceberg=0", "-s3.port.lance=0"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | environment(s3)
    log = folder / "weed.log"
    with open(log, "wb") as output:
        server = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        wait_until_ready(server, s3, log)
        yield environment(s3)
    finally:
        server.kill()  # its data are of no more use, and an orderly end takes it many seconds
        server.wait()


def wait_until_ready(server, port, log):
    """Ready is when an object can be written: the server answers before its bucket is there."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, f"SeaweedFS ended with {server.returncode}:\n{log.read_text(errors='replace')[-3000:]}"
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2):
                pass
            env = environment(port)
            with files(env).open_output_stream("lake/ready") as file:
                file.write(b"ready")
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"SeaweedFS was not ready after {READY_SECONDS} s:\n{log.read_text(errors='replace')[-3000:]}")


def s3_project(binary, folder, env, prefix):
    return Project(binary, folder / "project", WEB_AND_TILL, lake=f"s3://lake/{prefix}", env=env)


def test_a_lake_on_s3_works_as_one_on_disk(binary, seaweed, project, tmp_path):
    on_s3 = s3_project(binary, tmp_path / "s3", seaweed, "first/prefix")
    call = {"type": "identify", "messageId": "m1", "anonymousId": "a1", "userId": "u1", "traits": {"email": "ada@example.com"},
            "timestamp": "2026-03-01T10:01:00Z"}
    for one in (on_s3, project):
        one.ingest("till", one.write("till.csv", orders(500)))
        one.ingest("web", one.write("web.ndjson", json.dumps(call) + "\n"))
        one.refresh()
        one.ingest("till", one.write("more.csv", orders(700)))
        one.refresh()
    assert on_s3.value("select count(*) from staging.events") == 701
    assert_same(on_s3.dump(), project.dump())
    assert "nothing added" in on_s3.ingest("till", on_s3.folder / "more.csv")
    assert not (on_s3.folder / "lake").exists(), "something was written beside the lake"

    table = DeltaTable("s3://lake/first/prefix/profile/profiles", storage_options=seaweed)
    assert table.to_pyarrow_dataset().count_rows() == 701

    on_s3.run("segment", "create", "buyers", "order_count >= 1", "--by", "ada")
    on_s3.refresh()
    export = ("segment", "export", "buyers", "--columns", "profile_id,revenue", "--format", "parquet", "--to", "s3://lake/exports/buyers.parquet")
    on_s3.run(*export)
    assert pyarrow.parquet.read_table("lake/exports/buyers.parquet", filesystem=files(seaweed)).num_rows == 700
    assert "is there already" in on_s3.refused(*export)


@pytest.mark.parametrize("store", ["disk", "s3"])
def test_writers_at_the_same_time_lose_and_double_nothing(binary, seaweed, tmp_path, store):
    project = s3_project(binary, tmp_path, seaweed, "busy") if store == "s3" else Project(binary, tmp_path / "project", WEB_AND_TILL)
    # Each file overlaps the next by half: the shared orders arrive twice, in two batches that know nothing of each other.
    files = [project.write(f"till-{number}.csv", orders(1_000, first=number * 500)) for number in range(4)]
    commands = [project.command("ingest", "--source", "till", file) for file in files] + [project.command("refresh")] * 2
    running = [subprocess.Popen(command, env=project.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for command in commands]
    ended = [(process, *process.communicate(timeout=300)) for process in running]

    for process, _, stderr in ended:
        assert "panicked" not in stderr, stderr
    for process, stdout, stderr in ended[:4]:
        assert process.returncode == 0, stderr
        assert "1,000 rows landed" in stdout
    for process, _, stderr in ended[4:]:
        # A refresh that comes second says so; it must not break in any other way.
        assert process.returncode == 0 or "refresh" in stderr and ("running already" in stderr or "another refresh" in stderr), stderr

    project.refresh()
    assert project.value("select count(*) from landing.events") == 4_000
    [totals] = project.sql("select count(*) as events, count(distinct value) as customers, count(distinct event_id) as ids from staging.events")
    assert totals == {"events": 2_500, "customers": 2_500, "ids": 2_500}
    assert project.value("select count(*) from profile.profiles where order_count = 1 and lifetime_value = 1.25") == 2_500
    [numbers] = project.sql("select count(distinct sequence) as sequences, count(distinct batch_id) as batches from landing.events")
    assert numbers == {"sequences": 4, "batches": 4}

    before = project.dump()
    project.refresh("--full")
    assert_same(project.dump(), before)


# --- A server that loses data ------------------------------------------------------------------------------------------


class SmallStore(BaseHTTPRequestHandler):
    """Enough of S3 to hold a lake. It knows `If-None-Match` only if the server says `holds_conditions`."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # an answer is one write: two would wait for each other's acknowledgement
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def key(self):
        return unquote(urlsplit(self.path).path).removeprefix("/lake").lstrip("/")

    def parse_request(self):
        """Whether there is a request to answer."""
        is_request = super().parse_request()
        if is_request and self.server.is_busy:
            self.close_connection = True
            self.answer(503, b"<Error><Code>SlowDown</Code></Error>")
        return is_request and not self.server.is_busy

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def no_such_key(self):
        self.answer(404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>", Content_Type="application/xml")

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        store = self.server
        with store.lock:
            if store.holds_conditions and self.headers.get("If-None-Match") == "*" and self.key() in store.objects:
                return self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            store.objects[self.key()] = (body, time.time())
            is_held = self.key() in store.held
            store.held.discard(self.key())
        if is_held:
            time.sleep(HELD_SECONDS)
        self.answer(200, ETag=f'"{hashlib.md5(body).hexdigest()}"')

    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if "list-type" in query:
            return self.list(query)
        if self.key() not in self.server.objects:
            return self.no_such_key()
        body, at = self.server.objects[self.key()]
        headers = {"ETag": f'"{hashlib.md5(body).hexdigest()}"', "Last_Modified": self.date_time_string(at)}
        wanted = self.headers.get("Range")
        if not wanted:
            return self.answer(200, body, **headers)
        first, last = wanted.removeprefix("bytes=").split("-")
        start = int(first) if first else max(len(body) - int(last), 0)
        part = body[start : int(last) + 1 if first and last else len(body)]
        self.answer(206, part, Content_Range=f"bytes {start}-{start + len(part) - 1}/{len(body)}", **headers)

    def do_HEAD(self):
        if self.key() not in self.server.objects:
            return self.no_such_key()
        body, at = self.server.objects[self.key()]
        self.answer(200, Content_Length=str(len(body)), ETag=f'"{hashlib.md5(body).hexdigest()}"', Last_Modified=self.date_time_string(at))

    def do_DELETE(self):
        self.server.objects.pop(self.key(), None)
        self.answer(204)

    def do_POST(self):
        """Only the deletion of many."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        keys = [part.split("</Key>")[0] for part in body.split("<Key>")[1:]]
        for key in keys:
            self.server.objects.pop(key, None)
        deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self.answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode(), Content_Type="application/xml")

    def list(self, query):
        prefix = query.get("prefix", [""])[0]
        delimiter = query.get("delimiter", [""])[0]
        after = query.get("start-after", [""])[0]
        contents, folders = [], set()
        for key, (body, at) in sorted(self.server.objects.items()):
            if not key.startswith(prefix) or key <= after:
                continue
            if delimiter and delimiter in key[len(prefix) :]:
                folders.add(prefix + key[len(prefix) :].split(delimiter)[0] + delimiter)
                continue
            modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))
            contents.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{modified}</LastModified><ETag>&quot;{hashlib.md5(body).hexdigest()}&quot;</ETag>"
                f"<Size>{len(body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        folders = "".join(f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in sorted(folders))
        body = f"<ListBucketResult><Name>lake</Name><IsTruncated>false</IsTruncated>{''.join(contents)}{folders}</ListBucketResult>"
        self.answer(200, body.encode(), Content_Type="application/xml")


@pytest.fixture
def small_store(request):
    server = ThreadingHTTPServer(("127.0.0.1", 0), SmallStore)
    server.daemon_threads = True
    server.objects, server.lock, server.holds_conditions = {}, threading.Lock(), request.param
    server.is_busy = False
    server.held = set()  # objects whose first write is done at once and answered too late
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("small_store", [False], ids=["ignores If-None-Match"], indirect=True)
def test_a_store_that_would_lose_commits_is_refused(binary, small_store, tmp_path):
    project = s3_project(binary, tmp_path, environment(small_store.server_port), "unsafe")
    file = project.write("till.csv", orders(10))
    for command in (["ingest", "--source", "till", file], ["refresh"]):
        message = project.refused(*command)
        assert "If-None-Match" in message and "s3://lake/unsafe" in message, message
        assert "use a store with conditional writes" in message, message
    assert small_store.objects == {}, "something was left on a store that was refused"


@pytest.mark.parametrize("small_store", [True], ids=["holds If-None-Match"], indirect=True)
def test_the_same_store_is_accepted_once_it_holds_the_condition(binary, small_store, tmp_path):
    """Shows that the refusal above is for the one header that differs."""
    project = s3_project(binary, tmp_path, environment(small_store.server_port), "safe")
    project.ingest("till", project.write("till.csv", orders(10)))
    project.refresh()
    assert project.value("select count(*) from staging.events") == 10


@pytest.mark.parametrize("small_store", [True], ids=["holds If-None-Match"], indirect=True)
def test_a_write_whose_reply_is_late_is_done_and_counts_once(binary, small_store, tmp_path):
    """The store's client does not repeat a conditional write after a timeout: it cannot know whether it was done."""
    env = environment(small_store.server_port) | {"AWS_TIMEOUT": f"{HELD_SECONDS - 3}s"}
    project = s3_project(binary, tmp_path, env, "late")
    first = f"{1:020}.json"
    small_store.held = {f"late/{place}/{first}" for place in ("landing/events/_delta_log", "profile/profiles/_delta_log", "_leases", "_generations")}
    assert "10 rows landed" in project.ingest("till", project.write("till.csv", orders(10)))
    assert "nothing added" in project.ingest("till", project.folder / "till.csv")
    project.refresh()
    assert not small_store.held, "these were never written"
    assert project.value("select count(*) from staging.events") == 10
    assert project.sql("select generation, state from ops.refreshes where name is null") == [{"generation": 1, "state": "published"}]


@pytest.mark.parametrize("small_store", [True], ids=["holds If-None-Match"], indirect=True)
def test_a_refresh_goes_on_when_its_client_leaves_before_it_has_begun(binary, small_store, tmp_path):
    project = s3_project(binary, tmp_path, environment(small_store.server_port), "left")
    project.ingest("till", project.write("till.csv", orders(10)))
    lease = f"left/_leases/{1:020}.json"
    small_store.held = {lease}
    with serving(project) as server, grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/tessera.v1.RefreshService/RunRefresh").future(b"")
        wait_for(lambda: lease in small_store.objects, "the lease is written, and its reply on the way")
        call.cancel()
        server.wait_until_ready()
    assert project.value("select count(*) from staging.events") == 10


@pytest.mark.parametrize("small_store", [True], ids=["holds If-None-Match"], indirect=True)
def test_a_scheduled_refresh_is_tried_again_once_the_store_answers(binary, small_store, tmp_path):
    project = s3_project(binary, tmp_path, environment(small_store.server_port), "busy")
    project.ingest("till", project.write("till.csv", orders(10)))
    configuration = project.folder / "tessera.toml"
    configuration.write_text(configuration.read_text() + "\n[[schedule]]\nname = 'yearly'\ncron = '0 0 1 1 *'\n")
    small_store.is_busy = True
    with serving(project) as server:
        log = project.folder / "serve.log"
        wait_for(lambda: "the refresh is tried again" in log.read_text(), "the refresh failed, and waits")
        small_store.is_busy = False
        server.wait_until_ready()
    assert project.value("select count(*) from staging.events") == 10


def test_a_store_that_is_not_there_is_named(binary, tmp_path):
    [port] = free_ports(1)
    project = s3_project(binary, tmp_path, environment(port), "nowhere")
    message = project.refused("ingest", "--source", "till", project.write("till.csv", orders(1)))
    assert str(port) in message or "s3://lake/nowhere" in message, message
