//! What admission adds to a pod: what its type gives and it lacks (M1, M2), and on an update what it had and would lose (M7).
//!
//! Only what: the patch is written in [`super::patch`].

use super::object::PodSpec;
use super::subject::Subject;
use crate::model::taints::{Taint, Toleration};
use crate::model::workload_type::Policy;

/// What a pod lacks of a policy. A selector key that is there with another value is not lacking: that is a contradiction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Missing<'p> {
    pub(super) tolerations: Vec<&'p Taint>,
    pub(super) selector: Vec<(&'p str, &'p str)>,
}

impl Missing<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.tolerations.is_empty() && self.selector.is_empty()
    }
}

/// What the pod lacks of the policy, in the policy's order. A toleration is not lacking if one of the pod's covers it, for as long.
pub(super) fn missing<'p>(policy: &'p Policy, spec: &PodSpec<'_>) -> Missing<'p> {
    let is_covered =
        |taint: &Taint| spec.tolerations().iter().any(|toleration| toleration.covers(&Toleration::of(taint)));
    let selector = policy.node_selector.iter().filter(|(key, _)| spec.selected(key).is_none());
    Missing {
        tolerations: policy.tolerations.iter().filter(|taint| !is_covered(taint)).collect(),
        selector: selector.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
    }
}

/// What an update would take from a pod although its type gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lost<'a> {
    /// As they were stored: the API server refuses any other spelling.
    pub(super) tolerations: Vec<&'a Toleration<'a>>,
    pub(super) selector: Vec<(&'a str, &'a str)>,
}

/// What the update would take. `kubectl apply` of a bare pod that lists tolerations sends its own list, and the API server refuses to remove
/// one: without this, such a pod could never be applied again.
pub(super) fn lost<'a>(subject: &Subject<'a>) -> Lost<'a> {
    let mut lost = Lost::default();
    let (Some(stored), Some(workload_type)) = (subject.stored, subject.named_type()) else { return lost };
    for policy in workload_type.honoured(subject.now) {
        let given = |toleration: &&Toleration<'_>| {
            policy.tolerations.iter().any(|taint| is_exactly(toleration, taint))
        };
        for toleration in stored.spec.tolerations().iter().filter(given) {
            let is_kept = subject.new.spec.tolerations().iter().any(|kept| is_same(kept, toleration));
            if !is_kept && !lost.tolerations.contains(&toleration) {
                lost.tolerations.push(toleration);
            }
        }
        for (key, value) in &policy.node_selector {
            let entry = (key.as_str(), value.as_str());
            let is_lost =
                stored.spec.selected(key) == Some(value) && subject.new.spec.selected(key).is_none();
            if is_lost && !lost.selector.contains(&entry) {
                lost.selector.push(entry);
            }
        }
    }
    lost
}

/// Whether the toleration is the one of exactly this taint, however its operator is spelt and for however long.
fn is_exactly(toleration: &Toleration<'_>, taint: &Taint) -> bool {
    let exact = Toleration::of(taint);
    let has_parts =
        toleration.key == exact.key && toleration.value == exact.value && toleration.effect == exact.effect;
    has_parts && toleration.operator() == exact.operator()
}

/// Whether the API server takes one for the other in an update: only the seconds may differ.
fn is_same(toleration: &Toleration<'_>, other: &Toleration<'_>) -> bool {
    toleration.key == other.key
        && toleration.operator == other.operator
        && toleration.value == other.value
        && toleration.effect == other.effect
}

#[cfg(test)]
mod tests;
