"""Tessera's main job beside DuckDB's: the same files, the same answer, two threads each, in turn.

    python3 -m venv venv && venv/bin/pip install duckdb
    cargo build --release && cargo build --release -p tessera-generator --example generate
    venv/bin/python benches/run_main_job.py [--people 100000] [--events 1000000] [--rounds 3] [--tessera target/release/tessera]

The job: land web events, leave out the ones that came twice, resolve identities, and write profiles, sessions and daily
activity. DuckDB's side is `peers/main_job_duckdb.py`. Afterwards 1 % more events arrive: Tessera brings its tables up to
date, DuckDB does the job again over everything.

Prints a Markdown table of medians with their ratios, and stops with an error if the answers differ. Data are made once and
kept in the work folder.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time
from decimal import Decimal

HERE = pathlib.Path(__file__).resolve().parent
# A fixed end, so that everybody's files are the same: 2026-03-01T00:00:00Z. 1 % more events are then about a day's.
END, DAYS, FILES = 1_772_323_200, 100, 4
CONFIG = """version = 1
[lake]
url = "lake"

[[source]]
name = "web"
format = "segment"
touchpoint = "web"
party = "first"

[identity]
namespaces = [
  {{ name = "user_id", unique = true }},
  {{ name = "email", normalize = "email" }},
  {{ name = "anonymous_id" }},
]

[engine]
threads = {threads}
"""
COUNTS = """select
  (select count(*) from behavior.events) as events,
  (select count(*) from behavior.events where event_name = 'Order Completed') as orders,
  (select sum(revenue) from behavior.events) as revenue,
  (select count(*) from profile.profiles) as profiles,
  (select count(*) from identity.identities) as identifiers,
  (select count(*) from behavior.sessions) as sessions,
  (select sum(page_views) from behavior.sessions) as page_views,
  (select count(*) from behavior.daily_activity) as daily"""


def run(command, log):
    """Runs a command with its output in `log`; returns wall seconds, processor seconds and peak memory in MiB."""
    with open(log, "wb") as out:
        start = time.perf_counter()
        actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, out.fileno(), 2)]
        child = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
        _, status, usage = os.wait4(child, 0)
        seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"`{' '.join(command[:6])} ...` failed:\n{pathlib.Path(log).read_text(errors='replace')[-4000:]}")
    # Kibibytes on Linux, bytes on macOS.
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss / unit}


def together(*runs):
    """The cost of commands that ran one after the other."""
    return {"seconds": sum(r["seconds"] for r in runs), "cpu": sum(r["cpu"] for r in runs), "memory": max(r["memory"] for r in runs)}


class Sides:
    """Runs either side and keeps its figures by row of the table."""

    def __init__(self, arguments, work):
        self.arguments, self.work, self.log = arguments, work, work / "last-command.log"
        self.figures = {}

    def note(self, row, figures):
        self.figures.setdefault(row, []).append(figures)
        print(f"  {row}: {figures['seconds']:.2f} s, {figures['cpu']:.2f} s of processor, {figures['memory']:.0f} MiB", flush=True)

    def duckdb(self, row, files):
        out = self.work / "duckdb"
        shutil.rmtree(out, ignore_errors=True)
        answer = self.work / "duckdb.json"
        script = [sys.executable, str(HERE / "peers" / "main_job_duckdb.py"), str(out), *files, "--threads", str(self.arguments.threads), "--json", str(answer)]
        self.note(row, run(script, self.log))
        return json.loads(answer.read_text())["counts"]

    def tessera(self, *words):
        return run([self.arguments.tessera, "--project", str(self.work / "project"), *words], self.log)

    def new_project(self):
        project = self.work / "project"
        shutil.rmtree(project, ignore_errors=True)
        project.mkdir(parents=True)
        (project / "tessera.toml").write_text(CONFIG.format(threads=self.arguments.threads))

    def counts(self):
        self.tessera("sql", COUNTS, "--format", "json")
        # Progress and log lines, if there are any, come before the answer.
        text = self.log.read_text()
        answer = json.loads(text[min(place for place in (text.find("["), text.find("{")) if place >= 0):])
        return answer[0] if isinstance(answer, list) else answer


def check_same(what, ours, theirs):
    names = ("events", "orders", "revenue", "profiles", "identifiers", "sessions", "page_views", "daily")
    differences = [f"{name}: {ours[name]} and {theirs[name]}" for name in names if Decimal(str(ours[name])) != Decimal(str(theirs[name]))]
    if differences:
        sys.exit(f"the answers differ {what} (Tessera's and the other): " + "; ".join(differences))


def make_data(arguments, data):
    """The files of the base and the one with 1 % more."""
    base, later = [str(data / f"web-{n + 1}.ndjson") for n in range(FILES)], str(data / "later.ndjson")
    if not (data / "complete").exists():
        print(f"making {arguments.events} events of {arguments.people} people", flush=True)
        options = ["--stream", str(FILES), "--days", str(DAYS), "--end", str(END)]
        data.mkdir(parents=True, exist_ok=True)
        run([arguments.generate, str(arguments.people), str(arguments.events), str(data), *options], data / "generate.log")
        (data / "complete").touch()
    return base, later


def one_round(sides, base, later, number):
    print(f"round {number + 1}", flush=True)
    # Who goes first changes with the round, so that neither always finds the files in the page cache.
    theirs = sides.duckdb("DuckDB, whole job", base) if number % 2 == 0 else None
    sides.new_project()
    ingest = sides.tessera("ingest", "--source", "web", *base)
    refresh = sides.tessera("refresh")
    sides.note("Tessera, ingest", ingest)
    sides.note("Tessera, refresh", refresh)
    sides.note("Tessera, whole job", together(ingest, refresh))
    ours = sides.counts()
    theirs = theirs or sides.duckdb("DuckDB, whole job", base)
    check_same("after the whole job", ours, theirs)

    ingest = sides.tessera("ingest", "--source", "web", later)
    sides.note("Tessera, 1 % more", together(ingest, sides.tessera("refresh")))
    incremental = sides.counts()
    check_same("after 1 % more", incremental, sides.duckdb("DuckDB, 1 % more", [*base, later]))
    sides.note("Tessera, refresh --full", sides.tessera("refresh", "--full"))
    check_same("between the incremental and the full refresh", sides.counts(), incremental)
    return ours


def medians(figures):
    return {row: {key: statistics.median(f[key] for f in runs) for key in ("seconds", "cpu", "memory")} for row, runs in figures.items()}


def report(arguments, middle, counts, load):
    print(f"\n{arguments.events} events of {arguments.people} people, {arguments.threads} threads, medians of {arguments.rounds} rounds, "
          f"load average {load:.2f} at the start.\n")
    print("| job | seconds | processor seconds | peak memory, MiB |\n|---|---:|---:|---:|")
    for row, m in middle.items():
        print(f"| {row} | {m['seconds']:.2f} | {m['cpu']:.2f} | {m['memory']:.0f} |")
    print("\n| DuckDB / Tessera (above 1: Tessera needs less) | time | processor | memory |\n|---|---:|---:|---:|")
    ratios = [("whole job", "DuckDB, whole job", "Tessera, whole job"), ("1 % more", "DuckDB, 1 % more", "Tessera, 1 % more"),
              ("Tessera's own: refresh --full / 1 % more", "Tessera, refresh --full", "Tessera, 1 % more")]
    for name, slow, fast in ratios:
        a, b = middle[slow], middle[fast]
        print(f"| {name} | {a['seconds'] / b['seconds']:.2f} | {a['cpu'] / b['cpu']:.2f} | {a['memory'] / b['memory']:.2f} |")
    print("\nBoth answer: " + ", ".join(f"{name} {value}" for name, value in counts.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tessera", default=str(HERE.parent / "target/release/tessera"))
    parser.add_argument("--generate", default=str(HERE.parent / "target/release/examples/generate"))
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "tessera-bench"), help="folder for data and tables")
    arguments = parser.parse_args()
    work = pathlib.Path(arguments.work)
    base, later = make_data(arguments, work / f"events-{arguments.people}-{arguments.events}")
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"the machine is busy (load average {load:.2f}): trust processor seconds more than seconds", flush=True)
    sides = Sides(arguments, work)
    for number in range(arguments.rounds):
        counts = one_round(sides, base, later, number)
    report(arguments, medians(sides.figures), counts, load)


if __name__ == "__main__":
    main()
