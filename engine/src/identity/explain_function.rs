//! `select * from explain_identity('email:ada@example.com', 'user_id:17')`: the shortest chain of links between two
//! identifiers, spelled as they arrive. Its rows, in the order of `step`, are the links of an
//! [`Explanation`](super::explain::Explanation); none if nothing connects the two.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionImpl, TableProvider};
use datafusion::common::ParamValues;
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::scalar::ScalarValue;

use super::explain::{ExplainedLink, Tables, explain};
use super::normalize::Normalizer;
use crate::error::{EngineError, ErrorKind};

/// Its name in SQL.
pub(crate) const NAME: &str = "explain_identity";

/// The function, with the rules by which identifiers are spelled.
#[derive(Debug)]
pub(crate) struct ExplainIdentity(pub(crate) Arc<Normalizer>);

impl TableFunctionImpl for ExplainIdentity {
    fn call(&self, arguments: &[Expr]) -> Result<Arc<dyn TableProvider>> {
        let wrong = || {
            DataFusionError::Plan(format!(
                "{NAME} takes two identifiers, written out as texts: {NAME}('email:ada@example.com', 'user_id:17')"
            ))
        };
        let [a, b] = arguments else { return Err(wrong()) };
        let identifier = |argument: &Expr| match argument {
            Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned).ok_or_else(wrong),
            _ => Err(wrong()),
        };
        let normalizer = Arc::clone(&self.0);
        Ok(Arc::new(Explained { a: identifier(a)?, b: identifier(b)?, normalizer, schema: schema() }))
    }
}

/// The answer for two identifiers as they were written, found when it is read.
#[derive(Debug)]
struct Explained {
    a: String,
    b: String,
    normalizer: Arc<Normalizer>,
    schema: SchemaRef,
}

impl Explained {
    /// Namespace and value of an identifier in its normal form.
    fn normalized<'w>(&self, which: &str, written: &'w str) -> Result<(&'w str, Cow<'w, str>)> {
        self.normalizer.read(which, written).map_err(|wrong| DataFusionError::Plan(format!("{NAME}: {wrong}")))
    }
}

#[async_trait]
impl TableProvider for Explained {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let state = session.as_any().downcast_ref::<SessionState>();
        let state = state.ok_or_else(|| DataFusionError::Internal(format!("{NAME} needs a session's state")))?;
        let a = self.normalized("the first identifier", &self.a)?;
        let b = self.normalized("the second identifier", &self.b)?;
        let explained = explain(state, (a.0, &a.1), (b.0, &b.1)).await;
        let explained = explained.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let answer = MemTable::try_new(self.schema(), vec![vec![rows(&self.schema, &explained.links)?]])?;
        answer.scan(session, projection, filters, limit).await
    }
}

impl Tables for SessionState {
    async fn rows(&self, query: &str, parameters: &[&str], rows_max: u64) -> crate::error::Result<Vec<RecordBatch>> {
        let values: Vec<ScalarValue> = parameters.iter().map(|value| ScalarValue::from(*value)).collect();
        let plan = self.create_logical_plan(query).await?.with_param_values(ParamValues::from(values))?;
        let rows_max = usize::try_from(rows_max).unwrap_or(usize::MAX - 1);
        let plan = LogicalPlanBuilder::from(plan).limit(0, Some(rows_max + 1))?.build()?;
        let found = collect(self.create_physical_plan(&plan).await?, self.task_ctx()).await?;
        if found.iter().map(RecordBatch::num_rows).sum::<usize>() > rows_max {
            return Err(EngineError::new(ErrorKind::Exhausted, format!("more than {rows_max} rows")));
        }
        Ok(found)
    }
}

fn schema() -> SchemaRef {
    let instant = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("step", DataType::Int64, false),
        Field::new("a", DataType::Utf8, false),
        Field::new("b", DataType::Utf8, false),
        Field::new("first_seen_at", instant(), true),
        Field::new("last_seen_at", instant(), true),
        Field::new("event_count", DataType::Int64, false),
        Field::new("sources", DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))), false),
        Field::new("reason", DataType::Utf8, true),
    ]))
}

fn rows(schema: &SchemaRef, links: &[ExplainedLink]) -> Result<RecordBatch> {
    let text = |value: fn(&ExplainedLink) -> Option<&str>| -> ArrayRef {
        Arc::new(links.iter().map(value).collect::<StringArray>())
    };
    let time = |value: fn(&ExplainedLink) -> Option<i64>| -> ArrayRef {
        Arc::new(links.iter().map(value).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let mut sources = ListBuilder::new(StringBuilder::new());
    for link in links {
        sources.append_value(link.sources.iter().map(Some));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new((1..).take(links.len()).collect::<Int64Array>()),
        text(|link| Some(&link.a)),
        text(|link| Some(&link.b)),
        time(|link| link.first_seen_at),
        time(|link| link.last_seen_at),
        Arc::new(links.iter().map(|link| Some(link.event_count)).collect::<Int64Array>()),
        Arc::new(sources.finish()),
        text(|link| link.dropped_reason.as_deref()),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
