"""The lake is made of open tables: what others' readers see in it is what `tessera sql` says."""

import json
from decimal import Decimal
from pathlib import Path

import duckdb
import polars
import pyarrow
import pytest
from deltalake import DeltaTable
from pyroaring import BitMap

from conftest import Project


@pytest.fixture(scope="module")
def demo(binary, tmp_path_factory):
    """The demo, small, and a second refresh, so that tables have files that are no more."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    project = Project(binary, folder)
    project.run("demo", folder, "--people", "300", "--events", "6000", "--seed", "7", "--exit")
    late = {"type": "track", "event": "Order Completed", "messageId": "late", "userId": "late", "timestamp": "2026-01-02T03:04:05Z",
            "properties": {"revenue": 12.5, "currency": "EUR"}}
    project.ingest("web", project.write("late.ndjson", json.dumps(late) + "\n"))
    project.refresh()
    return project


@pytest.fixture(scope="module")
def generation(demo):
    """The newest generation: what it published of each table."""
    newest = max((demo.folder / "lake" / "_generations").glob("*.json"))
    return json.loads(newest.read_text())


def tables_of(lake):
    """Every Delta table in the lake, as `schema.table` and its folder."""
    logs = sorted(lake.rglob("_delta_log"))
    return {".".join(log.parent.relative_to(lake).parts): log.parent for log in logs}


@pytest.fixture(scope="module")
def tables(demo, generation):
    """Every Delta table at the version to read: its name, and how Delta's own library opens it."""
    found = tables_of(demo.folder / "lake")
    assert set(generation["tables"]) <= set(found), "a published table is not there"
    return {name: DeltaTable(str(folder), version=generation["tables"].get(name, {}).get("version")) for name, folder in found.items()}


def read_with_deltalake(table):
    return table.to_pyarrow_dataset().to_table().num_rows


def read_with_duckdb(table):
    files = [uri.removeprefix("file://") for uri in table.file_uris()]
    if not files:
        return 0
    # All columns, not the footers' row counts: every page must be readable.
    columns = duckdb.read_parquet(files).columns
    hashed = ", ".join(f'"{column}"' for column in columns)
    return duckdb.sql(f"select count(h) from (select hash({hashed}) as h from read_parquet({files}))").fetchall()[0][0]


def read_with_polars(table):
    return polars.scan_delta(table.table_uri, version=table.version()).collect().height


@pytest.mark.parametrize("read", [read_with_deltalake, read_with_duckdb, read_with_polars])
def test_a_reader_of_delta_counts_the_same_rows(demo, generation, tables, read):
    counts = {name: read(table) for name, table in tables.items()}
    expected = {name: demo.value(f"select count(*) from {name}") for name in generation["tables"]}
    assert {name: counts[name] for name in expected} == expected
    assert {name: published["rows"] for name, published in generation["tables"].items()} == expected
    # The logs of runs are no part of a generation: they are read as they are.
    for name in set(counts) - set(expected):
        assert counts[name] == demo.value(f"select count(*) from {name}"), name
    assert expected["landing.events"] > 6000 and expected["profile.profiles"] > 300


def test_latest_is_what_was_published(demo, generation):
    """Most readers do not know generations: they open the latest version."""
    latest = {name: DeltaTable(str(folder)).version() for name, folder in tables_of(demo.folder / "lake").items()}
    assert {name: latest[name] for name in generation["tables"]} == {name: table["version"] for name, table in generation["tables"].items()}


FIGURES = {
    "events": "count(distinct event_id)",
    "names": "count(distinct event_name)",
    "first": "min(occurred_at)",
    "last": "max(occurred_at)",
    "revenue": "sum(revenue)",
    "paths": "count(page_path)",
}


def test_readers_agree_on_figures_and_not_only_on_rows(demo, tables):
    query = "select " + ", ".join(f"cast({figure} as varchar) as {name}" for name, figure in FIGURES.items()) + " from {}"
    [ours] = demo.sql(query.format("staging.events"))
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("events", tables["staging.events"].to_pyarrow_dataset())
        [theirs] = connection.sql(query.format("events")).fetchall()
    theirs = dict(zip(FIGURES, theirs))
    for name in ("events", "names", "paths"):
        assert ours[name] == theirs[name], name
    assert Decimal(ours["revenue"]) == Decimal(theirs["revenue"]) > 0
    for name in ("first", "last"):
        assert ours[name].replace("T", " ")[:19] == theirs[name][:19], name

    frame = polars.scan_delta(tables["staging.events"].table_uri, version=tables["staging.events"].version())
    assert frame.select(polars.col("revenue").sum()).collect().item() == Decimal(ours["revenue"])


def test_columns_have_types_that_everybody_knows(tables):
    plain = (pyarrow.types.is_string, pyarrow.types.is_large_string, pyarrow.types.is_string_view, pyarrow.types.is_boolean, pyarrow.types.is_int32,
             pyarrow.types.is_int64, pyarrow.types.is_float64, pyarrow.types.is_date32, pyarrow.types.is_decimal)

    def is_sane(data_type):
        if pyarrow.types.is_timestamp(data_type):
            return data_type.unit == "us" and data_type.tz == "UTC"
        if pyarrow.types.is_list(data_type) or pyarrow.types.is_large_list(data_type):
            return is_sane(data_type.value_type)
        if pyarrow.types.is_struct(data_type):
            return all(is_sane(field.type) for field in data_type)
        return any(is_one(data_type) for is_one in plain)

    # Sets of members are Roaring bitmaps in the format that all its libraries read, which the next test shows.
    sets = ("segment.member_sets.members", "segment.change_sets.members")
    types = {f"{name}.{field.name}": pyarrow.field(field).type for name, table in tables.items() for field in table.schema().to_arrow()}
    assert [f"{column} {data_type}" for column, data_type in types.items() if not is_sane(data_type) and column not in sets] == []
    assert all(pyarrow.types.is_binary(types[column]) for column in sets)

    for column in ("landing.events.landed_at", "staging.events.occurred_at", "identity.identities.first_seen_at", "profile.profiles.last_seen_at"):
        assert pyarrow.types.is_timestamp(types[column]), column
    for column in ("landing.events.revenue", "staging.events.revenue", "profile.profiles.lifetime_value"):
        assert pyarrow.types.is_decimal(types[column]) and types[column].scale == 4, f"{column} {types[column]}"
    assert pyarrow.types.is_int64(types["profile.profiles.order_count"])


def test_members_are_read_from_bitmaps_by_any_roaring_library(demo, tables):
    profiles = {row["profile_ordinal"]: row["profile_id"] for row in tables["identity.identities"].to_pyarrow_dataset().to_table().to_pylist()}
    members = {}
    changes = tables["segment.member_sets"].to_pyarrow_dataset().to_table().to_pylist()
    for row in sorted(changes, key=lambda row: (row["generation"], row["change"] == "entered")):
        changed, found = BitMap.deserialize(row["members"]), members.setdefault(row["segment"], BitMap())
        members[row["segment"]] = found | changed if row["change"] == "entered" else found - changed
    read = {(segment, profiles[ordinal]) for segment, found in members.items() for ordinal in found}
    assert read == {(row["segment"], row["profile_id"]) for row in demo.sql("select segment, profile_id from segment.memberships")}
    assert len({segment for segment, _ in read}) > 10


def test_an_old_generation_reads_as_it_was(demo, generation):
    first = json.loads(min(Path(demo.folder, "lake", "_generations").glob("*.json")).read_text())
    assert first["number"] < generation["number"]
    for name in ("staging.events", "profile.profiles", "identity.identities"):
        table = DeltaTable(str(demo.folder / "lake" / name.replace(".", "/")), version=first["tables"][name]["version"])
        [row] = demo.sql(f"select count(*) as rows from {name}", "--as-of", first["number"])
        assert read_with_deltalake(table) == row["rows"] == first["tables"][name]["rows"]
