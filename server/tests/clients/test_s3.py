"""A lake on an object store: a real S3 server, many writers at once, and a server that would lose data."""

import json
import os
import socket
import subprocess
import sysconfig
import time
from pathlib import Path

import grpc
import pyarrow.fs
import pyarrow.parquet
import pytest
from deltalake import DeltaTable

from conftest import WEB_AND_TILL, Project, orders, assert_same
from serving import serving, wait_for
from small_store import HELD_SECONDS, SmallStore, environment, storing

GRPC_OFFSET = 10_000  # SeaweedFS opens a second port at this distance from some of its first ones
READY_SECONDS = 60


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


@pytest.fixture
def small_store(request):
    with storing(SmallStore(holds_conditions=request.param)) as store:
        yield store


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
