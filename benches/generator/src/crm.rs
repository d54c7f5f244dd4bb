//! The sales team's contacts, as a Salesforce export: typed in by hand, some twice, and exported again later.

use std::io;
use std::path::Path;

use crate::Shop;
use crate::calendar::{DAY, write_date, write_instant};
use crate::csv::{row, text};
use crate::dice::{Dice, mix, scale, topic};
use crate::files::{DataFile, FileWriter};
use crate::people::{Person, Spelling};

const HEADER: &str = "ContactId,FirstName,LastName,Email,Phone,LoyaltyCard,MailingCity,MailingCountry,LeadSource,HasOptedOutOfEmail,Description,CreatedDate,LastModifiedDate,IsDeleted";
const LEAD_SOURCES: [&str; 5] = ["Web", "Trade Show", "Referral", "Store", "Partner, other"];
const NOTES: [&str; 7] = [
    "",
    "",
    "",
    "Prefers to be called after 6 p.m.",
    "Asked for the \"Fern\" loafer in 38, we had none.",
    "Called about a return.\nWants the refund on the card, not as a voucher.",
    "VIP; knows the buyer, say hello",
];

/// What the second export says of a contact.
#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    /// In the first export, as it was then.
    First,
    Changed,
    Deleted,
    /// Word for word as in the first export.
    Same,
    New,
}

/// Writes the first export, `crm_contacts.csv`, and the later one, `crm_contacts_2.csv`, which holds only what the sales
/// team touched since: updates, deletions, new contacts and some that did not change.
pub(crate) fn write_crm(shop: &Shop, directory: &Path) -> io::Result<Vec<DataFile>> {
    let first = Export::create(shop, directory, "crm_contacts.csv", "crm")?.write(|person, luck| match () {
        () if !person.is_in_crm() => None,
        () if luck < 5 => Some(News::Deleted),
        () => Some(News::First),
    })?;
    let second =
        Export::create(shop, directory, "crm_contacts_2.csv", "crm again")?.write(|person, luck| match luck {
            0..15 if !person.is_in_crm() => Some(News::New),
            5..90 if person.is_in_crm() => Some(News::Changed),
            90..100 if person.is_in_crm() => Some(News::Deleted),
            100..140 if person.is_in_crm() => Some(News::Same),
            _ => None,
        })?;
    Ok(vec![first, second])
}

struct Export<'a> {
    shop: &'a Shop,
    file: FileWriter,
    dice: Dice,
    rows: u64,
    /// A broken row follows every so many good ones.
    broken_every: u64,
    broken: u64,
}

impl<'a> Export<'a> {
    fn create(shop: &'a Shop, directory: &Path, name: &str, stream: &str) -> io::Result<Self> {
        let mut file = FileWriter::create(directory, name, "crm_contacts", false)?;
        file.header(HEADER)?;
        Ok(Self {
            shop,
            file,
            dice: Dice::new(shop.seed, stream),
            rows: 0,
            broken_every: (shop.people / 40).clamp(20, 400),
            broken: 0,
        })
    }

    /// Writes the contacts of which `news` has something to say; it is given a number of a thousand that is the person's own.
    fn write(mut self, news: impl Fn(&Person, u64) -> Option<News>) -> io::Result<DataFile> {
        for number in 0..self.shop.people {
            let person = Person::new(self.shop.seed, number);
            let code = mix(mix(self.shop.seed, topic(b"cust")), number);
            let Some(news) = news(&person, scale(code, 1000)) else {
                continue;
            };
            self.contact(&person, code, news, "M")?;
            // One in a hundred was typed in a second time by a colleague who did not search first.
            if news == News::First && scale(mix(code, 9), 100) == 0 {
                self.contact(&person, mix(code, 10), news, "D")?;
            }
        }
        self.file.finish()
    }

    fn contact(&mut self, person: &Person, code: u64, news: News, series: &str) -> io::Result<()> {
        let seconds = DAY as u64 * u64::from(self.shop.days.max(1));
        let created = self.shop.start + scale(mix(code, 1), seconds / 2) as i64;
        let modified = match news {
            News::First | News::Same => created + scale(mix(code, 2), seconds / 4) as i64,
            // After the first export, which was made when four fifths of the time had passed.
            News::Changed | News::New | News::Deleted => {
                self.shop.start + (seconds * 4 / 5 + scale(mix(code, 3), seconds / 5)) as i64
            }
        };
        let moved = news == News::Changed && scale(mix(code, 4), 3) == 0;
        let spelling = match scale(mix(code, 5), 12) {
            0 => Spelling::Shouted,
            1 | 2 => Spelling::Capitals,
            3 => Spelling::TrailingSpace,
            _ => Spelling::Plain,
        };
        // Whoever updates a contact writes the telephone number in his own way.
        let style = scale(mix(code, 6), 5) + u64::from(news == News::Changed);
        let city = if moved {
            person.country.cities[scale(mix(code, 7), person.country.cities.len() as u64) as usize]
        } else {
            person.city
        };
        let has_card = person.has_loyalty_card() && scale(mix(code, 8), 2) == 0;
        let fields: [&str; 14] = [
            &format!("003{series}{:011}AAA", person.number),
            person.given.0,
            person.family.0,
            &text(|out| person.write_email(out, spelling)),
            &person.phone().map(|phone| text(|out| phone.write_by_hand(out, style))).unwrap_or_default(),
            &if has_card { text(|out| person.write_loyalty_card(out)) } else { String::new() },
            city,
            person.country.written[scale(mix(code, 14), person.country.written.len() as u64) as usize],
            LEAD_SOURCES[scale(mix(code, 11), LEAD_SOURCES.len() as u64) as usize],
            if scale(mix(code, 12), 8) == 0 { "true" } else { "false" },
            NOTES[scale(mix(code, 13), NOTES.len() as u64) as usize],
            &text(|out| write_instant(out, created * 1000)),
            &text(|out| write_instant(out, modified.max(created) * 1000)),
            if news == News::Deleted { "true" } else { "false" },
        ];
        self.file.line(&row(&fields))?;
        if news == News::Same {
            self.file.repeated()
        } else {
            self.file.landed()
        }
        self.rows += 1;
        if self.rows.is_multiple_of(self.broken_every) { self.break_one(created) } else { Ok(()) }
    }

    fn break_one(&mut self, at: i64) -> io::Result<()> {
        self.broken += 1;
        let when = text(|out| write_instant(out, at * 1000));
        let email = format!("typo{}@example.com", self.dice.below(1_000_000));
        let fields = |id: &'static str, when: &str| {
            row(&[id, "Kim", "Lee", &email, "", "", "", "FR", "Web", "false", "", when, when, "false"])
        };
        let (reason, line) = match self.broken % 4 {
            0 => ("no_key", fields("", &when)),
            1 => ("bad_row", row(&["003X00000000001AAA", "Kim", "Lee", &email])),
            2 => ("bad_time", fields("003X00000000002AAA", "last Tuesday")),
            _ => {
                let mut line = b"003X00000000003AAA,Jos\xE9,P\xE9rez,".to_vec();
                line.extend_from_slice(&row(&[
                    &email,
                    "",
                    "",
                    "",
                    "ES",
                    "Web",
                    "false",
                    "",
                    &when,
                    &text(|out| write_date(out, at)),
                    "false",
                ]));
                ("bad_encoding", line)
            }
        };
        self.file.broken(reason);
        self.file.line(&line)
    }
}
