//! `kill -9` at random moments: what was acknowledged is there once, and no reader sees a mixed generation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::project::Project;

const CONFIG: &str = r#"
version = 1
[[source]]
name = "web"
format = "segment"
touchpoint = "web"
[identity]
namespaces = [{ name = "user_id" }, { name = "anonymous_id" }]
"#;
const KILLS: usize = 50;
const FILES: usize = 25;
const EVENTS_PER_FILE: usize = 40;
/// Each file repeats a few events of the one before.
const REPEATED: usize = 4;

/// Every stage counts the same events: a row with different numbers is a mixed generation.
const CONSISTENT: &str = "select (select count(*) from staging.events) as staged,
    (select coalesce(sum(event_count), 0) from behavior.measures) as measured,
    (select coalesce(sum(event_count), 0) from profile.profiles) as of_profiles,
    (select coalesce(sum(event_count), 0) from behavior.sessions) as of_sessions,
    (select coalesce(sum(event_count), 0) from behavior.trends) as of_trends";

fn event(number: usize) -> String {
    let (user, device, minute) = (number % 17, number % 23, number * 7 % 1440);
    let login = if number.is_multiple_of(5) { format!(r#""userId":"u{user}","#) } else { String::new() };
    format!(
        r#"{{"type":"track","event":"Order Completed","messageId":"m{number}",{login}"anonymousId":"d{device}","timestamp":"2026-05-{:02}T{:02}:{:02}:00Z","properties":{{"revenue":1}}}}"#,
        1 + number % 20,
        minute / 60,
        minute % 60
    )
}

fn assert_consistent(row: &str) {
    let numbers: Vec<&str> = row.split(',').collect();
    assert!(numbers.len() == 5 && numbers.iter().all(|number| number == &numbers[0]), "a mixed generation: {row}");
}

/// A small generator of our own: the test is the same every time.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Runs a command and kills it after a random part of `usual`; true if it ended by itself, and well.
fn run_and_kill(project: &Project, arguments: &[&str], usual: Duration, state: &mut u64, kills: &mut usize) -> bool {
    let mut child = project.spawn(arguments);
    let patience = usual.mul_f64(random(state) as f64 / u64::MAX as f64);
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        if *kills < KILLS && started.elapsed() >= patience {
            child.kill().unwrap(); // SIGKILL
            child.wait().unwrap();
            *kills += 1;
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn test_fifty_kills_lose_and_double_nothing() {
    let project = Arc::new(Project::new(CONFIG));
    for file in 0..FILES {
        let first = (file * EVENTS_PER_FILE).saturating_sub(REPEATED);
        let lines: Vec<String> = (first..(file + 1) * EVENTS_PER_FILE).map(event).collect();
        project.write(&format!("in/{file}.ndjson"), lines.join("\n"));
    }
    // Something is published before the first kill, so that readers have something to read.
    project.ok(&["ingest", "--source", "web", "in/0.ndjson"]);
    let started = Instant::now();
    project.ok(&["refresh"]);
    let refresh_time = started.elapsed();

    let stop = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(AtomicUsize::new(0));
    let reader = std::thread::spawn({
        let (project, stop, answers) = (Arc::clone(&project), Arc::clone(&stop), Arc::clone(&answers));
        move || {
            while !stop.load(Ordering::Relaxed) {
                assert_consistent(&project.rows(CONSISTENT)[0]);
                answers.fetch_add(1, Ordering::Relaxed);
            }
        }
    });

    let (mut state, mut kills) = (0x2545_f491_4f6c_dd1d_u64, 0);
    let mut file = 1;
    while kills < KILLS || file < FILES {
        let name = format!("in/{}.ndjson", file % FILES);
        if run_and_kill(&project, &["ingest", "--source", "web", &name], refresh_time / 8, &mut state, &mut kills) {
            file += 1;
        }
        if file % 2 == 0 {
            run_and_kill(&project, &["refresh"], refresh_time, &mut state, &mut kills);
        }
    }
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    assert!(answers.load(Ordering::Relaxed) > 0, "no reader read anything");
    assert_eq!(kills, KILLS);

    project.ok(&["refresh"]);
    let total = FILES * EVENTS_PER_FILE;
    let counted = "select count(*), count(distinct event_id), sum(revenue) from staging.events";
    let expected = [format!("{total},{total},{total}.0000")];
    assert_eq!(project.rows(counted), expected);
    assert_consistent(&project.rows(CONSISTENT)[0]);
    let profiles = "select profile_id, event_count, revenue from profile.profiles order by 1";
    let incremental = project.rows(profiles);
    project.ok(&["refresh", "--full"]);
    assert_eq!(project.rows(counted), expected);
    assert_eq!(project.rows(profiles), incremental);
}
