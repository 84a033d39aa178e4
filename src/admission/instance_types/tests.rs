use serde_json::json;

use super::*;

fn pod(names: impl IntoIterator<Item = String>) -> Pod {
    let names: Vec<_> = names.into_iter().collect();
    let expression = json!({ "key": label::INSTANCE_TYPE, "operator": "In", "values": names });
    let terms = json!([{ "matchExpressions": [expression] }]);
    let required =
        json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } });
    let spec = json!({ "containers": [], "affinity": { "nodeAffinity": required } });
    Pod::from_api(&serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap()).unwrap()
}

#[test]
fn only_so_many_unknown_names_are_compared_with_those_that_are_known() {
    let known = BTreeSet::from(["c0000.xlarg".to_owned()]);
    for count in [COMPARED - 1, COMPARED, COMPARED + 1, 5_000] {
        // Each is a slip away from the one that is known.
        let pod = pod((0..count).map(|number| format!("c000{}.xlarg{}", number % 10, number / 10)));
        let unknown = KnownTypes(&known).unknown(&pod);
        let compared = unknown.iter().filter(|(_, nearest)| nearest.is_some()).count();
        assert!(compared > 0 && compared <= COMPARED, "{count}: {compared}");
        assert!(unknown.iter().skip(COMPARED).all(|(_, nearest)| nearest.is_none()), "{count}");
        assert_eq!(unknown.len(), count);
    }
}

#[test]
fn of_pods_that_name_very_many_types_nothing_is_certain() {
    let names = |count: usize| (0..count).map(|number| format!("x{number}.large"));
    assert!(can_look_at(&pod(names(LOOKED_AT))));
    assert!(!can_look_at(&pod(names(LOOKED_AT + 1))));
}
