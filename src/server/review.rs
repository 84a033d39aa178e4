//! `AdmissionReview` of `admission.k8s.io/v1`, as it crosses the wire.
//!
//! The answer is a type of our own: the API server wants the patch as base64 text and a refusal with code and reason, or
//! it counts the call as failed.

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use thiserror::Error;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// Why a body is not a review. The caller gets HTTP 400, which is a failed call and not an answer.
#[derive(Debug, Error)]
pub enum ReviewError {
    /// Not JSON, or not of the shape of a review.
    #[error("the body is not an AdmissionReview")]
    Unreadable(#[source] serde_json::Error),
    /// Something else, or another version.
    #[error("expected {API_VERSION} {KIND}, found {0}")]
    WrongKind(String),
    /// A review without a request.
    #[error("the AdmissionReview has no request")]
    NoRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Identified {
    uid: String,
}

/// A request: its id, and the whole of it as it came.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Of this call; the answer must carry it.
    pub uid: String,
    /// The JSON text of `request`.
    pub json: &'a str,
}

/// Takes the request out of a body.
pub fn read(body: &[u8]) -> Result<Request<'_>, ReviewError> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(ReviewError::Unreadable)?;
    if (envelope.api_version.as_str(), envelope.kind.as_str()) != (API_VERSION, KIND) {
        return Err(ReviewError::WrongKind(format!("{} {}", envelope.api_version, envelope.kind)));
    }
    let json = envelope.request.ok_or(ReviewError::NoRequest)?.get();
    let Identified { uid } = serde_json::from_str(json).map_err(ReviewError::Unreadable)?;
    Ok(Request { uid, json })
}

/// What the API server is told about one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Why the request is refused; nothing allows it.
    pub refusal: Option<String>,
    /// The changes to make; must be nothing where the answer is a validation.
    pub patch: Option<json_patch::Patch>,
    /// What the person who sent the request is told besides.
    pub warnings: Vec<String>,
    /// What the audit log keeps, by key; a key holds no slash.
    pub audit: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
}

/// The body that answers the request of this id.
pub fn write(uid: &str, answer: &Answer) -> Result<Vec<u8>, serde_json::Error> {
    // A patch without an operation is left out, and so is one of a refused request.
    let patch = answer.patch.as_ref().filter(|patch| !patch.0.is_empty() && answer.refusal.is_none());
    let patch = patch.map(serde_json::to_vec).transpose()?.map(|patch| BASE64_STANDARD.encode(patch));
    serde_json::to_vec(&Review {
        api_version: API_VERSION,
        kind: KIND,
        response: Response {
            uid,
            allowed: answer.refusal.is_none(),
            status: answer.refusal.as_deref().map(|message| Status {
                code: 403,
                reason: "Forbidden",
                message,
            }),
            patch_type: patch.as_ref().map(|_| "JSONPatch"),
            patch,
            warnings: &answer.warnings,
            audit_annotations: &answer.audit,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answered(answer: &Answer) -> Value {
        serde_json::from_slice(&write("u-1", answer).unwrap()).unwrap()
    }

    #[test]
    fn an_allowed_request_without_changes_says_no_more_than_that() {
        let expected = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": { "uid": "u-1", "allowed": true },
        });
        assert_eq!(answered(&Answer::default()), expected);
        let empty_patch = Answer { patch: Some(json_patch::Patch(vec![])), ..Answer::default() };
        assert_eq!(answered(&empty_patch), expected);
    }

    #[test]
    fn a_patch_is_base64_text_of_the_operations() {
        let operations = json!([{ "op": "add", "path": "/spec/nodeSelector", "value": {} }]);
        let patch = serde_json::from_value(operations.clone()).unwrap();
        let response = answered(&Answer { patch: Some(patch), ..Answer::default() })["response"].clone();
        assert_eq!(response["patchType"], "JSONPatch");
        let text = BASE64_STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), operations);
    }

    #[test]
    fn a_refusal_is_a_403_with_its_message_and_never_a_patch() {
        let patch = serde_json::from_value(json!([{ "op": "remove", "path": "/spec" }])).unwrap();
        let refused = Answer { refusal: Some("no".to_owned()), patch: Some(patch), ..Answer::default() };
        let response = answered(&refused)["response"].clone();
        assert_eq!(
            response,
            json!({ "uid": "u-1", "allowed": false, "status": { "code": 403, "reason": "Forbidden", "message": "no" } })
        );
    }

    #[test]
    fn what_is_not_a_review_is_an_error() {
        let review = |text: &str| read(text.as_bytes()).map(|request| request.uid);
        assert!(matches!(review(""), Err(ReviewError::Unreadable(_))));
        assert!(matches!(review("[]"), Err(ReviewError::Unreadable(_))));
        assert!(matches!(review("{}"), Err(ReviewError::WrongKind(_))));
        let v1beta1 =
            r#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"u"}}"#;
        assert!(matches!(review(v1beta1), Err(ReviewError::WrongKind(_))));
        let v1 =
            |rest: &str| format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"{rest}}}"#);
        assert!(matches!(review(&v1("")), Err(ReviewError::NoRequest)));
        assert!(matches!(review(&v1(r#","request":null"#)), Err(ReviewError::NoRequest)));
        assert!(matches!(review(&v1(r#","request":{}"#)), Err(ReviewError::Unreadable(_))));
        assert_eq!(review(&v1(r#","request":{"uid":"u","novelty":1},"more":[]"#)).unwrap(), "u");
    }
}
