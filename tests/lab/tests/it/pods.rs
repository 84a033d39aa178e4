//! Hollow kubelets do with pods what kubelets do.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::conditions::is_pod_running;
use kube::runtime::wait::Condition;
use serde_json::{Value, json};
use treenail_lab::shared::on_lab;
use treenail_lab::{Lab, User, UserData, wait};

/// Launches a node whose label `pods-test` has this value, and returns its name.
async fn node(lab: &Lab, value: &str) -> String {
    let (subnet, _) = lab.ec2().discovery_subnets().await.unwrap().remove(0);
    let user_data = UserData::of(lab.endpoint()).label(&format!("pods-test={value}")).archive();
    let id = lab.ec2().run_instance("m5a.large", &subnet, &user_data).await.unwrap();
    lab.registered_node(&id).await.unwrap()
}

async fn pods(lab: &Lab) -> Api<Pod> {
    Api::default_namespaced(lab.client(&User::administrator()).await.unwrap())
}

fn pod(name: &str, annotations: Value, spec: Value) -> Pod {
    let mut pod = json!({
        "metadata": { "name": name, "annotations": annotations },
        "spec": { "containers": [{ "name": "app", "image": "app" }] },
    });
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    serde_json::from_value(pod).unwrap()
}

async fn eventually(pods: &Api<Pod>, name: &str, condition: impl Condition<Pod>) {
    wait::until(Duration::from_secs(30), pods, name, condition).await.unwrap();
}

fn phase(wanted: &'static str) -> impl Condition<Pod> {
    move |pod: Option<&Pod>| pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref()) == Some(wanted)
}

fn is_gone(pod: Option<&Pod>) -> bool {
    pod.is_none()
}

#[test]
fn a_scheduled_pod_runs_and_one_with_an_end_succeeds() {
    on_lab(async |lab| {
        node(lab, "runs").await;
        let pods = pods(lab).await;
        let selector = json!({ "nodeSelector": { "pods-test": "runs" } });
        pods.create(&PostParams::default(), &pod("runs", json!({}), selector.clone())).await.unwrap();
        let ends = json!({ "lab.treenail.dev/run-for": "300ms" });
        pods.create(&PostParams::default(), &pod("ends", ends, selector)).await.unwrap();
        eventually(&pods, "runs", is_pod_running()).await;
        eventually(&pods, "ends", phase("Succeeded")).await;
    });
}

#[test]
fn a_pod_that_does_not_stop_is_given_its_grace_and_no_more() {
    on_lab(async |lab| {
        node(lab, "grace").await;
        let pods = pods(lab).await;
        let stubborn = json!({ "lab.treenail.dev/stops-after": "10m" });
        let spec = json!({ "nodeSelector": { "pods-test": "grace" }, "terminationGracePeriodSeconds": 2 });
        pods.create(&PostParams::default(), &pod("stubborn", stubborn, spec.clone())).await.unwrap();
        pods.create(&PostParams::default(), &pod("obedient", json!({}), spec)).await.unwrap();
        for (name, at_least) in [("obedient", 0), ("stubborn", 2)] {
            eventually(&pods, name, is_pod_running()).await;
            let asked = Instant::now();
            pods.delete(name, &DeleteParams::default()).await.unwrap();
            eventually(&pods, name, is_gone).await;
            assert!(
                asked.elapsed() >= Duration::from_secs(at_least),
                "{name} went after {:?}",
                asked.elapsed()
            );
        }
    });
}

#[test]
fn a_pod_that_was_put_on_a_node_against_its_selector_is_refused_there() {
    on_lab(async |lab| {
        let node = node(lab, "refuses").await;
        let pods = pods(lab).await;
        let spec = json!({ "nodeName": node, "nodeSelector": { "pods-test": "other" } });
        pods.create(&PostParams::default(), &pod("misplaced", json!({}), spec)).await.unwrap();
        eventually(&pods, "misplaced", phase("Failed")).await;
        let reason = pods.get("misplaced").await.unwrap().status.unwrap().reason;
        assert_eq!(reason.as_deref(), Some("NodeAffinity"));
    });
}

#[test]
fn the_cluster_goes_on_after_its_api_server_was_killed() {
    // A lab of its own: the others' tests would see the outage.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let lab = Lab::start(&[]).await.unwrap();
        node(&lab, "outage").await;
        lab.control_plane().restart_api_server().await.unwrap();
        let pods = pods(&lab).await;
        let spec = json!({ "nodeSelector": { "pods-test": "outage" } });
        let after = pod("after", json!({}), spec);
        // The controllers may need a moment until they speak again; the default service account is theirs.
        eventually_created(&pods, &after).await;
        eventually(&pods, "after", is_pod_running()).await;
    });
}

async fn eventually_created(pods: &Api<Pod>, pod: &Pod) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = pods.create(&PostParams::default(), pod).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
