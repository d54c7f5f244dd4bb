//! The `[identity]` table: namespaces in the order of trust, and values that identify nobody.

use rlibphonenumber::PHONE_NUMBER_UTIL;
use toml::Spanned;
use toml::de::DeValue;

use super::reader::{Problems, Span, TableReader};
use super::{IdentityConfig, Namespace, Normalize};

/// A profile with more values than this of one namespace is not a person.
const NAMESPACE_LIMIT_MAX: u64 = 1_000_000;
/// The namespace of Segment's SDKs for a browser that nobody has logged in on: like a cookie if nothing else is said.
const COOKIE: &str = "anonymous_id";
/// Beyond it there might as well be no such limit.
const LINKS_MAX_MAX: u64 = 1_000_000_000;

impl Default for IdentityConfig {
    /// What a project without `[identity]` gets: the four namespaces that Segment payloads bring by themselves.
    fn default() -> Self {
        let namespace = |name: &str, unique: bool, normalize: Normalize| Namespace {
            name: name.to_owned(),
            unique,
            limit: None,
            cookie: name == COOKIE,
            normalize,
            region: None,
        };
        Self {
            namespaces: vec![
                namespace("user_id", true, Normalize::None),
                namespace("email", false, Normalize::Email),
                namespace("phone", false, Normalize::Phone),
                namespace("anonymous_id", false, Normalize::None),
            ],
            links_max: None,
            merges_max_share: None,
            blocked: Vec::new(),
            blocked_patterns: Vec::new(),
            use_default_blocklist: true,
        }
    }
}

impl IdentityConfig {
    /// Returns the declared namespace called `name`.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.iter().find(|namespace| namespace.name == name)
    }

    /// Returns the rank of a namespace: the smaller, the more trusted. Namespaces that are not declared (payloads may bring
    /// any) share one rank, behind the declared ones but before those like cookies: a caller that needs a total order among
    /// them adds their names. An `anonymous_id` that is not declared is the last of the cookies.
    pub fn priority_of(&self, name: &str) -> usize {
        let position = self.namespaces.iter().position(|namespace| namespace.name == name);
        // Two steps from one place to the next, so that there is one between any two.
        match position {
            Some(place) => 2 * place + 1,
            None if name == COOKIE => 2 * self.namespaces.len() + 1,
            // Half a place behind those that are no cookies, whether any cookie follows or not.
            None => 2 * self.namespaces.iter().take_while(|namespace| !namespace.cookie).count(),
        }
    }

    /// Returns the declared namespace with a rank.
    pub fn with_rank(&self, rank: usize) -> Option<&Namespace> {
        // Even ranks are of what is not declared.
        if rank % 2 == 1 { self.namespaces.get(rank / 2) } else { None }
    }
}

impl Namespace {
    /// Returns the most values of this namespace that a profile has: 1 if unique, else the limit.
    pub fn values_max(&self) -> Option<u32> {
        if self.unique { Some(1) } else { self.limit }
    }
}

pub(super) fn read_identity(table: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> IdentityConfig {
    let mut identity = IdentityConfig::default();
    table.check_keys(
        &["namespaces", "links_max", "merges_max_share", "blocked", "blocked_patterns", "use_default_blocklist"],
        problems,
    );

    let hint = "write `namespaces = [{ name = \"email\", normalize = \"email\" }, ...]`";
    if let Some(tables) = table.tables("namespaces", "the namespace", hint, problems) {
        identity.namespaces = read_namespaces(tables, problems);
    }
    let is_empty = |value: &Spanned<DeValue<'_>>| value.get_ref().as_array().is_some_and(|array| array.is_empty());
    if table.value("namespaces").is_some_and(is_empty) {
        problems.add(&table.span_of("namespaces"), format!("`namespaces` in [identity] is empty; {hint}"));
    }
    identity.links_max =
        table.integer("links_max", 1..=LINKS_MAX_MAX, problems).and_then(|most| u32::try_from(most).ok());
    identity.merges_max_share = table.share("merges_max_share", problems);
    if let Some(values) = table.strings("blocked", problems) {
        identity.blocked = values.into_iter().map(|(value, _)| value).collect();
    }
    if let Some(patterns) = table.strings("blocked_patterns", problems) {
        for (pattern, span) in &patterns {
            check_pattern(pattern, span, problems);
        }
        identity.blocked_patterns = patterns.into_iter().map(|(pattern, _)| pattern).collect();
    }
    if let Some(flag) = table.boolean("use_default_blocklist", problems) {
        identity.use_default_blocklist = flag;
    }
    identity
}

fn read_namespaces(tables: Vec<TableReader<'_, '_>>, problems: &mut Problems<'_>) -> Vec<Namespace> {
    let mut namespaces: Vec<Namespace> = Vec::with_capacity(tables.len());
    for table in tables {
        let name = table.required_string("name", "write `name = \"...\"`", problems).unwrap_or_default();
        if !name.is_empty() {
            check_namespace_name(&name, &table.span_of("name"), problems);
        }
        if !name.is_empty() && namespaces.iter().any(|earlier| earlier.name == name) {
            problems.add(&table.span_of("name"), format!("namespace `{name}` is declared twice; keep one of them"));
        }
        let table = table.renamed(format!("namespace `{name}`"));
        namespaces.push(read_namespace(name, &table, problems));
    }
    namespaces.sort_by_key(|namespace| namespace.cookie); // stable
    namespaces
}

fn read_namespace(name: String, table: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> Namespace {
    table.check_keys(&["name", "unique", "limit", "cookie", "normalize", "region"], problems);
    let unique = table.boolean("unique", problems).unwrap_or(false);
    let limit = table.integer("limit", 1..=NAMESPACE_LIMIT_MAX, problems);
    if unique && limit.is_some_and(|limit| limit != 1) {
        let message = format!("namespace `{name}` has both `unique = true` and `limit`; keep one of them");
        problems.add(&table.span_of("limit"), message);
    }
    let cookie = table.boolean("cookie", problems).unwrap_or(name == COOKIE);
    let choices = [
        ("none", Normalize::None),
        ("email", Normalize::Email),
        ("phone", Normalize::Phone),
        ("lowercase", Normalize::Lowercase),
        ("digits", Normalize::Digits),
        ("salesforce_id", Normalize::SalesforceId),
    ];
    let normalize = table.choice("normalize", &choices, problems).unwrap_or(Normalize::None);
    let region = read_region(&name, normalize, table, problems);
    let limit = limit.and_then(|limit| u32::try_from(limit).ok());
    Namespace { name, unique, limit, cookie, normalize, region }
}

fn read_region(
    name: &str,
    normalize: Normalize,
    table: &TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> Option<String> {
    let region = table.string("region", problems)?;
    let span = table.span_of("region");
    if !table.has("normalize") || normalize != Normalize::Phone {
        let message = format!(
            "namespace `{name}` has a `region`, which only phone numbers use; add `normalize = \"phone\"` or remove it"
        );
        problems.add(&span, message);
    }
    let code = region.to_ascii_uppercase();
    if !is_phone_region(&code) {
        let message =
            format!("`region = \"{region}\"` of namespace `{name}` must be a two-letter country code such as \"FR\"");
        problems.add(&span, message);
        return None;
    }
    Some(code)
}

fn is_phone_region(code: &str) -> bool {
    code.parse().is_ok_and(|region| PHONE_NUMBER_UTIL.get_country_code_for_region(region).is_some())
}

/// Checks a namespace's name. Tables show identifiers as `namespace:value`, so a name must not hold a colon.
pub(super) fn check_namespace_name(name: &str, span: &Span, problems: &mut Problems<'_>) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.bytes().all(allowed) {
        let message = format!("namespace name `{name}` may hold only letters, digits, `_` and `-`; rename it");
        problems.add(span, message);
    }
}

fn check_pattern(pattern: &str, span: &Span, problems: &mut Problems<'_>) {
    if let Err(error) = regex::Regex::new(pattern) {
        let text = error.to_string();
        // The regex crate draws a picture over several lines; its last line says what is wrong.
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let message = format!(
            "blocked pattern `{pattern}` is not a regular expression ({reason}); \
             if it has backslashes, put single quotes around it"
        );
        problems.add(span, message);
    }
}
