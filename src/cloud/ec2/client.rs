//! The few calls that are made, as a trait, and the facts that they return.
//!
//! Facts and requests are values of our own, so that all that is computed from them or asked for can be tested without the SDK, which
//! `sdk` alone knows. One method is one question; how many pages its answer takes is the implementation's business.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use super::catalog::facts::TypeFacts;
use super::errors::ApiError;
use super::launch::{FleetAnswer, FleetRequest};
use super::template::LaunchTemplate;
use crate::ports::cloud::Instance;

/// What a call answers.
pub type ApiResult<T> = Result<T, ApiError>;

/// EC2, and what of SSM, IAM and EKS goes with it, in one region.
pub trait Api: fmt::Debug + Send + Sync + 'static {
    /// The instance types of the region that Kubernetes nodes can run on.
    fn instance_types(&self) -> impl Future<Output = ApiResult<Vec<TypeFacts>>> + Send;
    /// Which type is offered in which zone.
    fn type_zones(&self) -> impl Future<Output = ApiResult<Vec<(String, String)>>> + Send;
    /// Subnets that pass all the filters.
    fn subnets(&self, filters: &[Filter]) -> impl Future<Output = ApiResult<Vec<SubnetFacts>>> + Send;
    /// Security groups that pass all the filters.
    fn security_groups(&self, filters: &[Filter]) -> impl Future<Output = ApiResult<Vec<GroupFacts>>> + Send;
    /// Images by id, those that exist and are available.
    fn images(&self, ids: &[String]) -> impl Future<Output = ApiResult<Vec<ImageFacts>>> + Send;
    /// The value of an SSM parameter; nothing if there is none.
    fn parameter(&self, name: &str) -> impl Future<Output = ApiResult<Option<String>>> + Send;
    /// What EKS says of a cluster.
    fn cluster(&self, name: &str) -> impl Future<Output = ApiResult<ClusterDescription>> + Send;

    /// An instance profile; nothing if there is none.
    fn instance_profile(&self, name: &str) -> impl Future<Output = ApiResult<Option<ProfileFacts>>> + Send;
    /// Creates an instance profile without a role.
    fn create_instance_profile(&self, profile: &NewProfile) -> impl Future<Output = ApiResult<()>> + Send;
    /// Puts the role into the instance profile.
    fn add_role(&self, profile: &str, role: &str) -> impl Future<Output = ApiResult<()>> + Send;
    /// Takes the role out of the instance profile.
    fn remove_role(&self, profile: &str, role: &str) -> impl Future<Output = ApiResult<()>> + Send;
    /// Deletes an instance profile that has no role.
    fn delete_instance_profile(&self, name: &str) -> impl Future<Output = ApiResult<()>> + Send;
    /// The names of the instance profiles below a path.
    fn instance_profiles(&self, path: &str) -> impl Future<Output = ApiResult<Vec<ProfileFacts>>> + Send;

    /// The names of the launch templates that pass all the filters.
    fn launch_templates(&self, filters: &[Filter]) -> impl Future<Output = ApiResult<Vec<String>>> + Send;
    /// Creates a launch template under its own name.
    fn create_launch_template(&self, template: &LaunchTemplate)
    -> impl Future<Output = ApiResult<()>> + Send;
    /// Deletes a launch template.
    fn delete_launch_template(&self, name: &str) -> impl Future<Output = ApiResult<()>> + Send;

    /// Asks a fleet of type instant for instances. Repeated with the same token and parameters, gives the same answer.
    fn create_fleet(&self, request: &FleetRequest) -> impl Future<Output = ApiResult<FleetAnswer>> + Send;
    /// Instances that pass all the filters and are not terminated.
    fn instances(&self, filters: &[Filter]) -> impl Future<Output = ApiResult<Vec<Instance>>> + Send;
    /// Asks for an instance to be terminated.
    fn terminate_instance(&self, id: &str) -> impl Future<Output = ApiResult<()>> + Send;
}

/// A filter: the attribute has one of the values, in which `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filter {
    /// The attribute, such as `subnet-id` or `tag:team`.
    pub name: String,
    /// The values.
    pub values: Vec<String>,
}

impl Filter {
    /// A filter on an attribute.
    pub fn new<V: Into<String>>(name: impl Into<String>, values: impl IntoIterator<Item = V>) -> Self {
        Self { name: name.into(), values: values.into_iter().map(Into::into).collect() }
    }

    /// The tag has this value; any, if that is `*`.
    #[must_use]
    pub fn tag(key: &str, value: &str) -> Self {
        if value == "*" { Self::new("tag-key", [key]) } else { Self::new(format!("tag:{key}"), [value]) }
    }
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetFacts {
    /// `subnet-…`
    pub id: String,
    /// Its zone's name in this account.
    pub zone: String,
    /// Its zone's id.
    pub zone_id: Option<String>,
    /// How many addresses are free.
    pub free_addresses: i32,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFacts {
    /// `sg-…`
    pub id: String,
    /// Its name.
    pub name: Option<String>,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// `ami-…`
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// `x86_64` or `arm64`, as EC2 writes it.
    pub architecture: String,
    /// When it was made, as EC2 writes it; sorts as text.
    pub created: String,
    /// From when on its owner advises against it.
    pub deprecated_from: Option<Timestamp>,
}

/// What EKS says of a cluster that its nodes must know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The range of addresses that its Services get, if it is an IPv4 range.
    pub service_cidr: Option<String>,
    /// The URL of its API server.
    pub endpoint: Option<String>,
}

/// An instance profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileFacts {
    /// Its name.
    pub name: String,
    /// The name of the role in it.
    pub role: Option<String>,
}

/// An instance profile to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProfile {
    /// Its name.
    pub name: String,
    /// Its path, with a slash at both ends.
    pub path: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}
