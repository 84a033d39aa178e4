//! The instance profile of a class: the one that it names, or one that is kept for its role.
//!
//! A kept profile's name follows from cluster, region, class and role. So a profile that was created and forgotten (a crash, a lost
//! status) is found again instead of created again, and a class whose role changes gets another profile. Profiles lie under a
//! path of our own: Karpenter collects those under its own.

use std::collections::BTreeMap;

use super::client::{Api, NewProfile};
use super::errors::ApiError;
use super::template::fingerprint;
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::labels;
use crate::ports::CloudError;
use crate::ports::cloud::Resolution;

/// A class's profile, as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) profile: NewProfile,
    /// The role's name, without its path.
    pub(super) role: String,
}

/// What a class asks for.
pub(super) fn wanted(class: &Ec2NodeClass, cluster: &str, region: &str) -> Option<Wanted> {
    let role = class.spec.role.as_deref()?;
    // IAM knows a role by the last part of its path.
    let role = role.rsplit('/').next().unwrap_or(role).to_owned();
    let uid = class.metadata.uid.as_deref().unwrap_or_default();
    let class_name = class.metadata.name.as_deref().unwrap_or_default();
    let identity = [cluster, region, class_name, uid, &role].join("\n");
    let cluster_part: String = cluster.chars().take(90).collect();
    let fixed = [
        (format!("{}{cluster}", labels::CLUSTER_TAG_PREFIX), "owned"),
        (labels::CLUSTER_NAME_TAG.to_owned(), cluster),
        (labels::EC2NODECLASS_TAG.to_owned(), class_name),
        (labels::REGION.to_owned(), region),
    ];
    let own = class.spec.tags.iter().map(|(key, value)| (key.clone(), value.clone()));
    let tags: BTreeMap<_, _> = own.chain(fixed.map(|(key, value)| (key, value.to_owned()))).collect();
    let profile = NewProfile {
        name: format!("{cluster_part}_{:032x}", fingerprint(identity.as_bytes())),
        path: path(class, cluster, region),
        tags,
    };
    Some(Wanted { profile, role })
}

/// Where the profiles of a class lie.
pub(super) fn path(class: &Ec2NodeClass, cluster: &str, region: &str) -> String {
    format!("/treenail/{region}/{cluster}/{}/", class.metadata.uid.as_deref().unwrap_or_default())
}

/// The profile to launch with; created or given its role if need be.
pub(super) async fn resolve(
    api: &impl Api,
    class: &Ec2NodeClass,
    wanted: Option<&Wanted>,
    action: &str,
) -> Resolution<String> {
    let Some(wanted) = wanted else {
        return match &class.spec.instance_profile {
            Some(given) => Resolution::Found(given.clone()),
            None => Resolution::Unusable {
                reason: "InstanceProfileNotFound",
                message: "neither spec.role nor spec.instanceProfile is set".to_owned(),
            },
        };
    };
    // What the status names may be a profile that Karpenter made: it serves as well while it holds the role.
    let known = class.status.as_ref().and_then(|status| status.instance_profile.as_deref());
    if let Some(known) = known.filter(|known| *known != wanted.profile.name) {
        match api.instance_profile(known).await {
            Ok(Some(profile)) if profile.role.as_deref() == Some(&wanted.role) => {
                return Resolution::Found(profile.name);
            }
            Ok(_) => {}
            Err(error) => return Resolution::Failed(error.on(action)),
        }
    }
    match ensure(api, wanted).await {
        Ok(()) => Resolution::Found(wanted.profile.name.clone()),
        Err(Obstacle::NoRole) => Resolution::Unusable {
            reason: "RoleNotFound",
            message: format!("spec.role: IAM has no role {}", wanted.role),
        },
        Err(Obstacle::OtherRole(role)) => Resolution::Unusable {
            reason: "InstanceProfileTaken",
            message: format!(
                "instance profile {} holds the role {role} instead of {}; take it out, or delete the profile",
                wanted.profile.name, wanted.role
            ),
        },
        Err(Obstacle::Api(error)) => Resolution::Failed(error.on(action)),
    }
}

enum Obstacle {
    NoRole,
    OtherRole(String),
    Api(ApiError),
}

impl From<ApiError> for Obstacle {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

async fn ensure(api: &impl Api, wanted: &Wanted) -> Result<(), Obstacle> {
    let Wanted { profile, role } = wanted;
    match api.instance_profile(&profile.name).await?.map(|profile| profile.role) {
        Some(Some(held)) if held == *role => return Ok(()),
        Some(Some(held)) => return Err(Obstacle::OtherRole(held)),
        Some(None) => {}
        None => match api.create_instance_profile(profile).await {
            Err(error) if error.is_exists() => {}
            created => created?,
        },
    }
    api.add_role(&profile.name, role).await.map_err(|error| {
        // IAM uses one code for the profile, which is there, and for the role.
        if error.is_not_found() { Obstacle::NoRole } else { Obstacle::Api(error) }
    })
}

/// Deletes every profile that was kept for a class.
pub(super) async fn release(api: &impl Api, path: &str, action: &str) -> Result<(), CloudError> {
    for profile in api.instance_profiles(path).await.map_err(|error| error.on(action))? {
        if let Some(role) = &profile.role {
            gone(api.remove_role(&profile.name, role).await).map_err(|error| error.on(action))?;
        }
        gone(api.delete_instance_profile(&profile.name).await).map_err(|error| error.on(action))?;
    }
    Ok(())
}

/// What is not there is what was wanted.
pub(super) fn gone(deleted: Result<(), ApiError>) -> Result<(), ApiError> {
    match deleted {
        Err(error) if error.is_not_found() => Ok(()),
        deleted => deleted,
    }
}
