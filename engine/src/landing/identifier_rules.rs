//! Which rows bring identifiers that can be used: at least one that means somebody, and not too many.

use crate::landing::quarantine::{Reason, Rejection};
use crate::landing::schema::Pair;
use crate::project::IsUsable;

/// The rules of one project.
#[derive(Clone)]
pub(crate) struct IdentifierRules {
    /// The most identifiers of one row.
    pub(crate) max: usize,
    /// Whether an identifier can be used.
    pub(crate) is_usable: IsUsable,
}

impl std::fmt::Debug for IdentifierRules {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "IdentifierRules(max {})", self.max)
    }
}

impl IdentifierRules {
    /// Refuses a row without identifiers, saying `nothing`; with none that can be used; or with too many.
    pub(crate) fn check(&self, identifiers: &[Pair<'_>], nothing: &'static str) -> Result<(), Rejection> {
        if identifiers.is_empty() {
            return Err(Rejection::new(Reason::NoIdentifier, nothing));
        }
        if identifiers.len() > self.max {
            return Err(Rejection::too_many_identifiers(identifiers.len(), self.max));
        }
        if !identifiers.iter().any(|(namespace, value)| (self.is_usable)(namespace, value)) {
            let detail =
                "every identifier is blocked or has not the form of its namespace; see [identity] in tessera.toml";
            return Err(Rejection::new(Reason::NoIdentifier, detail));
        }
        Ok(())
    }
}
