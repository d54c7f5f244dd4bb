//! A property of an event, out of its JSON text.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array, StringViewBuilder};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, ScalarUDF, lit};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::decimal::{self, parse_decimal};
use crate::json_text::json_text;
use crate::query::functions::{of_column, of_columns, text};

/// The type of numbers in properties.
const NUMBER: DataType = DataType::Decimal128(decimal::PRECISION, decimal::SCALE);
/// The column of events with their properties.
pub(super) const PROPERTIES: &str = "properties";

/// The property at `path` of events, as text; `properties` is their column.
pub(super) fn event_property(properties: Expr, path: &[String]) -> Expr {
    function().call(vec![properties, lit(path.join("."))])
}

/// `event_property(properties, path)`: the property at a path, keys with points between them, as text. The path is one for
/// all rows of a batch.
pub(super) fn function() -> Arc<ScalarUDF> {
    of_columns("event_property", DataType::Utf8View, |[properties, path]| {
        let (properties, path) = (text(properties)?, text(path)?);
        let mut values = StringViewBuilder::with_capacity(properties.len());
        let path: Vec<String> =
            path.iter().flatten().next().unwrap_or_default().split('.').map(str::to_owned).collect();
        for json in properties.iter() {
            values.append_option(json.and_then(|json| property(json, &path)));
        }
        Ok(Arc::new(values.finish()) as ArrayRef)
    })
}

/// `event_number(text)`: the number that figures read in a property, with four places; null for what they pass over.
pub(super) fn number() -> Arc<ScalarUDF> {
    of_column("event_number", NUMBER, |texts| {
        let numbers = text(texts)?.iter().map(|text| text.and_then(parse_decimal)).collect::<Decimal128Array>();
        Ok(Arc::new(numbers.with_data_type(NUMBER)) as ArrayRef)
    })
}

/// The property at `path`, keys from the outside in, of a JSON object: texts without their quotes, everything else as it
/// is written. `None` if it is not there or null. Of equal keys the last wins. A path may also be one key, with points in
/// it, as columns of tables have.
pub(super) fn property<'j>(json: &'j str, path: &[String]) -> Option<Cow<'j, str>> {
    let dotted = if path.len() > 1 { at(json, &[path.join(".")]) } else { None };
    let value = dotted.or_else(|| at(json, path))?;
    match value.as_bytes().first()? {
        b'"' => match serde_json::from_str::<&str>(value) {
            Ok(text) => Some(Cow::Borrowed(text)),
            // It has escapes.
            Err(_) => json_text(value).map(Cow::Owned),
        },
        b'n' => None,
        _ => Some(Cow::Borrowed(value)),
    }
}

fn at<'j>(json: &'j str, path: &[String]) -> Option<&'j str> {
    let mut value = json;
    for key in path {
        value = serde_json::Deserializer::from_str(value).deserialize_map(Field { key }).ok()??.get();
    }
    Some(value)
}

/// Looks for one key of an object and skips all others unread.
struct Field<'k> {
    key: &'k str,
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(IsKey(self.key))? {
            if is_it {
                found = Some(map.next_value::<&RawValue>()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Tells whether a key is the one looked for, without copying it.
struct IsKey<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for IsKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsKey<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_finds_properties_in_json() {
        let json = r#"{"coupon": "SPRING", "total":12.50, "gift" : true, "nothing": null, "a.b": 1, "to":{"city":"K\u00f6ln","x":[1, 2]}, "total":13}"#;
        for (path, expected) in [
            (&["coupon"][..], Some("SPRING")),
            (&["total"], Some("13")),
            (&["gift"], Some("true")),
            (&["nothing"], None),
            (&["absent"], None),
            (&["a.b"], Some("1")),
            (&["a", "b"], Some("1")),
            (&["to", "city"], Some("Köln")),
            (&["to", "x"], Some("[1, 2]")),
            (&["coupon", "x"], None),
        ] {
            let path: Vec<String> = path.iter().map(|&key| key.to_owned()).collect();
            assert_eq!(property(json, &path).as_deref(), expected, "{path:?}");
        }
    }

    #[test]
    fn test_what_is_no_object_has_no_property() {
        for json in ["", "[]", "1", "{", r#"{"coupon""#, "null"] {
            assert_eq!(property(json, &["coupon".to_owned()]), None, "{json}");
        }
    }
}
