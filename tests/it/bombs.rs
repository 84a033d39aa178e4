//! Objects that Kubernetes admits and that are far larger than anybody means: one of them must not end Treenail, nor keep others waiting.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::{Map, Value, json};
use treenail_lab::User;

use crate::support::cluster::{
    administrator, alice, apply, empower_alice, kubectl, namespace, node_of, soon,
};
use crate::support::world::{World, on_treenail};

/// Each of them may use so much, as it is deployed.
const MEMORY_LIMIT: u64 = 512 << 20;

/// Labels and terms: each term would carry all labels.
const MANY: usize = 3000;

fn pod(namespace: &str, name: &str, spec: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": namespace },
        "spec": { "containers": [{ "name": "app", "image": "app" }] },
    });
    for (key, value) in spec.as_object().expect("an object") {
        pod["spec"][key] = value.clone();
    }
    pod
}

/// 195 KB of labels and terms.
fn bomb() -> Value {
    let selector: Map<_, _> = (0..MANY).map(|number| (format!("n{number}"), "".into())).collect();
    let terms = vec![json!({ "matchExpressions": [{ "key": "a", "operator": "Exists" }] }); MANY];
    let required =
        json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } });
    json!({ "nodeSelector": selector, "affinity": { "nodeAffinity": required } })
}

/// The processes, and what they use.
fn alive(world: &World) -> [(u32, u64); 2] {
    [&world.controller, &world.webhook.process].map(|process| {
        process.ensure_running().unwrap();
        (process.id(), process.resident_bytes().unwrap())
    })
}

#[test]
fn a_pod_of_many_labels_and_terms_is_refused_or_told_and_others_still_get_their_nodes() {
    on_treenail(async |world| {
        let lab = &world.lab;
        namespace(lab, "bombs-typed", &[("treenail.dev/workload-type", "application")]).await;
        namespace(lab, "bombs-plain", &[]).await;
        empower_alice(lab, &["bombs-typed", "bombs-plain"]).await;
        let before = alive(world);

        let typed = kubectl(lab, &alice());
        let create = ["create", "-f", "-"];
        let refused = pod("bombs-typed", "bomb", bomb()).to_string();
        let refused = typed.run_with_input(&create, &refused).await.unwrap();
        assert!(!refused.success && refused.stderr.contains("PodTooLarge"), "{}", refused.stderr);
        let admitted = pod("bombs-plain", "bomb", bomb()).to_string();
        let admitted = typed.run_with_input(&create, &admitted).await.unwrap();
        assert!(admitted.success, "{}", admitted.stderr);
        let events: Api<Event> = Api::namespaced(administrator(lab).await, "bombs-plain");
        soon("the author of the large pod is told", async || {
            let mut events = events.list(&ListParams::default()).await.ok()?.items.into_iter();
            events
                .find(|event| event.note.as_ref().is_some_and(|note| note.contains("too large to plan for")))
        })
        .await
        .unwrap();

        let ordinary = pod("bombs-typed", "ordinary", json!({}));
        let outcome = apply(lab, &User::administrator(), &ordinary.to_string()).await;
        assert!(outcome.success, "{}", outcome.stderr);
        let pods: Api<Pod> = Api::namespaced(administrator(lab).await, "bombs-typed");
        soon("the ordinary pod has its node", async || node_of(&pods, "ordinary").await).await.unwrap();

        for ((id, used), (id_after, used_after)) in before.into_iter().zip(alive(world)) {
            eprintln!("process {id}: {} KiB before, {} KiB after", used >> 10, used_after >> 10);
            assert_eq!(id, id_after);
            assert!(used_after < MEMORY_LIMIT, "{used_after} bytes");
        }
        let delete = ["delete", "pod", "bomb", "-n", "bombs-plain", "--wait=false"];
        kubectl(lab, &alice()).run(&delete).await.unwrap();
    });
}
