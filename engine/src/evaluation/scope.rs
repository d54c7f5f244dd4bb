//! Of whom something is computed, and where that is read.

use std::collections::BTreeSet;

use datafusion::dataframe::DataFrame;
use datafusion::prelude::SessionContext;

use crate::error::Result;
use crate::model::definition::{Reference, Slice};
use crate::store::TableName;

/// Of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Of all profiles.
    Everybody,
    /// Of those that an incremental refresh touched: of all others nothing is new.
    Touched {
        /// The table that has what is new of persons: `new.profile.persons`, or `new.profile.profiles` if they are that.
        persons: &'static str,
    },
}

impl Scope {
    /// What a refresh has to let queries know before this is read.
    pub(crate) fn references(self) -> BTreeSet<Reference> {
        let names = match self {
            Self::Everybody => Vec::new(),
            Self::Touched { persons } => {
                vec![self.identities(), "new.identity.touched", "new.profile.consents", persons]
            }
        };
        let tables = names.into_iter().filter_map(|name| name.strip_prefix("new.")?.split_once('.'));
        let slice = Slice::New;
        tables.map(|(schema, table)| Reference { name: TableName::new(schema, table), slice }).collect()
    }

    /// The identifiers and their profiles.
    pub(super) fn identities(self) -> &'static str {
        match self {
            Self::Everybody => "identity.identities",
            Self::Touched { .. } => "new.identity.identities",
        }
    }

    /// The tables with a row for each profile.
    pub(super) fn persons(self) -> Vec<&'static str> {
        match self {
            Self::Everybody => vec!["profile.persons", "profile.traits"],
            // Their traits are computed.
            Self::Touched { persons } => vec![persons],
        }
    }

    /// A query for who of them consented to which purpose, and once for each purpose that there is, of nobody.
    pub(super) fn consented(self) -> String {
        let consents = match self {
            Self::Everybody => "profile.consents",
            Self::Touched { .. } => "new.profile.consents",
        };
        format!(
            "select purpose, ordinal from {consents} where status = 'granted'
             union all select purpose, cast(null as bigint) from config.consents
             union all select name, cast(null as bigint) from config.known_names where kind = 'purpose'
             union all select distinct purpose, cast(null as bigint) from profile.consents"
        )
    }

    /// What `behavior.measures` has of them.
    pub(super) async fn measures(self, session: &SessionContext) -> Result<DataFrame> {
        Ok(match self {
            Self::Everybody => session.table("behavior.measures").await?,
            // Added up for each profile, under its anchor.
            Self::Touched { .. } => session.table("behavior.touched_measures").await?,
        })
    }
}
