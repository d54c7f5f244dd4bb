"""Identity resolution of a file of links, beside what others would use: the same Parquet, two threads each, in turn.

    python3 -m venv target/peers && target/peers/bin/pip install duckdb polars scipy pyarrow numpy
    cargo build --release --workspace --bins
    target/peers/bin/python benches/run_identity.py [--people 2000000] [--rows 10000000] [--rounds 3]

* full: the links to a written table of identifier and person;
* 1 % more: what later links change, written as the rows that change: with the graph of before in memory, as a server keeps it, and
  by scans, as on the command line;
* limits: as full, with 5 % of the people in a conflict over a device, without limits and with them.

Prints Markdown tables of medians, and stops with an error if the answers differ.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

from run_main_job import run

HERE = pathlib.Path(__file__).resolve().parent
PEERS = {"DuckDB, `USING KEY`": "duckdb_using_key", "DuckDB, loop": "duckdb_loop", "Polars and SciPy": "polars_scipy"}
MEMORY_MIB = 1536


class Bench:
    """Runs commands and keeps their figures by name."""

    def __init__(self, arguments, work):
        self.arguments, self.work, self.figures = arguments, work, {}

    def note(self, name, command):
        figures = run(command, self.work / "last-command.log")
        # What the command measured itself: reading to writing, without the start of a Python interpreter.
        figures["seconds"] = float((self.work / "last-command.log").read_text().split()[-1])
        self.figures.setdefault(name, []).append(figures)
        print(f"  {name}: {figures['seconds']:.3f} s, {figures['cpu']:.2f} s of processor, {figures['memory']:.0f} MiB", flush=True)

    def ours(self, name, sql, *options, **parameters):
        values = [f"{key}={value}" for key, value in parameters.items()]
        memory = ["--memory-mib", str(MEMORY_MIB)]
        self.note(name, [self.arguments.resolve, *memory, *options, str(HERE / "identity" / "sql" / f"{sql}.sql"), *values])

    def peer(self, name, script, links, out):
        self.note(name, [sys.executable, str(HERE / "peers" / "identity" / f"{script}.py"), str(links), str(out)])


def ask(sql):
    """The one row of an answer. In a process of its own: a child's peak memory begins with its parent's."""
    program = "import duckdb, json, sys; print(json.dumps(duckdb.sql(sys.argv[1]).fetchall()[0]))"
    return json.loads(subprocess.run([sys.executable, "-W", "ignore", "-c", program, sql], check=True, capture_output=True, text=True).stdout)


def counts(file, person):
    return ask(f"select count(*), count(distinct {person}) from '{file}'")


def same(what, ours, theirs):
    if ours != theirs:
        sys.exit(f"the answers differ, {what}: {ours} and {theirs}")


def make_data(arguments, data):
    """The links, 1 % more of them, and those of shared devices."""
    files = {"links": data / "links.parquet", "more": data / "more.parquet", "conflicts": data / "conflicts.parquet"}
    if not (data / "complete").exists():
        print(f"making {arguments.rows} links of {arguments.people} people", flush=True)
        data.mkdir(parents=True, exist_ok=True)
        generate = [sys.executable, str(HERE / "peers" / "identity" / "generate.py"), str(arguments.people)]
        for name, rows, options in [("links", arguments.rows, []), ("more", arguments.rows // 100, ["--seed", "9"]),
                                    ("conflicts", arguments.rows, ["--conflicts", "0.06"])]:
            run([*generate, str(rows), str(files[name]), *options], data / "generate.log")
        (data / "complete").touch()
    return files


def one_round(bench, files, number):
    print(f"round {number + 1}", flush=True)
    work = bench.work
    people = work / "people.parquet"
    bench.ours("Tessera", "full", links=files["links"], out=people)
    expected = counts(people, "person")
    for name, script in PEERS.items():
        bench.peer(name, script, files["links"], work / "peer.parquet")
        same(name, expected, counts(work / "peer.parquet", "c"))

    changed = work / "changed.parquet"
    bench.ours("Tessera, 1 % more, graph kept", "more_kept", "--kept", str(people), links=files["more"], out=changed)
    bench.ours("Tessera, 1 % more, by scans", "more", people=people, links=files["more"], out=work / "scanned.parquet")
    same("1 % more with the graph and by scans", ask(f"select count(*) from '{changed}'"), ask(f"select count(*) from '{work / 'scanned.parquet'}'"))
    differing = ask(f"select count(*) from ((from '{changed}') except (from '{work / 'scanned.parquet'}'))")[0]
    same("1 % more with the graph and by scans", differing, 0)
    both = work / "both"
    shutil.rmtree(both, ignore_errors=True)
    both.mkdir()
    for name in ("links", "more"):
        os.link(files[name], both / files[name].name)
    bench.ours("Tessera, all of it anew", "full", links=f"{both}/", out=work / "anew.parquet")
    merged = f"""select namespace, value, coalesce(changed.person, people.person) as person
        from '{people}' people full join '{changed}' changed using (namespace, value)"""
    differing = ask(f"select count(*) from (({merged}) except (from '{work / 'anew.parquet'}'))")[0]
    same("1 % more and all of it anew", differing, 0)
    same("1 % more and all of it anew", counts(work / "anew.parquet", "person"), ask(f"select count(*), count(distinct person) from ({merged})"))

    (both / "more.parquet").unlink()
    os.link(files["conflicts"], both / "conflicts.parquet")
    bench.ours("Tessera, conflicts, no limits", "full", links=f"{both}/", out=work / "unlimited.parquet")
    limited = work / "limited.parquet"
    bench.ours("Tessera, conflicts, with limits", "limits", links=f"{both}/", out=limited)
    crowded = ask(f"""select count(*) from
        (select person from '{limited}' where namespace = 'user_id' group by person having count(*) > 1)""")[0]
    same("persons with two logins", crowded, 0)
    same("identifiers", counts(work / "unlimited.parquet", "person")[0], counts(limited, "person")[0])
    conflicts = ask(f"""select count(*) filter (where logins > 1), count(*) from
        (select count(*) filter (where namespace = 'user_id') as logins from '{work / 'unlimited.parquet'}' group by person)""")
    return expected, conflicts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=2_000_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--resolve", default=str(HERE.parent / "target/release/resolve"))
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "tessera-bench-identity"), help="folder for data and tables")
    arguments = parser.parse_args()
    work = pathlib.Path(arguments.work)
    files = make_data(arguments, work / f"links-{arguments.people}-{arguments.rows}")
    os.environ["POLARS_MAX_THREADS"] = "2"
    bench = Bench(arguments, work)
    for number in range(arguments.rounds):
        (identifiers, persons), (crowded, connected) = one_round(bench, files, number)

    middle = {name: {key: statistics.median(f[key] for f in runs) for key in ("seconds", "cpu", "memory")} for name, runs in bench.figures.items()}
    print(f"\n{arguments.rows} links, {identifiers} identifiers of {persons} people; medians of {arguments.rounds} rounds.\n")
    print("| | seconds | processor seconds | peak memory, MiB |\n|---|---:|---:|---:|")
    for name, m in middle.items():
        print(f"| {name} | {m['seconds']:.2f} | {m['cpu']:.2f} | {m['memory']:.0f} |")
    seconds = {name: m["seconds"] for name, m in middle.items()}
    best = min(seconds[name] for name in PEERS)
    print(f"\n| ratio | |\n|---|---:|\n| Tessera / the best other | {seconds['Tessera'] / best:.2f} |")
    for way in ("graph kept", "by scans"):
        print(f"| 1 % more, {way} / all of it anew | {seconds[f'Tessera, 1 % more, {way}'] / seconds['Tessera, all of it anew']:.3f} |")
    print(f"| with limits / without, {100 * crowded / connected:.1f} % of the components in conflict | "
          f"{seconds['Tessera, conflicts, with limits'] / seconds['Tessera, conflicts, no limits']:.2f} |")


if __name__ == "__main__":
    main()
