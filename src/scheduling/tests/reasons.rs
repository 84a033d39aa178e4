//! What those are told that get no node.

#![expect(
    clippy::needless_raw_string_hashes,
    reason = "expect-test writes them when it updates a golden text"
)]

use super::*;

#[test]
fn pools_that_are_missing_or_not_ready_are_named() {
    check(
        "pool sick types=c7i.*; not-ready EC2NodeClass default is not ready
         pool picky types=c7i.*; requires karpenter.k8s.aws/instance-family Exists
         pool well types=c7i.*
         workload t gone sick well
         workload fallback gone sick? well
         workload empty
         pod a cpu=1; type t
         pod b cpu=1; type fallback
         pod c cpu=1; type empty",
        &expect![[r#"
            claim of pool well: c7i.large at $0.08925/h or 5 others, 1 pod, requests 1 cpu, 1 pods
            no node for pod default/a
              pool gone: spec.pools: there is no such NodePool; create it, or take it out of the workload type
              pool sick: no node of the pool may be launched: EC2NodeClass default is not ready; as soon as that is corrected, nodes are launched from it
              pool well: pool sick comes first, and may be of use again soon; wait: this pool is used once that one has been short for a while
            no node for pod default/c
              the workload type empty has no pool, or does not exist; add a pool to the workload type
            price $0.08925/h
        "#]],
    );
    check(
        "workload t general\npool general\npod a cpu=1",
        &expect![[r#"
        no node for pod default/a
          every NodePool belongs to a workload type, and the pod has none; label the namespace with a workload type, or create a NodePool that no type uses
        price $0.00/h
    "#]],
    );
}

#[test]
fn what_is_too_large_is_told_how_much_the_closest_type_leaves() {
    check_general(
        "daemon agent cpu=200m memory=1Gi
         pod cpu cpu=100
         pod memory memory=200Gi
         pod both cpu=100 memory=200Gi
         pod gpu nvidia.com/gpu=1",
        &expect![[r#"
            no node for pod default/both
              pool general: spec.containers[*].resources.requests: 100 cpu, 200Gi memory requested, and c7i.24xlarge, which comes closest, leaves 95490m cpu, 172376Mi memory; request less, or let the NodePool use larger instance types
            no node for pod default/cpu
              pool general: spec.containers[*].resources.requests: 100 cpu requested, and c7i.24xlarge, which comes closest, leaves 95490m cpu; request less, or let the NodePool use larger instance types
            no node for pod default/gpu
              pool general: spec.containers[*].resources.requests: 1 nvidia.com/gpu requested, and c7i.24xlarge, which comes closest, leaves 0 nvidia.com/gpu; do not request it, or let the NodePool use instance types that have nvidia.com/gpu
            no node for pod default/memory
              pool general: spec.containers[*].resources.requests: 200Gi memory requested, and c7i.24xlarge, which comes closest, leaves 172376Mi memory; request less, or let the NodePool use larger instance types
            price $0.00/h
        "#]],
    );
}

#[test]
fn taints_are_named_that_are_not_tolerated() {
    check(
        "pool a types=c7i.*; taint team=a:NoSchedule
         pool b types=c7i.*; taint team=b:NoExecute
         pool c types=c7i.*; taint team=c:PreferNoSchedule; requires team In c
         pod p cpu=1; wants team Exists
         pod q cpu=1; wants team In d; tolerate team=a:NoSchedule",
        &expect![[r#"
            claim of pool c: c7i.large at $0.08925/h or 5 others, 1 pod, requests 1 cpu, 1 pods
            no node for pod default/q
              pool a: spec.nodeSelector or spec.affinity.nodeAffinity: team In [d] is asked for, but the nodes do not have the label; add the label to the NodePool's template, or do not ask for it
              pool b: spec.tolerations: the taint team=b:NoExecute is not tolerated; tolerate it if the pod belongs there, or select other nodes
              pool c: spec.nodeSelector or spec.affinity.nodeAffinity: team In [d] is asked for, but the nodes have team In [c]; ask for a value that the nodes have, or let the NodePool allow it
            price $0.08925/h
        "#]],
    );
}

#[test]
fn a_pod_without_what_admission_gives_to_its_type_is_to_be_created_anew() {
    check(
        "pool a types=c7i.*; taint team=a:NoSchedule
         pool b types=c7i.*; taint nvidia.com/gpu=b:NoSchedule
         workload t a b
         pod p cpu=1; type t",
        &expect![[r#"
            no node for pod default/p
              pool a: spec.tolerations: the pod was created before its namespace had the workload type t, or before that had the taint team=a:NoSchedule; create it anew (kubectl rollout restart), and admission adds what pods of the type need
              pool b: spec.tolerations: the taint nvidia.com/gpu=b:NoSchedule is not tolerated; tolerate it if the pod belongs there, or select other nodes
            price $0.00/h
        "#]],
    );
}

#[test]
fn what_no_instance_type_has_together_is_named() {
    check(
        "type s cpu=2 memory=4Gi pods=10; offer a on-demand 0.1; offer b spot 0.03
         pool general
         pool none; requires kubernetes.io/arch In riscv
         pod p cpu=1; wants topology.kubernetes.io/zone In a, karpenter.sh/capacity-type In spot",
        &expect![[r#"
            no node for pod default/p
              pool general: spec.template.spec.requirements: no instance type has karpenter.sh/capacity-type In [spot], topology.kubernetes.io/zone In [a]; ask for a combination that exists, or let the NodePool allow more
              pool none: spec.template.spec.requirements: no instance type has kubernetes.io/arch In [riscv]; ask for a combination that exists, or let the NodePool allow more
            price $0.00/h
        "#]],
    );
}

#[test]
fn required_constraints_that_are_not_solved_yet_keep_a_pod_out_even_where_there_is_room() {
    check_general(
        "node n cpu=4 memory=8Gi pods=10\npod a cpu=1; spread\npod b cpu=1",
        &expect![[r#"
            node n: 1 pod
            no node for pod default/a
              spec.topologySpreadConstraints: not supported yet: required topology spread over topology.kubernetes.io/zone; remove it, or set whenUnsatisfiable to ScheduleAnyway
            price $0.00/h
        "#]],
    );
}

#[test]
fn a_zone_without_a_subnet_is_not_waited_for() {
    let zones = "topology.kubernetes.io/zone In d";
    let text = format!(
        "type s cpu=2 memory=4Gi pods=20; offer a on-demand 0.1; offer d on-demand 0.1 no-subnet
         pool of-zone types=s; requires {zones}
         pool open types=s
         workload t open of-zone
         pod there cpu=1; type t; wants {zones}
         pod anywhere cpu=1; type t"
    );
    check(
        &text,
        &expect![[r#"
            claim of pool open: s at $0.10/h, 1 pod, requests 1 cpu, 1 pods
            no node for pod default/there
              pool open: the instance types that will do are offered with topology.kubernetes.io/zone In [d], where EC2NodeClass default has no subnet; ask for others, or let spec.subnetSelectorTerms of the class select one there
              pool of-zone: the instance types that will do are offered with topology.kubernetes.io/zone In [d], where EC2NodeClass default has no subnet; ask for others, or let spec.subnetSelectorTerms of the class select one there
            price $0.10/h
        "#]],
    );
}

#[test]
fn each_pod_is_told_of_the_resource_that_it_made_up_and_a_daemon_that_asks_for_one_counts_for_nothing() {
    check(
        "type s cpu=4 memory=8Gi pods=10; price 0.1
         pool general
         daemon agent cpu=1 example.com/nothing=1
         pod a cpu=1 example.com/one=1
         pod b cpu=1 example.com/two=1
         pod c cpu=4 example.com/one=0",
        &expect![[r#"
            claim of pool general: s at $0.10/h, 1 pod, requests 4 cpu, 1 pods, 0 example.com/one
            no node for pod default/a
              pool general: spec.containers[*].resources.requests: 1 example.com/one requested, and s, which comes closest, leaves 0 example.com/one; do not request it, or let the NodePool use instance types that have example.com/one
            no node for pod default/b
              pool general: spec.containers[*].resources.requests: 1 example.com/two requested, and s, which comes closest, leaves 0 example.com/two; do not request it, or let the NodePool use instance types that have example.com/two
            price $0.10/h
        "#]],
    );
}
