//! The text of a JSON string, also of one that its sender cut in the middle of a character.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

/// The text of a raw JSON string; `None` for anything else. Half a surrogate pair, of an emoji that was cut in two, becomes
/// U+FFFD: the rest of the text is good.
pub(crate) fn json_text(raw: &str) -> Option<String> {
    serde_json::from_str::<String>(raw).or_else(|_| serde_json::from_str::<LossyText>(raw).map(|text| text.0)).ok()
}

/// A string with U+FFFD for what is no character.
struct LossyText(String);

impl<'de> Deserialize<'de> for LossyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = LossyText;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(LossyText(String::from_utf8_lossy(bytes).into_owned()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_what_is_no_character_is_replaced() {
        assert_eq!(json_text(r#""caf\u00e9 \ud83d""#).as_deref(), Some("caf\u{e9} \u{fffd}\u{fffd}\u{fffd}"));
        assert_eq!(json_text(r#""\ud83d\ude00 \"x\"""#).as_deref(), Some("\u{1f600} \"x\""));
        assert_eq!(json_text("7"), None);
        assert_eq!(json_text(r#""open"#), None);
    }
}
