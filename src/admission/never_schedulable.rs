//! V8: what no node of its type can ever run is refused where a person writes it: in templates, and in pods that nothing makes anew.
//!
//! The type's envelope says what its nodes can hold at most; a type of which that is not known for the current generations of everything
//! that it follows from admits whatever the other rules do. Pods that a controller makes are admitted: they stay pending, and are explained.
//! What is not certain, since nodes can have labels and resources that no pool gives them, is a warning, and so is what no node is launched
//! for yet: one that is there may have room.

use std::collections::BTreeSet;

use super::instance_types::{self, KnownTypes};
use super::policies::TypePolicy;
use super::reason::Reason;
use super::subject::Subject;
use super::warning::Warning;
use super::wishes::{Wish, Wishes};
use crate::api::labels;
use crate::model::envelope::EnvelopeVector;
use crate::model::pod::UnsupportedConstraint;
use crate::model::requirements::Undefined;
use crate::model::resources::HUGE_PAGES_PREFIX;
use crate::model::{Pod, Requirements, label, reason as model};

/// What a person newly asks of the nodes of a type.
pub(super) struct Asked<'s> {
    subject: &'s Subject<'s>,
    workload_type: &'s TypePolicy,
    new: &'s Wish,
    baseline: Option<&'s Wish>,
}

impl<'s> Asked<'s> {
    /// What the subject asks, if a person wrote it and it may be injected.
    pub(super) fn of(subject: &'s Subject<'s>, wishes: &'s Wishes) -> Option<Self> {
        let workload_type = subject.injected_type()?;
        if !subject.role.is_template() && subject.new.metadata.controller().is_some() {
            return None;
        }
        Some(Self { subject, workload_type, new: &wishes.new, baseline: wishes.baseline.as_ref() })
    }

    /// Whether it asks for other nodes than before.
    fn asks_anew(&self) -> bool {
        self.baseline.is_none_or(|before| !asks_alike(&self.new.pod, &before.pod))
    }

    /// Why it can never run.
    pub(super) fn refusal(&self) -> Option<Reason> {
        let envelope = self.workload_type.envelope.as_ref().filter(|_| self.asks_anew())?;
        let by_name = || self.known_types().refusal(envelope, &self.new.pod);
        let why = envelope.refusal(&self.new.pod).or_else(by_name)?;
        Some(Reason::NeverSchedulable {
            path: self.subject.path.to_owned(),
            workload_type: self.workload_type.name.clone(),
            why,
        })
    }

    /// Why no node is launched for it, although one that is there might do: somebody may have labelled it, or given it a resource.
    pub(super) fn warnings(&self, object: &str) -> Vec<Warning> {
        let mut warnings = self.unsupported(object);
        if !self.asks_anew() {
            return warnings;
        }
        let types = self.unknown_types(object);
        let why = self.conflict().filter(|_| types.is_empty());
        let why = why.map(|why| Warning::NothingLaunchedFor { object: object.to_owned(), why });
        let unknown = self.unknown_resources().map(|resource| Warning::UnknownResource {
            object: object.to_owned(),
            workload_type: self.workload_type.name.clone(),
            resource: resource.to_owned(),
        });
        warnings.extend(types.into_iter().chain(why).chain(unknown));
        warnings
    }

    fn known_types(&self) -> KnownTypes<'s> {
        KnownTypes(&self.subject.policies.settings().instance_types)
    }

    /// Instance types that the pods name, and that are not known.
    fn unknown_types(&self, object: &str) -> Vec<Warning> {
        let pod = &self.new.pod;
        let path = |name: &str| {
            let is_selected = pod
                .node_selector
                .iter()
                .any(|(key, value)| label::normalized(key) == label::INSTANCE_TYPE && value == name);
            self.subject.field(if is_selected { "spec.nodeSelector" } else { "spec.affinity.nodeAffinity" })
        };
        let unknown = self.known_types().unknown(pod).into_iter();
        let warning = |(value, nearest): (String, Option<&str>)| Warning::UnknownInstanceType {
            object: object.to_owned(),
            path: path(&value),
            nearest: nearest.map(str::to_owned),
            value,
        };
        unknown.map(warning).collect()
    }

    /// The first new constraint of each kind that the provisioner does not solve, which so keeps the pods from getting a node.
    fn unsupported(&self, object: &str) -> Vec<Warning> {
        let before: BTreeSet<_> = self.baseline.into_iter().flat_map(Wish::constraints).collect();
        let mut told: Vec<&UnsupportedConstraint> = Vec::new();
        for constraint in self.new.constraints().filter(|constraint| !before.contains(constraint)) {
            if !told.iter().any(|known| known.field() == constraint.field()) {
                told.push(constraint);
            }
        }
        let path = |constraint: &UnsupportedConstraint| {
            if self.new.claims.contains(constraint) {
                "spec.volumeClaimTemplates".to_owned()
            } else {
                self.subject.field(constraint.field())
            }
        };
        let warning = |constraint: &UnsupportedConstraint| Warning::NotSupportedYet {
            object: object.to_owned(),
            path: path(constraint),
            constraint: constraint.clone(),
        };
        told.into_iter().map(warning).collect()
    }

    /// The first thing that the first pool cannot give the node that the pod asks for first, if no pool can give any.
    fn conflict(&self) -> Option<model::Reason> {
        let spec = self.subject.policies.types().get(&self.workload_type.name)?;
        let pools = spec.pools.iter().map(|pool| self.subject.policies.node_labels(pool));
        // A pool that is not known, or cannot be read, might do.
        let pools = pools.collect::<Option<Vec<_>>>()?;
        let wanted = || self.new.pod.alternatives.iter().map(|alternative| &alternative.requirements);
        // The name of a node that is there.
        if wanted().any(|wanted| wanted.get(label::HOSTNAME).is_some()) {
            return None;
        }
        let well_known = labels::well_known().collect();
        let known = Undefined::Allowed(&well_known);
        let types = self.known_types();
        if !instance_types::can_look_at(&self.new.pod) {
            return None;
        }
        let may_run = |pool: &Requirements, wanted: &Requirements| {
            pool.is_compatible(wanted, known) && types.may_be_of(pool, wanted)
        };
        if pools.iter().any(|pool| wanted().any(|wanted| may_run(pool, wanted))) {
            return None;
        }
        let (pool, wanted) = (pools.first()?, wanted().next()?);
        match pool.compatible(wanted, known) {
            Err(obstacles) => obstacles.iter().next().map(model::Reason::from),
            Ok(()) => instance_types::obstacle(pool, wanted),
        }
    }

    /// Extended resources and huge pages that no node of the type is known to have. Others are there on every node, or no business of nodes.
    fn unknown_resources(&self) -> impl Iterator<Item = &str> {
        let vectors = self.workload_type.envelope.iter().flat_map(|envelope| &envelope.vectors);
        let vectors: Vec<_> = vectors.collect();
        let is_unknown = move |name: &&str| {
            let has = |vector: &&EnvelopeVector| vector.allocatable.get(name).is_some();
            let may_be_unknown = name.contains('/') || name.starts_with(HUGE_PAGES_PREFIX);
            may_be_unknown && !vectors.is_empty() && !vectors.iter().any(has)
        };
        self.new.pod.requests.iter().map(|(name, _)| name).filter(is_unknown)
    }
}

fn asks_alike(new: &Pod, stored: &Pod) -> bool {
    new.requests == stored.requests
        && new.alternatives == stored.alternatives
        && new.unusable_terms == stored.unusable_terms
}

#[cfg(test)]
mod tests;
