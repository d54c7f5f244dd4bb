//! A lake of which a part is gone: to go on with it takes nothing more away.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tessera_engine::{EngineError, ErrorKind, Progress, RefreshOptions};

use crate::shop::{CONFIG, Shop};

/// Two generations of two batches.
async fn shop() -> Shop {
    let shop = Shop::new(CONFIG);
    // With a trait, persons are a table of their own.
    shop.write("traits/visits.sql", "event_count('Page Viewed')");
    for batch in ["a", "b"] {
        let call = |number: u32| {
            format!(
                r#"{{"type":"identify","messageId":"{batch}{number}","timestamp":"2026-05-01T10:00:00Z","userId":"{batch}{number}","traits":{{"plan":"gold"}}}}"#
            )
        };
        shop.land("web", &(0..20).map(call).collect::<Vec<_>>().join("\n")).await;
        shop.refresh(false).await;
        shop.advance_days(1);
    }
    shop
}

fn folder(shop: &Shop, path: &str) -> PathBuf {
    shop.folder.path().join("lake").join(path)
}

/// The data files of a table, which are made three days old.
fn old_files(shop: &Shop, table: &str) -> Vec<PathBuf> {
    let old = SystemTime::now() - Duration::from_secs(3 * 86_400);
    let entries = std::fs::read_dir(folder(shop, table)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect();
    files.iter().for_each(|file| File::options().append(true).open(file).unwrap().set_modified(old).unwrap());
    files.sort();
    files
}

async fn refused(shop: &Shop, full: bool) -> EngineError {
    let options = RefreshOptions { full, ..RefreshOptions::default() };
    shop.engine.refresh(options, &Progress::none()).await.expect_err("the lake is damaged")
}

#[tokio::test(flavor = "multi_thread")]
async fn test_without_the_log_of_what_landed_nothing_is_deleted() {
    let shop = shop().await;
    let files = old_files(&shop, "landing/events");
    let (log, aside) = (folder(&shop, "landing/events/_delta_log"), shop.folder.path().join("log"));
    std::fs::rename(&log, &aside).unwrap();
    for full in [false, true] {
        let error = refused(&shop, full).await;
        assert_eq!(error.kind(), ErrorKind::DataCorrupt, "{error}");
        assert!(error.to_string().contains("restore the lake from a backup"), "{error}");
        assert_eq!(old_files(&shop, "landing/events"), files);
    }
    std::fs::rename(&aside, &log).unwrap();
    shop.refresh(true).await;
    assert_eq!(shop.rows("select count(*) from staging.events").await, ["40"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn test_an_entry_that_is_empty_is_not_taken_for_one_that_says_nothing() {
    let shop = shop().await;
    let files = old_files(&shop, "landing/events");
    let entries = std::fs::read_dir(folder(&shop, "landing/events/_delta_log")).unwrap();
    let newest = entries.map(|entry| entry.unwrap().path()).max().unwrap();
    let said = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, "").unwrap();
    for full in [false, true] {
        let error = refused(&shop, full).await;
        assert_eq!(error.kind(), ErrorKind::DataCorrupt, "{error}");
        assert_eq!(old_files(&shop, "landing/events"), files);
    }
    std::fs::write(&newest, said).unwrap();
    shop.refresh(false).await;
    assert_eq!(shop.rows("select count(*) from staging.events").await, ["40"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_history_that_is_gone_does_not_begin_anew() {
    let shop = shop().await;
    let (history, aside) = (folder(&shop, "identity/changes"), shop.folder.path().join("changes"));
    std::fs::rename(&history, &aside).unwrap();
    for full in [false, true] {
        let error = refused(&shop, full).await;
        assert!(error.to_string().contains("restore the lake from a backup"), "{error}");
    }
    std::fs::rename(&aside, &history).unwrap();
    shop.refresh(true).await;
    assert_eq!(shop.rows("select count(*) from identity.changes").await, ["40"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn test_what_else_is_gone_a_full_refresh_makes_anew() {
    let shop = shop().await;
    for table in ["profile/persons", "profile/profiles", "staging/events", "identity/identities"] {
        std::fs::remove_dir_all(folder(&shop, table)).unwrap();
        let error = refused(&shop, false).await;
        assert!(error.to_string().contains("tessera refresh --full"), "{table}: {error}");
        shop.refresh(true).await;
        assert_eq!(shop.rows("select count(*), count(plan) from profile.profiles").await, ["40 | 40"], "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_log_that_lost_its_newest_entry_is_made_anew_too() {
    let shop = shop().await;
    for table in ["profile/persons", "profile/profiles", "identity/identities", "profile/trait_definitions"] {
        let entries = std::fs::read_dir(folder(&shop, &format!("{table}/_delta_log"))).unwrap();
        let newest =
            entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
        std::fs::remove_file(newest.max().unwrap()).unwrap();
        let error = refused(&shop, false).await;
        assert!(error.to_string().contains("tessera refresh --full"), "{table}: {error}");
        shop.refresh(true).await;
        assert_eq!(shop.rows("select count(*), count(plan) from profile.profiles").await, ["40 | 40"], "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn test_files_of_refreshes_that_failed_go_before_the_first_generation_too() {
    let shop = Shop::new(CONFIG);
    shop.land("web", r#"{"type":"page","messageId":"1","timestamp":"2026-05-01T10:00:00Z","userId":"u1"}"#).await;
    shop.write("segments/nobody_tells_it.sql", "colour = 'red'");
    let files = || ["staging/events", "behavior/measures"].map(|table| old_files(&shop, table).len());
    refused(&shop, false).await;
    let first = files();
    for _ in 0..3 {
        refused(&shop, false).await;
    }
    assert!(first[0] > 0 && files().iter().zip(first).all(|(now, first)| *now <= 2 * first), "{:?}", files());
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_refresh_by_a_wrong_clock_does_not_stop_those_that_follow() {
    let shop = shop().await;
    shop.engine_ahead(CONFIG, 400 * 86_400_000_000)
        .refresh(RefreshOptions::default(), &Progress::none())
        .await
        .unwrap();
    let due = RefreshOptions { unless_started_since: Some(crate::shop::START_MICROS), ..RefreshOptions::default() };
    assert!(shop.engine.begin_refresh(due).await.unwrap().is_some(), "nobody has done it in truth");
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_lake_that_is_another_one_now_is_not_written_to() {
    let shop = shop().await;
    let open = shop.engine.reload().await.unwrap();
    // A volume that is not mounted any more.
    let (lake, aside) = (folder(&shop, ""), shop.folder.path().join("aside"));
    std::fs::rename(&lake, &aside).unwrap();
    std::fs::create_dir(&lake).unwrap();
    let refused = [
        shop.engine.reload().await.map(drop),
        shop.engine.refresh(RefreshOptions::default(), &Progress::none()).await.map(drop),
        shop.engine.upload_list("vip", b"user_id\na1\n".to_vec(), "ada").await.map(drop),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    assert_eq!(std::fs::read_dir(&lake).unwrap().count(), 0);
    assert_eq!(shop.engine.current().unwrap().number(), open.number(), "what is open stays served");
    std::fs::remove_dir(&lake).unwrap();
    std::fs::rename(&aside, &lake).unwrap();
    assert_eq!(shop.refresh(false).await.generation, 3);
}
