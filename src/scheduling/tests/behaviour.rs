//! Small problems and their plans. Most are behaviour that users know from Karpenter.

#![expect(
    clippy::needless_raw_string_hashes,
    reason = "expect-test writes them when it updates a golden text"
)]

use super::*;

#[test]
fn a_lone_small_pod_gets_the_smallest_type_of_its_pool() {
    check(
        "pool application types=c7i.*; requires karpenter.k8s.aws/instance-cpu Gt 3; taint node-type=application:NoSchedule
         workload application application
         pod a cpu=500m; type application; tolerate node-type=application:NoSchedule",
        &expect![[r#"
            claim of pool application: c7i.xlarge at $0.1785/h or 4 others, 1 pod, requests 500m cpu, 1 pods
            price $0.1785/h
        "#]],
    );
}

#[test]
fn fifty_pods_share_nodes_for_less_than_eight_small_ones_cost() {
    check(
        "pool application types=c7i.*; requires karpenter.k8s.aws/instance-cpu Gt 3; taint node-type=application:NoSchedule
         workload application application
         pod a x50 cpu=500m; type application; tolerate node-type=application:NoSchedule",
        &expect![[r#"
            claim of pool application: c7i.4xlarge at $0.714/h or 2 others, 31 pods, requests 15500m cpu, 31 pods
            claim of pool application: c7i.2xlarge at $0.357/h or 3 others, 15 pods, requests 7500m cpu, 15 pods
            claim of pool application: c7i.xlarge at $0.1785/h or 4 others, 4 pods, requests 2 cpu, 4 pods
            price $1.2495/h
        "#]],
    );
}

#[test]
fn nodes_grow_as_long_as_growing_is_cheaper_per_pod_and_the_smaller_wins_where_it_is_not() {
    // Linear prices and nothing kept back: size does not matter, so the small node wins.
    check(
        "type s cpu=4 memory=8Gi pods=100; price 0.1
         type l cpu=16 memory=32Gi pods=100; price 0.4
         pool general
         pod a x16 cpu=1",
        &expect![[r#"
            4 × claim of pool general: s at $0.10/h or one other, 4 pods, requests 4 cpu, 4 pods
            price $0.40/h
        "#]],
    );
    // A daemon on every node makes large nodes the cheaper ones.
    check(
        "type s cpu=4 memory=8Gi pods=100; price 0.1
         type l cpu=16 memory=32Gi pods=100; price 0.4
         pool general
         daemon agent cpu=1
         pod a x15 cpu=1",
        &expect![[r#"
            claim of pool general: l at $0.40/h, 15 pods, requests 16 cpu, 16 pods
            price $0.40/h
        "#]],
    );
}

#[test]
fn pods_that_use_up_different_things_share_a_node() {
    check(
        "type c cpu=8 memory=16Gi pods=50; price 0.4
         type r cpu=8 memory=64Gi pods=50; price 0.6
         pool general
         pod cpu-bound x4 cpu=3500m memory=1Gi
         pod memory-bound x4 cpu=500m memory=7Gi",
        &expect![[r#"
            2 × claim of pool general: c at $0.40/h or one other, 4 pods, requests 8 cpu, 16Gi memory, 4 pods
            price $0.80/h
        "#]],
    );
}

#[test]
fn daemons_take_their_part_of_every_type_on_which_they_run() {
    let nodes = "type s cpu=2 memory=4Gi pods=10; price 0.1; labels size In small
                 type m cpu=4 memory=8Gi pods=10; price 0.2; labels size In medium
                 pool general; taint team=a:NoSchedule; startup starting=yes:NoExecute";
    for (daemon, expected) in [
        (
            "daemon agent cpu=2 memory=2Gi; tolerate team=a:NoSchedule",
            expect![[r#"
            claim of pool general: m at $0.20/h, 1 pod, requests 3 cpu, 3Gi memory, 2 pods
            price $0.20/h
        "#]],
        ),
        (
            "daemon agent cpu=2 memory=2Gi",
            expect![[r#"
            claim of pool general: s at $0.10/h or one other, 1 pod, requests 1 cpu, 1Gi memory, 1 pods
            price $0.10/h
        "#]],
        ),
        // It can never run on the smaller one, nor on both.
        (
            "daemon agent cpu=3 memory=2Gi; tolerate everything",
            expect![[r#"
            claim of pool general: s at $0.10/h or one other, 1 pod, requests 1 cpu, 1Gi memory, 1 pods
            price $0.10/h
        "#]],
        ),
        (
            "daemon agent cpu=100 memory=2Gi; tolerate everything",
            expect![[r#"
            claim of pool general: s at $0.10/h or one other, 1 pod, requests 1 cpu, 1Gi memory, 1 pods
            price $0.10/h
        "#]],
        ),
        (
            "daemon agent cpu=2 memory=2Gi; tolerate everything; barred team=a:NoSchedule",
            expect![[r#"
            claim of pool general: s at $0.10/h or one other, 1 pod, requests 1 cpu, 1Gi memory, 1 pods
            price $0.10/h
        "#]],
        ),
        (
            "daemon agent cpu=2 memory=2Gi; tolerate everything; barred team=b:NoSchedule",
            expect![[r#"
            claim of pool general: m at $0.20/h, 1 pod, requests 3 cpu, 3Gi memory, 2 pods
            price $0.20/h
        "#]],
        ),
        (
            "daemon agent cpu=2 memory=2Gi; tolerate everything; wants size In small",
            expect![[r#"
            claim of pool general: m at $0.20/h, 1 pod, requests 1 cpu, 1Gi memory, 1 pods
            price $0.20/h
        "#]],
        ),
        (
            "daemon agent cpu=2 memory=2Gi; tolerate everything; wants size In huge | size In small medium",
            expect![[r#"
            claim of pool general: m at $0.20/h, 1 pod, requests 3 cpu, 3Gi memory, 2 pods
            price $0.20/h
        "#]],
        ),
        (
            "daemon agent cpu=2; tolerate everything; wants karpenter.sh/initialized In true",
            expect![[r#"
            claim of pool general: m at $0.20/h, 1 pod, requests 3 cpu, 1Gi memory, 2 pods
            price $0.20/h
        "#]],
        ),
    ] {
        check(&format!("{nodes}\n{daemon}\npod a cpu=1 memory=1Gi; tolerate team=a:NoSchedule"), &expected);
    }
}

#[test]
fn a_claim_requests_what_its_pods_and_the_daemons_of_all_its_types_do() {
    check(
        "pool general types=c7i.xlarge\ndaemon agent cpu=100m memory=100Mi\npod a x2 cpu=1 memory=1Mi",
        &expect![[r#"
        claim of pool general: c7i.xlarge at $0.1785/h, 2 pods, requests 2100m cpu, 102Mi memory, 3 pods
        price $0.1785/h
    "#]],
    );
}

#[test]
fn pods_go_to_nodes_that_are_there_before_any_is_launched() {
    check_general(
        "node old cpu=4 memory=8Gi pods=10; used cpu=1
         node coming cpu=4 memory=8Gi pods=10; starting
         pod a x8 cpu=1",
        &expect![[r#"
            claim of pool general: c7i.large at $0.08925/h or 5 others, 1 pod, requests 1 cpu, 1 pods
            node coming: 4 pods
            node old: 3 pods
            price $0.08925/h
        "#]],
    );
}

#[test]
fn a_node_is_used_only_if_its_labels_taints_ports_and_daemons_allow_it() {
    for (node, expected) in [
        (
            "labels team=a",
            expect![[r#"
            node n: 1 pod
            price $0.00/h
        "#]],
        ),
        (
            "labels team=b",
            expect![[r#"
            no node for pod default/a
              pool general: spec.nodeSelector or spec.affinity.nodeAffinity: team In [a] is asked for, but the nodes do not have the label; add the label to the NodePool's template, or do not ask for it
            price $0.00/h
        "#]],
        ),
        (
            "",
            expect![[r#"
            no node for pod default/a
              pool general: spec.nodeSelector or spec.affinity.nodeAffinity: team In [a] is asked for, but the nodes do not have the label; add the label to the NodePool's template, or do not ask for it
            price $0.00/h
        "#]],
        ),
        (
            "labels team=a; taint x:NoSchedule",
            expect![[r#"
            no node for pod default/a
              pool general: spec.nodeSelector or spec.affinity.nodeAffinity: team In [a] is asked for, but the nodes do not have the label; add the label to the NodePool's template, or do not ask for it
            price $0.00/h
        "#]],
        ),
        (
            "labels team=a; taint x:PreferNoSchedule",
            expect![[r#"
            node n: 1 pod
            price $0.00/h
        "#]],
        ),
        (
            "labels team=a; port 80",
            expect![[r#"
            no node for pod default/a
              pool general: spec.nodeSelector or spec.affinity.nodeAffinity: team In [a] is asked for, but the nodes do not have the label; add the label to the NodePool's template, or do not ask for it
            price $0.00/h
        "#]],
        ),
        (
            "labels team=a; used cpu=2; daemons cpu=500m",
            expect![[r#"
            node n: 1 pod
            price $0.00/h
        "#]],
        ),
        (
            "labels team=a; used cpu=2500m; daemons cpu=1",
            expect![[r#"
            node n: 1 pod
            price $0.00/h
        "#]],
        ),
        (
            "labels team=a; used cpu=2; daemons cpu=0",
            expect![[r#"
            no node for pod default/a
              pool general: spec.nodeSelector or spec.affinity.nodeAffinity: team In [a] is asked for, but the nodes do not have the label; add the label to the NodePool's template, or do not ask for it
            price $0.00/h
        "#]],
        ),
        (
            "labels team=a; used cpu=2; taint barred:NoSchedule",
            expect![[r#"
            node n: 1 pod
            price $0.00/h
        "#]],
        ),
        (
            "labels team=a; used cpu=1 memory=9Gi",
            expect![[r#"
            no node for pod default/a
              pool general: spec.nodeSelector or spec.affinity.nodeAffinity: team In [a] is asked for, but the nodes do not have the label; add the label to the NodePool's template, or do not ask for it
            price $0.00/h
        "#]],
        ),
    ] {
        check_general(
            &format!(
                "node n cpu=4 memory=8Gi pods=10; {node}
                 daemon agent cpu=1; tolerate barred:NoSchedule; barred barred:NoSchedule
                 daemon never cpu=5
                 pod a cpu=1500m; wants team In a; tolerate barred:NoSchedule; port 80"
            ),
            &expected,
        );
    }
}

#[test]
fn one_pod_with_a_host_port_fits_on_a_node_and_none_where_a_daemon_has_it() {
    check_general(
        "pod a x3 cpu=100m; port 80\npod b x3 cpu=100m; port 81",
        &expect![[r#"
        3 × claim of pool general: c7i.large at $0.08925/h or 5 others, 2 pods, requests 200m cpu, 2 pods
        price $0.26775/h
    "#]],
    );
    check_general(
        "daemon agent cpu=100m; port 80\npod a cpu=100m; port 80",
        &expect![[r#"
        no node for pod default/a
          pool general: spec.containers[*].ports[*].hostPort: TCP 80 is taken on the node by another pod; use another host port, or none
        price $0.00/h
    "#]],
    );
}

#[test]
fn requirements_are_met_by_one_offering() {
    let types = "type s cpu=2 memory=4Gi pods=10; offer a on-demand 0.1; offer b on-demand 0.1; offer a spot 0.03; offer c spot 0.01 gone
                 pool general";
    for (wants, expected) in [
        (
            "",
            expect![[r#"
            claim of pool general: s at $0.03/h, 1 pod, requests 1 cpu, 1 pods
            price $0.03/h
        "#]],
        ),
        (
            "wants topology.kubernetes.io/zone In b",
            expect![[r#"
            claim of pool general: s at $0.10/h, 1 pod, requests 1 cpu, 1 pods
            price $0.10/h
        "#]],
        ),
        (
            "wants topology.kubernetes.io/zone In b, karpenter.sh/capacity-type In spot",
            expect![[r#"
            no node for pod default/p
              pool general: spec.template.spec.requirements: no instance type has karpenter.sh/capacity-type In [spot], topology.kubernetes.io/zone In [b]; ask for a combination that exists, or let the NodePool allow more
            price $0.00/h
        "#]],
        ),
        (
            "wants topology.kubernetes.io/zone In c",
            expect![[r#"
            no node for pod default/p
              pool general: no instance type that would do can be bought now; allow more instance types, zones or capacity types, or wait until there is capacity
            price $0.00/h
        "#]],
        ),
        (
            "wants topology.kubernetes.io/zone In d",
            expect![[r#"
            no node for pod default/p
              pool general: spec.nodeSelector or spec.affinity.nodeAffinity: topology.kubernetes.io/zone In [d] is asked for, but the nodes have topology.kubernetes.io/zone In [a, b, c]; ask for a value that the nodes have, or let the NodePool allow it
            price $0.00/h
        "#]],
        ),
        (
            "wants kubernetes.io/arch In arm64",
            expect![[r#"
            no node for pod default/p
              pool general: spec.nodeSelector or spec.affinity.nodeAffinity: kubernetes.io/arch In [arm64] is asked for, but the nodes have kubernetes.io/arch In [amd64]; ask for a value that the nodes have, or let the NodePool allow it
            price $0.00/h
        "#]],
        ),
        (
            "wants kubernetes.io/arch In arm64 | topology.kubernetes.io/zone In a",
            expect![[r#"
            claim of pool general: s at $0.03/h, 1 pod, requests 1 cpu, 1 pods
            price $0.03/h
        "#]],
        ),
    ] {
        check(&format!("{types}\npod p cpu=1; {wants}"), &expected);
    }
}

#[test]
fn labels_of_the_pool_are_narrowed_by_pods_that_agree_and_split_those_that_do_not() {
    let problem = problem(
        "pool general types=c7i.*; requires team In a b, tier Exists
         pod a x2 cpu=100m; wants team In a
         pod b cpu=100m; wants team In b
         pod c cpu=100m; wants tier In gold
         pod d cpu=100m; wants tier NotIn gold",
    );
    let plan = solved(&problem);
    let labels: Vec<_> =
        plan.claims.iter().map(|claim| format!("{:?} {}\n", claim.labels, claim.requirements)).collect();
    expect![[r#"
        {"karpenter.sh/nodepool": "general", "team": "a", "tier": "gold"} karpenter.sh/nodepool In [general], node.kubernetes.io/instance-type In [c7i.24xlarge, c7i.2xlarge, c7i.4xlarge, c7i.8xlarge, c7i.large and 1 other], team In [a], tier In [gold]
        {"karpenter.sh/nodepool": "general", "team": "b", "tier": "0"} karpenter.sh/nodepool In [general], node.kubernetes.io/instance-type In [c7i.24xlarge, c7i.2xlarge, c7i.4xlarge, c7i.8xlarge, c7i.large and 1 other], team In [b], tier NotIn [gold] Exists
    "#]].assert_eq(&labels.concat());
}

#[test]
fn pods_that_agree_only_on_what_the_type_cannot_be_do_not_share_a_node() {
    check(
        "type s cpu=2 memory=4Gi pods=10; price 0.1; labels kubernetes.io/os In linux windows
         pool general
         pod a cpu=100m; wants kubernetes.io/os In linux mac
         pod b cpu=100m; wants kubernetes.io/os In windows mac
         pod c cpu=100m; wants kubernetes.io/os NotIn mac",
        &expect![[r#"
            claim of pool general: s at $0.10/h, 2 pods, requests 200m cpu, 2 pods
            claim of pool general: s at $0.10/h, 1 pod, requests 100m cpu, 1 pods
            price $0.20/h
        "#]],
    );
}

#[test]
fn a_label_that_the_pool_does_not_define_is_absent_and_only_those_that_allow_that_get_a_node() {
    let problem = problem(
        "pool general types=c7i.large
         pod a cpu=100m; wants team NotIn x
         pod b cpu=100m; wants team DoesNotExist
         pod c cpu=100m; wants team In y
         pod d cpu=100m; wants karpenter.k8s.aws/instance-familly In c7i",
    );
    let plan = solved(&problem);
    expect![[r#"
        claim of pool general: c7i.large at $0.08925/h, 2 pods, requests 200m cpu, 2 pods
        no node for pod default/c
          pool general: spec.nodeSelector or spec.affinity.nodeAffinity: team In [y] is asked for, but the nodes do not have the label; add the label to the NodePool's template, or do not ask for it
        no node for pod default/d
          pool general: spec.nodeSelector or spec.affinity.nodeAffinity: karpenter.k8s.aws/instance-familly In [c7i] is asked for, but the nodes do not have the label; did you mean karpenter.k8s.aws/instance-family?
        price $0.08925/h
    "#]].assert_eq(&plan.to_string());
    assert!(plan.claims[0].requirements.get("team").is_none());
}

#[test]
fn pods_of_a_type_use_its_pools_in_order_and_typeless_ones_those_that_no_type_uses() {
    check(
        "pool application types=c7i.*; taint type=application:NoSchedule
         pool spare types=m5a.*; taint type=application:NoSchedule
         pool monitoring types=m5a.large; taint type=monitoring:NoSchedule
         pool heavy types=c7g.*; weight 5
         pool general types=c7i.*
         workload application application spare
         workload monitoring monitoring
         pod app x2 cpu=1; type application; tolerate type=application:NoSchedule; wants workload-type.node-restriction.kubernetes.io/application Exists
         pod big cpu=1 memory=12Gi; type application; tolerate type=application:NoSchedule
         pod mon cpu=1; type monitoring; tolerate type=monitoring:NoSchedule
         pod free cpu=1; tolerate type=application:NoSchedule
         pod intel cpu=1; wants kubernetes.io/arch In amd64
         pod lost cpu=1; type unknown",
        &expect![[r#"
            claim of pool application: c7i.2xlarge at $0.357/h or 3 others, 3 pods, requests 3 cpu, 12Gi memory, 3 pods
            claim of pool heavy: c7g.xlarge at $0.145/h, 1 pod, requests 1 cpu, 1 pods
            claim of pool general: c7i.large at $0.08925/h or 5 others, 1 pod, requests 1 cpu, 1 pods
            claim of pool monitoring: m5a.large at $0.086/h, 1 pod, requests 1 cpu, 1 pods
            no node for pod default/lost
              the workload type unknown has no pool, or does not exist; add a pool to the workload type
            price $0.67725/h
        "#]],
    );
}

#[test]
fn among_pools_of_equal_weight_the_price_decides() {
    check(
        "pool a types=c7i.xlarge\npool b types=c7g.xlarge\npool c types=m5a.xlarge\npod p cpu=3",
        &expect![[r#"
        claim of pool b: c7g.xlarge at $0.145/h, 1 pod, requests 3 cpu, 1 pods
        price $0.145/h
    "#]],
    );
}

#[test]
fn the_next_pool_is_used_when_the_first_is_short_only_if_the_type_may_fall_back() {
    let pools = "pool first types=c7i.xlarge; limits cpu=4
                 pool second types=m5a.xlarge
                 pod p x2 cpu=3; type t";
    check(
        &format!("{pools}\nworkload t first second"),
        &expect![[r#"
            claim of pool first: c7i.xlarge at $0.1785/h, 1 pod, requests 3 cpu, 1 pods
            no node for pod default/p-001
              pool first: spec.limits: limit of 4 cpu: 3920m held, 3920m would be added; raise the limit, or wait until nodes are gone
              pool second: pool first comes first, and may be of use again soon; wait: this pool is used once that one has been short for a while
            price $0.1785/h
        "#]],
    );
    check(
        &format!("{pools}\nworkload t first? second"),
        &expect![[r#"
        claim of pool first: c7i.xlarge at $0.1785/h, 1 pod, requests 3 cpu, 1 pods
        claim of pool second: m5a.xlarge at $0.172/h, 1 pod, requests 3 cpu, 1 pods
        price $0.3505/h
    "#]],
    );
    // What would never fit into the first does not wait for it.
    check(
        &format!("{pools}\nworkload t first second\npod big cpu=3 memory=10Gi; type t"),
        &expect![[r#"
            claim of pool second: m5a.xlarge at $0.172/h, 1 pod, requests 3 cpu, 10Gi memory, 1 pods
            claim of pool first: c7i.xlarge at $0.1785/h, 1 pod, requests 3 cpu, 1 pods
            no node for pod default/p-001
              pool first: spec.limits: limit of 4 cpu: 3920m held, 3920m would be added; raise the limit, or wait until nodes are gone
              pool second: pool first comes first, and may be of use again soon; wait: this pool is used once that one has been short for a while
            price $0.3505/h
        "#]],
    );
}

#[test]
fn limits_are_counted_with_the_node_that_is_planned_and_bound_its_alternatives() {
    for (limits, expected) in [
        (
            "limits cpu=4",
            expect![[r#"
            claim of pool general: c7i.xlarge at $0.1785/h, 1 pod, requests 3 cpu, 1 pods
            no node for pod default/p-001 and one other
              pool general: spec.limits: limit of 4 cpu: 3920m held, 3920m would be added; raise the limit, or wait until nodes are gone
            price $0.1785/h
        "#]],
        ),
        (
            "limits cpu=12",
            expect![[r#"
            3 × claim of pool general: c7i.xlarge at $0.1785/h, 1 pod, requests 3 cpu, 1 pods
            price $0.5355/h
        "#]],
        ),
        (
            "limits cpu=12; held cpu=8",
            expect![[r#"
            claim of pool general: c7i.xlarge at $0.1785/h, 1 pod, requests 3 cpu, 1 pods
            no node for pod default/p-001 and one other
              pool general: spec.limits: limit of 12 cpu: 11920m held, 3920m would be added; raise the limit, or wait until nodes are gone
            price $0.1785/h
        "#]],
        ),
        (
            "limits nodes=1",
            expect![[r#"
                claim of pool general: c7i.xlarge at $0.1785/h or one other, 1 pod, requests 3 cpu, 1 pods
                no node for pod default/p-001 and one other
                  pool general: spec.limits: limit of 1 node: 1 held, 1 would be added; raise the limit, or wait until nodes are gone
                price $0.1785/h
            "#]],
        ),
        (
            "limits nodes=1; held nodes=1",
            expect![[r#"
                no node for pod default/p-000 and 2 others
                  pool general: spec.limits: limit of 1 node: 1 held, 1 would be added; raise the limit, or wait until nodes are gone
                price $0.00/h
            "#]],
        ),
        (
            "limits cpu=0",
            expect![[r#"
            no node for pod default/p-000 and 2 others
              pool general: spec.limits: limit of 0 cpu: 0 held, 3920m would be added; raise the limit, or wait until nodes are gone
            price $0.00/h
        "#]],
        ),
        (
            "limits nvidia.com/gpu=0",
            expect![[r#"
            3 × claim of pool general: c7i.xlarge at $0.1785/h or one other, 1 pod, requests 3 cpu, 1 pods
            price $0.5355/h
        "#]],
        ),
    ] {
        check(&format!("pool general types=c7i.xlarge,c7i.2xlarge; {limits}\npod p x3 cpu=3"), &expected);
    }
}

#[test]
fn where_not_all_can_be_placed_the_oldest_are() {
    check(
        "pool general types=c7i.xlarge; limits nodes=1
         pod new cpu=2; age 1
         pod old cpu=2; age 3
         pod middle cpu=2; age 2",
        &expect![[r#"
            claim of pool general: c7i.xlarge at $0.1785/h, 1 pod, requests 2 cpu, 1 pods
            no node for pod default/middle and one other
              pool general: spec.limits: limit of 1 node: 1 held, 1 would be added; raise the limit, or wait until nodes are gone
            price $0.1785/h
        "#]],
    );
}

#[test]
fn a_claim_lists_no_more_types_than_are_tried() {
    let types = (10..90).map(|i| format!("type t{i} cpu=4 memory=8Gi pods=10; price 0.{i}"));
    let types = types.collect::<Vec<_>>().join(
        "
",
    );
    let plan = solved(&problem(&format!("{types}\npool general\npod p cpu=1")));
    assert_eq!(plan.claims[0].instance_types.len(), super::super::MOST_INSTANCE_TYPES);
    assert_eq!(plan.claims[0].instance_types[0].name, "t10");
    assert_eq!(plan.claims[0].instance_types[59].name, "t69");
}

#[test]
fn nothing_waits_nothing_is_planned() {
    check(
        "pool general\nnode n cpu=4",
        &expect![[r#"
        price $0.00/h
    "#]],
    );
    check(
        "pod a cpu=1",
        &expect![[r#"
        no node for pod default/a
          every NodePool belongs to a workload type, and the pod has none; label the namespace with a workload type, or create a NodePool that no type uses
        price $0.00/h
    "#]],
    );
}

/// Every node has these labels by the time that pods can use it; a claim must not carry them.
#[test]
fn pods_may_ask_for_nodes_that_are_ready() {
    let ready = "wants karpenter.sh/registered In true, karpenter.sh/initialized In true";
    check_general(
        &format!("pod a cpu=1; {ready}\npod b cpu=1"),
        &expect![[r#"
        2 × claim of pool general: c7i.large at $0.08925/h or 5 others, 1 pod, requests 1 cpu, 1 pods
        price $0.1785/h
    "#]],
    );
    check_general(
        "pod a cpu=1; wants karpenter.sh/initialized In false",
        &expect![[r#"
        no node for pod default/a
          pool general: spec.nodeSelector or spec.affinity.nodeAffinity: karpenter.sh/initialized In [false] is asked for, but the nodes have karpenter.sh/initialized In [true]; ask for a value that the nodes have, or let the NodePool allow it
        price $0.00/h
    "#]],
    );
    let problem = problem(&format!("pool general\npod a cpu=1; {ready}"));
    let [claim] = &solved(&problem).claims[..] else { panic!("one claim") };
    assert!(claim.requirements.get("karpenter.sh/initialized").is_none(), "{:?}", claim.requirements);
    assert!(!claim.labels.contains_key("karpenter.sh/registered"), "{:?}", claim.labels);
}

#[test]
fn a_daemon_that_is_too_large_to_be_read_takes_what_it_requests_wherever_it_may_be() {
    use crate::model::pod::{Excess, Measure, Pod};
    let terms =
        vec![serde_json::json!({ "matchExpressions": [{ "key": "a", "operator": "DoesNotExist" }] }); 101];
    let required = serde_json::json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } });
    let spec = serde_json::json!({
        "containers": [{ "name": "a", "resources": { "requests": { "cpu": "3" } } }], "affinity": { "nodeAffinity": required },
    });
    let template = serde_json::from_value(serde_json::json!({ "spec": spec })).unwrap();
    let daemon = Pod::from_template("shop", &template).unwrap();
    assert_eq!(daemon.excess(), Some(Excess { of: Measure::Terms, count: 101 }));
    let mut problem = problem(
        "type s cpu=4 memory=8Gi pods=10; price 0.1
         pool general
         pod a cpu=4",
    );
    problem.daemons.push(crate::scheduling::Daemon { pod: daemon.clone(), barred: Vec::new() });
    let left_out = solved(&problem).unschedulable;
    assert_eq!(left_out[0].reasons[0].reason.code(), "ResourcesDoNotFit");
    problem.daemons[0].pod.requests = crate::model::testing::resource_list("memory=1Gi");
    let plan = solved(&problem);
    assert_eq!((plan.claims.len(), plan.unschedulable.len()), (1, 0));
    problem.pods.push(crate::scheduling::PendingPod { pod: daemon, workload_type: None });
    let left_out = solved(&problem).unschedulable;
    assert_eq!(left_out[0].reasons[0].reason.code(), "PodTooLarge");
}
