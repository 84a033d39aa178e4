//! `karpenter.k8s.aws/v1` EC2NodeClass: how EC2 instances are made.
//!
//! Types, schema and the names of its conditions. The same schema under the group `treenail.dev`, for
//! pools that run beside Karpenter, is not served yet: only `karpenter.k8s.aws` classes are acted on.
//!
//! The schema accepts what Karpenter's accepts, its quirks included (a term with `id` and `tags` is refused
//! only if every term is such a term; `id` then wins), with two exceptions for text that nothing could ever
//! use: ids of subnets, security groups and images must match as a whole, and a volume size needs a number
//! (`Ti` alone is refused, `18Ti` is accepted).

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::conditions::{self, Condition, ConditionTypes};
use super::text_enum::text_enum;

mod block_device;
pub mod kubelet;
mod network;
mod options;
mod selectors;
mod status;

pub use block_device::{BlockDevice, BlockDeviceMapping, VolumeType};
pub use network::{ConnectionTracking, InterfaceType, NetworkInterface};
pub use options::{CpuOptions, HttpTokens, MetadataOptions, Toggle};
pub use selectors::{
    AmiSelectorTerm, CapacityReservationSelectorTerm, InstanceMatchCriteria, PlacementGroupSelector,
    SecurityGroupSelectorTerm, SubnetSelectorTerm,
};
pub use status::{
    Ami, AmiRequirement, CapacityReservation, CapacityReservationState, CapacityReservationType,
    Ec2NodeClassStatus, SecurityGroup, Subnet,
};

/// Images were found.
pub const AMIS_READY: &str = "AMIsReady";
/// Subnets were found.
pub const SUBNETS_READY: &str = "SubnetsReady";
/// Security groups were found.
pub const SECURITY_GROUPS_READY: &str = "SecurityGroupsReady";
/// The instance profile exists.
pub const INSTANCE_PROFILE_READY: &str = "InstanceProfileReady";
/// The placement group was found, or none is asked for.
pub const PLACEMENT_GROUP_READY: &str = "PlacementGroupReady";
/// The class is one that instances can be launched from.
pub const VALIDATION_SUCCEEDED: &str = "ValidationSucceeded";

/// Conditions of an EC2NodeClass.
pub const CONDITIONS: ConditionTypes = ConditionTypes {
    dependents: &[
        AMIS_READY,
        SUBNETS_READY,
        SECURITY_GROUPS_READY,
        INSTANCE_PROFILE_READY,
        PLACEMENT_GROUP_READY,
        VALIDATION_SUCCEEDED,
    ],
};

text_enum! {
    /// Which operating system an image holds: decides the format of user data and the default volumes, not
    /// which image is used.
    pub enum AmiFamily {
        /// Amazon Linux 2.
        Al2 = "AL2",
        /// Amazon Linux 2023.
        Al2023 = "AL2023",
        /// Bottlerocket.
        Bottlerocket = "Bottlerocket",
        /// Anything else: user data is passed on as it is.
        Custom = "Custom",
        /// Windows Server 2019.
        Windows2019 = "Windows2019",
        /// Windows Server 2022.
        Windows2022 = "Windows2022",
        /// Windows Server 2025.
        Windows2025 = "Windows2025",
    }
}

text_enum! {
    /// What is done with local disks.
    pub enum InstanceStorePolicy {
        /// They become one striped volume for pods' ephemeral storage and images.
        Raid0 = "RAID0",
    }
}

/// How EC2 instances are made.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "karpenter.k8s.aws",
    version = "v1",
    kind = "EC2NodeClass",
    root = "Ec2NodeClass",
    plural = "ec2nodeclasses",
    shortname = "ec2nc",
    shortname = "ec2ncs",
    status = "Ec2NodeClassStatus",
    category = "karpenter",
    derive = "PartialEq",
    doc = "EC2NodeClass says how EC2 instances of a pool are made: image, network, role, disks and kubelet.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "has(self.role) != has(self.instanceProfile)",
        "exactly one of role and instanceProfile must be set",
    ),
    validation = (
        "has(self.amiFamily) || self.amiSelectorTerms.exists(t, has(t.alias))",
        "amiFamily is needed unless a term of amiSelectorTerms has an alias",
    ),
    validation = (
        "!has(self.amiFamily) || self.amiFamily == 'Custom' || \
         self.amiSelectorTerms.all(t, !has(t.alias) || t.alias.split('@')[0] == self.amiFamily.lowerAscii())",
        "amiFamily must be Custom or the family of the alias in amiSelectorTerms",
    ),
)]
pub struct Ec2NodeClassSpec {
    /// Subnets that instances are launched into: those that match any of the terms.
    #[schemars(length(max = 30), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(
        validation = ("self.size() != 0", "subnetSelectorTerms cannot be empty"),
        validation = ("self.all(t, has(t.tags) || has(t.id))", "each term needs tags or id"),
        validation = ("!self.all(t, has(t.id) && has(t.tags))", "id cannot be combined with tags in a term"),
    )]
    pub subnet_selector_terms: Vec<SubnetSelectorTerm>,
    /// Security groups of the instances: all of those that match any of the terms.
    #[schemars(length(max = 30), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(
        validation = ("self.size() != 0", "securityGroupSelectorTerms cannot be empty"),
        validation = ("self.all(t, has(t.tags) || has(t.id) || has(t.name))", "each term needs tags, id or name"),
        validation = (
            "!self.all(t, has(t.id) && (has(t.tags) || has(t.name)))",
            "id cannot be combined with tags or name in a term",
        ),
        validation = (
            "!self.all(t, has(t.name) && (has(t.tags) || has(t.id)))",
            "name cannot be combined with tags or id in a term",
        ),
    )]
    pub security_group_selector_terms: Vec<SecurityGroupSelectorTerm>,
    /// Capacity reservations that instances may be launched into: those that match any of the terms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 30), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(
        validation = (
            "self.all(t, has(t.tags) || has(t.id) || has(t.instanceMatchCriteria))",
            "each term needs tags, id or instanceMatchCriteria",
        ),
        validation = (
            "!self.all(t, has(t.id) && (has(t.tags) || has(t.ownerID) || has(t.instanceMatchCriteria)))",
            "id cannot be combined with other fields in a term",
        ),
    )]
    pub capacity_reservation_selector_terms: Vec<CapacityReservationSelectorTerm>,
    /// The placement group that instances are launched into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement_group_selector: Option<PlacementGroupSelector>,
    /// Whether instances get a public address. Without it the subnet decides.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "associatePublicIPAddress")]
    pub associate_public_ip_address: Option<bool>,
    /// How many address prefixes the network interface gets. It does not change how many pods a node can
    /// run: set `kubelet.maxPods` for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ip_prefix_count: Option<i32>,
    /// Images that instances may be launched from: those that match any of the terms; the newest that suits
    /// the instance type is used.
    #[schemars(length(min = 1, max = 30), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(
        validation = (
            "self.all(t, has(t.tags) || has(t.id) || has(t.name) || has(t.alias) || has(t.ssmParameter))",
            "each term needs tags, id, name, alias or ssmParameter",
        ),
        validation = (
            "!self.exists(t, has(t.id) && (has(t.alias) || has(t.tags) || has(t.name) || has(t.owner)))",
            "id cannot be combined with alias, tags, name or owner in a term",
        ),
        validation = (
            "!self.exists(t, has(t.alias) && (has(t.id) || has(t.tags) || has(t.name) || has(t.owner)))",
            "alias cannot be combined with id, tags, name or owner in a term",
        ),
        validation = (
            "!self.exists(t, has(t.alias)) || self.size() == 1",
            "a term with alias must be the only term",
        ),
    )]
    pub ami_selector_terms: Vec<AmiSelectorTerm>,
    /// Format of user data and default volumes. Follows from the alias if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ami_family: Option<AmiFamily>,
    /// User data of the instances, in the format of the family; what a node needs to join is merged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// IAM role of the instances; an instance profile is made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self != ''", "role cannot be empty"))]
    pub role: Option<String>,
    /// Instance profile of the instances, with a role in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self != ''", "instanceProfile cannot be empty"))]
    pub instance_profile: Option<String>,
    /// Tags of everything that is created in EC2 for the pool.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[x_kube(
        validation = ("self.all(k, k != '')", "a tag's key cannot be empty"),
        validation = ("self.all(k, k != 'eks:eks-cluster-name')", "tag eks:eks-cluster-name is restricted"),
        validation = (
            "self.all(k, !k.startsWith('kubernetes.io/cluster'))",
            "tags that start with kubernetes.io/cluster are restricted",
        ),
        validation = ("self.all(k, k != 'karpenter.sh/nodepool')", "tag karpenter.sh/nodepool is restricted"),
        validation = ("self.all(k, k != 'karpenter.sh/nodeclaim')", "tag karpenter.sh/nodeclaim is restricted"),
        validation = (
            "self.all(k, k != 'karpenter.k8s.aws/ec2nodeclass')",
            "tag karpenter.k8s.aws/ec2nodeclass is restricted",
        ),
    )]
    pub tags: BTreeMap<String, String>,
    /// Settings of the kubelet, under the names of `KubeletConfiguration`: maxPods, podsPerCore,
    /// systemReserved, kubeReserved, evictionHard, clusterDNS and others. Checked by the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "kubelet::schema")]
    pub kubelet: Option<BTreeMap<String, Value>>,
    /// Disks of the instances. Without any the family's defaults are used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = (
        "self.filter(d, has(d.rootVolume) && d.rootVolume).size() <= 1",
        "at most one disk can be the rootVolume",
    ))]
    pub block_device_mappings: Vec<BlockDeviceMapping>,
    /// What is done with local disks: `RAID0` stripes them for pods. Without it they are left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_store_policy: Option<InstanceStorePolicy>,
    /// Network interfaces of the instances, instead of the one that they get by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 150), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(
        validation = (
            "self.size() == 0 || self.exists(i, i.networkCardIndex == 0 && i.deviceIndex == 0 && i.interfaceType == 'interface')",
            "an interface of type interface is needed at network card 0, device 0",
        ),
        validation = (
            "self.all(i, self.exists_one(j, i.networkCardIndex == j.networkCardIndex && i.deviceIndex == j.deviceIndex))",
            "a device of a network card can be used only once",
        ),
        validation = (
            "self.all(i, i.interfaceType != 'efa-only' || self.exists_one(j, j.interfaceType == 'efa-only' && i.networkCardIndex == j.networkCardIndex))",
            "a network card can have only one interface of type efa-only",
        ),
    )]
    pub network_interfaces: Vec<NetworkInterface>,
    /// Whether metrics of the instances come every minute, at a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detailed_monitoring: Option<bool>,
    /// How the instance metadata service can be reached from the node and its pods.
    #[serde(default)]
    pub metadata_options: MetadataOptions,
    /// How long idle connections are tracked by security groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_tracking: Option<ConnectionTracking>,
    /// Reserved field of the EC2 API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Options of the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_options: Option<CpuOptions>,
}

impl Ec2NodeClass {
    /// Its condition `Ready`, if that is about what the class is now.
    #[must_use]
    pub fn current_readiness(&self) -> Option<&Condition> {
        let ready = conditions::find(&self.status.as_ref()?.conditions, conditions::READY)?;
        (ready.observed_generation == self.metadata.generation).then_some(ready)
    }
}

impl Ec2NodeClassSpec {
    /// The family that decides the format of user data: the given one, else that of the alias.
    #[must_use]
    pub fn family(&self) -> Option<AmiFamily> {
        self.ami_family.clone().or_else(|| {
            let alias = self.ami_selector_terms.iter().find_map(|term| term.alias.as_deref())?;
            let family = alias.split_once('@').map_or(alias, |(family, _)| family);
            let word = AmiFamily::WORDS.iter().find(|word| word.eq_ignore_ascii_case(family));
            Some(AmiFamily::from(word.copied().unwrap_or(family)))
        })
    }
}
