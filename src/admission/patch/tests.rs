use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::admission::testing::{Call, World, inventory, node_pool, show, workload_type};

/// All of these pods get the same patch, and after it none.
fn check(pods: &[(Value, Value)], expected: &Expect) {
    let mut shown = BTreeSet::new();
    for (metadata, spec) in pods {
        let mut call = Call::create("Pod", "shop", json!({ "metadata": metadata, "spec": spec }));
        let verdict = World::new().mutate(&call);
        json_patch::patch(&mut call.object, verdict.patch.as_ref().unwrap()).unwrap();
        assert_eq!(World::new().mutate(&call).patch, None, "the second run changes nothing");
        shown.insert(show(&verdict));
    }
    expected.assert_eq(&shown.into_iter().collect::<Vec<_>>().join("\nor\n"));
}

#[test]
fn lists_and_maps_that_are_absent_or_null_are_added_whole() {
    check(
        &[
            (json!({}), json!({})),
            (json!({ "annotations": null }), json!({ "tolerations": null, "nodeSelector": null })),
        ],
        &expect![[r#"
            add /spec/tolerations [{"effect":"NoSchedule","key":"node-type","operator":"Equal","value":"application"}]
            add /spec/nodeSelector {"workload-type.node-restriction.kubernetes.io/application":""}
            add /metadata/annotations {"treenail.dev/injected":"{\"type\":\"application\",\"generation\":1,\"tolerations\":[\"node-type=application:NoSchedule\"],\"nodeSelector\":{\"workload-type.node-restriction.kubernetes.io/application\":\"\"}}"}
            admitted"#]],
    );
}

#[test]
fn lists_and_maps_that_are_there_get_single_items_with_their_keys_escaped() {
    let others =
        json!({ "tolerations": [{ "key": "x", "operator": "Exists" }], "nodeSelector": { "a~b": "c" } });
    check(
        &[
            (json!({ "annotations": {} }), json!({ "tolerations": [], "nodeSelector": {} })),
            (json!({ "annotations": { "a": "b" } }), others),
        ],
        &expect![[r#"
            add /spec/tolerations/- {"effect":"NoSchedule","key":"node-type","operator":"Equal","value":"application"}
            add /spec/nodeSelector/workload-type.node-restriction.kubernetes.io~1application ""
            add /metadata/annotations/treenail.dev~1injected "{\"type\":\"application\",\"generation\":1,\"tolerations\":[\"node-type=application:NoSchedule\"],\"nodeSelector\":{\"workload-type.node-restriction.kubernetes.io/application\":\"\"}}"
            admitted"#]],
    );
}

#[test]
fn only_what_is_missing_is_added() {
    let toleration =
        json!({ "key": "node-type", "operator": "Equal", "value": "application", "effect": "NoSchedule" });
    check(
        &[(json!({}), json!({ "tolerations": [toleration] }))],
        &expect![[r#"
        add /spec/nodeSelector {"workload-type.node-restriction.kubernetes.io/application":""}
        add /metadata/annotations {"treenail.dev/injected":"{\"type\":\"application\",\"generation\":1,\"nodeSelector\":{\"workload-type.node-restriction.kubernetes.io/application\":\"\"}}"}
        admitted"#]],
    );
}

#[test]
fn fields_that_nobody_here_knows_survive() {
    let spec =
        json!({ "containers": [{ "name": "c", "fieldOfTheFuture": "x" }], "future": { "x": [1, null] } });
    let call = Call::pod("shop", spec.clone());
    let (object, verdict) = World::new().send(&call);
    assert!(verdict.is_allowed());
    assert_eq!(
        (&object["spec"]["containers"], &object["spec"]["future"]),
        (&spec["containers"], &spec["future"])
    );
}

#[test]
fn order_is_the_policys_and_what_the_pod_has_stays_in_front() {
    let pools = [node_pool("b", "z=1:NoSchedule y=2:NoExecute"), node_pool("a", "x=3:NoSchedule")];
    let world = World::of(inventory(&pools, &[workload_type("application", "b a")]));
    let own =
        json!([{ "key": "own", "operator": "Exists" }, { "key": "y", "value": "2", "effect": "NoExecute" }]);
    let (object, verdict) = world.send(&Call::pod("shop", json!({ "tolerations": own })));
    assert!(verdict.is_allowed());
    let keys: Vec<_> = object["spec"]["tolerations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["own", "y", "z", "x"]);
}
