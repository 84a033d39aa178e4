use proptest::prelude::*;

use super::*;

/// Reads `In a b`, `Gt 3`, `DoesNotExist`; several are separated by `&` and combined.
#[track_caller]
fn requirement(text: &str) -> Requirement {
    text.split('&')
        .map(|part| {
            let mut words = part.split_whitespace().map(str::to_owned);
            let operator = words.next().unwrap();
            Requirement::parse("key", &operator, &words.collect::<Vec<_>>()).unwrap()
        })
        .reduce(|all, next| all.intersection(&next))
        .unwrap()
}

#[test]
fn each_operator_admits_its_values_and_says_whether_the_label_may_be_absent() {
    let cases = [
        ("In a b", "a b", "c 1", false),
        ("NotIn a b", "c 1", "a b", true),
        ("Exists", "a 1", "", false),
        ("DoesNotExist", "", "a 1", true),
        ("Gt 3", "4 100 004", "3 -5 a 3.5", false),
        ("Gte 3", "3 4", "2 a", false),
        ("Lt 3", "2 -5", "3 a", false),
        ("Lte 3", "3 2", "4 a", false),
        ("Gt 9223372036854775807", "", "9223372036854775807 a", false),
        ("Lt -9223372036854775808", "", "-9223372036854775808 a", false),
    ];
    for (text, admitted, refused, absence) in cases {
        let requirement = requirement(text);
        for value in admitted.split_whitespace() {
            assert!(requirement.has(value), "{text} has {value}");
        }
        for value in refused.split_whitespace() {
            assert!(!requirement.has(value), "{text} has not {value}");
        }
        assert_eq!(requirement.allows_absence(), absence, "{text}");
    }
}

#[test]
fn combinations_are_normalised_and_shown() {
    let cases = [
        ("In a b & In b c", "key In [b]"),
        ("In a b & NotIn b", "key In [a]"),
        ("NotIn a & NotIn b", "key NotIn [a, b]"),
        ("NotIn a & Exists", "key NotIn [a] Exists"),
        ("In 1 5 9 & Gt 3", "key In [5, 9]"),
        ("In 1 5 a & Gte 3 & Lte 8", "key In [5]"),
        ("Gt 3 & Lt 8", "key Exists >=4 <=7"),
        ("Gt 3 & Gt 5", "key Exists >=6"),
        ("NotIn 5 a 99 & Gte 3 & Lte 8", "key NotIn [5] Exists >=3 <=8"),
        ("NotIn a & Gte 3", "key Exists >=3"),
        ("DoesNotExist & NotIn a", "key DoesNotExist"),
        ("In f e d c b a", "key In [a, b, c, d, e and 1 other]"),
        ("In g f e d c b a", "key In [a, b, c, d, e and 2 others]"),
        ("NotIn", "key Exists"),
    ];
    for (text, shown) in cases {
        assert_eq!(requirement(text).to_string(), shown, "{text}");
    }
}

#[test]
fn a_contradiction_is_kept_apart_from_a_label_that_must_be_absent() {
    let cases = [
        ("In a & In b", true),
        ("In a & NotIn a", true),
        ("In a & DoesNotExist", true),
        ("Exists & DoesNotExist", true),
        ("Gt 5 & Lt 3", true),
        ("Gt 5 & Lt 3 & Exists", true),
        ("In a & Gt 3", true),
        ("Gt 9223372036854775807", true),
        ("DoesNotExist", false),
        ("DoesNotExist & NotIn a", false),
        ("NotIn a & NotIn b", false),
        ("Gte 3 & Lte 3 & NotIn 3", false),
    ];
    for (text, contradicts) in cases {
        assert_eq!(requirement(text).is_contradiction(), contradicts, "{text}");
    }
    let impossible = requirement("In a & In b");
    for text in ["In a", "NotIn a", "Exists", "DoesNotExist", "In a & In b"] {
        assert!(!requirement(text).is_compatible(&impossible), "{text}");
        assert!(!impossible.is_compatible(&requirement(text)), "{text}");
    }
}

#[test]
fn exclusions_and_absence_are_compatible_as_in_karpenter() {
    let cases = [
        ("NotIn a", "NotIn b", true),
        ("NotIn a", "DoesNotExist", true),
        ("DoesNotExist", "NotIn a", true),
        ("DoesNotExist", "DoesNotExist", true),
        ("DoesNotExist", "Exists", false),
        ("DoesNotExist", "In a", false),
        ("In a", "DoesNotExist", false),
        ("Exists", "DoesNotExist", false),
        ("Exists", "In a", true),
        ("In a", "NotIn a", false),
        ("NotIn a", "Gt 5", true),
    ];
    for (existing, incoming, compatible) in cases {
        assert_eq!(
            requirement(existing).is_compatible(&requirement(incoming)),
            compatible,
            "{existing} / {incoming}"
        );
    }
}

#[test]
fn exclusions_with_disjoint_bounds_are_not_waved_through_as_they_are_in_karpenter() {
    assert!(!requirement("NotIn 4 & Lt 8").is_compatible(&requirement("NotIn 20 & Gt 10")));
}

#[test]
fn two_complements_within_consistent_bounds_always_intersect() {
    // A label value such as 03 is an integer too, so excluding every canonical integer leaves something.
    let excluded = requirement("Gte 3 & Lte 4 & NotIn 3 4");
    assert!(excluded.has("03"));
    assert!(excluded.has_intersection(&requirement("Exists")));
}

#[test]
fn the_larger_min_values_survives_even_a_contradiction() {
    let one = requirement("In a b").with_min_values(2);
    let other = requirement("In c").with_min_values(3);
    assert_eq!(one.intersection(&other).min_values(), Some(3));
    assert_eq!(one.intersection(&requirement("Exists")).min_values(), Some(2));
}

#[test]
fn any_value_is_the_smallest_that_will_do() {
    let cases = [
        ("In b a", Some("a")),
        ("Exists", Some("0")),
        ("NotIn 0 1 a", Some("2")),
        ("Gt 3", Some("4")),
        ("Gt -5", Some("0")),
        ("Lt 3", Some("0")),
        ("Lt 0", None),
        ("Gte 3 & Lte 4 & NotIn 3", Some("4")),
        ("Gte 3 & Lte 4 & NotIn 3 4", None),
        ("Gte 9223372036854775807", Some("9223372036854775807")),
        ("DoesNotExist", None),
        ("In a & In b", None),
    ];
    for (text, value) in cases {
        assert_eq!(requirement(text).any().as_deref(), value, "{text}");
    }
}

#[test]
fn a_single_value_is_known_only_where_nothing_else_will_do() {
    let cases = [("In a", Some("a")), ("In a b", None), ("Exists", None), ("DoesNotExist", None)];
    for (text, value) in cases {
        assert_eq!(requirement(text).single_value(), value, "{text}");
    }
}

#[test]
fn keys_are_normalised_at_construction() {
    assert_eq!(Requirement::exists("beta.kubernetes.io/arch").key(), label::ARCH);
}

#[test]
fn entries_that_are_no_requirement_say_what_is_wrong() {
    let cases: [(&str, &[&str], &str); 6] = [
        (
            "in",
            &["a"],
            "key team: unknown operator \"in\"; use In, NotIn, Exists, DoesNotExist, Gt, Lt, Gte or Lte",
        ),
        ("In", &[], "key team: operator In needs at least one value"),
        ("Gt", &[], "key team: operator Gt needs exactly one value, not 0"),
        ("Lte", &["1", "2"], "key team: operator Lte needs exactly one value, not 2"),
        ("Gt", &["many"], "key team: operator Gt compares integers, and \"many\" is none"),
        (
            "Lt",
            &["9223372036854775808"],
            "key team: operator Lt compares integers, and \"9223372036854775808\" is none",
        ),
    ];
    for (operator, values, message) in cases {
        let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
        let error = Requirement::parse("team", operator, &values).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn the_api_form_keeps_exclusions_beside_bounds_unlike_karpenter() {
    let entries = requirement("Gt 2 & Lt 9 & NotIn 5").with_min_values(2).to_entries();
    let shown: Vec<_> =
        entries.iter().map(|entry| format!("{} {}", entry.operator, entry.values.join(" "))).collect();
    assert_eq!(shown, ["Gte 3", "Lte 8", "NotIn 5"]);
    assert!(entries.iter().all(|entry| entry.min_values == Some(2)));
}

fn any_requirement() -> impl Strategy<Value = Requirement> {
    let value =
        prop_oneof![Just("a"), Just("b"), Just("c"), Just("0"), Just("1"), Just("2"), Just("3"), Just("07")];
    let values = proptest::collection::vec(value, 0..4);
    let single = (0_usize..8, values, -1_i64..5).prop_map(|(operator, values, bound)| {
        let bound = bound.to_string();
        match Operator::ALL[operator] {
            Operator::In => Requirement::one_of("key", values),
            Operator::NotIn => Requirement::none_of("key", values),
            Operator::Exists => Requirement::exists("key"),
            Operator::DoesNotExist => Requirement::does_not_exist("key"),
            comparison => Requirement::parse("key", comparison.name(), &[bound]).unwrap(),
        }
    });
    let min_values = proptest::option::of(1_u32..4);
    (proptest::collection::vec(single, 1..4), min_values).prop_map(|(parts, min_values)| {
        let combined = parts.into_iter().reduce(|all, next| all.intersection(&next)).unwrap();
        Requirement { min_values, ..combined }
    })
}

/// Enough values to tell any two requirements of the strategy apart: its values, the integers around them, their odd spellings.
const UNIVERSE: [&str; 17] =
    ["a", "b", "c", "z", "-3", "-2", "-1", "0", "1", "2", "3", "4", "5", "6", "07", "0001", "+2"];

proptest! {
    #[test]
    fn an_intersection_admits_exactly_what_both_sides_admit(a in any_requirement(), b in any_requirement()) {
        let both = a.intersection(&b);
        for value in UNIVERSE {
            prop_assert_eq!(both.has(value), a.has(value) && b.has(value), "{} / {} / {}", a, b, value);
        }
        prop_assert_eq!(both.allows_absence(), a.allows_absence() && b.allows_absence());
    }

    #[test]
    fn intersection_commutes_associates_and_is_idempotent(a in any_requirement(), b in any_requirement(), c in any_requirement()) {
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.intersection(&b).intersection(&c), a.intersection(&b.intersection(&c)));
        prop_assert_eq!(a.intersection(&a), a);
    }

    #[test]
    fn has_intersection_agrees_with_the_intersection(a in any_requirement(), b in any_requirement()) {
        let both = a.intersection(&b);
        let has_values = both.values().is_none_or(|values| !values.is_empty());
        prop_assert_eq!(a.has_intersection(&b), has_values, "{} / {}", a, b);
        prop_assert_eq!(a.is_compatible(&b), !both.is_contradiction());
        prop_assert_eq!(a.is_compatible(&b), b.is_compatible(&a));
    }

    #[test]
    fn compatibility_agrees_with_trying_every_value(a in any_requirement(), b in any_requirement()) {
        let found = (a.allows_absence() && b.allows_absence())
            || UNIVERSE.iter().any(|value| a.has(value) && b.has(value))
            // Between bounds whose canonical integers are all excluded, only an odd spelling is left.
            || (-3..8).any(|value: i64| { let odd = format!("{value:+04}"); a.has(&odd) && b.has(&odd) });
        prop_assert_eq!(a.is_compatible(&b), found, "{} / {}", a, b);
    }

    #[test]
    fn the_api_form_says_the_same(a in any_requirement()) {
        let read = a.to_entries().into_iter()
            .map(|entry| {
                let read = Requirement::parse(&entry.key, entry.operator.name(), &entry.values).unwrap();
                Requirement { min_values: entry.min_values, ..read }
            })
            .reduce(|all, next| all.intersection(&next))
            .unwrap();
        prop_assert_eq!(read, a);
    }

    #[test]
    fn any_value_is_one_that_will_do(a in any_requirement()) {
        if let Some(value) = a.any() {
            prop_assert!(a.has(&value), "{} has not {}", a, value);
        }
    }

    #[test]
    fn any_text_is_a_requirement_or_refused_without_panic(key in any::<String>(), operator in "In|NotIn|Gt|Lte|.{0,8}", values in proptest::collection::vec("(?s).{0,8}|[0-9]{1,25}", 0..3)) {
        let shown = match Requirement::parse(&key, &operator, &values) {
            Ok(requirement) => format!("{requirement} {:?}", requirement.any()),
            Err(error) => error.to_string(),
        };
        prop_assert!(!shown.contains(char::is_control), "{}", shown);
    }
}
