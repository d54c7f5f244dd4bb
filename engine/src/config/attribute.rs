//! The `[[attribute]]` tables: which of the values that sources tell stands, and in what form.

use super::nearest::suggestion;
use super::reader::{Problems, Span, TableReader};
use super::{Attribute, AttributeForm, DateOrder, Source, SurvivorRule};

const KEYS: [&str; 7] = ["name", "rule", "sources", "trust_third_party", "normalize", "date_order", "separator"];
const RULES: [(&str, SurvivorRule); 6] = [
    ("latest", SurvivorRule::Latest),
    ("first", SurvivorRule::First),
    ("source_order", SurvivorRule::SourceOrder),
    ("most_frequent", SurvivorRule::MostFrequent),
    ("longest", SurvivorRule::Longest),
    ("all", SurvivorRule::All),
];
const FORMS: [(&str, AttributeForm); 7] = [
    ("none", AttributeForm::Text),
    ("country", AttributeForm::Country),
    ("language", AttributeForm::Language),
    ("currency", AttributeForm::Currency),
    ("date", AttributeForm::Date(None)),
    ("boolean", AttributeForm::Boolean),
    ("name", AttributeForm::Name),
];
const DATE_ORDERS: [(&str, DateOrder); 2] =
    [("day_first", DateOrder::DayFirst), ("month_first", DateOrder::MonthFirst)];

impl Attribute {
    /// What an attribute is that nothing is said of: the latest value stands as it is, first parties before third.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            rule: SurvivorRule::Latest,
            sources: Vec::new(),
            trust_third_party: false,
            form: AttributeForm::Text,
            separator: None,
        }
    }
}

pub(super) fn read_attributes(
    root: &TableReader<'_, '_>,
    sources: &[Source],
    problems: &mut Problems<'_>,
) -> Vec<Attribute> {
    let hint = "write each attribute under its own `[[attribute]]`, with double brackets";
    let tables = root.tables("attribute", "[[attribute]]", hint, problems).unwrap_or_default();
    let mut attributes: Vec<Attribute> = Vec::with_capacity(tables.len());
    for table in tables {
        let Some(name) = table.required_string("name", "write `name = \"country\"`", problems) else { continue };
        let table = table.renamed(format!("attribute `{name}`"));
        check_snake_case("attribute", "first_name", &name, &table.span_of("name"), problems);
        if attributes.iter().any(|earlier| earlier.name == name) {
            problems.add(&table.span_of("name"), format!("attribute `{name}` is declared twice; keep one of them"));
        }
        attributes.push(read_attribute(name, &table, sources, problems));
    }
    attributes
}

fn read_attribute(
    name: String,
    table: &TableReader<'_, '_>,
    sources: &[Source],
    problems: &mut Problems<'_>,
) -> Attribute {
    table.check_keys(&KEYS, problems);
    let rule = table.choice("rule", &RULES, problems);
    let order = table.choice("date_order", &DATE_ORDERS, problems);
    let form = match table.choice("normalize", &FORMS, problems) {
        Some(AttributeForm::Date(_)) => AttributeForm::Date(order),
        form => form.unwrap_or(AttributeForm::Text),
    };
    if table.has("date_order") && !matches!(form, AttributeForm::Date(_)) {
        let message =
            format!("`date_order` in {} needs `normalize = \"date\"`; add it, or remove the key", table.called());
        problems.add(&table.span_of("date_order"), message);
    }
    // A rule that is misspelt is one problem, not two.
    if rule.is_some() || !table.has("rule") {
        check_order_fits(rule == Some(SurvivorRule::SourceOrder), table, problems);
    }
    let rule = rule.unwrap_or(SurvivorRule::Latest);
    let sources = read_source_order(table, sources, problems);
    let trust_third_party = table.boolean("trust_third_party", problems).unwrap_or(false);
    let separator = read_separator(table, problems);
    Attribute { name, rule, sources, trust_third_party, form, separator }
}

/// One sign. A quote would need escaping in SQL, and nobody separates with one.
fn read_separator(table: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<char> {
    let written = table.string("separator", problems)?;
    let mut letters = written.chars();
    match (letters.next(), letters.next()) {
        (Some(sign), None) if sign.is_ascii_punctuation() && sign != '\'' => Some(sign),
        _ => {
            let message = format!("`separator` in {} must be one sign, such as \";\" or \",\"", table.called());
            problems.add(&table.span_of("separator"), message);
            None
        }
    }
}

fn check_order_fits(is_ordered: bool, table: &TableReader<'_, '_>, problems: &mut Problems<'_>) {
    if is_ordered != table.has("sources") {
        let message = format!(
            "{}: `rule = \"source_order\"` and `sources = [\"...\"]`, the most trusted first, need each other; add the other, or remove this one",
            table.called()
        );
        problems.add(&table.span_of(if is_ordered { "rule" } else { "sources" }), message);
    }
}

fn read_source_order(table: &TableReader<'_, '_>, sources: &[Source], problems: &mut Problems<'_>) -> Vec<String> {
    let mut order = Vec::new();
    for (name, span) in table.strings("sources", problems).unwrap_or_default() {
        if !sources.iter().any(|source| source.name == name) {
            let hint = suggestion(&name, sources.iter().map(|source| source.name.as_str()));
            problems.add(&span, format!("`sources` in {} names `{name}`, which is no source; {hint}", table.called()));
        }
        if order.contains(&name) {
            problems.add(&span, format!("`sources` in {} names `{name}` twice; keep one of them", table.called()));
        }
        order.push(name);
    }
    order
}

/// Names are compared with those of `profile.attributes`: one in another spelling would never be found there.
pub(super) fn check_snake_case(what: &str, example: &str, name: &str, span: &Span, problems: &mut Problems<'_>) {
    let fits = |letter: char| letter == '_' || letter.is_alphanumeric() && !letter.is_uppercase();
    if !name.chars().all(fits) {
        problems.add(span, format!("{what} `{name}` is not in snake case: small letters and `_`, such as `{example}`"));
    }
}
