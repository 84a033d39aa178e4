use expect_test::expect;

use super::*;

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
        Some(Reason::TooManyTolerations { .. }) => vec![
            foreign("spec.tolerations[0]", "operator=Exists", Some("application")),
            foreign("spec.tolerations[1]", "key=node-type value=monitoring effect=NoSchedule", None),
            foreign(
                "spec.template.spec.tolerations[0]",
                "key=node-type operator=Exists",
                Some("application"),
            ),
        ],
        Some(Reason::ForeignToleration { .. }) => vec![Reason::UnknownTolerationOperator {
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
        Some(Reason::TypeLabelChanged { .. }) => {
            vec![Reason::UnknownWorkloadType { workload_type: owned("aplication"), known: known() }]
        }
        Some(Reason::UnknownWorkloadType { .. }) => vec![Reason::UnknownLabelKey {
            key: owned("treenail.dev/workloadtype"),
            known: KnownNames::near(
                "treenail.dev/workloadtype",
                ["treenail.dev/team", "treenail.dev/workload-type"].into_iter(),
            ),
        }],
        Some(Reason::UnknownLabelKey { .. }) => vec![Reason::InvalidField {
            path: owned("spec.pools[1].name"),
            text: owned("names the same pool again"),
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
    let shown: String = every_example()
        .into_iter()
        .map(|reason| format!("{}\n", Denial { object: "pod shop/web".to_owned(), reason }))
        .collect();
    expect![[r#""#]].assert_eq(&shown);
}

#[test]
fn codes_are_single_words_and_belong_to_one_reason_each() {
    let mut codes: Vec<_> = every_example().iter().map(Reason::code).collect();
    codes.dedup();
    let distinct: std::collections::BTreeSet<_> = codes.iter().collect();
    assert_eq!(distinct.len(), codes.len());
    assert!(codes.iter().all(|code| code.chars().all(|letter| letter.is_ascii_alphabetic())));
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
    expect![", did you mean type-7? (there are: type-0, type-1, type-2, type-3, type-4 and 4 more)"]
        .assert_eq(&known.to_string());
}
