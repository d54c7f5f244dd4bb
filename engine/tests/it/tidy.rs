//! Rules of the code base that a compiler does not know. See docs/ARCHITECTURE.md.

use std::path::{Path, PathBuf};

/// The engine's modules from the bottom up; a module may name those of lower layers and of its own.
const LAYERS: [&[&str]; 11] = [
    &["error", "ids", "clock", "config", "decimal", "json_text", "salesforce_id", "limits", "progress"],
    &["store"],
    &["query"],
    &["project", "model"],
    &["expression"],
    &["evaluation"],
    &["landing", "identity", "profile", "behavior", "segment"],
    &["refresh", "lookup"],
    &["snapshot"],
    &["engine"],
    &["lib"],
];

/// The layer of the stages, which meet in tables only.
const STAGES: usize = 6;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The top module of a file of the engine.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("engine/src")).unwrap();
    inside.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned()
}

#[test]
fn test_no_module_names_a_higher_layer() {
    let mut wrong = Vec::new();
    for file in sources(&root().join("engine/src")) {
        let module = module_of(&file);
        let layer = layer_of(&module).unwrap_or_else(|| panic!("module `{module}` is in no layer: name it in LAYERS"));
        for (number, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
            let Some(rest) = line.trim().strip_prefix("use crate::") else { continue };
            // `use crate::a::b` names one module, `use crate::{a, b::c}` several.
            let named: Vec<&str> = match rest.strip_prefix('{') {
                Some(group) => {
                    group.split(',').map(|part| part.trim().split([':', '}', ';']).next().unwrap()).collect()
                }
                None => vec![rest.split([':', ';']).next().unwrap()],
            };
            for named in named {
                let Some(named_layer) = layer_of(named) else { continue };
                let is_other_stage = layer == STAGES && named_layer == STAGES && named != module;
                if named_layer > layer || is_other_stage {
                    wrong.push(format!("{}:{}: `{module}` names `{named}`", file.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn test_every_module_says_what_it_is() {
    for folder in ["engine/src", "server/src", "benches/generator/src"] {
        for file in sources(&root().join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("//! "), "{} does not begin with `//! `", file.display());
        }
    }
}

#[test]
fn test_only_the_store_knows_delta() {
    for file in sources(&root().join("engine/src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let knows = text.lines().any(|line| line.contains("deltalake_core::"));
        assert!(!knows || ["store", "error"].contains(&module_of(&file).as_str()), "{} knows Delta", file.display());
    }
}

#[test]
fn test_the_engine_reads_no_environment_and_knows_no_server() {
    for file in sources(&root().join("engine/src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            !text.contains("std::env::var") && !text.contains("env::args"),
            "{} reads the environment",
            file.display()
        );
    }
    let manifest = std::fs::read_to_string(root().join("engine/Cargo.toml")).unwrap();
    for forbidden in ["tonic", "clap", "axum", "anyhow"] {
        assert!(!manifest.contains(&format!("\n{forbidden}")), "the engine depends on {forbidden}");
    }
}

#[test]
fn test_data_md_names_every_table_and_column() {
    let documented = std::fs::read_to_string(root().join("docs/DATA.md")).unwrap();
    for schema in ["staging", "identity", "profile", "behavior"] {
        for entry in std::fs::read_dir(root().join("sql").join(schema)).unwrap() {
            let path = entry.unwrap().path();
            let table = format!("{schema}.{}", path.file_stem().unwrap().to_string_lossy());
            assert!(documented.contains(&format!("### `{table}`")), "docs/DATA.md does not describe {table}");
            let section =
                documented.split(&format!("### `{table}`")).nth(1).unwrap().split("\n### ").next().unwrap().to_owned();
            for line in std::fs::read_to_string(&path).unwrap().lines().filter_map(|line| line.strip_prefix("--   ")) {
                let column = line.split_whitespace().next().unwrap();
                assert!(section.contains(&format!("| `{column}`")), "docs/DATA.md does not describe {table}.{column}");
            }
        }
    }
}
