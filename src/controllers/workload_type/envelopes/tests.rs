use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::controllers::catalogs::KnownTypes;
use crate::model::instance_type::{CapacityType, MachineResources, Offering, Overhead};
use crate::model::testing::{requirements, resource_list};
use crate::model::{InstanceType, Namespace};

fn instance_type(name: &str, amounts: &str, price: &str) -> InstanceType {
    let offering = |zone: &str| Offering {
        zone: zone.to_owned(),
        capacity_type: CapacityType::OnDemand,
        labels: BTreeMap::new(),
        price: price.parse().unwrap(),
        is_available: false,
    };
    InstanceType {
        name: name.to_owned(),
        requirements: requirements(&format!(
            "node.kubernetes.io/instance-type In {name}, kubernetes.io/arch In amd64, topology.kubernetes.io/zone In a b"
        )),
        resources: MachineResources::new(resource_list(amounts), Overhead::default()),
        offerings: vec![offering("a"), offering("b")],
    }
}

fn catalogs(generation: i64) -> BTreeMap<String, ClassTypes> {
    let types = [
        instance_type("large", "cpu=4 memory=8Gi pods=20", "0.2"),
        instance_type("small", "cpu=2 memory=4Gi pods=20", "0.1"),
    ];
    [("default".to_owned(), ClassTypes::Known(KnownTypes::of(generation, types.into())))].into()
}

fn pool(name: &str, requirements: &Value) -> Arc<ApiNodePool> {
    let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
    let template = json!({ "nodeClassRef": class, "requirements": requirements, "expireAfter": "Never" });
    let object = json!({
        "metadata": { "name": name, "generation": 4 },
        "spec": { "template": { "spec": template }, "disruption": { "consolidationPolicy": "WhenEmpty" } },
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn types() -> BTreeMap<String, WorkloadType> {
    let workload_type =
        WorkloadType { name: "t".into(), generation: 3, pools: vec!["p".into()], ..WorkloadType::default() };
    [("t".to_owned(), workload_type)].into()
}

fn node(amounts: &str) -> Node {
    let labels = [
        (labels::NODEPOOL, "p"),
        (labels::ARCH, "amd64"),
        (labels::ZONE, "a"),
        (labels::INSTANCE_TYPE, "huge"),
    ];
    Node {
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        allocatable: resource_list(amounts),
        ..Node::default()
    }
}

/// The state of the envelope, and its vectors as `type: memory`.
fn shown(pools: &[Arc<ApiNodePool>], catalogs: &BTreeMap<String, ClassTypes>, nodes: &[Node]) -> String {
    let types = types();
    let nodes: Vec<_> = nodes.iter().collect();
    let ingredients = Ingredients { types: &types, pools, catalogs, nodes: &nodes, daemons: &[] };
    match envelopes(&ingredients).remove("t").unwrap() {
        EnvelopeState::Awaited => "awaited".to_owned(),
        EnvelopeState::Unknown => "unknown".to_owned(),
        EnvelopeState::Known(envelope) => {
            let observed = envelope.generations.iter();
            let observed =
                observed.map(|object| format!("{}/{}@{}", object.kind, object.name, object.generation));
            let vectors = envelope.vectors.iter();
            let vectors =
                vectors.map(|vector| format!("{}: {}", vector.instance_type, vector.allocatable["memory"].0));
            observed.chain(vectors).collect::<Vec<_>>().join(" ")
        }
    }
}

#[test]
fn an_envelope_names_what_it_was_computed_from_and_what_is_not_known_is_not_guessed() {
    let any = json!([]);
    let from = "EC2NodeClass/default@5 NodePool/p@4 WorkloadType/t@3";
    assert_eq!(shown(&[pool("p", &any)], &catalogs(5), &[]), format!("{from} large: 8Gi"));
    let only_small =
        json!([{ "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["small"] }]);
    assert_eq!(shown(&[pool("p", &only_small)], &catalogs(5), &[]), format!("{from} small: 4Gi"));
    assert_eq!(shown(&[pool("q", &any)], &catalogs(5), &[]), "unknown");
    assert_eq!(shown(&[pool("p", &any)], &BTreeMap::new(), &[]), "awaited");
    let unknown = [("default".to_owned(), ClassTypes::Unknown)].into();
    assert_eq!(shown(&[pool("p", &any)], &unknown, &[]), "unknown");
    let mut foreign = ApiNodePool::clone(&pool("p", &any));
    foreign.spec.template.spec.node_class_ref.group = "karpenter.azure.com".to_owned();
    assert_eq!(shown(&[Arc::new(foreign)], &catalogs(5), &[]), "unknown");
    let unusable = json!([{ "key": "kubernetes.io/arch", "operator": "Gt", "values": ["many"] }]);
    assert_eq!(shown(&[pool("p", &unusable)], &catalogs(5), &[]), "unknown");
}

#[test]
fn a_node_that_holds_more_counts_until_it_is_given_up() {
    let any = [pool("p", &json!([]))];
    let huge = || node("cpu=8 memory=16Gi pods=20");
    let with = |node: Node| shown(&any, &catalogs(5), &[node]).rsplit("@3 ").next().unwrap().to_owned();
    assert_eq!(with(huge()), "huge: 16Gi large: 8Gi");
    assert_eq!(with(Node { is_deleting: true, ..huge() }), "large: 8Gi");
    assert_eq!(with(Node { taints: vec![crate::model::node::disrupted_taint()], ..huge() }), "large: 8Gi");
    assert_eq!(with(node("")), "large: 8Gi");
}

#[test]
fn only_what_an_envelope_depends_on_makes_a_difference() {
    let node = node("cpu=8");
    let reported = Node { is_ready: true, object: crate::model::testing::nodes::object("n"), ..node.clone() };
    assert!(is_alike(&node, &reported));
    let ephemeral =
        Node { taints: vec!["node.kubernetes.io/not-ready:NoExecute".parse().unwrap()], ..node.clone() };
    assert!(is_alike(&node, &ephemeral));
    for other in [
        Node { is_deleting: true, ..node.clone() },
        Node { allocatable: resource_list("cpu=7"), ..node.clone() },
        Node { taints: vec!["team=a:NoSchedule".parse().unwrap()], ..node.clone() },
        Node { labels: BTreeMap::new(), ..node.clone() },
    ] {
        assert!(!is_alike(&node, &other), "{other:?}");
    }
}

#[test]
fn instances_cost_what_their_labels_say_that_they_are() {
    let claim = |class: &str, instance_type: &str, zone: &str| {
        let labels = [
            (labels::NODEPOOL, "p"),
            (labels::INSTANCE_TYPE, instance_type),
            (labels::ZONE, zone),
            (labels::CAPACITY_TYPE, "on-demand"),
        ];
        let object = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": { "name": "c", "labels": labels.map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into_iter().collect::<BTreeMap<_, _>>() },
            "spec": { "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": class }, "requirements": [] },
            "status": { "providerID": "aws:///a/i-1" },
        });
        NodeClaim::read(&serde_json::from_value(object).unwrap(), Timestamp::UNIX_EPOCH)
    };
    let sum = |all: &[Cost]| {
        let mut costs = Costs::default();
        for cost in all {
            costs.add("p", *cost);
        }
        costs
    };
    let known = Cost::Known("0.3".parse().unwrap());
    let on_its_way = NodeClaim { provider_id: None, ..claim("default", "large", "a") };
    let (large, new) = (claim("default", "large", "a"), claim("new", "small", "a"));
    let cases: [(&str, Vec<NodeClaim>, Costs); 6] = [
        ("none", vec![on_its_way], sum(&[])),
        ("two", vec![large.clone(), claim("default", "small", "b")], sum(&[known])),
        ("a type that is gone", vec![claim("default", "old", "a")], sum(&[Cost::Unknown])),
        ("a zone that is gone", vec![claim("default", "small", "z")], sum(&[Cost::Unknown])),
        ("a class that nobody has answered for", vec![large, new.clone()], sum(&[Cost::Awaited])),
        ("that alone", vec![new], sum(&[Cost::Awaited])),
    ];
    for (name, claims, expected) in cases {
        assert_eq!(costs(&claims, &catalogs(5)), expected, "{name}");
    }
}

/// A DaemonSet that anybody has made, and that admission keeps off the nodes of the type.
#[test]
fn a_daemon_without_a_right_to_the_nodes_makes_no_envelope_smaller() {
    let mut fenced = ApiNodePool::clone(&pool("p", &json!([])));
    let taint = json!([{ "key": "node-type", "value": "t", "effect": "NoSchedule" }]);
    fenced.spec.template.spec.taints = serde_json::from_value(taint).unwrap();
    let template = json!({ "spec": {
        "tolerations": [{ "operator": "Exists" }],
        "containers": [{ "name": "c", "resources": { "requests": { "memory": "3Gi" } } }],
    }});
    let memory = |namespace: &str| {
        let template = serde_json::from_value(template.clone()).unwrap();
        let pod = crate::model::Pod::from_template(namespace, &template).unwrap();
        let mut types = types();
        let owned = crate::model::testing::nodes::taint("node-type=t:NoSchedule");
        types.get_mut("t").unwrap().recorded = [(owned, ["p".to_owned()].into())].into();
        let namespace = |name: &str| match name {
            "shop" => Namespace::Typed("t".to_owned()),
            "kube-system" => Namespace::Exempt,
            _ => Namespace::Typeless,
        };
        let daemons = crate::controllers::daemons::daemons([&pod], types.values(), namespace);
        let pools = [Arc::new(fenced.clone())];
        let ingredients = Ingredients {
            types: &types,
            pools: &pools,
            catalogs: &catalogs(5),
            nodes: &[],
            daemons: &daemons,
        };
        match envelopes(&ingredients).remove("t").unwrap() {
            EnvelopeState::Known(envelope) => envelope.vectors[0].allocatable["memory"].0.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(memory("shop"), "5Gi");
    assert_eq!(memory("kube-system"), "5Gi");
    assert_eq!(memory("anybodys"), "8Gi");
}
