//! The promise itself, against a scheduler of the tests' own: no pod that is admitted fits a node that its namespace may not use. And what
//! admission does to pods on the way: adds, never removes, once.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::admission::testing::{Call, World, inventory, node_pool, owner, workload_type};
use crate::model::pod::DAEMON_SET_CONTROLLER;

/// Pools with their taints and the types that name them. `open` has no taint and no type: whoever is of no type runs there.
const POOLS: [(&str, &str, &[&str]); 5] = [
    ("a", "node-type=a:NoSchedule", &["a"]),
    ("b", "node-type=b:NoSchedule team:NoExecute", &["b"]),
    ("ab", "node-type=ab:NoSchedule", &["a", "b"]),
    ("c", "dedicated=5:NoExecute level=7:NoSchedule", &["c"]),
    ("open", "", &[]),
];

const TYPES: [(&str, &str); 3] = [("a", "a ab"), ("b", "ab b"), ("c", "c")];

/// Namespaces and their types.
const NAMESPACES: [(&str, Option<&str>); 4] =
    [("in-a", Some("a")), ("in-b", Some("b")), ("in-c", Some("c")), ("plain", None)];

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let pools: Vec<_> = POOLS.iter().map(|(name, taints, _)| node_pool(name, taints)).collect();
    let types = TYPES.map(|(name, pools)| workload_type(name, pools));
    let mut world = World::of(inventory(&pools, &types));
    for (namespace, workload_type) in NAMESPACES {
        let label = workload_type.map(|name| ("treenail.dev/workload-type".to_owned(), name.to_owned()));
        world.namespaces.insert(namespace.to_owned(), label.into_iter().collect());
    }
    world
});

struct Node {
    name: String,
    labels: Vec<(String, String)>,
    taints: Vec<(String, String, String)>,
    types: &'static [&'static str],
    /// Not adopted yet.
    is_booting: bool,
}

/// A node of each pool, and one that has just started.
fn nodes() -> Vec<Node> {
    let mut nodes = Vec::new();
    for (pool, taints, types) in POOLS {
        for is_booting in [false, true] {
            let booting = if is_booting { " karpenter.sh/unregistered:NoExecute" } else { "" };
            let taints = format!("{taints}{booting}");
            let taints = taints.split_whitespace().map(|taint| {
                let (name, effect) = taint.rsplit_once(':').unwrap();
                let (key, value) = name.split_once('=').unwrap_or((name, ""));
                (key.to_owned(), value.to_owned(), effect.to_owned())
            });
            let label =
                |name: &&str| (format!("workload-type.node-restriction.kubernetes.io/{name}"), String::new());
            nodes.push(Node {
                name: format!("node-{pool}"),
                labels: types.iter().map(label).collect(),
                taints: taints.collect(),
                types,
                is_booting,
            });
        }
    }
    nodes
}

fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object[field].as_str().unwrap_or_default()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// As kube-scheduler matches, with its gate for comparisons on: written from its documentation, apart from the code under test.
fn tolerates(toleration: &Value, (key, value, effect): &(String, String, String)) -> bool {
    let matches =
        |field: &str, wanted: &str| text(toleration, field).is_empty() || text(toleration, field) == wanted;
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| number.to_string() == text);
    let compare = |holds: fn(i64, i64) -> bool| {
        number(value).zip(number(text(toleration, "value"))).is_some_and(|(node, pod)| holds(node, pod))
    };
    matches("effect", effect)
        && matches("key", key)
        && match text(toleration, "operator") {
            "Exists" => true,
            "" | "Equal" => text(toleration, "value") == value,
            "Gt" => compare(|node, pod| node > pod),
            "Lt" => compare(|node, pod| node < pod),
            _ => false,
        }
}

fn term_matches(term: &Value, node: &Node) -> bool {
    let has = |key: &str| node.labels.iter().any(|(label, _)| label == key);
    let expressions = items(&term["matchExpressions"]).all(|expression| match text(expression, "operator") {
        "Exists" => has(text(expression, "key")),
        _ => !has(text(expression, "key")),
    });
    let fields =
        items(&term["matchFields"]).all(|field| items(&field["values"]).any(|value| value == &node.name));
    let is_empty = term["matchExpressions"].is_null() && term["matchFields"].is_null();
    !is_empty && expressions && fields
}

/// Whether the pod may come to run on the node: the scheduler's filters, or none of them if it names the node.
fn fits(pod: &Value, node: &Node) -> bool {
    let spec = &pod["spec"];
    if !text(spec, "nodeName").is_empty() {
        return text(spec, "nodeName") == node.name;
    }
    let selector = spec["nodeSelector"].as_object().into_iter().flatten();
    let terms = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    selector.into_iter().all(|(key, value)| {
        node.labels.iter().any(|(label, text)| label == key && Some(text.as_str()) == value.as_str())
    }) && (terms.is_null() || items(terms).any(|term| term_matches(term, node)))
        && node
            .taints
            .iter()
            .all(|taint| items(&spec["tolerations"]).any(|toleration| tolerates(toleration, taint)))
}

fn tolerations() -> impl Strategy<Value = Value> {
    let word = |words: &[&'static str]| prop::sample::select(words.to_vec());
    let toleration = (
        word(&[
            "",
            "node-type",
            "node-type",
            "team",
            "dedicated",
            "level",
            "karpenter.sh/unregistered",
            "spot",
        ]),
        word(&["", "Equal", "Exists", "Exists", "Gt", "Lt", "exists"]),
        word(&["", "a", "b", "ab", "c", "4", "5", "7", "8", "07"]),
        word(&["", "NoSchedule", "NoExecute", "PreferNoSchedule"]),
        prop::option::weighted(0.2, 0..100_i64),
    );
    let toleration = toleration.prop_map(|(key, operator, value, effect, seconds)| {
        let mut toleration = json!({});
        for (field, text) in [("key", key), ("operator", operator), ("value", value), ("effect", effect)] {
            if !text.is_empty() {
                toleration[field] = json!(text);
            }
        }
        if let Some(seconds) = seconds {
            toleration["tolerationSeconds"] = json!(seconds);
        }
        toleration
    });
    prop::collection::vec(toleration, 0..3).prop_map(Value::from)
}

fn type_label() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c"])
        .prop_map(|name| format!("workload-type.node-restriction.kubernetes.io/{name}"))
}

fn affinity() -> impl Strategy<Value = Value> {
    let expression = (type_label(), prop::sample::select(vec!["Exists", "DoesNotExist"]))
        .prop_map(|(key, operator)| json!({ "matchExpressions": [{ "key": key, "operator": operator }] }));
    let field = prop::sample::select(vec!["node-a", "node-b", "node-c", "node-open"]).prop_map(
        |name| json!({ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [name] }] }),
    );
    prop::collection::vec(prop_oneof![expression, field, Just(json!({}))], 1..3).prop_map(|terms| {
        json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } })
    })
}

/// Pods as an attacker would try them, from every namespace, by users who may be controllers.
fn calls() -> impl Strategy<Value = Call> {
    let spec = (
        tolerations(),
        prop::collection::btree_map(type_label(), prop::sample::select(vec!["", "", "no"]), 0..2),
        prop::option::of(affinity()),
        prop::option::weighted(0.05, prop::sample::select(vec!["node-a", "node-b", "node-open"])),
        prop::option::weighted(0.2, Just(json!([{ "name": "wait" }]))),
    );
    let labels = prop::option::weighted(0.1, prop::sample::select(vec!["a", "b", "zzz"]));
    let user = prop::sample::select(vec!["alice", DAEMON_SET_CONTROLLER, "system:node:node-b"]);
    let owned = prop::option::of(prop::sample::select(vec![
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "ReplicaSet"),
        ("v1", "Node"),
    ]));
    let namespace = prop::sample::select(NAMESPACES.map(|(name, _)| name).to_vec());
    (spec, labels, user, owned, namespace).prop_map(|(spec, label, user, owned, namespace)| {
        let (tolerations, selector, affinity, node_name, gates) = spec;
        let mut call = Call::pod(namespace, json!({})).by(user, &["system:nodes"]);
        let optional = [
            ("/spec/affinity", affinity),
            ("/spec/nodeName", node_name.map(Value::from)),
            ("/spec/schedulingGates", gates),
            ("/metadata/labels", label.map(|label| json!({ "treenail.dev/workload-type": label }))),
            ("/metadata/ownerReferences", owned.map(|(version, kind)| json!([owner(version, kind, "x")]))),
        ];
        for (pointer, value) in optional.into_iter().filter_map(|(pointer, value)| Some((pointer, value?))) {
            call = call.with(pointer, value);
        }
        if tolerations != json!([]) {
            call = call.with("/spec/tolerations", tolerations);
        }
        if selector.is_empty() { call } else { call.with("/spec/nodeSelector", json!(selector)) }
    })
}

fn is_pinned(pod: &Value) -> bool {
    let terms = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    items(terms).count() == 1 && !terms[0]["matchFields"].is_null()
}

/// A daemon pod by every sign.
fn is_daemon(call: &Call) -> bool {
    let body = call.body();
    body["request"]["userInfo"]["username"] == DAEMON_SET_CONTROLLER
        && call.object["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet"
        && is_pinned(&call.object)
}

/// The admitted pod fits no node that its namespace may not use.
fn is_isolated(namespace: &str, is_daemon: bool, pod: &Value) -> Result<(), TestCaseError> {
    let own = NAMESPACES.iter().find(|(name, _)| *name == namespace).and_then(|(_, own)| *own);
    for node in nodes().iter().filter(|node| fits(pod, node)) {
        let is_own = own.is_some_and(|own| node.types.contains(&own));
        // Nobody selects for daemon pods, so that they also run where there is no fence.
        let is_open = node.types.is_empty() && (own.is_none() || is_daemon);
        prop_assert!(is_own || is_open, "{namespace} gets onto {}: {pod}", node.name);
        prop_assert!(
            !node.is_booting || is_daemon,
            "{namespace} gets onto an unregistered {}: {pod}",
            node.name
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_admitted_pod_fits_a_node_that_its_namespace_may_not_use(call in calls(), more in tolerations()) {
        let world = &*WORLD;
        let (pod, verdict) = world.send(&call);
        if verdict.is_allowed() {
            let is_daemon = is_daemon(&call);
            is_isolated(&call.namespace, is_daemon, &pod)?;

            // Later, tolerations are added and the gates go, as Kubernetes allows.
            let mut updated = pod.clone();
            let all = items(&pod["spec"]["tolerations"]).chain(items(&more)).cloned();
            updated["spec"]["tolerations"] = all.collect();
            updated["spec"].as_object_mut().unwrap().remove("schedulingGates");
            let update = Call::create("Pod", &call.namespace, pod).becomes(updated);
            let (pod, verdict) = world.send(&update);
            if verdict.is_allowed() {
                is_isolated(&call.namespace, is_daemon, &pod)?;
            }
        }
    }

    #[test]
    fn what_is_refused_for_a_toleration_would_have_matched_a_foreign_taint(call in calls()) {
        let codes = WORLD.mutate(&call).codes();
        let own = NAMESPACES.iter().find(|(name, _)| *name == call.namespace).and_then(|(_, own)| *own);
        let reaches = |toleration: &Value, taint: &(String, String, String)| {
            let mut known = toleration.clone();
            if text(toleration, "operator") == "exists" {
                known["operator"] = json!("Exists");
            }
            tolerates(&known, taint)
        };
        let expected = items(&call.object["spec"]["tolerations"]).any(|toleration| {
            nodes().iter().filter(|node| !own.is_some_and(|own| node.types.contains(&own))).any(|node| {
                node.taints.iter().filter(|(key, ..)| key != "karpenter.sh/unregistered").any(|taint| reaches(toleration, taint))
            })
        });
        let refused = codes.iter().any(|code| ["ForeignToleration", "UnknownTolerationOperator"].contains(code));
        prop_assert_eq!(refused, expected, "{:?} {}", codes, call.object);
    }

    #[test]
    fn mutation_only_adds_does_so_once_and_is_accepted_by_the_own_validation(call in calls(), noise in tolerations()) {
        let world = &*WORLD;
        let mutated = world.mutate(&call);
        if mutated.is_allowed() {
            let mut once = call.clone();
            if let Some(patch) = &mutated.patch {
                json_patch::patch(&mut once.object, patch).unwrap();
            }
            prop_assert_eq!(world.mutate(&once).patch, None, "the second run changes something");
            let codes = world.validate(&once).codes();
            prop_assert!(codes.is_empty() || codes == ["SelectorContradiction"], "{:?}: {}", codes, once.object);

            let before: Vec<_> = items(&call.object["spec"]["tolerations"]).collect();
            let after: Vec<_> = items(&once.object["spec"]["tolerations"]).collect();
            prop_assert_eq!(&after[..before.len()], &before[..], "tolerations are reordered or changed");
            for (key, value) in call.object["spec"]["nodeSelector"].as_object().into_iter().flatten() {
                prop_assert_eq!(&once.object["spec"]["nodeSelector"][key], value);
            }
            for field in ["affinity", "schedulingGates", "nodeName"] {
                prop_assert_eq!(&once.object["spec"][field], &call.object["spec"][field]);
            }

            // Another webhook adds in between, and all run again.
            let mut chained = once;
            let added = items(&noise).chain(items(&chained.object["spec"]["tolerations"])).cloned().collect::<Vec<_>>();
            chained.object["spec"]["tolerations"] = Value::from(added);
            prop_assert_eq!(world.mutate(&chained).patch, None);
        }
    }

    #[test]
    fn tolerations_of_nobodys_taint_change_nothing(keys in prop::collection::vec("[a-z]{3,8}", 0..10), namespace in prop::sample::select(vec!["in-a", "plain"])) {
        let keys = keys.iter().filter(|key| !["node-type", "team", "dedicated", "level"].contains(&key.as_str()));
        let tolerations: Vec<_> = keys.map(|key| json!({ "key": key, "operator": "Exists" })).collect();
        let call = Call::pod(namespace, json!({ "tolerations": tolerations }));
        let (object, verdict) = WORLD.send(&call);
        prop_assert!(verdict.is_allowed());
        if namespace == "plain" {
            prop_assert_eq!(object, call.object);
        }
    }
}
