//! V13: a pod's own type label names a type that its namespace may use, and never changes. And the closing of namespaces: where the type is
//! missing or closed, no pod is admitted.

use super::policies::Closed;
use super::reason::{KnownNames, Reason};
use super::standing::Standing;
use super::subject::Subject;
use crate::api::labels::WORKLOAD_TYPE;

pub(super) fn judge_label(subject: &Subject<'_>) -> Option<Reason> {
    let label = subject.new.metadata.label(WORKLOAD_TYPE);
    let stored = subject.stored.map(|pod| pod.metadata.label(WORKLOAD_TYPE));
    if let Some(old) = stored.filter(|old| *old != label && !subject.role.is_template()) {
        return Some(Reason::TypeLabelChanged { old: old.map(str::to_owned), new: label.map(str::to_owned) });
    }
    let before = subject.baseline.and_then(|pod| pod.metadata.label(WORKLOAD_TYPE));
    not_allowed(subject, label.filter(|_| before != label)?)
}

fn not_allowed(subject: &Subject<'_>, label: &str) -> Option<Reason> {
    let allowed = subject.standing.type_name();
    (allowed != Some(label)).then(|| Reason::TypeNotAllowed {
        path: subject.field("metadata.labels"),
        workload_type: label.to_owned(),
        allowed: allowed.map(str::to_owned),
    })
}

/// Pods that exist are not touched: an update does not change what the namespace is.
pub(super) fn judge_namespace(subject: &Subject<'_>) -> Option<Reason> {
    if subject.baseline.is_some() {
        return None;
    }
    match subject.standing {
        Standing::TypeMissing(name) => Some(Reason::NamespaceClosed {
            workload_type: name.to_owned(),
            known: KnownNames::near(name, subject.policies.type_names()),
        }),
        Standing::TypeClosed(policy, closed) => Some(Reason::TypeClosed {
            workload_type: policy.name.clone(),
            problem: match closed {
                Closed::Invalid(problem) => Some(problem.clone()),
                Closed::Unpublished => None,
            },
        }),
        Standing::Exempt | Standing::Typeless | Standing::Typed(_) | Standing::Unknown => None,
    }
}
