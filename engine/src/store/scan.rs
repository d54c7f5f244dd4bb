//! Reading a pinned version: a plain Parquet scan with the row counts of the log.
//!
//! The scan is ours because the one of delta-rs hides statistics and cannot be shipped to a cluster.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, project_schema};

use super::delta::{DataFile, Table, Version};
use super::{Lake, TableName, layout};
use crate::limits;

/// Some or all files of one version of a table.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    lake: Lake,
    version: Version,
    schema: TableSchema,
    partition_types: Vec<DataType>,
    reads_filters_first: bool,
}

impl Scan {
    /// The whole version.
    pub(crate) fn new(lake: &Lake, version: Version) -> Self {
        let (partition, file): (Vec<FieldRef>, Vec<FieldRef>) =
            version.schema.fields().iter().cloned().partition(|field| version.partition_columns.contains(field.name()));
        let partition: Vec<FieldRef> = partition.iter().map(viewed).collect();
        let partition_types = partition.iter().map(|field| field.data_type().clone()).collect();
        let file: SchemaRef = Arc::new(Schema::new(file.iter().map(viewed).collect::<Vec<_>>()));
        Self {
            lake: lake.clone(),
            schema: TableSchema::builder(file).with_table_partition_cols(partition).build(),
            version,
            partition_types,
            reads_filters_first: false,
        }
    }

    /// The same, for queries that look for few rows: what they filter by is read first, and the other columns of the rows
    /// found only. That pays where rows are wide. Not beside partition columns: DataFusion 55 then filters by the wrong
    /// column where it has pushed a projection of them down too.
    pub(crate) fn for_few_rows(mut self) -> Self {
        let is_wide = self.version.bytes() > self.version.rows().saturating_mul(limits::WIDE_ROW_BYTES);
        self.reads_filters_first = is_wide && self.version.partition_columns.is_empty();
        self
    }

    /// Each of the files by itself, with its path and table.
    pub(crate) fn by_file(&self) -> impl Iterator<Item = (String, Self)> + '_ {
        self.version.files.iter().map(|file| {
            let path = format!("{}/{}", self.version.name, file.path);
            (path, Self { version: Version { files: vec![file.clone()], ..self.version.clone() }, ..self.clone() })
        })
    }

    /// `is_filtered` if files can be pruned: for that each has statistics of its own, which say no more than its partition, but
    /// take some kilobytes, and of what landed there may be many thousand files.
    fn partitioned_file(&self, file: &DataFile, is_filtered: bool) -> Result<PartitionedFile> {
        let path = layout::table(&self.lake, &self.version.name).join(file.path.as_str());
        let values = file
            .partition
            .iter()
            .zip(&self.partition_types)
            .map(|(value, data_type)| match value {
                Some(value) => ScalarValue::try_from_string(value.clone(), data_type),
                None => ScalarValue::try_from(data_type),
            })
            .collect::<Result<Vec<_>>>()?;
        let mut partitioned = PartitionedFile::new(path.to_string(), file.bytes).with_partition_values(values);
        // The path is parsed back as it is stored: names of ours need no encoding.
        partitioned.object_meta.location = path;
        if !is_filtered {
            return Ok(partitioned);
        }
        let statistics = Statistics {
            num_rows: Precision::Exact(file.rows as usize),
            ..Statistics::new_unknown(self.schema.file_schema())
        };
        Ok(partitioned.with_statistics(Arc::new(statistics)))
    }

    fn file_groups(&self, partitions: usize, is_filtered: bool) -> Result<Vec<FileGroup>> {
        let files = self.version.files.iter().map(|file| self.partitioned_file(file, is_filtered));
        let files = files.collect::<Result<Vec<_>>>()?;
        Ok(FileGroup::new(files).split_files(partitions.max(1)))
    }
}

/// A log: read at its latest version by each query, because it belongs to no generation. Empty while it is not there.
#[derive(Debug)]
pub(crate) struct LogScan {
    lake: Lake,
    empty: Scan,
}

impl LogScan {
    /// The log `name`, with the columns of `schema`.
    pub(crate) fn new(lake: &Lake, name: &TableName, schema: SchemaRef) -> Self {
        let version =
            Version { name: name.clone(), number: 0, schema, partition_columns: Vec::new(), files: Vec::new() };
        Self { lake: lake.clone(), empty: Scan::new(lake, version) }
    }
}

#[async_trait]
impl TableProvider for LogScan {
    fn schema(&self) -> SchemaRef {
        self.empty.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.empty.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let latest = Table::new(&self.lake, &self.empty.version.name).open(None).await;
        match latest.map_err(|error| DataFusionError::External(Box::new(error)))? {
            Some(version) => Scan::new(&self.lake, version).scan(state, projection, filters, limit).await,
            None => self.empty.scan(state, projection, filters, limit).await,
        }
    }
}

/// Texts and bytes are read as views: no copy out of the page.
fn viewed(field: &FieldRef) -> FieldRef {
    let data_type = viewed_type(field.data_type());
    if &data_type == field.data_type() {
        Arc::clone(field)
    } else {
        Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
    }
}

fn viewed_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        other => other.clone(),
    }
}

#[async_trait]
impl TableProvider for Scan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Statistics prune row groups and pages; the filter itself runs again above the scan.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.version.files.is_empty() {
            let schema = project_schema(self.schema.table_schema(), projection)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let factory = CachedParquetFileReaderFactory::new(
            Arc::clone(&self.lake.root),
            state.runtime_env().cache_manager.get_file_metadata_cache(),
        );
        let mut source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(state.config_options().execution.parquet_options())
            .with_pushdown_filters(self.reads_filters_first)
            .with_parquet_file_reader_factory(Arc::new(factory));
        if let Some(predicate) = conjunction(filters.to_vec()) {
            let schema = DFSchema::try_from(Arc::clone(self.schema.table_schema()))?;
            source = source.with_predicate(state.create_physical_expr(predicate, &schema)?);
        }
        let statistics = Statistics {
            num_rows: Precision::Exact(self.version.rows() as usize),
            total_byte_size: Precision::Inexact(self.version.bytes() as usize),
            ..Statistics::new_unknown(self.schema.table_schema())
        };
        let config = FileScanConfigBuilder::new(self.lake.root_url.clone(), Arc::new(source))
            .with_file_groups(self.file_groups(state.config().target_partitions(), !filters.is_empty())?)
            .with_projection_indices(projection.cloned())?
            .with_statistics(statistics)
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// Options of Parquet reading as the session holds them.
trait ParquetOptions {
    fn parquet_options(&self) -> datafusion::common::config::TableParquetOptions;
}

impl ParquetOptions for datafusion::common::config::ExecutionOptions {
    fn parquet_options(&self) -> datafusion::common::config::TableParquetOptions {
        datafusion::common::config::TableParquetOptions { global: self.parquet.clone(), ..Default::default() }
    }
}
