//! Orders at the till: all that is known of the customer is a loyalty card or a telephone number.

use std::io;
use std::path::Path;

use crate::Shop;
use crate::calendar::{DAY, Rhythm, write_wall_time};
use crate::call::OrderWorth;
use crate::csv::{row, text};
use crate::dice::Dice;
use crate::files::{DataFile, FileWriter};
use crate::people::{Crowd, Person, write_amount};

const HEADER: &str = "receipt_no,purchased_at,store,loyalty_card,phone,items,amount,currency";
const STORES: [&str; 6] =
    ["Paris Marais", "Paris Batignolles", "Lyon Bellecour", "Lille Gare", "Nantes, Île", "Café \"Fern\""];

/// Writes `orders` orders to `pos_orders.csv`, with their broken and repeated neighbours.
pub(crate) fn write_pos(shop: &Shop, directory: &Path, orders: u64) -> io::Result<DataFile> {
    let mut file = FileWriter::create(directory, "pos_orders.csv", "pos_orders", true)?;
    file.header(HEADER)?;
    let mut dice = Dice::new(shop.seed, "pos");
    let (crowd, rhythm) = (Crowd::new(shop.seed, shop.people), Rhythm::store(shop.start, shop.days));
    let broken_every = (orders / 20).clamp(10, 400);
    let mut previous = Vec::new();
    for order in 0..orders {
        let at = rhythm.at(order as f64 / orders as f64) / 1000;
        // One till in a hundred uploads its day's receipts up to three days late: an earlier time further down the file.
        let sold_at = if dice.chance(10) { (at - dice.between(1, 3) as i64 * DAY).max(shop.start) } else { at };
        let person = crowd.somebody_who(&mut dice, |person| person.has_loyalty_card() || person.phone().is_some());
        let cents = 1_000 + (dice.unit() * dice.unit() * 240.0) as u64 * 100 + if dice.chance(600) { 90 } else { 0 };
        let receipt = format!("R{:09}", 1_000_000 + order);
        let line = receipt_row(&receipt, sold_at, &person, cents, &mut dice);
        file.line(&line)?;
        file.landed();
        file.ordered(OrderWorth { currency: "EUR", revenue: Some(cents) });
        if !previous.is_empty() && dice.chance(5) {
            file.line(&previous)?;
            file.repeated();
        }
        if order % broken_every == broken_every / 2 {
            break_one(&mut file, order / broken_every, sold_at, &person)?;
        }
        previous = line;
    }
    file.finish()
}

fn receipt_row(receipt: &str, at: i64, person: &Person, cents: u64, dice: &mut Dice) -> Vec<u8> {
    let phone = person.phone().map(|phone| text(|out| phone.write_by_hand(out, dice.below(5)))).unwrap_or_default();
    // Who has both gives the card, mostly; few say their number as well.
    let gives_card = phone.is_empty() || (person.has_loyalty_card() && dice.chance(850));
    let gives_phone = !gives_card || dice.chance(120);
    row(&[
        receipt,
        &text(|out| write_wall_time(out, at)),
        dice.pick(&STORES),
        &if gives_card { text(|out| person.write_loyalty_card(out)) } else { String::new() },
        if gives_phone { &phone } else { "" },
        &dice.between(1, 5).to_string(),
        &text(|out| write_amount(out, cents)),
        "EUR",
    ])
}

fn break_one(file: &mut FileWriter, number: u64, at: i64, person: &Person) -> io::Result<()> {
    let receipt = format!("B{number:08}");
    let when = text(|out| write_wall_time(out, at));
    let card = text(|out| person.write_loyalty_card(out));
    let (reason, line) = match number % 5 {
        0 => ("bad_number", row(&[&receipt, &when, STORES[0], &card, "", "1", "39.9O", "EUR"])),
        1 => ("no_identifier", row(&[&receipt, &when, STORES[0], "", "", "2", "18.00", "EUR"])),
        2 => ("bad_row", row(&[&receipt, &when, STORES[0], &card])),
        3 => ("bad_time", row(&[&receipt, "at noon", STORES[0], &card, "", "1", "25.00", "EUR"])),
        _ => ("impossible_time", row(&[&receipt, "1900-01-01 00:00:00", STORES[0], &card, "", "1", "25.00", "EUR"])),
    };
    file.broken(reason);
    file.line(&line)
}
