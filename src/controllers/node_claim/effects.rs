//! Carries effects out: each one call, on its precondition, with its answer.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod as ApiPod;
use kube::api::{Api, DeleteParams, EvictParams, Preconditions};

use super::instance;
use super::permits::Permits;
use crate::cluster::caches::{KnownClaim, KnownNode};
use crate::cluster::write::within;
use crate::controllers::writes::{Failure, Writes};
use crate::controllers::{Context, live};
use crate::lifecycle::drain;
use crate::lifecycle::effect::Effect;
use crate::lifecycle::memory::{Answer, EvictionAnswer};
use crate::model::{ObjectRef, PodRef};
use crate::ports::cloud::{CloudProvider, ClusterFacts};

/// What effects are carried out with.
#[derive(Clone, Copy)]
pub(super) struct Hands<'a> {
    pub(super) context: &'a Context,
    pub(super) cloud: &'a dyn CloudProvider,
    pub(super) cluster: &'a ClusterFacts,
    pub(super) permits: &'a Permits,
}

impl Hands<'_> {
    /// Carries out one effect for the claim, as it was when the effect was decided on.
    pub(super) async fn carry_out(
        &self,
        claim: &KnownClaim,
        effect: &Effect,
    ) -> Result<Option<Answer>, Failure> {
        let (name, model, writes) = (&claim.model.object.name, &claim.model, Writes(self.context));
        match effect {
            Effect::PatchClaim(changes) => writes.patch_claim(claim, changes).await?,
            Effect::SetStatus(status) => writes.set_status(claim, status).await?,
            Effect::DeleteClaim(reason) => {
                tracing::info!(node_claim = name, reason = reason.name(), "the claim is deleted");
                writes.delete_claim(&model.object).await?;
            }
            Effect::RemoveClaimFinalizer => {
                writes.let_claim_go(claim).await?;
                tracing::info!(node_claim = name, "the claim is let go");
            }
            Effect::Launch { attempt } => {
                let class = self.context.caches.node_classes.get("", &model.node_class);
                let result =
                    instance::launch(self.cloud, self.cluster, model, class.as_deref(), *attempt).await;
                match &result {
                    Ok(launched) => tracing::info!(
                        node_claim = name, provider_id = %launched.provider_id, attempt, "launched an instance"
                    ),
                    Err(failure) => {
                        tracing::warn!(node_claim = name, attempt, error = failure.message, "no launch");
                    }
                }
                return Ok(Some(Answer::Launch { attempt: *attempt, result }));
            }
            Effect::FindInstance => {
                let found = instance::find(self.cloud, self.cluster, model).await;
                return Ok(Some(Answer::Found(found)));
            }
            Effect::FindOwner { provider_id } => {
                return Ok(Some(Answer::Owner(instance::owner(self.cloud, provider_id).await)));
            }
            Effect::GetInstance { provider_id } => {
                return Ok(Some(Answer::Instance(instance::get(self.cloud, provider_id).await)));
            }
            Effect::Terminate { provider_id } => {
                let answer = instance::terminate(self.cloud, self.cluster, provider_id).await;
                tracing::info!(node_claim = name, %provider_id, ?answer, "asked for the instance's end");
                return Ok(Some(Answer::Termination(answer)));
            }
            Effect::ListPods { nodes } => {
                let pods = live::pods_on(&self.context.client, nodes).await;
                if let Err(error) = &pods {
                    tracing::warn!(node_claim = name, %error, "its pods could not be listed; it is tried again");
                }
                return Ok(Some(Answer::Pods(pods.map_err(|error| error.to_string()))));
            }
            Effect::PatchNode(changes) => {
                writes.patch_node(&*self.current_node(&changes.node)?, changes).await?;
            }
            Effect::DeleteNode(node) => writes.delete_node(node).await?,
            Effect::RemoveNodeFinalizer(node) => writes.let_node_go(&*self.current_node(node)?).await?,
            Effect::Evict(pod) => {
                let evicted = answer(self.evict(pod).await);
                return Ok(Some(self.told(effect, pod, evicted)));
            }
            Effect::DeletePod { pod, grace } => {
                let grace = u32::try_from(grace.as_secs()).unwrap_or(0).max(1);
                let parameters = DeleteParams::default().grace_period(grace).preconditions(uid_of(pod));
                let deleted = self.delete(pod, &parameters).await;
                return Ok(Some(self.told(effect, pod, deleted)));
            }
            Effect::DeletePlanted(planted) => return Ok(Some(self.delete_planted(planted).await)),
            Effect::Report(event) => self.context.events.send(event.clone()),
        }
        Ok(None)
    }

    /// The answer about a pod that leaves a node, of which its people are told.
    fn told(&self, effect: &Effect, pod: &PodRef, answer: EvictionAnswer) -> Answer {
        if let Some(event) = drain::event(effect, &answer) {
            self.context.events.send(event);
        }
        Answer::Eviction { uid: pod.uid.clone(), answer }
    }

    /// What the API server says to a deletion. What it says of the pod itself is left unread: it may be what no parser here can hold.
    pub(super) async fn delete(&self, pod: &PodRef, parameters: &DeleteParams) -> EvictionAnswer {
        match within(self.pods(pod).delete(&pod.key.name, parameters)).await {
            Ok(_) | Err(kube::Error::SerdeError(_)) => EvictionAnswer::Accepted,
            Err(error) => answer(Err(error)),
        }
    }

    fn pods(&self, pod: &PodRef) -> Api<ApiPod> {
        Api::namespaced(self.context.client.clone(), &pod.key.namespace)
    }

    /// The Node as it was decided on; a patch of another version would be refused anyway.
    fn current_node(&self, node: &ObjectRef) -> Result<Arc<KnownNode>, Failure> {
        let known = self.context.caches.nodes.get("", &node.name);
        known.filter(|known| known.model.object == *node).ok_or(Failure::Changed)
    }

    async fn evict(&self, pod: &PodRef) -> Result<(), kube::Error> {
        let delete_options = Some(DeleteParams::default().preconditions(uid_of(pod)));
        let parameters = EvictParams { delete_options, ..EvictParams::default() };
        within(self.pods(pod).evict(&pod.key.name, &parameters)).await.map(drop)
    }
}

pub(super) fn uid_of(pod: &PodRef) -> Preconditions {
    Preconditions { uid: Some(pod.uid.clone()), resource_version: None }
}

pub(super) fn answer(result: Result<(), kube::Error>) -> EvictionAnswer {
    match result {
        Ok(()) => EvictionAnswer::Accepted,
        Err(kube::Error::Api(status)) => EvictionAnswer::classify(status.code, &status.message),
        Err(error) => EvictionAnswer::Failed { message: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::cluster::events::Events;
    use crate::cluster::testing::{api_server, refusal};
    use crate::controllers::testing::{FakeCloud, cluster, context, registered_claim};
    use crate::model::pod::PodKey;
    use crate::model::testing::nodes::at;

    #[tokio::test]
    async fn people_of_a_pod_are_told_when_it_leaves_a_node_that_goes_and_not_when_it_may_not() {
        let (client, _) = api_server(|call| match call.line.as_str() {
            "POST /api/v1/namespaces/shop/pods/free/eviction"
            | "DELETE /api/v1/namespaces/shop/pods/free" => {
                (200, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
            }
            _ => refusal(429, "the budget needs it"),
        });
        let (events, mut told) = Events::kept();
        let context = Context { events, ..context(client, at(600)) };
        let (cloud, cluster, permits) = (FakeCloud::default(), cluster(), Permits::default());
        let hands = Hands { context: &context, cloud: &cloud, cluster: &cluster, permits: &permits };
        let pod = |name: &str| PodRef {
            key: PodKey { namespace: "shop".to_owned(), name: name.to_owned() },
            uid: format!("{name}-uid"),
        };
        let deleted = json!({ "metadata": { "deletionTimestamp": at(500).to_string() } });
        let (_, ending) = registered_claim("a", "aws:///a/i-1", deleted);
        let delete = |name| Effect::DeletePod { pod: pod(name), grace: SignedDuration::from_secs(1) };
        let cases = [
            (Effect::Evict(pod("free")), Some("Evicted")),
            (Effect::Evict(pod("protected")), None),
            (delete("free"), Some("Disrupted")),
        ];
        for (effect, expected) in cases {
            hands.carry_out(&ending, &effect).await.unwrap();
            assert_eq!(told.try_recv().ok().map(|event| event.reason), expected, "{effect:?}");
        }
    }
}
