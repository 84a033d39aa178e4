//! Instance types and the ways in which they can be bought.
//!
//! A type's requirements say what its nodes' labels can be. How they, the capacity and the prices are computed from what a cloud says
//! is the provider's business.

use std::collections::BTreeMap;

use super::{
    label,
    price::Price,
    quantity::Quantity,
    requirements::Requirements,
    resources::{self, ResourceList},
};

mod named;
#[cfg(test)]
mod tests;

pub use named::labels_by_name;

/// How a node is bought. The order decides between offerings of equal price: what cannot be taken away comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CapacityType {
    /// From capacity that is paid for already.
    Reserved,
    /// By the hour, for as long as it is wanted.
    OnDemand,
    /// By the hour, until the cloud takes it back.
    Spot,
}

impl CapacityType {
    /// The value of the label [`label::CAPACITY_TYPE`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::OnDemand => "on-demand",
            Self::Spot => "spot",
        }
    }
}

/// One way to buy an instance type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offering {
    /// The zone that the node will be in.
    pub zone: String,
    /// How it is bought.
    pub capacity_type: CapacityType,
    /// Further labels that a node has if it is bought like this, as the zone's id.
    pub labels: BTreeMap<String, String>,
    /// What it costs.
    pub price: Price,
    /// Whether it can be bought now, as far as is known.
    pub is_available: bool,
}

impl Offering {
    /// Whether a node that is bought like this can meet these requirements.
    #[must_use]
    pub fn is_compatible(&self, node: &Requirements) -> bool {
        node.allows(label::ZONE, &self.zone)
            && node.allows(label::CAPACITY_TYPE, self.capacity_type.name())
            && self.labels.iter().all(|(key, value)| node.allows(key, value))
    }

    fn order(&self) -> (Price, CapacityType, &str) {
        (self.price, self.capacity_type, &self.zone)
    }
}

/// What a machine keeps for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overhead {
    /// For the kubelet and the container runtime.
    pub kube_reserved: ResourceList,
    /// For the operating system.
    pub system_reserved: ResourceList,
    /// What has to stay free before the kubelet evicts pods.
    pub eviction_threshold: ResourceList,
}

impl Overhead {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> ResourceList {
        [&self.kube_reserved, &self.system_reserved, &self.eviction_threshold].into_iter().sum()
    }
}

/// What a machine has, and what it leaves for pods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MachineResources {
    capacity: ResourceList,
    overhead: Overhead,
    allocatable: ResourceList,
}

impl MachineResources {
    /// What `capacity` leaves for pods after `overhead`.
    ///
    /// Huge pages are set aside from memory. An amount can be negative where the machine is too small for its own overhead; then nothing
    /// fits.
    #[must_use]
    pub fn new(capacity: ResourceList, overhead: Overhead) -> Self {
        let mut allocatable = capacity.minus(&overhead.total());
        for (name, huge_pages) in capacity.iter() {
            if name.starts_with(resources::HUGE_PAGES_PREFIX) {
                let left = (allocatable.amount(resources::MEMORY) - huge_pages).max(Quantity::from_bytes(0));
                allocatable.set(resources::MEMORY, left);
            }
        }
        Self { capacity, overhead, allocatable }
    }

    /// What the machine has.
    #[must_use]
    pub const fn capacity(&self) -> &ResourceList {
        &self.capacity
    }

    /// What it keeps for itself.
    #[must_use]
    pub const fn overhead(&self) -> &Overhead {
        &self.overhead
    }

    /// What is left for pods, daemons included.
    #[must_use]
    pub const fn allocatable(&self) -> &ResourceList {
        &self.allocatable
    }
}

/// An instance type as one node class would launch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceType {
    /// The type's name.
    pub name: String,
    /// What the labels of its nodes can be.
    pub requirements: Requirements,
    /// What it has and leaves for pods.
    pub resources: MachineResources,
    /// The ways to buy it, available or not.
    pub offerings: Vec<Offering>,
}

impl InstanceType {
    /// Whether a node of this type can meet these requirements. Labels that the type does not mention are not its business.
    #[must_use]
    pub fn is_compatible(&self, node: &Requirements) -> bool {
        self.requirements.intersects(node)
    }

    /// The offerings that can be bought now and meet these requirements.
    pub fn offerings_for(&self, node: &Requirements) -> impl Iterator<Item = &Offering> {
        self.offerings.iter().filter(|offering| offering.is_available && offering.is_compatible(node))
    }

    /// The cheapest offering that can be bought now and meets these requirements. Equal prices are decided by capacity type
    /// (reserved, on-demand, spot), then by zone.
    #[must_use]
    pub fn cheapest_offering(&self, node: &Requirements) -> Option<&Offering> {
        self.offerings_for(node).min_by(|a, b| a.order().cmp(&b.order()))
    }
}

/// Sorts types by the price of their [`cheapest_offering`](InstanceType::cheapest_offering), then by name; types without one come last.
pub fn sort_by_price(types: &mut [&InstanceType], node: &Requirements) {
    types.sort_by_cached_key(|instance_type| {
        let price = instance_type.cheapest_offering(node).map(|offering| offering.price);
        (price.is_none(), price, instance_type.name.clone())
    });
}
