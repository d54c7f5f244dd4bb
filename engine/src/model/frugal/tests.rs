//! The rounds of SQL beside the operator.

use std::collections::{BTreeMap, HashMap};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;

use super::*;
use crate::query::session::QueryRuntime;
use crate::store::{Lake, TableName};

type Edges = Vec<(String, String)>;

const QUERY: &str = "select node, component, is_crowded from connected_components((select a, b from drawn))";
const OF_PARTS: &str = "
    select namespace || '/' || value as node, component, is_crowded
    from connected_components((
        select split_part(a, ':', 1) as a_namespace, split_part(a, ':', 2) as a_value,
            split_part(b, ':', 1) as b_namespace, split_part(b, ':', 2) as b_value
        from drawn))";

fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        let text =
            |row: usize| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" ");
        rows.extend((0..batch.num_rows()).map(text));
    }
    rows.sort();
    rows
}

/// What the operator says of the edges, and what the rounds do.
async fn both(query: &str, edges: &Edges) -> (Vec<String>, Vec<String>) {
    let folder = TempDir::new().unwrap();
    let lake = Lake::open("lake", folder.path(), &HashMap::new()).unwrap();
    let runtime = QueryRuntime::new(256 << 20, 2).unwrap();
    runtime.register(&lake);
    let limits = Limits { values_max: vec![("user-id".to_owned(), 3)], nodes_max: Some(100) };
    let components = ConnectedComponents { limits: Arc::new(limits) };
    let session = runtime.session(&Vec::new(), &vec![Arc::new(components)]).unwrap();
    let column =
        |of: fn(&(String, String)) -> &String| edges.iter().map(|edge| Some(of(edge))).collect::<StringArray>();
    let drawn = RecordBatch::try_from_iter([
        ("a", Arc::new(column(|edge| &edge.0)) as arrow::array::ArrayRef),
        ("b", Arc::new(column(|edge| &edge.1)) as arrow::array::ArrayRef),
    ])
    .unwrap();
    let table = MemTable::try_new(drawn.schema(), vec![vec![drawn]]).unwrap();
    session.register_table("drawn", Arc::new(table)).unwrap();
    let workspace = Workspace::new(&lake, &lake, session.clone(), "run", None, BTreeMap::new());
    let model = Model::parse(TableName::new("test", "components"), "components.sql", QUERY).unwrap();

    let frame = session.sql(query).await.unwrap();
    let frugal = workspace.frugal(&model, frame.clone()).await.unwrap();
    assert!(relation::first::<ConnectedComponents>(frugal.logical_plan()).is_none());
    (rows(&frame.collect().await.unwrap()), rows(&frugal.collect().await.unwrap()))
}

fn node(number: usize) -> String {
    // In no order, and in two namespaces.
    format!(
        "{}:{:x}",
        if number.is_multiple_of(3) { "user-id" } else { "user" },
        number.wrapping_mul(2_654_435_761) % 65_521
    )
}

fn path(length: usize) -> Edges {
    (1..length).map(|number| (node(number - 1), node(number))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn test_the_rounds_give_what_the_operator_gives() {
    let star: Edges = (1..500).map(|number| (node(0), node(number))).collect();
    let clique: Edges = (0..20).flat_map(|a| (0..20).map(move |b| (node(a), node(b)))).collect();
    let lone: Edges = (0..5).map(|number| (node(number), node(number))).collect();
    let apart: Edges = [path(40), (100..140).map(|number| (node(number), node(number + 1))).collect()].concat();
    for (name, edges) in
        [("path", path(3000)), ("star", star), ("clique", clique), ("lone", lone), ("two", apart), ("none", Vec::new())]
    {
        for query in [QUERY, OF_PARTS] {
            let (operator, rounds) = both(query, &edges).await;
            assert_eq!(operator, rounds, "{name}");
            assert_eq!(operator.is_empty(), edges.is_empty(), "{name}");
        }
    }
}

#[test]
fn test_the_rounds_give_what_the_operator_gives_on_random_graphs() {
    let edges = prop::collection::vec((0..40_usize, 0..40_usize), 1..60)
        .prop_map(|edges| edges.into_iter().map(|(a, b)| (node(a), node(b))).collect::<Edges>());
    let config = Config { cases: 12, max_shrink_iters: 40, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    TestRunner::new(config)
        .run(&edges, |edges| {
            let (operator, rounds) = runtime.block_on(both(QUERY, &edges));
            prop_assert_eq!(operator, rounds);
            Ok(())
        })
        .unwrap();
}
