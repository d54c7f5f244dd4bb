//! K-means, and the conditions that say to whose center somebody is nearest.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use linfa::DatasetBase;
use linfa::metrics::SilhouetteScore;
use linfa::traits::{Fit, Predict};
use linfa_clustering::KMeans;
use ndarray::{Array1, Array2, Axis};

use super::dimension::Dimension;
use crate::error::{EngineError, Result};
use crate::expression::{BinaryOp, Expr, Literal};
use crate::query::cpu_runtime::blocking;

/// More clusters than that nobody tells apart.
pub(crate) const CLUSTERS_MAX: usize = 12;
/// Without a number of clusters, so many are tried.
const CLUSTERS_TRIED_MAX: usize = 8;
/// Points whose silhouettes are computed: the time grows with the square of their number.
const SILHOUETTES_MAX: usize = 1_000;
/// How often the algorithm begins from other centers; the best counts.
const RUNS: usize = 4;
const ITERATIONS_MAX: u64 = 100;
/// Digits by which a weight times the whole range of its values is told.
const WEIGHT_DIGITS: f64 = 4.0;
const DECIMALS_MAX: f64 = 14.0;
/// From the least value of a dimension to the greatest: of a wider one the weights have too few digits.
pub(super) const RANGE_MAX: f64 = 1e10;
const BIAS_DECIMALS: usize = 6;

/// The centers of clusters.
pub(super) struct Clusters {
    /// A position in each dimension.
    pub(super) centers: Vec<Vec<f64>>,
    /// The mean silhouette for each number of clusters that was tried.
    pub(super) silhouettes: Vec<(usize, f64)>,
}

impl Clusters {
    /// Finds `count` clusters of points, or as many, up to `most`, as give the highest mean silhouette. The same points
    /// always give the same clusters. Dropping the future gives it up after the number that is being tried.
    ///
    /// # Errors
    /// InvalidInput if there are fewer different points than clusters, or only one.
    pub(super) async fn find(points: &[Vec<f64>], count: Option<usize>, most: usize) -> Result<Self> {
        let different: HashSet<Vec<u64>> =
            points.iter().map(|point| point.iter().map(|value| value.to_bits()).collect()).collect();
        let least = count.unwrap_or(2);
        if different.len() < least {
            return Err(EngineError::invalid(format!(
                "these traits tell only {} kinds of people apart, fewer than the {least} personas wanted",
                different.len()
            )));
        }
        let rows = Arc::new(matrix(points)?);
        let tried = match count {
            Some(count) => count..=count,
            None => 2..=CLUSTERS_TRIED_MAX.min(most).min(different.len()),
        };
        let mut best: Option<(f64, Vec<Vec<f64>>)> = None;
        let mut silhouettes = Vec::new();
        for count in tried {
            let rows = Arc::clone(&rows);
            let (centers, silhouette) = blocking(move || k_means(&rows, count)).await?;
            silhouettes.push((count, silhouette));
            if best.as_ref().is_none_or(|(highest, _)| silhouette > *highest) {
                best = Some((silhouette, centers));
            }
        }
        let (_, centers) = best.ok_or_else(|| EngineError::internal("no number of clusters was tried"))?;
        Ok(Self { centers, silhouettes })
    }
}

/// A point a row.
fn matrix(points: &[Vec<f64>]) -> Result<Array2<f64>> {
    let width = points.first().map_or(0, Vec::len);
    Array2::from_shape_vec((points.len(), width), points.concat())
        .map_err(|error| EngineError::internal(error.to_string()))
}

/// The centers of so many clusters, and the mean silhouette of some of the points.
fn k_means(rows: &Array2<f64>, count: usize) -> Result<(Vec<Vec<f64>>, f64)> {
    // The library's own generator of random numbers begins from a fixed seed.
    let parameters = KMeans::params(count).n_runs(RUNS).max_n_iterations(ITERATIONS_MAX).tolerance(1e-3);
    let model = parameters.fit(&DatasetBase::from(rows.view())).map_err(|error| failed(&error))?;
    let step = rows.nrows().div_ceil(SILHOUETTES_MAX);
    let some: Vec<usize> = (0..rows.nrows()).step_by(step).collect();
    let some = model.predict(DatasetBase::from(rows.select(Axis(0), &some)));
    let centers = model.centroids().rows().into_iter().map(|center| center.to_vec()).collect();
    Ok((centers, silhouette(&some)?))
}

/// The mean silhouette of points with their clusters. Of a point that is alone in its cluster it is 0 (Rousseeuw 1987); the
/// library has 1 for it, and for all points in one cluster.
fn silhouette(points: &DatasetBase<Array2<f64>, Array1<usize>>) -> Result<f64> {
    let mut sizes: HashMap<usize, usize> = HashMap::new();
    for cluster in points.targets() {
        *sizes.entry(*cluster).or_default() += 1;
    }
    if sizes.len() < 2 {
        return Ok(0.0);
    }
    let alone = sizes.values().filter(|size| **size == 1).count();
    let mean = points.silhouette_score().map_err(|error| failed(&error))?;
    // Points that coincide with all of their own cluster and of the next one have none.
    Ok(if mean.is_finite() { mean - alone as f64 / points.targets().len() as f64 } else { 0.0 })
}

fn failed(error: &dyn std::fmt::Display) -> EngineError {
    EngineError::internal(format!("clusters were not found: {error}"))
}

/// For each center the condition that no other is nearer. With `z` the position, `c` the center of this cluster and `d` that
/// of another: `|z-c|² <= |z-d|²`, which is `2(c-d)z >= |c|²-|d|²`, a sum of weighted values against a number. The weights
/// are rounded center by center, before they are compared: so exactly one condition holds for everybody.
pub(super) fn conditions(dimensions: &[Dimension], centers: &[Vec<f64>]) -> Vec<Expr> {
    let decimals: Vec<usize> = dimensions.iter().map(decimals).collect();
    let scored: Vec<Score> = centers.iter().map(|center| Score::of(dimensions, &decimals, center)).collect();
    let condition = |place: usize, of: &Score| {
        let others = scored.iter().enumerate().filter(|(other, _)| *other != place);
        let mut nearer: Vec<Expr> = others
            .map(|(other, against)| {
                // Who is as near to two goes to the first.
                let op = if place < other { BinaryOp::GreaterOrEqual } else { BinaryOp::Greater };
                of.against(against, op, dimensions, &decimals)
            })
            .collect();
        match nearer.pop() {
            Some(only) if nearer.is_empty() => only,
            last => Expr::And(nearer.into_iter().chain(last).collect()),
        }
    };
    scored.iter().enumerate().map(|(place, score)| condition(place, score)).collect()
}

/// As many words and operators as the condition of one among so many clusters may have: each number that can be negative is.
pub(super) fn longest_condition(dimensions: &[Dimension], count: usize) -> Expr {
    let decimals: Vec<usize> = dimensions.iter().map(decimals).collect();
    let own = Score { weights: vec![-1; dimensions.len()], bias: 1 };
    let other = Score { weights: vec![0; dimensions.len()], bias: 0 };
    Expr::And(vec![own.against(&other, BinaryOp::Greater, dimensions, &decimals); count.saturating_sub(1)])
}

/// Digits after the point of the weights of a dimension.
fn decimals(dimension: &Dimension) -> usize {
    (WEIGHT_DIGITS + dimension.range().log10()).ceil().clamp(WEIGHT_DIGITS, DECIMALS_MAX) as usize
}

/// `2cz - |c|²` for a center: the higher, the nearer. Weights of values and a number beside them, in units of their last
/// decimal.
struct Score {
    weights: Vec<i128>,
    bias: i128,
}

impl Score {
    fn of(dimensions: &[Dimension], decimals: &[usize], center: &[f64]) -> Self {
        let (mut weights, mut bias) = (Vec::new(), 0.0);
        for ((dimension, decimals), position) in dimensions.iter().zip(decimals).zip(center) {
            let (factor, start) = dimension.factors();
            weights.push(units(2.0 * position * factor, *decimals));
            bias += 2.0 * position * start - position * position;
        }
        Self { weights, bias: units(bias, BIAS_DECIMALS) }
    }

    /// The condition that this score is higher than another one.
    fn against(&self, other: &Self, op: BinaryOp, dimensions: &[Dimension], decimals: &[usize]) -> Expr {
        let binary = |op, left, right| Expr::Binary { op, left: Box::new(left), right: Box::new(right) };
        let weights = self.weights.iter().zip(&other.weights).map(|(own, other)| own - other);
        let mut sum: Option<Expr> = None;
        for ((weight, dimension), decimals) in
            weights.zip(dimensions).zip(decimals).filter(|((weight, _), _)| *weight != 0)
        {
            let weighted = |weight| binary(BinaryOp::Multiply, decimal(weight, *decimals), dimension.value());
            // A sign would be one more operator: conditions are bounded.
            sum = Some(match sum {
                None => weighted(weight),
                Some(sum) if weight < 0 => binary(BinaryOp::Subtract, sum, weighted(-weight)),
                Some(sum) => binary(BinaryOp::Add, sum, weighted(weight)),
            });
        }
        let sum = sum.unwrap_or_else(|| decimal(0, BIAS_DECIMALS));
        binary(op, sum, decimal(other.bias - self.bias, BIAS_DECIMALS))
    }
}

fn units(value: f64, decimals: usize) -> i128 {
    (value * 10_f64.powi(decimals as i32)).round() as i128
}

/// A number of units as digits with a point.
fn decimal(units: i128, decimals: usize) -> Expr {
    let sign = if units < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    Expr::Literal(Literal::Decimal(format!("{sign}{whole}.{fraction}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{ColumnType, text_of};

    /// Three heaps of points, a little apart within each.
    fn heaps() -> Vec<Vec<f64>> {
        let near = |x: f64, y: f64| {
            (0..30).map(move |place| vec![x + f64::from(place % 5) * 0.05, y + f64::from(place % 3) * 0.05])
        };
        near(0.0, 0.0).chain(near(5.0, 0.0)).chain(near(0.0, 5.0)).collect()
    }

    #[tokio::test]
    async fn test_the_number_of_clusters_is_found() {
        let found = Clusters::find(&heaps(), None, CLUSTERS_MAX).await.unwrap();
        assert_eq!(found.centers.len(), 3, "{:?}", found.silhouettes);
        assert_eq!(found.silhouettes.len(), CLUSTERS_TRIED_MAX - 1);
        let again = Clusters::find(&heaps(), None, CLUSTERS_MAX).await.unwrap();
        assert_eq!(found.centers, again.centers);
        assert_eq!(Clusters::find(&heaps(), Some(5), CLUSTERS_MAX).await.unwrap().centers.len(), 5);
    }

    #[tokio::test]
    async fn test_no_more_clusters_are_tried_than_can_be_told() {
        let found = Clusters::find(&heaps(), None, 2).await.unwrap();
        assert_eq!((found.centers.len(), found.silhouettes.len()), (2, 1));
    }

    #[tokio::test]
    async fn test_whoever_is_alone_is_not_told_apart_well() {
        let spent = [318.0, 322.0, 323.0, 326.0, 330.0, 347.0, 348.0, 373.0];
        let dimension = Dimension::of("spent", ColumnType::Integer, &spent.map(Some)).unwrap();
        let points: Vec<Vec<f64>> = spent.iter().map(|spent| vec![dimension.position(Some(*spent))]).collect();
        let found = Clusters::find(&points, None, CLUSTERS_MAX).await.unwrap();
        assert_eq!(found.centers.len(), 3, "{:?}", found.silhouettes);
        let told: Vec<String> = found.silhouettes.iter().map(|(_, silhouette)| format!("{silhouette:.2}")).collect();
        assert_eq!([&told[0], &told[1], &told[6]], ["0.68", "0.71", "0.00"]);
    }

    #[test]
    fn test_silhouettes_of_points_that_coincide() {
        let clustered = |points: &[f64], clusters: &[usize]| {
            let rows = Array2::from_shape_vec((points.len(), 1), points.to_vec()).unwrap();
            silhouette(&DatasetBase::new(rows, Array1::from(clusters.to_vec()))).unwrap()
        };
        assert_eq!(clustered(&[1.0, 1.0, 2.0, 2.0], &[0, 0, 1, 1]), 1.0);
        assert_eq!(clustered(&[1.0, 1.0, 2.0], &[0, 0, 1]), 1.0 - 1.0 / 3.0);
        // In two clusters at one place, and all in one cluster.
        assert_eq!(clustered(&[1.0, 1.0, 1.0], &[0, 0, 1]), 0.0);
        assert_eq!(clustered(&[1.0, 2.0, 3.0], &[0, 0, 0]), 0.0);
    }

    #[tokio::test]
    async fn test_as_many_kinds_as_clusters_are_needed() {
        let points = vec![vec![1.0], vec![1.0], vec![2.0]];
        assert_eq!(Clusters::find(&points, None, CLUSTERS_MAX).await.unwrap().centers.len(), 2);
        let refused = Clusters::find(&points, Some(3), CLUSTERS_MAX).await.map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("only 2 kinds of people"), "{refused}");
        assert!(Clusters::find(&points[..2], None, CLUSTERS_MAX).await.is_err());
        assert!(Clusters::find(&[], None, CLUSTERS_MAX).await.is_err());
    }

    #[test]
    fn test_conditions_are_sums_of_weighted_values() {
        let values: Vec<Option<f64>> = (0..101).map(|value| Some(f64::from(value))).collect();
        let dimensions = [Dimension::of("orders", ColumnType::Integer, &values).unwrap()];
        let told: Vec<String> = conditions(&dimensions, &[vec![-1.0], vec![1.0]]).iter().map(text_of).collect();
        let value = "least(greatest(coalesce(orders, 50), 5), 95)";
        assert_eq!(told[0].replace(value, "x"), "-0.139500 * x >= -6.975044");
        assert_eq!(told[1].replace(value, "x"), "0.139500 * x > 6.975044");
        let both = [dimensions[0].clone(), dimensions[0].clone()];
        let told = text_of(&conditions(&both, &[vec![1.0, -1.0], vec![-1.0, 1.0]])[0]);
        assert_eq!(told.replace(value, "x"), "0.139500 * x - 0.139500 * x >= 0.000000");
    }

    #[test]
    fn test_no_condition_is_longer_than_the_longest() {
        let values: Vec<Option<f64>> = (0..101).map(|value| Some(f64::from(value))).collect();
        let dimensions = [Dimension::of("orders", ColumnType::Integer, &values).unwrap()];
        let value = "least(greatest(coalesce(orders, 50), 5), 95)";
        let told = text_of(&longest_condition(&dimensions, 3));
        assert_eq!(told.replace(value, "x"), "-0.000001 * x > -0.000001 and -0.000001 * x > -0.000001");
    }
}
