//! V2: a pod of a type has the type's selector and tolerations, by the current policy or the one before; and a template does not contradict
//! them.

use super::injection::{self, Missing};
use super::object::PodSpec;
use super::policies::TypePolicy;
use super::reason::Reason;
use super::subject::Subject;
use crate::model::workload_type::Policy;

pub(super) fn judge(subject: &Subject<'_>) -> Vec<Reason> {
    // Nobody selects nodes for daemon pods but their DaemonSet.
    let Some(workload_type) = subject.injected_type() else { return Vec::new() };
    let mut by_policy =
        workload_type.honoured(subject.now).map(|policy| compare(subject, workload_type, policy));
    let by_current = by_policy.next().unwrap_or_default();
    if by_current.is_empty() || by_policy.any(|reasons| reasons.is_empty()) { Vec::new() } else { by_current }
}

/// The value of a selector key that contradicts the policy, if it does.
pub(super) fn contradiction<'s>(spec: &'s PodSpec<'_>, key: &str, wanted: &str) -> Option<&'s str> {
    spec.selected(key).filter(|value| *value != wanted)
}

fn compare(subject: &Subject<'_>, workload_type: &TypePolicy, policy: &Policy) -> Vec<Reason> {
    let spec = &subject.new.spec;
    let before = subject.baseline.map(|pod| &pod.spec);
    let contradictions = policy.node_selector.iter().filter_map(|(key, wanted)| {
        let value = contradiction(spec, key, wanted)?;
        let is_new = before.and_then(|before| before.selected(key)) != Some(value);
        is_new.then(|| Reason::SelectorContradiction {
            path: subject.field("spec.nodeSelector"),
            key: key.clone(),
            value: value.to_owned(),
            wanted: wanted.clone(),
            workload_type: workload_type.name.clone(),
        })
    });
    let mut reasons: Vec<_> = contradictions.collect();
    // What a template lacks, its pods are given.
    if !subject.role.is_template() {
        let missing = newly_missing(injection::missing(policy, spec), before, policy);
        if !missing.is_empty() {
            let selector = missing.selector.iter().map(|(key, value)| format!("{key}={value}"));
            reasons.push(Reason::NotInjected {
                workload_type: workload_type.name.clone(),
                tolerations: missing.tolerations.into_iter().cloned().collect(),
                selector: selector.collect(),
                is_update: subject.stored.is_some(),
            });
        }
    }
    reasons
}

/// What is missing and was not missing before: a pod that lacked it already is not wedged.
fn newly_missing<'p>(missing: Missing<'p>, before: Option<&PodSpec<'_>>, policy: &'p Policy) -> Missing<'p> {
    let Some(before) = before else { return missing };
    let known = injection::missing(policy, before);
    Missing {
        tolerations: missing
            .tolerations
            .into_iter()
            .filter(|taint| !known.tolerations.contains(taint))
            .collect(),
        selector: missing
            .selector
            .into_iter()
            .filter(|(key, value)| before.selected(key) == Some(value))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
