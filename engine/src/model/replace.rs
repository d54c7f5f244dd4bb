//! Replacing rows of a keyed table: the files that hold one of them are written anew without it, the others stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::Partitioning;
use hashbrown::HashSet;

use super::definition::Model;
use super::materialize::located;
use super::workspace::Workspace;
use crate::error::Result;
use crate::limits;
use crate::query::catalog::register;
use crate::query::session::CATALOG;
use crate::store::TableName;
use crate::store::delta::{DataFile, Version};
use crate::store::writer::BatchMap;

/// A column that says from which file a row comes.
const FILE_COLUMN: &str = "_file";

/// The keys of which earlier rows go.
struct ReplacedKeys {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Workspace {
    /// The files of the last generation's version that stay, and those that take the place of the others.
    pub(crate) async fn without_replaced(
        &self,
        model: &Model,
        version: &Version,
        new_files: &[DataFile],
    ) -> Result<Vec<DataFile>> {
        let keys = self.replaced_keys(model, version, new_files).await?;
        let count: usize = keys.batches.iter().map(RecordBatch::num_rows).sum();
        let mut touched = match count {
            0 => BTreeSet::new(),
            count if count / version.files.len().max(1) >= limits::REPLACED_KEYS_PER_FILE => {
                (0..version.files.len()).collect()
            }
            _ => self.files_with(model, version, &keys).await?,
        };
        touched.extend(small_files(version));
        self.rewritten(model, version, &touched, Some(&keys)).await
    }

    /// The files of the last generation's version, the small ones written together once there are many.
    pub(crate) async fn with_small_files_together(&self, model: &Model, version: &Version) -> Result<Vec<DataFile>> {
        self.rewritten(model, version, &small_files(version), None).await
    }

    /// The files of `version`, those with `numbers` written anew without the rows that have one of the keys `without`.
    async fn rewritten(
        &self,
        model: &Model,
        version: &Version,
        numbers: &BTreeSet<usize>,
        without: Option<&ReplacedKeys>,
    ) -> Result<Vec<DataFile>> {
        let (rewritten, kept): (Vec<_>, Vec<_>) =
            version.files.iter().cloned().enumerate().partition(|(number, _)| numbers.contains(number));
        let mut kept: Vec<DataFile> = kept.into_iter().map(|(_, file)| file).collect();
        if !rewritten.is_empty() {
            let mut rest = version.clone();
            rest.files = rewritten.into_iter().map(|(_, file)| file).collect();
            let rows = rest.rows();
            let mut frame = self.session.read_table(self.scan(rest))?;
            if without.is_none() {
                // As many writers as the rows are worth, not as many as there are processors: each leaves a file.
                let writers = usize::try_from(rows / limits::SMALL_FILE_ROWS).unwrap_or(usize::MAX);
                let threads = self.session.state().config().target_partitions();
                frame = frame.repartition(Partitioning::RoundRobinBatch(writers.clamp(1, threads)))?;
            }
            let others = without.map(|keys| Others::new(keys, frame.schema().as_arrow())).transpose()?;
            let keep = others.map(|others| Arc::new(move |batch: RecordBatch| others.filter(&batch)) as BatchMap);
            let (_, files) = self.write_mapped(model, frame, "kept", keep).await?;
            kept.extend(files);
        }
        Ok(kept)
    }

    /// The keys that the model's `replaces` gives, or those of its new rows.
    async fn replaced_keys(&self, model: &Model, version: &Version, new_files: &[DataFile]) -> Result<ReplacedKeys> {
        let keys = match &model.replaces {
            Some(replaces) => self.session.sql(replaces).await.map_err(|error| located(model, error))?,
            None => {
                let written = Version { files: new_files.to_vec(), ..version.clone() };
                let columns: Vec<&str> = model.key.iter().map(String::as_str).collect();
                self.session.read_table(self.scan(written))?.select_columns(&columns)?
            }
        };
        let schema: SchemaRef = Arc::new(keys.schema().as_arrow().clone());
        let batches = keys.distinct()?.collect().await.map_err(|error| located(model, error))?;
        Ok(ReplacedKeys { schema, batches })
    }

    /// The numbers of the files that hold a row with one of the keys.
    async fn files_with(&self, model: &Model, version: &Version, keys: &ReplacedKeys) -> Result<BTreeSet<usize>> {
        let mut marked = version.clone();
        let mut fields: Vec<Arc<Field>> = marked.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(FILE_COLUMN, DataType::Int64, false)));
        marked.schema = Arc::new(Schema::new(fields));
        marked.partition_columns = vec![FILE_COLUMN.to_owned()];
        for (number, file) in marked.files.iter_mut().enumerate() {
            file.partition = vec![Some(number.to_string())];
        }
        let earlier = helper(model, "marked");
        register(&self.session, CATALOG, &earlier, self.scan(marked))?;
        let table = helper(model, "keys");
        let provider = MemTable::try_new(Arc::clone(&keys.schema), vec![keys.batches.clone()])?;
        register(&self.session, CATALOG, &table, Arc::new(provider))?;
        let matches = keys.schema.fields().iter().map(|field| format!("keys.{0} = earlier.{0}", field.name()));
        let matches = matches.collect::<Vec<_>>().join(" and ");
        let sql = format!(
            "select distinct {FILE_COLUMN} from {earlier} earlier where exists (select 1 from {table} keys where {matches})"
        );
        let found = self.session.sql(&sql).await?.collect().await.map_err(|error| located(model, error))?;
        let numbers = found.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
        Ok(numbers.filter_map(|number| usize::try_from(number).ok()).collect())
    }
}

/// Tells rows with a replaced key from the others. A table's rows all pass here, and few of them go: this copies a batch
/// once, where a join would gather its rows one by one.
struct Others {
    columns: Vec<usize>,
    converter: RowConverter,
    keys: HashSet<Box<[u8]>>,
}

impl Others {
    fn new(keys: &ReplacedKeys, rows: &Schema) -> Result<Self> {
        let mut columns = Vec::new();
        let mut fields = Vec::new();
        for field in keys.schema.fields() {
            let column = rows.index_of(field.name())?;
            columns.push(column);
            fields.push(SortField::new(rows.field(column).data_type().clone()));
        }
        let converter = RowConverter::new(fields)?;
        let mut set = HashSet::new();
        for batch in &keys.batches {
            let values = batch.columns().iter().zip(&columns);
            let values = values
                .map(|(values, column)| arrow::compute::cast(values, rows.field(*column).data_type()))
                .collect::<Result<Vec<_>, _>>()?;
            set.extend(converter.convert_columns(&values)?.iter().map(|row| Box::from(row.as_ref())));
        }
        Ok(Self { columns, converter, keys: set })
    }

    fn filter(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let values: Vec<ArrayRef> = self.columns.iter().map(|column| Arc::clone(batch.column(*column))).collect();
        let rows = self.converter.convert_columns(&values)?;
        let stays: BooleanArray = rows.iter().map(|row| Some(!self.keys.contains(row.as_ref()))).collect();
        Ok(filter_record_batch(batch, &stays)?)
    }
}

/// Small files are written together once there are many.
fn small_files(version: &Version) -> BTreeSet<usize> {
    let is_small = |(number, file): (usize, &DataFile)| (file.rows < limits::SMALL_FILE_ROWS).then_some(number);
    let small: BTreeSet<usize> = version.files.iter().enumerate().filter_map(is_small).collect();
    if small.len() > limits::SMALL_FILES_MAX { small } else { BTreeSet::new() }
}

/// A helper table of a model: models run at the same time.
fn helper(model: &Model, name: &str) -> TableName {
    TableName::new("helper", format!("{name}_{}_{}", model.name.schema, model.name.table))
}
