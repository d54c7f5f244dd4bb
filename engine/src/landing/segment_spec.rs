//! Calls of the Segment spec, as the SDKs send them: one call a line, or the body of a batch call.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::decimal::parse_decimal;
use crate::landing::consent::push_consents;
use crate::landing::identifier_rules::IdentifierRules;
use crate::landing::json::{
    Object, ObjectWriter, check_part, id_text, is_object, parse_object, parse_part, raw_fields, scalar_text, value_text,
};
use crate::landing::quarantine::{QuarantineBuilder, Reason, Rejection};
use crate::landing::row_id::{EventId, content_hash};
use crate::landing::schema::{EventRow, EventsBuilder, Pair};
use crate::landing::time::{check_possible, parse_time};
use crate::limits::{BATCH_ELEMENTS_MAX, BATCH_EVENTS_FACTOR};

raw_fields! {
    /// A call, or the body of a batch call.
    struct Call {
        kind: "type",
        message_id: "messageId",
        event: "event",
        name: "name",
        category: "category",
        user_id: "userId",
        anonymous_id: "anonymousId",
        previous_id: "previousId",
        group_id: "groupId",
        timestamp: "timestamp",
        original_timestamp: "originalTimestamp",
        sent_at: "sentAt",
        received_at: "receivedAt",
        context: "context",
        properties: "properties",
        traits: "traits",
        batch: "batch",
    }
}

raw_fields! {
    struct Context {
        page: "page",
        campaign: "campaign",
        traits: "traits",
        external_ids: "externalIds",
        consent: "consent",
        consent_management: "consentManagement",
    }
}

raw_fields! {
    /// `context.page`, and those `properties` that mean the same.
    struct Page {
        path: "path",
        url: "url",
        title: "title",
        referrer: "referrer",
    }
}

raw_fields! {
    struct Campaign {
        source: "source",
        medium: "medium",
        name: "name",
    }
}

raw_fields! {
    struct Properties {
        path: "path",
        url: "url",
        title: "title",
        referrer: "referrer",
        revenue: "revenue",
        total: "total",
        value: "value",
        currency: "currency",
        name: "name",
        category: "category",
    }
}

raw_fields! {
    /// The traits that identify.
    struct Contact {
        email: "email",
        phone: "phone",
    }
}

raw_fields! {
    struct ExternalId {
        kind: "type",
        id: "id",
    }
}

/// What a batch call says for all its calls. It is parsed once, however many they are.
#[derive(Debug, Default)]
struct Envelope<'a> {
    sent_at: Option<&'a str>,
    received_at: Option<&'a str>,
    /// An object.
    context: Option<&'a str>,
    /// What the context says.
    known: Context<'a>,
    /// The context's fields, for calls that have a context of their own.
    fields: Object<'a>,
}

impl<'a> Envelope<'a> {
    fn new(batch: &Call<'a>) -> Result<Self, Rejection> {
        check_part("context", batch.context)?;
        let context = batch.context.filter(|text| is_object(text));
        // A batch's own `timestamp` is the time of its flush (two SDKs send it): it is nobody's event time.
        Ok(Self {
            sent_at: batch.sent_at,
            received_at: batch.received_at,
            context,
            known: parse_part(context)?,
            fields: parse_part(context)?,
        })
    }

    /// The length of a call that says `text` and, with it, the context of the batch.
    fn length_with(&self, text: &str) -> usize {
        text.len() + self.context.map_or(0, str::len)
    }
}

/// Parses the lines of one source.
#[derive(Debug, Clone)]
pub(crate) struct SegmentParser {
    /// Of one call.
    pub(crate) event_bytes_max: usize,
    /// Of one call.
    pub(crate) identifiers: IdentifierRules,
}

impl SegmentParser {
    /// The most bytes of a line: a batch call may be longer than one call.
    pub(crate) fn line_bytes_max(&self) -> usize {
        self.event_bytes_max.saturating_mul(BATCH_EVENTS_FACTOR)
    }

    /// Parses one line into rows, and into quarantine what cannot be accepted of it.
    pub(crate) fn parse_line(
        &self,
        line_number: u64,
        line: &str,
        events: &mut EventsBuilder<'_>,
        quarantine: &mut QuarantineBuilder,
    ) {
        if let Err(rejection) = self.parse_call_or_batch(line_number, line, events, quarantine) {
            quarantine.push(line_number, &rejection, line.as_bytes());
        }
    }

    fn parse_call_or_batch(
        &self,
        line_number: u64,
        line: &str,
        events: &mut EventsBuilder<'_>,
        quarantine: &mut QuarantineBuilder,
    ) -> Result<(), Rejection> {
        let call: Call<'_> = parse_object(line)?;
        let (None, Some(batch)) = (call.kind, call.batch) else {
            return self.push_call(line, &call, &Envelope::default(), events);
        };
        let elements: Vec<&RawValue> = serde_json::from_str(batch).map_err(|_| {
            Rejection::new(Reason::NotAnObject, "`batch` is no array; a batch call has its calls there")
        })?;
        if elements.len() > BATCH_ELEMENTS_MAX {
            let detail = format!(
                "{} calls in one batch are more than the {BATCH_ELEMENTS_MAX} allowed; split it",
                elements.len()
            );
            return Err(Rejection::new(Reason::BatchTooLarge, detail));
        }
        let envelope = Envelope::new(&call)?;
        for element in elements {
            let text = element.get();
            let pushed = parse_object(text).and_then(|call| self.push_call(text, &call, &envelope, events));
            if let Err(rejection) = pushed {
                quarantine.push(line_number, &rejection, text.as_bytes());
            }
        }
        Ok(())
    }

    fn push_call(
        &self,
        text: &str,
        call: &Call<'_>,
        envelope: &Envelope<'_>,
        events: &mut EventsBuilder<'_>,
    ) -> Result<(), Rejection> {
        let length = envelope.length_with(text);
        if length > self.event_bytes_max {
            return Err(Rejection::too_large(length, self.event_bytes_max));
        }
        let kind = call_type(call.kind)?;
        check_parts(call)?;
        let name = event_name(kind, call.event)?;
        let times = call_times(call, envelope)?;
        let own_context = call.context.filter(|text| is_object(text));
        let context_text = merge_context(own_context, envelope)?;
        let context = match own_context {
            Some(_) => parse_part(context_text.as_deref())?,
            None => envelope.known,
        };
        let identifiers = self.identifiers_of(kind, call, &context)?;
        let mut attributes = if kind == "identify" { traits(call.traits, context.traits)? } else { Vec::new() };
        push_consents(&mut attributes, context.consent, context.consent_management)?;
        let properties: Properties<'_> = match kind {
            "track" | "page" | "screen" => parse_part(call.properties)?,
            _ => Properties::default(),
        };
        let properties_text = properties_text(kind, call, &properties)?;
        let page = PageAndUtm::new(&context, &properties, call.name.filter(|_| matches!(kind, "page" | "screen")))?;
        let currency = properties.currency.and_then(scalar_text);
        events.push(&EventRow {
            id: match call.message_id.and_then(id_text) {
                Some(id) => EventId::Given(id),
                None => EventId::Content(content_id(text, &times, envelope)),
            },
            event_type: kind,
            event_name: &name,
            occurred_at: times.occurred_at,
            received_at: times.received_at,
            sent_at: times.sent_at,
            client_timestamp: times.client_timestamp,
            original_timestamp: times.original_timestamp,
            identifiers: &identifiers,
            attributes: &attributes,
            page_path: page.path.as_deref(),
            page_title: page.title.as_deref(),
            referrer: page.referrer.as_deref(),
            utm_source: page.utm_source.as_deref(),
            utm_medium: page.utm_medium.as_deref(),
            utm_campaign: page.utm_campaign.as_deref(),
            revenue: revenue(&name, &properties),
            currency: currency.as_deref(),
            properties: properties_text.as_deref(),
            context: context_text.as_deref(),
        });
        Ok(())
    }

    fn identifiers_of<'a>(
        &self,
        kind: &str,
        call: &Call<'a>,
        context: &Context<'a>,
    ) -> Result<Vec<Pair<'a>>, Rejection> {
        let mut identifiers = Vec::with_capacity(4);
        let user_id = call.user_id.and_then(id_text);
        push_identifier(&mut identifiers, "user_id", user_id.clone());
        if kind == "alias" {
            // After identify(), a browser SDK sends the new id as both: an alias of itself links nothing.
            let previous_id = call.previous_id.and_then(id_text).filter(|id| Some(id) != user_id.as_ref());
            push_identifier(&mut identifiers, "anonymous_id", previous_id);
        }
        push_identifier(&mut identifiers, "anonymous_id", call.anonymous_id.and_then(id_text));
        // The traits of a group call are the group's.
        let own: Contact<'_> = parse_part(call.traits.filter(|_| kind != "group"))?;
        let remembered: Contact<'_> = parse_part(context.traits)?;
        let told = |own: Option<&'a str>, remembered: Option<&'a str>| {
            own.and_then(id_text).or_else(|| remembered.and_then(id_text))
        };
        push_identifier(&mut identifiers, "email", told(own.email, remembered.email));
        push_identifier(&mut identifiers, "phone", told(own.phone, remembered.phone));
        push_external_ids(&mut identifiers, context.external_ids)?;
        self.identifiers.check(
            &identifiers,
            "no `userId`, `anonymousId`, `traits.email`, `traits.phone` or `context.externalIds`; send one",
        )?;
        Ok(identifiers)
    }
}

fn call_type(raw: Option<&str>) -> Result<&'static str, Rejection> {
    let kind = raw.and_then(scalar_text);
    let known = ["track", "page", "screen", "identify", "group", "alias"];
    known.into_iter().find(|known| kind.as_deref() == Some(known)).ok_or_else(|| {
        Rejection::new(
            Reason::UnknownType,
            "`type` is none of track, page, screen, identify, group, alias; a call needs one of them",
        )
    })
}

/// Of every type of call: what one type does not read, its sender meant to say all the same.
fn check_parts(call: &Call<'_>) -> Result<(), Rejection> {
    check_part("context", call.context)?;
    check_part("properties", call.properties)?;
    check_part("traits", call.traits)
}

fn event_name<'a>(kind: &str, event: Option<&'a str>) -> Result<Cow<'a, str>, Rejection> {
    let name = match kind {
        "page" => "Page Viewed",
        "screen" => "Screen Viewed",
        "identify" => "Identified",
        "group" => "Grouped",
        "alias" => "Aliased",
        _ => {
            let name = event.and_then(scalar_text);
            return name.ok_or_else(|| Rejection::new(Reason::NoEventName, "a track call without `event`; name it"));
        }
    };
    Ok(Cow::Borrowed(name))
}

/// What a call without an id is known by: its text, and where that says no time of its own, the time that the batch gives it. The
/// same words in two batches are two events.
fn content_id(text: &str, times: &Times, envelope: &Envelope<'_>) -> u128 {
    let has_time = times.client_timestamp.or(times.original_timestamp).is_some();
    let is_told = envelope.sent_at.or(envelope.received_at).is_some();
    match times.sent_at.or(times.received_at) {
        Some(at) if is_told && !has_time => content_hash(format!("{text}\u{1f}{at}").as_bytes()),
        _ => content_hash(text.as_bytes()),
    }
}

/// The times of a call, in microseconds since 1970 UTC.
struct Times {
    occurred_at: i64,
    received_at: Option<i64>,
    sent_at: Option<i64>,
    client_timestamp: Option<i64>,
    original_timestamp: Option<i64>,
}

/// Corrects the time of the client's clock by its skew, which `sentAt` and `receivedAt` tell. A file has no collector in front:
/// without `receivedAt` no skew is known, and the instant of landing says nothing about when the file was written.
fn call_times(call: &Call<'_>, envelope: &Envelope<'_>) -> Result<Times, Rejection> {
    let client_timestamp = event_time(call.timestamp, "timestamp")?;
    let original_timestamp = event_time(call.original_timestamp, "originalTimestamp")?;
    let sent_text = call.sent_at.and_then(scalar_text).or_else(|| envelope.sent_at.and_then(scalar_text));
    let received_text = call.received_at.and_then(scalar_text).or_else(|| envelope.received_at.and_then(scalar_text));
    // These two only correct: an unreadable one is as good as none, unless no other time is there.
    let sent_at = sent_text.as_deref().and_then(|text| parse_time(text, Tz::UTC));
    let received_at = received_text.as_deref().and_then(|text| parse_time(text, Tz::UTC)).or(sent_at);
    let occurred_at = match (client_timestamp, original_timestamp, received_at, sent_at) {
        // Whoever sets both has corrected the skew already.
        (Some(timestamp), Some(_), _, _) => timestamp,
        (Some(original), None, Some(received), Some(sent)) | (None, Some(original), Some(received), Some(sent)) => {
            received - (sent - original)
        }
        (Some(original), None, ..) | (None, Some(original), ..) => original,
        (None, None, Some(received), _) => received,
        _ if sent_text.is_some() || received_text.is_some() => {
            return Err(Rejection::new(Reason::BadTime, "`sentAt` and `receivedAt` are no times; write RFC 3339"));
        }
        _ => {
            return Err(Rejection::new(
                Reason::NoTime,
                "no `timestamp`, `originalTimestamp`, `receivedAt` or `sentAt`; send one",
            ));
        }
    };
    check_possible(occurred_at, "timestamp")?;
    Ok(Times { occurred_at, received_at, sent_at, client_timestamp, original_timestamp })
}

fn event_time(raw: Option<&str>, field: &str) -> Result<Option<i64>, Rejection> {
    let Some(raw) = raw.filter(|raw| *raw != "null") else { return Ok(None) };
    let bad_time = || Rejection::new(Reason::BadTime, format!("`{field}` is no time; write RFC 3339"));
    match scalar_text(raw) {
        Some(text) => parse_time(&text, Tz::UTC).map(Some).ok_or_else(bad_time),
        None if is_blank(raw) => Ok(None),
        None => Err(bad_time()),
    }
}

fn is_blank(raw: &str) -> bool {
    raw.starts_with('"')
}

/// A batch's context holds for each of its calls; what a call says itself wins.
fn merge_context<'a>(own: Option<&'a str>, envelope: &Envelope<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
    if own.is_none() || envelope.context.is_none() {
        return Ok(own.or(envelope.context).map(Cow::Borrowed));
    }
    let own: Object<'_> = parse_part(own)?;
    let fields = envelope.fields.0.iter().chain(&own.0);
    let fields: BTreeMap<&str, &str> = fields.map(|(name, json)| (name.as_ref(), *json)).collect();
    let mut merged = ObjectWriter::default();
    fields.iter().for_each(|(name, json)| merged.push_json(name, json));
    Ok(Some(Cow::Owned(merged.finish().to_owned())))
}

/// Traits as text, by name: the call's own over those that the SDK remembers in the context.
fn traits<'a>(own: Option<&'a str>, remembered: Option<&'a str>) -> Result<Vec<Pair<'a>>, Rejection> {
    let mut by_name: BTreeMap<Cow<'a, str>, &'a str> = parse_part::<Object<'a>>(remembered)?.0.into_iter().collect();
    by_name.extend(parse_part::<Object<'a>>(own)?.0);
    Ok(by_name.into_iter().filter_map(|(name, raw)| Some((name, value_text(raw)?))).collect())
}

fn properties_text<'a>(
    kind: &str,
    call: &Call<'a>,
    properties: &Properties<'a>,
) -> Result<Option<Cow<'a, str>>, Rejection> {
    match kind {
        "identify" | "alias" => Ok(None),
        "group" => {
            let mut properties = ObjectWriter::default();
            let group_id = call.group_id.filter(|raw| scalar_text(raw).is_some());
            if let Some(raw) = group_id {
                properties.push_json("groupId", raw);
            }
            for (name, json) in parse_part::<Object<'_>>(call.traits)?.0 {
                if group_id.is_none() || name != "groupId" {
                    properties.push_json(&name, json);
                }
            }
            Ok(Some(Cow::Owned(properties.finish().to_owned())))
        }
        "page" | "screen" => Ok(page_properties(call, properties)),
        _ => Ok(call.properties.filter(|text| is_object(text)).map(Cow::Borrowed)),
    }
}

/// The properties of a page or screen call, with its `name` and `category`: browser SDKs put them there, server SDKs beside.
fn page_properties<'a>(call: &Call<'a>, properties: &Properties<'a>) -> Option<Cow<'a, str>> {
    let own = call.properties.filter(|text| is_object(text));
    let told = [("name", call.name, properties.name), ("category", call.category, properties.category)];
    let missing = told.map(|(key, beside, inside)| {
        let beside = beside.filter(|raw| inside.is_none() && value_text(raw).is_some());
        beside.map(|raw| (key, raw))
    });
    if missing.iter().all(Option::is_none) {
        return own.map(Cow::Borrowed);
    }
    let mut whole = ObjectWriter::continuing(own.unwrap_or("{}"));
    missing.into_iter().flatten().for_each(|(key, raw)| whole.push_json(key, raw));
    Some(Cow::Owned(whole.finish().to_owned()))
}

fn push_identifier<'a>(
    identifiers: &mut Vec<Pair<'a>>,
    namespace: impl Into<Cow<'a, str>>,
    value: Option<Cow<'a, str>>,
) {
    let Some(value) = value else { return };
    let identifier = (namespace.into(), value);
    if !identifiers.contains(&identifier) {
        identifiers.push(identifier);
    }
}

fn push_external_ids<'a>(identifiers: &mut Vec<Pair<'a>>, raw: Option<&'a str>) -> Result<(), Rejection> {
    /// Identifiers looked at for one call: comparing each with all others must stay cheap, whatever the limit.
    const LOOKED_AT_MAX: usize = 1000;

    let Some(raw) = raw.filter(|raw| raw.starts_with('[')) else { return Ok(()) };
    for element in Vec::<&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(raw)).unwrap_or_default() {
        let external: ExternalId<'a> = parse_part(Some(element.get()))?;
        if let Some(namespace) = external.kind.and_then(id_text) {
            push_identifier(identifiers, namespace, external.id.and_then(id_text));
        }
        if identifiers.len() > LOOKED_AT_MAX {
            return Err(Rejection::too_many_identifiers(identifiers.len(), LOOKED_AT_MAX));
        }
    }
    Ok(())
}

/// Amounts of orders hide under three names. An unusable amount never costs the event.
fn revenue(event_name: &str, properties: &Properties<'_>) -> Option<i128> {
    let mut amount = properties.revenue.and_then(scalar_text);
    if event_name.starts_with("Order ") {
        amount = amount
            .or_else(|| properties.total.and_then(scalar_text))
            .or_else(|| properties.value.and_then(scalar_text));
    }
    parse_decimal(&amount?)
}

#[derive(Debug, Default)]
struct PageAndUtm<'a> {
    path: Option<Cow<'a, str>>,
    title: Option<Cow<'a, str>>,
    referrer: Option<Cow<'a, str>>,
    utm_source: Option<Cow<'a, str>>,
    utm_medium: Option<Cow<'a, str>>,
    utm_campaign: Option<Cow<'a, str>>,
}

impl<'a> PageAndUtm<'a> {
    fn new(context: &Context<'a>, properties: &Properties<'a>, name: Option<&'a str>) -> Result<Self, Rejection> {
        let page: Page<'a> = parse_part(context.page)?;
        let campaign: Campaign<'a> = parse_part(context.campaign)?;
        let first = |one: Option<&'a str>, other: Option<&'a str>| {
            one.and_then(scalar_text).or_else(|| other.and_then(scalar_text))
        };
        let url = first(page.url, properties.url);
        let query = url.as_deref().map(UtmQuery::new).unwrap_or_default();
        Ok(Self {
            path: first(page.path, properties.path)
                .or_else(|| url_path(url.as_deref()?).map(|path| Cow::Owned(path.to_owned()))),
            title: first(page.title, properties.title).or_else(|| name.and_then(scalar_text)),
            referrer: first(page.referrer, properties.referrer),
            utm_source: campaign.source.and_then(scalar_text).or(query.source.map(Cow::Owned)),
            utm_medium: campaign.medium.and_then(scalar_text).or(query.medium.map(Cow::Owned)),
            utm_campaign: campaign.name.and_then(scalar_text).or(query.campaign.map(Cow::Owned)),
        })
    }
}

/// `/docs` of `https://example.com/docs?x=1#top`; `/` when the URL has no path.
fn url_path(url: &str) -> Option<&str> {
    let after_scheme = match url.split_once("://") {
        Some((_, rest)) => rest,
        None if url.starts_with('/') => url,
        None => return None,
    };
    let end = after_scheme.find(['?', '#']).unwrap_or(after_scheme.len());
    let without_query = &after_scheme[..end];
    Some(without_query.find('/').map_or("/", |start| &without_query[start..]))
}

#[derive(Debug, Default)]
struct UtmQuery {
    source: Option<String>,
    medium: Option<String>,
    campaign: Option<String>,
}

impl UtmQuery {
    fn new(url: &str) -> Self {
        let mut utm = Self::default();
        let Some((_, query)) = url.split_once('?') else { return utm };
        if !query.contains("utm_") {
            return utm;
        }
        let query = query.split('#').next().unwrap_or_default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let field = match name.as_ref() {
                "utm_source" => &mut utm.source,
                "utm_medium" => &mut utm.medium,
                "utm_campaign" => &mut utm.campaign,
                _ => continue,
            };
            let value = value.trim();
            if !value.is_empty() {
                *field = Some(value.to_owned());
            }
        }
        utm
    }
}

#[cfg(test)]
mod tests;
