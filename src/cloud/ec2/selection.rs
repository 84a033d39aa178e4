//! Which instance types a launch may choose from, in which order, and how they are bought.
//!
//! Pure. The filters are Karpenter's, in its order; what is left is what EC2 is offered, cheapest first. On demand only: a claim
//! that leaves nothing else is refused, and one that allows spot too is launched on demand.

use crate::api::labels;
use crate::model::instance_type::{self, InstanceType};
use crate::model::{Quantity, Requirement, Requirements, min_values};
use crate::ports::cloud::LaunchRequest;
use crate::ports::{CloudError, ErrorClass};

use super::catalog::EXOTIC;
use super::template::Tenancy;

/// The most types that one fleet request offers, as in Karpenter.
const MOST_TYPES: usize = 60;

/// What EC2 may choose from.
#[derive(Debug)]
pub(super) struct Selection<'t> {
    /// Types in order of their cheapest offering, then of their names; each has at least one offering.
    pub(super) types: Vec<&'t InstanceType>,
    /// The claim's requirements, bound to what is bought.
    pub(super) requirements: Requirements,
    /// Whose hardware.
    pub(super) tenancy: Tenancy,
}

/// Chooses for a claim.
pub(super) fn select<'t>(
    types: &'t [InstanceType],
    request: &LaunchRequest<'_>,
) -> Result<Selection<'t>, CloudError> {
    let tenancy = tenancy(request.requirements)?;
    let mut requirements = request.requirements.clone();
    if !requirements.allows(labels::CAPACITY_TYPE, labels::CAPACITY_ON_DEMAND) {
        return Err(refused(
            "CapacityTypeNotSupported",
            "spot and reserved capacity are not supported yet, and its requirements leave nothing else; allow on-demand",
        ));
    }
    requirements.add(Requirement::one_of(labels::CAPACITY_TYPE, [labels::CAPACITY_ON_DEMAND]));

    let (mut matching, mut fitting) = (0, 0);
    let mut chosen: Vec<_> = types
        .iter()
        .filter(|candidate| candidate.is_compatible(&requirements))
        .inspect(|_| matching += 1)
        .filter(|candidate| request.requests.fits_in(candidate.resources.allocatable()))
        .inspect(|_| fitting += 1)
        .filter(|candidate| candidate.offerings_for(&requirements).next().is_some())
        .collect();
    if chosen.is_empty() {
        let message = match (matching, fitting) {
            (0, _) => format!("none of {} instance types meets {}", types.len(), request.requirements),
            (_, 0) => format!(
                "none of the {matching} instance types that meet the requirements offers {}",
                request.requests
            ),
            _ => format!(
                "none of the {fitting} instance types that would do can be bought now in a zone of the class"
            ),
        };
        return Err(no_capacity(message));
    }
    let has_min_values = requirements.iter().any(|requirement| requirement.min_values().is_some());
    if !has_min_values && chosen.iter().any(|candidate| !is_exotic(candidate)) {
        chosen.retain(|candidate| !is_exotic(candidate));
    }
    instance_type::sort_by_price(&mut chosen, &requirements);
    chosen.truncate(MOST_TYPES);
    if let Err(shortfalls) = min_values::satisfied_by_first(chosen.iter().copied(), &requirements) {
        let shortfalls: Vec<_> = shortfalls.iter().map(ToString::to_string).collect();
        return Err(no_capacity(format!(
            "the cheapest {} instance types offer too little choice: {}",
            chosen.len(),
            shortfalls.join("; ")
        )));
    }
    Ok(Selection { types: chosen, requirements, tenancy })
}

/// Shared hardware if it is allowed, else the account's own.
fn tenancy(requirements: &Requirements) -> Result<Tenancy, CloudError> {
    [Tenancy::Default, Tenancy::Dedicated]
        .into_iter()
        .find(|tenancy| requirements.allows(labels::INSTANCE_TENANCY, tenancy.name()))
        .ok_or_else(|| {
            refused(
                "TenancyNotSupported",
                "no tenancy is left by its requirements; allow default or dedicated",
            )
        })
}

/// Metal, and machines with devices: not for pods that could run elsewhere.
fn is_exotic(candidate: &InstanceType) -> bool {
    let size = candidate.name.split_once('.').map_or("", |(_, size)| size);
    size.contains("metal")
        || EXOTIC.iter().any(|device| candidate.resources.capacity().amount(device) > Quantity::ZERO)
}

fn no_capacity(message: String) -> CloudError {
    CloudError::new(ErrorClass::NoCapacity, "InsufficientCapacity", "choose instance types", message)
}

fn refused(reason: &'static str, message: &str) -> CloudError {
    CloudError::new(ErrorClass::Other, reason, "choose instance types", message)
}
