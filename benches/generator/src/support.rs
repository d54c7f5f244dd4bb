//! Tickets of customer service, by e-mail address.

use std::io;
use std::path::Path;

use crate::Shop;
use crate::broken::write_broken_ticket;
use crate::calendar::{DAY, Rhythm, write_instant};
use crate::call::push_member;
use crate::dice::Dice;
use crate::files::{DataFile, FileWriter};
use crate::people::{Crowd, Person, Spelling, write_number};

const SUBJECTS: [&str; 6] = [
    "Where is my parcel?",
    "Wrong size",
    "Refund not received",
    "Can't log in",
    "Retour: \\\"Fern\\\" mocassins",
    "Broken zip",
];
const CHANNELS: [&str; 3] = ["email", "chat", "phone"];

/// Writes `events` things that happened to tickets to `support_tickets.ndjson`: opened, solved, rated.
pub(crate) fn write_support(shop: &Shop, directory: &Path, events: u64) -> io::Result<DataFile> {
    let mut file = FileWriter::create(directory, "support_tickets.ndjson", "support_tickets", true)?;
    let mut dice = Dice::new(shop.seed, "support");
    let (crowd, rhythm) = (Crowd::new(shop.seed, shop.people), Rhythm::online(shop.start, shop.days));
    let end = (shop.start + i64::from(shop.days.max(1)) * DAY) * 1000 - 1;
    let broken_every = (events / 12).clamp(10, 300);
    let (mut ticket, mut line) = (0, Vec::new());
    while file.landed_count() < events {
        ticket += 1;
        let person = crowd.somebody(&mut dice);
        let mut at = rhythm.at(file.landed_count() as f64 / events as f64);
        let steps: &[&str] = match dice.below(10) {
            0 => &["Ticket Opened"],
            1..=5 => &["Ticket Opened", "Ticket Solved"],
            _ => &["Ticket Opened", "Ticket Solved", "Ticket Rated"],
        };
        for (step, action) in steps.iter().enumerate() {
            if file.landed_count() >= events {
                break;
            }
            line.clear();
            write_ticket(&mut line, ticket, step, action, at.min(end), &person, &mut dice);
            file.line(&line)?;
            file.landed();
            if dice.chance(4) {
                file.line(&line)?;
                file.repeated();
            }
            if file.landed_count() % broken_every == broken_every / 2 {
                let mut row = Vec::new();
                file.broken(write_broken_ticket(&mut row, ticket, &line));
                file.line(&row)?;
            }
            at += dice.between(600, 2 * DAY as u64) as i64 * 1000;
        }
    }
    file.finish()
}

fn write_ticket(out: &mut Vec<u8>, ticket: u64, step: usize, action: &str, at: i64, person: &Person, dice: &mut Dice) {
    out.extend_from_slice(b"{\"id\":\"T-");
    write_number(out, 10_000 + ticket);
    out.push(b'-');
    write_number(out, step as u64);
    out.extend_from_slice(b"\",\"ticket_id\":\"T-");
    write_number(out, 10_000 + ticket);
    out.extend_from_slice(b"\",\"created_at\":\"");
    write_instant(out, at);
    out.push(b'"');
    push_member(out, "action", action);
    out.extend_from_slice(b",\"email\":\"");
    person.write_email(out, Spelling::by_chance(dice));
    out.push(b'"');
    match action {
        "Ticket Opened" => {
            push_member(out, "subject", dice.pick(&SUBJECTS));
            push_member(out, "channel", dice.pick(&CHANNELS));
            push_member(out, "priority", if dice.chance(100) { "high" } else { "normal" });
        }
        "Ticket Rated" => {
            out.extend_from_slice(b",\"satisfaction\":");
            write_number(out, if dice.chance(200) { dice.between(1, 3) } else { dice.between(4, 5) });
        }
        _ => {}
    }
    out.push(b'}');
}
