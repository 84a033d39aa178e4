//! What people are told about plans: on pods, with Karpenter's reasons, and on pools. Pure.

use std::collections::BTreeMap;

use super::machines::Machine;
use crate::model::event::{Regarding, Severity};
use crate::model::pod::PodKey;
use crate::model::text::Quote;
use crate::model::{Event, Reason};
use crate::scheduling::{PoolReason, Unschedulable};

/// The pod was promised a place on this machine.
#[must_use]
pub fn nominated(pod: &PodKey, uid: &str, machine: &Machine) -> Event {
    let claim = machine.claim.as_ref().map(|name| format!("nodeclaim/{name}"));
    let node = machine.node_name.as_ref().map(|name| format!("node/{name}"));
    let places: Vec<_> = claim.into_iter().chain(node).collect();
    Event {
        regarding: regarding(pod, uid),
        severity: Severity::Normal,
        reason: "Nominated",
        message: format!("Pod should schedule on: {}", places.join(", ")),
        same_if: machine.key().to_owned(),
    }
}

/// Those that get no node, so that the namespaces take turns.
#[must_use]
pub fn in_turn(left_out: &[Unschedulable]) -> Vec<&Unschedulable> {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_turn: BTreeMap<usize, Vec<&Unschedulable>> = BTreeMap::new();
    for left_out in left_out {
        let turn = taken.entry(&left_out.pod.namespace).or_default();
        by_turn.entry(*turn).or_default().push(left_out);
        *turn += 1;
    }
    by_turn.into_values().flatten().collect()
}

/// The pod gets no node, for these reasons.
#[must_use]
pub fn left_out(pod: &PodKey, uid: &str, reasons: &[PoolReason]) -> Event {
    // Pools that keep the pod out by their taints are the farthest from it. What comes last may be cut off.
    let is_far = |reason: &PoolReason| matches!(reason.reason, Reason::TaintNotTolerated { .. });
    let (far, near): (Vec<_>, Vec<_>) = reasons.iter().partition(|reason| is_far(reason));
    let message: Vec<_> = near.into_iter().chain(far).map(ToString::to_string).collect();
    // Numbers change while nodes come and go; what is in the way does not.
    let same_if = reasons
        .iter()
        .map(|reason| format!("{}={}", reason.pool.as_deref().unwrap_or_default(), reason.reason.code()));
    failed_scheduling(pod, uid, message.join("\n"), same_if.collect::<Vec<_>>().join(","))
}

/// The plan for the pod was wrong, or the scheduler panicked over it.
#[must_use]
pub fn refused(pod: &PodKey, uid: &str) -> Event {
    let message = "no node is launched for this pod: there is no plan for it that passes its own check, which is a defect of Treenail; \
                   please report it with the controller's log";
    failed_scheduling(pod, uid, message.to_owned(), "refused".to_owned())
}

/// A claim could not be created.
#[must_use]
pub fn claim_not_created(pool: &str, uid: &str, error: &str) -> Event {
    Event {
        regarding: Regarding::NodePool { name: pool.to_owned(), uid: uid.to_owned() },
        severity: Severity::Warning,
        reason: "NodeClaimNotCreated",
        message: format!("a NodeClaim could not be created, and is tried again: {}", Quote(error)),
        same_if: error.to_owned(),
    }
}

/// No instance type can be bought that the pool allows.
#[must_use]
pub fn no_compatible_instance_types(pool: &str, uid: &str) -> Event {
    Event {
        regarding: Regarding::NodePool { name: pool.to_owned(), uid: uid.to_owned() },
        severity: Severity::Warning,
        reason: "NoCompatibleInstanceTypes",
        message: "no instance type that meets spec.template.spec.requirements is on offer; correct them, or allow more instance types, zones or \
                  capacity types"
            .to_owned(),
        same_if: String::new(),
    }
}

fn failed_scheduling(pod: &PodKey, uid: &str, message: String, same_if: String) -> Event {
    Event {
        regarding: regarding(pod, uid),
        severity: Severity::Warning,
        reason: "FailedScheduling",
        message,
        same_if,
    }
}

fn regarding(pod: &PodKey, uid: &str) -> Regarding {
    Regarding::Pod { key: pod.clone(), uid: uid.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_namespace_keeps_another_from_being_told() {
        let left_out = |pod: &str| {
            let (namespace, name) = pod.split_once('/').unwrap();
            let pod = PodKey { namespace: namespace.to_owned(), name: name.to_owned() };
            Unschedulable { pod, reasons: Vec::new() }
        };
        let all = ["a/1", "a/2", "a/3", "b/1", "c/1", "c/2"].map(left_out);
        let order: Vec<_> = in_turn(&all).iter().map(|left_out| left_out.pod.to_string()).collect();
        assert_eq!(order, ["a/1", "b/1", "c/1", "a/2", "c/2", "a/3"]);
    }
}
