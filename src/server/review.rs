//! The answer to an `AdmissionReview` of `admission.k8s.io/v1`, as it crosses the wire.
//!
//! It is a type of our own: the API server wants the patch as base64 text and a refusal with code and reason, or
//! it counts the call as failed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Serialize;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// The most warnings of one answer. The API server keeps 4096 characters of all warnings of a request, and cuts each to 256 beyond
/// that: what is more would cost a person the sense of all.
const WARNINGS: usize = 10;

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Cow<'a, str>>,
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
            warnings: warnings(&answer.warnings),
            audit_annotations: &answer.audit,
        },
    })
}

fn warnings(all: &[String]) -> Vec<Cow<'_, str>> {
    let shown = if all.len() > WARNINGS { WARNINGS - 1 } else { all.len() };
    let mut warnings: Vec<_> = all.iter().take(shown).map(|warning| warning.as_str().into()).collect();
    if let more @ 1.. = all.len() - shown {
        warnings.push(format!("and {more} more warnings").into());
    }
    warnings
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
    fn many_warnings_are_cut_to_what_an_api_server_passes_on() {
        let told = |count: usize| {
            let warnings = (1..=count).map(|number| number.to_string()).collect();
            answered(&Answer { warnings, ..Answer::default() })["response"]["warnings"].clone()
        };
        assert_eq!(told(0), Value::Null);
        assert_eq!(told(10), json!(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]));
        assert_eq!(told(12), json!(["1", "2", "3", "4", "5", "6", "7", "8", "9", "and 3 more warnings"]));
    }
}
