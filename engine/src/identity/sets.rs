//! What one event or record says of identity: its usable identifiers, unless together they cannot be one person's.

use std::borrow::Cow;

use super::normalize::Normalizer;
use crate::config::{IdentityConfig, Namespace};
use crate::error::Result;
use crate::project::Refusal;

/// Separates the identifiers of a set. No normalised value holds a control character.
pub(super) const SEPARATOR: char = '\u{1f}';

/// The rules of a project.
pub(crate) struct SetRules {
    normalizer: Normalizer,
    config: IdentityConfig,
}

/// An identifier: the rank of its namespace, the namespace, and the normalised value.
pub(super) type Ranked<'a> = (usize, &'a str, Cow<'a, str>);

impl SetRules {
    /// The rules of `config`.
    ///
    /// # Errors
    /// InvalidInput for a pattern or a phone region that is not valid; a parsed configuration has none.
    pub(crate) fn new(config: &IdentityConfig) -> Result<Self> {
        Ok(Self { normalizer: Normalizer::new(config)?, config: config.clone() })
    }

    /// The configuration.
    pub(super) fn config(&self) -> &IdentityConfig {
        &self.config
    }

    /// Puts the usable ones of `pairs` of namespace and value into `found`, each once, the most trusted first. Returns how
    /// many they are.
    ///
    /// # Errors
    /// Why they are no identifier set.
    pub(crate) fn collect<'a>(
        &self,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
        found: &mut Vec<Ranked<'a>>,
    ) -> std::result::Result<usize, Refusal> {
        found.clear();
        for (namespace, value) in pairs {
            if let Some(value) = self.normalizer.normalize(namespace, value) {
                found.push((self.config.priority_of(namespace), namespace, value));
            }
        }
        if found.is_empty() {
            return Err(Refusal::Nobody);
        }
        found.sort_unstable();
        found.dedup();
        for same in found.chunk_by(|left, right| left.1 == right.1) {
            let namespace = same[0].1;
            if let Some(values_max) = self.config.namespace(namespace).and_then(Namespace::values_max)
                && same.len() > values_max as usize
            {
                return Err(Refusal::Several { namespace: namespace.to_owned(), values: same.len(), values_max });
            }
        }
        Ok(found.len())
    }
}
