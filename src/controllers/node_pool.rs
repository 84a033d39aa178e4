//! Keeps the status of every NodePool, and tells people when nothing can be launched from one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::catalogs::Catalogs;
use super::retries::Retries;
use super::unhealthy::{self, Bad};
use crate::api::conditions::ConditionStatus;
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::nodeclaim::NodeClaim as ApiNodeClaim;
use crate::api::nodepool::{NODE_CLASS_READY, NodePool, NodePoolStatus, VALIDATION_SUCCEEDED};
use crate::cluster::cache::Cache;
use crate::cluster::caches::KnownClaim;
use crate::cluster::events::Events;
use crate::cluster::write::apply_status;
use crate::lifecycle::pool_status::{Surroundings, status};
use crate::model::event::Regarding;
use crate::ports::clock::Clock;

/// Changes that come together are answered together.
const GATHER: Duration = Duration::from_millis(50);

const BAD: &[Bad] = &[
    Bad {
        condition: VALIDATION_SUCCEEDED,
        status: ConditionStatus::False,
        reason: "NodePoolValidationFailed",
    },
    Bad { condition: NODE_CLASS_READY, status: ConditionStatus::False, reason: "NodeClassNotReady" },
];

/// Reads the caches and writes the statuses.
pub struct NodePoolController {
    /// The API server.
    pub client: Client,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The pools.
    pub node_pools: Cache<NodePool>,
    /// The classes that they name.
    pub node_classes: Cache<Ec2NodeClass>,
    /// The instance types of these.
    pub catalogs: Catalogs,
    /// The claims that were made from them.
    pub node_claims: Cache<KnownClaim>,
    /// Tells people.
    pub events: Events,
}

impl NodePoolController {
    /// Keeps the statuses while `leads` says so, for as long as it is awaited.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        let mut changes =
            [self.node_pools.changes(), self.node_classes.changes(), self.node_claims.changes()];
        let mut catalogs = self.catalogs.changes();
        let mut retries = Retries::default();
        loop {
            let is_synced =
                self.node_pools.is_synced() && self.node_classes.is_synced() && self.node_claims.is_synced();
            for change in &mut changes {
                change.mark_unchanged();
            }
            catalogs.mark_unchanged();
            if is_synced && *leads.borrow_and_update() {
                self.write_all(&mut retries).await;
            } else {
                // Nothing is written from here, and so nothing is due again.
                retries = Retries::default();
            }
            let [pools, classes, claims] = &mut changes;
            tokio::select! {
                // All arms only wait; whatever changed, everything is looked at again.
                _ = pools.changed() => {}
                _ = classes.changed() => {}
                _ = claims.changed() => {}
                _ = catalogs.changed() => {}
                _ = leads.changed() => {}
                () = retries.due() => {}
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Writes every status that is not as it should be. One that cannot be written does not keep the others back.
    async fn write_all(&self, retries: &mut Retries) {
        let claims = self.node_claims.all();
        let mut claims_of: BTreeMap<&str, Vec<&ApiNodeClaim>> = BTreeMap::new();
        for claim in &claims {
            if let Some(pool) = claim.model.pool() {
                claims_of.entry(pool).or_default().push(&claim.object);
            }
        }
        retries.retain(|name| self.node_pools.get("", name).is_some());
        for pool in self.node_pools.all() {
            let name = pool.name_any();
            let class = self.node_classes.get("", &pool.spec.template.spec.node_class_ref.name);
            let claims = claims_of.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
            let class = class.as_deref();
            let no_type = self.catalogs.no_type(&pool, class);
            let surroundings = Surroundings { class, no_type: no_type.as_deref(), claims };
            let wanted = status(&pool, &surroundings, self.clock.now());
            if pool.status.as_ref() == Some(&wanted) {
                // A write may have taken effect although its answer was an error, or was lost.
                retries.note(&name, true, Instant::now());
                continue;
            }
            if !retries.may_write(&name, Instant::now()) {
                continue;
            }
            let written = apply_status::<NodePool>(&self.client, &name, &wanted).await;
            let wait = retries.note(&name, written.is_ok(), Instant::now()).as_secs();
            if let Err(error) = written {
                tracing::warn!(node_pool = name, %error, "the status could not be written; it is tried again in {wait} s");
                continue;
            }
            self.tell(&pool, &wanted);
        }
    }

    fn tell(&self, pool: &NodePool, status: &NodePoolStatus) {
        let regarding = Regarding::NodePool { name: pool.name_any(), uid: pool.uid().unwrap_or_default() };
        let before = pool.status.as_ref().map(|before| before.conditions.as_slice()).unwrap_or_default();
        for event in unhealthy::events(&regarding, BAD, before, &status.conditions) {
            self.events.send(event);
        }
    }
}

#[cfg(test)]
mod tests;
