//! The web's calls alone, for benchmarks: one call a line, one call in a hundred sent twice, nothing broken.

use std::io;
use std::path::Path;

use crate::call::CallWriter;
use crate::catalog::Catalog;
use crate::files::{DataFile, FileWriter};
use crate::resend::Resends;
use crate::traffic::{Traffic, TrafficPlan};

/// Calls sent twice, of a thousand.
const RESENT_PER_THOUSAND: u64 = 10;

/// Writes consecutive slices of the stream, each its own file: the first `count` calls to the first, and so on. `skip`
/// calls before them are left out. A retry is in the slice in which it arrives.
pub(crate) fn write_slices(plan: TrafficPlan, skip: u64, slices: &[(&Path, u64)]) -> io::Result<Vec<DataFile>> {
    let catalog = Catalog::new(plan.seed);
    let mut traffic = Traffic::new(plan, &catalog);
    let mut calls = CallWriter::new(&catalog, plan.seed, plan.in_app, true);
    let mut resends = Resends::new(plan.seed, "stream", RESENT_PER_THOUSAND);
    let (mut line, mut event) = (Vec::new(), 0);
    // Calls before the slices are made all the same: the ids of the others count on them, and some come again later.
    while event < skip
        && let Some(moment) = traffic.next()
    {
        event += 1;
        line.clear();
        calls.write(&mut line, &moment);
        resends.consider(event, &line);
        while resends.due(event).is_some() {}
    }
    let mut files = Vec::with_capacity(slices.len());
    for (path, count) in slices {
        let mut file = FileWriter::create(path.parent().unwrap_or(Path::new("")), &file_name(path)?, "web", true)?;
        while file.landed_count() < *count
            && let Some(moment) = traffic.next()
        {
            event += 1;
            line.clear();
            let worth = calls.write(&mut line, &moment);
            resends.consider(event, &line);
            file.line(&line)?;
            file.landed();
            if let Some(worth) = worth {
                file.ordered(worth);
            }
            while let Some(call) = resends.due(event) {
                file.repeated();
                file.line(&call)?;
            }
        }
        files.push(file.finish()?);
    }
    Ok(files)
}

fn file_name(path: &Path) -> io::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{}` names no file: give the path of a file to write", path.display()),
        )
    })
}
