//! The calls over the network, through the AWS SDK: the only files that know it.
//!
//! Endpoint, region and credentials are found as by every AWS program: environment, profile, web identity, the container's or the
//! instance's metadata. `AWS_ENDPOINT_URL` and `AWS_REGION` are the SDK's own. Retries are the SDK's standard ones, three attempts of a
//! minute at most; a retried call keeps its token.

mod answers;
mod requests;
#[cfg(test)]
mod tests;
mod types;

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{ArchitectureType, LocationType};
use thiserror::Error;

use super::catalog::TypeFacts;
use super::client::{
    Api, ApiResult, ClusterDescription, Filter, GroupFacts, ImageFacts, NewProfile, ProfileFacts, SubnetFacts,
};
use super::errors::ApiError;
use super::launch::{FleetAnswer, FleetRequest};
use super::template::LaunchTemplate;
use crate::ports::cloud::Instance;

/// Longer than EC2 takes for anything, as in Karpenter: a call that never ends must not hold a claim for ever.
const CALL_TIMEOUT: Duration = Duration::from_mins(4);
/// One attempt of a call, also of one that launches, which EC2 answers within seconds: where a connection goes nowhere, the next attempt
/// must come while the claim still has time. All three fit into the call.
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(1);
/// Until a connection stands, as is the SDK's own.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

/// The most that EC2 lists on one page: of instance types, and of most else.
const TYPES_PER_PAGE: i32 = 100;
const PER_PAGE: i32 = 1000;
const SUBNETS_PER_PAGE: i32 = 500;
const TEMPLATES_PER_PAGE: i32 = 200;

/// No region is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no AWS region is configured; set AWS_REGION")]
pub struct NoRegion;

/// Clients of the services of one region.
#[derive(Clone, Debug)]
pub struct Sdk {
    ec2: aws_sdk_ec2::Client,
    ssm: aws_sdk_ssm::Client,
    iam: aws_sdk_iam::Client,
    eks: aws_sdk_eks::Client,
    region: String,
}

impl Sdk {
    /// Clients that are configured as the environment says.
    pub async fn from_environment() -> Result<Self, NoRegion> {
        Self::new(&aws_config::load_defaults(BehaviorVersion::latest()).await)
    }

    /// Clients with this configuration; its time limits are replaced.
    #[expect(clippy::missing_panics_doc, reason = "the name is one that the SDK takes")]
    pub fn new(config: &SdkConfig) -> Result<Self, NoRegion> {
        let region = config.region().ok_or(NoRegion)?.to_string();
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(CALL_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .build();
        let config = config
            .to_builder()
            .timeout_config(timeouts)
            .app_name(AppName::new("treenail").expect("letters make an app name"))
            .build();
        Ok(Self {
            ec2: aws_sdk_ec2::Client::new(&config),
            ssm: aws_sdk_ssm::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            eks: aws_sdk_eks::Client::new(&config),
            region,
        })
    }

    /// The region, for example `us-east-1`.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }
}

impl Api for Sdk {
    async fn instance_types(&self) -> ApiResult<Vec<TypeFacts>> {
        let architectures = [ArchitectureType::X8664, ArchitectureType::Arm64];
        let pages = self
            .ec2
            .describe_instance_types()
            .filters(requests::filter(&Filter::new("supported-virtualization-type", ["hvm"])))
            .filters(requests::filter(&Filter::new(
                "processor-info.supported-architecture",
                architectures.iter().map(ArchitectureType::as_str),
            )))
            .max_results(TYPES_PER_PAGE)
            .into_paginator()
            .items()
            .send();
        let types = pages.try_collect().await.map_err(failed("DescribeInstanceTypes"))?;
        Ok(types.iter().filter_map(types::facts).collect())
    }

    async fn type_zones(&self) -> ApiResult<Vec<(String, String)>> {
        let pages = self
            .ec2
            .describe_instance_type_offerings()
            .location_type(LocationType::AvailabilityZone)
            .max_results(PER_PAGE)
            .into_paginator()
            .items()
            .send();
        let offerings = pages.try_collect().await.map_err(failed("DescribeInstanceTypeOfferings"))?;
        let pair = |offering: aws_sdk_ec2::types::InstanceTypeOffering| {
            Some((offering.instance_type?.as_str().to_owned(), offering.location?))
        };
        Ok(offerings.into_iter().filter_map(pair).collect())
    }

    async fn subnets(&self, filters: &[Filter]) -> ApiResult<Vec<SubnetFacts>> {
        let pages = self
            .ec2
            .describe_subnets()
            .set_filters(Some(requests::filters(filters)))
            .max_results(SUBNETS_PER_PAGE)
            .into_paginator()
            .items()
            .send();
        let subnets = pages.try_collect().await.map_err(failed("DescribeSubnets"))?;
        Ok(subnets.into_iter().filter_map(answers::subnet).collect())
    }

    async fn security_groups(&self, filters: &[Filter]) -> ApiResult<Vec<GroupFacts>> {
        let pages = self
            .ec2
            .describe_security_groups()
            .set_filters(Some(requests::filters(filters)))
            .max_results(PER_PAGE)
            .into_paginator()
            .items()
            .send();
        let groups = pages.try_collect().await.map_err(failed("DescribeSecurityGroups"))?;
        let facts = |group: aws_sdk_ec2::types::SecurityGroup| {
            Some(GroupFacts { id: group.group_id?, name: group.group_name })
        };
        Ok(groups.into_iter().filter_map(facts).collect())
    }

    async fn images(&self, ids: &[String]) -> ApiResult<Vec<ImageFacts>> {
        // By filter and not by parameter: an id that does not exist would make the call fail.
        let pages = self
            .ec2
            .describe_images()
            .filters(requests::filter(&Filter::new("image-id", ids)))
            .filters(requests::filter(&Filter::new("state", ["available"])))
            .include_deprecated(true)
            .max_results(PER_PAGE)
            .into_paginator()
            .items()
            .send();
        let images = pages.try_collect().await.map_err(failed("DescribeImages"))?;
        Ok(images.into_iter().filter_map(answers::image).collect())
    }

    async fn parameter(&self, name: &str) -> ApiResult<Option<String>> {
        let answer = self.ssm.get_parameter().name(name).send().await.map_err(failed("GetParameter"));
        let answer = found(answer)?;
        Ok(answer.and_then(|answer| answer.parameter).and_then(|parameter| parameter.value))
    }

    async fn cluster(&self, name: &str) -> ApiResult<ClusterDescription> {
        let answer =
            self.eks.describe_cluster().name(name).send().await.map_err(failed("DescribeCluster"))?;
        let Some(cluster) = answer.cluster else { return Ok(ClusterDescription::default()) };
        Ok(ClusterDescription {
            service_cidr: cluster.kubernetes_network_config.and_then(|network| network.service_ipv4_cidr),
            endpoint: cluster.endpoint.filter(|endpoint| !endpoint.is_empty()),
        })
    }

    async fn instance_profile(&self, name: &str) -> ApiResult<Option<ProfileFacts>> {
        let answer = self.iam.get_instance_profile().instance_profile_name(name).send().await;
        let answer = found(answer.map_err(failed("GetInstanceProfile")))?;
        Ok(answer.and_then(|answer| answer.instance_profile).map(answers::profile))
    }

    async fn create_instance_profile(&self, profile: &NewProfile) -> ApiResult<()> {
        let call =
            self.iam.create_instance_profile().instance_profile_name(&profile.name).path(&profile.path);
        let call =
            profile.tags.iter().fold(call, |call, (key, value)| call.tags(requests::iam_tag(key, value)));
        call.send().await.map(|_| ()).map_err(failed("CreateInstanceProfile"))
    }

    async fn add_role(&self, profile: &str, role: &str) -> ApiResult<()> {
        let call = self.iam.add_role_to_instance_profile().instance_profile_name(profile).role_name(role);
        call.send().await.map(|_| ()).map_err(failed("AddRoleToInstanceProfile"))
    }

    async fn remove_role(&self, profile: &str, role: &str) -> ApiResult<()> {
        let call =
            self.iam.remove_role_from_instance_profile().instance_profile_name(profile).role_name(role);
        call.send().await.map(|_| ()).map_err(failed("RemoveRoleFromInstanceProfile"))
    }

    async fn delete_instance_profile(&self, name: &str) -> ApiResult<()> {
        let call = self.iam.delete_instance_profile().instance_profile_name(name);
        call.send().await.map(|_| ()).map_err(failed("DeleteInstanceProfile"))
    }

    async fn instance_profiles(&self, path: &str) -> ApiResult<Vec<ProfileFacts>> {
        let pages = self.iam.list_instance_profiles().path_prefix(path).into_paginator().items().send();
        let profiles = pages.try_collect().await.map_err(failed("ListInstanceProfiles"))?;
        Ok(profiles.into_iter().map(answers::profile).collect())
    }

    async fn launch_templates(&self, filters: &[Filter]) -> ApiResult<Vec<String>> {
        let pages = self
            .ec2
            .describe_launch_templates()
            .set_filters(Some(requests::filters(filters)))
            .max_results(TEMPLATES_PER_PAGE)
            .into_paginator()
            .items()
            .send();
        let templates = pages.try_collect().await.map_err(failed("DescribeLaunchTemplates"))?;
        Ok(templates.into_iter().filter_map(|template| template.launch_template_name).collect())
    }

    async fn create_launch_template(&self, template: &LaunchTemplate) -> ApiResult<()> {
        let call = requests::create_launch_template(template, &self.region);
        call.send_with(&self.ec2).await.map(|_| ()).map_err(failed("CreateLaunchTemplate"))
    }

    async fn delete_launch_template(&self, name: &str) -> ApiResult<()> {
        let call = self.ec2.delete_launch_template().launch_template_name(name);
        call.send().await.map(|_| ()).map_err(failed("DeleteLaunchTemplate"))
    }

    async fn create_fleet(&self, request: &FleetRequest) -> ApiResult<FleetAnswer> {
        let call = requests::create_fleet(request);
        call.send_with(&self.ec2).await.map(answers::fleet).map_err(failed("CreateFleet"))
    }

    async fn instances(&self, filters: &[Filter]) -> ApiResult<Vec<Instance>> {
        let not_terminated = ["pending", "running", "stopping", "stopped", "shutting-down"];
        let pages = self
            .ec2
            .describe_instances()
            .set_filters(Some(requests::filters(filters)))
            .filters(requests::filter(&Filter::new("instance-state-name", not_terminated)))
            .max_results(PER_PAGE)
            .into_paginator()
            .items()
            .send();
        let reservations = pages.try_collect().await.map_err(failed("DescribeInstances"))?;
        let instances = reservations.into_iter().filter_map(|reservation| reservation.instances).flatten();
        Ok(instances.filter_map(answers::instance).collect())
    }

    async fn terminate_instance(&self, id: &str) -> ApiResult<()> {
        let call = self.ec2.terminate_instances().instance_ids(id);
        call.send().await.map(|_| ()).map_err(failed("TerminateInstances"))
    }
}

/// Nothing, where AWS says that there is no such thing.
fn found<T>(answer: ApiResult<T>) -> ApiResult<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is kept of an SDK's error.
fn failed<E>(operation: &'static str) -> impl FnOnce(SdkError<E>) -> ApiError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    move |error| {
        let code = error.code().unwrap_or_default().to_owned();
        let message = match error.message() {
            Some(message) => message.to_owned(),
            None if code.is_empty() => chain(&error),
            None => String::new(),
        };
        ApiError { operation, code, message }
    }
}

/// An error and its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if shown.last() != Some(&text) {
            shown.push(text);
        }
        next = error.source();
    }
    shown.join(": ")
}
