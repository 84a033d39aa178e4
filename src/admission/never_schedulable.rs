//! V8: what no node of its type can ever run is refused where a person writes it: in templates, and in pods that nothing makes anew.
//!
//! The type's envelope says what its nodes can hold at most; a type of which that is not known for the current generations of everything
//! that it follows from admits whatever the other rules do. Pods that a controller makes are admitted: they stay pending, and are explained.

use k8s_openapi::api::core::v1::{Pod as ApiPod, PodTemplateSpec};
use serde_json::Value;

use super::parse;
use super::reason::Reason;
use super::review::{Kind, Review};
use super::subject::Subject;
use crate::model::Pod;

/// Why the subject of the review can never run. On an update only a change of what it asks for counts (V9).
pub(super) fn judge(subject: &Subject<'_>, review: &Review<'_>) -> Option<Reason> {
    let workload_type = subject.injected_type()?;
    let envelope = workload_type.envelope.as_ref()?;
    if !subject.role.is_template() && subject.new.metadata.controller().is_some() {
        return None;
    }
    let new = read(review, parse::raw_object(review).ok()?.get())?;
    let why = envelope.refusal(&new)?;
    let is_new = subject.baseline.is_none() || {
        let stored = parse::raw_old_object(review).ok().flatten();
        stored.and_then(|stored| read(review, stored.get())).is_none_or(|stored| !asks_alike(&new, &stored))
    };
    is_new.then(|| Reason::NeverSchedulable {
        path: subject.path.to_owned(),
        workload_type: workload_type.name.clone(),
        why,
    })
}

fn asks_alike(new: &Pod, stored: &Pod) -> bool {
    new.requests == stored.requests
        && new.alternatives == stored.alternatives
        && new.unusable_terms == stored.unusable_terms
}

/// The pod, with everything that it asks for. What cannot be read is not judged here: the API server does that, and it knows more fields.
fn read(review: &Review<'_>, object: &str) -> Option<Pod> {
    let Kind::Template(kind) = review.kind else {
        let pod: ApiPod = serde_json::from_str(object).ok()?;
        return Pod::from_api(&pod).ok();
    };
    let mut object: Value = serde_json::from_str(object).ok()?;
    let place = kind.template_path().iter().try_fold(&mut object, |object, field| object.get_mut(field))?;
    let template: PodTemplateSpec = serde_json::from_value(place.take()).ok()?;
    Pod::from_template(&review.namespace, &template).ok()
}

#[cfg(test)]
mod tests;
