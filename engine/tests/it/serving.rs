//! What servers rely on: snapshots that never change, limits that hold, queries that end with their client, and refreshes
//! that happen once.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tessera_engine::{ErrorKind, Progress, QueryLimits, RefreshOptions, Verdict};

use crate::shop::{CONFIG, START_MICROS, Shop, text_rows};

const ENDLESS: &str = "select value from generate_series(1, 1000000000000)";

fn calls(from: u32, to: u32) -> String {
    let call = |number| {
        format!(
            r#"{{"type":"page","messageId":"m{number}","userId":"u{number}","timestamp":"2026-05-01T10:00:00Z"}}{}"#,
            "\n"
        )
    };
    (from..to).map(call).collect()
}

async fn shop() -> Shop {
    let shop = Shop::new(&format!("{CONFIG}\n[serve]\nqueries_max = 2\n"));
    shop.land("web", &calls(0, 50)).await;
    shop.refresh(false).await;
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_snapshot_stays_as_it_was() {
    let shop = shop().await;
    let before = shop.engine.reload().await.unwrap();
    shop.land("web", &calls(50, 80)).await;
    shop.refresh(false).await;
    let after = shop.engine.reload().await.unwrap();
    assert_eq!((before.number(), after.number()), (Some(1), Some(2)));
    for (snapshot, people) in [(&before, "50"), (&after, "80"), (&shop.engine.snapshot(1).await.unwrap(), "50")] {
        let statement = shop
            .engine
            .prepare(snapshot, "select count(*) from profile.profiles", QueryLimits::default())
            .await
            .unwrap();
        let result = shop.engine.execute(&statement, QueryLimits::default()).await.unwrap();
        assert_eq!(result.generation, snapshot.number());
        let batches: Vec<_> = result.batches.map(|batch| batch.unwrap()).collect().await;
        assert_eq!(text_rows(&batches), [people]);
    }
    assert_eq!(shop.engine.snapshot(9).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn test_each_limit_ends_a_query_and_says_which() {
    let shop = shop().await;
    let snapshot = shop.engine.reload().await.unwrap();
    let limits = [
        (QueryLimits { rows: Some(10), ..QueryLimits::default() }, ErrorKind::Exhausted, "query_rows_max"),
        (
            QueryLimits { time: Some(Duration::from_millis(50)), ..QueryLimits::default() },
            ErrorKind::DeadlineExceeded,
            "query_seconds_max",
        ),
    ];
    for (limits, kind, key) in limits {
        let statement = shop.engine.prepare(&snapshot, ENDLESS, QueryLimits::default()).await.unwrap();
        let mut result = shop.engine.execute(&statement, limits).await.unwrap();
        let error = loop {
            match result.batches.next().await.expect("the limit ends the query, not the rows") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(key), "{error}");
    }
    let memory = QueryLimits { memory_bytes: Some(100_000), ..QueryLimits::default() };
    let grouped = "select value, count(*) from generate_series(1, 1000000) group by value having count(*) > 1";
    let statement = shop.engine.prepare(&snapshot, grouped, QueryLimits::default()).await.unwrap();
    let mut result = shop.engine.execute(&statement, memory).await.unwrap();
    let error = result.batches.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    drop(result);
    // The query's tasks end at their next point of yielding.
    let freed = async {
        while shop.engine.memory_held_bytes() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), freed).await.expect("the query's memory is given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_dropped_query_gives_its_place_and_memory_back() {
    let shop = shop().await;
    let snapshot = shop.engine.reload().await.unwrap();
    let statement = shop.engine.prepare(&snapshot, ENDLESS, QueryLimits::default()).await.unwrap();
    for _ in 0..6 {
        // Two may run at once: a place that was not given back would keep the third waiting.
        let mut result = shop.engine.execute(&statement, QueryLimits::default()).await.unwrap();
        assert!(result.batches.next().await.unwrap().unwrap().num_rows() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_reader_that_stalls_gives_its_place_back_when_its_time_is_up() {
    let shop = shop().await;
    let snapshot = shop.engine.reload().await.unwrap();
    let statement = shop.engine.prepare(&snapshot, ENDLESS, QueryLimits::default()).await.unwrap();
    let limits = QueryLimits { time: Some(Duration::from_millis(100)), ..QueryLimits::default() };
    let mut stalled = Vec::new();
    for _ in 0..6 {
        // Nobody reads these, and two may run at once.
        stalled.push(shop.engine.execute(&statement, limits).await.unwrap());
    }
    for mut result in stalled {
        let mut rows = 0;
        let error = loop {
            match result.batches.next().await.expect("an answer that was cut says so") {
                Ok(batch) => rows += batch.num_rows(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
        assert!(rows > 0);
        assert!(result.batches.next().await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn test_parameters_are_values_and_statements_only_read() {
    let shop = shop().await;
    let snapshot = shop.engine.reload().await.unwrap();
    let query = "select value from identity.identities where value = ? or value = $1 order by 1";
    let statement =
        shop.engine.prepare(&snapshot, query, QueryLimits::default()).await.unwrap().bind_texts(&["u7"]).unwrap();
    let result = shop.engine.execute(&statement, QueryLimits::default()).await.unwrap();
    let batches: Vec<_> = result.batches.map(|batch| batch.unwrap()).collect().await;
    assert_eq!(text_rows(&batches), ["u7"]);
    for refused in [
        "create table t as select 1",
        "insert into profile.profiles select * from profile.profiles",
        "copy (select 1) to '/tmp/x.csv'",
        "set datafusion.execution.batch_size = 1",
        "select 1; select 2",
        "select * from '/etc/passwd'",
    ] {
        let error = shop.engine.prepare(&snapshot, refused, QueryLimits::default()).await.expect_err(refused);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{refused}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn test_who_names_a_table_that_is_not_there_hears_which_is() {
    let shop = shop().await;
    let snapshot = shop.engine.reload().await.unwrap();
    for (query, hint) in [
        ("select * from profiles", "there is no table `profiles`; did you mean `profile.profiles`?"),
        ("select * from profile.profile", "there is no table `profile.profile`; did you mean `profile.profiles`?"),
        ("select * from nonsense_of_mine", "information_schema.tables` lists them"),
    ] {
        let error = shop.engine.prepare(&snapshot, query, QueryLimits::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(hint), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_query_that_is_too_much_to_plan_is_refused() {
    let shop = shop().await;
    let snapshot = shop.engine.reload().await.unwrap();
    let steps = (1..=24).map(|step| format!(", t{step} as (select a.x from t{0} a, t{0} b)", step - 1));
    let doubled = format!("with t0 as (select 1 as x){} select x from t24 limit 1", steps.collect::<String>());
    for refused in [doubled, format!("select {}", vec!["1"; 2_500].join("+"))] {
        let error = shop.engine.prepare(&snapshot, &refused, QueryLimits::default()).await.expect_err(&refused);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_query_is_planned_in_its_time_and_in_its_place() {
    let shop = shop().await;
    let snapshot = shop.engine.reload().await.unwrap();
    let slow = vec!["select profile_id from profile.profiles"; 60].join(" union ");
    let limits = QueryLimits { time: Some(Duration::from_millis(1)), ..QueryLimits::default() };
    let error = shop.engine.prepare(&snapshot, &slow, limits).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    // Two may run at once: places that were not given back would keep these waiting.
    for _ in 0..4 {
        shop.engine.prepare(&snapshot, "select 1", QueryLimits::default()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn test_who_shares_a_schedule_refreshes_once() {
    let shop = shop().await;
    let due = START_MICROS + 1;
    let options = RefreshOptions { unless_started_since: Some(due), ..Default::default() };
    shop.advance_days(1);
    let run = shop.engine.begin_refresh(options).await.unwrap().expect("nobody did it yet");
    // While one refreshes, another has to wait.
    assert_eq!(shop.engine.begin_refresh(options).await.unwrap_err().kind(), ErrorKind::Conflict);
    shop.engine.run_refresh(run, &Progress::none(), std::future::pending()).await.unwrap();
    assert!(shop.engine.begin_refresh(options).await.unwrap().is_none());
    // An incremental refresh does not stand for a full one.
    let full = RefreshOptions { full: true, unless_started_since: Some(due), ..Default::default() };
    assert!(shop.engine.begin_refresh(full).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_stopped_refresh_publishes_nothing_and_gives_the_lease_back() {
    let shop = shop().await;
    shop.engine.reload().await.unwrap(); // logs are read as they are now, whatever generation is open
    shop.land("web", &calls(100, 200)).await;
    let run = shop.engine.begin_refresh(RefreshOptions::default()).await.unwrap().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stop = Arc::new(std::sync::Mutex::new(Some(stop)));
    let progress = Progress::new(move |_| {
        // At its first step.
        stop.lock().unwrap().take().map(|stop| stop.send(()));
    });
    let error = shop.engine.run_refresh(run, &progress, async move { stopped.await.unwrap() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(shop.engine.reload().await.unwrap().number(), Some(1));
    let failed = shop.rows("select state from ops.refreshes where name is null").await;
    assert_eq!(failed, ["failed", "published"]);
    shop.refresh(false).await;
    assert_eq!(shop.rows("select count(*) from profile.profiles").await, ["150"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn test_a_refresh_that_is_published_counts_even_if_it_cannot_be_recorded() {
    let shop = shop().await;
    shop.land("web", &calls(50, 80)).await;
    let log = shop.folder.path().join("lake/ops/refreshes");
    let aside = shop.folder.path().join("refreshes");
    std::fs::rename(&log, &aside).unwrap();
    std::fs::write(&log, "").unwrap();
    assert_eq!(shop.refresh(false).await.generation, 2);
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    // And the lease is given back.
    assert_eq!(shop.refresh(false).await.generation, 3);
    assert_eq!(shop.rows("select generation from ops.refreshes where name is null").await, ["1", "3"]);
    assert_eq!(shop.rows("select count(*) from profile.profiles").await, ["80"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn test_what_is_decided_last_counts_whatever_the_clocks_say() {
    let shop = shop().await;
    let here = &shop.engine;
    let ahead = &shop.engine_ahead(CONFIG, 300_000_000);
    let pair = ["user_id:u1", "user_id:u2"];
    for _ in 0..2 {
        let added = ahead.add_correction(Verdict::Never, pair, "ada", "two people").await.unwrap();
        assert_eq!(ahead.corrections().await.unwrap(), [added]);
        here.remove_correction(pair, "ben", "one of them called").await.unwrap();
        assert_eq!(ahead.corrections().await.unwrap(), []);
    }
    for _ in 0..2 {
        ahead.upload_list("vip", b"user_id\nu1\n".to_vec(), "ada").await.unwrap();
        here.upload_list("vip", b"user_id\nu1\nu2\n".to_vec(), "ben").await.unwrap();
        shop.refresh(false).await;
        assert_eq!(shop.rows("select list, identifiers from segment.lists").await, ["vip | 2"]);
        here.delete_list("vip", "ben").await.unwrap();
        assert_eq!(here.delete_list("vip", "ben").await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    for log in ["ops.corrections", "ops.lists"] {
        let instants = shop.rows(&format!("select count(distinct changed_at) = count(*) from {log}")).await;
        assert_eq!(instants, ["true"], "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn test_of_a_list_that_is_uploaded_again_and_again_only_the_last_stays() {
    let shop = shop().await;
    shop.engine.upload_list("once", b"user_id\nu1\n".to_vec(), "ada").await.unwrap();
    for count in 1..=20 {
        let users: String = (1..=count).map(|user| format!("u{user}\n")).collect();
        shop.engine.upload_list("often", format!("user_id\n{users}").into_bytes(), "ada").await.unwrap();
    }
    // Who uploaded when stays for good. The contents of before the eighteenth change went when that wrote all files together.
    let query =
        "select list, count(*) as uploads, count(content) as contents from ops.lists group by list order by list";
    assert_eq!(shop.rows(query).await, ["often | 20 | 4", "once | 1 | 1"]);
    shop.refresh(false).await;
    let query = "select list, identifiers from segment.lists order by list";
    assert_eq!(shop.rows(query).await, ["often | 20", "once | 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn test_an_estimate_counts_what_a_segment_would() {
    let shop = shop().await;
    let snapshot = shop.engine.reload().await.unwrap();
    let estimate = |expression: String| {
        let (engine, snapshot) = (shop.engine.clone(), Arc::clone(&snapshot));
        // A limit of an answer's rows does not count the people that an estimate counts.
        let limits = QueryLimits { rows: Some(10), ..QueryLimits::default() };
        async move { engine.estimate_segment(&snapshot, &expression, 2, &[], limits).await }
    };
    let viewers = estimate("did('Page Viewed') and event_count >= 1".to_owned()).await.unwrap();
    assert_eq!((viewers.size, viewers.profile_count, viewers.preview.len()), (50, 50, 2));
    assert_eq!(estimate("did('Order Completed')".to_owned()).await.unwrap().size, 0);
    // Days that were not read for an estimate before are read for one that asks for them.
    for (days, size) in [
        ("date '2026-04-01', date '2026-04-30'", 0),
        ("date '2026-05-01', date '2026-05-01'", 50),
        ("date '2026-05-02', date '9999-12-31'", 0),
        ("date '2026-04-30', date '9999-12-31'", 50),
    ] {
        let counted = format!("event_count('Page Viewed', between => ({days})) filter (where page_path is null) = 1");
        assert_eq!(estimate(counted.clone()).await.unwrap().size, size, "{counted}");
        let twice = format!("did_sequence('Page Viewed' then 'Page Viewed', between => ({days}))");
        assert_eq!(estimate(twice).await.unwrap().size, 0);
    }
    let error = estimate("event_coun > 1".to_owned()).await.unwrap_err();
    assert!(error.to_string().contains("event_count"), "{error}");
}
