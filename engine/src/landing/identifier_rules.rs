//! Which rows bring identifiers that can be used: at least one that means somebody, not too many, and all of one person.

use crate::landing::quarantine::{Reason, Rejection};
use crate::landing::schema::Pair;
use crate::project::{JudgeIdentifiers, Refusal};

/// The rules of one project.
#[derive(Clone)]
pub(crate) struct IdentifierRules {
    /// The most different identifiers of one row.
    pub(crate) max: usize,
    /// Whether identifiers name a person.
    pub(crate) judge: JudgeIdentifiers,
    /// Namespaces of Salesforce's ids.
    pub(crate) salesforce_namespaces: Vec<String>,
}

impl std::fmt::Debug for IdentifierRules {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "IdentifierRules(max {})", self.max)
    }
}

impl IdentifierRules {
    /// Refuses a row without identifiers, saying `nothing`; with none that can be used; with too many; or with more of a
    /// namespace than one person has.
    pub(crate) fn check(&self, identifiers: &[Pair<'_>], nothing: &'static str) -> Result<(), Rejection> {
        if identifiers.is_empty() {
            return Err(Rejection::new(Reason::NoIdentifier, nothing));
        }
        let count = (self.judge)(identifiers).map_err(|refusal| match refusal {
            Refusal::Nobody => {
                let detail =
                    "every identifier is blocked or has not the form of its namespace; see [identity] in tessera.toml";
                Rejection::new(Reason::NoIdentifier, detail)
            }
            Refusal::Several { namespace, values, values_max } => {
                Rejection::several_persons(&namespace, values, values_max)
            }
        })?;
        if count > self.max { Err(Rejection::too_many_identifiers(count, self.max)) } else { Ok(()) }
    }
}
