//! The ways to buy an instance type: the zones that it is offered in, what it costs there, whether there is capacity.
//!
//! On demand only: spot and reserved capacity are not offered, so nothing is planned on them.

use std::collections::{BTreeMap, BTreeSet};

use super::cache::Mark;
use super::catalog::{Catalog, Region, Shape, TypeFacts};
use crate::api::labels;
use crate::model::instance_type::{CapacityType, Offering};

/// On-demand offerings of a type by zone, those that cannot be bought included; none at all if its price is not known.
pub(super) fn offerings(
    catalog: &Catalog,
    facts: &TypeFacts,
    region: &Region,
    shape: &Shape,
    unavailable: &BTreeSet<Mark>,
    can_launch: bool,
) -> Vec<Offering> {
    let Some(price) = region.prices.on_demand(&facts.name).filter(|_| facts.usage.on_demand) else {
        return Vec::new();
    };
    let open_zones = open_zones(shape, unavailable);
    let offering = |zone: &str| {
        let mark = Mark::Offering {
            capacity_type: CapacityType::OnDemand,
            instance_type: facts.name.clone(),
            zone: zone.to_owned(),
        };
        let zone_id = open_zones.get(zone).copied().flatten();
        Offering {
            zone: zone.to_owned(),
            capacity_type: CapacityType::OnDemand,
            labels: zone_id.map(|id| (labels::ZONE_ID.to_owned(), id.to_owned())).into_iter().collect(),
            price,
            is_available: can_launch && open_zones.contains_key(zone) && !unavailable.contains(&mark),
        }
    };
    catalog.zones_of(&facts.name).map(offering).collect()
}

/// Zones with a subnet that has free addresses, as far as is known, and the zones' ids.
fn open_zones<'s>(shape: &'s Shape, unavailable: &BTreeSet<Mark>) -> BTreeMap<&'s str, Option<&'s str>> {
    let open =
        shape.subnets().iter().filter(|subnet| !unavailable.contains(&Mark::Subnet(subnet.id.clone())));
    open.map(|subnet| (subnet.zone.as_str(), subnet.zone_id.as_deref())).collect()
}
