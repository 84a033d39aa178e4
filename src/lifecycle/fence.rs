//! What the workload types that use a pool mean for its claims: when an instance may be launched, and the labels of the Node.

use std::collections::BTreeMap;

use crate::api::labels;
use crate::model::workload_type::{WorkloadType, is_ownable};
use crate::model::{NodeClaim, Taint};

/// Whether an instance may be launched for a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Open,
    /// Not yet.
    Closed {
        /// One word for the condition.
        reason: &'static str,
        /// What is waited for, and what would help.
        message: String,
    },
}

/// Whether a claim's instance may be launched: every type that uses its pool must have published that it owns the claim's taints. A node
/// of a pool is not there before the policies are that know its taints.
///
/// `types` are all of them, with what their statuses say now.
#[must_use]
pub fn gate<'t>(claim: &NodeClaim, types: impl IntoIterator<Item = &'t WorkloadType>) -> Gate {
    match claim.pool() {
        Some(pool) => gate_of_pool(pool, &claim.taints, types),
        None => Gate::Open,
    }
}

/// Whether an instance with these taints may be launched from a pool; see [`gate`].
#[must_use]
pub fn gate_of_pool<'t>(
    pool: &str,
    taints: &[Taint],
    types: impl IntoIterator<Item = &'t WorkloadType>,
) -> Gate {
    for workload_type in of_pool(pool, types) {
        let guards = |taint: &_| workload_type.recorded.get(taint).is_some_and(|pools| pools.contains(pool));
        let open = taints.iter().filter(|taint| is_ownable(taint)).find(|taint| !guards(taint));
        if let Some(taint) = open {
            let message = format!(
                "WorkloadType {} does not guard taint {taint} of NodePool {pool} yet; its status must list the taint first",
                workload_type.name
            );
            return Gate::Closed { reason: "PolicyNotInForce", message };
        }
    }
    Gate::Open
}

/// The labels by which the types that use the pool select its Nodes. `types` are all of them.
#[must_use]
pub fn type_labels<'t>(
    pool: &str,
    types: impl IntoIterator<Item = &'t WorkloadType>,
) -> BTreeMap<String, String> {
    of_pool(pool, types).map(|owner| (labels::node_type_label(&owner.name), String::new())).collect()
}

/// The types that name the pool.
pub(super) fn of_pool<'t>(
    pool: &str,
    types: impl IntoIterator<Item = &'t WorkloadType>,
) -> impl Iterator<Item = &'t WorkloadType> {
    types.into_iter().filter(move |workload_type| workload_type.names(pool))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::lifecycle::testing::workload_type;
    use crate::model::testing::nodes::claim;

    #[test]
    fn nothing_is_launched_before_every_type_of_the_pool_guards_its_taints() {
        let open = workload_type("application", &["application"], &["node-type=application:NoSchedule"]);
        let behind = workload_type("batch", &["spot", "application"], &["other=x:NoSchedule"]);
        let elsewhere = workload_type("monitoring", &["monitoring"], &[]);
        let cases = [
            (vec![], None),
            (vec![&elsewhere], None),
            (vec![&open, &elsewhere], None),
            (vec![&open, &behind], Some("batch")),
            (vec![&behind], Some("batch")),
        ];
        let claim = claim();
        for (types, expected) in cases {
            let names: Vec<_> = types.iter().map(|one| one.name.clone()).collect();
            let expected = expected.map_or(Gate::Open, |name| Gate::Closed {
                reason: "PolicyNotInForce",
                message: format!(
                    "WorkloadType {name} does not guard taint node-type=application:NoSchedule of NodePool application yet; \
                     its status must list the taint first"
                ),
            });
            assert_eq!(gate(&claim, types), expected, "{names:?}");
        }
    }

    #[test]
    fn a_taint_that_a_type_guards_on_another_pool_only_does_not_open_the_gate() {
        let mut other = workload_type("application", &["application"], &["node-type=application:NoSchedule"]);
        other.recorded.values_mut().for_each(|pools| *pools = ["monitoring".to_owned()].into());
        assert!(matches!(gate(&claim(), [&other]), Gate::Closed { .. }));
    }

    #[test]
    fn taints_that_nobody_can_own_and_claims_of_no_pool_wait_for_nothing() {
        let behind = workload_type("application", &["application"], &[]);
        let mut gpu = claim();
        gpu.taints = vec!["nvidia.com/gpu:NoSchedule".parse().unwrap()];
        assert_eq!(gate(&gpu, [&behind]), Gate::Open);
        let mut alone = claim();
        alone.labels.clear();
        assert_eq!(gate(&alone, [&behind]), Gate::Open);
    }

    #[test]
    fn a_node_carries_one_label_for_each_type_of_its_pool() {
        let types = [("application", "shared"), ("batch", "shared"), ("monitoring", "own")]
            .map(|(name, pool)| workload_type(name, &[pool], &[]));
        let keys: Vec<_> = type_labels("shared", &types).into_iter().collect();
        let expected = ["application", "batch"]
            .map(|name| (format!("workload-type.node-restriction.kubernetes.io/{name}"), String::new()));
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_launch_that_is_held_says_for_which_type_and_taint_and_what_is_awaited() {
        let behind = workload_type("batch", &["application"], &[]);
        let Gate::Closed { reason, message } = gate(&claim(), [&behind]) else { panic!("it is open") };
        expect![[r#"
            PolicyNotInForce: WorkloadType batch does not guard taint node-type=application:NoSchedule of NodePool application yet; its status must list the taint first
        "#]].assert_eq(&format!("{reason}: {message}\n"));
    }
}
