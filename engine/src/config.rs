//! `tessera.toml`: what a project is made of. Parsing finds every problem of the file in one go and says the line of
//! each and what to do; what comes out is valid and complete, with defaults filled in.
//!
//! The engine never looks for the file: the caller passes its text.

mod attribute;
mod consent;
pub(crate) mod corrections;
mod identity;
pub(crate) mod nearest;
pub(crate) mod preset;
mod reader;
pub(crate) mod serve;
mod settings;
mod source;

pub use self::settings::parse_byte_size;

use self::nearest::suggestion;
use self::reader::{Problems, TableReader, parse_root};
use crate::error::{EngineError, Result};
use crate::limits;

/// A whole project, as `tessera.toml` describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectConfig {
    /// Where the tables are: a URL (`file://`, `s3://`) or a path, relative to the project folder.
    pub lake_url: String,
    /// Where data comes from, in the order of the file; the names are distinct.
    pub sources: Vec<Source>,
    /// How identifiers are trusted, normalised and blocked.
    pub identity: IdentityConfig,
    /// Which value of an attribute stands, and in what form, in the order of the file; the names are distinct. An
    /// attribute that is not here has [`Attribute::new`].
    pub attributes: Vec<Attribute>,
    /// Which attributes tell consent to which purpose; the purposes are distinct. Those that presets tell are among them.
    pub consents: Vec<Consent>,
    /// How behaviour is cut into sessions.
    pub behavior: BehaviorConfig,
    /// What the engine may use of the machine.
    pub engine: EngineConfig,
    /// What landing accepts.
    pub landing: LandingConfig,
    /// What `tessera serve` listens on, and what one query may use.
    pub serve: ServeConfig,
    /// When `tessera serve` refreshes, in the order of the file; the names are distinct.
    pub schedules: Vec<Schedule>,
}

/// One place that data comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Distinct in the project; lower-case letters, digits, `_` and `-`.
    pub name: String,
    /// How its files are read.
    pub format: SourceFormat,
    /// What a row is. `segment` sources always hold events.
    pub kind: SourceKind,
    /// Where the customer was: `web`, `mobile`, `crm`, `pos`, ...; `other` when the file does not say.
    pub touchpoint: String,
    /// Who collected the data.
    pub party: Party,
    /// Records: the column that holds a record's key. Always there for records, never for events.
    pub key: Option<String>,
    /// Records: the column with the time at which the row was true; without it, the order of landing decides.
    pub updated_at: Option<String>,
    /// Records: the column that says that the record was deleted.
    pub deleted: Option<String>,
    /// Records: the column with the key of the record that this one was merged into. Such a record says nothing any more,
    /// but its identifiers stay linked, whether or not it is deleted.
    pub merged_into: Option<String>,
    /// Records: whether the links of a record's earlier rows stay when a newer row replaces them.
    pub keep_links: bool,
    /// Events: the name of every event or the column that holds it. Always there but for `segment`.
    pub event: Option<EventName>,
    /// Events: the column with the time of the event. Always there but for `segment`.
    pub occurred_at: Option<String>,
    /// (namespace, column) in the order of the file; a namespace occurs once for each of its columns.
    pub identifiers: Vec<(String, String)>,
    /// (attribute, column) in the order of the file; records only.
    pub attributes: Vec<(String, String)>,
    /// Events: the column with an amount.
    pub revenue: Option<String>,
    /// Events: a column name if such a column exists, else a literal currency code.
    pub currency: Option<String>,
    /// Events: the columns kept as properties; `None` means all that are not mapped otherwise.
    pub properties: Option<Vec<String>>,
    /// IANA name for times that carry no zone; `None` means UTC.
    pub time_zone: Option<String>,
    /// Whether numbers have a comma before their fraction: `1.234,50`.
    pub has_decimal_comma: bool,
    /// Events: the column that holds a row's own unique id.
    pub message_id: Option<String>,
    /// Events: the column with the path of the page.
    pub page_path: Option<String>,
    /// Events in CSV: rows that follow each other with the same value of this column are one event. A cell that is blank
    /// in the first of them is read from the next.
    pub group_by: Option<String>,
    /// With `group_by`: (name, column) of what each of the rows says of one product. They become the event's property
    /// `products`, a list of objects.
    pub products: Vec<(String, String)>,
    /// Columns above that are a preset's: names separated by `|`, compared loosely, which a file need not have.
    pub loose_columns: Vec<String>,
}

/// How a source's files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFormat {
    /// One JSON object a line: a call of the Segment spec, or the body of a batch call.
    Segment,
    /// Comma-separated values with a header line.
    Csv,
    /// One JSON object a line, one row each.
    Ndjson,
    /// Parquet files.
    Parquet,
}

/// What a row of a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// Something that a customer did at an instant.
    Events,
    /// What another system says about a customer now.
    Records,
}

/// How the rows of an events source are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventName {
    /// Every row is this event.
    Literal(String),
    /// This column holds the name.
    Column(String),
}

/// Who collected the data of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The company itself, from the customer.
    First,
    /// A provider.
    Third,
}

/// How identifiers are trusted, normalised and blocked.
#[derive(Debug, Clone, PartialEq)]
pub struct IdentityConfig {
    /// Most trusted first, those like cookies behind all others; the names are distinct.
    pub namespaces: Vec<Namespace>,
    /// An identifier that is linked to more others than this links nobody; `None` means no limit.
    pub links_max: Option<u32>,
    /// A refresh that merges a larger share of the profiles into others publishes nothing; `None` means no limit.
    pub merges_max_share: Option<f64>,
    /// Values that identify nobody, in any namespace, compared without regard to case.
    pub blocked: Vec<String>,
    /// Regular expressions of such values; each was found to compile.
    pub blocked_patterns: Vec<String>,
    /// Whether the built-in list of such values counts too.
    pub use_default_blocklist: bool,
}

/// One kind of identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Letters, digits, `_` and `-`; case counts.
    pub name: String,
    /// Whether a profile has at most one value of it.
    pub unique: bool,
    /// The most values of it that a profile has; `None` means no limit but for `unique`.
    pub limit: Option<u32>,
    /// Whether its values are those of a browser or a device, which is never more trusted than what a person has.
    pub cookie: bool,
    /// How its values are made comparable.
    pub normalize: Normalize,
    /// Phone numbers: the region (two capital letters) of numbers without a country code.
    pub region: Option<String>,
}

/// How values of a namespace are made comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalize {
    /// Trimmed, else as they are.
    None,
    /// E-mail addresses: lower case, international domains in ASCII.
    Email,
    /// Phone numbers in E.164.
    Phone,
    /// Lower case.
    Lowercase,
    /// Only the ASCII digits of the value.
    Digits,
    /// Ids of Salesforce: those of 15 letters in the form of 18.
    SalesforceId,
}

/// Which of the values that sources tell of an attribute stands, and in what form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The attribute, in snake case as `profile.attributes` has it.
    pub name: String,
    /// Which value stands.
    pub rule: SurvivorRule,
    /// [`SurvivorRule::SourceOrder`]: the sources that stand before all others, the first of them before the next.
    pub sources: Vec<String>,
    /// Whether values of third parties stand beside those of the first. Else only where no first party says anything.
    pub trust_third_party: bool,
    /// How its values are made comparable; with a separator, each of the several.
    pub form: AttributeForm,
    /// What parts several values that are told in one text: the attribute is a list.
    pub separator: Option<char>,
}

/// Which of the values that sources tell of an attribute stands. Where a rule leaves a choice, the latest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SurvivorRule {
    /// The one that was told last.
    Latest,
    /// The one that was told first.
    First,
    /// That of the first source, in an order of sources, that tells one.
    SourceOrder,
    /// The one that was told most often, by all sources together.
    MostFrequent,
    /// The one with the most characters.
    Longest,
    /// All of them: the attribute is a list.
    All,
}

/// How values of an attribute are made comparable. What has no such form stays as it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttributeForm {
    /// As they are told.
    Text,
    /// Countries: two capital letters of ISO 3166-1.
    Country,
    /// Languages: two letters of ISO 639-1, or three of ISO 639-3 where there are no two.
    Language,
    /// Currencies: three capital letters of ISO 4217.
    Currency,
    /// Days: `YYYY-MM-DD`. `03/04/2026` needs to be told which number is the day.
    Date(Option<DateOrder>),
    /// `true` or `false`.
    Boolean,
    /// Names of people: capital letters where forms were filled in without, or with nothing else.
    Name,
}

/// Which number of `03/04/2026` is the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DateOrder {
    /// The first.
    DayFirst,
    /// The second.
    MonthFirst,
}

/// Which attributes tell whether people consent to a purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The purpose, in snake case.
    pub purpose: String,
    /// Attributes of which `yes` is consent, and `no` takes it back.
    pub granted: Vec<String>,
    /// Attributes of which `yes` takes consent back; `no` says nothing, for who has not objected has not agreed.
    pub withdrawn: Vec<String>,
}

/// How behaviour is cut into sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BehaviorConfig {
    /// A longer pause between two events of a profile starts a new session. From 1 to 1,440.
    pub session_timeout_minutes: u32,
}

/// What the engine may use of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineConfig {
    /// Bytes; `None` leaves the choice to the engine.
    pub memory_limit: Option<u64>,
    /// `None` means one for each core.
    pub threads: Option<usize>,
}

/// What landing accepts; the rest goes to quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandingConfig {
    /// The most bytes of one event or line.
    pub event_bytes_max: usize,
    /// The most identifiers of one event or record.
    pub identifiers_max: usize,
}

/// What a server listens on, and what one query of its clients may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeConfig {
    /// Host and port of gRPC and Flight SQL.
    pub address: String,
    /// Host and port of health and metrics over HTTP.
    pub http_address: String,
    /// Queries that run at once; more wait, and are refused in the end.
    pub queries_max: usize,
    /// From the start of a query to its last row.
    pub query_seconds_max: Option<u64>,
    /// Rows of an answer.
    pub query_rows_max: Option<u64>,
    /// Bytes that one query may hold.
    pub query_memory_max: Option<u64>,
    /// Bytes that look-ups of profiles may hold: at most half for indexes, the rest for rows. `None` for a quarter of the
    /// memory.
    pub lookup_memory_max: Option<u64>,
    /// URLs, each ending with `/`, under which calls may have files written; none: calls may not.
    pub export_to: Vec<String>,
    /// Where traces go: the URL of an OTLP collector; `None` for nowhere.
    pub traces_to: Option<String>,
}

/// When to refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// What log lines and metrics call it.
    pub name: String,
    /// A cron expression of five fields; it was found to parse.
    pub cron: String,
    /// IANA name of the time zone in which the expression counts; it was found to exist.
    pub time_zone: String,
    /// Whether everything is computed anew.
    pub full: bool,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:50051".to_owned(),
            http_address: "127.0.0.1:8080".to_owned(),
            queries_max: limits::QUERIES_MAX,
            query_seconds_max: Some(300),
            query_rows_max: None,
            query_memory_max: None,
            lookup_memory_max: None,
            export_to: Vec::new(),
            traces_to: None,
        }
    }
}

impl Default for BehaviorConfig {
    fn default() -> Self {
        Self { session_timeout_minutes: 30 }
    }
}

impl Default for LandingConfig {
    fn default() -> Self {
        Self { event_bytes_max: 1 << 20, identifiers_max: 20 }
    }
}

impl ProjectConfig {
    /// Parses and validates the text of a `tessera.toml`. `file` is what messages call it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` with a line `file:line: what is wrong, what to do` for every problem of the file.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let mut problems = Problems::new(file, text);
        let root = parse_root(text, &mut problems)?;
        let config = read_project(&TableReader::new(root.get_ref(), 0..0, ""), &mut problems);
        problems.error().map_or(Ok(config), Err)
    }

    /// Returns the source called `name`.
    ///
    /// # Errors
    ///
    /// `NotFound` with the nearest name, or with all of them.
    pub fn source(&self, name: &str) -> Result<&Source> {
        self.sources.iter().find(|source| source.name == name).ok_or_else(|| {
            let hint = suggestion(name, self.sources.iter().map(|source| source.name.as_str()));
            EngineError::not_found(format!(
                "tessera.toml has no source `{name}` ({hint}); use one that it has, or add a [[source]] with that name"
            ))
        })
    }
}

fn read_project(root: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> ProjectConfig {
    let known = [
        "version",
        "lake",
        "source",
        "identity",
        "attribute",
        "consent",
        "behavior",
        "engine",
        "landing",
        "serve",
        "schedule",
    ];
    root.check_keys(&known, problems);
    settings::check_version(root, problems);

    let identity = match root.table("identity", "[identity]", problems) {
        Some(table) => identity::read_identity(&table, problems),
        None => IdentityConfig::default(),
    };
    let hint = "write each source under its own `[[source]]`, with double brackets";
    let source_tables = root.tables("source", "[[source]]", hint, problems).unwrap_or_default();
    let sources = source::read_sources(source_tables, &identity, problems);
    ProjectConfig {
        lake_url: settings::read_lake_url(root, problems),
        attributes: attribute::read_attributes(root, &sources, problems),
        consents: consent::read_consents(root, problems),
        sources,
        identity,
        behavior: settings::read_behavior(root, problems),
        engine: settings::read_engine(root, problems),
        landing: settings::read_landing(root, problems),
        serve: serve::read_serve(root, problems),
        schedules: serve::read_schedules(root, problems),
    }
}

#[cfg(test)]
mod tests;
