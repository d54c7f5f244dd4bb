//! "Did you mean": the known name that a wrong one most likely stands for.

/// Returns the known name nearest to `name`, or `None` when none is near enough to be a likely misspelling.
///
/// Near means: equal but for case, or at most a third of the longer name's letters (at least one) inserted, left out,
/// replaced or swapped. Of equally near names the first wins.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in known {
        let longer = wanted.chars().count().max(candidate.chars().count());
        let allowed = (longer / 3).max(1);
        let distance = strsim::osa_distance(&wanted, &candidate.to_lowercase());
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// More names are not listed: nobody reads them, and an error travels in the headers of an answer.
const NAMED_MAX: usize = 20;

/// Returns the end of an error message about an unknown name: "did you mean `x`?", else the list of what is known.
pub(crate) fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(candidate) = nearest(name, known.clone()) {
        return format!("did you mean `{candidate}`?");
    }
    let count = known.clone().into_iter().count();
    let names: Vec<String> = known.into_iter().take(NAMED_MAX).map(|candidate| format!("`{candidate}`")).collect();
    match count.saturating_sub(names.len()) {
        _ if names.is_empty() => "none is known here".to_owned(),
        0 => format!("known: {}", names.join(", ")),
        others => format!("known: {}, and {others} others", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_misspelt_swapped_and_wrongly_cased_names() {
        let known = ["touchpoint", "party", "Email"];
        assert_eq!(nearest("touchpont", known), Some("touchpoint"));
        assert_eq!(nearest("praty", known), Some("party"));
        assert_eq!(nearest("email", known), Some("Email"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn lists_what_is_known_when_nothing_is_near() {
        assert_eq!(suggestion("colour", ["a1", "b1"]), "known: `a1`, `b1`");
        assert_eq!(suggestion("colour", []), "none is known here");
        let many: Vec<String> = (10..40).map(|number| format!("n{number}")).collect();
        let said = suggestion("colour", many.iter().map(String::as_str));
        assert!(said.starts_with("known: `n10`, ") && said.ends_with("`n29`, and 10 others"), "{said}");
    }
}
