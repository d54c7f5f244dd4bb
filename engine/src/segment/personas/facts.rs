//! What sets a group apart from everybody, in words.

use chrono::{NaiveDate, TimeDelta};

use super::spread::Spread;

/// What sets a group apart must be by so much more or less frequent than among everybody.
const LIFT_MIN: f64 = 1.2;
/// Where that says nothing, a mean must be so many of everybody's standard deviations away from theirs.
const DEVIATIONS_MIN: f64 = 0.2;
/// A value that fewer of a group have does not describe it.
const SHARE_MIN: f64 = 0.1;
/// What a persona is told by.
const FACTS_MAX: usize = 4;

/// Something in which a group differs from everybody. It has no line ends, whatever a value has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fact {
    /// For its title.
    pub(super) short: String,
    /// The group's mean, for titles that would be the same without it.
    pub(super) figure: Option<String>,
    /// For its description.
    pub(crate) long: String,
    /// How much it sets the group apart: the logarithm of how many times as much or as frequent it is, or the number of
    /// standard deviations. Both begin to tell at a fifth.
    strength: f64,
}

/// How frequent a value is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frequency<'a> {
    /// The value; `None` for no value.
    pub(crate) value: Option<&'a str>,
    /// Of the group, those who have it.
    pub(crate) own: f64,
    /// Of everybody.
    pub(crate) of_all: f64,
}

impl Fact {
    /// A column of numbers: by its mean, or by how many have none.
    pub(crate) fn of_numbers(column: &str, everybody: &Spread, group: &Spread) -> Option<Self> {
        let name = words(column);
        let by_mean = by_index(&name, everybody, group).or_else(|| by_difference(&name, everybody, group));
        stronger(by_mean, unknown(&name, everybody, group))
    }

    /// A column of times: by its mean, or by how many have none.
    pub(crate) fn of_times(column: &str, everybody: &Spread, group: &Spread, today: NaiveDate) -> Option<Self> {
        let name = words(column);
        stronger(by_time(&name, everybody, group, today), unknown(&name, everybody, group))
    }

    /// A column of anything else: by the value that is most typical of the group.
    pub(crate) fn of_values<'a>(column: &str, values: impl Iterator<Item = Frequency<'a>>) -> Option<Self> {
        let name = words(column);
        values.filter_map(|value| frequent(&name, value)).fold(None, |most, fact| stronger(Some(fact), most))
    }
}

/// What a group is told by: those of some facts that set it apart most, the strongest first. There is always something to
/// tell.
pub(crate) fn told(mut facts: Vec<Fact>, size: u64) -> Vec<Fact> {
    let only = |short: &str, long: &str| {
        vec![Fact { short: short.to_owned(), figure: None, long: long.to_owned(), strength: 0.0 }]
    };
    if size == 0 {
        return only("nobody", "Nobody");
    }
    if facts.is_empty() {
        return only("like everybody", "Nothing sets them apart from everybody");
    }
    facts.sort_by(|left, right| right.strength.total_cmp(&left.strength));
    facts.truncate(FACTS_MAX);
    facts
}

/// A mean as a multiple of everybody's.
fn by_index(name: &str, everybody: &Spread, group: &Spread) -> Option<Fact> {
    // A ratio of debts, or to nothing, has no meaning.
    let ratio = (everybody.least >= 0.0 && everybody.mean > 0.0).then(|| group.mean / everybody.mean)?;
    let short = match ratio {
        0.0 => format!("no {name}"),
        _ if ratio >= LIFT_MIN => format!("high {name}"),
        _ if ratio <= 1.0 / LIFT_MIN => format!("low {name}"),
        _ => return None,
    };
    let (own, of_all) = (number(group.mean), number(everybody.mean));
    Some(Fact {
        short,
        figure: (ratio > 0.0).then(|| format!("{name} {own}")),
        long: format!("{name} {} everybody's ({own} against {of_all})", times(ratio)),
        strength: strength(ratio),
    })
}

/// A mean beside everybody's, where a multiple says nothing.
fn by_difference(name: &str, everybody: &Spread, group: &Spread) -> Option<Fact> {
    let strength = group.deviations_above(everybody);
    // Two digits of the difference: years are the same but for the last two, too.
    let digits = (1.0 - (group.mean - everybody.mean).abs().log10().floor()).clamp(0.0, 9.0) as usize;
    let (own, of_all) = (format!("{:.digits$}", group.mean), format!("{:.digits$}", everybody.mean));
    (strength.abs() >= DEVIATIONS_MIN).then(|| Fact {
        short: format!("{} {name}", if strength > 0.0 { "high" } else { "low" }),
        figure: Some(format!("{name} {own}")),
        long: format!("{name} {own} against {of_all}"),
        strength: strength.abs(),
    })
}

/// A mean time beside everybody's.
fn by_time(name: &str, everybody: &Spread, group: &Spread, today: NaiveDate) -> Option<Fact> {
    let strength = group.deviations_above(everybody);
    let is_told = strength.abs() >= DEVIATIONS_MIN;
    let day = |days: f64| today.checked_add_signed(TimeDelta::try_days(days.round() as i64)?);
    let (own, of_all) = is_told.then(|| day(group.mean).zip(day(everybody.mean)))??;
    let days = (group.mean - everybody.mean).abs();
    let digits = usize::from(days < 10.0);
    let side = if strength > 0.0 { "later" } else { "earlier" };
    Some(Fact {
        short: format!("{side} {name}"),
        figure: Some(format!("{name} {own}")),
        long: format!("{name} {days:.digits$} days {side} than everybody's ({own} against {of_all})"),
        strength: strength.abs(),
    })
}

fn unknown(name: &str, everybody: &Spread, group: &Spread) -> Option<Fact> {
    frequent(name, Frequency { value: None, own: group.unknown, of_all: everybody.unknown })
}

/// A value that more of a group have.
fn frequent(name: &str, Frequency { value, own, of_all }: Frequency<'_>) -> Option<Fact> {
    let value = one_line(value.unwrap_or("unknown"));
    let ratio = own / of_all;
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    (own >= SHARE_MIN && of_all > 0.0 && ratio >= LIFT_MIN).then(|| Fact {
        short: format!("{name} {value}"),
        figure: None,
        long: format!("{name} {value} {} as frequent ({} against {})", times(ratio), percent(own), percent(of_all)),
        strength: strength(ratio),
    })
}

/// The first, if both say as much.
fn stronger(one: Option<Fact>, other: Option<Fact>) -> Option<Fact> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.strength > one.strength { other } else { one }),
        (one, other) => one.or(other),
    }
}

/// Of twice as much the same as of half.
fn strength(ratio: f64) -> f64 {
    ratio.max(f64::MIN_POSITIVE).ln().abs()
}

/// A column as people read it.
fn words(column: &str) -> String {
    one_line(&column.replace('_', " "))
}

/// Titles and descriptions are one line.
fn one_line(text: &str) -> String {
    text.replace(|letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}'), " ").trim().to_owned()
}

fn times(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.2} times") } else { format!("{ratio:.1} times") }
}

/// With as many digits as people read.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(column: &str, everybody: &[f64], group: &[f64]) -> Option<Fact> {
        let [everybody, group] = [everybody, group].map(|of| of.iter().copied().map(Some).collect::<Vec<_>>());
        Fact::of_numbers(column, &Spread::of(&everybody), &Spread::of(&group))
    }

    fn longs(facts: Vec<Fact>) -> Vec<String> {
        facts.into_iter().map(|fact| fact.long).collect()
    }

    #[test]
    fn test_what_differs_most_comes_first() {
        let countries = [(Some("FR"), 0.8, 0.5), (None, 0.2, 0.5), (Some("DE"), 0.05, 0.01)];
        let countries = countries.map(|(value, own, of_all)| Frequency { value, own, of_all });
        let facts = [
            numbers("orders", &[0.0, 4.0], &[2.2]),
            numbers("spent", &[0.0, 200.0], &[310.4]),
            numbers("days_quiet", &[0.0, 80.0], &[4.0]),
            numbers("returns", &[0.0, 3.0], &[0.0]),
            numbers("empty", &[0.0, 2.0], &[]),
            Fact::of_values("country", countries.into_iter()),
        ];
        let facts = told(facts.into_iter().flatten().collect(), 10);
        let shorts: Vec<&str> = facts.iter().map(|fact| fact.short.as_str()).collect();
        assert_eq!(shorts, ["no returns", "low days quiet", "high spent", "country FR"]);
        assert_eq!(
            longs(facts),
            [
                "returns 0.00 times everybody's (0.00 against 1.50)",
                "days quiet 0.1 times everybody's (4.00 against 40.0)",
                "spent 3.1 times everybody's (310 against 100)",
                "country FR 1.6 times as frequent (80 % against 50 %)",
            ]
        );
    }

    #[test]
    fn test_numbers_of_which_an_index_says_nothing_are_told_plainly() {
        let balances = [-3.0, -55.0];
        let debts = numbers("balance", &balances, &[-55.0]).unwrap();
        assert_eq!((debts.short.as_str(), debts.long.as_str()), ("low balance", "balance -55 against -29"));
        assert_eq!(numbers("balance", &balances, &[-3.0]).unwrap().short, "high balance");
        // Of numbers on both sides of 0, or that are all alike large.
        assert_eq!(numbers("balance", &[-50.0, 52.0], &[52.0]).unwrap().long, "balance 52 against 1");
        assert_eq!(numbers("year", &[2024.1, 2024.5], &[2024.5]).unwrap().long, "year 2024.50 against 2024.30");
        // Everybody's mean, and one that is nearly theirs.
        assert_eq!(numbers("balance", &balances, &balances), None);
        assert_eq!(numbers("balance", &balances, &[-29.0, -30.0, -31.0]), None);
        assert_eq!(numbers("balance", &[-3.0, -3.0], &[-3.0]), None);
    }

    #[test]
    fn test_times_are_told_by_days() {
        let today = NaiveDate::from_ymd_opt(2026, 6, 1).unwrap();
        let times = |days: &[Option<f64>]| Spread::of(days);
        let everybody = times(&[Some(-2.0), Some(-4.0), Some(-95.0), Some(-99.0)]);
        let told = |group| Fact::of_times("last_order_at", &everybody, &group, today);
        let late = told(times(&[Some(-2.0), Some(-4.0)])).unwrap();
        assert_eq!(late.short, "later last order at");
        assert_eq!(late.long, "last order at 47 days later than everybody's (2026-05-29 against 2026-04-12)");
        let early = told(times(&[Some(-95.0), Some(-99.0), None])).unwrap();
        assert_eq!(early.long, "last order at 47 days earlier than everybody's (2026-02-24 against 2026-04-12)");
        assert_eq!(told(everybody), None);
        // Who has no time is told by that.
        let everybody = times(&[Some(-2.0), None, Some(-4.0), Some(-6.0)]);
        let never = Fact::of_times("last_order_at", &everybody, &times(&[None]), today).unwrap();
        assert_eq!(never.long, "last order at unknown 4.0 times as frequent (100 % against 25 %)");
    }

    #[test]
    fn test_values_are_put_on_one_line() {
        let city = Frequency { value: Some("Lyon\r\nNord\u{2028}"), own: 1.0, of_all: 0.5 };
        let told = Fact::of_values("home\ncity", std::iter::once(city)).unwrap();
        assert_eq!(told.short, "home city Lyon  Nord");
        assert!(!told.long.contains(char::is_control));
    }

    #[test]
    fn test_there_is_always_something_to_tell() {
        assert_eq!(longs(told(Vec::new(), 3)), ["Nothing sets them apart from everybody"]);
        assert_eq!(longs(told(vec![numbers("a", &[1.0, 3.0], &[4.0]).unwrap()], 0)), ["Nobody"]);
    }
}
