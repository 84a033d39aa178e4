//! Keeps the status of every EC2NodeClass (what its selectors find, and whether nodes can be launched from it), and its finalizer.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::{Client, ResourceExt};
use tokio::sync::watch;

use crate::api::conditions::{Change, Condition, End, Subject};
use crate::api::ec2nodeclass::{self as api, Ec2NodeClass, Ec2NodeClassStatus};
use crate::api::labels::EC2NODECLASS_FINALIZER;
use crate::api::unsupported::{self, Severity};
use crate::cluster::cache::Cache;
use crate::cluster::caches::KnownClaim;
use crate::cluster::events::Events;
use crate::cluster::write::{apply_status, set_finalizers};
use crate::lifecycle::class_finalizer::{ClassStep, step};
use crate::model::Event;
use crate::ports::clock::Clock;
use crate::ports::cloud::{CloudProvider, ClusterFacts, Resolution, ResolvedClass};

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
                    self.hold_and_release().await;
                }
                tokio::select! {
                    // All arms only wait; whatever changed of the classes, all of them are looked at again.
                    _ = changes.changed() => break,
                    _ = leads.changed() => break,
                    () = &mut resolve_again => break,
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
    async fn hold_and_release(&self) {
        let claims = self.node_claims.all();
        for class in self.node_classes.all() {
            let name = class.name_any();
            let is_its = |claim: &&Arc<KnownClaim>| {
                claim.object.spec.node_class_ref.is_ec2() && claim.model.node_class == name
            };
            let its: Vec<_> =
                claims.iter().filter(is_its).map(|claim| claim.model.object.name.as_str()).collect();
            let finalizers = class.metadata.finalizers.clone().unwrap_or_default();
            let wanted: Vec<String> = match step(&class, &its) {
                ClassStep::Rest => continue,
                ClassStep::Wait(event) => {
                    let wanted = ending(&class, &event, self.clock.now());
                    self.events.send(event);
                    self.put(&class, &wanted).await;
                    continue;
                }
                ClassStep::Hold => [finalizers, vec![EC2NODECLASS_FINALIZER.to_owned()]].concat(),
                ClassStep::Release => {
                    if let Err(error) = self.cloud.release_class(&class, &self.cluster).await {
                        tracing::warn!(node_class = name, %error, "what was made for the class could not be removed; it is tried again");
                        continue;
                    }
                    finalizers.into_iter().filter(|finalizer| finalizer != EC2NODECLASS_FINALIZER).collect()
                }
            };
            if let Err(error) = set_finalizers::<Ec2NodeClass>(&self.client, &class.metadata, &wanted).await {
                tracing::warn!(node_class = name, %error, "the finalizer could not be written; it is tried again");
            }
        }
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
        Some(validation(class)),
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

fn validation(class: &Ec2NodeClass) -> Change {
    let (blocking, weaker): (Vec<_>, Vec<_>) =
        unsupported::ec2_node_class(class).into_iter().partition(|field| field.severity == Severity::Blocks);
    let words = |fields: &[unsupported::Unsupported]| {
        fields.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    if blocking.is_empty() {
        Change::holds(api::VALIDATION_SUCCEEDED).with_message(words(&weaker))
    } else {
        Change::fails(api::VALIDATION_SUCCEEDED, "NotSupportedYet", words(&blocking))
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::conditions::{find, is_true};
    use crate::api::ec2nodeclass::Subnet;
    use crate::ports::error::{CloudError, ErrorClass};

    fn class(extra: serde_json::Value) -> Ec2NodeClass {
        let mut object = json!({
            "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass",
            "metadata": { "name": "default", "generation": 2, "creationTimestamp": "2026-11-01T00:00:00Z" },
            "spec": {
                "role": "node", "amiSelectorTerms": [{ "alias": "al2023@latest" }],
                "subnetSelectorTerms": [{ "id": "subnet-1" }], "securityGroupSelectorTerms": [{ "id": "sg-1" }],
            },
        });
        for (key, value) in extra.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn resolved() -> ResolvedClass {
        let subnet = Subnet { id: "subnet-1".to_owned(), zone: "us-east-1a".to_owned(), zone_id: None };
        ResolvedClass {
            subnets: Resolution::Found(vec![subnet]),
            security_groups: Resolution::Found(vec![]),
            amis: Resolution::Found(vec![]),
            instance_profile: Resolution::Found("profile".to_owned()),
        }
    }

    fn now() -> Timestamp {
        "2026-11-02T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_class_whose_selectors_all_find_something_is_ready() {
        let status = status(&class(json!({})), resolved(), now());
        assert!(is_true(&status.conditions, "Ready"), "{:?}", status.conditions);
        assert_eq!((status.subnets.len(), status.instance_profile.as_deref()), (1, Some("profile")));
    }

    #[test]
    fn what_finds_nothing_is_named_and_a_cloud_that_does_not_answer_changes_nothing() {
        let mut class = class(json!({}));
        class.status = Some(status(&class, resolved(), now()));
        let unusable = Resolution::Unusable { reason: "SubnetsNotFound", message: "no subnet".to_owned() };
        let found = status(&class, ResolvedClass { subnets: unusable, ..resolved() }, now());
        assert!(found.subnets.is_empty());
        assert_eq!(find(&found.conditions, api::SUBNETS_READY).unwrap().reason, "SubnetsNotFound");
        assert!(!is_true(&found.conditions, "Ready"));

        let failed =
            Resolution::Failed(CloudError::new(ErrorClass::Throttled, "RequestLimitExceeded", "ask", "slow"));
        let found = status(&class, ResolvedClass { subnets: failed, ..resolved() }, now());
        assert_eq!(Some(found), class.status);
    }

    #[test]
    fn a_class_that_is_being_deleted_is_not_ready_and_names_the_claims_that_hold_it() {
        let mut class = class(json!({}));
        class.status = Some(status(&class, resolved(), now()));
        class.metadata.generation = Some(3);
        class.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
        class.metadata.finalizers = Some(vec![EC2NODECLASS_FINALIZER.to_owned()]);
        let ClassStep::Wait(event) = step(&class, &["a", "b"]) else { panic!("it goes before its claims") };
        let found = ending(&class, &event, now());
        assert_eq!(found.subnets.len(), 1, "claims that are left may need it");
        let ready = find(&found.conditions, "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Terminating"));
        assert_eq!(
            ready.message,
            "it is being deleted: it goes once no NodeClaim uses it: a, b; delete those, or their NodePools"
        );
        class.status = Some(found.clone());
        assert_eq!(ending(&class, &event, now()), found);
    }

    #[test]
    fn a_field_that_is_not_honoured_is_named_and_closes_the_class() {
        let found = status(&class(json!({ "userData": "#!/bin/sh" })), resolved(), now());
        let condition = find(&found.conditions, api::VALIDATION_SUCCEEDED).unwrap();
        assert_eq!(condition.reason, "NotSupportedYet");
        assert!(condition.message.contains("userData"), "{}", condition.message);
        assert!(!is_true(&found.conditions, "Ready"));
    }
}
