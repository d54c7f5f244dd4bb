//! The shop's files are what they say they are.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tessera_generator::{Shop, ShopFiles};

/// 2026-03-01T00:00:00Z
const END: i64 = 1_772_323_200;

/// A folder that is removed at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tessera-generator-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn shop() -> Shop {
    Shop::ending_at(600, 20_000, 7, END, 90)
}

fn lines(path: &Path) -> Vec<Vec<u8>> {
    fs::read(path).unwrap().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Whether a text is one whole JSON object, as far as strings and brackets tell.
fn is_object(line: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0i64, false, false);
    for (place, byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        if depth == 0 && place + 1 < line.len() {
            return false;
        }
    }
    depth == 0 && !in_string && line.starts_with(b"{") && std::str::from_utf8(line).is_ok()
}

/// The message ids in a line, in order.
fn message_ids(line: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(line);
    text.split("\"messageId\":\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

/// Rows of a CSV file, the header left out, as far as quotes tell.
fn csv_rows(path: &Path) -> u64 {
    let mut in_quotes = false;
    let mut rows = 0;
    for byte in fs::read(path).unwrap() {
        match byte {
            b'"' => in_quotes = !in_quotes,
            b'\n' if !in_quotes => rows += 1,
            _ => {}
        }
    }
    assert!(!in_quotes);
    rows - 1
}

fn write(name: &str) -> (Folder, ShopFiles) {
    let folder = Folder::new(name);
    let files = shop().write(folder.path()).unwrap();
    (folder, files)
}

#[test]
fn the_same_seed_writes_the_same_bytes() {
    let ((_first_folder, first), (_second_folder, second)) = (write("first"), write("second"));
    for (a, b) in first.data.iter().zip(&second.data) {
        assert!(fs::read(&a.path).unwrap() == fs::read(&b.path).unwrap(), "{} differs", a.path.display());
    }
    let other = Folder::new("other");
    let files = Shop { seed: 8, ..shop() }.write(other.path()).unwrap();
    assert!(fs::read(&files.data[0].path).unwrap() != fs::read(&first.data[0].path).unwrap());
}

#[test]
fn counts_are_those_of_the_files() {
    let (_folder, files) = write("counts");
    assert_eq!(files.events(), 20_000);
    for file in &files.data {
        assert_eq!(fs::metadata(&file.path).unwrap().len(), file.bytes);
        let is_csv = file.path.extension().is_some_and(|extension| extension == "csv");
        let counted = if is_csv { csv_rows(&file.path) } else { lines(&file.path).len() as u64 };
        assert_eq!(counted, file.lines, "{}", file.path.display());
        assert!(file.landed > 0);
        if is_csv {
            assert_eq!(
                file.lines,
                file.landed + file.duplicates + file.quarantined.values().sum::<u64>(),
                "{}",
                file.path.display()
            );
        }
    }
    assert!(files.orders() > 1_000);
    assert!(files.revenue().keys().eq(["EUR", "USD"].iter()));
    assert!(files.duplicate_events() > 50);
    for path in &files.project {
        assert!(path.is_file());
    }
}

#[test]
fn every_trait_and_segment_says_what_it_is() {
    let (_folder, files) = write("project");
    let headers = |folder: &str, keys: &[&str]| {
        let paths = files.project.iter().filter(|path| path.parent().unwrap().ends_with(folder));
        let texts: Vec<String> = paths.map(|path| fs::read_to_string(path).unwrap()).collect();
        for text in &texts {
            for key in keys {
                assert!(text.lines().any(|line| line.starts_with(&format!("-- {key}: "))), "no {key}:\n{text}");
            }
        }
        let title = |text: &String| text.lines().find(|line| line.starts_with("-- title: ")).unwrap().to_owned();
        let titles: BTreeSet<String> = texts.iter().map(title).collect();
        assert_eq!(titles.len(), texts.len(), "titles are not unique");
        texts.len()
    };
    assert_eq!(headers("traits", &["title"]), 30);
    assert_eq!(headers("segments", &["title", "purpose", "description"]), 60);
}

#[test]
fn message_ids_are_new_or_repeated_as_counted() {
    let (_folder, files) = write("ids");
    for source in ["web", "mobile"] {
        let mut seen = BTreeSet::new();
        for file in files.of(source) {
            let (mut new, mut repeated, mut orders) = (0, 0, 0);
            for line in lines(&file.path).iter().filter(|line| is_object(line)) {
                for id in message_ids(line).into_iter().filter(|id| !id.starts_with("broken-")) {
                    if seen.insert(id) { new += 1 } else { repeated += 1 }
                }
                orders += String::from_utf8_lossy(line).matches("\"Order Completed\"").count() as u64;
            }
            assert_eq!((new, repeated), (file.landed, file.duplicates), "{}", file.path.display());
            assert!(orders >= file.orders);
        }
    }
}

#[test]
fn lines_are_objects_but_for_the_broken_ones() {
    let (_folder, files) = write("objects");
    for file in files.data.iter().filter(|file| file.path.extension().is_some_and(|extension| extension == "ndjson")) {
        let not_objects = lines(&file.path).iter().filter(|line| !is_object(line)).count() as u64;
        let expected = ["not_json", "bad_encoding", "not_an_object"]
            .iter()
            .filter_map(|reason| file.quarantined.get(reason))
            .sum::<u64>();
        assert_eq!(not_objects, expected, "{}", file.path.display());
    }
    let reasons = files.quarantined();
    for reason in [
        "not_json",
        "not_an_object",
        "unknown_type",
        "no_identifier",
        "no_time",
        "impossible_time",
        "bad_time",
        "bad_encoding",
        "bad_number",
        "bad_row",
        "no_key",
        "no_event_name",
        "too_many_identifiers",
    ] {
        assert!(reasons.contains_key(reason), "no row is quarantined for {reason}");
    }
}

#[test]
fn nothing_good_happens_outside_of_the_shops_days() {
    let (_folder, files) = write("days");
    for file in files.of("web") {
        for line in lines(&file.path).iter().filter(|line| is_object(line)) {
            let text = String::from_utf8_lossy(line).into_owned();
            for call in text.split("\"messageId\":\"").skip(1).filter(|call| !call.starts_with("broken-")) {
                let time = call.split("\"timestamp\":\"").nth(1).unwrap();
                assert!(
                    ("2025-12-01T00:00:00.000Z".."2026-03-01T00:00:00.000Z").contains(&&time[..24]),
                    "{}",
                    &time[..24]
                );
            }
        }
    }
}

#[test]
fn slices_of_the_stream_are_parts_of_one_whole() {
    let folder = Folder::new("slices");
    let path = |name: &str| folder.path().join(name);
    let shop = shop();
    let whole = shop.write_events(&path("whole"), 0, 20_000).unwrap();
    let slices = shop.write_event_slices(&[(&path("a"), 9_000), (&path("b"), 9_000), (&path("c"), 2_000)]).unwrap();
    let tail = shop.write_events(&path("tail"), 18_000, 2_000).unwrap();
    let joined: Vec<u8> = slices.iter().flat_map(|file| fs::read(&file.path).unwrap()).collect();
    assert!(joined == fs::read(&whole.path).unwrap());
    assert!(fs::read(&slices[2].path).unwrap() == fs::read(&tail.path).unwrap());
    assert_eq!(slices.iter().map(|file| file.landed).collect::<Vec<_>>(), [9_000, 9_000, 2_000]);
    assert!((100..300).contains(&whole.duplicates), "{}", whole.duplicates);
    assert!(whole.quarantined.is_empty());
    let ids: Vec<String> = lines(&whole.path).iter().flat_map(|line| message_ids(line)).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 20_000);
    assert_eq!(ids.len() as u64, 20_000 + whole.duplicates);
    // What comes later happened later, but for a few.
    let days: Vec<String> = lines(&tail.path)
        .iter()
        .map(|line| String::from_utf8_lossy(line).split("\"timestamp\":\"").nth(1).unwrap()[..10].to_owned())
        .collect();
    let late = days.iter().filter(|day| day.as_str() < "2026-02-18").count();
    assert!(late > 0 && late < 100, "{late} late events");
}

#[test]
fn a_tiny_shop_is_a_shop() {
    let folder = Folder::new("tiny");
    for events in [0, 1, 9, 100] {
        let files = Shop::ending_at(1, events, 3, END, 1).write(folder.path()).unwrap();
        assert_eq!(files.events(), events);
    }
}
