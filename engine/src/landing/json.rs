//! Reading JSON without building trees: objects as their fields' own text.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::json_text::json_text;
use crate::landing::quarantine::{Reason, Rejection};
use crate::limits::JSON_DEPTH_MAX;

/// Declares a struct that keeps the raw JSON text of some fields of an object and skips the others. Lenient where senders
/// differ: a missing field is None, the last of several equal keys wins, any value is accepted.
macro_rules! raw_fields {
    ($(#[$attribute:meta])* struct $name:ident { $($field:ident: $key:literal,)+ }) => {
        $(#[$attribute])*
        #[derive(Debug, Default, Clone, Copy)]
        struct $name<'a> { $($field: Option<&'a str>,)+ }

        impl<'de> serde::Deserialize<'de> for $name<'de> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;
                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $name<'de>;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut fields = $name::default();
                        while let Some($crate::landing::json::Key(key)) = map.next_key()? {
                            match key.as_ref() {
                                $($key => fields.$field = Some(map.next_value::<&serde_json::value::RawValue>()?.get()),)+
                                _ => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(fields)
                    }
                }
                deserializer.deserialize_map(Fields)
            }
        }
    };
}
pub(crate) use raw_fields;

/// A key of an object, borrowed unless it has escapes.
pub(crate) struct Key<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// All fields of an object, in the order of the text, each with the raw JSON text of its value.
#[derive(Debug, Default)]
pub(crate) struct Object<'a>(pub(crate) Vec<(Cow<'a, str>, &'a str)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<'a>(PhantomData<&'a ()>);
        impl<'de> Visitor<'de> for Fields<'de> {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    fields.push((key, map.next_value::<&RawValue>()?.get()));
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// Parses a text that has to be an object.
pub(crate) fn parse_object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Rejection> {
    check_depth(text)?;
    serde_json::from_str(text).map_err(|error| {
        let is_other_json =
            !text.trim_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        if is_other_json {
            return Rejection::new(Reason::NotAnObject, "the line is JSON but no object; write one object a line");
        }
        not_json(&error)
    })
}

/// Parses a part of an accepted text; anything but an object counts as an empty one. [`check_part`] tells what must not count so.
pub(crate) fn parse_part<'a, T: Deserialize<'a> + Default>(text: Option<&'a str>) -> Result<T, Rejection> {
    match text {
        Some(text) if is_object(text) => serde_json::from_str(text).map_err(|error| not_json(&error)),
        _ => Ok(T::default()),
    }
}

pub(crate) fn is_object(text: &str) -> bool {
    text.starts_with('{')
}

/// Refuses a part that has to be an object and says something else: it would be lost. What says nothing may be written in any
/// way, for PHP writes an empty object as `[]`.
pub(crate) fn check_part(key: &str, text: Option<&str>) -> Result<(), Rejection> {
    let list = |text: &str| text.strip_prefix('[')?.strip_suffix(']').map(|entries| entries.trim().is_empty());
    match text {
        Some(text) if !is_object(text) && !list(text).unwrap_or_else(|| scalar_text(text).is_none()) => {
            let detail = format!("`{key}` is no object; send one, or leave the key out");
            Err(Rejection::new(Reason::NotAnObject, detail))
        }
        _ => Ok(()),
    }
}

fn not_json(error: &serde_json::Error) -> Rejection {
    // The message ends with a line number that counts within one row. One of a type quotes the value, which may be personal.
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
    let message = match error.classify() {
        Category::Data => message.rsplit_once(", ").map_or("not what is expected there", |(_, expected)| expected),
        _ => message,
    };
    Rejection::new(Reason::NotJson, format!("not valid JSON at column {}: {message}", error.column()))
}

/// Refuses text nested too deep for those who read it later.
fn check_depth(text: &str) -> Result<(), Rejection> {
    // Counting all openings is much cheaper than following them, and few rows have so many.
    let openings = text.bytes().filter(|byte| byte | 0x20 == b'{').count();
    if openings <= JSON_DEPTH_MAX || depth(text.as_bytes()) <= JSON_DEPTH_MAX {
        return Ok(());
    }
    Err(Rejection::new(Reason::NotJson, format!("nested deeper than {JSON_DEPTH_MAX} levels; flatten it")))
}

fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut is_escaped) = (0_usize, 0, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The trimmed text of a raw string, number or boolean; None for null, blank text, objects and arrays.
pub(crate) fn scalar_text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'{' | b'[' | b'n' => None,
        b'"' => trimmed(string_text(raw)),
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// The texts of a list's ids; None for what is no list, or a list of others.
pub(crate) fn entries_text(list: &str) -> Option<Vec<Cow<'_, str>>> {
    let entries: Vec<&RawValue> = serde_json::from_str(list).ok()?;
    let is_single = |entry: &&RawValue| !entry.get().starts_with(['[', '{']);
    let texts = entries.iter().filter_map(|entry| Some(with_whole_number(scalar_text(entry.get())?, entry.get())));
    entries.iter().all(is_single).then(|| texts.collect())
}

/// The trimmed text of an id: a string or a number.
pub(crate) fn id_text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b't' | b'f' => None,
        _ => Some(with_whole_number(scalar_text(raw)?, raw)),
    }
}

/// `text`, that of a raw value, as an id: programs that know no whole numbers, or none that may be missing, write the id 7 as
/// `7.0`.
pub(crate) fn with_whole_number<'a>(text: Cow<'a, str>, raw: &str) -> Cow<'a, str> {
    let is_float = !raw.starts_with('"') && raw.contains(['.', 'e', 'E']);
    let number = if is_float { raw.parse().ok() } else { None };
    number.and_then(whole_number).map_or(text, Cow::Owned)
}

/// A number without a fraction in digits alone. None for others, and for those so large that a float cannot tell them from their
/// neighbours.
pub(crate) fn whole_number(number: f64) -> Option<String> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0; // 2^53
    (number.fract() == 0.0 && number.abs() < EXACT_MAX).then(|| (number as i64).to_string())
}

/// The text of a value: as [`scalar_text`], and objects and arrays as JSON.
pub(crate) fn value_text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'{' | b'[' => Some(Cow::Borrowed(raw)),
        _ => scalar_text(raw),
    }
}

/// Trims; None for blank text.
pub(crate) fn trimmed(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    };
    (!text.is_empty()).then_some(text)
}

/// The text of a raw JSON string.
fn string_text(raw: &str) -> Cow<'_, str> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    Cow::Owned(json_text(raw).unwrap_or_else(|| inner.to_owned()))
}

/// Writes `{"name":value,...}`.
#[derive(Default)]
pub(crate) struct ObjectWriter(Vec<u8>);

impl ObjectWriter {
    /// Begins with the fields of an object's text, as they are written there.
    pub(crate) fn continuing(object: &str) -> Self {
        let fields = object.strip_suffix('}').unwrap_or(object).trim_end();
        Self(if fields == "{" { Vec::new() } else { fields.as_bytes().to_vec() })
    }

    /// Forgets what was written.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a field whose value is JSON text already.
    pub(crate) fn push_json(&mut self, name: &str, json: &str) {
        self.push_name(name);
        self.0.extend_from_slice(json.as_bytes());
    }

    /// Adds a field whose value is a string.
    pub(crate) fn push_text(&mut self, name: &str, text: &str) {
        self.push_name(name);
        push_string(&mut self.0, text);
    }

    fn push_name(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        push_string(&mut self.0, name);
        self.0.push(b':');
    }

    /// The object's text.
    pub(crate) fn finish(&mut self) -> &str {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn push_string(json: &mut Vec<u8>, text: &str) {
    let needs_escape = text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\');
    if needs_escape {
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(json, text);
        return;
    }
    json.push(b'"');
    json.extend_from_slice(text.as_bytes());
    json.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    raw_fields! {
        struct Sample { id: "id", traits: "traits", }
    }

    #[test]
    fn test_raw_fields_keep_text_and_let_the_last_key_win() {
        let sample: Sample<'_> =
            parse_object(r#"{"id":1,"x":[1,{"id":9}],"traits":{"a": null},"\u0069d":"two"}"#).unwrap();
        assert_eq!((sample.id, sample.traits), (Some("\"two\""), Some(r#"{"a": null}"#)));
    }

    #[test]
    fn test_what_is_wrong_is_told_without_the_value() {
        for text in [
            r#""ada@example.com",1"#,
            r#""ada@example.com, at line 7, expected an address",1"#,
            "33612345678,Ada Lovelace",
            r#"{"id" "ada@example.com"}"#,
        ] {
            let detail = parse_object::<Sample<'_>>(text).unwrap_err().detail;
            assert!(!["ada", "Ada", "336", "address"].iter().any(|value| detail.contains(value)), "{detail}");
        }
    }

    #[test]
    fn test_parse_object_tells_other_json_from_no_json() {
        let reason = |text: &str| parse_object::<Sample<'_>>(text).unwrap_err().reason;
        assert_eq!(reason("[1]"), Reason::NotAnObject);
        assert_eq!(reason("null"), Reason::NotAnObject);
        assert_eq!(reason("{\"id\":"), Reason::NotJson);
        assert_eq!(reason("{} {}"), Reason::NotJson);
        assert_eq!(reason("hello"), Reason::NotJson);
        let deep = format!("{{\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(reason(&deep), Reason::NotJson);
        let wide = format!("{{\"x\":[{}1]}}", "[\"\\\"{{\"],".repeat(500));
        assert!(parse_object::<Sample<'_>>(&wide).is_ok());
    }

    #[test]
    fn test_scalar_text_reads_scalars_and_skips_blanks() {
        let cases = [
            (r#"" ada ""#, Some("ada")),
            (r#""""#, None),
            (r#"" ""#, None),
            ("null", None),
            ("12", Some("12")),
            ("true", Some("true")),
            ("{}", None),
            ("[1]", None),
            (r#""a\u00e9\n""#, Some("aé")),
            (r#""ok \ud83d""#, Some("ok \u{fffd}\u{fffd}\u{fffd}")),
        ];
        for (raw, expected) in cases {
            assert_eq!(scalar_text(raw).as_deref(), expected, "{raw}");
        }
        assert_eq!(id_text("true"), None);
        assert_eq!(value_text("[1]").as_deref(), Some("[1]"));
    }

    #[test]
    fn test_ids_that_are_whole_numbers_have_no_fraction() {
        let cases = [
            ("1", "1"),
            ("1.0", "1"),
            ("-20.00", "-20"),
            ("1.2345678E7", "12345678"),
            ("1.5", "1.5"),
            ("\"1.0\"", "1.0"),
            ("9007199254740991.0", "9007199254740991"),
            ("9007199254740992.0", "9007199254740992.0"),
            ("12345678901234567890", "12345678901234567890"),
        ];
        for (raw, expected) in cases {
            assert_eq!(id_text(raw).as_deref(), Some(expected), "{raw}");
        }
        assert_eq!(scalar_text("1.0").as_deref(), Some("1.0"), "that is no id");
        assert_eq!(entries_text(r#"[7.0,"8.0",true]"#).unwrap(), ["7", "8.0", "true"]);
        assert_eq!((whole_number(f64::NAN), whole_number(f64::INFINITY)), (None, None));
    }

    #[test]
    fn test_object_writer_escapes() {
        let mut writer = ObjectWriter::default();
        assert_eq!(writer.finish(), "{}");
        writer.clear();
        writer.push_text("a\"b", "line\nfeed é");
        writer.push_json("n", "1.50");
        assert_eq!(writer.finish(), r#"{"a\"b":"line\nfeed é","n":1.50}"#);
    }

    #[test]
    fn test_object_writer_continues_an_object_as_it_is_written() {
        for (object, expected) in [
            (r#"{"z": 1.50, "a":"}" }"#, r#"{"z": 1.50, "a":"}","n":2}"#),
            (r#"{"b":{}}"#, r#"{"b":{},"n":2}"#),
            ("{ }", r#"{"n":2}"#),
        ] {
            let mut writer = ObjectWriter::continuing(object);
            writer.push_json("n", "2");
            assert_eq!(writer.finish(), expected);
        }
        assert_eq!(ObjectWriter::continuing("{}").finish(), "{}");
    }
}
