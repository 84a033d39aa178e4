//! Carries effects out: each one call, on its precondition, with its answer.

use k8s_openapi::api::core::v1::{Node as ApiNode, Pod as ApiPod};
use kube::api::{Api, DeleteParams, EvictParams, Patch, PatchParams, Preconditions};
use serde_json::Value;

use super::instance;
use crate::api::nodeclaim::NodeClaim as ApiNodeClaim;
use crate::cluster::FIELD_MANAGER;
use crate::cluster::caches::{KnownClaim, known_claim, known_node};
use crate::controllers::Context;
use crate::lifecycle::effect::{DeletionReason, Effect, PodRef};
use crate::lifecycle::memory::{Answer, EvictionAnswer};
use crate::lifecycle::patch;
use crate::model::ObjectRef;
use crate::ports::cloud::{CloudProvider, ClusterFacts};

/// Why an effect was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// The object has changed, or is gone: what is there now is to be looked at.
    Conflict,
    /// Anything else.
    Other(kube::Error),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if matches!(status.code, 404 | 409) => Self::Conflict,
            // A finalizer cannot be put on an object whose deletion has begun meanwhile.
            error => Self::Other(error),
        }
    }
}

/// What effects are carried out with.
#[derive(Clone, Copy)]
pub(super) struct Hands<'a> {
    pub(super) context: &'a Context,
    pub(super) cloud: &'a dyn CloudProvider,
    pub(super) cluster: &'a ClusterFacts,
}

impl Hands<'_> {
    /// Carries out one effect for the claim, as it was when the effect was decided on.
    pub(super) async fn carry_out(
        &self,
        claim: &KnownClaim,
        effect: &Effect,
    ) -> Result<Option<Answer>, Failure> {
        let (name, model) = (&claim.model.object.name, &claim.model);
        match effect {
            Effect::PatchClaim(changes) => {
                self.patch_claim(name, patch::of_claim(&claim.object, changes)).await?;
            }
            Effect::SetStatus(status) => {
                let body = Patch::Merge(patch::of_status(&claim.object, status));
                let patched = self.claims().patch_status(name, &parameters(), &body).await?;
                self.context.caches.node_claims.learn(patched, known_claim);
            }
            Effect::DeleteClaim(reason) => self.delete_claim(&model.object, *reason).await?,
            Effect::RemoveClaimFinalizer => {
                self.patch_claim(name, patch::without_finalizer(&claim.object.metadata)).await?;
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
            Effect::GetInstance { provider_id } => {
                return Ok(Some(Answer::Instance(instance::get(self.cloud, provider_id).await)));
            }
            Effect::Terminate { provider_id } => {
                let answer = instance::terminate(self.cloud, provider_id).await;
                tracing::info!(node_claim = name, %provider_id, ?answer, "asked for the instance's end");
                return Ok(Some(Answer::Termination(answer)));
            }
            Effect::PatchNode(changes) => {
                let node = self.current_node(&changes.node)?;
                self.patch_node(&changes.node.name, patch::of_node(&node, changes)).await?;
            }
            Effect::DeleteNode(node) => {
                if let Some(deleted) = self.nodes().delete(&node.name, &on_condition(node)).await?.left() {
                    self.context.caches.nodes.learn(deleted, known_node);
                }
            }
            Effect::RemoveNodeFinalizer(node) => {
                let current = self.current_node(node)?;
                self.patch_node(&node.name, patch::without_finalizer(&current.metadata)).await?;
            }
            Effect::Evict(pod) => return Ok(Some(answer(pod, self.evict(pod).await))),
            Effect::DeletePod { pod, grace } => {
                let grace = u32::try_from(grace.as_secs()).unwrap_or(0).max(1);
                let parameters = DeleteParams::default().grace_period(grace).preconditions(uid_of(pod));
                let deleted = self.pods(pod).delete(&pod.key.name, &parameters).await.map(drop);
                return Ok(Some(answer(pod, deleted)));
            }
            Effect::Report(event) => self.context.events.send(event.clone()),
        }
        Ok(None)
    }

    fn claims(&self) -> Api<ApiNodeClaim> {
        Api::all(self.context.client.clone())
    }

    fn nodes(&self) -> Api<ApiNode> {
        Api::all(self.context.client.clone())
    }

    fn pods(&self, pod: &PodRef) -> Api<ApiPod> {
        Api::namespaced(self.context.client.clone(), &pod.key.namespace)
    }

    async fn patch_claim(&self, name: &str, body: Value) -> Result<(), Failure> {
        let patched = self.claims().patch(name, &parameters(), &Patch::Merge(body)).await?;
        self.context.caches.node_claims.learn(patched, known_claim);
        Ok(())
    }

    async fn delete_claim(&self, claim: &ObjectRef, reason: DeletionReason) -> Result<(), Failure> {
        tracing::info!(node_claim = claim.name, reason = reason.name(), "the claim is deleted");
        if let Some(deleted) = self.claims().delete(&claim.name, &on_condition(claim)).await?.left() {
            self.context.caches.node_claims.learn(deleted, known_claim);
        }
        Ok(())
    }

    /// The Node as it was decided on; a patch of another version would be refused anyway.
    fn current_node(&self, node: &ObjectRef) -> Result<ApiNode, Failure> {
        let known = self.context.caches.nodes.get("", &node.name);
        let known = known.filter(|known| known.model.object == *node).ok_or(Failure::Conflict)?;
        Ok(known.object.clone())
    }

    async fn patch_node(&self, name: &str, body: Value) -> Result<(), Failure> {
        let patched = self.nodes().patch(name, &parameters(), &Patch::Merge(body)).await?;
        self.context.caches.nodes.learn(patched, known_node);
        Ok(())
    }

    async fn evict(&self, pod: &PodRef) -> Result<(), kube::Error> {
        let delete_options = Some(DeleteParams::default().preconditions(uid_of(pod)));
        let parameters = EvictParams { delete_options, ..EvictParams::default() };
        self.pods(pod).evict(&pod.key.name, &parameters).await.map(drop)
    }
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

fn on_condition(object: &ObjectRef) -> DeleteParams {
    DeleteParams::default().preconditions(Preconditions {
        uid: Some(object.uid.clone()),
        resource_version: Some(object.resource_version.clone()),
    })
}

fn uid_of(pod: &PodRef) -> Preconditions {
    Preconditions { uid: Some(pod.uid.clone()), resource_version: None }
}

fn answer(pod: &PodRef, result: Result<(), kube::Error>) -> Answer {
    let answer = match result {
        Ok(()) => EvictionAnswer::Accepted,
        Err(kube::Error::Api(status)) => EvictionAnswer::classify(status.code, &status.message),
        Err(error) => EvictionAnswer::Failed { message: error.to_string() },
    };
    Answer::Eviction { uid: pod.uid.clone(), answer }
}
