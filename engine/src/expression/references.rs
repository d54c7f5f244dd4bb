//! What expressions name that is defined elsewhere: segments, lists, and purposes of consent. Whether it is there is known
//! once all files are read; what is not is told with its place.

use std::collections::BTreeSet;

use super::check::start_of;
use super::literals::text_constant;
use super::parse::sql_parser::ast::{Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};
use super::parse::sql_parser::tokenizer::Location;
use super::search::{Node, walk};
use super::syntax::refused;
use crate::config::nearest::suggestion;

/// What a call names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// `in_segment('name')`.
    Segment,
    /// `in_list('name')`.
    List,
    /// `consented('purpose')`.
    Purpose,
}

impl Named {
    fn by(function: &str) -> Option<Self> {
        match function {
            "in_segment" => Some(Self::Segment),
            "in_list" => Some(Self::List),
            "consented" => Some(Self::Purpose),
            _ => None,
        }
    }

    /// It in the words of messages.
    fn word(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::List => "list",
            Self::Purpose => "purpose of consent",
        }
    }
}

/// A call that names something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// What it names.
    pub(super) to: Named,
    /// Its name.
    pub(super) name: String,
    /// Where the call begins in its file.
    pub(super) at: Location,
}

/// Returns the calls of an expression that name something, in the order of the text.
pub(super) fn references_in(sql: &SqlExpr) -> Vec<Reference> {
    let mut references = Vec::new();
    walk(sql, &mut |node| {
        if let Node::Call(call, function) = node
            && let Some(to) = Named::by(&function.name.to_string().to_lowercase())
            && let Some(name) = only_argument(function).and_then(text_constant)
        {
            references.push(Reference { to, name: name.to_owned(), at: start_of(call) });
        }
    });
    references
}

fn only_argument(function: &Function) -> Option<&SqlExpr> {
    match &function.args {
        FunctionArguments::List(list) => match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] => Some(argument),
            _ => None,
        },
        _ => None,
    }
}

/// The names that there are. Of what is `None` it is not known, and no name of it is refused.
#[derive(Debug, Default)]
pub(crate) struct KnownNames {
    /// Those of segments.
    pub(crate) segments: Option<BTreeSet<String>>,
    /// Those of lists.
    pub(crate) lists: Option<BTreeSet<String>>,
    /// Purposes to which somebody can consent.
    pub(crate) purposes: Option<BTreeSet<String>>,
}

impl KnownNames {
    /// Returns `file:line:column: what is wrong` for each reference, in the file that defines `own_name`, to something that
    /// there is not.
    pub(super) fn mistakes(&self, file: &str, own_name: &str, references: &[Reference]) -> Vec<String> {
        let mistake = |Reference { to, name, at }: &Reference| {
            let (known, own_name) = match to {
                Named::Segment => (self.segments.as_ref()?, Some(own_name)),
                Named::List => (self.lists.as_ref()?, None),
                Named::Purpose => (self.purposes.as_ref()?, None),
            };
            if known.contains(name) {
                return None;
            }
            let others = known.iter().map(String::as_str).filter(|known| Some(*known) != own_name);
            let message = format!("there is no {} `{name}`; {}", to.word(), suggestion(name, others));
            Some(refused(file, *at, message).to_string())
        };
        references.iter().filter_map(mistake).collect()
    }
}
