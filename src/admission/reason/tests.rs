use expect_test::expect;

use super::*;
use crate::model::Requirement;
use crate::model::pod::Measure;
use crate::model::testing::{assert_in_troubleshooting, resource_list};

fn toleration(text: &str) -> Toleration<'static> {
    let part = |name: &str| {
        let found = text.split_whitespace().find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().to_owned().into()
    };
    Toleration {
        key: part("key"),
        operator: part("operator"),
        value: part("value"),
        effect: part("effect"),
        seconds: None,
    }
}

/// Examples of each reason, in the order of the enum. The match makes sure that a new reason gets its example and its golden message.
#[expect(clippy::too_many_lines, reason = "one arm for each reason, and there are many")]
fn examples_after(reason: Option<&Reason>) -> Vec<Reason> {
    let owned = |text: &str| text.to_owned();
    let some = |text: &str| Some(text.to_owned());
    let taint = || -> Taint { "node-type=monitoring:NoSchedule".parse().unwrap() };
    let foreign = |path: &str, text: &str, own: Option<&str>| Reason::ForeignToleration {
        path: owned(path),
        toleration: toleration(text),
        taint: taint(),
        owners: vec![owned("monitoring")],
        own_type: own.map(str::to_owned),
    };
    let known = || KnownNames::near("aplication", ["application", "batch", "monitoring"].into_iter());
    match reason {
        None => {
            vec![Reason::MalformedObject { problem: owned("invalid type: integer `1`, expected a string") }]
        }
        Some(Reason::MalformedObject { .. }) => vec![Reason::NamespaceNotKnown],
        Some(Reason::NamespaceNotKnown) => vec![
            Reason::NamespaceClosed { workload_type: owned("aplication"), known: known() },
            Reason::NamespaceClosed { workload_type: owned("x"), known: KnownNames::default() },
        ],
        Some(Reason::NamespaceClosed { .. }) => vec![
            Reason::TypeClosed {
                workload_type: owned("application"),
                problem: some("spec.tolerations: is not supported yet"),
            },
            Reason::TypeClosed { workload_type: owned("application"), problem: None },
        ],
        Some(Reason::TypeClosed { .. }) => vec![
            Reason::TooManyTolerations { path: owned("spec.tolerations"), count: 10_000, added: 0, max: 64 },
            Reason::TooManyTolerations { path: owned("spec.tolerations"), count: 65, added: 2, max: 64 },
        ],
        Some(Reason::TooManyTolerations { .. }) => {
            [("", Measure::Terms), ("spec.template.", Measure::HostPorts)]
                .map(|(path, of)| Reason::PodTooLarge {
                    path: owned(path),
                    excess: Excess { of, count: 3_000 },
                })
                .into()
        }
        Some(Reason::PodTooLarge { .. }) => vec![
            foreign("spec.tolerations[0]", "key=node-type operator=Exists", Some("application")),
            foreign("spec.tolerations[1]", "key=node-type value=monitoring effect=NoSchedule", None),
            foreign(
                "spec.template.spec.tolerations[0]",
                "key=node-type operator=Exists",
                Some("application"),
            ),
        ],
        Some(Reason::ForeignToleration { .. }) => {
            let wildcard = |text: &str, owners: &[&str], own: Option<&str>| Reason::WildcardToleration {
                path: owned("spec.tolerations[0]"),
                toleration: toleration(text),
                owners: owners.iter().map(|name| owned(name)).collect(),
                own_type: own.map(str::to_owned),
            };
            vec![
                wildcard("operator=Exists", &["a", "b", "c", "d", "e", "f", "g"], Some("application")),
                wildcard("operator=Exists effect=NoSchedule", &["monitoring"], None),
            ]
        }
        Some(Reason::WildcardToleration { .. }) => vec![Reason::UnknownTolerationOperator {
            path: owned("spec.tolerations[0]"),
            toleration: toleration("key=node-type operator=StartsWith value=mon"),
            taint: taint(),
            owners: vec![owned("metrics"), owned("monitoring")],
        }],
        Some(Reason::UnknownTolerationOperator { .. }) => vec![Reason::UnregisteredToleration {
            path: owned("spec.tolerations[0]"),
            toleration: toleration("operator=Exists effect=NoExecute"),
        }],
        Some(Reason::UnregisteredToleration { .. }) => vec![Reason::SelectorContradiction {
            path: owned("spec.template.spec.nodeSelector"),
            key: owned("workload-type.node-restriction.kubernetes.io/application"),
            value: owned("no"),
            wanted: owned(""),
            workload_type: owned("application"),
        }],
        Some(Reason::SelectorContradiction { .. }) => [false, true]
            .map(|is_update| Reason::NotInjected {
                workload_type: owned("monitoring"),
                tolerations: vec![taint()],
                selector: vec![owned("workload-type.node-restriction.kubernetes.io/monitoring=")],
                is_update,
            })
            .into(),
        Some(Reason::NotInjected { .. }) => {
            vec![Reason::NodeNameSet {
                path: owned("spec.nodeName"),
                node: owned("ip-10-0-0-7.ec2.internal"),
            }]
        }
        Some(Reason::NodeNameSet { .. }) => vec![Reason::ForgedMirrorPod { user: owned("alice") }],
        Some(Reason::ForgedMirrorPod { .. }) => [some("application"), None]
            .map(|allowed| Reason::TypeNotAllowed {
                path: owned("metadata.labels"),
                workload_type: owned("monitoring"),
                allowed,
            })
            .into(),
        Some(Reason::TypeNotAllowed { .. }) => {
            vec![Reason::TypeLabelChanged { old: None, new: some("monitoring") }]
        }
        Some(Reason::TypeLabelChanged { .. }) => ["", "spec.template."]
            .map(|path| Reason::NeverSchedulable {
                path: owned(path),
                workload_type: owned("application"),
                why: model::Reason::ResourcesDoNotFit {
                    closest: owned("c7i.xlarge"),
                    shortages: resource_list("memory=6485Mi").shortages(&resource_list("memory=6484Mi")),
                },
            })
            .into_iter()
            .chain([Reason::NeverSchedulable {
                path: owned("spec.template."),
                workload_type: owned("application"),
                why: model::Reason::RequirementConflict {
                    incoming: Requirement::one_of("topology.kubernetes.io/zone", ["us-east-1f"]),
                    existing: Requirement::one_of(
                        "topology.kubernetes.io/zone",
                        ["us-east-1a", "us-east-1b"],
                    ),
                },
            }])
            .collect(),
        Some(Reason::NeverSchedulable { .. }) => {
            vec![Reason::UnknownWorkloadType { workload_type: owned("aplication"), known: known() }]
        }
        Some(Reason::UnknownWorkloadType { .. }) => {
            vec![Reason::WorkloadTypeNotKnown { workload_type: owned("application") }]
        }
        Some(Reason::WorkloadTypeNotKnown { .. }) => {
            vec![Reason::TypeBeingDeleted { workload_type: owned("application") }]
        }
        Some(Reason::TypeBeingDeleted { .. }) => vec![Reason::UnknownLabelKey {
            key: owned("treenail.dev/workloadtype"),
            known: KnownNames::near(
                "treenail.dev/workloadtype",
                ["treenail.dev/team", "treenail.dev/workload-type"].into_iter(),
            ),
        }],
        Some(Reason::UnknownLabelKey { .. }) => vec![Reason::InvalidField {
            path: owned("spec.pools[1].name"),
            text: owned("names the same pool again; remove it"),
        }],
        Some(Reason::InvalidField { .. }) => vec![Reason::NotSupportedYet {
            path: owned("spec.enforcement"),
            text: owned("enforcement other than Enforce"),
        }],
        Some(Reason::NotSupportedYet { .. }) => Vec::new(),
    }
}

fn every_example() -> Vec<Reason> {
    let mut examples = examples_after(None);
    loop {
        let next = examples_after(examples.last());
        if next.is_empty() {
            return examples;
        }
        examples.extend(next);
    }
}

#[test]
fn every_reason_has_a_message_with_its_code_the_object_what_is_wrong_and_what_to_do() {
    let denials =
        every_example().into_iter().map(|reason| Denial { object: "pod shop/web".to_owned(), reason });
    let mut shown: Vec<_> = denials.map(|denial| denial.to_string()).collect();
    shown.push(String::new());
    expect![[r#"
        MalformedObject: pod shop/web: it cannot be read: invalid type: integer `1`, expected a string; send an object that the API server accepts
        NamespaceNotKnown: pod shop/web: the labels of its namespace could not be looked up; try again
        NamespaceClosed: pod shop/web: its namespace has the label treenail.dev/workload-type=aplication, and there is no such workload type; have its label corrected (did you mean application? there are: application, batch, monitoring)
        NamespaceClosed: pod shop/web: its namespace has the label treenail.dev/workload-type=x, and there is no such workload type; have its label corrected (there are none)
        TypeClosed: pod shop/web: workload type application is closed: spec.tolerations: is not supported yet; have it corrected: kubectl describe workloadtype application
        TypeClosed: pod shop/web: workload type application is closed: what its pods get has not been published yet; try again in a moment; if it stays, look whether Treenail's controller is running
        TooManyTolerations: pod shop/web: spec.tolerations has 10000 items, and at most 64 are allowed; remove those that match no taint
        TooManyTolerations: pod shop/web: spec.tolerations has 65 items with the 2 that its workload type adds, and at most 64 are allowed; remove those that match no taint
        PodTooLarge: pod shop/web: spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: too large to plan for: 3000 terms, and at most 100 are allowed; join them: one expression In with several values says the same as several terms
        PodTooLarge: pod shop/web: spec.template.spec.containers[*].ports[*].hostPort: too large to plan for: 3000 host ports, and at most 256 are allowed; use fewer, or a Service
        ForeignToleration: pod shop/web: spec.tolerations[0] (key node-type, operator Exists) would match the taint node-type=monitoring:NoSchedule of workload type monitoring; remove it: what pods of workload type application need is added to them
        ForeignToleration: pod shop/web: spec.tolerations[1] (key node-type, value monitoring, effect NoSchedule) would match the taint node-type=monitoring:NoSchedule of workload type monitoring; remove it, or run the pod in a namespace of that workload type
        ForeignToleration: pod shop/web: spec.template.spec.tolerations[0] (key node-type, operator Exists) would match the taint node-type=monitoring:NoSchedule of workload type monitoring; remove it: what pods of workload type application need is added to them
        ForeignToleration: pod shop/web: spec.tolerations[0] (operator Exists) tolerates every taint, those of workload types a, b, c, d, e and 2 more included; remove it: what pods of workload type application need is added to them
        ForeignToleration: pod shop/web: spec.tolerations[0] (operator Exists, effect NoSchedule) tolerates every NoSchedule taint, those of workload type monitoring included; remove it, or name the keys that you mean
        UnknownTolerationOperator: pod shop/web: spec.tolerations[0] has the unknown operator StartsWith on the key of the taint node-type=monitoring:NoSchedule of workload types metrics, monitoring; use Equal or Exists
        UnregisteredToleration: pod shop/web: spec.tolerations[0] (operator Exists, effect NoExecute) would match the taint karpenter.sh/unregistered:NoExecute of nodes that are not ready for pods; remove it, or name the keys that you mean: only pods of DaemonSets may tolerate that taint
        SelectorContradiction: pod shop/web: spec.template.spec.nodeSelector[workload-type.node-restriction.kubernetes.io/application] is "no", and on nodes of workload type application it is ""; remove the key: the right value is added
        NotInjected: pod shop/web: it lacks what workload type monitoring gives its pods: toleration node-type=monitoring:NoSchedule, node selector workload-type.node-restriction.kubernetes.io/monitoring=; Treenail was not asked to add it (it may have been away for a moment), or something removed it again: try again
        NotInjected: pod shop/web: it lacks what workload type monitoring gives its pods: toleration node-type=monitoring:NoSchedule, node selector workload-type.node-restriction.kubernetes.io/monitoring=; delete the pod and create it again, so that it is added
        NodeNameSet: pod shop/web: spec.nodeName is "ip-10-0-0-7.ec2.internal", which bypasses the scheduler, and so every taint; remove it and let the scheduler choose; to debug a node: kubectl debug node/NAME -n kube-system
        ForgedMirrorPod: pod shop/web: metadata.annotations[kubernetes.io/config.mirror] makes it the mirror of a static pod, and alice is not the kubelet of the node in spec.nodeName and its owner; remove the annotation
        TypeNotAllowed: pod shop/web: metadata.labels[treenail.dev/workload-type] is "monitoring", and its namespace may use workload type application only; remove the label, or make it application
        TypeNotAllowed: pod shop/web: metadata.labels[treenail.dev/workload-type] is "monitoring", and its namespace has no workload type; remove the label, or have the namespace labelled treenail.dev/workload-type=monitoring
        TypeLabelChanged: pod shop/web: metadata.labels[treenail.dev/workload-type] would change from absent to "monitoring", and a pod's type never changes; create another pod
        NeverSchedulable: pod shop/web: no node of workload type application can ever run it: spec.containers[*].resources.requests: 6485Mi memory requested, and c7i.xlarge, which comes closest, leaves 6484Mi memory; request less, or let the NodePool use larger instance types
        NeverSchedulable: pod shop/web: no node of workload type application can ever run it: spec.template.spec.containers[*].resources.requests: 6485Mi memory requested, and c7i.xlarge, which comes closest, leaves 6484Mi memory; request less, or let the NodePool use larger instance types
        NeverSchedulable: pod shop/web: no node of workload type application can ever run it: spec.template.spec.nodeSelector or spec.template.spec.affinity.nodeAffinity: topology.kubernetes.io/zone In [us-east-1f] is asked for, but the nodes have topology.kubernetes.io/zone In [us-east-1a, us-east-1b]; ask for a value that the nodes have, or let the NodePool allow it
        UnknownWorkloadType: pod shop/web: metadata.labels[treenail.dev/workload-type] is "aplication", and there is no such workload type; use one that exists (did you mean application? there are: application, batch, monitoring)
        WorkloadTypeNotKnown: pod shop/web: metadata.labels[treenail.dev/workload-type] is "application", and whether there is such a workload type could not be looked up; try again
        TypeBeingDeleted: pod shop/web: metadata.labels[treenail.dev/workload-type] is "application", and that workload type is being deleted; use another type, or wait until it is gone and create it again: kubectl get workloadtype application
        UnknownLabelKey: pod shop/web: metadata.labels[treenail.dev/workloadtype] is a label that means nothing; use one that exists (did you mean treenail.dev/workload-type? there are: treenail.dev/team, treenail.dev/workload-type)
        InvalidField: pod shop/web: spec.pools[1].name: names the same pool again; remove it
        NotSupportedYet: pod shop/web: spec.enforcement is not supported yet (enforcement other than Enforce); leave spec.enforcement out
    "#]].assert_eq(&shown.join("\n"));
}

#[test]
fn codes_are_single_words_and_belong_to_one_reason_each() {
    // A wildcard is a foreign toleration, in other words.
    let examples = every_example().into_iter();
    let examples: Vec<_> =
        examples.filter(|reason| !matches!(reason, Reason::WildcardToleration { .. })).collect();
    let mut codes: Vec<_> = examples.iter().map(Reason::code).collect();
    codes.dedup();
    let distinct: std::collections::BTreeSet<_> = codes.iter().collect();
    assert_eq!(distinct.len(), codes.len());
    assert!(codes.iter().all(|code| code.chars().all(|letter| letter.is_ascii_alphabetic())));
    codes.into_iter().for_each(assert_in_troubleshooting);
}

#[test]
fn hostile_text_stays_on_its_line_and_short() {
    let hostile = "x\nAllowed: \u{1b}[31m".repeat(50);
    let denial = Denial {
        object: hostile.clone(),
        reason: Reason::ForeignToleration {
            path: "spec.tolerations[0]".to_owned(),
            toleration: Toleration {
                key: hostile.clone().into(),
                value: hostile.clone().into(),
                ..Toleration::default()
            },
            taint: Taint {
                key: hostile.clone(),
                value: hostile.clone(),
                effect: crate::model::taints::Effect::NoExecute,
            },
            owners: vec![hostile.clone(); 20],
            own_type: Some(hostile),
        },
    };
    let shown = denial.to_string();
    assert!(!shown.contains(char::is_control), "{shown}");
    assert!(shown.chars().count() < 2000, "{}", shown.len());
}

#[test]
fn the_nearest_name_is_told_and_long_lists_are_cut() {
    let names: Vec<_> = (0..9).map(|number| format!("type-{number}")).collect();
    let known = KnownNames::near("tipe-7", names.iter().map(String::as_str));
    expect![" (did you mean type-7? there are: type-0, type-1, type-2, type-3, type-4 and 4 more)"]
        .assert_eq(&known.to_string());
}
