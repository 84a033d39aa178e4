//! The controller is killed at the worst moment: EC2 has launched the instance, and nobody has heard of it.

use std::collections::BTreeSet;
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::json;
use treenail::api::nodeclaim::NodeClaim;
use treenail_lab::User;

use crate::support::claims::await_class;
use crate::support::cluster::{administrator, apply, namespace, soon};
use crate::support::tell;
use crate::support::world::World;

#[test]
fn a_launch_that_was_forgotten_in_a_crash_is_found_and_not_repeated() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::start().await.unwrap();
        let (lab, front) = (&world.lab, world.lab.front());
        let client = administrator(lab).await;
        await_class(&client, "default").await;
        namespace(lab, "crash", &[("treenail.dev/workload-type", "application")]).await;

        let held = front.hold_answers("CreateFleet");
        let outcome = apply(lab, &User::administrator(), &deployment().to_string()).await;
        assert!(outcome.success, "{}", outcome.stderr);
        held.holds_an_answer().await;
        world.controller.kill();
        world.controller.wait().await;
        let killed = Instant::now();
        drop(held);
        assert_eq!(front.lifetimes().len(), 1, "the call took effect");
        let claims: Api<NodeClaim> = Api::all(client.clone());
        let known = claims.list(&ListParams::default()).await.unwrap();
        assert!(
            known.iter().all(|claim| claim.status.as_ref().is_none_or(|status| status.provider_id.is_none()))
        );

        let _successor = world.treenail.start_controller(lab, &[]).await.unwrap();
        let pods: Api<Pod> = Api::namespaced(client.clone(), "crash");
        soon("the pod runs", async || {
            let pods = pods.list(&ListParams::default()).await.ok()?.items;
            let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
            (pods.len() == 1 && phase(&pods[0]).as_deref() == Some("Running")).then_some(())
        })
        .await
        .unwrap();
        tell(&format!(
            "a controller killed in a launch: the pod runs {:.1} s after the kill, on the instance that was launched before",
            killed.elapsed().as_secs_f64()
        ));

        let claims = claims.list(&ListParams::default()).await.unwrap().items;
        assert_eq!(claims.len(), 1, "{:?}", claims.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
        let lifetimes = front.lifetimes();
        assert_eq!(lifetimes.len(), 1, "{lifetimes:?}");
        let provider_id = claims[0].status.clone().unwrap().provider_id.unwrap();
        assert!(provider_id.ends_with(&lifetimes[0].id), "{provider_id} is not {lifetimes:?}");
        let calls: Vec<_> = front.calls().into_iter().filter(|call| call.action == "CreateFleet").collect();
        let tokens: BTreeSet<_> = calls.iter().map(|call| call.parameters["ClientToken"].clone()).collect();
        assert!(calls.len() > 1 && tokens.len() == 1, "{} calls with {tokens:?}", calls.len());
    });
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
