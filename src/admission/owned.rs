//! Which taint belongs to which types, to be asked for what a toleration would match.
//!
//! Sorted so that a question costs about the same whatever the number of types: by effect, then key, then value, as tolerations ask.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::taints::{Effect, Taint, Tolerance, Toleration, TolerationOperator};

/// A taint and the types that own it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnedTaint {
    pub(super) taint: Taint,
    pub(super) owners: BTreeSet<String>,
}

impl OwnedTaint {
    /// Whether pods of the type, or of none, have no business with it.
    fn is_foreign_to(&self, workload_type: Option<&str>) -> bool {
        workload_type.is_none_or(|name| !self.owners.contains(name))
    }
}

type ByValue = BTreeMap<String, OwnedTaint>;

/// Every owned taint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OwnedTaints(BTreeMap<Effect, BTreeMap<String, ByValue>>);

/// A toleration that reaches for somebody else's taint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach<'p> {
    pub(super) owned: &'p OwnedTaint,
    /// Whether it matches only in the sense that nobody can say what its operator will mean.
    pub(super) is_unsure: bool,
}

impl OwnedTaints {
    pub(super) fn insert(&mut self, taint: &Taint, workload_type: &str) {
        let by_key = self.0.entry(taint.effect).or_default();
        let by_value = by_key.entry(taint.key.clone()).or_default();
        let owned = by_value
            .entry(taint.value.clone())
            .or_insert_with(|| OwnedTaint { taint: taint.clone(), owners: BTreeSet::new() });
        owned.owners.insert(workload_type.to_owned());
    }

    /// The first taint that the toleration would match and that is foreign to the pod's type.
    ///
    /// An ordinary toleration is looked up by its key and value; a wildcard stops at the first taint that is not the type's own. Only
    /// comparisons (`Lt`, `Gt`) look at every value of their key, and `maxTolerations` bounds how many of these there are.
    pub(super) fn first_foreign(
        &self,
        toleration: &Toleration<'_>,
        workload_type: Option<&str>,
    ) -> Option<Reach<'_>> {
        let (key, value, effect) = (&*toleration.key, &*toleration.value, &*toleration.effect);
        let is_equal = toleration.operator() == TolerationOperator::Equal;
        let foreign = |owned: &&OwnedTaint| owned.is_foreign_to(workload_type);
        let reach = |owned| Reach::of(toleration, owned);
        let by_effect = self.0.iter().filter(|(owned, _)| effect.is_empty() || owned.name() == effect);
        by_effect.into_iter().find_map(|(_, by_key)| {
            if key.is_empty() {
                return by_key.values().flat_map(BTreeMap::values).filter(foreign).find_map(reach);
            }
            let by_value = by_key.get(key)?;
            if is_equal {
                by_value.get(value).filter(foreign).and_then(reach)
            } else {
                by_value.values().filter(foreign).find_map(reach)
            }
        })
    }

    /// The owners of every taint that a toleration without a key would match and that is foreign to the pod's type.
    pub(super) fn foreign_owners(
        &self,
        toleration: &Toleration<'_>,
        workload_type: Option<&str>,
    ) -> BTreeSet<&str> {
        let taints = self.0.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
        let foreign = taints.filter(|owned| owned.is_foreign_to(workload_type));
        let matched = foreign.filter(|owned| toleration.matches(&owned.taint) == Tolerance::Yes);
        matched.flat_map(|owned| owned.owners.iter().map(String::as_str)).collect()
    }
}

impl<'p> Reach<'p> {
    fn of(toleration: &Toleration<'_>, owned: &'p OwnedTaint) -> Option<Self> {
        match toleration.matches(&owned.taint) {
            Tolerance::Yes => Some(Self { owned, is_unsure: false }),
            Tolerance::Unknown => Some(Self { owned, is_unsure: true }),
            Tolerance::No => None,
        }
    }
}

#[cfg(test)]
mod tests;
