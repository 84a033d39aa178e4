//! A claim as the cloud is asked about it, and the cloud's answers as the lifecycle takes them.

use std::collections::BTreeMap;

use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::labels;
use crate::lifecycle::memory::{Existence, LaunchFailure, LaunchProblem, LaunchedInstance};
use crate::model::{NodeClaim, ProviderId};
use crate::ports::cloud::{ClaimIdentity, CloudProvider, ClusterFacts, LaunchRequest, Launched};
use crate::ports::{CloudError, ErrorClass};

/// Launches the claim's instance, or finds the one that this attempt launched before.
pub(super) async fn launch(
    cloud: &dyn CloudProvider,
    cluster: &ClusterFacts,
    claim: &NodeClaim,
    class: Option<&Ec2NodeClass>,
    attempt: u32,
) -> Result<Box<LaunchedInstance>, LaunchFailure> {
    let Some(class) = class else { return Err(class_not_found(&claim.node_class)) };
    let labels = labels(claim);
    let request = LaunchRequest {
        claim: ClaimIdentity { name: &claim.object.name, uid: &claim.object.uid, attempt },
        pool: claim.pool().unwrap_or_default(),
        class,
        requirements: &claim.requirements,
        requests: &claim.requests,
        labels: &labels,
        taints: &claim.taints,
        startup_taints: &claim.startup_taints,
        cluster,
    };
    match cloud.launch(request).await {
        Ok(launched) => Ok(Box::new(noted(launched, labels))),
        Err(error) => Err(failure(error)),
    }
}

/// The claim's labels, and those that its requirements leave no choice for.
fn labels(claim: &NodeClaim) -> BTreeMap<String, String> {
    let single = claim.requirements.iter().filter_map(|requirement| {
        let value = requirement.single_value()?;
        Some((requirement.key().to_owned(), value.to_owned()))
    });
    single.chain(claim.labels.clone()).collect()
}

/// What the instance is wins over what was asked for: it is one of the things that were.
fn noted(launched: Launched, mut labels: BTreeMap<String, String>) -> LaunchedInstance {
    labels.extend(launched.labels);
    let profile = (labels::INSTANCE_PROFILE_NAME.to_owned(), launched.instance_profile);
    LaunchedInstance {
        provider_id: launched.provider_id,
        image_id: launched.image_id,
        labels,
        annotations: [profile].into(),
        capacity: launched.capacity,
        allocatable: launched.allocatable,
    }
}

/// Objects may be applied in any order: the class may come in a moment.
fn class_not_found(name: &str) -> LaunchFailure {
    LaunchFailure {
        problem: LaunchProblem::Other,
        reason: "NodeClassNotFound".to_owned(),
        message: format!("EC2NodeClass {name} does not exist; create it, or delete the NodeClaim"),
        is_answered: false,
        is_spent: false,
    }
}

fn failure(error: CloudError) -> LaunchFailure {
    LaunchFailure {
        problem: match error.class {
            ErrorClass::NoCapacity => LaunchProblem::NoCapacity,
            ErrorClass::NotReady => LaunchProblem::NodeClassNotReady,
            ErrorClass::NotFound | ErrorClass::Throttled | ErrorClass::Unauthorised | ErrorClass::Other => {
                LaunchProblem::Other
            }
        },
        reason: error.reason.to_owned(),
        message: error.to_string(),
        is_answered: error.is_answered,
        is_spent: error.is_spent,
    }
}

/// Looks for an instance that any attempt of this claim launched.
pub(super) async fn find(
    cloud: &dyn CloudProvider,
    cluster: &ClusterFacts,
    claim: &NodeClaim,
) -> Result<Option<ProviderId>, String> {
    match cloud.find_of_claim(&cluster.name, &claim.object.uid).await {
        Ok(found) => Ok(found.map(|instance| instance.provider_id)),
        Err(error) => Err(error.to_string()),
    }
}

/// The UID of the claim that the instance was launched for, if its tags tell.
pub(super) async fn owner(cloud: &dyn CloudProvider, id: &ProviderId) -> Result<Option<String>, String> {
    match cloud.get(id).await {
        Ok(instance) => Ok(instance.claim_uid().map(str::to_owned)),
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether the instance exists.
pub(super) async fn get(cloud: &dyn CloudProvider, id: &ProviderId) -> Result<Existence, String> {
    existence(cloud.get(id).await.map(drop))
}

/// Asks for the end of the instance, or finds that it is gone.
pub(super) async fn terminate(
    cloud: &dyn CloudProvider,
    cluster: &ClusterFacts,
    id: &ProviderId,
) -> Result<Existence, String> {
    existence(cloud.terminate(&cluster.name, id).await)
}

fn existence(answer: Result<(), CloudError>) -> Result<Existence, String> {
    match answer {
        Ok(()) => Ok(Existence::Exists),
        Err(error) if error.class == ErrorClass::NotFound => Ok(Existence::Gone),
        Err(error) => Err(error.to_string()),
    }
}
