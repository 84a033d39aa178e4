//! Removes what belongs to nothing any more, on both sides: asks `lifecycle::gc` now and then, and carries out what it finds.
//!
//! The instances are listed first, so that whatever was launched meanwhile is in the caches and not in the list, never the other way round.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::DynamicObject;
use tokio::sync::watch;

use super::writes::{Failure, Writes};
use super::{Context, live, one_term};
use crate::api::labels;
use crate::cluster::caches::KnownClaim;
use crate::lifecycle::gc::{self, Garbage, Inventory};
use crate::model::event::{Event, Regarding, Severity};
use crate::model::{Node, NodeClaim, ObjectRef, ProviderId};
use crate::ports::ErrorClass;
use crate::ports::cloud::{CloudProvider, Instance, InstanceState};

/// Things that are removed at once.
const AT_ONCE: usize = 10;

/// Lists, decides, and removes.
pub struct GarbageController {
    /// What controllers share.
    pub context: Context,
    /// Where the instances are.
    pub cloud: Arc<dyn CloudProvider>,
    /// The name of the cluster whose instances they are.
    pub cluster_name: String,
    /// How often.
    pub every: Duration,
}

impl GarbageController {
    /// Removes garbage while `leads` says so and all caches are complete, for as long as it is awaited.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        while one_term(&mut leads, self.lead()).await {}
    }

    async fn lead(&self) {
        self.context.caches.synced().await;
        loop {
            if let Err(error) = self.pass().await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "what belongs to nothing could not be looked for; it is tried again"
                );
            }
            tokio::time::sleep(self.every).await;
        }
    }

    async fn pass(&self) -> anyhow::Result<()> {
        let listed_at = self.context.clock.now();
        let instances = self.cloud.list(&self.cluster_name).await?;
        let instances: Vec<_> = instances.iter().map(instance).collect();
        let caches = &self.context.caches;
        let known = caches.node_claims.all();
        let claims: Vec<NodeClaim> = known.iter().map(|claim| claim.model.clone()).collect();
        let nodes: Vec<Node> = caches.nodes.all().iter().map(|node| node.model.clone()).collect();
        let inventory = Inventory { listed_at, instances: &instances, claims: &claims, nodes: &nodes };
        let mut garbage = gc::collect(&inventory);
        garbage.retain(|garbage| is_ours(garbage, &known));
        if garbage.iter().any(|garbage| matches!(garbage, Garbage::Instance(_))) {
            let owners = self.owners().await?;
            garbage.retain(|garbage| !matches!(garbage, Garbage::Instance(id) if owners.has(&instances, id)));
        }
        let removals = futures::stream::iter(garbage);
        removals.for_each_concurrent(AT_ONCE, |garbage| self.remove(garbage)).await;
        Ok(())
    }

    /// Nothing but the claim keeps an instance from being terminated, and a cache may be behind, or leave out a claim that cannot be read. So
    /// before that the API server itself is asked, of every claim, for the little that says whose an instance is.
    async fn owners(&self) -> anyhow::Result<Owners> {
        Ok(Owners::read(live::node_claims(&self.context.client).await?))
    }

    async fn remove(&self, garbage: Garbage) {
        let writes = Writes(&self.context);
        let (kind, name, result) = match &garbage {
            Garbage::Claim(claim) => {
                if !self.has_lost_its_instance(claim).await {
                    return;
                }
                let deleted = writes.delete_claim(claim).await;
                if deleted.is_ok() {
                    self.context.events.send(instance_gone(claim));
                }
                ("NodeClaim", claim.name.clone(), deleted)
            }
            Garbage::Instance(id) => return self.terminate(id).await,
            Garbage::Node(node) => ("Node", node.name.clone(), writes.delete_node(node).await),
            Garbage::DeletedNode(node) => {
                let known = self.context.caches.nodes.get("", &node.name);
                let known = known.filter(|known| known.model.object == *node);
                let result = match known {
                    Some(known) => writes.let_node_go(&known).await,
                    None => Err(Failure::Changed),
                };
                ("Node", node.name.clone(), result)
            }
        };
        match result {
            Ok(()) => tracing::info!(kind, name, "it belonged to nothing any more and is removed"),
            // The next pass looks at what is there then.
            Err(Failure::Changed) => {}
            Err(error) => {
                tracing::warn!(kind, name, %error, "it belongs to nothing and could not be removed; it is tried again");
            }
        }
    }

    /// An instance that has lost its tags is in no list, and runs all the same: so it is asked for by its ID.
    async fn has_lost_its_instance(&self, claim: &ObjectRef) -> bool {
        let known = self.context.caches.node_claims.get("", &claim.name);
        let known = known.filter(|known| known.model.object == *claim);
        let Some(id) = known.as_ref().and_then(|known| known.model.provider_id.as_ref()) else {
            return false;
        };
        match self.cloud.get(id).await {
            Err(error) if error.class == ErrorClass::NotFound => true,
            Ok(_) => {
                tracing::warn!(node_claim = claim.name, provider_id = %id, "the instance exists and is not listed; the claim stays");
                self.context.events.send(instance_not_listed(claim, id));
                false
            }
            Err(error) => {
                tracing::warn!(node_claim = claim.name, provider_id = %id, %error, "the instance could not be asked for; the claim stays");
                false
            }
        }
    }

    async fn terminate(&self, id: &ProviderId) {
        match self.cloud.terminate(&self.cluster_name, id).await {
            Ok(()) => tracing::warn!(provider_id = %id, "an instance that no NodeClaim has is terminated"),
            Err(error) if error.class == ErrorClass::NotFound => {}
            Err(error) => {
                tracing::warn!(provider_id = %id, %error, "an instance that no NodeClaim has could not be terminated; it is tried again");
            }
        }
    }
}

/// Claims of other providers' classes are not: of their instances nothing is known here.
fn is_ours(garbage: &Garbage, claims: &[Arc<KnownClaim>]) -> bool {
    match garbage {
        Garbage::Claim(object) => claims
            .iter()
            .any(|claim| claim.model.object == *object && claim.object.spec.node_class_ref.is_ec2()),
        Garbage::Instance(_) | Garbage::Node(_) | Garbage::DeletedNode(_) => true,
    }
}

fn instance(instance: &Instance) -> gc::Instance {
    gc::Instance {
        provider_id: instance.provider_id.clone(),
        launched: instance.launched_at,
        claim_uid: instance.claim_uid().map(str::to_owned),
        is_ending: instance.state == InstanceState::ShuttingDown,
    }
}

/// Without its tags it is not terminated, either, when its claim is deleted.
fn instance_not_listed(claim: &ObjectRef, id: &ProviderId) -> Event {
    let tags = [labels::NODEPOOL_TAG, labels::EC2NODECLASS_TAG, labels::CLUSTER_NAME_TAG].join(", ");
    Event {
        regarding: Regarding::NodeClaim { name: claim.name.clone(), uid: claim.uid.clone() },
        severity: Severity::Warning,
        reason: "InstanceNotListed",
        message: format!(
            "its instance {id} exists and is not listed as one of the cluster's, so it could not be terminated; give it back its tags {tags}"
        ),
        same_if: String::new(),
    }
}

fn instance_gone(claim: &ObjectRef) -> Event {
    Event {
        regarding: Regarding::NodeClaim { name: claim.name.clone(), uid: claim.uid.clone() },
        severity: Severity::Warning,
        reason: "InstanceGone",
        message: "its instance does not exist any more, so the claim is deleted and its pods are placed anew; see EC2 or \
                  CloudTrail for who terminated it"
            .to_owned(),
        same_if: String::new(),
    }
}

/// Whose instances are: the instance of every claim by the claim's UID; nothing for a claim that does not know its own yet.
#[derive(Debug, Default)]
struct Owners(BTreeMap<String, Option<String>>);

impl Owners {
    fn read(claims: Vec<DynamicObject>) -> Self {
        let owner = |claim: DynamicObject| {
            let id = claim.data.pointer("/status/providerID").and_then(|id| id.as_str());
            let id = id.filter(|id| !id.is_empty()).map(str::to_owned);
            Some((claim.metadata.uid?, id))
        };
        Self(claims.into_iter().filter_map(owner).collect())
    }

    /// Whether a claim has the instance, or may yet find it by its own UID.
    fn has(&self, instances: &[gc::Instance], id: &ProviderId) -> bool {
        let is_known = self.0.values().flatten().any(|known| known == id.as_str());
        let launched_for = instances.iter().find(|instance| instance.provider_id == *id);
        let may_be_found = launched_for
            .and_then(|instance| self.0.get(instance.claim_uid.as_ref()?))
            .is_some_and(Option::is_none);
        is_known || may_be_found
    }
}

#[cfg(test)]
mod tests;
