use expect_test::{Expect, expect};
use serde_json::json;

use super::*;
use crate::model::testing::assert_in_troubleshooting;

/// A pool: `name: taint taint`. A type: `name < pool pool`. A node: `@pool taint taint`. What a type's status recorded: `name ! taint @pool`.
struct World {
    types: BTreeMap<String, WorkloadType>,
    pools: BTreeMap<String, Pool>,
    nodes: Vec<LaunchedNode>,
}

fn world(text: &str) -> World {
    let taints =
        |text: &str| text.split_whitespace().map(|taint| taint.parse().unwrap()).collect::<Vec<Taint>>();
    let mut world = World { types: BTreeMap::new(), pools: BTreeMap::new(), nodes: Vec::new() };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(node) = line.strip_prefix('@') {
            let (pool, rest) = node.split_once(' ').unwrap_or((node, ""));
            let name = format!("{pool}-{}", world.nodes.len());
            world.nodes.push(LaunchedNode {
                name,
                pool: pool.to_owned(),
                taints: taints(rest),
                unfenced: None,
            });
        } else if let Some((name, pools)) = line.split_once(" < ") {
            let pools = pools.split_whitespace().map(str::to_owned).collect();
            let workload_type = WorkloadType { name: name.to_owned(), pools, ..WorkloadType::default() };
            world.types.insert(name.to_owned(), workload_type);
        } else if let Some((name, recorded)) = line.split_once(" ! ") {
            let (taint, pool) = recorded.split_once(" @").unwrap();
            let recorded = &mut world.types.get_mut(name).unwrap().recorded;
            recorded.entry(taint.parse().unwrap()).or_default().insert(pool.to_owned());
        } else {
            let (name, rest) = line.split_once(':').unwrap();
            world.pools.insert(name.to_owned(), Pool { taints: taints(rest), ..Pool::default() });
        }
    }
    world
}

impl World {
    fn derive(&self, name: &str) -> Derivation {
        derive(&self.types[name], &Fleet { types: &self.types, pools: &self.pools, nodes: &self.nodes })
    }
}

fn check(text: &str, name: &str, expected: &Expect) {
    let Derivation { policy, owned, findings } = world(text).derive(name);
    let tolerations = policy.tolerations.iter().map(|taint| format!("tolerates {taint}\n"));
    let selector = policy.node_selector.iter().map(|(key, value)| format!("selects {key}={value:?}\n"));
    let owned = owned.iter().map(|(taint, pools)| {
        let pools: Vec<_> = pools.iter().map(String::as_str).collect();
        format!("owns {taint} on {}\n", pools.join(", "))
    });
    let findings = findings
        .iter()
        .map(|finding| format!("{} {}: {finding}\n", finding.kind.condition(), finding.kind.reason()));
    let shown: Vec<_> = tolerations.chain(selector).chain(owned).chain(findings).collect();
    expected.assert_eq(&shown.concat());
}

#[test]
fn tolerations_follow_the_order_of_pools_and_taints_and_are_exact() {
    check(
        "
        b: node-type=b:NoSchedule team=red:NoExecute
        a: node-type=a:NoSchedule team=red:NoExecute
        type < b a",
        "type",
        &expect![[r#"
            tolerates node-type=b:NoSchedule
            tolerates team=red:NoExecute
            tolerates node-type=a:NoSchedule
            selects workload-type.node-restriction.kubernetes.io/type=""
            owns node-type=a:NoSchedule on a
            owns node-type=b:NoSchedule on b
            owns team=red:NoExecute on a, b
        "#]],
    );
}

#[test]
fn taints_that_isolate_nobody_are_not_owned() {
    check(
        "
        p: node-type=p:PreferNoSchedule node.kubernetes.io/out-of-service:NoExecute karpenter.sh/x:NoSchedule \
           node.cloudprovider.kubernetes.io/shutdown:NoSchedule nvidia.com/gpu:NoSchedule readiness.k8s.io/x:NoSchedule
        type < p",
        "type",
        &expect![[r#"
            selects workload-type.node-restriction.kubernetes.io/type=""
            Isolated NodePoolOpen: NodePool p: has no taint that keeps other pods away; add one like node-type=p:NoSchedule to its spec.template.spec.taints
        "#]],
    );
}

#[test]
fn a_taint_stays_owned_while_a_node_that_was_launched_with_it_lives() {
    // The template's taint changed, and the type gave up a pool; nodes of both are left, of a third one none.
    let text = "
        p: node-type=new:NoSchedule
        type < p
        type ! node-type=old:NoSchedule @p
        type ! given-up=yes:NoSchedule @q
        type ! gone=yes:NoSchedule @r
        @p node-type=old:NoSchedule
        @q given-up=yes:NoSchedule node.kubernetes.io/not-ready:NoExecute
        @stranger other=yes:NoSchedule";
    check(
        text,
        "type",
        &expect![[r#"
            tolerates node-type=new:NoSchedule
            selects workload-type.node-restriction.kubernetes.io/type=""
            owns given-up=yes:NoSchedule on q
            owns node-type=new:NoSchedule on p
            owns node-type=old:NoSchedule on p
        "#]],
    );
}

#[test]
fn a_taint_on_a_pool_without_a_common_type_is_shared() {
    check(
        "
        p: node-type=a:NoSchedule
        q: node-type=a:NoSchedule
        r: node-type=a:NoSchedule
        s: node-type=a:NoExecute
        t: node-type=a:NoSchedule
        type < p q
        other < r s",
        "type",
        &expect![[r#"
            tolerates node-type=a:NoSchedule
            selects workload-type.node-restriction.kubernetes.io/type=""
            owns node-type=a:NoSchedule on p, q
            TaintShared TaintShared: NodePool p: has the taint node-type=a:NoSchedule, as NodePool r (and 1 more) has, and no type uses both; give each pool a taint of its own, or name both in one type
            TaintShared TaintShared: NodePool q: has the taint node-type=a:NoSchedule, as NodePool r (and 1 more) has, and no type uses both; give each pool a taint of its own, or name both in one type
        "#]],
    );
}

#[test]
fn types_that_share_a_pool_own_its_taints_together_and_share_nothing_wrongly() {
    let text = "
        p: node-type=a:NoSchedule
        one < p
        two < p";
    for name in ["one", "two"] {
        let derived = world(text).derive(name);
        assert_eq!(derived.owned.len(), 1, "{name}");
        assert_eq!(derived.findings, [], "{name}");
    }
}

#[test]
fn a_missing_pool_is_found_and_the_others_count() {
    check(
        "
        p: node-type=a:NoSchedule
        type < missing p",
        "type",
        &expect![[r#"
            tolerates node-type=a:NoSchedule
            selects workload-type.node-restriction.kubernetes.io/type=""
            owns node-type=a:NoSchedule on p
            PoolsReady NodePoolNotFound: NodePool missing: does not exist; create it, or take it out of spec.pools
        "#]],
    );
}

#[test]
fn a_pool_that_cannot_be_launched_from_keeps_its_taints_and_says_why() {
    let mut world = world("p: node-type=a:NoSchedule\ntype < p");
    world.pools.get_mut("p").unwrap().problems.push(Problem::new("spec.replicas", "is not supported yet"));
    let derived = world.derive("type");
    assert_eq!(derived.policy.tolerations.len(), 1);
    let shown: Vec<_> = derived.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["NodePool p: spec.replicas: is not supported yet; until then nothing is launched from it"]
    );
}

/// Every kind, in the order of the enum. The match makes sure that a new one is walked.
fn kind_after(kind: Option<FindingKind>) -> Option<FindingKind> {
    Some(match kind {
        None => FindingKind::Invalid,
        Some(FindingKind::Invalid) => FindingKind::PoolMissing,
        Some(FindingKind::PoolMissing) => FindingKind::PoolUnusable,
        Some(FindingKind::PoolUnusable) => FindingKind::PoolNotReady,
        Some(FindingKind::PoolNotReady) => FindingKind::PoolNotResolved,
        Some(FindingKind::PoolNotResolved) => FindingKind::PoolOpen,
        Some(FindingKind::PoolOpen) => FindingKind::NodesOpen,
        Some(FindingKind::NodesOpen) => FindingKind::NodesUnfenced,
        Some(FindingKind::NodesUnfenced) => FindingKind::TaintShared,
        Some(FindingKind::TaintShared) => return None,
    })
}

#[test]
fn every_finding_names_the_object_what_is_wrong_and_what_to_do() {
    let mut world = world(
        "
        unusable: node-type=a:NoSchedule
        unready: node-type=b:NoSchedule
        unresolved: node-type=c:NoSchedule
        open:
        shared: node-type=d:NoSchedule
        stranger: node-type=d:NoSchedule
        @open
        @unready node-type=old:NoSchedule
        @unready
        @unready example.com/starting:PreferNoSchedule
        @unready
        @unready
        type < missing unusable unready unresolved open shared",
    );
    let pool =
        |world: &mut World, name: &str, change: fn(&mut Pool)| change(world.pools.get_mut(name).unwrap());
    pool(&mut world, "unusable", |pool| {
        pool.problems.push(Problem::new("spec.weight", "is negative; use 1 to 100"));
    });
    pool(&mut world, "unready", |pool| {
        pool.readiness = Readiness::NotReady("EC2NodeClass default does not exist; create it".to_owned());
    });
    pool(&mut world, "unresolved", |pool| {
        pool.readiness = Readiness::Unknown("EC2NodeClass default is not resolved yet".to_owned());
    });
    let taint: Taint = "node-type=c:NoSchedule".parse().unwrap();
    world.nodes.extend((0..2).map(|number| LaunchedNode {
        name: "claim".to_owned(),
        pool: "unresolved".to_owned(),
        taints: vec![taint.clone()],
        unfenced: Some(Unfenced { node: format!("n{number}"), taint: taint.clone() }),
    }));
    let problem = Problem::new("spec.agents", "is not supported yet (agents of a type); remove it");
    world.types.get_mut("type").unwrap().problems.push(problem);
    let findings = world.derive("type").findings;
    let kinds: Vec<_> = std::iter::successors(kind_after(None), |kind| kind_after(Some(*kind))).collect();
    assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), kinds);
    for kind in &kinds {
        assert_in_troubleshooting(kind.reason());
    }
    let shown = findings
        .iter()
        .map(|found| format!("{} {}\n  {found}\n", found.kind.condition(), found.kind.reason()));
    expect![[r#"
        ValidationSucceeded Invalid
          WorkloadType type: spec.agents: is not supported yet (agents of a type); remove it; until then the type is closed
        PoolsReady NodePoolNotFound
          NodePool missing: does not exist; create it, or take it out of spec.pools
        PoolsReady NodePoolUnusable
          NodePool unusable: spec.weight: is negative; use 1 to 100; until then nothing is launched from it
        PoolsReady NodePoolNotReady
          NodePool unready: EC2NodeClass default does not exist; create it; until then nothing is launched from it
        PoolsReady NodePoolNotResolved
          NodePool unresolved: EC2NodeClass default is not resolved yet; until then nothing is launched from it
        Isolated NodePoolOpen
          NodePool open: has no taint that keeps other pods away; add one like node-type=open:NoSchedule to its spec.template.spec.taints
        Isolated NodesOpen
          NodePool unready: has nodes without a taint that keeps other pods away: unready-2, unready-3, unready-4 and 1 more; delete these NodeClaims; what replaces them has the taints of the pool
        Isolated NodesUnfenced
          NodePool unresolved: has Nodes on which a taint of it was taken off or changed: n0, n1; put it on again (kubectl taint node n0 node-type=c:NoSchedule --overwrite), or delete their NodeClaims
        TaintShared TaintShared
          NodePool shared: has the taint node-type=d:NoSchedule, as NodePool stranger has, and no type uses both; give each pool a taint of its own, or name both in one type
    "#]].assert_eq(&shown.collect::<String>());
}

#[test]
fn the_labels_of_types_that_karpenter_gives_are_empty_labels_of_the_template() {
    let key = labels::node_type_label;
    let object = json!({ "metadata": { "name": "p" }, "spec": { "template": {
        "metadata": { "labels": { key("labelled"): "", key("valued"): "true", "team": "" } },
        "spec": {
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
            "requirements": [{ "key": key("required"), "operator": "In", "values": [""] }],
        },
    } } });
    let read = Pool::read(&serde_json::from_value(object).unwrap());
    assert_eq!(read.labelled_for, ["labelled".to_owned()].into());
}

#[test]
fn what_a_pool_depends_on_is_told_unless_the_pool_itself_is_wrong() {
    let mut world = world("p: node-type=a:NoSchedule\ntype < p");
    let why = "EC2NodeClass default does not exist; create it";
    world.pools.get_mut("p").unwrap().readiness = Readiness::NotReady(why.to_owned());
    let shown = |world: &World| {
        let findings = world.derive("type").findings;
        findings.iter().map(|found| format!("{}: {found}", found.kind.reason())).collect::<Vec<_>>()
    };
    assert_eq!(
        shown(&world),
        [format!("NodePoolNotReady: NodePool p: {why}; until then nothing is launched from it")]
    );
    world.pools.get_mut("p").unwrap().problems.push(Problem::new("spec.replicas", "is not supported yet"));
    assert_eq!(
        shown(&world),
        [
            "NodePoolUnusable: NodePool p: spec.replicas: is not supported yet; until then nothing is launched from it"
        ]
    );
}

fn object(spec: serde_json::Value) -> api::WorkloadType {
    let object = json!({ "metadata": { "name": "type", "generation": 3 }, "spec": spec });
    serde_json::from_value(object).unwrap()
}

#[test]
fn every_problem_of_a_type_is_read_at_once() {
    let read = WorkloadType::read(&object(json!({
        "pools": [{ "name": "p" }, { "name": "" }, { "name": "p", "tenancy": "Team" }],
        "enforcement": "Warn",
    })));
    let shown: Vec<_> = read.problems.iter().map(|problem| format!("{problem}\n")).collect();
    expect![[r#"
        spec.pools[1].name: is empty; name a NodePool
        spec.pools[2].name: names the same pool again; remove it
        spec.enforcement: is not supported yet (enforcement other than Enforce); remove it
        spec.pools[2].tenancy: is not supported yet (nodes of one team or namespace); remove it
    "#]]
    .assert_eq(&shown.concat());
    assert_eq!(WorkloadType::read(&object(json!({ "pools": [] }))).problems.len(), 1);
    assert_eq!(WorkloadType::read(&object(json!({ "pools": [{ "name": "p" }] }))).problems, []);
}

#[test]
fn what_is_published_is_read_back() {
    let text = "
        p: node-type=a:NoSchedule flag:NoExecute
        q: node-type=b:NoSchedule
        type < p q";
    let derived = world(text).derive("type");
    let status =
        api::WorkloadTypeStatus { observed_generation: Some(3), nodes: Some(7), ..Default::default() };
    let status = derived.publish(status);
    assert_eq!(status.nodes, Some(7));
    let read = Published::read(&status);
    assert_eq!(read, Published { generation: 3, policy: Some(derived.policy), owned: derived.owned });
}

#[test]
fn a_status_that_does_not_select_publishes_no_policy() {
    assert_eq!(Published::read(&api::WorkloadTypeStatus::default()).policy, None);
}
