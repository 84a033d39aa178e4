use proptest::prelude::*;

use super::{super::testing::problem, *};
use crate::model::testing::requirements;

fn catalog(text: &str) -> Arc<Catalog> {
    Arc::clone(&problem(&format!("{text}\npool general")).pools[0].catalog)
}

const TYPES: &str = "
    type s cpu=2 memory=4Gi; offer a on-demand 0.1; offer b on-demand 0.1; offer a spot 0.03; labels size In small, os In linux windows
    type m cpu=4 memory=8Gi; offer b on-demand 0.2; offer c spot 0.2 gone; labels size In medium, gpu DoesNotExist
    type l cpu=8 memory=16Gi; offer c on-demand 0.4; labels gpu In 2, local Exists, disk NotIn slow
";

#[track_caller]
fn check(wanted: &str, expected: &str) {
    let catalog = catalog(TYPES);
    let rows = catalog.rows_meeting_all(&requirements(wanted));
    let shown = rows.iter().map(|number| {
        let (instance_type, offering) = parts(&catalog.types, catalog.rows[number]).unwrap();
        format!("{}/{}/{}", instance_type.name, offering.zone, offering.capacity_type.name())
    });
    assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{wanted}");
}

#[test]
fn rows_are_ways_to_buy_a_type_in_the_order_of_their_prices() {
    check("", "s/a/spot s/a/on-demand s/b/on-demand m/b/on-demand m/c/spot l/c/on-demand");
}

#[test]
fn requirements_are_met_by_a_single_offering_or_not_at_all() {
    check("topology.kubernetes.io/zone In a, karpenter.sh/capacity-type In on-demand", "s/a/on-demand");
    check("topology.kubernetes.io/zone In b, karpenter.sh/capacity-type In spot", "");
}

#[test]
fn a_label_with_several_values_can_be_either() {
    check("os In linux, local DoesNotExist", "s/a/spot s/a/on-demand s/b/on-demand m/b/on-demand m/c/spot");
    check("os In windows, size In small", "s/a/spot s/a/on-demand s/b/on-demand l/c/on-demand");
    check("os In darwin, gpu DoesNotExist", "m/b/on-demand m/c/spot");
}

#[test]
fn what_a_type_does_not_mention_is_not_its_business_and_what_it_lacks_is() {
    check("gpu Exists", "s/a/spot s/a/on-demand s/b/on-demand l/c/on-demand");
    check("gpu DoesNotExist", "s/a/spot s/a/on-demand s/b/on-demand m/b/on-demand m/c/spot");
    check("disk In slow", "s/a/spot s/a/on-demand s/b/on-demand m/b/on-demand m/c/spot");
}

#[test]
fn a_label_is_settled_if_every_row_has_one_value_of_it_or_none() {
    let catalog = catalog(TYPES);
    for (key, expected) in [
        (label::ZONE, true),
        (label::CAPACITY_TYPE, true),
        (label::INSTANCE_TYPE, true),
        (label::ARCH, true),
        ("os", false),
        ("size", false),
        ("local", false),
        ("unheard-of", false),
    ] {
        assert_eq!(catalog.settles(key), expected, "{key}");
    }
}

#[test]
fn types_that_are_too_small_for_themselves_hold_nothing() {
    let catalog = catalog("type s cpu=2 memory=-1; price 0.1");
    assert!(catalog.usable().is_empty());
    assert_eq!(catalog.available().iter().count(), 3);
}

proptest! {
    #[test]
    fn rows_meet_what_their_type_and_offering_meet(
        picks in prop::collection::vec((prop::sample::select(vec!["size", "os", "gpu", "local", "disk", label::ZONE, label::CAPACITY_TYPE]), 0_usize..8, 0_usize..6), 0..4),
    ) {
        let values = ["a", "small", "linux", "2", "slow", "spot"];
        let wanted: Requirements = picks.iter().map(|(key, operator, value)| match operator {
            0 => Requirement::one_of(key, [values[*value]]),
            1 => Requirement::none_of(key, [values[*value]]),
            2 => Requirement::exists(key),
            3 => Requirement::does_not_exist(key),
            4 => Requirement::at_least(key, 1),
            5 => Requirement::at_most(key, 1),
            6 => Requirement::one_of(key, values),
            _ => Requirement::none_of(key, values),
        }).collect();
        let catalog = catalog(TYPES);
        let rows = catalog.rows_meeting_all(&wanted);
        for number in 0..catalog.rows.len() {
            let (instance_type, offering) = parts(&catalog.types, catalog.rows[number]).unwrap();
            let meets = instance_type.is_compatible(&wanted) && offering.is_compatible(&wanted);
            prop_assert_eq!(rows.contains(number), meets, "{} on {:?}", wanted, offering);
        }
    }
}

#[test]
fn only_requirements_that_are_in_the_way_are_unmet_and_a_typo_is_noticed() {
    let catalog = catalog(TYPES);
    let told = |wanted: &str| catalog.unmet(&requirements(wanted)).map(|unmet| unmet.to_string());
    assert_eq!(told("size In small, karpenter.sh/capacity-type In spot"), None);
    assert_eq!(
        told("size In medium, topology.kubernetes.io/zone In c"),
        None,
        "whether it is available or not"
    );
    assert_eq!(told("team In a"), None, "a label that no type mentions");
    let typo = "no instance type has karpenter.sh/capacity-type In [on-deman] (did you mean on-demand?)";
    let wanted = "os In linux, karpenter.sh/capacity-type In on-deman, topology.kubernetes.io/zone In a";
    assert_eq!(told(wanted).as_deref(), Some(typo));
    let together =
        "no instance type has karpenter.sh/capacity-type In [spot] and topology.kubernetes.io/zone In [b]";
    let wanted =
        "os In linux, team In a, karpenter.sh/capacity-type In spot, topology.kubernetes.io/zone In b";
    assert_eq!(told(wanted).as_deref(), Some(together));
    let nothing = Catalog::new(Vec::new()).unmet(&requirements("size In small")).unwrap().to_string();
    assert_eq!(nothing, "there is no instance type");
}
