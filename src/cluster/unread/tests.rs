use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, PartialObjectMeta};
use kube::core::{ObjectList, WatchEvent};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::cluster::caches::Caches;
use crate::cluster::testing::text_api_server;

/// Deeper than any parser follows that calls itself, and as deep as the API server takes.
const DEPTH: usize = 9000;

fn deep() -> String {
    format!("{}{}", r#"{"f:a":"#.repeat(DEPTH), "{}".to_owned() + &"}".repeat(DEPTH))
}

/// What writers can have stored as `managedFields`.
fn poisons() -> [String; 4] {
    let entry = |time: &str, fields: &str| {
        format!(
            r#"[{{"manager":"m","operation":"Update","time":"{time}","fieldsType":"FieldsV1","fieldsV1":{fields}}}]"#
        )
    };
    [
        entry("9999-12-31T23:59:59Z", r#"{"f:spec":{}}"#),
        entry("2026-01-01T00:00:00Z", &deep()),
        entry("2026-01-01T00:00:00Z", r#"{"f:\ud800":{"v:1e999":{}}}"#),
        "7".to_owned(),
    ]
}

fn text(namespace: &str, name: &str, version: u64, managed_fields: &str, rest: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"{namespace}","uid":"{name}-uid","resourceVersion":"{version}","managedFields":{managed_fields}}},{rest}}}"#
    )
}

fn pod(name: &str, version: u64, managed_fields: &str) -> String {
    text("n", name, version, managed_fields, r#""spec":{"containers":[{"name":"c"}]}"#)
}

fn list(items: &[String]) -> String {
    format!(
        r#"{{"kind":"List","apiVersion":"v1","metadata":{{"resourceVersion":"1"}},"items":[{}]}}"#,
        items.join(",")
    )
}

fn event(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

#[test]
fn what_writers_claim_to_have_written_is_dropped_whatever_it_is() {
    for poison in poisons() {
        let pod = pod("a", 7, &poison);
        assert!(serde_json::from_str::<Pod>(&pod).is_err(), "nothing would be proved");
        let pod: Unread<Pod> = serde_json::from_str(&pod).unwrap();
        let identity = pod.meta();
        assert_eq!(identity.name.as_deref(), Some("a"));
        assert_eq!(identity.namespace.as_deref(), Some("n"));
        assert_eq!(identity.uid.as_deref(), Some("a-uid"));
        assert_eq!(identity.resource_version.as_deref(), Some("7"));
        let read = pod.read().unwrap();
        assert_eq!(read.metadata.managed_fields, None);
        assert_eq!(read.metadata.uid.as_deref(), Some("a-uid"));
        assert_eq!(read.spec.unwrap().containers.len(), 1);
    }
}

#[test]
fn kube_takes_lists_and_events_of_objects_that_cannot_be_read() {
    let odd = [
        r#"{"metadata":{"name":"a","resourceVersion":"1"},"spec":7}"#.to_owned(),
        format!(r#"{{"metadata":{{"name":"a","resourceVersion":"1"}},"spec":[{}]}}"#, deep()),
        r#"{"metadata":{"name":"a","uid":{},"labels":[],"resourceVersion":"1"}}"#.to_owned(),
    ];
    for object in &odd {
        let listed: ObjectList<Unread<Pod>> =
            serde_json::from_str(&list(&[pod("b", 1, "null"), object.clone()])).unwrap();
        let [good, bad] = listed.items.try_into().unwrap();
        assert!(good.read().is_ok());
        assert!(bad.read().is_err(), "{object}");
        let deleted = serde_json::from_str(&event("DELETED", object)).unwrap();
        let WatchEvent::<Unread<Pod>>::Deleted(deleted) = deleted else { panic!("{object}") };
        for unread in [bad, deleted] {
            assert_eq!(unread.meta().name.as_deref(), Some("a"), "{object}");
            assert_eq!(unread.meta().resource_version.as_deref(), Some("1"));
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let field = prop_oneof![
        "metadata|name|namespace|uid|resourceVersion|managedFields|spec|items|type|object",
        any::<String>()
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        let object = prop::collection::vec((field.clone(), inner.clone()), 0..6)
            .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>()));
        prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Value::Array), object]
    })
}

proptest! {
    /// Also within the shapes in which kube takes objects.
    #[test]
    fn any_object_with_a_name_is_taken_by_its_name(mut object in any_json(), metadata in any_json(), name in any::<String>()) {
        if !object.is_object() {
            object = json!({});
        }
        object["metadata"] = if metadata.is_object() { metadata } else { json!({}) };
        object["metadata"]["name"] = json!(name);
        let object = object.to_string();
        let listed: ObjectList<Unread<Pod>> = serde_json::from_str(&list(std::slice::from_ref(&object))).unwrap();
        let event = serde_json::from_str(&event("MODIFIED", &object)).unwrap();
        let WatchEvent::<Unread<Pod>>::Modified(changed) = event else { panic!("{object}") };
        for unread in [&changed, &listed.items[0]] {
            prop_assert_eq!(unread.meta().name.as_ref(), Some(&name));
            // Whether it can be read or not, trying does no harm.
            let _ = (unread.read(), unread.clone(), format!("{unread:?}"));
        }
    }

    #[test]
    fn any_value_is_taken(value in any_json()) {
        prop_assert!(serde_json::from_str::<Unread<Pod>>(&value.to_string()).is_ok());
    }
}

/// Caches that follow an API server of these lists, and of these events once. Kinds of which nothing is said have no objects.
struct Following {
    caches: Caches,
    _tasks: Vec<JoinHandle<()>>,
}

impl Following {
    fn start(lists: &[(&'static str, Vec<String>)], events: &[(&'static str, String)]) -> Self {
        let (lists, events): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (lists.iter().cloned().collect(), events.iter().cloned().collect());
        let (client, _) = text_api_server(move |call| {
            let kind = call.line.rsplit('/').next().unwrap_or_default();
            if call.query.contains("watch=true") {
                // Whoever has seen what there is asks from the last version on.
                let is_first =
                    call.query.contains("resourceVersion=1&") || call.query.ends_with("resourceVersion=1");
                (200, events.get(kind).filter(|_| is_first).cloned().unwrap_or_default())
            } else {
                (200, list(lists.get(kind).map_or(&[], Vec::as_slice)))
            }
        });
        let (caches, mut tasks) = (Caches::default(), Vec::new());
        caches.follow(&client, |_, task| tasks.push(tokio::spawn(task)));
        Self { caches, _tasks: tasks }
    }

    async fn pods(&self, expected: &[&str]) {
        let mut changes = self.caches.pods.changes();
        let names = || self.caches.pods.entries().into_iter().map(|(key, _)| key.name).collect::<Vec<_>>();
        let are_there = async {
            while !self.caches.pods.is_synced() || names() != expected {
                changes.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_mins(1), are_there).await;
        assert!(waited.is_ok(), "{:?} instead of {expected:?}", names());
    }
}

#[tokio::test(start_paused = true)]
async fn caches_follow_objects_that_no_parser_here_can_hold() {
    for poison in poisons() {
        let namespace = text("", "n", 1, &poison, r#""spec":{}"#)
            .replace(r#""uid""#, r#""labels":{"treenail.dev/workload-type":"a"},"uid""#);
        let volume = text("", "v", 1, &poison, r#""spec":{"claimRef":{"namespace":"n","name":"c"}}"#);
        let set = text(
            "n",
            "d",
            1,
            &poison,
            &format!(
                r#""spec":{{"selector":{{}},"template":{{"metadata":{{"labels":{{"app":"a"}},"creationTimestamp":"9999-12-31T23:59:59Z","deletionTimestamp":"9999-12-31T23:59:59Z","managedFields":{poison}}},"spec":{{"containers":[]}}}}}}"#
            ),
        );
        let listed = vec![pod("a", 1, "null"), pod("b", 1, &poison), pod("c", 1, &poison)];
        let lists = [
            ("pods", listed),
            ("namespaces", vec![namespace]),
            ("persistentvolumes", vec![volume]),
            ("daemonsets", vec![set]),
        ];
        let events = [
            event("DELETED", &pod("b", 2, &poison)),
            event("ADDED", &pod("d", 3, &poison)),
            event("MODIFIED", &pod("c", 4, &poison)),
            event("DELETED", &pod("d", 5, &poison)),
        ];
        let following = Following::start(&lists, &[("pods", events.concat())]);
        following.pods(&["a", "c"]).await;
        let caches = &following.caches;
        tokio::time::timeout(std::time::Duration::from_mins(1), caches.synced())
            .await
            .expect("everything is listed");
        assert_eq!(caches.namespaces.get("", "n").unwrap().len(), 1);
        assert!(caches.volumes.get("", "v").unwrap().is_some());
        assert_eq!(caches.daemons.get("n", "d").unwrap().labels.get("app").map(String::as_str), Some("a"));
    }
}

/// Nothing that is stored today cannot be read without its `managedFields`; should there be something, it hides nothing else.
#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_is_left_out_and_its_deletion_is_heard() {
    let broken = |name: &str, version| text("n", name, version, "[]", r#""spec":7"#);
    let listed = vec![pod("a", 1, "null"), pod("b", 1, "null"), pod("c", 1, "null"), broken("d", 1)];
    let events = [
        event("MODIFIED", &broken("a", 2)),
        event("DELETED", &broken("b", 3)),
        event("ADDED", &broken("e", 4)),
        event("ADDED", &pod("f", 5, "[]")),
    ];
    let following = Following::start(&[("pods", listed)], &[("pods", events.concat())]);
    following.pods(&["c", "f"]).await;
}

#[tokio::test]
async fn labels_of_a_namespace_are_found_whatever_else_is_stored_of_it() {
    for poison in poisons() {
        let (client, _) = text_api_server(move |_| (200, text("", "n", 1, &poison, r#""spec":{}"#)));
        let namespaces: Api<Unread<PartialObjectMeta<Namespace>>> = Api::all(client);
        assert!(namespaces.get_opt("n").await.unwrap().unwrap().read().is_ok());
    }
}
