//! Broken calls, each with the reason for which it must be quarantined.

use crate::calendar::write_instant;

/// Kinds of broken calls. [`write_broken_call`] takes its place in the list.
pub(crate) const BROKEN_CALLS: u64 = 11;

/// Appends a broken call to `out` and says why it is broken. `good` is a good call for those that are good calls cut short;
/// `number` makes message ids distinct.
pub(crate) fn write_broken_call(out: &mut Vec<u8>, kind: u64, number: u64, good: &[u8], at: i64) -> &'static str {
    let mut time = Vec::new();
    write_instant(&mut time, at);
    let time = String::from_utf8_lossy(&time).into_owned();
    let id = format!("broken-{number}");
    let (reason, text) = match kind % BROKEN_CALLS {
        0 => {
            out.extend_from_slice(cut_short(good));
            return "not_json";
        }
        1 => {
            out.extend_from_slice(
                format!(
                    "{{\"messageId\":\"{id}\",\"type\":\"identify\",\"userId\":\"usr_1\",\"timestamp\":\"{time}\","
                )
                .as_bytes(),
            );
            out.extend_from_slice(b"\"traits\":{\"first_name\":\"Zo\xEB\"}}");
            return "bad_encoding";
        }
        2 => (
            "no_identifier",
            format!(
                r#"{{"messageId":"{id}","type":"page","userId":"","anonymousId":null,"timestamp":"{time}","properties":{{"path":"/"}}}}"#
            ),
        ),
        3 => (
            "impossible_time",
            format!(
                r#"{{"messageId":"{id}","type":"page","anonymousId":"clock-1","timestamp":"0001-01-01T00:00:00Z","properties":{{"path":"/"}}}}"#
            ),
        ),
        4 => ("not_an_object", format!(r#"["track","{id}","Order Completed"]"#)),
        5 => (
            "unknown_type",
            format!(
                r#"{{"messageId":"{id}","type":"trak","anonymousId":"a-1","event":"Product Viewed","timestamp":"{time}"}}"#
            ),
        ),
        6 => (
            "no_event_name",
            format!(
                r#"{{"messageId":"{id}","type":"track","anonymousId":"a-1","timestamp":"{time}","properties":{{"price":12.5}}}}"#
            ),
        ),
        7 => (
            "no_time",
            format!(r#"{{"messageId":"{id}","type":"track","anonymousId":"a-1","event":"Product Viewed"}}"#),
        ),
        8 => (
            "bad_time",
            format!(
                r#"{{"messageId":"{id}","type":"track","anonymousId":"a-1","event":"Product Viewed","timestamp":"yesterday"}}"#
            ),
        ),
        9 => (
            "impossible_time",
            format!(
                r#"{{"messageId":"{id}","type":"page","anonymousId":"clock-2","timestamp":"2219-02-01T08:00:00Z","properties":{{"path":"/"}}}}"#
            ),
        ),
        _ => ("too_many_identifiers", too_many_identifiers(&id, &time)),
    };
    out.extend_from_slice(text.as_bytes());
    reason
}

/// The first part of a call, never cut within a character.
fn cut_short(good: &[u8]) -> &[u8] {
    let mut end = good.len() * 6 / 10;
    while end > 0 && good.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
        end -= 1;
    }
    &good[..end]
}

fn too_many_identifiers(id: &str, time: &str) -> String {
    let external: Vec<String> = (0..24)
        .map(|n| format!(r#"{{"id":"device-{n}","type":"device_id","collection":"users","encoding":"none"}}"#))
        .collect();
    format!(
        r#"{{"messageId":"{id}","type":"track","anonymousId":"kiosk-1","event":"Product Viewed","timestamp":"{time}","context":{{"externalIds":[{}]}}}}"#,
        external.join(",")
    )
}

/// Appends a broken line of the ticket system and says why it is broken.
pub(crate) fn write_broken_ticket(out: &mut Vec<u8>, ticket: u64, good: &[u8]) -> &'static str {
    let (reason, text) = match ticket % 4 {
        0 => {
            out.extend_from_slice(cut_short(good));
            return "not_json";
        }
        1 => (
            "no_identifier",
            format!(
                r#"{{"id":"B-{ticket}","created_at":"2024-05-01T10:00:00Z","action":"Ticket Opened","email":" "}}"#
            ),
        ),
        2 => (
            "no_time",
            format!(r#"{{"id":"B-{ticket}","created_at":null,"action":"Ticket Opened","email":"kim@example.com"}}"#),
        ),
        _ => (
            "no_event_name",
            format!(r#"{{"id":"B-{ticket}","created_at":"2024-05-01T10:00:00Z","email":"kim@example.com"}}"#),
        ),
    };
    out.extend_from_slice(text.as_bytes());
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_cut_between_characters() {
        let good = "{\"city\":\"東京東京東京\"}".as_bytes();
        for end in 1..good.len() {
            assert!(std::str::from_utf8(cut_short(&good[..end])).is_ok() || std::str::from_utf8(&good[..end]).is_err());
        }
        assert_eq!(cut_short("éééé".as_bytes()), "éé".as_bytes());
    }
}
