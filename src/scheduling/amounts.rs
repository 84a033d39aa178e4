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

/// Always there, and first: the queue is ordered by them.
const FIRST: [&str; 3] = [resources::CPU, resources::MEMORY, resources::PODS];

/// The resources that a problem requests and that something has: cpu, memory and pods first, then the others by name; and one dimension for
/// everything that nothing has. Anybody can make up names for resources, and each would be a column of every catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dimensions {
    names: Vec<String>,
    has_unknown: bool,
}

impl Dimensions {
    /// The dimensions of these requests, if `has` says which resources there are.
    pub(super) fn of<'a>(
        requests: impl IntoIterator<Item = &'a ResourceList>,
        has: impl Fn(&str) -> bool,
    ) -> Self {
        let mentioned: BTreeSet<&str> =
            requests.into_iter().flat_map(|list| list.iter().map(|(name, _)| name)).collect();
        let others = mentioned.into_iter().filter(|name| !FIRST.contains(name));
        let (known, unknown): (Vec<_>, Vec<_>) = others.partition(|name| has(name));
        let names = FIRST.into_iter().chain(known).map(str::to_owned).collect();
        Self { names, has_unknown: !unknown.is_empty() }
    }

    /// The resource of each dimension; nothing for that of what nothing has.
    pub(super) fn names(&self) -> impl Iterator<Item = Option<&str>> {
        let known = self.names.iter().map(|name| Some(name.as_str()));
        known.chain(self.has_unknown.then_some(None))
    }

    /// What is requested of resources that nothing has.
    pub(super) fn unknown<'a>(&self, list: &'a ResourceList) -> impl Iterator<Item = (&'a str, Quantity)> {
        let others = self.names.get(FIRST.len()..).unwrap_or_default();
        let is_known = |name: &str| {
            FIRST.contains(&name) || others.binary_search_by(|known| known.as_str().cmp(name)).is_ok()
        };
        list.iter().filter(move |(name, amount)| *amount > Quantity::ZERO && !is_known(name))
    }

    /// What is requested.
    pub(super) fn requests(&self, list: &ResourceList) -> Amounts {
        let unknown = || i64::from(self.unknown(list).next().is_some());
        self.names().map(|name| name.map_or_else(unknown, |name| requested(list.amount(name)))).collect()
    }

    /// What there is, if anything can be placed there at all: nothing can where more is promised than there is.
    pub(super) fn room(&self, list: &ResourceList) -> Option<Amounts> {
        let is_overcommitted = list.iter().any(|(_, amount)| amount.is_negative());
        (!is_overcommitted)
            .then(|| self.names().map(|name| name.map_or(0, |name| there_is(list.amount(name)))).collect())
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
        let dimensions = Dimensions::of([&requests], |name| room.get(name).is_some());
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

    #[test]
    fn resources_that_nothing_has_are_one_dimension_in_which_nothing_has_room() {
        let made_up = |from: usize| {
            let names = (from..from + 1000).map(|number| format!("example.com/{number}=1"));
            list(&names.collect::<Vec<_>>().join(" "))
        };
        let (one, other, nothing) = (made_up(0), made_up(5000), list("cpu=1 example.com/7=0"));
        let room = list("cpu=8 example.com/7=9");
        let dimensions = Dimensions::of([&one, &other, &nothing], |name| room.get(name).is_some());
        assert_eq!(dimensions.names().count(), 5);
        assert_eq!(dimensions.unknown(&one).count(), 999);
        let there = dimensions.room(&room).unwrap();
        for (requests, fits) in [(&one, false), (&other, false), (&nothing, true)] {
            assert_eq!(dimensions.requests(requests).fit_in(&there), fits);
        }
    }

    proptest! {
        #[test]
        fn what_fits_by_numbers_fits_exactly(cpu in 0_i128..1 << 40, memory in 0_i128..1 << 90, room_cpu in 0_i128..1 << 44, room_memory in 0_i128..1 << 94) {
            let amounts = |cpu, memory| ResourceList::new().with("cpu", Quantity::from_nanos(cpu)).with("memory", Quantity::from_nanos(memory));
            let (requests, room) = (amounts(cpu, memory), amounts(room_cpu, room_memory));
            let dimensions = Dimensions::of([&requests], |_| true);
            let there = dimensions.room(&room).unwrap();
            let times = dimensions.requests(&requests).times_in(&there, 1000);
            prop_assert!(requests.times(times).fits_in(&room));
            prop_assert_eq!(times > 0, dimensions.requests(&requests).fit_in(&there));
        }
    }
}
