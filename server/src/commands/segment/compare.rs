//! `tessera segment compare`.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use tessera_engine::{ComparedColumn, Comparison, Engine, QueryLimits};

use super::require;
use crate::output::say;
use crate::segments::lifts;
use crate::table::table;

/// Prints how segments overlap, and what sets their members apart in some columns.
pub(super) async fn run(engine: &Engine, segments: &[String], columns: &[String]) -> Result<()> {
    for name in segments {
        require(engine, name).await?;
    }
    let snapshot = engine.reload().await?;
    let compared = engine.compare_segments(&snapshot, segments, columns, QueryLimits::default()).await?;
    say("People in both, of each two:")?;
    say(table(&[overlaps(segments, &compared)?])?)?;
    say(format_args!("in any: {}, in all: {}, people: {}", compared.any, compared.all, compared.profile_count))?;
    if !compared.columns.is_empty() {
        say("\nLift is how many times as much as everybody:")?;
    }
    for column in &compared.columns {
        say(table(&[column_table(segments, &compared, column)?])?)?;
    }
    Ok(())
}

/// A row for each segment: its members, those who are in each of the others too, and those in none of them.
fn overlaps(segments: &[String], compared: &Comparison) -> Result<RecordBatch> {
    let counts = |counts: Vec<u64>| Arc::new(UInt64Array::from(counts)) as ArrayRef;
    let names = Arc::new(StringArray::from_iter_values(segments)) as ArrayRef;
    let mut columns = vec![("segment", names), ("size", counts(compared.sizes.clone()))];
    for (place, name) in segments.iter().enumerate() {
        let shared = compared.overlaps.iter().filter_map(|shared| shared.get(place).copied());
        columns.push((name, counts(shared.collect())));
    }
    columns.push(("in no other", counts(compared.only.clone())));
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// A row for each value of a column, or one for its mean: of everybody, and of each segment with its lift.
fn column_table(segments: &[String], compared: &Comparison, column: &ComparedColumn) -> Result<RecordBatch> {
    let texts = |texts: Vec<String>| Arc::new(StringArray::from(texts)) as ArrayRef;
    let (of_all, values) = match column.mean {
        Some(mean) => (vec![format!("{mean:.2}")], vec!["mean".to_owned()]),
        None => column
            .everybody
            .values
            .iter()
            .map(|(value, count)| (count.to_string(), value.clone().unwrap_or_else(|| "(unknown)".to_owned())))
            .unzip(),
    };
    let mut columns = vec![(column.column.as_str(), texts(values)), ("everybody", texts(of_all))];
    for (place, (name, size)) in segments.iter().zip(&compared.sizes).enumerate() {
        let of_segment = match column.means.get(place).copied().flatten() {
            Some(mean) => vec![format!("{mean:.2}")],
            None if column.mean.is_some() => vec![String::new()],
            None => column.members.get(place).into_iter().flatten().map(u64::to_string).collect(),
        };
        let lifts = lifts(column, place, *size, compared.profile_count).into_iter();
        let lifts = lifts.map(|lift| if lift.is_finite() { format!("{lift:.2}") } else { String::new() });
        columns.push((name, texts(of_segment)));
        columns.push(("lift", texts(lifts.collect())));
    }
    Ok(RecordBatch::try_from_iter(columns)?)
}

#[cfg(test)]
mod tests {
    use tessera_engine::Breakdown;

    use super::*;

    #[test]
    fn test_overlaps_and_lifts_of_three_segments() {
        let of_everybody = |values: &[(Option<&str>, u64)], others| Breakdown {
            column: "country".to_owned(),
            values: values.iter().map(|(value, count)| (value.map(str::to_owned), *count)).collect(),
            others,
        };
        let country = ComparedColumn {
            column: "country".to_owned(),
            mean: None,
            means: vec![None; 3],
            everybody: of_everybody(&[(Some("FR"), 5), (None, 5)], 0),
            members: vec![vec![4, 0], vec![1, 1], vec![0, 0]],
        };
        let spent = ComparedColumn {
            column: "spent".to_owned(),
            mean: Some(2.0),
            means: vec![Some(5.0), Some(1.0), None],
            everybody: of_everybody(&[], 10),
            members: vec![Vec::new(); 3],
        };
        let compared = Comparison {
            sizes: vec![4, 2, 0],
            overlaps: vec![vec![4, 1, 0], vec![1, 2, 0], vec![0, 0, 0]],
            only: vec![3, 1, 0],
            any: 5,
            all: 0,
            profile_count: 10,
            columns: vec![country, spent],
        };
        let segments = ["loyal", "quiet", "nobody"].map(str::to_owned);
        let shown = table(&[overlaps(&segments, &compared).unwrap()]).unwrap();
        assert!(shown.contains("| segment | size | loyal | quiet | nobody | in no other |"), "{shown}");
        assert!(shown.contains("| quiet   | 2    | 1     | 2     | 0      | 1           |"), "{shown}");
        let shown =
            |place: usize| table(&[column_table(&segments, &compared, &compared.columns[place]).unwrap()]).unwrap();
        assert!(
            shown(0).contains("| FR        | 5         | 4     | 2.00 | 1     | 1.00 | 0      |      |"),
            "{}",
            shown(0)
        );
        assert!(
            shown(1).contains("| mean  | 2.00      | 5.00  | 2.50 | 1.00  | 0.50 |        |      |"),
            "{}",
            shown(1)
        );
    }
}
