//! What a call says of consent, as consent managers stamp it on calls.
//!
//! * Segment: `context.consent.categoryPreferences = { "Advertising": true, "Analytics": false }`
//! * RudderStack: `context.consentManagement = { "allowedConsentIds": ["..."], "deniedConsentIds": ["..."] }`
//!
//! Each category becomes an attribute of the call, `consent.<category>`, whose value is `true` or `false`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{Object, parse_part, raw_fields, scalar_text, value_text};
use super::quarantine::Rejection;
use super::schema::Pair;

/// What the name of an attribute begins with that tells consent.
const PREFIX: &str = "consent.";

raw_fields! {
    struct Consent {
        category_preferences: "categoryPreferences",
    }
}

raw_fields! {
    struct ConsentManagement {
        allowed: "allowedConsentIds",
        denied: "deniedConsentIds",
    }
}

/// Adds what the two objects of a context say of consent. What is no object or no list says nothing.
///
/// # Errors
/// A part that is no JSON.
pub(super) fn push_consents<'a>(
    attributes: &mut Vec<Pair<'a>>,
    consent: Option<&'a str>,
    management: Option<&'a str>,
) -> Result<(), Rejection> {
    let consent: Consent<'a> = parse_part(consent)?;
    for (category, answer) in parse_part::<Object<'a>>(consent.category_preferences)?.0 {
        if let Some(answer) = value_text(answer) {
            attributes.push((Cow::Owned(format!("{PREFIX}{category}")), answer));
        }
    }
    let management: ConsentManagement<'a> = parse_part(management)?;
    for (ids, answer) in [(management.allowed, "true"), (management.denied, "false")] {
        let Some(ids) = ids.filter(|ids| ids.starts_with('[')) else { continue };
        let ids = Vec::<&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(ids)).unwrap_or_default();
        for category in ids.into_iter().filter_map(|id| scalar_text(id.get())) {
            attributes.push((Cow::Owned(format!("{PREFIX}{category}")), Cow::Borrowed(answer)));
        }
    }
    Ok(())
}
