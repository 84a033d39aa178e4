//! A NodeClaim, applied by hand, becomes a Node and goes again, whatever happens to it on the way.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use treenail::api::conditions::{find, is_true};
use treenail::api::ec2nodeclass::Ec2NodeClass;
use treenail::api::nodeclaim::NodeClaim;

use crate::support::cluster::{administrator, eventually, soon};
use crate::support::world::{World, on_treenail};

/// A claim as the provisioner would make it, of the pool `application`.
fn claim(name: &str) -> NodeClaim {
    serde_json::from_value(json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
        "metadata": { "name": name, "labels": { "karpenter.sh/nodepool": "application" } },
        "spec": {
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
            "requirements": [
                { "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["c7i.xlarge", "c7i.2xlarge"] },
                { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] },
            ],
            "taints": [{ "key": "node-type", "value": "application", "effect": "NoSchedule" }],
            "startupTaints": [{ "key": "agent.example.com/starting", "effect": "NoSchedule" }],
            "resources": { "requests": { "cpu": "2" } },
        },
    }))
    .unwrap()
}

fn holds(condition: &'static str) -> impl Fn(Option<&NodeClaim>) -> bool {
    move |claim| {
        let status = claim.and_then(|claim| claim.status.as_ref());
        status.is_some_and(|status| is_true(&status.conditions, condition))
    }
}

async fn create(world: &World, claim: &NodeClaim) -> Api<NodeClaim> {
    let client = administrator(&world.lab).await;
    let classes: Api<Ec2NodeClass> = Api::all(client.clone());
    let is_ready = |class: Option<&Ec2NodeClass>| {
        class
            .and_then(|class| class.status.as_ref())
            .is_some_and(|status| is_true(&status.conditions, "Ready"))
    };
    eventually(&classes, "default", is_ready).await.unwrap();
    let claims: Api<NodeClaim> = Api::all(client);
    claims.create(&PostParams::default(), claim).await.unwrap();
    claims
}

/// Waits for an event about the cluster-scoped object.
async fn soon_event(client: &Client, name: &str, reason: &str) {
    let events: Api<Event> = Api::namespaced(client.clone(), "default");
    let is_it = |event: &Event| {
        let regarding = event.regarding.as_ref().and_then(|object| object.name.as_deref());
        regarding == Some(name) && event.reason.as_deref() == Some(reason)
    };
    let look = async || events.list(&ListParams::default()).await.ok()?.iter().any(is_it).then_some(());
    soon(&format!("an event {reason} about {name}"), look).await.unwrap();
}

/// Waits until neither claim nor Node nor instance is left.
async fn until_nothing_is_left(
    world: &World,
    claims: &Api<NodeClaim>,
    claim: &str,
    provider_id: &str,
    node: &str,
) {
    eventually(claims, claim, |claim: Option<&NodeClaim>| claim.is_none()).await.unwrap();
    let nodes: Api<Node> = Api::all(administrator(&world.lab).await);
    assert!(nodes.get_opt(node).await.unwrap().is_none(), "the Node outlives its claim");
    let (_, id) = provider_id.rsplit_once('/').unwrap();
    let instances = world.lab.ec2().instances().await.unwrap();
    let left = instances.iter().find(|instance| instance.id == id).map(|instance| instance.state.clone());
    assert!(left.as_deref().is_none_or(|state| state == "terminated"), "the instance is {left:?}");
}

#[test]
fn a_claim_becomes_a_node_and_goes_again() {
    on_treenail(async |world| {
        let claims = create(world, &claim("by-hand")).await;
        eventually(&claims, "by-hand", holds("Registered")).await.unwrap();
        let registered = claims.get("by-hand").await.unwrap();
        let status = registered.status.clone().unwrap();
        let (provider_id, node_name) = (status.provider_id.unwrap(), status.node_name.unwrap());
        assert_eq!(registered.labels()["node.kubernetes.io/instance-type"], "c7i.xlarge");
        assert_eq!(registered.labels()["karpenter.sh/capacity-type"], "on-demand");
        assert!(registered.finalizers().contains(&"karpenter.sh/termination".to_owned()));
        assert!(status.capacity.contains_key("cpu") && status.image_id.is_some());

        let nodes: Api<Node> = Api::all(administrator(&world.lab).await);
        let node = nodes.get(&node_name).await.unwrap();
        let taints = node.spec.clone().unwrap().taints.unwrap_or_default();
        let keys: Vec<_> = taints.iter().map(|taint| taint.key.as_str()).collect();
        assert!(keys.contains(&"node-type") && !keys.contains(&"karpenter.sh/unregistered"), "{keys:?}");
        assert!(node.labels().contains_key("workload-type.node-restriction.kubernetes.io/application"));
        assert!(!node.labels().contains_key("workload-type.node-restriction.kubernetes.io/monitoring"));
        assert_eq!(node.owner_references()[0].uid, registered.uid().unwrap());

        // Something on the node removes its startup taints; only then is it initialized.
        assert!(!holds("Initialized")(Some(&claims.get("by-hand").await.unwrap())));
        let without: Vec<_> = taints.iter().filter(|taint| taint.key == "node-type").collect();
        let patch = Patch::Merge(json!({ "spec": { "taints": without } }));
        nodes.patch(&node_name, &PatchParams::default(), &patch).await.unwrap();
        eventually(&claims, "by-hand", holds("Ready")).await.unwrap();

        claims.delete("by-hand", &DeleteParams::default()).await.unwrap();
        until_nothing_is_left(world, &claims, "by-hand", &provider_id, &node_name).await;
    });
}

#[test]
fn a_deleted_node_takes_its_claim_and_its_instance_along() {
    on_treenail(async |world| {
        let claims = create(world, &claim("node-deleted")).await;
        eventually(&claims, "node-deleted", holds("Registered")).await.unwrap();
        let status = claims.get("node-deleted").await.unwrap().status.unwrap();
        let (provider_id, node_name) = (status.provider_id.unwrap(), status.node_name.unwrap());
        let nodes: Api<Node> = Api::all(administrator(&world.lab).await);
        nodes.delete(&node_name, &DeleteParams::default()).await.unwrap();
        until_nothing_is_left(world, &claims, "node-deleted", &provider_id, &node_name).await;
    });
}

#[test]
fn a_claim_that_asks_for_what_is_not_there_says_so_and_launches_nothing() {
    on_treenail(async |world| {
        let mut lost = claim("no-class");
        lost.spec.node_class_ref.name = "nowhere".to_owned();
        let claims = create(world, &lost).await;
        let names_the_class = |claim: Option<&NodeClaim>| {
            let conditions = claim.and_then(|claim| claim.status.as_ref()).map(|status| &status.conditions);
            let launched = conditions.and_then(|conditions| find(conditions, "Launched"));
            launched.is_some_and(|condition| {
                condition.reason == "NodeClassNotFound" && condition.message.contains("EC2NodeClass nowhere")
            })
        };
        eventually(&claims, "no-class", names_the_class).await.unwrap();
        soon_event(&administrator(&world.lab).await, "no-class", "LaunchFailed").await;
        claims.delete("no-class", &DeleteParams::default()).await.unwrap();
        // For half a minute after its creation an instance might still show up that nobody knows of.
        tokio::time::timeout(std::time::Duration::from_mins(1), async {
            while claims.get_opt("no-class").await.unwrap().is_some() {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_class_goes_after_its_last_claim_and_takes_along_what_was_made_for_it() {
    on_treenail(async |world| {
        let client = administrator(&world.lab).await;
        let classes: Api<Ec2NodeClass> = Api::all(client.clone());
        let mut class = classes.get("default").await.unwrap();
        class.metadata = serde_json::from_value(json!({ "name": "passing" })).unwrap();
        class.status = None;
        classes.create(&PostParams::default(), &class).await.unwrap();
        let is_ready = |class: Option<&Ec2NodeClass>| {
            let status = class.and_then(|class| class.status.as_ref());
            status.is_some_and(|status| is_true(&status.conditions, "Ready"))
        };
        eventually(&classes, "passing", is_ready).await.unwrap();
        let mut of_it = claim("of-passing");
        of_it.spec.node_class_ref.name = "passing".to_owned();
        let claims = create(world, &of_it).await;
        eventually(&claims, "of-passing", holds("Registered")).await.unwrap();

        let templates = async || world.lab.ec2().call("DescribeLaunchTemplates", &[]).await.unwrap();
        assert!(templates().await.contains(">passing<"), "the template is tagged with its class");
        classes.delete("passing", &DeleteParams::default()).await.unwrap();
        soon_event(&client, "passing", "WaitingOnNodeClaimTermination").await;
        assert!(classes.get_opt("passing").await.unwrap().is_some(), "it goes before its claim");
        claims.delete("of-passing", &DeleteParams::default()).await.unwrap();
        eventually(&classes, "passing", |class: Option<&Ec2NodeClass>| class.is_none()).await.unwrap();
        assert!(!templates().await.contains(">passing<"), "its launch template stays");
    });
}
