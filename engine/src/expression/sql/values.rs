//! Expressions in SQL. Whatever consists of several parts stands in brackets wherever it is a part of something else.

use chrono::SecondsFormat;

use super::super::behavior::Property;
use super::super::text::{literal_text, matching, name, not, operator};
use super::super::{BinaryOp, ColumnType, Expr, Literal, Plain, SPLIT_COLUMN, ScalarFunction};
use super::query::{Query, constant, indented};
use super::{figures, sequences};

/// Writes expressions over profiles, or over events.
pub(super) struct Values<'q> {
    query: &'q mut Query,
    /// What columns belong to: `profiles.`, or nothing for events.
    relation: &'static str,
}

impl<'q> Values<'q> {
    pub(super) fn of_profiles(query: &'q mut Query) -> Self {
        Self { query, relation: "profiles." }
    }

    pub(super) fn of_events(query: &'q mut Query) -> Self {
        Self { query, relation: "" }
    }

    pub(super) fn text(&mut self, expr: &Expr) -> String {
        match expr {
            Expr::Column { name: column, .. } => format!("{}{}", self.relation, name(column)),
            Expr::Literal(Literal::Text(text)) => constant(text),
            // SQL takes `timestamp` for nanoseconds, which end in 2262.
            Expr::Literal(Literal::Timestamp(instant)) if instant.timestamp_nanos_opt().is_none() => {
                let instant = instant.to_rfc3339_opts(SecondsFormat::AutoSi, true);
                format!("arrow_cast('{instant}', 'Timestamp(Microsecond, Some(\"UTC\"))')")
            }
            Expr::Literal(literal) => literal_text(literal),
            Expr::And(conditions) => self.joined(conditions, "\n    and "),
            Expr::Or(conditions) => self.joined(conditions, " or "),
            Expr::Not(condition) => format!("not {}", self.part(condition)),
            Expr::Negate(number) => format!("-{}", self.part(number)),
            Expr::Binary { op: BinaryOp::Divide, left, right } => {
                let (left, right) = (self.text(left), self.text(right));
                format!("cast({left} as decimal(38, 10)) / nullif(cast({right} as decimal(38, 10)), 0)")
            }
            Expr::Binary { op: BinaryOp::Modulo, left, right } => {
                format!("{} % nullif({}, 0)", self.exact(left), self.exact(right))
            }
            Expr::Binary { op: op @ (BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply), left, right } => {
                let computed = format!("{} {} {}", self.exact(left), operator(*op), self.exact(right));
                let are_decimal = [left, right].iter().all(|side| side.value_type() == Some(ColumnType::Decimal));
                let adds_places = *op == BinaryOp::Multiply && are_decimal;
                if adds_places { format!("cast({computed} as decimal(38, 10))") } else { computed }
            }
            Expr::Binary { op, left, right } => format!("{} {} {}", self.part(left), operator(*op), self.part(right)),
            Expr::IsNull { expr, negated } => format!("{} is {}null", self.part(expr), not(*negated)),
            Expr::IsBoolean { expr, value, negated } => format!("{} is {}{value}", self.part(expr), not(*negated)),
            Expr::IsOneOf { expr, list, negated } => {
                let list: Vec<String> = list.iter().map(|item| self.text(item)).collect();
                format!("{} {}in ({})", self.part(expr), not(*negated), list.join(", "))
            }
            Expr::Between { expr, low, high, negated } => {
                let (low, high) = (self.part(low), self.part(high));
                format!("{} {}between {low} and {high}", self.part(expr), not(*negated))
            }
            Expr::Like { expr, pattern, negated, case_insensitive } => {
                let like = if *case_insensitive { "ilike" } else { "like" };
                format!("{} {}{like} {}", self.part(expr), not(*negated), constant(pattern))
            }
            Expr::Matches { expr, pattern, negated, case_insensitive } => {
                format!("{} {} {}", self.part(expr), matching(*negated, *case_insensitive), constant(pattern))
            }
            Expr::Cast { expr, to } => match expr.value_type() {
                Some(ColumnType::Text) => read_as(&self.text(expr), *to),
                _ => format!("try_cast({} as {})", self.text(expr), sql_type(*to)),
            },
            Expr::Case { branches, otherwise } => self.case(branches, otherwise.as_deref()),
            Expr::DaysSince(time) => {
                let (today, time) = (self.query.today(), self.text(time));
                format!("cast(date '{today}' - cast({time} as date) as bigint)")
            }
            Expr::Contains { list, value } => format!("array_has({}, {})", self.text(list), self.text(value)),
            Expr::Measure(measure) => figures::value(self.query, measure),
            Expr::Did(measure) => format!("{} > 0", figures::value(self.query, measure)),
            Expr::Sequence(sequence) => self.is_in(|query| sequences::relation(query, sequence)),
            Expr::Consented(purpose) => self.is_in(|_| {
                let purpose = constant(purpose);
                format!("select profile_id from profile.consents where purpose = {purpose} and status = 'granted'")
            }),
            Expr::InSegment(segment) => self.is_in(|_| {
                format!("select profile_id from segment.memberships where segment = {}", constant(segment))
            }),
            Expr::InList(list) => self.is_in(|_| {
                format!(
                    "select distinct identities.profile_id\nfrom segment.listed\njoin identity.identities on \
                     identities.namespace = listed.namespace and identities.value = listed.value\nwhere listed.list = {}",
                    constant(list)
                )
            }),
            Expr::Top { count, of, among } => self.is_in(|query| top(query, *count, of, among.as_deref())),
            Expr::Split(name) => format!("place_in_split(profiles.{SPLIT_COLUMN}, {})", constant(name)),
            Expr::Score { .. } => super::super::text_of(expr), // a trait's: no segment has one
            Expr::Property { property, as_type } => property_as(property, *as_type),
            Expr::Function { function, arguments } => self.function(*function, arguments),
        }
    }

    /// A number that is computed with, as a part of something else: SQL takes a constant with a fraction for a float.
    fn exact(&mut self, expr: &Expr) -> String {
        match expr {
            Expr::Literal(Literal::Decimal(digits)) => {
                let count = digits.bytes().filter(u8::is_ascii_digit).count();
                let scale = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                format!("cast('{digits}' as decimal({count}, {scale}))")
            }
            other => self.part(other),
        }
    }

    /// The text as a part of something else.
    pub(super) fn part(&mut self, expr: &Expr) -> String {
        let is_whole = match expr {
            Expr::Literal(Literal::Integer(number)) => *number >= 0,
            Expr::Literal(Literal::Decimal(digits)) => !digits.starts_with('-'),
            Expr::Binary { .. }
            | Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_)
            | Expr::Negate(_)
            | Expr::IsNull { .. }
            | Expr::IsBoolean { .. }
            | Expr::IsOneOf { .. }
            | Expr::Between { .. }
            | Expr::Like { .. }
            | Expr::Matches { .. }
            | Expr::Did(_)
            | Expr::Sequence(_)
            | Expr::Consented(_)
            | Expr::InSegment(_)
            | Expr::InList(_)
            | Expr::Top { .. } => false,
            _ => true,
        };
        let text = self.text(expr);
        if is_whole { text } else { format!("({text})") }
    }

    fn joined(&mut self, conditions: &[Expr], word: &str) -> String {
        let parts: Vec<String> = conditions.iter().map(|condition| self.part(condition)).collect();
        parts.join(word)
    }

    /// Whether a profile is in a relation.
    fn is_in(&mut self, relation: impl FnOnce(&mut Query) -> String) -> String {
        let relation = relation(self.query);
        format!("{}.profile_id is not null", self.query.joined(relation))
    }

    fn case(&mut self, branches: &[(Expr, Option<Expr>)], otherwise: Option<&Expr>) -> String {
        let mut text = "case".to_owned();
        for (condition, value) in branches {
            let value = value.as_ref().map_or_else(|| "null".to_owned(), |value| self.text(value));
            text += &format!(" when {} then {value}", self.text(condition));
        }
        if let Some(value) = otherwise {
            text += &format!(" else {}", self.text(value));
        }
        text + " end"
    }

    fn function(&mut self, function: ScalarFunction, arguments: &[Expr]) -> String {
        let texts: Vec<String> = arguments.iter().map(|argument| self.text(argument)).collect();
        if let ScalarFunction::Plain(plain @ Plain { gives: ColumnType::Decimal, .. }) = function {
            let floats: Vec<String> = texts.iter().map(|number| format!("cast({number} as double)")).collect();
            // For other roots and powers SQL has errors, not null.
            let value = match (plain.sql, floats.as_slice()) {
                ("sqrt", [number]) => format!("power({number}, 0.5)"),
                ("power", [number, exponent]) if arguments.get(1).is_some_and(is_negative) => {
                    format!("power(nullif({number}, 0), {exponent})")
                }
                (sql, floats) => format!("{sql}({})", floats.join(", ")),
            };
            return format!("try_cast({value} as decimal(38, 10))");
        }
        let list = texts.join(", ");
        let name = match function {
            ScalarFunction::Now => {
                let now = self.query.as_of.to_rfc3339_opts(SecondsFormat::AutoSi, true);
                return format!("timestamp '{now}'");
            }
            ScalarFunction::CurrentDate => return format!("date '{}'", self.query.today()),
            // Of fewer bits, or none, to SQL.
            ScalarFunction::Plain(Plain { sql, gives: ColumnType::Integer, .. }) => {
                return format!("cast({sql}({list}) as bigint)");
            }
            ScalarFunction::TimeZone => {
                let zone = match arguments.first() {
                    Some(Expr::Literal(Literal::Text(zone))) => zone.as_str(),
                    _ => "UTC",
                };
                let time = texts.last().map_or("", String::as_str);
                let there = format!("arrow_cast({time}, 'Timestamp(Microsecond, Some(\"{zone}\"))')");
                return format!("arrow_cast(to_local_time({there}), 'Timestamp(Microsecond, Some(\"UTC\"))')");
            }
            // The greatest amount that is kept has no room for another digit.
            ScalarFunction::Floor => return format!("floor(cast({list} as decimal(38, 10)))"),
            ScalarFunction::Ceil => return format!("ceil(cast({list} as decimal(38, 10)))"),
            ScalarFunction::ListLength => return format!("cast(array_length({list}) as bigint)"),
            ScalarFunction::DatePart => return format!("cast(date_part({list}) as bigint)"),
            ScalarFunction::Plain(plain) => plain.sql,
            ScalarFunction::Abs => "abs",
            ScalarFunction::Round => "round",
            ScalarFunction::Coalesce => "coalesce",
            ScalarFunction::DateTrunc => "date_trunc",
            ScalarFunction::Concat => "concat",
            ScalarFunction::ConcatWith => "concat_ws",
            ScalarFunction::NullIf => "nullif",
            ScalarFunction::Greatest => "greatest",
            ScalarFunction::Least => "least",
        };
        format!("{name}({list})")
    }
}

/// A constant below 0.
fn is_negative(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(Literal::Integer(number)) => *number < 0,
        Expr::Literal(Literal::Decimal(digits)) => digits.starts_with('-'),
        _ => false,
    }
}

/// By what equal values are put in order: a profile's own number changes when its visitor logs in.
const FIRST_KNOWN: &str =
    "select profile_ordinal, min(ordinal) as first_known\nfrom identity.identities\ngroup by profile_ordinal";

/// The profiles with the greatest values, of equal ones those of whom an identifier was known first.
fn top(query: &Query, count: u32, of: &Expr, among: Option<&Expr>) -> String {
    let mut best = Query::new(query.as_of);
    let value = Values::of_profiles(&mut best).text(of);
    let mut condition = format!("{} is not null", Values::of_profiles(&mut best).part(of));
    if let Some(among) = among {
        condition += &format!("\n    and {}", Values::of_profiles(&mut best).part(among));
    }
    let ranked = best.select(&format!("profiles.profile_id, profiles.ordinal, {value} as value"), &condition);
    format!(
        "select ranked.profile_id\nfrom (\n{}\n) ranked\njoin (\n{}\n) known on known.profile_ordinal = ranked.ordinal\n\
         order by value desc, first_known\nlimit {count}",
        indented(&ranked),
        indented(FIRST_KNOWN)
    )
}

/// A property of an event as text, or as its column has it.
pub(super) fn property(property: &Property) -> String {
    match property {
        Property::Column(column) => name(column),
        Property::Path(path) => format!("event_property(properties, {})", constant(&path.join("."))),
    }
}

/// A property in a type.
pub(super) fn property_as(of: &Property, as_type: ColumnType) -> String {
    match of {
        Property::Path(_) => read_as(&property(of), as_type),
        Property::Column(_) => property(of),
    }
}

/// A text as a value of a type; null where it is none.
fn read_as(text: &str, as_type: ColumnType) -> String {
    match as_type {
        ColumnType::Text => text.to_owned(),
        ColumnType::Integer => format!("try_cast({} as {})", read_as(text, ColumnType::Decimal), sql_type(as_type)),
        // The day of the instant. SQL takes `timestamp` for nanoseconds, which end in 2262.
        ColumnType::Date => {
            let instant = format!("arrow_try_cast(castable({text}), 'Timestamp(Microsecond, Some(\"UTC\"))')");
            format!("try_cast({instant} as {})", sql_type(as_type))
        }
        _ => format!("try_cast(castable({text}) as {})", sql_type(as_type)),
    }
}

fn sql_type(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Text | ColumnType::Texts => "varchar",
        ColumnType::Integer => "bigint",
        ColumnType::Decimal => "decimal(38, 10)",
        ColumnType::Boolean => "boolean",
        ColumnType::Date => "date",
        ColumnType::Timestamp => "timestamp with time zone",
    }
}
