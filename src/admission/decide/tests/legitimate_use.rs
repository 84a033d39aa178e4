//! What people do every day is untouched.

use serde_json::{Value, json};

use crate::admission::testing::{Call, World, owner, show};

fn admitted(call: &Call) {
    let (object, verdict) = World::new().send(call);
    assert_eq!(show(&verdict), "admitted", "{}", call.object);
    if call.namespace != "shop" {
        assert_eq!(object, call.object);
    }
}

fn defaults() -> Value {
    json!([
        { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
        { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
        { "key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule" },
    ])
}

#[test]
fn pods_with_the_tolerations_that_kubernetes_adds_or_that_match_nobodys_taint() {
    for namespace in ["shop", "plain", "watch"] {
        let namespace = Call::pod(namespace, json!({ "tolerations": defaults() }));
        assert!(World::new().send(&namespace).1.is_allowed());
    }
    admitted(&Call::pod("plain", json!({ "tolerations": defaults() })));
    admitted(&Call::pod(
        "plain",
        json!({ "tolerations": [{ "key": "spot", "operator": "Exists" }, { "key": "nvidia.com/gpu", "operator": "Exists" }] }),
    ));
}

#[test]
fn pods_that_spell_out_what_they_would_be_given() {
    let spec = json!({
        "nodeSelector": { "workload-type.node-restriction.kubernetes.io/application": "", "kubernetes.io/arch": "arm64" },
        "tolerations": [{ "key": "node-type", "value": "application", "effect": "NoSchedule" }],
    });
    let call = Call::pod("shop", spec);
    assert_eq!(World::new().mutate(&call).patch, None);
    admitted(&call);
}

#[test]
fn a_rollout_a_restart_a_scaling_and_a_deletion() {
    let deployment = Call::deployment("shop", json!({ "containers": [{ "image": "a" }] }));
    admitted(&deployment);
    admitted(&deployment.clone().update("/spec/template/spec/containers/0/image", json!("b")));
    admitted(&deployment.clone().update(
        "/spec/template/metadata/annotations",
        json!({ "kubectl.kubernetes.io/restartedAt": "now" }),
    ));
    admitted(&deployment.clone().update("/spec/replicas", json!(0)));
    let mut deletion = deployment.update("/metadata/finalizers", Value::Null);
    admitted(&deletion);
    deletion.operation = "DELETE";
    admitted(&deletion);
    let replica_set = Call::template("apps/ReplicaSet", "shop", json!({}))
        .by("system:serviceaccount:kube-system:deployment-controller", &[]);
    admitted(&replica_set.with("/metadata/ownerReferences", json!([owner("apps/v1", "Deployment", "web")])));
}

#[test]
fn a_daemon_set_of_the_system_on_every_node() {
    let everywhere = json!({ "tolerations": [{ "operator": "Exists" }] });
    admitted(&Call::daemon_pod("kube-system", everywhere.clone()));
    admitted(&Call::template("apps/DaemonSet", "kube-system", everywhere));
}

#[test]
fn daemon_pods_with_what_their_controller_adds() {
    let added = json!([
        { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute" },
        { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute" },
        { "key": "node.kubernetes.io/disk-pressure", "operator": "Exists", "effect": "NoSchedule" },
        { "key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule" },
        { "key": "node.kubernetes.io/pid-pressure", "operator": "Exists", "effect": "NoSchedule" },
        { "key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule" },
        { "key": "node.kubernetes.io/network-unavailable", "operator": "Exists", "effect": "NoSchedule" },
    ]);
    for namespace in ["shop", "plain"] {
        let call = Call::daemon_pod(namespace, json!({ "tolerations": added }));
        admitted(&call);
        assert_eq!(World::new().mutate(&call).patch, None);
    }
}

#[test]
fn objects_of_kinds_that_nobody_judges() {
    admitted(&Call::create(
        "Binding",
        "plain",
        json!({ "metadata": { "name": "web" }, "target": { "name": "n" } }),
    ));
    admitted(&Call::create(
        "autoscaling/Scale",
        "plain",
        json!({ "metadata": { "name": "web" }, "spec": { "replicas": 3 } }),
    ));
    admitted(&Call::create("policy/Eviction", "plain", json!({ "metadata": { "name": "web" } })));
}

#[test]
fn the_kubelets_and_the_schedulers_writes_to_pods() {
    let pod = Call::pod("plain", json!({ "tolerations": [{ "operator": "Exists" }] }));
    let mut status =
        pod.update("/status", json!({ "phase": "Running" })).by("system:node:n", &["system:nodes"]);
    "status".clone_into(&mut status.subresource);
    admitted(&status);
}
