//! Events that follow each other.

use super::*;
use crate::expression::Span;
use crate::expression::behavior::Window;
use crate::expression::testing::{refuses_segment, segment};
use crate::expression::{Expr, sequences_used};

#[track_caller]
fn sequence(text: &str) -> Sequence {
    match segment(text) {
        Expr::Sequence(sequence) => sequence,
        other => panic!("{text} is {other:?}"),
    }
}

/// Each step's event, after those that may not happen before it.
fn steps(sequence: &Sequence) -> Vec<String> {
    let name = |events: &EventSelector| events.event.clone();
    let step = |step: &SequenceStep| {
        step.without
            .iter()
            .map(|events| format!("not {}", name(events)))
            .chain([name(&step.events)])
            .collect::<Vec<_>>()
    };
    sequence.steps.iter().flat_map(step).collect()
}

#[test]
fn reads_steps_and_bounds() {
    let read = sequence(
        "did_sequence('Product Viewed' then 'Product Added' then not 'Order Completed' then 'Checkout Started',
            within => interval '90 days', span => interval '1 day')",
    );
    assert_eq!(steps(&read), ["Product Viewed", "Product Added", "not Order Completed", "Checkout Started"]);
    assert_eq!(read.window, Window::last(Span::of_days(90)));
    assert_eq!(read.span_minutes, Some(1440));
    let read = sequence("DID_SEQUENCE ( 'A' THEN NOT 'B' then not 'C' /* really */ then 'A' )");
    assert_eq!(steps(&read), ["A", "not B", "not C", "A"]);
    assert_eq!((read.window, read.span_minutes), (Window::Ever, None));
}

#[test]
fn steps_may_have_conditions() {
    let read = sequence(
        "did_sequence(event('A') filter (where page_section = 'pricing') then not event('B') filter (where revenue > 5)
            then event('C'))",
    );
    assert_eq!(steps(&read), ["A", "not B", "C"]);
    let [first, last] = read.steps.as_slice() else { panic!("{read:?}") };
    let text = |events: &EventSelector| events.condition.as_ref().map(|condition| condition.text.clone());
    assert_eq!(text(&first.events).as_deref(), Some("page_section = 'pricing'"));
    assert_eq!(text(&last.without[0]).as_deref(), Some("revenue > 5"));
    assert_eq!(text(&last.events), None);
    // A `then` in deeper brackets is that of a `case`.
    let read =
        sequence("did_sequence(event('A') filter (where case when revenue > 5 then true else false end) then 'B')");
    assert_eq!(steps(&read), ["A", "B"]);
    assert_eq!(sequences_used(&segment("did_sequence('A' then 'B') and not did_sequence('A' then 'B')")).len(), 1);
}

#[test]
fn reads_spans() {
    for (span, minutes) in [("30 minutes", 30), ("1 hour 30 minutes", 90), ("36 hours", 2160), ("1 week", 10_080)] {
        let read = sequence(&format!("did_sequence('A' then 'B', span => interval '{span}')"));
        assert_eq!(read.span_minutes, Some(minutes), "{span}");
    }
}

#[test]
fn refuses_wrong_sequences() {
    let step_usage =
        "write a step as 'Page Viewed' or as `event('Page Viewed') filter (where page_section = 'pricing')`";
    let eleven = ["'A'"; 11].join(" then ");
    for (text, message) in [
        (
            "did_sequence('A')",
            "1:1: a sequence has at least two steps; write `did_sequence('Product Viewed' then 'Order Completed')`".to_owned(),
        ),
        (
            "did_sequence()",
            "1:1: a sequence has at least two steps; write `did_sequence('Product Viewed' then 'Order Completed')`".to_owned(),
        ),
        (
            "did_sequence(not 'A' then 'B')",
            "1:18: a sequence cannot begin with `not`; `not` says what did not happen between two steps".to_owned(),
        ),
        (
            "did_sequence('A' then 'C' then not 'B')",
            "1:36: a sequence cannot end with `not`; `not` says what did not happen between two steps".to_owned(),
        ),
        (&format!("did_sequence({eleven})"), "1:104: a sequence has at most 10 steps; leave some out".to_owned()),
        (
            "did_sequence('A' then country)",
            format!("1:23: the event's name must be text in single quotes, not `country`; {step_usage}"),
        ),
        ("did_sequence('A' then did('B'))", format!("1:23: `did('B')` is not a step; {step_usage}")),
        ("did_sequence('A' then event())", format!("1:23: `event()` is not a step; {step_usage}")),
        (
            "did_sequence(then 'Buy')",
            "1:14: there is no step before `then`; write `did_sequence('Product Viewed' then 'Order Completed')`".to_owned(),
        ),
        (
            "did_sequence('A' then not then 'B')",
            "1:27: there is no step before `then`; write `did_sequence('Product Viewed' then 'Order Completed')`".to_owned(),
        ),
        (
            "did_sequence('A' then\n then 'B')",
            "2:2: there is no step before `then`; write `did_sequence('Product Viewed' then 'Order Completed')`".to_owned(),
        ),
        (
            "did_sequence('Buy', 'Buy')",
            "1:19: steps are joined by `then`, not by a comma; write `did_sequence('Product Viewed' then 'Order Completed')`"
                .to_owned(),
        ),
        (
            "did_sequence('A' then 'B', not event('C'), within => interval '3 days')",
            "1:26: steps are joined by `then`, not by a comma; write `did_sequence('Product Viewed' then 'Order Completed')`"
                .to_owned(),
        ),
        (
            "did_sequence('A' then event('B'), event('C') filter (where revenue > 5))",
            "1:33: steps are joined by `then`, not by a comma; write `did_sequence('Product Viewed' then 'Order Completed')`"
                .to_owned(),
        ),
        ("did_sequence('A' then)", "1:22: expected: an expression, found: )".to_owned()),
        ("did_sequence('A' then 'B' then)", "1:31: expected: an expression, found: )".to_owned()),
        (
            "did_sequence('A' then 'B') filter (where revenue > 3)",
            "1:42: `did_sequence` has no `filter`; give it to a step: `event('Page Viewed') filter (where page_section = \
             'pricing')`"
                .to_owned(),
        ),
        (
            "did_sequence('A' then event('B') filter (where country = 'FR'), within => interval '3 days')",
            "1:48: there is no column `country` in `behavior.events`; write `property('country')` for a property; columns \
             are known: `source`, `touchpoint`, `party`, `event_type`, `page_path`, `page_title`, `page_section`, \
             `referrer`, `utm_source`, `utm_medium`, `utm_campaign`, `currency`, `revenue`, `occurred_at`"
                .to_owned(),
        ),
        (
            "did_sequence('A' then 'B', span => 3)",
            "1:36: `span` must be an interval, not `3`; write `span => interval '1 day'`".to_owned(),
        ),
        (
            "did_sequence('A' then 'B', span => interval '30 seconds')",
            "1:45: `seconds` is too fine; write minutes, hours or days".to_owned(),
        ),
        (
            "did_sequence('A' then 'B', span => interval '2 months')",
            "1:45: a `months` has no fixed number of days; write days or weeks, such as '90 days'".to_owned(),
        ),
        (
            "did_sequence('A' then 'B', span => interval '0 hours')",
            "1:45: '0 hours' must be more than nothing, and at most 100 years".to_owned(),
        ),
        (
            "did_sequence('A' then 'B', spann => interval '1 day')",
            "1:46: there is no argument `spann`; did you mean `span`?".to_owned(),
        ),
        (
            "event('A')",
            "1:1: `event` is not available in segments: it is a step of `did_sequence('Product Viewed' then event('Order \
             Completed') filter (where revenue > 100))`"
                .to_owned(),
        ),
        ("did('A') then did('B')", "1:10: `then` follows a complete condition; join conditions with `and` or `or`".to_owned()),
    ] {
        refuses_segment(text, &message);
    }
}
