"""Long answers, broken inputs, full disks: a clear error or a quarantined row, never a panic, never a lost good row."""

import contextlib
import errno
import gzip
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest

from conftest import WEB_AND_TILL, Project, orders
from serving import wait_for

MEGABYTE = 1 << 20
GROWTH_MAX = 150 * MEGABYTE

# Runs a command and prints the peak of its memory in kilobytes and its exit code. A process of its own, because the
# peak that Linux reports for a child begins with that of the process it was forked from.
MEASURE = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[2:], stdout=open(sys.argv[1], "wb"))
_, status, usage = os.wait4(child.pid, 0)
print(usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""


def peak_bytes(project, output, *arguments):
    """The peak memory of a command whose output goes to the file `output`."""
    command = [sys.executable, "-S", "-c", MEASURE, str(output), *project.command(*arguments)]
    finished = subprocess.run(command, env=project.env, capture_output=True, text=True, timeout=600)
    assert "panicked" not in finished.stderr, finished.stderr
    kilobytes, code = map(int, finished.stdout.split())
    assert code == 0, finished.stderr
    return kilobytes * 1024


def line_count(path):
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(MEGABYTE), b""))


@pytest.mark.parametrize("form", ["table", "csv", "json", "ndjson"])
def test_an_answer_of_millions_of_rows_streams(project, tmp_path, form):
    query = "select value, 'row ' || value as text from generate_series(1, {})"
    output = tmp_path / "answer"
    short = peak_bytes(project, output, "sql", query.format(50_000), "--format", form)
    long = peak_bytes(project, output, "sql", query.format(5_000_000), "--format", form)
    assert long - short < GROWTH_MAX, f"{short >> 20} MB for 50 thousand rows, {long >> 20} MB for 5 million"
    assert output.read_bytes().count(b"row ") == 5_000_000
    if form in ("csv", "ndjson"):
        assert line_count(output) == 5_000_000 + (form == "csv")


def test_an_answer_from_a_table_streams(project, tmp_path):
    project.ingest("till", project.write("till.csv", orders(2_300)))
    project.refresh()
    query = "select one.event_id, other.value from staging.events one cross join (select * from staging.events limit {}) other"
    output = tmp_path / "answer.csv"
    short = peak_bytes(project, output, "sql", query.format(22), "--format", "csv")
    assert line_count(output) == 2_300 * 22 + 1
    long = peak_bytes(project, output, "sql", query.format(2_200), "--format", "csv")
    assert line_count(output) == 2_300 * 2_200 + 1
    assert long - short < GROWTH_MAX, f"{short >> 20} MB for 50 thousand rows, {long >> 20} MB for 5 million"


@pytest.mark.parametrize("form", ["table", "csv", "json", "ndjson"])
def test_a_reader_that_stops_early_ends_the_query(project, form):
    command = project.command("sql", "select * from generate_series(1, 1000000000)", "--format", form)
    running = subprocess.Popen(command, env=project.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    running.stdout.read(100)  # not a line: an array in JSON is a single one
    running.stdout.close()
    try:
        code = running.wait(timeout=60)
    finally:
        running.kill()
    message = running.stderr.read()
    assert code == 0 and message == "", f"{code}: {message}"


# --- Broken inputs -----------------------------------------------------------------------------------------------------


def call(number, **more):
    return {"type": "track", "event": "Seen", "messageId": f"m{number}", "userId": f"u{number}", "timestamp": "2026-03-01T10:00:00Z"} | more


def event_count(project):
    project.refresh()
    return project.value("select count(*) from staging.events")


def test_half_a_gzip_lands_nothing_and_the_whole_everything(project):
    # Digits that do not compress away, so that half of the bytes hold thousands of whole rows.
    dice = random.Random(1)
    rows = "".join(f"c{dice.randrange(10**12)},2026-03-01,1,{dice.randrange(10**6) / 100}\n" for _ in range(20_000))
    whole = gzip.compress(("customer_id,purchased_on,quantity,amount\n" + rows).encode())
    message = project.refused("ingest", "--source", "till", project.write("half.csv.gz", whole[: len(whole) // 2]))
    assert "half.csv.gz" in message and ("cut off" in message or "truncated" in message or "damaged" in message), message
    assert event_count(project) == 0
    project.ingest("till", project.write("whole.csv.gz", whole))
    assert event_count(project) == 20_000


def test_a_damaged_gzip_is_refused(project):
    whole = bytearray(gzip.compress(orders(5_000).encode()))
    whole[len(whole) // 2] ^= 0xFF
    message = project.refused("ingest", "--source", "till", project.write("damaged.csv.gz", bytes(whole)))
    assert "damaged.csv.gz" in message, message
    assert event_count(project) == 0


def test_a_row_that_is_not_utf_8_is_quarantined_alone(project):
    rows = ["id,updated,email,first_name", "1,2026-03-01,a@example.com,Zoé", "2,2026-03-01,b@example.com,René", "3,2026-03-01,c@example.com,Ann"]
    content = "\n".join(rows[:2]).encode() + b"\n" + rows[2].encode("latin-1") + b"\n" + rows[3].encode() + b"\n"
    project.ingest("crm", project.write("crm.csv", content))
    project.refresh()
    assert project.quarantine() == {"bad_encoding": 1}
    assert project.value("select line from landing.quarantine") == 3
    names = {row["first_name"] for row in project.sql("select first_name from profile.profiles")}
    assert names == {"Zoé", "Ann"}

    latin = json.dumps(call(2, properties={"name": "René"}), ensure_ascii=False).encode("latin-1")
    content = b"\n".join([json.dumps(call(1)).encode(), latin, json.dumps(call(3)).encode()]) + b"\n"
    project.ingest("web", project.write("web.ndjson", content))
    assert event_count(project) == 2
    assert project.quarantine() == {"bad_encoding": 2}


@pytest.mark.parametrize("last", [False, True], ids=["in the middle", "last, without an end"])
def test_a_line_of_50_megabytes_is_quarantined_alone(project, tmp_path, last):
    huge = json.dumps(call(2, properties={"text": "x" * (50 * MEGABYTE)}))
    text = [json.dumps(call(1)), huge] if last else [json.dumps(call(1)), huge, json.dumps(call(3))]
    content = "\n".join(text) + ("" if last else "\n")
    peak = peak_bytes(project, tmp_path / "out", "ingest", "--source", "web", project.write("web.ndjson.gz", gzip.compress(content.encode(), 1)))
    assert peak < 400 * MEGABYTE, f"{peak >> 20} MB"
    assert event_count(project) == len(text) - 1
    assert project.quarantine() == {"too_large": 1}
    [row] = project.sql("select line, detail, character_length(raw) as kept from landing.quarantine")
    assert row["line"] == 2 and 0 < row["kept"] <= 65_536, row


def test_a_csv_row_of_50_megabytes_is_quarantined_alone(project):
    content = orders(2) + "c9,2026-03-01,1," + "9" * (50 * MEGABYTE) + "\n" + "c10,2026-03-01,1,2.50\n"
    project.ingest("till", project.write("till.csv", content))
    assert event_count(project) == 3
    assert project.quarantine() == {"too_large": 1}


def test_a_missing_column_is_named(project):
    message = project.refused("ingest", "--source", "till", project.write("till.csv", "customer_id,bought_on,quantity,amount\n1,2026-03-01,1,2.50\n"))
    assert "`purchased_on`" in message and "4 columns" in message, message
    assert event_count(project) == 0
    assert project.quarantine() == {}


def test_broken_rows_are_quarantined_with_their_lines_and_the_good_ones_land(project):
    rows = [
        "customer_id,purchased_on,quantity,amount",
        "1,2026-03-01,1,2.50",
        "2,yesterday,1,2.50",
        "3,2026-03-01,1,two",
        "4,2026-03-01",
        ",2026-03-01,1,2.50",
        "6,1815-06-18,1,2.50",
        "7,2026-03-01,1,2.50",
    ]
    printed = project.ingest("till", project.write("till.csv", "\n".join(rows) + "\n"))
    assert "2 rows landed, 5 quarantined" in printed
    assert event_count(project) == 2
    found = project.sql("select line, reason from landing.quarantine order by line")
    expected = {3: "bad_time", 4: "bad_number", 5: "bad_row", 6: "no_identifier", 7: "impossible_time"}
    assert {row["line"]: row["reason"] for row in found} == expected


def test_a_quote_that_is_never_closed_costs_one_row(project):
    rows = orders(1_000).splitlines()
    rows[500] = rows[500].replace(",", ',"', 1)
    project.ingest("till", project.write("till.csv", "\n".join(rows) + "\n"))
    assert event_count(project) == 999
    assert project.sql("select line, reason from landing.quarantine") == [{"line": 501, "reason": "bad_row"}]


@pytest.mark.parametrize("content", [b"", b"\n\n\n", b"customer_id,purchased_on,quantity,amount\n"], ids=["empty", "blank lines", "a header alone"])
def test_an_input_without_rows_is_no_disaster(project, content):
    finished = project.run("ingest", "--source", "till", project.write("till.csv", content), check=False)
    assert finished.returncode == 0 or "till.csv" in finished.stderr
    assert event_count(project) == 0


def test_inputs_that_cannot_be_read_are_named(project):
    assert "nowhere.csv" in project.refused("ingest", "--source", "till", project.folder / "nowhere.csv")
    assert str(project.folder) in project.refused("ingest", "--source", "till", project.folder)
    message = project.refused("ingest", "--source", "tills", project.write("till.csv", orders(1)))
    assert "`tills`" in message and "till" in message, message


def test_good_inputs_before_a_broken_one_stay(project):
    good, broken = project.write("good.csv", orders(5)), project.write("broken.csv", "nothing\n1\n")
    project.refused("ingest", "--source", "till", good, broken)
    assert "nothing added" in project.ingest("till", good)
    assert event_count(project) == 5


# --- Full disks --------------------------------------------------------------------------------------------------------

FULL_WORDS = {errno.EFBIG: "file too large", errno.ENOSPC: "no space left"}


def file_size_limit(size):
    """What a child runs to be able to write no file larger than `size`: a full disk that needs no privileges."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    # Python would reset the signal after this, and the child would be killed instead of being told.
    return {"preexec_fn": limit, "restore_signals": False}


def incompressible_orders(count):
    dice = random.Random(2)
    rows = "".join(f"{dice.randbytes(16).hex()},2026-03-01,1,1.25\n" for _ in range(count))
    return "customer_id,purchased_on,quantity,amount\n" + rows


def test_a_disk_that_fills_up_during_an_ingest(project):
    project.ingest("till", project.write("first.csv", orders(5)))
    assert event_count(project) == 5
    file = project.write("till.csv", incompressible_orders(20_000))
    message = project.refused("ingest", "--source", "till", file, **file_size_limit(100_000))
    assert FULL_WORDS[errno.EFBIG] in message.lower() and "till.csv" in message, message
    assert event_count(project) == 5
    assert "20,000 rows landed" in project.ingest("till", file)
    assert event_count(project) == 20_005


def test_a_disk_that_fills_up_during_a_refresh(project):
    project.ingest("till", project.write("first.csv", orders(5)))
    assert event_count(project) == 5
    project.ingest("till", project.write("till.csv", incompressible_orders(20_000)))
    message = project.refused("refresh", **file_size_limit(100_000))
    assert FULL_WORDS[errno.EFBIG] in message.lower(), message
    # The last generation is still served, whole.
    assert project.value("select count(*) from staging.events") == 5
    assert project.value("select count(*) from profile.profiles") == 5
    assert event_count(project) == 20_005
    assert project.value("select count(*) from profile.profiles") == 20_005


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB, where a test may make one, and how to make it larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("only root may mount a file system; the tests with a limit on file sizes cover the same paths")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=200m", folder], check=True)
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_disk_that_is_really_full(binary, tmp_path, small_disk):
    disk, enlarge = small_disk
    project = Project(binary, tmp_path / "project", WEB_AND_TILL, lake=str(disk / "lake"))
    project.ingest("till", project.write("first.csv", orders(5)))
    assert event_count(project) == 5
    file = project.write("till.csv", incompressible_orders(80_000))
    message = project.refused("ingest", "--source", "till", file)
    assert FULL_WORDS[errno.ENOSPC] in message.lower() and "till.csv" in message, message
    # What it had written is gone again: there is room for others.
    assert event_count(project) == 5
    enlarge()
    project.ingest("till", file)
    assert event_count(project) == 80_005


def killed_after(seconds, project, *arguments):
    running = subprocess.Popen(project.command(*arguments), env=project.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    running.kill()
    running.wait()


def test_a_command_that_is_killed_loses_and_doubles_nothing(project):
    project.ingest("till", project.write("first.csv", orders(5)))
    assert event_count(project) == 5
    file = project.write("till.csv", incompressible_orders(20_000))
    for tries in range(1, 9):
        killed_after(tries * 0.08, project, "ingest", "--source", "till", file)
    project.ingest("till", file)
    for tries in range(1, 9):
        killed_after(tries * 0.25, project, "refresh")
        # Whether it had published or not: what is served is one generation, whole.
        served = project.value("select count(*) from staging.events")
        assert served in (5, 20_005)
        assert project.value("select count(*) from profile.profiles") == served
    assert event_count(project) == 20_005
    assert project.value("select count(*) from landing.events") == 20_005


SIGNALS = pytest.mark.parametrize("by, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
# Tables of that day, and then rows without end.
ENDLESS = "select event_id from staging.events union all select cast(value as varchar) from generate_series(1, 100000000000)"


@contextlib.contextmanager
def working_in(temporary, project, *arguments, stdout=subprocess.DEVNULL):
    """A command, from the moment that it has made tables in the folder for temporary files."""
    temporary.mkdir()
    env = project.env | {"TMPDIR": str(temporary)}
    running = subprocess.Popen(project.command(*arguments), env=env, stdout=stdout, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: any(temporary.rglob("*.parquet")), "tables are made")
        assert running.poll() is None
        yield running
    finally:
        running.kill()


@SIGNALS
@pytest.mark.parametrize("command", ["sql", "identity"])
def test_a_command_that_is_stopped_leaves_no_temporary_tables(project, tmp_path, command, by, code):
    project.ingest("till", project.write("till.csv", orders(20_000)))
    project.refresh()
    arguments = {"sql": ["sql", ENDLESS, "--as-of-date", "2026-03-31", "--format", "csv"], "identity": ["identity", "simulate"]}[command]
    with working_in(tmp_path / "temporary", project, *arguments) as running:
        running.send_signal(by)
        assert running.wait(30) == code, running.stderr.read()
        assert running.stderr.read().startswith("error: stopped by ")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_command_that_waits_for_its_reader_can_be_stopped(project, tmp_path):
    project.ingest("till", project.write("till.csv", orders(20)))
    project.refresh()
    arguments = ["sql", ENDLESS, "--as-of-date", "2026-03-31", "--format", "csv"]
    with working_in(tmp_path / "temporary", project, *arguments, stdout=subprocess.PIPE) as running:
        time.sleep(3)  # until the pipe is full
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_a_command_did_counts_even_if_it_cannot_be_told(project):
    file = project.write("till.csv", orders(5))
    for command in (["ingest", "--source", "till", file], ["refresh"], ["check"], ["sql", "select 1"]):
        with open("/dev/full", "w") as full:
            finished = subprocess.run(project.command(*command), env=project.env, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        assert "panicked" not in finished.stderr, f"{command}: {finished.stderr[:500]}"
        assert finished.returncode != 0 and FULL_WORDS[errno.ENOSPC] in finished.stderr.lower(), f"{command}: {finished.stderr}"
    assert "nothing added" in project.ingest("till", file)
    assert project.value("select count(*) from staging.events") == 5


def test_a_query_beyond_its_memory_spills_or_refuses(binary, tmp_path):
    project = Project(binary, tmp_path / "project", WEB_AND_TILL + '\n[engine]\nmemory_limit = "64MiB"\n')
    output = tmp_path / "answer.csv"
    # Sorting 5 million rows of text takes far more than 64 MiB: it goes to disk and comes back in order.
    query = "select lpad(cast((value * 7919) % 5000000 as varchar), 40, '0') as text from generate_series(1, 2000000) order by text"
    peak = peak_bytes(project, output, "sql", query, "--format", "csv")
    assert peak < 600 * MEGABYTE, f"{peak >> 20} MB"
    assert line_count(output) == 2_000_001
