//! A seeded, believable shop: the data of `tessera demo` and, scaled up, of the benchmarks.
//!
//! A shop sells shoes, lamps and tents on the web, in an app and in stores. Its files have what real ones have: people with
//! several devices who browse before they log in, browsers that a household shares, addresses and telephone numbers that are
//! spelled differently each time, calls that arrive late or twice, and rows that are broken. All of it is invented:
//! e-mail addresses end in `example.com` and the like, telephone numbers are of the ranges reserved for fiction.
//!
//! The same [`Shop`] writes the same bytes. Memory does not grow with the number of events.
//!
//! ```text
//! DIR/tessera.toml               sources, identity namespaces
//! DIR/traits/*.sql
//! DIR/segments/*.sql
//! DIR/data/web-<n>.ndjson        Segment calls, some lines batches     source web
//! DIR/data/mobile.ndjson         Segment calls of the app              source mobile
//! DIR/data/pos_orders.csv        orders at the till                    source pos_orders
//! DIR/data/support_tickets.ndjson                                      source support_tickets
//! DIR/data/crm_contacts.csv      the sales team's contacts             source crm_contacts
//! DIR/data/crm_contacts_2.csv    a later export: what changed          source crm_contacts
//! DIR/data/partner_list.csv      a bought list                         source partner_list
//! ```

mod broken;
mod calendar;
mod call;
mod calls;
mod catalog;
mod crm;
mod csv;
mod dice;
mod files;
mod names;
mod partner;
mod people;
mod phones;
mod pos;
mod project;
mod resend;
mod stream;
mod support;
mod traffic;
mod visit;

use std::fs;
use std::io;
use std::path::Path;

pub use files::{DataFile, ShopFiles};

use calendar::DAY;
use traffic::TrafficPlan;

/// A shop to invent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shop {
    /// Customers. A few of them are very active; some may never come by.
    pub people: u64,
    /// Distinct good events of all sources together. Retries and broken rows come on top.
    pub events: u64,
    /// Decides everything else.
    pub seed: u64,
    /// The first instant, in seconds since 1970-01-01T00:00:00Z.
    pub start: i64,
    /// Days from the first instant to the last; 0 counts as 1.
    pub days: u32,
}

impl Shop {
    /// A shop whose last event happens just before `end` (seconds since 1970-01-01T00:00:00Z), `days` after its first.
    pub fn ending_at(people: u64, events: u64, seed: u64, end: i64, days: u32) -> Self {
        Self { people, events, seed, start: end - i64::from(days.max(1)) * DAY, days }
    }

    /// Writes the project and its data into `directory`, which is made if it does not exist; files of the same names are
    /// replaced.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, directory: &Path) -> io::Result<ShopFiles> {
        let data_directory = directory.join("data");
        fs::create_dir_all(&data_directory)?;
        let project = project::write_project(directory)?;
        let [mobile, pos, support] = [self.events / 5, self.events * 7 / 100, self.events * 3 / 100];
        let web = self.events - mobile - pos - support;
        let catalog = catalog::Catalog::new(self.seed);
        let mut data = calls::write_web(&data_directory, &catalog, self.traffic(web, false))?;
        data.extend(calls::write_mobile(&data_directory, &catalog, self.traffic(mobile, true))?);
        data.push(pos::write_pos(self, &data_directory, pos)?);
        data.push(support::write_support(self, &data_directory, support)?);
        data.extend(crm::write_crm(self, &data_directory)?);
        data.push(partner::write_partner(self, &data_directory)?);
        Ok(ShopFiles { people: self.people, project, data })
    }

    /// Writes `count` web calls to `out`, one a line, after skipping `from_event`: for benchmarks. Here all events of the shop
    /// are web events, nothing is broken, nobody shares a browser, and one call in a hundred comes twice.
    ///
    /// Events are in the order of their arrival, so that the calls after the first N are the following ones, with a few that
    /// happened up to three days before.
    ///
    /// # Errors
    /// What the file system says, or a path without a file name.
    pub fn write_events(&self, out: &Path, from_event: u64, count: u64) -> io::Result<DataFile> {
        let mut files = stream::write_slices(self.stream(), from_event, &[(out, count)])?;
        files.pop().ok_or_else(|| io::Error::other("no file was written"))
    }

    /// Writes the same calls as [`Shop::write_events`], from the first on, as consecutive slices with a file each, in one pass.
    ///
    /// # Errors
    /// What the file system says, or a path without a file name.
    pub fn write_event_slices(&self, slices: &[(&Path, u64)]) -> io::Result<Vec<DataFile>> {
        stream::write_slices(self.stream(), 0, slices)
    }

    fn traffic(&self, events: u64, in_app: bool) -> TrafficPlan {
        TrafficPlan {
            seed: self.seed,
            people: self.people,
            events,
            start: self.start,
            days: self.days,
            in_app,
            shared_devices: true,
        }
    }

    fn stream(&self) -> TrafficPlan {
        TrafficPlan { shared_devices: false, ..self.traffic(self.events, false) }
    }
}
