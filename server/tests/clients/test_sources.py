"""What lands is all there, once, however often and in whatever portions it is sent."""

import csv
import gzip
import json
from datetime import datetime, timezone
from decimal import Decimal

import pytest

from conftest import WEB_AND_TILL, Project, assert_same

CALLS = [
    {"type": "page", "messageId": "m1", "anonymousId": "a1", "timestamp": "2026-03-01T10:00:00Z", "context": {"page": {"path": "/shoes/red"}}},
    {"type": "identify", "messageId": "m2", "anonymousId": "a1", "userId": "u1", "traits": {"email": "Ada@Example.com"}, "timestamp": "2026-03-01T10:01:00Z"},
    {"batch": [
        {"type": "track", "event": "Order Completed", "messageId": "m3", "userId": "u1", "timestamp": "2026-03-01T10:02:00Z", "properties": {"revenue": "19.90"}},
        {"type": "page", "messageId": "m4", "anonymousId": "a2", "userId": None, "timestamp": "2026-03-02T08:00:00+02:00"},
    ], "sentAt": "2026-03-02T06:00:01Z"},
]
TILL = """customer_id,purchased_on,quantity,amount
7,2026-03-01,1,10.00
7,2026-03-01,1,10.00
8,2026-03-02,2,5.50
9,2026-03-03,1,4.50
"""


def lines(calls):
    return "".join(json.dumps(call) + "\n" for call in calls)


def test_events_of_two_kinds_land_resolve_and_count(project):
    project.ingest("web", project.write("web.ndjson", lines(CALLS)))
    project.ingest("till", project.write("till.csv", TILL))
    project.refresh()

    assert project.value("select count(*) from staging.events") == 8
    assert project.quarantine() == {}
    # Two equal rows of one file are two orders.
    assert project.value("select count(*) from staging.events where source = 'till' and value = '7'") == 2
    totals = "select order_count, cast(revenue as varchar) as revenue from profile.profiles"
    assert sorted((row["order_count"], Decimal(row["revenue"])) for row in project.sql(totals)) == [(0, 0), (1, Decimal("4.5")), (1, Decimal("5.5")), (1, Decimal("19.9")), (2, Decimal("20"))]
    # The visitor who logged in, her account and her address are one person.
    ada = "select count(*) as identifiers, count(distinct profile_id) as people from identity.identities where value in ('a1', 'u1', 'ada@example.com')"
    assert project.sql(ada) == [{"identifiers": 3, "people": 1}]
    assert project.value("select count(distinct profile_id) from identity.identities") == 5


def test_the_same_input_again_changes_nothing(project):
    web, till = project.write("web.ndjson", lines(CALLS)), project.write("till.csv", TILL)
    project.ingest("web", web)
    project.ingest("till", till)
    project.refresh()
    before = project.dump()

    assert "nothing added" in project.ingest("web", web)
    # The same rows in another file and another order are other bytes, yet the same messages.
    project.ingest("web", project.write("again.ndjson.gz", gzip.compress(lines(reversed(CALLS)).encode())))
    project.ingest("till", project.write("again.csv", TILL.replace("\n", "\r\n")))
    project.refresh()
    assert_same(project.dump(), before)


def test_a_longer_export_adds_only_what_is_new(project, new_project):
    whole = TILL + "7,2026-03-01,1,10.00\n10,2026-03-04,1,2.00\n"
    project.ingest("till", project.write("first.csv", TILL))
    project.refresh()
    project.ingest("till", project.write("whole.csv", whole))
    project.refresh()
    assert project.value("select count(*) from staging.events") == 6

    at_once = new_project()
    at_once.ingest("till", at_once.write("whole.csv", whole))
    at_once.refresh()
    assert_same(project.dump(), at_once.dump())


def test_standard_input_is_an_input(project):
    with open(project.write("till.csv", TILL)) as stdin:
        project.run("ingest", "--source", "till", "-", stdin=stdin)
    project.refresh()
    assert project.value("select count(*) from staging.events") == 4


# --- Real data: requests of the SDKs, and a shop's orders of 18 months -------------------------------------------------


@pytest.fixture(scope="module")
def sdk_bodies(shared_data):
    """The bodies of the requests that real SDKs made."""
    requests = [json.loads(line) for line in (shared_data / "sdk_payloads.jsonl").read_text().splitlines()]
    return [request["body"] for request in requests if request["method"] == "POST" and request["body"]]


@pytest.fixture(scope="module")
def cdnow(shared_data):
    """The orders' CSV, unpacked."""
    return gzip.decompress((shared_data / "cdnow_purchases.csv.gz").read_bytes()).decode()


@pytest.fixture(scope="module")
def real(binary, tmp_path_factory, sdk_bodies, shared_data):
    """A project with both, refreshed, and all that it knew then."""
    project = Project(binary, tmp_path_factory.mktemp("real") / "project", WEB_AND_TILL)
    project.ingest("web", project.write("web.ndjson", lines(sdk_bodies)))
    project.ingest("till", shared_data / "cdnow_purchases.csv.gz")
    project.refresh()
    return project, project.dump()


def instant(text):
    return datetime.fromisoformat(text).astimezone(timezone.utc)


def test_every_call_of_every_sdk_is_there_once(real, sdk_bodies):
    project, _ = real
    calls = [call for body in sdk_bodies for call in body.get("batch", [body])]
    expected = sorted((call["messageId"], call["type"], instant(call.get("timestamp") or call["originalTimestamp"])) for call in calls)
    assert len({call["messageId"] for call in calls}) == len(calls) > 70, "the data are not what this test was written for"

    rows = project.sql("select event_id, event_type, cast(occurred_at as varchar) as at from staging.events where source = 'web'")
    assert sorted((row["event_id"], row["event_type"], instant(row["at"])) for row in rows) == expected
    assert project.quarantine() == {}


def test_the_sdks_people_are_resolved(real):
    project, _ = real
    # Ada came through eight SDKs as user_1, anonymously as anon_9 and from five browsers; three of them then gave her the
    # alias user_1b, in calls that carry her browser and her address. The rest are two test accounts.
    query = "select count(distinct profile_id) from identity.identities where namespace <> 'customer_id'"
    assert project.value(query) == 3
    ada = "select count(distinct profile_id) from identity.identities where value in ('user_1', 'user_1b', 'anon_9', 'ada@example.com')"
    assert project.value(ada) == 1
    orders = "select count(*) from staging.events where source = 'web' and event_name = 'Order Completed' and revenue = 39.9"
    assert project.value(orders) == project.value("select count(*) from staging.events where source = 'web' and event_name = 'Order Completed'") > 0


def test_every_order_is_there_and_so_is_the_money(real, cdnow):
    project, _ = real
    [totals] = project.sql(
        "select count(*) as orders, count(distinct value) as customers, cast(sum(revenue) as varchar) as revenue,"
        " cast(cast(min(occurred_at) as date) as varchar) as first, cast(cast(max(occurred_at) as date) as varchar) as last,"
        " count(distinct currency) as currencies, min(currency) as currency, count(distinct event_id) as ids"
        " from staging.events where source = 'till'"
    )
    assert totals["orders"] == totals["ids"] == 69_659
    assert totals["customers"] == 23_570
    assert Decimal(totals["revenue"]) == Decimal("2500315.63")
    assert (totals["first"], totals["last"]) == ("1997-01-01", "1998-06-30")
    assert (totals["currencies"], totals["currency"]) == (1, "USD")

    by_customer = {}
    for row in csv.DictReader(cdnow.splitlines()):
        count, revenue = by_customer.get(row["customer_id"], (0, Decimal(0)))
        by_customer[row["customer_id"]] = (count + 1, revenue + Decimal(row["amount"]))
    rows = project.sql(
        "select value, order_count, cast(lifetime_value as varchar) as lifetime_value from identity.identities"
        " join profile.profiles on profiles.profile_id = identities.profile_id where namespace = 'customer_id'"
    )
    assert {row["value"]: (row["order_count"], Decimal(row["lifetime_value"])) for row in rows} == by_customer
    people = "select count(distinct profile_id) from identity.identities"
    assert project.value("select count(*) from profile.profiles") == project.value(people)
    assert project.value(f"{people} where namespace = 'customer_id'") == 23_570


def test_real_data_sent_again_change_nothing(real, sdk_bodies, cdnow, shared_data):
    project, before = real
    assert "nothing added" in project.ingest("web", project.folder / "web.ndjson")
    assert "nothing added" in project.ingest("till", shared_data / "cdnow_purchases.csv.gz")
    # Not the same bytes, so that the batch cannot be what is recognised.
    project.ingest("web", project.write("again.ndjson", lines(reversed(sdk_bodies))))
    project.ingest("till", project.write("again.csv", cdnow.rstrip("\n")))
    project.refresh()
    assert_same(project.dump(), before)
    project.run("check")


def test_half_of_the_real_data_before_the_whole_changes_nothing(real, new_project, cdnow, shared_data):
    _, at_once = real
    project = new_project()
    # The half ends between two orders, in the middle of a customer's.
    rows = cdnow.splitlines(keepends=True)
    half = len(rows) // 2
    project.ingest("till", project.write("half.csv", "".join(rows[:half])))
    project.refresh()
    assert project.value("select count(*) from staging.events") == half - 1
    project.ingest("till", shared_data / "cdnow_purchases.csv.gz")
    project.ingest("web", project.write("web.ndjson", (real[0].folder / "web.ndjson").read_bytes()))
    project.refresh()
    assert_same(project.dump(), at_once)
