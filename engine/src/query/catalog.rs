//! Names in SQL: catalogs `tessera` (the default), `new` and `previous`, in each a schema a stage, in each its tables.

use std::sync::Arc;

use datafusion::catalog::{MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::prelude::SessionContext;

use crate::error::{EngineError, Result};
use crate::store::TableName;

/// Registers `provider` as `catalog.schema.table`, replacing what had the name.
pub(crate) fn register(
    context: &SessionContext,
    catalog: &str,
    name: &TableName,
    provider: Arc<dyn TableProvider>,
) -> Result<()> {
    let catalog_provider = match context.catalog(catalog) {
        Some(found) => found,
        None => {
            context.register_catalog(catalog, Arc::new(MemoryCatalogProvider::new()));
            context
                .catalog(catalog)
                .ok_or_else(|| EngineError::internal(format!("catalog `{catalog}` was not kept")))?
        }
    };
    let schema = match catalog_provider.schema(&name.schema) {
        Some(found) => found,
        None => {
            let schema: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
            catalog_provider.register_schema(&name.schema, Arc::clone(&schema))?;
            schema
        }
    };
    if schema.table_exist(&name.table) {
        schema.deregister_table(&name.table)?;
    }
    schema.register_table(name.table.clone(), provider)?;
    Ok(())
}

/// Registers `sql` as a view; what it reads must be registered already.
pub(crate) async fn register_view(context: &SessionContext, name: &TableName, sql: &str) -> Result<()> {
    let frame = context.sql(sql).await.map_err(|error| EngineError::from(error).context(format!("view `{name}`")))?;
    register(context, super::session::CATALOG, name, frame.into_view())
}
