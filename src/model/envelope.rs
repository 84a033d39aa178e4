//! The largest pods that a workload type can run, and what can never run in it.
//!
//! The envelope is published in the type's status, so that admission refuses what will never be scheduled without knowing a single
//! instance type. It says no only where that is certain: labels and resources that it does not know about are not judged. How it is
//! computed is [`crate::scheduling`]'s business.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    label,
    pod::{NodeAlternative, Pod, UnusableTerm},
    reason::Reason,
    requirement::Requirement,
    resources::{InvalidAmount, ResourceList},
};
use crate::api::{labels, workload_type as api};

#[cfg(test)]
mod tests;

/// What the nodes of a workload type leave for pods: no vector is exceeded in everything by another of the same pool and architecture that
/// can be wherever it can be.
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

/// The objects that an envelope is computed from, by kind and name, each in its generation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Generations(BTreeMap<(&'static str, String), i64>);

impl Generations {
    /// Notes a WorkloadType.
    pub fn note_workload_type(&mut self, name: &str, generation: i64) {
        self.0.insert(("WorkloadType", name.to_owned()), generation);
    }

    /// Notes a NodePool.
    pub fn note_node_pool(&mut self, name: &str, generation: i64) {
        self.0.insert(("NodePool", name.to_owned()), generation);
    }

    /// Notes an EC2NodeClass.
    pub fn note_node_class(&mut self, name: &str, generation: i64) {
        self.0.insert(("EC2NodeClass", name.to_owned()), generation);
    }

    /// Whether a published envelope was computed from all of these, in these generations.
    #[must_use]
    pub fn are_those_of(&self, published: &api::Envelope) -> bool {
        self.0.iter().all(|((kind, name), generation)| {
            published.generations.iter().any(|object| {
                object.kind == *kind && object.name == *name && object.generation == *generation
            })
        })
    }

    /// What a WorkloadType's status says of them.
    #[must_use]
    pub fn to_api(&self) -> Vec<api::ObservedObject> {
        let object = |((kind, name), generation): (&(&'static str, String), &i64)| api::ObservedObject {
            kind: (*kind).to_owned(),
            name: name.clone(),
            generation: *generation,
        };
        self.0.iter().map(object).collect()
    }
}

impl Envelope {
    /// Reads a published envelope; every amount that is no quantity is reported.
    pub fn from_api(published: &api::Envelope) -> Result<Self, Vec<InvalidAmount>> {
        let vectors = published.vectors.iter().map(EnvelopeVector::from_api);
        Ok(Self { vectors: vectors.collect::<Result<_, _>>()? })
    }

    /// The envelope as a WorkloadType's status has it.
    #[must_use]
    pub fn to_api(&self, generations: &Generations) -> api::Envelope {
        api::Envelope {
            generations: generations.to_api(),
            vectors: self.vectors.iter().map(EnvelopeVector::to_api).collect(),
        }
    }

    /// Why the pod can never run on a node of the type; nothing, if it may, or if that cannot be told.
    #[must_use]
    pub fn refusal(&self, pod: &Pod) -> Option<Reason> {
        if self.vectors.is_empty() || pod.excess().is_some() {
            return None;
        }
        if pod.alternatives.is_empty() {
            return unusable(pod);
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

/// Why no node at all can meet what the pod asks of labels. A term that cannot be read may come to mean something.
fn unusable(pod: &Pod) -> Option<Reason> {
    let is_certain = |problem: &UnusableTerm| match problem {
        UnusableTerm::Empty | UnusableTerm::Contradiction { .. } => true,
        UnusableTerm::Invalid(_) | UnusableTerm::UnknownField { .. } => false,
    };
    let is_never = pod.unusable_terms.iter().all(|(_, problem)| is_certain(problem));
    is_never.then(|| Reason::NodeAffinityUnusable { terms: pod.unusable_terms.clone() })
}
