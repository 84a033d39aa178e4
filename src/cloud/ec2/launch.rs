//! A launch as values: the fleet request of a claim with its launch templates, and what the answer means.
//!
//! Pure: same claim, class and catalogue, same request, byte for byte. Who sends it, and what is done when it fails, is the
//! provider's business.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cache::Mark;
use super::catalog::{self, Assumptions, Catalog, EFA, Shape};
use super::errors;
use super::obstacle::obstacle;
use super::selection::{self, Selection};
use super::template::{self, LaunchTemplate};
use super::userdata::{self, Bootstrap};
use crate::api::labels;
use crate::model::instance_type::{CapacityType, InstanceType};
use crate::model::{Price, Quantity, ResourceList};
use crate::ports::cloud::{ClaimIdentity, ClassObstacle, LaunchRequest, Launched, ProviderId};
use crate::ports::{CloudError, ErrorClass};

/// One instance, asked of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FleetRequest {
    /// Makes a repeated request the same request.
    pub token: String,
    /// Templates and what they may be launched as; the cheapest first.
    pub configs: Vec<FleetConfig>,
    /// Tags of instance, volumes and fleet.
    pub tags: BTreeMap<String, String>,
}

/// A template and what it may be launched as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FleetConfig {
    /// The template's name.
    pub template: String,
    /// In order of price, type and zone.
    pub overrides: Vec<Override>,
}

/// A way to launch a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Override {
    /// The type.
    pub instance_type: String,
    /// The zone; said besides the subnet so that EC2's answer repeats it.
    pub zone: String,
    /// The subnet.
    pub subnet: String,
    /// The image.
    pub image: String,
    /// What it costs; EC2 gets it as the priority.
    #[serde(serialize_with = "as_text")]
    pub price: Price,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn as_text<S: serde::Serializer>(price: &Price, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(price)
}

/// What a fleet of type instant answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetAnswer {
    /// The instances that were launched.
    pub instances: Vec<FleetInstance>,
    /// What could not be launched, and why. There can be errors beside instances.
    pub errors: Vec<FleetError>,
}

/// An instance that a fleet launched. EC2 leaves out what it likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetInstance {
    /// `i-…`
    pub id: String,
    /// Its type.
    pub instance_type: Option<String>,
    /// Its zone.
    pub zone: Option<String>,
    /// Its subnet.
    pub subnet: Option<String>,
    /// Its image.
    pub image: Option<String>,
}

/// A way to launch that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetError {
    /// EC2's code.
    pub code: String,
    /// EC2's message.
    pub message: String,
    /// The type.
    pub instance_type: Option<String>,
    /// The zone.
    pub zone: Option<String>,
    /// The subnet.
    pub subnet: Option<String>,
}

/// What is needed to launch a claim.
#[derive(Debug)]
pub(super) struct Launch {
    /// The templates that the request names; to be there before it is sent.
    pub(super) templates: Vec<LaunchTemplate>,
    /// The request.
    pub(super) request: FleetRequest,
}

/// The token of a claim's launch: the same for the same claim and attempt.
#[must_use]
pub fn token(claim: ClaimIdentity<'_>) -> String {
    format!("{}-{}", claim.uid, claim.attempt)
}

/// What decides, besides the request, what is launched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inputs<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) assumptions: Assumptions,
    pub(super) shape: &'a Shape,
    pub(super) types: &'a [InstanceType],
    pub(super) unavailable: &'a BTreeSet<Mark>,
}

/// Instances that share a template: the image, the most pods, the adapters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    image: String,
    max_pods: u64,
    efa_interfaces: u32,
}

/// Builds the launch of a claim.
pub(super) fn build(inputs: Inputs<'_>, request: &LaunchRequest<'_>) -> Result<Launch, CloudError> {
    if let Some(ClassObstacle { reason, message }) = obstacle(request.class, request.cluster) {
        return Err(not_ready(reason, message));
    }
    let selection = selection::select(inputs.types, request)?;
    let mut groups: Vec<(Group, Vec<Override>)> = Vec::new();
    for instance_type in &selection.types {
        for (group, choice) in choices(inputs, request, &selection, instance_type) {
            match groups.iter_mut().find(|(known, _)| *known == group) {
                Some((_, overrides)) => overrides.push(choice),
                None => groups.push((group, vec![choice])),
            }
        }
    }
    // Types come in order of their cheapest offering, and so do the groups; what is in a group does not, where zones differ in price.
    for (_, overrides) in &mut groups {
        overrides
            .sort_by_cached_key(|choice| (choice.price, choice.instance_type.clone(), choice.zone.clone()));
    }

    let tags = template::tags(
        &request.class.spec.tags,
        &request.cluster.name,
        request.pool,
        request.class.metadata.name.as_deref().unwrap_or_default(),
    );
    let (mut templates, mut configs) = (Vec::new(), Vec::new());
    for (group, overrides) in groups {
        let template = launch_template(&group, inputs.shape, request, &selection, &tags)?;
        configs.push(FleetConfig { template: template.name(), overrides });
        templates.push(template);
    }
    if configs.is_empty() {
        let message = "every zone of the class is without a subnet that has free addresses";
        return Err(CloudError::new(
            ErrorClass::NoCapacity,
            "InsufficientCapacity",
            "choose subnets",
            message,
        ));
    }
    let token = token(request.claim);
    let tags = tags.into_iter().chain([(labels::CLIENT_TOKEN_TAG.to_owned(), token.clone())]).collect();
    Ok(Launch { templates, request: FleetRequest { token, configs, tags } })
}

/// The ways to launch one type: one in each of its zones, in the first subnet there that has free addresses as far as is known.
fn choices(
    inputs: Inputs<'_>,
    request: &LaunchRequest<'_>,
    selection: &Selection<'_>,
    instance_type: &InstanceType,
) -> Vec<(Group, Override)> {
    let facts = inputs.catalog.types.get(&instance_type.name);
    let image = inputs.shape.image_for(&instance_type.requirements);
    let (Some(facts), Some(image)) = (facts, image) else { return Vec::new() };
    let wants_efa = request.requests.amount(EFA) > Quantity::ZERO;
    let group = Group {
        image: image.id.clone(),
        max_pods: catalog::pods(facts, inputs.shape, inputs.assumptions),
        efa_interfaces: if wants_efa { u32::try_from(facts.efa_interfaces).unwrap_or(0) } else { 0 },
    };
    let choice = |offering: &crate::model::instance_type::Offering| {
        let subnet = inputs.shape.subnets().iter().find(|subnet| {
            subnet.zone == offering.zone && !inputs.unavailable.contains(&Mark::Subnet(subnet.id.clone()))
        })?;
        let choice = Override {
            instance_type: instance_type.name.clone(),
            zone: offering.zone.clone(),
            subnet: subnet.id.clone(),
            image: image.id.clone(),
            price: offering.price,
        };
        Some((group.clone(), choice))
    };
    let offerings = instance_type.offerings_for(&selection.requirements);
    offerings.filter_map(choice).collect()
}

fn launch_template(
    group: &Group,
    shape: &Shape,
    request: &LaunchRequest<'_>,
    selection: &Selection<'_>,
    tags: &BTreeMap<String, String>,
) -> Result<LaunchTemplate, CloudError> {
    let (spec, status) = (&request.class.spec, request.class.status.as_ref());
    let bootstrap = Bootstrap {
        cluster: request.cluster,
        kubelet: spec.kubelet.as_ref(),
        max_pods: group.max_pods,
        labels: request.labels,
        taints: request.taints,
        startup_taints: request.startup_taints,
        stripes_local_disks: shape.stripes_local_disks(),
    };
    let user_data = bootstrap.user_data();
    if user_data.len() > userdata::LIMIT {
        let message = format!(
            "user data would be {} bytes, and EC2 takes {}; {}",
            user_data.len(),
            userdata::LIMIT,
            errors::SHORTEN_USER_DATA
        );
        return Err(not_ready(errors::USER_DATA_TOO_LONG, message));
    }
    let instance_profile = status.and_then(|status| status.instance_profile.clone());
    let security_groups = status.map(|status| status.security_groups.as_slice()).unwrap_or_default();
    if security_groups.is_empty() {
        // EC2 would take the network's default group.
        return Err(not_ready("SecurityGroupsNotResolved", "its status names no security group"));
    }
    Ok(LaunchTemplate {
        image_id: group.image.clone(),
        instance_profile: instance_profile
            .ok_or_else(|| not_ready("InstanceProfileNotResolved", "its status names no instance profile"))?,
        security_groups: security_groups.iter().map(|security_group| security_group.id.clone()).collect(),
        user_data,
        disks: template::disks(spec).map_err(|problem| not_ready("InvalidBlockDevices", problem))?,
        metadata_options: spec.metadata_options.clone(),
        detailed_monitoring: spec.detailed_monitoring.unwrap_or(false),
        associate_public_ip_address: spec.associate_public_ip_address,
        efa_interfaces: group.efa_interfaces,
        tenancy: selection.tenancy,
        tags: tags.clone(),
    })
}

fn not_ready(reason: &'static str, message: impl Into<String>) -> CloudError {
    CloudError::new(ErrorClass::NotReady, reason, "build the launch template", message)
}

/// What an answer says about missing capacity; also when there is an instance.
pub(super) fn missing_capacity(request: &FleetRequest, answer: &FleetAnswer) -> Vec<Mark> {
    let mut marks = Vec::new();
    for error in answer.errors.iter().filter(|error| errors::is_no_capacity(&error.code)) {
        let chosen =
            request.find(error.instance_type.as_deref(), error.zone.as_deref(), error.subnet.as_deref());
        let zone = error.zone.clone().or_else(|| chosen.map(|choice| choice.zone.clone()));
        let subnet = error.subnet.clone().or_else(|| chosen.map(|choice| choice.subnet.clone()));
        if let (Some(instance_type), Some(zone)) = (error.instance_type.clone(), zone) {
            marks.push(Mark::Offering { capacity_type: CapacityType::OnDemand, instance_type, zone });
        }
        if let (true, Some(subnet)) = (errors::is_subnet_full(&error.code), subnet) {
            marks.push(Mark::Subnet(subnet));
        }
    }
    marks
}

impl FleetRequest {
    /// The first override that agrees with what is known.
    pub(super) fn find(
        &self,
        instance_type: Option<&str>,
        zone: Option<&str>,
        subnet: Option<&str>,
    ) -> Option<&Override> {
        let agrees = |known: Option<&str>, own: &str| known.is_none_or(|known| known == own);
        self.configs.iter().flat_map(|config| &config.overrides).find(|choice| {
            agrees(instance_type, &choice.instance_type)
                && agrees(zone, &choice.zone)
                && agrees(subnet, &choice.subnet)
        })
    }
}

/// Why an answer holds no instance. No instance and no error means no capacity, as in Karpenter.
pub(super) fn no_instance(answer: &FleetAnswer) -> CloudError {
    let mut shown: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for error in &answer.errors {
        let place = |part: &Option<String>| part.clone().unwrap_or_else(|| "?".to_owned());
        let places = shown.entry((&error.code, &error.message)).or_default();
        places.insert(format!("{} in {}", place(&error.instance_type), place(&error.zone)));
    }
    let shown: Vec<_> = shown
        .into_iter()
        .map(|((code, message), places)| {
            let remedy =
                errors::remedy(code, message).map(|remedy| format!("; {remedy}")).unwrap_or_default();
            format!("{code}: {message} ({}){remedy}", places.into_iter().collect::<Vec<_>>().join(", "))
        })
        .collect();
    let message = if shown.is_empty() {
        "EC2 launched nothing and gave no reason".to_owned()
    } else {
        shown.join("; ")
    };
    let serious = answer.errors.iter().find(|error| !errors::is_no_capacity(&error.code));
    let (class, reason) = match serious {
        None => (ErrorClass::NoCapacity, "InsufficientCapacity"),
        Some(error) => {
            // To whoever launches, "not found" would be the instance.
            let class = match errors::class(&error.code) {
                _ if errors::remedy(&error.code, &error.message).is_some() => ErrorClass::NotReady,
                ErrorClass::NotFound => ErrorClass::Other,
                class => class,
            };
            (class, errors::launch_reason(&error.code, &error.message))
        }
    };
    CloudError::new(class, reason, "CreateFleet", message).answered()
}

/// What was launched, as the claim's status has it.
pub(super) fn launched(
    instance_type: &InstanceType,
    provider_id: ProviderId,
    zone: &str,
    image_id: &str,
    request: &LaunchRequest<'_>,
) -> Launched {
    let tenancy = [super::template::Tenancy::Default, super::template::Tenancy::Dedicated]
        .into_iter()
        .find(|tenancy| request.requirements.allows(labels::INSTANCE_TENANCY, tenancy.name()));
    let mut labels: BTreeMap<String, String> = instance_type
        .requirements
        .iter()
        .filter_map(|requirement| {
            Some((requirement.key().to_owned(), requirement.single_value()?.to_owned()))
        })
        .collect();
    let offering = instance_type.offerings.iter().find(|offering| offering.zone == zone);
    labels.extend(offering.into_iter().flat_map(|offering| offering.labels.clone()));
    labels.insert(labels::ZONE.to_owned(), zone.to_owned());
    labels.insert(labels::CAPACITY_TYPE.to_owned(), labels::CAPACITY_ON_DEMAND.to_owned());
    labels.extend(tenancy.map(|tenancy| (labels::INSTANCE_TENANCY.to_owned(), tenancy.name().to_owned())));
    // Adapters are there only if they were asked for.
    let has_efa = request.requests.amount(EFA) > Quantity::ZERO;
    let present = |list: &ResourceList| -> ResourceList {
        list.iter().filter(|(name, amount)| !amount.is_zero() && (*name != EFA || has_efa)).collect()
    };
    let status = request.class.status.as_ref();
    Launched {
        provider_id,
        instance_type: instance_type.name.clone(),
        zone: zone.to_owned(),
        capacity_type: CapacityType::OnDemand,
        image_id: image_id.to_owned(),
        instance_profile: status.and_then(|status| status.instance_profile.clone()).unwrap_or_default(),
        labels,
        capacity: present(instance_type.resources.capacity()),
        allocatable: present(instance_type.resources.allocatable()),
    }
}
