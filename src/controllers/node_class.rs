//! Keeps the status of every EC2NodeClass (what its selectors find, and whether nodes can be launched from it), and its finalizer.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use kube::api::DynamicObject;
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::live;
use super::retries::Retries;
use crate::api::conditions::{Change, Condition, End, Subject};
use crate::api::ec2nodeclass::{self as api, Ec2NodeClass, Ec2NodeClassStatus};
use crate::api::labels::EC2NODECLASS_FINALIZER;
use crate::api::unsupported::{self, Severity};
use crate::cluster::cache::Cache;
use crate::cluster::caches::KnownClaim;
use crate::cluster::events::Events;
use crate::cluster::write::{apply_status, set_finalizers};
use crate::lifecycle::class_finalizer::{ClassStep, step};
use crate::lifecycle::patch::finalizers;
use crate::model::Event;
use crate::ports::clock::Clock;
use crate::ports::cloud::{ClassObstacle, CloudProvider, ClusterFacts, Resolution, ResolvedClass};

/// How often the selectors are asked again: subnets fill up, images are published.
const RESOLVE_EVERY: Duration = Duration::from_mins(1);

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
        let (mut changes, mut claims) = (self.node_classes.changes(), self.node_claims.changes());
        let mut retries = Retries::default();
        loop {
            changes.mark_unchanged();
            if self.node_classes.is_synced() && *leads.borrow_and_update() {
                self.write_all().await;
            }
            let resolve_again = tokio::time::sleep(RESOLVE_EVERY);
            tokio::pin!(resolve_again);
            loop {
                claims.mark_unchanged();
                if self.node_claims.is_synced() && self.node_classes.is_synced() && *leads.borrow() {
                    self.hold_and_release(&mut retries).await;
                } else {
                    retries = Retries::default();
                }
                tokio::select! {
                    // All arms only wait; whatever changed of the classes, all of them are looked at again.
                    _ = changes.changed() => break,
                    _ = leads.changed() => break,
                    () = &mut resolve_again => break,
                    () = retries.due() => {}
                    // Claims come and go all the time: that is no reason to ask the cloud.
                    _ = claims.changed(), if self.is_any_deleted() => {}
                }
            }
        }
    }

    fn is_any_deleted(&self) -> bool {
        self.node_classes.all().iter().any(|class| class.metadata.deletion_timestamp.is_some())
    }

    /// Puts finalizers on, and takes them off where nothing is left that needs the class.
    async fn hold_and_release(&self, retries: &mut Retries) {
        let (claims, classes) = (self.node_claims.all(), self.node_classes.all());
        retries.retain(|name| classes.iter().any(|class| class.name_any() == name));
        for class in classes {
            let name = class.name_any();
            if !retries.may_write(&name, Instant::now()) {
                continue;
            }
            let is_its = |claim: &&Arc<KnownClaim>| {
                claim.object.spec.node_class_ref.is_ec2() && claim.model.node_class == name
            };
            let its: Vec<_> =
                claims.iter().filter(is_its).map(|claim| claim.model.object.name.as_str()).collect();
            let carried_out = match step(&class, &its) {
                ClassStep::Rest => Ok(()),
                ClassStep::Wait(event) => {
                    let wanted = ending(&class, &event, self.clock.now());
                    self.events.send(event);
                    self.put(&class, &wanted).await;
                    Ok(())
                }
                ClassStep::Hold => self.set_held(&class, true).await,
                ClassStep::Release => self.release(&class).await,
            };
            let wait = retries.note(&name, carried_out.is_ok(), Instant::now());
            if let Err(error) = carried_out {
                let (error, again_in) = (format!("{error:#}"), wait.as_secs());
                tracing::warn!(
                    node_class = name,
                    error,
                    seconds = again_in,
                    "the class could not be held or let go; it is tried again"
                );
            }
        }
    }

    /// Removes what was made for the class, and lets it go. A cache may be behind or leave out a claim that cannot be read, and what is removed
    /// here every instance of the class needs: so the API server itself is asked for claims before.
    async fn release(&self, class: &Ec2NodeClass) -> anyhow::Result<()> {
        let name = class.name_any();
        let claims = live::node_claims(&self.client).await?;
        let its: Vec<_> =
            claims.iter().filter(|claim| is_of_class(claim, &name)).map(ResourceExt::name_any).collect();
        match step(class, &its.iter().map(String::as_str).collect::<Vec<_>>()) {
            ClassStep::Release => {}
            ClassStep::Wait(event) => {
                self.events.send(event);
                anyhow::bail!(
                    "the API server has NodeClaims of it that are not known here: {}",
                    its.join(", ")
                );
            }
            ClassStep::Rest | ClassStep::Hold => return Ok(()),
        }
        self.cloud.release_class(class, &self.cluster).await.context("remove what was made for the class")?;
        self.set_held(class, false).await
    }

    async fn set_held(&self, class: &Ec2NodeClass, is_held: bool) -> anyhow::Result<()> {
        let wanted = finalizers(&class.metadata, EC2NODECLASS_FINALIZER, is_held);
        let written = set_finalizers::<Ec2NodeClass>(&self.client, &class.metadata, &wanted).await;
        // One that has changed, or is gone, is looked at again anyway.
        written.map(drop).context("write the finalizers")
    }

    /// A class that cannot be resolved or written does not keep the others back.
    async fn write_all(&self) {
        let classes = self.node_classes.all();
        futures::future::join_all(classes.iter().map(|class| self.write(class))).await;
    }

    async fn write(&self, class: &Ec2NodeClass) {
        if class.metadata.deletion_timestamp.is_some() {
            // Resolving it may make again what is being removed.
            return;
        }
        let resolved = self.cloud.resolve_class(class, &self.cluster).await;
        self.put(class, &status(class, resolved, self.clock.now())).await;
    }

    async fn put(&self, class: &Ec2NodeClass, wanted: &Ec2NodeClassStatus) {
        if class.status.as_ref() == Some(wanted) {
            return;
        }
        let name = class.name_any();
        if let Err(error) = apply_status::<Ec2NodeClass>(&self.client, &name, wanted).await {
            tracing::warn!(node_class = name, %error, "the status could not be written; it is tried again");
        }
    }
}

/// Whether the claim names this class, as far as it can be read.
fn is_of_class(claim: &DynamicObject, class: &str) -> bool {
    let text = |path| claim.data.pointer(path).and_then(|text| text.as_str());
    text("/spec/nodeClassRef/name") == Some(class) && text("/spec/nodeClassRef/kind") == Some("EC2NodeClass")
}

/// The status of a class that was deleted and waits, as the event says: what was found stays, and it is not ready any more.
fn ending(class: &Ec2NodeClass, event: &Event, now: Timestamp) -> Ec2NodeClassStatus {
    let mut status = class.status.clone().unwrap_or_default();
    let end = End { reason: "Terminating", message: format!("it is being deleted: {}", event.message) };
    status.conditions =
        api::CONDITIONS.merge_and_end(subject(class, &status.conditions, now), &[], Some(end), now);
    status
}

fn subject<'c>(class: &Ec2NodeClass, conditions: &'c [Condition], now: Timestamp) -> Subject<'c> {
    Subject {
        conditions,
        generation: class.metadata.generation.unwrap_or_default(),
        created: class.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0),
    }
}

/// The status that the class should have.
fn status(class: &Ec2NodeClass, resolved: ResolvedClass, now: Timestamp) -> Ec2NodeClassStatus {
    let mut status = class.status.clone().unwrap_or_default();
    let changes = [
        Some(validation(class, resolved.obstacle)),
        Some(Change::holds(api::PLACEMENT_GROUP_READY)),
        take(api::SUBNETS_READY, resolved.subnets, &mut status.subnets),
        take(api::SECURITY_GROUPS_READY, resolved.security_groups, &mut status.security_groups),
        take(api::AMIS_READY, resolved.amis, &mut status.amis),
        take(api::INSTANCE_PROFILE_READY, some(resolved.instance_profile), &mut status.instance_profile),
    ];
    let changes: Vec<_> = changes.into_iter().flatten().collect();
    status.conditions = api::CONDITIONS.merge(subject(class, &status.conditions, now), &changes, now);
    status
}

fn validation(class: &Ec2NodeClass, obstacle: Option<ClassObstacle>) -> Change {
    let (blocking, weaker): (Vec<_>, Vec<_>) =
        unsupported::ec2_node_class(class).into_iter().partition(|field| field.severity == Severity::Blocks);
    let words = |fields: &[unsupported::Unsupported]| {
        fields.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    if !blocking.is_empty() {
        return Change::fails(api::VALIDATION_SUCCEEDED, "NotSupportedYet", words(&blocking));
    }
    match obstacle {
        Some(ClassObstacle { reason, message }) => Change::fails(api::VALIDATION_SUCCEEDED, reason, message),
        None => Change::holds(api::VALIDATION_SUCCEEDED).with_message(words(&weaker)),
    }
}

/// Puts what was found into the status. A question that could not be asked changes nothing: what was known still stands.
fn take<T: Default>(condition: &'static str, resolution: Resolution<T>, into: &mut T) -> Option<Change> {
    match resolution {
        Resolution::Found(found) => {
            *into = found;
            Some(Change::holds(condition))
        }
        Resolution::Unusable { reason, message } => {
            *into = T::default();
            Some(Change::fails(condition, reason, message))
        }
        Resolution::Failed(error) => {
            tracing::warn!(condition, %error, "the cloud could not be asked; what was known still stands");
            None
        }
    }
}

fn some<T>(resolution: Resolution<T>) -> Resolution<Option<T>> {
    match resolution {
        Resolution::Found(found) => Resolution::Found(Some(found)),
        Resolution::Unusable { reason, message } => Resolution::Unusable { reason, message },
        Resolution::Failed(error) => Resolution::Failed(error),
    }
}

#[cfg(test)]
mod tests;
