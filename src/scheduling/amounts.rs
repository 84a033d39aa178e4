//! Amounts of resources as plain numbers in a fixed order: what fits where, and how often.
//!
//! A problem names few resources. They are numbered once ([`Dimensions`]); after that an amount is a 64-bit number of milli units,
//! rounded so that nothing is ever taken to fit that does not: requests up, what there is down. Exact amounts and names are kept in
//! [`ResourceList`], for whoever reads the plan.

use std::collections::BTreeSet;

use crate::model::{
    quantity::Quantity,
    resources::{self, ResourceList},
};

const NANOS_PER_MILLI: i128 = 1_000_000;
/// More than any machine has, so that a request that does not fit 64 bits fits nowhere.
const MOST_THERE_IS: i64 = i64::MAX - 1;

/// What is requested of one resource, in milli units.
pub(super) fn requested(amount: Quantity) -> i64 {
    let milli = -(-amount.nanos()).div_euclid(NANOS_PER_MILLI);
    i64::try_from(milli).unwrap_or(if milli < 0 { i64::MIN } else { i64::MAX })
}

/// What there is of one resource, in milli units.
pub(super) fn there_is(amount: Quantity) -> i64 {
    let milli = amount.nanos().div_euclid(NANOS_PER_MILLI);
    i64::try_from(milli).unwrap_or(if milli < 0 { i64::MIN } else { MOST_THERE_IS }).min(MOST_THERE_IS)
}

/// The resources that a problem names: cpu, memory and pods first, as the queue is ordered by them, then the others by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dimensions(Vec<String>);

impl Dimensions {
    /// The dimensions of these requests.
    pub(super) fn of<'a>(requests: impl IntoIterator<Item = &'a ResourceList>) -> Self {
        let first = [resources::CPU, resources::MEMORY, resources::PODS];
        let named: BTreeSet<&str> =
            requests.into_iter().flat_map(|list| list.iter().map(|(name, _)| name)).collect();
        let others = named.into_iter().filter(|name| !first.contains(name));
        Self(first.into_iter().chain(others).map(str::to_owned).collect())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// What is requested.
    pub(super) fn requests(&self, list: &ResourceList) -> Amounts {
        self.names().map(|name| requested(list.amount(name))).collect()
    }

    /// What there is, if anything can be placed there at all: nothing can where more is promised than there is.
    pub(super) fn room(&self, list: &ResourceList) -> Option<Amounts> {
        let is_overcommitted = list.iter().any(|(_, amount)| amount.is_negative());
        (!is_overcommitted).then(|| self.names().map(|name| there_is(list.amount(name))).collect())
    }
}

/// Amounts in the order of the problem's dimensions, in milli units.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Amounts(Box<[i64]>);

impl FromIterator<i64> for Amounts {
    fn from_iter<I: IntoIterator<Item = i64>>(amounts: I) -> Self {
        Self(amounts.into_iter().collect())
    }
}

impl Amounts {
    pub(super) fn iter(&self) -> impl Iterator<Item = i64> {
        self.0.iter().copied()
    }

    /// Whether these requests fit into `room`.
    pub(super) fn fit_in(&self, room: &Self) -> bool {
        self.iter().zip(room.iter()).all(|(requested, room)| requested <= room)
    }

    /// How often these requests fit into `room`, up to `most`.
    pub(super) fn times_in(&self, room: &Self, most: u64) -> u64 {
        self.iter().zip(room.iter()).fold(most, |times, (requested, room)| {
            if requested <= 0 {
                if requested <= room { times } else { 0 }
            } else {
                times.min(u64::try_from(room / requested).unwrap_or(0))
            }
        })
    }

    /// Takes `other` out, `times` times.
    pub(super) fn take(&mut self, other: &Self, times: u64) {
        let times = i64::try_from(times).unwrap_or(i64::MAX);
        self.0
            .iter_mut()
            .zip(other.iter())
            .for_each(|(own, other)| *own = own.saturating_sub(other.saturating_mul(times)));
    }

    /// Adds `other`, `times` times.
    pub(super) fn add(&mut self, other: &Self, times: u64) {
        let times = i64::try_from(times).unwrap_or(i64::MAX);
        self.0
            .iter_mut()
            .zip(other.iter())
            .for_each(|(own, other)| *own = own.saturating_add(other.saturating_mul(times)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::testing::resource_list as list;

    fn check(requests: &str, room: &str, expected: u64) {
        let (requests, room) = (list(requests), list(room));
        let dimensions = Dimensions::of([&requests]);
        let times =
            dimensions.room(&room).map_or(0, |room| dimensions.requests(&requests).times_in(&room, 1000));
        assert_eq!(times, expected, "{requests:?} in {room:?}");
    }

    #[test]
    fn requests_fit_as_often_as_their_scarcest_resource_allows() {
        check("cpu=500m memory=1Gi pods=1", "cpu=3920m memory=7577Mi pods=58", 7);
        check("cpu=100m memory=1Gi pods=1", "cpu=3920m memory=7577Mi pods=58", 7);
        check("pods=1", "cpu=1 pods=58", 58);
        check("cpu=1 nvidia.com/gpu=1", "cpu=8 nvidia.com/gpu=2", 2);
        check("cpu=1 nvidia.com/gpu=1", "cpu=8", 0);
        check("cpu=0 nvidia.com/gpu=0", "cpu=8", 1000);
        check("cpu=9", "cpu=8", 0);
    }

    #[test]
    fn nothing_fits_where_anything_is_overcommitted_even_what_nobody_asks_for() {
        check("cpu=1", "cpu=8 memory=-1", 0);
    }

    #[test]
    fn rounding_never_makes_a_request_fit_that_does_not() {
        check("cpu=1000001n", "cpu=2000001n", 1);
        check("cpu=1000001n", "cpu=1999999n", 0);
        check("cpu=99999999999999999999", "cpu=99999999999999999999", 0);
    }

    proptest! {
        #[test]
        fn what_fits_by_numbers_fits_exactly(cpu in 0_i128..1 << 40, memory in 0_i128..1 << 90, room_cpu in 0_i128..1 << 44, room_memory in 0_i128..1 << 94) {
            let amounts = |cpu, memory| ResourceList::new().with("cpu", Quantity::from_nanos(cpu)).with("memory", Quantity::from_nanos(memory));
            let (requests, room) = (amounts(cpu, memory), amounts(room_cpu, room_memory));
            let dimensions = Dimensions::of([&requests]);
            let there = dimensions.room(&room).unwrap();
            let times = dimensions.requests(&requests).times_in(&there, 1000);
            prop_assert!(requests.times(times).fits_in(&room));
            prop_assert_eq!(times > 0, dimensions.requests(&requests).fit_in(&there));
        }
    }
}
