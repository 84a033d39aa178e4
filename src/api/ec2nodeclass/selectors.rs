//! Terms that select subnets, security groups, images, capacity reservations and the placement group.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::text_enum::text_enum;

/// Tags to match; `*` as a value matches any value.
type Tags = BTreeMap<String, String>;

const TAGS: (&str, &str) =
    ("self.all(k, k != '' && self[k] != '')", "neither key nor value of a tag can be empty");

/// Selects subnets. All that a term says must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubnetSelectorTerm {
    /// Tags of the subnet; the value `*` matches any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 20))]
    #[x_kube(validation = TAGS)]
    pub tags: Option<Tags>,
    /// Id of the subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^subnet-[0-9a-z]+$"))]
    pub id: Option<String>,
}

/// Selects security groups. All that a term says must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupSelectorTerm {
    /// Tags of the security group; the value `*` matches any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 20))]
    #[x_kube(validation = TAGS)]
    pub tags: Option<Tags>,
    /// Id of the security group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^sg-[0-9a-z]+$"))]
    pub id: Option<String>,
    /// Name of the security group; not its tag `Name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Selects images. All that a term says must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AmiSelectorTerm {
    /// One of the EKS images, as `family@version`: families al2, al2023, bottlerocket, windows2019,
    /// windows2022 and windows2025, a version such as `v20240625`, or `latest`, which replaces nodes whenever
    /// a new image is released. Windows has no versions but `latest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 30))]
    #[x_kube(
        validation = ("self.matches('^[a-zA-Z0-9]+@.+$')", "alias must be of the form family@version"),
        validation = (
            "self.split('@')[0] in ['al2', 'al2023', 'bottlerocket', 'windows2019', 'windows2022', 'windows2025']",
            "family must be one of al2, al2023, bottlerocket, windows2019, windows2022, windows2025",
        ),
        validation = (
            "!self.startsWith('windows') || self.split('@')[1] == 'latest'",
            "windows families have no version but latest",
        ),
    )]
    pub alias: Option<String>,
    /// Tags of the image; the value `*` matches any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 20))]
    #[x_kube(validation = TAGS)]
    pub tags: Option<Tags>,
    /// Id of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^ami-[0-9a-z]+$"))]
    pub id: Option<String>,
    /// Name of the image; not its tag `Name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Owner of the image: an account id, `self`, `amazon` or `aws-marketplace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Name or ARN of an SSM parameter that holds the image's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssm_parameter: Option<String>,
}

text_enum! {
    /// Which instances a capacity reservation takes.
    pub enum InstanceMatchCriteria {
        /// Every instance that matches it.
        Open = "open",
        /// Instances that name it.
        Targeted = "targeted",
    }
}

/// Selects capacity reservations. All that a term says must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityReservationSelectorTerm {
    /// Tags of the reservation; the value `*` matches any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 20))]
    #[x_kube(validation = TAGS)]
    pub tags: Option<Tags>,
    /// Id of the reservation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^cr-[0-9a-z]+$"))]
    pub id: Option<String>,
    /// Account that owns the reservation.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "ownerID")]
    #[schemars(extend("pattern" = "^[0-9]{12}$"))]
    pub owner_id: Option<String>,
    /// Which instances the reservation takes: `open` or `targeted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_match_criteria: Option<InstanceMatchCriteria>,
}

/// Selects the placement group, by name or by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.name) != has(self.id)", "exactly one of name and id must be set"))]
pub struct PlacementGroupSelector {
    /// Name of the placement group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Id of the placement group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^pg-[0-9a-z]+$"))]
    pub id: Option<String>,
}
