"""Connected components of identity links with DuckDB, as a loop of SQL that spreads the smallest label. Usage: LINKS OUT"""

import sys
import time

import duckdb

links, out = sys.argv[1:]
start = time.perf_counter()
c = duckdb.connect()
c.execute("set threads = 2")
c.execute(f"create table e as select distinct a_namespace || ':' || a_value s, b_namespace || ':' || b_value d from '{links}'")
c.execute("create table n as select s, (row_number() over ())::int id from (select s from e union select d from e)")
c.execute("create table ei as select x.id a, y.id b from e join n x on x.s = e.s join n y on y.s = e.d")
c.execute("create table bi as select a, b from ei union all select b, a from ei")
c.execute("create table l as select id, id c from n")
while True:
    c.execute("""create or replace table l2 as select l.id, least(l.c, coalesce(m.c, l.c)) c from l
        left join (select bi.a, min(l.c) c from bi join l on l.id = bi.b group by 1) m on m.a = l.id""")
    c.execute("create or replace table l3 as select l2.id, least(l2.c, x.c) c from l2 join l2 x on x.id = l2.c")
    changed = c.execute("select count(*) from l join l3 using (id) where l.c <> l3.c").fetchone()[0]
    c.execute("create or replace table l as select * from l3")
    if not changed:
        break
c.execute(f"copy (select n.s, l.c from n join l on l.id = n.id) to '{out}' (compression zstd)")
print(f"{time.perf_counter() - start:.3f}")
