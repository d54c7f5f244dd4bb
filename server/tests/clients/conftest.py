"""The real binary, and projects to run it on.

The tests in this folder know Tessera as its users do: a command line, an exit code, what is printed, and a lake of Delta
tables. They never look inside the engine.
"""

import json
import os
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from serving import serving

REPOSITORY = Path(__file__).resolve().parents[3]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
TIMEOUT_SECONDS = 600

WEB_AND_TILL = """
version = 1

[lake]
url = "{lake}"

[[source]]
name = "web"
format = "segment"
touchpoint = "web"
party = "first"

[[source]]
name = "till"
format = "csv"
kind = "events"
touchpoint = "pos"
party = "first"
event = "Order Completed"
occurred_at = "purchased_on"
identifiers = {{ customer_id = "customer_id" }}
revenue = "amount"
currency = "USD"
properties = ["quantity"]

[[source]]
name = "crm"
format = "csv"
touchpoint = "crm"
party = "first"
key = "id"
updated_at = "updated"
identifiers = {{ crm_id = "id", email = "email" }}
attributes = {{ first_name = "first_name" }}

[identity]
namespaces = [
  {{ name = "crm_id" }},
  {{ name = "user_id" }},
  {{ name = "customer_id" }},
  {{ name = "email", normalize = "email" }},
  {{ name = "anonymous_id" }},
]
"""


class Project:
    """A project's folder and the commands on it."""

    def __init__(self, binary, folder, config=None, lake="lake", env=None):
        self.binary = str(binary)
        self.folder = Path(folder)
        # Whatever AWS_* the machine has must not steer a test.
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | (env or {})
        if config is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "tessera.toml").write_text(config.format(lake=lake))

    def command(self, *arguments):
        return [self.binary, "--project", str(self.folder), *map(str, arguments)]

    def run(self, *arguments, check=True, **options):
        """Runs a command. Whatever becomes of it, it must not panic; with `check` it must succeed."""
        finished = subprocess.run(
            self.command(*arguments), env=self.env, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, **options
        )
        assert "panicked" not in finished.stderr, f"{arguments}: {finished.stderr}"
        assert finished.returncode in (0, 1, 2), f"{arguments} ended with {finished.returncode}: {finished.stderr}"
        if check:
            assert finished.returncode == 0, f"{arguments}: {finished.stderr}"
        return finished

    def refused(self, *arguments, **options):
        """Runs a command that must fail, and hands back its message."""
        finished = self.run(*arguments, check=False, **options)
        assert finished.returncode != 0, f"{arguments} succeeded: {finished.stdout}"
        assert finished.stderr.startswith("error: "), finished.stderr
        return finished.stderr

    def write(self, name, content):
        """Writes a file of data and hands back its path."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def ingest(self, source, *files):
        return self.run("ingest", "--source", source, *files).stdout

    def refresh(self, *arguments):
        return self.run("refresh", *arguments).stdout

    def sql(self, query, *arguments):
        """The answer's rows as dictionaries; numbers with a fraction are exact."""
        printed = self.run("sql", query, "--format", "json", *arguments).stdout.strip()
        return json.loads(printed or "[]", parse_float=Decimal)

    def value(self, query):
        """The only value of the only row."""
        [row] = self.sql(query)
        [value] = row.values()
        return value

    def quarantine(self):
        """How many rows of each reason."""
        rows = self.sql("select reason, count(*) as rows from landing.quarantine group by reason")
        return {row["reason"]: row["rows"] for row in rows}

    def dump(self):
        """All that a project knows, but for the instants and the order of landing."""
        return {query: sorted(known(row) for row in self.sql(query)) for query in KNOWN}


def known(row):
    """A row as text. Ordinals are left out: they are given out in the order of landing."""
    return json.dumps({column: value for column, value in row.items() if column not in ("ordinal", "profile_ordinal")}, sort_keys=True, default=str)


def assert_same(one, other):
    """Compares two dumps. pytest's own comparison takes hours over tables of a hundred thousand rows that differ."""
    for query in KNOWN:
        only = [sorted(set(a) - set(b))[:3] for a, b in ((one[query], other[query]), (other[query], one[query]))]
        assert only == [[], []], f"rows that only one has: {query}"
        assert len(one[query]) == len(other[query]), f"one has rows twice: {query}"


KNOWN = [
    "select source, touchpoint, party, event_id, event_type, event_name, occurred_at, namespace, value, page_path, revenue, currency, properties"
    " from staging.events",
    "select * from staging.identifiers",
    "select * from identity.identities",
    "select * from profile.profiles",
    "select * from profile.attributes",
    "select * from behavior.sessions",
    "select * from behavior.daily_activity",
    "select * from behavior.trends",
]


@pytest.fixture(scope="session")
def binary():
    path = Path(os.environ.get("TESSERA_BIN", REPOSITORY / "target" / "debug" / "tessera"))
    if not path.is_file():
        pytest.fail(f"there is no {path}: run `cargo build -p tessera-server`, or set TESSERA_BIN")
    return path.resolve()


@pytest.fixture
def project(binary, tmp_path):
    """A project with a web site, a till and a CRM, and nothing landed."""
    return Project(binary, tmp_path / "project", WEB_AND_TILL)


@pytest.fixture
def new_project(binary, tmp_path_factory):
    """Makes further projects of the same kind."""

    def make(**options):
        return Project(binary, tmp_path_factory.mktemp("project"), WEB_AND_TILL, **options)

    return make


@pytest.fixture(scope="session")
def shop(binary, tmp_path_factory):
    """The demo's shop, small, refreshed once; tests only read it."""
    project = Project(binary, tmp_path_factory.mktemp("shop") / "shop")
    project.run("demo", project.folder, "--people", "300", "--events", "6000", "--seed", "7", "--exit")
    return project


@pytest.fixture(scope="session")
def server(shop):
    """A server of that shop."""
    with serving(shop) as server:
        server.wait_until_ready()
        yield server


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data beside the repository. On a laptop it may be absent; in CI it must not be."""
    if not SHARED_DATA.is_dir():
        message = f"there is no {SHARED_DATA}"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    return SHARED_DATA


def orders(count, first=0):
    """A till's CSV of `count` orders: one a customer, each of 1.25."""
    rows = "".join(f"c{number},2026-03-{number % 28 + 1:02}T10:00:00Z,1,1.25\n" for number in range(first, first + count))
    return "customer_id,purchased_on,quantity,amount\n" + rows
