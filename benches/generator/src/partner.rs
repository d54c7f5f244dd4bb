//! A list bought from a partner: third-party data, with and without consent.

use std::io;
use std::path::Path;

use crate::Shop;
use crate::calendar::{DAY, write_date};
use crate::csv::{row, text};
use crate::dice::{Dice, mix, scale, topic};
use crate::files::{DataFile, FileWriter};
use crate::people::{Person, Spelling};

const HEADER: &str = "partner_ref,email,first_name,interest,age_band,marketing_consent,collected_at";
const INTERESTS: [&str; 5] = ["fashion", "outdoor", "interior, design", "family", "cooking"];
const AGE_BANDS: [&str; 5] = ["18-24", "25-34", "35-49", "50-64", "65+"];

/// Writes `partner_list.csv`: about one customer in seven, and as many whom the shop has never seen.
pub(crate) fn write_partner(shop: &Shop, directory: &Path) -> io::Result<DataFile> {
    let mut file = FileWriter::create(directory, "partner_list.csv", "partner_list", false)?;
    file.header(HEADER)?;
    let mut dice = Dice::new(shop.seed, "partner");
    let broken_every = (shop.people / 40).clamp(20, 400);
    let mut rows = 0u64;
    for number in 0..shop.people {
        let is_customer = match scale(mix(mix(shop.seed, topic(b"part")), number), 100) {
            0..14 => true,
            14..28 => false,
            _ => continue,
        };
        rows += 1;
        let reference = format!("AX-{:08}", 40_000_000 + number);
        // Strangers are people with numbers that the shop does not have.
        let person = Person::new(shop.seed, if is_customer { number } else { shop.people + number });
        let email = text(|out| person.write_email(out, Spelling::by_chance(&mut dice)));
        file.line(&partner_row(shop, &reference, &email, person.given.0, &mut dice))?;
        file.landed();
        if rows.is_multiple_of(broken_every) {
            let (reason, reference, email) = if rows.is_multiple_of(2 * broken_every) {
                ("no_key", "", "kim@example.com")
            } else {
                ("no_identifier", "AX-00000000", "")
            };
            file.broken(reason);
            file.line(&partner_row(shop, reference, email, "Kim", &mut dice))?;
        }
    }
    file.finish()
}

fn partner_row(shop: &Shop, reference: &str, email: &str, given: &str, dice: &mut Dice) -> Vec<u8> {
    let collected = shop.start + dice.below(u64::from(shop.days.max(1))) as i64 * DAY;
    row(&[
        reference,
        email,
        given,
        dice.pick(&INTERESTS),
        dice.pick(&AGE_BANDS),
        if dice.chance(550) { "yes" } else { "no" },
        &text(|out| write_date(out, collected)),
    ])
}
