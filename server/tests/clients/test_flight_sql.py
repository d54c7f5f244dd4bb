"""BI's way in: the drivers that people install, against the real server."""

import contextlib
import decimal
import re
from concurrent import futures

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import grpc
import polars
import pyarrow.compute
import pytest
import sqlalchemy
from google.protobuf import any_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from pyarrow import flight

from conftest import WEB_AND_TILL, Project
from flight_commands import command, of_length, prepare, query as query_of, sql_info
from serving import serving, wait_for

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
        ("set x = 1", "only queries"),
    ]:
        with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error) as error:
            cursor.execute(query)
            cursor.fetchall()
        assert message in str(error.value), query
    with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error, match="read-only"):
        cursor.executescript("delete from profile.profiles")


def reason(detail):
    """The reason in a detail of a status."""
    info = error_details_pb2.ErrorInfo()
    assert detail.Unpack(info)
    return info.reason


def reason_of(error):
    """The reason in an error of the driver, which hands on the details one by one."""
    [detail] = [value for name, value in error.details if name == b"grpc-status-details-bin"]
    return reason(any_pb2.Any.FromString(detail))


WRITES = ["drop table profile.profiles", "-- a tool\ninsert into profile.profiles values (1)", "update profile.profiles set nothing = 1", "BEGIN", "vacuum"]


@pytest.mark.parametrize("sql", WRITES)
def test_statements_that_write_are_refused_with_a_reason(connection, server, sql):
    with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error) as refused:
        cursor.execute(sql)
    assert reason_of(refused.value) == "READ_ONLY" and "read-only" in str(refused.value)
    # Clients that prepare nothing.
    channel, asked = grpc.insecure_channel(server.address), query_of(sql).serialize()
    for method in ("GetFlightInfo", "GetSchema"):
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(f"/arrow.flight.protocol.FlightService/{method}")(asked, timeout=60)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert [reason(detail) for detail in rpc_status.from_call(refused.value).details] == ["READ_ONLY"]


def test_a_query_for_many_rows_of_values_is_told_as_what_it_is(connection):
    with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error) as refused:
        cursor.executemany("select ?", [(1,), (2,)])
    assert reason_of(refused.value) == "INPUT_INVALID" and "once for each row" in str(refused.value)
    assert "read-only" not in str(refused.value)


def test_what_is_no_statement_is_no_write(connection):
    with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error) as refused:
        cursor.execute("selec 1")
    assert reason_of(refused.value) == "INPUT_INVALID"


def test_a_second_row_of_parameters_is_refused_before_the_rest_is_read(server):
    client = flight.connect(f"grpc://{server.address}")
    handle = prepare(client, "select count(*) from staging.events where event_name = $1")
    row = pyarrow.record_batch({"name": ["x" * 100_000]})
    writer, _ = client.do_put(command("CommandPreparedStatementQuery", of_length(handle)), row.schema)
    with pytest.raises(pyarrow.ArrowInvalid, match="one row of values at a time"):
        for _ in range(100_000):  # ten gigabytes, if somebody took them
            writer.write_batch(row)
        writer.close()


def test_what_the_server_can_do_is_said_in_full(server):
    client = flight.connect(f"grpc://{server.address}")
    known = sql_info(client)
    # What drivers of JDBC ask, with the types in which they read it.
    types = {name: {kind for kind, _ in (known.get(id) for id in ids)} for name, ids in {
        "string_value": [0, 1, 2, 504, 513, 514, 529, 530, 531],
        "bool_value": [3, 4, 5, 9, 10, 500, 501, 502, 506, 515, 516, 518, 519, 520, 521, 523, 524, 527, 532, 536, 537, 539, 563, 572, 573, 574, 576],
        "int32_bitmask": [8, 100, 101, 503, 505, 507, 522, 525, 526, 528, 533, 534, 535, 538, 540, 564, 567, 569],
        "string_list": [508, 509, 510, 511, 512],
    }.items()}
    assert types == {name: {name} for name in types}
    chosen = sql_info(client, [513, 532, 540, 100])
    assert chosen == {513: ("string_value", "\\"), 532: ("bool_value", True), 540: ("int32_bitmask", 0b11), 100: ("int32_bitmask", 600_000)}
    assert chosen.items() <= known.items() and sql_info(client, [9_999]) == {}
    assert sql_info(client, [3, 504, 8]) == {3: ("bool_value", True), 504: ("string_value", '"'), 8: ("int32_bitmask", 0)}


# The ids of what the server says it can do: whether it says so, and a query that shows it.
ABILITIES = [
    ([514], "$", "select 1 as a$b"),
    ([515], True, "select count(*) as n from profile.profiles"),
    ([516], True, "select 1 / cast(('a' || null) is null as int)"),
    ([518], True, "select p.profile_id from profile.profiles as p"),
    ([519], False, "select identities.profile_id from profile.profiles as identities"),
    ([520], True, "select profile_id from profile.profiles order by order_count + 1"),
    ([521], True, "select profile_id from profile.profiles order by last_seen_at"),
    ([522], 0b11, "select count(*) from profile.profiles group by country"),
    ([522], 0b11, "select country, count(*) from profile.profiles group by country, order_count"),
    ([528], 0b110, "select * from (values (1)) as a (x) full outer join (values (2)) as b (y) on x = y"),
    ([532], True, "select profile_id from tessera.profile.profiles"),
    ([538], 0b111, "select profile_id from profile.profiles where order_count = (select max(order_count) from profile.profiles)"),
    ([538], 0b111, "select profile_id from profile.profiles where exists (select 1 from staging.events)"),
    ([538], 0b111, "select profile_id from profile.profiles where profile_id in (select profile_id from identity.identities)"),
    ([539], True, "select profile_id from profile.profiles p where exists (select 1 from identity.identities i where i.profile_id = p.profile_id)"),
    ([540], 0b11, "select 1 union select 2"),
    ([540], 0b11, "select 1 union all select 1"),
]


@pytest.mark.parametrize("ids, value, query", ABILITIES)
def test_the_server_can_do_what_it_says(connection, server, ids, value, query):
    known = sql_info(flight.connect(f"grpc://{server.address}"), ids)
    assert [said for _, said in known.values()] == [value]
    with connection.cursor() as cursor:
        cursor.execute(query)
        assert cursor.fetchall()


def test_patterns_escape_with_what_the_server_says(connection, server):
    client = flight.connect(f"grpc://{server.address}")
    _, escape = sql_info(client, [513])[513]
    schemas = connection.adbc_get_objects(depth="tables", table_name_filter=f"daily{escape}_activity").read_all().to_pylist()[0]["catalog_db_schemas"]
    assert [table["table_name"] for schema in schemas for table in schema["db_schema_tables"]] == ["daily_activity"]
    schemas = connection.adbc_get_objects(depth="tables", table_name_filter=f"dail{escape}_activity").read_all().to_pylist()[0]["catalog_db_schemas"]
    assert not [table for schema in schemas for table in schema["db_schema_tables"] or []]
    with connection.cursor() as cursor:
        cursor.execute("select 'a_b' like 'a\\_b', 'axb' like 'a\\_b'")
        assert cursor.fetchall() == [(True, False)]
        with pytest.raises(adbc_driver_manager.Error):  # so 523 is false
            cursor.execute("select event_name from staging.events where event_name like 'a!_b' escape '!'")
            cursor.fetchall()
    assert sql_info(client, [523]) == {523: ("bool_value", False)}


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


def count_of(server, method, code):
    found = re.search(rf'tessera_requests_total{{method="FlightSql/{method}",code="{code}"}} (\d+)', server.get("/metrics")[1])
    return int(found[1]) if found else 0


def test_a_stream_is_counted_when_it_ends_by_how_it_ended(shop, connection, server):
    codes = ("Ok", "InvalidArgument", "Cancelled")
    counts = lambda method="DoGetStatement": [count_of(server, method, code) for code in codes]
    before, executed, log = counts(), count_of(server, "GetFlightInfoPreparedStatement", "Ok"), shop.folder / "serve.log"
    failures = log.read_text().count("request failed")

    with connection.cursor() as cursor:
        cursor.execute("select count(*) from staging.events")
        cursor.fetchall()
    assert counts() == [before[0] + 1, *before[1:]]

    # One of the last values is no number, which is known when most rows are sent.
    with connection.cursor() as cursor:
        cursor.execute("select cast(case when value = 999990 then 'x' else '1' end as int) from generate_series(1, 1000000)")
        reader = cursor.fetch_record_batch()
        assert reader.read_next_batch().num_rows > 0
        with pytest.raises(pyarrow.ArrowInvalid, match="Cannot cast"):
            reader.read_all()
    assert counts() == [before[0] + 1, before[1] + 1, before[2]]

    with connection.cursor() as cursor:
        cursor.execute("select * from generate_series(1, 100000000000)")
        assert cursor.fetch_record_batch().read_next_batch().num_rows > 0
        assert counts() == [before[0] + 1, before[1] + 1, before[2]], "it has not ended"
        cursor.adbc_cancel()
        wait_for(lambda: counts() == [before[0] + 1, before[1] + 1, before[2] + 1], "it is counted as cancelled")

    assert count_of(server, "GetFlightInfoPreparedStatement", "Ok") == executed + 3
    assert log.read_text().count("request failed") == failures + 2


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
