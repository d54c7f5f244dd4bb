//! Telephone numbers out of the ranges that regulators set aside for fiction: ARCEP's (France), Ofcom's (United Kingdom) and
//! 555-01xx (North America). Other countries have too few of them, so their people gave no number.

/// French geographic ranges of ten thousand numbers each.
const FRANCE: [&str; 5] = ["19900", "26191", "35301", "46571", "53649"];
/// British ranges of a thousand numbers each, without the leading zero: those of them that Google's libphonenumber, which most
/// systems use, takes for possible numbers of the country.
const BRITAIN: [&str; 13] = [
    "1134960", "1144960", "1164960", "1174960", "1184960", "1214960", "1314960", "1414960", "1514960", "1614960",
    "1914980", "2079460", "2920180",
];
/// American area codes; each has 555-0100 to 555-0199.
const AMERICA: [&str; 24] = [
    "202", "206", "212", "213", "303", "305", "312", "404", "415", "503", "512", "602", "617", "646", "702", "713",
    "718", "773", "808", "818", "907", "917", "919", "971",
];

/// A telephone number that nobody has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phone {
    calling_code: &'static str,
    range: &'static str,
    /// The last digits, and how many they are.
    rest: u64,
    digits: u32,
}

impl Phone {
    /// The number of the person of that number, while the country's ranges last: no two people share one.
    pub(crate) fn new(country: &str, number: u64) -> Option<Self> {
        let (calling_code, ranges, digits): (&'static str, &'static [&'static str], u32) = match country {
            "FR" => ("33", &FRANCE, 4),
            "GB" => ("44", &BRITAIN, 3),
            "US" => ("1", &AMERICA, 2),
            _ => return None,
        };
        let size = 10u64.pow(digits);
        let range = ranges.get(usize::try_from(number / size).ok()?)?;
        Some(Self { calling_code, range, rest: number % size, digits })
    }

    fn national(&self) -> String {
        let exchange = if self.calling_code == "1" { "55501" } else { "" };
        format!("{}{exchange}{:0width$}", self.range, self.rest, width = self.digits as usize)
    }

    /// Appends the number as people write it; `style` chooses among the usual ways. Only French numbers are ever written
    /// without their country, since the sample project says that its region is France.
    pub(crate) fn write_by_hand(&self, out: &mut Vec<u8>, style: u64) {
        let national = self.national();
        let text = match (self.calling_code, style % 5) {
            ("33", 0) => format!("0{national}"),
            ("33", 1) => pairs(&format!("0{national}"), ' '),
            ("33", 2) => pairs(&format!("0{national}"), '.'),
            ("33", 3) => format!("0033{national}"),
            ("33", _) => format!("+33{national}"),
            ("1", _) => format!("+1 ({}) {}-{}", &national[..3], &national[3..6], &national[6..]),
            (code, 0 | 1) => format!("+{code} {} {}", &national[..4], &national[4..]),
            (code, _) => format!("00{code} (0){national}"),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// `0199001234` as `01 99 00 12 34`.
fn pairs(digits: &str, separator: char) -> String {
    let mut out = String::with_capacity(digits.len() * 3 / 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index % 2 == 0 {
            out.push(separator);
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_hand(country: &str, number: u64, style: u64) -> Option<String> {
        let mut out = Vec::new();
        Phone::new(country, number)?.write_by_hand(&mut out, style);
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn numbers_are_written_as_people_do() {
        assert_eq!(by_hand("FR", 10_042, 1).as_deref(), Some("02 61 91 00 42"));
        assert_eq!(by_hand("FR", 42, 3).as_deref(), Some("0033199000042"));
        assert_eq!(by_hand("FR", 42, 4).as_deref(), Some("+33199000042"));
        assert_eq!(by_hand("US", 143, 0).as_deref(), Some("+1 (206) 555-0143"));
        assert_eq!(by_hand("GB", 999, 0).as_deref(), Some("+44 1134 960999"));
    }

    #[test]
    fn ranges_end() {
        assert!(Phone::new("FR", 49_999).is_some());
        assert!(Phone::new("FR", 50_000).is_none());
        assert!(Phone::new("JP", 1).is_none());
    }
}
