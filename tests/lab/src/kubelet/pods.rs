//! What a kubelet does with the pods bound to its node: it starts them, ends them, and lets go of them.
//!
//! Containers are hollow: a pod runs 200 ms after it was bound. Two annotations give it a life of its own:
//! `lab.treenail.dev/run-for` (it succeeds after so long) and `lab.treenail.dev/stops-after` (how long it takes to
//! stop once asked to; its grace period still ends it). Durations are written as `300ms`, `20s`, `2m`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::machine::Machine;
use super::node::now;

const STARTS_AFTER: Duration = Duration::from_millis(200);
const STOPS_AFTER: Duration = Duration::from_millis(100);
const RUN_FOR: &str = "lab.treenail.dev/run-for";
const STOPS_AFTER_ANNOTATION: &str = "lab.treenail.dev/stops-after";

/// Lives a pod's life on its machine. `pod` shows its latest version and closes when the pod is gone.
pub(crate) async fn live(machine: Machine, mut pod: watch::Receiver<Pod>) -> Result<()> {
    let pods: Api<Pod> =
        Api::namespaced(machine.client.clone(), &pod.borrow().namespace().unwrap_or_default());
    let name = pod.borrow().name_any();
    let run_for = annotated(&pod.borrow(), RUN_FOR);

    tokio::time::sleep(STARTS_AFTER).await;
    let node =
        Api::<Node>::all(machine.client.clone()).get(&machine.name).await.context("read the own node")?;
    let status = match refusal(&pod.borrow(), &node) {
        Some(reason) => {
            json!({ "phase": "Failed", "reason": reason, "message": format!("Predicate {reason} failed") })
        }
        None => running(&pod.borrow(), &machine.ip),
    };
    let refused = status.get("phase") == Some(&Value::from("Failed"));
    if pod.borrow().metadata.deletion_timestamp.is_none() {
        report(&pods, &name, status).await?;
    }

    let finishes = async {
        match run_for {
            Some(duration) if !refused => tokio::time::sleep(duration).await,
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        // Both only wait; dropping either loses nothing.
        () = finishes => {
            let ended = json!({ "phase": "Succeeded", "conditions": conditions("False") });
            report(&pods, &name, ended).await?;
            asked_to_stop(&mut pod).await?;
        }
        asked = asked_to_stop(&mut pod) => asked?,
    }
    let last = pod.borrow().clone();
    stop(&pods, &last).await
}

async fn asked_to_stop(pod: &mut watch::Receiver<Pod>) -> Result<()> {
    let asked = pod.wait_for(|pod| pod.metadata.deletion_timestamp.is_some()).await;
    asked.map(|_| ()).context("the pod is gone")
}

/// Waits as long as the containers take, but no longer than the grace period, and removes the pod.
async fn stop(pods: &Api<Pod>, pod: &Pod) -> Result<()> {
    let grace = pod.metadata.deletion_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let takes = annotated(pod, STOPS_AFTER_ANNOTATION).unwrap_or(STOPS_AFTER);
    tokio::time::sleep(takes.min(Duration::from_secs(grace.unwrap_or(30)))).await;
    let parameters = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }),
        ..DeleteParams::default()
    };
    match pods.delete(&pod.name_any(), &parameters).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        other => other.context("remove the pod").map(|_| ()),
    }
}

async fn report(pods: &Api<Pod>, name: &str, status: Value) -> Result<()> {
    let patch = Patch::Strategic(json!({ "status": status }));
    pods.patch_status(name, &PatchParams::default(), &patch).await.context("report the pod's status")?;
    Ok(())
}

/// Why the kubelet will not run a pod that was put on its node past the scheduler, as the kubelet names it.
///
/// The kubelet checks the selector and the NoExecute taints again; NoSchedule is the scheduler's alone.
fn refusal(pod: &Pod, node: &Node) -> Option<&'static str> {
    let nothing = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&nothing);
    let spec = pod.spec.as_ref()?;
    let selector = spec.node_selector.as_ref().unwrap_or(&nothing);
    if selector.iter().any(|(key, value)| labels.get(key) != Some(value)) {
        return Some("NodeAffinity");
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let untolerated = taints.filter(|taint| taint.effect == "NoExecute").any(|taint| {
        !tolerations.iter().any(|toleration| {
            let key = toleration.key.as_deref().unwrap_or_default();
            let exists = toleration.operator.as_deref() == Some("Exists");
            let effect = toleration.effect.as_deref().unwrap_or_default();
            (effect.is_empty() || effect == taint.effect)
                && ((key.is_empty() && exists) || key == taint.key)
                && (exists
                    || toleration.value.as_deref().unwrap_or_default()
                        == taint.value.as_deref().unwrap_or_default())
        })
    });
    untolerated.then_some("TaintToleration")
}

fn running(pod: &Pod, host_ip: &str) -> Value {
    let started = Time(now());
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let statuses: Vec<_> = containers
        .iter()
        .map(|container| {
            json!({
                "name": container.name, "image": container.image, "imageID": "", "ready": true, "started": true,
                "restartCount": 0, "state": { "running": { "startedAt": started } },
            })
        })
        .collect();
    json!({
        "phase": "Running", "hostIP": host_ip, "startTime": started,
        "containerStatuses": statuses, "conditions": conditions("True"),
    })
}

fn conditions(ready: &str) -> Value {
    let condition = |kind: &str, status: &str| json!({ "type": kind, "status": status, "lastTransitionTime": Time(now()) });
    json!([condition("Initialized", "True"), condition("ContainersReady", ready), condition("Ready", ready),])
}

fn annotated(pod: &Pod, annotation: &str) -> Option<Duration> {
    duration(pod.annotations().get(annotation)?)
}

/// A whole number of milliseconds, seconds or minutes.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match text.get(digits.len()..)? {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pod: Value, node: Value, expected: Option<&str>) {
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let node: Node = serde_json::from_value(node).unwrap();
        assert_eq!(refusal(&pod, &node), expected);
    }

    #[test]
    fn a_pod_put_past_the_scheduler_is_refused_by_selector_and_noexecute_but_not_by_noschedule() {
        let node = |effect: &str| json!({"metadata": {"labels": {"a": "1"}}, "spec": {"taints": [{"key": "k", "value": "v", "effect": effect}]}});
        let pod = |selector: Value, tolerations: Value| json!({"spec": {"containers": [], "nodeSelector": selector, "tolerations": tolerations}});
        check(pod(json!({"a": "1"}), json!([])), node("NoSchedule"), None);
        check(pod(json!({"a": "2"}), json!([])), node("NoSchedule"), Some("NodeAffinity"));
        check(pod(json!({"b": ""}), json!([])), node("NoSchedule"), Some("NodeAffinity"));
        check(pod(json!({}), json!([])), node("NoExecute"), Some("TaintToleration"));
        check(pod(json!({}), json!([{"operator": "Exists"}])), node("NoExecute"), None);
        check(pod(json!({}), json!([{"key": "k", "value": "v"}])), node("NoExecute"), None);
        check(
            pod(json!({}), json!([{"key": "k", "value": "w"}])),
            node("NoExecute"),
            Some("TaintToleration"),
        );
        check(
            pod(json!({}), json!([{"key": "k", "operator": "Exists", "effect": "NoSchedule"}])),
            node("NoExecute"),
            Some("TaintToleration"),
        );
    }

    #[test]
    fn durations_have_a_number_and_a_unit() {
        assert_eq!(duration("300ms"), Some(Duration::from_millis(300)));
        assert_eq!(duration("20s"), Some(Duration::from_secs(20)));
        assert_eq!(duration("2m"), Some(Duration::from_mins(2)));
        for text in ["", "5", "s", "-1s", "1.5s", "1h", "99999999999999999999s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
