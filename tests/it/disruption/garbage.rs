//! What belongs to nothing is removed, on both sides.

use kube::api::Api;
use treenail::api::nodeclaim::NodeClaim;
use treenail_lab::{CLUSTER_NAME, UserData};

use super::{event, instance_state, machine, pool};
use crate::support::claims::is_gone;
use crate::support::cluster::{A_WHILE, administrator, found_within, within};
use crate::support::world::{World, on_treenail};

#[test]
fn a_claim_goes_whose_instance_was_terminated_behind_its_back() {
    on_treenail(async |world| {
        pool(world, "behind", "Never", "100%").await;
        let machine = machine(world, "behind", "behind-1").await;
        world.lab.ec2().terminate_instance(&machine.instance).await.unwrap();
        let client = administrator(&world.lab).await;
        let claims: Api<NodeClaim> = Api::all(client.clone());
        within(A_WHILE, &claims, "behind-1", is_gone::<NodeClaim>).await.unwrap();
        event(world, "behind-1", "InstanceGone").await;
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(client);
        assert!(nodes.get_opt(&machine.node).await.unwrap().is_none());
    });
}

/// Launches an instance without a claim, with these tags.
async fn orphan(world: &World, tags: &[(&str, &str)]) -> String {
    let ec2 = world.lab.ec2();
    let (subnet, _) = ec2.discovery_subnets().await.unwrap().swap_remove(0);
    // It becomes a node, which nobody else's pods are to use.
    let user_data = UserData::of(world.lab.endpoint()).taint("example.com/of-test", "orphan", "NoSchedule");
    let user_data = user_data.archive();
    let instance = ec2.run_instance("c7i.large", &subnet, &user_data).await.unwrap();
    for (key, value) in tags {
        let parameters = [("ResourceId.1", instance.as_str()), ("Tag.1.Key", key), ("Tag.1.Value", value)];
        ec2.call("CreateTags", &parameters).await.unwrap();
    }
    instance
}

#[test]
fn an_instance_of_ours_without_a_claim_is_terminated_and_no_other() {
    on_treenail(async |world| {
        let of_cluster = |name| {
            [
                ("karpenter.sh/nodepool", "behind"),
                ("karpenter.k8s.aws/ec2nodeclass", "default"),
                ("eks:eks-cluster-name", name),
                ("treenail.dev/client-token", "nobodys-uid-0"),
            ]
        };
        let elsewhere = orphan(world, &of_cluster("another")).await;
        let by_hand = orphan(world, &[("eks:eks-cluster-name", CLUSTER_NAME)]).await;
        let ours = orphan(world, &of_cluster(CLUSTER_NAME)).await;
        found_within(A_WHILE, "the orphan is terminated", async || {
            (instance_state(world, &ours).await == "terminated").then_some(())
        })
        .await
        .unwrap();
        for other in [elsewhere, by_hand] {
            assert_eq!(instance_state(world, &other).await, "running", "{other}");
        }
    });
}
