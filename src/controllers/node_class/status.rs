//! What the status of an EC2NodeClass says. Pure.

use jiff::Timestamp;

use crate::api::conditions::{self, Change, Condition, End, Subject};
use crate::api::ec2nodeclass::{self as api, Ec2NodeClass, Ec2NodeClassStatus};
use crate::api::unsupported::{self, Severity};
use crate::ports::CloudError;
use crate::ports::cloud::{ClassObstacle, Resolution, ResolvedClass};

/// Why a class that is being deleted is not ready.
const TERMINATING: &str = "Terminating";

/// The status of a class that was deleted and waits for this: what was found stays, and it is not ready any more.
pub(super) fn ending(class: &Ec2NodeClass, what_for: &str, now: Timestamp) -> Ec2NodeClassStatus {
    let mut status = class.status.clone().unwrap_or_default();
    let end = End { reason: TERMINATING, message: format!("it is being deleted: {what_for}") };
    status.conditions =
        api::CONDITIONS.merge_and_end(subject(class, &status.conditions, now), &[], Some(end), now);
    status
}

/// Whether the status says that the class is being deleted.
pub(super) fn is_ending(class: &Ec2NodeClass) -> bool {
    let conditions = class.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions::find(conditions, conditions::READY).is_some_and(|ready| ready.reason == TERMINATING)
}

fn subject<'c>(class: &Ec2NodeClass, conditions: &'c [Condition], now: Timestamp) -> Subject<'c> {
    Subject {
        conditions,
        generation: class.metadata.generation.unwrap_or_default(),
        created: class.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0),
    }
}

/// The status that the class should have.
pub(super) fn status(class: &Ec2NodeClass, resolved: ResolvedClass, now: Timestamp) -> Ec2NodeClassStatus {
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

/// The conditions about which the cloud could not be asked, and why not.
pub(super) fn unanswered(resolved: &ResolvedClass) -> Vec<(&'static str, &CloudError)> {
    let answers = [
        (api::SUBNETS_READY, resolved.subnets.error()),
        (api::SECURITY_GROUPS_READY, resolved.security_groups.error()),
        (api::AMIS_READY, resolved.amis.error()),
        (api::INSTANCE_PROFILE_READY, resolved.instance_profile.error()),
    ];
    answers.into_iter().filter_map(|(condition, error)| Some((condition, error?))).collect()
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
        Resolution::Failed(_) => None,
    }
}

fn some<T>(resolution: Resolution<T>) -> Resolution<Option<T>> {
    match resolution {
        Resolution::Found(found) => Resolution::Found(Some(found)),
        Resolution::Unusable { reason, message } => Resolution::Unusable { reason, message },
        Resolution::Failed(error) => Resolution::Failed(error),
    }
}
