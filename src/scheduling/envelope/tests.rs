#![expect(
    clippy::needless_raw_string_hashes,
    reason = "expect-test writes them when it updates a golden text"
)]

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::{
    super::{solve, testing::problem},
    *,
};
use crate::model::{Quantity, resources};

#[track_caller]
fn check(text: &str, expected: &Expect) {
    let mut shown = String::new();
    match envelope(&problem(text), "t") {
        None => shown.push_str("not known\n"),
        Some(envelope) => {
            for vector in &envelope.vectors {
                let zones: Vec<_> = vector.zones.iter().map(String::as_str).collect();
                let EnvelopeVector { pool, architecture, instance_type, allocatable, .. } = vector;
                writeln!(shown, "{pool} {architecture} {} {instance_type}: {allocatable}", zones.join(","))
                    .unwrap();
            }
        }
    }
    expected.assert_eq(&shown);
}

#[test]
fn only_what_no_other_type_exceeds_is_listed() {
    check(
        "workload t p\npool p",
        &expect![[r#"
        p amd64 a,b,c c7i.24xlarge: 95690m cpu, 173400Mi memory, 737 pods
        p arm64 a,b,c c7g.xlarge: 3920m cpu, 6584Mi memory, 58 pods
    "#]],
    );
    check(
        "workload t p\npool p types=c7i.*; requires topology.kubernetes.io/zone In b",
        &expect![[r#"
        p amd64 b c7i.24xlarge: 95690m cpu, 173400Mi memory, 737 pods
    "#]],
    );
    check(
        "workload t p q\npool p types=m5a.large\npool q types=m5a.xlarge\npool r",
        &expect![[r#"
        p amd64 a,b,c m5a.large: 1930m cpu, 6903Mi memory, 29 pods
        q amd64 a,b,c m5a.xlarge: 3920m cpu, 14162Mi memory, 58 pods
    "#]],
    );
}

#[test]
fn daemons_are_taken_off_and_limits_end_it_but_not_what_is_held_or_gone() {
    check(
        "type s cpu=4 memory=8Gi pods=10; offer a on-demand 0.1 gone
         type l cpu=64 memory=128Gi pods=10; offer a on-demand 1
         workload t p
         pool p; limits cpu=32; held cpu=32; taint x:NoSchedule
         daemon tolerated cpu=1 memory=1Gi; tolerate x:NoSchedule
         daemon kept-away cpu=1 memory=1Gi",
        &expect![[r#"
            p amd64 a s: 3 cpu, 7Gi memory, 9 pods
        "#]],
    );
}

#[test]
fn nodes_that_are_there_count_whatever_runs_on_them() {
    check(
        "type s cpu=4 memory=8Gi pods=10; offer a on-demand 0.1
         workload t p
         pool p
         node big cpu=16 memory=32Gi pods=10; used cpu=16; daemons cpu=1; labels karpenter.sh/nodepool=p kubernetes.io/arch=amd64 topology.kubernetes.io/zone=a
         node foreign cpu=99 memory=32Gi pods=10; labels karpenter.sh/nodepool=other
         daemon agent cpu=2",
        &expect![[r#"
            p amd64 a big: 14 cpu, 32Gi memory, 9 pods
        "#]],
    );
}

#[test]
fn a_node_is_listed_only_where_it_holds_more_than_its_type_and_for_what_types_are_known_by() {
    let nodes = |amounts: &str| {
        format!(
            "type s cpu=4 memory=8Gi pods=10; offer a on-demand 0.1; offer b on-demand 0.1
             workload t p
             pool p
             node n {amounts}; labels karpenter.sh/nodepool=p kubernetes.io/arch=amd64 topology.kubernetes.io/zone=a"
        )
    };
    for alike in ["cpu=4 memory=8Gi pods=10", "cpu=4 memory=7Gi pods=10 example.com/device=4", ""] {
        check(
            &nodes(alike),
            &expect![[r#"
            p amd64 a,b s: 4 cpu, 8Gi memory, 10 pods
        "#]],
        );
    }
    check(
        &nodes("cpu=4 memory=8200Mi pods=10"),
        &expect![[r#"
            p amd64 a n: 4 cpu, 8200Mi memory, 10 pods
            p amd64 a,b s: 4 cpu, 8Gi memory, 10 pods
        "#]],
    );
}

#[test]
fn without_every_pool_and_its_types_nothing_is_said() {
    check(
        "workload t p gone\npool p",
        &expect![[r#"
        not known
    "#]],
    );
    check(
        "workload t p\npool p types=none",
        &expect![[r#"
        not known
    "#]],
    );
    check(
        "workload other p\npool p",
        &expect![[r#"
        not known
    "#]],
    );
}

#[test]
fn a_pod_of_exactly_the_envelope_gets_a_node_and_a_mebibyte_more_does_not() {
    let text = "workload t p\npool p types=c7i.xlarge\ndaemon agent cpu=100m memory=100Mi\npod a; type t";
    let mut problem = problem(text);
    let envelope = envelope(&problem, "t").unwrap();
    let pod = &mut problem.pods[0].pod;
    pod.requests = envelope.vectors[0].allocatable.clone();
    assert_eq!(envelope.refusal(&problem.pods[0].pod), None);
    assert_eq!(solve(&problem).claims.len(), 1);

    let pod = &mut problem.pods[0].pod;
    let memory = pod.requests.amount(resources::MEMORY) + Quantity::from_bytes(1 << 20);
    pod.requests.set(resources::MEMORY, memory);
    let refused = envelope.refusal(&problem.pods[0].pod).unwrap();
    let plan = solve(&problem);
    assert_eq!(plan.unschedulable[0].reasons[0].reason, refused);
    expect!["spec.containers[*].resources.requests: 6485Mi memory requested, and c7i.xlarge, which comes closest, leaves 6484Mi memory; request less, or let the NodePool use larger instance types"].assert_eq(&refused.to_string());
}

#[test]
fn zones_without_a_subnet_are_no_zones_of_the_envelope() {
    check(
        "type s cpu=4 memory=8Gi pods=10; offer a on-demand 0.1; offer b on-demand 0.1 gone; offer d on-demand 0.1 no-subnet
         type elsewhere cpu=8 memory=16Gi pods=10; offer d on-demand 0.1 no-subnet
         workload t p
         pool p",
        &expect![[r#"
            p amd64 a,b s: 4 cpu, 8Gi memory, 10 pods
        "#]],
    );
}
