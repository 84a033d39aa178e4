//! What EC2 says of an instance type, as far as it matters to a node.
//!
//! Copied from `DescribeInstanceTypes`, plus a table for the two facts that it lacks. Computes nothing.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// An instance type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TypeFacts {
    /// Its name.
    pub name: String,
    /// Whether it can be bought on demand, as spot, or both.
    pub usage: Usage,
    /// Kubernetes' name of the architecture: `amd64` or `arm64`.
    pub architecture: String,
    /// Default vCPUs.
    pub cpus: u64,
    /// Memory in MiB, nothing subtracted.
    pub memory_mebibytes: u64,
    /// Maker of the processor.
    pub manufacturer: Option<String>,
    /// Sustained clock speed in MHz; 0 if EC2 does not say.
    pub clock_megahertz: u64,
    /// Bandwidth to EBS in Mbit/s, if the type is EBS-optimised by default.
    pub ebs_megabits: Option<u64>,
    /// Local disks in GB.
    pub local_disk_gigabytes: Option<u64>,
    /// Whether the local disks, if any, are `NVMe`.
    pub is_local_disk_nvme: bool,
    /// `nitro` or `xen`; empty for metal.
    pub hypervisor: String,
    /// Whether traffic between instances is encrypted.
    pub encrypts_in_transit: bool,
    /// Whether it can run Nitro Enclaves.
    pub supports_enclaves: bool,
    /// Network interfaces of the default card.
    pub interfaces: u64,
    /// IPv4 addresses of an interface.
    pub addresses_per_interface: u64,
    /// Sum of the cards' baseline bandwidths in Mbit/s, if EC2 says that of each.
    pub network_megabits: Option<u64>,
    /// Elastic Fabric Adapters.
    pub efa_interfaces: u64,
    /// GPUs, by model.
    pub gpus: Vec<Gpu>,
    /// Neuron devices, by model; nothing if EC2 mentions none.
    pub neuron: Option<Vec<Neuron>>,
    /// Other inference accelerators, by model.
    pub accelerators: Vec<Accelerator>,
}

/// How a type can be bought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// By the hour.
    pub on_demand: bool,
    /// Until EC2 takes it back.
    pub spot: bool,
}

/// GPUs of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gpu {
    /// Model.
    pub name: String,
    /// Maker.
    pub manufacturer: String,
    /// How many.
    pub count: u64,
    /// Memory of one, in MiB.
    pub memory_mebibytes: u64,
}

/// Neuron devices of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neuron {
    /// Model.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Cores of one.
    pub cores: u64,
}

/// Inference accelerators of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accelerator {
    /// Model.
    pub name: String,
    /// Maker.
    pub manufacturer: String,
    /// How many.
    pub count: u64,
}

/// What EC2's API does not say of a type's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    /// Bandwidth in Mbit/s, where Amazon's documentation has a number.
    pub(super) megabits: Option<u64>,
    /// Branch interfaces that the VPC resource controller can give to pods.
    pub(super) branch_interfaces: Option<u64>,
}

static NETWORKS: LazyLock<BTreeMap<&'static str, Network>> = LazyLock::new(|| {
    include_str!("../tables/network.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            let (megabits, branch_interfaces) = rest.split_once(' ')?;
            Some((
                name,
                Network {
                    megabits: megabits.parse().ok(),
                    branch_interfaces: branch_interfaces.parse().ok(),
                },
            ))
        })
        .collect()
});

impl TypeFacts {
    /// What the table says of the type; for types newer than it, what EC2's API has.
    pub(super) fn network(&self) -> Network {
        let newer = Network { megabits: self.network_megabits, branch_interfaces: None };
        NETWORKS.get(self.name.as_str()).copied().unwrap_or(newer)
    }

    /// The part of the name before the dot.
    pub(super) fn family(&self) -> &str {
        self.name.split_once('.').map_or(self.name.as_str(), |(family, _)| family)
    }

    /// The part of the name after the dot; empty if there is none.
    pub(super) fn size(&self) -> &str {
        self.name.split_once('.').map_or("", |(_, size)| size)
    }
}
