use proptest::prelude::*;

use super::*;
use crate::model::testing::resource_list as list;

#[test]
fn requests_fit_where_each_of_them_is_covered_and_nothing_is_overcommitted() {
    let cases = [
        ("cpu=1 memory=1Gi", "cpu=1 memory=1Gi", true),
        ("cpu=1001m", "cpu=1", false),
        ("memory=1Gi", "cpu=4", false),
        ("nvidia.com/gpu=1", "cpu=4 nvidia.com/gpu=1", true),
        ("nvidia.com/gpu=1", "cpu=4", false),
        ("nvidia.com/gpu=0", "cpu=4", true),
        ("cpu=0", "", true),
        ("", "", true),
        ("", "cpu=-1m", false),
        ("cpu=1", "cpu=4 memory=-1", false),
        ("cpu=1", "cpu=4 nvidia.com/gpu=-1", false),
        ("pods=1", "pods=0", false),
        ("cpu=-1", "cpu=0", true),
    ];
    for (requests, total, fits) in cases {
        assert_eq!(list(requests).fits_in(&list(total)), fits, "{requests} in {total}");
    }
}

#[test]
fn shortages_name_each_resource_with_both_numbers() {
    let shortages =
        list("cpu=8 memory=72Gi nvidia.com/gpu=1 pods=1").shortages(&list("cpu=3920m memory=96Gi pods=58"));
    let shown: Vec<_> = shortages.iter().map(Shortage::to_string).collect();
    assert_eq!(shown, ["needs 8 cpu, has 3920m", "needs 1 nvidia.com/gpu, has 0"]);

    let overcommitted = list("cpu=1").shortages(&list("cpu=2 memory=-5Mi"));
    assert_eq!(overcommitted[0].to_string(), "needs 0 memory, has -5Mi");
}

#[test]
fn lists_add_up_resource_by_resource() {
    let lists = [
        list("cpu=1 memory=1Mi pods=1"),
        list("cpu=500m vpc.amazonaws.com/efa=1"),
        list("memory=1Mi pods=1"),
    ];
    let sum: ResourceList = lists.iter().sum();
    assert_eq!(sum, list("cpu=1500m memory=2Mi pods=2 vpc.amazonaws.com/efa=1"));
    assert_eq!(sum.times(3), list("cpu=4500m memory=6Mi pods=6 vpc.amazonaws.com/efa=3"));
}

#[test]
fn the_maximum_is_taken_per_resource() {
    let mut peak = list("cpu=1 memory=4Gi");
    peak.raise_to(&list("cpu=2 memory=1Gi example.com/fpga=1"));
    assert_eq!(peak, list("cpu=2 memory=4Gi example.com/fpga=1"));
}

#[test]
fn a_difference_may_be_negative_and_names_only_what_was_there() {
    let rest = list("cpu=2 memory=4Gi").minus(&list("cpu=3 memory=1Gi nvidia.com/gpu=1"));
    assert_eq!(rest, list("cpu=-1 memory=3Gi"));
    assert_eq!(rest.floored(), list("cpu=0 memory=3Gi"));
}

#[test]
fn a_resource_named_with_zero_differs_from_one_that_is_not_named() {
    assert_ne!(list("nodes=0"), list(""));
    assert_eq!(list("nodes=0").get("nodes"), Some(Quantity::ZERO));
    assert_eq!(list("").get("nodes"), None);
    assert!(list("").is_empty());
    assert!(!list("nodes=0").is_empty());
}

#[test]
fn a_list_is_shown_in_one_fixed_order() {
    let shown = list("pods=3 nvidia.com/gpu=1 memory=2048Mi example.com/a=5 cpu=2000m").to_string();
    assert_eq!(shown, "2 cpu, 2Gi memory, 3 pods, 5 example.com/a, 1 nvidia.com/gpu");
    assert_eq!(ResourceList::new().to_string(), "nothing");
}

#[test]
fn every_amount_of_an_api_object_that_is_no_quantity_is_reported() {
    let amounts = [("cpu", "2"), ("memory", "1 Gi"), ("pods", "many")];
    let amounts = amounts.map(|(name, amount)| (name.to_owned(), ApiQuantity(amount.to_owned())));
    let problems = ResourceList::from_api(&BTreeMap::from(amounts)).unwrap_err();
    let named: Vec<_> = problems.iter().map(|problem| problem.resource.as_str()).collect();
    assert_eq!(named, ["memory", "pods"]);
    assert!(problems[0].to_string().starts_with("resource memory: quantity \"1 Gi\" has the unknown suffix"));
}

#[test]
fn a_list_survives_the_way_to_the_api_and_back() {
    let original = list("cpu=1930m memory=6903Mi pods=29 ephemeral-storage=17Gi nvidia.com/gpu=1");
    assert_eq!(ResourceList::from_api(&original.to_api()).unwrap(), original);
}

fn any_list() -> impl Strategy<Value = ResourceList> {
    let name =
        prop_oneof![Just(CPU), Just(MEMORY), Just(PODS), Just("nvidia.com/gpu"), Just("example.com/a")];
    proptest::collection::vec((name, -3_i64..20), 0..5).prop_map(|amounts| {
        amounts.into_iter().map(|(name, units)| (name, Quantity::from_units(units))).collect()
    })
}

proptest! {
    #[test]
    fn fitting_and_having_no_shortage_are_the_same(requests in any_list(), total in any_list()) {
        prop_assert_eq!(requests.fits_in(&total), requests.shortages(&total).is_empty());
    }

    #[test]
    fn asking_for_less_or_having_more_never_stops_a_fit(requests in any_list(), total in any_list(), change in any_list()) {
        let change = change.floored();
        if requests.fits_in(&total) {
            let mut more = total.clone();
            more += &change;
            prop_assert!(requests.fits_in(&more));
            prop_assert!(requests.minus(&change).fits_in(&total));
        }
    }

    #[test]
    fn what_fits_leaves_nothing_negative_behind(requests in any_list(), total in any_list()) {
        if requests.fits_in(&total) {
            prop_assert!(ResourceList::new().fits_in(&total.minus(&requests)));
        }
    }

    #[test]
    fn addition_commutes_and_associates(a in any_list(), b in any_list(), c in any_list()) {
        let sum = |lists: &[&ResourceList]| lists.iter().copied().sum::<ResourceList>();
        prop_assert_eq!(sum(&[&a, &b]), sum(&[&b, &a]));
        prop_assert_eq!(sum(&[&sum(&[&a, &b]), &c]), sum(&[&a, &sum(&[&b, &c])]));
    }

    #[test]
    fn the_maximum_is_an_upper_bound(a in any_list(), b in any_list()) {
        let mut peak = a.clone();
        peak.raise_to(&b);
        for (name, amount) in a.iter().chain(b.iter()) {
            prop_assert!(peak.amount(name) >= amount);
        }
    }
}
