//! A call with its arguments sorted out: by place, by name, and the condition of `filter (where ...)`.

use super::check::{Checker, snippet};
use super::functions::{Family, family};
use super::literals::text_constant;
use super::parse::sql_parser::ast::{
    Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments,
};
use crate::config::nearest::suggestion;
use crate::error::Result;

const WINDOWS: [&str; 4] = ["within", "ago", "since", "between"];
const WEEKS: [&str; 2] = ["times", "weeks"];
const OF_SEQUENCES: [&str; 5] = ["within", "ago", "since", "between", "span"];

/// A call with its arguments sorted out.
pub(super) struct Call<'s> {
    /// The whole call.
    pub(super) sql: &'s SqlExpr,
    /// In lower case.
    pub(super) name: String,
    /// Arguments without a name.
    pub(super) positional: Vec<&'s SqlExpr>,
    /// Names and values of arguments such as `within => ...`.
    named: Vec<(&'static str, &'s SqlExpr)>,
    /// What follows `where` in `filter (where ...)`.
    pub(super) filter: Option<&'s SqlExpr>,
}

impl<'s> Call<'s> {
    /// The value of a named argument.
    pub(super) fn named(&self, name: &str) -> Option<&'s SqlExpr> {
        self.named.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// The named arguments of a function.
fn names_of(name: &str) -> &'static [&'static str] {
    match family(name) {
        Some(Family::Measure) if name == "did_weekly" => &WEEKS,
        Some(Family::Measure) => &WINDOWS,
        Some(Family::Sequence) => &OF_SEQUENCES,
        _ => &[],
    }
}

impl Checker<'_> {
    /// Takes a call apart and refuses what the language does not have.
    pub(super) fn call<'s>(&self, sql: &'s SqlExpr, function: &'s Function) -> Result<Call<'s>> {
        let name = function.name.to_string().to_lowercase();
        let mut call = Call { sql, name, positional: Vec::new(), named: Vec::new(), filter: None };
        let Function { name: _, uses_odbc_syntax, parameters, args, filter, null_treatment, over, within_group } =
            function;
        let is_plain = !uses_odbc_syntax
            && matches!(parameters, FunctionArguments::None)
            && null_treatment.is_none()
            && over.is_none()
            && within_group.is_empty();
        let arguments: &[FunctionArg] = match args {
            FunctionArguments::None => &[],
            FunctionArguments::List(list)
                if is_plain && list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
            {
                &list.args
            }
            _ => {
                let message = format!(
                    "`{}` is called with its arguments in brackets only, without `over` or `distinct`",
                    call.name
                );
                return self.refuse(sql, message);
            }
        };
        for argument in arguments {
            self.argument(&mut call, argument)?;
        }
        if let Some(filter) = filter {
            self.check_filter(&call, filter)?;
            call.filter = Some(filter);
        }
        Ok(call)
    }

    fn argument<'s>(&self, call: &mut Call<'s>, argument: &'s FunctionArg) -> Result<()> {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => {
                call.positional.push(value);
                Ok(())
            }
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(value),
                operator: FunctionArgOperator::RightArrow,
            }
            | FunctionArg::ExprNamed {
                name: SqlExpr::Identifier(name),
                arg: FunctionArgExpr::Expr(value),
                operator: FunctionArgOperator::RightArrow,
            } => self.named_argument(call, &name.value, value),
            other => self.refuse(call.sql, format!("argument `{other}` of `{}` is not available", call.name)),
        }
    }

    fn named_argument<'s>(&self, call: &mut Call<'s>, name: &str, value: &'s SqlExpr) -> Result<()> {
        let allowed = names_of(&call.name);
        let Some(known) = allowed.iter().find(|known| name.eq_ignore_ascii_case(known)) else {
            let message = if allowed.is_empty() {
                format!("`{}` has no `{name}`; only functions of events such as `event_count` have", call.name)
            } else if OF_SEQUENCES.contains(&name) || WEEKS.contains(&name) {
                format!("`{}` has no `{name}`; it has `{}`", call.name, allowed.join("`, `"))
            } else {
                format!("there is no argument `{name}`; {}", suggestion(name, allowed.iter().copied()))
            };
            return self.refuse(value, message);
        };
        if call.named(known).is_some() {
            return self.refuse(value, format!("`{known}` is given twice; keep one of them"));
        }
        call.named.push((known, value));
        Ok(())
    }

    fn check_filter(&self, call: &Call<'_>, filter: &SqlExpr) -> Result<()> {
        match family(&call.name) {
            Some(Family::Measure | Family::Step) => Ok(()),
            _ if call.name == "top" => Ok(()),
            Some(Family::Sequence) => {
                let hint = "give it to a step: `event('Page Viewed') filter (where page_section = 'pricing')`";
                self.refuse(filter, format!("`did_sequence` has no `filter`; {hint}"))
            }
            _ => {
                let hint = "only `top` and functions of events such as `event_count` have";
                self.refuse(filter, format!("`{}` has no `filter`; {hint}", call.name))
            }
        }
    }

    pub(super) fn wrong_arguments<T>(&self, call: &Call<'_>, usage: &str) -> Result<T> {
        self.refuse(call.sql, format!("wrong arguments; write `{usage}`"))
    }

    /// A name must be there before any profile is read, so it is a constant.
    pub(super) fn name_argument(&self, sql: &SqlExpr, what: &str, usage: &str) -> Result<String> {
        match text_constant(sql) {
            Some(name) if !name.trim().is_empty() => Ok(name.to_owned()),
            Some(_) => self.refuse(sql, format!("{what} is blank; {usage}")),
            None => self.refuse(sql, format!("{what} must be text in single quotes, not {}; {usage}", snippet(sql))),
        }
    }
}
