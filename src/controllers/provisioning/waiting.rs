//! Which pods wait for a node, and for which workload type. Pure.
//!
//! A pod that is not provisionable gets no event, as in Karpenter: it has a node, is gone soon, or waits for something else that tells
//! about itself. Neither does a pod that asks for nodes without a pool: it has opted out.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::nominations::{Breach, Pause};
use super::world::World;
use crate::api::labels;
use crate::model::pod::PodKey;
use crate::model::{Namespace, Pod, Reason, Requirement};
use crate::scheduling::{PendingPod, PoolReason, Unschedulable};

/// A pod that nothing may be launched for.
pub type LeftOut = Unschedulable;

/// The pods that wait and were promised no place.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Those to plan for.
    pub pods: Vec<PendingPod>,
    /// Those that nothing may be launched for.
    pub left_out: Vec<LeftOut>,
    /// The UIDs of both.
    pub uids: BTreeMap<PodKey, String>,
}

/// Whether the pod is one that nodes are launched for.
#[must_use]
pub fn is_waiting(pod: &Pod) -> bool {
    pod.check_provisionable().is_ok() && !pod.requires_absence_of(labels::NODEPOOL)
}

/// The pods of the world that wait.
pub(super) fn waiting(world: &World, now: Timestamp) -> Waiting {
    let mut found = Waiting::default();
    for pod in world.pods.iter().filter_map(|pod| pod.unbound()).filter(|pod| is_waiting(pod)) {
        if world.nominations.of(&pod.key, &pod.uid).is_some() || world.put_off.get(&pod.key) == Some(&pod.uid)
        {
            continue;
        }
        match may_be_promised(pod, world, now).and_then(|()| workload_type(pod, world)) {
            Ok(workload_type) => found.pods.push(PendingPod { pod: pod.clone(), workload_type }),
            Err(Obstacle::Told(reason)) => found.left_out.push(LeftOut {
                pod: pod.key.clone(),
                reasons: vec![PoolReason { pool: None, reason: *reason }],
            }),
            Err(Obstacle::NamespaceUnknown) => continue,
        }
        found.uids.insert(pod.key.clone(), pod.uid.clone());
    }
    found
}

/// Why nothing may be launched for a pod, whatever the pools.
enum Obstacle {
    /// A pod that is typed must never be taken for one that is not. It is looked at again in a moment, and nobody needs to know.
    NamespaceUnknown,
    /// People should be told.
    Told(Box<Reason>),
}

/// Another node is not launched at once for a pod that nothing came of those that were.
fn may_be_promised(pod: &Pod, world: &World, now: Timestamp) -> Result<(), Obstacle> {
    let Some(Pause { breach, times, until }) = world.nominations.pause(&pod.key, &pod.uid, now) else {
        return Ok(());
    };
    let reason = match breach {
        Breach::NeverBound => Reason::NeverBound { times, until },
        Breach::NodeLost => Reason::NodesLost { times, until },
        Breach::ClaimRefused => Reason::ClaimRefused { times, until },
    };
    Err(Obstacle::Told(Box::new(reason)))
}

/// The pod's workload type.
fn workload_type(pod: &Pod, world: &World) -> Result<Option<String>, Obstacle> {
    let namespace = world.namespace(&pod.key.namespace);
    let granted = match &namespace {
        Namespace::Exempt => return Ok(None),
        Namespace::Unknown => return Err(Obstacle::NamespaceUnknown),
        Namespace::Typeless => None,
        Namespace::Typed(name) => Some(name),
    };
    if let Some(own) = pod.labels.get(labels::WORKLOAD_TYPE).filter(|own| granted != Some(own)) {
        // Admission refuses such a pod; the namespace's label may have been changed since.
        return Err(Obstacle::Told(Box::new(Reason::WorkloadTypeNotAllowed {
            workload_type: own.clone(),
            namespace: pod.key.namespace.clone(),
        })));
    }
    let Some(name) = granted else {
        return match selected_type(pod, world) {
            Some(workload_type) => Err(Obstacle::Told(Box::new(Reason::NamespaceNotLabelled {
                workload_type: workload_type.to_owned(),
                namespace: pod.key.namespace.clone(),
            }))),
            None => Ok(None),
        };
    };
    let closed = world.workload_types.get(name).and_then(|workload_type| workload_type.problems.first());
    match closed {
        Some(problem) => Err(Obstacle::Told(Box::new(Reason::WorkloadTypeClosed {
            workload_type: name.clone(),
            problem: problem.to_string(),
        }))),
        None => Ok(Some(name.clone())),
    }
}

/// A workload type without which none of the pod's alternatives can be met: only nodes of its pools have its label.
fn selected_type<'w>(pod: &Pod, world: &'w World) -> Option<&'w str> {
    let is_asked_for = |label: &str| {
        let mut all = pod.alternatives.iter().map(|alternative| alternative.requirements.get(label));
        all.all(|asked| asked.is_some_and(|asked| !asked.allows_absence()))
    };
    let labels = pod.alternatives.first()?.requirements.iter().map(Requirement::key);
    let named = labels.filter(|label| is_asked_for(label)).filter_map(labels::type_of_node_label);
    let known = named.filter_map(|name| world.workload_types.get_key_value(name));
    known.map(|(name, _)| name.as_str()).next()
}
