"""A server under load: look-ups, estimates, a large result by Flight SQL beside a bare stream and PostgreSQL, and all at once.

    cargo build --release --workspace --bins --examples
    python3 -m venv venv && venv/bin/pip install duckdb adbc-driver-flightsql adbc-driver-manager adbc-driver-postgresql psycopg[binary] pyarrow
    apt-get install postgresql
    venv/bin/python benches/run_load.py [--people 2600000] [--events 10000000] [--mixed-seconds 300]

Client and server are on this machine. The data are those of `run_main_job.py`; of 2.6 million people about a million do
something. PostgreSQL's server is started here, on a free port, with the rows that the query selects in a table of its own,
analysed and vacuumed.

Prints Markdown tables. Data and tables are made once and kept in the work folder.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from run_main_job import CONFIG, HERE, make_data
from served import Server

SEGMENTS = {"buyers": "order_count >= 1", "spenders": "lifetime_value > 100"}
SIMPLE, WITH_EVENTS = "lifetime_value > 100", "event_count('Order Completed', within => interval '400 days') >= 2"
# Ten million rows of every kind that an analyst asks for: ids, times, names, money.
EXTRACT = ["event_id", "occurred_at", "touchpoint", "event_name", "namespace", "value", "page_path", "revenue", "currency"]
MIXED_REFRESHES = 3


class Postgres:
    """A PostgreSQL server in a folder, on a free port, for the length of a `with`."""

    def __init__(self, folder):
        programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        if not programs:
            sys.exit("PostgreSQL is not installed: apt-get install postgresql")
        self.programs, self.folder = programs[-1], folder
        # The server refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if self.user:
            shutil.chown(self.folder, self.user)
        self.run("initdb", "-D", "data", "-A", "trust", "-U", "bench", "-E", "UTF8", "--no-sync")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        # As for a machine of this size; nothing must survive a crash.
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c shared_buffers=4GB -c fsync=off -c max_wal_size=16GB -c jit=off"
        self.run("pg_ctl", "-D", "data", "-w", "-l", "server.log", "-o", options, "start")
        self.uri = f"postgresql://bench@127.0.0.1:{port}/postgres"
        return self

    def __exit__(self, *_):
        self.run("pg_ctl", "-D", "data", "-m", "immediate", "stop")

    def run(self, program, *words):
        done = subprocess.run([str(self.programs / program), *words], cwd=self.folder, user=self.user, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode != 0:
            sys.exit(f"`{program}` failed: {done.stderr.decode()}")


def load(arguments, *words):
    """One command of the load; its figures."""
    done = subprocess.run([arguments.load, *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"`load {words[0]}` failed: {done.stderr}")
    return json.loads(done.stdout)


def tessera(arguments, project, *words, out=None):
    done = subprocess.run([arguments.tessera, "--project", str(project), *words], stdout=out or subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"`tessera {' '.join(words[:3])}` failed: {done.stderr.decode()}")


def make_project(arguments, work):
    """A project with the data landed and refreshed, and the file with what arrives later."""
    base, later = make_data(arguments, work / f"events-{arguments.people}-{arguments.events}")
    project = work / f"served-{arguments.people}-{arguments.events}"
    if not (project / "complete").exists():
        print("landing and refreshing", flush=True)
        shutil.rmtree(project, ignore_errors=True)
        (project / "segments").mkdir(parents=True)
        (project / "tessera.toml").write_text(CONFIG.format(threads=arguments.threads))
        for name, condition in SEGMENTS.items():
            (project / "segments" / f"{name}.sql").write_text(f"-- title: {name}\n-- purpose: measuring\n{condition}\n")
        tessera(arguments, project, "ingest", "--source", "web", *base)
        tessera(arguments, project, "refresh")
        (project / "complete").touch()
    identifiers = work / "emails"
    with open(identifiers, "wb") as out:
        tessera(arguments, project, "sql", "select value from identity.identities where namespace = 'email' order by value", "--format", "csv", out=out)
    emails = identifiers.read_text().splitlines()[1:]
    random.Random(1).shuffle(emails)
    identifiers.write_text("".join(f"email:{email}\n" for email in emails))
    return project, identifiers, later


def measure_lookups(arguments, server, identifiers):
    print("\n| look-ups by e-mail, 32 connections | a second | p50, ms | p99, ms | longest, ms |\n|---|---:|---:|---:|---:|")
    for name, limit, seconds in (("profile, the first 10 s", 0, 10), ("profile", 0, 30), ("profile and 10 latest events, the first 30 s", 10, 30), ("profile and 10 latest events", 10, 30)):
        f = load(arguments, "lookups", "--address", server.address, "--identifiers", identifiers, "--seconds", seconds, "--event-limit", limit)["look_ups"]
        print(f"| {name} | {f['count'] / seconds:.0f} | {f['p50_ms']:.1f} | {f['p99_ms']:.1f} | {f['max_ms']:.1f} |", flush=True)
    print(f"\nThe server was ready after {server.ready_seconds:.1f} s and holds {server.memory_mib():.0f} MiB.")


def measure_estimates(arguments, server):
    print("\n| estimate | people | p50, ms | p99, ms |\n|---|---:|---:|---:|")
    for expression in (SIMPLE, WITH_EVENTS):
        answer = load(arguments, "estimates", "--address", server.address, "--expression", expression)
        f = answer["estimates"]
        print(f"| `{expression}` | {answer['size']} | {f['p50_ms']:.0f} | {f['p99_ms']:.0f} |", flush=True)


def measure_stream(arguments, server, work, sql):
    saved = work / "batches.arrows"
    load(arguments, "fetch", "--address", server.address, "--sql", sql, "--save", saved)
    bare = subprocess.Popen([arguments.load, "serve-batches", str(saved)], stdout=subprocess.PIPE, text=True)
    bare_address = bare.stdout.readline().strip()
    ours, theirs = [], []
    for _ in range(arguments.rounds):
        ours.append(load(arguments, "fetch", "--address", server.address, "--sql", sql))
        theirs.append(load(arguments, "fetch", "--address", bare_address))
    bare.terminate()
    bare.wait()
    saved.unlink()
    print("\n| 10 columns of `staging.events` | rows | seconds | MB/s |\n|---|---:|---:|---:|".replace("10 columns", f"{len(EXTRACT)} columns"))
    seconds = {}
    for name, runs in (("Tessera, Flight SQL", ours), ("the same batches from memory, bare `arrow-flight`", theirs)):
        seconds[name] = statistics.median(run["seconds"] for run in runs)
        print(f"| {name} | {runs[0]['rows']} | {seconds[name]:.2f} | {runs[0]['bytes'] / 1e6 / seconds[name]:.0f} |")
    first, second = seconds.values()
    print(f"\nTessera's rate is {second / first:.0%} of the bare stream's.", flush=True)


ADBC = """
import sys, time
import adbc_driver_{driver}.dbapi as dbapi
with dbapi.connect(sys.argv[1]) as connection, connection.cursor() as cursor:
    started = time.perf_counter()
    cursor.execute(sys.argv[2])
    rows = sum(batch.num_rows for batch in cursor.fetch_record_batch())
    print(rows, time.perf_counter() - started)
"""
# The protocol that every driver of PostgreSQL speaks: rows, here in the binary form, which costs the client less.
PSYCOPG = """
import sys, time
import psycopg
with psycopg.connect(sys.argv[1]) as connection, connection.cursor(name="extract", binary=True) as cursor:
    started, rows = time.perf_counter(), 0
    cursor.execute(sys.argv[2])
    while found := cursor.fetchmany(20_000):
        rows += len(found)
    print(rows, time.perf_counter() - started)
"""


def client(script, uri, sql):
    """Rows and seconds of a client in a process of its own."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script, uri, sql], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"a client failed: {done.stderr}")
    rows, seconds = done.stdout.split()
    return int(rows), float(seconds)


def measure_postgres(arguments, server, work, sql):
    import adbc_driver_flightsql.dbapi as flight
    import adbc_driver_postgresql.dbapi as postgresql

    ours, columns = f"grpc://{server.address}", ", ".join(EXTRACT)
    with Postgres(work / "postgresql") as postgres:
        print("\nfilling PostgreSQL", flush=True)
        with flight.connect(ours, autocommit=True) as source, postgresql.connect(postgres.uri) as target:
            with source.cursor() as rows, target.cursor() as table:
                rows.execute(sql)
                table.adbc_ingest("extract", rows.fetch_record_batch(), mode="create")
            target.commit()
        with postgresql.connect(postgres.uri, autocommit=True) as target, target.cursor() as cursor:
            cursor.execute("vacuum (analyze, freeze) extract")
        theirs = f"select {columns} from extract"
        sides = {
            "Tessera, Flight SQL, `adbc-driver-flightsql`": (ADBC.format(driver="flightsql"), ours, sql),
            "PostgreSQL, rows, `psycopg` in binary form": (PSYCOPG, postgres.uri, theirs),
            "PostgreSQL, binary `COPY`, `adbc-driver-postgresql`": (ADBC.format(driver="postgresql"), postgres.uri, theirs),
        }
        runs = {name: [] for name in sides}
        for _ in range(arguments.rounds):
            for name, side in sides.items():
                runs[name].append(client(*side))
    middle = {name: statistics.median(seconds for _, seconds in of_side) for name, of_side in runs.items()}
    print("\n| the same rows in Python | rows | seconds | times Tessera's |\n|---|---:|---:|---:|")
    for name, seconds in middle.items():
        print(f"| {name} | {runs[name][0][0]} | {seconds:.2f} | {seconds / next(iter(middle.values())):.1f} |", flush=True)


def measure_mixed(arguments, server, project, identifiers, later, work):
    seconds = arguments.mixed_seconds
    # Rows that look-ups keep fill memory at first, as they should: what grows after that should not.
    load(arguments, "lookups", "--address", server.address, "--identifiers", identifiers, "--seconds", 40, "--event-limit", 10)
    before = server.memory_mib()
    lines = pathlib.Path(later).read_bytes().splitlines(keepends=True)
    memory, done = [], threading.Event()

    def watch():
        while not done.wait(1):
            memory.append(server.memory_mib())

    watching = threading.Thread(target=watch)
    watching.start()
    words = ["mixed", "--address", server.address, "--identifiers", str(identifiers), "--segment", "buyers", "--seconds", str(seconds)]
    client = subprocess.Popen([arguments.load, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    refreshes = []
    for number in range(MIXED_REFRESHES):
        time.sleep(seconds / 8)  # all refreshes end before the load does
        part = work / f"later-{os.getpid()}-{number}.ndjson"
        part.write_bytes(b"".join(lines[number::MIXED_REFRESHES]))
        tessera(arguments, project, "ingest", "--source", "web", str(part))
        part.unlink()
        refreshes.append(load(arguments, "refresh", "--address", server.address))
    out, error = client.communicate()
    done.set()
    watching.join()
    if client.returncode != 0:
        sys.exit(f"the mixed load failed: {error}")
    answer = json.loads(out)
    print(f"\n| {seconds} s of everything at once, while {len(refreshes)} refreshes publish | answers | p50, ms | p99, ms | longest, ms |\n|---|---:|---:|---:|---:|")
    for name, f in answer["answers"].items():
        print(f"| {name} | {f['count']} | {f['p50_ms']:.1f} | {f['p99_ms']:.1f} | {f['max_ms']:.0f} |")
    print(f"\nGenerations answered: {answer['generations']}; refreshes took " + ", ".join(f"{r['seconds']:.1f} s" for r in refreshes) + ". No error, no mixed generation.")
    fifths = [memory[i * len(memory) // 5:(i + 1) * len(memory) // 5] for i in range(5)]
    print(f"Memory of the server before: {before:.0f} MiB; highest in each fifth of the time: " + ", ".join(f"{max(part):.0f}" for part in fifths), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    built = HERE.parent / "target/release"
    parser.add_argument("--people", type=int, default=2_600_000)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the large result")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mixed-seconds", type=int, default=300)
    parser.add_argument("--only", nargs="*", choices=["lookups", "estimates", "stream", "postgres", "mixed"])
    parser.add_argument("--tessera", default=str(built / "tessera"))
    parser.add_argument("--load", default=str(built / "load"))
    parser.add_argument("--generate", default=str(built / "examples/generate"))
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "tessera-bench"), help="folder for data and tables")
    arguments = parser.parse_args()
    work = pathlib.Path(arguments.work)
    project, identifiers, later = make_project(arguments, work)
    wanted = arguments.only or ["lookups", "estimates", "stream", "postgres", "mixed"]
    print(f"{arguments.events} events of {arguments.people} people, {arguments.threads} threads, load average {os.getloadavg()[0]:.2f} at the start.", flush=True)
    server = Server(arguments.tessera, project, work / "serve.log")
    try:
        if "lookups" in wanted:
            measure_lookups(arguments, server, identifiers)
        if "estimates" in wanted:
            measure_estimates(arguments, server)
        sql = f"select {', '.join(EXTRACT)} from staging.events limit {arguments.rows}"
        if "stream" in wanted:
            measure_stream(arguments, server, work, sql)
        if "postgres" in wanted:
            measure_postgres(arguments, server, work, sql)
        server.end()
        if "mixed" in wanted:
            # What arrives meanwhile must arrive again next time.
            shutil.rmtree(work / "mixed", ignore_errors=True)
            shutil.copytree(project, work / "mixed")
            server = Server(arguments.tessera, work / "mixed", work / "serve.log")
            measure_mixed(arguments, server, work / "mixed", identifiers, later, work)
            server.end()
            shutil.rmtree(work / "mixed")
    finally:
        if server.process.poll() is None:
            server.process.kill()


if __name__ == "__main__":
    main()
