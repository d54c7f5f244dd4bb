//! What profiles do, in plain English.

use super::super::BinaryOp;
use super::super::behavior::{EventSelector, Figure, Measure, Sequence, Share, Window};
use super::super::text::{counted, minutes_words, span_words};
use super::{in_words, property_name, property_words};

/// The events of a measure with their window: `'Order Completed' in the last 90 days (where currency is 'EUR')`.
pub(super) fn measure(measure: &Measure) -> String {
    selected(&measure.events, &window(measure.window))
}

/// A figure as a value.
pub(super) fn figure_value(it: &Measure) -> String {
    let of = |what: &str| format!("{what} {}", measure(it));
    match &it.figure {
        Figure::Count => of("the number of"),
        Figure::Days => of("the number of days with"),
        Figure::FirstTime => of("the first time of"),
        Figure::LastTime => of("the last time of"),
        Figure::Sum(property) => of(&format!("the sum of {} of", property_words(property))),
        Figure::Average(property) => of(&format!("the average {} of", property_name(property))),
        Figure::Least(property) => of(&format!("the least {} of", property_name(property))),
        Figure::Most(property) => of(&format!("the greatest {} of", property_name(property))),
        Figure::Percentile(property, share) => {
            of(&format!("the {} of {} of", percentile(*share), property_words(property)))
        }
        Figure::FirstValue(property) => of(&format!("the first {} of", property_name(property))),
        Figure::LastValue(property) => of(&format!("the last {} of", property_name(property))),
        Figure::MostFrequent(property) => of(&format!("the most frequent {} of", property_name(property))),
        Figure::DistinctCount(property) => {
            of(&format!("the number of different values of {} of", property_words(property)))
        }
        Figure::Values(property) => of(&format!("the different values of {} of", property_words(property))),
        Figure::EachWeek { weeks, times } => {
            let often =
                format!(" at least {} in each of the last {}", counted(*times, "time"), counted(*weeks, "week"));
            format!("did {}", selected(&it.events, &often))
        }
    }
}

/// A count that is compared with a number: `did 'Order Completed' at least 2 times`. `None` if it is no count.
pub(super) fn count_compared(it: &Measure, op: BinaryOp, number: i64) -> Option<String> {
    let (on, unit) = match it.figure {
        Figure::Count => ("", "time"),
        Figure::Days => ("on ", "day"),
        _ => return None,
    };
    let number = u32::try_from(number).ok()?;
    let amount = match op {
        BinaryOp::Equal => "exactly",
        BinaryOp::NotEqual => "not exactly",
        BinaryOp::Less => "less than",
        BinaryOp::LessOrEqual => "at most",
        BinaryOp::Greater => "more than",
        BinaryOp::GreaterOrEqual => "at least",
        _ => return None,
    };
    let often = format!(" {on}{amount} {}{}", counted(number, unit), window(it.window));
    Some(format!("did {}", selected(&it.events, &often)))
}

/// Events, with words between their name and their condition.
fn selected(events: &EventSelector, words: &str) -> String {
    let EventSelector { event, condition } = events;
    match condition {
        Some(condition) => format!("'{event}'{words} (where {})", in_words(&condition.expression)),
        None => format!("'{event}'{words}"),
    }
}

/// A window with a blank before it; nothing for all days.
pub(super) fn window(window: Window) -> String {
    match window {
        Window::Ever => String::new(),
        Window::Within { last, ago: None } if last.is_nothing() => " today".to_owned(),
        Window::Within { last, ago: None } => format!(" in the last {}", span_words(last, " and ")),
        Window::Within { last, ago: Some(ago) } if ago.is_nothing() => {
            format!(" in the {} before today", span_words(last, " and "))
        }
        Window::Within { last, ago: Some(ago) } => {
            format!(" in the {} before the last {}", span_words(last, " and "), span_words(ago, " and "))
        }
        Window::Since(day) => format!(" since {day}"),
        Window::Between(first, last) => format!(" from {first} to {last}"),
    }
}

/// `did 'Product Viewed' then 'Order Completed' (without 'Page Closed' in between) in the last 90 days`.
pub(super) fn sequence(sequence: &Sequence) -> String {
    let mut words = String::from("did ");
    for (index, step) in sequence.steps.iter().enumerate() {
        if index > 0 {
            words += " then ";
        }
        words += &selected(&step.events, "");
        if !step.without.is_empty() {
            let without: Vec<String> = step.without.iter().map(|events| selected(events, "")).collect();
            words += &format!(" (without {} in between)", without.join(" or "));
        }
    }
    words += &window(sequence.window);
    if let Some(minutes) = sequence.span_minutes {
        words += &format!(" with at most {} from first to last", minutes_words(minutes));
    }
    words
}

fn percentile(share: Share) -> String {
    let (percent, rest) = (share.thousandths / 10, share.thousandths % 10);
    let ending = match (percent % 100, percent % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    match (percent, rest) {
        (50, 0) => "median".to_owned(),
        (_, 0) => format!("{percent}{ending} percentile"),
        _ => format!("{percent}.{rest}th percentile"),
    }
}
