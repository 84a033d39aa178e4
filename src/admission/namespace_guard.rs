//! V5, the readable half: a namespace's label names a type that there is, and no label of ours that means nothing.
//!
//! Whether the user may `use` the type is asked by a native policy, in the API server itself. Only labels that change are judged, whatever
//! the subresource; removing one is never refused here.

use serde::Deserialize;

use super::json::null_as_default;
use super::object::Metadata;
use super::parse;
use super::policies::{Closed, Policies};
use super::question::Question;
use super::reason::{KnownNames, Reason};
use super::reference::Reference;
use super::verdict::Verdict;
use super::warning::Warning;
use crate::api::labels::{self, TEAM, TREENAIL_GROUP, WORKLOAD_TYPE};

/// The labels of ours that a namespace may have.
const KEYS: [&str; 2] = [TEAM, WORKLOAD_TYPE];

#[derive(Deserialize)]
struct Namespace<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    metadata: Metadata<'a>,
}

pub(super) fn validate(policies: &Policies, question: &Question<'_>) -> Verdict {
    let review = question.review;
    let read = (parse::object::<Namespace<'_>>(review), parse::old_object::<Namespace<'_>>(review));
    let (new, stored) = match read {
        (Ok(new), Ok(stored)) => (new.metadata, stored.map(|stored| stored.metadata)),
        (Err(malformed), _) | (_, Err(malformed)) => {
            return Verdict::refuse(parse::object_name(review, None), vec![malformed.into()]);
        }
    };
    let name = parse::object_name(review, Some(&new));
    let (mut reasons, mut warnings) = (Vec::new(), Vec::new());
    for (key, value) in &new.labels {
        let is_unchanged = stored.as_ref().and_then(|stored| stored.label(key)) == Some(value);
        if is_unchanged || labels::domain(key) != Some(TREENAIL_GROUP) {
            continue;
        }
        let object = || name.clone();
        match (&**key, policies.find(value)) {
            (WORKLOAD_TYPE, Some(_)) if policies.is_exempt(&new.name) => {
                warnings.push(Warning::LabelOnExemptNamespace { object: object() });
            }
            (WORKLOAD_TYPE, Some(policy)) if policy.is_deleted => {
                reasons.push(Reason::TypeBeingDeleted { workload_type: policy.name.clone() });
            }
            // One that was made a moment ago has no policy yet, and has it in another moment.
            (WORKLOAD_TYPE, Some(policy)) if matches!(policy.closed, Some(Closed::Invalid(_))) => {
                warnings.push(Warning::TypeClosed { object: object(), workload_type: policy.name.clone() });
            }
            (WORKLOAD_TYPE, Some(_)) => {}
            (WORKLOAD_TYPE, None) if policies.may_exist(&Reference::WorkloadType(value.to_string())) => {
                reasons.push(Reason::WorkloadTypeNotKnown { workload_type: value.to_string() });
            }
            (WORKLOAD_TYPE, None) => reasons.push(Reason::UnknownWorkloadType {
                workload_type: value.to_string(),
                known: KnownNames::near(value, policies.type_names()),
            }),
            (TEAM, _) => {
                warnings.push(Warning::LabelNotSupportedYet { object: object(), key: key.to_string() });
            }
            (unknown, _) => reasons.push(Reason::UnknownLabelKey {
                key: unknown.to_owned(),
                known: KnownNames::near(unknown, KEYS.into_iter()),
            }),
        }
    }
    // A change that is refused leaves the pods as they are, and so does every change where they are not judged.
    if reasons.is_empty() && !policies.is_exempt(&new.name) {
        warnings.extend(stored.and_then(|stored| told_of_pods(&name, &stored, &new)));
    }
    let mut verdict = Verdict::refuse(name, reasons);
    verdict.warn(warnings);
    verdict
}

/// What becomes of the pods that are there when a namespace's type changes.
fn told_of_pods(name: &str, stored: &Metadata<'_>, new: &Metadata<'_>) -> Option<Warning> {
    let of_type = |metadata: &Metadata<'_>| metadata.label(WORKLOAD_TYPE).map(str::to_owned);
    let object = name.to_owned();
    match (of_type(stored), of_type(new)) {
        (None, Some(workload_type)) => Some(Warning::PodsWithoutType { object, workload_type }),
        (Some(old), now) if now.as_ref() != Some(&old) => Some(Warning::PodsStay { object, old }),
        (None, None) | (Some(_), _) => None,
    }
}

#[cfg(test)]
mod tests;
