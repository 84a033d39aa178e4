//! What tenants can have stored in `managedFields`, and no parser here can hold, stops neither webhook nor controller.
//!
//! The API server keeps times of the year 9999, hundreds of nested fields and names that are no text as their writer sent them.

use hyper::Request;
use k8s_openapi::api::core::v1::Event;
use kube::Client;
use kube::api::{Api, ListParams};
use kube::client::Body;
use serde_json::json;
use treenail::api::nodeclaim::NodeClaim;
use treenail_lab::User;
use treenail_lab::process::Process;

use crate::support::claims::await_class;
use crate::support::cluster::{
    A_WHILE, administrator, alice, apply, empower_alice, found_within, kubectl, namespace, soon, within,
};
use crate::support::world::World;

/// Values of `managedFields`, each with a name for what is made with it. A patch makes text of bytes that are none, so what is patched with each
/// of them ends as one that a patch leaves alone.
fn poisons() -> [(&'static str, Vec<u8>); 3] {
    let entry = |time: &str, fields: &[u8]| {
        let head = format!(
            r#"[{{"manager":"m","operation":"Update","apiVersion":"v1","time":"{time}","fieldsType":"FieldsV1","fieldsV1":"#
        );
        [head.as_bytes(), fields, b"}]"].concat()
    };
    let deep = format!("{}{{}}{}", r#"{"f:a":"#.repeat(200), "}".repeat(200));
    let now = "2026-01-01T00:00:00Z";
    [
        ("bytes", entry(now, b"{\"f:metadata\":{\"f:annotations\":{\"f:\xff\xfe\":{}}}}")),
        ("time", entry("9999-12-31T23:59:59Z", br#"{"f:spec":{"f:a":{}}}"#)),
        ("deep", entry(now, deep.as_bytes())),
    ]
}

/// The same text with the bytes in the place of `MANAGED`.
fn with_managed(text: &str, managed: &[u8]) -> Vec<u8> {
    let mut parts = text.split("\"MANAGED\"").map(str::as_bytes);
    let first = parts.next().unwrap_or_default().to_vec();
    parts.fold(first, |text, part| [&text, managed, part].concat())
}

/// Alice does this, in bytes that need not be text.
async fn send(client: &Client, method: &str, path: &str, body: Vec<u8>) {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder().method(method).uri(path).header("content-type", kind);
    let answer = client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
    let code = answer.status();
    let said = answer.into_body().collect_bytes().await.unwrap();
    assert!(code.is_success(), "{method} {path}: {code} {}", String::from_utf8_lossy(&said));
}

async fn create(client: &Client, path: &str, object: &serde_json::Value, managed: &[u8]) {
    send(client, "POST", path, with_managed(&object.to_string(), managed)).await;
}

async fn poison(client: &Client, path: &str, managed: &[u8]) {
    send(client, "PATCH", path, with_managed(r#"{"metadata":{"managedFields":"MANAGED"}}"#, managed)).await;
}

/// One thing of an object, as kubectl prints it: the clients here cannot read it.
async fn field(world: &World, namespace: &str, pod: &str, path: &str) -> Option<String> {
    let path = format!("-o=jsonpath={{{path}}}");
    let outcome =
        kubectl(&world.lab, &User::administrator()).run(&["get", "pod", "-n", namespace, pod, &path]).await;
    outcome.ok().filter(|outcome| outcome.success).map(|outcome| outcome.stdout)
}

async fn administer(world: &World, arguments: &[&str]) {
    let outcome = kubectl(&world.lab, &User::administrator()).run(arguments).await.unwrap();
    assert!(outcome.success, "{}", outcome.stderr);
}

/// Waits until the controller has said of the pod that it gets no node.
async fn is_planned_for(world: &World, namespace: &str, pod: &str) {
    let events: Api<Event> = Api::namespaced(administrator(&world.lab).await, namespace);
    soon(&format!("the controller knows {pod}"), async || {
        let is_it = |event: &Event| {
            event.reporting_component.as_deref() == Some("treenail")
                && event.involved_object.name.as_deref() == Some(pod)
        };
        events.list(&ListParams::default()).await.ok()?.items.iter().any(is_it).then_some(())
    })
    .await
    .unwrap();
}

/// What the process has told from the first `from` bytes on.
fn told(process: &Process, from: usize) -> String {
    std::fs::read_to_string(process.log()).unwrap().split_off(from)
}

#[test]
fn what_nobody_here_can_parse_stops_neither_webhook_nor_controller() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::start().await.unwrap();
        let lab = &world.lab;
        await_class(&administrator(lab).await, "default").await;
        namespace(lab, "typed", &[("treenail.dev/workload-type", "application")]).await;
        namespace(lab, "typeless", &[]).await;
        empower_alice(lab, &["typed", "typeless"]).await;
        let alice = lab.client(&alice()).await.unwrap();

        a_pod_that_is_gone_is_planned_for_no_more(&world, &alice).await;
        poison_everything(&world, &alice).await;

        world.kill();
        let webhook = world.treenail.start_webhook(lab, &world.balancer, &[]).await.unwrap();
        let controller = world.treenail.start_controller(lab, &[]).await.unwrap();
        webhook.await_ready().await.unwrap();
        world.balancer.serves(webhook.backend()).await.unwrap();
        its_namespace_is_known(&world).await;
        a_node_with_a_poisoned_pod_is_drained(&world, &controller).await;
        for process in [&webhook.process, &controller] {
            for words in ["the watch is broken", "cannot be read"] {
                assert!(!told(process, 0).contains(words), "{words}:\n{}", process.log_tail());
            }
        }
    });
}

/// Two pods wait for a pool to have room. One is poisoned in every way and deleted: there is a node for the other alone.
async fn a_pod_that_is_gone_is_planned_for_no_more(world: &World, alice: &Client) {
    let room = async |cpu: &str| {
        let limits = json!({ "spec": { "limits": { "cpu": cpu } } }).to_string();
        administer(world, &["patch", "nodepool", "application", "--type=merge", "-p", &limits]).await;
    };
    room("0").await;
    for (name, cpu) in [("stays", "500m"), ("phantom", "7")] {
        let container = json!({ "name": "app", "image": "app", "resources": { "requests": { "cpu": cpu } } });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": { "containers": [container] } });
        create(alice, "/api/v1/namespaces/typed/pods", &pod, b"").await;
        is_planned_for(world, "typed", name).await;
    }
    // Until now, an API server that has known the kinds for a moment only may have sent watches away.
    let before = told(&world.controller, 0).len();
    let path = "/api/v1/namespaces/typed/pods/phantom";
    for (_, managed) in poisons() {
        poison(alice, path, &managed).await;
    }
    send(alice, "DELETE", path, Vec::new()).await;
    room("1000").await;
    let claims: Api<NodeClaim> = Api::all(administrator(&world.lab).await);
    found_within(A_WHILE, "the other pod is on a node", async || {
        field(world, "typed", "stays", ".spec.nodeName").await.filter(|node| !node.is_empty())
    })
    .await
    .unwrap();
    let claims = claims.list(&ListParams::default()).await.unwrap().items;
    let asked = claims.iter().map(|claim| claim.spec.resources.as_ref().map(|asked| asked.requests.clone()));
    let asked: Vec<_> =
        asked.map(|requests| requests.unwrap_or_default().remove("cpu").map(|cpu| cpu.0)).collect();
    assert_eq!(asked, [Some("500m".to_owned())]);
    let since = told(&world.controller, before);
    assert!(!since.contains("the watch is broken"), "{since}");
}

async fn poison_everything(world: &World, alice: &Client) {
    let container = json!([{ "name": "app", "image": "app" }]);
    for (name, managed) in poisons() {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": format!("poisoned-{name}"), "managedFields": "MANAGED" },
        });
        create(alice, "/api/v1/namespaces", &namespace, &managed).await;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "managedFields": "MANAGED" },
            "spec": { "containers": container },
        });
        create(alice, "/api/v1/namespaces/typeless/pods", &pod, &managed).await;
        let labels = json!({ "app": name });
        let set = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": name, "managedFields": "MANAGED" },
            "spec": {
                "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels, "creationTimestamp": "9999-12-31T23:59:59Z", "managedFields": "MANAGED" },
                    "spec": { "containers": container, "nodeSelector": { "example.com/for": "nobody" } },
                },
            },
        });
        create(alice, "/apis/apps/v1/namespaces/typeless/daemonsets", &set, &managed).await;
        poison(alice, "/api/v1/namespaces/typed", &managed).await;
        poison(alice, "/api/v1/namespaces/typed/pods/stays", &managed).await;
    }
    // It is stored as it was sent, or all this would prove nothing.
    let stored = kubectl(&world.lab, &User::administrator());
    for (path, words) in [
        ("/api/v1/namespaces/typeless/pods/time", "9999-12-31T23:59:59Z"),
        ("/api/v1/namespaces/poisoned-bytes", "\u{fffd}"),
        ("/apis/apps/v1/namespaces/typeless/daemonsets/deep", &r#"{"f:a":"#.repeat(200)),
        ("/api/v1/namespaces/typed/pods/stays", &r#"{"f:a":"#.repeat(200)),
    ] {
        let outcome = stored.run(&["get", "--raw", path]).await.unwrap();
        assert!(outcome.success && outcome.stdout.contains(words), "{path}: {}", outcome.stdout);
    }
}

async fn its_namespace_is_known(world: &World) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "later", "namespace": "typed" },
        "spec": { "containers": [{ "name": "app", "image": "app" }] },
    });
    let outcome = apply(&world.lab, &alice(), &pod.to_string()).await;
    assert!(outcome.success, "{}", outcome.stderr);
    let tolerations = field(world, "typed", "later", ".spec.tolerations").await.unwrap();
    assert!(tolerations.contains("node-type"), "{tolerations}");
}

async fn a_node_with_a_poisoned_pod_is_drained(world: &World, controller: &Process) {
    let claims: Api<NodeClaim> = Api::all(administrator(&world.lab).await);
    let claim = claims.list(&ListParams::default()).await.unwrap().items.remove(0).metadata.name.unwrap();
    administer(world, &["delete", "nodeclaim", &claim, "--wait=false"]).await;
    // The controller that was killed has not left its lease.
    let evicted = found_within(A_WHILE, "the pod is evicted", async || {
        let deleted = field(world, "typed", "stays", ".metadata.deletionTimestamp").await?;
        (!deleted.is_empty()).then_some(())
    });
    if let Err(error) = evicted.await {
        let pod = field(world, "typed", "stays", "").await;
        panic!("{error:#}: {pod:?}\n{}", controller.log_tail());
    }
    assert!(claims.get_opt(&claim).await.unwrap().is_some(), "its node is given up under the pod");
    // What the kubelet would do, which here cannot read the pod either.
    administer(world, &["delete", "pod", "-n", "typed", "--all", "--force", "--grace-period=0"]).await;
    within(A_WHILE, &claims, &claim, |claim: Option<&NodeClaim>| claim.is_none()).await.unwrap();
}
