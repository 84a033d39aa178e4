//! What a cloud does for Treenail: the contract of every provider.
//!
//! Requests and answers are values of the lower layers, so that controllers, the simulated cloud and tests share them. When a claim
//! is launched, retried or given up is the lifecycle's decision; whether an instance has drifted is not asked yet.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;

use super::error::CloudError;
use crate::api::ec2nodeclass::{Ami, Ec2NodeClass, SecurityGroup, Subnet};
use crate::api::labels;
pub use crate::model::ProviderId;
use crate::model::instance_type::CapacityType;
use crate::model::{InstanceType, Requirements, ResourceList, Taint};

/// An answer that is awaited. Boxed, so that a provider can be chosen when the program starts.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A cloud that instances are launched in.
///
/// Every method may be called at any time, by several callers at once. A call that is dropped before its answer came may
/// still take effect. Errors are of the classes of [`CloudError`]; a provider retries by itself what only takes a moment.
pub trait CloudProvider: fmt::Debug + Send + Sync {
    /// Every instance type that the class could launch, with the ways to buy it.
    ///
    /// Types that cannot be bought now are there too, with no offering that is available. Prices are dollars per hour. The
    /// class's `status` is taken as it is: a class that is not resolved has types without an available offering. The list is
    /// shared and does not change; when prices, capacity or the class do, the next call returns another one.
    fn instance_types<'a>(
        &'a self,
        class: &'a Ec2NodeClass,
    ) -> Answer<'a, Result<Arc<[InstanceType]>, CloudError>>;

    /// What the class's selectors find now, part by part; what its status should say.
    ///
    /// May create what the class asks to be created (an instance profile for a role); doing so again changes nothing.
    fn resolve_class<'a>(
        &'a self,
        class: &'a Ec2NodeClass,
        cluster: &'a ClusterFacts,
    ) -> Answer<'a, ResolvedClass>;

    /// Launches one instance for a claim.
    ///
    /// Calling again with the same claim and attempt launches nothing: it returns the instance that the earlier call launched,
    /// even if that call's answer was lost or its process died. After an error with [`is_answered`](CloudError::is_answered)
    /// the next call must use the next attempt; after any other error the same one, also where the call was refused: an earlier
    /// call of the attempt may have launched. After one with [`is_spent`](CloudError::is_spent), the next attempt may be used once
    /// the answer is still the same when an instance of the last would show. What is asked for and cannot be honoured is refused,
    /// never left out.
    fn launch<'a>(&'a self, request: LaunchRequest<'a>) -> Answer<'a, Result<Launched, CloudError>>;

    /// The instance, in whatever state; not found once it is terminated.
    ///
    /// An instance that was launched a moment ago may not be found yet.
    fn get<'a>(&'a self, id: &'a ProviderId) -> Answer<'a, Result<Instance, CloudError>>;

    /// Every instance of the cluster's pools that is not terminated, whoever launched it, by provider id.
    fn list<'a>(&'a self, cluster: &'a str) -> Answer<'a, Result<Vec<Instance>, CloudError>>;

    /// The instance that any attempt of the claim launched, of those that [`list`](Self::list) would show; of several one that runs.
    ///
    /// For a claim that is launched no more. Many claims may ask at once, so that not all instances are to be gone through for each.
    fn find_of_claim<'a>(
        &'a self,
        cluster: &'a str,
        claim_uid: &'a str,
    ) -> Answer<'a, Result<Option<Instance>, CloudError>>;

    /// Asks for the instance to be terminated. To be called until the answer is "not found": only then is it gone.
    ///
    /// Only what [`list`](Self::list) would show is ever terminated: a status that was copied or restored from elsewhere may name
    /// anybody's instance. Any other is refused as unauthorised.
    fn terminate<'a>(&'a self, cluster: &'a str, id: &'a ProviderId) -> Answer<'a, Result<(), CloudError>>;

    /// Removes what was created for a class that is being deleted and that no claim uses any more. Doing so again changes
    /// nothing.
    fn release_class<'a>(
        &'a self,
        class: &'a Ec2NodeClass,
        cluster: &'a ClusterFacts,
    ) -> Answer<'a, Result<(), CloudError>>;
}

/// What a machine must know about the cluster that it joins.
///
/// Whoever builds this reads it where it is: name, endpoint and authority from the settings or the own kubeconfig, the address from
/// the Service `kube-dns`, the version from the API server's `/version`, the range of addresses from the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The cluster's name, as tags carry it.
    pub name: String,
    /// The API server's URL.
    pub endpoint: String,
    /// The authority that signed the API server's certificate, PEM.
    pub certificate_authority: String,
    /// Addresses that Services get, for example `172.20.0.0/16`.
    pub service_cidr: String,
    /// Address of the cluster's DNS server. IPv6 means that the cluster is an IPv6 cluster.
    pub dns_address: IpAddr,
    /// `1.36`: major and minor version of the API server.
    pub kubernetes_version: String,
}

/// Which claim is launched, and the how manieth try this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimIdentity<'a> {
    /// The NodeClaim's name, for messages.
    pub name: &'a str,
    /// The NodeClaim's uid: the launch is idempotent for it.
    pub uid: &'a str,
    /// 0 for the first try. See [`CloudProvider::launch`] for when it goes up.
    pub attempt: u32,
}

/// One instance, asked for.
#[derive(Clone, Copy, Debug)]
pub struct LaunchRequest<'a> {
    /// For which claim.
    pub claim: ClaimIdentity<'a>,
    /// The claim's pool.
    pub pool: &'a str,
    /// The claim's class, with its status.
    pub class: &'a Ec2NodeClass,
    /// What the node's labels may be.
    pub requirements: &'a Requirements,
    /// What the machine must offer at least.
    pub requests: &'a ResourceList,
    /// Labels that the kubelet registers with, as far as a kubelet may set them.
    pub labels: &'a BTreeMap<String, String>,
    /// Taints that the kubelet registers with.
    pub taints: &'a [Taint],
    /// Taints that the kubelet registers with and that something on the node removes.
    pub startup_taints: &'a [Taint],
    /// The cluster that the machine joins.
    pub cluster: &'a ClusterFacts,
}

/// One instance, launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// The instance.
    pub provider_id: ProviderId,
    /// Its type.
    pub instance_type: String,
    /// Its zone.
    pub zone: String,
    /// How it is bought.
    pub capacity_type: CapacityType,
    /// The image that it runs.
    pub image_id: String,
    /// The instance profile that it has.
    pub instance_profile: String,
    /// Labels of the node that follow from type, zone and capacity type.
    pub labels: BTreeMap<String, String>,
    /// What the machine is expected to have.
    pub capacity: ResourceList,
    /// What it is expected to leave for pods.
    pub allocatable: ResourceList,
}

/// How far an instance is between its launch and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstanceState {
    /// It starts.
    Pending,
    /// It runs.
    Running,
    /// It stops, or was stopped: its disks are kept and nothing runs.
    Stopped,
    /// It is being terminated.
    ShuttingDown,
}

/// An instance that the cloud knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The instance.
    pub provider_id: ProviderId,
    /// How far it is.
    pub state: InstanceState,
    /// Its type.
    pub instance_type: String,
    /// Its zone.
    pub zone: String,
    /// How it is bought.
    pub capacity_type: CapacityType,
    /// The image that it runs.
    pub image_id: String,
    /// When it was launched.
    pub launched_at: Timestamp,
    /// Its tags: pool, class, cluster, and the claim that it was launched for.
    pub tags: BTreeMap<String, String>,
}

impl Instance {
    /// The UID of the NodeClaim that it was launched for, as its tags say.
    #[must_use]
    pub fn claim_uid(&self) -> Option<&str> {
        let (uid, _attempt) = self.tags.get(labels::CLIENT_TOKEN_TAG)?.rsplit_once('-')?;
        Some(uid)
    }
}

/// What one selector of a class found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution<T> {
    /// This.
    Found(T),
    /// Nothing that could be used: the class cannot be launched from until that changes.
    Unusable {
        /// One word for the condition.
        reason: &'static str,
        /// What is wrong, and what would help.
        message: String,
    },
    /// The cloud could not be asked: what was known before still stands.
    Failed(CloudError),
}

impl<T> Resolution<T> {
    /// Why the cloud could not be asked, if it could not.
    pub const fn error(&self) -> Option<&CloudError> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Found(_) | Self::Unusable { .. } => None,
        }
    }
}

/// Why every launch from a class would be refused, whatever its selectors find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassObstacle {
    /// One word for the condition: the reason that the launch would be refused with.
    pub reason: &'static str,
    /// What is wrong, and what would help.
    pub message: String,
}

/// What the selectors of a class found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedClass {
    /// Why nothing can be launched from the class, if so. No claim is to be made of it then.
    pub obstacle: Option<ClassObstacle>,
    /// Subnets, the one with the most free addresses first.
    pub subnets: Resolution<Vec<Subnet>>,
    /// Security groups, by id.
    pub security_groups: Resolution<Vec<SecurityGroup>>,
    /// Images, the newest first.
    pub amis: Resolution<Vec<Ami>>,
    /// The instance profile.
    pub instance_profile: Resolution<String>,
}
