//! What is wrong with the pods that a plan leaves out: those that plainly could have been placed.

use std::collections::BTreeSet;

use super::{Check, Violation};
use crate::{
    model::{
        Quantity, Toleration,
        host_port::HostPort,
        pod::{NodeAlternative, UnsupportedConstraint},
    },
    scheduling::{PendingPod, Unschedulable},
};

/// What a pod asks of its node: what is right for one pod is right for every pod that asks for the same.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct AskedFor<'a> {
    workload_type: Option<&'a str>,
    requests: Vec<(&'a str, Quantity)>,
    alternatives: &'a [NodeAlternative],
    tolerations: &'a [Toleration<'static>],
    host_ports: &'a [HostPort],
    unsupported: &'a [UnsupportedConstraint],
}

impl<'a> AskedFor<'a> {
    fn by(pending: &'a PendingPod) -> Self {
        let pod = &pending.pod;
        Self {
            workload_type: pending.workload_type.as_deref(),
            requests: pod.requests.iter().collect(),
            alternatives: &pod.alternatives,
            tolerations: &pod.tolerations,
            host_ports: &pod.host_ports,
            unsupported: &pod.unsupported,
        }
    }
}

impl Check<'_> {
    /// Checks every pod that is left out.
    pub(super) fn all_left_out(&self, found: &mut Vec<Violation>) {
        let mut right = BTreeSet::new();
        for left_out in &self.plan.unschedulable {
            let Some(pending) = self.pods.get(&left_out.pod).copied() else { continue };
            let asked = AskedFor::by(pending);
            if !left_out.reasons.is_empty() && right.contains(&asked) {
                continue;
            }
            let before = found.len();
            self.left_out(left_out, pending, found);
            if found.len() == before {
                right.insert(asked);
            }
        }
    }

    fn left_out(&self, left_out: &Unschedulable, pending: &PendingPod, found: &mut Vec<Violation>) {
        let pod = &pending.pod;
        if left_out.reasons.is_empty() {
            found.push(Violation::NoReason { pod: pod.key.clone() });
        }
        if !pod.unsupported.is_empty() {
            return;
        }
        let node = self.nodes.iter().find(|facts| facts.holds(pod));
        found.extend(
            node.map(|facts| Violation::FitsOnNode { pod: pod.key.clone(), node: facts.node.name.clone() }),
        );
        for (name, may_fall_back) in self.pools_of(pending) {
            let Some(facts) = self.pool(name) else { continue };
            if facts.pool.obstacle().is_some() {
                if *may_fall_back {
                    continue;
                }
                return;
            }
            let asked = facts.asked(pod);
            if asked.is_empty() {
                continue;
            }
            // Whether the pod would fit into the pool could more be had of it: then it waits for that, unless it may fall back.
            let mut is_awaited = false;
            for of_type in facts.types() {
                let matters = of_type.is_to_be_had || !(is_awaited || *may_fall_back);
                if !matters || !of_type.holds(pod) {
                    continue;
                }
                let mut offerings = of_type.offerings(&asked).peekable();
                is_awaited |= offerings.peek().is_some();
                if of_type.is_to_be_had && offerings.any(|offering| offering.is_available) {
                    found.push(Violation::FitsInPool {
                        pod: pod.key.clone(),
                        pool: (*name).to_owned(),
                        instance_type: of_type.instance_type.name.clone(),
                    });
                    return;
                }
            }
            if is_awaited && !may_fall_back {
                return;
            }
        }
    }
}
