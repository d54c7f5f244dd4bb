//! A visit: what one person does in a row, planned when it starts.

use crate::catalog::{Catalog, Page, SEARCHES};
use crate::dice::Dice;
use crate::people::Person;

/// The longest visit.
const STEPS_MAX: usize = 40;
/// The most different products in one order.
const CART_MAX: usize = 3;

/// What somebody does at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A page (or a screen of the app) is shown.
    View(Page),
    /// `Products Searched`, with the place of the words in [`SEARCHES`].
    Search(u8),
    /// `Product Viewed`
    ProductViewed,
    /// `Product Added`
    ProductAdded,
    /// `Checkout Started`
    CheckoutStarted,
    /// `Order Completed`
    OrderCompleted,
    /// The person logs in or, without an account, leaves an e-mail address: an identify call.
    Identify,
}

/// An e-mail or advertising campaign that brings people to the shop.
#[derive(Debug)]
pub(crate) struct Campaign {
    pub(crate) source: &'static str,
    pub(crate) medium: &'static str,
    pub(crate) name: &'static str,
}

const CAMPAIGNS: [Campaign; 7] = [
    Campaign { source: "newsletter", medium: "email", name: "weekly" },
    Campaign { source: "newsletter", medium: "email", name: "back_in_stock" },
    Campaign { source: "google", medium: "cpc", name: "brand" },
    Campaign { source: "google", medium: "cpc", name: "shoes_generic" },
    Campaign { source: "instagram", medium: "paid_social", name: "new_season" },
    Campaign { source: "partner-blog", medium: "affiliate", name: "gift_guide" },
    Campaign { source: "facebook", medium: "paid_social", name: "retargeting" },
];

/// One product in a cart.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CartLine {
    pub(crate) product: u16,
    pub(crate) quantity: u16,
}

/// A visit with its plan and where it stands.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) person: Person,
    pub(crate) cookie: (u64, u64),
    /// The person is logged in: from the start in a browser that remembers, else after the login.
    pub(crate) is_logged_in: bool,
    pub(crate) campaign: Option<&'static Campaign>,
    /// The page that is open.
    pub(crate) page: Page,
    pub(crate) cart: [CartLine; CART_MAX],
    pub(crate) cart_length: usize,
    /// How long the device was offline before it could send: all of the visit happened earlier than it arrives.
    pub(crate) late_by: i64,
    product: u16,
    steps: [Action; STEPS_MAX],
    length: usize,
    next: usize,
}

/// How far a visit goes; every stage includes the ones before it.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Goal {
    Glance,
    Browse,
    Cart,
    Checkout,
    Order,
}

impl Visit {
    /// Plans a visit of `person`.
    pub(crate) fn plan(
        catalog: &Catalog,
        person: Person,
        cookie: (u64, u64),
        in_app: bool,
        late_by: i64,
        dice: &mut Dice,
    ) -> Self {
        let remembered = person.is_registered() && dice.chance(if in_app { 850 } else { 350 });
        let mut visit = Self {
            person,
            cookie,
            is_logged_in: remembered,
            campaign: if dice.chance(if in_app { 100 } else { 380 }) {
                Some(&CAMPAIGNS[dice.place(CAMPAIGNS.len())])
            } else {
                None
            },
            page: Page::Home,
            cart: [CartLine::default(); CART_MAX],
            cart_length: 0,
            late_by,
            product: 0,
            steps: [Action::ProductViewed; STEPS_MAX],
            length: 0,
            next: 0,
        };
        visit.plan_steps(catalog, dice);
        visit
    }

    fn plan_steps(&mut self, catalog: &Catalog, dice: &mut Dice) {
        let goal = match dice.below(1000) {
            0..=279 => Goal::Glance,
            280..=779 => Goal::Browse,
            780..=889 => Goal::Cart,
            890..=929 => Goal::Checkout,
            _ => Goal::Order,
        };
        self.push(Action::View(self.landing_page(catalog, dice)));
        if goal == Goal::Glance {
            return;
        }
        let mut identified = self.is_logged_in;
        if !identified && self.person.is_registered() && dice.chance(180) {
            self.push(Action::View(Page::Account));
            self.push(Action::Identify);
            identified = true;
        }
        for _ in 0..dice.between(1, 3) + dice.below(4) {
            self.push_browsing(catalog, dice);
        }
        if goal < Goal::Cart {
            return;
        }
        for _ in 0..dice.between(1, CART_MAX as u64) {
            self.push_product(catalog, dice);
            self.push(Action::ProductAdded);
        }
        if goal < Goal::Checkout {
            return;
        }
        self.push(Action::View(Page::Cart));
        self.push(Action::View(Page::Checkout));
        self.push(Action::CheckoutStarted);
        if goal < Goal::Order {
            return;
        }
        if !identified {
            self.push(Action::Identify);
        }
        self.push(Action::OrderCompleted);
        self.push(Action::View(Page::Confirmation));
    }

    fn landing_page(&self, catalog: &Catalog, dice: &mut Dice) -> Page {
        match dice.below(10) {
            0..=3 => Page::Home,
            4..=6 => self.section(catalog, dice),
            7 | 8 => Page::Blog(dice.place(catalog.article_count()) as u16),
            _ => Page::Help(dice.place(catalog.help_count()) as u16),
        }
    }

    /// The department of the moment: three times in four the one that this person likes best.
    fn department(&self, catalog: &Catalog, dice: &mut Dice) -> u64 {
        let count = catalog.department_count();
        if dice.chance(750) { self.person.favourite(count) } else { dice.below(count) }
    }

    fn section(&self, catalog: &Catalog, dice: &mut Dice) -> Page {
        let sections = catalog.sections_of(self.department(catalog, dice));
        Page::Section((sections.start + dice.place(sections.len())) as u16)
    }

    fn push_browsing(&mut self, catalog: &Catalog, dice: &mut Dice) {
        match dice.below(20) {
            0..=6 => self.push(Action::View(self.section(catalog, dice))),
            7 => self.push(Action::View(Page::Blog(dice.place(catalog.article_count()) as u16))),
            8 => self.push(Action::View(Page::Help(dice.place(catalog.help_count()) as u16))),
            9 | 10 => {
                self.push(Action::View(Page::Search));
                self.push(Action::Search(dice.place(SEARCHES.len()) as u8));
            }
            _ => self.push_product(catalog, dice),
        }
    }

    fn push_product(&mut self, catalog: &Catalog, dice: &mut Dice) {
        let products = catalog.products_of(self.department(catalog, dice));
        // The square makes the first products of a department its best-sellers.
        let place = (dice.unit() * dice.unit() * products.len() as f64) as usize;
        self.push(Action::View(Page::Product((products.start + place) as u16)));
        self.push(Action::ProductViewed);
    }

    fn push(&mut self, action: Action) {
        if self.length < STEPS_MAX {
            self.steps[self.length] = action;
            self.length += 1;
        }
    }

    /// Actions of the whole visit.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Ends the visit after `length` actions.
    pub(crate) fn cut(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Whether the next action is the visit's first.
    pub(crate) fn is_first(&self) -> bool {
        self.next == 1
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_over(&self) -> bool {
        self.next >= self.length
    }

    /// Seconds of thought, in milliseconds, before the next action.
    pub(crate) fn pause(&self, dice: &mut Dice) -> i64 {
        if matches!(self.steps.get(self.next), Some(Action::ProductViewed | Action::Search(_))) {
            return dice.between(40, 400) as i64; // sent by the page as it opens
        }
        // Some leave the tab open over lunch: the same visit, but another session.
        let longest = if dice.chance(12) { 5_400_000 } else { 120_000 };
        2_000 + (dice.unit() * dice.unit() * longest as f64) as i64
    }

    /// Takes the next step, and remembers what it changes.
    pub(crate) fn step(&mut self, dice: &mut Dice) -> Action {
        let action = self.steps[self.next.min(STEPS_MAX - 1)];
        self.next += 1;
        match action {
            Action::View(page) => {
                self.page = page;
                if let Page::Product(product) = page {
                    self.product = product;
                }
            }
            Action::ProductAdded => {
                if let Some(line) = self.cart.get_mut(self.cart_length) {
                    *line = CartLine { product: self.product, quantity: if dice.chance(150) { 2 } else { 1 } };
                    self.cart_length += 1;
                }
            }
            Action::Identify => self.is_logged_in = self.person.is_registered(),
            _ => {}
        }
        action
    }

    /// The product that was looked at last.
    pub(crate) fn product(&self) -> usize {
        usize::from(self.product)
    }

    /// What the cart costs, in cents.
    pub(crate) fn total(&self, catalog: &Catalog) -> u64 {
        self.cart[..self.cart_length]
            .iter()
            .map(|line| catalog.products[usize::from(line.product)].price * u64::from(line.quantity))
            .sum()
    }
}
