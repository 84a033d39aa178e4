use serde_json::{Value, json};

use super::*;
use crate::admission::testing::{Call, owner};

fn user<'a>(name: &'a str, groups: &[&'a str]) -> User<'a> {
    User { name: name.into(), groups: groups.iter().map(|group| (*group).into()).collect() }
}

fn read(object: &Value, judge: impl Fn(&Pod<'_>) -> bool) -> bool {
    let text = object.to_string();
    judge(&serde_json::from_str(&text).unwrap())
}

#[test]
fn a_daemon_pod_is_recognised_by_its_maker_its_controller_and_its_node_together() {
    let genuine = || Call::daemon_pod("shop", json!({}));
    let term = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let fields = |fields: Value| json!([{ "matchFields": fields }]);
    let field = |key: &str, operator: &str, values: Value| json!({ "key": key, "operator": operator, "values": values });
    let cases = [
        ("genuine", genuine(), true),
        ("no owner", genuine().with("/metadata/ownerReferences", Value::Null), false),
        ("owner null", genuine().with("/metadata/ownerReferences", json!([])), false),
        ("a ReplicaSet's", genuine().with("/metadata/ownerReferences/0/kind", json!("ReplicaSet")), false),
        (
            "another group's",
            genuine().with("/metadata/ownerReferences/0/apiVersion", json!("evil/v1")),
            false,
        ),
        ("not its controller", genuine().with("/metadata/ownerReferences/0/controller", json!(false)), false),
        ("no affinity", genuine().with("/spec/affinity", Value::Null), false),
        (
            "another field",
            genuine().with(term, fields(json!([field("metadata.uid", "In", json!(["x"]))]))),
            false,
        ),
        (
            "all but one node",
            genuine().with(term, fields(json!([field("metadata.name", "NotIn", json!(["x"]))]))),
            false,
        ),
        (
            "two nodes",
            genuine().with(term, fields(json!([field("metadata.name", "In", json!(["x", "y"]))]))),
            false,
        ),
        ("no field", genuine().with(term, fields(json!([]))), false),
        ("two terms", genuine().with(term, json!([{}, {}])), false),
        ("no affinity that can be read", genuine().with("/spec/affinity", json!("x")), false),
    ];
    let controller = user(DAEMON_SET_CONTROLLER, &[]);
    for (name, call, expected) in cases {
        assert_eq!(read(&call.object, |pod| is_daemon_pod(&controller, pod)), expected, "{name}");
        for somebody in
            ["alice", "system:serviceaccount:shop:daemon-set-controller", "system:kube-scheduler", ""]
        {
            assert!(
                !read(&call.object, |pod| is_daemon_pod(&user(somebody, &[]), pod)),
                "{name} by {somebody}"
            );
        }
    }
}

#[test]
fn a_mirror_pod_is_recognised_by_its_kubelet_its_group_its_node_and_its_owner_together() {
    let genuine = json!({
        "metadata": {
            "annotations": { "kubernetes.io/config.mirror": "hash" },
            "ownerReferences": [owner("v1", "Node", "n1")],
        },
        "spec": { "nodeName": "n1" },
    });
    let without = |pointer: &str, value: Value| {
        let call = Call::create("Pod", "shop", genuine.clone());
        call.with(pointer, value).object
    };
    let kubelet = || user("system:node:n1", &["system:nodes"]);
    let cases = [
        ("genuine", genuine.clone(), kubelet(), true),
        ("no annotation", without("/metadata/annotations", Value::Null), kubelet(), false),
        ("another node", without("/spec/nodeName", json!("n2")), kubelet(), false),
        ("no node", without("/spec/nodeName", Value::Null), kubelet(), false),
        ("no owner", without("/metadata/ownerReferences", Value::Null), kubelet(), false),
        ("another owner", without("/metadata/ownerReferences/0/name", json!("n2")), kubelet(), false),
        ("a Pod's", without("/metadata/ownerReferences/0/kind", json!("Pod")), kubelet(), false),
        ("another kubelet", genuine.clone(), user("system:node:n2", &["system:nodes"]), false),
        ("not in the group", genuine.clone(), user("system:node:n1", &["system:authenticated"]), false),
        ("no kubelet", genuine.clone(), user("n1", &["system:nodes"]), false),
        ("a kubelet without name", genuine.clone(), user("system:node:", &["system:nodes"]), false),
    ];
    for (name, object, user, expected) in cases {
        assert_eq!(read(&object, |pod| is_genuine_mirror_pod(&user, pod)), expected, "{name}");
    }
}
