//! The controller is killed at the worst moment: EC2 has launched the instance, and nobody has heard of it.

use std::collections::BTreeSet;
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use treenail::api::nodeclaim::NodeClaim;
use treenail_lab::{Lab, User};

use crate::support::claims::await_class;
use crate::support::cluster::{A_WHILE, administrator, apply, found_within, namespace};
use crate::support::tell;
use crate::support::world::World;

#[test]
fn a_launch_that_was_forgotten_in_a_crash_is_found_and_not_repeated() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::start().await.unwrap();
        let lab = &world.lab;
        let client = administrator(lab).await;
        kill_in_launch(&world, &client).await;
        let killed = Instant::now();
        let claims: Api<NodeClaim> = Api::all(client.clone());
        let known = claims.list(&ListParams::default()).await.unwrap();
        assert!(
            known.iter().all(|claim| claim.status.as_ref().is_none_or(|status| status.provider_id.is_none()))
        );

        let _successor = world.treenail.start_controller(lab, &[]).await.unwrap();
        pod_runs(&client).await;
        tell(&format!(
            "a controller killed in a launch: the pod runs {:.1} s after the kill, on the instance that was launched before",
            killed.elapsed().as_secs_f64()
        ));

        nothing_was_launched_twice(lab, &client).await;
    });
}

/// EC2 looks at permissions before it looks at what it knows of a token.
#[test]
fn a_forgotten_launch_whose_repetition_is_refused_for_a_while_is_not_made_twice() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::start().await.unwrap();
        let (lab, front) = (&world.lab, world.lab.front());
        let client = administrator(lab).await;
        kill_in_launch(&world, &client).await;

        let refused = front.refuse("CreateFleet", "UnauthorizedOperation");
        let (before, _) = launches(lab);
        let _successor = world.treenail.start_controller(lab, &[]).await.unwrap();
        let is_refused = async || (launches(lab).0 >= before + 3).then_some(());
        found_within(A_WHILE, "it is refused again and again", is_refused).await.unwrap();
        drop(refused);
        pod_runs(&client).await;

        nothing_was_launched_twice(lab, &client).await;
    });
}

/// Has a pod wait for a node, and kills the controller when EC2 has launched the instance and before the controller hears of it.
async fn kill_in_launch(world: &World, client: &Client) {
    let (lab, front) = (&world.lab, world.lab.front());
    await_class(client, "default").await;
    namespace(lab, "crash", &[("treenail.dev/workload-type", "application")]).await;
    let held = front.hold_answers("CreateFleet");
    let outcome = apply(lab, &User::administrator(), &deployment().to_string()).await;
    assert!(outcome.success, "{}", outcome.stderr);
    held.holds_an_answer().await.unwrap();
    world.controller.kill();
    drop(held);
    assert_eq!(front.lifetimes().len(), 1, "the call took effect");
}

/// A controller that was killed holds its lease until that runs out; only then does its successor begin.
async fn pod_runs(client: &Client) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "crash");
    found_within(A_WHILE, "the pod runs", async || {
        let pods = pods.list(&ListParams::default()).await.ok()?.items;
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
        (pods.len() == 1 && phase(&pods[0]).as_deref() == Some("Running")).then_some(())
    })
    .await
    .unwrap();
}

/// A launch was repeated, and there is one claim, with the only instance that there ever was.
async fn nothing_was_launched_twice(lab: &Lab, client: &Client) {
    let claims: Api<NodeClaim> = Api::all(client.clone());
    let claims = claims.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(claims.len(), 1, "{:?}", claims.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
    let lifetimes = lab.front().lifetimes();
    assert_eq!(lifetimes.len(), 1, "{lifetimes:?}");
    let provider_id = claims[0].status.clone().unwrap().provider_id.unwrap();
    assert!(provider_id.ends_with(&lifetimes[0].id), "{provider_id} is not {lifetimes:?}");
    let (calls, tokens) = launches(lab);
    assert!(calls > 1 && tokens.len() == 1, "{calls} calls with {tokens:?}");
}

/// How often a launch was asked for, and with which tokens.
fn launches(lab: &Lab) -> (usize, BTreeSet<String>) {
    let calls: Vec<_> = lab.front().calls().into_iter().filter(|call| call.action == "CreateFleet").collect();
    (calls.len(), calls.iter().map(|call| call.parameters["ClientToken"].clone()).collect())
}

fn deployment() -> serde_json::Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "crash" },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "app", "image": "app", "resources": { "requests": { "cpu": "500m" } } }] },
            },
        },
    })
}
