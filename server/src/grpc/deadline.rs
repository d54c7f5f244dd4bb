//! The deadline that a client gives a call. Transport would end such a call as CANCELLED, without a reason: here it ends
//! first, as what it is.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};

use super::status::with_reason;

/// The header of a deadline, as a span from when the call came.
const HEADER: &str = "grpc-timeout";
/// The most digits that a span has.
const DIGITS_MAX: usize = 8;

tokio::task_local! {
    /// The deadline of the call that a task answers.
    static CURRENT: Instant;
}

/// When a call is too late.
#[derive(Debug, Clone, Copy)]
struct Deadline(Instant);

/// Notes the deadline of a call the moment it comes, which is before transport counts from: so [`kept`] is never later.
///
/// # Errors
/// None: what is no span is left to transport, which ignores it.
pub(crate) fn noted(mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
    let span = request.metadata().get(HEADER).and_then(|value| span(value.to_str().ok()?));
    if let Some(deadline) = span.and_then(|span| Instant::now().checked_add(span)) {
        request.extensions_mut().insert(Deadline(deadline));
    }
    Ok(request)
}

/// Answers a call, or says that it is too late. A stream has until its deadline to begin; its client ends it then.
pub(crate) async fn kept(request: Request, next: Next) -> Response {
    let Some(&Deadline(deadline)) = request.extensions().get() else { return next.run(request).await };
    let answer = CURRENT.scope(deadline, next.run(request));
    timeout_at(deadline, answer).await.unwrap_or_else(|_| too_late().into_http())
}

/// The code of a call that is dropped before its end: DEADLINE_EXCEEDED from its `deadline` on.
pub(crate) fn code_of_dropped(deadline: Option<Instant>) -> Code {
    match deadline {
        Some(deadline) if deadline <= Instant::now() => Code::DeadlineExceeded,
        _ => Code::Cancelled,
    }
}

/// The deadline of the call that this task answers; `None` if its client gave it none.
pub(crate) fn current() -> Option<Instant> {
    CURRENT.try_with(|deadline| *deadline).ok()
}

fn too_late() -> Status {
    let message = "not answered by the deadline that the call came with: give it more time, or ask for less";
    with_reason(Code::DeadlineExceeded, "QUERY_TOO_LONG", message)
}

/// A span of the header: up to eight digits and a unit. `None` for anything else.
fn span(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > DIGITS_MAX || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_spans_are_read_as_the_protocol_writes_them() {
        for (text, expected) in [
            ("2H", Duration::from_secs(7200)),
            ("1M", Duration::from_secs(60)),
            ("0S", Duration::ZERO),
            ("99999999m", Duration::from_millis(99_999_999)),
            ("5u", Duration::from_micros(5)),
            ("7n", Duration::from_nanos(7)),
        ] {
            assert_eq!(span(text), Some(expected), "{text}");
        }
        for text in ["", "S", "5", "5s", "+5S", "-5S", "123456789S", "5é", "é"] {
            assert_eq!(span(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn test_a_dropped_call_is_too_late_from_its_deadline_on() {
        let now = Instant::now();
        assert_eq!(code_of_dropped(Some(now + Duration::from_secs(60))), Code::Cancelled);
        assert_eq!(code_of_dropped(Some(now)), Code::DeadlineExceeded);
        assert_eq!(code_of_dropped(None), Code::Cancelled);
        assert_eq!(CURRENT.scope(now, async { current() }).await, Some(now));
        assert_eq!(current(), None);
    }
}
