//! Columns of profiles that an attribute and a trait would both give their name to: the trait has it, and the attribute one
//! beside it.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::model::definition::{Reference, Slice};
use crate::model::workspace::Workspace;
use crate::query::functions::text;
use crate::store::TableName;

/// Traits that only the last generation has.
const GONE: &str = "
    select before.trait
    from last.profile.trait_definitions before
    left join profile.trait_definitions now on now.trait = before.trait
    where now.trait is null";

/// The column of an attribute whose name is taken, by a trait or by what profiles have anyway.
pub(crate) fn attribute_beside(name: &str) -> String {
    format!("{name}_attribute")
}

/// The attribute of which [`attribute_beside`] gives the name, if it is such a name.
pub(crate) fn attribute_of(name: &str) -> Option<&str> {
    name.strip_suffix("_attribute")
}

/// Columns that can hold something else than in the last generation although whatever names them is as it was: where a trait
/// is gone, an attribute of its name has the column now, and no longer the one beside it.
///
/// # Errors
/// What the query reports.
pub(crate) async fn renamed_columns(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let name = TableName::new("profile", "trait_definitions");
    workspace.register_slices(&BTreeSet::from([Reference { name, slice: Slice::Last }]))?;
    let mut renamed = BTreeSet::new();
    for batch in workspace.session.sql(GONE).await?.collect().await? {
        for gone in text(batch.column(0))?.iter().flatten() {
            renamed.extend([gone.to_owned(), attribute_beside(gone)]);
        }
    }
    Ok(renamed)
}
