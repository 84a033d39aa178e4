use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::admission::policies::{Policies, Settings};
use crate::admission::testing::{Call, NOW, World, inventory, node_pool, show, workload_type};

fn check(call: &Call, expected: &Expect) {
    expected.assert_eq(&show(&World::new().validate(call)));
}

fn pool(name: &str, taint: &str) -> Call {
    let object = serde_json::to_value(node_pool(name, taint)).unwrap();
    Call::create("karpenter.sh/NodePool", "", object)
}

fn of_type(name: &str, spec: Value) -> Call {
    Call::create("treenail.dev/WorkloadType", "", json!({ "metadata": { "name": name }, "spec": spec }))
}

fn class(spec: Value) -> Call {
    let object = json!({ "metadata": { "name": "default" }, "spec": spec });
    Call::create("karpenter.k8s.aws/EC2NodeClass", "", object)
}

#[test]
fn a_type_that_can_be_carried_out_is_accepted() {
    check(&of_type("application", json!({ "pools": [{ "name": "application" }] })), &expect!["admitted"]);
}

#[test]
fn a_type_that_cannot_is_refused_with_every_reason() {
    let spec = json!({
        "pools": [{ "name": "application", "tenancy": "Team" }, { "name": "application" }],
        "enforcement": "Audit",
        "tolerations": [],
        "agents": [{ "namespace": "logging", "name": "agent" }],
    });
    check(
        &of_type("application", spec),
        &expect![[r#"
            InvalidField: workloadtype application: spec.pools[1].name: names the same pool again; remove it
            NotSupportedYet: workloadtype application: spec.agents is not supported yet (agents of a type); leave spec.agents out
            NotSupportedYet: workloadtype application: spec.enforcement is not supported yet (enforcement other than Enforce); leave spec.enforcement out
            NotSupportedYet: workloadtype application: spec.pools[0].tenancy is not supported yet (nodes of one team or namespace); leave spec.pools[0].tenancy out
            NotSupportedYet: workloadtype application: spec.tolerations is not supported yet (tolerations of your own: they are derived from the taints of the pools); leave spec.tolerations out"#]],
    );
}

#[test]
fn what_a_type_depends_on_is_a_warning() {
    check(
        &of_type("batch", json!({ "pools": [{ "name": "batch" }, { "name": "monitoring" }] })),
        &expect![[r#"
            admitted
            Warning: workloadtype batch: NodePool batch does not exist yet; it is used as soon as it does
            Warning: workloadtype batch: WorkloadType monitoring names NodePool monitoring, too: pods of both share its nodes"#]],
    );
    let open = World::of(inventory(&[node_pool("open", "")], &[]));
    let verdict = open.validate(&of_type("batch", json!({ "pools": [{ "name": "open" }] })));
    expect![[r#"
        admitted
        Warning: NodePool open: has no taint that keeps other pods away; add one like node-type=open:NoSchedule to its spec.template.spec.taints"#]].assert_eq(&show(&verdict));
}

#[test]
fn a_pool_is_refused_for_what_no_schema_can_say() {
    let taints =
        json!([{ "key": "a", "effect": "NoSchedule" }, { "key": "a", "value": "b", "effect": "NoSchedule" }]);
    check(
        &pool("p", "").with("/spec/template/spec/taints", taints),
        &expect![[r#"
            InvalidField: nodepool p: spec.template.spec.taints[1]: has the key and effect of another taint, a:NoSchedule; a node can carry one of them
            Warning: nodepool p: EC2NodeClass default does not exist yet; the pool is used as soon as it does"#]],
    );
    let requirements = json!([
        { "key": "karpenter.k8s.aws/instance-cpu", "operator": "Gt", "values": ["8"] },
        { "key": "karpenter.k8s.aws/instance-cpu", "operator": "Lt", "values": ["4"] },
    ]);
    check(
        &pool("p", "").with("/spec/template/spec/requirements", requirements),
        &expect![[r#"
            InvalidField: nodepool p: spec.template.spec.requirements: those on karpenter.k8s.aws/instance-cpu contradict each other, so that no node can meet them; remove all but one
            Warning: nodepool p: EC2NodeClass default does not exist yet; the pool is used as soon as it does"#]],
    );
}

#[test]
fn what_a_pool_depends_on_and_what_is_not_honoured_yet_are_warnings() {
    check(
        &pool("p", "a=b:NoSchedule")
            .with("/spec/replicas", json!(1))
            .with("/spec/template/spec/expireAfter", json!("24h")),
        &expect![[r#"
            admitted
            Warning: nodepool p: nothing is launched: spec.replicas: not supported yet: pools with a fixed number of nodes
            Warning: nodepool p: spec.template.spec.expireAfter: not supported yet: nodes are not replaced when they reach an age, as with Never
            Warning: nodepool p: EC2NodeClass default does not exist yet; the pool is used as soon as it does"#]],
    );
    // The pool of one type gets the taint of another's.
    check(
        &pool("application", "node-type=monitoring:NoSchedule"),
        &expect![[r#"
            admitted
            Warning: nodepool application: EC2NodeClass default does not exist yet; the pool is used as soon as it does
            Warning: NodePool application: has the taint node-type=monitoring:NoSchedule, as NodePool monitoring has, and no type uses both; give each pool a taint of its own, or name both in one type"#]],
    );
    check(
        &pool("stranger", "node-type=monitoring:NoSchedule"),
        &expect![[r#"
            admitted
            Warning: nodepool stranger: EC2NodeClass default does not exist yet; the pool is used as soon as it does
            Warning: NodePool stranger: has the taint node-type=monitoring:NoSchedule, as NodePool monitoring has, and no type uses both; give each pool a taint of its own, or name both in one type"#]],
    );
    // As long as no type uses one of them, pools may have the same taints.
    let unused = World::of(inventory(&[node_pool("a", "x=y:NoSchedule")], &[]));
    assert_eq!(unused.validate(&pool("b", "x=y:NoSchedule")).warnings.len(), 1);
}

#[test]
fn labels_of_workload_types_are_for_pools_that_the_types_name() {
    let labelled = |pool_name: &str, workload_type: &str, value: &str| {
        let labels = json!({ crate::api::labels::node_type_label(workload_type): value });
        pool(pool_name, "a=b:NoSchedule").with("/spec/template/metadata", json!({ "labels": labels }))
    };
    let required = pool("monitoring", "a=b:NoSchedule").with(
        "/spec/template/spec/requirements",
        json!([{ "key": crate::api::labels::node_type_label("monitoring"), "operator": "In", "values": [""] }]),
    );
    check(
        &labelled("monitoring", "monitoring", ""),
        &expect![[r#"
        admitted
        Warning: nodepool monitoring: EC2NodeClass default does not exist yet; the pool is used as soon as it does"#]],
    );
    check(
        &labelled("monitoring", "monitoring", "true"),
        &expect![[r#"
            admitted
            Warning: nodepool monitoring: EC2NodeClass default does not exist yet; the pool is used as soon as it does
            Warning: nodepool monitoring: spec.template.metadata.labels: nodes do not get the label of WorkloadType monitoring from this: Treenail gives it anyway, Karpenter only for an empty value in spec.template.metadata.labels"#]],
    );
    check(
        &required,
        &expect![[r#"
            admitted
            Warning: nodepool monitoring: EC2NodeClass default does not exist yet; the pool is used as soon as it does
            Warning: nodepool monitoring: spec.template.spec.requirements[0]: nodes do not get the label of WorkloadType monitoring from this: Treenail gives it anyway, Karpenter only for an empty value in spec.template.metadata.labels"#]],
    );
    check(
        &labelled("stranger", "monitoring", ""),
        &expect![[r#"
        admitted
        Warning: nodepool stranger: EC2NodeClass default does not exist yet; the pool is used as soon as it does
        Warning: nodepool stranger: spec.template.metadata.labels: WorkloadType monitoring does not name this pool, so nodes of Treenail do not get its label, and those of Karpenter should not; name the pool there, or leave the label out"#]],
    );
    check(
        &labelled("stranger", "monitorin", ""),
        &expect![[r#"
        admitted
        Warning: nodepool stranger: EC2NodeClass default does not exist yet; the pool is used as soon as it does
        Warning: nodepool stranger: spec.template.metadata.labels: WorkloadType monitorin does not exist yet (did you mean monitoring?), and its label is of use only once it names this pool"#]],
    );
}

#[test]
fn pools_of_other_providers_are_nobodys_business() {
    let foreign = pool("p", "a=b:NoSchedule").with("/spec/replicas", json!(1));
    check(
        &foreign.with("/spec/template/spec/nodeClassRef/group", json!("karpenter.azure.com")),
        &expect!["admitted"],
    );
}

#[test]
fn a_class_is_told_what_is_not_honoured_yet() {
    let spec = json!({
        "amiSelectorTerms": [{ "alias": "al2023@latest" }],
        "subnetSelectorTerms": [{ "id": "subnet-1" }],
        "securityGroupSelectorTerms": [{ "id": "sg-1" }],
        "role": "nodes",
    });
    check(&class(spec), &expect!["admitted"]);
    let spec = json!({
        "amiSelectorTerms": [{ "id": "ami-1" }],
        "subnetSelectorTerms": [{ "id": "subnet-1" }],
        "securityGroupSelectorTerms": [{ "id": "sg-1" }],
        "role": "nodes",
        "fieldOfTheFuture": true,
    });
    check(
        &class(spec),
        &expect![[r#"
        admitted
        Warning: ec2nodeclass default: nothing is launched: spec.amiSelectorTerms[0].id: not supported yet: images by id: use alias al2023@…
        Warning: ec2nodeclass default: nothing is launched: spec.fieldOfTheFuture: not supported yet: this version does not know the field"#]],
    );
}

#[test]
fn an_object_is_not_wedged_by_what_was_wrong_before() {
    let old = pool("application", "node-type=application:NoSchedule").with("/spec/weight", json!(-1));
    check(&old.clone().update("/metadata/finalizers", json!([])), &expect!["admitted"]);
    check(&old.clone().update("/status", json!({ "nodes": 1 })), &expect!["admitted"]);
    check(
        &old.clone().update("/spec/limits", json!({ "cpu": "10" })),
        &expect![[r#"
            admitted
            Warning: nodepool application: nothing is launched: spec.weight: is negative; use 1 to 100, or leave it out
            Warning: nodepool application: EC2NodeClass default does not exist yet; the pool is used as soon as it does"#]],
    );
    check(
        &old.update("/spec/limits", json!({ "cpu": "ten" })),
        &expect![[r#"
            InvalidField: nodepool application: spec.limits: resource cpu: quantity "ten" does not start with a number; write it like 500m, 1.5 or 2Gi
            Warning: nodepool application: nothing is launched: spec.weight: is negative; use 1 to 100, or leave it out
            Warning: nodepool application: EC2NodeClass default does not exist yet; the pool is used as soon as it does"#]],
    );

    let mut object = workload_type("application", "application");
    object.spec.enforcement = "Audit".into();
    let old = Call::create("treenail.dev/WorkloadType", "", serde_json::to_value(object).unwrap());
    check(&old.clone().update("/metadata/finalizers", json!([])), &expect!["admitted"]);
    check(
        &old.update("/spec/pools", json!([{ "name": "application" }, { "name": "monitoring" }])),
        &expect![[r#"
            admitted
            Warning: workloadtype application: nothing is launched: spec.enforcement is not supported yet (enforcement other than Enforce)
            Warning: workloadtype application: WorkloadType monitoring names NodePool monitoring, too: pods of both share its nodes"#]],
    );
}

#[test]
fn what_cannot_be_read_is_refused() {
    check(
        &of_type("a", json!({ "pools": "all" })),
        &expect![[
            r#"MalformedObject: workloadtype a: it cannot be read: invalid type: string "all", expected a sequence at line 1 column 46; send an object that the API server accepts"#
        ]],
    );
    check(
        &pool("p", "").with("/spec/template", Value::Null),
        &expect![
            "MalformedObject: nodepool p: it cannot be read: missing field `template` at line 1 column 183; send an object that the API server accepts"
        ],
    );
    check(
        &class(json!([])),
        &expect![
            "MalformedObject: ec2nodeclass default: it cannot be read: invalid length 0, expected struct Ec2NodeClassSpec with 21 elements at line 1 co…; send an object that the API server accepts"
        ],
    );
}

#[test]
fn metadata_of_a_type_that_cannot_be_read_can_be_changed_and_its_spec_only_for_the_better() {
    let unreadable = json!({ "pools": [{ "name": "application" }], "agents": 7 });
    let stored = of_type("application", unreadable);
    let finalized = json!({ "name": "application", "finalizers": [] });
    check(&stored.clone().update("/metadata", finalized), &expect!["admitted"]);
    let mended = json!({ "pools": [{ "name": "application" }] });
    check(&stored.clone().update("/spec", mended), &expect!["admitted"]);
    let verdict = World::new().validate(&stored.update("/spec/agents", json!(8)));
    assert!(!verdict.is_allowed());
}

#[test]
fn defaults_that_nobody_wrote_are_no_warning() {
    let defaults = pool("p", "a=b:NoSchedule")
        .with("/spec/template/spec/expireAfter", json!("720h"))
        .with("/spec/disruption/consolidationPolicy", json!("WhenEmptyOrUnderutilized"));
    check(
        &defaults,
        &expect![[r#"
        admitted
        Warning: nodepool p: EC2NodeClass default does not exist yet; the pool is used as soon as it does"#]],
    );
}

#[test]
fn a_pool_of_a_type_that_keeps_nobody_away_is_told() {
    check(
        &pool("application", ""),
        &expect![[r#"
            admitted
            Warning: nodepool application: EC2NodeClass default does not exist yet; the pool is used as soon as it does
            Warning: nodepool application: no taint of it keeps other pods away, so it isolates nobody, and WorkloadType application names it; give it node-type=application:NoSchedule in spec.template.spec.taints"#]],
    );
    check(
        &pool("application", "nvidia.com/gpu:NoSchedule"),
        &expect![[r#"
            admitted
            Warning: nodepool application: EC2NodeClass default does not exist yet; the pool is used as soon as it does
            Warning: nodepool application: no taint of it keeps other pods away, so it isolates nobody, and WorkloadType application names it; give it node-type=application:NoSchedule in spec.template.spec.taints"#]],
    );
    let fenced = pool("application", "team=red:NoExecute");
    check(
        &fenced.clone().update("/spec/template/spec/taints", json!([])),
        &expect![[r#"
            admitted
            Warning: nodepool application: EC2NodeClass default does not exist yet; the pool is used as soon as it does
            Warning: nodepool application: no taint of it keeps other pods away, so it isolates nobody, and WorkloadType application names it; give it team=red:NoExecute in spec.template.spec.taints"#]],
    );
    // Without a type there is nobody to isolate.
    assert_eq!(World::new().validate(&pool("of-no-type", "")).warnings.len(), 1);
}

#[test]
fn an_instance_type_that_is_not_known_is_named_with_the_nearest_one() {
    let known = ["c7i.large", "c7i.xlarge", "m5a.large"].map(str::to_owned);
    let settings = Settings { instance_types: std::sync::Arc::new(known.into()), ..Settings::default() };
    let mut world = World::new();
    world.policies = Policies::new(settings).next(inventory(&[], &[]), NOW);
    let entry = |key: &str, operator: &str, values: &[&str]| json!({ "key": key, "operator": operator, "values": values });
    let requirements = json!([
        entry("node.kubernetes.io/instance-type", "In", &["c7i.xlarge", "c7i.xlargee", "quantum.huge"]),
        entry("karpenter.k8s.aws/instance-family", "In", &["c7i", "m5"]),
        entry("node.kubernetes.io/instance-type", "NotIn", &["old.one"]),
        entry("kubernetes.io/arch", "In", &["amd64"]),
    ]);
    let call = pool("p", "a=b:NoSchedule").with("/spec/template/spec/requirements", requirements);
    expect![[r#"
        admitted
        Warning: nodepool p: EC2NodeClass default does not exist yet; the pool is used as soon as it does
        Warning: nodepool p: spec.template.spec.requirements[0]: instance type c7i.xlargee is not known (did you mean c7i.xlarge?); nothing is launched by that name, unless EC2 has it
        Warning: nodepool p: spec.template.spec.requirements[0]: instance type quantum.huge is not known; nothing is launched by that name, unless EC2 has it
        Warning: nodepool p: spec.template.spec.requirements[1]: instance type m5 is not known (did you mean m5a?); nothing is launched by that name, unless EC2 has it"#]].assert_eq(&show(&world.validate(&call)));
}

#[test]
fn a_limit_on_what_no_node_has_is_told() {
    let limits =
        json!({ "cpu": "10", "nvidia.com/gpu": "4", "hugepages-2Mi": "1Gi", "nodes": "3", "gpu": "4" });
    let mut call = pool("p", "a=b:NoSchedule").with("/spec/limits", limits);
    call = call.with("/spec/template/spec/nodeClassRef/group", json!("treenail.dev"));
    let verdict = World::new().validate(&call);
    expect!["nodepool p: spec.limits[gpu] limits nothing; use cpu, memory, ephemeral-storage, pods, nodes, or an extended resource such as nvidia.com/gpu"].assert_eq(verdict.warnings.last().unwrap());
}

#[test]
fn a_requirement_on_a_label_that_looks_like_a_well_known_one_is_a_warning() {
    let told = |key: &str| {
        let requirements = json!([
            { "key": "team", "operator": "In", "values": ["a"] },
            { "key": key, "operator": "In", "values": ["b"] },
        ]);
        let call = pool("p", "a=b:NoSchedule").with("/spec/template/spec/requirements", requirements);
        let verdict = World::new().validate(&call);
        assert!(verdict.is_allowed(), "{key}");
        verdict
            .warnings
            .into_iter()
            .filter(|line| line.contains("requirements"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    expect!["nodepool p: spec.template.spec.requirements[1].key: topology.kubernetes.io/zon is a label of its own and constrains no instance type; did you mean topology.kubernetes.io/zone?"].assert_eq(&told("topology.kubernetes.io/zon"));
    expect!["nodepool p: spec.template.spec.requirements[1].key: arch is a label of its own and constrains no instance type; did you mean kubernetes.io/arch?"].assert_eq(&told("arch"));
    for custom in ["disk", "example.com/zone", "topology.kubernetes.io/rack", "topology.kubernetes.io/zone"] {
        assert_eq!(told(custom), "", "{custom}");
    }
}

#[test]
fn a_type_is_told_which_others_share_the_nodes_of_its_pools() {
    let pools = ["a", "b", "c"].map(|name| node_pool(name, &format!("node-type={name}:NoSchedule")));
    let types = ["one", "two", "three", "four"].map(|name| workload_type(name, "a"));
    let mut inventory = inventory(&pools, &[&types[..], &[workload_type("five", "b")]].concat());
    inventory.add_workload_type(&workload_type("new", "c"));
    let world = World::of(inventory);
    let told = |names: &[&str]| {
        let pools: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
        show(&world.validate(&of_type("new", json!({ "pools": pools }))))
    };
    expect![[r#"
        admitted
        Warning: workloadtype new: WorkloadTypes four, one, three and 1 more name NodePool a, too: pods of all of them share its nodes
        Warning: workloadtype new: WorkloadType five names NodePool b, too: pods of both share its nodes"#]].assert_eq(&told(&["a", "b", "c"]));
    // The type itself, as it was before, does not count.
    expect!["admitted"].assert_eq(&told(&["c"]));
}
