"""Queries that are too much to plan: refused with a reason, or given up in time, while the server goes on."""

import os
import time
from concurrent import futures

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import pytest

from conftest import WEB_AND_TILL, Project, orders
from serving import serving

CONDITION = "profile_id = 'x{}'"
SERVE = "\n[serve]\nquery_seconds_max = 3\n"


def many(text, separator, count):
    return separator.join(text.format(number) for number in range(count))


def doubled(times):
    """A short query that reads a table two to the power of `times` times."""
    steps = "".join(f", t{step} as (select a.x from t{step - 1} a, t{step - 1} b)" for step in range(1, times + 1))
    return f"with t0 as (select 1 as x){steps} select x from t{times} limit 1"


TOO_MUCH = {
    "or": (f"select profile_id from profile.profiles where {many(CONDITION, ' or ', 3_000)}", "in (...)"),
    "plus": (f"select {many('1', '+', 2_500)}", "in (...)"),
    "cast": (f"select 1{'::int' * 20_000}", "in (...)"),
    "union": (many("select 1 as x", " union all ", 3_000), "union"),
    "calls": (f"select {'abs(' * 40}1{')' * 40}", "nested"),
    "with": (doubled(24), "1000 tables"),
    "joins": (f"select 1 from profile.profiles p {many('join profile.profiles p{0} on true', ' ', 200)}", "1000 tables"),
    "explained": (f"explain {doubled(24)}", "1000 tables"),
}
DEEP = {
    "or": f"select count(*) from profile.profiles where {many(CONDITION, ' or ', 950)}",
    "cast": f"select ordinal{'::int::bigint' * 990} from profile.profiles limit 1",
    "union": many("select 1 as x", " union all ", 950),
    "in": f"select count(*) from profile.profiles where profile_id in ({many(chr(39) + 'x{}' + chr(39), ',', 8_000)})",
    "with": doubled(8),
}


def rows(address, query):
    with flightsql.connect(f"grpc://{address}") as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_is_too_much_to_plan_is_refused_with_a_reason(shop, server, name):
    query, reason = TOO_MUCH[name]
    with pytest.raises(adbc_driver_manager.Error) as error:
        rows(server.address, query)
    assert reason in str(error.value)
    assert rows(server.address, "select 1") == [(1,)], "the server lives"
    if len(query) < 100_000:  # what one argument of a command may have
        assert reason in shop.refused("sql", query)
        assert reason in shop.refused("sql", query, "--as-of-date", "2026-01-01")


@pytest.mark.parametrize("name", DEEP)
def test_what_is_nearly_too_much_is_answered(shop, server, name):
    assert len(rows(server.address, DEEP[name])) in (1, 950)
    assert len(shop.sql(DEEP[name])) in (1, 950)


def test_planning_ends_in_time_and_holds_up_nobody(binary, tmp_path):
    project = Project(binary, tmp_path / "project", WEB_AND_TILL + SERVE)
    project.ingest("till", project.write("till.csv", orders(10)))
    project.refresh()
    long = many("select profile_id from profile.profiles", " except ", 990)  # planned in ten seconds or more
    with serving(project) as server:
        server.wait_until_ready()
        with futures.ThreadPoolExecutor() as pool:
            started = time.monotonic()
            planned = [pool.submit(rows, server.address, long) for _ in range(min(os.cpu_count(), 8) + 1)]
            time.sleep(1)
            asked = time.monotonic()
            assert rows(server.address, "select count(*) from profile.profiles") == [(10,)]
            assert time.monotonic() - asked < 6, "another query waits for those that are planned"
            for one in planned:
                with pytest.raises(adbc_driver_manager.Error, match="query_seconds_max"):
                    one.result()
            # Three seconds to be planned, by some drivers twice, and three to be run.
            assert time.monotonic() - started < 20
        assert server.get("/health")[0] == 200
