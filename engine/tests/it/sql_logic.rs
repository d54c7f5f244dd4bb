//! Runs the `.slt` files of `sql/tests/`: each file is a project of its own. A file lands its data with statements
//! `land <source> <lines>` and brings tables up to date with `refresh` or `refresh full`; queries are plain SQL.

use std::path::PathBuf;

use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::shop::{CONFIG, Shop, text_rows};

struct Project(Shop);

#[derive(Debug)]
struct Failure(String);

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

#[async_trait::async_trait]
impl AsyncDB for Project {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, statement: &str) -> Result<DBOutput<Self::ColumnType>, Failure> {
        let statement = statement.trim();
        if let Some(rest) = statement.strip_prefix("land ") {
            let (source, text) = rest.split_once('\n').ok_or_else(|| Failure("land SOURCE, then lines".to_owned()))?;
            self.0.land(source.trim(), text).await;
            return Ok(DBOutput::StatementComplete(0));
        }
        if let Some(rest) = statement.strip_prefix("segment ") {
            let (name, text) = rest.split_once('\n').ok_or_else(|| Failure("segment NAME, then its text".to_owned()))?;
            self.0.write(&format!("segments/{}.sql", name.trim()), text);
            return Ok(DBOutput::StatementComplete(0));
        }
        if statement == "refresh" || statement == "refresh full" {
            let progress = tessera_engine::Progress::none();
            self.0.engine.refresh(statement.ends_with("full"), &progress).await.map_err(|error| Failure(error.to_string()))?;
            return Ok(DBOutput::StatementComplete(0));
        }
        let batches = self.0.engine.collect(statement, &[], None).await.map_err(|error| Failure(error.to_string()))?;
        let rows: Vec<Vec<String>> = text_rows(&batches).into_iter().map(|row| vec![row]).collect();
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Text], rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "tessera"
    }
}

fn files(folder: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(path));
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn test_sql_logic_files() {
    let files = files(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../sql/tests")));
    assert!(files.len() >= 5, "the .slt files were not found");
    for file in files {
        let mut runner = Runner::new(|| async { Ok(Project(Shop::new(CONFIG))) });
        runner.run_file_async(&file).await.unwrap_or_else(|error| panic!("{}:\n{error}", file.display()));
    }
}
