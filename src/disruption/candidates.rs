//! Whether a node may be given up, or the first reason why not.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::emptiness::{initialization_deadline, is_settled, needed_for, quiet_enough_at, quiet_since};
use crate::api::budget::Budget;
use crate::api::{labels, nodepool};
use crate::model::event::{Event, Regarding, Severity};
use crate::model::pod::PodKey;
use crate::model::text::Excerpt;
use crate::model::{BoundPod, Node, NodeClaim};

/// What a NodePool says about the disruption of its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its UID, for the events that tell about it.
    pub uid: String,
    /// How long pods must have left a node alone; `None` for never, also where that cannot be read.
    pub consolidate_after: Option<SignedDuration>,
    /// How many nodes may be disrupted at once.
    pub budgets: Vec<Budget>,
}

impl Pool {
    /// Reads an API object.
    #[must_use]
    pub fn read(object: &nodepool::NodePool) -> Self {
        let disruption = &object.spec.disruption;
        let consolidate_after = disruption.consolidate_after.value().unwrap_or(None);
        let uid = object.metadata.uid.clone().unwrap_or_default();
        Self { uid, consolidate_after, budgets: disruption.budgets.clone() }
    }
}

/// A claim and what belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    /// The claim.
    pub claim: &'a NodeClaim,
    /// Its Node, if there is exactly one.
    pub node: Option<&'a Node>,
    /// Every pod on the Node. Lent one by one, since nobody keeps the pods of a cluster by their nodes.
    pub pods: &'a [&'a BoundPod],
    /// Until when pods are expected on the Node that a plan has placed there.
    pub nominated_until: Option<Timestamp>,
}

/// Why a node is not given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ineligible {
    /// It is being removed already.
    Deleting,
    /// It has no Node, or several.
    NoNode,
    /// It is not ready for pods yet.
    NotInitialized {
        /// Until when that is waited for, if it is registered.
        until: Option<Timestamp>,
    },
    /// Pods are expected on it.
    Nominated {
        /// Until when.
        until: Timestamp,
    },
    /// Its Node asks for it.
    NodeLeftAlone,
    /// It belongs to no pool.
    NoPool,
    /// Its pool is gone.
    PoolNotFound {
        /// The pool's name.
        pool: String,
    },
    /// A pod on it asks to be left alone.
    PodLeftAlone {
        /// The pod.
        pod: PodKey,
    },
    /// Its pool does not want nodes to be consolidated.
    Never,
    /// A pod needs it.
    NotEmpty {
        /// The pod.
        pod: PodKey,
    },
    /// Pods have not left it alone for long enough.
    NotQuiet {
        /// When they will have.
        until: Timestamp,
    },
    /// Pods are not followed at the moment, so nobody knows whether one needs it.
    PodsUnknown {
        /// When to look again.
        until: Timestamp,
    },
}

impl Ineligible {
    /// When this may have changed by itself.
    #[must_use]
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Nominated { until } | Self::NotQuiet { until } | Self::PodsUnknown { until } => {
                Some(*until)
            }
            Self::NotInitialized { until } => *until,
            Self::Deleting
            | Self::NoNode
            | Self::NodeLeftAlone
            | Self::NoPool
            | Self::PoolNotFound { .. }
            | Self::PodLeftAlone { .. }
            | Self::Never
            | Self::NotEmpty { .. } => None,
        }
    }

    /// What people are told, if somebody has asked for it to be so, or could change it.
    #[must_use]
    pub fn event(&self, claim: &NodeClaim) -> Option<Event> {
        let is_told = match self {
            Self::NodeLeftAlone | Self::PodLeftAlone { .. } | Self::PoolNotFound { .. } => true,
            Self::Deleting
            | Self::NoNode
            | Self::NotInitialized { .. }
            | Self::Nominated { .. }
            | Self::NoPool
            | Self::Never
            | Self::NotEmpty { .. }
            | Self::NotQuiet { .. }
            // That concerns no claim more than another, and the log has it.
            | Self::PodsUnknown { .. } => false,
        };
        is_told.then(|| Event {
            regarding: Regarding::NodeClaim {
                name: claim.object.name.clone(),
                uid: claim.object.uid.clone(),
            },
            severity: Severity::Normal,
            reason: "DisruptionBlocked",
            message: self.to_string(),
            same_if: self.to_string(),
        })
    }
}

impl fmt::Display for Ineligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleting => f.write_str("it is being removed already"),
            Self::NoNode => f.write_str("it has no Node of its own"),
            Self::NotInitialized { until } => {
                f.write_str("it is not initialized; see the NodeClaim's conditions")?;
                until
                    .map_or(Ok(()), |until| write!(f, "; if nothing runs on it, it is removed after {until}"))
            }
            Self::Nominated { until } => write!(f, "pods are expected on it until {until}"),
            Self::NodeLeftAlone => f.write_str(
                "its Node has the annotation karpenter.sh/do-not-disrupt; remove it to let the node go",
            ),
            Self::NoPool => f.write_str("it belongs to no NodePool; delete the NodeClaim to remove it"),
            Self::PoolNotFound { pool } => {
                write!(f, "its NodePool {} does not exist; delete the NodeClaim to remove it", Excerpt(pool))
            }
            Self::PodLeftAlone { pod } => {
                write!(f, "pod {pod} has the annotation karpenter.sh/do-not-disrupt; it is waited for")
            }
            Self::Never => f.write_str("its NodePool's spec.disruption.consolidateAfter is Never"),
            Self::NotEmpty { pod } => write!(f, "pod {pod} runs on it"),
            Self::NotQuiet { until } => {
                write!(f, "pods have not left it alone for long enough before {until}")
            }
            Self::PodsUnknown { until } => {
                write!(
                    f,
                    "the watch of pods is broken, so what runs on it is not known; it is looked at again at {until}"
                )
            }
        }
    }
}

/// Whether the machine may be given up as empty, budgets aside.
pub fn check(machine: &Machine<'_>, pool: Option<&Pool>, now: Timestamp) -> Result<(), Ineligible> {
    let Machine { claim, node, pods, nominated_until } = *machine;
    if claim.deleted.is_some() || node.is_some_and(|node| node.is_deleting) {
        return Err(Ineligible::Deleting);
    }
    let node = node.ok_or(Ineligible::NoNode)?;
    let since = quiet_since(claim, pods).filter(|_| is_settled(claim, now));
    let since = since.ok_or_else(|| Ineligible::NotInitialized { until: initialization_deadline(claim) })?;
    if let Some(until) = nominated_until.filter(|until| now < *until) {
        return Err(Ineligible::Nominated { until });
    }
    if node.annotations.get(labels::DO_NOT_DISRUPT).is_some_and(|value| value == "true") {
        return Err(Ineligible::NodeLeftAlone);
    }
    let name = claim.pool().ok_or(Ineligible::NoPool)?;
    let pool = pool.ok_or_else(|| Ineligible::PoolNotFound { pool: name.to_owned() })?;
    let left_alone = { pods.iter() }
        .filter(|pod| pod.is_active() && pod.is_to_be_left_alone(now))
        .min_by_key(|pod| (&pod.key, &pod.uid));
    if let Some(pod) = left_alone {
        return Err(Ineligible::PodLeftAlone { pod: pod.key.clone() });
    }
    let consolidate_after = pool.consolidate_after.ok_or(Ineligible::Never)?;
    if let Some(pod) = needed_for(pods) {
        return Err(Ineligible::NotEmpty { pod: pod.key.clone() });
    }
    let until = quiet_enough_at(since, consolidate_after);
    if now < until { Err(Ineligible::NotQuiet { until }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
