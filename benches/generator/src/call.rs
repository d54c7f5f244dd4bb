//! Segment calls: one event of the traffic as the JSON that an SDK sends.

use std::io::Write;

use crate::calendar::write_instant;
use crate::catalog::{Catalog, SEARCHES};
use crate::dice::{Dice, mix, topic};
use crate::people::{Person, Spelling, write_amount, write_number};
use crate::traffic::Moment;
use crate::visit::{Action, Campaign, Visit};

/// User ids that broken web sites send instead of none.
const JUNK_USER_IDS: [&str; 4] = ["null", "undefined", "anonymous", "unknown"];
/// What people type who do not want to leave an address.
const JUNK_EMAILS: [&str; 2] = ["test@test.com", "N/A"];

/// What an order is worth, as the files tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrderWorth {
    pub(crate) currency: &'static str,
    /// In cents; none when the file holds no usable number.
    pub(crate) revenue: Option<u64>,
}

/// Writes calls of one source.
#[derive(Debug)]
pub(crate) struct CallWriter<'a> {
    catalog: &'a Catalog,
    seed: u64,
    in_app: bool,
    /// Every revenue is a JSON number, and nobody leaves a telephone number.
    is_clean: bool,
    dice: Dice,
    written: u64,
}

impl<'a> CallWriter<'a> {
    /// A writer of web calls or, `in_app`, of an app's.
    pub(crate) fn new(catalog: &'a Catalog, seed: u64, in_app: bool, is_clean: bool) -> Self {
        Self {
            catalog,
            seed,
            in_app,
            is_clean,
            dice: Dice::new(seed, if in_app { "app calls" } else { "web calls" }),
            written: 0,
        }
    }

    /// Appends the call as one JSON object without a line end, and says what the order in it, if it is one, is worth.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, moment: &Moment<'_>) -> Option<OrderWorth> {
        let visit = moment.visit;
        self.written += 1;
        let id = mix(mix(self.seed, if self.in_app { topic(b"appl") } else { topic(b"webs") }), self.written);
        out.extend_from_slice(b"{\"messageId\":\"");
        write_uuid(out, id, mix(id, 1));
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(match moment.action {
            Action::View(_) if self.in_app => b"screen",
            Action::View(_) => b"page",
            Action::Identify => b"identify",
            _ => b"track",
        });
        out.extend_from_slice(b"\",\"anonymousId\":\"");
        write_uuid(out, visit.cookie.0, visit.cookie.1);
        out.push(b'"');
        if visit.is_logged_in {
            out.extend_from_slice(b",\"userId\":\"");
            visit.person.write_user_id(out);
            out.push(b'"');
        } else if self.dice.chance(3) {
            push_member(out, "userId", self.dice.pick(&JUNK_USER_IDS));
        }
        out.extend_from_slice(b",\"timestamp\":\"");
        write_instant(out, moment.occurred_at);
        out.push(b'"');
        self.write_context(out, visit);
        self.write_body(out, moment)
    }

    fn write_context(&self, out: &mut Vec<u8>, visit: &Visit) {
        if self.in_app {
            out.extend_from_slice(b",\"context\":{\"library\":{\"name\":\"analytics-kotlin\",\"version\":\"1.19.2\"},\"app\":{\"name\":\"Marlow & Fern\",\"version\":\"4.");
            write_number(out, visit.cookie.0 % 6);
            out.extend_from_slice(b".0\"},\"os\":{\"name\":\"");
            out.extend_from_slice(if visit.cookie.1.is_multiple_of(2) { b"Android" } else { b"iOS" });
            out.extend_from_slice(b"\"}");
            if visit.person.has_loyalty_card() && visit.is_logged_in {
                out.extend_from_slice(b",\"externalIds\":[{\"id\":\"");
                visit.person.write_loyalty_card(out);
                out.extend_from_slice(b"\",\"type\":\"loyalty_card\",\"collection\":\"users\",\"encoding\":\"none\"}]");
            }
        } else {
            out.extend_from_slice(b",\"context\":{\"library\":{\"name\":\"analytics.js\",\"version\":\"1.84.3\"}");
            let page = self.catalog.text(visit.page);
            out.extend_from_slice(b",\"page\":{\"path\":\"");
            out.extend_from_slice(page.path.as_bytes());
            out.extend_from_slice(b"\",\"title\":\"");
            out.extend_from_slice(page.title.as_bytes());
            if visit.is_first() {
                push_member_text(out, "\",\"referrer\":\"", referrer(visit.campaign));
            }
            out.extend_from_slice(b"\"}");
        }
        if let (true, Some(campaign)) = (visit.is_first(), visit.campaign) {
            push_member_text(out, ",\"campaign\":{\"source\":\"", campaign.source);
            push_member_text(out, "\",\"medium\":\"", campaign.medium);
            push_member_text(out, "\",\"name\":\"", campaign.name);
            out.extend_from_slice(b"\"}");
        }
        push_member(out, "locale", visit.person.country.locale);
        out.push(b'}');
    }

    fn write_body(&mut self, out: &mut Vec<u8>, moment: &Moment<'_>) -> Option<OrderWorth> {
        let (visit, mut worth) = (moment.visit, None);
        match moment.action {
            Action::View(page) => {
                let page = self.catalog.text(page);
                push_member(out, "name", page.title.split(" | ").next().unwrap_or_default());
                push_member_text(out, ",\"properties\":{\"path\":\"", &page.path);
                out.extend_from_slice(b"\"}");
            }
            Action::Search(words) => {
                push_member_text(
                    out,
                    ",\"event\":\"Products Searched\",\"properties\":{\"query\":\"",
                    SEARCHES[usize::from(words)],
                );
                out.extend_from_slice(b"\"}");
            }
            Action::ProductViewed | Action::ProductAdded => {
                let added = moment.action == Action::ProductAdded;
                push_member(out, "event", if added { "Product Added" } else { "Product Viewed" });
                out.extend_from_slice(b",\"properties\":{");
                self.write_product(
                    out,
                    visit.product(),
                    if added { visit.cart[visit.cart_length.max(1) - 1].quantity } else { 1 },
                );
                push_member(out, "currency", visit.person.country.currency);
                out.push(b'}');
            }
            Action::CheckoutStarted => {
                out.extend_from_slice(b",\"event\":\"Checkout Started\",\"properties\":{\"value\":");
                write_amount(out, visit.total(self.catalog));
                push_member(out, "currency", visit.person.country.currency);
                out.push(b'}');
            }
            Action::OrderCompleted => worth = Some(self.write_order(out, moment)),
            Action::Identify => self.write_traits(out, &visit.person),
        }
        out.push(b'}');
        worth
    }

    fn write_product(&self, out: &mut Vec<u8>, product: usize, quantity: u16) {
        let (place, product) = (product, &self.catalog.products[product]);
        out.extend_from_slice(b"\"product_id\":\"p-");
        write_number(out, 1000 + place as u64);
        out.push(b'"');
        push_member(out, "name", &product.name);
        push_member(out, "category", &product.category);
        out.extend_from_slice(b",\"price\":");
        write_amount(out, product.price);
        out.extend_from_slice(b",\"quantity\":");
        write_number(out, u64::from(quantity));
    }

    fn write_order(&mut self, out: &mut Vec<u8>, moment: &Moment<'_>) -> OrderWorth {
        let (visit, currency) = (moment.visit, moment.visit.person.country.currency);
        let total = visit.total(self.catalog);
        out.extend_from_slice(if self.in_app {
            b",\"event\":\"Order Completed\",\"properties\":{\"order_id\":\"A-"
        } else {
            b",\"event\":\"Order Completed\",\"properties\":{\"order_id\":\"W-"
        });
        write_number(out, 100_000 + self.written);
        out.extend_from_slice(b"\",\"revenue\":");
        // An old version of the shop sends text, and sometimes no number at all: the order counts, its revenue is unknown.
        let (as_text, unusable) =
            if self.is_clean { (false, false) } else { (self.dice.chance(30), self.dice.chance(10)) };
        if unusable {
            out.extend_from_slice(b"\"n/a\"");
        } else {
            let quote: &[u8] = if as_text { b"\"" } else { b"" };
            out.extend_from_slice(quote);
            write_amount(out, total);
            out.extend_from_slice(quote);
        }
        push_member(out, "currency", currency);
        out.extend_from_slice(b",\"products\":[");
        for (place, line) in visit.cart[..visit.cart_length].iter().enumerate() {
            out.extend_from_slice(if place == 0 { b"{" } else { b",{" });
            self.write_product(out, usize::from(line.product), line.quantity);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        OrderWorth { currency, revenue: if unusable { None } else { Some(total) } }
    }

    fn write_traits(&mut self, out: &mut Vec<u8>, person: &Person) {
        out.extend_from_slice(b",\"traits\":{\"email\":\"");
        if self.dice.chance(8) {
            out.extend_from_slice(self.dice.pick(&JUNK_EMAILS).as_bytes());
        } else {
            person.write_email(out, Spelling::by_chance(&mut self.dice));
        }
        out.push(b'"');
        push_member(out, "first_name", person.given.0);
        push_member(out, "last_name", person.family.0);
        push_member(out, "city", person.city);
        push_member(out, "country", person.country.code);
        if !self.is_clean
            && let Some(phone) = person.phone().filter(|_| self.dice.chance(400))
        {
            out.extend_from_slice(b",\"phone\":\"");
            phone.write_by_hand(out, self.dice.below(5));
            out.push(b'"');
        }
        out.push(b'}');
    }
}

fn referrer(campaign: Option<&Campaign>) -> &'static str {
    match campaign.map(|campaign| campaign.source) {
        Some("google") => "https://www.google.com/",
        Some("instagram") => "https://l.instagram.com/",
        Some("facebook") => "https://m.facebook.com/",
        Some("partner-blog") => "https://blog.example.org/gifts",
        Some(_) => "",
        None => "https://duckduckgo.com/",
    }
}

/// Appends `,"name":"value"`. The value must need no JSON escape, which holds for all texts of this crate.
pub(crate) fn push_member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn push_member_text(out: &mut Vec<u8>, before: &str, value: &str) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(value.as_bytes());
}

/// Appends 128 bits in the shape of a UUID (version 4).
pub(crate) fn write_uuid(out: &mut Vec<u8>, high: u64, low: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bits = (u128::from(high) << 64 | u128::from(low)) & !(0xF << 76) | (0x4 << 76);
    let bits = bits & !(0x3 << 62) | (0x2 << 62);
    for place in 0..32u32 {
        if matches!(place, 8 | 12 | 16 | 20) {
            out.push(b'-');
        }
        out.push(HEX[(bits >> (124 - 4 * place)) as usize & 0xF]);
    }
}

/// Appends the envelope of a batch call around calls that are already joined by commas.
pub(crate) fn write_batch(out: &mut Vec<u8>, calls: &[u8], sent_at: i64) -> std::io::Result<()> {
    out.write_all(b"{\"batch\":[")?;
    out.write_all(calls)?;
    out.write_all(b"],\"sentAt\":\"")?;
    write_instant(out, sent_at);
    out.write_all(b"\"}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_their_shape() {
        let mut out = Vec::new();
        write_uuid(&mut out, u64::MAX, u64::MAX);
        assert_eq!(String::from_utf8_lossy(&out), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
