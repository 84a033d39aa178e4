//! Nodes go: when nothing needs them, when somebody asks for it, and when their instances are gone. Claims are made by hand here.

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};
use treenail::api::nodeclaim::NodeClaim;
use treenail_lab::User;

use crate::support::claims::{await_class, holds};
use crate::support::cluster::{A_WHILE, administrator, apply, soon, within};
use crate::support::world::World;

mod budget;
mod deadline;
mod emptiness;
mod garbage;
mod history;
mod termination;

/// The taint of every node here: nobody else's pods are to come.
fn taint(pool: &str) -> Value {
    json!({ "key": "example.com/of-test", "value": pool, "effect": "NoSchedule" })
}

/// Applies a pool of its own for a test. No workload type uses it: who tolerates its taint may use it.
async fn pool(world: &World, name: &str, consolidate_after: &str, nodes: &str) {
    pool_with(world, name, consolidate_after, nodes, json!({})).await;
}

/// The same, whose template's spec has these fields besides.
async fn pool_with(world: &World, name: &str, consolidate_after: &str, nodes: &str, spec: Value) {
    let mut manifest = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": name },
        "spec": {
            "template": { "spec": {
                "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
                "requirements": [{ "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["c7i.large"] }],
                "taints": [taint(name)],
                "expireAfter": "Never",
            } },
            "disruption": {
                "consolidationPolicy": "WhenEmpty", "consolidateAfter": consolidate_after,
                "budgets": [{ "nodes": nodes }],
            },
        },
    });
    for (key, value) in spec.as_object().unwrap() {
        manifest["spec"]["template"]["spec"][key] = value.clone();
    }
    let outcome = apply(&world.lab, &User::administrator(), &manifest.to_string()).await;
    assert!(outcome.success, "{}", outcome.stderr);
}

/// Makes a claim of the pool, as the provisioner would.
async fn claim(world: &World, pool: &str, name: &str) -> Api<NodeClaim> {
    claim_with(world, pool, name, json!([])).await
}

/// The same, with startup taints.
async fn claim_with(world: &World, pool: &str, name: &str, startup_taints: Value) -> Api<NodeClaim> {
    let client = administrator(&world.lab).await;
    await_class(&client, "default").await;
    let claim: NodeClaim = serde_json::from_value(json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
        "metadata": { "name": name, "labels": { "karpenter.sh/nodepool": pool } },
        "spec": {
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
            "requirements": [
                { "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["c7i.large"] },
                { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] },
            ],
            "taints": [taint(pool)],
            "startupTaints": startup_taints,
            "resources": { "requests": { "cpu": "1" } },
        },
    }))
    .unwrap();
    let claims: Api<NodeClaim> = Api::all(client);
    claims.create(&PostParams::default(), &claim).await.unwrap();
    claims
}

/// A node that is there.
struct Machine {
    /// The Node's name.
    node: String,
    /// The instance's id.
    instance: String,
}

/// Makes a claim of the pool and waits until its node can take pods.
async fn machine(world: &World, pool: &str, name: &str) -> Machine {
    let claims = claim(world, pool, name).await;
    machine_of(&claims, name, "Initialized").await
}

/// The claim's machine, once the condition holds.
async fn machine_of(claims: &Api<NodeClaim>, name: &str, condition: &'static str) -> Machine {
    within(A_WHILE, claims, name, holds(condition)).await.unwrap();
    let status = claims.get(name).await.unwrap().status.unwrap();
    let instance = status.provider_id.unwrap().rsplit_once('/').unwrap().1.to_owned();
    Machine { node: status.node_name.unwrap(), instance }
}

fn is_disrupted(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    taints.into_iter().any(|taint| taint.key == "karpenter.sh/disrupted")
}

/// The state of an instance by EC2's own account; `terminated` where it is forgotten.
async fn instance_state(world: &World, id: &str) -> String {
    let instances = world.lab.ec2().instances().await.unwrap();
    let found = instances.into_iter().find(|instance| instance.id == id);
    found.map_or_else(|| "terminated".to_owned(), |instance| instance.state)
}

/// Asserts that claim, Node and instance are gone.
async fn assert_nothing_is_left(world: &World, claim: &str, machine: &Machine) {
    let client = administrator(&world.lab).await;
    assert!(Api::<NodeClaim>::all(client.clone()).get_opt(claim).await.unwrap().is_none(), "claim {claim}");
    assert!(
        Api::<Node>::all(client).get_opt(&machine.node).await.unwrap().is_none(),
        "node {}",
        machine.node
    );
    assert_eq!(instance_state(world, &machine.instance).await, "terminated", "{}", machine.instance);
}

/// Creates a pod whose spec has these fields besides.
async fn run_pod(world: &World, namespace: &str, name: &str, metadata: Value, spec: Value) -> Api<Pod> {
    let mut pod = json!({
        "metadata": { "name": name },
        "spec": { "containers": [{ "name": "app", "image": "app" }] },
    });
    for (part, fields) in [("metadata", metadata), ("spec", spec)] {
        for (key, value) in fields.as_object().unwrap() {
            pod[part][key] = value.clone();
        }
    }
    let pods: Api<Pod> = Api::namespaced(administrator(&world.lab).await, namespace);
    // The namespace's service account may not be known everywhere yet.
    soon("the pod is created", async || {
        pods.create(&PostParams::default(), &serde_json::from_value(pod.clone()).unwrap()).await.ok()
    })
    .await
    .unwrap();
    pods
}

/// Waits for an event about the object, and returns what it says.
async fn event(world: &World, name: &str, reason: &str) -> String {
    let events: Api<Event> = Api::namespaced(administrator(&world.lab).await, "default");
    let is_it = |event: &Event| {
        let regarding = event.regarding.as_ref().and_then(|object| object.name.as_deref());
        regarding == Some(name) && event.reason.as_deref() == Some(reason)
    };
    let look = async || {
        let found = events.list(&ListParams::default()).await.ok()?;
        found.into_iter().find(is_it).map(|event| event.note.unwrap_or_default())
    };
    soon(&format!("an event {reason} about {name}"), look).await.unwrap()
}

/// What puts a pod on a node of the pool, and nowhere else.
fn on_pool(pool: &str) -> Value {
    json!({
        "nodeSelector": { "karpenter.sh/nodepool": pool },
        "tolerations": [{ "key": "example.com/of-test", "operator": "Equal", "value": pool, "effect": "NoSchedule" }],
    })
}
