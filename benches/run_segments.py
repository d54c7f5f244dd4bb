"""Segments beside DuckDB's: the same people and events, two threads each, in turn.

    python3 -m venv target/peers && target/peers/bin/pip install duckdb deltalake pyarrow
    cargo build --release --workspace --bins --examples
    target/peers/bin/python benches/run_segments.py [--people 1000000] [--events 10000000] [--segments 1000] [--rounds 1]

A project with events but no segments is made once. In each round it gets the segments of `peers/segments/generate.py` and is
refreshed, which evaluates all of them; then 1 % more events arrive, and it is refreshed again: by the command line, and by a
server, which keeps in memory what its refreshes read. There the first thousand of these events are refreshed before, for which
it reads that. DuckDB's side is
`peers/segments/duckdb_segments.py`, on Parquet that is exported once: a sample of the segments one by one, each writing the
list of its members, from which the time of all is extrapolated by kind; and everything without a sequence in one query fused
by hand, which only counts. Tessera writes members, changes and sizes of all segments.

Prints a Markdown table of medians with their ratios, and stops with an error that names the segments whose sizes differ. With
`--check-next`, sizes after 1 % more events are compared, too, which takes another export.
"""

import argparse
import datetime
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "peers" / "segments"))

from generate import KINDS, generate, write
from run_main_job import CONFIG, HERE, make_data, medians, run
from served import Server

PEER = HERE / "peers" / "segments" / "duckdb_segments.py"
# What is kept of events. Both are found at the same time.
STATES = ("behavior.defined_measures", "behavior.instants")
# Of the later events, those of the first refresh of a server.
FIRST_LINES = 1000
# Nobody writes a query of more by hand, and DuckDB has no memory for it.
FUSED_MAX = 2000
# Members; then what they are made into, both at the same time.
EVALUATION = (("segment.segments",), ("segment.member_sets",), ("segment.change_sets", "segment.sizes"))
STEPS = "select name, seconds, rows, bytes from ops.refreshes where name is not null and started_at = (select max(started_at) from ops.refreshes)"
SIZES = "select segment, size, cast(cast(at as date) as varchar) as day from segment.sizes where generation = (select max(generation) from segment.sizes)"


class Bench:
    """Runs either side and keeps figures by row of the table."""

    def __init__(self, arguments, work):
        self.arguments, self.work, self.log = arguments, work, work / "last-command.log"
        self.base, self.project, self.exported = work / "base", work / "project", work / "duckdb"
        self.today = datetime.datetime.now(datetime.UTC).date()
        self.segments = generate(arguments.segments, self.today, arguments.seed)
        self.figures = {}

    def note(self, row, seconds, cpu=None, memory=None):
        # What is not measured by itself is missing, in every round.
        self.figures.setdefault(row, []).append({"seconds": seconds, "cpu": cpu or 0, "memory": memory or 0})
        more = f", {cpu:.2f} s of processor, {memory:.0f} MiB" if cpu else ""
        print(f"  {row}: {seconds:.3f} s{more}", flush=True)

    def tessera(self, project, *words):
        return run([self.arguments.tessera, "--project", str(project), *words], self.log)

    def ask(self, query):
        self.tessera(self.project, "sql", query, "--format", "ndjson")
        # Log lines, if there are any, come before the answer.
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def make_base(self, files):
        """A project that has everything but segments, and its tables as Parquet."""
        complete = self.base / "complete"
        if complete.exists() and complete.read_text() == self.version():
            return
        print("making a project without segments", flush=True)
        for folder in (self.base, self.exported):
            shutil.rmtree(folder, ignore_errors=True)
        self.base.mkdir(parents=True)
        (self.base / "tessera.toml").write_text(CONFIG.format(threads=self.arguments.threads))
        self.tessera(self.base, "ingest", "--source", "web", *files)
        self.tessera(self.base, "refresh")
        self.export(self.base)
        complete.write_text(self.version())

    def version(self):
        """Another binary, or other data, and the project is made again."""
        changed = os.stat(self.arguments.tessera).st_mtime_ns
        return f"{changed} {self.arguments.people} {self.arguments.events} {self.arguments.threads}"

    def export(self, project):
        run([sys.executable, str(PEER), "export", str(project), str(self.exported), "--threads", str(self.arguments.threads)], self.log)

    def refresh(self, what):
        """Refreshes, and returns the size of every segment."""
        return self.refreshed(what, self.tessera(self.project, "refresh"))

    def refresh_served(self, what, later):
        """The same by a server that has refreshed before."""
        lines = pathlib.Path(later).read_bytes().splitlines(keepends=True)
        server = Server(self.arguments.tessera, self.project, self.work / "serve.log")
        try:
            for number, part in enumerate((lines[:FIRST_LINES], lines[FIRST_LINES:])):
                file = self.work / f"later-{number}.ndjson"
                file.write_bytes(b"".join(part))
                self.tessera(self.project, "ingest", "--source", "web", str(file))
                asked = subprocess.run([self.arguments.load, "refresh", "--address", server.address], check=True, capture_output=True)
            whole = {"seconds": json.loads(asked.stdout)["seconds"], "cpu": 0, "memory": server.memory_mib(most=True)}
        finally:
            server.end()
        return self.refreshed(what, whole)

    def refreshed(self, what, whole):
        """Notes what the last refresh took, and returns the size of every segment."""
        steps = {step["name"]: step["seconds"] for step in self.ask(STEPS)}
        self.note(f"Tessera, {what}: `segment.member_sets`", steps["segment.member_sets"])
        self.note(f"Tessera, {what}: evaluation", sum(max(steps.get(name, 0) for name in together) for together in EVALUATION))
        self.note(f"Tessera, {what}: state", max(steps.get(state, 0) for state in STATES))
        self.note(f"Tessera, {what}: the whole refresh", **whole)
        print("    steps: " + ", ".join(f"{name} {seconds:.3f}" for name, seconds in sorted(steps.items(), key=lambda step: -step[1])[:8]), flush=True)
        rows = self.ask(SIZES)
        days = {row["day"] for row in rows}
        if days != {str(self.today)}:
            sys.exit(f"the refresh computed for {days} and not for {self.today}, for which the segments are: run again")
        return {row["segment"]: row["size"] for row in rows}

    def duckdb(self, more=""):
        """Runs both ways of DuckDB's; returns their answers."""
        ways = {"one": f"DuckDB, one by one{more}", "fused": f"DuckDB, fused{more}"}
        return {only: self.peer(only, row) for only, row in ways.items() if only == "one" or len(self.segments) <= FUSED_MAX}

    def peer(self, only, row):
        """Runs one way of DuckDB's; returns its answer."""
        answer = self.work / "duckdb.json"
        options = ["--only", only, "--today", str(self.today), "--json", str(answer)]
        for name in ("segments", "seed", "sample", "batches", "threads"):
            options += [f"--{name}", str(getattr(self.arguments, name))]
        figures = run([sys.executable, str(PEER), "run", str(self.exported), *options], self.log)
        found = json.loads(answer.read_text())[only]
        cost = self.extrapolated(found) if only == "one" else {key: found[key] for key in ("seconds", "cpu")}
        self.note(row, **cost, memory=figures["memory"])
        return found

    def extrapolated(self, sample):
        """The cost of all segments, each that of the mean of its kind."""
        whole = {"seconds": 0, "cpu": 0}
        for kind, _ in KINDS:
            of_kind = [ran for ran in sample if ran["kind"] == kind]
            count = sum(segment.kind == kind for segment in self.segments)
            if count:
                mean = {key: statistics.mean(ran[key] for ran in of_kind) for key in whole}
                whole = {key: whole[key] + mean[key] * count for key in whole}
                slowest = max(ran["seconds"] for ran in of_kind)
                print(f"    {kind}: {len(of_kind)} of {count}, mean {mean['seconds']:.3f} s, slowest {slowest:.3f} s", flush=True)
        return whole

    def compare(self, what, ours, answers):
        """Stops if sizes differ."""
        fused = answers["fused"]["sizes"] if "fused" in answers else {}
        theirs = fused | {ran["segment"]: ran["size"] for ran in answers["one"]}
        if any(theirs[name] != size for name, size in fused.items()):
            sys.exit(f"DuckDB's own sizes differ {what}: one of the queries is wrong")
        text = {segment.name: segment.condition.text() for segment in self.segments}
        differing = [name for name, size in sorted(theirs.items()) if ours[name] != size]
        if differing:
            lines = [f"{name}: {ours[name]} and {theirs[name]}: {text[name]}" for name in differing]
            sys.exit(f"sizes of {len(differing)} segments differ {what} (Tessera's and DuckDB's):\n" + "\n".join(lines))
        print(f"  sizes of {len(theirs)} segments are the same {what}", flush=True)


def copy(project, to):
    """A copy of a project. Data files never change, so they may be the same ones."""
    shutil.rmtree(to, ignore_errors=True)

    def copied(source, target):
        return os.link(source, target) if source.endswith(".parquet") else shutil.copy2(source, target)

    shutil.copytree(project, to, copy_function=copied)


def one_round(bench, later, number):
    print(f"round {number + 1}", flush=True)

    # Who goes first changes with the round.
    answers = bench.duckdb() if number % 2 == 1 else None
    copy(bench.base, bench.project)
    write(bench.segments, bench.project / "segments")
    full = bench.refresh("full")
    answers = answers or bench.duckdb()
    bench.compare("after the full evaluation", full, answers)
    evaluated = bench.work / "evaluated"
    copy(bench.project, evaluated)
    served = bench.refresh_served("1 % more, served", later)
    copy(evaluated, bench.project)
    bench.tessera(bench.project, "ingest", "--source", "web", later)
    following = bench.refresh("1 % more")
    if served != following:
        sys.exit("sizes differ after 1 % more by a server and by the command line")
    return full, following, answers


def check_next(bench, sizes):
    """Compares sizes after 1 % more events."""
    export, bench.exported = bench.exported, bench.work / "duckdb-next"
    bench.export(bench.project)
    bench.compare("after 1 % more", sizes, bench.duckdb(", 1 % more"))
    shutil.rmtree(bench.exported)
    bench.exported = export


def report(bench, middle, sizes, answers, load):
    arguments, fused = bench.arguments, answers.get("fused")
    spread = sorted(sizes.values())
    at = [spread[place * (len(spread) - 1) // 10] for place in (0, 1, 2, 3, 5, 7, 8, 9, 10)]
    print(f"\n{len(bench.segments)} segments, {arguments.events} events of {arguments.people} people, {arguments.threads} threads, medians of "
          f"{arguments.rounds} rounds, load average {load:.2f} at the start.")
    print(f"Sizes: least, 10, 20, 30, 50, 70, 80, 90 of a hundred, most: {', '.join(map(str, at))}.")
    print(f"DuckDB ran {len(answers['one'])} segments one by one, extrapolated to all by kind.")
    if fused:
        print(f"Fused are {len(fused['sizes'])} segments with {fused['figures']} figures in {fused['batches']} {'query' if fused['batches'] == 1 else 'queries'}.")
    print("\n| | seconds | processor seconds | peak memory, MiB |\n|---|---:|---:|---:|")
    for row, m in middle.items():
        cpu, memory = f"{m['cpu']:.2f}" if m["cpu"] else "", f"{m['memory']:.0f}" if m["memory"] else ""
        print(f"| {row} | {m['seconds']:.2f} | {cpu} | {memory} |")

    def seconds(what):
        """Of the evaluation alone, and with the state that it reads."""
        alone = middle[f"Tessera, {what}: evaluation"]["seconds"]
        return alone, alone + middle[f"Tessera, {what}: state"]["seconds"]

    def ratio(name, ours, theirs, aim):
        print(f"| {name} | {ours[0] / theirs[0]:.3f} | {ours[1] / theirs[1]:.3f} | {aim} |")

    print("\n| ratio | | with the state | aim |\n|---|---:|---:|---:|")
    full = seconds("full")
    ratio("full evaluation / DuckDB one by one", full, [middle["DuckDB, one by one"]["seconds"]] * 2, 0.05)
    if fused:
        ratio("full evaluation / DuckDB fused", full, [middle["DuckDB, fused"]["seconds"]] * 2, 1)
    ratio("after 1 % more, served / full evaluation", seconds("1 % more, served"), full, 0.1)
    ratio("after 1 % more, command line / full evaluation", seconds("1 % more"), full, 0.1)
    peak = max(m["memory"] for row, m in middle.items() if row.startswith("Tessera"))
    print(f"| peak memory of a refresh, MiB | {peak:.0f} | | 4096 |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--segments", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sample", type=int, default=60, help="segments that DuckDB runs one by one")
    parser.add_argument("--batches", type=int, default=1, help="queries that DuckDB's fused one is split into, at least")
    parser.add_argument("--check-next", action="store_true", help="compare sizes after 1 %% more events, too")
    parser.add_argument("--tessera", default=str(HERE.parent / "target/release/tessera"))
    parser.add_argument("--load", default=str(HERE.parent / "target/release/load"))
    parser.add_argument("--generate", default=str(HERE.parent / "target/release/examples/generate"))
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "tessera-bench"), help="folder for data and tables")
    arguments = parser.parse_args()
    data = pathlib.Path(arguments.work)
    base, later = make_data(arguments, data / f"events-{arguments.people}-{arguments.events}")
    work = data / "segments"
    work.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"the machine is busy (load average {load:.2f}): trust processor seconds more than seconds", flush=True)
    bench = Bench(arguments, work)
    bench.make_base(base)
    for number in range(arguments.rounds):
        full, following, answers = one_round(bench, later, number)
    middle = medians(bench.figures)
    if arguments.check_next:
        check_next(bench, following)
    report(bench, middle, full, answers, load)


if __name__ == "__main__":
    main()
