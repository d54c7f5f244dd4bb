"""BI's way in: the drivers that people install, against the real server."""

import contextlib
import decimal
from concurrent import futures

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import polars
import pyarrow.compute
import pytest
import sqlalchemy

from conftest import WEB_AND_TILL, Project
from serving import serving

# What analysts ask first.
QUERIES = [
    "select count(*) as n from staging.events",
    "select event_name, count(*) as n from staging.events group by 1 order by 2 desc, 1",
    "select * from profile.profiles order by profile_id limit 50",
    "select * from behavior.trends order by date",
    "select touchpoint, sum(revenue) as revenue, min(started_at) as first from behavior.sessions group by 1 order by 1",
    "select namespace, count(distinct profile_id) as people from identity.identities group by 1 order by 1",
    "select a_namespace, b_namespace, sum(event_count) as n from identity.links group by 1, 2 order by 1, 2",
    "select segment, count(*) as n from segment.memberships group by 1 order by 1",
    "select date, event_name, sum(event_count) as n from behavior.daily_activity group by 1, 2 order by 1, 2 limit 100",
    "select source, reason, count(*) as n from landing.quarantine group by 1, 2 order by 1, 2",
]


@pytest.fixture
def connection(server):
    with flightsql.connect(f"grpc://{server.address}") as connection:
        yield connection


def plain(value):
    """A value as `tessera sql --format json` prints it, but for the form of instants."""
    if isinstance(value, float):
        return decimal.Decimal(repr(value))
    return str(value).replace(" ", "T")[:19] if hasattr(value, "year") else value


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_gives_what_the_command_line_gives(shop, connection, query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        table = cursor.fetch_arrow_table()
    theirs = [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]
    ours = shop.sql(query)
    assert len(theirs) == len(ours)
    for left, right in zip(theirs, ours):
        for name, value in right.items():
            if isinstance(left[name], str) and isinstance(value, str):
                assert left[name] == value or left[name] == value.replace(" ", "T")[: len(left[name])], name
            elif isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool):
                assert float(left[name]) == pytest.approx(float(value)), name
            else:
                assert left[name] == value, name


def test_catalogs_schemas_tables_and_columns_are_listed(connection):
    objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    assert [catalog["catalog_name"] for catalog in objects] == ["tessera"]
    schemas = {schema["db_schema_name"]: schema for schema in objects[0]["catalog_db_schemas"]}
    assert {"landing", "staging", "identity", "profile", "behavior", "segment", "ops"} <= set(schemas)
    tables = {table["table_name"]: table for table in schemas["profile"]["db_schema_tables"]}
    assert tables["profiles"]["table_type"] == "TABLE"
    assert {"profile_id", "lifetime_value"} <= {column["column_name"] for column in tables["profiles"]["table_columns"]}
    behavior = {table["table_name"]: table["table_type"] for table in schemas["behavior"]["db_schema_tables"]}
    assert behavior["events"] == "VIEW" and behavior["sessions"] == "TABLE"
    assert "TABLE" in connection.adbc_get_table_types()
    assert "profile_id" in connection.adbc_get_table_schema("profiles", db_schema_filter="profile").names
    info = connection.adbc_get_info()
    assert info["vendor_name"] == "Tessera"


def test_prepared_statements_take_parameters(connection):
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from staging.events where event_name = ? and revenue > ?", ("Order Completed", 10))
        [(some,)] = cursor.fetchall()
        cursor.execute("select count(*) from staging.events where event_name = ? and revenue > ?", ("Order Completed", 10**9))
        assert cursor.fetchall() == [(0,)]
        cursor.execute("select count(*) from staging.events where event_name = $1", ("Order Completed",))
        assert 0 < some <= cursor.fetchone()[0]
        schema = cursor.adbc_execute_schema("select event_name, revenue from staging.events")
        assert schema.names == ["event_name", "revenue"]


def test_mistakes_are_explained(connection):
    for query, message in [
        ("select no_such_column from profile.profiles", "no_such_column"),
        ("selec 1", "selec"),
        ("select * from profile.nobody", "nobody"),
        ("drop table profile.profiles", "only queries"),
        ("copy profile.profiles to '/tmp/x.csv'", "only queries"),
    ]:
        with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error) as error:
            cursor.execute(query)
            cursor.fetchall()
        assert message in str(error.value), query
    with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error, match="read-only"):
        cursor.executescript("delete from profile.profiles")


def test_a_query_ends_when_it_is_cancelled(connection, server):
    with connection.cursor() as cursor:
        cursor.execute("select * from generate_series(1, 100000000000)")
        reader = cursor.fetch_record_batch()
        assert reader.read_next_batch().num_rows > 0
        cursor.adbc_cancel()
        with pytest.raises(Exception):
            while True:
                reader.read_next_batch()
    assert server.get("/health")[0] == 200


def test_ten_million_rows_arrive_as_a_stream(connection):
    with connection.cursor() as cursor:
        cursor.execute("select value, value * 2 as double from generate_series(1, 10000000)")
        rows, total = 0, 0
        for batch in cursor.fetch_record_batch():
            rows += batch.num_rows
            total += pyarrow.compute.sum(batch.column("double")).as_py()
    assert (rows, total) == (10_000_000, 10_000_000 * 10_000_001)


def test_polars_and_sqlalchemy_read(shop, server, connection):
    frame = polars.read_database("select * from profile.profiles", connection)
    assert frame.height == shop.value("select count(*) from profile.profiles")
    engine = sqlalchemy.create_engine(f"datafusion://{server.address}?insecure=True")
    with engine.connect() as connection:
        [(count,)] = connection.execute(sqlalchemy.text("select count(*) from profile.profiles")).fetchall()
        assert count == frame.height
    inspector = sqlalchemy.inspect(engine)
    assert "profiles" in inspector.get_table_names(schema="profile")


def test_health_and_metrics(server, connection):
    with connection.cursor() as cursor:
        cursor.execute("select 1")
        assert cursor.fetchall() == [(1,)]
    assert server.get("/health") == (200, "ok\n")
    status, metrics = server.get("/metrics")
    assert status == 200
    assert 'tessera_requests_total{method="FlightSql/DoGetStatement",code="Ok"}' in metrics
    assert "tessera_generation 1" in metrics and "tessera_request_seconds_bucket" in metrics


def test_a_server_without_a_generation_says_so(binary, tmp_path):
    project = Project(binary, tmp_path / "empty", WEB_AND_TILL)
    with serving(project) as server:
        assert server.get("/health")[0] == 200
        assert server.get("/ready")[0] == 503
        with flightsql.connect(f"grpc://{server.address}") as connection, connection.cursor() as cursor:
            with pytest.raises(adbc_driver_manager.Error, match="nothing has been refreshed yet"):
                cursor.execute("select * from profile.profiles")
        assert server.end() == 0


def test_other_addresses_need_a_word(binary, tmp_path):
    project = Project(binary, tmp_path / "bind", WEB_AND_TILL)
    assert "--insecure" in project.refused("serve", "--address", "0.0.0.0:0", "--http-address", "127.0.0.1:0")


def test_a_server_that_is_told_to_end_ends_a_long_query_too(shop):
    with serving(shop) as server:
        server.wait_until_ready()
        connection = flightsql.connect(f"grpc://{server.address}")
        cursor = connection.cursor()
        cursor.execute("select * from generate_series(1, 100000000000)")
        reader = cursor.fetch_record_batch()
        assert reader.read_next_batch().num_rows > 0
        ended = futures.ThreadPoolExecutor(1).submit(server.end)
        with pytest.raises(Exception, match="(?i)cancelled"):
            while True:
                reader.read_next_batch()
        assert ended.result() == 0
        for handle in (cursor, connection):
            # The driver wants to tell the server that is no more.
            with contextlib.suppress(adbc_driver_manager.Error, RuntimeError):
                handle.close()
