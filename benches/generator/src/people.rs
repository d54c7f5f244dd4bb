//! People: everything about a customer is a function of the shop's seed and the customer's number, so that every file tells
//! the same story and nobody has to be remembered.

use crate::dice::{Dice, mix, scale, topic};
use crate::names::{COUNTRIES, Country, Name};
use crate::phones;

const MAIL_DOMAINS: [(&str, &str); 4] = [
    ("example.com", "Example.com"),
    ("example.org", "Example.ORG"),
    ("example.net", "EXAMPLE.NET"),
    ("mail.example.com", "Mail.Example.com"),
];

/// How somebody happened to type an e-mail address this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// `ada.khan7@example.com`
    Plain,
    /// `Ada.Khan7@Example.com`
    Capitals,
    /// `ada.khan7@example.com `, as forms let it through
    TrailingSpace,
    /// `ADA.KHAN7@EXAMPLE.COM`
    Shouted,
}

impl Spelling {
    /// Most people type it right, most of the time.
    pub(crate) fn by_chance(dice: &mut Dice) -> Self {
        match dice.below(20) {
            0 => Self::Capitals,
            1 => Self::TrailingSpace,
            2 => Self::Shouted,
            _ => Self::Plain,
        }
    }
}

/// One customer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person {
    /// 0 to people - 1.
    pub(crate) number: u64,
    code: u64,
    pub(crate) country: &'static Country,
    pub(crate) given: &'static Name,
    pub(crate) family: &'static Name,
    pub(crate) city: &'static str,
}

/// The facts that are drawn from a person's code, each from its own number so that they are independent.
#[derive(Clone, Copy)]
enum Fact {
    Country,
    Given,
    Family,
    Abroad,
    City,
    MailDomain,
    Registered,
    Devices,
    Crm,
    Loyalty,
    Phone,
    Household,
    Department,
    Cookies,
    App,
}

impl Person {
    /// The customer of that number in the shop of that seed.
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let code = mix(mix(seed, topic(b"peop")), number);
        let country = country_of(draw(code, Fact::Country, 100));
        // People move: one in eight has a given name from somewhere else.
        let named_in =
            if draw(code, Fact::Abroad, 8) == 0 { country_of(draw(code, Fact::Abroad, 800) % 100) } else { country };
        Self {
            number,
            code,
            country,
            given: &named_in.given[draw(code, Fact::Given, named_in.given.len() as u64) as usize],
            family: &country.family[draw(code, Fact::Family, country.family.len() as u64) as usize],
            city: country.cities[draw(code, Fact::City, country.cities.len() as u64) as usize],
        }
    }

    fn percent(&self, fact: Fact) -> u64 {
        draw(self.code, fact, 100)
    }

    /// Has an account of the web shop, and so a user id.
    pub(crate) fn is_registered(&self) -> bool {
        self.percent(Fact::Registered) < 62
    }

    /// Has the app (only people with an account do).
    pub(crate) fn has_app(&self) -> bool {
        self.is_registered() && self.percent(Fact::App) < 45
    }

    /// Is known to the sales team.
    pub(crate) fn is_in_crm(&self) -> bool {
        self.percent(Fact::Crm) < 40
    }

    /// Carries the loyalty card of the shops.
    pub(crate) fn has_loyalty_card(&self) -> bool {
        self.percent(Fact::Loyalty) < 35
    }

    /// Browsers in use: most people have one or two, few have four.
    pub(crate) fn devices(&self) -> u64 {
        match self.percent(Fact::Devices) {
            0..=47 => 1,
            48..=81 => 2,
            82..=95 => 3,
            _ => 4,
        }
    }

    /// The department of the shop that this person likes best, of `departments`.
    pub(crate) fn favourite(&self, departments: u64) -> u64 {
        draw(self.code, Fact::Department, departments)
    }

    /// The `anonymous_id` of one of this person's browsers on a day (counted from 1970). Some people clear their cookies.
    /// With `shared_devices`, some neighbours (2n and 2n + 1) share the first browser of their household.
    pub(crate) fn cookie(&self, seed: u64, device: u64, day: i64, shared_devices: bool) -> (u64, u64) {
        let household = mix(mix(seed, topic(b"home")), self.number / 2);
        let owner = if shared_devices && device == 0 && draw(household, Fact::Household, 100) < 6 {
            household
        } else {
            self.code
        };
        let clears = draw(mix(owner, device), Fact::Cookies, 10) == 0;
        let period = if clears { day.div_euclid(45) as u64 } else { 0 };
        let high = mix(mix(owner, device + 1), period);
        (high, mix(high, topic(b"cook")))
    }

    /// Appends the user id of the web shop.
    pub(crate) fn write_user_id(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"usr_");
        write_number(out, 100_000 + self.number);
    }

    /// Appends the number of the loyalty card, `LC` and ten digits.
    pub(crate) fn write_loyalty_card(&self, out: &mut Vec<u8>) {
        // The factor has no divisor in common with 10^8: no two of the first hundred million people share a number.
        out.extend_from_slice(b"LC");
        write_number(
            out,
            1_000_000_000 * (1 + self.number / 100_000_000) + self.number.wrapping_mul(48_271_961) % 100_000_000,
        );
    }

    /// Appends the e-mail address. The number in it keeps namesakes apart.
    pub(crate) fn write_email(&self, out: &mut Vec<u8>, spelling: Spelling) {
        let start = out.len();
        let (domain, odd_domain) = MAIL_DOMAINS[draw(self.code, Fact::MailDomain, 4) as usize];
        out.extend_from_slice(self.given.1.as_bytes());
        out.push(b'.');
        let family = out.len();
        out.extend_from_slice(self.family.1.as_bytes());
        write_number(out, self.number);
        out.push(b'@');
        match spelling {
            Spelling::Plain => out.extend_from_slice(domain.as_bytes()),
            Spelling::Capitals => {
                out[start].make_ascii_uppercase();
                out[family].make_ascii_uppercase();
                out.extend_from_slice(odd_domain.as_bytes());
            }
            Spelling::TrailingSpace => {
                out.extend_from_slice(domain.as_bytes());
                out.push(b' ');
            }
            Spelling::Shouted => {
                out.extend_from_slice(domain.as_bytes());
                out[start..].make_ascii_uppercase();
            }
        }
    }

    /// The telephone number, for people who gave one. Only numbers that are reserved for fiction are used, so of a large
    /// shop only the first tens of thousands of people can have one.
    pub(crate) fn phone(&self) -> Option<phones::Phone> {
        if self.percent(Fact::Phone) < 70 { phones::Phone::new(self.country.code, self.number) } else { None }
    }
}

/// Chooses who is active: a Pareto distribution, in which a few people do most of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    seed: u64,
    people: u64,
}

impl Crowd {
    /// A crowd of at least one.
    pub(crate) fn new(seed: u64, people: u64) -> Self {
        Self { seed, people: people.max(1) }
    }

    /// Somebody, the more active ones more often. One time in thirty it is one of the most devoted thousandth.
    pub(crate) fn somebody(&self, dice: &mut Dice) -> Person {
        let rank = if dice.below(30) == 0 {
            dice.below(self.people.div_ceil(1000))
        } else {
            let pareto = (1.0 - dice.unit()).powf(-1.0 / 1.2) - 1.0;
            (pareto * self.people as f64 * 0.25) as u64 % self.people
        };
        // The factor is a prime beyond any number of people we make: rank and number are a permutation of one another.
        let number = u128::from(rank) * 2_654_435_761 % u128::from(self.people);
        Person::new(self.seed, number as u64)
    }

    /// Somebody for whom `fits` holds; after many tries anybody, so that a tiny crowd cannot hang us.
    pub(crate) fn somebody_who(&self, dice: &mut Dice, fits: impl Fn(&Person) -> bool) -> Person {
        let mut person = self.somebody(dice);
        for _ in 0..64 {
            if fits(&person) {
                break;
            }
            person = self.somebody(dice);
        }
        person
    }
}

fn draw(code: u64, fact: Fact, limit: u64) -> u64 {
    scale(mix(code, fact as u64 + 1), limit)
}

fn country_of(percent: u64) -> &'static Country {
    let mut left = percent;
    for country in &COUNTRIES {
        if left < country.share {
            return country;
        }
        left -= country.share;
    }
    &COUNTRIES[0]
}

/// Appends a number in decimal.
pub(crate) fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0u8; 20];
    let mut place = digits.len();
    let mut left = number;
    loop {
        place -= 1;
        digits[place] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[place..]);
}

/// Appends an amount of minor units as a decimal: 1990 is `19.90`.
pub(crate) fn write_amount(out: &mut Vec<u8>, minor: u64) {
    write_number(out, minor / 100);
    out.push(b'.');
    out.push(b'0' + (minor / 10 % 10) as u8);
    out.push(b'0' + (minor % 10) as u8);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn identifiers_of_different_people_differ() {
        let mut seen = BTreeSet::new();
        for number in 0..20_000 {
            let person = Person::new(7, number);
            assert!(seen.insert(text(|out| person.write_email(out, Spelling::Plain))));
            assert!(seen.insert(text(|out| person.write_user_id(out))));
            assert!(seen.insert(text(|out| person.write_loyalty_card(out))));
            if let Some(phone) = person.phone() {
                assert!(seen.insert(text(|out| phone.write_by_hand(out, 4))));
            }
        }
    }

    #[test]
    fn spellings_are_one_address() {
        let person = Person::new(7, 41);
        let plain = text(|out| person.write_email(out, Spelling::Plain));
        for spelling in [Spelling::Capitals, Spelling::TrailingSpace, Spelling::Shouted] {
            let other = text(|out| person.write_email(out, spelling));
            assert_ne!(other, plain);
            assert_eq!(other.trim().to_ascii_lowercase(), plain);
        }
    }

    #[test]
    fn a_few_people_are_most_of_the_crowd() {
        let crowd = Crowd::new(3, 1000);
        let mut dice = Dice::new(3, "crowd");
        let mut visits = vec![0u32; 1000];
        for _ in 0..20_000 {
            visits[crowd.somebody(&mut dice).number as usize] += 1;
        }
        visits.sort_unstable_by(|a, b| b.cmp(a));
        let top: u32 = visits[..200].iter().sum();
        assert!(top > 9_000, "the first fifth made {top} of 20000 visits");
        assert!(visits.iter().filter(|n| **n > 0).count() > 900);
    }

    #[test]
    fn some_households_share_a_browser_and_only_when_asked() {
        let shared = |flag| {
            (0..500)
                .filter(|n| {
                    Person::new(1, 2 * n).cookie(1, 0, 20_000, flag)
                        == Person::new(1, 2 * n + 1).cookie(1, 0, 20_000, flag)
                })
                .count()
        };
        assert_eq!(shared(false), 0);
        assert!((5..80).contains(&shared(true)));
    }

    #[test]
    fn amounts_have_two_decimals() {
        assert_eq!(text(|out| write_amount(out, 1990)), "19.90");
        assert_eq!(text(|out| write_amount(out, 5)), "0.05");
    }
}
