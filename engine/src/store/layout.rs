//! Where things lie in the lake. The only file that builds a path.
//!
//! ```text
//! <lake>/<schema>/<table>/_delta_log/...             a Delta table
//! <lake>/<schema>/<table>/<run>-<writer>-<n>.parquet its data files
//! <lake>/_generations/00000000000000000042.json     what a refresh published
//! <lake>/_leases/00000000000000000007.json          who may refresh
//! ```

use object_store::path::Path;
use url::Url;
use uuid::Uuid;

use super::{Lake, TableName};

const GENERATIONS: &str = "_generations";
const LEASES: &str = "_leases";

/// The folder of a schema's tables, inside the root store.
pub(crate) fn schema(lake: &Lake, schema: &str) -> Path {
    lake.prefix.clone().join(schema)
}

/// The folder of a table, inside the root store.
pub(crate) fn table(lake: &Lake, name: &TableName) -> Path {
    schema(lake, &name.schema).join(name.table.as_str())
}

/// The URL of a table, with a trailing slash.
pub(crate) fn table_url(lake: &Lake, name: &TableName) -> Url {
    let mut url = lake.url.clone();
    url.set_path(&format!("{}{}/{}/", lake.url.path(), name.schema, name.table));
    url
}

/// The name of a new data file, unique to the run, the writer in it and the file of that writer.
pub(crate) fn data_file(run: &str, writer: usize, number: usize) -> String {
    format!("{run}-{writer:02}-{number:04}.parquet")
}

/// The folder of generations.
pub(crate) fn generations(prefix: &Path) -> Path {
    prefix.clone().join(GENERATIONS)
}

/// One generation.
pub(crate) fn generation(prefix: &Path, number: u64) -> Path {
    numbered(generations(prefix), number)
}

/// The folder of leases.
pub(crate) fn leases(prefix: &Path) -> Path {
    prefix.clone().join(LEASES)
}

/// One lease.
pub(crate) fn lease(prefix: &Path, number: u64) -> Path {
    numbered(leases(prefix), number)
}

/// An object that nobody reads, to try the store with.
pub(crate) fn probe(prefix: &Path) -> Path {
    prefix.clone().join("_probe").join(Uuid::new_v4().to_string())
}

/// The number of a generation or lease, from its path.
pub(crate) fn number_of(path: &Path) -> Option<u64> {
    path.filename()?.strip_suffix(".json")?.parse().ok()
}

fn numbered(folder: Path, number: u64) -> Path {
    folder.join(format!("{number:020}.json"))
}
