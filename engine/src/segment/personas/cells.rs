//! The cells of recency and frequency, by the names that marketers know them by.

use crate::config::nearest::suggestion;
use crate::error::{EngineError, Result};
use crate::evaluation::Census;
use crate::expression::{BinaryOp, ColumnType, Expr, Literal};

/// The groups of a score.
const GROUPS: i64 = 5;
/// The least and the greatest score of a cell.
type Span = (i64, i64);
/// The name of each cell, and the scores of recency and of frequency that are in it, both included: the usual grid of five by
/// five. A high score of recency is a short time ago.
const CELLS: [(&str, Span, Span); 10] = [
    ("Champions", (5, 5), (4, 5)),
    ("Loyal customers", (3, 4), (4, 5)),
    ("Potential loyalists", (4, 5), (2, 3)),
    ("New customers", (5, 5), (1, 1)),
    ("Promising", (4, 4), (1, 1)),
    ("Need attention", (3, 3), (3, 3)),
    ("About to sleep", (3, 3), (1, 2)),
    ("Can't lose them", (1, 2), (5, 5)),
    ("At risk", (1, 2), (3, 4)),
    ("Hibernating", (1, 2), (1, 2)),
];

/// The columns of profiles with the scores, from 1 to 5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scores {
    /// 5 is the shortest time ago.
    pub(crate) recency: String,
    /// 5 is the most often.
    pub(crate) frequency: String,
    /// 5 is the most money: the mean of both then counts as frequency.
    pub(crate) monetary: Option<String>,
}

/// The name and the condition of each cell. Whoever has no scores is in none.
///
/// # Errors
/// NotFound for a column that profiles have not; InvalidInput for one that is no score from 1 to 5.
pub(crate) async fn cells(
    known: &[(String, ColumnType)],
    census: &Census,
    scores: &Scores,
) -> Result<Vec<(String, Expr)>> {
    for column in [Some(&scores.recency), Some(&scores.frequency), scores.monetary.as_ref()].into_iter().flatten() {
        check(known, census, column).await?;
    }
    Ok(CELLS
        .iter()
        .map(|(name, recency, frequency)| ((*name).to_owned(), cell(scores, *recency, *frequency)))
        .collect())
}

async fn check(known: &[(String, ColumnType)], census: &Census, column: &str) -> Result<()> {
    let Some((_, column_type)) = known.iter().find(|(name, _)| name == column) else {
        let hint = suggestion(column, known.iter().map(|(name, _)| name.as_str()));
        return Err(EngineError::not_found(format!("profiles have no column `{column}`; {hint}")));
    };
    let everybody = census.people().await?.living().clone();
    let is_score = |value: f64| (1.0..=GROUPS as f64).contains(&value);
    let values = census.numbers(&everybody, column).await?.unwrap_or_default();
    if *column_type != ColumnType::Integer || !values.iter().flatten().all(|value| is_score(*value)) {
        return Err(EngineError::invalid(format!(
            "`{column}` is no score from 1 to {GROUPS}: write a trait such as `score(order_count, {GROUPS})`"
        )));
    }
    Ok(())
}

fn cell(scores: &Scores, recency: Span, frequency: Span) -> Expr {
    let column = |name: &str| Expr::Column { name: name.to_owned(), column_type: ColumnType::Integer };
    let of_frequency = column(&scores.frequency);
    let of_frequency = match &scores.monetary {
        None => between(of_frequency, frequency),
        // A mean of 3.5 counts as 4: the sum of both is 7 or 8.
        Some(monetary) => {
            let sum =
                Expr::Binary { op: BinaryOp::Add, left: Box::new(of_frequency), right: Box::new(column(monetary)) };
            between(sum, (2 * frequency.0 - 1, 2 * frequency.1))
        }
    };
    Expr::And(vec![between(column(&scores.recency), recency), of_frequency])
}

fn between(expr: Expr, (low, high): Span) -> Expr {
    let number = |number| Box::new(Expr::Literal(Literal::Integer(number)));
    match low == high {
        true => Expr::Binary { op: BinaryOp::Equal, left: Box::new(expr), right: number(low) },
        false => Expr::Between { expr: Box::new(expr), low: number(low), high: number(high), negated: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::text_of;

    #[test]
    fn test_every_pair_of_scores_is_in_one_cell() {
        let holds = |(low, high): Span, score| (low..=high).contains(&score);
        for (recency, frequency) in (1..=GROUPS).flat_map(|recency| (1..=GROUPS).map(move |other| (recency, other))) {
            let cells = CELLS.iter().filter(|cell| holds(cell.1, recency) && holds(cell.2, frequency));
            assert_eq!(cells.count(), 1, "{recency} {frequency}");
        }
    }

    #[test]
    fn test_money_counts_as_much_as_frequency() {
        let scores = |monetary: Option<&str>| Scores {
            recency: "r".to_owned(),
            frequency: "f".to_owned(),
            monetary: monetary.map(str::to_owned),
        };
        assert_eq!(text_of(&cell(&scores(None), (5, 5), (4, 5))), "r = 5 and f between 4 and 5");
        assert_eq!(text_of(&cell(&scores(Some("m")), (3, 4), (1, 1))), "r between 3 and 4 and f + m between 1 and 2");
    }
}
