//! `IdentityService`.

use prost::Message;
use tessera_engine::{Correction, Engine, Verdict};
use tessera_proto::v1;
use tessera_proto::v1::identity_service_server::IdentityService;
use tonic::{Request, Response, Status};

use super::call::answered;
use super::convert::{given, identifier, normalized, timestamp};
use super::page_token::{PageToken, fitting, page_size};
use super::status::{invalid_field, said, to_status};

/// What page tokens call the list of corrections.
const LISTING: &str = "corrections";
/// The most bytes of an identifier of a correction, namespace and value: each listing has it, and a page of them has to fit in one
/// message.
const IDENTIFIER_BYTES_MAX: usize = 4 * 1024;

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
        Ok(page(&corrections, size))
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
        check_length("a", &a)?;
        check_length("b", &b)?;
        normalized(&self.0, "a", request.a.as_ref())?;
        normalized(&self.0, "b", request.b.as_ref())?;
        let added = self.0.add_correction(verdict, [&a, &b], &request.decided_by, &request.reason);
        Ok(v1::AddCorrectionResponse { correction: Some(correction(&added.await.map_err(to_status)?)) })
    }

    async fn remove(&self, request: v1::RemoveCorrectionRequest) -> Result<v1::RemoveCorrectionResponse, Status> {
        said("removed_by", &request.removed_by)?;
        said("reason", &request.reason)?;
        let (a, b) = (given("a", request.a.as_ref())?, given("b", request.b.as_ref())?);
        self.0.remove_correction([&a, &b], &request.removed_by, &request.reason).await.map_err(to_status)?;
        Ok(v1::RemoveCorrectionResponse {})
    }
}

/// The first page of what is left of the list.
fn page(left: &[Correction], size: usize) -> v1::ListCorrectionsResponse {
    let mut corrections: Vec<v1::Correction> = left.iter().take(size).map(correction).collect();
    // The token says the identifiers of the last one again, and takes more bytes for them.
    let lengths = left.iter().zip(&corrections).map(|(known, sent)| sent.encoded_len() + 2 * place(known).len());
    corrections.truncate(fitting(lengths, size));
    let has_more = corrections.len() < left.len();
    let last = corrections.len().checked_sub(1).filter(|_| has_more).and_then(|last| left.get(last)).map(place);
    let next_page_token = last.map(|last| PageToken { generation: 0, last }.seal(LISTING)).unwrap_or_default();
    v1::ListCorrectionsResponse { corrections, next_page_token }
}

/// INVALID_ARGUMENT, naming the field, for an identifier that is too long to be listed.
fn check_length(field: &str, identifier: &str) -> Result<(), Status> {
    if identifier.len() <= IDENTIFIER_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "give an identifier of at most {IDENTIFIER_BYTES_MAX} bytes, its namespace included: this one has {}",
        identifier.len()
    );
    Err(invalid_field(field, "IDENTIFIER_INVALID", message))
}

/// Where a correction is in the list, which is by their identifiers. No identifier has a control character.
fn place(correction: &Correction) -> String {
    correction.identifiers.join("\u{1f}")
}

fn correction(correction: &Correction) -> v1::Correction {
    let verdict = match correction.verdict {
        Verdict::Never => v1::Verdict::Never,
        Verdict::Always => v1::Verdict::Always,
    };
    let [a, b] = &correction.identifiers;
    v1::Correction {
        verdict: verdict.into(),
        a: Some(identifier(a)),
        b: Some(identifier(b)),
        decided_by: correction.decided_by.clone(),
        decide_time: Some(timestamp(correction.decided_at)),
        reason: correction.reason.clone(),
        is_of_project: correction.line.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    fn decided(number: usize, bytes: usize) -> Correction {
        Correction {
            line: None,
            verdict: Verdict::Never,
            identifiers: [format!("email:{number}"), format!("user_id:{}", "x".repeat(bytes))],
            decided_by: "ada".to_owned(),
            decided_at: 0,
            reason: "a couple".to_owned(),
        }
    }

    #[test]
    fn test_pages_of_long_identifiers_are_short_and_nothing_is_left_out() {
        let all: Vec<Correction> = (0..7).map(|number| decided(number, 300 << 10)).collect();
        let (mut left, mut lengths) = (all.clone(), Vec::new());
        loop {
            let page = page(&left, 100);
            assert!(page.encoded_len() < 4 << 20, "{}", page.encoded_len());
            lengths.push(page.corrections.len());
            let Some(token) = PageToken::open(&page.next_page_token, LISTING).unwrap() else { break };
            left.retain(|correction| place(correction) > token.last);
        }
        assert_eq!(lengths, [3, 3, 1]);
        assert_eq!(page(&all, 1).corrections.len(), 1);
        assert_eq!(page(&[], 100), v1::ListCorrectionsResponse::default());
    }

    #[test]
    fn test_an_identifier_that_is_too_long_is_refused_by_its_field() {
        assert!(check_length("a", &"x".repeat(IDENTIFIER_BYTES_MAX)).is_ok());
        let refused = check_length("b", &"x".repeat(IDENTIFIER_BYTES_MAX + 1)).unwrap_err();
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "b");
        assert_eq!(refused.get_details_error_info().unwrap().reason, "IDENTIFIER_INVALID");
    }
}
