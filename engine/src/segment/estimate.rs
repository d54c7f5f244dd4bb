//! Whom an expression selects that is not saved.

use datafusion::prelude::SessionContext;
use roaring::RoaringBitmap;

use super::evaluate::parse;
use crate::error::Result;
use crate::evaluation::Census;
use crate::expression::{self, Expr, SourceFile};
use crate::query::functions::text;

/// What an expression that is not saved is called while it is compiled.
const UNSAVED: &str = "-";

/// The ordinals of those whom an expression selects. It may name the segments that the session has.
///
/// # Errors
/// InvalidInput with line and column, and the nearest known names, for an expression that is wrong.
pub(crate) async fn selected(session: &SessionContext, census: &Census, expression: &str) -> Result<RoaringBitmap> {
    let mut files =
        vec![SourceFile { name: UNSAVED.to_owned(), file: "the expression".to_owned(), text: expression.to_owned() }];
    for batch in session.sql("select segment, expression from segment.segments").await?.collect().await? {
        let (names, expressions) = (text(batch.column(0))?, text(batch.column(1))?);
        files.extend(names.iter().zip(expressions.iter()).filter_map(|(name, expression)| {
            Some(SourceFile {
                name: name?.to_owned(),
                file: format!("segment `{}`", name?),
                text: expression?.to_owned(),
            })
        }));
    }
    let mut definitions = parse(session, &files).await?;
    // The others are compiled for those that it names.
    let needed = expression::needed(&definitions, [UNSAVED]);
    definitions.retain(|definition| needed.contains(&definition.name));
    let conditions: Vec<(&str, &Expr)> =
        definitions.iter().map(|definition| (definition.name.as_str(), &definition.expression)).collect();
    let expressions: Vec<&Expr> = conditions.iter().map(|(_, condition)| *condition).collect();
    let population = census.population(&expressions).await?;
    let selected = population.selected(&conditions).await?;
    let of_name = conditions.iter().zip(selected).find(|((name, _), _)| *name == UNSAVED);
    Ok(of_name.map(|(_, selected)| selected).unwrap_or_default())
}

/// What an expression says, in words.
///
/// # Errors
/// As [`selected`]; which segments there are does not matter.
pub(crate) async fn in_words(session: &SessionContext, expression: &str) -> Result<String> {
    let columns = super::evaluate::columns(session).await?;
    let file = SourceFile { name: UNSAVED.to_owned(), file: "the expression".to_owned(), text: expression.to_owned() };
    Ok(expression::in_words(&expression::parse_segment(&file, &columns)?.expression))
}
