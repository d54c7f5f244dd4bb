//! What must always hold of refreshes: incremental equals full, ids included; order of arrival changes no cluster and no
//! figure; nothing counts twice.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use tessera_engine::{ErrorKind, Progress, RefreshOptions};

use crate::shop::{CONFIG, Shop, limited};

/// Lines of one delivery to one source.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) source: &'static str,
    pub(crate) text: String,
}

fn call() -> impl Strategy<Value = String> {
    let ids = (
        prop::option::weighted(0.6, 0..6_u8),
        prop::option::weighted(0.7, 0..8_u8),
        prop::option::weighted(0.2, 0..5_u8),
    );
    (ids, 0..60_u32, 0..4_u8, 0..200_u32).prop_map(|((user, device, email), hours, kind, message)| {
        let mut parts = vec![
            format!(r#""messageId":"m{message}""#),
            format!(r#""timestamp":"2026-05-{:02}T{:02}:{:02}:00Z""#, 1 + hours / 24, hours % 24, message % 60),
        ];
        let device = if user.is_none() && email.is_none() { Some(device.unwrap_or(0)) } else { device };
        parts.extend(user.map(|user| format!(r#""userId":"u{user}""#)));
        parts.extend(device.map(|device| format!(r#""anonymousId":"d{device}""#)));
        parts.extend(email.map(|email| {
            format!(r#""context":{{"traits":{{"email":"P{email}@Example.com"}},"page":{{"path":"/s{kind}/x"}}}}"#)
        }));
        parts.push(match kind {
            0 => r#""type":"page","name":"Home""#.to_owned(),
            1 => format!(r#""type":"identify","traits":{{"plan":"p{}","age":{}}}"#, message % 3, message % 50),
            2 => format!(r#""type":"track","event":"Order Completed","properties":{{"revenue":{}.25}}"#, message % 40),
            _ => r#""type":"track","event":"Product Viewed""#.to_owned(),
        });
        format!("{{{}}}", parts.join(","))
    })
}

fn contact() -> impl Strategy<Value = String> {
    (0..5_u8, 0..5_u8, 1..28_u8, prop::bool::weighted(0.2), 0..3_u8).prop_map(|(id, email, day, deleted, country)| {
        format!(
            "c{id},p{email}@example.com,2026-05-{day:02},{deleted},N{day},{}",
            ["FR", "DE", ""][usize::from(country)]
        )
    })
}

fn web() -> impl Strategy<Value = Delivery> {
    prop::collection::vec(call(), 1..25).prop_map(|lines| Delivery { source: "web", text: lines.join("\n") })
}

pub(crate) fn delivery() -> impl Strategy<Value = Delivery> {
    let crm = prop::collection::vec(contact(), 1..5).prop_map(|lines| Delivery {
        source: "crm",
        text: format!("id,email,updated,deleted,first_name,country\n{}\n", lines.join("\n")),
    });
    let till = prop::collection::vec((0..4_u8, 1..28_u8, 1..9_u8), 1..6).prop_map(|rows| Delivery {
        source: "till",
        text: rows.iter().fold("customer,at,amount\n".to_owned(), |text, (customer, day, amount)| {
            format!("{text}k{customer},2026-05-{day:02},{amount}.10\n")
        }),
    });
    prop_oneof![5 => web(), 2 => crm, 1 => till]
}

/// The text of a `corrections.toml`: some logins and devices apart, some addresses and logins together.
pub(crate) fn corrections() -> impl Strategy<Value = String> {
    let pairs = prop::collection::btree_set((prop::bool::ANY, 0..6_u8, 0..8_u8), 0..4);
    pairs.prop_map(|pairs| {
        let correction = |(is_always, user, other): (bool, u8, u8)| {
            let (table, other) = match is_always {
                true => ("always_link", format!("email:p{other}@example.com")),
                false => ("never_link", format!("anonymous_id:d{other}")),
            };
            format!("[[{table}]]\nidentifiers = ['user_id:u{user}', '{other}']\nby = 'Jo'\nat = 2026-05-01\nreason = 'known'\n")
        };
        pairs.into_iter().map(correction).collect()
    })
}

pub(crate) fn cases(count: u32) -> Config {
    Config { cases: count, failure_persistence: None, max_shrink_iters: 200, ..Config::default() }
}

const SEGMENT: &str = "-- title: Buyers\nevent_count('Order Completed', within => interval '60 days') >= 1 and not in_segment('german')\n";

pub(crate) async fn shop_with_segments(config: &str) -> Shop {
    let shop = Shop::new(config);
    shop.write("segments/buyers.sql", SEGMENT);
    shop.write("segments/german.sql", "country = 'DE'\n");
    shop.write(
        "segments/came_back.sql",
        "did_sequence('Product Viewed' then not 'Identified' then 'Order Completed')\n",
    );
    shop.write(
        "segments/many_pages.sql",
        "pages >= 2 and event_count('Page Viewed') filter (where page_path like '/s%') >= 1\n",
    );
    shop.write("traits/pages.sql", "event_distinct('Page Viewed', page_path)\n");
    shop.write("traits/median.sql", "event_percentile('Order Completed', revenue, 0.5)\n");
    shop.write("traits/usual_plan.sql", "coalesce(event_last('Identified', touchpoint), 'none')\n");
    // Attributes that segments name have to be known: one contact of each kind.
    shop.land("crm", "id,email,updated,deleted,first_name,country\nc99,p99@example.com,2026-01-01,false,Zoe,DE\n")
        .await;
    shop
}

fn assert_same(left: &BTreeMap<String, Vec<String>>, right: &BTreeMap<String, Vec<String>>) {
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (name, rows) in left {
        assert_eq!(rows, &right[name], "table {name}");
    }
}

/// What entered and left, put together, are the members: whoever copies them by it has the same. In a generation those who
/// leave come first: an id that is in both is in.
async fn assert_changes_give_the_members(shop: &Shop) {
    let differing = "
        with changed as (
            select
                segment, profile_id, generation,
                sum(case when change in ('entered', 'renamed_to') then 1 else -1 end) as count,
                max(case when change in ('entered', 'renamed_to') then 1 else 0 end) as is_in
            from segment.changes group by 1, 2, 3
        ),
        told as (
            select segment, profile_id, sum(count) as count, first_value(is_in order by generation desc) as is_in
            from changed group by 1, 2
        )
        select segment, profile_id, told.count, told.is_in, members.entered_at
        from told full join segment.memberships members using (segment, profile_id)
        where coalesce(told.count, 0) <> case when members.entered_at is null then 0 else 1 end
            or coalesce(told.is_in, 0) <> case when members.entered_at is null then 0 else 1 end";
    assert_eq!(shop.rows(differing).await, Vec::<String>::new());
}

/// Files of a table's newest version.
fn file_count(shop: &Shop, table: &str) -> usize {
    let log = std::fs::read_dir(shop.folder.path().join("lake").join(table).join("_delta_log")).unwrap();
    let entries = log.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    let entries: String = entries.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    entries.matches(r#"{"add":"#).count() - entries.matches(r#"{"remove":"#).count()
}

#[test]
fn test_many_incremental_refreshes_equal_one_full_and_leave_few_files() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Calls before every refresh, so that every refresh adds files.
    let batches = prop::collection::vec((web(), prop::option::of(delivery()), corrections()), 18);
    let limited = limited();
    // The second half of the refreshes goes by the second configuration.
    for (configs, count) in [([CONFIG, CONFIG], 18), ([CONFIG, &limited], 9)] {
        let runs = TestRunner::new(Config { max_shrink_iters: 20, ..cases(1) }).run(&batches, |batches| {
            runtime.block_on(async {
                let mut shop = shop_with_segments(configs[0]).await;
                for (number, (calls, other, corrections)) in batches.iter().take(count).enumerate() {
                    if number == count / 2 {
                        shop.configure(configs[1]);
                    }
                    shop.write("corrections.toml", corrections);
                    for delivery in std::iter::once(calls).chain(other) {
                        shop.land(delivery.source, &delivery.text).await;
                    }
                    // Members enter at different times of one day.
                    shop.advance_minutes(1);
                    shop.refresh(false).await;
                    assert_changes_give_the_members(&shop).await;
                }
                let files = file_count(&shop, "staging/events");
                assert!(files <= 17, "{files} files after 18 refreshes");
                // One more than are left as they are is written together with these; what it told stays told.
                let files = file_count(&shop, "ops/refreshes");
                assert!(files < 17, "{files} files of {count} runs");
                let runs = shop.rows("select count(*) from ops.refreshes where name is null").await;
                assert!(runs[0].parse::<usize>().unwrap() >= count, "{runs:?} of {count} runs are told");
                let incremental = shop.dump().await;
                let report = shop.refresh(true).await;
                assert!(report.full);
                assert_same(&incremental, &shop.dump().await);
                assert_changes_give_the_members(&shop).await;
            });
            Ok(())
        });
        runs.unwrap();
    }
}

/// Clusters as sets of identifiers, and figures, without the ids that order of arrival may choose.
async fn figures(shop: &Shop) -> BTreeMap<&'static str, Vec<String>> {
    let queries = [
        (
            "clusters",
            "select string_agg(namespace || ':' || value, ' ' order by namespace, value) from identity.identities group by profile_id",
        ),
        (
            "profiles",
            "select identifier_count, event_count, order_count, revenue, first_order_at, last_order_at from profile.profiles",
        ),
        (
            "sessions",
            "select touchpoint, started_at, ended_at, event_count, page_views, entry_page, exit_page, revenue from behavior.sessions",
        ),
        ("trends", "select * from behavior.trends"),
        ("links", "select * from identity.links"),
        ("dropped links", "select * from identity.dropped_links"),
    ];
    let mut figures = BTreeMap::new();
    for (name, query) in queries {
        figures.insert(name, shop.rows(query).await);
    }
    figures
}

#[test]
fn test_order_of_arrival_changes_no_cluster_and_no_figure() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // A message id stands for one content here: which of two contents counts is for the order to decide.
    let distinct = prop::collection::vec(delivery(), 6).prop_map(|mut deliveries| {
        for (number, delivery) in deliveries.iter_mut().enumerate() {
            delivery.text = delivery.text.replace("\"messageId\":\"m", &format!("\"messageId\":\"{number}-m"));
            let mut seen = std::collections::HashSet::new();
            let id =
                |line: &str| line.split("\"messageId\":").nth(1).map(|rest| rest.split(',').next().unwrap().to_owned());
            delivery.text = delivery
                .text
                .lines()
                .filter(|line| id(line).is_none_or(|id| seen.insert(id)))
                .collect::<Vec<_>>()
                .join("\n");
        }
        deliveries.retain(|delivery| delivery.source != "crm");
        deliveries
    });
    let shuffled = distinct.prop_flat_map(|deliveries| (Just(deliveries.clone()), Just(deliveries).prop_shuffle()));
    for config in [CONFIG, &limited()] {
        let runs = TestRunner::new(cases(2)).run(&shuffled, |(deliveries, other_order)| {
            runtime.block_on(async {
                let (shop, other) = (Shop::new(config), Shop::new(config));
                for delivery in &deliveries {
                    shop.land(delivery.source, &delivery.text).await;
                }
                shop.refresh(false).await;
                for (number, delivery) in other_order.iter().enumerate() {
                    other.land(delivery.source, &delivery.text).await;
                    other.land(delivery.source, &delivery.text).await;
                    if number % 2 == 0 {
                        other.refresh(false).await;
                    }
                }
                other.refresh(false).await;
                assert_eq!(figures(&shop).await, figures(&other).await);
            });
            Ok(())
        });
        runs.unwrap();
    }
}

#[tokio::test]
async fn test_the_same_delivery_again_changes_nothing() {
    let shop = shop_with_segments(CONFIG).await;
    let half = "customer,at,amount\nk1,2026-05-01,1.50\nk1,2026-05-01,1.50\nk2,2026-05-02,7\n";
    let whole = format!("{half}k1,2026-05-01,1.50\nk3,2026-05-03,2\n");
    shop.land("till", half).await;
    shop.refresh(false).await;
    shop.land("till", &whole).await;
    assert!(shop.land("till", &whole).await.repeated);
    shop.refresh(false).await;
    assert_eq!(
        shop.rows("select count(*), sum(revenue), count(distinct value) from staging.events where source = 'till'")
            .await,
        ["5 | 13.5000 | 3"]
    );
    let before = shop.dump().await;
    shop.land("till", half).await;
    shop.refresh(false).await;
    assert_same(&before, &shop.dump().await);
}

#[tokio::test]
async fn test_what_a_source_told_that_is_no_more_names_nobody() {
    let club = "[[source]]\nname = 'club'\nformat = 'csv'\nkind = 'records'\ntouchpoint = 'club'\nkey = 'no'\n\
                identifiers = { email = 'mail' }\n[identity]";
    let mut shop = Shop::new(&CONFIG.replace("[identity]", club));
    let calls = ["ada", "zoe"].map(|name| {
        format!(
            r#"{{"type":"identify","messageId":"{name}","anonymousId":"d","traits":{{"email":"{name}@example.com"}},"timestamp":"2026-05-01T10:00:00Z"}}"#
        )
    });
    shop.land("club", "no,mail\n1,zoe@example.com\n").await;
    shop.land("web", &calls.join("\n")).await;
    shop.refresh(false).await;
    shop.configure(CONFIG);
    shop.refresh(false).await;
    let other = Shop::new(CONFIG);
    other.land("web", &calls.join("\n")).await;
    other.refresh(false).await;
    // Which of two addresses names the person is decided by which landed first.
    let id = "select profile_id from profile.profiles";
    assert_eq!(shop.rows(id).await, other.rows(id).await);
}

#[tokio::test]
async fn test_a_refresh_without_anything_new_computes_no_traits() {
    let shop = shop_with_segments(CONFIG).await;
    shop.write("traits/place.sql", "score(event_count, 2)");
    shop.land("till", "customer,at,amount\nk1,2026-05-01,1\nk2,2026-05-02,2\n").await;
    shop.refresh(false).await;
    shop.refresh(false).await; // forgets what the first one worked on
    let before = shop.dump().await;
    let report = shop.refresh(false).await;
    assert_same(&before, &shop.dump().await);
    let traits = ["profile.trait_definitions", "profile.traits", "profile.profiles"];
    let ran = report.steps.iter().filter(|step| step.ran && traits.contains(&step.name.as_str()));
    assert_eq!(ran.map(|step| step.name.as_str()).collect::<Vec<_>>(), [] as [&str; 0]);
}

#[tokio::test]
async fn test_an_earlier_generation_gives_its_answer() {
    let shop = shop_with_segments(CONFIG).await;
    shop.land("till", "customer,at,amount\nk1,2026-05-01,1\n").await;
    let first = shop.refresh(false).await.generation;
    shop.land("till", "customer,at,amount\nk2,2026-05-02,2\n").await;
    let second = shop.refresh(false).await.generation;
    let query = "select cast(sum(revenue) as integer) as revenue from profile.profiles";
    for (generation, expected) in [(Some(first), "1"), (Some(second), "3"), (None, "3")] {
        let rows = crate::shop::text_rows(&shop.engine.collect(query, &[], generation).await.unwrap());
        assert_eq!(rows, [expected]);
    }
    let error = shop.engine.collect(query, &[], Some(99)).await.unwrap_err();
    assert_eq!(error.kind(), tessera_engine::ErrorKind::NotFound);
    assert!(error.to_string().contains("generation 99 does not exist: the lake holds 1 to 2"), "{error}");
}

#[tokio::test]
async fn test_segments_remember_entries_and_exits() {
    let shop = shop_with_segments(CONFIG).await;
    shop.land("till", "customer,at,amount\nk1,2026-05-20,1\n").await;
    shop.refresh(false).await;
    shop.advance_days(90);
    shop.refresh(true).await;
    assert_eq!(
        shop.rows("select segment, change, generation from segment.changes where segment = 'buyers'").await,
        ["buyers | entered | 1", "buyers | left | 2"]
    );
    assert_eq!(
        shop.rows("select generation, size from segment.sizes where segment = 'buyers'").await,
        ["1 | 1", "2 | 0"]
    );
}

#[tokio::test]
async fn test_an_id_that_stays_may_leave_and_enter_in_one_generation() {
    let shop = shop_with_segments(CONFIG).await;
    let order = |number: u8, who: &str| {
        format!(
            r#"{{"type":"track","event":"Order Completed","messageId":"{number}","timestamp":"2026-05-20T10:00:00Z",{who}}}"#
        )
    };
    for (number, who) in [(1, r#""anonymousId":"c""#), (2, r#""userId":"u""#)] {
        shop.land("web", &order(number, who)).await;
        shop.refresh(false).await;
        shop.advance_minutes(1);
    }
    // Whose cookie was a member before the login is a member since then.
    let login =
        r#"{"type":"identify","messageId":"3","timestamp":"2026-05-20T11:00:00Z","anonymousId":"c","userId":"u"}"#;
    shop.land("web", login).await;
    let generation = shop.refresh(false).await.generation;
    let changes = "select change, profile_id = profile_id('user_id:u') as stays from segment.changes";
    assert_eq!(
        shop.rows(&format!("{changes} where segment = 'buyers' and generation = {generation}")).await,
        ["renamed_from | false", "renamed_from | true", "renamed_to | true"]
    );
    assert_changes_give_the_members(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_row_that_lands_again_as_it_was_is_told_when_it_landed_first() {
    let source = |name: &str| {
        format!(
            "[[source]]\nname = '{name}'\nformat = 'csv'\ntouchpoint = 'shop'\nkey = 'no'\nidentifiers = {{ email = 'email' }}\n"
        )
    };
    let rules =
        "[[attribute]]\nname = 'city'\nrule = 'first'\n[[consent]]\npurpose = 'mail'\ngranted = ['newsletter']\n";
    let shop = Shop::new(&[CONFIG, &source("shop"), &source("club"), rules].join("\n"));
    let deliveries = [
        ("shop", "1,ann@example.com,yes,Lyon\n"),
        ("club", "9,ann@example.com,no,Paris\n"),
        ("shop", "1,ann@example.com,yes,Lyon\n2,bob@example.com,yes,Rome\n"),
        ("shop", "1,ann@example.com,yes,Lyon\n2,bob@example.com,no,Rome\n"),
        ("shop", "1,ann@example.com,yes,Lyon\n2,bob@example.com,yes,Rome\n3,eve@example.com,yes,Rome\n"),
    ];
    for (source, rows) in deliveries {
        shop.land(source, &format!("no,email,newsletter,city\n{rows}")).await;
        shop.refresh(false).await;
        shop.advance_days(1);
    }
    // What Ann said to the club was later, whatever export holds the shop's row of her. Bob has said yes, no, and yes again.
    let told = "select email, city, status, cast(consents.updated_at as date) as day
        from profile.profiles join profile.consents using (profile_id)
        join (select profile_id, value as email from identity.identities) using (profile_id) order by email";
    let expected = [
        "ann@example.com | Lyon | withdrawn | 2026-06-02",
        "bob@example.com | Rome | granted | 2026-06-05",
        "eve@example.com | Rome | granted | 2026-06-05",
    ];
    assert_eq!(shop.rows(told).await, expected);
    shop.refresh(true).await;
    assert_eq!(shop.rows(told).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_link_that_is_kept_is_of_when_it_was_told_not_of_each_export() {
    let shop = Shop::new(
        "version = 1
        [[source]]
        name = 'club'
        format = 'csv'
        touchpoint = 'club'
        key = 'no'
        identifiers = { member = 'member', email = 'email' }
        keep_links = true
        [identity]
        namespaces = [{ name = 'member', unique = true }, { name = 'email' }]",
    );
    let deliveries = [
        "1,ann,e@example.com\n",
        "2,bob,e@example.com\n",
        "1,ann,e@example.com\n3,eve,f@example.com\n",
        "1,ann,g@example.com\n1,ann,g@example.com\n",
        "1,ann,e@example.com\n3,eve,f@example.com\n4,zoe,z@example.com\n",
    ];
    for rows in deliveries {
        shop.land("club", &format!("no,member,email\n{rows}")).await;
        shop.refresh(false).await;
        shop.advance_days(1);
    }
    let told = "select a_value, b_value, cast(last_seen_at as date) as day from identity.links order by 1, 2";
    let expected = [
        "ann | e@example.com | 2026-06-05",
        "ann | g@example.com | 2026-06-04",
        "bob | e@example.com | 2026-06-02",
        "eve | f@example.com | 2026-06-03",
        "zoe | z@example.com | 2026-06-05",
    ];
    assert_eq!(shop.rows(told).await, expected);
    shop.refresh(true).await;
    assert_eq!(shop.rows(told).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn test_who_becomes_part_of_a_person_whose_id_is_new_counts_as_merged() {
    let shop = Shop::new(
        "version = 1
        [[source]]
        name = 'web'
        format = 'segment'
        touchpoint = 'web'
        [identity]
        merges_max_share = 0.4
        namespaces = [{ name = 'user_id', unique = true }, { name = 'email' }, { name = 'anonymous_id' }]",
    );
    let call = |number: u32, told: &str| {
        format!(
            r#"{{"type":"track","event":"Seen","messageId":"{number}","timestamp":"2026-05-0{number}T10:00:00Z",{told}}}"#
        )
    };
    let address = r#""context":{"traits":{"email":"x@example.com"}}"#;
    let apart = [call(1, r#""userId":"old","anonymousId":"laptop""#), call(2, address)];
    shop.land("web", &apart.join("\n")).await;
    shop.refresh(false).await;
    // The laptop moves to the new login, and the address comes to both.
    shop.land("web", &call(3, &format!(r#""userId":"new","anonymousId":"laptop",{address}"#))).await;
    let refused = shop.engine.refresh(RefreshOptions::default(), &Progress::none()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::FailedPrecondition, "{refused}");
    assert!(refused.to_string().contains("1 of 2 profiles would be merged into others"), "{refused}");
}
