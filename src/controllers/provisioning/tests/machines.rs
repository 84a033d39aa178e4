//! Which nodes count, and as what.

use expect_test::{Expect, expect};

use super::*;
use crate::controllers::provisioning::machines::machines;

#[track_caller]
fn check(world: &World, expected: &Expect) {
    let mut shown = String::new();
    for machine in machines(world, at(0)) {
        let node = &machine.node;
        let state = if node.is_initialized { "ready" } else { "on its way" };
        writeln!(shown, "{} ({state}), promises by {}", node.name, machine.key()).unwrap();
        let labels: Vec<_> = node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        writeln!(shown, "  labels {}", labels.join(" ")).unwrap();
        let taints: Vec<_> = node.taints.iter().map(ToString::to_string).collect();
        writeln!(shown, "  taints {}", taints.join(" ")).unwrap();
        writeln!(
            shown,
            "  gives {}, of which {} taken, by daemons {}",
            node.allocatable, node.requests, node.daemon_requests
        )
        .unwrap();
        let ports: Vec<_> = node.host_ports.iter().map(ToString::to_string).collect();
        if !ports.is_empty() {
            writeln!(shown, "  ports {}", ports.join(" ")).unwrap();
        }
    }
    expected.assert_eq(&shown);
}

fn registered() -> Value {
    json!({
        "metadata": { "labels": {
            "karpenter.sh/registered": "true", "karpenter.sh/nodepool": "application",
            "workload-type.node-restriction.kubernetes.io/application": "",
        }},
        "spec": { "taints": [
            { "key": "node-type", "value": "application", "effect": "NoSchedule" },
            { "key": "example.com/starting", "value": "since-noon", "effect": "NoSchedule" },
            { "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" },
            { "key": "example.com/added", "effect": "NoSchedule" },
        ]},
    })
}

#[test]
fn a_claim_without_an_instance_holds_what_it_was_planned_for() {
    // Labels of other types are not the claim's to give.
    let key = crate::api::labels::node_type_label("monitoring");
    let strange = json!({
        "metadata": { "labels": { key.clone(): "" } },
        "spec": { "requirements": [
            { "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"] },
            { "key": key, "operator": "In", "values": [""] },
        ] },
    });
    let mut world = World { claims: vec![claim("c1", &strange)], ..world() };
    world.pods = vec![
        pod("a", &json!({})),
        pod(
            "b",
            &json!({ "spec": { "containers": [{
                "name": "app", "ports": [{ "containerPort": 80, "hostPort": 80 }], "resources": { "requests": { "cpu": "1" } },
            }]}}),
        ),
    ];
    for name in ["a", "b"] {
        let key = crate::model::pod::PodKey { namespace: "shop".into(), name: name.into() };
        world.nominations.nominate(key, &format!("{name}-uid"), "c1");
    }
    check(
        &world,
        &expect![[r#"
            c1 (on its way), promises by c1
              labels karpenter.sh/initialized=true karpenter.sh/nodepool=application karpenter.sh/registered=true kubernetes.io/arch=amd64 workload-type.node-restriction.kubernetes.io/application=
              taints node-type=application:NoSchedule
              gives 1500m cpu, 3 pods, of which 1500m cpu, 2 pods taken, by daemons nothing
              ports TCP 80
        "#]],
    );
}

#[test]
fn a_node_that_starts_is_what_its_claim_says() {
    let world = World {
        claims: vec![
            claim("launched", &launched("1")),
            claim("registering", &launched("2")),
            claim("starting", &launched("3")),
        ],
        nodes: vec![node("n2", "2", &json!({})), node("n3", "3", &registered())],
        ..world()
    };
    check(
        &world,
        &expect![[r#"
            n2 (on its way), promises by registering
              labels karpenter.sh/initialized=true karpenter.sh/nodepool=application karpenter.sh/registered=true kubernetes.io/arch=amd64 node.kubernetes.io/instance-type=c7i.large workload-type.node-restriction.kubernetes.io/application=
              taints node-type=application:NoSchedule
              gives 1920m cpu, 3Gi memory, 29 pods, of which nothing taken, by daemons nothing
            n3 (on its way), promises by starting
              labels karpenter.sh/initialized=true karpenter.sh/nodepool=application karpenter.sh/registered=true kubernetes.io/hostname=n3 workload-type.node-restriction.kubernetes.io/application=
              taints node-type=application:NoSchedule example.com/added:NoSchedule
              gives 1920m cpu, 3Gi memory, 29 pods, of which nothing taken, by daemons nothing
            launched (on its way), promises by launched
              labels karpenter.sh/initialized=true karpenter.sh/nodepool=application karpenter.sh/registered=true kubernetes.io/arch=amd64 node.kubernetes.io/instance-type=c7i.large workload-type.node-restriction.kubernetes.io/application=
              taints node-type=application:NoSchedule
              gives 1930m cpu, 3Gi memory, 29 pods, of which nothing taken, by daemons nothing
        "#]],
    );
}

#[test]
fn a_node_that_is_ready_is_what_it_says_and_what_its_pods_leave() {
    let bound = |name: &str, changes: &Value| {
        pod(name, &merged(json!({ "spec": { "nodeName": "n1" }, "status": { "phase": "Running" } }), changes))
    };
    let owner = json!({ "metadata": { "ownerReferences": [{
        "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "d", "controller": true,
    }]}});
    let ready = json!({ "metadata": { "labels": { "karpenter.sh/initialized": "true" } } });
    let world = World {
        claims: vec![claim("c1", &launched("1"))],
        nodes: vec![node("n1", "1", &merged(registered(), &ready))],
        pods: vec![
            bound("a", &json!({})),
            bound("b", &json!({ "status": { "phase": "Succeeded" } })),
            bound("c", &json!({ "spec": { "nodeName": "elsewhere" } })),
            bound("d", &owner),
            pod("waiting", &json!({})),
        ],
        ..world()
    };
    check(
        &world,
        &expect![[r#"
        n1 (ready), promises by c1
          labels karpenter.sh/initialized=true karpenter.sh/nodepool=application karpenter.sh/registered=true kubernetes.io/hostname=n1 workload-type.node-restriction.kubernetes.io/application=
          taints node-type=application:NoSchedule example.com/starting=since-noon:NoSchedule node.kubernetes.io/not-ready:NoSchedule example.com/added:NoSchedule
          gives 1920m cpu, 0 memory, 29 pods, of which 1 cpu, 2 pods taken, by daemons 500m cpu, 1 pods
    "#]],
    );
}

#[test]
fn a_node_that_nobody_claims_counts_as_it_is() {
    let world = World { nodes: vec![node("other", "9", &json!({}))], ..world() };
    check(
        &world,
        &expect![[r#"
        other (ready), promises by other
          labels kubernetes.io/hostname=other
          taints node-type=application:NoSchedule karpenter.sh/unregistered:NoExecute example.com/starting:NoSchedule node.kubernetes.io/not-ready:NoSchedule
          gives 1920m cpu, 0 memory, 29 pods, of which nothing taken, by daemons nothing
    "#]],
    );
}

#[test]
fn what_is_being_removed_or_closed_does_not_count() {
    let deleted = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
    let disrupted = json!({ "status": { "conditions": [{
        "type": "DisruptionReason", "status": "True", "reason": "Empty", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    let foreign =
        json!({ "spec": { "nodeClassRef": { "group": "karpenter.kwok.sh", "kind": "KwokNodeClass" } } });
    let closing =
        json!({ "spec": { "taints": [{ "key": "karpenter.sh/disrupted", "effect": "NoSchedule" }] } });
    // Long registered, and not initialized.
    let stuck = json!({ "status": { "conditions": [{
        "type": "Registered", "status": "True", "reason": "Registered", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    let cases = [
        (vec![claim("c", &merged(launched("1"), &stuck))], vec![node("n", "1", &registered())]),
        (vec![claim("c", &deleted)], vec![]),
        (vec![claim("c", &merged(launched("1"), &deleted))], vec![node("n", "1", &registered())]),
        (vec![claim("c", &disrupted)], vec![]),
        (vec![claim("c", &merged(launched("1"), &disrupted))], vec![node("n", "1", &registered())]),
        (vec![claim("c", &foreign)], vec![]),
        (vec![claim("c", &launched("1"))], vec![node("n", "1", &deleted)]),
        (vec![claim("c", &launched("1"))], vec![node("n", "1", &closing)]),
        (vec![], vec![node("n", "1", &deleted)]),
        (vec![], vec![node("n", "1", &closing)]),
        (vec![], vec![node("n", "1", &json!({ "spec": { "unschedulable": true } }))]),
    ];
    for (number, (claims, nodes)) in cases.into_iter().enumerate() {
        let found = machines(&World { nodes, claims, ..world() }, at(900));
        assert_eq!(found, [], "case {number}");
    }
    let nodes = vec![node("n", "1", &registered())];
    let waited_for = World { claims: vec![claim("c", &merged(launched("1"), &stuck))], nodes, ..world() };
    assert_eq!(machines(&waited_for, at(899)).len(), 1);
}

/// A status that was copied or restored names another claim's instance.
#[test]
fn an_instance_that_several_claims_have_is_the_owners_and_counts_once() {
    let of = |name: &str, created: i64, changes: Value| {
        let metadata = json!({ "metadata": { "creationTimestamp": at(created).to_string() } });
        claim(name, &merged(merged(launched("1"), &metadata), &changes))
    };
    let live = |name, created| of(name, created, json!({}));
    let deleted =
        |name, created| of(name, created, json!({ "metadata": { "deletionTimestamp": at(9).to_string() } }));
    let owned = |owner: Option<&str>| {
        let owner = owner.map(|name| json!([{ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": name, "uid": format!("{name}-uid") }]));
        vec![node("n", "1", &merged(registered(), &json!({ "metadata": { "ownerReferences": owner } })))]
    };
    let cases: [(&str, _, _, &[&str]); 7] = [
        ("a copy that is deleted", vec![live("a", 0), deleted("b", 5)], owned(Some("a")), &["n by a"]),
        ("a copy that is live", vec![live("a", 5), live("b", 0)], owned(Some("a")), &["n by a"]),
        ("the owner is deleted", vec![deleted("a", 5), live("b", 0)], owned(Some("a")), &[]),
        ("nobody owns it yet", vec![live("a", 5), live("b", 0)], owned(None), &["n by b"]),
        ("no Node yet", vec![live("a", 0), live("b", 5)], vec![], &["a by a"]),
        ("no Node yet, the younger is deleted", vec![live("a", 0), deleted("b", 5)], vec![], &["a by a"]),
        ("no Node yet, the older is deleted", vec![deleted("a", 0), live("b", 5)], vec![], &[]),
    ];
    for (case, claims, nodes, expected) in cases {
        let found = machines(&World { nodes, claims, ..world() }, at(10));
        let shown: Vec<_> =
            found.iter().map(|machine| format!("{} by {}", machine.node.name, machine.key())).collect();
        assert_eq!(shown, expected, "{case}");
    }
}
