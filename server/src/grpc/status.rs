//! The one place where errors become statuses: a code by remedy, and `google.rpc.ErrorInfo` with a reason that programs
//! can match. `docs/CONNECT.md` lists the reasons.

use std::collections::HashMap;

use tessera_engine::{EngineError, ErrorKind};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Of who did something, and why: all of a page of them have to fit in one message.
const SAID_BYTES_MAX: usize = 4 * 1024;

/// The domain of all our reasons.
const DOMAIN: &str = "tessera";

/// A message is in the headers up to three times, once with three letters for each byte that is not ASCII; and whoever is told more
/// than 8 KiB there, as clients on gRPC's C core are, learns nothing at all.
const MESSAGE_BYTES_MAX: usize = 1200;

/// The code and the reason of each kind of error.
fn code_of(kind: ErrorKind) -> (Code, &'static str) {
    match kind {
        ErrorKind::InvalidInput => (Code::InvalidArgument, "INPUT_INVALID"),
        ErrorKind::NotFound => (Code::NotFound, "NOT_FOUND"),
        ErrorKind::AlreadyExists => (Code::AlreadyExists, "ALREADY_EXISTS"),
        ErrorKind::FailedPrecondition => (Code::FailedPrecondition, "FAILED_PRECONDITION"),
        ErrorKind::Conflict => (Code::Aborted, "CONFLICT"),
        ErrorKind::Exhausted => (Code::ResourceExhausted, "LIMIT_REACHED"),
        ErrorKind::DeadlineExceeded => (Code::DeadlineExceeded, "QUERY_TOO_LONG"),
        ErrorKind::Unavailable => (Code::Unavailable, "STORE_UNAVAILABLE"),
        ErrorKind::Cancelled => (Code::Cancelled, "CANCELLED"),
        ErrorKind::DataCorrupt => (Code::DataLoss, "DATA_CORRUPT"),
        ErrorKind::Internal => (Code::Internal, "INTERNAL"),
    }
}

/// An error of the engine as a status.
pub(crate) fn to_status(error: EngineError) -> Status {
    let (code, reason) = code_of(error.kind());
    if code == Code::Internal {
        return internal(&error);
    }
    with_reason(code, reason, error.to_string())
}

/// A status with a reason.
pub(crate) fn with_reason(code: Code, reason: &'static str, message: impl Into<String>) -> Status {
    Status::with_error_details(
        code,
        short(message.into()),
        ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new()),
    )
}

/// INVALID_ARGUMENT that names the field of the request.
pub(crate) fn invalid_field(field: &str, reason: &'static str, message: impl Into<String>) -> Status {
    let message = short(message.into());
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    details.add_bad_request_violation(field, &message);
    Status::with_error_details(Code::InvalidArgument, format!("`{field}`: {message}"), details)
}

/// As much of a message as fits the headers of an answer.
fn short(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    message
}

/// INVALID_ARGUMENT if a field that tells who does something, or why, is blank.
pub(crate) fn said(field: &str, text: &str) -> Result<(), Status> {
    match text.trim() {
        "" => Err(invalid_field(field, "INPUT_INVALID", "say it: it is kept for whoever asks")),
        long if long.len() > SAID_BYTES_MAX => {
            Err(invalid_field(field, "INPUT_INVALID", format!("say it in at most {SAID_BYTES_MAX} bytes")))
        }
        _ => Ok(()),
    }
}

/// A bug of ours: the caller gets a number to quote, the log has the error under it.
fn internal(error: &EngineError) -> Status {
    let incident = uuid::Uuid::new_v4().simple().to_string();
    // What libraries report may quote a row, and so may its causes.
    tracing::error!(incident, error = error.without_values(), "internal error");
    let mut details =
        ErrorDetails::with_error_info("INTERNAL", DOMAIN, HashMap::from([("incident".to_owned(), incident.clone())]));
    details.set_request_info(&incident, "");
    Status::with_error_details(
        Code::Internal,
        format!("an internal error; the server's log says more at incident {incident}"),
        details,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_every_kind_has_a_code_and_a_documented_reason() {
        let documented = include_str!("../../../docs/CONNECT.md");
        for kind in ErrorKind::ALL {
            let (code, reason) = code_of(kind);
            // Only a bug of ours is told as one.
            assert_eq!(code == Code::Internal, kind == ErrorKind::Internal, "{kind:?} has no code of its own");
            assert!(documented.contains(&format!("`{reason}`")), "docs/CONNECT.md does not explain {reason}");
        }
    }

    #[test]
    fn test_a_bug_is_not_shown_but_can_be_found() {
        let status = to_status(EngineError::internal("secret of the house"));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret"));
        let info = status.get_details_error_info().unwrap();
        assert!(status.message().contains(&info.metadata["incident"]));
    }

    #[test]
    fn test_a_long_message_fits_the_headers() {
        let status = invalid_field(
            "expression",
            "EXPRESSION_INVALID",
            "1:1: there is no column `é".to_owned() + &"é".repeat(9_000),
        );
        assert!(
            status.message().starts_with("`expression`: 1:1: there is no column") && status.message().ends_with('…')
        );
        let headers = 3 * status.message().len() + status.details().len() * 4 / 3;
        assert!(headers < 8 * 1024, "{headers}");
    }

    #[test]
    fn test_a_field_is_named_twice() {
        let status = invalid_field("page_size", "INPUT_INVALID", "must not be negative");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "page_size");
    }
}
