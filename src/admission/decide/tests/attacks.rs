//! Known ways to get a pod onto nodes that are not one's own, each tried.
//!
//! Bindings and namespace labels without the right to `use` a type are refused by native policies, and are tried on a real control plane.

use serde_json::{Value, json};

use crate::admission::testing::{Call, NOW, World, after, inventory, node_pool, owner, workload_type};

const OWN_SELECTOR: &str = "workload-type.node-restriction.kubernetes.io/application";
const FOREIGN_SELECTOR: &str = "workload-type.node-restriction.kubernetes.io/monitoring";

fn check(call: &Call, expected: &str) {
    assert_eq!(World::new().outcome(call), expected, "{}", call.object);
}

fn tolerating(tolerations: Value) -> Value {
    json!({ "tolerations": tolerations })
}

/// Tried from a namespace of the other type and from one of none, by the mutating and by the validating webhook.
fn refused(toleration: Value, code: &str) {
    for namespace in ["shop", "plain"] {
        let call = Call::pod(namespace, tolerating(json!([toleration])));
        for verdict in [World::new().mutate(&call), World::new().validate(&call)] {
            assert!(verdict.codes().contains(&code), "{namespace} {toleration}");
        }
    }
}

#[test]
fn a_wildcard_that_tolerates_everything() {
    refused(json!({ "operator": "Exists" }), "ForeignToleration");
}

#[test]
fn a_key_without_value_that_covers_every_teams_value() {
    refused(json!({ "key": "node-type", "operator": "Exists" }), "ForeignToleration");
    refused(json!({ "key": "node-type", "operator": "Exists", "value": "application" }), "ForeignToleration");
}

#[test]
fn no_effect_or_every_effect_of_the_key() {
    refused(json!({ "key": "node-type", "value": "monitoring" }), "ForeignToleration");
    refused(
        json!({ "key": "node-type", "value": "monitoring", "effect": "NoSchedule" }),
        "ForeignToleration",
    );
    refused(json!({ "key": "node-type", "value": "monitoring", "effect": "" }), "ForeignToleration");
}

#[test]
fn an_operator_that_is_omitted_compared_unknown_or_oddly_spelt() {
    refused(json!({ "key": "node-type", "value": "monitoring", "operator": null }), "ForeignToleration");
    for operator in ["exists", "EXISTS", "In", "Regex", " "] {
        refused(
            json!({ "key": "node-type", "operator": operator, "value": "m" }),
            "UnknownTolerationOperator",
        );
    }
    let numbers = World::of(inventory(
        &[node_pool("a", "level=3:NoSchedule"), node_pool("m", "level=7:NoSchedule")],
        &[workload_type("application", "a"), workload_type("monitoring", "m")],
    ));
    for (operator, value, expected) in [
        ("Gt", "6", "ForeignToleration"),
        ("Gt", "7", "admitted"),
        ("Lt", "8", "ForeignToleration"),
        ("Lt", "7", "admitted"),
    ] {
        let toleration = json!({ "key": "level", "operator": operator, "value": value });
        assert_eq!(
            numbers.outcome(&Call::pod("shop", tolerating(json!([toleration])))),
            expected,
            "{operator} {value}"
        );
    }
}

#[test]
fn toleration_seconds_that_are_raised_later() {
    let evicting =
        World::of(inventory(&[node_pool("m", "m:NoExecute")], &[workload_type("monitoring", "m")]));
    let toleration =
        |seconds: i64| json!([{ "key": "m", "operator": "Exists", "tolerationSeconds": seconds }]);
    let raised = Call::pod("plain", tolerating(toleration(1))).update("/spec/tolerations", toleration(9999));
    assert_eq!(evicting.outcome(&raised), "ForeignToleration");
}

#[test]
fn a_node_name_that_skips_the_scheduler() {
    for namespace in ["shop", "plain"] {
        let call = Call::pod(namespace, json!({ "nodeName": "monitoring-node" }));
        check(&call, "NodeNameSet");
        check(&call.by("kubernetes-admin", &["system:masters"]), "NodeNameSet");
    }
}

fn affinity(terms: Value) -> Value {
    json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } })
}

#[test]
fn an_affinity_term_beside_the_injected_selector() {
    let terms = json!([{ "matchExpressions": [{ "key": FOREIGN_SELECTOR, "operator": "Exists" }] }, {}]);
    let (object, verdict) =
        World::new().send(&Call::pod("shop", json!({ "affinity": affinity(terms.clone()) })));
    assert!(verdict.is_allowed());
    // Terms are alternatives; the selector is required beside whichever holds.
    assert_eq!(object["spec"]["nodeSelector"], json!({ OWN_SELECTOR: "" }));
    assert_eq!(object["spec"]["affinity"], affinity(terms));
}

#[test]
fn tolerating_and_selecting_nothing_to_land_on_nodes_without_taints() {
    let (object, _) = World::new().send(&Call::pod("shop", json!({})));
    assert_eq!(object["spec"]["nodeSelector"], json!({ OWN_SELECTOR: "" }));
    let unchanged = World::new().validate(&Call::pod("shop", json!({})));
    assert_eq!(unchanged.codes(), ["NotInjected"]);
}

#[test]
fn an_affinity_that_names_a_foreign_node() {
    let field = json!({ "key": "metadata.name", "operator": "In", "values": ["monitoring-node"] });
    let call = Call::pod("shop", json!({ "affinity": affinity(json!([{ "matchFields": [field] }])) }));
    let (object, _) = World::new().send(&call);
    assert_eq!(object["spec"]["nodeSelector"], json!({ OWN_SELECTOR: "" }));
}

#[test]
fn selecting_the_foreign_type_as_well_leaves_no_node() {
    let (object, verdict) =
        World::new().send(&Call::pod("shop", json!({ "nodeSelector": { FOREIGN_SELECTOR: "" } })));
    assert!(verdict.is_allowed());
    assert_eq!(object["spec"]["nodeSelector"], json!({ OWN_SELECTOR: "", FOREIGN_SELECTOR: "" }));
}

#[test]
fn tolerations_that_are_added_later() {
    for (namespace, operator) in [("shop", "Exists"), ("plain", "Exists")] {
        let call = Call::pod(namespace, json!({ "tolerations": [] }));
        check(&call.update("/spec/tolerations", json!([{ "operator": operator }])), "ForeignToleration");
    }
}

#[test]
fn a_gated_pod_that_becomes_another_one_as_it_is_released() {
    let gates = json!([{ "name": "wait" }]);
    // Made while nobody injected.
    let bare = Call::pod("shop", json!({ "schedulingGates": gates }));
    let released = json!({
        "metadata": { "name": "web" },
        "spec": { "nodeSelector": { FOREIGN_SELECTOR: "" }, "tolerations": [{ "key": "node-type", "operator": "Exists" }] },
    });
    check(&bare.clone().becomes(released), "ForeignToleration");
    check(&bare.clone().update("/spec/nodeSelector", json!({ OWN_SELECTOR: "no" })), "SelectorContradiction");
    check(&bare.update("/spec/schedulingGates", Value::Null), "NotInjected");
}

#[test]
fn a_template_that_is_changed_later() {
    let call = Call::deployment("shop", json!({}));
    check(
        &call.update("/spec/template/spec", tolerating(json!([{ "operator": "Exists" }]))),
        "ForeignToleration",
    );
    let job = Call::template("batch/Job", "shop", json!({})).with("/spec/suspend", json!(true));
    check(
        &job.update("/spec/template/spec", tolerating(json!([{ "operator": "Exists" }]))),
        "ForeignToleration",
    );
}

#[test]
fn a_parent_that_nobody_lists() {
    let spec = tolerating(json!([{ "operator": "Exists" }]));
    for kind in ["ReplicationController", "PodTemplate"] {
        check(&Call::template(kind, "shop", spec.clone()), "ForeignToleration");
    }
    // An unknown kind passes; what it makes does not.
    check(&Call::template("argoproj.io/Rollout", "shop", spec.clone()), "admitted");
    let made = Call::pod("shop", spec)
        .with("/metadata/ownerReferences", json!([owner("argoproj.io/v1alpha1", "Rollout", "web")]));
    check(&made.by("system:serviceaccount:argo:rollouts", &[]), "ForeignToleration");
}

#[test]
fn an_owner_reference_that_claims_to_be_made_by_a_controller() {
    let spec = json!({ "tolerations": [{ "operator": "Exists" }], "nodeName": "n" });
    for (api_version, kind) in
        [("apps/v1", "ReplicaSet"), ("apps/v1", "DaemonSet"), ("v1", "Node"), ("batch/v1", "Job")]
    {
        let call = Call::pod("shop", spec.clone())
            .with("/metadata/ownerReferences", json!([owner(api_version, kind, "x")]));
        check(&call, "NodeNameSet ForeignToleration");
    }
}

#[test]
fn a_daemon_set_that_reaches_for_every_node() {
    let everywhere = tolerating(json!([{ "operator": "Exists" }]));
    for namespace in ["shop", "plain"] {
        check(&Call::daemon_pod(namespace, everywhere.clone()), "ForeignToleration");
    }
    check(&Call::template("apps/DaemonSet", "shop", everywhere), "ForeignToleration");
    // A daemon pod that somebody else sends is none: it gets the selector of its type.
    let (object, _) = World::new().send(&Call::daemon_pod("shop", json!({})).by("alice", &[]));
    assert_eq!(object["spec"]["nodeSelector"], json!({ OWN_SELECTOR: "" }));
}

#[test]
fn an_annotation_that_claims_to_mirror_a_static_pod() {
    let annotations = json!({ "kubernetes.io/config.mirror": "x" });
    let call = Call::pod("shop", json!({ "nodeName": "n" })).with("/metadata/annotations", annotations);
    check(&call, "ForgedMirrorPod NodeNameSet");
    check(&call.clone().by("system:node:other", &["system:nodes"]), "ForgedMirrorPod NodeNameSet");
    check(
        &call.with("/metadata/ownerReferences", json!([owner("v1", "Node", "n")])),
        "ForgedMirrorPod NodeNameSet",
    );
}

#[test]
fn a_namespace_without_type_or_with_one_that_does_not_exist() {
    refused(json!({ "key": "node-type", "value": "monitoring" }), "ForeignToleration");
    let ghost = Call::pod("ghost", tolerating(json!([{ "key": "node-type", "value": "monitoring" }])));
    check(&ghost, "NamespaceClosed ForeignToleration");
}

#[test]
fn labels_and_annotations_that_claim_to_be_excused() {
    let metadata = json!({
        "name": "web",
        "labels": { "treenail.dev/ignore": "true", "treenail.dev/inject": "false", "control-plane": "true" },
        "annotations": { "treenail.dev/injected": "{\"type\":\"monitoring\"}", "treenail.dev/exempt": "true" },
    });
    let call =
        Call::pod("shop", tolerating(json!([{ "operator": "Exists" }]))).with("/metadata", metadata.clone());
    check(&call, "ForeignToleration");
    let bare = Call::pod("shop", json!({})).with("/metadata", metadata);
    assert!(World::new().mutate(&bare).patch.is_some());
    assert_eq!(World::new().validate(&bare).codes(), ["NotInjected"]);
}

#[test]
fn a_pods_own_label_that_names_the_foreign_type() {
    for namespace in ["shop", "plain"] {
        let labels = json!({ "treenail.dev/workload-type": "monitoring" });
        check(&Call::pod(namespace, json!({})).with("/metadata/labels", labels), "TypeNotAllowed");
    }
}

#[test]
fn names_that_look_like_the_systems() {
    let call = Call::pod("shop", json!({ "nodeName": "n" }));
    check(&call.with("/metadata", json!({ "name": "kube-proxy", "generateName": "kube-" })), "NodeNameSet");
    let mut lookalike = Call::pod("kube-system-x", json!({ "nodeName": "n" }));
    check(&lookalike, "NamespaceNotKnown");
    "KUBE-SYSTEM".clone_into(&mut lookalike.namespace);
    check(&lookalike, "NamespaceNotKnown");
}

#[test]
fn an_object_that_says_it_is_in_another_namespace() {
    let call = Call::pod("shop", json!({ "nodeName": "n" }));
    check(&call.with("/metadata/namespace", json!("kube-system")), "NodeNameSet");
}

#[test]
fn an_object_too_large_to_be_judged_in_time() {
    let tolerations = vec![json!({ "key": "node-type", "operator": "Lt", "value": "5" }); 10_000];
    check(&Call::pod("shop", json!({ "tolerations": tolerations })), "TooManyTolerations");
}

#[test]
fn a_dry_run_is_decided_like_any_other_call() {
    use crate::admission::decide::decide;
    use crate::admission::question::{Endpoint, Question};
    use crate::admission::review::Review;
    use crate::admission::standing::NamespaceLabels;

    let world = World::new();
    let mut body = Call::pod("shop", json!({})).body();
    let verdicts = [false, true].map(|dry_run| {
        body["request"]["dryRun"] = json!(dry_run);
        let text = body.to_string();
        let review = Review::parse(text.as_bytes()).unwrap();
        let namespace = NamespaceLabels::Known(&world.namespaces["shop"]);
        decide(
            &world.policies,
            &Question { endpoint: Endpoint::Mutate, review: &review, namespace, now: NOW },
        )
    });
    assert_eq!(verdicts[0], verdicts[1]);
}

#[test]
fn another_version_of_the_kind() {
    // Decided by group and kind: the version says nothing.
    let call = Call::deployment("shop", json!({ "nodeName": "n" }));
    assert_eq!(call.body()["request"]["kind"]["version"], "v1");
    check(&call, "NodeNameSet");
}

#[test]
fn a_later_mutator_that_undoes_or_adds() {
    let (object, _) = World::new().send(&Call::pod("shop", json!({})));
    let stored = Call::create("Pod", "shop", object);
    let validated = |call: Call| World::new().validate(&call).codes();
    assert_eq!(validated(stored.clone()), Vec::<&str>::new());
    assert_eq!(validated(stored.clone().with("/spec/nodeSelector", Value::Null)), ["NotInjected"]);
    assert_eq!(
        validated(stored.clone().with("/spec/tolerations/1", json!({ "operator": "Exists" }))),
        ["ForeignToleration"]
    );
    assert_eq!(validated(stored.with("/spec/nodeName", json!("n"))), ["NodeNameSet"]);
}

#[test]
fn tolerations_that_a_runtime_class_or_an_extended_resource_brings() {
    // They are in the pod by the time that it is judged, and are judged like its own.
    let gpu = World::of(inventory(
        &[node_pool("g", "example.com/fpga:NoSchedule nvidia.com/gpu:NoSchedule")],
        &[workload_type("monitoring", "g")],
    ));
    let brings = |key: &str| {
        Call::pod("plain", tolerating(json!([{ "key": key, "operator": "Exists", "effect": "NoSchedule" }])))
    };
    assert_eq!(gpu.outcome(&brings("example.com/fpga")), "ForeignToleration");
    // Known accelerators' own taints are nobody's: their plugin gives this one to every pod that requests them.
    assert_eq!(gpu.outcome(&brings("nvidia.com/gpu")), "admitted");
}

#[test]
fn acting_as_an_identity_that_others_excuse() {
    let users = [
        "system:serviceaccount:kube-system:replicaset-controller",
        "system:serviceaccount:kube-system:daemon-set-controller",
        "system:kube-scheduler",
        "system:node:n",
        "system:admin",
    ];
    for user in users {
        let call = Call::pod("shop", json!({ "nodeName": "n", "tolerations": [{ "operator": "Exists" }] }));
        check(&call.by(user, &["system:masters", "system:nodes"]), "NodeNameSet ForeignToleration");
    }
}

#[test]
fn a_race_with_the_namespaces_label_or_the_policy() {
    let call = Call::pod("not-seen-yet", tolerating(json!([{ "key": "node-type", "value": "monitoring" }])));
    check(&call, "NamespaceNotKnown");
    // The taint moves to another type: pods that were injected by the policy before do not follow it there.
    let with = |types: [(&str, &str); 2]| {
        let pools = [node_pool("p", "k=p:NoSchedule"), node_pool("q", "k=q:NoSchedule")];
        inventory(&pools, &types.map(|(name, pool)| workload_type(name, pool)))
    };
    let mut world = World::of(with([("application", "p"), ("monitoring", "q")]));
    let (injected, _) = world.send(&Call::pod("shop", json!({})));
    world.policies = world.policies.next(with([("application", "q"), ("monitoring", "p")]), after(1));
    assert_eq!(world.validate(&Call::create("Pod", "shop", injected)).codes(), ["ForeignToleration"]);
}

#[test]
fn a_pod_from_before_its_policy_is_neither_let_further_nor_wedged() {
    let old = Call::pod("plain", tolerating(json!([{ "operator": "Exists", "effect": "NoSchedule" }])));
    check(&old.clone().update("/metadata/finalizers", json!([])), "admitted");
    check(&old.update("/spec/tolerations/0/effect", json!("")), "ForeignToleration");
}

#[test]
fn a_scheduling_field_that_is_newer_than_this_program() {
    let call = Call::pod("shop", json!({ "tolerationGroups": [{ "operator": "Exists" }] }));
    let warnings = World::new().validate(&call).warnings;
    assert_eq!(
        warnings,
        ["pod shop/web: spec.tolerationGroups is unknown to this version of Treenail and not judged"]
    );
}

#[test]
fn debugging_a_node_from_a_namespace_that_is_not_exempt() {
    let debugger = json!({ "nodeName": "n", "hostNetwork": true, "tolerations": [{ "operator": "Exists" }] });
    let verdict = World::new().mutate(&Call::pod("plain", debugger.clone()));
    assert!(verdict.message().contains("kubectl debug node/NAME -n kube-system"), "{}", verdict.message());
    check(&Call::pod("kube-system", debugger), "admitted");
}
