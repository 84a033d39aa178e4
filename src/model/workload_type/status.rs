//! A type's policy as its status publishes it, written and read back.

use super::{Derivation, Policy, TaintsByPool};
use crate::api::workload_type::{EffectiveToleration, OwnedTaint, WorkloadTypeStatus};
use crate::model::taints::{Effect, Taint};

/// What a WorkloadType's status says about its pods and its fence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// The generation that it was derived from.
    pub generation: i64,
    /// What pods of the type get. Absent until the controller has looked at the type.
    pub policy: Option<Policy>,
    /// The taints that it owns.
    pub owned: TaintsByPool,
}

impl Published {
    /// Reads a status. What is no taint is left out: nobody but the controller writes there.
    #[must_use]
    pub fn read(status: &WorkloadTypeStatus) -> Self {
        let tolerations = status.tolerations.iter();
        let tolerations = tolerations.filter_map(|entry| taint(&entry.key, &entry.value, &entry.effect));
        let policy =
            Policy { tolerations: tolerations.collect(), node_selector: status.node_selector.clone() };
        let owned = status.taints.iter().filter_map(|entry| {
            Some((taint(&entry.key, &entry.value, &entry.effect)?, entry.pools.iter().cloned().collect()))
        });
        Self {
            generation: status.observed_generation.unwrap_or_default(),
            // A policy always selects: without a selector, pods would go wherever nothing keeps them out.
            policy: (!policy.node_selector.is_empty()).then_some(policy),
            owned: owned.collect(),
        }
    }
}

impl Derivation {
    /// Puts the policy and the owned taints into a status; everything else there stays.
    #[must_use]
    pub fn publish(&self, status: WorkloadTypeStatus) -> WorkloadTypeStatus {
        let tolerations = self.policy.tolerations.iter().map(|taint| EffectiveToleration {
            key: taint.key.clone(),
            value: taint.value.clone(),
            effect: taint.effect.name().to_owned(),
        });
        let taints = self.owned.iter().map(|(taint, pools)| OwnedTaint {
            key: taint.key.clone(),
            value: taint.value.clone(),
            effect: taint.effect.name().to_owned(),
            pools: pools.iter().cloned().collect(),
        });
        WorkloadTypeStatus {
            tolerations: tolerations.collect(),
            node_selector: self.policy.node_selector.clone(),
            taints: taints.collect(),
            ..status
        }
    }
}

fn taint(key: &str, value: &str, effect: &str) -> Option<Taint> {
    let effect = Effect::from_name(effect)?;
    (!key.is_empty()).then(|| Taint { key: key.to_owned(), value: value.to_owned(), effect })
}
