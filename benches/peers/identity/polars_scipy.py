"""Connected components of identity links with Polars and SciPy. Usage: LINKS OUT"""

import sys
import time

import numpy as np
import polars as pl
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

links, out = sys.argv[1:]
start = time.perf_counter()
e = pl.read_parquet(links).select((pl.col("a_namespace").cast(pl.String) + ":" + pl.col("a_value")).alias("s"),
                                  (pl.col("b_namespace").cast(pl.String) + ":" + pl.col("b_value")).alias("d")).unique()
n = pl.concat([e["s"], e["d"]]).unique().to_frame("s").with_row_index("id")
ei = e.join(n, on="s").rename({"id": "a"}).join(n.rename({"s": "d"}), on="d").rename({"id": "b"})
graph = sp.coo_matrix((np.ones(ei.height, dtype=np.int8), (ei["a"].to_numpy(), ei["b"].to_numpy())), shape=(n.height, n.height))
_, label = connected_components(graph, directed=False)
n.with_columns(pl.Series("c", label)).write_parquet(out)
print(f"{time.perf_counter() - start:.3f}")
