#![expect(
    clippy::needless_raw_string_hashes,
    reason = "expect-test writes them when it updates a golden text"
)]

use expect_test::{Expect, expect};

use super::*;
use crate::model::{
    label::LabelKeys,
    pod::{Measure, PodKey},
    quantity::Quantity,
    requirements::{Requirements, Undefined},
    resources::InvalidAmount,
    testing::resource_list as list,
};

/// One reason of each kind, in the order of the enum. The match makes sure that a new kind gets its example and its golden message.
#[expect(clippy::too_many_lines, reason = "one example of each reason, and there are many")]
fn example_after(reason: Option<&Reason>) -> Option<Reason> {
    let owned = |text: &str| text.to_owned();
    let until = "2026-03-01T12:00:30Z".parse().unwrap();
    Some(match reason {
        None => Reason::TaintNotTolerated { taint: "node-type=application:NoSchedule".parse().unwrap() },
        Some(Reason::TaintNotTolerated { .. }) => Reason::CreatedBeforeItsType {
            workload_type: owned("application"),
            taint: "node-type=application:NoSchedule".parse().unwrap(),
        },
        Some(Reason::CreatedBeforeItsType { .. }) => Reason::RequirementConflict {
            incoming: Requirement::one_of("kubernetes.io/arch", ["arm64"]),
            existing: Requirement::one_of("kubernetes.io/arch", ["amd64"]),
        },
        Some(Reason::RequirementConflict { .. }) => Reason::LabelUndefined {
            incoming: Requirement::one_of("nodetype", ["application"]),
            hint: Some(owned("node-type")),
        },
        Some(Reason::LabelUndefined { .. }) => Reason::RequirementContradiction { key: owned("team") },
        Some(Reason::RequirementContradiction { .. }) => Reason::NodeAffinityUnusable {
            terms: vec![(0, UnusableTerm::Empty), (1, UnusableTerm::Contradiction { key: owned("team") })],
        },
        Some(Reason::NodeAffinityUnusable { .. }) => Reason::ResourcesDoNotFit {
            closest: owned("c7i.24xlarge"),
            shortages: vec![
                Shortage {
                    resource: owned("cpu"),
                    requested: Quantity::from_units(100),
                    available: Quantity::from_milli(95_690),
                },
                Shortage {
                    resource: owned("memory"),
                    requested: Quantity::from_bytes(1 << 40),
                    available: Quantity::from_bytes(180 << 30),
                },
            ],
        },
        Some(Reason::ResourcesDoNotFit { .. }) => Reason::HostPortTaken {
            port: HostPort { ip: owned("0.0.0.0"), port: 9100, protocol: owned("TCP") },
        },
        Some(Reason::HostPortTaken { .. }) => Reason::NoInstanceType {
            requirements: [
                Requirement::one_of("kubernetes.io/arch", ["arm64"]),
                Requirement::one_of("karpenter.k8s.aws/instance-gpu-name", ["l4"]),
            ]
            .into_iter()
            .collect(),
        },
        Some(Reason::NoInstanceType { .. }) => Reason::NoOffering,
        Some(Reason::NoOffering) => Reason::NoSubnet {
            node_class: owned("default"),
            zones: Requirement::one_of("topology.kubernetes.io/zone", ["us-east-1d"]),
        },
        Some(Reason::NoSubnet { .. }) => Reason::LimitReached {
            exceeded: vec![LimitExceeded {
                resource: owned("cpu"),
                limit: Quantity::from_units(100),
                held: Quantity::from_units(96),
                added: Quantity::from_units(8),
            }],
        },
        Some(Reason::LimitReached { .. }) => {
            Reason::PoolNotReady { why: owned("EC2NodeClass default is not ready") }
        }
        Some(Reason::PoolNotReady { .. }) => Reason::PoolMissing,
        Some(Reason::PoolMissing) => Reason::NoPool { workload_type: Some(owned("application")) },
        Some(Reason::NoPool { .. }) => Reason::WorkloadTypeClosed {
            workload_type: owned("application"),
            problem: owned("spec.pools: names no pool; name at least one NodePool"),
        },
        Some(Reason::WorkloadTypeClosed { .. }) => {
            Reason::WorkloadTypeNotAllowed { workload_type: owned("application"), namespace: owned("shop") }
        }
        Some(Reason::WorkloadTypeNotAllowed { .. }) => {
            Reason::NamespaceNotLabelled { workload_type: owned("application"), namespace: owned("shop") }
        }
        Some(Reason::NamespaceNotLabelled { .. }) => Reason::NeverBound { times: 3, until },
        Some(Reason::NeverBound { .. }) => Reason::NodesLost { times: 2, until },
        Some(Reason::NodesLost { .. }) => Reason::ClaimRefused { times: 2, until },
        Some(Reason::ClaimRefused { .. }) => Reason::FallbackNotDue { pool: owned("application") },
        Some(Reason::FallbackNotDue { .. }) => Reason::TooFewValues {
            shortfalls: vec![MinValuesShortfall {
                key: owned("karpenter.k8s.aws/instance-family"),
                wanted: 3,
                found: 1,
            }],
        },
        Some(Reason::TooFewValues { .. }) => Reason::NotSupportedYet {
            constraint: UnsupportedConstraint::TopologySpread {
                topology_key: owned("kubernetes.io/hostname"),
            },
        },
        Some(Reason::NotSupportedYet { .. }) => {
            Reason::PodTooLarge(Excess { of: Measure::Terms, count: 3_000 })
        }
        Some(Reason::PodTooLarge(_)) => Reason::MalformedPod(MalformedPod {
            pod: PodKey { namespace: owned("team-a"), name: owned("web-0") },
            problems: vec![(
                owned("spec.containers[0].resources.requests"),
                InvalidAmount { resource: owned("memory"), source: "1 Gi".parse::<Quantity>().unwrap_err() },
            )],
        }),
        Some(Reason::MalformedPod(_)) => Reason::NotProvisionable(NotProvisionable::Gated),
        Some(Reason::NotProvisionable(_)) => return None,
    })
}

fn every_example() -> Vec<Reason> {
    std::iter::successors(example_after(None), |reason| example_after(Some(reason))).collect()
}

#[test]
fn every_reason_names_its_code_the_field_what_is_wrong_and_what_to_do() {
    let shown: Vec<_> =
        every_example().iter().map(|reason| format!("{}\n  {reason}\n", reason.code())).collect();
    expect![[r#"
        TaintNotTolerated
          spec.tolerations: the taint node-type=application:NoSchedule is not tolerated; tolerate it if the pod belongs there, or select other nodes
        CreatedBeforeItsType
          spec.tolerations: the pod was created before its namespace had the workload type application, or before that had the taint node-type=application:NoSchedule; create it anew (kubectl rollout restart), and admission adds what pods of the type need
        RequirementConflict
          spec.nodeSelector or spec.affinity.nodeAffinity: kubernetes.io/arch In [arm64] is asked for, but the nodes have kubernetes.io/arch In [amd64]; ask for a value that the nodes have, or let the NodePool allow it
        LabelUndefined
          spec.nodeSelector or spec.affinity.nodeAffinity: nodetype In [application] is asked for, but the nodes do not have the label; did you mean node-type?
        RequirementContradiction
          spec.nodeSelector or spec.affinity.nodeAffinity: the requirements on team contradict each other; remove all but one of them
        NodeAffinityUnusable
          spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: no term can match any node ([0]: it is empty, and an empty term matches no node; [1]: its requirements on team contradict each other or those of the node selector); correct one of them, or remove the affinity
        ResourcesDoNotFit
          spec.containers[*].resources.requests: 100 cpu, 1Ti memory requested, and c7i.24xlarge, which comes closest, leaves 95690m cpu, 180Gi memory; request less, or let the NodePool use larger instance types
        HostPortTaken
          spec.containers[*].ports[*].hostPort: TCP 9100 is taken on the node by another pod; use another host port, or none
        NoInstanceType
          spec.template.spec.requirements: no instance type has karpenter.k8s.aws/instance-gpu-name In [l4], kubernetes.io/arch In [arm64]; ask for a combination that exists, or let the NodePool allow more
        NoOffering
          no instance type that would do can be bought now; allow more instance types, zones or capacity types, or wait until there is capacity
        NoSubnet
          the instance types that will do are offered with topology.kubernetes.io/zone In [us-east-1d], where EC2NodeClass default has no subnet; ask for others, or let spec.subnetSelectorTerms of the class select one there
        LimitReached
          spec.limits: limit of 100 cpu: 96 held, 8 would be added; raise the limit, or wait until nodes are gone
        PoolNotReady
          no node of the pool may be launched: EC2NodeClass default is not ready; as soon as that is corrected, nodes are launched from it
        PoolMissing
          spec.pools: there is no such NodePool; create it, or take it out of the workload type
        NoPool
          the workload type application has no pool, or does not exist; add a pool to the workload type
        WorkloadTypeClosed
          the workload type application is closed: spec.pools: names no pool; name at least one NodePool; correct the WorkloadType
        WorkloadTypeNotAllowed
          metadata.labels[treenail.dev/workload-type]: the namespace shop may not use the workload type application; label the namespace with the type, or create the pod without the label
        NamespaceNotLabelled
          spec.nodeSelector or spec.affinity.nodeAffinity: nodes of the workload type application are asked for, and the namespace shop has no workload type; label the namespace shop treenail.dev/workload-type=application and create the pod anew, or do not ask for these nodes
        NeverBound
          3 times a node was there for the pod and kube-scheduler did not bind it; the next one is launched after 2026-03-01T12:00:30Z; see kube-scheduler's event on the pod for what those nodes lacked, and request or select less
        NodesLost
          2 times the node that was launched for the pod was given up before the pod could use it; the next one is launched after 2026-03-01T12:00:30Z; see the events of the NodeClaims and of the node class for what went wrong
        ClaimRefused
          2 times the API server refused to create the NodeClaim of a node for the pod; it is tried again after 2026-03-01T12:00:30Z; see the event NodeClaimNotCreated of the NodePool for what was refused
        FallbackNotDue
          pool application comes first, and may be of use again soon; wait: this pool is used once that one has been short for a while
        TooFewValues
          spec.template.spec.requirements: needs 3 values of karpenter.k8s.aws/instance-family, has 1; lower minValues, or allow more instance types
        NotSupportedYet
          spec.topologySpreadConstraints: not supported yet: required topology spread over kubernetes.io/hostname; remove it, or set whenUnsatisfiable to ScheduleAnyway
        PodTooLarge
          spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: too large to plan for: 3000 terms, and at most 100 are allowed; join them: one expression In with several values says the same as several terms
        MalformedPod
          pod team-a/web-0: spec.containers[0].resources.requests: resource memory: quantity "1 Gi" has the unknown suffix " Gi"; use one of n u m k M G T P E Ki Mi Gi Ti Pi Ei, or an exponent like e3; correct the pod
        NotProvisionable
          no node is launched for this pod: it has scheduling gates; whoever set the gates has to remove them
    "#]].assert_eq(&shown.concat());
}

#[test]
fn the_label_of_a_type_is_nothing_that_a_template_could_give() {
    let incoming = Requirement::one_of(&labels::node_type_label("application"), [""]);
    check(
        Reason::LabelUndefined { incoming, hint: None },
        &expect![[
            r#"spec.nodeSelector or spec.affinity.nodeAffinity: workload-type.node-restriction.kubernetes.io/application In [""] is asked for, but the nodes do not have the label; do not ask for it: Treenail gives it only to nodes of pools that WorkloadType application names"#
        ]],
    );
}

#[test]
fn codes_are_distinct_single_words() {
    let codes: Vec<_> = every_example().iter().map(Reason::code).collect();
    for (i, code) in codes.iter().enumerate() {
        assert!(code.chars().all(|c| c.is_ascii_alphabetic()), "{code}");
        assert!(!codes[..i].contains(code), "{code} twice");
    }
}

#[track_caller]
fn check(reason: impl Into<Reason>, expected: &Expect) {
    expected.assert_eq(&reason.into().to_string());
}

#[test]
fn a_pod_that_is_not_to_be_provisioned_for_is_told_what_it_waits_for() {
    use NotProvisionable::{
        Bound, DaemonSet, Finished, Gated, Mirror, Nominated, NotUnschedulable, Terminating,
    };
    let all = [Bound, Finished, Terminating, Gated, Nominated, DaemonSet, Mirror, NotUnschedulable];
    let shown: Vec<_> = all.into_iter().map(|why| format!("{}\n", Reason::from(why))).collect();
    expect![[r#"
        no node is launched for this pod: it is bound to a node; there is nothing to do
        no node is launched for this pod: it has finished; there is nothing to do
        no node is launched for this pod: it is being deleted; there is nothing to do
        no node is launched for this pod: it has scheduling gates; whoever set the gates has to remove them
        no node is launched for this pod: the scheduler has nominated a node for it; wait for the preemption
        no node is launched for this pod: it belongs to a DaemonSet; it runs on nodes that are there
        no node is launched for this pod: it mirrors a static pod of its node; it runs on nodes that are there
        no node is launched for this pod: the scheduler has not found it unschedulable; wait for the scheduler named in spec.schedulerName, and see that it is running
    "#]].assert_eq(&shown.concat());
}

#[test]
fn what_no_machine_has_is_not_had_by_larger_ones() {
    let short = |resource: &str, available: i64| Shortage {
        resource: resource.to_owned(),
        requested: Quantity::from_units(2),
        available: Quantity::from_units(available),
    };
    let of = |shortages| Reason::ResourcesDoNotFit { closest: "m5.large".to_owned(), shortages };
    check(
        of(vec![short("nvidia.com/gpu", 0), short("cpu", 1)]),
        &expect![
            "spec.containers[*].resources.requests: 2 nvidia.com/gpu, 2 cpu requested, and m5.large, which comes closest, leaves 0 nvidia.com/gpu, 1 cpu; do not request it, or let the NodePool use instance types that have nvidia.com/gpu"
        ],
    );
    check(
        of(vec![short("nvidia.com/gpu", 1)]),
        &expect![
            "spec.containers[*].resources.requests: 2 nvidia.com/gpu requested, and m5.large, which comes closest, leaves 1 nvidia.com/gpu; request less, or let the NodePool use larger instance types"
        ],
    );
    check(
        of(vec![short("cpu", 1), short("hugepages-2Mi", 0)]),
        &expect![
            "spec.containers[*].resources.requests: 2 cpu, 2 hugepages-2Mi requested, and m5.large, which comes closest, leaves 1 cpu, 0 hugepages-2Mi; do not request huge pages: they need kernel settings in user data, which is not supported yet"
        ],
    );
    check(
        Reason::NoInstanceType { requirements: Requirements::new() },
        &expect![
            "spec.template.spec.requirements: there is no instance type; ask for a combination that exists, or let the NodePool allow more"
        ],
    );
}

#[test]
fn what_has_no_details_reads_well_too() {
    check(
        Reason::NodeAffinityUnusable { terms: Vec::new() },
        &expect![
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: there is no term, and so no node matches; correct one of them, or remove the affinity"
        ],
    );
    check(
        Reason::NoPool { workload_type: None },
        &expect![
            "every NodePool belongs to a workload type, and the pod has none; label the namespace with a workload type, or create a NodePool that no type uses"
        ],
    );
    check(
        Reason::LabelUndefined { incoming: Requirement::exists("team"), hint: None },
        &expect![
            "spec.nodeSelector or spec.affinity.nodeAffinity: team Exists is asked for, but the nodes do not have the label; add the label to the NodePool's template, or do not ask for it"
        ],
    );
}

#[test]
fn incompatible_requirements_become_reasons_with_their_hint() {
    let node: Requirements =
        [Requirement::exists("node-type"), Requirement::one_of("size", ["s"])].into_iter().collect();
    let pod: Requirements = [
        Requirement::one_of("nodetype", ["a"]),
        Requirement::one_of("size", ["m"]),
        Requirement::one_of("team", ["a"]),
        Requirement::one_of("team", ["b"]),
    ]
    .into_iter()
    .collect();
    let known = LabelKeys::default();
    let obstacles = node.compatible(&pod, Undefined::Allowed(&known)).unwrap_err();
    let shown: Vec<_> = obstacles.iter().map(|obstacle| format!("{}\n", Reason::from(obstacle))).collect();
    expect![[r#"
        spec.nodeSelector or spec.affinity.nodeAffinity: nodetype In [a] is asked for, but the nodes do not have the label; did you mean node-type?
        spec.nodeSelector or spec.affinity.nodeAffinity: size In [m] is asked for, but the nodes have size In [s]; ask for a value that the nodes have, or let the NodePool allow it
        spec.nodeSelector or spec.affinity.nodeAffinity: the requirements on team contradict each other; remove all but one of them
    "#]].assert_eq(&shown.concat());
}

#[test]
fn text_from_objects_cannot_break_the_line() {
    let hostile = "x\ny\u{1b}";
    for reason in [
        Reason::LabelUndefined {
            incoming: Requirement::one_of(hostile, [hostile]),
            hint: Some(hostile.to_owned()),
        },
        Reason::RequirementContradiction { key: hostile.to_owned() },
        Reason::ResourcesDoNotFit { closest: hostile.to_owned(), shortages: Vec::new() },
    ] {
        assert!(!reason.to_string().contains(char::is_control), "{reason:?}");
    }
}

#[test]
fn what_comes_closest_lacks_the_fewest_resources_and_of_those_the_smallest_part() {
    type Places<'a> = &'a [(&'a str, &'a str)];
    let closest = |places: Places<'_>| {
        let places: Vec<_> = places.iter().map(|(name, left)| (*name, list(left))).collect();
        Reason::does_not_fit(&list("cpu=8 memory=64Gi"), places.iter().map(|(name, left)| (*name, left)))
            .map(|reason| reason.to_string())
    };
    let cases: [(Places<'_>, Option<&str>); 4] = [
        (&[], None),
        (&[("small", "cpu=1 memory=1Gi"), ("large", "cpu=8 memory=64Gi")], None),
        (
            &[("a", "cpu=7 memory=63Gi"), ("b", "cpu=8 memory=8Gi"), ("c", "cpu=16 memory=48Gi")],
            Some("64Gi memory requested, and c, which comes closest, leaves 48Gi memory"),
        ),
        (
            &[("a", "cpu=2 memory=8Gi"), ("b", "cpu=4 memory=8Gi")],
            Some("8 cpu, 64Gi memory requested, and a, which comes closest, leaves 2 cpu, 8Gi memory"),
        ),
    ];
    for (places, expected) in cases {
        let shown = closest(places);
        assert_eq!(shown.is_some(), expected.is_some(), "{shown:?}");
        assert!(shown.unwrap_or_default().contains(expected.unwrap_or_default()), "{expected:?}");
    }
}

#[test]
fn long_lists_are_cut_whoever_made_them() {
    let terms =
        |count| Reason::NodeAffinityUnusable { terms: vec![(0, UnusableTerm::Empty); count] }.to_string();
    assert!(!terms(5).contains(" more"), "{}", terms(5));
    assert!(terms(7).contains("; and 2 more)"), "{}", terms(7));
    let names: Vec<_> = (0..1000).map(|number| format!("example.com/r{number}=1")).collect();
    let shortages = list(&names.join(" ")).shortages(&list("cpu=1"));
    let reason = Reason::ResourcesDoNotFit { closest: "c7i.large".to_owned(), shortages };
    let keys: Vec<_> = (0..1000).map(|number| format!("k{number} Exists")).collect();
    let requirements = crate::model::testing::requirements(&keys.join(", "));
    assert!(requirements.to_string().ends_with(" and 990 more"), "{requirements}");
    let empty = Requirements::new();
    let undefined =
        empty.compatible(&requirements, crate::model::requirements::Undefined::Denied).unwrap_err();
    assert!(undefined.to_string().ends_with("; and 990 more"), "{undefined}");
    let problem = || {
        (
            "spec.containers[0]".to_owned(),
            InvalidAmount { resource: "cpu".to_owned(), source: "x".parse::<Quantity>().unwrap_err() },
        )
    };
    let malformed = MalformedPod {
        pod: PodKey::default(),
        problems: std::iter::repeat_with(problem).take(1000).collect(),
    };
    assert!(malformed.to_string().ends_with("; and 995 more"), "{malformed}");
    for shown in [terms(450_000), reason.to_string(), Reason::NoInstanceType { requirements }.to_string()] {
        assert!(shown.len() < 2000, "{}", shown.len());
    }
}
