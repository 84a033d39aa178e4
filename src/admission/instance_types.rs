//! What pods ask of nodes by naming instance types.
//!
//! Of a type that is in the list of known ones, its name makes some labels certain. Any other may exist all the same, and is told of only.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::labels;
use crate::model::envelope::Envelope;
use crate::model::instance_type::labels_by_name;
use crate::model::requirements::{Undefined, nearest_key};
use crate::model::{Pod, Reason, Requirement, Requirements, label};

/// So many names of one pod are looked at for what types of that name are like. Families are what to name instead of more.
const LOOKED_AT: usize = 500;

/// So many unknown names are compared with all that are known, which takes long. Nobody is shown more.
pub(super) const COMPARED: usize = 10;

/// Names of instance types that exist, as far as is known; none if nothing is.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownTypes<'a>(pub(super) &'a BTreeSet<String>);

impl<'a> KnownTypes<'a> {
    /// The types that the pod names and that are not known, the first of them with what they may mean.
    pub(super) fn unknown(self, pod: &Pod) -> Vec<(String, Option<&'a str>)> {
        let named = pod.alternatives.iter().filter_map(|alternative| named(&alternative.requirements));
        let named: BTreeSet<_> = named.flatten().filter(|_| !self.0.is_empty()).collect();
        let unknown = named.into_iter().filter(|name| !self.0.contains(&***name)).enumerate();
        let nearest = |name: &str| nearest_key(name, self.0.iter().map(String::as_str));
        let nearest = |place: usize, name: &str| (place < COMPARED).then(|| nearest(name)).flatten();
        unknown.map(|(place, name)| (name.to_string(), nearest(place, name))).collect()
    }

    /// Whether nodes with these labels could be of a type that is asked for by name, if any is.
    pub(super) fn may_be_of(self, nodes: &Requirements, wanted: &Requirements) -> bool {
        let may_be = |name: &Arc<str>| !self.0.contains(&**name) || nodes.intersects(&labels_by_name(name));
        named(wanted).is_none_or(|names| names.iter().any(may_be))
    }

    /// Why no node of the type can ever be of any instance type that the pod names: their architecture is that of no node, whatever else it
    /// is. Nodes of a pool can be of other families and sizes than it allows by now, and the envelope does not list them.
    pub(super) fn refusal(self, envelope: &Envelope, pod: &Pod) -> Option<Reason> {
        pod.alternatives.iter().find_map(|alternative| named(&alternative.requirements))?;
        if !can_look_at(pod) {
            return None;
        }
        let mut narrowed = pod.clone();
        for alternative in &mut narrowed.alternatives {
            if let Some(architectures) = self.architectures(&alternative.requirements) {
                let more = Requirements::from_iter([Requirement::one_of(label::ARCH, architectures)]);
                let both = alternative.requirements.and(&more);
                if both.contradiction().is_none() {
                    alternative.requirements = both;
                }
            }
        }
        match envelope.refusal(&narrowed)? {
            Reason::RequirementConflict { incoming, existing } if incoming.key() == label::ARCH => {
                // What somebody wrote is what to say, and that may be the architecture itself.
                let written = pod.alternatives.first().map(|first| &first.requirements)?;
                let of_types =
                    written.get(label::INSTANCE_TYPE).filter(|_| written.get(label::ARCH).is_none());
                Some(Reason::RequirementConflict {
                    incoming: of_types.unwrap_or(&incoming).clone(),
                    existing,
                })
            }
            why => Some(why),
        }
    }

    /// The architectures of the types that are asked for by name, if each is known, and its architecture.
    fn architectures(self, wanted: &Requirements) -> Option<BTreeSet<String>> {
        let architecture = |name: &Arc<str>| {
            let labels = self.0.contains(&**name).then(|| labels_by_name(name))?;
            labels.get(label::ARCH)?.single_value().map(str::to_owned)
        };
        named(wanted)?.iter().map(architecture).collect()
    }
}

/// Whether the pod names few enough types that each may be looked at, in every pool. Of others nothing is certain.
pub(super) fn can_look_at(pod: &Pod) -> bool {
    let named = pod.alternatives.iter().filter_map(|alternative| named(&alternative.requirements));
    named.map(BTreeSet::len).sum::<usize>() <= LOOKED_AT
}

/// What stands against nodes with these labels being of the types that are asked for by name.
pub(super) fn obstacle(nodes: &Requirements, wanted: &Requirements) -> Option<Reason> {
    let well_known = labels::well_known().collect();
    let by_name = labels_by_name(named(wanted)?.first()?);
    let obstacles = nodes.compatible(&by_name, Undefined::Allowed(&well_known)).err()?;
    match Reason::from(obstacles.iter().next()?) {
        Reason::RequirementConflict { existing, .. } => {
            let incoming = wanted.get(label::INSTANCE_TYPE)?.clone();
            Some(Reason::RequirementConflict { incoming, existing })
        }
        why => Some(why),
    }
}

fn named(wanted: &Requirements) -> Option<&BTreeSet<Arc<str>>> {
    wanted.get(label::INSTANCE_TYPE)?.values().filter(|names| !names.is_empty())
}

#[cfg(test)]
mod tests;
