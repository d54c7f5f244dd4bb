//! Figures, windows and sequences in their one form.

use super::super::behavior::{EventSelector, Figure, Measure, Property, Sequence, Share, Window};
use super::super::measures::is_column;
use super::super::span::Span;
use super::names::{name, quoted};

const MONTHS_PER_YEAR: u32 = 12;
const MINUTES_PER_HOUR: u32 = 60;
const MINUTES_PER_DAY: u32 = 24 * 60;

/// A call of the measure's function; of `did` instead of `event_count` if only whether it is above zero is asked.
pub(super) fn measure(measure: &Measure, is_did: bool) -> String {
    let Measure { events, figure, window } = measure;
    let mut arguments = vec![quoted(&events.event)];
    arguments.extend(figure_arguments(figure));
    // The weeks are the window.
    if !matches!(figure, Figure::EachWeek { .. }) {
        arguments.extend(window_arguments(*window));
    }
    let function = if is_did { "did" } else { function_name(figure) };
    format!("{function}({}){}", arguments.join(", "), filter(events))
}

fn function_name(figure: &Figure) -> &'static str {
    match figure {
        Figure::Count => "event_count",
        Figure::Days => "event_days",
        Figure::FirstTime => "first_event_at",
        Figure::LastTime => "last_event_at",
        Figure::Sum(_) => "event_sum",
        Figure::Average(_) => "event_avg",
        Figure::Least(_) => "event_min",
        Figure::Most(_) => "event_max",
        Figure::Percentile(..) => "event_percentile",
        Figure::FirstValue(_) => "event_first",
        Figure::LastValue(_) => "event_last",
        Figure::MostFrequent(_) => "event_most_frequent",
        Figure::DistinctCount(_) => "event_distinct",
        Figure::Values(_) => "event_values",
        Figure::EachWeek { .. } => "did_weekly",
    }
}

fn figure_arguments(figure: &Figure) -> Vec<String> {
    match figure {
        Figure::Count | Figure::Days | Figure::FirstTime | Figure::LastTime => Vec::new(),
        Figure::Sum(property)
        | Figure::Average(property)
        | Figure::Least(property)
        | Figure::Most(property)
        | Figure::FirstValue(property)
        | Figure::LastValue(property)
        | Figure::MostFrequent(property)
        | Figure::DistinctCount(property)
        | Figure::Values(property) => vec![property_text(property)],
        Figure::Percentile(property, share) => vec![property_text(property), share_text(*share)],
        Figure::EachWeek { weeks, times } => vec![format!("times => {times}"), format!("weeks => {weeks}")],
    }
}

fn property_text(property: &Property) -> String {
    match property {
        Property::Column(column) => name(column),
        Property::Path(path) if is_column(path) => format!("property({})", quoted(&path.concat())),
        Property::Path(path) => quoted(&path.join(".")),
    }
}

fn share_text(share: Share) -> String {
    let (whole, fraction) = (share.thousandths / 1_000, share.thousandths % 1_000);
    let digits = format!("{fraction:03}");
    match digits.trim_end_matches('0') {
        "" => whole.to_string(),
        digits => format!("{whole}.{digits}"),
    }
}

fn window_arguments(window: Window) -> Vec<String> {
    match window {
        Window::Ever => Vec::new(),
        Window::Within { last, ago } => {
            let mut arguments = vec![format!("within => {}", interval(last))];
            arguments.extend(ago.map(|ago| format!("ago => {}", interval(ago))));
            arguments
        }
        Window::Since(day) => vec![format!("since => date '{day}'")],
        Window::Between(first, last) => vec![format!("between => (date '{first}', date '{last}')")],
    }
}

fn filter(events: &EventSelector) -> String {
    match &events.condition {
        Some(condition) => format!(" filter (where {})", condition.text),
        None => String::new(),
    }
}

/// The text of a sequence.
pub(super) fn sequence(sequence: &Sequence) -> String {
    let mut steps = Vec::new();
    for step in &sequence.steps {
        steps.extend(step.without.iter().map(|events| format!("not {}", step_text(events))));
        steps.push(step_text(&step.events));
    }
    let mut arguments = vec![steps.join(" then ")];
    arguments.extend(window_arguments(sequence.window));
    arguments.extend(sequence.span_minutes.map(|minutes| format!("span => interval '{}'", minutes_words(minutes))));
    format!("did_sequence({})", arguments.join(", "))
}

fn step_text(events: &EventSelector) -> String {
    match events.condition {
        Some(_) => format!("event({}){}", quoted(&events.event), filter(events)),
        None => quoted(&events.event),
    }
}

/// A length of time.
pub(super) fn interval(span: Span) -> String {
    format!("interval '{}'", span_words(span, " "))
}

/// The parts of a length of time.
pub(in super::super) fn span_words(Span { months, days, minutes }: Span, between: &str) -> String {
    let months = (months > 0).then(|| match months {
        months if months.is_multiple_of(MONTHS_PER_YEAR) => counted(months / MONTHS_PER_YEAR, "year"),
        months => counted(months, "month"),
    });
    let days = (days > 0).then(|| counted(days, "day"));
    let minutes = (minutes > 0).then(|| match minutes {
        minutes if minutes.is_multiple_of(MINUTES_PER_HOUR) => counted(minutes / MINUTES_PER_HOUR, "hour"),
        minutes => counted(minutes, "minute"),
    });
    let parts: Vec<String> = [months, days, minutes].into_iter().flatten().collect();
    if parts.is_empty() { "0 days".to_owned() } else { parts.join(between) }
}

/// Minutes in the largest unit that has no remainder.
pub(in super::super) fn minutes_words(minutes: u32) -> String {
    match minutes {
        minutes if minutes.is_multiple_of(MINUTES_PER_DAY) => counted(minutes / MINUTES_PER_DAY, "day"),
        minutes if minutes.is_multiple_of(MINUTES_PER_HOUR) => counted(minutes / MINUTES_PER_HOUR, "hour"),
        minutes => counted(minutes, "minute"),
    }
}

/// A number with its unit.
pub(in super::super) fn counted(count: u32, unit: &str) -> String {
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}
