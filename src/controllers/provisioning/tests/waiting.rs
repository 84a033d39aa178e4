//! Which pods are planned for.

use expect_test::expect;

use super::*;
use crate::controllers::provisioning::waiting::waiting;
use crate::model::pod::PodKey;

#[test]
fn pods_are_planned_for_by_type_and_left_out_with_a_reason() {
    let in_namespace = |namespace: &str| json!({ "metadata": { "namespace": namespace } });
    let labelled = |name: &str| json!({ "metadata": { "labels": { "treenail.dev/workload-type": name } } });
    let owned = json!({ "metadata": { "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d" }] } });
    let opted_out = json!({ "spec": { "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "karpenter.sh/nodepool", "operator": "DoesNotExist" }] }],
    }}}}});
    let selects = |operator: &str| {
        let key = "workload-type.node-restriction.kubernetes.io/application";
        let values: &[&str] = if operator == "In" { &[""] } else { &[] };
        let term = json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        json!({ "spec": { "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] } } } } })
    };
    let selects_or_not = json!({ "spec": { "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
        { "matchExpressions": [{ "key": "workload-type.node-restriction.kubernetes.io/application", "operator": "Exists" }] },
        { "matchExpressions": [{ "key": "kubernetes.io/arch", "operator": "Exists" }] },
    ] } } } } });
    let cases = [
        ("by its namespace", json!({})),
        ("by its own label", labelled("application")),
        ("without a type", in_namespace("free")),
        ("that selects a type without having one", merged(in_namespace("free"), &selects("In"))),
        ("that avoids a type without having one", merged(in_namespace("free"), &selects("DoesNotExist"))),
        ("that would do without a type, too", merged(in_namespace("free"), &selects_or_not)),
        (
            "that selects a type in a namespace that is not judged",
            merged(in_namespace("exempt"), &selects("In")),
        ),
        (
            "labelled in a namespace that is not judged",
            merged(in_namespace("exempt"), &labelled("application")),
        ),
        ("of a type that does not exist", in_namespace("lost")),
        ("of a closed type", in_namespace("closed")),
        ("of a type that its namespace may not use", labelled("monitoring")),
        ("labelled in a namespace without a type", merged(in_namespace("free"), &labelled("application"))),
        ("of a namespace that is not known yet", in_namespace("new")),
        ("bound", json!({ "spec": { "nodeName": "n1" } })),
        ("not looked at by the scheduler", json!({ "status": { "conditions": [] } })),
        ("being deleted", json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } })),
        ("finished", json!({ "status": { "phase": "Failed" } })),
        ("gated", json!({ "spec": { "schedulingGates": [{ "name": "wait" }] } })),
        ("about to preempt", json!({ "status": { "nominatedNodeName": "n1" } })),
        ("of a daemon set", owned),
        ("that wants no pool", opted_out),
        ("promised a place", json!({ "metadata": { "uid": "promised" } })),
        ("after one that was promised a place", json!({ "metadata": { "uid": "later" } })),
    ];
    let mut shown = String::new();
    for (name, changes) in cases {
        let mut world = World { pods: vec![pod("web", &changes)], ..world() };
        let (closed, mut closed_type) = workload_type("closed", &[]);
        closed_type.problems.push(crate::model::problem::Problem::new(
            "spec.pools",
            "names no pool; name at least one NodePool",
        ));
        world.workload_types.insert(closed, closed_type);
        for name in ["lost", "closed"] {
            world.namespaces.insert(name.to_owned(), typed_as(name));
        }
        world.namespaces.insert("free".to_owned(), Arc::default());
        world.exempt_namespaces = Arc::new(["exempt".to_owned()].into());
        let key = PodKey { namespace: "shop".to_owned(), name: "web".to_owned() };
        world.nominations.nominate(key, "promised", "c1");
        let found = waiting(&world, at(0));
        let planned = found.pods.iter().map(|pending| match &pending.workload_type {
            Some(name) => format!("planned for as {name}"),
            None => "planned for".to_owned(),
        });
        let left_out = found.left_out.iter().flat_map(|left_out| &left_out.reasons).map(ToString::to_string);
        let what: Vec<_> = planned.chain(left_out).collect();
        assert_eq!(what.len(), found.uids.len(), "{name}");
        writeln!(shown, "{name}: {}", what.first().map_or("-", String::as_str)).unwrap();
    }
    expect![[r#"
        by its namespace: planned for as application
        by its own label: planned for as application
        without a type: planned for
        that selects a type without having one: spec.nodeSelector or spec.affinity.nodeAffinity: nodes of the workload type application are asked for, and the namespace free has no workload type; label the namespace free treenail.dev/workload-type=application and create the pod anew, or do not ask for these nodes
        that avoids a type without having one: planned for
        that would do without a type, too: planned for
        that selects a type in a namespace that is not judged: planned for
        labelled in a namespace that is not judged: planned for
        of a type that does not exist: planned for as lost
        of a closed type: the workload type closed is closed: spec.pools: names no pool; name at least one NodePool; correct the WorkloadType
        of a type that its namespace may not use: metadata.labels[treenail.dev/workload-type]: the namespace shop may not use the workload type monitoring; label the namespace with the type, or create the pod without the label
        labelled in a namespace without a type: metadata.labels[treenail.dev/workload-type]: the namespace free may not use the workload type application; label the namespace with the type, or create the pod without the label
        of a namespace that is not known yet: -
        bound: -
        not looked at by the scheduler: -
        being deleted: -
        finished: -
        gated: -
        about to preempt: -
        of a daemon set: -
        that wants no pool: -
        promised a place: -
        after one that was promised a place: planned for as application
    "#]].assert_eq(&shown);
}
