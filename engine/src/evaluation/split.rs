//! Splits: profiles spread evenly between 0 and 1, the same way whenever and wherever it is computed.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Builder};
use datafusion::logical_expr::{Expr, ScalarUDF, lit};

use super::types::QUOTIENT;
use crate::query::functions::{of_columns, text};

/// Units of a quotient in 1.
const UNITS: u128 = 10_000_000_000;
/// No name of a split ends and no identifier begins in the middle of the other.
const SEPARATOR: &[u8] = b"\x1f";

/// Where profiles fall in the split `name`; `first_identifier` is their column.
pub(super) fn place_in_split(first_identifier: Expr, name: &str) -> Expr {
    function().call(vec![first_identifier, lit(name)])
}

/// `place_in_split(first_identifier, name)`: where profiles fall, between 0 and 1. The name is one for all rows of a batch.
pub(super) fn function() -> Arc<ScalarUDF> {
    of_columns("place_in_split", QUOTIENT, |[identifiers, name]| {
        let (identifiers, name) = (text(identifiers)?, text(name)?);
        let name = name.iter().flatten().next().unwrap_or_default().to_owned();
        let mut places = Decimal128Builder::with_capacity(identifiers.len()).with_data_type(QUOTIENT);
        for identifier in identifiers.iter() {
            places.append_option(identifier.map(|identifier| place(&name, identifier)));
        }
        Ok(Arc::new(places.finish()) as ArrayRef)
    })
}

/// In units of a quotient: the first 64 bits of the BLAKE3 hash of name and identifier, as a share of all.
fn place(name: &str, identifier: &str) -> i128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes()).update(SEPARATOR).update(identifier.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    ((u128::from(u64::from_be_bytes(first)) * UNITS) >> u64::BITS) as i128
}

#[cfg(test)]
mod tests {
    use super::{UNITS, place};

    #[test]
    fn test_places_are_spread_evenly_and_splits_are_independent() {
        let place = |name: &str, number: u32| place(name, &format!("profile {number}"));
        let is_low = |name: &str, number: u32| place(name, number) < (UNITS / 4) as i128;
        let low = (0..10_000).filter(|&number| is_low("a", number)).count();
        let both = (0..10_000).filter(|&number| is_low("a", number) && is_low("b", number)).count();
        assert!((2_300..2_700).contains(&low), "{low}");
        assert!((500..750).contains(&both), "{both}");
        assert!((0..10_000).all(|number| (0..UNITS as i128).contains(&place("a", number))));
        assert_eq!(place("a", 1), place("a", 1));
    }
}
