use proptest::prelude::*;

use super::*;

/// Taints with their owners, as `key=value:Effect owner owner`, one a line.
fn owned(text: &str) -> OwnedTaints {
    let mut owned = OwnedTaints::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let taint: Taint = words.next().unwrap().parse().unwrap();
        words.for_each(|owner| owned.insert(&taint, owner));
    }
    owned
}

/// `key operator value effect`, each `-` if absent.
fn toleration(text: &str) -> Toleration<'_> {
    let mut words = text.split_whitespace().map(|word| if word == "-" { "" } else { word }.into());
    let mut next = || words.next().unwrap_or_default();
    Toleration { key: next(), operator: next(), value: next(), effect: next(), seconds: None }
}

#[test]
fn a_toleration_reaches_what_the_scheduler_would_let_it() {
    let taints = owned(
        "node-type=application:NoSchedule application
         node-type=monitoring:NoSchedule monitoring
         node-type=monitoring:NoExecute monitoring
         dedicated:NoExecute batch
         level=5:NoSchedule batch
         pool=shared:NoSchedule application monitoring",
    );
    // Of a pod of type application.
    let cases = [
        ("node-type Equal application NoSchedule", None),
        ("node-type - application -", None),
        ("node-type - monitoring -", Some("node-type=monitoring:NoSchedule")),
        ("node-type Equal monitoring NoExecute", Some("node-type=monitoring:NoExecute")),
        ("node-type Equal monitoring PreferNoSchedule", None),
        ("node-type Equal Monitoring -", None),
        ("Node-type Exists - -", None),
        ("node-type Exists - -", Some("node-type=monitoring:NoSchedule")),
        ("node-type Exists - NoExecute", Some("node-type=monitoring:NoExecute")),
        ("node-type exists - -", Some("? node-type=monitoring:NoSchedule")),
        ("node-type Prefix mon NoExecute", Some("? node-type=monitoring:NoExecute")),
        ("pool Equal shared -", None),
        ("dedicated Equal - -", Some("dedicated:NoExecute")),
        ("dedicated Equal x -", None),
        ("level Gt 4 -", Some("level=5:NoSchedule")),
        ("level Gt 5 -", None),
        ("level Lt 6 -", Some("level=5:NoSchedule")),
        ("level Lt 06 -", None),
        ("- Exists - -", Some("level=5:NoSchedule")),
        ("- Exists - NoExecute", Some("dedicated:NoExecute")),
        ("- Equal 5 -", Some("level=5:NoSchedule")),
        ("- - - -", Some("dedicated:NoExecute")),
        ("somebody Exists - -", None),
        ("node.kubernetes.io/not-ready Exists - NoExecute", None),
    ];
    for (text, expected) in cases {
        let reach = taints.first_foreign(&toleration(text), Some("application"));
        let shown =
            reach.map(|reach| format!("{}{}", if reach.is_unsure { "? " } else { "" }, reach.owned.taint));
        assert_eq!(shown.as_deref(), expected, "{text}");
    }
}

#[test]
fn every_owned_taint_is_foreign_to_a_pod_of_no_type_and_none_to_the_only_owner() {
    let taints = owned("a=1:NoSchedule x\nb=2:NoSchedule x");
    assert!(taints.first_foreign(&toleration("a - 1 -"), None).is_some());
    assert!(taints.first_foreign(&toleration("- Exists - -"), Some("x")).is_none());
    assert!(taints.first_foreign(&toleration("- Exists - -"), Some("y")).is_some());
}

#[test]
fn a_wildcard_reaches_every_owner_but_ones_own() {
    let taints =
        owned("a=1:NoSchedule x\nb=2:NoSchedule y\nb=2:NoSchedule z\nc=3:NoExecute z\nd=4:NoExecute w");
    let of = |text: &str, own| {
        taints.foreign_owners(&toleration(text), own).into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of("- Exists - -", None), "w x y z");
    assert_eq!(of("- Exists - -", Some("x")), "w y z");
    assert_eq!(of("- Exists - -", Some("z")), "w x");
    assert_eq!(of("- Exists - NoSchedule", None), "x y z");
    assert_eq!(of("- Exists - NoExecute", Some("w")), "z");
}

proptest! {
    #[test]
    fn the_index_finds_what_looking_at_every_taint_finds(
        taints in prop::collection::vec(("[ab]{1,2}", "[0-2x]?", any::<bool>(), "[pqr]"), 0..12),
        key in "[ab]{0,2}", value in "[0-2x]?", operator in prop::sample::select(vec!["", "Equal", "Exists", "Gt", "Lt", "Odd"]),
        effect in prop::sample::select(vec!["", "NoSchedule", "NoExecute", "PreferNoSchedule"]), own in prop::option::of("[pqr]"),
    ) {
        let mut index = OwnedTaints::default();
        let mut owners: BTreeMap<Taint, BTreeSet<String>> = BTreeMap::new();
        for (key, value, evicts, owner) in taints {
            let effect = if evicts { Effect::NoExecute } else { Effect::NoSchedule };
            let taint = Taint { key, value, effect };
            index.insert(&taint, &owner);
            owners.entry(taint).or_default().insert(owner);
        }
        let toleration = Toleration {
            key: key.into(), operator: operator.into(), value: value.into(), effect: effect.into(), seconds: None,
        };
        let is_foreign = |owners: &BTreeSet<String>| own.as_ref().is_none_or(|own| !owners.contains(own));
        let expected = owners.iter().any(|(taint, owners)| {
            is_foreign(owners) && toleration.matches(taint) != Tolerance::No
        });
        let found = index.first_foreign(&toleration, own.as_deref());
        prop_assert_eq!(found.is_some(), expected);
        if let Some(found) = found {
            prop_assert!(is_foreign(&found.owned.owners));
            prop_assert!(toleration.matches(&found.owned.taint) != Tolerance::No);
        }
    }
}
