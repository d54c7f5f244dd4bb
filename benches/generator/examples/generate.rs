//! Writes a sample shop and says what is in it.
//!
//! ```text
//! cargo run --release -p tessera-generator --example generate -- 2000 100000 shop
//! cargo run --release -p tessera-generator --example generate -- 1000000 10000000 events --stream 4
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tessera_generator::{DataFile, Shop};

const USAGE: &str = "usage: generate PEOPLE EVENTS DIR [--seed N] [--days N] [--end EPOCH_SECONDS] [--stream FILES]

Writes a project with a shop's data to DIR. With --stream, writes web calls alone, for benchmarks: EVENTS of them into
FILES files DIR/web-<n>.ndjson, and the one per cent that follows into DIR/later.ndjson.";

fn main() -> Result<(), Box<dyn Error>> {
    let (mut words, mut options) = (Vec::new(), std::collections::BTreeMap::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(word) = arguments.next() {
        match word.strip_prefix("--") {
            Some(name @ ("seed" | "days" | "end" | "stream")) => {
                options.insert(name.to_owned(), arguments.next().ok_or(USAGE)?.parse::<u64>()?);
            }
            Some(_) => return Err(USAGE.into()),
            None => words.push(word),
        }
    }
    let [people, events, directory] = words.as_slice() else {
        return Err(USAGE.into());
    };
    let (people, events, directory) = (people.parse()?, events.parse::<u64>()?, PathBuf::from(directory));
    let end = match options.get("end") {
        Some(end) => i64::try_from(*end)?,
        None => i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?,
    };
    let seed = options.get("seed").copied().unwrap_or(1);
    let days = u32::try_from(options.get("days").copied().unwrap_or(180))?;
    let begun = Instant::now();
    let files = match options.get("stream") {
        Some(files) => {
            stream(&Shop::ending_at(people, events + events / 100, seed, end, days), events, *files, &directory)?
        }
        None => Shop::ending_at(people, events, seed, end, days).write(&directory)?.data,
    };
    report(&files, begun.elapsed().as_secs_f64());
    Ok(())
}

fn stream(shop: &Shop, events: u64, files: u64, directory: &Path) -> Result<Vec<DataFile>, Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    let files = files.max(1);
    let mut slices: Vec<(PathBuf, u64)> = (0..files)
        .map(|n| (directory.join(format!("web-{}.ndjson", n + 1)), events * (n + 1) / files - events * n / files))
        .collect();
    slices.push((directory.join("later.ndjson"), shop.events - events));
    let slices: Vec<(&Path, u64)> = slices.iter().map(|(path, count)| (path.as_path(), *count)).collect();
    Ok(shop.write_event_slices(&slices)?)
}

fn report(files: &[DataFile], seconds: f64) {
    println!(
        "{:<44} {:>10} {:>10} {:>9} {:>8} {:>8}  quarantined",
        "file", "lines", "landed", "repeated", "orders", "MB"
    );
    for file in files {
        println!(
            "{:<44} {:>10} {:>10} {:>9} {:>8} {:>8.1}  {:?}",
            file.path.display(),
            file.lines,
            file.landed,
            file.duplicates,
            file.orders,
            file.bytes as f64 / 1e6,
            file.quarantined
        );
    }
    let rows: u64 = files.iter().map(|file| file.landed).sum();
    println!("{rows} events and records in {seconds:.1} s");
}
