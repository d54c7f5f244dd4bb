//! Makes identifiers comparable: the same mailbox, phone or id written in two ways becomes one value, and what
//! identifies nobody becomes none.

use std::borrow::Cow;
use std::sync::Arc;

use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};

use super::blocklist::{Blocklist, DEFAULT_BLOCKED};
use crate::config::{IdentityConfig, Normalize};
use crate::error::{EngineError, Result};
use crate::salesforce_id;

const BLOCKED: &str =
    "is blocked, so it is nobody's: see `blocked`, `blocked_patterns` and `use_default_blocklist` in [identity]";

/// The rules of a project's namespaces.
#[derive(Debug)]
pub(crate) struct Normalizer {
    rules: Vec<(String, Rule)>,
    /// Namespaces that payloads bring without being declared: trimmed and blocked, else as they are.
    undeclared: Rule,
}

/// How values of one namespace are made comparable. Look it up once and apply it to many values.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    normalize: Normalize,
    /// Phone numbers without a country code are of this region; without one they are unusable.
    region: Option<Region>,
    blocklist: Arc<Blocklist>,
}

impl Normalizer {
    /// Builds the rules of a project.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a pattern or a phone region that is not valid; a parsed configuration has none.
    pub(crate) fn new(identity: &IdentityConfig) -> Result<Self> {
        let defaults = if identity.use_default_blocklist { DEFAULT_BLOCKED } else { &[] };
        let configured = identity.blocked.iter().map(String::as_str);
        let values = defaults.iter().copied().chain(configured.clone());
        let mut blocklist = Blocklist::new(values, &identity.blocked_patterns, identity.use_default_blocklist)?;

        let mut methods = Vec::with_capacity(identity.namespaces.len());
        for namespace in &identity.namespaces {
            let region = namespace.region.as_deref().map(parse_region).transpose()?;
            methods.push((namespace.name.clone(), namespace.normalize, region));
            // A blocked address or number is blocked however it is written. Other methods do not say what kind of
            // value they made (`digits` of `box 12` is `12`), so their results must not be blocked everywhere.
            if matches!(namespace.normalize, Normalize::Email | Normalize::Phone) {
                for value in configured.clone() {
                    if let Some(normalized) = comparable(namespace.normalize, region, value.trim()) {
                        blocklist.insert(&normalized);
                    }
                }
            }
        }
        let blocklist = Arc::new(blocklist);
        let rule = |normalize, region| Rule { normalize, region, blocklist: Arc::clone(&blocklist) };
        let rules = methods.into_iter().map(|(name, normalize, region)| (name, rule(normalize, region)));
        Ok(Self { rules: rules.collect(), undeclared: rule(Normalize::None, None) })
    }

    /// Returns the rule of a namespace; undeclared ones share a rule that only trims and blocks.
    pub(crate) fn rule(&self, namespace: &str) -> &Rule {
        let declared = self.rules.iter().find(|(name, _)| name == namespace);
        declared.map_or(&self.undeclared, |(_, rule)| rule)
    }

    /// Normalises one value; see [`Rule::apply`]. Of a namespace that is no name nothing can be used: payloads bring those
    /// that they like, and `a:b` with the value `c` would be the identifier of `a` with `b:c`.
    pub(crate) fn normalize<'a>(&self, namespace: &str, value: &'a str) -> Option<Cow<'a, str>> {
        if namespace.is_empty() || namespace.contains(':') || has_control(namespace) {
            return None;
        }
        self.rule(namespace).apply(value)
    }

    /// Namespace and value of an identifier, `namespace:value` as it arrives, in the form in which it is stored.
    ///
    /// # Errors
    /// What is wrong with it and what to do, without its value; `which` is what it is called there.
    pub(crate) fn read<'a>(
        &self,
        which: &str,
        written: &'a str,
    ) -> std::result::Result<(&'a str, Cow<'a, str>), String> {
        let named = written.split_once(':').filter(|(namespace, _)| !namespace.is_empty() && !has_control(namespace));
        let (namespace, value) = named
            .ok_or_else(|| format!("{which} has no namespace: write namespace:value, such as email:ada@example.com"))?;
        let normalized = self.normalize(namespace, value);
        let normalized =
            normalized.ok_or_else(|| format!("{which}, of `{namespace}`, {}", self.rule(namespace).refusal(value)))?;
        Ok((namespace, normalized))
    }
}

impl Rule {
    /// Returns the comparable form of a value, or `None` if it is blocked or unusable. Borrows when nothing but outer
    /// blanks had to go. Applying a rule to its own result changes nothing.
    pub(crate) fn apply<'a>(&self, value: &'a str) -> Option<Cow<'a, str>> {
        let trimmed = trim(value);
        if self.blocklist.is_blocked(trimmed) {
            return None;
        }
        let normalized = comparable(self.normalize, self.region, trimmed)?;
        // Nobody's id has one, and one tells the identifiers of a set apart.
        if has_control(&normalized) {
            return None;
        }
        if let Cow::Owned(changed) = &normalized
            && self.blocklist.is_blocked(changed)
        {
            return None;
        }
        // A borrowed result may still be a part of the value, such as an address after `mailto:`.
        if normalized.len() < trimmed.len() && self.blocklist.is_blocked(&normalized) {
            return None;
        }
        Some(normalized)
    }

    /// Why [`Rule::apply`] makes nothing of a value.
    fn refusal(&self, value: &str) -> &'static str {
        let trimmed = trim(value);
        let form = comparable(self.normalize, self.region, trimmed);
        match (form, self.normalize) {
            _ if trimmed.is_empty() => "is empty: write a value behind its colon",
            _ if self.blocklist.is_blocked(trimmed) => BLOCKED,
            (Some(form), _) if has_control(&form) => "has a control character in it: write it without",
            (Some(_), _) => BLOCKED,
            (None, Normalize::Email) => "is no e-mail address: look how it is spelled",
            (None, Normalize::Phone) if self.region.is_none() => {
                "is no telephone number with a country code: write it with one, such as +33 1 23 45 67 89, or give the \
                 namespace a `region`"
            }
            (None, Normalize::Phone) => {
                "is no telephone number of the namespace's `region`: write one of another country with its code, such as \
                 +33 1 23 45 67 89"
            }
            (None, Normalize::Digits) => "has no digits: look how it is spelled",
            (None, Normalize::SalesforceId) => "is no Salesforce id: these have 15 or 18 letters and digits",
            (None, Normalize::None | Normalize::Lowercase) => {
                "has not the form of its namespace: look how it is spelled"
            }
        }
    }
}

fn parse_region(code: &str) -> Result<Region> {
    code.parse().map_err(|_| {
        EngineError::invalid(format!(
            "phone region `{code}` is not known; write a two-letter country code such as `FR`"
        ))
    })
}

/// The value in the form that a method gives it, without regard to blocked values.
fn comparable(normalize: Normalize, region: Option<Region>, trimmed: &str) -> Option<Cow<'_, str>> {
    match normalize {
        Normalize::None => Some(Cow::Borrowed(trimmed)),
        Normalize::Lowercase => Some(lowercase(trimmed)),
        Normalize::Digits => digits(trimmed),
        Normalize::Email => email(trimmed),
        Normalize::Phone => phone(trimmed, region),
        Normalize::SalesforceId => salesforce_id::with_18_letters(trimmed),
    }
}

/// Removes outer blanks, control characters and the invisible marks that spreadsheets and web pages leave.
fn trim(value: &str) -> &str {
    let bytes = value.as_bytes();
    let is_plain = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    if is_plain(bytes.first()) && is_plain(bytes.last()) {
        return value;
    }
    let is_invisible = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}');
    value.trim_matches(|c: char| c.is_whitespace() || c.is_control() || is_invisible(c))
}

/// Whether a control character is in it.
fn has_control(value: &str) -> bool {
    // In UTF-8 those that are not ASCII begin with 0xC2.
    value.bytes().any(|byte| byte.is_ascii_control() || byte == 0xc2) && value.chars().any(char::is_control)
}

fn lowercase(value: &str) -> Cow<'_, str> {
    if value.is_ascii() {
        if !value.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Cow::Borrowed(value);
        }
        return Cow::Owned(value.to_ascii_lowercase());
    }
    let lower = value.to_lowercase();
    if lower == value { Cow::Borrowed(value) } else { Cow::Owned(lower) }
}

/// The ASCII digits of a value; `None` if it has none.
fn digits(value: &str) -> Option<Cow<'_, str>> {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Cow::Borrowed(value));
    }
    let digits: String = value.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() { None } else { Some(Cow::Owned(digits)) }
}

/// An e-mail address in lower case with an ASCII domain; `None` if it is not one address.
///
/// The standard lets a server tell `Ada@` from `ada@`, but no provider of any size does, and people type both: keeping
/// the difference would split one customer into two. What only some providers ignore (Gmail's dots, `+tag`) is kept:
/// elsewhere those are different mailboxes.
fn email(trimmed: &str) -> Option<Cow<'_, str>> {
    if is_plain_email(trimmed) {
        return Some(Cow::Borrowed(trimmed));
    }
    let address = match trimmed.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => {
            let after = trimmed.get(7..).unwrap_or_default();
            trim(after.split('?').next().unwrap_or_default())
        }
        _ => trimmed,
    };
    let (local, domain) = address.split_once('@')?;
    let is_invalid = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | ',' | ';' | '<' | '>');
    if local.is_empty() || local.contains(is_invalid) || domain.contains(is_invalid) {
        return None;
    }
    let domain = ascii_domain(domain)?;
    let local = lowercase(local);
    if address.strip_prefix(&*local).and_then(|rest| rest.strip_prefix('@')) == Some(&*domain) {
        return Some(Cow::Borrowed(address));
    }
    Some(Cow::Owned(format!("{local}@{domain}")))
}

/// Whether a value is surely an address in its final form: lower-case letters, digits and the usual marks, one `@`
/// with something before it, and a domain whose labels are not empty. One pass, for the bulk of all addresses.
fn is_plain_email(value: &str) -> bool {
    let mut has_at = false;
    let mut previous = b'@';
    for (position, byte) in value.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => {}
            b'_' | b'+' if !has_at => {}
            b'.' if !has_at || (previous != b'.' && previous != b'@') => {}
            b'@' if !has_at && position > 0 => has_at = true,
            _ => return false,
        }
        previous = byte;
    }
    // An `xn--` domain may be spelt wrongly; the slow way finds out.
    has_at && previous != b'@' && previous != b'.' && !value.contains("xn--")
}

/// A domain in lower-case ASCII, international labels as `xn--`; `None` if it is not a domain.
fn ascii_domain(domain: &str) -> Option<Cow<'_, str>> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let ascii = if domain.is_ascii() && !contains_ace_prefix(domain) {
        lowercase(domain)
    } else {
        Cow::Owned(idna::domain_to_ascii(domain).ok()?)
    };
    if ascii.split('.').any(str::is_empty) { None } else { Some(ascii) }
}

fn contains_ace_prefix(domain: &str) -> bool {
    domain.as_bytes().windows(4).any(|window| window.eq_ignore_ascii_case(b"xn--"))
}

/// A phone number in E.164, with `;ext=` and the extension if it has one; `None` if it cannot be a number.
///
/// The extension stays because people behind one switchboard share the rest. A number must have a possible length: a
/// local number without its area code is dialled in many towns and would join strangers. It need not be a number that
/// is known to be in use: number plans change faster than programs are updated.
fn phone(trimmed: &str, region: Option<Region>) -> Option<Cow<'_, str>> {
    let (number, extension) = match trimmed.split_once(";ext=") {
        // The form that this function makes; the library wants a `tel:` before it.
        Some((number, extension)) if extension.bytes().all(|byte| byte.is_ascii_digit()) => (number, Some(extension)),
        _ => (trimmed, None),
    };
    let parsed = PHONE_NUMBER_UTIL.parse(number, region).ok()?;
    if !matches!(parsed.is_possible_with_reason(), Ok(NumberLengthType::IsPossible)) || parsed.national_number == 0 {
        return None;
    }
    let formatted = parsed.format_as(PhoneNumberFormat::E164);
    match extension.or(parsed.extension.as_deref()).filter(|extension| !extension.is_empty()) {
        Some(extension) => Some(Cow::Owned(format!("{formatted};ext={extension}"))),
        None if formatted == trimmed => Some(Cow::Borrowed(trimmed)),
        None => Some(Cow::Owned(formatted.into_owned())),
    }
}

#[cfg(test)]
mod tests;
