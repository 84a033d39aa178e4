//! How much a machine has and how much of it pods get: Karpenter's formulas for AL2023, in whole numbers.
//!
//! EC2 advertises more memory than a machine has, the kubelet reserves by the number of pods, and the number of pods follows from
//! network interfaces. Sources: Amazon's table of reservations in the EKS documentation, and Karpenter 1.14.

use std::collections::BTreeMap;

use super::facts::TypeFacts;
use super::shape::{Shape, Threshold};
use crate::model::instance_type::{MachineResources, Overhead};
use crate::model::quantity::Format;
use crate::model::resources::{CPU, EPHEMERAL_STORAGE, MEMORY, PODS};
use crate::model::{Quantity, ResourceList};

const MEBIBYTE: i64 = 1 << 20;
const GIBIBYTE: i64 = 1 << 30;
const MILLION: u64 = 1_000_000;

/// Memory that a kernel for arm64 keeps before Linux counts what there is.
const ARM_MEBIBYTES: u64 = 64;
/// Memory below which the kubelet evicts pods, if nobody says otherwise.
const EVICTION_MEMORY: Quantity = Quantity::from_bytes(100 * MEBIBYTE);

/// EC2's Elastic Fabric Adapters.
pub(crate) const EFA: &str = "vpc.amazonaws.com/efa";
const POD_ENI: &str = "vpc.amazonaws.com/pod-eni";
const NEURON: &str = "aws.amazon.com/neuron";
const NEURON_CORE: &str = "aws.amazon.com/neuroncore";
/// GPUs by the maker's name, exactly as EC2 writes it.
const GPUS: [(&str, &str); 3] =
    [("NVIDIA", "nvidia.com/gpu"), ("AMD", "amd.com/gpu"), ("Habana", "habana.ai/gaudi")];

/// Resources that are too dear to be used for pods that do not ask for them.
pub(crate) const EXOTIC: [&str; 5] =
    ["nvidia.com/gpu", "amd.com/gpu", "habana.ai/gaudi", NEURON, NEURON_CORE];

/// What reckoning assumes of all machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assumptions {
    /// How many millionths of the advertised memory the hypervisor and the kernel keep. Karpenter's
    /// `VM_MEMORY_OVERHEAD_PERCENT`; 0.075 by default.
    pub memory_overhead_millionths: u32,
    /// Network interfaces that are not used for pods. Karpenter's `RESERVED_ENIS`.
    pub reserved_interfaces: u32,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self { memory_overhead_millionths: 75_000, reserved_interfaces: 0 }
    }
}

/// What a machine of this type has and leaves for pods.
pub(super) fn resources(facts: &TypeFacts, shape: &Shape, assumptions: Assumptions) -> MachineResources {
    let capacity = capacity(facts, shape, assumptions);
    let (memory, storage) = (capacity.amount(MEMORY), capacity.amount(EPHEMERAL_STORAGE));
    let mut kube_reserved = ResourceList::new()
        .with(CPU, Quantity::from_milli(reserved_millis(facts.cpus)))
        // The image's bootstrap reserves by what the type could run, whatever maxPods says.
        .with(MEMORY, mebibytes(11 * network_pods(facts, 0) + 255))
        .with(EPHEMERAL_STORAGE, Quantity::from_bytes(GIBIBYTE));
    for (name, amount) in shape.kube_reserved.iter() {
        kube_reserved.set(name, amount);
    }
    let eviction_threshold = ResourceList::new()
        .with(MEMORY, shape.memory_eviction.map_or(EVICTION_MEMORY, |threshold| threshold.of(memory)))
        .with(
            EPHEMERAL_STORAGE,
            shape.storage_eviction.unwrap_or(Threshold::HundredthsOfPercent(1000)).of(storage),
        );
    let overhead =
        Overhead { kube_reserved, system_reserved: shape.system_reserved.clone(), eviction_threshold };
    MachineResources::new(capacity, overhead)
}

fn capacity(facts: &TypeFacts, shape: &Shape, assumptions: Assumptions) -> ResourceList {
    let is_arm = facts.architecture == crate::api::labels::ARCH_ARM64;
    let memory = facts.memory_mebibytes.saturating_sub(if is_arm { ARM_MEBIBYTES } else { 0 });
    let overhead = memory.saturating_mul(assumptions.memory_overhead_millionths.into()).div_ceil(MILLION);
    let mut capacity = ResourceList::new()
        .with(CPU, count(facts.cpus))
        .with(MEMORY, mebibytes(memory.saturating_sub(overhead)))
        .with(EPHEMERAL_STORAGE, storage(facts, shape))
        .with(PODS, count(pods(facts, shape, assumptions)));
    for (name, amount) in devices(facts) {
        if amount > 0 {
            capacity.set(name, count(amount));
        }
    }
    capacity
}

/// The most pods on a node of this type, as the kubelet is told.
pub(crate) fn pods(facts: &TypeFacts, shape: &Shape, assumptions: Assumptions) -> u64 {
    let network = || network_pods(facts, assumptions.reserved_interfaces.into());
    let pods = shape.max_pods.map_or_else(network, u64::from);
    match shape.pods_per_core {
        Some(per_core) if per_core > 0 => pods.min(facts.cpus.saturating_mul(per_core.into())),
        _ => pods,
    }
}

/// How many pods get an address: one address of each interface is the interface's own, and two pods use the host's network.
fn network_pods(facts: &TypeFacts, reserved_interfaces: u64) -> u64 {
    match facts.interfaces.saturating_sub(reserved_interfaces) {
        0 => 0,
        interfaces => interfaces * facts.addresses_per_interface.saturating_sub(1) + 2,
    }
}

/// 6 % of the first core, 1 % of the second, 0.5 % of the next two, 0.25 % of the rest, each cut to whole millicores.
fn reserved_millis(cpus: u64) -> i64 {
    let millis = cpus.saturating_mul(1000);
    let tiers = [(0, 1000, 600), (1000, 2000, 100), (2000, 4000, 50), (4000, u64::MAX, 25)];
    let reserved = tiers.into_iter().map(|(from, to, per_ten_thousand)| {
        millis.min(to).saturating_sub(from).saturating_mul(per_ten_thousand) / 10_000
    });
    signed(reserved.sum())
}

/// What of the disks pods can use: the local ones, if they are striped for it, else the volume that holds the kubelet's data.
fn storage(facts: &TypeFacts, shape: &Shape) -> Quantity {
    match facts.local_disk_gigabytes {
        Some(gigabytes) if shape.stripes_local_disks => {
            Quantity::from_units(signed(gigabytes.saturating_mul(1000 * MILLION)))
        }
        _ => shape.root_volume,
    }
}

fn devices(facts: &TypeFacts) -> BTreeMap<&'static str, u64> {
    let gpus = GPUS.map(|(maker, resource)| {
        let of_maker = facts.gpus.iter().filter(|gpu| gpu.manufacturer == maker);
        (resource, of_maker.map(|gpu| gpu.count).sum())
    });
    let neuron = facts.neuron.as_deref().unwrap_or_default();
    let others = [
        (NEURON, neuron.iter().map(|device| device.count).sum()),
        (NEURON_CORE, neuron.first().map_or(0, |device| device.count * device.cores)),
        (EFA, facts.efa_interfaces),
        (POD_ENI, facts.network().branch_interfaces.unwrap_or(0)),
    ];
    gpus.into_iter().chain(others).collect()
}

impl Threshold {
    /// How much must stay free of this. All of it means that nobody watches.
    fn of(self, capacity: Quantity) -> Quantity {
        match self {
            Self::HundredthsOfPercent(10_000) => Quantity::ZERO,
            Self::HundredthsOfPercent(part) => {
                let units = u64::try_from(capacity.units()).unwrap_or(0);
                let free = u128::from(units) * u128::from(part);
                let free = i64::try_from(free.div_ceil(10_000)).unwrap_or(i64::MAX);
                Quantity::from_units(free).with_format(Format::BinarySi)
            }
            Self::Amount(amount) => amount,
        }
    }
}

fn count(count: u64) -> Quantity {
    Quantity::from_units(signed(count))
}

fn mebibytes(mebibytes: u64) -> Quantity {
    Quantity::from_bytes(signed(mebibytes).saturating_mul(MEBIBYTE))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
