//! What of an EC2NodeClass decides how its instance types look: kubelet settings, disks, zones and images.
//!
//! Read once from spec and status, with every problem at once. A class that cannot be read launches nothing.

use std::collections::BTreeMap;

use crate::api::ec2nodeclass::kubelet::{self, EvictionThreshold};
use crate::api::ec2nodeclass::{AmiFamily, BlockDeviceMapping, Ec2NodeClass, InstanceStorePolicy};
use crate::model::{Quantity, Requirement, Requirements, ResourceList};

/// The volume that an AL2023 image keeps the kubelet's data on.
pub(crate) const ROOT_DEVICE: &str = "/dev/xvda";
/// Its size where the class does not say.
pub(crate) const ROOT_VOLUME: Quantity = Quantity::from_bytes(20 << 30);

/// A class as the catalogue sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub(super) max_pods: Option<u32>,
    pub(super) pods_per_core: Option<u32>,
    pub(super) kube_reserved: ResourceList,
    pub(super) system_reserved: ResourceList,
    pub(super) memory_eviction: Option<Threshold>,
    pub(super) storage_eviction: Option<Threshold>,
    pub(super) root_volume: Quantity,
    pub(super) stripes_local_disks: bool,
    pub(super) subnets: Vec<SubnetOfClass>,
    pub(super) images: Vec<ImageOfClass>,
}

/// How much of a resource must stay free.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Threshold {
    HundredthsOfPercent(u32),
    Amount(Quantity),
}

/// A subnet of the class's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetOfClass {
    pub(crate) id: String,
    pub(crate) zone: String,
    pub(crate) zone_id: Option<String>,
}

/// An image of the class's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageOfClass {
    pub(crate) id: String,
    /// On the instance type.
    pub(crate) requirements: Requirements,
}

impl Shape {
    /// Reads a class; all that is wrong with it, if anything is.
    pub fn read(class: &Ec2NodeClass) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        if let Some(family) = class.spec.family().filter(|family| *family != AmiFamily::Al2023) {
            problems.push(format!("images of the family {family} are not supported yet; use al2023"));
        }
        let kubelet = kubelet::parse(&class.spec.kubelet.clone().unwrap_or_default());
        let kubelet = kubelet.unwrap_or_else(|errors| {
            problems.extend(errors.iter().map(ToString::to_string));
            kubelet::Kubelet::default()
        });
        let mut amounts = |path: &str, amounts| {
            ResourceList::from_api(amounts).unwrap_or_else(|errors| {
                problems.extend(errors.iter().map(|error| format!("spec.kubelet.{path}: {error}")));
                ResourceList::new()
            })
        };
        let kube_reserved = amounts("kubeReserved", &kubelet.kube_reserved);
        let system_reserved = amounts("systemReserved", &kubelet.system_reserved);
        let mut threshold = |signal: &str| match kubelet.eviction_hard.get(signal)? {
            EvictionThreshold::HundredthsOfPercent(part) => Some(Threshold::HundredthsOfPercent(*part)),
            EvictionThreshold::Quantity(amount) => match Quantity::try_from(amount) {
                Ok(amount) => Some(Threshold::Amount(amount)),
                Err(error) => {
                    problems.push(format!("spec.kubelet.evictionHard.{signal}: {error}"));
                    None
                }
            },
        };
        let memory_eviction = threshold("memory.available");
        let storage_eviction = threshold("nodefs.available");
        let root_volume = root_volume(&class.spec.block_device_mappings, &mut problems);
        let status = class.status.clone().unwrap_or_default();
        let images = status.amis.iter().filter_map(|image| {
            let requirements = image.requirements.iter().map(|requirement| {
                Requirement::parse(&requirement.key, &requirement.operator, &requirement.values)
            });
            match requirements.collect::<Result<Requirements, _>>() {
                Ok(requirements) => Some(ImageOfClass { id: image.id.clone(), requirements }),
                Err(error) => {
                    problems.push(format!("status.amis: requirements of {}: {error}", image.id));
                    None
                }
            }
        });
        let images = images.collect();
        let subnets = status.subnets.into_iter().map(|subnet| SubnetOfClass {
            id: subnet.id,
            zone: subnet.zone,
            zone_id: subnet.zone_id,
        });
        let shape = Self {
            max_pods: kubelet.max_pods,
            pods_per_core: kubelet.pods_per_core,
            kube_reserved,
            system_reserved,
            memory_eviction,
            storage_eviction,
            root_volume,
            stripes_local_disks: class.spec.instance_store_policy == Some(InstanceStorePolicy::Raid0),
            subnets: subnets.collect(),
            images,
        };
        if problems.is_empty() { Ok(shape) } else { Err(problems) }
    }

    /// The class's zones, with their ids as far as these are known.
    pub(super) fn zones(&self) -> BTreeMap<&str, Option<&str>> {
        self.subnets.iter().map(|subnet| (subnet.zone.as_str(), subnet.zone_id.as_deref())).collect()
    }

    /// The first image, the newest, that runs on a type with these labels.
    pub(crate) fn image_for(&self, instance_type: &Requirements) -> Option<&ImageOfClass> {
        self.images.iter().find(|image| instance_type.intersects(&image.requirements))
    }

    /// Whether local disks become one volume for pods.
    pub(crate) const fn stripes_local_disks(&self) -> bool {
        self.stripes_local_disks
    }

    /// The class's subnets, the one with the most free addresses first.
    pub(crate) fn subnets(&self) -> &[SubnetOfClass] {
        &self.subnets
    }
}

/// The size of the volume with the kubelet's data: of the one marked as root, else of the image's root device.
fn root_volume(devices: &[BlockDeviceMapping], problems: &mut Vec<String>) -> Quantity {
    let mut size_of = |device: &BlockDeviceMapping| {
        let size = device.ebs.as_ref()?.volume_size.as_ref()?;
        Quantity::try_from(size)
            .map_err(|error| problems.push(format!("spec.blockDeviceMappings: volumeSize: {error}")))
            .ok()
    };
    let marked = devices.iter().filter(|device| device.root_volume).find_map(&mut size_of);
    let is_root_device = |device: &&BlockDeviceMapping| device.device_name.as_deref() == Some(ROOT_DEVICE);
    marked.or_else(|| devices.iter().filter(is_root_device).find_map(size_of)).unwrap_or(ROOT_VOLUME)
}
