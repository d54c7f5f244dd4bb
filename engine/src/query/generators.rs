//! Bounds for the functions of SQL that make much out of little: `repeat('x', 1000000000)`, `range(1, 1000000000000)`.
//!
//! What they make is in no operator's reservation, so nothing else would stop them before the process has no memory left. The
//! operator `||` and the aggregate `string_agg` are bounded by `query::concatenation`.

mod arguments;
mod estimates;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

use self::arguments::Arguments;
use self::estimates::{
    all_lists, all_texts, compared_texts, formatted_time, joined_list, padded_text, repeated_element, repeated_text,
    replaced_elements, replaced_pattern, replaced_text, resized_list, separated_texts, series, split_text,
};
use crate::limits::FUNCTION_BYTES_MAX;

/// The bytes, roughly and never below 0, that a function makes of one row besides those that it is given.
type BytesOfRow = fn(&Arguments, usize) -> i128;

/// Puts bounded functions in the place of those that a session has.
pub(super) fn bound(session: &SessionContext) -> Result<()> {
    let makers: [(&str, BytesOfRow); 17] = [
        ("repeat", repeated_text),
        ("lpad", padded_text),
        ("rpad", padded_text),
        ("replace", replaced_text),
        ("regexp_replace", replaced_pattern),
        ("concat", all_texts),
        ("concat_ws", separated_texts),
        ("to_char", formatted_time),
        ("string_to_array", split_text),
        ("array_to_string", joined_list),
        ("range", series),
        ("generate_series", series),
        ("array_repeat", repeated_element),
        ("array_resize", resized_list),
        ("array_concat", all_lists),
        ("array_replace_n", replaced_elements),
        ("array_replace_all", replaced_elements),
    ];
    for (name, bytes_of_row) in makers {
        bound_one(session, name, bytes_of_row, MAKES_TOO_MUCH)?;
    }
    bound_one(session, "levenshtein", compared_texts, COMPARES_TOO_MUCH)
}

fn bound_one(session: &SessionContext, name: &str, bytes_of_row: BytesOfRow, too_much: &'static str) -> Result<()> {
    let state = session.state_ref();
    let function = state.read().udf(name)?;
    let bounded = ScalarUDF::from(Bounded { function, bytes_of_row, too_much });
    state.write().register_udf(Arc::new(bounded))?;
    Ok(())
}

/// What is more than [`FUNCTION_BYTES_MAX`].
const MAKES_TOO_MUCH: &str = "would make more than 64 MiB of one batch of rows: ask for less at once";
const COMPARES_TOO_MUCH: &str =
    "would compare for seconds on one batch of rows: compare shorter texts, such as `left(a, 200)` with `left(b, 200)`";

/// The refusal of a function or an operator.
pub(super) fn refusal(name: &str, too_much: &str) -> DataFusionError {
    DataFusionError::ResourcesExhausted(format!("`{name}` {too_much}"))
}

/// A function that is asked first how much it will make.
struct Bounded {
    function: Arc<ScalarUDF>,
    bytes_of_row: BytesOfRow,
    too_much: &'static str,
}

impl Bounded {
    fn check(&self, arguments: &ScalarFunctionArgs) -> Result<()> {
        let arguments = Arguments::new(arguments)?;
        let mut bytes = 0;
        for row in 0..arguments.rows {
            bytes += (self.bytes_of_row)(&arguments, row);
            if bytes > FUNCTION_BYTES_MAX as i128 {
                return Err(refusal(self.function.name(), self.too_much));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Bounded {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.function.name())
    }
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.function.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.function.return_field_from_args(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&arguments)?;
        self.function.invoke_with_args(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::functions::text;

    #[tokio::test]
    async fn test_a_row_that_gives_nothing_makes_no_room_for_another() {
        let session = SessionContext::new();
        bound(&session).unwrap();
        let query = "select range(1, stop) from (values (-1000000000000), (1000000000000)) as t(stop)";
        let error = session.sql(query).await.unwrap().collect().await.unwrap_err();
        assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{error}");
    }

    async fn answer(expression: &str) -> Result<String> {
        let session = SessionContext::new();
        bound(&session)?;
        let batches = session.sql(&format!("select cast({expression} as varchar) as value")).await?.collect().await?;
        Ok(text(batches[0].column(0))?.value(0).to_owned())
    }

    #[tokio::test]
    async fn test_what_is_small_is_as_before() {
        for (expression, expected) in [
            ("repeat('ab', 3)", "ababab"),
            ("repeat('ab', -3)", ""),
            ("lpad('a', 3, '-')", "--a"),
            ("rpad('a', 3)", "a  "),
            ("replace('aXb', 'X', '--')", "a--b"),
            ("length(replace(repeat('a', 100000), '', repeat('b', 1000)))", "100000"),
            ("range(3)", "[0, 1, 2]"),
            ("generate_series(3, 1, -1)", "[3, 2, 1]"),
            ("range(2, 9, 3)", "[2, 5, 8]"),
            ("range(date '2026-01-01', date '2026-03-01', interval '1 month')", "[2026-01-01, 2026-02-01]"),
            ("array_repeat('a', 2)", "[a, a]"),
            ("list_resize([1], 2, 0)", "[1, 0]"),
            ("cardinality(range(null, 3))", ""),
            ("cardinality(range(1, -1000000000000))", "0"),
            ("cardinality(array_repeat(range(1000), 1000))", "1000000"),
            ("regexp_replace('a1b22', '([0-9]+)', '<\\1>', 'g')", "a<1>b<22>"),
            ("length(regexp_replace(repeat('ab', 1000), 'A', repeat('b', 100), 'gi'))", "101000"),
            ("length(regexp_replace(repeat('a', 100000), 'b', repeat('b', 1000), 'g'))", "100000"),
            ("concat('a', 1, null, 'b')", "a1b"),
            ("concat_ws('-', 'a', null, 'b')", "a-b"),
            ("to_char(date '2026-05-01', '%d.%m.')", "01.05."),
            ("string_to_array('a,b', ',')", "[a, b]"),
            ("array_to_string([1, 2], '-')", "1-2"),
            ("array_concat([1], [2, 3])", "[1, 2, 3]"),
            ("array_replace_all([1, 2, 1], 1, 3)", "[3, 2, 3]"),
            ("levenshtein(repeat('a', 1000), repeat('b', 1000))", "1000"),
        ] {
            match answer(expression).await {
                Ok(found) => assert_eq!(found, expected, "{expression}"),
                Err(error) => panic!("{expression}: {error}"),
            }
        }
    }

    #[tokio::test]
    async fn test_what_is_too_much_is_refused_before_it_is_made() {
        for expression in [
            "length(repeat('x', 1000000000))",
            "length(lpad('x', 1500000000, 'y'))",
            "length(rpad('x', 1500000000))",
            "length(replace(repeat('x', 1000000), 'x', repeat('y', 1000000)))",
            "cardinality(range(1, 1000000000000))",
            "cardinality(range(1, -1000000000000, -1))",
            "cardinality(generate_series(1000000000000))",
            "cardinality(range(timestamp '1700-01-01', timestamp '2200-01-01', interval '1 second'))",
            "cardinality(array_repeat('x', 1000000000))",
            "cardinality(array_repeat(range(1000000), 1000))",
            "cardinality(list_repeat(1, 1000000000))",
            "cardinality(array_resize([1], 1000000000, 0))",
            "length(regexp_replace(repeat('a', 100000), 'a', repeat('b', 1000), 'g'))",
            "length(regexp_replace(repeat('a', 1000000), '(a+)', repeat('\\1', 1000)))",
            "(select max(length(concat(n, n, n, n, n, n, n, n, n))) from (select repeat('x', 9000000) as n from (values (1)) as t(i)) as long)",
            "length(concat_ws(repeat('x', 9000000), 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'))",
            "(select max(length(to_char(day, repeat('x', 40000000)))) from (values (date '2026-05-01'), (null), (date '2026-05-02')) as t(day))",
            "cardinality(string_to_array(repeat('x', 10000000), ''))",
            "length(array_to_string(range(1, 100000), repeat('x', 1000)))",
            "(select max(cardinality(array_concat(n, n, n, n, n, n, n, n))) from (select range(600000) as n from (values (1)) as t(i)) as long)",
            "array_to_string(array_replace_all(array_repeat('a', 100000), 'a', repeat('b', 1000)), '')",
            "levenshtein(repeat('a', 50000), repeat('b', 50000))",
        ] {
            let error = answer(expression).await.expect_err(expression);
            assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{expression}: {error}");
        }
    }
}
