//! Keeps the status of every EC2NodeClass (what its selectors find, and whether nodes can be launched from it), and its finalizer.
//!
//! Each class is kept by itself: one for which the cloud is slow keeps no other waiting.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kube::api::DynamicObject;
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;

use self::status::{ending, is_ending, status, unanswered};
use super::retries::Retries;
use super::{live, one_term};
use crate::api::ec2nodeclass::{Ec2NodeClass, Ec2NodeClassStatus};
use crate::api::labels::EC2NODECLASS_FINALIZER;
use crate::cluster::cache::Cache;
use crate::cluster::caches::KnownClaim;
use crate::cluster::events::Events;
use crate::cluster::write::{apply_status, set_finalizers};
use crate::lifecycle::class_finalizer::{ClassStep, not_let_go, step};
use crate::lifecycle::patch::finalizers;
use crate::model::Event;
use crate::ports::clock::Clock;
use crate::ports::cloud::{CloudProvider, ClusterFacts};

/// How often a class is looked at again, and what its selectors find: subnets fill up, images are published.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// So long the cloud has for an answer about one class.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

mod status;

/// Asks the cloud and writes the statuses.
pub struct NodeClassController {
    /// The API server.
    pub client: Client,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// EC2.
    pub cloud: Arc<dyn CloudProvider>,
    /// The cluster that nodes join.
    pub cluster: Arc<ClusterFacts>,
    /// The classes.
    pub node_classes: Cache<Ec2NodeClass>,
    /// The claims: a class stays until its last is gone.
    pub node_claims: Cache<KnownClaim>,
    /// Tells people.
    pub events: Events,
}

impl NodeClassController {
    /// Keeps the statuses while `leads` says so, for as long as it is awaited.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        while one_term(&mut leads, self.lead()).await {}
    }

    /// Keeps every class, each by itself, until it is gone.
    async fn lead(&self) {
        let mut changes = self.node_classes.changes();
        let (mut names, mut kept) = (BTreeSet::new(), FuturesUnordered::new());
        loop {
            changes.mark_unchanged();
            for class in self.node_classes.all() {
                if names.insert(class.name_any()) {
                    kept.push(self.keep(class.name_any()));
                }
            }
            tokio::select! {
                // The channel's sender is the cache's own.
                _ = changes.changed() => {}
                // A class that is taken out of the stream is gone. Nothing is lost if the other arm wins: the stream stays.
                Some(gone) = kept.next() => drop(names.remove(&gone)),
            }
        }
    }

    /// Keeps the class of this name until there is none.
    async fn keep(&self, name: String) -> String {
        let (mut changes, mut claims) = (self.node_classes.changes(), self.node_claims.changes());
        let mut retries = Retries::default();
        let mut resolved: Option<(Arc<Ec2NodeClass>, Instant)> = None;
        loop {
            changes.mark_unchanged();
            claims.mark_unchanged();
            let Some(class) = self.node_classes.get("", &name) else { return name };
            let is_deleted = class.metadata.deletion_timestamp.is_some();
            if self.node_claims.is_synced() {
                self.hold_or_release(&class, &mut retries).await;
            }
            let is_news = resolved
                .as_ref()
                .is_none_or(|(of, at)| !Arc::ptr_eq(of, &class) || at.elapsed() >= LOOK_EVERY);
            // To resolve a class that is being deleted may make again what is being removed.
            if !is_deleted && is_news {
                self.resolve(&class).await;
                resolved = Some((class, Instant::now()));
            }
            let looked_at =
                resolved.as_ref().filter(|_| !is_deleted).map_or_else(Instant::now, |(_, at)| *at);
            tokio::select! {
                // All arms only wait; whatever changed, the class is looked at again.
                _ = changes.changed() => {}
                // Claims come and go all the time, and matter only to a class that waits for its last.
                _ = claims.changed(), if is_deleted || !self.node_claims.is_synced() => {}
                () = retries.due() => {}
                () = tokio::time::sleep_until(looked_at + LOOK_EVERY) => {}
            }
        }
    }

    /// Puts the finalizer on, or takes it off where nothing is left that needs the class.
    async fn hold_or_release(&self, class: &Ec2NodeClass, retries: &mut Retries) {
        let name = class.name_any();
        if !retries.may_write(&name, Instant::now()) {
            return;
        }
        let claims = self.node_claims.all();
        let is_its = |claim: &&Arc<KnownClaim>| {
            claim.object.spec.node_class_ref.is_ec2() && claim.model.node_class == name
        };
        let its: Vec<_> =
            claims.iter().filter(is_its).map(|claim| claim.model.object.name.as_str()).collect();
        let carried_out = match step(class, &its) {
            ClassStep::Rest => Ok(()),
            ClassStep::Wait(event) => {
                self.tell_that_it_ends(class, event).await;
                Ok(())
            }
            ClassStep::Hold => self.set_held(class, true).await,
            ClassStep::Release => self.let_go(class).await,
        };
        let again_in = retries.note(&name, carried_out.is_ok(), Instant::now()).as_secs();
        if let Err(error) = carried_out {
            let error = format!("{error:#}");
            tracing::warn!(
                node_class = name,
                error,
                seconds = again_in,
                "the class could not be held or let go; it is tried again"
            );
        }
    }

    /// Lets a class go that no claim is known of. Its status says before that it ends, and why it does not.
    async fn let_go(&self, class: &Ec2NodeClass) -> anyhow::Result<()> {
        if !is_ending(class) {
            let wanted = ending(class, "what was made for it is being removed", self.clock.now());
            if self.put(class, &wanted).await {
                // The class has another version now: it is let go as that one, as soon as the cache shows it.
                return Ok(());
            }
        }
        let released = self.release(class).await;
        if let Err(error) = &released {
            self.tell_that_it_ends(class, not_let_go(class, &format!("{error:#}"))).await;
        }
        released
    }

    async fn tell_that_it_ends(&self, class: &Ec2NodeClass, event: Event) {
        self.put(class, &ending(class, &event.message, self.clock.now())).await;
        self.events.send(event);
    }

    /// Removes what was made for the class, and lets it go. A cache may be behind or leave out a claim that cannot be read, and what is removed
    /// here every instance of the class needs: so the API server itself is asked for claims before.
    async fn release(&self, class: &Ec2NodeClass) -> anyhow::Result<()> {
        let name = class.name_any();
        let claims = live::node_claims(&self.client).await?;
        let its: Vec<_> =
            claims.iter().filter(|claim| is_of_class(claim, &name)).map(ResourceExt::name_any).collect();
        if let ClassStep::Wait(event) = step(class, &its.iter().map(String::as_str).collect::<Vec<_>>()) {
            anyhow::bail!("the API server has NodeClaims that cannot be read here; {}", event.message);
        }
        let released = tokio::time::timeout(ANSWERED_WITHIN, self.cloud.release_class(class, &self.cluster));
        let released = released.await.map_err(|_| anyhow::anyhow!("{}", late()));
        released.and_then(|released| Ok(released?)).context("remove what was made for the class")?;
        self.set_held(class, false).await
    }

    async fn set_held(&self, class: &Ec2NodeClass, is_held: bool) -> anyhow::Result<()> {
        let wanted = finalizers(&class.metadata, EC2NODECLASS_FINALIZER, is_held);
        let written = set_finalizers::<Ec2NodeClass>(&self.client, &class.metadata, &wanted).await;
        // One that has changed, or is gone, is looked at again anyway.
        written.map(drop).context("write the finalizers")
    }

    async fn resolve(&self, class: &Ec2NodeClass) {
        let resolved = self.cloud.resolve_class(class, &self.cluster);
        let Ok(resolved) = tokio::time::timeout(ANSWERED_WITHIN, resolved).await else {
            tracing::warn!(
                node_class = class.name_any(),
                error = late(),
                "the cloud does not say what the class's selectors find; what was known still stands"
            );
            return;
        };
        for (condition, error) in unanswered(&resolved) {
            let node_class = class.name_any();
            tracing::warn!(node_class, condition, %error, "the cloud could not be asked; what was known still stands");
        }
        self.put(class, &status(class, resolved, self.clock.now())).await;
    }

    /// Says whether the class has another status now.
    async fn put(&self, class: &Ec2NodeClass, wanted: &Ec2NodeClassStatus) -> bool {
        if class.status.as_ref() == Some(wanted) {
            return false;
        }
        let name = class.name_any();
        let written = apply_status::<Ec2NodeClass>(&self.client, &name, wanted).await;
        if let Err(error) = &written {
            tracing::warn!(node_class = name, %error, "the status could not be written; it is tried again");
        }
        written.is_ok()
    }
}

fn late() -> String {
    format!("no answer within {} s", ANSWERED_WITHIN.as_secs())
}

/// Whether the claim names this class, as far as it can be read.
fn is_of_class(claim: &DynamicObject, class: &str) -> bool {
    let text = |path| claim.data.pointer(path).and_then(|text| text.as_str());
    text("/spec/nodeClassRef/name") == Some(class) && text("/spec/nodeClassRef/kind") == Some("EC2NodeClass")
}

#[cfg(test)]
mod tests;
