//! Look-ups by index give what SQL gives: after any refreshes, for everybody, with little memory or much.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tessera_engine::{Engine, ErrorKind, ProfileCard, ProfileKey, QueryLimits};

use crate::incremental::{cases, delivery, shop_with_segments};
use crate::shop::{CONFIG, Shop, ordered_text_rows};

/// A card as text, in the order of its rows.
fn text(card: Option<&ProfileCard>) -> Option<[Vec<String>; 6]> {
    let card = card?;
    Some([
        vec![card.profile_id.clone()],
        ordered_text_rows(&card.profile),
        ordered_text_rows(&card.identifiers),
        ordered_text_rows(&card.attributes),
        ordered_text_rows(&card.segments),
        ordered_text_rows(&card.events),
    ])
}

async fn card(engine: &Engine, key: &ProfileKey, events: usize) -> Option<[Vec<String>; 6]> {
    let snapshot = engine.reload().await.unwrap();
    text(engine.profile(&snapshot, key, events, QueryLimits::default()).await.unwrap().as_ref())
}

/// A key for every identifier and every profile, and for some that nobody has.
async fn keys(shop: &Shop) -> Vec<ProfileKey> {
    let identifiers = shop.rows("select namespace || ':' || value from identity.identities").await;
    let identifier = |text: &str| {
        let (namespace, value) = text.split_once(':').unwrap();
        ProfileKey::Identifier { namespace: namespace.to_owned(), value: value.to_owned() }
    };
    let mut keys: Vec<_> = identifiers.iter().map(|text| identifier(text)).collect();
    let profiles: BTreeSet<_> = shop.rows("select profile_id from profile.profiles").await.into_iter().collect();
    keys.extend(profiles.into_iter().map(ProfileKey::ProfileId));
    keys.extend([identifier("email:nobody@example.com"), identifier("user:id"), ProfileKey::ProfileId(String::new())]);
    keys
}

#[test]
fn test_a_card_by_index_is_the_card_by_sql() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    TestRunner::new(cases(3))
        .run(&prop::collection::vec(delivery(), 4), |deliveries| {
            runtime.block_on(async {
                let shop = shop_with_segments(CONFIG).await;
                let indexed = shop.engine.clone().with_lookups();
                for delivery in &deliveries {
                    shop.land(delivery.source, &delivery.text).await;
                    shop.refresh(false).await;
                    indexed.reload().await.unwrap(); // as a server does: files stay open from one to the next
                }
                assert!(shop.engine.memory_held_bytes() > 0, "there are no indexes");
                for key in keys(&shop).await {
                    for events in [0, 2, 1000] {
                        let (fast, sure) = (card(&indexed, &key, events).await, card(&shop.engine, &key, events).await);
                        assert_eq!(fast, sure, "{key:?} with {events} events");
                    }
                }
            });
            Ok(())
        })
        .unwrap();
}

/// Events of three people in no order of time, so many that each file has several pages.
fn many_events(from: u64, to: u64) -> String {
    let call = |number: u64| {
        let minute = number * 7_919 % 1_000 * 40; // twelve events in each
        format!(
            r#"{{"type":"track","event":"E{}","messageId":"m{number}","userId":"u{}","timestamp":"2026-05-{:02}T{:02}:{:02}:00Z"}}{}"#,
            number % 5,
            number % 3,
            1 + minute / 1440,
            minute / 60 % 24,
            minute % 60,
            "\n"
        )
    };
    (from..to).map(call).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn test_the_latest_of_many_events_are_found_wherever_they_are() {
    // Memory for everything, for indexes and few rows, and for nothing.
    for memory in ["64MB", "2MB", "1KB"] {
        let config = format!("{CONFIG}\n[serve]\nlookup_memory_max = \"{memory}\"\n");
        let shop = shop_with_segments(&config).await.forgetful(&config);
        let indexed = shop.engine.clone().with_lookups();
        for part in 0..3 {
            shop.land("web", &many_events(part * 4_000, (part + 1) * 4_000)).await;
            shop.refresh(false).await;
            indexed.reload().await.unwrap();
            assert_eq!(shop.engine.memory_held_bytes() > 0, memory != "1KB", "with {memory}, part {part}");
        }
        for user in 0..3 {
            let key = ProfileKey::Identifier { namespace: "user_id".to_owned(), value: format!("u{user}") };
            for events in [1, 10, 1000] {
                let (fast, sure) = (card(&indexed, &key, events).await, card(&shop.engine, &key, events).await);
                assert_eq!(fast.as_ref().unwrap()[5].len(), events);
                assert_eq!(fast, sure, "{key:?} with {events} events and {memory}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_data_file_that_is_gone_is_no_answer() {
    let shop = shop_with_segments(CONFIG).await;
    shop.land("web", &many_events(0, 100)).await;
    shop.refresh(false).await;
    let indexed = shop.engine.clone().with_lookups();
    let snapshot = indexed.reload().await.unwrap();
    let key = ProfileKey::Identifier { namespace: "user_id".to_owned(), value: "u1".to_owned() };

    let mut removed = 0;
    let mut folders = vec![shop.folder.path().join("lake/profile/profiles")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "parquet") {
                std::fs::remove_file(entry).unwrap();
                removed += 1;
            }
        }
    }
    assert!(removed > 0);
    for engine in [&indexed, &shop.engine] {
        let refused = engine.profile(&snapshot, &key, 0, QueryLimits::default()).await.err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::DataCorrupt, "{refused:?}");
        assert!(refused.to_string().contains("is gone: something other than Tessera removed it"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn test_the_id_of_a_profile_that_is_no_more_leads_to_its_successor() {
    let shop = shop_with_segments(CONFIG).await;
    let call = |number: u8, ids: &str| {
        format!(r#"{{"type":"page","messageId":"m{number}",{ids},"timestamp":"2026-05-01T10:0{number}:00Z"}}"#)
    };
    shop.land("web", &call(1, r#""anonymousId":"laptop""#)).await;
    shop.refresh(false).await;
    let retired = shop.rows("select profile_id from identity.identities where value = 'laptop'").await.remove(0);
    shop.land("web", &call(2, r#""anonymousId":"laptop","userId":"ada""#)).await;
    shop.refresh(false).await;
    shop.land("web", &call(3, r#""userId":"ada","context":{"traits":{"email":"p99@example.com"}}"#)).await;
    shop.refresh(false).await; // the contact c99 has this address

    let living = shop.rows("select profile_id from identity.identities where value = 'c99'").await.remove(0);
    assert_ne!(living, retired);
    let key = ProfileKey::ProfileId(retired);
    let indexed = shop.engine.clone().with_lookups();
    for engine in [&indexed, &shop.engine] {
        let card = card(engine, &key, 0).await.unwrap();
        assert_eq!(card[0], std::slice::from_ref(&living));
        assert_eq!(card[2].len(), 4, "{card:?}");
        assert_eq!(super::lookup::card(engine, &ProfileKey::ProfileId("nobody".to_owned()), 0).await, None);
    }
}
