//! CSV fields as RFC 4180 wants them.

/// Appends one field, quoted if it must be.
pub(crate) fn push_field(out: &mut Vec<u8>, field: &str) {
    if field.contains(['"', ',', '\n', '\r']) {
        out.push(b'"');
        out.extend_from_slice(field.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(field.as_bytes());
    }
}

/// Makes a row of fields, without its end.
pub(crate) fn row(fields: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_field(&mut out, field);
    }
    out
}

/// What `write` appends, as text.
pub(crate) fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_be_is_quoted() {
        assert_eq!(row(&["a", "b c", "d,e", "f\"g", "h\ni", ""]), b"a,b c,\"d,e\",\"f\"\"g\",\"h\ni\",");
    }
}
