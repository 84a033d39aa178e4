use proptest::prelude::*;

use super::*;

#[track_caller]
fn taint(text: &str) -> Taint {
    text.parse().unwrap()
}

/// Reads `key Op value effect seconds`, with `-` for what is absent.
#[track_caller]
fn toleration(text: &'static str) -> Toleration<'static> {
    let mut words = text.split_whitespace().map(|word| if word == "-" { "" } else { word });
    let mut next = || Cow::Borrowed(words.next().unwrap_or_default());
    let (key, operator, value, effect, seconds) = (next(), next(), next(), next(), next());
    Toleration { key, operator, value, effect, seconds: seconds.parse().ok() }
}

#[test]
fn a_toleration_matches_as_kubernetes_matches() {
    use Tolerance::{No, Unknown, Yes};
    let cases = [
        ("node-type Equal application NoSchedule", "node-type=application:NoSchedule", Yes),
        ("node-type - application NoSchedule", "node-type=application:NoSchedule", Yes),
        ("node-type Equal monitoring NoSchedule", "node-type=application:NoSchedule", No),
        ("node-type Equal application NoExecute", "node-type=application:NoSchedule", No),
        ("node-type Equal application -", "node-type=application:NoExecute", Yes),
        ("node-type Exists - NoSchedule", "node-type=application:NoSchedule", Yes),
        ("node-type Exists ignored NoSchedule", "node-type=application:NoSchedule", Yes),
        ("node-type Exists - -", "node-type=application:PreferNoSchedule", Yes),
        ("- Exists - -", "node-type=application:NoSchedule", Yes),
        ("- Exists - NoExecute", "node-type=application:NoSchedule", No),
        ("- Equal application -", "node-type=application:NoSchedule", Yes),
        ("- - - -", "node-type:NoSchedule", Yes),
        ("other Exists - -", "node-type=application:NoSchedule", No),
        ("Node-Type Exists - -", "node-type=application:NoSchedule", No),
        ("node-type Equal Application -", "node-type=application:NoSchedule", No),
        ("node-type Exists - noschedule", "node-type=application:NoSchedule", No),
        ("node-type Gt 5 NoSchedule", "node-type=6:NoSchedule", Yes),
        ("node-type Gt 5 NoSchedule", "node-type=5:NoSchedule", No),
        ("node-type Lt 5 NoSchedule", "node-type=-4:NoSchedule", Yes),
        ("node-type Lt 5 NoSchedule", "node-type=5:NoSchedule", No),
        ("node-type Gt 5 NoSchedule", "node-type=06:NoSchedule", No),
        ("node-type Gt 05 NoSchedule", "node-type=6:NoSchedule", No),
        ("node-type Gt +5 NoSchedule", "node-type=6:NoSchedule", No),
        ("node-type Gt -1 NoSchedule", "node-type=-0:NoSchedule", No),
        ("node-type Gt -1 NoSchedule", "node-type=0:NoSchedule", Yes),
        ("node-type Gt 5 NoSchedule", "node-type=9223372036854775808:NoSchedule", No),
        ("node-type Lt application NoSchedule", "node-type=application:NoSchedule", No),
        ("node-type exists - NoSchedule", "node-type=application:NoSchedule", Unknown),
        ("node-type SemverGt 1.2.0 -", "node-type=1.3.0:NoSchedule", Unknown),
        ("node-type exists - NoExecute", "node-type=application:NoSchedule", No),
        ("other exists - -", "node-type=application:NoSchedule", No),
        ("- exists - -", "node-type=application:NoSchedule", Unknown),
    ];
    for (text, tainted, expected) in cases {
        assert_eq!(toleration(text).matches(&taint(tainted)), expected, "{text} / {tainted}");
        assert_eq!(toleration(text).tolerates(&taint(tainted)), expected == Yes, "{text} / {tainted}");
    }
}

#[test]
fn every_taint_must_be_tolerated_by_some_toleration() {
    let taints = ["a=1:NoSchedule", "b:NoExecute", "c=3:PreferNoSchedule"].map(taint);
    let tolerations = [toleration("b Exists"), toleration("a Equal 1")];
    assert_eq!(first_untolerated(&taints, &tolerations), Some(&taints[2]));
    assert_eq!(first_untolerated(taints.iter().filter(|taint| taint.effect.is_hard()), &tolerations), None);
    assert_eq!(first_untolerated(&taints, &[]), Some(&taints[0]));
    assert_eq!(first_untolerated(&[], &[]), None);
}

#[test]
fn a_toleration_covers_another_only_if_it_tolerates_as_much_and_as_long() {
    let cases = [
        ("k Equal v NoSchedule", "k Equal v NoSchedule", true),
        ("k - v NoSchedule", "k Equal v NoSchedule", true),
        ("k Exists - NoSchedule", "k Equal v NoSchedule", true),
        ("k Equal v -", "k Equal v NoSchedule", true),
        ("- Exists - -", "k Equal v NoSchedule", true),
        ("k Equal w NoSchedule", "k Equal v NoSchedule", false),
        ("k Equal v NoExecute", "k Equal v NoSchedule", false),
        ("k Equal v NoSchedule", "k Equal v -", false),
        ("k Equal v NoSchedule", "k Exists - NoSchedule", false),
        ("k Exists - -", "- Exists - -", false),
        ("k Exists - NoExecute 300", "k Equal v NoExecute", false),
        ("k Exists - NoExecute 300", "k Equal v NoExecute 300", true),
        ("k Exists - NoExecute 300", "k Equal v NoExecute 301", false),
        ("k Exists - NoExecute", "k Equal v NoExecute 300", true),
        ("k Exists - NoExecute -5", "k Equal v NoExecute 0", true),
        ("k Exists - - 300", "k Equal v NoSchedule", true),
        ("k Exists - - 300", "k Equal v -", false),
        ("k Lt 5 -", "k Lt 4 -", true),
        ("k Lt 5 -", "k Lt 6 -", false),
        ("k Gt 5 -", "k Gt 6 -", true),
        ("k Gt 5 -", "k Gt 4 -", false),
        ("k exists - -", "k Equal v -", false),
    ];
    for (existing, wanted, covered) in cases {
        assert_eq!(toleration(existing).covers(&toleration(wanted)), covered, "{existing} / {wanted}");
    }
}

#[test]
fn a_comparison_never_covers_a_single_value_because_the_cluster_may_not_compare() {
    assert!(!toleration("k Gt 5 NoSchedule").covers(&toleration("k Equal 6 NoSchedule")));
}

#[test]
fn taints_are_written_and_read_as_kubectl_writes_them() {
    for text in
        ["node-type=application:NoSchedule", "dedicated:NoExecute", "example.com/a=b:PreferNoSchedule"]
    {
        assert_eq!(taint(text).to_string(), text);
    }
    let cases = [
        (
            "node-type=application",
            "taint node-type: unknown effect \"\"; use NoSchedule, PreferNoSchedule or NoExecute",
        ),
        (
            "a=b:noschedule",
            "taint a: unknown effect \"noschedule\"; use NoSchedule, PreferNoSchedule or NoExecute",
        ),
        (
            "=b:NoSchedule",
            "taint \"=b:NoSchedule\" has no key; write it like node-type=application:NoSchedule",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(text.parse::<Taint>().unwrap_err().to_string(), message);
    }
}

#[test]
fn tolerations_are_shown_as_kubectl_describes_them() {
    let cases = [
        ("node-type Equal application NoSchedule", "node-type=application:NoSchedule"),
        (
            "node.kubernetes.io/not-ready Exists - NoExecute 300",
            "node.kubernetes.io/not-ready:NoExecute op=Exists for 300s",
        ),
        ("- Exists - -", "op=Exists"),
        ("- Exists - NoSchedule", ":NoSchedule op=Exists"),
        ("k Gt 5 -", "k=5 op=Gt"),
        ("k - v -", "k=v"),
    ];
    for (text, shown) in cases {
        assert_eq!(toleration(text).to_string(), shown);
    }
}

#[test]
fn ephemeral_taints_are_known_by_key_and_effect() {
    let cases = [
        ("node.kubernetes.io/not-ready:NoSchedule", true),
        ("node.kubernetes.io/not-ready:NoExecute", true),
        ("node.kubernetes.io/unreachable:NoSchedule", true),
        ("node.kubernetes.io/unreachable:NoExecute", false),
        ("node.cloudprovider.kubernetes.io/uninitialized=true:NoSchedule", true),
        ("node.cloudprovider.kubernetes.io/uninitialized:NoSchedule", true),
        ("karpenter.sh/unregistered:NoExecute", true),
        ("karpenter.sh/unregistered:NoSchedule", false),
        ("readiness.k8s.io/cni:NoExecute", true),
        ("readiness.k8s.io/cni=x:PreferNoSchedule", true),
        ("node.kubernetes.io/unschedulable:NoSchedule", false),
        ("node.kubernetes.io/memory-pressure:NoSchedule", false),
        ("node-type=application:NoSchedule", false),
    ];
    for (text, expected) in cases {
        assert_eq!(taint(text).is_ephemeral(), expected, "{text}");
    }
}

#[test]
fn merging_keeps_the_value_that_is_there() {
    let mut taints = vec![taint("a=1:NoSchedule")];
    merge(&mut taints, ["a=2:NoSchedule", "a=3:NoExecute", "b:NoSchedule", "b=x:NoSchedule"].map(taint));
    let shown: Vec<_> = taints.iter().map(Taint::to_string).collect();
    assert_eq!(shown, ["a=1:NoSchedule", "a=3:NoExecute", "b:NoSchedule"]);
}

#[test]
fn api_objects_are_read_and_written_without_loss() {
    let original = ApiToleration {
        key: Some("node-type".into()),
        operator: None,
        value: Some("application".into()),
        effect: None,
        toleration_seconds: Some(5),
    };
    assert_eq!(ApiToleration::from(&Toleration::from(&original)), original);
    let original = ApiTaint { key: "dedicated".into(), effect: "NoExecute".into(), ..ApiTaint::default() };
    assert_eq!(ApiTaint::from(&Taint::try_from(&original).unwrap()), original);
    assert!(Taint::try_from(&ApiTaint { effect: String::new(), ..original.clone() }).is_err());
    assert!(Taint::try_from(&ApiTaint { key: String::new(), ..original }).is_err());
}

fn any_toleration() -> impl Strategy<Value = Toleration<'static>> {
    let text = |choices: &'static [&'static str]| proptest::sample::select(choices).prop_map(Cow::Borrowed);
    (
        text(&["", "a", "b"]),
        text(&["", "Equal", "Exists", "Lt", "Gt", "exists"]),
        text(&["", "x", "1", "2", "02", "3"]),
        text(&["", "NoSchedule", "NoExecute", "Never"]),
        proptest::option::of(-1_i64..3),
    )
        .prop_map(|(key, operator, value, effect, seconds)| Toleration {
            key,
            operator,
            value,
            effect,
            seconds,
        })
}

fn every_taint() -> impl Iterator<Item = Taint> {
    ["a", "b", "c"].into_iter().flat_map(|key| {
        ["", "x", "y", "0", "1", "2", "02", "3", "4"].into_iter().flat_map(move |value| {
            [Effect::NoSchedule, Effect::PreferNoSchedule, Effect::NoExecute].map(|effect| Taint {
                key: key.into(),
                value: value.into(),
                effect,
            })
        })
    })
}

/// For how long a toleration keeps a pod on a node with this taint: not at all, or up to a number of seconds.
fn time_with(toleration: &Toleration<'_>, taint: &Taint) -> Option<i64> {
    let evicts = taint.effect == Effect::NoExecute;
    toleration
        .tolerates(taint)
        .then(|| toleration.seconds.filter(|_| evicts).map_or(i64::MAX, |seconds| seconds.max(0)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_covers_another_tolerates_everything_that_it_tolerates_and_as_long(a in any_toleration(), b in any_toleration()) {
        if a.covers(&b) {
            for taint in every_taint() {
                prop_assert!(time_with(&a, &taint) >= time_with(&b, &taint), "{:?} covers {:?} but not at {}", a, b, taint);
            }
        }
    }

    #[test]
    fn a_toleration_of_one_taint_is_covered_exactly_by_what_tolerates_that_taint_for_ever(existing in any_toleration(), taint in proptest::sample::select(every_taint().collect::<Vec<_>>())) {
        let compares = matches!(existing.operator(), TolerationOperator::Lt | TolerationOperator::Gt);
        let expected = !compares && time_with(&existing, &taint) == Some(i64::MAX);
        prop_assert_eq!(existing.covers(&Toleration::of(&taint)), expected);
    }

    #[test]
    fn the_toleration_of_a_taint_matches_that_taint_alone(taint in proptest::sample::select(every_taint().collect::<Vec<_>>())) {
        for other in every_taint() {
            prop_assert_eq!(Toleration::of(&taint).tolerates(&other), other == taint);
        }
    }

    #[test]
    fn covering_is_reflexive_for_known_operators_and_transitive(a in any_toleration(), b in any_toleration(), c in any_toleration()) {
        if matches!(a.operator(), TolerationOperator::Equal | TolerationOperator::Exists) {
            prop_assert!(a.covers(&a));
        }
        if a.covers(&b) && b.covers(&c) {
            prop_assert!(a.covers(&c));
        }
    }

    #[test]
    fn any_text_is_a_taint_or_refused_without_panic(text in any::<String>()) {
        let shown = text.parse::<Taint>().map_or_else(|error| error.to_string(), |taint| taint.to_string());
        prop_assert!(!shown.contains(char::is_control), "{}", shown);
    }
}
