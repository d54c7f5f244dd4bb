//! What the shop sells and the pages of its site.

use crate::dice::{mix, scale, topic};

/// A page's path and title, and the name that a page call gives it.
#[derive(Debug)]
pub(crate) struct PageText {
    pub(crate) path: String,
    pub(crate) title: String,
}

/// A thing to buy.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) name: String,
    /// `women/shoes`
    pub(crate) category: String,
    /// In cents.
    pub(crate) price: u64,
    pub(crate) page: PageText,
}

/// A page somebody may be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    Home,
    Section(u16),
    Product(u16),
    Blog(u16),
    Help(u16),
    Search,
    Account,
    Cart,
    Checkout,
    Confirmation,
}

/// A category of a department, with the kinds of products in it.
type Category = (&'static str, &'static [&'static str]);

/// Departments and what they hold: every pair is a section of the site.
const DEPARTMENTS: [(&str, &[Category]); 5] = [
    (
        "women",
        &[
            ("shoes", &["loafer", "ankle-boot", "sandal"]),
            ("dresses", &["wrap-dress", "shirt-dress"]),
            ("bags", &["tote", "crossbody"]),
        ],
    ),
    (
        "men",
        &[
            ("shoes", &["derby", "sneaker", "chelsea-boot"]),
            ("shirts", &["oxford-shirt", "linen-shirt"]),
            ("jackets", &["overshirt", "parka"]),
        ],
    ),
    ("kids", &[("clothes", &["rain-coat", "dungarees"]), ("toys", &["building-set", "plush-bear"])]),
    (
        "home",
        &[
            ("kitchen", &["cast-iron-pan", "mug"]),
            ("lighting", &["table-lamp", "pendant"]),
            ("textiles", &["throw", "duvet-cover"]),
        ],
    ),
    ("outdoor", &[("tents", &["trail-tent", "tarp"]), ("packs", &["day-pack", "trek-pack"])]),
];
const LOOKS: [&str; 12] = [
    "velvet",
    "oak",
    "indigo",
    "sage",
    "terracotta",
    "midnight",
    "sand",
    "coral",
    "graphite",
    "ivory",
    "moss",
    "amber",
];
const ARTICLES: [(&str, &str); 8] = [
    ("how-to-care-for-leather", "How to care for leather"),
    ("capsule-wardrobe", "Twelve pieces, a whole season"),
    ("packing-light", "Packing light for a week outside"),
    ("cast-iron-for-beginners", "Cast iron for beginners"),
    ("our-workshops", "Who makes our shoes"),
    ("gift-guide", "The gift guide"),
    ("repair-not-replace", "Repair, do not replace"),
    ("sizing-explained", "Sizing, explained"),
];
const HELP: [(&str, &str); 3] = [("returns", "Returns"), ("delivery", "Delivery"), ("size-guide", "Size guide")];
/// What people type into the search box.
pub(crate) const SEARCHES: [&str; 10] = [
    "linen shirt",
    "black boots",
    "gift for mum",
    "tent 2 person",
    "sneakers",
    "wrap dress",
    "lampe de table",
    "rain coat kids",
    "sac à dos",
    "sale",
];
/// Products of each kind and section.
const PRODUCTS_A_KIND: u64 = 24;

/// All products and pages.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) products: Vec<Product>,
    /// Section pages with the department (by its place) each belongs to.
    sections: Vec<(u64, PageText)>,
    articles: Vec<PageText>,
    help: Vec<PageText>,
    single: [PageText; 6],
    /// The products of each department, as a range of `products`.
    departments: Vec<std::ops::Range<usize>>,
    /// The sections of each department.
    department_sections: Vec<std::ops::Range<usize>>,
}

impl Catalog {
    /// The catalogue of the shop of that seed.
    pub(crate) fn new(seed: u64) -> Self {
        let (mut products, mut sections) = (Vec::new(), Vec::new());
        let (mut departments, mut department_sections) = (Vec::new(), Vec::new());
        for (place, (department, categories)) in DEPARTMENTS.iter().enumerate() {
            let (first_product, first_section) = (products.len(), sections.len());
            sections.push((place as u64, page(format!("/{department}"), &format!("New for {department}"))));
            for (category, kinds) in *categories {
                sections.push((
                    place as u64,
                    page(format!("/{department}/{category}"), &format!("{category} for {department}")),
                ));
                for kind in *kinds {
                    for number in 0..PRODUCTS_A_KIND {
                        products.push(product(
                            seed,
                            products.len() as u64,
                            &format!("{department}/{category}"),
                            kind,
                            number,
                        ));
                    }
                }
            }
            departments.push(first_product..products.len());
            department_sections.push(first_section..sections.len());
        }
        let texts = |prefix: &str, list: &[(&str, &str)]| {
            list.iter().map(|(slug, title)| page(format!("/{prefix}/{slug}"), title)).collect()
        };
        Self {
            products,
            sections,
            articles: texts("blog", &ARTICLES),
            help: texts("help", &HELP),
            single: [
                page("/".to_owned(), "Things made to last"),
                page("/search".to_owned(), "Search"),
                page("/account".to_owned(), "Your account"),
                page("/cart".to_owned(), "Your cart"),
                page("/checkout".to_owned(), "Checkout"),
                page("/checkout/thank-you".to_owned(), "Thank you"),
            ],
            departments,
            department_sections,
        }
    }

    /// How many departments there are.
    pub(crate) fn department_count(&self) -> u64 {
        self.departments.len() as u64
    }

    /// How many articles the blog has, and how many help pages there are.
    pub(crate) fn article_count(&self) -> usize {
        self.articles.len()
    }

    /// How many help pages there are.
    pub(crate) fn help_count(&self) -> usize {
        self.help.len()
    }

    /// The products of a department.
    pub(crate) fn products_of(&self, department: u64) -> std::ops::Range<usize> {
        self.departments[department as usize % self.departments.len()].clone()
    }

    /// The section pages of a department.
    pub(crate) fn sections_of(&self, department: u64) -> std::ops::Range<usize> {
        self.department_sections[department as usize % self.department_sections.len()].clone()
    }

    /// Path and title of a page.
    pub(crate) fn text(&self, page: Page) -> &PageText {
        match page {
            Page::Home => &self.single[0],
            Page::Search => &self.single[1],
            Page::Account => &self.single[2],
            Page::Cart => &self.single[3],
            Page::Checkout => &self.single[4],
            Page::Confirmation => &self.single[5],
            Page::Section(place) => &self.sections[usize::from(place)].1,
            Page::Product(place) => &self.products[usize::from(place)].page,
            Page::Blog(place) => &self.articles[usize::from(place)],
            Page::Help(place) => &self.help[usize::from(place)],
        }
    }
}

fn page(path: String, title: &str) -> PageText {
    PageText { path, title: format!("{title} | Marlow & Fern") }
}

fn product(seed: u64, place: u64, category: &str, kind: &str, number: u64) -> Product {
    let code = mix(mix(seed, topic(b"prod")), place);
    let look = LOOKS[scale(code, LOOKS.len() as u64) as usize];
    let name = format!("{look} {}", kind.replace('-', " "));
    let path = format!("/{category}/{look}-{kind}-{}", 1000 + place);
    // Prices end in .90 or .00 and most are low: a square keeps the dear ones rare.
    let level = scale(mix(code, 1), 100) * scale(mix(code, 2), 100);
    let price = 900 + level * 3 / 100 * 100 + if number.is_multiple_of(3) { 0 } else { 90 };
    Product { page: page(path, &name), name, category: category.to_owned(), price }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_in_sections_and_need_no_escape() {
        let catalog = Catalog::new(1);
        assert!(catalog.products.len() > 500);
        assert_eq!(catalog.text(Page::Section(1)).path, "/women/shoes");
        for product in &catalog.products {
            assert!(product.page.path.starts_with(&format!("/{}/", product.category)));
            assert!((900..=40_000).contains(&product.price), "{}", product.price);
            assert!(!format!("{}{}", product.name, product.page.title).contains(['"', '\\']));
        }
    }
}
