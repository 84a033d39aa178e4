//! `DescribeInstanceTypes` read into facts.

use aws_sdk_ec2::types::{
    ArchitectureType, EbsOptimizedSupport, EphemeralNvmeSupport, GpuDeviceInfo, InferenceDeviceInfo,
    InstanceTypeInfo, NetworkInfo, NeuronDeviceInfo, NitroEnclavesSupport, ProcessorInfo, UsageClassType,
};

use crate::api::labels;
use crate::cloud::ec2::catalog::facts::{Accelerator, Gpu, Neuron, TypeFacts, Usage};

/// The facts; nothing for what is no usable description of a type, or of an architecture that Kubernetes does not run on.
pub(super) fn facts(info: &InstanceTypeInfo) -> Option<TypeFacts> {
    let processor = info.processor_info.as_ref();
    let network = info.network_info.as_ref();
    let ebs =
        info.ebs_info.as_ref().filter(|ebs| ebs.ebs_optimized_support == Some(EbsOptimizedSupport::Default));
    let ebs = ebs.and_then(|ebs| ebs.ebs_optimized_info.as_ref());
    let disks = info.instance_storage_info.as_ref();
    let neuron = info.neuron_info.as_ref().map(|info| info.neuron_devices().iter().map(neuron).collect());
    let accelerators = info
        .inference_accelerator_info
        .as_ref()
        .map(|info| info.accelerators().iter().map(accelerator).collect());
    Some(TypeFacts {
        name: info.instance_type.as_ref()?.as_str().to_owned(),
        usage: Usage {
            on_demand: info.supported_usage_classes().contains(&UsageClassType::OnDemand),
            spot: info.supported_usage_classes().contains(&UsageClassType::Spot),
        },
        architecture: architecture(processor?)?.to_owned(),
        cpus: unsigned(info.v_cpu_info.as_ref()?.default_v_cpus?),
        memory_mebibytes: u64::try_from(info.memory_info.as_ref()?.size_in_mib?).ok()?,
        manufacturer: processor.and_then(|processor| processor.manufacturer.clone()),
        clock_megahertz: processor
            .and_then(|processor| processor.sustained_clock_speed_in_ghz)
            .map_or(0, thousandfold),
        ebs_megabits: ebs.and_then(|ebs| ebs.maximum_bandwidth_in_mbps).map(unsigned),
        local_disk_gigabytes: disks
            .and_then(|disks| disks.total_size_in_gb)
            .and_then(|size| u64::try_from(size).ok()),
        is_local_disk_nvme: disks
            .is_some_and(|disks| disks.nvme_support != Some(EphemeralNvmeSupport::Unsupported)),
        hypervisor: info
            .hypervisor
            .as_ref()
            .map_or_else(String::new, |hypervisor| hypervisor.as_str().to_owned()),
        encrypts_in_transit: network
            .and_then(|network| network.encryption_in_transit_supported)
            .unwrap_or(false),
        supports_enclaves: info.nitro_enclaves_support == Some(NitroEnclavesSupport::Supported),
        interfaces: network.and_then(interfaces).unwrap_or(0),
        addresses_per_interface: network
            .and_then(|network| network.ipv4_addresses_per_interface)
            .map_or(0, unsigned),
        network_megabits: network.and_then(megabits),
        efa_interfaces: network
            .and_then(|network| network.efa_info.as_ref()?.maximum_efa_interfaces)
            .map_or(0, unsigned),
        gpus: info.gpu_info.as_ref().map(|info| info.gpus().iter().map(gpu).collect()).unwrap_or_default(),
        neuron,
        accelerators: accelerators.unwrap_or_default(),
    })
}

/// Kubernetes' name of the first architecture that it knows.
fn architecture(processor: &ProcessorInfo) -> Option<&'static str> {
    processor.supported_architectures().iter().find_map(|architecture| match architecture {
        ArchitectureType::X8664 => Some(labels::ARCH_AMD64),
        ArchitectureType::Arm64 => Some(labels::ARCH_ARM64),
        _ => None,
    })
}

/// Interfaces of the card that a network interface is on if nobody says otherwise.
fn interfaces(network: &NetworkInfo) -> Option<u64> {
    let card = usize::try_from(network.default_network_card_index.unwrap_or(0)).ok()?;
    network.network_cards().get(card)?.maximum_network_interfaces.map(unsigned)
}

/// The sum over the cards, if each says what it has.
fn megabits(network: &NetworkInfo) -> Option<u64> {
    let cards = network.network_cards().iter().map(|card| card.baseline_bandwidth_in_gbps);
    cards.sum::<Option<f64>>().filter(|sum| *sum > 0.0).map(thousandfold)
}

fn gpu(info: &GpuDeviceInfo) -> Gpu {
    Gpu {
        name: info.name.clone().unwrap_or_default(),
        manufacturer: info.manufacturer.clone().unwrap_or_default(),
        count: info.count.map_or(0, unsigned),
        memory_mebibytes: info.memory_info.as_ref().and_then(|memory| memory.size_in_mib).map_or(0, unsigned),
    }
}

fn neuron(info: &NeuronDeviceInfo) -> Neuron {
    Neuron {
        name: info.name.clone().unwrap_or_default(),
        count: info.count.map_or(0, unsigned),
        cores: info.core_info.as_ref().and_then(|cores| cores.count).map_or(0, unsigned),
    }
}

fn accelerator(info: &InferenceDeviceInfo) -> Accelerator {
    Accelerator {
        name: info.name.clone().unwrap_or_default(),
        manufacturer: info.manufacturer.clone().unwrap_or_default(),
        count: info.count.map_or(0, unsigned),
    }
}

fn unsigned(number: i32) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// GHz and Gbit/s have decimals in EC2's answers; labels have MHz and Mbit/s.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what a u32 holds; nothing of EC2's comes near"
)]
fn thousandfold(number: f64) -> u64 {
    (number * 1000.0).round().clamp(0.0, f64::from(u32::MAX)) as u64
}
