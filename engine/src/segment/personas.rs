//! Groups of people within a segment: clusters by traits, or the cells of recency and frequency. Each is a condition in the
//! language of segments, so that it can be saved as one, and nothing but the condition says who is in it.

mod cells;
mod clusters;
mod dimension;

use std::collections::BTreeMap;

use datafusion::prelude::SessionContext;
use roaring::RoaringBitmap;

pub(crate) use cells::{Scores, cells};
pub(crate) use clusters::CLUSTERS_MAX;

use self::clusters::{Clusters, conditions};
use self::dimension::Dimension;
use super::evaluate::columns;
use crate::config::nearest::suggestion;
use crate::error::{EngineError, Result};
use crate::evaluation::Census;
use crate::expression::{ColumnType, Expr};
use crate::query::cpu_runtime::blocking;

/// Points by which clusters are found; the others are told by the conditions that come of it.
const POINTS_MAX: usize = 10_000;

/// Clusters of people.
pub(crate) struct Clustered {
    /// Who is in each: exactly one holds for each of the people.
    pub(crate) conditions: Vec<Expr>,
    /// The mean silhouette for each number of clusters that was tried.
    pub(crate) silhouettes: Vec<(usize, f64)>,
}

/// Divides people into clusters of those that are alike in some traits: so many, or as many as give the highest mean
/// silhouette (Rousseeuw 1987).
///
/// # Errors
/// NotFound for a column that profiles have not; InvalidInput for one that is no number, yes or no, or time, and if all are
/// alike in all of them.
pub(crate) async fn clustered(
    session: &SessionContext,
    census: &Census,
    members: &RoaringBitmap,
    traits: &[String],
    count: Option<usize>,
) -> Result<Clustered> {
    let known = columns(session).await?;
    let mut dimensions = Vec::new();
    let mut values = Vec::new();
    for column in traits {
        let column_type = type_of(&known, column)?;
        let of_members = census.numbers(members, column).await?.ok_or_else(|| {
            EngineError::invalid(format!(
                "`{column}` is no number, no yes or no, and no time: people cannot be near each other by it"
            ))
        })?;
        if let Some(dimension) = Dimension::of(column, column_type, &of_members) {
            dimensions.push(dimension);
            values.push(of_members);
        }
    }
    if dimensions.is_empty() {
        let what = if members.is_empty() { "nobody is in it" } else { "all people in it are alike in these traits" };
        return Err(EngineError::invalid(format!("there are no personas: {what}")));
    }
    // Evenly spread over the members, so that the same generation gives the same answer.
    let people = usize::try_from(members.len()).unwrap_or(usize::MAX);
    let step = people.div_ceil(POINTS_MAX).max(1);
    let points: Vec<Vec<f64>> = (0..people)
        .step_by(step)
        .map(|row| dimensions.iter().zip(&values).map(|(dimension, values)| dimension.position(values[row])).collect())
        .collect();
    let found = blocking(move || Clusters::find(&points, count)).await?;
    Ok(Clustered { conditions: conditions(&dimensions, &found.centers), silhouettes: found.silhouettes })
}

/// The members of a segment for whom each of some conditions holds.
///
/// # Errors
/// What computing them reports.
pub(crate) async fn selected(
    census: &Census,
    members: &RoaringBitmap,
    conditions: &[Expr],
) -> Result<Vec<RoaringBitmap>> {
    let names: Vec<String> = (0..conditions.len()).map(|place| place.to_string()).collect();
    let named: Vec<(&str, &Expr)> = names.iter().map(String::as_str).zip(conditions).collect();
    let population = census.population(&conditions.iter().collect::<Vec<_>>()).await?;
    let selected = population.selected(&named, &BTreeMap::new()).await?;
    Ok(selected.into_iter().map(|of_all| of_all & members).collect())
}

fn type_of(known: &[(String, ColumnType)], column: &str) -> Result<ColumnType> {
    let found = known.iter().find(|(name, _)| name == column).map(|(_, column_type)| *column_type);
    found.ok_or_else(|| {
        let hint = suggestion(column, known.iter().map(|(name, _)| name.as_str()));
        EngineError::not_found(format!("profiles have no column `{column}`; {hint}"))
    })
}
