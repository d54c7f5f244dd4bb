//! All models, in an order in which each runs after what it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::definition::Model;
use crate::error::{EngineError, Result};
use crate::store::TableName;

/// Schemas that are not made by models, which these may read.
const GIVEN_SCHEMAS: [&str; 3] = ["landing", "config", "information_schema"];
/// The engine's own: its logs, and what it needs for a while.
const OWN_SCHEMAS: [&str; 2] = ["ops", "helper"];

/// The models of a project.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    models: Vec<Model>,
}

impl Catalog {
    /// The built-in models, with those of the project's folder `models/<schema>/<table>.sql` added or put in their place.
    ///
    /// # Errors
    /// InvalidInput for a model that cannot be read, reads an unknown table, or takes part in a cycle.
    pub(crate) fn load(built_in: &[(&str, &str)], project: &Path) -> Result<Self> {
        let mut models = BTreeMap::new();
        for (path, text) in built_in {
            let model = Model::parse(name_of(path)?, &format!("sql/{path}"), text)?;
            models.insert(model.name.clone(), model);
        }
        for (path, text) in project_files(&project.join("models"))? {
            let model = Model::parse(name_of(&path)?, &format!("models/{path}"), &text)?;
            if GIVEN_SCHEMAS.iter().chain(&OWN_SCHEMAS).any(|schema| *schema == model.name.schema) {
                return Err(
                    model.error(1, format!("schema `{}` is not made by models: use another", model.name.schema))
                );
            }
            models.insert(model.name.clone(), model);
        }
        Ok(Self { models: order(models)? })
    }

    /// The models, each after those that it reads.
    pub(crate) fn models(&self) -> &[Model] {
        &self.models
    }

    /// Only the models that it takes to make `tables`.
    ///
    /// # Errors
    /// InvalidInput for SQL that cannot be read.
    pub(crate) fn made_for(&self, tables: &[TableName]) -> Result<Self> {
        let mut wanted: BTreeSet<TableName> = tables.iter().cloned().collect();
        let mut models = Vec::new();
        // Each comes after those that it reads.
        for model in self.models.iter().rev() {
            if wanted.contains(&model.name) {
                let reads = model.references()?.into_iter().filter(|reference| !reference.slice.is_earlier());
                wanted.extend(reads.map(|reference| reference.name));
                models.push(model.clone());
            }
        }
        models.reverse();
        Ok(Self { models })
    }

    /// The model that makes `name`.
    pub(crate) fn get(&self, name: &TableName) -> Option<&Model> {
        self.models.iter().find(|model| &model.name == name)
    }
}

fn name_of(path: &str) -> Result<TableName> {
    let stem = path.strip_suffix(".sql").unwrap_or(path);
    let place = |error: EngineError| error.context(format!("`{path}`: a model lies in models/<schema>/<table>.sql"));
    let name = TableName::parse(&stem.replace('/', ".")).map_err(place)?;
    // A name is a folder of the lake, and a word in SQL.
    let is_plain = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(|other| other.is_ascii_lowercase() || other.is_ascii_digit() || other == '_')
    };
    if is_plain(&name.schema) && is_plain(&name.table) {
        return Ok(name);
    }
    let wrong = "schema and table are named by small letters, digits and `_`, beginning with a letter";
    Err(place(EngineError::invalid(wrong)))
}

/// `(<schema>/<table>.sql, text)` of every file of the folder, sorted. A file that is in no schema is refused.
fn project_files(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    if !folder.is_dir() {
        return Ok(files);
    }
    let unreadable = |error: std::io::Error| EngineError::from(error).context(folder.display());
    for schema in std::fs::read_dir(folder).map_err(unreadable)? {
        let schema = schema?;
        if !schema.file_type()?.is_dir() {
            let name = schema.file_name();
            if name.to_string_lossy().ends_with(".sql") {
                let message = format!("models/{} is in no schema: put it in models/<schema>/", name.display());
                return Err(EngineError::invalid(message));
            }
            continue;
        }
        let unreadable = |error: std::io::Error| EngineError::from(error).context(schema.path().display());
        for file in std::fs::read_dir(schema.path()).map_err(unreadable)? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            if name.ends_with(".sql") {
                let text = std::fs::read_to_string(file.path())
                    .map_err(|error| EngineError::from(error).context(format!("`{}`", file.path().display())))?;
                files.push((format!("{}/{name}", schema.file_name().to_string_lossy()), text));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn order(models: BTreeMap<TableName, Model>) -> Result<Vec<Model>> {
    let mut waiting: BTreeMap<TableName, BTreeSet<TableName>> = BTreeMap::new();
    for model in models.values() {
        let mut reads = BTreeSet::new();
        for reference in model.references()? {
            let known = models.contains_key(&reference.name);
            if !known && !GIVEN_SCHEMAS.contains(&reference.name.schema.as_str()) {
                return Err(unknown(model, &reference.name, models.keys()));
            }
            // What the last generation holds is there already.
            if known && !reference.slice.is_earlier() {
                reads.insert(reference.name);
            }
        }
        waiting.insert(model.name.clone(), reads);
    }
    let mut ordered = Vec::new();
    let mut models = models;
    while !waiting.is_empty() {
        let ready: Vec<TableName> =
            waiting.iter().filter(|(_, reads)| reads.is_empty()).map(|(name, _)| name.clone()).collect();
        if ready.is_empty() {
            let names: Vec<String> = waiting.keys().map(TableName::to_string).collect();
            return Err(EngineError::invalid(format!("models read each other in a circle: {}", names.join(", "))));
        }
        for name in ready {
            waiting.remove(&name);
            waiting.values_mut().for_each(|reads| {
                reads.remove(&name);
            });
            ordered.extend(models.remove(&name));
        }
    }
    Ok(ordered)
}

fn unknown<'a>(model: &Model, name: &TableName, known: impl Iterator<Item = &'a TableName>) -> EngineError {
    let name = name.to_string();
    let nearest = known
        .map(TableName::to_string)
        .map(|candidate| (strsim::damerau_levenshtein(&candidate, &name), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 1 + name.len() / 3);
    let line = model.sql(true).lines().position(|line| line.contains(&name)).map_or(1, |index| index + 1);
    let hint = nearest.map_or_else(String::new, |(_, candidate)| format!(": did you mean `{candidate}`?"));
    model.error(line, format!("table `{name}` does not exist{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_models_do_not_lie_where_the_engine_keeps_its_own() {
        for (path, said) in [
            ("ops/lists.sql", "schema `ops` is not made by models"),
            ("landing/events.sql", "schema `landing` is not made by models"),
            ("my/Table.sql", "small letters"),
            ("_generations/a.sql", "small letters"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("models").join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "-- A table.\n--\n-- key: a\n-- strategy: full\nselect 1 as a").unwrap();
            let error = Catalog::load(&[], folder.path()).unwrap_err();
            assert!(error.to_string().contains(said), "{path}: {error}");
        }
    }
}
