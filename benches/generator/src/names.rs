//! Names and places: plausible ones of many countries. Nobody here exists.

/// A name as it is written, and as it appears in an e-mail address.
pub(crate) type Name = (&'static str, &'static str);

/// A country the shop sells to.
#[derive(Debug)]
pub(crate) struct Country {
    /// ISO 3166 code.
    pub(crate) code: &'static str,
    /// What people write into a form.
    pub(crate) written: &'static [&'static str],
    /// What a browser sends.
    pub(crate) locale: &'static str,
    /// What its customers pay in.
    pub(crate) currency: &'static str,
    /// How many of a hundred customers live there.
    pub(crate) share: u64,
    pub(crate) cities: &'static [&'static str],
    pub(crate) given: &'static [Name],
    pub(crate) family: &'static [Name],
}

/// Every country, the biggest markets first; the shares add up to 100.
#[rustfmt::skip] // one line a list: the lists are read, never edited in columns
pub(crate) const COUNTRIES: [Country; 10] = [
    Country {
        code: "FR",
        written: &["FR", "France", "FRANCE", "france"],
        locale: "fr-FR",
        currency: "EUR",
        share: 34,
        cities: &["Paris", "Lyon", "Marseille", "Lille", "Nantes", "Bordeaux", "Strasbourg", "Rennes", "L'Haÿ-les-Roses"],
        given: &[
            ("Camille", "camille"), ("Léa", "lea"), ("Hugo", "hugo"), ("Inès", "ines"), ("Mathis", "mathis"), ("Chloé", "chloe"),
            ("Amine", "amine"), ("Fatou", "fatou"), ("Jules", "jules"), ("Zoé", "zoe"), ("Élodie", "elodie"), ("Thomas", "thomas"),
            ("Yasmine", "yasmine"), ("Jean-Marc", "jean-marc"), ("Sylvie", "sylvie"), ("Mamadou", "mamadou"),
        ],
        family: &[
            ("Martin", "martin"), ("Bernard", "bernard"), ("Lefèvre", "lefevre"), ("Moreau", "moreau"), ("Diallo", "diallo"),
            ("Benali", "benali"), ("Girard", "girard"), ("D'Hondt", "dhondt"), ("Rousseau", "rousseau"), ("Nguyen", "nguyen"),
            ("Le Goff", "legoff"), ("Fournier", "fournier"), ("Haddad", "haddad"), ("Perrin", "perrin"), ("Traoré", "traore"),
        ],
    },
    Country {
        code: "US",
        written: &["US", "USA", "United States", "U.S.A."],
        locale: "en-US",
        currency: "USD",
        share: 20,
        cities: &["New York", "Chicago", "Austin", "Seattle", "Atlanta", "Coeur d'Alene", "Denver", "Boston"],
        given: &[
            ("Ava", "ava"), ("Liam", "liam"), ("Mia", "mia"), ("Noah", "noah"), ("Ebony", "ebony"), ("Diego", "diego"), ("Grace", "grace"),
            ("DeShawn", "deshawn"), ("Priya", "priya"), ("Ethan", "ethan"), ("Sofia", "sofia"), ("Tyler", "tyler"), ("Mei", "mei"), ("Ruth", "ruth"),
        ],
        family: &[
            ("Johnson", "johnson"), ("Garcia", "garcia"), ("O'Neill", "oneill"), ("Washington", "washington"), ("Kim", "kim"),
            ("Patel", "patel"), ("Miller", "miller"), ("Rivera", "rivera"), ("Chen", "chen"), ("Jackson", "jackson"), ("Cohen", "cohen"),
            ("Begay", "begay"), ("Hernández", "hernandez"),
        ],
    },
    Country {
        code: "DE",
        written: &["DE", "Deutschland", "Germany", "DEU"],
        locale: "de-DE",
        currency: "EUR",
        share: 12,
        cities: &["Berlin", "München", "Köln", "Hamburg", "Leipzig", "Würzburg"],
        given: &[
            ("Jürgen", "juergen"), ("Lena", "lena"), ("Emre", "emre"), ("Anke", "anke"), ("Jonas", "jonas"), ("Leyla", "leyla"),
            ("Björn", "bjoern"), ("Greta", "greta"), ("Felix", "felix"), ("Katharina", "katharina"),
        ],
        family: &[
            ("Müller", "mueller"), ("Schmidt", "schmidt"), ("Yılmaz", "yilmaz"), ("Weiß", "weiss"), ("Fischer", "fischer"),
            ("von der Heide", "vonderheide"), ("Krüger", "krueger"), ("Kaya", "kaya"), ("Hoffmann", "hoffmann"), ("Köhler", "koehler"),
        ],
    },
    Country {
        code: "GB",
        written: &["GB", "UK", "United Kingdom", "England"],
        locale: "en-GB",
        currency: "EUR",
        share: 9,
        cities: &["London", "Leeds", "Bristol", "Glasgow", "Cardiff", "King's Lynn"],
        given: &[
            ("Ada", "ada"), ("Oliver", "oliver"), ("Aisha", "aisha"), ("Rhys", "rhys"), ("Imogen", "imogen"), ("Callum", "callum"),
            ("Zainab", "zainab"), ("George", "george"), ("Siobhán", "siobhan"), ("Kwame", "kwame"),
        ],
        family: &[
            ("Hughes", "hughes"), ("Khan", "khan"), ("Smith", "smith"), ("O'Brien", "obrien"), ("Adeyemi", "adeyemi"), ("Clarke", "clarke"),
            ("Singh", "singh"), ("MacDonald", "macdonald"), ("Evans", "evans"), ("Fitzroy-Hall", "fitzroy-hall"),
        ],
    },
    Country {
        code: "ES",
        written: &["ES", "España", "Spain"],
        locale: "es-ES",
        currency: "EUR",
        share: 7,
        cities: &["Madrid", "Barcelona", "Sevilla", "A Coruña", "València"],
        given: &[("Lucía", "lucia"), ("Álvaro", "alvaro"), ("Íñigo", "inigo"), ("Carmen", "carmen"), ("Pau", "pau"), ("Noa", "noa"), ("Begoña", "begona")],
        family: &[("García", "garcia"), ("Núñez", "nunez"), ("Etxeberria", "etxeberria"), ("Puig", "puig"), ("Romero", "romero"), ("Ibáñez", "ibanez")],
    },
    Country {
        code: "IT",
        written: &["IT", "Italia", "ITALY"],
        locale: "it-IT",
        currency: "EUR",
        share: 6,
        cities: &["Milano", "Roma", "Torino", "Reggio nell'Emilia", "Napoli"],
        given: &[("Giulia", "giulia"), ("Matteo", "matteo"), ("Niccolò", "niccolo"), ("Chiara", "chiara"), ("Luca", "luca"), ("Aurora", "aurora")],
        family: &[("Rossi", "rossi"), ("D'Angelo", "dangelo"), ("Ferrari", "ferrari"), ("Greco", "greco"), ("Dell'Orto", "dellorto"), ("Bianchi", "bianchi")],
    },
    Country {
        code: "NL",
        written: &["NL", "Nederland", "The Netherlands", "Holland"],
        locale: "nl-NL",
        currency: "EUR",
        share: 4,
        cities: &["Amsterdam", "Utrecht", "'s-Hertogenbosch", "Rotterdam"],
        given: &[("Daan", "daan"), ("Sanne", "sanne"), ("Bram", "bram"), ("Anouk", "anouk"), ("Mohammed", "mohammed"), ("Fleur", "fleur")],
        family: &[("de Vries", "devries"), ("van den Berg", "vandenberg"), ("Jansen", "jansen"), ("El Amrani", "elamrani"), ("Visser", "visser")],
    },
    Country {
        code: "PL",
        written: &["PL", "Polska", "Poland"],
        locale: "pl-PL",
        currency: "EUR",
        share: 3,
        cities: &["Warszawa", "Kraków", "Łódź", "Gdańsk"],
        given: &[("Zofia", "zofia"), ("Łukasz", "lukasz"), ("Agnieszka", "agnieszka"), ("Jakub", "jakub"), ("Małgorzata", "malgorzata")],
        family: &[("Kowalska", "kowalska"), ("Nowak", "nowak"), ("Wiśniewski", "wisniewski"), ("Zając", "zajac"), ("Wójcik", "wojcik")],
    },
    Country {
        code: "JP",
        written: &["JP", "Japan", "日本"],
        locale: "ja-JP",
        currency: "USD",
        share: 3,
        cities: &["東京", "大阪", "Sapporo", "Fukuoka"],
        given: &[("陽菜", "hina"), ("Haruto", "haruto"), ("Yui", "yui"), ("蓮", "ren"), ("Sakura", "sakura")],
        family: &[("佐藤", "sato"), ("Tanaka", "tanaka"), ("Ito", "ito"), ("鈴木", "suzuki"), ("Watanabe", "watanabe")],
    },
    Country {
        code: "BR",
        written: &["BR", "Brasil", "Brazil"],
        locale: "pt-BR",
        currency: "USD",
        share: 2,
        cities: &["São Paulo", "Recife", "Belo Horizonte"],
        given: &[("João", "joao"), ("Beatriz", "beatriz"), ("Caio", "caio"), ("Luíza", "luiza"), ("Tainá", "taina")],
        family: &[("Silva", "silva"), ("Gonçalves", "goncalves"), ("Araújo", "araujo"), ("Nakamura", "nakamura"), ("dos Santos", "dossantos")],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_address_forms_are_ascii() {
        assert_eq!(COUNTRIES.iter().map(|country| country.share).sum::<u64>(), 100);
        for (_, address) in COUNTRIES.iter().flat_map(|country| country.given.iter().chain(country.family)) {
            assert!(address.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{address}");
        }
    }
}
