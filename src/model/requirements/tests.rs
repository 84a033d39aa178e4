use proptest::prelude::*;

use super::*;
use crate::api::labels::node_type_label;
use crate::model::testing::requirements;

fn well_known() -> LabelKeys {
    [label::ZONE, label::REGION, label::INSTANCE_TYPE, label::ARCH, label::OS, label::CAPACITY_TYPE]
        .into_iter()
        .collect()
}

/// Checks both a node that is yet to be launched and a live one; each answer is compatible or the obstacles.
#[track_caller]
fn check(node: &str, pod: &str, to_launch: &str, live: &str) {
    let (node_side, pod_side) = (requirements(node), requirements(pod));
    let known = well_known();
    for (undefined, expected) in [(Undefined::Allowed(&known), to_launch), (Undefined::Denied, live)] {
        let explained = node_side
            .compatible(&pod_side, undefined)
            .map_or_else(|obstacles| obstacles.to_string(), |()| "compatible".to_owned());
        assert_eq!(explained, expected, "node {node} / pod {pod} / {undefined:?}");
        assert_eq!(node_side.is_compatible(&pod_side, undefined), expected == "compatible");
    }
}

#[test]
fn a_well_known_label_need_not_be_defined_before_launch_but_must_be_on_a_live_node() {
    let undefined = "topology.kubernetes.io/zone In [z1] is asked for, the label is not defined";
    check("", "topology.kubernetes.io/zone In z1", "compatible", undefined);
    check("", "topology.kubernetes.io/zone NotIn z1", "compatible", "compatible");
    check("", "topology.kubernetes.io/zone DoesNotExist", "compatible", "compatible");
    let undefined = "topology.kubernetes.io/zone Exists is asked for, the label is not defined";
    check("", "topology.kubernetes.io/zone Exists", "compatible", undefined);
}

#[test]
fn a_custom_label_must_be_defined_unless_its_absence_will_do() {
    let undefined = |asked: &str| format!("{asked} is asked for, the label is not defined");
    for (pod, shown) in
        [("team In a", "team In [a]"), ("team Exists", "team Exists"), ("team Gt 3", "team Exists >=4")]
    {
        check("", pod, &undefined(shown), &undefined(shown));
    }
    check("", "team NotIn a", "compatible", "compatible");
    check("", "team DoesNotExist", "compatible", "compatible");
}

#[test]
fn labels_that_both_sides_mention_must_have_a_value_in_common() {
    let conflict = |asked: &str, given: &str| format!("{asked} is asked for, {given} is given");
    let cases = [
        ("team Exists", "team In a", None),
        ("team In a b", "team In b c", None),
        ("team In a", "team In b", Some(("team In [b]", "team In [a]"))),
        ("team DoesNotExist", "team Exists", Some(("team Exists", "team DoesNotExist"))),
        ("team DoesNotExist", "team In a", Some(("team In [a]", "team DoesNotExist"))),
        ("team In a", "team DoesNotExist", Some(("team DoesNotExist", "team In [a]"))),
        ("team NotIn a", "team In a", Some(("team In [a]", "team NotIn [a]"))),
        ("team NotIn a", "team DoesNotExist", None),
        ("cpu Gt 3", "cpu In 2 4", None),
        ("cpu Gt 3", "cpu In 2 3", Some(("cpu In [2, 3]", "cpu Exists >=4"))),
        ("cpu Gt 3", "cpu Lt 4", Some(("cpu Exists <=3", "cpu Exists >=4"))),
    ];
    for (node, pod, expected) in cases {
        let expected = expected.map_or("compatible".to_owned(), |(asked, given)| conflict(asked, given));
        check(node, pod, &expected, &expected);
    }
}

#[test]
fn a_selector_that_contradicts_itself_is_not_taken_for_absence_as_it_is_in_karpenter() {
    let expected = "the requirements on the label team contradict each other";
    check("", "team In a, team In b", expected, expected);
    check("team In a b", "team In a, team In b", expected, expected);
    check("", "team Exists, team NotIn a", MISSING_TEAM, MISSING_TEAM);
}

const MISSING_TEAM: &str = "team NotIn [a] Exists is asked for, the label is not defined";

#[test]
fn every_obstacle_is_reported_in_the_order_of_the_keys() {
    let expected = "arch In [arm64] is asked for, arch In [amd64] is given; team In [a] is asked for, the label is not defined";
    check("arch In amd64", "team In a, arch In arm64", expected, expected);
}

#[test]
fn aliases_of_a_key_are_one_key() {
    let both =
        requirements("failure-domain.beta.kubernetes.io/zone In z1 z2, topology.ebs.csi.aws.com/zone In z2");
    assert_eq!(both.to_string(), "topology.kubernetes.io/zone In [z2]");
    assert_eq!(both.len(), 1);
    assert!(both.get("failure-domain.beta.kubernetes.io/zone").is_some());
    assert!(both.allows("failure-domain.beta.kubernetes.io/zone", "z2"));
    assert!(!both.allows(label::ZONE, "z1"));
    assert!(both.allows("anything", "at all"));
}

#[test]
fn intersecting_ignores_keys_that_one_side_does_not_mention() {
    let cases =
        [("team In a", "zone In z", true), ("team In a", "team In b", false), ("", "team In a", true)];
    for (left, right, expected) in cases {
        assert_eq!(requirements(left).intersects(&requirements(right)), expected, "{left} / {right}");
    }
}

#[test]
fn a_probable_typo_is_named() {
    let cases = [
        ("", "topology.kubernetesio/zone", Some(label::ZONE)),
        ("", "zone", Some(label::ZONE)),
        ("", "region", Some(label::REGION)),
        ("", "example.com/zone", Some(label::ZONE)),
        ("", "karpenter.sh/capacitytype", Some(label::CAPACITY_TYPE)),
        ("node-type In a", "nodetype", Some("node-type")),
        ("node-type In a", "node_type", Some("node-type")),
        ("example.com/team In a", "team", Some("example.com/team")),
        ("team In a", "tema", None),
        ("", "a", None),
        ("", "completely.different/thing", None),
    ];
    let known = well_known();
    for (node, key, hint) in cases {
        let (node_side, pod_side) = (requirements(node), requirements(&format!("{key} Exists")));
        let obstacles = node_side.compatible(&pod_side, Undefined::Allowed(&known)).unwrap_err();
        let obstacle = obstacles.iter().next().unwrap();
        assert_eq!(obstacle.hint(), hint, "{key}");
        if let Some(hint) = hint {
            assert!(obstacles.to_string().ends_with(&format!("(did you mean {hint}?)")), "{obstacles}");
        }
    }
}

#[test]
fn the_label_of_a_type_is_never_taken_for_that_of_another() {
    let application = node_type_label("application");
    let node_side = requirements(&format!("{application} Exists, aplication Exists"));
    let known = well_known();
    let misspelt = |name: &str| format!("workload-types.node-restriction.kubernetes.io/{name}");
    for (asked, hint) in [
        (node_type_label("aplication"), None),
        (node_type_label("monitoring"), None),
        (misspelt("monitoring"), None),
        (misspelt("application"), Some(application.as_str())),
    ] {
        let pod_side = requirements(&format!("{asked} Exists"));
        let obstacles = node_side.compatible(&pod_side, Undefined::Allowed(&known)).unwrap_err();
        assert_eq!(obstacles.iter().next().unwrap().hint(), hint, "{asked}");
    }
}

#[test]
fn the_host_name_of_a_placeholder_is_never_shown() {
    assert_eq!(
        requirements("kubernetes.io/hostname In placeholder-1, b In 2, a Exists").to_string(),
        "a Exists, b In [2]"
    );
}

#[test]
fn custom_requirements_become_labels_and_well_known_ones_do_not() {
    let all = requirements(
        "a In y x, b NotIn 0, c Exists, d DoesNotExist, e Gt 4, f Lt 4, kubernetes.io/arch In arm64, kubernetes.io/hostname In h",
    );
    let labels = all.labels(&well_known());
    let shown: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(shown, ["a=x", "b=1", "c=0", "e=5", "f=0"]);
}

#[test]
fn labels_of_a_node_are_requirements_of_one_value_each() {
    let labels = Requirements::from_labels([("team", "a"), ("beta.kubernetes.io/os", "linux")]);
    assert_eq!(labels.to_string(), "kubernetes.io/os In [linux], team In [a]");
    assert!(labels.is_compatible(&requirements("team NotIn b"), Undefined::Denied));
}

const KEYS: [&str; 3] = ["team", "size", label::ZONE];
const VALUES: [&str; 4] = ["a", "b", "1", "2"];

fn any_requirements() -> impl Strategy<Value = Requirements> {
    let operator =
        prop_oneof![Just("In"), Just("NotIn"), Just("Exists"), Just("DoesNotExist"), Just("Gt"), Just("Lte")];
    let entry = (0_usize..3, operator, proptest::collection::vec(0_usize..4, 1..3), 0_i64..3).prop_map(
        |(key, operator, values, bound)| {
            let values: Vec<String> = match operator {
                "Gt" | "Lte" => vec![bound.to_string()],
                _ => values.into_iter().map(|value| VALUES[value].to_owned()).collect(),
            };
            Requirement::parse(KEYS[key], operator, &values).unwrap()
        },
    );
    proptest::collection::vec(entry, 0..5).prop_map(|entries| entries.into_iter().collect())
}

/// Whether a node with these labels meets all requirements, as kube-scheduler matches them.
fn met_by(requirements: &Requirements, node: &[Option<&str>; 3]) -> bool {
    requirements.iter().all(|requirement| {
        let index = KEYS.iter().position(|key| *key == requirement.key()).unwrap();
        node[index].map_or(requirement.allows_absence(), |value| requirement.has(value))
    })
}

fn every_node() -> impl Iterator<Item = [Option<&'static str>; 3]> {
    // Beyond the values of the strategy: one that it never names, integers outside its bounds, and odd spellings of those inside.
    let choices = ["a", "b", "1", "2", "z", "-7", "9", "01", "02"].map(Some);
    let choices = choices.into_iter().chain([None]);
    choices.clone().flat_map(move |a| {
        let choices = choices.clone();
        choices.clone().flat_map(move |b| choices.clone().map(move |c| [a, b, c]))
    })
}

proptest! {
    #[test]
    fn compatibility_agrees_with_trying_every_node(node_side in any_requirements(), pod_side in any_requirements()) {
        let known = well_known();
        for undefined in [Undefined::Denied, Undefined::Allowed(&known)] {
            // A node of that side lacks the labels that the side does not define, unless they come with the node.
            let may_have = |key: &str| node_side.get(key).is_some() || undefined.allows(key);
            let found = every_node().any(|node| {
                KEYS.iter().zip(&node).all(|(key, value)| value.is_none() || may_have(key))
                    && node_side.iter().all(|requirement| pod_side.get(requirement.key()).is_none() || {
                        let index = KEYS.iter().position(|key| *key == requirement.key()).unwrap();
                        node[index].map_or(requirement.allows_absence(), |value| requirement.has(value))
                    })
                    && met_by(&pod_side, &node)
            });
            prop_assert_eq!(node_side.is_compatible(&pod_side, undefined), found, "{} / {}", node_side, pod_side);
            prop_assert_eq!(node_side.compatible(&pod_side, undefined).is_ok(), found);
        }
    }

    #[test]
    fn combining_commutes_and_admits_what_both_admit(a in any_requirements(), b in any_requirements()) {
        let both = a.and(&b);
        prop_assert_eq!(&both, &b.and(&a));
        for node in every_node() {
            prop_assert_eq!(met_by(&both, &node), met_by(&a, &node) && met_by(&b, &node));
        }
        prop_assert_eq!(both.contradiction().is_none(), every_node().any(|node| met_by(&both, &node)));
    }

    #[test]
    fn the_api_form_says_the_same(all in any_requirements()) {
        let read: Requirements = all.to_entries().iter()
            .map(|entry| Requirement::parse(&entry.key, entry.operator.name(), &entry.values).unwrap())
            .collect();
        prop_assert_eq!(read, all);
    }

    #[test]
    fn the_edit_distance_is_that_of_the_textbook(from in "[ab/]{0,6}", to in "[ab/]{0,6}") {
        fn textbook(from: &[u8], to: &[u8]) -> usize {
            match (from, to) {
                ([], rest) | (rest, []) => rest.len(),
                ([a, from_rest @ ..], [b, to_rest @ ..]) => (textbook(from_rest, to_rest) + usize::from(a != b))
                    .min(textbook(from_rest, to) + 1)
                    .min(textbook(from, to_rest) + 1),
            }
        }
        let distance = textbook(from.as_bytes(), to.as_bytes());
        prop_assert_eq!(edits_within(&from, &to, 6), Some(distance));
        prop_assert_eq!(edits_within(&from, &to, distance.saturating_sub(1)).is_none(), distance > 0);
    }
}
