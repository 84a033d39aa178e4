//! Pods as the cache keeps them, and what stands in for one on a node that cannot be read.

use k8s_openapi::api::core::v1::Pod as ApiPod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use serde::Deserialize;

use super::unread::Unread;
use crate::model::pod::{MalformedPod, Phase, PodKey};
use crate::model::{BoundPod, KnownPod};

/// Why a pod is not known.
#[derive(Debug, thiserror::Error)]
pub enum UnknownPod {
    /// Its type cannot hold it.
    #[error(transparent)]
    Unreadable(#[from] serde_json::Error),
    /// It asks for what is no amount.
    #[error(transparent)]
    Malformed(#[from] MalformedPod),
}

/// What is needed of a pod to know that its node is not empty.
#[derive(Deserialize)]
struct Placed {
    #[serde(default)]
    metadata: Deletion,
    spec: Place,
    #[serde(default)]
    status: Life,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deletion {
    deletion_timestamp: Option<Time>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    node_name: String,
}

#[derive(Default, Deserialize)]
struct Life {
    phase: Option<String>,
}

/// Reads a pod.
///
/// One that cannot be read and has a node is a pod on that node all the same, whoever runs it and whatever it takes there: without it the node
/// could look empty, and be given up under it.
///
/// # Errors
/// It cannot be read, and has no node as far as can be told.
pub fn known_pod(pod: &Unread<ApiPod>) -> Result<KnownPod, UnknownPod> {
    pod.read().map_or_else(
        |error| Ok(KnownPod::Bound(Box::new(placed(pod, error)?))),
        |pod| Ok(KnownPod::read(&pod)?),
    )
}

fn placed(pod: &Unread<ApiPod>, error: serde_json::Error) -> Result<BoundPod, serde_json::Error> {
    let is_placed = |placed: &Placed| !placed.spec.node_name.is_empty();
    let Some(placed) = pod.read_as().ok().filter(is_placed) else { return Err(error) };
    let metadata = pod.meta();
    let key = PodKey {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    };
    let node = &placed.spec.node_name;
    tracing::warn!(pod = %key, node, %error, "the pod cannot be read; it counts as one on its node");
    Ok(BoundPod {
        gone_by: placed.metadata.deletion_timestamp.map(|time| time.0),
        phase: Phase::read(placed.status.phase.as_deref()),
        ..BoundPod::unreadable(key, metadata.uid.clone().unwrap_or_default(), placed.spec.node_name)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn known(extra: Value) -> Result<KnownPod, UnknownPod> {
        let mut pod = json!({
            "metadata": { "name": "a", "namespace": "n", "uid": "u" },
            "spec": { "containers": [] },
            "status": { "startTime": "9999-12-31T23:59:59Z" },
        });
        json_patch::merge(&mut pod, &extra);
        known_pod(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_pod_on_a_node_that_cannot_be_read_is_there_until_it_ends() {
        let bound = |extra| match known(extra).unwrap() {
            KnownPod::Bound(pod) => *pod,
            KnownPod::Unbound(pod) => panic!("{pod:?} has a node"),
        };
        let on_node = json!({ "spec": { "nodeName": "n1" } });
        let pod = bound(on_node.clone());
        assert_eq!(
            (pod.key.to_string().as_str(), pod.uid.as_str(), pod.node_name.as_str()),
            ("n/a", "u", "n1")
        );
        assert!(pod.is_active() && pod.is_reschedulable() && !pod.grace.is_zero());
        let with = |extra| {
            let mut on_node = on_node.clone();
            json_patch::merge(&mut on_node, &extra);
            bound(on_node)
        };
        assert!(with(json!({ "status": { "phase": "Succeeded" } })).phase.is_terminal());
        assert!(
            with(json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } })).is_terminating()
        );
    }

    #[test]
    fn a_pod_without_a_node_that_cannot_be_read_is_not_known() {
        for extra in [json!({}), json!({ "spec": { "nodeName": "" } }), json!({ "spec": null })] {
            let error = known(extra).unwrap_err();
            assert!(matches!(error, UnknownPod::Unreadable(_)), "{error}");
        }
    }
}
