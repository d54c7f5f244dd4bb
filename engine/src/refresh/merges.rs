//! A refresh that merges far more people than usual is more likely a mistake, such as a placeholder that a form began to
//! send, than news of that many people: it stops before it publishes.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use crate::error::{EngineError, Result};
use crate::model::workspace::Workspace;
use crate::store::generation::Generation;

/// Refuses what would make more of the last generation's profiles part of others than `merges_max_share` of them.
///
/// # Errors
/// FailedPrecondition if so; what the query reports.
pub(crate) async fn check(workspace: &Workspace, last: &Generation, merges_max_share: f64) -> Result<()> {
    let sql = format!(
        "select count(distinct from_profile_id) from identity.changes where change = 'merge' and generation = {}",
        last.number + 1
    );
    let counted = workspace.session.sql(&sql).await?.collect().await?;
    let counts = counted.iter().filter_map(|batch| batch.column(0).as_primitive_opt::<Int64Type>());
    let merged: i64 = counts.flat_map(|counts| counts.iter().flatten()).sum();
    let profiles = last.tables.get("profile.profiles").map_or(0, |table| table.rows);
    let share = merged as f64 / profiles.max(1) as f64;
    if share <= merges_max_share {
        return Ok(());
    }
    Err(EngineError::failed_precondition(format!(
        "{merged} of {profiles} profiles would be merged into others ({:.1} %), more than `merges_max_share = \
         {merges_max_share}` in [identity] allows; nothing was published. `tessera identity simulate` shows which, and \
         by which links; if they are right, run `tessera refresh --allow-merges`",
        share * 100.0
    )))
}
