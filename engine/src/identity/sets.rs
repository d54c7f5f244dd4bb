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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProjectConfig;

    #[test]
    fn test_a_cookie_comes_last_declared_or_not() {
        let cookies = ["{ name = 'email' }", "{ name = 'anonymous_id' }, { name = 'email' }"];
        for namespaces in cookies {
            let text = format!("version = 1\n[identity]\nnamespaces = [{namespaces}]");
            let rules = SetRules::new(&ProjectConfig::parse(&text, "tessera.toml").unwrap().identity).unwrap();
            let mut found = Vec::new();
            let pairs = [("anonymous_id", "a"), ("user_id", "u"), ("loyalty", "l"), ("email", "e")];
            rules.collect(pairs.into_iter(), &mut found).unwrap();
            let order: Vec<&str> = found.iter().map(|(_, namespace, _)| *namespace).collect();
            assert_eq!(order, ["email", "loyalty", "user_id", "anonymous_id"], "{namespaces}");
        }
    }
}
