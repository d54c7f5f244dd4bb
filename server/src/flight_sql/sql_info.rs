//! What clients ask about the server: who it is, and what it can do.

use std::sync::LazyLock;

use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries, SqlSupportedTransaction,
    SqlSupportedUnions, SqlTransactionIsolationLevel, SupportedSqlGrammar,
};

use super::statements::KEPT;

/// `SupportedAnsi92SqlGrammarLevel.ANSI92_ENTRY_SQL`, which `arrow-flight` does not export.
const ANSI92_ENTRY: i32 = 0;

/// Answers GetSqlInfo.
pub(crate) static SQL_INFO: LazyLock<Result<SqlInfoData, FlightError>> = LazyLock::new(|| {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerName, "Tessera");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    info.append(SqlInfo::FlightSqlServerReadOnly, true);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, KEPT.as_millis() as i32);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0);
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, false);
    info.append(SqlInfo::SqlDdlTable, false);
    info.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    info.append(
        SqlInfo::SqlQuotedIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32,
    );
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    info.append(SqlInfo::SqlKeywords, ["ilike", "unnest", "within"].as_slice());
    info.append(
        SqlInfo::SqlNumericFunctions,
        ["abs", "ceil", "floor", "ln", "log", "power", "round", "sqrt"].as_slice(),
    );
    info.append(
        SqlInfo::SqlStringFunctions,
        ["concat", "length", "lower", "replace", "split_part", "starts_with", "substr", "trim", "upper"].as_slice(),
    );
    info.append(
        SqlInfo::SqlDatetimeFunctions,
        ["current_date", "date_part", "date_trunc", "now", "to_timestamp"].as_slice(),
    );
    info.append(SqlInfo::SqlSystemFunctions, ["coalesce", "nullif"].as_slice());
    info.append(SqlInfo::SqlSchemaTerm, "schema");
    info.append(SqlInfo::SqlCatalogTerm, "catalog");
    info.append(SqlInfo::SqlProcedureTerm, "");
    describe_queries(&mut info);
    describe_the_rest(&mut info);
    info.build()
});

/// What a query may hold. What is not said of this, JDBC takes for unsupported.
fn describe_queries(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "$");
    info.append(SqlInfo::SqlSupportsColumnAliasing, true);
    info.append(SqlInfo::SqlNullPlusNullIsNull, true);
    info.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    info.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false); // they may be names of tables, too
    info.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    info.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    info.append(
        SqlInfo::SqlSupportedGroupBy,
        bits(&[SqlSupportedGroupBy::SqlGroupByUnrelated as i32, SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32]),
    );
    info.append(SqlInfo::SqlSupportsLikeEscapeClause, false); // `\` escapes without one, and no other character does
    info.append(SqlInfo::SqlSupportsNonNullableColumns, false);
    // Of these levels, what they ask of queries.
    info.append(SqlInfo::SqlSupportedGrammar, bits(&[SupportedSqlGrammar::SqlMinimumGrammar as i32]));
    info.append(SqlInfo::SqlAnsi92SupportedLevel, bits(&[ANSI92_ENTRY]));
    info.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    // Called an ordinal, but the drivers of JDBC and ODBC read bits.
    info.append(
        SqlInfo::SqlOuterJoinsSupportLevel,
        bits(&[
            SqlOuterJoinsSupportLevel::SqlLimitedOuterJoins as i32,
            SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32,
        ]),
    );
    info.append(SqlInfo::SqlCatalogAtStart, true);
    // Not those with `all` and `any`: the query engine mixes up columns of one name on their two sides.
    info.append(
        SqlInfo::SqlSupportedSubqueries,
        bits(&[
            SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
            SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
            SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
        ]),
    );
    info.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    info.append(
        SqlInfo::SqlSupportedUnions,
        bits(&[SqlSupportedUnions::SqlUnion as i32, SqlSupportedUnions::SqlUnionAll as i32]),
    );
}

/// What a server that is only read has not, and how its results are read: forward.
fn describe_the_rest(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlSchemasSupportedActions, 0);
    info.append(SqlInfo::SqlCatalogsSupportedActions, 0);
    info.append(SqlInfo::SqlSupportedPositionedCommands, 0);
    info.append(SqlInfo::SqlSelectForUpdateSupported, false);
    info.append(SqlInfo::SqlStoredProceduresSupported, false);
    // Its default isolation level is left out: the driver of JDBC cannot read the type that it must have.
    info.append(SqlInfo::SqlTransactionsSupported, false);
    info.append(
        SqlInfo::SqlSupportedTransactionsIsolationLevels,
        bits(&[SqlTransactionIsolationLevel::SqlTransactionNone as i32]),
    );
    info.append(
        SqlInfo::SqlSupportedResultSetTypes,
        bits(&[SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32]),
    );
    info.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly,
        bits(&[SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32]),
    );
    info.append(SqlInfo::SqlBatchUpdatesSupported, false);
    info.append(SqlInfo::SqlSavepointsSupported, false);
    info.append(SqlInfo::SqlNamedParametersSupported, false);
    info.append(SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

/// The values of an enumeration as bits.
fn bits(values: &[i32]) -> i32 {
    values.iter().fold(0, |bits, value| bits | 1 << value)
}
