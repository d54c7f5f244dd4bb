//! The command line's grammar. Every command's help shows two whole examples.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::encode::FileFormat;

/// Resolves who your customers are and what they do, from files of events and records.
#[derive(Debug, Parser)]
#[command(
    name = "tessera",
    version,
    after_help = "Examples:\n  tessera demo\n  tessera sql \"select * from behavior.trends order by date desc limit 7\""
)]
pub(crate) struct Arguments {
    /// The project's folder, which holds tessera.toml; without it, the one you are in
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a sample shop, land its data, refresh, and show what was found
    #[command(after_help = "Examples:\n  tessera demo\n  tessera demo my-demo --people 20000 --events 400000")]
    Demo(DemoArguments),
    /// Make a project with a commented tessera.toml
    #[command(after_help = "Examples:\n  tessera init my-shop\n  tessera init .")]
    Init {
        /// The folder to make
        folder: PathBuf,
    },
    /// Land files of a source
    #[command(
        after_help = "Examples:\n  tessera ingest --source web events-1.ndjson.gz events-2.ndjson.gz\n  zcat contacts.csv.gz | tessera ingest --source crm_contacts -"
    )]
    Ingest(IngestArguments),
    /// Bring every table up to date and publish a generation
    #[command(after_help = "Examples:\n  tessera refresh\n  tessera refresh --full")]
    Refresh {
        /// Compute everything anew from what landed
        #[arg(long)]
        full: bool,
        /// Publish even if more profiles merge than merges_max_share allows
        #[arg(long)]
        allow_merges: bool,
    },
    /// Run a query
    #[command(
        after_help = "Examples:\n  tessera sql \"select count(*) from profile.profiles\"\n  tessera sql \"select * from behavior.sessions\" --format csv > sessions.csv\n  tessera sql \"select * from profile.profiles\" --as-of-date 2026-03-31 --format csv > features.csv"
    )]
    Sql(SqlArguments),
    /// Show one person, with the links that explain the profile
    #[command(
        after_help = "Examples:\n  tessera profile email:ada@example.com\n  tessera profile email:ada@example.com --why user_id:17"
    )]
    Profile {
        /// One of the person's identifiers, or the id of a profile
        #[arg(value_name = "NAMESPACE:VALUE|ID")]
        identifier: String,
        /// Say only why this identifier is the same person's, or why it is not
        #[arg(long, value_name = "NAMESPACE:VALUE")]
        why: Option<String>,
        /// Read this generation instead of the newest
        #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>)]
        as_of: Option<u64>,
    },
    /// Judge how well it is known who is who
    #[command(after_help = "Examples:\n  tessera identity report\n  tessera identity simulate --config other.toml")]
    Identity {
        #[command(subcommand)]
        command: IdentityCommand,
    },
    /// Look at segments, make, change and export them
    #[command(after_help = "Examples:\n  tessera segment list\n  tessera segment members loyal --limit 20")]
    Segment {
        #[command(subcommand)]
        command: SegmentCommand,
    },
    /// Serve gRPC, Flight SQL and scheduled refreshes
    #[command(
        after_help = "Examples:\n  tessera serve\n  tessera serve --project my-shop --address 127.0.0.1:0 --http-address 127.0.0.1:0"
    )]
    Serve(ServeArguments),
    /// Check the configuration, the models, the segments and the tables
    #[command(after_help = "Examples:\n  tessera check\n  tessera check --project my-shop")]
    Check,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Coverage by namespace, sizes of profiles, suspicious links, dropped ones, and what the last refresh changed
    #[command(after_help = "Examples:\n  tessera identity report\n  tessera identity report --limit 50 --as-of 12")]
    Report {
        /// How many rows of each list to print
        #[arg(long, default_value_t = 10, allow_negative_numbers = true, value_parser = whole::<u64>)]
        limit: u64,
        /// Read this generation instead of the newest
        #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>)]
        as_of: Option<u64>,
    },
    /// What another configuration would merge, split and move; publishes nothing
    #[command(
        after_help = "Examples:\n  tessera identity simulate --config other.toml\n  tessera identity simulate --limit 50"
    )]
    Simulate {
        /// The other configuration; without it the project's own, on what landed since the last refresh too
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// How many examples of each change to print
        #[arg(long, default_value_t = 10, allow_negative_numbers = true, value_parser = whole::<u64>)]
        limit: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Where to make it; without it, in tessera-demo
    pub(crate) folder: Option<PathBuf>,
    /// How many people, from 100 to 10,000,000
    #[arg(long, default_value_t = 2_000, allow_negative_numbers = true, value_parser = within::<100, 10_000_000>)]
    pub(crate) people: u64,
    /// How many events over all sources, from 1,000 to 1,000,000,000
    #[arg(long, default_value_t = 40_000, allow_negative_numbers = true, value_parser = within::<1_000, 1_000_000_000>)]
    pub(crate) events: u64,
    /// End after showing what was found, instead of serving it
    #[arg(long)]
    pub(crate) exit: bool,
    /// The same seed makes the same people
    #[arg(long, default_value_t = 1, allow_negative_numbers = true, value_parser = whole::<u64>)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct IngestArguments {
    /// The source's name in tessera.toml
    #[arg(long, value_name = "NAME")]
    pub(crate) source: String,
    /// Files, plain, .gz or .zst; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Where gRPC and Flight SQL listen, instead of what tessera.toml says; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Option<String>,
    /// Where health and metrics are served over HTTP, instead of what tessera.toml says
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) http_address: Option<String>,
    /// Listen beyond this machine although nobody has to prove who they are
    #[arg(long)]
    pub(crate) insecure: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SqlArguments {
    /// The query
    #[arg(allow_hyphen_values = true)] // it may begin with a comment
    pub(crate) query: String,
    /// How to print the answer
    #[arg(long, default_value = "table")]
    pub(crate) format: Format,
    /// Read this generation instead of the newest
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>)]
    pub(crate) as_of: Option<u64>,
    /// Compute the tables as they would have been at the end of this day in UTC, traits and segments among them
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "as_of")]
    pub(crate) as_of_date: Option<chrono::NaiveDate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Csv,
    Json,
    Ndjson,
}

/// What people call a segment, and who says so.
#[derive(Debug, Args)]
pub(crate) struct SegmentWords {
    /// A short name for people
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// What its members may be used for
    #[arg(long)]
    pub(crate) purpose: Option<String>,
    /// Longer words for people
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Who makes or changes it
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, value_parser = somebody)]
    pub(crate) by: String,
}

/// Whom to divide, and what to do with the groups.
#[derive(Debug, Args)]
pub(crate) struct PersonaArguments {
    /// The segment; without it, everybody
    pub(crate) name: Option<String>,
    /// More columns of profiles, or touchpoint, that may set groups apart
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub(crate) described_by: Vec<String>,
    /// Make a segment of each group, called PREFIX-1, PREFIX-2, ...
    #[arg(long, value_name = "PREFIX")]
    pub(crate) save: Option<String>,
    /// Who makes them; --save needs it
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = "")]
    pub(crate) by: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SegmentCommand {
    /// All segments with their sizes
    #[command(after_help = "Examples:\n  tessera segment list\n  tessera segment list --project my-shop")]
    List,
    /// A segment's definition, size and last changes, and who changed it last
    #[command(
        visible_alias = "get",
        after_help = "Examples:\n  tessera segment show loyal\n  tessera segment show loyal --sql"
    )]
    Show {
        /// Its name: the file's, without .sql
        name: String,
        /// Show it as a query over the tables, too
        #[arg(long)]
        sql: bool,
    },
    /// How many people are in a segment
    #[command(after_help = "Examples:\n  tessera segment size loyal\n  tessera segment size loyal --project my-shop")]
    Size {
        /// Its name
        name: String,
    },
    /// Who is in a segment
    #[command(
        after_help = "Examples:\n  tessera segment members loyal\n  tessera segment members loyal --limit 100000 --format csv"
    )]
    Members {
        /// Its name
        name: String,
        /// How many to print
        #[arg(long, default_value_t = 50, allow_negative_numbers = true, value_parser = whole::<u64>)]
        limit: u64,
        /// How to print them
        #[arg(long, default_value = "table")]
        format: Format,
    },
    /// Make a segment; the next refresh evaluates it
    #[command(
        after_help = "Examples:\n  tessera segment create big-spenders \"lifetime_value > 500\" --title \"Big spenders\"\n  tessera segment create best \"top(100, lifetime_value)\" --by ada"
    )]
    Create {
        /// Its name: lower-case letters, digits, _ and -
        name: String,
        /// The condition over a profile
        #[arg(allow_hyphen_values = true)]
        expression: String,
        #[command(flatten)]
        words: SegmentWords,
    },
    /// Change a segment that was made with create or a call; what is not given stays, an empty text takes words away
    #[command(
        group = ArgGroup::new("change").args(["expression", "title", "purpose", "description"]).required(true).multiple(true),
        after_help = "Examples:\n  tessera segment update big-spenders --expression \"lifetime_value > 700\"\n  tessera segment update big-spenders --title \"Those who spend most\" --description \"\""
    )]
    Update {
        /// Its name
        name: String,
        /// The condition over a profile
        #[arg(long, allow_hyphen_values = true)]
        expression: Option<String>,
        /// Only if it still has this etag, which `show` prints
        #[arg(long)]
        etag: Option<String>,
        #[command(flatten)]
        words: SegmentWords,
    },
    /// Delete a segment that was made with create or a call
    #[command(
        after_help = "Examples:\n  tessera segment delete big-spenders\n  tessera segment delete big-spenders --by ada"
    )]
    Delete {
        /// Its name
        name: String,
        /// Only if it still has this etag, which `show` prints
        #[arg(long)]
        etag: Option<String>,
        /// Who deletes it
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, value_parser = somebody)]
        by: String,
    },
    /// How many people an expression selects, without saving it
    #[command(
        after_help = "Examples:\n  tessera segment estimate \"country = 'FR' and order_count > 2\"\n  tessera segment estimate \"in_segment('loyal')\" --by-column country --by-column touchpoint"
    )]
    Estimate {
        /// The condition over a profile
        #[arg(allow_hyphen_values = true)]
        expression: String,
        /// A column of profiles, or touchpoint, by which to break the people down; several if repeated
        #[arg(long, value_name = "COLUMN")]
        by_column: Vec<String>,
    },
    /// Who entered and left a segment, by generation; also of one that was deleted
    #[command(
        after_help = "Examples:\n  tessera segment changes loyal\n  tessera segment changes loyal --after 12 --format csv"
    )]
    Changes {
        /// Its name
        name: String,
        /// Only changes of generations after this one
        #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = whole::<u64>)]
        after: u64,
        /// How to print them
        #[arg(long, default_value = "table")]
        format: Format,
    },
    /// Write the members of a segment to a file
    #[command(
        after_help = "Examples:\n  tessera segment export loyal --to loyal.csv\n  tessera segment export loyal --to s3://bucket/exports/loyal.csv\n  tessera segment export loyal --columns email,country,lifetime_value --to loyal.parquet"
    )]
    Export {
        /// Its name
        name: String,
        /// Columns of profiles, and entered_at
        #[arg(long, value_name = "COLUMN,...", value_delimiter = ',', default_value = "profile_id,entered_at")]
        columns: Vec<String>,
        /// The kind of file; without it the one that FILE ends with, such as .parquet, or else csv. Lists are JSON in csv
        #[arg(long)]
        format: Option<FileFormat>,
        /// The file, or a URL such as s3://bucket/loyal.csv; nothing may be there yet
        #[arg(long, value_name = "FILE")]
        to: String,
    },
    /// Keep a list of identifiers in the lake, for segments that ask in_list('NAME'), or put another in its place
    #[command(
        after_help = "Examples:\n  tessera segment upload-list invited invited.csv\n  tessera segment upload-list invited invited.csv --by ada"
    )]
    UploadList {
        /// Its name: lower-case letters, digits, _ and -
        name: String,
        /// A CSV file: a header of namespaces, and under each an identifier a line
        file: PathBuf,
        /// Who uploads it
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, value_parser = somebody)]
        by: String,
    },
    /// Delete a list that was uploaded
    #[command(
        after_help = "Examples:\n  tessera segment delete-list invited\n  tessera segment delete-list invited --by ada"
    )]
    DeleteList {
        /// Its name
        name: String,
        /// Who deletes it
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, value_parser = somebody)]
        by: String,
    },
    /// Groups of people in a segment who are alike in some traits
    #[command(
        after_help = "Examples:\n  tessera segment personas loyal --traits recency,orders,spent --described-by country,touchpoint\n  tessera segment personas --traits recency,orders,spent --count 4 --save persona"
    )]
    Personas {
        /// Columns of profiles with numbers, yes and no, or times
        #[arg(long, value_name = "COLUMN,...", value_delimiter = ',', required = true)]
        traits: Vec<String>,
        /// How many; without it, as many as are told apart best
        #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
        count: Option<usize>,
        #[command(flatten)]
        arguments: PersonaArguments,
    },
    /// The people of a segment by recency and frequency: champions, at risk, hibernating, ...
    #[command(
        after_help = "Examples:\n  tessera segment rfm --recency recency_score --frequency frequency_score\n  tessera segment rfm loyal --recency recency_score --frequency frequency_score --monetary monetary_score --save rfm"
    )]
    Rfm {
        /// The column with the score of recency, from 1 to 5: 5 is the shortest time ago
        #[arg(long, value_name = "COLUMN")]
        recency: String,
        /// The column with the score of frequency, from 1 to 5
        #[arg(long, value_name = "COLUMN")]
        frequency: String,
        /// The column with the score of money, from 1 to 5: the mean of both then counts as frequency
        #[arg(long, value_name = "COLUMN")]
        monetary: Option<String>,
        #[command(flatten)]
        arguments: PersonaArguments,
    },
    /// How segments overlap, and what sets them apart
    #[command(
        after_help = "Examples:\n  tessera segment compare loyal quiet\n  tessera segment compare loyal quiet employees --columns country,lifetime_value"
    )]
    Compare {
        /// Two or more
        #[arg(required = true, num_args = 2.., value_name = "SEGMENT")]
        names: Vec<String>,
        /// Columns of profiles, or touchpoint, to compare
        #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
        columns: Vec<String>,
    },
}

/// A whole number that is not negative.
///
/// # Errors
/// Says what to write instead of anything else.
fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "write a whole number that is not negative, such as 20".to_owned())
}

/// A whole number from `LEAST` to `MOST`.
///
/// # Errors
/// Says what to write instead of anything else.
fn within<const LEAST: u64, const MOST: u64>(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    number.ok_or_else(|| format!("write a whole number from {LEAST} to {MOST}"))
}

/// The name of who does something.
///
/// # Errors
/// Says where to write it if it is blank.
fn somebody(name: &str) -> Result<String, String> {
    match name.trim() {
        "" => Err("say who does it: give --by a name, or USER in the environment".to_owned()),
        _ => Ok(name.to_owned()),
    }
}
