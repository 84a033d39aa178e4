use proptest::prelude::*;

use super::*;
use crate::model::{
    min_values::{self, MinValuesShortfall},
    requirement::Requirement,
    testing::{requirements, resource_list as list},
};

/// Reads `zone type price` with `!` in front of what is not available.
#[track_caller]
fn offering(text: &str) -> Offering {
    let (is_available, text) = text.strip_prefix('!').map_or((true, text), |text| (false, text));
    let words: Vec<_> = text.split_whitespace().collect();
    let [zone, capacity_type, price] = words[..] else { panic!("{text}") };
    let all = [CapacityType::Reserved, CapacityType::OnDemand, CapacityType::Spot];
    Offering {
        zone: zone.to_owned(),
        capacity_type: all.into_iter().find(|known| known.name() == capacity_type).unwrap(),
        labels: BTreeMap::from([("topology.k8s.aws/zone-id".to_owned(), format!("id-of-{zone}"))]),
        price: price.parse().unwrap(),
        is_available,
    }
}

fn instance_type(name: &str, labels: &str, offerings: &[&str]) -> InstanceType {
    InstanceType {
        name: name.to_owned(),
        requirements: requirements(labels),
        resources: MachineResources::default(),
        offerings: offerings.iter().map(|text| offering(text)).collect(),
    }
}

#[test]
fn what_a_machine_leaves_for_pods_is_its_capacity_less_all_overhead() {
    let overhead = Overhead {
        kube_reserved: list("cpu=70m memory=574Mi ephemeral-storage=1Gi"),
        system_reserved: list(""),
        eviction_threshold: list("memory=100Mi ephemeral-storage=2Gi"),
    };
    let m5_large =
        MachineResources::new(list("cpu=2 memory=7577Mi pods=29 ephemeral-storage=20Gi"), overhead);
    assert_eq!(
        m5_large.allocatable().to_string(),
        "1930m cpu, 17Gi ephemeral-storage, 6903Mi memory, 29 pods"
    );
    assert_eq!(m5_large.capacity().to_string(), "2 cpu, 20Gi ephemeral-storage, 7577Mi memory, 29 pods");
    assert_eq!(m5_large.overhead().total().to_string(), "70m cpu, 3Gi ephemeral-storage, 674Mi memory");
}

#[test]
fn huge_pages_are_set_aside_from_memory_but_never_below_zero() {
    let cases =
        [("memory=4Gi hugepages-2Mi=1Gi hugepages-1Gi=2Gi", "1Gi"), ("memory=1Gi hugepages-1Gi=2Gi", "0")];
    for (capacity, memory) in cases {
        let machine = MachineResources::new(list(capacity), Overhead::default());
        assert_eq!(machine.allocatable().amount("memory").to_string(), memory, "{capacity}");
    }
}

#[test]
fn a_machine_that_is_too_small_for_its_overhead_holds_nothing() {
    let overhead = Overhead { kube_reserved: list("memory=1Gi"), ..Overhead::default() };
    let machine = MachineResources::new(list("cpu=2 memory=512Mi"), overhead);
    assert!(!list("cpu=1").fits_in(machine.allocatable()));
}

#[test]
fn a_type_is_compatible_unless_a_label_that_it_has_is_excluded() {
    let c7i = instance_type(
        "c7i.xlarge",
        "karpenter.k8s.aws/instance-family In c7i, kubernetes.io/arch In amd64, gpu DoesNotExist",
        &[],
    );
    let cases = [
        ("", true),
        ("karpenter.k8s.aws/instance-family In c7i m5a", true),
        ("karpenter.k8s.aws/instance-family In m5a", false),
        ("beta.kubernetes.io/arch In arm64", false),
        ("team In a", true),
        ("gpu Exists", false),
        ("gpu NotIn a100", true),
    ];
    for (node, expected) in cases {
        assert_eq!(c7i.is_compatible(&requirements(node)), expected, "{node}");
    }
}

#[test]
fn the_cheapest_offering_is_available_and_compatible_and_ties_are_decided() {
    let offerings =
        ["!z1 spot 0.01", "z2 spot 0.05", "z1 on-demand 0.1785", "z2 on-demand 0.1785", "z1 spot 0.06"];
    let c7i = instance_type("c7i.xlarge", "", &offerings);
    let cases = [
        ("", Some("z2 spot")),
        ("topology.kubernetes.io/zone In z1", Some("z1 spot")),
        ("karpenter.sh/capacity-type In on-demand", Some("z1 on-demand")),
        (
            "karpenter.sh/capacity-type NotIn spot, failure-domain.beta.kubernetes.io/zone NotIn z1",
            Some("z2 on-demand"),
        ),
        ("topology.k8s.aws/zone-id In id-of-z1", Some("z1 spot")),
        ("karpenter.sh/capacity-type In reserved", None),
        ("topology.kubernetes.io/zone In z3", None),
        ("topology.kubernetes.io/zone DoesNotExist", None),
    ];
    for (node, expected) in cases {
        let found = c7i.cheapest_offering(&requirements(node));
        let shown = found.map(|offering| format!("{} {}", offering.zone, offering.capacity_type.name()));
        assert_eq!(shown.as_deref(), expected, "{node}");
    }

    let tied = instance_type("tied", "", &["z1 spot 1", "z2 on-demand 1", "z3 reserved 1", "z1 on-demand 1"]);
    let found = tied.cheapest_offering(&Requirements::new()).unwrap();
    assert_eq!((found.capacity_type, found.zone.as_str()), (CapacityType::Reserved, "z3"));
}

#[test]
fn types_are_sorted_by_their_price_under_the_requirements_then_by_name() {
    let types = [
        instance_type("d", "", &["z1 on-demand 0.2"]),
        instance_type("b", "", &["z1 on-demand 0.1", "z1 spot 0.3"]),
        instance_type("c", "", &["z1 on-demand 0.1"]),
        instance_type("a", "", &["!z1 on-demand 0.01"]),
        instance_type("e", "", &["z1 on-demand 0.5", "z1 spot 0.05"]),
    ];
    let sorted = |node: &str| {
        let mut sorted: Vec<_> = types.iter().collect();
        sort_by_price(&mut sorted, &requirements(node));
        sorted.iter().map(|instance_type| instance_type.name.as_str()).collect::<String>()
    };
    assert_eq!(sorted(""), "ebcda");
    assert_eq!(sorted("karpenter.sh/capacity-type In on-demand"), "bcdea");
    assert_eq!(sorted("karpenter.sh/capacity-type In spot"), "ebacd");
}

#[track_caller]
fn check_min_values(types: &[&str], min_values: &[(&str, u32)], expected: Result<usize, &str>) {
    let types: Vec<_> = types.iter().map(|labels| instance_type("t", labels, &[])).collect();
    let wanted: Requirements =
        min_values.iter().map(|(key, wanted)| Requirement::exists(key).with_min_values(*wanted)).collect();
    let found = min_values::satisfied_by_first(&types, &wanted);
    let shown = found.map_err(|shortfalls| {
        shortfalls.iter().map(MinValuesShortfall::to_string).collect::<Vec<_>>().join(", ")
    });
    assert_eq!(shown, expected.map_err(str::to_owned));
}

#[test]
fn min_values_are_counted_over_as_few_types_as_suffice() {
    let types =
        ["family In a, zone In z1", "family In a, zone In z2", "family In b, zone In z1", "family In c"];
    check_min_values(&types, &[("family", 2)], Ok(3));
    check_min_values(&types, &[("family", 1), ("zone", 2)], Ok(2));
    check_min_values(&types, &[("family", 3), ("zone", 1)], Ok(4));
    check_min_values(
        &types,
        &[("family", 4), ("zone", 3)],
        Err("needs 4 values of family, has 3, needs 3 values of zone, has 2"),
    );
    check_min_values(&types, &[], Ok(0));
}

#[test]
fn a_type_counts_with_the_values_that_it_lists_as_in_karpenter() {
    check_min_values(&["zone In z1 z2 z3"], &[("zone", 3)], Ok(1));
}

#[test]
fn excluded_values_and_no_types_at_all_satisfy_no_minimum_unlike_karpenter() {
    check_min_values(&["zone NotIn z1 z2 z3"], &[("zone", 3)], Err("needs 3 values of zone, has 0"));
    check_min_values(&[], &[("zone", 1)], Err("needs 1 values of zone, has 0"));
}

proptest! {
    #[test]
    fn no_compatible_offering_is_cheaper_than_the_cheapest(
        offerings in proptest::collection::vec((0_usize..3, 0_usize..3, 0_u64..4, any::<bool>()), 0..8),
        zone in proptest::option::of(0_usize..3),
    ) {
        let zones = ["z1", "z2", "z3"];
        let capacity_types = [CapacityType::Reserved, CapacityType::OnDemand, CapacityType::Spot];
        let mut any_type = instance_type("t", "", &[]);
        any_type.offerings = offerings.into_iter().map(|(zone, capacity_type, price, is_available)| Offering {
            zone: zones[zone].to_owned(),
            capacity_type: capacity_types[capacity_type],
            labels: BTreeMap::new(),
            price: Price::from_nanos(price),
            is_available,
        }).collect();
        let node = zone.map_or_else(Requirements::new, |zone| Requirements::from_labels([(label::ZONE, zones[zone])]));
        let cheapest = any_type.cheapest_offering(&node).cloned();
        let candidates = any_type.offerings.iter()
            .filter(|offering| offering.is_available && zone.is_none_or(|zone| offering.zone == zones[zone]));
        prop_assert_eq!(cheapest.as_ref().map(|offering| offering.price), candidates.map(|offering| offering.price).min());
        any_type.offerings.reverse();
        prop_assert_eq!(any_type.cheapest_offering(&node).cloned(), cheapest, "order does not matter");
    }
}
