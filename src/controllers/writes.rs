//! Writes to claims and Nodes, each on the condition that the object is still the one that was looked at. The caches learn the answers.

use k8s_openapi::api::core::v1::Node as ApiNode;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::Value;

use super::Context;
use crate::api::labels::TERMINATION_FINALIZER;
use crate::api::nodeclaim::NodeClaim as ApiNodeClaim;
use crate::cluster::FIELD_MANAGER;
use crate::cluster::caches::{KnownClaim, KnownNode, known_claim, known_node};
use crate::cluster::unread::Unread;
use crate::cluster::write::{set_finalizers, within};
use crate::lifecycle::effect::{ClaimPatch, NodePatch, StatusPatch};
use crate::lifecycle::patch;
use crate::model::ObjectRef;

/// Why a write is not known to be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The object has changed since it was looked at, or is gone: what is there now is to be looked at.
    #[error("the object has changed")]
    Changed,
    /// The API server has refused it for another reason.
    #[error(transparent)]
    Refused(kube::Error),
    /// There was no answer, or none from which it could be told. It may still be done.
    #[error("the API server did not answer ({0}); it may be done nevertheless")]
    Unknown(String),
}

/// The writes.
#[derive(Clone, Copy)]
pub(super) struct Writes<'a>(pub(super) &'a Context);

impl Writes<'_> {
    pub(super) async fn patch_claim(self, claim: &KnownClaim, changes: &ClaimPatch) -> Result<(), Failure> {
        self.change_claim(claim, patch::of_claim(&claim.object, changes)).await
    }

    /// Takes our finalizer off the claim.
    pub(super) async fn let_claim_go(self, claim: &KnownClaim) -> Result<(), Failure> {
        let metadata = &claim.object.metadata;
        let finalizers = patch::finalizers(metadata, TERMINATION_FINALIZER, false);
        let set = set_finalizers(&self.0.client, metadata, &finalizers).await;
        let patched = set.map_err(classify)?.ok_or(Failure::Changed)?;
        self.learn_claim(&patched);
        Ok(())
    }

    pub(super) async fn set_status(self, claim: &KnownClaim, status: &StatusPatch) -> Result<(), Failure> {
        let body = Patch::Merge(patch::of_status(&claim.object, status));
        let name = &claim.model.object.name;
        let patched = answered(self.claims().patch_status(name, &parameters(), &body)).await?;
        self.learn_claim(&patched);
        Ok(())
    }

    pub(super) async fn delete_claim(self, claim: &ObjectRef) -> Result<(), Failure> {
        let deleted = answered(self.claims().delete(&claim.name, &on_condition(claim))).await?;
        if let Some(deleted) = deleted.left() {
            self.learn_claim(&deleted);
        }
        Ok(())
    }

    pub(super) async fn patch_node(self, node: &KnownNode, changes: &NodePatch) -> Result<(), Failure> {
        self.change_node(node, patch::of_node(&node.object, changes)).await
    }

    /// Takes our finalizer off the Node.
    pub(super) async fn let_node_go(self, node: &KnownNode) -> Result<(), Failure> {
        let metadata = &node.object.metadata;
        let finalizers = patch::finalizers(metadata, TERMINATION_FINALIZER, false);
        let set = set_finalizers(&self.0.client, metadata, &finalizers).await;
        let patched = set.map_err(classify)?.ok_or(Failure::Changed)?;
        self.learn_node(&patched);
        Ok(())
    }

    pub(super) async fn delete_node(self, node: &ObjectRef) -> Result<(), Failure> {
        let deleted = answered(self.nodes().delete(&node.name, &on_condition(node))).await?;
        if let Some(deleted) = deleted.left() {
            self.learn_node(&deleted);
        }
        Ok(())
    }

    async fn change_claim(self, claim: &KnownClaim, body: Value) -> Result<(), Failure> {
        let name = &claim.model.object.name;
        let patched = answered(self.claims().patch(name, &parameters(), &Patch::Merge(body))).await?;
        self.learn_claim(&patched);
        Ok(())
    }

    async fn change_node(self, node: &KnownNode, body: Value) -> Result<(), Failure> {
        let name = &node.model.object.name;
        let patched = answered(self.nodes().patch(name, &parameters(), &Patch::Merge(body))).await?;
        self.learn_node(&patched);
        Ok(())
    }

    /// An answer that cannot be read was given all the same; the watch says what became of the object.
    fn learn_claim(self, answer: &Unread<ApiNodeClaim>) {
        if let Ok(claim) = answer.read() {
            self.0.caches.node_claims.learn(claim, known_claim);
        }
    }

    fn learn_node(self, answer: &Unread<ApiNode>) {
        if let Ok(node) = answer.read() {
            self.0.caches.nodes.learn(node, known_node);
        }
    }

    fn claims(self) -> Api<Unread<ApiNodeClaim>> {
        Api::all(self.0.client.clone())
    }

    fn nodes(self) -> Api<Unread<ApiNode>> {
        Api::all(self.0.client.clone())
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

async fn answered<T>(write: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
    within(write).await.map_err(classify)
}

fn classify(error: kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) if matches!(status.code, 404 | 409) => Failure::Changed,
        kube::Error::Api(status) if status.code < 500 => Failure::Refused(kube::Error::Api(status)),
        other => Failure::Unknown(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn only_what_the_api_server_has_refused_is_certainly_not_done() {
        let answer = |code| classify(kube::Error::Api(Status { code, ..Status::default() }.boxed()));
        for code in [404, 409] {
            assert!(matches!(answer(code), Failure::Changed), "{code}");
        }
        for code in [400, 403, 422, 429] {
            assert!(matches!(answer(code), Failure::Refused(_)), "{code}");
        }
        for code in [500, 503, 504] {
            assert!(matches!(answer(code), Failure::Unknown(_)), "{code}");
        }
    }
}
