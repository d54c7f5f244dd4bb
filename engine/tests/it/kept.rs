//! What a server keeps from refresh to refresh: it tells the same as the tables do. That segments are the same is tested by all
//! tests of incremental refreshes, which keep it, too.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tessera_engine::{ErrorKind, Progress, RefreshOptions};

use crate::incremental::{cases, corrections, delivery, shop_with_segments};
use crate::shop::{CONFIG, Shop, limited};

const TOUCHED: &str = "select * from identity.touched";
/// Scans find touched identifiers by these; a graph does without.
const SCANNED: &str = "select * from identity.changed_components";
const IDENTITIES: &str = "select * from identity.identities";

#[test]
fn test_a_graph_tells_what_scans_do() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let steps = prop::collection::vec((prop::collection::vec(delivery(), 0..3), corrections()), 4);
    for config in [CONFIG, &limited()] {
        let runs = TestRunner::new(Config { max_shrink_iters: 20, ..cases(1) }).run(&steps, |steps| {
            runtime.block_on(async {
                let (keeping, scanning) = (Shop::new(config), Shop::new(config).forgetful(config));
                for (number, (deliveries, corrections)) in steps.iter().enumerate() {
                    for shop in [&keeping, &scanning] {
                        shop.write("corrections.toml", corrections);
                        for delivery in deliveries {
                            shop.land(delivery.source, &delivery.text).await;
                        }
                        shop.refresh(false).await;
                    }
                    assert_eq!(keeping.rows(TOUCHED).await, scanning.rows(TOUCHED).await, "after step {number}");
                    assert_eq!(keeping.rows(IDENTITIES).await, scanning.rows(IDENTITIES).await, "after step {number}");
                    assert_eq!(keeping.rows(SCANNED).await, Vec::<String>::new(), "the graph was not used");
                }
            });
            Ok(())
        });
        runs.unwrap();
    }
}

/// A call of somebody's, at a device, which sequences name.
fn login(user: &str, device: &str, minute: u8) -> String {
    format!(
        r#"{{"type":"track","event":"Product Viewed","messageId":"{user}{device}{minute}","timestamp":"2026-05-01T10:{minute:02}:00Z","userId":"{user}","anonymousId":"{device}"}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_graph_of_another_generation_is_not_used() {
    let shop = Shop::new(CONFIG);
    let elsewhere = shop.engine_ahead(CONFIG, 0);
    for (number, (user, device)) in [("a", "d1"), ("b", "d2"), ("c", "d1"), ("c", "d2")].into_iter().enumerate() {
        shop.land("web", &login(user, device, number as u8)).await;
        // The third generation, which makes one person of `a` and `c`, is another process's.
        let engine = if number == 2 { &elsewhere } else { &shop.engine };
        engine.refresh(RefreshOptions::default(), &Progress::none()).await.unwrap();
    }
    let persons = "select count(distinct profile_id), count(*) from identity.identities";
    assert_eq!(shop.rows(persons).await, ["1 | 5"]);
    assert_eq!(shop.rows("select count(*) from identity.touched").await, ["5"]);
    assert_eq!(shop.rows(SCANNED).await, Vec::<String>::new(), "the graph was not used");
}

#[tokio::test(flavor = "multi_thread")]
async fn test_what_a_refresh_did_that_published_nothing_is_not_in_the_graph() {
    let shop = Shop::new(&CONFIG.replace("[identity]", "[identity]\nmerges_max_share = 0.1"));
    for (number, (user, device)) in [("a", "d1"), ("b", "d2")].into_iter().enumerate() {
        shop.land("web", &login(user, device, number as u8)).await;
        shop.refresh(false).await;
    }
    shop.land("web", &login("a", "d2", 2)).await;
    for _ in 0..2 {
        let stopped = shop.engine.refresh(RefreshOptions::default(), &Progress::none()).await.unwrap_err();
        assert_eq!(stopped.kind(), ErrorKind::FailedPrecondition);
    }
    let allowed = RefreshOptions { allow_merges: true, ..Default::default() };
    shop.engine.refresh(allowed, &Progress::none()).await.unwrap();
    let earlier = "select count(distinct earlier_profile_id), count(*) from identity.touched";
    assert_eq!(shop.rows(earlier).await, ["2 | 4"]);
    assert_eq!(shop.rows("select count(distinct profile_id) from identity.identities").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn test_files_that_segments_are_evaluated_from_stay_in_memory_until_they_are_of_no_use() {
    let shop = shop_with_segments(CONFIG).await;
    let held = || shop.engine.memory_held_bytes();
    let mut after = Vec::new();
    for number in 0..3 {
        shop.land("web", &login("a", "d1", number)).await;
        shop.refresh(false).await;
        after.push(held());
    }
    // The first refresh evaluates everybody, of whom everything is read anyway.
    assert!(after[0] < after[1] && after[1] < after[2], "{after:?}");
    shop.refresh(true).await;
    assert_eq!(held(), after[0]);
}
