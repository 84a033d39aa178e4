//! A NodeClaim, applied by hand, becomes a Node and goes again, whatever happens to it on the way.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use treenail::api::conditions::find;
use treenail::api::ec2nodeclass::Ec2NodeClass;
use treenail::api::nodeclaim::NodeClaim;

use crate::support::claims::{await_class, claim, create, holds, is_gone, soon_event, until_nothing_is_left};
use crate::support::cluster::{A_WHILE, administrator, eventually, within};
use crate::support::world::on_treenail;

#[test]
fn a_claim_becomes_a_node_and_goes_again() {
    on_treenail(async |world| {
        let mut by_hand = claim("by-hand");
        let starting = json!([{ "key": "agent.example.com/starting", "effect": "NoSchedule" }]);
        by_hand.spec.startup_taints = serde_json::from_value(starting).unwrap();
        // Not the claim's to give, and the node does not get it.
        let strange = "workload-type.node-restriction.kubernetes.io/monitoring".to_owned();
        let required = json!([{ "key": strange, "operator": "In", "values": [""] }]);
        by_hand.spec.requirements.extend(serde_json::from_value::<Vec<_>>(required).unwrap());
        by_hand.labels_mut().insert(strange, String::new());
        let claims = create(world, &by_hand).await;
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
        within(A_WHILE, &claims, "no-class", is_gone::<NodeClaim>).await.unwrap();
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
        await_class(&client, "passing").await;
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
        within(A_WHILE, &classes, "passing", is_gone::<Ec2NodeClass>).await.unwrap();
        assert!(!templates().await.contains(">passing<"), "its launch template stays");
    });
}
