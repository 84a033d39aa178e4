//! Pods that wait for a fence to be opened behind them: they tolerate a taint that a workload type owns, and are not of that type.
//!
//! Admission refuses such a pod once the taint is owned. One that was created before is still there, and would be bound to the first
//! node that carries the taint. So nothing is launched while there is any, no node is opened, and no open node is given to a type that comes to its
//! pool: those that something made are deleted, since what is made in their place is judged; those that nobody would make again are left to
//! people, by name.

pub(super) mod removal;

use std::collections::BTreeSet;
use std::fmt;

use crate::api::labels;
use crate::lifecycle::fence::of_pool;
use crate::model::event::{Event, Regarding, Severity};
use crate::model::pod::NodeAlternative;
use crate::model::taints::first_untolerated;
use crate::model::workload_type::{Ownership, WorkloadType};
use crate::model::{Namespace, NodeClaim, Pod, PodRef, Requirement, Taint};

/// A pod that would get onto a node that it has no right to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlantedPod {
    /// The pod.
    pub pod: PodRef,
    /// Whether something made it that will make another.
    pub has_controller: bool,
    /// The taint that it tolerates.
    pub taint: Taint,
    /// A workload type that owns the taint.
    pub owner: String,
    /// The workload types whose pods have a right to the node: those that own all of its taints, or name its pool.
    pub rightful: BTreeSet<String>,
    /// Whether it is known what its namespace is.
    pub is_judged: bool,
}

impl PlantedPod {
    /// Whether a namespace of this workload type gives the pod a right to the node after all.
    #[must_use]
    pub fn is_rightful_in(&self, workload_type: Option<&str>) -> bool {
        workload_type.is_some_and(|name| self.rightful.contains(name))
    }

    /// What is told about a pod that is deleted.
    #[must_use]
    pub fn event(&self) -> Event {
        Event {
            regarding: Regarding::Pod { key: self.pod.key.clone(), uid: self.pod.uid.clone() },
            severity: Severity::Warning,
            reason: "ForeignToleration",
            message: format!(
                "it is deleted, since it tolerates the taint {} of workload type {} and is not of that type; what is created in its \
                 place is judged by admission",
                self.taint, self.owner
            ),
            same_if: String::new(),
        }
    }
}

/// `shop/a (tolerates node-type=b:NoSchedule of workload type b)`.
impl fmt::Display for PlantedPod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (tolerates {} of workload type {})", self.pod.key, self.taint, self.owner)
    }
}

/// Whether any pod could wait so: only behind a taint that a workload type owns.
#[must_use]
pub fn is_fenced(claim: &NodeClaim, types: &[WorkloadType]) -> bool {
    let ownership = Ownership::of(types);
    claim.taints.iter().any(|taint| ownership.owners(taint).is_some())
}

/// The pods that wait for the node of this claim without a right to it.
///
/// `types` are all of them, `pods` all that have no node, and `namespace` tells what a namespace is: pods of one that is not known yet are
/// found, too. A pod's own label counts for nothing: it may be as old as the pod. `labelled` are types whose label the claim's Node has already;
/// those that own its taints, and those that name its pool, need not be among them. `is_other` says whether there is a Node of a name that is
/// not the claim's: a pod that asks for one by name gets onto no other.
#[must_use]
pub fn planted<'p>(
    claim: &NodeClaim,
    types: &[WorkloadType],
    pods: impl IntoIterator<Item = &'p Pod>,
    namespace: impl Fn(&str) -> Namespace,
    labelled: &BTreeSet<&str>,
    is_other: impl Fn(&str) -> bool,
) -> Vec<PlantedPod> {
    let ownership = Ownership::of(types);
    let owned: Vec<_> =
        claim.taints.iter().filter_map(|taint| Some((taint, ownership.owners(taint)?))).collect();
    let rightful = owned.iter().map(|(_, owners)| (*owners).clone()).reduce(|all, owners| &all & &owners);
    let Some(rightful) = rightful else { return Vec::new() };
    // A type that names the pool will own its taints; admission lets in its pods before its status says so.
    let users: BTreeSet<_> = claim
        .pool()
        .into_iter()
        .flat_map(|pool| of_pool(pool, types))
        .map(|user| user.name.clone())
        .collect();
    let rightful = &rightful | &users;
    let is_among = |name: &str, owners: &BTreeSet<String>| owners.contains(name) || users.contains(name);
    let mut planted = Vec::new();
    for pod in pods {
        let hard = claim.taints.iter().filter(|taint| taint.effect.is_hard());
        if !is_still_scheduled(pod) || first_untolerated(hard, &pod.tolerations).is_some() {
            continue;
        }
        let namespace = namespace(&pod.key.namespace);
        if namespace == Namespace::Exempt {
            continue;
        }
        let own = namespace.workload_type();
        let foreign = owned.iter().find(|(_, owners)| !own.is_some_and(|own| is_among(own, owners)));
        let foreign = foreign.filter(|(_, owners)| {
            let is_labelled = |name: &str| is_among(name, owners) || labelled.contains(name);
            pod.alternatives.iter().any(|alternative| could_be_met(alternative, is_labelled, &is_other))
        });
        if let Some((taint, owners)) = foreign {
            planted.push(PlantedPod {
                pod: PodRef { key: pod.key.clone(), uid: pod.uid.clone() },
                has_controller: pod.controller().is_some(),
                taint: (*taint).clone(),
                owner: owners.first().cloned().unwrap_or_default(),
                rightful: rightful.clone(),
                is_judged: namespace != Namespace::Unknown,
            });
        }
    }
    planted
}

/// Whether the scheduler still looks for a node. A pod that has scheduling gates is judged when it loses the last.
fn is_still_scheduled(pod: &Pod) -> bool {
    !pod.phase.is_terminal() && !pod.is_terminating && pod.scheduling_gates.is_empty()
}

/// Whether the claim's node could meet what is asked.
fn could_be_met(
    alternative: &NodeAlternative,
    is_labelled: impl Fn(&str) -> bool,
    is_other: impl Fn(&str) -> bool,
) -> bool {
    let names = alternative.node_name.as_ref().and_then(Requirement::values);
    let is_pinned = names.is_some_and(|names| !names.is_empty() && names.iter().all(|name| is_other(name)));
    let is_elsewhere = alternative.requirements.iter().any(|requirement| {
        let of_type = labels::type_of_node_label(requirement.key());
        of_type.is_some_and(|name| !is_labelled(name)) && !requirement.allows_absence()
    });
    !is_pinned && !is_elsewhere
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::lifecycle::testing::{planted_pod, workload_type};
    use crate::model::pod::Measure;
    use crate::model::testing::nodes::claim;

    fn pod(name: &str, tolerations: serde_json::Value, owner: Option<&str>) -> Pod {
        let owners = owner.map(|kind| json!([{ "apiVersion": "apps/v1", "kind": kind, "name": "o", "uid": "o", "controller": true }]));
        Pod::from_api(
            &serde_json::from_value(json!({
                "metadata": { "name": name, "namespace": name, "uid": name, "ownerReferences": owners },
                "spec": { "containers": [], "tolerations": tolerations },
            }))
            .unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn whoever_tolerates_the_fence_and_is_not_of_its_type_is_found() {
        let exact = || json!([{ "key": "node-type", "operator": "Equal", "value": "application", "effect": "NoSchedule" }]);
        let wildcard = || json!([{ "operator": "Exists" }]);
        let other = || json!([{ "key": "node-type", "operator": "Equal", "value": "monitoring", "effect": "NoSchedule" }]);
        let mut pinned = pod("pinned", wildcard(), Some("DaemonSet"));
        pinned.alternatives = Pod::from_api(
            &serde_json::from_value(json!({
                "metadata": {},
                "spec": { "containers": [], "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n1"] }] }],
                } } } },
            }))
            .unwrap(),
        )
        .unwrap()
        .alternatives;
        let mut ended = pod("ended", wildcard(), None);
        ended.phase = crate::model::pod::Phase::Succeeded;
        let mut labelled = pod("labelled", exact(), None);
        labelled.labels.insert(labels::WORKLOAD_TYPE.to_owned(), "application".to_owned());
        let mut elsewhere = pod("elsewhere", exact(), None);
        let selector = "workload-type.node-restriction.kubernetes.io/monitoring";
        elsewhere.alternatives[0].requirements.add(Requirement::one_of(selector, [""]));
        let mut gated = pod("gated", exact(), None);
        gated.scheduling_gates = vec!["example.com/later".to_owned()];
        let mut awaits = pinned.clone();
        (awaits.key.name, awaits.uid) = ("awaits".to_owned(), "awaits".to_owned());
        awaits.alternatives[0].node_name = Some(Requirement::one_of("metadata.name", ["n2"]));
        let pods = [
            elsewhere,
            gated,
            awaits,
            pod("shop", exact(), None),
            pod("metrics", exact(), None),
            pod("typeless", wildcard(), Some("ReplicaSet")),
            pod("unknown", exact(), Some("ReplicaSet")),
            pod("exempt", wildcard(), Some("DaemonSet")),
            pod("harmless", other(), None),
            pinned,
            ended,
            labelled,
        ];
        let types = [
            workload_type("application", &["application"], &["node-type=application:NoSchedule"]),
            workload_type("monitoring", &["monitoring"], &[]),
        ];
        let namespace = |name: &str| match name {
            "shop" => Namespace::Typed("application".to_owned()),
            "metrics" => Namespace::Typed("monitoring".to_owned()),
            "exempt" => Namespace::Exempt,
            "unknown" => Namespace::Unknown,
            _ => Namespace::Typeless,
        };
        let is_other = |name: &str| name == "n1";
        let found = planted(&claim(), &types, &pods, namespace, &BTreeSet::new(), is_other);
        let shown: Vec<_> =
            found.iter().map(|it| (it.pod.uid.as_str(), it.has_controller, it.owner.as_str())).collect();
        let expected = [
            ("awaits", true),
            ("metrics", false),
            ("typeless", true),
            ("unknown", true),
            ("labelled", false),
        ];
        assert_eq!(shown, expected.map(|(name, has_controller)| (name, has_controller, "application")));
        assert!(
            planted(&claim(), &types[1..], &pods, namespace, &BTreeSet::new(), is_other).is_empty(),
            "nobody owns the taint"
        );
        assert!(is_fenced(&claim(), &types) && !is_fenced(&claim(), &types[1..]));
        let unjudged: Vec<_> =
            found.iter().filter(|it| !it.is_judged).map(|it| it.pod.uid.as_str()).collect();
        assert_eq!(unjudged, ["unknown"]);
        // A Node that somebody else gave another type's label takes in who asks for that, too.
        let labelled = planted(&claim(), &types, &pods, namespace, &["monitoring"].into(), is_other);
        let more: Vec<_> =
            labelled.into_iter().filter(|it| !found.contains(it)).map(|it| it.pod.uid).collect();
        assert_eq!(more, ["elsewhere"]);
    }

    #[test]
    fn only_who_owns_every_taint_of_the_node_has_a_right_to_it() {
        let shared = "shared=x:NoSchedule";
        let own = "node-type=application:NoSchedule";
        let types = [
            workload_type("application", &["application"], &[own, shared]),
            workload_type("monitoring", &["monitoring"], &[shared]),
        ];
        let mut claim = claim();
        claim.taints.insert(0, shared.parse().unwrap());
        let pods = [pod("metrics", json!([{ "operator": "Exists" }]), Some("ReplicaSet"))];
        for namespace in [Namespace::Unknown, Namespace::Typed("monitoring".to_owned())] {
            let found = planted(&claim, &types, &pods, |_| namespace.clone(), &BTreeSet::new(), |_| false);
            let [found] = found.as_slice() else { panic!("{namespace:?}: {found:?}") };
            assert!(found.is_rightful_in(Some("application")), "{found:?}");
            assert!(!found.is_rightful_in(Some("monitoring")) && !found.is_rightful_in(None), "{found:?}");
        }
    }

    #[test]
    fn a_type_that_names_the_pool_has_a_right_to_its_nodes_before_its_status_says_so() {
        let types = [
            workload_type("application", &["application"], &["node-type=application:NoSchedule"]),
            workload_type("batch", &["application"], &[]),
        ];
        let mut selects = pod("batch", json!([{ "operator": "Exists" }]), Some("ReplicaSet"));
        let selector = "workload-type.node-restriction.kubernetes.io/batch";
        selects.alternatives[0].requirements.add(Requirement::one_of(selector, [""]));
        let found = |namespace: Namespace| {
            planted(&claim(), &types, [&selects], |_| namespace.clone(), &BTreeSet::new(), |_| false)
        };
        assert_eq!(found(Namespace::Typed("batch".to_owned())), []);
        // Its label comes to the Node, and with it whoever asks for the label.
        let shown = found(Namespace::Unknown);
        let [strange] = shown.as_slice() else { panic!("{shown:?}") };
        assert_eq!(strange.owner, "application");
        assert!(strange.is_rightful_in(Some("batch")) && !strange.is_rightful_in(Some("monitoring")));
        let other = [types[0].clone(), workload_type("batch", &["spot"], &[])];
        let of_batch = |_: &str| Namespace::Typed("batch".to_owned());
        let planted = |labelled: &[&str]| {
            planted(&claim(), &other, [&selects], of_batch, &labelled.iter().copied().collect(), |_| false)
                .len()
        };
        assert_eq!((planted(&[]), planted(&["batch"])), (0, 1), "a type of another pool");
    }

    #[test]
    fn a_pod_that_is_too_large_to_be_read_is_taken_to_fit_whatever_its_terms_say() {
        let types = [workload_type("application", &["application"], &["node-type=application:NoSchedule"])];
        let of_taint = |value: &str| json!([{ "key": "node-type", "operator": "Equal", "value": value, "effect": "NoSchedule" }]);
        let elsewhere =
            json!([{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n1"] }] }]);
        let large = |name: &str, value: &str, terms: usize| {
            let terms = vec![elsewhere[0].clone(); terms];
            Pod::from_api(
                &serde_json::from_value(json!({
                    "metadata": { "name": name, "namespace": name, "uid": name },
                    "spec": { "containers": [], "tolerations": of_taint(value), "affinity": { "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms },
                    } } },
                }))
                .unwrap(),
            )
            .unwrap()
        };
        let most = Measure::Terms.most();
        let pods = [
            large("elsewhere", "application", most),
            large("anywhere", "application", most + 1),
            large("harmless", "monitoring", most + 1),
        ];
        let found =
            planted(&claim(), &types, &pods, |_| Namespace::Typeless, &BTreeSet::new(), |name| name == "n1");
        let found: Vec<_> = found.iter().map(|planted| planted.pod.uid.as_str()).collect();
        assert_eq!(found, ["anywhere"]);
    }

    #[test]
    fn the_people_of_a_planted_pod_are_told_why_it_goes() {
        let event = planted_pod("web-1", true).event();
        let Regarding::Pod { key, uid } = &event.regarding else { panic!("{event:?}") };
        let told = format!("{} {} {key} {uid}: {}\n", event.severity.name(), event.reason, event.message);
        expect![[r#"
            Warning ForeignToleration shop/web-1 web-1-uid: it is deleted, since it tolerates the taint node-type=application:NoSchedule of workload type application and is not of that type; what is created in its place is judged by admission
        "#]].assert_eq(&told);
    }
}
