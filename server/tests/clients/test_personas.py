"""Who the people of a segment are: groups by traits, the cells of recency and frequency, and segments made of both."""

import re

import grpc
import pytest

from conftest import WEB_AND_TILL, Project
from serving import serving
from test_grpc import Client
from test_saved_segments import refreshed

TRAITS = {
    "orders": "event_count('Order Completed')",
    "spent": "event_sum('Order Completed', revenue)",
    "recency": "days_since(last_event_at('Order Completed'))",
    "buys_often": "event_count('Order Completed') > 5",
    "kind": "case when orders > 5 then 'regular' when spent > 400 then 'big spender' when orders >= 1 then 'once' end",
    "recency_score": "score(recency, 5, 'descending')",
    "frequency_score": "score(orders, 5)",
    "monetary_score": "score(spent, 5)",
    "loose_score": "score(spent, 9)",
    "balance": "case when orders > 5 then -55 when orders >= 1 then -3 end",
    "nickname": "case when orders > 5 then 'two\nlines' when orders >= 1 then 'one' end",
}
# Customers of a kind, each with so many orders, a day of May apart, of so much.
KINDS = {"once": (60, 1, 10), "regular": (40, 10, 20), "big spender": (30, 2, 500)}
CELLS = {
    "Champions": "recency_score = 5 and frequency_score >= 4",
    "Hibernating": "recency_score <= 2 and frequency_score <= 2",
    "Can't lose them": "recency_score <= 2 and frequency_score = 5",
}


@pytest.fixture(scope="module")
def kinds(binary, tmp_path_factory):
    """Customers of three kinds, and visitors who bought nothing."""
    project = Project(binary, tmp_path_factory.mktemp("kinds"), WEB_AND_TILL)
    for folder, files in (("traits", TRAITS), ("segments", {"buyers": "orders >= 1", "nobody": "orders > 1000"})):
        (project.folder / folder).mkdir()
        for name, text in files.items():
            (project.folder / folder / f"{name}.sql").write_text(text + "\n")
    rows = "".join(
        f"{kind} {number},2026-05-{1 + order + number % 5:02},{amount + number % 7},1\n"
        for kind, (customers, orders, amount) in KINDS.items()
        for number in range(customers)
        for order in range(orders)
    )
    project.ingest("till", project.write("till.csv", "customer_id,purchased_on,amount,quantity\n" + rows))
    visits = "".join(
        f'{{"type":"page","messageId":"v{number}","anonymousId":"v{number}","timestamp":"2026-05-20T10:00:00Z"}}\n' for number in range(20)
    )
    project.ingest("web", project.write("web.ndjson", visits))
    project.refresh()
    return project


def test_people_who_are_alike_are_found_and_saved(kinds):
    project = kinds
    with serving(project) as server:
        client = Client(server.address)
        request = {"segment": "buyers", "clusters": {"traits": ["orders", "spent", "recency", "buys_often"]}, "describedBy": ["kind"]}
        found = client.call("SegmentService/FindPersonas", request)
        personas = found["personas"]
        # As many as there are kinds, and everybody is in the one of their kind.
        assert [int(persona["size"]) for persona in personas] == [60, 40, 30]
        assert int(found["size"]) == 130 and int(found["profileCount"]) == 150
        assert max(found["scores"], key=lambda score: score["silhouette"])["count"] == 3
        by_kind = next(column for column in found["columns"] if column["column"] == "kind")
        counts = [dict(zip((value.get("value") for value in by_kind["values"]), map(int, segment["counts"]))) for segment in by_kind["segments"]]
        for kind, of_persona in zip(("once", "regular", "big spender"), counts):
            assert {name: count for name, count in of_persona.items() if count} == {kind: KINDS[kind][0]}
        regular = personas[1]
        assert "High orders" in regular["title"] or "orders" in regular["description"], regular
        assert "times everybody's" in regular["description"]
        assert client.call("SegmentService/FindPersonas", request) == found, "the same again"

        # A saved one has the same people, now and after a refresh.
        for place, persona in enumerate(personas):
            assert int(client.call("SegmentService/EstimateSegment", {"expression": persona["expression"]})["size"]) == int(persona["size"])
            segment = {"segment": f"persona-{place}", "title": persona["title"], "expression": persona["expression"]}
            client.call("SegmentService/CreateSegment", {"segment": segment, "createdBy": "ada"})
        refreshed(client)
        saved = project.sql(
            "select segment, profiles.kind, count(*) as people from segment.memberships"
            " join profile.profiles on profiles.profile_id = memberships.profile_id where starts_with(segment, 'persona-') group by 1, 2 order by 1"
        )
        assert [(row["kind"], row["people"]) for row in saved] == [("once", 60), ("regular", 40), ("big spender", 30)]

        # So many as are asked for, of everybody: nobody is left out or in two, even where values are unknown.
        found = client.call("SegmentService/FindPersonas", {"clusters": {"traits": ["spent", "recency"], "count": 6}})
        assert len(found["personas"]) == 6 and sum(int(persona["size"]) for persona in found["personas"]) == 150


def test_cells_of_recency_and_frequency(kinds):
    project = kinds
    with serving(project) as server:
        client = Client(server.address)
        cells = {"recencyScore": "recency_score", "frequencyScore": "frequency_score"}
        found = client.call("SegmentService/FindPersonas", {"cells": cells})
        sizes = {persona["title"]: int(persona["size"]) for persona in found["personas"]}
        assert len(sizes) == 10 and list(sizes.values()) == sorted(sizes.values(), reverse=True)
        for title, condition in CELLS.items():
            assert sizes[title] == project.value(f"select count(*) from profile.profiles where {condition}"), title
        scored = "recency_score is not null and frequency_score is not null"
        assert sum(sizes.values()) == project.value(f"select count(*) from profile.profiles where {scored}")

        found = client.call("SegmentService/FindPersonas", {"segment": "buyers", "cells": cells | {"monetaryScore": "monetary_score"}})
        champions = next(persona for persona in found["personas"] if persona["title"] == "Champions")
        assert int(champions["size"]) == project.value(
            "select count(*) from profile.profiles where recency_score = 5 and round((frequency_score + monetary_score) / 2.0) >= 4"
        )


def test_what_cannot_divide_people_is_told(kinds):
    with serving(kinds) as server:
        client = Client(server.address)

        def refused(request):
            return client.refused("SegmentService/FindPersonas", request)

        assert refused({})[2] == ["division"]
        assert refused({"segment": "none", "clusters": {"traits": ["orders"]}})[1] == "SEGMENT_NOT_FOUND"
        for traits, count in (([], 0), (["oders"], 0), (["kind"], 0), (["orders"], 1), (["orders"], 13), (["orders"], -1), (["event_count", "orders"] * 11, 0)):
            code, reason, fields, *_ = refused({"segment": "buyers", "clusters": {"traits": traits, "count": count}})
            assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INPUT_INVALID") and fields[0].startswith("clusters"), (traits, count)
        assert refused({"segment": "nobody", "clusters": {"traits": ["orders"]}})[0] == grpc.StatusCode.INVALID_ARGUMENT
        for wrong in ({"recencyScore": "recency", "frequencyScore": "frequency_score"}, {"recencyScore": "recency_score", "frequencyScore": "loose_score"},
                      {"recencyScore": "kind", "frequencyScore": "frequency_score"}):
            assert refused({"cells": wrong})[2] == ["cells"], wrong
        assert refused({"cells": {"recencyScore": "recency_score"}})[2] == ["cells.frequency_score"]
        assert refused({"cells": {"frequencyScore": "frequency_score"}})[2] == ["cells.recency_score"]
        invalid = (grpc.StatusCode.INVALID_ARGUMENT, "INPUT_INVALID")
        clusters, cells = {"traits": ["orders", "spent"], "count": 2}, {"recencyScore": "recency_score", "frequencyScore": "frequency_score"}
        for division in ({"clusters": clusters}, {"cells": cells}):
            assert refused(division | {"describedBy": ["kind", "nope"]}) == (*invalid, ["described_by"]), division
        # What divides comes first.
        assert refused({"clusters": {"traits": ["nope"]}, "describedBy": ["nope"]}) == (*invalid, ["clusters"])


def test_the_command_line_divides_and_saves(kinds):
    project = kinds
    told = project.run("segment", "personas", "buyers", "--traits", "orders,spent", "--described-by", "kind").stdout
    assert "130 people" in told and "3: " in told and "60 people, 46.2 %" in told and "kind regular" in told, told
    told = project.run("segment", "rfm", "--recency", "recency_score", "--frequency", "frequency_score", "--save", "rfm", "--by", "ada").stdout
    assert "made segment rfm-10" in told and "in none: 20 people" in told, told
    kinds.refresh()
    assert project.value("select count(*) from segment.segments where starts_with(segment, 'rfm-')") == 10
    # Segments called the same are not made again.
    again = project.refused("segment", "rfm", "--recency", "recency_score", "--frequency", "frequency_score", "--save", "rfm", "--by", "ada")
    assert "rfm-1" in again
    assert "no column `oders`" in project.refused("segment", "personas", "--traits", "oders")


def test_times_and_debts_set_groups_apart(kinds):
    told = kinds.run("segment", "personas", "buyers", "--traits", "last_order_at", "--count", "2").stdout
    assert "Earlier last order at: 90 people" in told and "Later last order at: 40 people" in told, told
    assert re.search(r"last order at [\d.]+ days later than everybody's \(2026-05-1\d against 2026-05-0\d\)", told), told
    told = kinds.run("segment", "personas", "buyers", "--traits", "balance", "--count", "2").stdout
    assert "High balance: 90 people" in told and "Low balance: 40 people" in told, told
    assert "balance -55 against -19" in told and "balance -3 against -19" in told, told


def test_no_two_groups_have_the_same_title(kinds):
    with serving(kinds) as server:
        request = {"segment": "buyers", "clusters": {"traits": ["spent"], "count": 8}}
        personas = Client(server.address).call("SegmentService/FindPersonas", request)["personas"]
        assert len({persona["title"] for persona in personas}) == 8, personas


def test_what_is_found_can_be_saved(kinds):
    project = kinds
    traits = ["orders", "spent", "recency"] * 4
    divide = ("segment", "personas", "buyers", "--traits", ",".join(traits), "--save", "long", "--by", "ada", "--count")
    refused = project.refused(*divide, 12)
    assert "12 personas by 12 traits could not be saved" in refused and "at most 7" in refused, refused
    with serving(project) as server:
        clusters = {"traits": traits, "count": 8}
        refused = Client(server.address).refused("SegmentService/FindPersonas", {"segment": "buyers", "clusters": clusters})
        assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "INPUT_INVALID", ["clusters"])
    assert "made segment long-7;" in project.run(*divide, 7).stdout
    project.refresh()
    people = "from segment.memberships where starts_with(segment, 'long-')"
    assert project.value(f"select count(*) {people}") == project.value(f"select count(distinct profile_id) {people}") == 130


def test_all_groups_are_saved_or_none(kinds):
    project = kinds
    divide = ("segment", "personas", "buyers", "--traits", "orders,spent", "--count", "3", "--described-by", "nickname", "--save", "half", "--by", "ada")
    # Names are taken by what was made, and by files.
    project.run("segment", "create", "half-2", "orders >= 1", "--by", "ada")
    file = project.folder / "segments" / "half-3.sql"
    file.write_text("orders >= 1\n")
    refused = project.refused(*divide)
    assert "`half-2`, `half-3`" in refused and "half-1" not in refused, refused
    project.run("segment", "delete", "half-2", "--by", "ada")
    file.unlink()

    # A value that has a line end does not stand in the way.
    told = project.run(*divide).stdout
    assert all(f"made segment half-{number};" in told for number in (1, 2, 3)), told
    assert "`half-1`, `half-2`, `half-3`" in project.refused(*divide)
    project.refresh()
    saved = project.sql("select title, description from segment.segments where starts_with(segment, 'half-')")
    assert len(saved) == 3 and any("nickname two lines" in row["description"] for row in saved), saved
