use std::sync::Arc;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::admission::policies::{Inventory, Policies, Settings};
use crate::admission::testing::{Call, World, inventory, node_pool, owner, show, workload_type};

/// The namespace `shop` of a type that can hold 3920m and 6484Mi in zones a and b; its objects are in these generations.
fn world(generations: &[(&str, i64)]) -> World {
    World::of(covered(generations))
}

fn covered(generations: &[(&str, i64)]) -> Inventory {
    let generation = |kind: &str| generations.iter().find(|(of, _)| *of == kind).map_or(1, |(_, is)| *is);
    let mut pool = node_pool("application", "node-type=application:NoSchedule");
    pool.metadata.generation = Some(generation("NodePool"));
    let mut object = workload_type("application", "application");
    object.metadata.generation = Some(generation("WorkloadType"));
    let observed =
        [("WorkloadType", "application"), ("NodePool", "application"), ("EC2NodeClass", "default")];
    let observed = observed.map(|(kind, name)| json!({ "kind": kind, "name": name, "generation": 1 }));
    object.status = serde_json::from_value(json!({ "envelope": {
        "generations": observed,
        "vectors": [{
            "pool": "application", "architecture": "amd64", "zones": ["a", "b"], "instanceType": "c7i.xlarge",
            "allocatable": { "cpu": "3920m", "memory": "6484Mi", "pods": "58" },
        }],
    } }))
    .unwrap();
    let mut inventory: Inventory = inventory(&[pool], &[object]);
    if let 1.. = generation("EC2NodeClass") {
        inventory.add_node_class(
            &serde_json::from_value(json!({
                "metadata": { "name": "default", "generation": generation("EC2NodeClass") },
                "spec": { "amiSelectorTerms": [], "subnetSelectorTerms": [], "securityGroupSelectorTerms": [] },
            }))
            .unwrap(),
        );
    }
    inventory
}

fn requesting(memory: &str) -> Value {
    json!({ "containers": [{ "name": "app", "resources": { "requests": { "memory": memory } } }] })
}

fn in_zone(zone: &str) -> Value {
    json!({ "containers": [], "nodeSelector": { "topology.kubernetes.io/zone": zone } })
}

#[track_caller]
fn check(call: &Call, expected: &Expect) {
    let verdict = world(&[]).send(call).1;
    expected.assert_eq(&show(&verdict));
}

#[test]
fn a_pod_of_exactly_the_envelope_is_admitted_and_a_mebibyte_more_is_not() {
    for call in [Call::pod("shop", requesting("6484Mi")), Call::deployment("shop", requesting("6484Mi"))] {
        check(&call, &expect!["admitted"]);
    }
    check(
        &Call::pod("shop", requesting("6485Mi")),
        &expect![
            "NeverSchedulable: pod shop/web: no node of workload type application can ever run it: spec.containers[*].resources.requests: 6485Mi memory requested, and c7i.xlarge, which comes closest, leaves 6484Mi memory; request less, or let the NodePool use larger instance types"
        ],
    );
    check(
        &Call::template("batch/CronJob", "shop", requesting("6485Mi")),
        &expect![
            "NeverSchedulable: cronjob shop/web: no node of workload type application can ever run it: spec.jobTemplate.spec.template.spec.containers[*].resources.requests: 6485Mi memory requested, and c7i.xlarge, which comes closest, leaves 6484Mi memory; request less, or let the NodePool use larger instance types"
        ],
    );
}

#[test]
fn labels_that_no_pool_of_the_type_can_give_are_refused() {
    check(&Call::deployment("shop", in_zone("b")), &expect!["admitted"]);
    check(
        &Call::deployment("shop", in_zone("f")),
        &expect![
            "NeverSchedulable: deployment shop/web: no node of workload type application can ever run it: spec.template.spec.nodeSelector or spec.template.spec.affinity.nodeAffinity: topology.kubernetes.io/zone In [f] is asked for, but the nodes have topology.kubernetes.io/zone In [a, b]; ask for a value that the nodes have, or let the NodePool allow it"
        ],
    );
    let zone = |zone: &str| json!({ "matchExpressions": [{ "key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone] }] });
    let required = |terms: Value| json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } });
    let mut spec = in_zone("a");
    spec["affinity"] = required(json!([zone("a"), zone("b")]));
    check(&Call::deployment("shop", spec.clone()), &expect!["admitted"]);
    spec["affinity"] = required(json!([zone("b")]));
    check(
        &Call::deployment("shop", spec.clone()),
        &expect![
            "NeverSchedulable: deployment shop/web: no node of workload type application can ever run it: spec.template.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: no term can match any node ([0]: its requirements on topology.kubernetes.io/zone contradict each other or those of the node selector); correct one of them, or remove the affinity"
        ],
    );
    // A term that only a newer API server understands is not ours to judge.
    spec["affinity"] =
        required(json!([{ "matchExpressions": [{ "key": "team", "operator": "StartsWith" }] }]));
    check(&Call::deployment("shop", spec), &expect!["admitted"]);
}

#[test]
fn only_what_a_person_writes_is_refused() {
    let large = || requesting("1Ti");
    let refused = [
        Call::pod("shop", large()),
        // An owner that manages nothing makes nothing anew.
        Call::pod("shop", large()).with(
            "/metadata/ownerReferences",
            json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "1" }]),
        ),
        Call::deployment("shop", large()),
        Call::template("apps/ReplicaSet", "shop", large()),
    ];
    let admitted = [
        Call::pod("shop", large())
            .with("/metadata/ownerReferences", json!([owner("apps/v1", "ReplicaSet", "web")])),
        Call::template("apps/ReplicaSet", "shop", large())
            .with("/metadata/ownerReferences", json!([owner("apps/v1", "Deployment", "web")])),
        Call::daemon_pod("shop", large()),
        Call::template("apps/DaemonSet", "shop", large()),
        Call::pod("plain", large()),
        Call::deployment("plain", large()),
        Call::deployment("kube-system", large()),
    ];
    let cases = refused.map(|call| (call, "NeverSchedulable")).into_iter();
    for (call, expected) in cases.chain(admitted.map(|call| (call, "admitted"))) {
        assert_eq!(world(&[]).outcome(&call), expected, "{call:?}");
    }
}

#[test]
fn nothing_is_refused_by_an_envelope_of_other_generations_or_by_none() {
    let call = Call::deployment("shop", requesting("1Ti"));
    assert_eq!(world(&[]).outcome(&call), "NeverSchedulable");
    for outdated in [[("WorkloadType", 2)], [("NodePool", 2)], [("EC2NodeClass", 2)], [("EC2NodeClass", 0)]] {
        assert_eq!(world(&outdated).outcome(&call), "admitted", "{outdated:?}");
    }
    assert_eq!(World::new().outcome(&call), "admitted");
}

#[test]
fn on_an_update_only_a_change_of_what_is_asked_for_counts() {
    let large = Call::deployment("shop", requesting("1Ti"));
    let memory = "/spec/template/spec/containers/0/resources/requests/memory";
    let zone = "/spec/template/spec/nodeSelector";
    let cases = [
        (large.clone().update("/spec/replicas", json!(3)), "admitted"),
        (large.clone().update("/spec/template/metadata/labels/app", json!("shop")), "admitted"),
        (large.clone().update(memory, json!("1024Gi")), "admitted"),
        (large.clone().update(memory, json!("2Ti")), "NeverSchedulable"),
        (large.update(zone, json!({ "topology.kubernetes.io/zone": "f" })), "NeverSchedulable"),
    ];
    for (call, expected) in cases {
        assert_eq!(world(&[]).outcome(&call), expected, "{call:?}");
    }
    let gated =
        Call::pod("shop", requesting("1Ti")).with("/spec/schedulingGates", json!([{ "name": "wait" }]));
    let created = world(&[]).send(&gated);
    assert!(!created.1.is_allowed(), "a gate does not make it fit");
    let released = gated.update("/spec/schedulingGates", json!([]));
    assert_eq!(world(&[]).outcome(&released), "NotInjected NeverSchedulable");
}

#[test]
fn what_cannot_be_read_is_left_to_the_api_server() {
    assert_eq!(world(&[]).outcome(&Call::deployment("shop", requesting("much"))), "admitted");
}

#[test]
fn what_no_node_is_launched_for_is_a_warning() {
    let selecting = |key: &str, value: &str| json!({ "containers": [], "nodeSelector": { key: value } });
    let mut world = world(&[]);
    let mut pools =
        ["application", "monitoring"].map(|name| node_pool(name, &format!("node-type={name}:NoSchedule")));
    pools[0].spec.template.spec.requirements = serde_json::from_value(json!([
        { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] },
        { "key": "disk", "operator": "In", "values": ["ssd"] },
    ]))
    .unwrap();
    let types = ["application", "monitoring"].map(|name| workload_type(name, name));
    world.policies = world.policies.next(inventory(&pools, &types), world.now);
    let check = |key: &str, value: &str, expected: &Expect| {
        expected.assert_eq(&show(&world.send(&Call::deployment("shop", selecting(key, value))).1));
    };
    check("disk", "ssd", &expect!["admitted"]);
    check("topology.kubernetes.io/zone", "z", &expect!["admitted"]);
    check("kubernetes.io/hostname", "node-1", &expect!["admitted"]);
    check("workload-type.node-restriction.kubernetes.io/application", "", &expect!["admitted"]);
    // Nodes have these by the time that pods can use them.
    check("karpenter.sh/registered", "true", &expect!["admitted"]);
    check("karpenter.sh/initialized", "true", &expect!["admitted"]);
    check(
        "karpenter.sh/initialized",
        "false",
        &expect![[r#"
        admitted
        Warning: deployment shop/web: no node is launched for it: karpenter.sh/initialized In [false] is asked for, but the nodes have karpenter.sh/initialized In [true]; ask for a value that the nodes have, or let the NodePool allow it"#]],
    );
    check(
        "karpenter.sh/capacity-type",
        "spot",
        &expect![[r#"
            admitted
            Warning: deployment shop/web: no node is launched for it: karpenter.sh/capacity-type In [spot] is asked for, but the nodes have karpenter.sh/capacity-type In [on-demand]; ask for a value that the nodes have, or let the NodePool allow it"#]],
    );
    check(
        "disks",
        "ssd",
        &expect![[r#"
            admitted
            Warning: deployment shop/web: no node is launched for it: disks In [ssd] is asked for, but the nodes do not have the label; did you mean disk?"#]],
    );
    check(
        "node-type",
        "application",
        &expect![[r#"
            admitted
            Warning: deployment shop/web: no node is launched for it: node-type In [application] is asked for, but the nodes do not have the label; add the label to the NodePool's template, or do not ask for it"#]],
    );
    check(
        "workload-type.node-restriction.kubernetes.io/monitoring",
        "",
        &expect![[r#"
            admitted
            Warning: deployment shop/web: no node is launched for it: workload-type.node-restriction.kubernetes.io/monitoring In [""] is asked for, but the nodes do not have the label; do not ask for it: Treenail gives it only to nodes of pools that WorkloadType monitoring names"#]],
    );
    check(
        "zone",
        "a",
        &expect![[r#"
        admitted
        Warning: deployment shop/web: no node is launched for it: zone In [a] is asked for, but the nodes do not have the label; did you mean topology.kubernetes.io/zone?"#]],
    );
    check(
        "topology.kubernetes.io/zon",
        "a",
        &expect![[r#"
        admitted
        Warning: deployment shop/web: no node is launched for it: topology.kubernetes.io/zon In [a] is asked for, but the nodes do not have the label; did you mean topology.kubernetes.io/zone?"#]],
    );
    // Only what is new is told, and pods of controllers are explained when they wait.
    let stored = Call::deployment("shop", selecting("disks", "ssd"));
    assert_eq!(show(&world.validate(&stored.update("/spec/replicas", json!(2)))), "admitted");
    let owned = Call::pod("shop", selecting("disks", "ssd"));
    let owned = owned.with("/metadata/ownerReferences", json!([owner("apps/v1", "ReplicaSet", "web")]));
    assert_eq!(world.send(&owned).1.warnings, Vec::<String>::new());
}

#[test]
fn a_resource_that_no_node_is_known_to_have_is_a_warning() {
    let requesting =
        |name: &str| json!({ "containers": [{ "name": "app", "resources": { "limits": { name: "1" } } }] });
    check(
        &Call::deployment("shop", requesting("nvidia.com/gpu")),
        &expect![[r#"
        admitted
        Warning: deployment shop/web: it requests nvidia.com/gpu, which no node of workload type application is known to have: it may never run"#]],
    );
    check(
        &Call::deployment("shop", requesting("hugepages-2Mi")),
        &expect![[r#"
            admitted
            Warning: deployment shop/web: it requests hugepages-2Mi, which no node of workload type application is known to have: it may never run; do not request huge pages: they need kernel settings in user data, which is not supported yet"#]],
    );
    for everywhere in ["cpu", "memory", "ephemeral-storage"] {
        check(&Call::deployment("shop", requesting(everywhere)), &expect!["admitted"]);
    }
    let unknown = world(&[("NodePool", 2)]).send(&Call::deployment("shop", requesting("nvidia.com/gpu"))).1;
    assert_eq!(show(&unknown), "admitted", "nothing is known of the nodes");
}

/// A pod with every constraint that is not solved yet, some of them twice.
fn constrained() -> Value {
    let near =
        |key: &str| json!({ "topologyKey": key, "labelSelector": { "matchLabels": { "app": "web" } } });
    let required = |terms: Value| json!({ "requiredDuringSchedulingIgnoredDuringExecution": terms });
    let spread =
        |key: &str, when: &str| json!({ "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when });
    json!({
        "containers": [],
        "affinity": {
            "podAffinity": required(json!([near("topology.kubernetes.io/zone")])),
            "podAntiAffinity": required(json!([near("kubernetes.io/hostname"), near("topology.kubernetes.io/zone")])),
        },
        "topologySpreadConstraints": [
            spread("kubernetes.io/hostname", "ScheduleAnyway"),
            spread("topology.kubernetes.io/zone", "DoNotSchedule"),
        ],
        "volumes": [
            { "name": "scratch", "emptyDir": {} },
            { "name": "data", "persistentVolumeClaim": { "claimName": "data" } },
            { "name": "more", "persistentVolumeClaim": { "claimName": "more" } },
        ],
        "resourceClaims": [{ "name": "gpu", "resourceClaimName": "gpu" }],
    })
}

#[test]
fn what_is_not_supported_yet_is_a_warning_once_for_each_kind() {
    check(
        &Call::deployment("shop", constrained()),
        &expect![[r#"
        admitted
        Warning: deployment shop/web: no node is launched for it: spec.template.spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution: not supported yet: required pod affinity over topology.kubernetes.io/zone; remove it, or make it preferredDuringSchedulingIgnoredDuringExecution
        Warning: deployment shop/web: no node is launched for it: spec.template.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution: not supported yet: required pod anti-affinity over kubernetes.io/hostname; remove it, or make it preferredDuringSchedulingIgnoredDuringExecution
        Warning: deployment shop/web: no node is launched for it: spec.template.spec.topologySpreadConstraints: not supported yet: required topology spread over topology.kubernetes.io/zone; remove it, or set whenUnsatisfiable to ScheduleAnyway
        Warning: deployment shop/web: no node is launched for it: spec.template.spec.volumes: not supported yet: persistent volume data; use an emptyDir if the data may go with the pod; else it runs only where a node that is there has room
        Warning: deployment shop/web: no node is launched for it: spec.template.spec.resourceClaims: not supported yet: resource claim gpu; request the device as a resource, such as nvidia.com/gpu, if its nodes offer it as one"#]],
    );
    let lone = json!({ "containers": [], "volumes": constrained()["volumes"] });
    check(
        &Call::pod("shop", lone.clone()),
        &expect![[r#"
        admitted
        Warning: pod shop/web: no node is launched for it: spec.volumes: not supported yet: persistent volume data; use an emptyDir if the data may go with the pod; else it runs only where a node that is there has room"#]],
    );
    let told = |call: &Call| {
        let warnings = world(&[]).send(call).1.warnings;
        warnings.into_iter().filter(|line| line.contains("not supported yet")).collect::<Vec<_>>()
    };
    let owned = Call::pod("shop", lone.clone());
    let owned = owned.with("/metadata/ownerReferences", json!([owner("apps/v1", "ReplicaSet", "web")]));
    let preferred = json!({ "containers": [], "affinity": { "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 1, "podAffinityTerm": {} }] } } });
    let untold = [
        owned,
        Call::pod("plain", lone.clone()),
        Call::deployment("plain", lone.clone()),
        Call::deployment("kube-system", lone.clone()),
        Call::template("apps/DaemonSet", "shop", lone),
        Call::deployment("shop", preferred),
    ];
    for call in untold {
        assert_eq!(told(&call), Vec::<String>::new(), "{call:?}");
    }
}

#[test]
fn the_volumes_that_a_stateful_set_claims_are_told_where_it_claims_them() {
    let claims = json!([{ "metadata": { "name": "data" } }, { "metadata": { "name": "log" } }]);
    let set = Call::template("apps/StatefulSet", "shop", json!({ "containers": [] }));
    check(
        &set.clone().with("/spec/volumeClaimTemplates", claims.clone()),
        &expect![[r#"
        admitted
        Warning: statefulset shop/web: no node is launched for it: spec.volumeClaimTemplates: not supported yet: persistent volume data; use an emptyDir if the data may go with the pod; else it runs only where a node that is there has room"#]],
    );
    let kept = set.with("/spec/volumeClaimTemplates", claims).update("/spec/replicas", json!(2));
    check(&kept, &expect!["admitted"]);
}

#[test]
fn only_what_an_update_adds_is_told_to_be_unsupported() {
    let stored = Call::deployment("shop", constrained());
    check(&stored.clone().update("/spec/replicas", json!(2)), &expect!["admitted"]);
    check(
        &stored.clone().update("/spec/template/spec/nodeSelector", json!({ "kubernetes.io/arch": "amd64" })),
        &expect!["admitted"],
    );
    let added = json!({ "name": "third", "persistentVolumeClaim": { "claimName": "third" } });
    check(
        &stored.update("/spec/template/spec/volumes/3", added),
        &expect![[r#"
        admitted
        Warning: deployment shop/web: no node is launched for it: spec.template.spec.volumes: not supported yet: persistent volume third; use an emptyDir if the data may go with the pod; else it runs only where a node that is there has room"#]],
    );
}

/// The same, where these instance types are known, and the pool has these requirements.
fn world_with_types(requirements: Value) -> World {
    let known = ["c7g.large", "c7g.xlarge", "c7i.large", "c7i.xlarge", "m5.large", "t4g.micro"];
    let mut world = World {
        policies: Policies::new(Settings {
            instance_types: Arc::new(known.map(str::to_owned).into()),
            ..Settings::default()
        }),
        ..world(&[])
    };
    let mut inventory = covered(&[]);
    let mut pool = node_pool("application", "node-type=application:NoSchedule");
    pool.metadata.generation = Some(1);
    pool.spec.template.spec.requirements = serde_json::from_value(requirements).unwrap();
    inventory.add_node_pool(&pool);
    world.policies = world.policies.next(inventory, world.now);
    world
}

fn of_types(types: &[&str]) -> Value {
    let expression = json!({ "key": "node.kubernetes.io/instance-type", "operator": "In", "values": types });
    let terms = json!([{ "matchExpressions": [expression] }]);
    json!({ "containers": [], "affinity": { "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } } })
}

#[test]
fn an_instance_type_of_an_architecture_that_no_node_has_is_refused() {
    // What the envelope's nodes are of decides, live ones included: not what the pool says.
    let world = world_with_types(json!([]));
    let told = |types: &[&str]| show(&world.send(&Call::deployment("shop", of_types(types))).1);
    expect!["NeverSchedulable: deployment shop/web: no node of workload type application can ever run it: spec.template.spec.nodeSelector or spec.template.spec.affinity.nodeAffinity: node.kubernetes.io/instance-type In [c7g.large, t4g.micro] is asked for, but the nodes have kubernetes.io/arch In [amd64]; ask for a value that the nodes have, or let the NodePool allow it"].assert_eq(&told(&["c7g.large", "t4g.micro"]));
    let selected =
        json!({ "containers": [], "nodeSelector": { "beta.kubernetes.io/instance-type": "c7g.large" } });
    expect!["NeverSchedulable: pod shop/web: no node of workload type application can ever run it: spec.nodeSelector or spec.affinity.nodeAffinity: node.kubernetes.io/instance-type In [c7g.large] is asked for, but the nodes have kubernetes.io/arch In [amd64]; ask for a value that the nodes have, or let the NodePool allow it"].assert_eq(&show(&world.send(&Call::pod("shop", selected)).1));
    for types in [&["c7g.large", "c7i.large"][..], &["c7g.large", "m5.large"], &["c7i.xlarge"]] {
        assert_eq!(told(types), "admitted", "{types:?}");
    }
    // Every term counts, and what is written there is what is said.
    let mut either = of_types(&["c7g.large"]);
    let terms = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let by_architecture = json!({ "matchExpressions": [{ "key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"] }] });
    either.pointer_mut(terms).unwrap().as_array_mut().unwrap().insert(0, by_architecture);
    expect!["NeverSchedulable: deployment shop/web: no node of workload type application can ever run it: spec.template.spec.nodeSelector or spec.template.spec.affinity.nodeAffinity: kubernetes.io/arch In [arm64] is asked for, but the nodes have kubernetes.io/arch In [amd64]; ask for a value that the nodes have, or let the NodePool allow it"].assert_eq(&show(&world.send(&Call::deployment("shop", either)).1));
    // One that is not known may be of any architecture.
    expect![[r#"
        admitted
        Warning: deployment shop/web: spec.template.spec.affinity.nodeAffinity: instance type c9g.large is not known (did you mean c7g.large?); nothing is launched by that name, unless EC2 has it"#]].assert_eq(&told(&["c7g.large", "c9g.large"]));
}

#[test]
fn an_instance_type_that_no_pool_launches_is_a_warning() {
    let world = world_with_types(json!([
        { "key": "karpenter.k8s.aws/instance-family", "operator": "In", "values": ["c7i"] },
    ]));
    let told = |types: &[&str]| show(&world.send(&Call::deployment("shop", of_types(types))).1);
    expect![[r#"
        admitted
        Warning: deployment shop/web: no node is launched for it: node.kubernetes.io/instance-type In [m5.large] is asked for, but the nodes have karpenter.k8s.aws/instance-family In [c7i]; ask for a value that the nodes have, or let the NodePool allow it"#]].assert_eq(&told(&["m5.large"]));
    for types in [&["m5.large", "c7i.large"][..], &["c7i.xlarge"]] {
        assert_eq!(told(types), "admitted", "{types:?}");
    }
    let newer = world_with_types(json!([
        { "key": "karpenter.k8s.aws/instance-generation", "operator": "Gt", "values": ["6"] },
    ]));
    expect![[r#"
        admitted
        Warning: deployment shop/web: no node is launched for it: node.kubernetes.io/instance-type In [m5.large] is asked for, but the nodes have karpenter.k8s.aws/instance-generation Exists >=7; ask for a value that the nodes have, or let the NodePool allow it"#]].assert_eq(&show(&newer.send(&Call::deployment("shop", of_types(&["m5.large"]))).1));
    let armed =
        world_with_types(json!([{ "key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"] }]));
    expect![[r#"
        admitted
        Warning: deployment shop/web: no node is launched for it: node.kubernetes.io/instance-type In [c7i.large] is asked for, but the nodes have kubernetes.io/arch In [arm64]; ask for a value that the nodes have, or let the NodePool allow it"#]].assert_eq(&show(&armed.send(&Call::deployment("shop", of_types(&["c7i.large"]))).1));
}

#[test]
fn an_instance_type_that_is_not_known_is_a_warning_with_the_nearest_name() {
    let world = world_with_types(json!([
        { "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["c7i.large"] },
    ]));
    expect![[r#"
        admitted
        Warning: deployment shop/web: spec.template.spec.affinity.nodeAffinity: instance type c7i.largee is not known (did you mean c7i.large?); nothing is launched by that name, unless EC2 has it"#]].assert_eq(&show(&world.send(&Call::deployment("shop", of_types(&["c7i.largee"]))).1));
    let selected =
        json!({ "containers": [], "nodeSelector": { "node.kubernetes.io/instance-type": "quantum.9" } });
    expect![[r#"
        admitted
        Warning: pod shop/web: spec.nodeSelector: instance type quantum.9 is not known; nothing is launched by that name, unless EC2 has it"#]].assert_eq(&show(&world.send(&Call::pod("shop", selected)).1));
    // Where no list is known, none is missing from it.
    let call = Call::deployment("shop", of_types(&["c7i.largee"]));
    check(&call, &expect!["admitted"]);
}
