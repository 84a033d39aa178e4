//! What the pods of a review ask of nodes, read once for every rule that judges it.

use k8s_openapi::api::core::v1::{Pod as ApiPod, PodTemplateSpec};
use serde_json::Value;

use super::parse;
use super::review::{Kind, Review, TemplateKind};
use super::subject::Subject;
use crate::model::Pod;
use crate::model::pod::UnsupportedConstraint;

/// What an object asks for, and what it asked for when it was judged before.
pub(super) struct Wishes {
    pub(super) new: Wish,
    /// What was judged before and can be read.
    pub(super) baseline: Option<Wish>,
}

/// What one version of an object asks for.
pub(super) struct Wish {
    pub(super) pod: Pod,
    /// The volumes that a StatefulSet claims for each of its pods.
    pub(super) claims: Vec<UnsupportedConstraint>,
}

impl Wishes {
    /// What the subject of the review asks, where its namespace has a type. On an update only a change counts (V9).
    ///
    /// What cannot be read is not judged: the API server does that, and it knows more fields.
    pub(super) fn read(subject: &Subject<'_>, review: &Review<'_>) -> Option<Self> {
        subject.workload_type()?;
        let new = Wish::read(review, parse::raw_object(review).ok()?.get())?;
        let stored = parse::raw_old_object(review).ok().flatten().filter(|_| subject.baseline.is_some());
        Some(Self { new, baseline: stored.and_then(|stored| Wish::read(review, stored.get())) })
    }
}

impl Wish {
    fn read(review: &Review<'_>, object: &str) -> Option<Self> {
        let Kind::Template(kind) = review.kind else {
            let pod: ApiPod = serde_json::from_str(object).ok()?;
            return Some(Self { pod: Pod::from_api(&pod).ok()?, claims: Vec::new() });
        };
        let mut object: Value = serde_json::from_str(object).ok()?;
        let claims = if kind == TemplateKind::StatefulSet { claims(&object) } else { Vec::new() };
        let place =
            kind.template_path().iter().try_fold(&mut object, |object, field| object.get_mut(field))?;
        let template: PodTemplateSpec = serde_json::from_value(place.take()).ok()?;
        Some(Self { pod: Pod::from_template(&review.namespace, &template).ok()?, claims })
    }

    pub(super) fn constraints(&self) -> impl Iterator<Item = &UnsupportedConstraint> {
        self.claims.iter().chain(&self.pod.unsupported)
    }
}

fn claims(stateful_set: &Value) -> Vec<UnsupportedConstraint> {
    let templates = stateful_set.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    let names = templates.into_iter().flatten().filter_map(|claim| claim.pointer("/metadata/name")?.as_str());
    names.map(|name| UnsupportedConstraint::PersistentVolume { volume: name.to_owned() }).collect()
}
