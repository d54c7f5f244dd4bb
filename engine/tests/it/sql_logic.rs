//! Runs the `.slt` files of `sql/tests/`: each file is a project of its own. A file lands its data with statements
//! `land <source> <lines>`, writes files of traits, segments and lists with `trait <name> <text>`, `segment <name> <text>` and `list <name> <text>`,
//! begins anew with limits of namespaces with `limits`, goes on with more in its configuration
//! with `configure <text>`, writes the project's corrections of identity with `corrections <text>`, removes a file with
//! `remove <path>`, and brings tables up to date with `refresh` or `refresh full`; queries are plain SQL.

use std::path::PathBuf;

use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};
use tokio::runtime::Runtime;

use crate::shop::{CONFIG, Shop, limited, text_rows};

struct Project {
    shop: Shop,
    runtime: Runtime,
}

#[derive(Debug)]
struct Failure(String);

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl DB for Project {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, statement: &str) -> Result<DBOutput<Self::ColumnType>, Failure> {
        let statement = statement.trim();
        let failure = |error: tessera_engine::EngineError| Failure(error.to_string());
        if statement == "limits" {
            self.shop = Shop::new(&limited());
            return Ok(DBOutput::StatementComplete(0));
        }
        if let Some(text) = statement.strip_prefix("configure") {
            self.shop.configure(&format!("{CONFIG}{text}"));
            return Ok(DBOutput::StatementComplete(0));
        }
        if let Some(rest) = statement.strip_prefix("land ") {
            let (source, text) = rest.split_once('\n').ok_or_else(|| Failure("land SOURCE, then lines".to_owned()))?;
            self.runtime.block_on(self.shop.try_land(source.trim(), text)).map_err(failure)?;
            return Ok(DBOutput::StatementComplete(0));
        }
        for (kind, ending) in [("segment", "sql"), ("trait", "sql"), ("list", "csv")] {
            let Some(rest) = statement.strip_prefix(kind).and_then(|rest| rest.strip_prefix(' ')) else { continue };
            let (name, text) = rest.split_once('\n').ok_or_else(|| Failure(format!("{kind} NAME, then its text")))?;
            self.shop.write(&format!("{kind}s/{}.{ending}", name.trim()), text);
            return Ok(DBOutput::StatementComplete(0));
        }
        if let Some(path) = statement.strip_prefix("remove ") {
            let removed = std::fs::remove_file(self.shop.folder.path().join(path));
            removed.map_err(|error| Failure(format!("{path}: {error}")))?;
            return Ok(DBOutput::StatementComplete(0));
        }
        if let Some(text) = statement.strip_prefix("corrections") {
            self.shop.write("corrections.toml", text);
            return Ok(DBOutput::StatementComplete(0));
        }
        if statement == "refresh" || statement == "refresh full" {
            let progress = tessera_engine::Progress::none();
            let options = tessera_engine::RefreshOptions { full: statement.ends_with("full"), ..Default::default() };
            self.runtime.block_on(self.shop.engine.refresh(options, &progress)).map_err(failure)?;
            return Ok(DBOutput::StatementComplete(0));
        }
        let batches = self.runtime.block_on(self.shop.engine.collect(statement, &[], None)).map_err(failure)?;
        let rows: Vec<Vec<String>> = text_rows(&batches).into_iter().map(|row| vec![row]).collect();
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Text], rows })
    }

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

#[test]
fn test_sql_logic_files() {
    let files = files(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../sql/tests")));
    assert!(files.len() >= 5, "the .slt files were not found");
    for file in files {
        let mut runner =
            Runner::new(|| async { Ok(Project { shop: Shop::new(CONFIG), runtime: Runtime::new().unwrap() }) });
        runner.run_file(&file).unwrap_or_else(|error| panic!("{}:\n{error}", file.display()));
    }
}
