//! NodeClaims by hand, and what becomes of them.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::events::v1::Event;
use kube::Client;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;
use treenail::api::conditions::is_true;
use treenail::api::ec2nodeclass::Ec2NodeClass;
use treenail::api::nodeclaim::NodeClaim;

use super::cluster::{A_WHILE, administrator, eventually, soon, within};
use super::world::World;

/// A claim as the provisioner would make it, of the pool `application`.
pub(crate) fn claim(name: &str) -> NodeClaim {
    serde_json::from_value(json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
        "metadata": { "name": name, "labels": { "karpenter.sh/nodepool": "application", "example.com/claim": name } },
        "spec": {
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
            "requirements": [
                { "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["c7i.xlarge", "c7i.2xlarge"] },
                { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] },
            ],
            "taints": [{ "key": "node-type", "value": "application", "effect": "NoSchedule" }],
            "resources": { "requests": { "cpu": "2" } },
        },
    }))
    .unwrap()
}

/// Whether the claim's condition holds.
pub(crate) fn holds(condition: &'static str) -> impl Fn(Option<&NodeClaim>) -> bool {
    move |claim| {
        let status = claim.and_then(|claim| claim.status.as_ref());
        status.is_some_and(|status| is_true(&status.conditions, condition))
    }
}

/// Whether there is no such object, or no longer.
pub(crate) fn is_gone<K>(object: Option<&K>) -> bool {
    object.is_none()
}

/// Creates the claim once its class can be launched from.
pub(crate) async fn create(world: &World, claim: &NodeClaim) -> Api<NodeClaim> {
    let client = administrator(&world.lab).await;
    await_class(&client, "default").await;
    let claims: Api<NodeClaim> = Api::all(client);
    claims.create(&PostParams::default(), claim).await.unwrap();
    claims
}

/// Waits until the class is ready.
pub(crate) async fn await_class(client: &Client, name: &str) {
    let classes: Api<Ec2NodeClass> = Api::all(client.clone());
    let is_ready = |class: Option<&Ec2NodeClass>| {
        let status = class.and_then(|class| class.status.as_ref());
        status.is_some_and(|status| is_true(&status.conditions, "Ready"))
    };
    eventually(&classes, name, is_ready).await.unwrap();
}

/// Waits for an event about the cluster-scoped object.
pub(crate) async fn soon_event(client: &Client, name: &str, reason: &str) {
    let events: Api<Event> = Api::namespaced(client.clone(), "default");
    let is_it = |event: &Event| {
        let regarding = event.regarding.as_ref().and_then(|object| object.name.as_deref());
        regarding == Some(name) && event.reason.as_deref() == Some(reason)
    };
    let look = async || events.list(&ListParams::default()).await.ok()?.iter().any(is_it).then_some(());
    soon(&format!("an event {reason} about {name}"), look).await.unwrap();
}

/// Waits until neither claim nor Node nor instance is left.
pub(crate) async fn until_nothing_is_left(
    world: &World,
    claims: &Api<NodeClaim>,
    claim: &str,
    provider_id: &str,
    node: &str,
) {
    within(A_WHILE, claims, claim, is_gone::<NodeClaim>).await.unwrap();
    let nodes: Api<Node> = Api::all(administrator(&world.lab).await);
    assert!(nodes.get_opt(node).await.unwrap().is_none(), "the Node outlives its claim");
    let left = state(world, provider_id).await;
    assert!(left.as_deref().is_none_or(|state| state == "terminated"), "the instance is {left:?}");
}

/// The state of the instance, if EC2 knows it.
pub(crate) async fn state(world: &World, provider_id: &str) -> Option<String> {
    let (_, id) = provider_id.rsplit_once('/').unwrap();
    let instances = world.lab.ec2().instances().await.unwrap();
    instances.into_iter().find(|instance| instance.id == id).map(|instance| instance.state)
}
