//! What histories need: the tables of the last generation, and the number of the one that a refresh makes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt, stream};

use crate::clock::Micros;
use crate::error::Result;
use crate::limits;
use crate::model::catalog::Catalog;
use crate::model::definition::{Model, Slice, Strategy};
use crate::query::catalog::register;
use crate::query::session::CATALOG;
use crate::store::delta::Version;
use crate::store::generation::Generation;
use crate::store::writer::file_schema;
use crate::store::{Lake, TableName};

/// What to do where something is gone that nothing else in the lake tells.
pub(crate) const FROM_BACKUP: &str = "restore the lake from a backup";

/// The last generation's versions of the tables that histories are, or compare; without rows where there is none.
///
/// # Errors
/// InvalidInput for a history whose header lists no columns; Corrupt for one that is not as it was published; what the store
/// reports.
pub(crate) async fn last_versions(
    lake: &Lake,
    catalog: &Catalog,
    last: Option<&Generation>,
) -> Result<BTreeMap<TableName, Version>> {
    let mut compared = BTreeSet::new();
    for model in catalog.models() {
        let last = model.references()?.into_iter().filter(|reference| reference.slice == Slice::Last);
        compared.extend(last.map(|reference| reference.name));
    }
    let is_needed = |name: &TableName, strategy| strategy == Strategy::History || compared.contains(name);
    let needed = catalog.models().iter().filter(|model| is_needed(&model.name, model.strategy));
    let opening: Vec<_> = needed.map(|model| last_version(lake, model, last)).collect();
    stream::iter(opening).buffer_unordered(limits::STORE_READS).try_collect().await
}

async fn last_version(lake: &Lake, model: &Model, last: Option<&Generation>) -> Result<(TableName, Version)> {
    let published = last.and_then(|generation| generation.tables.get(&model.name.to_string()));
    let version = match published {
        // Nothing that is left could make it anew.
        Some(published) if model.strategy == Strategy::History => {
            let opened = published.open(lake, &model.name).await;
            Some(opened.map_err(|error| error.context(FROM_BACKUP))?)
        }
        Some(published) => published.open_if_there(lake, &model.name).await?,
        None => None,
    };
    let schema = model.schema().ok_or_else(|| model.error(1, "what a history compares needs `-- columns:`"))?;
    let nothing = || Version {
        name: model.name.clone(),
        number: 0,
        schema: Arc::new(file_schema(&schema)),
        partition_columns: Vec::new(),
        files: Vec::new(),
    };
    Ok((model.name.clone(), version.map_or_else(nothing, |version| with_columns(version, &schema))))
}

/// The version with all columns of a header: those that an earlier release did not have yet are null.
fn with_columns(mut version: Version, header: &Schema) -> Version {
    let header = file_schema(header);
    let missing = header.fields().iter().filter(|field| version.schema.index_of(field.name()).is_err());
    let fields: Vec<_> = version.schema.fields().iter().chain(missing).cloned().collect();
    version.schema = Arc::new(Schema::new(fields));
    version
}

/// Registers `config.generation(number, started_at)`: the generation that a refresh makes, and when it began.
pub(crate) fn register_generation(session: &SessionContext, number: u64, started_at: Micros) -> Result<()> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("number", DataType::Int64, false),
        Field::new("started_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![i64::try_from(number).unwrap_or(i64::MAX)])),
        Arc::new(TimestampMicrosecondArray::from(vec![started_at]).with_timezone("UTC")),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let table = MemTable::try_new(schema, vec![vec![batch]])?;
    register(session, CATALOG, &TableName::new("config", "generation"), Arc::new(table))
}
