"""Segments with DuckDB, as a good engineer would run them: one query each, and all that can be in one query fused by hand.

    python duckdb_segments.py export PROJECT OUT_DIR
    python duckdb_segments.py run DATA_DIR --today 2026-06-01 [--segments 1000] [--sample 60] [--only fused] [--json FILE]

`export` writes the same people and events that Tessera has as plain Parquet, read from the tables that its newest generation
names: people with all their columns, and events with the number of their person, which is an integer and not a text, sorted
by event, person and time, so that row groups of other events are skipped and the rows of a person lie together.

`run` takes the segments that `generate.py` makes. One by one, each segment writes the list of its members as Parquet: a
sample of them, as many of each kind as its share. Fused, one query gives the size of every segment without a sequence: for
each event one aggregation with all its figures, over those who did it alone, joined with the people;
`in_segment` is written out. Only if that does not fit into the memory, or with `--batches`, it becomes several queries.
"""

import argparse
import collections
import datetime
import json
import pathlib
import resource
import sys
import time

import duckdb
from generate import KINDS, Column, Figure, InSegment, Sequence, generate


def connect(folder, threads, memory_limit):
    connection = duckdb.connect()
    for setting in (f"threads = {threads}", f"memory_limit = '{memory_limit}'", f"temp_directory = '{folder}/spill'", "preserve_insertion_order = false"):
        connection.execute(f"set {setting}")
    return connection


def tables(project):
    """The Parquet files of each table as the newest generation of a project has it."""
    from deltalake import DeltaTable

    lake = pathlib.Path(project) / "lake"
    newest = max((lake / "_generations").glob("*.json"), key=lambda path: int(path.stem))
    versions = json.loads(newest.read_text())["tables"]

    def files(table):
        folder = lake / table.replace(".", "/")
        return [str(path) for path in DeltaTable(str(folder), version=versions[table]["version"]).file_uris()]

    return files


def export(arguments):
    """People and events of a project as Parquet."""
    out, files = arguments.out, tables(arguments.project)
    out.mkdir(parents=True, exist_ok=True)
    connection = connect(out, arguments.threads, arguments.memory_limit)
    columns = connection.execute(f"describe from read_parquet({files('profile.profiles')})").fetchall()

    def plain(name, kind):
        return f'make_timestamp(epoch_us("{name}")) as "{name}"' if kind == "TIMESTAMP WITH TIME ZONE" else f'"{name}"'

    chosen = ", ".join(plain(name, kind) for name, kind, *_ in columns if name not in ("ordinal", "profile_id"))
    connection.execute(f"""copy (select ordinal::integer as profile, profile_id, {chosen} from read_parquet({files('profile.profiles')}) order by profile)
        to '{out}/profiles.parquet' (compression zstd)""")
    connection.execute(f"""copy (
            select profile_ordinal::integer as profile, event_name, make_timestamp(epoch_us(occurred_at)) as occurred_at, revenue, properties
            from read_parquet({files('staging.events')}) join read_parquet({files('identity.identities')}) using (namespace, value)
            order by event_name, profile, occurred_at
        ) to '{out}/events.parquet' (compression zstd)""")


def json_property(name):
    return f"json_extract_string(properties, '$.{name}')"


def events_of(event, bounds):
    """The part of a query that reads the events of a name."""
    return f"from events where {' and '.join([f'event_name = {event!r}', *bounds])}"


def span_of(figures):
    """Bounds of the days that any of the figures counts."""
    firsts, lasts = [figure.window.first for figure in figures], [figure.window.last for figure in figures]
    first, last = None if None in firsts else min(firsts), None if None in lasts else max(lasts)
    bounds = [f"occurred_at >= timestamp '{first}'"] if first else []
    return bounds + ([f"occurred_at < timestamp '{last + datetime.timedelta(1)}'"] if last else [])


def filtered(figure, bounds, extract=json_property):
    """The aggregate of a figure over events within `bounds`. With `case` and not `filter`, for which DuckDB cuts all columns
    for each aggregate: the fused query takes a fifth."""
    filters = " and ".join(condition for condition in figure.filters(extract) if condition not in bounds)
    function, value = figure.aggregate(extract)
    if value is None:
        return f"count_if({filters})" if filters else "count(*)"
    return f"{function}(case when {filters} then {value} end)" if filters else f"{function}({value})"


def sequence_query(sequence):
    """Who did the steps. Of all ways to do the first steps the one that ends last began last, so each step looks for the
    nearest one before it."""
    bounds, first, *others = sequence.window.sql(), *sequence.steps
    done = f"(select profile, occurred_at, occurred_at as began {events_of(first, bounds)})"
    for step in others:
        later = f"(select profile, occurred_at {events_of(step, bounds)})"
        done = f"(select b.profile, b.occurred_at, a.began from {later} b asof join {done} a on a.profile = b.profile and b.occurred_at > a.occurred_at)"
    within = f" where occurred_at <= began + interval {sequence.span[1]} minute" if sequence.span else ""
    return f"select distinct profile from {done}{within}"


def query(segment, members):
    """The members of one segment; `members` names the file with those of another."""
    condition, figures = segment.condition, segment.figures()
    leaves = list(condition.leaves())
    if len(leaves) == 1 and isinstance(leaves[0], Sequence):
        return sequence_query(leaves[0])
    if len(figures) == len(leaves) == 1 and condition.positive:
        # Nobody is a member who did nothing: no need to look at all people.
        figure = figures[0]
        bounds = figure.filters(json_property)
        having = condition.sql(lambda figure: figure.sql(filtered(figure, bounds)))
        return f"select profile {events_of(figure.event, bounds)} group by profile having {having}"
    by_event = collections.defaultdict(list)
    for figure in figures:
        by_event[figure.event].append(figure)
    columns, joins = {}, ""
    for number, (event, of_event) in enumerate(by_event.items()):
        bounds = span_of(of_event)
        if len(of_event) == 1:
            bounds = of_event[0].filters(json_property)
        for place, figure in enumerate(of_event):
            columns[figure] = f"e{number}.f{place}"
        aggregates = ", ".join(f"{filtered(figure, bounds)} as f{place}" for place, figure in enumerate(of_event))
        joins += f" left join (select profile, {aggregates} {events_of(event, bounds)} group by profile) e{number} on e{number}.profile = p.profile"

    def render(part):
        if isinstance(part, Figure):
            return part.sql(columns[part])
        return f"p.profile in (select profile from '{members(part.segment)}')" if isinstance(part, InSegment) else f"p.{part.name}"

    return f"select p.profile from profiles p{joins} where {condition.sql(render)}"


def one_by_one(connection, segments, sample, folder):
    """Runs a sample of the segments. Returns for each its name, kind, cost and size."""
    folder.mkdir(exist_ok=True)
    by_kind = collections.defaultdict(list)
    for segment in segments:
        by_kind[segment.kind].append(segment)
    chosen = []
    for kind, share in KINDS:
        of_kind = by_kind[kind]
        count = min(len(of_kind), max(3, round(sample * share / 100)))
        # Spread over all of them: every n-th.
        chosen += [of_kind[place * len(of_kind) // count] for place in range(count)]

    written = set()

    def members(segment):
        path = folder / f"{segment.name}.parquet"
        if segment.name not in written:
            run(segment)
        return path

    def run(segment):
        # The other segments that it names have run before, as all would one after the other: that is not its time.
        text = query(segment, members)
        start, cpu = time.perf_counter(), time.process_time()
        size = connection.execute(f"copy ({text}) to '{folder}/{segment.name}.parquet'").fetchone()[0]
        took = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
        written.add(segment.name)
        return {"segment": segment.name, "kind": segment.kind, **took, "size": size}

    return [run(segment) for segment in chosen]


def fused_query(segments):
    """The sizes of segments in one query, in their order."""
    by_event, known = collections.defaultdict(dict), {}
    for figure in (figure for segment in segments for figure in all_figures(segment)):
        columns = by_event[figure.event]
        columns.setdefault(filtered(figure, []), (figure, len(columns)))
    extracts = {}
    for event, columns in by_event.items():
        extracts[event] = sorted({name for figure, _ in columns.values() for name in figure.properties()})
    parts, joins = [], ""
    for number, (event, columns) in enumerate(by_event.items()):
        names = extracts[event]

        def extract(name, names=names):
            return f"p[{names.index(name) + 1}]"

        paths = ", ".join(f"'$.{name}'" for name in names)
        read = f", json_extract_string(properties, [{paths}]) as p" if names else ""
        bounds = span_of([figure for figure, _ in columns.values()])
        aggregates = ", ".join(f"{filtered(figure, bounds, extract)} as f{place}" for figure, place in columns.values())
        parts.append(f"e{number} as (select profile, {aggregates} from (select profile, occurred_at, revenue{read} {events_of(event, bounds)}) group by profile)")
        joins += f" left join e{number} on e{number}.profile = p.profile"
        known[event] = number

    def render(part):
        if isinstance(part, InSegment):
            return f"coalesce({part.segment.condition.sql(render)}, false)"
        if isinstance(part, Column):
            return f"p.{part.name}"
        return part.sql(f"e{known[part.event]}.f{by_event[part.event][filtered(part, [])][1]}")

    sizes = ", ".join(f"count_if({segment.condition.sql(render)})" for segment in segments)
    return f"{'with ' if parts else ''}{', '.join(parts)} select {sizes} from profiles p{joins}", sum(map(len, by_event.values()))


def all_figures(segment):
    """The figures of a segment and of those that it needs."""
    yield from segment.figures()
    for needed in segment.needs():
        yield from all_figures(needed)


def fused(connection, segments, batches):
    """Sizes of all segments without a sequence, in as few queries as the memory allows, but at least `batches`."""
    segments = [segment for segment in segments if not segment.has_sequence()]
    # Neighbours share figures.
    segments.sort(key=lambda segment: sorted({figure.event for figure in all_figures(segment)}))
    while True:
        sizes, figures, start, cpu = {}, 0, time.perf_counter(), time.process_time()
        try:
            for batch in range(batches):
                some = segments[batch * len(segments) // batches:(batch + 1) * len(segments) // batches]
                text, count = fused_query(some)
                figures += count
                # What can be true of nobody is null to `count_if`.
                sizes.update((segment.name, size or 0) for segment, size in zip(some, connection.execute(text).fetchone()))
            took = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
            return {**took, "batches": batches, "figures": figures, "sizes": sizes}
        except duckdb.OutOfMemoryException as error:
            print(f"{batches} queries do not fit into the memory: {error}", file=sys.stderr, flush=True)
            batches *= 2


def run(arguments):
    """Runs the segments and prints what they cost."""
    connection = connect(arguments.data, arguments.threads, arguments.memory_limit)
    for table in ("profiles", "events"):
        connection.execute(f"create view {table} as from '{arguments.data}/{table}.parquet'")
    connection.execute(f"create macro days_since(instant) as (date '{arguments.today}' - instant::date)")
    segments = generate(arguments.segments, arguments.today, arguments.seed)
    answer = {}
    if arguments.only != "one":
        answer["fused"] = fused(connection, segments, arguments.batches)
    if arguments.only != "fused":
        # Footers are read, the page cache is warm: as in the middle of a long series.
        connection.execute("select count(*), max(occurred_at) from events").fetchall()
        answer["one"] = one_by_one(connection, segments, arguments.sample, arguments.data / "members")
    answer["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    text = json.dumps(answer, default=str)
    if arguments.json:
        arguments.json.write_text(text)
    else:
        print(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    of_export = commands.add_parser("export")
    of_export.add_argument("project", type=pathlib.Path)
    of_export.add_argument("out", type=pathlib.Path)
    of_export.set_defaults(run=export)
    of_run = commands.add_parser("run")
    of_run.add_argument("data", type=pathlib.Path)
    of_run.add_argument("--today", type=datetime.date.fromisoformat, required=True)
    of_run.add_argument("--segments", type=int, default=1000)
    of_run.add_argument("--seed", type=int, default=1)
    of_run.add_argument("--sample", type=int, default=60)
    of_run.add_argument("--batches", type=int, default=1, help="queries that the fused one is split into, at least")
    of_run.add_argument("--only", choices=("one", "fused"))
    of_run.add_argument("--json", type=pathlib.Path)
    of_run.set_defaults(run=run)
    for command in (of_export, of_run):
        command.add_argument("--threads", type=int, default=2)
        command.add_argument("--memory-limit", default="8GB")
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
