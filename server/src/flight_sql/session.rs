//! The actions of Flight sessions, which `arrow-flight` has no messages for. A session here has one option, the catalog,
//! and that has one value; drivers ask for it, set it and close what they opened.

use std::collections::HashMap;

use arrow_flight::Action;
use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::metadata::CATALOG;

/// Names of the actions.
pub(crate) const ACTIONS: [(&str, &str); 3] = [
    ("SetSessionOptions", "Sets options of the session; the only one is `catalog`"),
    ("GetSessionOptions", "Returns the options of the session"),
    ("CloseSession", "Ends the session"),
];

/// The option that there is.
const CATALOG_OPTION: &str = "catalog";
/// `CloseSessionResult.Status.CLOSED`.
const CLOSED: i32 = 1;
/// `SetSessionOptionsResult.ErrorValue`.
const INVALID_NAME: i32 = 1;
const INVALID_VALUE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct SessionOptionValue {
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    option_value: Option<OptionValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OptionValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Boolean(bool),
    #[prost(sfixed64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Number(f64),
    #[prost(message, tag = "5")]
    Texts(TextList),
}

#[derive(Clone, PartialEq, Message)]
struct TextList {
    #[prost(string, repeated, tag = "1")]
    values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsRequest {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, OptionError>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionError {
    #[prost(int32, tag = "1")]
    value: i32,
}

#[derive(Clone, PartialEq, Message)]
struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct CloseSessionResult {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Answers an action of sessions; `None` if it is not one.
///
/// # Errors
/// INVALID_ARGUMENT for a message that cannot be read.
pub(crate) fn answer(action: &Action) -> Result<Option<Bytes>, Status> {
    Ok(Some(match action.r#type.as_str() {
        "SetSessionOptions" => {
            let request = SetSessionOptionsRequest::decode(action.body.clone())
                .map_err(|error| Status::invalid_argument(format!("not a SetSessionOptionsRequest: {error}")))?;
            let errors = request.session_options.into_iter().filter_map(|(name, value)| {
                let value = refusal(&name, value.option_value.as_ref())?;
                Some((name, OptionError { value }))
            });
            SetSessionOptionsResult { errors: errors.collect() }.encode_to_vec().into()
        }
        "GetSessionOptions" => {
            let catalog = SessionOptionValue { option_value: Some(OptionValue::Text(CATALOG.to_owned())) };
            let session_options = HashMap::from([(CATALOG_OPTION.to_owned(), catalog)]);
            GetSessionOptionsResult { session_options }.encode_to_vec().into()
        }
        "CloseSession" => CloseSessionResult { status: CLOSED }.encode_to_vec().into(),
        _ => return Ok(None),
    }))
}

fn refusal(name: &str, value: Option<&OptionValue>) -> Option<i32> {
    match (name, value) {
        (CATALOG_OPTION, Some(OptionValue::Text(catalog))) if catalog == CATALOG => None,
        (CATALOG_OPTION, _) => Some(INVALID_VALUE),
        _ => Some(INVALID_NAME),
    }
}
