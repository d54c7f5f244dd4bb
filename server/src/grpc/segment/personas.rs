//! The groups of a segment.

use tessera_engine::{ComparedColumn, Division, EngineError, ErrorKind};
use tessera_proto::v1;
use tessera_proto::v1::find_personas_request::Division as Asked;
use tonic::Status;

use super::{COLUMNS_MAX, Segments, columns_asked, compared_column, count};
use crate::grpc::convert::generation;
use crate::grpc::status::{invalid_field, to_status};

impl Segments {
    pub(super) async fn personas(&self, request: v1::FindPersonasRequest) -> Result<v1::FindPersonasResponse, Status> {
        columns_asked("described_by", &request.described_by)?;
        let (field, division) = division(request.division)?;
        let snapshot = self.0.newest().await?;
        let segment = (!request.segment.is_empty()).then_some(request.segment.as_str());
        if let Some(name) = segment {
            self.segment(&snapshot, name).await?;
        }
        let engine = &self.0.engine;
        let described_by = only_described(&division, &request.described_by);
        let found = engine.find_personas(&snapshot, segment, division, &request.described_by, self.0.limits).await;
        let found = found.map_err(|error| match error.kind() {
            ErrorKind::NotFound if names_one_of(&described_by, &error) => {
                invalid_field("described_by", "INPUT_INVALID", error.to_string())
            }
            ErrorKind::InvalidInput | ErrorKind::NotFound => invalid_field(field, "INPUT_INVALID", error.to_string()),
            _ => to_status(error),
        })?;
        let sizes: Vec<u64> = found.personas.iter().map(|persona| persona.size).collect();
        let score = |&(clusters, silhouette): &(usize, f64)| v1::ClusterScore {
            count: i32::try_from(clusters).unwrap_or(i32::MAX),
            silhouette,
        };
        let persona = |persona: tessera_engine::Persona| v1::Persona {
            title: persona.title,
            description: persona.description,
            expression: persona.expression,
            words: persona.words,
            size: count(persona.size),
        };
        let column = |column: &ComparedColumn| compared_column(column, &sizes, found.profile_count);
        Ok(v1::FindPersonasResponse {
            generation: generation(&snapshot),
            scores: found.silhouettes.iter().map(score).collect(),
            columns: found.columns.iter().map(column).collect(),
            personas: found.personas.into_iter().map(persona).collect(),
            size: count(found.size),
            profile_count: count(found.profile_count),
        })
    }
}

/// Those of `described_by` that do not divide people, too.
fn only_described(division: &Division, described_by: &[String]) -> Vec<String> {
    let dividing: Vec<&String> = match division {
        Division::Clusters { traits, .. } => traits.iter().collect(),
        Division::Cells { recency, frequency, monetary } => [recency, frequency].into_iter().chain(monetary).collect(),
    };
    described_by.iter().filter(|column| !dividing.contains(column)).cloned().collect()
}

/// True if it is one of `columns` that profiles do not have.
fn names_one_of(columns: &[String], error: &EngineError) -> bool {
    let error = error.to_string();
    columns.iter().any(|column| error.contains(&format!("no column `{column}`")))
}

/// How to divide, and the request's field that says so.
fn division(asked: Option<Asked>) -> Result<(&'static str, Division), Status> {
    match asked {
        None => Err(invalid_field("division", "INPUT_INVALID", "say how to divide people: `clusters` or `cells`")),
        Some(Asked::Clusters(v1::PersonaClusters { traits, count })) => {
            if traits.is_empty() || traits.len() > COLUMNS_MAX {
                let message = format!("give from 1 to {COLUMNS_MAX} columns");
                return Err(invalid_field("clusters.traits", "INPUT_INVALID", message));
            }
            let count = match count {
                0 => None,
                count => Some(usize::try_from(count).map_err(|_| {
                    invalid_field("clusters.count", "INPUT_INVALID", "must be 0, or the number of groups")
                })?),
            };
            Ok(("clusters", Division::Clusters { traits, count }))
        }
        Some(Asked::Cells(v1::PersonaCells { recency_score, frequency_score, monetary_score })) => {
            scored("cells.recency_score", &recency_score)?;
            scored("cells.frequency_score", &frequency_score)?;
            let monetary = (!monetary_score.is_empty()).then_some(monetary_score);
            Ok(("cells", Division::Cells { recency: recency_score, frequency: frequency_score, monetary }))
        }
    }
}

/// Refuses a `field` that names no column.
fn scored(field: &str, column: &str) -> Result<(), Status> {
    match column {
        "" => Err(invalid_field(field, "INPUT_INVALID", "name the column of profiles with this score")),
        _ => Ok(()),
    }
}
