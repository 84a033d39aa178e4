//! V8: what no node of its type can ever run is refused where a person writes it: in templates, and in pods that nothing makes anew.
//!
//! The type's envelope says what its nodes can hold at most; a type of which that is not known for the current generations of everything
//! that it follows from admits whatever the other rules do. Pods that a controller makes are admitted: they stay pending, and are explained.
//! What is not certain, since nodes can have labels and resources that no pool gives them, is a warning.

use k8s_openapi::api::core::v1::{Pod as ApiPod, PodTemplateSpec};
use serde_json::Value;

use super::parse;
use super::policies::TypePolicy;
use super::reason::Reason;
use super::review::{Kind, Review};
use super::subject::Subject;
use super::warning::Warning;
use crate::api::labels;
use crate::model::envelope::EnvelopeVector;
use crate::model::requirements::Undefined;
use crate::model::{Pod, label, reason as model};

/// What a person newly asks of the nodes of a type.
pub(super) struct Asked<'s> {
    subject: &'s Subject<'s>,
    workload_type: &'s TypePolicy,
    pod: Pod,
}

impl<'s> Asked<'s> {
    /// What the subject of the review asks, if a person wrote it and it may be injected. On an update only a change counts (V9).
    pub(super) fn read(subject: &'s Subject<'s>, review: &Review<'_>) -> Option<Self> {
        let workload_type = subject.injected_type()?;
        if !subject.role.is_template() && subject.new.metadata.controller().is_some() {
            return None;
        }
        let pod = read(review, parse::raw_object(review).ok()?.get())?;
        let is_new = subject.baseline.is_none() || {
            let stored = parse::raw_old_object(review).ok().flatten();
            stored
                .and_then(|stored| read(review, stored.get()))
                .is_none_or(|stored| !asks_alike(&pod, &stored))
        };
        is_new.then_some(Self { subject, workload_type, pod })
    }

    /// Why it can never run.
    pub(super) fn refusal(&self) -> Option<Reason> {
        let why = self.workload_type.envelope.as_ref()?.refusal(&self.pod)?;
        Some(Reason::NeverSchedulable {
            path: self.subject.path.to_owned(),
            workload_type: self.workload_type.name.clone(),
            why,
        })
    }

    /// Why no node is launched for it, although one that is there might do: somebody may have labelled it, or given it a resource.
    pub(super) fn warnings(&self, object: &str) -> Vec<Warning> {
        let why = self.conflict();
        let why = why.map(|why| Warning::NothingLaunchedFor { object: object.to_owned(), why });
        let unknown = self.unknown_resources().map(|resource| Warning::UnknownResource {
            object: object.to_owned(),
            workload_type: self.workload_type.name.clone(),
            resource: resource.to_owned(),
        });
        why.into_iter().chain(unknown).collect()
    }

    /// The first thing that the first pool cannot give the node that the pod asks for first, if no pool can give any.
    fn conflict(&self) -> Option<model::Reason> {
        let spec = self.subject.policies.types().get(&self.workload_type.name)?;
        let pools = spec.pools.iter().map(|pool| self.subject.policies.node_labels(pool));
        // A pool that is not known, or cannot be read, might do.
        let pools = pools.collect::<Option<Vec<_>>>()?;
        let wanted = || self.pod.alternatives.iter().map(|alternative| &alternative.requirements);
        // The name of a node that is there.
        if wanted().any(|wanted| wanted.get(label::HOSTNAME).is_some()) {
            return None;
        }
        let well_known = labels::well_known().collect();
        let known = Undefined::Allowed(&well_known);
        if pools.iter().any(|pool| wanted().any(|wanted| pool.is_compatible(wanted, known))) {
            return None;
        }
        let obstacles = pools.first()?.compatible(wanted().next()?, known).err()?;
        obstacles.iter().next().map(model::Reason::from)
    }

    /// Extended resources that no node of the type is known to have. Others are there on every node, or no business of nodes.
    fn unknown_resources(&self) -> impl Iterator<Item = &str> {
        let vectors = self.workload_type.envelope.iter().flat_map(|envelope| &envelope.vectors);
        let vectors: Vec<_> = vectors.collect();
        let is_unknown = move |name: &&str| {
            let has = |vector: &&EnvelopeVector| vector.allocatable.get(name).is_some();
            name.contains('/') && !vectors.is_empty() && !vectors.iter().any(has)
        };
        self.pod.requests.iter().map(|(name, _)| name).filter(is_unknown)
    }
}

fn asks_alike(new: &Pod, stored: &Pod) -> bool {
    new.requests == stored.requests
        && new.alternatives == stored.alternatives
        && new.unusable_terms == stored.unusable_terms
}

/// The pod, with everything that it asks for. What cannot be read is not judged here: the API server does that, and it knows more fields.
fn read(review: &Review<'_>, object: &str) -> Option<Pod> {
    let Kind::Template(kind) = review.kind else {
        let pod: ApiPod = serde_json::from_str(object).ok()?;
        return Pod::from_api(&pod).ok();
    };
    let mut object: Value = serde_json::from_str(object).ok()?;
    let place = kind.template_path().iter().try_fold(&mut object, |object, field| object.get_mut(field))?;
    let template: PodTemplateSpec = serde_json::from_value(place.take()).ok()?;
    Pod::from_template(&review.namespace, &template).ok()
}

#[cfg(test)]
mod tests;
