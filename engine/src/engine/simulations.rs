//! Tables that nobody published: of another configuration, or of a day in the past.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate};
use futures::{FutureExt, TryStreamExt};

use super::{Engine, QueryResult};
use crate::error::{EngineError, Result};
use crate::progress::Progress;
use crate::query::bounds;
use crate::refresh::simulate::Simulation;

impl Engine {
    /// Resolves who is who by this configuration from everything that landed, beside what is published, on the query
    /// threads. Its tables are in the folder `scratch`, which the caller throws away after the simulation.
    ///
    /// # Errors
    /// FailedPrecondition before the first refresh.
    pub async fn simulate(&self, scratch: &Path, progress: &Progress) -> Result<Simulation> {
        let (project, cpu) = (Arc::clone(&self.project), Arc::clone(&self.cpu));
        let (scratch, progress) = (scratch.to_owned(), progress.clone());
        self.cpu.run(async move { Simulation::run(&project, cpu, &scratch, &progress).await }).await
    }

    /// Runs a query on the tables as a refresh at the end of a day would have made them, from what is known now of that
    /// time, with today's configuration, traits and segments. They are computed for this query, on the query threads, and
    /// lie in the folder `scratch`, which the caller throws away after the last row.
    ///
    /// # Errors
    /// InvalidInput for SQL that is wrong, not read-only or too much to plan, and for a day that is yet to come.
    pub async fn sql_as_of_date(
        &self,
        query: &str,
        day: NaiveDate,
        scratch: &Path,
        progress: &Progress,
    ) -> Result<QueryResult> {
        let today = DateTime::from_timestamp_micros(self.clock().now()).map(|now| now.date_naive());
        if today.is_none_or(|today| day > today) {
            return Err(EngineError::invalid(format!("{day} is yet to come: name today or a day before it")));
        }
        bounds::parsed(query)?;
        let (project, cpu) = (Arc::clone(&self.project), Arc::clone(&self.cpu));
        let (scratch, query, progress) = (scratch.to_owned(), query.to_owned(), progress.clone());
        let work = async move {
            let made = Simulation::as_of(&project, cpu, &scratch, day, &query, &progress).await?;
            made.stream(&query).await
        };
        let rows = self.cpu.run(work.boxed()).await?;
        let schema = rows.schema();
        let batches = self.cpu.stream(rows.map_err(EngineError::from), std::future::pending())?;
        Ok(QueryResult { generation: None, schema, batches })
    }
}
