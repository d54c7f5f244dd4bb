"""Traits and segments of a shop's real customers are what Polars computes from the same file."""

import gzip
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal

import polars as pl
import pytest

from conftest import WEB_AND_TILL, Project

TRAITS = {
    # The day that the refresh takes for today.
    "today": "current_date",
    "recency": "days_since(last_event_at('Order Completed'))",
    "frequency": "event_count('Order Completed')",
    "monetary_value": "event_sum('Order Completed', revenue)",
    "customer_age": "days_since(first_event_at('Order Completed'))",
    "order_days": "event_days('Order Completed')",
    "average_order": "event_avg('Order Completed', revenue)",
    "smallest_order": "event_min('Order Completed', revenue)",
    "largest_order": "event_max('Order Completed', revenue)",
    "median_order": "event_percentile('Order Completed', revenue, 0.5)",
    "discs": "event_sum('Order Completed', 'quantity')",
    "large_orders": "event_count('Order Completed') filter (where property('quantity') >= 5)",
    "spent_in_winter": "event_sum('Order Completed', revenue, between => (date '1997-12-01', date '1998-02-28'))",
    "orders_of_1998": "event_count('Order Completed', since => date '1998-01-01')",
    "days_between_orders": "(customer_age - recency) / nullif(order_days - 1, 0)",
    "recency_score": "score(recency, 5, 'descending')",
    "frequency_score": "score(frequency, 5)",
    "monetary_score": "score(monetary_value, 5)",
    "rfm": "cast(recency_score as text) || cast(frequency_score as text) || cast(monetary_score as text)",
}
SEGMENTS = {
    "best": "rfm = '555'",
    "came_once": "frequency = 1",
    "lost": "frequency_score >= 4 and not did('Order Completed', since => date '1998-01-01')",
    "new_in_march": "did_first_time('Order Completed', between => (date '1997-03-01', date '1997-03-31'))",
    "back_within_a_month": "did_sequence('Order Completed' then 'Order Completed', span => interval '30 days')",
    "best_who_came_back": "in_segment('best') and in_segment('back_within_a_month')",
}
WITH_TRAITS = "select identities.value, {} from profile.profiles join identity.identities on identities.profile_id = profiles.profile_id"
MEMBERS = (
    "select segment, identities.value from segment.memberships"
    " join identity.identities on identities.profile_id = memberships.profile_id"
)


@pytest.fixture(scope="module")
def orders(shared_data):
    """The orders' CSV as it is, unpacked."""
    return gzip.decompress((shared_data / "cdnow_purchases.csv.gz").read_bytes())


def customers_of(orders, until):
    """What the file says of each customer up to a day, without Tessera: days as dates, money in cents."""
    read = pl.read_csv(orders, schema_overrides={"customer_id": pl.String, "amount": pl.String, "purchased_on": pl.Date})
    cents = pl.col("amount").str.replace(".", "", literal=True).cast(pl.Int64).alias("cents")
    assert read["amount"].str.contains(r"^\d+\.\d\d$").all(), "the data are not what this test was written for"
    day, count = pl.col("purchased_on"), pl.len()
    gaps = day.unique().sort().diff().dt.total_days()
    return read.filter(day <= until).with_columns(cents).group_by("customer_id").agg(
        first=day.min(),
        last=day.max(),
        frequency=count,
        cents=pl.col("cents").sum(),
        order_days=day.n_unique(),
        least=pl.col("cents").min(),
        most=pl.col("cents").max(),
        # By nearest rank: of two orders the smaller one.
        median=pl.col("cents").sort().get((count - 1) // 2),
        discs=pl.col("quantity").sum(),
        large_orders=(pl.col("quantity") >= 5).sum(),
        winter=pl.col("cents").filter(day.is_between(date(1997, 12, 1), date(1998, 2, 28))).sum(),
        of_1998=(day >= date(1998, 1, 1)).sum(),
        shortest_gap=gaps.min(),
    )


@pytest.fixture(scope="module")
def customers(orders):
    return customers_of(orders, date.max)


def make(binary, folder):
    project = Project(binary, folder, WEB_AND_TILL)
    for part, definitions in (("traits", TRAITS), ("segments", SEGMENTS)):
        (project.folder / part).mkdir()
        for name, expression in definitions.items():
            project.write(f"{part}/{name}.sql", expression + "\n")
    return project


@pytest.fixture(scope="module")
def project(binary, tmp_path_factory, orders, shared_data):
    """A project that knew half of the orders before it got all of them. The half ends in the middle of a customer's."""
    project = make(binary, tmp_path_factory.mktemp("traits") / "project")
    rows = orders.splitlines(keepends=True)
    project.ingest("till", project.write("half.csv", b"".join(rows[: len(rows) // 2])))
    project.refresh()
    project.ingest("till", shared_data / "cdnow_purchases.csv.gz")
    project.refresh()
    return project


def quotient(left, right, places=6):
    """As Tessera divides: with ten places first, and then as many as traits have."""
    exact = (Decimal(left) / Decimal(right)).quantize(Decimal(10) ** -10, ROUND_HALF_UP)
    return exact.quantize(Decimal(10) ** -places, ROUND_HALF_UP)


def scored(values, descending=False):
    """The fifth that each value is in; equal values are in that of the first of them."""
    places = values.rank("min", descending=descending).cast(pl.Int64) - 1
    return (1 + places * 5 // len(values)).to_list()


def expected(customers, today):
    """The traits of each customer, by trait and customer."""
    table = customers.with_columns(
        recency=(pl.lit(today) - pl.col("last")).dt.total_days(), customer_age=(pl.lit(today) - pl.col("first")).dt.total_days()
    )
    money = {name: [Decimal(cents) / 100 for cents in table[name]] for name in ("cents", "least", "most", "median", "winter")}
    gaps = zip(table["customer_age"] - table["recency"], table["order_days"])
    scores = [scored(table["recency"], descending=True), scored(table["frequency"]), scored(table["cents"])]
    columns = {name: table[name].to_list() for name in ("recency", "frequency", "customer_age", "order_days", "discs", "large_orders")}
    columns |= {
        "today": [today.isoformat()] * len(table),
        "monetary_value": money["cents"],
        "average_order": [quotient(cents, 100 * count) for cents, count in zip(table["cents"], table["frequency"])],
        "smallest_order": money["least"],
        "largest_order": money["most"],
        "median_order": money["median"],
        "spent_in_winter": money["winter"],
        "orders_of_1998": table["of_1998"].to_list(),
        "days_between_orders": [quotient(days, count - 1) if count > 1 else None for days, count in gaps],
        "recency_score": scores[0],
        "frequency_score": scores[1],
        "monetary_score": scores[2],
        "rfm": ["".join(map(str, of_one)) for of_one in zip(*scores)],
    }
    return {name: dict(zip(table["customer_id"], values)) for name, values in columns.items()}


def traits_of(project, *arguments):
    """What the project says, as `expected` has it."""
    rows = project.sql(WITH_TRAITS.format(", ".join(TRAITS)), *arguments)
    return {name: {row["value"]: row.get(name) for row in rows} for name in TRAITS}


def assert_expected(found, customers, today):
    for name, values in expected(customers, today).items():
        assert found[name].keys() == values.keys()
        wrong = {customer: (of_one, values[customer]) for customer, of_one in found[name].items() if of_one != values[customer]}
        assert not wrong, f"{name}: {len(wrong)} differ, such as {list(wrong.items())[:3]}"


def test_every_trait_of_every_customer(customers, project):
    traits = traits_of(project)
    today = date.fromisoformat(next(iter(traits["today"].values())))
    now = datetime.now(timezone.utc).date()
    assert now - timedelta(days=1) <= today <= now
    assert len(customers) == 23_570
    assert_expected(traits, customers, today)


def test_traits_as_of_a_day_know_nothing_of_later_days(orders, project):
    day = date(1998, 1, 31)
    customers = customers_of(orders, day)
    assert 0 < customers["of_1998"].sum() < customers_of(orders, date.max)["of_1998"].sum()
    assert_expected(traits_of(project, "--as-of-date", day.isoformat()), customers, day)


def test_a_day_in_the_past_has_the_people_of_that_day(binary, tmp_path):
    """Who was who, what was known of them and who was in which segment, by the events and records of that time."""
    project = Project(binary, tmp_path / "past", WEB_AND_TILL)
    for part, name, text in (
        ("traits", "plan_of_today", "coalesce(plan, 'none') || ' ' || cast(event_count as text)"),
        ("segments", "gold", "plan = 'gold'"),
        ("segments", "recent", "did('Page Viewed', within => interval '7 days')"),
        ("segments", "agreed", "consented('advertising')"),
    ):
        (project.folder / part).mkdir(exist_ok=True)
        project.write(f"{part}/{name}.sql", text + "\n")
    calls = [
        '{"type":"page","messageId":"1","timestamp":"2026-01-05T10:00:00Z","anonymousId":"a1"}',
        '{"type":"identify","messageId":"2","timestamp":"2026-01-10T23:59:59.999Z","userId":"u1","traits":{"plan":"silver"}}',
        '{"type":"identify","messageId":"3","timestamp":"2026-01-11T00:00:00Z","userId":"u1","anonymousId":"a1","traits":{"plan":"gold"}}',
        '{"type":"page","messageId":"4","timestamp":"2026-03-01T10:00:00Z","anonymousId":"a2","context":{"consent":{"categoryPreferences":{"Advertising":true}}}}',
    ]
    project.ingest("web", project.write("calls.ndjson", "\n".join(calls)))
    project.ingest("crm", project.write("crm.csv", "id,email,first_name,updated,deleted\nc1,ada@example.com,Ada,2026-01-08,\nc1,ada@example.com,Adele,2026-02-01,\n"))
    project.refresh()
    people = (
        "select string_agg(value, ',' order by value) as ids, min(profiles.plan_of_today) as plan, min(profiles.first_name) as name,"
        " min(segments.names) as segments from identity.identities join profile.profiles on profiles.profile_id = identities.profile_id"
        " left join (select profile_id, string_agg(segment, ',' order by segment) as names from segment.memberships group by 1) segments"
        " on segments.profile_id = profiles.profile_id group by profiles.profile_id order by ids"
    )

    def as_of(day):
        return [tuple(row.get(name) for name in ("ids", "plan", "name", "segments")) for row in project.sql(people, "--as-of-date", day)]

    assert as_of("2026-01-04") == []
    assert as_of("2026-01-10") == [
        ("a1", "none 1", None, "recent"), ("ada@example.com,c1", "none 0", "Ada", None), ("u1", "silver 1", None, None)]
    assert as_of("2026-01-11") == [("a1,u1", "gold 3", None, "gold,recent"), ("ada@example.com,c1", "none 0", "Ada", None)]
    assert as_of("2026-02-01") == [("a1,u1", "gold 3", None, "gold"), ("ada@example.com,c1", "none 0", "Adele", None)]
    assert as_of("2026-03-01")[1] == ("a2", "none 1", None, "agreed,recent")
    assert project.value("select count(*) from profile.profiles") == 3, "what is published stays"
    now = project.sql("select cast(current_date as text) as today, cast(date_trunc('day', now()) = current_date as text) as is_now", "--as-of-date", "2026-01-11")
    assert now == [{"today": "2026-01-11", "is_now": "true"}]
    assert "yet to come" in project.refused("sql", "select 1", "--as-of-date", "2999-01-01")
    for wrong in ("drop table profile.profiles", "selec 1", "select * from profile.nothing"):
        project.refused("sql", wrong, "--as-of-date", "2026-01-11")


def test_members_are_those_customers(customers, project):
    members = {}
    for row in project.sql(MEMBERS):
        members.setdefault(row["segment"], set()).add(row["value"])

    def those(condition):
        return set(customers.filter(condition)["customer_id"])

    # The traits themselves are compared above; which day is today does not matter to an order.
    fifths = expected(customers, date(2026, 1, 1))
    best = {customer for customer, rfm in fifths["rfm"].items() if rfm == "555"}
    frequent = {customer for customer, score in fifths["frequency_score"].items() if score >= 4}
    back = those(pl.col("shortest_gap") <= 30)
    wanted = {
        "best": best,
        "came_once": those(pl.col("frequency") == 1),
        "lost": frequent & those(pl.col("of_1998") == 0),
        "new_in_march": those(pl.col("first").is_between(date(1997, 3, 1), date(1997, 3, 31))),
        "back_within_a_month": back,
        "best_who_came_back": best & back,
    }
    assert all(wanted.values())
    assert {segment: len(found) for segment, found in members.items()} == {segment: len(found) for segment, found in wanted.items()}
    assert members == wanted


def test_a_full_refresh_changes_nothing(project):
    columns = ", ".join(TRAITS)
    before = sorted(map(str, project.sql(WITH_TRAITS.format(columns)))), sorted(map(str, project.sql(MEMBERS)))
    project.refresh("--full")
    assert (sorted(map(str, project.sql(WITH_TRAITS.format(columns)))), sorted(map(str, project.sql(MEMBERS)))) == before
