//! A refresh that merges far more people than usual is more likely a mistake, such as a placeholder that a form began to
//! send, than news of that many people: it stops before it publishes.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;

use crate::error::{EngineError, Result};
use crate::model::definition::{Reference, Slice};
use crate::model::workspace::Workspace;
use crate::store::TableName;
use crate::store::generation::Generation;

/// Profiles that would become part of others: of those that become one person, all but one. Who only goes by another id, since a
/// better anchor is known or the one of before is gone, is nobody else, unless somebody else goes on there, or a part of somebody
/// else came along.
const MERGED: &str = "
    with current as (
        select * from identity.changes where generation = {generation}
    ),

    merged as (
        select to_profile_id, count(distinct from_profile_id) as origin_count
        from current
        where change = 'merge'
        group by to_profile_id
    ),

    others as (
        select to_profile_id from current where change <> 'merge' and from_profile_id is not null
        union
        select profile_id as to_profile_id
        from last.identity.identities
        where profile_id in (select to_profile_id from merged)
    )

    select cast(coalesce(sum(origin_count - case when others.to_profile_id is null then 1 else 0 end), 0) as bigint)
    from merged
    left join others on others.to_profile_id = merged.to_profile_id";

/// Refuses what would make more of the last generation's profiles part of others than `merges_max_share` of them.
///
/// # Errors
/// FailedPrecondition if so; what the query reports.
pub(crate) async fn check(workspace: &Workspace, last: &Generation, merges_max_share: f64) -> Result<()> {
    let identities = Reference { name: TableName::new("identity", "identities"), slice: Slice::Last };
    workspace.register_slices(&BTreeSet::from([identities]))?;
    let Some(exceeded) = exceeded(&workspace.session, last, merges_max_share).await? else { return Ok(()) };
    Err(EngineError::failed_precondition(format!(
        "{exceeded}; nothing was published. `tessera identity simulate` shows which, and by which links; if they are right, \
         run `tessera refresh --allow-merges`, or `RunRefresh` with `allow_merges`"
    )))
}

/// Says by how much `identity.changes` of the generation after `last` exceeds `merges_max_share`, if it does.
///
/// # Errors
/// What the query reports.
pub(crate) async fn exceeded(
    session: &SessionContext,
    last: &Generation,
    merges_max_share: f64,
) -> Result<Option<String>> {
    let sql = MERGED.replace("{generation}", &(last.number + 1).to_string());
    let counted = session.sql(&sql).await?.collect().await?;
    let counts = counted.iter().filter_map(|batch| batch.column(0).as_primitive_opt::<Int64Type>());
    let merged: i64 = counts.flat_map(|counts| counts.iter().flatten()).sum();
    let profiles = last.tables.get("profile.profiles").map_or(0, |table| table.rows);
    let share = merged as f64 / profiles.max(1) as f64;
    Ok((share > merges_max_share).then(|| {
        format!(
            "{merged} of {profiles} profiles would be merged into others ({:.1} %), more than `merges_max_share = \
             {merges_max_share}` in [identity] allows",
            share * 100.0
        )
    }))
}
