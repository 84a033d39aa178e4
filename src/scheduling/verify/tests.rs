#![expect(
    clippy::needless_raw_string_hashes,
    reason = "expect-test writes them when it updates a golden text"
)]

use expect_test::{Expect, expect};

use super::{
    super::{
        InstanceOption, Unschedulable,
        testing::{problem, solved},
    },
    *,
};
use crate::model::{Reason, ResourceList, testing::requirements};

const PROBLEM: &str = "
    type s cpu=4 memory=8Gi pods=10; offer a on-demand 0.1; offer b spot 0.1; labels size In small
    type m cpu=8 memory=16Gi pods=10; price 0.2; labels size In medium
    type xl cpu=64 memory=1Gi pods=10; price 3; labels size In large
    pool general; taint team=a:NoSchedule; limits cpu=12; requires tier Exists
    pool other; weight 1; taint other:NoSchedule
    pool owned
    pool sick; not-ready because
    workload owner owned
    daemon agent cpu=500m; tolerate everything; port 90
    node n cpu=4 memory=8Gi pods=10; used cpu=1; labels team=a; taint team=a:NoSchedule; port 70
    node full cpu=1 memory=8Gi pods=10; labels team=a
    pod a cpu=2500m; tolerate team=a:NoSchedule; wants size In small, tier In gold; port 80
    pod b cpu=2; tolerate team=a:NoSchedule; wants team In a; port 81
    pod c cpu=1; tolerate nothing:NoSchedule
    pod d cpu=1; spread";

/// Changes the right plan and shows what is found.
#[track_caller]
fn check(change: impl Fn(&mut Plan), expected: &Expect) {
    let problem = problem(PROBLEM);
    let mut plan = solved(&problem);
    change(&mut plan);
    let shown: Vec<_> = verify(&problem, &plan).iter().map(|violation| format!("{violation}\n")).collect();
    expected.assert_eq(&shown.concat());
}

fn key(name: &str) -> PodKey {
    PodKey { namespace: "default".into(), name: name.into() }
}

#[test]
fn the_plan_that_is_changed_here_is_right() {
    check(|_| {}, &expect![[""]]);
    expect![[r#"
        claim of pool general: s at $0.10/h, 1 pod, requests 3 cpu, 2 pods
        node n: 1 pod
        no node for pod default/c
          pool other: spec.tolerations: the taint other:NoSchedule is not tolerated; tolerate it if the pod belongs there, or select other nodes
          pool sick: no node of the pool may be launched: because; as soon as that is corrected, nodes are launched from it
          pool general: spec.tolerations: the taint team=a:NoSchedule is not tolerated; tolerate it if the pod belongs there, or select other nodes
        no node for pod default/d
          spec.topologySpreadConstraints: not supported yet: required topology spread over topology.kubernetes.io/zone; remove it, or set whenUnsatisfiable to ScheduleAnyway
        price $0.10/h
    "#]].assert_eq(&solved(&problem(PROBLEM)).to_string());
}

#[test]
fn every_pod_is_named_once() {
    check(
        |plan| plan.claims[0].pods.clear(),
        &expect![[r#"
        default/a is forgotten
    "#]],
    );
    check(
        |plan| plan.nominations[0].pods.push(key("b")),
        &expect![[r#"
        default/b is named 2 times
        node n: pods and daemons do not fit: needs 5500m cpu, has 4
        node n: TCP 81 is wanted twice
    "#]],
    );
    check(
        |plan| plan.nominations[0].pods.push(key("x")),
        &expect![[r#"
        default/x does not wait for a node
    "#]],
    );
    check(
        |plan| plan.unschedulable[0].reasons.clear(),
        &expect![[r#"
        default/c gets no node and no reason
    "#]],
    );
}

#[test]
fn pods_that_are_not_understood_are_not_placed() {
    check(
        |plan| {
            plan.unschedulable.retain(|left_out| left_out.pod != key("d"));
            plan.nominations[0].pods.push(key("d"));
        },
        &expect![[r#"
            default/d is placed, and has a constraint that is not supported
            node n: default/d does not tolerate team=a:NoSchedule
            node n: pods and daemons do not fit: needs 4500m cpu, has 4
        "#]],
    );
}

#[test]
fn claims_are_of_pools_that_their_pods_may_use() {
    check(
        |plan| plan.claims[0].pool = "sick".into(),
        &expect![[r#"
        claim 0 of pool sick: no node of the pool may be launched
    "#]],
    );
    check(
        |plan| plan.claims[0].pool = "owned".into(),
        &expect![[r#"
            claim 0 of pool owned: default/a may not use the pool
            claim 0 of pool owned: its taints are not those of the pool
            claim 0 of pool owned: it does not keep to the pool's requirement karpenter.sh/nodepool In [owned]
            claim 0 of pool owned: it does not keep to the pool's requirement workload-type.node-restriction.kubernetes.io/owner In [""]
        "#]],
    );
}

#[test]
fn claims_are_what_their_pool_says() {
    check(
        |plan| plan.claims[0].taints.clear(),
        &expect![[r#"
        claim 0 of pool general: its taints are not those of the pool
    "#]],
    );
    check(
        |plan| drop(plan.claims[0].requirements.remove("tier")),
        &expect![[r#"
        claim 0 of pool general: it does not keep to the pool's requirement tier Exists
    "#]],
    );
    check(
        |plan| plan.claims[0].requirements = requirements("tier DoesNotExist"),
        &expect![[r#"
        claim 0 of pool general: it has a label tier that its requirements do not allow
        claim 0 of pool general: it does not keep to the pool's requirement karpenter.sh/nodepool In [general]
        claim 0 of pool general: it does not keep to the pool's requirement tier Exists
        claim 0 of pool general as s: what default/a requires of its node is not certain
    "#]],
    );
    check(
        |plan| drop(plan.claims[0].labels.insert("tier".into(), "silver".into())),
        &expect![[r#"
        claim 0 of pool general: it has a label tier that its requirements do not allow
        claim 0 of pool general as s: what default/a requires of its node is not certain
    "#]],
    );
    check(
        |plan| plan.claims[0].requests = ResourceList::new(),
        &expect![[r#"
        claim 0 of pool general: it requests less than its pods
    "#]],
    );
}

#[test]
fn every_instance_type_of_a_claim_does_for_all_of_its_pods() {
    let option =
        |name: &str, price: &str| InstanceOption { name: name.into(), price: price.parse().unwrap() };
    check(
        |plan| plan.claims[0].instance_types.clear(),
        &expect![[r#"
        claim 0 of pool general: it has no instance type
    "#]],
    );
    check(
        |plan| plan.claims[0].instance_types.push(option("x", "9")),
        &expect![[r#"
        claim 0 of pool general: the pool has no instance type x
    "#]],
    );
    check(
        |plan| plan.claims[0].instance_types.push(option("s", "0.05")),
        &expect![[r#"
        claim 0 of pool general: its instance types are not in the order of their prices
        claim 0 of pool general as s: it cannot be bought for $0.05/h as the claim requires
    "#]],
    );
    check(
        |plan| {
            plan.claims[0].requirements.remove("node.kubernetes.io/instance-type");
            plan.claims[0].requirements.remove("size");
            plan.claims[0].instance_types.push(option("m", "0.2"));
        },
        &expect![[r#"
            claim 0 of pool general as m: what default/a requires of its node is not certain
        "#]],
    );
    check(
        |plan| {
            plan.claims[0].requirements.remove("node.kubernetes.io/instance-type");
            plan.claims[0].requirements.remove("size");
            plan.claims[0].instance_types.push(option("xl", "3"));
        },
        &expect![[r#"
            claim 0 of pool general as xl: what default/a requires of its node is not certain
            pool general: limit of 12 cpu: 0 held, 64 would be added
        "#]],
    );
}

#[test]
fn what_is_only_possible_is_not_certain() {
    check(
        |plan| {
            plan.claims[0].requirements.remove("tier");
            plan.claims[0].requirements.extend(requirements("tier In gold silver").iter().cloned());
            plan.claims[0].labels.remove("tier");
        },
        &expect![[r#"
            claim 0 of pool general as s: what default/a requires of its node is not certain
        "#]],
    );
}

#[test]
fn pods_fit_with_daemons_and_tolerate_taints_and_share_no_port() {
    check(
        |plan| {
            plan.claims[0].pods.push(key("b"));
            plan.nominations.clear();
        },
        &expect![[r#"
            claim 0 of pool general: it requests less than its pods
            claim 0 of pool general as s: what default/b requires of its node is not certain
            claim 0 of pool general as s: pods and daemons do not fit: needs 5 cpu, has 4
        "#]],
    );
    check(
        |plan| {
            plan.nominations[0].pods.push(key("a"));
            plan.claims.clear();
        },
        &expect![[r#"
            node n: what default/a requires of its node is not certain
            node n: pods and daemons do not fit: needs 6 cpu, has 4
        "#]],
    );
    check(
        |plan| plan.nominations[0].node = "gone".into(),
        &expect![[r#"
        gone does not exist
    "#]],
    );
    check(
        |plan| plan.nominations[0].node = "full".into(),
        &expect![[r#"
        node full: pods and daemons do not fit: needs 2500m cpu, has 1
    "#]],
    );
    check(
        |plan| {
            plan.unschedulable.retain(|left_out| left_out.pod != key("c"));
            plan.nominations[0].pods.push(key("c"));
        },
        &expect![[r#"
            node n: default/c does not tolerate team=a:NoSchedule
            node n: pods and daemons do not fit: needs 4500m cpu, has 4
        "#]],
    );
}

#[test]
fn ports_are_taken_once() {
    let text = "type s cpu=4 memory=8Gi pods=10; price 0.1\npool general\ndaemon agent cpu=1; port 80
                node n cpu=4 memory=8Gi pods=10; port 81; taint x:NoSchedule\npod a cpu=1; port 80; tolerate x:NoSchedule\npod b cpu=1; port 81\npod c cpu=1; port 81";
    let problem = problem(text);
    let mut plan = solved(&problem);
    expect![[r#"
        2 × claim of pool general: s at $0.10/h, 1 pod, requests 2 cpu, 2 pods
        node n: 1 pod
        price $0.20/h
    "#]]
    .assert_eq(&plan.to_string());
    plan.nominations.clear();
    let mut pods = std::mem::take(&mut plan.claims[1].pods);
    plan.claims.remove(1);
    pods.push(key("a"));
    plan.claims[0].pods.extend(pods);
    let shown: Vec<_> = verify(&problem, &plan).iter().map(ToString::to_string).collect();
    expect![[r#"
        claim 0 of pool general: it requests less than its pods
        claim 0 of pool general as s: TCP 81 is wanted twice"#]]
    .assert_eq(&shown.join("\n"));
}

#[test]
fn limits_count_every_claim_as_the_largest_it_can_become() {
    check(
        |plan| {
            let mut further = plan.claims[0].clone();
            further.pods.clear();
            plan.claims.push(further.clone());
            plan.claims.push(further.clone());
            plan.claims.push(further);
        },
        &expect![[r#"
            pool general: limit of 12 cpu: 0 held, 16 would be added
        "#]],
    );
}

#[test]
fn no_pod_is_left_out_that_could_be_placed() {
    let left_out = |name: &str| Unschedulable {
        pod: key(name),
        reasons: vec![super::super::PoolReason { pool: None, reason: Reason::NoOffering }],
    };
    check(
        |plan| {
            plan.claims.clear();
            plan.unschedulable.push(left_out("a"));
        },
        &expect![[r#"
            default/a is left out and pool general could launch s for it
        "#]],
    );
    check(
        |plan| {
            plan.nominations.clear();
            plan.unschedulable.push(left_out("b"));
        },
        &expect![[r#"
            default/b is left out and fits on node n
        "#]],
    );
}
