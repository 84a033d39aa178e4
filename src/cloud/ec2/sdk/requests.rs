//! Values written into EC2's requests. A change of what a launch template means here is a new revision of its name.

use std::collections::BTreeMap;

use aws_sdk_ec2::operation::create_fleet::builders::CreateFleetInputBuilder;
use aws_sdk_ec2::operation::create_launch_template::builders::CreateLaunchTemplateInputBuilder;
use aws_sdk_ec2::types::{
    CapacityReservationPreference, DefaultTargetCapacityType, FleetLaunchTemplateConfigRequest,
    FleetLaunchTemplateOverridesRequest, FleetLaunchTemplateSpecificationRequest,
    FleetOnDemandAllocationStrategy, FleetType, LaunchTemplateBlockDeviceMappingRequest,
    LaunchTemplateCapacityReservationSpecificationRequest, LaunchTemplateEbsBlockDeviceRequest,
    LaunchTemplateIamInstanceProfileSpecificationRequest, LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateInstanceMetadataTagsState, LaunchTemplateInstanceNetworkInterfaceSpecificationRequest,
    LaunchTemplatePlacementRequest, LaunchTemplateTagSpecificationRequest, LaunchTemplatesMonitoringRequest,
    OnDemandOptionsRequest, RequestLaunchTemplateData, ResourceType, Tag, TagSpecification,
    TargetCapacitySpecificationRequest,
};
use base64::prelude::{BASE64_STANDARD, Engine};

use crate::cloud::ec2::client::Filter;
use crate::cloud::ec2::launch::{FleetConfig, FleetRequest, Override};
use crate::cloud::ec2::template::{Disk, LaunchTemplate};
use crate::model::Price;

/// Regions whose EC2 does not know the metadata service's IPv6 option.
const WITHOUT_METADATA_IPV6: [&str; 6] = [
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "us-isob-west-1",
    "us-isof-south-1",
    "us-isof-east-1",
];

/// A template's content is its first version; whoever adds another does not change what is launched.
const VERSION: &str = "1";

pub(super) fn filter(filter: &Filter) -> aws_sdk_ec2::types::Filter {
    aws_sdk_ec2::types::Filter::builder().name(&filter.name).set_values(Some(filter.values.clone())).build()
}

pub(super) fn filters(filters: &[Filter]) -> Vec<aws_sdk_ec2::types::Filter> {
    filters.iter().map(filter).collect()
}

pub(super) fn iam_tag(key: &str, value: &str) -> aws_sdk_iam::types::Tag {
    let tag = aws_sdk_iam::types::Tag::builder().key(key).value(value).build();
    tag.expect("key and value are set")
}

pub(super) fn create_fleet(request: &FleetRequest) -> CreateFleetInputBuilder {
    let tagged = [ResourceType::Instance, ResourceType::Volume, ResourceType::Fleet];
    let tagged = tagged.map(|kind| {
        TagSpecification::builder().resource_type(kind).set_tags(Some(tags(&request.tags))).build()
    });
    CreateFleetInputBuilder::default()
        .r#type(FleetType::Instant)
        .client_token(&request.token)
        .target_capacity_specification(
            TargetCapacitySpecificationRequest::builder()
                .total_target_capacity(1)
                .default_target_capacity_type(DefaultTargetCapacityType::OnDemand)
                .build(),
        )
        .on_demand_options(
            OnDemandOptionsRequest::builder()
                .allocation_strategy(FleetOnDemandAllocationStrategy::LowestPrice)
                .build(),
        )
        .set_launch_template_configs(Some(request.configs.iter().map(config).collect()))
        .set_tag_specifications(Some(tagged.into()))
}

fn config(config: &FleetConfig) -> FleetLaunchTemplateConfigRequest {
    let template = FleetLaunchTemplateSpecificationRequest::builder()
        .launch_template_name(&config.template)
        .version(VERSION)
        .build();
    let overrides = config.overrides.iter().map(|choice: &Override| {
        FleetLaunchTemplateOverridesRequest::builder()
            .instance_type(choice.instance_type.as_str().into())
            .availability_zone(&choice.zone)
            .subnet_id(&choice.subnet)
            .image_id(&choice.image)
            .priority(dollars(choice.price))
            .build()
    });
    FleetLaunchTemplateConfigRequest::builder()
        .launch_template_specification(template)
        .set_overrides(Some(overrides.collect()))
        .build()
}

/// Only the order counts here, and prices of less than four billion dollars.
fn dollars(price: Price) -> f64 {
    let part = |nanos: u64| f64::from(u32::try_from(nanos).unwrap_or(u32::MAX));
    part(price.nanos() / 1_000_000_000) + part(price.nanos() % 1_000_000_000) / 1e9
}

pub(super) fn create_launch_template(
    template: &LaunchTemplate,
    region: &str,
) -> CreateLaunchTemplateInputBuilder {
    let own = TagSpecification::builder()
        .resource_type(ResourceType::LaunchTemplate)
        .set_tags(Some(tags(&template.tags)))
        .build();
    CreateLaunchTemplateInputBuilder::default()
        .launch_template_name(template.name())
        .launch_template_data(data(template, region))
        .tag_specifications(own)
}

fn data(template: &LaunchTemplate, region: &str) -> RequestLaunchTemplateData {
    let interface_tags = LaunchTemplateTagSpecificationRequest::builder()
        .resource_type(ResourceType::NetworkInterface)
        .set_tags(Some(tags(&template.tags)))
        .build();
    let profile =
        LaunchTemplateIamInstanceProfileSpecificationRequest::builder().name(&template.instance_profile);
    // Without this an instance takes a place in a reservation that happens to match, and is no on-demand instance.
    let reservations = LaunchTemplateCapacityReservationSpecificationRequest::builder()
        .capacity_reservation_preference(CapacityReservationPreference::None);
    RequestLaunchTemplateData::builder()
        .image_id(&template.image_id)
        .user_data(BASE64_STANDARD.encode(&template.user_data))
        .iam_instance_profile(profile.build())
        .set_block_device_mappings(Some(template.disks.iter().map(disk).collect()))
        .metadata_options(metadata_options(template, region))
        .monitoring(LaunchTemplatesMonitoringRequest::builder().enabled(template.detailed_monitoring).build())
        .set_network_interfaces(Some(network_interfaces(template)))
        .placement(LaunchTemplatePlacementRequest::builder().tenancy(template.tenancy.name().into()).build())
        .capacity_reservation_specification(reservations.build())
        .tag_specifications(interface_tags)
        .build()
}

fn disk(disk: &Disk) -> LaunchTemplateBlockDeviceMappingRequest {
    let ebs = LaunchTemplateEbsBlockDeviceRequest::builder()
        .set_volume_size(disk.gibibytes)
        .set_volume_type(disk.volume_type.as_deref().map(Into::into))
        .set_encrypted(disk.is_encrypted)
        .set_kms_key_id(disk.kms_key_id.clone())
        .set_snapshot_id(disk.snapshot_id.clone())
        .set_iops(disk.iops)
        .set_throughput(disk.throughput)
        .set_volume_initialization_rate(disk.initialization_rate)
        .set_delete_on_termination(disk.deletes_on_termination)
        .build();
    LaunchTemplateBlockDeviceMappingRequest::builder().set_device_name(disk.device.clone()).ebs(ebs).build()
}

fn metadata_options(template: &LaunchTemplate, region: &str) -> LaunchTemplateInstanceMetadataOptionsRequest {
    let options = &template.metadata_options;
    let ipv6 = Some(options.http_protocol_ipv6.as_str()).filter(|_| !WITHOUT_METADATA_IPV6.contains(&region));
    LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_endpoint(options.http_endpoint.as_str().into())
        .set_http_protocol_ipv6(ipv6.map(Into::into))
        .http_put_response_hop_limit(i32::try_from(options.http_put_response_hop_limit).unwrap_or(i32::MAX))
        .http_tokens(options.http_tokens.as_str().into())
        // Keys of our tags hold a slash, which the metadata service does not take.
        .instance_metadata_tags(LaunchTemplateInstanceMetadataTagsState::Disabled)
        .build()
}

/// One ordinary interface, or the adapters in its place: one on each card, the first as the machine's first device.
fn network_interfaces(
    template: &LaunchTemplate,
) -> Vec<LaunchTemplateInstanceNetworkInterfaceSpecificationRequest> {
    let interface = |card: i32| {
        let public = template.associate_public_ip_address.filter(|_| card == 0);
        LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
            .device_index(i32::from(card > 0))
            .set_groups(Some(template.security_groups.clone()))
            .set_associate_public_ip_address(public)
    };
    match i32::try_from(template.efa_interfaces).unwrap_or(i32::MAX) {
        0 => vec![interface(0).build()],
        adapters => (0..adapters)
            .map(|card| interface(card).network_card_index(card).interface_type("efa").build())
            .collect(),
    }
}

fn tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}
