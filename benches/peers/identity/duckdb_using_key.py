"""Connected components of identity links with DuckDB's `WITH RECURSIVE ... USING KEY`. Usage: LINKS OUT"""

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
c.execute("""create table l as with recursive cc(id, c) using key (id) as (
    select id, id from n union
    (select bi.a, min(u.c) from cc u join bi on bi.b = u.id join recurring.cc k on k.id = bi.a where u.c < k.c group by bi.a)
) select * from cc""")
c.execute(f"copy (select n.s, l.c from n join l on l.id = n.id) to '{out}' (compression zstd)")
print(f"{time.perf_counter() - start:.3f}")
