//! Files of the language before they are read, and what they define.

use super::behavior::Window;
use super::references::Reference;
use super::tree::{ColumnType, Expr};

/// A file not yet parsed: what its expression may name is known only when profiles are computed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SourceFile {
    /// The name of what it defines: the file's, without its ending.
    pub(crate) name: String,
    /// Where the file is, for messages.
    pub(crate) file: String,
    /// Its text.
    pub(crate) text: String,
}

/// A segment as its file defines it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SegmentDefinition {
    /// How other segments and people call it: lower-case letters, digits, `_` and `-`.
    pub(crate) name: String,
    /// The file as messages call it.
    pub(crate) file: String,
    /// A short name for people.
    pub(crate) title: Option<String>,
    /// What its members may be used for: for people. It asks for no consent; `consented` in the expression does.
    pub(crate) purpose: Option<String>,
    /// Longer words for people.
    pub(crate) description: Option<String>,
    /// The expression as written, without the header. For people to read: never to run.
    pub(crate) sql: String,
    /// The expression. It is a condition: its type is boolean, and a profile for which it is null is no member.
    pub(crate) expression: Expr,
    /// What the expression names that is defined elsewhere, in the order of the text.
    pub(super) references: Vec<Reference>,
}

/// A trait as its file defines it: a column that is computed for every profile.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TraitDefinition {
    /// The column's name: lower-case letters, digits and `_`, beginning with a letter.
    pub(crate) name: String,
    /// The file as messages call it.
    pub(crate) file: String,
    /// A short name for people.
    pub(crate) title: Option<String>,
    /// Longer words for people.
    pub(crate) description: Option<String>,
    /// The type of the expression.
    pub(crate) column_type: ColumnType,
    /// The window of figures that give none.
    pub(crate) window: Option<Window>,
    /// The expression as written, without the header. For people to read: never to run.
    pub(crate) sql: String,
    /// The expression. Its windows are all given.
    pub(crate) expression: Expr,
    /// What the expression names that is defined elsewhere, in the order of the text.
    pub(super) references: Vec<Reference>,
}
