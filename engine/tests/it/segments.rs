//! Random segments have the members that a naive reading of the same words gives: each condition is asked by plain SQL
//! over all events, and joined as SQL joins true, false and null.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::incremental::{cases, delivery, shop_with_segments};
use crate::shop::{CONFIG, Shop};

/// The first day after all data, on which the clock stands.
const TODAY: &str = "date '2026-06-01'";

/// A condition in the language, and as naive SQL that gives `profile_id` with true, false or null.
#[derive(Debug, Clone)]
struct Atom {
    text: String,
    sql: String,
}

#[derive(Debug, Clone)]
enum Condition {
    Atom(Atom),
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

/// Events of a window: what the language says, and what the SQL of it is.
#[derive(Debug, Clone)]
struct Window {
    text: String,
    sql: String,
}

fn window() -> impl Strategy<Value = Window> {
    let none = Just(Window { text: String::new(), sql: "true".to_owned() });
    let within = (1..40_u32).prop_map(|days| Window {
        text: format!(", within => interval '{days} days'"),
        sql: format!("day >= {TODAY} - interval '{days} days'"),
    });
    let ago = (1..20_u32, 1..20_u32).prop_map(|(days, ago)| Window {
        text: format!(", within => interval '{days} days', ago => interval '{ago} days'"),
        sql: format!("day >= {TODAY} - interval '{} days' and day < {TODAY} - interval '{ago} days'", days + ago),
    });
    let months = (0..6_u32, 0..2_u32).prop_map(|(days, ago)| {
        let ago = if ago == 0 { String::new() } else { format!(" and day < {TODAY} - interval '{ago} months'") };
        Window {
            text: format!(
                ", within => interval '1 month {} days'{}",
                days + 1,
                if ago.is_empty() { "" } else { ", ago => interval '1 month'" }
            ),
            sql: format!(
                "day >= {TODAY} - interval '{} months {} days'{ago}",
                1 + u32::from(!ago.is_empty()),
                days + 1
            ),
        }
    });
    let since = (1..28_u32).prop_map(|day| Window {
        text: format!(", since => date '2026-05-{day:02}'"),
        sql: format!("day >= date '2026-05-{day:02}'"),
    });
    let between = (1..14_u32, 0..14_u32).prop_map(|(first, more)| Window {
        text: format!(", between => (date '2026-05-{first:02}', date '2026-05-{:02}')", first + more),
        sql: format!("day between date '2026-05-{first:02}' and date '2026-05-{:02}'", first + more),
    });
    prop_oneof![2 => none, 3 => within, 1 => ago, 1 => months, 1 => since, 1 => between]
}

fn event() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["Order Completed", "Product Viewed", "Page Viewed", "Identified", "Never Seen"])
}

/// A condition on an event, in both.
fn filter() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![
        ("", "true"),
        (" filter (where touchpoint = 'pos')", "touchpoint = 'pos'"),
        (" filter (where revenue > 5)", "revenue > 5"),
        (" filter (where page_path like '/s1%' or page_path is null)", "(page_path like '/s1%' or page_path is null)"),
        (" filter (where not (revenue < 9.5))", "not (revenue < 9.5)"),
    ])
}

fn comparison() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="])
}

/// What SQL knows of each profile that did something: `value`, over the events that count.
fn aggregated(event: &str, window: &Window, filter: &str, value: &str, condition: &str) -> String {
    format!(
        "select profiles.profile_id, {condition} as answer
         from profile.profiles profiles
         left join (
             select profile_id, {value} as value
             from (select *, cast(occurred_at as date) as day from behavior.events)
             where event_name = '{event}' and {} and {filter}
             group by profile_id
         ) figures on figures.profile_id = profiles.profile_id",
        window.sql
    )
}

/// A figure that is compared with a constant.
fn figure() -> impl Strategy<Value = Atom> {
    let figures = prop::sample::select(vec![
        ("event_count", "", "count(*)", "0", vec!["0", "1", "2", "3"]),
        ("event_days", "", "count(distinct day)", "0", vec!["0", "1", "2"]),
        ("event_sum", ", revenue", "sum(revenue)", "0", vec!["0", "5.5", "20"]),
        ("event_avg", ", revenue", "avg(revenue)", "null", vec!["4.1", "12"]),
        ("event_min", ", revenue", "min(revenue)", "null", vec!["1.1", "9"]),
        ("event_max", ", revenue", "max(revenue)", "null", vec!["1.1", "9"]),
        ("event_distinct", ", page_path", "count(distinct page_path)", "0", vec!["0", "1", "2"]),
        ("first_event_at", "", "min(occurred_at)", "null", vec!["timestamp '2026-05-02 06:30:00'"]),
        ("last_event_at", "", "max(occurred_at)", "null", vec!["timestamp '2026-05-10 00:00:00'"]),
    ]);
    let constant = any::<prop::sample::Index>();
    (figures, event(), window(), filter(), comparison(), constant).prop_map(
        |((name, argument, value, nothing, constants), event, window, (filter, filter_sql), comparison, constant)| {
            let constant = constant.get(&constants);
            let nothing = if nothing == "null" { "value".to_owned() } else { format!("coalesce(value, {nothing})") };
            // A sum over events without revenue is 0, too.
            let condition = format!("{nothing} {comparison} {constant}");
            Atom {
                text: format!("{name}('{event}'{argument}{}){filter} {comparison} {constant}", window.text),
                sql: aggregated(event, &window, filter_sql, value, &condition),
            }
        },
    )
}

fn did() -> impl Strategy<Value = Atom> {
    (event(), window(), filter()).prop_map(|(event, window, (filter, filter_sql))| Atom {
        text: format!("did('{event}'{}){filter}", window.text),
        sql: aggregated(event, &window, filter_sql, "count(*)", "value is not null"),
    })
}

fn weekly() -> impl Strategy<Value = Atom> {
    (event(), 1..5_u32, 1..3_u32).prop_map(|(event, weeks, times)| Atom {
        text: format!("did_weekly('{event}', times => {times}, weeks => {weeks})"),
        sql: format!(
            "select profiles.profile_id, figures.profile_id is not null as answer
             from profile.profiles profiles
             left join (
                 select profile_id from (
                     select profile_id, cast({TODAY} - cast(occurred_at as date) as bigint) / 7 as week, count(*) as times
                     from behavior.events where event_name = '{event}' and cast(occurred_at as date) <= {TODAY} group by 1, 2
                 )
                 where week < {weeks} and times >= {times} group by profile_id having count(*) = {weeks}
             ) figures on figures.profile_id = profiles.profile_id"
        ),
    })
}

/// One event after another, perhaps soon, perhaps without a third between.
fn sequence() -> impl Strategy<Value = Atom> {
    (event(), event(), prop::option::of(event()), prop::option::of(1..72_u32), window()).prop_map(
        |(first, second, without, hours, window)| {
            let between = without.map_or(String::new(), |event| format!(" then not '{event}'"));
            let span = hours.map_or(String::new(), |hours| format!(", span => interval '{hours} hours'"));
            let soon = hours.map_or("true".to_owned(), |hours| {
                format!("last.occurred_at <= first.occurred_at + interval '{hours} hours'")
            });
            let events = |event: &str| {
                format!(
                    "(select *, cast(occurred_at as date) as day from behavior.events where event_name = '{event}' and {})",
                    window.sql.replace("day", "cast(occurred_at as date)").replace("cast(occurred_at as date)s'", "days'")
                )
            };
            let pairs = format!(
                "select first.profile_id, first.occurred_at as begun, last.occurred_at as ended
                 from {} first join {} last on last.profile_id = first.profile_id
                 where last.occurred_at > first.occurred_at and {soon}",
                events(first),
                events(second)
            );
            let found = match without {
                None => format!("select distinct profile_id from ({pairs})"),
                Some(event) => format!(
                    "select distinct pairs.profile_id from ({pairs}) pairs
                     left join {} between on between.profile_id = pairs.profile_id
                         and between.occurred_at > pairs.begun and between.occurred_at < pairs.ended
                     where between.profile_id is null",
                    events(event)
                ),
            };
            Atom {
                text: format!("did_sequence('{first}'{between} then '{second}'{}{span})", window.text),
                sql: format!(
                    "select profiles.profile_id, found.profile_id is not null as answer
                     from profile.profiles profiles left join ({found}) found on found.profile_id = profiles.profile_id"
                ),
            }
        },
    )
}

fn column() -> impl Strategy<Value = Atom> {
    let conditions = vec![
        "country = 'FR'",
        "country <> 'DE'",
        "country is null",
        "country in ('FR', 'IT')",
        "order_count >= 2",
        "lifetime_value between 1 and 20",
        "last_order_at > timestamp '2026-05-04 00:00:00'",
        "lower(first_name) like 'n1%'",
        "revenue / order_count > 5",
        "order_count % 2 = 1",
        "country ~ '^[FD]'",
        "case when country = 'DE' then null when order_count > 1 then country else first_name end > 'G'",
        "country is distinct from 'FR'",
        "(country is not distinct from first_name) or (first_order_at is not distinct from last_order_at)",
        "country !~* 'fr|it'",
        "left(country, 1) || right(country, 1) in ('FR', 'IT')",
        "substr(first_name, 2, 1) > '1'",
        "position('2' in first_name) = 2",
        "split_part(first_name, '1', 2) <> ''",
        "ends_with(replace(country, 'R', 'S'), 'S')",
        "country in (left(country, 2), first_name)",
        "last_order_at > timestamp '2026-06-01 00:00:00' - interval '1 month' + interval '36 hours'",
    ];
    prop::sample::select(conditions).prop_map(|condition| Atom {
        text: condition.to_owned(),
        sql: format!(
            "select profile_id, {} as answer from profile.profiles",
            condition.replace("revenue / order_count", "revenue / nullif(order_count, 0)")
        ),
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let atom = prop_oneof![4 => figure(), 2 => did(), 1 => weekly(), 2 => sequence(), 2 => column()];
    atom.prop_map(Condition::Atom).prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            1 => inner.clone().prop_map(|condition| Condition::Not(Box::new(condition))),
            2 => prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::All),
            2 => prop::collection::vec(inner, 2..4).prop_map(Condition::Any),
        ]
    })
}

impl Condition {
    fn text(&self) -> String {
        let all = |conditions: &[Condition], word: &str| {
            let parts: Vec<String> = conditions.iter().map(|condition| format!("({})", condition.text())).collect();
            parts.join(word)
        };
        match self {
            Self::Atom(atom) => atom.text.clone(),
            Self::Not(condition) => format!("not ({})", condition.text()),
            Self::All(conditions) => all(conditions, " and "),
            Self::Any(conditions) => all(conditions, " or "),
        }
    }

    /// What it is for each profile: true, false or null.
    fn answers<'c>(&'c self, shop: &'c Shop) -> futures::future::BoxFuture<'c, BTreeMap<String, Option<bool>>> {
        Box::pin(async move {
            match self {
                Self::Atom(atom) => {
                    let rows = shop.rows(&atom.sql).await;
                    let answer = |row: &String| {
                        let (profile, answer) = row.split_once(" | ").unwrap();
                        (profile.to_owned(), answer.parse().ok())
                    };
                    rows.iter().map(answer).collect()
                }
                Self::Not(condition) => {
                    let answers = condition.answers(shop).await;
                    answers.into_iter().map(|(profile, answer)| (profile, answer.map(|answer| !answer))).collect()
                }
                Self::All(conditions) => joined(conditions, shop, false).await,
                Self::Any(conditions) => joined(conditions, shop, true).await,
            }
        })
    }
}

/// `decisive` is what one condition says for all: false of `and`, true of `or`.
async fn joined(conditions: &[Condition], shop: &Shop, decisive: bool) -> BTreeMap<String, Option<bool>> {
    let mut whole: BTreeMap<String, Option<bool>> = BTreeMap::new();
    for condition in conditions {
        for (profile, answer) in condition.answers(shop).await {
            let known = whole.entry(profile).or_insert(Some(!decisive));
            *known = match (*known, answer) {
                (Some(known), _) if known == decisive => Some(decisive),
                (_, Some(answer)) if answer == decisive => Some(decisive),
                (None, _) | (_, None) => None,
                _ => Some(!decisive),
            };
        }
    }
    whole
}

#[test]
fn test_random_segments_have_the_members_that_naive_sql_gives() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let input = (prop::collection::vec(delivery(), 4..8), prop::collection::vec(condition(), 14));
    let runs = TestRunner::new(cases(4)).run(&input, |(deliveries, conditions)| {
        runtime.block_on(async {
            let shop = shop_with_segments(CONFIG).await;
            let half = conditions.len() / 2;
            for (number, delivery) in deliveries.iter().enumerate() {
                shop.land(delivery.source, &delivery.text).await;
                // Some are there from the start, the others come when there are members already.
                let defined = if number < 2 { &conditions[..half] } else { &conditions[..] };
                for (number, condition) in defined.iter().enumerate() {
                    shop.write(&format!("segments/random_{number}.sql"), &condition.text());
                }
                if number % 2 == 1 || number + 1 == deliveries.len() {
                    shop.refresh(false).await;
                }
            }
            for (number, condition) in conditions.iter().enumerate() {
                let is_member = |(profile, answer): (String, Option<bool>)| (answer == Some(true)).then_some(profile);
                let expected: BTreeSet<String> =
                    condition.answers(&shop).await.into_iter().filter_map(is_member).collect();
                let members = format!("select profile_id from segment.memberships where segment = 'random_{number}'");
                let members: BTreeSet<String> = shop.rows(&members).await.into_iter().collect();
                assert_eq!(members, expected, "{}", condition.text());
                let sql = shop.segment_sql(&condition.text()).await;
                let by_sql: BTreeSet<String> = shop.rows(&sql).await.into_iter().collect();
                assert_eq!(by_sql, expected, "{}\n{sql}", condition.text());
                let size = format!(
                    "select size from segment.sizes where segment = 'random_{number}' order by generation desc limit 1"
                );
                assert_eq!(shop.rows(&size).await, [expected.len().to_string()], "{}", condition.text());
            }
        });
        Ok(())
    });
    runs.unwrap();
}

#[tokio::test]
async fn test_events_of_the_future_are_in_no_week() {
    const WEEKLY: &str = "did_weekly('Page Viewed', times => 1, weeks => 2)";
    let shop = Shop::new(CONFIG);
    shop.write("segments/weekly.sql", WEEKLY);
    // Today is 1 June: who has a wrong clock did nothing in the last two weeks, or did it in both as the others did.
    let visits = [
        ("regular", ["05-23", "06-01"].as_slice()),
        ("early", &["06-04", "06-09"]),
        ("regular and early", &["05-20", "05-27", "06-20"]),
        ("last week only", &["05-30", "06-09"]),
    ];
    for (number, (user, days)) in visits.iter().enumerate() {
        for day in *days {
            let page = format!(
                r#"{{"type":"page","messageId":"{number} {day}","userId":"{user}","timestamp":"2026-{day}T10:00:00Z"}}"#
            );
            shop.land("web", &page).await;
        }
    }
    shop.refresh(false).await;
    let users = |query: &str| {
        format!(
            "select value from identity.identities where profile_id in (select profile_id from ({query})) order by 1"
        )
    };
    let members = users("select profile_id from segment.memberships where segment = 'weekly'");
    assert_eq!(shop.rows(&members).await, ["regular", "regular and early"]);
    let by_sql = users(&shop.segment_sql(WEEKLY).await);
    assert_eq!(shop.rows(&by_sql).await, ["regular", "regular and early"]);
}
