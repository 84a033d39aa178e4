//! What pools hold, and why nothing may be launched from one.

use expect_test::expect;

use super::*;
use crate::controllers::provisioning::pools::{barren, pools};
use crate::model::Pod;

#[test]
fn why_nothing_may_be_launched_is_said_in_words() {
    let alone = |node_pool: Value| World { node_pools: vec![pool(&node_pool)], ..world() };
    let with_class =
        |changes: Value| World { node_classes: [("default".to_owned(), class(&changes))].into(), ..world() };
    let ready = |status: &str, message: &str| {
        json!({ "status": { "conditions": [{
            "type": "Ready", "status": status, "observedGeneration": 2, "reason": "UnhealthyDependents", "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}})
    };
    let mut unguarded = world();
    unguarded.workload_types.values_mut().for_each(|owner| owner.recorded.clear());
    let cases = [
        ("all is well", world()),
        ("no type uses it", World { workload_types: BTreeMap::new(), ..world() }),
        (
            "invalid",
            alone(json!({ "spec": { "template": { "spec": { "requirements": [
                { "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"] },
                { "key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"] },
            ]}}}})),
        ),
        ("unsupported", alone(json!({ "spec": { "replicas": 3 } }))),
        ("deleted", alone(json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }))),
        (
            "foreign",
            alone(
                json!({ "spec": { "template": { "spec": { "nodeClassRef": { "group": "karpenter.azure.com", "kind": "AKSNodeClass" } } } } }),
            ),
        ),
        ("no class", World { node_classes: BTreeMap::new(), ..world() }),
        ("class deleted", with_class(json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }))),
        ("class not ready", with_class(ready("False", "SubnetsReady=False"))),
        ("class not resolved", with_class(json!({ "status": { "conditions": [] } }))),
        ("class changed", with_class(json!({ "metadata": { "generation": 3 } }))),
        ("unguarded", unguarded),
        (
            "no image",
            with_class(json!({ "status": { "amis": [{ "id": "ami-1", "requirements": [
                { "key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"] },
            ] }] } })),
        ),
        ("no types", World { types: BTreeMap::new(), ..world() }),
        ("cloud is silent", World { types: [("default".to_owned(), ClassTypes::Unknown)].into(), ..world() }),
    ];
    let mut shown = String::new();
    for (name, world) in cases {
        let found = pools(&world);
        let [found] = &found[..] else { panic!("{name}: {} pools", found.len()) };
        assert_eq!(found.node_pool.name, "application");
        writeln!(shown, "{name}: {}", found.not_ready.as_deref().unwrap_or("-")).unwrap();
    }
    expect![[r#"
        all is well: -
        no type uses it: -
        invalid: spec.template.spec.requirements: those on kubernetes.io/arch contradict each other, so that no node can meet them; remove all but one
        unsupported: spec.replicas: is not supported yet (pools with a fixed number of nodes); remove it
        deleted: it is being deleted
        foreign: its node class is of karpenter.azure.com/AKSNodeClass, which Treenail does not launch from; use a class of karpenter.k8s.aws
        no class: EC2NodeClass default does not exist; create it, or name another in spec.template.spec.nodeClassRef
        class deleted: EC2NodeClass default is being deleted
        class not ready: EC2NodeClass default: SubnetsReady=False
        class not resolved: EC2NodeClass default is not resolved yet
        class changed: EC2NodeClass default was changed and is not resolved yet
        unguarded: WorkloadType application does not guard taint node-type=application:NoSchedule of NodePool application yet; its status must list the taint first
        no image: no image of EC2NodeClass default runs on an instance type that the pool allows (its images require kubernetes.io/arch In [arm64]); allow others, or let spec.amiSelectorTerms of the class select an image for these
        no types: the cloud has not told its instance types yet; see the controller's log if that lasts
        cloud is silent: the cloud has not told its instance types yet; see the controller's log if that lasts
    "#]].assert_eq(&shown);
}

#[test]
fn a_foreign_pool_that_no_type_names_is_left_out() {
    let class_ref = json!({ "group": "karpenter.azure.com", "kind": "AKSNodeClass" });
    let foreign = json!({ "spec": { "template": { "spec": { "nodeClassRef": class_ref } } } });
    let world = World { node_pools: vec![pool(&foreign)], workload_types: BTreeMap::new(), ..world() };
    assert!(pools(&world).is_empty());
}

#[test]
fn limits_count_every_claim_that_is_not_being_removed() {
    let deleted = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
    let elsewhere = json!({ "metadata": { "labels": { "karpenter.sh/nodepool": "monitoring" } } });
    let unknown = json!({ "spec": { "requirements": [] } });
    let cases = [
        (vec![], "0 nodes"),
        (vec![claim("launched", &launched("1"))], "2 cpu, 4Gi memory, 29 pods, 1 nodes"),
        (vec![claim("as its largest type", &json!({}))], "4 cpu, 8Gi memory, 29 pods, 1 nodes"),
        (vec![claim("of no known type", &unknown)], "1500m cpu, 3 pods, 1 nodes"),
        (vec![claim("deleted", &deleted), claim("of another pool", &elsewhere)], "0 nodes"),
        (vec![claim("a", &launched("1")), claim("b", &launched("2"))], "4 cpu, 8Gi memory, 58 pods, 2 nodes"),
    ];
    for (claims, expected) in cases {
        let name = claims.iter().map(|claim| claim.model.object.name.clone()).collect::<Vec<_>>();
        let found = pools(&World { claims, ..world() });
        assert_eq!(found[0].held.to_string(), expected, "{name:?}");
    }
}

#[test]
fn a_pool_that_leaves_no_type_to_buy_is_barren() {
    let wants = |family: &str, name: &str| {
        let requirements = json!([
            { "key": "karpenter.k8s.aws/instance-family", "operator": "In", "values": [family] },
            { "key": "node.kubernetes.io/instance-type", "operator": "In", "values": [name] },
        ]);
        let found = pools(&World {
            node_pools: vec![pool(
                &json!({ "spec": { "template": { "spec": { "requirements": requirements } } } }),
            )],
            ..world()
        });
        barren(&found).len()
    };
    assert_eq!(wants("c7i", "c7i.xlarge"), 0);
    assert_eq!(wants("c7i", "c7i.large"), 1, "it cannot be bought");
    assert_eq!(wants("m5", "c7i.xlarge"), 0, "there is no such type, and its status says so");
    let broken = pools(&World { node_classes: BTreeMap::new(), ..world() });
    assert!(barren(&broken).is_empty(), "something else is in the way");
}

/// What is everybody's to create must take no room on nodes that it cannot come to.
#[test]
fn daemons_are_barred_from_the_nodes_of_types_that_their_namespace_is_not_of() {
    let daemon = |namespace: &str| {
        let template = json!({ "spec": { "containers": [], "tolerations": [{ "operator": "Exists" }] } });
        let mut pod = Pod::from_template(namespace, &read(template)).unwrap();
        pod.key.name = "agent".to_owned();
        Arc::new(pod)
    };
    let mut world = world();
    world.daemons = ["anybodys", "kube-system", "metrics", "shop"].map(daemon).into();
    world.exempt_namespaces = Arc::new(["kube-system".to_owned()].into());
    world.namespaces.insert("metrics".to_owned(), typed_as("monitoring"));
    let daemons = world.snapshot(at(0)).problem.daemons;
    let barred: Vec<_> =
        daemons.into_iter().map(|daemon| (daemon.pod.key.namespace, daemon.barred.len())).collect();
    let expected = [("anybodys", 1), ("kube-system", 0), ("metrics", 1), ("shop", 0)];
    assert_eq!(barred, expected.map(|(namespace, count)| (namespace.to_owned(), count)));
}
