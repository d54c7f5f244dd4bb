//! How the numbers of some people are spread.

/// A mean is not exact: a deviation that is less of it is none.
const NOISE: f64 = 1e-9;

/// Numbers of some people. Times are numbers, too: days, negative for those before today.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// NaN if nobody has a number.
    pub(super) mean: f64,
    /// 0 if all numbers are the same.
    pub(super) deviation: f64,
    /// Of those who have one.
    pub(super) least: f64,
    /// Of all people, those who have none.
    pub(super) unknown: f64,
}

impl Spread {
    /// That of some people's numbers.
    pub(crate) fn of(numbers: &[Option<f64>]) -> Self {
        let known: Vec<f64> = numbers.iter().flatten().copied().filter(|number| number.is_finite()).collect();
        let count = known.len() as f64;
        let mean = known.iter().sum::<f64>() / count;
        let variance = known.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / count;
        let deviation = Some(variance.sqrt()).filter(|deviation| *deviation > NOISE * mean.abs());
        Self {
            mean,
            deviation: deviation.unwrap_or(0.0),
            least: known.iter().copied().fold(f64::INFINITY, f64::min),
            unknown: (numbers.len() - known.len()) as f64 / numbers.len() as f64,
        }
    }

    /// How many of everybody's standard deviations the mean of a group is above theirs; NaN if nobody has a number.
    pub(super) fn deviations_above(&self, everybody: &Self) -> f64 {
        match everybody.deviation {
            0.0 => 0.0,
            deviation => (self.mean - everybody.mean) / deviation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_who_has_no_number_does_not_count() {
        let everybody = Spread::of(&[Some(1.0), None, Some(5.0), Some(f64::NAN)]);
        assert_eq!(everybody, Spread { mean: 3.0, deviation: 2.0, least: 1.0, unknown: 0.5 });
        assert_eq!(Spread::of(&[Some(4.0)]).deviations_above(&everybody), 0.5);
        assert!(Spread::of(&[None]).deviations_above(&everybody).is_nan());
        assert!(Spread::of(&[]).mean.is_nan());
    }

    #[test]
    fn test_what_all_have_has_no_deviation() {
        let everybody = Spread::of(&[Some(0.1); 7]);
        assert_eq!(everybody.deviation, 0.0);
        assert_eq!(Spread::of(&[Some(0.1); 2]).deviations_above(&everybody), 0.0);
    }
}
