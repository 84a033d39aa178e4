//! The largest pods that a workload type can run, and what can never run in it.
//!
//! The envelope is published in the type's status, so that admission refuses what will never be scheduled without knowing a single
//! instance type. It says no only where that is certain: labels and resources that it does not know about are not judged. How it is
//! computed is [`crate::scheduling`]'s business.

use std::collections::BTreeSet;

use super::{
    label,
    pod::{NodeAlternative, Pod},
    reason::Reason,
    requirement::Requirement,
    resources::{InvalidAmount, ResourceList},
};
use crate::api::{labels, workload_type as api};

#[cfg(test)]
mod tests;

/// What the nodes of a workload type leave for pods: no vector is exceeded in everything by another of the same pool, architecture and
/// zones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// The vectors, in the order of pool, architecture, zones and instance type.
    pub vectors: Vec<EnvelopeVector>,
}

/// What a node of one shape leaves for pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeVector {
    /// The pool of the node.
    pub pool: String,
    /// Its architecture; empty if it is not known.
    pub architecture: String,
    /// The zones that it can be in; none if they are not known.
    pub zones: BTreeSet<String>,
    /// Its instance type, for messages.
    pub instance_type: String,
    /// What pods can request on it, daemons aside.
    pub allocatable: ResourceList,
}

impl EnvelopeVector {
    /// Reads a vector of a WorkloadType's status; every amount that is no quantity is reported.
    pub fn from_api(vector: &api::EnvelopeVector) -> Result<Self, Vec<InvalidAmount>> {
        Ok(Self {
            pool: vector.pool.clone(),
            architecture: vector.architecture.clone(),
            zones: vector.zones.iter().cloned().collect(),
            instance_type: vector.instance_type.clone(),
            allocatable: ResourceList::from_api(&vector.allocatable)?,
        })
    }

    /// The vector as a WorkloadType's status has it.
    #[must_use]
    pub fn to_api(&self) -> api::EnvelopeVector {
        api::EnvelopeVector {
            pool: self.pool.clone(),
            architecture: self.architecture.clone(),
            zones: self.zones.iter().cloned().collect(),
            instance_type: self.instance_type.clone(),
            allocatable: self.allocatable.to_api(),
        }
    }

    /// The first requirement of the alternative that no such node meets.
    fn obstacle<'a>(&self, alternative: &'a NodeAlternative) -> Option<&'a Requirement> {
        alternative.requirements.iter().find(|requirement| match requirement.key() {
            labels::NODEPOOL => !requirement.has(&self.pool),
            label::ARCH => !self.architecture.is_empty() && !requirement.has(&self.architecture),
            label::ZONE => !self.zones.is_empty() && !self.zones.iter().any(|zone| requirement.has(zone)),
            _ => false,
        })
    }

    /// What such nodes have for a label that the envelope knows about.
    fn values(&self, key: &str) -> Vec<&str> {
        match key {
            labels::NODEPOOL => vec![&self.pool],
            label::ARCH => vec![&self.architecture],
            label::ZONE => self.zones.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

impl Envelope {
    /// Why the pod can never run on a node of the type; nothing, if it may, or if that cannot be told.
    #[must_use]
    pub fn refusal(&self, pod: &Pod) -> Option<Reason> {
        if self.vectors.is_empty() || pod.alternatives.is_empty() {
            return None;
        }
        let meets = |vector: &&EnvelopeVector| {
            pod.alternatives.iter().any(|alternative| vector.obstacle(alternative).is_none())
        };
        let eligible: Vec<_> = self.vectors.iter().filter(meets).collect();
        if eligible.is_empty() {
            return self.conflict(pod);
        }
        let is_known = |name: &str| self.vectors.iter().any(|vector| vector.allocatable.get(name).is_some());
        let requests: ResourceList = pod.requests.iter().filter(|(name, _)| is_known(name)).collect();
        let places = eligible.iter().map(|vector| (vector.instance_type.as_str(), &vector.allocatable));
        Reason::does_not_fit(&requests, places)
    }

    fn conflict(&self, pod: &Pod) -> Option<Reason> {
        let first = pod.alternatives.first()?;
        let incoming = self.vectors.iter().find_map(|vector| vector.obstacle(first))?;
        let values = self.vectors.iter().flat_map(|vector| vector.values(incoming.key()));
        let existing = Requirement::one_of(incoming.key(), values);
        Some(Reason::RequirementConflict { incoming: incoming.clone(), existing })
    }
}
