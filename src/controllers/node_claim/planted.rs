//! Deletes planted pods, after a look at what the API server itself says: caches may be behind, and a pod that was rightful all the time, or runs by
//! now, would go for nothing.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, PartialObjectMeta, Preconditions};
use kube::{Resource, ResourceExt};
use serde::Deserialize;

use super::effects::{Hands, answer, uid_of};
use crate::api::labels;
use crate::cluster::unread::Unread;
use crate::cluster::write::within;
use crate::lifecycle::memory::{Answer, EvictionAnswer};
use crate::lifecycle::planted::PlantedPod;
use crate::model::PodRef;

/// The grace of planted pods, in seconds. Pods that have no node go at once, whatever grace they are given.
const GRACE: u32 = 1;

/// Where a pod is.
#[derive(Deserialize)]
struct Placed {
    spec: Place,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    node_name: Option<String>,
}

impl Hands<'_> {
    pub(super) async fn delete_planted(&self, planted: &PlantedPod) -> Answer {
        let pod = &planted.pod;
        let uid = pod.uid.clone();
        let answer = match self.workload_type_of(&pod.key.namespace).await {
            Ok(workload_type) if planted.is_rightful_in(workload_type.as_deref()) => {
                return Answer::Rightful { uid };
            }
            Ok(_) => self.delete_unbound(pod).await.unwrap_or_else(|error| answer(Err(error))),
            Err(error) => answer(Err(error)),
        };
        if answer == EvictionAnswer::Accepted {
            self.context.events.send(planted.event());
        }
        Answer::Eviction { uid, answer }
    }

    async fn workload_type_of(&self, namespace: &str) -> Result<Option<String>, kube::Error> {
        let namespaces: Api<Unread<PartialObjectMeta<Namespace>>> = Api::all(self.context.client.clone());
        let Some(found) = within(namespaces.get_opt(namespace)).await? else { return Ok(None) };
        let found = found.read().map_err(kube::Error::SerdeError)?;
        Ok(found.labels().get(labels::WORKLOAD_TYPE).cloned())
    }

    /// Deletes the pod unless it has a node by now. If it changes or goes meanwhile, it is looked at once more.
    async fn delete_unbound(&self, pod: &PodRef) -> Result<EvictionAnswer, kube::Error> {
        let mut answer = EvictionAnswer::Gone;
        for _ in 0..2 {
            let Some(seen) = self.unbound(pod).await? else { break };
            let parameters = DeleteParams::default().grace_period(GRACE).preconditions(seen);
            answer = self.delete(pod, &parameters).await;
            if answer != EvictionAnswer::Gone {
                break;
            }
        }
        Ok(answer)
    }

    /// What tells the pod as it is now from any other, while it has no node.
    async fn unbound(&self, pod: &PodRef) -> Result<Option<Preconditions>, kube::Error> {
        let pods: Api<Unread<Pod>> = Api::namespaced(self.context.client.clone(), &pod.key.namespace);
        let Some(found) = within(pods.get_opt(&pod.key.name)).await? else { return Ok(None) };
        let Placed { spec } = found.read_as().map_err(kube::Error::SerdeError)?;
        let resource_version = found.meta().resource_version.clone();
        let is_bound = spec.node_name.is_some_and(|name| !name.is_empty());
        Ok((!is_bound).then(|| Preconditions { resource_version, ..uid_of(pod) }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::cluster::events::Events;
    use crate::cluster::testing::{api_server, refusal};
    use crate::controllers::Context;
    use crate::controllers::node_claim::permits::Permits;
    use crate::controllers::testing::{FakeCloud, cluster, context, registered_claim};
    use crate::lifecycle::effect::Effect;
    use crate::model::pod::PodKey;
    use crate::model::testing::nodes::{at, taint};

    #[tokio::test]
    async fn a_planted_pod_is_deleted_only_if_its_namespace_does_not_give_it_the_right_by_now() {
        let deletions = Arc::new(AtomicUsize::new(0));
        let (client, calls) = api_server(move |call| match call.line.as_str() {
            "GET /api/v1/namespaces/gone" => refusal(404, "no such namespace"),
            "GET /api/v1/namespaces/broken" => refusal(500, "no answer"),
            line if line.starts_with("GET") && line.contains("/pods/") => {
                let node = line.ends_with("bound").then_some("n1");
                let metadata = json!({ "name": "p", "uid": "uid", "resourceVersion": "7" });
                (
                    200,
                    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": { "nodeName": node } }),
                )
            }
            line if line.starts_with("GET") => {
                let name = line.rsplit('/').next().unwrap();
                let labels = json!({ "treenail.dev/workload-type": name });
                (
                    200,
                    json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": { "name": name, "labels": labels } }),
                )
            }
            line if line.contains("kept") => refusal(403, "no"),
            line if line.contains("changed") && deletions.fetch_add(1, Ordering::Relaxed) == 0 => {
                refusal(409, "the object has been modified")
            }
            line if line.contains("odd") => (200, json!({ "kind": "Pod", "spec": 7 })),
            _ => (200, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" })),
        });
        let (events, mut told) = Events::kept();
        let context = Context { events, ..context(client, at(600)) };
        let (cloud, cluster, permits) = (FakeCloud::default(), cluster(), Permits::default());
        let hands = Hands { context: &context, cloud: &cloud, cluster: &cluster, permits: &permits };
        let (_, claim) = registered_claim("a", "", json!({}));
        let cases = [
            ("application", "p", "Rightful", 0, 0),
            ("monitoring", "p", "Accepted", 1, 1),
            ("gone", "p", "Accepted", 1, 1),
            ("broken", "p", "Failed", 0, 0),
            ("monitoring", "kept", "Failed", 0, 1),
            ("monitoring", "odd", "Accepted", 1, 1),
            ("monitoring", "bound", "Gone", 0, 1),
            ("monitoring", "changed", "Accepted", 1, 2),
        ];
        for (namespace, name, expected, events, looks) in cases {
            let key = PodKey { namespace: namespace.to_owned(), name: name.to_owned() };
            let planted = PlantedPod {
                pod: PodRef { key, uid: "uid".to_owned() },
                has_controller: true,
                taint: taint("node-type=application:NoSchedule"),
                owner: "application".to_owned(),
                rightful: ["application".to_owned()].into(),
                is_judged: true,
            };
            let answer = hands.carry_out(&claim, &Effect::DeletePlanted(planted)).await.unwrap();
            assert!(format!("{answer:?}").contains(expected), "{namespace}/{name}: {answer:?}");
            let calls = calls.take();
            let seen =
                calls.iter().filter(|call| call.line.starts_with("GET") && call.line.contains("/pods/"));
            assert_eq!(seen.count(), looks, "{namespace}/{name}");
            let deletion = calls.iter().find(|call| call.line.starts_with("DELETE"));
            assert_eq!(deletion.is_some(), expected == "Accepted" || name == "kept", "{namespace}/{name}");
            let preconditions = json!({ "uid": "uid", "resourceVersion": "7" });
            assert!(deletion.is_none_or(|call| call.body["preconditions"] == preconditions), "{deletion:?}");
            let heard: Vec<_> =
                std::iter::from_fn(|| told.try_recv().ok()).map(|event| event.reason).collect();
            assert_eq!(heard, vec!["ForeignToleration"; events], "{namespace}/{name}");
        }
    }
}
