//! The end of a workload type: its rules stay in force until no namespace names it and the last node of its pools is gone.
//!
//! A finalizer holds the object. While it is there, the type's status is published and admission goes by it as before, so nothing changes
//! for nodes that live on. Who counts namespaces and nodes is not known here.

use std::collections::{BTreeMap, BTreeSet};

use kube::Resource;

use super::patch;
use crate::api::conditions::{Change, End};
use crate::api::labels;
use crate::api::workload_type as api;
use crate::model::workload_type::WorkloadType;

/// The most namespaces and pools that a message names.
const NAMED: usize = 5;

/// What of a type is still there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remains {
    /// The namespaces whose label names the type.
    pub namespaces: BTreeSet<String>,
    /// How many nodes each of its pools has, present and former pools, without those that have none.
    pub nodes: BTreeMap<String, i64>,
}

/// What has to be done about a type's finalizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Put it on: the type is in use from now on.
    Hold,
    /// Take it off: nothing of the type is left.
    LetGo,
    /// Nothing.
    Rest,
}

impl Remains {
    /// What remains of `workload_type`. `nodes` counts nodes by pool, whether their claims are there or not. A pool that another type uses,
    /// which is not being deleted itself, is that type's: its nodes keep nobody else.
    #[must_use]
    pub fn of(
        workload_type: &WorkloadType,
        others: &[&WorkloadType],
        namespaces: &BTreeMap<String, BTreeSet<String>>,
        nodes: &BTreeMap<String, i64>,
    ) -> Self {
        let is_used = |pool: &str| others.iter().any(|other| other.names(pool));
        let pools = workload_type.pools_ever().into_iter().filter(|pool| !is_used(pool));
        Self {
            namespaces: namespaces.get(&workload_type.name).cloned().unwrap_or_default(),
            nodes: pools.filter_map(|pool| Some((pool.to_owned(), *nodes.get(pool)?))).collect(),
        }
    }

    /// Whether nothing does.
    #[must_use]
    pub fn are_gone(&self) -> bool {
        self.namespaces.is_empty() && self.nodes.is_empty()
    }

    /// What the status says about a deletion that waits.
    #[must_use]
    pub fn condition(&self) -> Change {
        if self.are_gone() {
            return Change::fails(api::DELETION_BLOCKED, "NothingLeft", "");
        }
        let mut waits = Vec::new();
        if !self.namespaces.is_empty() {
            let names = list(self.namespaces.iter().cloned());
            waits.push(format!("remove the label {} from namespaces {names}", labels::WORKLOAD_TYPE));
        }
        if !self.nodes.is_empty() {
            let pools = list(self.nodes.iter().map(|(pool, count)| format!("{pool} ({count})")));
            waits.push(format!("delete the nodes of NodePools {pools}"));
        }
        let message =
            format!("its rules stay in force while it is in use; to let it go, {}", waits.join(" and "));
        Change::holds(api::DELETION_BLOCKED).with_reason("InUse").with_message(message)
    }

    /// Why the type is not ready.
    #[must_use]
    pub fn end(&self) -> End {
        let message = match self.condition().message() {
            "" => "it is being deleted".to_owned(),
            waits => format!("it is being deleted: {waits}"),
        };
        End { reason: "Deleting", message }
    }
}

/// The next step for the object.
#[must_use]
pub fn step(object: &api::WorkloadType, remains: &Remains) -> Step {
    match (is_deleted(object), has_finalizer(object)) {
        (false, false) => Step::Hold,
        (true, true) if remains.are_gone() => Step::LetGo,
        (false, true) | (true, _) => Step::Rest,
    }
}

/// The finalizers that the object is to have to carry the step out; nothing where nothing is to be done.
#[must_use]
pub fn finalizers(object: &api::WorkloadType, step: Step) -> Option<Vec<String>> {
    let is_held = match step {
        Step::Hold => true,
        Step::LetGo => false,
        Step::Rest => return None,
    };
    Some(patch::finalizers(object.meta(), labels::WORKLOAD_TYPE_FINALIZER, is_held))
}

/// Whether somebody has deleted the type.
#[must_use]
pub fn is_deleted(object: &api::WorkloadType) -> bool {
    object.meta().deletion_timestamp.is_some()
}

fn has_finalizer(object: &api::WorkloadType) -> bool {
    let mut finalizers = object.meta().finalizers.iter().flatten();
    finalizers.any(|finalizer| finalizer == labels::WORKLOAD_TYPE_FINALIZER)
}

fn list(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len().saturating_sub(NAMED);
    let named = items.take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload_type(name: &str, pools: &[&str]) -> WorkloadType {
        WorkloadType {
            name: name.to_owned(),
            pools: pools.iter().map(|pool| (*pool).to_owned()).collect(),
            ..WorkloadType::default()
        }
    }

    fn object(is_deleted: bool, finalizers: &[&str]) -> api::WorkloadType {
        let deleted = is_deleted.then_some("2026-03-01T12:00:00Z");
        serde_json::from_value(json!({
            "apiVersion": "treenail.dev/v1alpha1", "kind": "WorkloadType",
            "metadata": {
                "name": "application", "uid": "u", "resourceVersion": "7",
                "finalizers": finalizers, "deletionTimestamp": deleted,
            },
            "spec": { "pools": [{ "name": "application" }] },
        }))
        .unwrap()
    }

    #[test]
    fn the_finalizer_is_put_on_at_once_and_taken_off_when_nothing_is_left() {
        const OURS: &str = labels::WORKLOAD_TYPE_FINALIZER;
        let nodes = Remains { nodes: [("application".to_owned(), 1)].into(), ..Remains::default() };
        let namespaces = Remains { namespaces: ["shop".to_owned()].into(), ..Remains::default() };
        let cases = [
            (false, &[][..], Remains::default(), Step::Hold),
            (false, &["other"], nodes.clone(), Step::Hold),
            (false, &[OURS], Remains::default(), Step::Rest),
            (true, &[OURS], nodes, Step::Rest),
            (true, &[OURS], namespaces, Step::Rest),
            (true, &["other", OURS], Remains::default(), Step::LetGo),
            // Somebody took it off by hand, and another finalizer holds the object: none can be added now.
            (true, &["other"], Remains::default(), Step::Rest),
        ];
        for (is_deleted, finalizers, remains, expected) in cases {
            let found = step(&object(is_deleted, finalizers), &remains);
            assert_eq!(found, expected, "{is_deleted} {finalizers:?} {remains:?}");
        }
    }

    #[test]
    fn a_step_changes_our_finalizer_alone() {
        let expected =
            |finalizers: &[&str]| Some(finalizers.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let ours = labels::WORKLOAD_TYPE_FINALIZER;
        assert_eq!(finalizers(&object(false, &["other"]), Step::Hold), expected(&["other", ours]));
        assert_eq!(finalizers(&object(true, &["other", ours]), Step::LetGo), expected(&["other"]));
        assert_eq!(finalizers(&object(true, &[]), Step::Rest), None);
    }

    #[test]
    fn what_remains_are_namespaces_that_name_the_type_and_nodes_of_all_pools_that_it_ever_named() {
        let mut deleted = workload_type("application", &["application", "shared", "empty"]);
        let taint = "node-type=former:NoSchedule".parse().unwrap();
        deleted.recorded.entry(taint).or_default().insert("former".to_owned());
        let other = workload_type("monitoring", &["shared", "monitoring"]);
        let namespaces = [("application", &["web", "shop"][..]), ("monitoring", &["metrics"])];
        let namespaces = namespaces
            .map(|(name, of)| (name.to_owned(), of.iter().map(|name| (*name).to_owned()).collect()))
            .into();
        let nodes = [("application", 2), ("former", 1), ("shared", 3), ("monitoring", 4)];
        let nodes = nodes.map(|(pool, count)| (pool.to_owned(), count)).into();

        let remains = Remains::of(&deleted, &[&other], &namespaces, &nodes);
        assert_eq!(remains.namespaces, ["shop".to_owned(), "web".to_owned()].into());
        assert_eq!(remains.nodes, [("application".to_owned(), 2), ("former".to_owned(), 1)].into());
        // When both go, nobody else guards the shared pool.
        assert!(Remains::of(&deleted, &[], &namespaces, &nodes).nodes.contains_key("shared"));
        assert!(Remains::of(&workload_type("new", &["none"]), &[&other], &namespaces, &nodes).are_gone());
    }

    #[test]
    fn the_condition_says_what_the_deletion_waits_for() {
        let remains = Remains {
            namespaces: (1..=7).map(|number| format!("shop-{number}")).collect(),
            nodes: [("application".to_owned(), 2)].into(),
        };
        let expected = Change::holds(api::DELETION_BLOCKED).with_reason("InUse").with_message(
            "its rules stay in force while it is in use; to let it go, remove the label treenail.dev/workload-type from namespaces shop-1, \
             shop-2, shop-3, shop-4, shop-5 and 2 more and delete the nodes of NodePools application (2)",
        );
        assert_eq!(remains.condition(), expected);
        assert_eq!(Remains::default().condition(), Change::fails(api::DELETION_BLOCKED, "NothingLeft", ""));
    }
}
