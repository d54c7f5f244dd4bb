//! `IdentityService`.

use tessera_engine::{Correction, Engine, Verdict};
use tessera_proto::v1;
use tessera_proto::v1::identity_service_server::IdentityService;
use tonic::{Request, Response, Status};

use super::call::answered;
use super::convert::{given, identifier, normalized, timestamp};
use super::page_token::{PageToken, page_size};
use super::status::{invalid_field, said, to_status};

/// What page tokens call the list of corrections.
const LISTING: &str = "corrections";

/// The service.
#[derive(Debug)]
pub(crate) struct Identity(pub(crate) Engine);

#[tonic::async_trait]
impl IdentityService for Identity {
    async fn list_corrections(
        &self,
        request: Request<v1::ListCorrectionsRequest>,
    ) -> Result<Response<v1::ListCorrectionsResponse>, Status> {
        answered("IdentityService/ListCorrections", self.list(request.into_inner())).await
    }

    async fn add_correction(
        &self,
        request: Request<v1::AddCorrectionRequest>,
    ) -> Result<Response<v1::AddCorrectionResponse>, Status> {
        answered("IdentityService/AddCorrection", self.add(request.into_inner())).await
    }

    async fn remove_correction(
        &self,
        request: Request<v1::RemoveCorrectionRequest>,
    ) -> Result<Response<v1::RemoveCorrectionResponse>, Status> {
        answered("IdentityService/RemoveCorrection", self.remove(request.into_inner())).await
    }
}

impl Identity {
    async fn list(&self, request: v1::ListCorrectionsRequest) -> Result<v1::ListCorrectionsResponse, Status> {
        let size = page_size(request.page_size, 100, 500)?;
        let token = PageToken::open(&request.page_token, LISTING)?;
        let mut corrections = self.0.corrections().await.map_err(to_status)?;
        if let Some(token) = token {
            corrections.retain(|correction| place(correction) > token.last);
        }
        let has_more = corrections.len() > size;
        corrections.truncate(size);
        let last = corrections.last().filter(|_| has_more).map(place);
        let next_page_token = last.map(|last| PageToken { generation: 0, last }.seal(LISTING)).unwrap_or_default();
        Ok(v1::ListCorrectionsResponse {
            corrections: corrections.into_iter().map(correction).collect(),
            next_page_token,
        })
    }

    async fn add(&self, request: v1::AddCorrectionRequest) -> Result<v1::AddCorrectionResponse, Status> {
        let verdict = match request.verdict() {
            v1::Verdict::Never => Verdict::Never,
            v1::Verdict::Always => Verdict::Always,
            v1::Verdict::Unspecified => {
                return Err(invalid_field(
                    "verdict",
                    "INPUT_INVALID",
                    "say whether they are never or always one person",
                ));
            }
        };
        said("decided_by", &request.decided_by)?;
        said("reason", &request.reason)?;
        let (a, b) = (given("a", request.a.as_ref())?, given("b", request.b.as_ref())?);
        normalized(&self.0, "a", request.a.as_ref())?;
        normalized(&self.0, "b", request.b.as_ref())?;
        let added = self.0.add_correction(verdict, [&a, &b], &request.decided_by, &request.reason);
        Ok(v1::AddCorrectionResponse { correction: Some(correction(added.await.map_err(to_status)?)) })
    }

    async fn remove(&self, request: v1::RemoveCorrectionRequest) -> Result<v1::RemoveCorrectionResponse, Status> {
        said("removed_by", &request.removed_by)?;
        said("reason", &request.reason)?;
        let (a, b) = (given("a", request.a.as_ref())?, given("b", request.b.as_ref())?);
        self.0.remove_correction([&a, &b], &request.removed_by, &request.reason).await.map_err(to_status)?;
        Ok(v1::RemoveCorrectionResponse {})
    }
}

/// Where a correction is in the list, which is by their identifiers. No identifier has a control character.
fn place(correction: &Correction) -> String {
    correction.identifiers.join("\u{1f}")
}

fn correction(correction: Correction) -> v1::Correction {
    let verdict = match correction.verdict {
        Verdict::Never => v1::Verdict::Never,
        Verdict::Always => v1::Verdict::Always,
    };
    let [a, b] = &correction.identifiers;
    v1::Correction {
        verdict: verdict.into(),
        a: Some(identifier(a)),
        b: Some(identifier(b)),
        decided_by: correction.decided_by,
        decide_time: Some(timestamp(correction.decided_at)),
        reason: correction.reason,
        is_of_project: correction.line.is_some(),
    }
}
