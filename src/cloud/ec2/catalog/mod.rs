//! The catalogue: what EC2 says of its types, turned into instance types as a class would launch them.
//!
//! Pure. Where and how they can be bought is put in by `offerings`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

mod capacity;
pub mod facts;
mod labels;
mod shape;
#[cfg(test)]
mod tests;

pub use capacity::Assumptions;
pub(crate) use capacity::{EFA, EXOTIC, pods};
pub use facts::TypeFacts;
pub(crate) use shape::ROOT_DEVICE;
pub use shape::{ImageOfClass, Shape, SubnetOfClass};

use super::cache::Mark;
use super::offerings;
use super::pricing::Prices;
use crate::api;
use crate::model::{InstanceType, Requirement};

/// The family whose processors AL2023 does not run on.
const NOT_ON_AL2023: &str = "a1";

/// Every type of a region, and where it is offered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// Types by name.
    pub types: BTreeMap<String, TypeFacts>,
    /// The zones in which a type is offered, by its name.
    pub zones: BTreeMap<String, BTreeSet<String>>,
}

impl Catalog {
    /// Puts both answers of EC2 together.
    #[must_use]
    pub fn new(types: Vec<TypeFacts>, type_zones: Vec<(String, String)>) -> Self {
        let mut zones: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (instance_type, zone) in type_zones {
            zones.entry(instance_type).or_default().insert(zone);
        }
        Self { types: types.into_iter().map(|facts| (facts.name.clone(), facts)).collect(), zones }
    }

    /// The zones in which a type is offered.
    pub(super) fn zones_of(&self, instance_type: &str) -> impl Iterator<Item = &str> {
        self.zones.get(instance_type).into_iter().flatten().map(String::as_str)
    }
}

/// What is the same for all classes.
#[derive(Clone, Debug)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// What instances cost in it.
    pub prices: Prices,
    /// What is assumed of machines.
    pub assumptions: Assumptions,
}

/// Every type as the class would launch it, by name.
#[must_use]
pub fn instance_types(
    catalog: &Catalog,
    region: &Region,
    shape: &Shape,
    unavailable: &BTreeSet<Mark>,
) -> Arc<[InstanceType]> {
    let build = |facts: &TypeFacts| {
        let zones = shape.zones();
        let common: Vec<_> = catalog.zones_of(&facts.name).filter(|zone| zones.contains_key(zone)).collect();
        let zone_ids: BTreeSet<_> = common.iter().filter_map(|zone| *zones.get(zone)?).collect();
        let mut requirements = labels::of_type(facts, &region.name);
        requirements.add(Requirement::one_of(api::labels::ZONE, common));
        requirements.add(Requirement::one_of(api::labels::ZONE_ID, zone_ids));
        let can_launch = facts.family() != NOT_ON_AL2023 && shape.image_for(&requirements).is_some();
        InstanceType {
            name: facts.name.clone(),
            resources: capacity::resources(facts, shape, region.assumptions),
            offerings: offerings::offerings(catalog, facts, region, shape, unavailable, can_launch),
            requirements,
        }
    };
    catalog.types.values().map(build).collect()
}
