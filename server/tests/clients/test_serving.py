"""A server's life: when it is ready, what it does while it works, and what is left when it is killed."""

import signal
import time

import adbc_driver_flightsql.dbapi as flightsql
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conftest import WEB_AND_TILL, Project, orders, assert_same
from serving import serving, wait_for
from test_grpc import Client

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
