use expect_test::expect;
use serde_json::{Value, json};

use super::*;
use crate::api::conditions::{self, ConditionStatus};
use crate::api::nodepool::NodePool;
use crate::model::testing::nodes::{at, claim, fresh_node, labels_of, registered_node, taint};
use crate::model::workload_type::Readiness;

fn workload_type(name: &str, spec: Value, status: Value) -> api::WorkloadType {
    serde_json::from_value(json!({
        "apiVersion": "treenail.dev/v1alpha1", "kind": "WorkloadType",
        "metadata": { "name": name, "generation": 2, "creationTimestamp": at(0).to_string() },
        "spec": spec, "status": status,
    }))
    .unwrap()
}

fn pool(taints: &[&str]) -> Pool {
    let taints: Vec<_> = taints
        .iter()
        .map(|text| {
            let taint = taint(text);
            json!({ "key": taint.key, "value": taint.value, "effect": taint.effect.name() })
        })
        .collect();
    let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
    let spec =
        json!({ "template": { "spec": { "nodeClassRef": class, "requirements": [], "taints": taints } } });
    let object: NodePool = serde_json::from_value(json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "p" }, "spec": spec,
    }))
    .unwrap();
    Pool::read(&object)
}

/// The status of `object` among these pools and nodes, with two namespaces that name it.
fn status_of(
    object: &api::WorkloadType,
    pools: &[(&str, Pool)],
    nodes: &[LaunchedNode],
    remains: Option<&Remains>,
) -> WorkloadTypeStatus {
    let types = [("a".to_owned(), WorkloadType::read(object))].into();
    let pools = pools.iter().map(|(name, pool)| ((*name).to_owned(), pool.clone())).collect();
    let mut counts = Counts::default();
    counts.namespaces.insert("a".to_owned(), ["shop".to_owned(), "web".to_owned()].into());
    for node in nodes {
        *counts.nodes.entry(node.pool.clone()).or_default() += 1;
    }
    let fleet = Fleet { types: &types, pools: &pools, nodes };
    let (counts, envelope) = (&counts, &EnvelopeState::Unknown);
    status(object, &Surroundings { fleet: &fleet, counts, envelope, remains, left_to: None }, at(60))
}

/// Condition, status, reason; those that are well for no particular reason are left out.
fn shown(status: &WorkloadTypeStatus) -> Vec<String> {
    let conditions = status.conditions.iter().filter(|condition| {
        condition.reason != condition.type_
            || [api::TAINT_SHARED, api::DELETION_BLOCKED].contains(&condition.type_.as_str())
    });
    conditions
        .map(|condition| format!("{} {} {}", condition.type_, condition.status.as_str(), condition.reason))
        .collect()
}

fn taints_of(status: &WorkloadTypeStatus) -> Vec<String> {
    status.taints.iter().map(|taint| format!("{}={}:{}", taint.key, taint.value, taint.effect)).collect()
}

#[test]
fn conditions_say_what_is_wrong_and_how_much_depends_on_it() {
    let of = |spec: Value| workload_type("a", spec, json!(null));
    let fine = || ("p", pool(&["t=a:NoSchedule"]));
    let with = |readiness| Pool { readiness, ..fine().1 };
    let cases = [
        (json!({ "pools": [{ "name": "p" }] }), vec![fine()], &["TaintShared False NotShared"][..]),
        (
            json!({ "pools": [{ "name": "p" }, { "name": "gone" }] }),
            vec![fine()],
            &[
                "PoolsReady False NodePoolNotFound",
                "Ready False UnhealthyDependents",
                "TaintShared False NotShared",
            ],
        ),
        (
            json!({ "pools": [{ "name": "p" }] }),
            vec![("p", with(Readiness::NotReady("EC2NodeClass default: no subnet".to_owned())))],
            &[
                "PoolsReady False NodePoolNotReady",
                "Ready False UnhealthyDependents",
                "TaintShared False NotShared",
            ],
        ),
        (
            json!({ "pools": [{ "name": "p" }] }),
            vec![("p", with(Readiness::Unknown("EC2NodeClass default is not resolved yet".to_owned())))],
            &[
                "PoolsReady Unknown NodePoolNotResolved",
                "Ready Unknown ReconcilingDependents",
                "TaintShared False NotShared",
            ],
        ),
        (
            json!({ "pools": [{ "name": "p" }] }),
            vec![("p", pool(&[]))],
            &["Isolated False NodePoolOpen", "TaintShared False NotShared"],
        ),
        (
            json!({ "pools": [{ "name": "p" }] }),
            vec![fine(), ("q", pool(&["t=a:NoSchedule"]))],
            &["TaintShared True TaintShared"],
        ),
        (
            json!({ "pools": [{ "name": "p" }], "enforcement": "Audit" }),
            vec![fine()],
            &[
                "Ready False UnhealthyDependents",
                "TaintShared False NotShared",
                "ValidationSucceeded False Invalid",
            ],
        ),
    ];
    for (spec, pools, expected) in cases {
        let mut found = shown(&status_of(&of(spec.clone()), &pools, &[], None));
        found.sort();
        assert_eq!(found, expected, "{spec}");
    }
}

#[test]
fn what_is_wrong_is_seen_at_the_condition_ready_whatever_its_status() {
    let object = workload_type("a", json!({ "pools": [{ "name": "p" }] }), json!(null));
    let fenced = || pool(&["t=a:NoSchedule"]);
    let with = |readiness| Pool { readiness, ..fenced() };
    let open =
        LaunchedNode { name: "n".to_owned(), pool: "p".to_owned(), taints: Vec::new(), unfenced: None };
    let cases = [
        (vec![("p", fenced())], vec![], "True "),
        (
            vec![("p", pool(&[]))],
            vec![],
            "True Isolated=False: NodePool p: has no taint that keeps other pods away; add one like node-type=p:NoSchedule to its spec.template.spec.taints",
        ),
        (
            vec![("p", fenced())],
            vec![open],
            "True Isolated=False: NodePool p: has nodes without a taint that keeps other pods away: n; delete these NodeClaims; what replaces them has the taints of the pool",
        ),
        (
            vec![("p", fenced()), ("q", fenced())],
            vec![],
            "True TaintShared=True: NodePool p: has the taint t=a:NoSchedule, as NodePool q has, and no type uses both; give each pool a taint of its own, or name both in one type",
        ),
        (
            vec![("p", with(Readiness::Unknown("EC2NodeClass default is not resolved yet".to_owned())))],
            vec![],
            "Unknown PoolsReady=Unknown: NodePool p: EC2NodeClass default is not resolved yet; until then nothing is launched from it",
        ),
        (
            vec![],
            vec![],
            "False PoolsReady=False: NodePool p: does not exist; create it, or take it out of spec.pools",
        ),
    ];
    for (pools, nodes, expected) in cases {
        let status = status_of(&object, &pools, &nodes, None);
        let ready = conditions::find(&status.conditions, conditions::READY).unwrap();
        assert_eq!(format!("{} {}", ready.status.as_str(), ready.message), expected);
    }
}

#[test]
fn a_pool_that_several_types_name_is_isolated_and_says_who_shares_it() {
    let spec = json!({ "pools": [{ "name": "p" }, { "name": "own" }] });
    let object = workload_type("a", spec, json!(null));
    let other = |name: &str| WorkloadType {
        name: name.to_owned(),
        pools: vec!["p".to_owned()],
        ..WorkloadType::default()
    };
    let isolated = |others: &[&str]| {
        let types = others.iter().map(|name| ((*name).to_owned(), other(name)));
        let types = types.chain([("a".to_owned(), WorkloadType::read(&object))]).collect();
        let pools = ["p", "own"].map(|name| (name.to_owned(), pool(&["t=a:NoSchedule"]))).into();
        let fleet = Fleet { types: &types, pools: &pools, nodes: &[] };
        let (counts, envelope) = (&Counts::default(), &EnvelopeState::Unknown);
        let surroundings = Surroundings { fleet: &fleet, counts, envelope, remains: None, left_to: None };
        let status = status(&object, &surroundings, at(60));
        let isolated = conditions::find(&status.conditions, api::ISOLATED).unwrap();
        assert_eq!(isolated.status, ConditionStatus::True);
        assert!(conditions::find(&status.conditions, conditions::READY).unwrap().message.is_empty());
        isolated.message.clone()
    };
    assert_eq!(isolated(&[]), "");
    let told = |types: &str| {
        format!(
            "NodePool p: shared with {types}; to keep their pods apart, name a pool of its own in each type"
        )
    };
    assert_eq!(isolated(&["b"]), told("WorkloadType b"));
    assert_eq!(isolated(&["b", "c"]), told("WorkloadTypes b, c"));
}

#[test]
fn namespaces_and_nodes_are_counted_and_each_pool_says_whether_it_can_be_used() {
    let object = workload_type("a", json!({ "pools": [{ "name": "p" }, { "name": "gone" }] }), json!(null));
    let node = |pool: &str| LaunchedNode {
        name: "n".to_owned(),
        pool: pool.to_owned(),
        taints: vec![taint("t=a:NoSchedule")],
        unfenced: None,
    };
    let nodes = [node("p"), node("p"), node("gone"), node("somebody's")];
    let status = status_of(&object, &[("p", pool(&["t=a:NoSchedule"]))], &nodes, None);
    assert_eq!((status.namespaces, status.nodes, status.observed_generation), (Some(2), Some(3), Some(2)));
    let pools: Vec<_> = status
        .pools
        .iter()
        .map(|pool| (pool.name.as_str(), pool.ready, pool.message.as_str(), pool.nodes))
        .collect();
    assert_eq!(pools, [("p", true, "", Some(2)), ("gone", false, "does not exist", Some(1))]);
}

#[test]
fn a_former_taint_stays_owned_while_a_node_carries_it_with_or_without_its_claim() {
    let recorded = json!({ "taints": [
        { "key": "t", "value": "former", "effect": "NoSchedule", "pools": ["p"] },
        { "key": "t", "value": "gone", "effect": "NoSchedule", "pools": ["p"] },
    ] });
    let object = workload_type("a", json!({ "pools": [{ "name": "p" }] }), recorded);
    let types = [("a".to_owned(), WorkloadType::read(&object))].into();
    let mut node = registered_node();
    node.labels = labels_of(&[(labels::NODEPOOL, "p")]);
    node.taints = vec![taint("t=former:NoSchedule"), taint("maintenance=now:NoSchedule")];
    let stray = stray(&node, &types).unwrap();
    let status = status_of(&object, &[("p", pool(&["t=a:NoSchedule"]))], &[stray], None);
    assert_eq!(taints_of(&status), ["t=a:NoSchedule", "t=former:NoSchedule"]);
    assert_eq!(status.nodes, Some(1));
    let mut nobodys = fresh_node();
    nobodys.labels.clear();
    assert_eq!(super::stray(&nobodys, &types), None);
}

#[test]
fn a_type_that_cannot_be_read_keeps_all_that_was_published() {
    let published = json!({
        "tolerations": [{ "key": "t", "value": "a", "effect": "NoSchedule" }],
        "nodeSelector": { "workload-type.node-restriction.kubernetes.io/a": "" },
        "taints": [{ "key": "t", "value": "a", "effect": "NoSchedule", "pools": ["p"] }],
    });
    let mut object = workload_type("a", json!({ "pools": [] }), published);
    object.mark_unreadable("invalid type");
    let before = object.status.clone().unwrap();
    let status = status_of(&object, &[("p", pool(&["t=b:NoSchedule"]))], &[], None);
    assert_eq!(
        (&status.taints, &status.tolerations, &status.node_selector),
        (&before.taints, &before.tolerations, &before.node_selector)
    );
    assert!(shown(&status).contains(&"ValidationSucceeded False Invalid".to_owned()), "{:?}", shown(&status));
}

#[test]
fn a_type_that_is_being_deleted_is_published_on_and_says_what_it_waits_for() {
    let object = workload_type("a", json!({ "pools": [{ "name": "p" }] }), json!(null));
    let remains = Remains { namespaces: ["shop".to_owned()].into(), ..Remains::default() };
    let status = status_of(&object, &[("p", pool(&["t=a:NoSchedule"]))], &[], Some(&remains));
    assert_eq!(taints_of(&status), ["t=a:NoSchedule"]);
    assert!(shown(&status).contains(&"DeletionBlocked True InUse".to_owned()), "{:?}", shown(&status));
    let ready = conditions::find(&status.conditions, conditions::READY).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Deleting"));
    assert_eq!(
        ready.message,
        "it is being deleted: its rules stay in force while it is in use; to let it go, remove the label treenail.dev/workload-type from namespaces shop"
    );
    assert_eq!(
        status_of(&object, &[], &[], None)
            .conditions
            .iter()
            .find(|found| found.type_ == api::DELETION_BLOCKED),
        None
    );
}

fn object(status: Value) -> api::WorkloadType {
    serde_json::from_value(json!({
        "metadata": { "name": "application", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "pools": [{ "name": "large" }, { "name": "small" }] },
        "status": status,
    }))
    .unwrap()
}

fn envelope(generation: i64) -> api::Envelope {
    let object = api::ObservedObject { kind: "WorkloadType".into(), name: "application".into(), generation };
    api::Envelope { generations: vec![object], vectors: Vec::new() }
}

/// The status with these pools, nodes (by their pool, with a price) and counts.
fn decided(before: Value, pools: &[&str], counts: &Counts, envelope: &EnvelopeState) -> WorkloadTypeStatus {
    let taints = vec!["node-type=application:NoSchedule".parse().unwrap()];
    let pool = |name: &&str| ((*name).to_owned(), Pool { taints: taints.clone(), ..Pool::default() });
    let object = object(before);
    let types = [("application".to_owned(), WorkloadType::read(&object))].into();
    let pools = pools.iter().map(pool).collect();
    let fleet = Fleet { types: &types, pools: &pools, nodes: &[] };
    status(&object, &Surroundings { fleet: &fleet, counts, envelope, remains: None, left_to: None }, at(60))
}

#[test]
fn what_pods_get_and_what_there_is_are_told() {
    let counts = Counts {
        namespaces: [("application".to_owned(), ["shop".to_owned(), "web".to_owned()].into())].into(),
        nodes: [("large".to_owned(), 3), ("other".to_owned(), 7)].into(),
        costs: Costs::default(),
    };
    let status = decided(json!({}), &["large", "small"], &counts, &EnvelopeState::Unknown);
    assert_eq!((status.observed_generation, status.namespaces, status.nodes), (Some(3), Some(2), Some(3)));
    assert!(conditions::is_true(&status.conditions, conditions::READY), "{:?}", status.conditions);
    assert_eq!(status.taints.len(), 1);
    assert_eq!(status.taints[0].pools, ["large", "small"]);
    let pools: Vec<_> =
        status.pools.iter().map(|pool| (pool.name.as_str(), pool.ready, pool.nodes)).collect();
    assert_eq!(pools, [("large", true, Some(3)), ("small", true, Some(0))]);
}

#[test]
fn a_pool_that_is_missing_is_named_and_the_rest_stands() {
    let status = decided(json!({}), &["large"], &Counts::default(), &EnvelopeState::Unknown);
    let ready = conditions::find(&status.conditions, conditions::READY).unwrap();
    assert_eq!(ready.status, ConditionStatus::False);
    assert_eq!(
        ready.message,
        "PoolsReady=False: NodePool small: does not exist; create it, or take it out of spec.pools"
    );
    let [large, small] = status.pools.as_slice() else { panic!("{:?}", status.pools) };
    assert!(large.ready && !small.ready && small.message.contains("does not exist"), "{}", small.message);
    assert_eq!(status.tolerations.len(), 1);
}

#[test]
fn costs_are_told_where_every_price_is_known_and_stand_while_nobody_can_say() {
    let price = |text: &str| Cost::Known(text.parse::<Price>().unwrap());
    let mut costs = Costs::default();
    costs.add("large", price("0.1785"));
    costs.add("large", price("0.17856"));
    let told = |before: Value, costs: &Costs| {
        let counts = Counts { costs: costs.clone(), ..Counts::default() };
        let status = decided(before, &["large", "small"], &counts, &EnvelopeState::Unknown);
        let pools: Vec<_> =
            status.pools.iter().map(|pool| pool.hourly_cost.clone().unwrap_or_default()).collect();
        (status.hourly_cost.unwrap_or_default(), pools)
    };
    let of = |total: &str, pools: [&str; 2]| (total.to_owned(), pools.map(str::to_owned).to_vec());
    assert_eq!(told(json!({}), &costs), of("0.3571", ["0.3571", "0.0000"]));
    let before = json!({ "hourlyCost": "9.0000", "pools": [
        { "name": "large", "ready": true, "hourlyCost": "7.0000" }, { "name": "small", "ready": true, "hourlyCost": "2.0000" },
    ] });
    assert_eq!(told(before.clone(), &costs), of("0.3571", ["0.3571", "0.0000"]));
    costs.add("large", Cost::Unknown);
    assert_eq!(told(before.clone(), &costs), of("", ["", "0.0000"]));
    costs.add("small", Cost::Awaited);
    assert_eq!(
        told(before.clone(), &costs),
        of("9.0000", ["", "2.0000"]),
        "one pool is told without the other"
    );
    assert_eq!(told(before, &Costs::default()), of("0.0000", ["0.0000", "0.0000"]));
}

#[test]
fn an_envelope_stands_until_the_cloud_has_answered_and_goes_when_it_cannot_be_known() {
    let before = json!({ "envelope": envelope(2) });
    for (state, expected) in [
        (EnvelopeState::Awaited, Some(envelope(2))),
        (EnvelopeState::Unknown, None),
        (EnvelopeState::Known(envelope(3)), Some(envelope(3))),
    ] {
        let status = decided(before.clone(), &["large", "small"], &Counts::default(), &state);
        assert_eq!(status.envelope, expected, "{state:?}");
    }
}

#[test]
fn pools_that_are_left_to_karpenter_say_so_and_what_karpenter_needs_to_be_told() {
    let object = workload_type(
        "a",
        json!({ "pools": [{ "name": "p" }, { "name": "q" }, { "name": "r" }] }),
        json!(null),
    );
    let types = [("a".to_owned(), WorkloadType::read(&object))].into();
    let labelled = Pool { labelled_for: ["a".to_owned()].into(), ..pool(&["t=a:NoSchedule"]) };
    let pools = [("p".to_owned(), labelled), ("q".to_owned(), pool(&["t=a:NoSchedule"]))].into();
    let fleet = Fleet { types: &types, pools: &pools, nodes: &[] };
    let (counts, envelope) = (&Counts::default(), &EnvelopeState::Unknown);
    let pools = |left_to| {
        let surroundings = Surroundings { fleet: &fleet, counts, envelope, remains: None, left_to };
        let pools = status(&object, &surroundings, at(60)).pools.into_iter();
        let lines = pools.map(|pool| format!("{} {} {}", pool.name, pool.ready, pool.message));
        lines.collect::<Vec<_>>().join("\n")
    };
    expect![[r#"
        p true left alone: karpenter-7d9f holds the Lease karpenter-leader-election, so nodes of karpenter.k8s.aws classes are its business
        q true left alone: karpenter-7d9f holds the Lease karpenter-leader-election, so nodes of karpenter.k8s.aws classes are its business; pods find its nodes only once the NodePool has the label workload-type.node-restriction.kubernetes.io/a: "" in spec.template.metadata.labels
        r false does not exist; left alone: karpenter-7d9f holds the Lease karpenter-leader-election, so nodes of karpenter.k8s.aws classes are its business"#]].assert_eq(&pools(Some("karpenter-7d9f")));
    expect![[r#"
        p true 
        q true 
        r false does not exist"#]]
    .assert_eq(&pools(None));
}

#[test]
fn an_open_node_from_which_a_taint_was_taken_is_told_and_one_on_its_way_is_not() {
    let of = |claim: &NodeClaim, node: Option<&Node>| {
        let unfenced = launched(claim, node).unwrap().unfenced;
        unfenced.map(|found| format!("{} {}", found.node, found.taint))
    };
    let mut bare = registered_node();
    bare.taints.clear();
    let registered = claim().registered();
    assert_eq!(of(&registered, Some(&bare)).as_deref(), Some("n1 node-type=application:NoSchedule"));
    bare.taints = vec![taint("node-type=other:NoSchedule")];
    assert_eq!(of(&registered, Some(&bare)).as_deref(), Some("n1 node-type=application:NoSchedule"));
    assert_eq!(of(&registered, Some(&registered_node())), None);
    assert_eq!(of(&registered, None), None);
    let mut fresh = fresh_node();
    fresh.taints.retain(|taint| taint.key != "node-type");
    assert_eq!(of(&claim().launched(), Some(&fresh)), None);
}
