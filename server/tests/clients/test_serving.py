"""A server's life: when it is ready, what it does while it works, how it ends, and what is left when it is killed."""

import contextlib
import signal
import socket
import time
from concurrent import futures

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from conftest import WEB_AND_TILL, Project, orders, assert_same
from serving import serving, wait_for
from test_grpc import Client

# Ten seconds for queries, three for clients, and some for a slow machine.
END_SECONDS_MAX = 20

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def health(channel):
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30).status


def generations(project):
    return len(list((project.folder / "lake" / "_generations").glob("*.json")))


def test_a_server_is_ready_once_something_is_published(project):
    project.ingest("till", project.write("a.csv", orders(20)))
    with serving(project) as server, grpc.insecure_channel(server.address) as channel:
        wait_for(lambda: health(channel) == NOT_SERVING, "the server has looked at the lake")
        assert server.get("/ready")[0] == 503 and server.get("/health")[0] == 200
        project.refresh()  # by another process
        server.wait_until_ready()
        wait_for(lambda: health(channel) == SERVING, "health says so too")
        identifier = {"namespace": "customer_id", "value": "c7"}
        found = Client(server.address).call("ProfileService/GetProfile", {"identifier": identifier, "eventLimit": 5})
        assert found["generation"]["number"] == "1" and len(found["profile"]["events"]) == 1


def test_health_is_answered_while_a_refresh_computes(project):
    project.ingest("till", project.write("a.csv", orders(60_000)))
    project.refresh()
    with serving(project) as server, grpc.insecure_channel(server.address) as channel:
        server.wait_until_ready()
        client = Client(server.address)
        refresh = client.call("RefreshService/RunRefresh", {"full": True})["refresh"]["refreshId"]
        answered = 0
        while client.call("RefreshService/GetRefresh", {"refreshId": refresh})["refresh"]["state"] == "REFRESH_STATE_RUNNING":
            assert health(channel) == SERVING and server.get("/health") == (200, "ok\n")
            answered += 1
        assert answered >= 5
        wait_for(lambda: "tessera_generation 2" in server.get("/metrics")[1], "the new generation is served")


def test_a_server_that_is_killed_loses_nothing(project):
    project.ingest("till", project.write("a.csv", orders(5_000)))
    project.refresh()
    before = project.dump()
    with serving(project) as server:
        server.wait_until_ready()
        project.ingest("till", project.write("b.csv", orders(5_000, first=5_000)))
        client = Client(server.address)
        refresh = client.call("RefreshService/RunRefresh", {"full": True})["refresh"]["refreshId"]
        wait_for(lambda: client.call("RefreshService/GetRefresh", {"refreshId": refresh})["refresh"]["steps"], "the refresh is in the middle")
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
    assert generations(project) == 1
    assert_same(project.dump(), before)
    # The next server takes over at once: it sees that the lease's holder is gone.
    with serving(project) as server:
        server.wait_until_ready()
        client = Client(server.address)
        refresh = client.call("RefreshService/RunRefresh")["refresh"]["refreshId"]
        states = [answer["refresh"]["state"] for answer in client.call("RefreshService/WatchRefresh", {"refreshId": refresh})]
        assert states[-1] == "REFRESH_STATE_PUBLISHED"
        with flightsql.connect(f"grpc://{server.address}") as connection, connection.cursor() as cursor:
            cursor.execute("select count(*), count(distinct event_id), cast(sum(revenue) as double) from staging.events")
            assert cursor.fetchall() == [(10_000, 10_000, 12_500.0)]


def test_a_restart_makes_up_for_an_instant_that_was_missed_and_does_it_once(binary, tmp_path):
    schedule = WEB_AND_TILL + '\n[[schedule]]\nname = "each_minute"\ncron = "* * * * *"\n'
    project = Project(binary, tmp_path / "missed", schedule)
    project.ingest("till", project.write("a.csv", orders(20)))
    project.refresh()
    missed = int(time.time() // 60 + 1) * 60
    time.sleep(missed + 1 - time.time())
    with serving(project) as server:
        wait_for(lambda: generations(project) == 2, "the instant that passed while nobody served", 40)
        assert server.end() == 0
    with serving(project) as server:
        # Nothing landed since and the instant is done, so there is nothing to do until the next.
        server.wait_until_ready()
        time.sleep(2)
        assert server.end() == 0
    begun = project.sql(f"select count(*) as n from ops.refreshes where name is null and started_at >= to_timestamp({missed}) and started_at < to_timestamp({missed + 60})")
    assert begun == [{"n": 1}]


def seconds_to_end(server, code=0, by=signal.SIGTERM):
    started = time.monotonic()
    assert server.end(by) == code
    return time.monotonic() - started


@contextlib.contextmanager
def not_reading(server):
    """A client that asks for rows without end, and stops reading them."""

    def rows_sent():
        lines = [line for line in server.get("/metrics")[1].splitlines() if line.startswith("tessera_rows_sent_total ")]
        return lines[0] if lines else None

    def is_stuck():
        before = rows_sent()
        time.sleep(0.5)
        return before is not None and rows_sent() == before

    connection = flightsql.connect(f"grpc://{server.address}")
    cursor = connection.cursor()
    cursor.execute("select * from generate_series(1, 100000000000)")
    reader = cursor.fetch_record_batch()
    assert reader.read_next_batch().num_rows > 0
    wait_for(is_stuck, "all buffers are full")
    yield
    for handle in (cursor, connection):
        # The driver wants to tell the server that is no more.
        with contextlib.suppress(adbc_driver_manager.Error, RuntimeError):
            handle.close()


def test_clients_that_do_not_hang_up_do_not_keep_a_server(shop):
    with serving(shop) as server, not_reading(server), contextlib.ExitStack() as sockets:
        for address in (server.address, server.http.removeprefix("http://")):
            host, _, port = address.partition(":")
            for sent in (b"", b"GET /health HTTP/1.1\r\nHost: tessera\r\n", b"PRI * HTTP/2.0\r\n"):
                client = sockets.enter_context(socket.create_connection((host, int(port))))
                client.sendall(sent)
        assert server.get("/health")[0] == 200
        assert seconds_to_end(server) < END_SECONDS_MAX


def test_a_second_signal_ends_a_server_at_once(shop):
    with serving(shop) as server, not_reading(server):
        server.process.send_signal(signal.SIGTERM)
        time.sleep(2)
        assert server.process.poll() is None
        assert seconds_to_end(server, 130, signal.SIGINT) < 5


def test_whoever_watches_health_is_told_and_let_go(shop):
    with serving(shop) as server, grpc.insecure_channel(server.address) as channel:
        server.wait_until_ready()
        seen = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        if (told := next(seen).status) == NOT_SERVING:  # it may be ready a moment before it is told
            told = next(seen).status
        assert told == SERVING
        time.sleep(2.5)  # the server looks for generations in the meantime, and nothing changes
        assert seconds_to_end(server) < 5
        assert {answer.status for answer in seen} == {NOT_SERVING}


@pytest.fixture
def silent_store():
    """What an object store needs of the environment; it takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }


def test_a_server_of_a_silent_store_serves_nothing_and_ends(binary, tmp_path, silent_store):
    project = Project(binary, tmp_path / "silent", WEB_AND_TILL, lake="s3://lake/silent", env=silent_store)
    with serving(project) as server, grpc.insecure_channel(server.address) as channel, futures.ThreadPoolExecutor(1) as pool:
        assert health(channel) == NOT_SERVING
        call = pool.submit(Client(server.address).refused, "SegmentService/ListSegments")
        time.sleep(2)
        assert not call.done() and health(channel) == NOT_SERVING
        assert seconds_to_end(server) < END_SECONDS_MAX
        assert call.result() == (grpc.StatusCode.CANCELLED, "CANCELLED", [])


def test_a_deadline_is_told_as_one_whoever_notices_it_first(binary, tmp_path, silent_store):
    project = Project(binary, tmp_path / "silent", WEB_AND_TILL, lake="s3://lake/silent", env=silent_store)
    with serving(project) as server, grpc.insecure_channel(server.address) as channel, futures.ThreadPoolExecutor(8) as pool:
        method = channel.unary_unary("/tessera.v1.SegmentService/ListSegments")

        def late(_):
            with pytest.raises(grpc.RpcError) as error:
                method(b"", timeout=0.1)
            status = rpc_status.from_call(error.value)  # none where the client noticed it
            return error.value.code(), [ErrorInfo.FromString(detail.value).reason for detail in status.details] if status else None

        answers = list(pool.map(late, range(400)))
    assert {code for code, _ in answers} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert [reasons for _, reasons in answers if reasons not in (None, ["QUERY_TOO_LONG"])] == []
