//! When a node class is held, and when it may go: not before the last claim that was launched from it, as in Karpenter.

use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::labels::EC2NODECLASS_FINALIZER;
use crate::model::event::{Event, Regarding, Severity};
use crate::model::text::Excerpt;

/// How many claims a message names.
const NAMED: usize = 5;

/// What is to be done about the finalizer of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassStep {
    /// Nothing.
    Rest,
    /// It is to be put on: what is created for the class in the cloud must be removed again.
    Hold,
    /// Claims of the class are still there.
    Wait(Event),
    /// What was created for the class is to be removed; then the finalizer is to be taken off.
    Release,
}

/// What is to be done now. `claims` are the names of all claims of the class.
#[must_use]
pub fn step(class: &Ec2NodeClass, claims: &[&str]) -> ClassStep {
    let finalizers = class.metadata.finalizers.as_deref().unwrap_or_default();
    let is_held = finalizers.iter().any(|finalizer| finalizer == EC2NODECLASS_FINALIZER);
    match (class.metadata.deletion_timestamp.is_some(), is_held) {
        (false, true) | (true, false) => ClassStep::Rest,
        (false, false) => ClassStep::Hold,
        (true, true) if claims.is_empty() => ClassStep::Release,
        (true, true) => ClassStep::Wait(waiting(class, claims)),
    }
}

fn waiting(class: &Ec2NodeClass, claims: &[&str]) -> Event {
    let named: Vec<_> = claims.iter().take(NAMED).map(|name| Excerpt(name).to_string()).collect();
    let more = match claims.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Event {
        regarding: regarding(class),
        severity: Severity::Normal,
        reason: "WaitingOnNodeClaimTermination",
        message: format!(
            "it goes once no NodeClaim uses it: {}{more}; delete those, or their NodePools",
            named.join(", ")
        ),
        same_if: String::new(),
    }
}

/// Tells people that a class stays although no claim is known of it.
#[must_use]
pub fn not_let_go(class: &Ec2NodeClass, error: &str) -> Event {
    Event {
        regarding: regarding(class),
        severity: Severity::Warning,
        reason: "FailedTermination",
        message: format!("it cannot be let go yet, and that is tried again: {error}"),
        same_if: error.to_owned(),
    }
}

fn regarding(class: &Ec2NodeClass) -> Regarding {
    Regarding::NodeClass {
        name: class.metadata.name.clone().unwrap_or_default(),
        uid: class.metadata.uid.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(finalizers: &[&str], is_deleted: bool) -> Ec2NodeClass {
        let mut class = json!({
            "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass",
            "metadata": { "name": "default", "uid": "u", "finalizers": finalizers },
            "spec": { "amiSelectorTerms": [], "subnetSelectorTerms": [], "securityGroupSelectorTerms": [] },
        });
        if is_deleted {
            class["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(class).unwrap()
    }

    #[test]
    fn a_class_is_held_from_the_start_and_goes_after_its_last_claim() {
        const OURS: &str = "karpenter.k8s.aws/termination";
        assert_eq!(step(&class(&[], false), &[]), ClassStep::Hold);
        assert_eq!(step(&class(&["other"], false), &["a"]), ClassStep::Hold);
        assert_eq!(step(&class(&[OURS], false), &["a"]), ClassStep::Rest);
        assert_eq!(step(&class(&[OURS, "other"], true), &[]), ClassStep::Release);
        assert_eq!(step(&class(&["other"], true), &[]), ClassStep::Rest);
        let ClassStep::Wait(event) = step(&class(&[OURS], true), &["a", "b", "c", "d", "e", "f"]) else {
            panic!("it goes before its claims");
        };
        assert_eq!(
            event.message,
            "it goes once no NodeClaim uses it: a, b, c, d, e and 1 more; delete those, or their NodePools"
        );
    }
}
