"""The main job as a good engineer would write it by hand with DuckDB: web events in, unified profiles and behaviour out.

    python main_job_duckdb.py OUT_DIR FILE.ndjson... [--threads 2] [--memory-limit 8GB] [--components loop|using_key] [--json FILE]

Reads Segment calls (one a line), and writes to OUT_DIR as zstd Parquet: landing (every call, with its properties and its
context as they arrived), events (without the calls that came twice, with the profile and the session), links, identities,
profiles, sessions, daily_activity. Prints the seconds of each step, the total, and counts to compare with.

It does less than Tessera, which is in its favour: no quarantine, no limits per namespace, no history of merges, nothing
incremental and no publication of all tables at once.
"""

import argparse
import json
import os
import resource
import time

import duckdb

# Columns of a call; what is asked for as JSON stays the text that arrived.
COLUMNS = {
    "messageId": "VARCHAR", "type": "VARCHAR", "anonymousId": "VARCHAR", "userId": "VARCHAR", "timestamp": "TIMESTAMP",
    "event": "VARCHAR", "context": "JSON", "properties": "JSON", "traits": "JSON",
}
BLOCKED = ("", "null", "none", "undefined", "anonymous", "unknown", "invalid", "n/a", "0", "-1", "[object object]", "test@test.com", "not-specified")
BLOCKLIST = "(" + ", ".join(f"'{value}'" for value in BLOCKED) + ")"

LANDING = """
copy (
    select messageId as event_id, type as event_type,
           case type when 'track' then event when 'page' then 'Page Viewed' when 'screen' then 'Screen Viewed'
                     when 'identify' then 'Identified' when 'group' then 'Grouped' else 'Aliased' end as event_name,
           "timestamp" as occurred_at, 'web' as touchpoint, anonymousId as anonymous_id, userId as user_id,
           coalesce(traits ->> '$.email', c[1]) as email,
           c[2] as page_path, c[3] as page_title, c[4] as referrer, c[5] as utm_source, c[6] as utm_medium, c[7] as utm_campaign,
           case when event like 'Order %' then try_cast(p[1] as decimal(18, 4)) end as revenue, p[2] as currency,
           traits, properties, context
    from (
        select *,
               json_extract_string(context, ['$.traits.email', '$.page.path', '$.page.title', '$.page.referrer',
                                             '$.campaign.source', '$.campaign.medium', '$.campaign.name']) as c,
               case when event like 'Order %' then json_extract_string(properties, ['$.revenue', '$.currency']) end as p
        from read_json({files}, format = 'newline_delimited', columns = {columns})
    )
) to '{out}/landing.parquet' (compression zstd)
"""

# Calls that came twice are few and alike: find them, keep the first, and leave the other rows out of the scan.
TWICE = """
create temp table twice as
select event_id, min(file_row_number) as kept from '{out}/landing.parquet' group by event_id having count(*) > 1
"""
SURPLUS = """
create temp table surplus as
select landing.file_row_number as row from '{out}/landing.parquet' landing join twice using (event_id) where landing.file_row_number <> kept
"""
STAGED = """
create temp table staged as
select event_id, event_name, occurred_at, touchpoint, page_path, utm_source, utm_medium, utm_campaign, revenue, currency, traits,
       case when lower(trim(user_id)) not in {blocklist} then 'user_id:' || trim(user_id) end as user_id,
       case when lower(trim(email)) not in {blocklist} then 'email:' || lower(trim(email)) end as email,
       case when lower(trim(anonymous_id)) not in {blocklist} then 'anonymous_id:' || trim(anonymous_id) end as anonymous_id
from '{out}/landing.parquet' where file_row_number not in (select row from surplus)
"""

# One scan groups the calls by the identifiers they carry; everything about identity follows from the few groups.
KEYS = """
create temp table keys as
select user_id, email, anonymous_id, min(occurred_at) as first_seen_at, max(occurred_at) as last_seen_at, count(*) as event_count
from staged group by all
"""
LINKS = """
create temp table links as
select a, b, min(first_seen_at) as first_seen_at, max(last_seen_at) as last_seen_at, sum(event_count)::bigint as event_count
from (
    select user_id as a, anonymous_id as b, * from keys where user_id is not null and anonymous_id is not null
    union all select user_id, email, * from keys where user_id is not null and email is not null
    union all select email, anonymous_id, * from keys where email is not null and anonymous_id is not null
) group by a, b
"""
IDENTIFIERS = """
create temp table identifiers as
select identifier, rank, min(first_seen_at) as first_seen_at, max(last_seen_at) as last_seen_at,
       (row_number() over ())::integer as id
from (
    select user_id as identifier, 1 as rank, first_seen_at, last_seen_at from keys where user_id is not null
    union all select email, 2, first_seen_at, last_seen_at from keys where email is not null
    union all select anonymous_id, 3, first_seen_at, last_seen_at from keys where anonymous_id is not null
) group by identifier, rank
"""
EDGES = """
create temp table edges as
with e as (select x.id as a, y.id as b from links join identifiers x on x.identifier = links.a join identifiers y on y.identifier = links.b)
select a, b from e union all select b, a from e
"""
COMPONENTS_USING_KEY = """
create temp table labels as
with recursive cc(id, c) using key (id) as (
    select id, id from identifiers
    union
    (select edges.a, min(u.c) from cc u join edges on edges.b = u.id join recurring.cc k on k.id = edges.a where u.c < k.c group by edges.a)
) select id, c from cc
"""
# A profile's id is that of its most trusted identifier, and of those the first that was seen. Inside the job a profile is
# the small number `c` of its component; the id is joined on when a table is written.
PROFILE_IDS = """
create temp table profile_ids as
select c, 'p_' || left(md5(arg_min(identifier, (rank, first_seen_at, identifier))), 24) as profile_id
from identifiers join labels using (id) group by c
"""
IDENTITIES = """
copy (
    select split_part(identifier, ':', 1) as namespace, substr(identifier, instr(identifier, ':') + 1) as value, profile_id, first_seen_at, last_seen_at
    from identifiers join labels using (id) join profile_ids using (c)
) to '{out}/identities.parquet' (compression zstd)
"""
# The windows go over narrow rows, and what they found is joined back: faster than to carry every column through the sort.
OWNED = """
create temp table owned as
select staged.rowid as row, c, touchpoint, occurred_at
from staged
join identifiers on identifiers.identifier = coalesce(staged.user_id, staged.email, staged.anonymous_id)
join labels using (id)
"""
NUMBERED = """
create temp table numbered as
select row, c, sum(starts) over (partition by c, touchpoint order by occurred_at rows unbounded preceding) as session
from (
    select *, case when occurred_at - lag(occurred_at) over (partition by c, touchpoint order by occurred_at) < interval 30 minute then 0 else 1 end as starts
    from owned
)
"""
EVENTS = "create temp table events as select staged.* exclude (user_id, email, anonymous_id), c, session from staged join numbered on numbered.row = staged.rowid"
SESSION_ID = "profile_id || '-' || touchpoint || '-' || session as session_id"
WRITE_EVENTS = f"""
copy (select events.* exclude (c, session, traits), profile_id, {SESSION_ID} from events join profile_ids using (c))
to '{{out}}/events.parquet' (compression zstd)
"""
PROFILES = """
create temp table profiles as
select c, min(occurred_at) as first_seen_at, max(occurred_at) as last_seen_at, count(*) as event_count,
       count(*) filter (event_name = 'Order Completed') as order_count, coalesce(sum(revenue), 0) as lifetime_value,
       max(occurred_at) filter (event_name = 'Order Completed') as last_order_at,
       any_value(t.email) as email, any_value(t.first_name) as first_name, any_value(t.last_name) as last_name,
       any_value(t.city) as city, any_value(t.country) as country
from events left join (
    select c, {latest} from (
        select c, occurred_at, json_extract_string(traits, ['$.email', '$.first_name', '$.last_name', '$.city', '$.country']) as t
        from events where traits is not null
    ) group by c
) t using (c) group by c
"""
LATEST = ", ".join(
    f"arg_max(t[{place + 1}], occurred_at) as {name}" for place, name in enumerate(("email", "first_name", "last_name", "city", "country"))
)
SESSIONS = """
create temp table sessions as
select c, touchpoint, session, min(occurred_at) as started_at, max(occurred_at) as ended_at, count(*) as event_count,
       count(*) filter (event_name = 'Page Viewed') as page_views,
       arg_min(page_path, occurred_at) filter (event_name = 'Page Viewed') as entry_page,
       arg_max(page_path, occurred_at) filter (event_name = 'Page Viewed') as exit_page,
       arg_min(utm_source, occurred_at) as utm_source, arg_min(utm_medium, occurred_at) as utm_medium, arg_min(utm_campaign, occurred_at) as utm_campaign
from events group by c, touchpoint, session
"""
DAILY = """
create temp table daily_activity as
select occurred_at::date as date, c, event_name, touchpoint, count(*) as event_count, coalesce(sum(revenue), 0) as revenue
from events group by all
"""


class Job:
    """Runs steps on one connection and remembers how long each took."""

    def __init__(self, out, threads, memory_limit):
        self.out, self.seconds = out, {}
        self.connection = duckdb.connect()
        self.connection.execute(f"set threads = {threads}")
        self.connection.execute("set preserve_insertion_order = false")
        self.connection.execute(f"set temp_directory = '{out}/spill'")
        if memory_limit:
            self.connection.execute(f"set memory_limit = '{memory_limit}'")

    def run(self, step, *statements):
        start = time.perf_counter()
        for statement in statements:
            self.connection.execute(statement)
        self.seconds[step] = self.seconds.get(step, 0) + time.perf_counter() - start

    def write(self, table, columns="profile_id, t.* exclude (c)"):
        return f"copy (select {columns} from {table} t join profile_ids using (c)) to '{self.out}/{table}.parquet' (compression zstd)"

    def one(self, query):
        return self.connection.execute(query).fetchone()


def resolve_by_loop(job):
    """Labels spread to neighbours and then jump to the label of the label, until nothing changes."""
    run = job.connection.execute
    run("create temp table labels as select id, id as c from identifiers")
    while True:
        run("""create or replace temp table nearer as
               select labels.id, least(labels.c, coalesce(m.c, labels.c)) as c from labels
               left join (select edges.a, min(l.c) as c from edges join labels l on l.id = edges.b group by edges.a) m on m.a = labels.id""")
        run("create or replace temp table jumped as select n.id, least(n.c, t.c) as c from nearer n join nearer t on t.id = n.c")
        changed = job.one("select count(*) from labels join jumped using (id) where labels.c <> jumped.c")[0]
        run("create or replace temp table labels as select * from jumped")
        if not changed:
            return


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit")
    parser.add_argument("--components", choices=("loop", "using_key"), default="using_key")
    parser.add_argument("--json", help="also write seconds and counts to this file")
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    job = Job(arguments.out, arguments.threads, arguments.memory_limit)

    out = {"out": arguments.out}
    job.run("land", LANDING.format(files=arguments.files, columns=COLUMNS, **out))
    job.run("stage", TWICE.format(**out), SURPLUS.format(**out), STAGED.format(blocklist=BLOCKLIST, **out))
    job.run("link", KEYS, LINKS, IDENTIFIERS, EDGES, f"copy links to '{arguments.out}/links.parquet' (compression zstd)")
    start = time.perf_counter()
    if arguments.components == "loop":
        resolve_by_loop(job)
    else:
        job.connection.execute(COMPONENTS_USING_KEY)
    job.seconds["resolve"] = time.perf_counter() - start
    job.run("identify", PROFILE_IDS, IDENTITIES.format(**out))
    job.run("events", OWNED, NUMBERED, EVENTS, "drop table owned", "drop table numbered", "drop table staged", WRITE_EVENTS.format(**out))
    job.run("sessions", SESSIONS, job.write("sessions", f"{SESSION_ID}, profile_id, t.* exclude (c, session)"))
    job.run("profiles", PROFILES.format(latest=LATEST), job.write("profiles"))
    job.run("daily", DAILY, job.write("daily_activity"))

    counts = dict(zip(("events", "orders", "revenue"), job.one(
        "select count(*), count(*) filter (event_name = 'Order Completed'), coalesce(sum(revenue), 0)::varchar from events")))
    for name, table in (("profiles", "profiles"), ("identifiers", "identifiers"), ("links", "links"), ("sessions", "sessions"), ("daily", "daily_activity")):
        counts[name] = job.one(f"select count(*) from {table}")[0]
    counts["page_views"] = int(job.one("select sum(page_views) from sessions")[0] or 0)
    total = sum(job.seconds.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for step, seconds in job.seconds.items():
        print(f"{step:12} {seconds:8.2f} s")
    print(f"{'total':12} {total:8.2f} s, peak memory {peak:.0f} MiB, duckdb {duckdb.__version__}")
    print(", ".join(f"{name} {count}" for name, count in counts.items()))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"seconds": job.seconds, "total": total, "counts": counts}, file)


if __name__ == "__main__":
    main()
