//! `?` in a query, as ADBC, JDBC and most other clients write parameters, becomes `$1`, `$2`, ... DataFusion would take
//! every `?` for the same parameter.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{EngineError, Result};

/// The query with numbered parameters. One without `?` stays as it is, to the letter.
///
/// # Errors
/// InvalidInput for text that is not made of SQL tokens, such as an open quote.
pub(crate) fn numbered(sql: &str) -> Result<String> {
    if !sql.contains('?') {
        return Ok(sql.to_owned());
    }
    // Tokens, not text: a question mark may stand in a string or a comment.
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .with_unescape(false)
        .tokenize()
        .map_err(|error| EngineError::invalid(error.to_string()))?;
    let mut number = 0;
    Ok(tokens
        .iter()
        .map(|token| match token {
            Token::Question => {
                number += 1;
                format!("${number}")
            }
            Token::Placeholder(name) if name == "?" => {
                number += 1;
                format!("${number}")
            }
            token => token.to_string(),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn test_question_marks_are_numbered_outside_of_texts_and_comments() {
        let rewritten =
            numbered("select '?', \"a?\", 'it''s ?' -- ?\n from t where a = ? and b in (?, ?) /* ? */").unwrap();
        assert_eq!(rewritten, "select '?', \"a?\", 'it''s ?' -- ?\n from t where a = $1 and b in ($2, $3) /* ? */");
    }

    #[test]
    fn test_queries_without_question_marks_stay_as_they_are() {
        let sql = "select  E'\\n', $1 from t";
        assert_eq!(numbered(sql).unwrap(), sql);
    }

    #[test]
    fn test_an_open_quote_is_an_error() {
        assert!(numbered("select ? from 'x").is_err());
    }
}
