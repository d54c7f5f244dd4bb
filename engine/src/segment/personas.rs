//! Groups of people within a segment: clusters by traits, or the cells of recency and frequency. Each is a condition in the
//! language of segments, so that it can be saved as one, and nothing but the condition says who is in it.
//!
//! * [`clusters`] finds groups by [`dimension`]s, [`cells`] are those of recency and frequency.
//! * [`facts`] are what sets a group apart, by how its numbers [`spread`]; [`titles`] are made of them.

mod cells;
mod clusters;
mod dimension;
mod facts;
mod spread;
mod titles;

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

pub(crate) use cells::{Scores, cells};
pub(crate) use clusters::CLUSTERS_MAX;
pub(crate) use facts::{Fact, Frequency, told};
pub(crate) use spread::Spread;
pub(crate) use titles::titles;

use self::clusters::{Clusters, conditions, longest_condition};
use self::dimension::Dimension;
use crate::config::nearest::suggestion;
use crate::error::{EngineError, Result};
use crate::evaluation::Census;
use crate::expression::{ColumnType, Expr, SourceFile, parse_segment, text_of};

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
/// NotFound for a column that profiles have not; InvalidInput for one that is no number, yes or no, or time, if all are alike
/// in all of them, and if the conditions would be too long for a segment.
pub(crate) async fn clustered(
    census: &Census,
    known: &[(String, ColumnType)],
    members: &RoaringBitmap,
    traits: &[String],
    count: Option<usize>,
) -> Result<Clustered> {
    let mut dimensions = Vec::new();
    let mut values = Vec::new();
    for column in traits {
        let column_type = type_of(known, column)?;
        let of_members = census.numbers(members, column).await?.ok_or_else(|| {
            EngineError::invalid(format!(
                "`{column}` is no number, no yes or no, and no time: people cannot be near each other by it"
            ))
        })?;
        if let Some(dimension) = Dimension::of(column, column_type, &of_members) {
            if dimension.range() > clusters::RANGE_MAX {
                return Err(EngineError::invalid(format!(
                    "the values of `{column}` lie too far from each other: make a trait of smaller numbers, such as `{column} / 1000000`, and use that"
                )));
            }
            dimensions.push(dimension);
            values.push(of_members);
        }
    }
    if dimensions.is_empty() {
        let what = if members.is_empty() { "nobody is in it" } else { "all people in it are alike in these traits" };
        return Err(EngineError::invalid(format!("there are no personas: {what}")));
    }
    let most = clusters_max(&dimensions, known, count)?;
    // Evenly spread over the members, so that the same generation gives the same answer.
    let people = usize::try_from(members.len()).unwrap_or(usize::MAX);
    let step = people.div_ceil(POINTS_MAX).max(1);
    let points: Vec<Vec<f64>> = (0..people)
        .step_by(step)
        .map(|row| dimensions.iter().zip(&values).map(|(dimension, values)| dimension.position(values[row])).collect())
        .collect();
    let found = Clusters::find(&points, count, most).await?;
    Ok(Clustered { conditions: conditions(&dimensions, &found.centers), silhouettes: found.silhouettes })
}

/// The condition that people are in a segment and in a group of it.
pub(crate) fn within(segment: &str, condition: Expr) -> Expr {
    let mut conditions = vec![Expr::InSegment(segment.to_owned())];
    match condition {
        Expr::And(of_group) => conditions.extend(of_group),
        of_group => conditions.push(of_group),
    }
    Expr::And(conditions)
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

/// The most clusters whose conditions a segment holds, whatever comes of the clustering: to save what was found must not
/// fail.
///
/// # Errors
/// InvalidInput if these are fewer than `count`, or than two.
fn clusters_max(dimensions: &[Dimension], known: &[(String, ColumnType)], count: Option<usize>) -> Result<usize> {
    let saved = |clusters: usize| {
        // The groups of a segment name it.
        let condition = within("divided", longest_condition(dimensions, clusters));
        let name = "persona".to_owned();
        parse_segment(&SourceFile { file: name.clone(), name, text: text_of(&condition) }, known)
    };
    let traits = dimensions.len();
    saved(2).map_err(|error| error.context(format!("people cannot be divided by these {traits} traits")))?;
    let most = (3..=CLUSTERS_MAX).rev().find(|clusters| saved(*clusters).is_ok()).unwrap_or(2);
    match count {
        Some(count) if count > most => Err(EngineError::invalid(format!(
            "{count} personas by {traits} traits could not be saved, their conditions are too long for segments: ask for at most {most}, or give fewer traits"
        ))),
        _ => Ok(most),
    }
}

fn type_of(known: &[(String, ColumnType)], column: &str) -> Result<ColumnType> {
    let found = known.iter().find(|(name, _)| name == column).map(|(_, column_type)| *column_type);
    found.ok_or_else(|| {
        let hint = suggestion(column, known.iter().map(|(name, _)| name.as_str()));
        EngineError::not_found(format!("profiles have no column `{column}`; {hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many columns, and the dimensions of them.
    fn traits(count: usize, column_type: ColumnType) -> (Vec<Dimension>, Vec<(String, ColumnType)>) {
        let values: Vec<Option<f64>> = (0..101).map(|value| Some(f64::from(value))).collect();
        let known: Vec<(String, ColumnType)> = (0..count).map(|place| (format!("t{place}"), column_type)).collect();
        (known.iter().filter_map(|(name, of)| Dimension::of(name, *of, &values)).collect(), known)
    }

    #[test]
    fn test_the_most_clusters_that_segments_hold() {
        let most = |count, column_type| {
            let (dimensions, known) = traits(count, column_type);
            clusters_max(&dimensions, &known, None).unwrap()
        };
        // As docs/SEGMENTS.md says.
        let numbers = [1, 3, 7, 10, 15, 20].map(|count| most(count, ColumnType::Decimal));
        assert_eq!(numbers, [12, 12, 12, 9, 6, 5]);
        let times = [1, 5, 10, 20].map(|count| most(count, ColumnType::Timestamp));
        assert_eq!(times, [12, 12, 7, 4]);
        assert_eq!(most(20, ColumnType::Boolean), 7);
    }

    #[test]
    fn test_more_clusters_are_refused() {
        let refused = |traits_count, count| {
            let (dimensions, known) = traits(traits_count, ColumnType::Integer);
            clusters_max(&dimensions, &known, count).unwrap_err().to_string()
        };
        let told = refused(10, Some(12));
        assert!(told.contains("12 personas by 10 traits") && told.contains("at most 9"), "{told}");
        let told = refused(60, None);
        assert!(told.starts_with("people cannot be divided by these 60 traits: "), "{told}");
    }

    #[test]
    fn test_a_group_of_a_segment_names_it() {
        let [one, other] = ["a", "b"].map(|name| Expr::InSegment(name.to_owned()));
        assert_eq!(text_of(&within("loyal", one.clone())), "in_segment('loyal') and in_segment('a')");
        let both = within("loyal", Expr::And(vec![one, other]));
        assert_eq!(text_of(&both), "in_segment('loyal') and in_segment('a') and in_segment('b')");
    }
}
