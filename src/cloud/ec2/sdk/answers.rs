//! Answers of EC2 and IAM read into values. What lacks its name is left out.

use aws_sdk_ec2::operation::create_fleet::CreateFleetOutput;
use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types::{
    self, InstanceLifecycleType, InstanceStateName, LaunchTemplateAndOverridesResponse,
};
use jiff::Timestamp;

use crate::cloud::ec2::client::{ImageFacts, ProfileFacts, SubnetFacts};
use crate::cloud::ec2::instances::provider_id;
use crate::cloud::ec2::launch::{FleetAnswer, FleetError, FleetInstance};
use crate::model::instance_type::CapacityType;
use crate::ports::cloud::{Instance, InstanceState};

pub(super) fn subnet(subnet: types::Subnet) -> Option<SubnetFacts> {
    Some(SubnetFacts {
        id: subnet.subnet_id?,
        zone: subnet.availability_zone?,
        zone_id: subnet.availability_zone_id,
        free_addresses: subnet.available_ip_address_count.unwrap_or(0),
    })
}

pub(super) fn image(image: types::Image) -> Option<ImageFacts> {
    Some(ImageFacts {
        id: image.image_id?,
        name: image.name,
        architecture: image.architecture?.as_str().to_owned(),
        created: image.creation_date.unwrap_or_default(),
        deprecated_from: image.deprecation_time.and_then(|time| time.parse().ok()),
    })
}

pub(super) fn profile(profile: aws_sdk_iam::types::InstanceProfile) -> ProfileFacts {
    let role = profile.roles.into_iter().next().map(|role| role.role_name);
    ProfileFacts { name: profile.instance_profile_name, role }
}

pub(super) fn fleet(answer: CreateFleetOutput) -> FleetAnswer {
    let instances = answer.instances.unwrap_or_default().into_iter().flat_map(|group| {
        let place = Place::of(group.launch_template_and_overrides.as_ref());
        let instance_type = group.instance_type.map(|name| name.as_str().to_owned());
        let (zone, subnet) = (group.availability_zone, group.subnet_id);
        group.instance_ids.unwrap_or_default().into_iter().map(move |id| FleetInstance {
            id,
            instance_type: instance_type.clone().or_else(|| place.instance_type.clone()),
            zone: zone.clone().or_else(|| place.zone.clone()),
            subnet: subnet.clone().or_else(|| place.subnet.clone()),
            image: place.image.clone(),
        })
    });
    let errors = answer.errors.unwrap_or_default().into_iter().map(|error| {
        let place = Place::of(error.launch_template_and_overrides.as_ref());
        FleetError {
            code: error.error_code.unwrap_or_default(),
            message: error.error_message.unwrap_or_default(),
            instance_type: place.instance_type,
            zone: place.zone,
            subnet: place.subnet,
        }
    });
    FleetAnswer { instances: instances.collect(), errors: errors.collect() }
}

/// What an answer repeats of the override that it is about.
#[derive(Default)]
struct Place {
    instance_type: Option<String>,
    zone: Option<String>,
    subnet: Option<String>,
    image: Option<String>,
}

impl Place {
    fn of(about: Option<&LaunchTemplateAndOverridesResponse>) -> Self {
        let Some(overrides) = about.and_then(|about| about.overrides.as_ref()) else {
            return Self::default();
        };
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Self {
            instance_type: overrides.instance_type.as_ref().map(|name| name.as_str().to_owned()),
            zone: text(&overrides.availability_zone),
            subnet: text(&overrides.subnet_id),
            image: text(&overrides.image_id),
        }
    }
}

/// The instance; nothing for a terminated one, or one of which EC2 does not say yet where it is.
pub(super) fn instance(instance: types::Instance) -> Option<Instance> {
    let id = instance.instance_id?;
    let zone = instance.placement?.availability_zone?;
    let state = match instance.state?.name? {
        InstanceStateName::Pending => InstanceState::Pending,
        InstanceStateName::Running => InstanceState::Running,
        InstanceStateName::Stopping | InstanceStateName::Stopped => InstanceState::Stopped,
        InstanceStateName::ShuttingDown => InstanceState::ShuttingDown,
        _ => return None,
    };
    let capacity_type = match instance.instance_lifecycle {
        Some(InstanceLifecycleType::Spot) => CapacityType::Spot,
        _ => CapacityType::OnDemand,
    };
    let tags = instance.tags.unwrap_or_default().into_iter();
    Some(Instance {
        provider_id: provider_id(&zone, &id),
        state,
        instance_type: instance.instance_type?.as_str().to_owned(),
        zone,
        capacity_type,
        image_id: instance.image_id.unwrap_or_default(),
        launched_at: instance.launch_time.and_then(timestamp)?,
        tags: tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect(),
    })
}

fn timestamp(time: DateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.secs()).ok()
}
