//! Requirements on several labels at once, and whether a node that meets one set can meet another.
//!
//! Keys are kept in normalised form and in order. The relation is Karpenter's and has a direction: the receiver is the node's side
//! (a pool's template, an instance type, a live node), the argument is what a pod asks for. A node without some label can be
//! asked for it only where the caller says that such labels come with the node; live nodes are taken as they are.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    sync::Arc,
};

use super::{
    label::{self, LabelKeys},
    requirement::{Requirement, RequirementEntry},
    text::Excerpt,
};
use crate::api::labels::type_of_node_label;

#[cfg(test)]
mod tests;

/// The most requirements that one message lists. Those of a pool and a pod together are often half as many.
const SHOWN: usize = 10;

/// Requirements by label key; entries for one key are combined.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirements(BTreeMap<Arc<str>, Requirement>);

/// Which labels the node's side may leave undefined and still be asked for.
#[derive(Debug, Clone, Copy)]
pub enum Undefined<'a> {
    /// None: the labels of a live node are all there is.
    Denied,
    /// These: a node that is yet to be launched gets them from its provider.
    Allowed(&'a LabelKeys),
}

impl Undefined<'_> {
    fn allows(self, key: &str) -> bool {
        match self {
            Self::Denied => false,
            Self::Allowed(keys) => keys.contains(key),
        }
    }
}

impl Requirements {
    /// No requirement: every node will do.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Each label must have exactly this value, as a node selector asks and as a node's labels say.
    pub fn from_labels<'l>(labels: impl IntoIterator<Item = (&'l str, &'l str)>) -> Self {
        labels.into_iter().map(|(key, value)| Requirement::one_of(key, [value])).collect()
    }

    /// Adds a requirement to those already made.
    pub fn add(&mut self, requirement: Requirement) {
        match self.0.entry(requirement.shared_key()) {
            Entry::Vacant(vacant) => {
                vacant.insert(requirement);
            }
            Entry::Occupied(mut occupied) => occupied.get_mut().narrow(requirement),
        }
    }

    /// The requirements of both sets.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.extend(other.iter().cloned());
        both
    }

    /// The requirement on a label, by any of the label's keys; nothing if there is none.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Requirement> {
        self.0.get(label::normalized(key))
    }

    /// Whether a label may have a value. Labels that are not mentioned may have any.
    #[must_use]
    pub fn allows(&self, key: &str, value: &str) -> bool {
        self.get(key).is_none_or(|requirement| requirement.has(value))
    }

    /// Drops the requirement on a label and returns it.
    pub fn remove(&mut self, key: &str) -> Option<Requirement> {
        self.0.remove(label::normalized(key))
    }

    /// The requirements in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Requirement> {
        self.0.values()
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is required.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first requirement that no node can meet, if any.
    #[must_use]
    pub fn contradiction(&self) -> Option<&Requirement> {
        self.iter().find(|requirement| requirement.is_contradiction())
    }

    /// Whether some node of this side meets `incoming`. The same as [`compatible`](Self::compatible) being `Ok`, without building
    /// an explanation.
    #[must_use]
    pub fn is_compatible(&self, incoming: &Self, undefined: Undefined<'_>) -> bool {
        incoming.iter().all(|requirement| self.obstacle(requirement, undefined).is_none())
    }

    /// Whether some node of this side meets `incoming`, or everything that stands against it.
    pub fn compatible<'a>(
        &'a self,
        incoming: &'a Self,
        undefined: Undefined<'a>,
    ) -> Result<(), IncompatibleRequirements<'a>> {
        explain(incoming.iter().filter_map(|requirement| self.obstacle(requirement, undefined)))
    }

    /// Whether no key that both sides mention stands against the other. Keys that only one side mentions do not count.
    #[must_use]
    pub fn intersects(&self, incoming: &Self) -> bool {
        incoming.iter().all(|requirement| self.conflict(requirement).is_none())
    }

    fn obstacle<'a>(
        &'a self,
        incoming: &'a Requirement,
        undefined: Undefined<'a>,
    ) -> Option<Incompatibility<'a>> {
        let conflict = self.conflict(incoming);
        let is_undefined = !self.0.contains_key(incoming.key());
        if conflict.is_none()
            && is_undefined
            && !incoming.allows_absence()
            && !undefined.allows(incoming.key())
        {
            return Some(Incompatibility::Undefined { incoming, defined: self, undefined });
        }
        conflict
    }

    fn conflict<'a>(&'a self, incoming: &'a Requirement) -> Option<Incompatibility<'a>> {
        if incoming.is_contradiction() {
            return Some(Incompatibility::Contradiction { incoming });
        }
        let existing = self.0.get(incoming.key())?;
        (!existing.is_compatible(incoming)).then_some(Incompatibility::Conflict { existing, incoming })
    }

    /// The labels that a node made from these requirements gets, one value for each key that has to be present or may be.
    ///
    /// `well_known` labels are left to the provider, which knows their true values.
    #[must_use]
    pub fn labels(&self, well_known: &LabelKeys) -> BTreeMap<String, String> {
        self.iter()
            .filter(|requirement| {
                !well_known.contains(requirement.key()) && requirement.key() != label::HOSTNAME
            })
            .filter_map(|requirement| Some((requirement.key().to_owned(), requirement.any()?)))
            .collect()
    }

    /// The list that says the same in the API, in the order of the keys.
    #[must_use]
    pub fn to_entries(&self) -> Vec<RequirementEntry> {
        self.iter().flat_map(Requirement::to_entries).collect()
    }
}

impl Extend<Requirement> for Requirements {
    fn extend<I: IntoIterator<Item = Requirement>>(&mut self, requirements: I) {
        for requirement in requirements {
            self.add(requirement);
        }
    }
}

impl FromIterator<Requirement> for Requirements {
    fn from_iter<I: IntoIterator<Item = Requirement>>(requirements: I) -> Self {
        let mut all = Self::new();
        all.extend(requirements);
        all
    }
}

/// The requirements, comma-separated, without that on the host name, which only a placeholder node has.
impl fmt::Display for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.iter().filter(|requirement| requirement.key() != label::HOSTNAME);
        for (i, requirement) in shown.by_ref().take(SHOWN).enumerate() {
            write!(f, "{}{requirement}", if i == 0 { "" } else { ", " })?;
        }
        match shown.count() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

fn explain<'a>(found: impl Iterator<Item = Incompatibility<'a>>) -> Result<(), IncompatibleRequirements<'a>> {
    let found: Vec<_> = found.collect();
    if found.is_empty() { Ok(()) } else { Err(IncompatibleRequirements(found)) }
}

/// Everything that makes two sets of requirements incompatible. Borrowed from them, and put into words only when shown.
#[derive(Debug, Clone)]
pub struct IncompatibleRequirements<'a>(Vec<Incompatibility<'a>>);

impl<'a> IncompatibleRequirements<'a> {
    /// The obstacles in the order of their keys; at least one.
    pub fn iter(&self) -> impl Iterator<Item = Incompatibility<'a>> {
        self.0.iter().copied()
    }
}

impl fmt::Display for IncompatibleRequirements<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, incompatibility) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{incompatibility}", if i == 0 { "" } else { "; " })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// One label that makes two sets of requirements incompatible.
#[derive(Debug, Clone, Copy)]
pub enum Incompatibility<'a> {
    /// The node's side does not define the label.
    Undefined {
        /// What is asked for.
        incoming: &'a Requirement,
        /// What the node's side defines.
        defined: &'a Requirements,
        /// What it may leave undefined.
        undefined: Undefined<'a>,
    },
    /// What is asked for contradicts itself.
    Contradiction {
        /// What is asked for.
        incoming: &'a Requirement,
    },
    /// No node satisfies both.
    Conflict {
        /// What the node's side defines.
        existing: &'a Requirement,
        /// What is asked for.
        incoming: &'a Requirement,
    },
}

impl Incompatibility<'_> {
    /// The label's key.
    #[must_use]
    pub fn key(&self) -> &str {
        let (Self::Undefined { incoming, .. }
        | Self::Contradiction { incoming }
        | Self::Conflict { incoming, .. }) = self;
        incoming.key()
    }

    /// The known key that an undefined one was probably meant to be; nothing for the label of a workload type, which admission adds to its own pods.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        let Self::Undefined { incoming, defined, undefined } = self else { return None };
        if type_of_node_label(incoming.key()).is_some() {
            return None;
        }
        let allowed = match undefined {
            Undefined::Denied => None,
            Undefined::Allowed(keys) => Some(keys.iter()),
        };
        let known = allowed.into_iter().flatten().chain(defined.iter().map(Requirement::key));
        // Most of such a key is its domain, so that by edits it is near to the label of any other type.
        let is_asked_for = |workload_type: &str| workload_type == last_part(incoming.key());
        nearest_key(incoming.key(), known.filter(|key| type_of_node_label(key).is_none_or(is_asked_for)))
    }
}

impl fmt::Display for Incompatibility<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined { incoming, .. } => {
                write!(f, "{incoming} is asked for, the label is not defined")?;
                self.hint().map_or(Ok(()), |hint| write!(f, " (did you mean {}?)", Excerpt(hint)))
            }
            Self::Contradiction { incoming } => {
                write!(f, "the requirements on the label {} contradict each other", Excerpt(incoming.key()))
            }
            Self::Conflict { existing, incoming } => {
                write!(f, "{incoming} is asked for, {existing} is given")
            }
        }
    }
}

/// The candidate that `key` is most likely a typo of: a few edits away, or the same name with or without a prefix.
///
/// Karpenter's rules (a known key contains the given one, or has the same last part), with a small edit distance put first, and then the
/// same last part. Ties are broken by the candidate's text.
pub(crate) fn nearest_key<'k>(key: &str, candidates: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    candidates
        .filter_map(|candidate| {
            let related =
                last_part(candidate) == last_part(key) || (key.len() > 2 && candidate.contains(key));
            let distance = edits_within(key, candidate, candidate.len().div_ceil(5));
            let is_of_other_name = last_part(candidate) != last_part(key);
            Some((distance.or(related.then_some(usize::MAX))?, is_of_other_name, candidate))
        })
        .min()
        .map(|(_, _, candidate)| candidate)
}

fn last_part(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, name)| name)
}

/// The number of single-character edits from one text to the other, if it is at most `limit`.
pub(super) fn edits_within(from: &str, to: &str, limit: usize) -> Option<usize> {
    // Text of very different length needs more edits than that; so outside text of any size costs little.
    if from.len().abs_diff(to.len()) > limit {
        return None;
    }
    let mut distances: Vec<usize> = (0..=to.len()).collect();
    for (i, from_byte) in from.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (to_byte, cell) in to.bytes().zip(distances.iter_mut().skip(1)) {
            let substituted = diagonal + usize::from(from_byte != to_byte);
            diagonal = *cell;
            left = substituted.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = distances.first_mut() {
            *first = i + 1;
        }
    }
    distances.last().copied().filter(|distance| *distance <= limit)
}
