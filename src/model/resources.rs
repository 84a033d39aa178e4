//! Amounts of named resources: sums, maxima, differences, and whether one list fits into another.
//!
//! The semantics are Karpenter's: a resource that a list does not name is zero. What a pod effectively requests is computed in
//! [`super::pod`]; what a machine leaves for pods in [`super::instance_type`].

use std::{collections::BTreeMap, fmt, iter::Sum, ops::AddAssign};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::{
    quantity::{ParseQuantityError, Quantity},
    text::Excerpt,
};

#[cfg(test)]
mod tests;

/// CPU, in cores.
pub const CPU: &str = "cpu";
/// Memory, in bytes.
pub const MEMORY: &str = "memory";
/// The number of pods.
pub const PODS: &str = "pods";
/// The number of nodes; only in limits.
pub const NODES: &str = "nodes";
/// Local scratch storage, in bytes.
pub const EPHEMERAL_STORAGE: &str = "ephemeral-storage";
/// What the names of all huge page resources start with.
pub const HUGE_PAGES_PREFIX: &str = "hugepages-";

/// Amounts by resource name.
///
/// The four names that every pod and node uses are fields, so that copying and comparing an ordinary list allocates nothing. A
/// resource that is not named counts as zero, but stays distinct from one that is named with zero: in a `NodePool`'s limits
/// the difference between unlimited and none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ResourceList {
    cpu: Option<Quantity>,
    ephemeral_storage: Option<Quantity>,
    memory: Option<Quantity>,
    pods: Option<Quantity>,
    others: BTreeMap<Box<str>, Quantity>,
}

impl ResourceList {
    /// A list that names nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The list with `amount` of `name` in place of what it held of it.
    #[must_use]
    pub fn with(mut self, name: &str, amount: Quantity) -> Self {
        self.set(name, amount);
        self
    }

    /// Sets the amount of one resource.
    pub fn set(&mut self, name: &str, amount: Quantity) {
        if let Some(slot) = self.common_slot(name) {
            *slot = Some(amount);
        } else {
            self.others.insert(name.into(), amount);
        }
    }

    /// The amount of one resource, if the list names it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Quantity> {
        match name {
            CPU => self.cpu,
            EPHEMERAL_STORAGE => self.ephemeral_storage,
            MEMORY => self.memory,
            PODS => self.pods,
            _ => self.others.get(name).copied(),
        }
    }

    /// The amount of one resource; zero if the list does not name it.
    #[must_use]
    pub fn amount(&self, name: &str) -> Quantity {
        self.get(name).unwrap_or_default()
    }

    /// Whether the list names no resource.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The named resources and their amounts: cpu, ephemeral-storage, memory, pods, then the others by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        let others = self.others.iter().map(|(name, amount)| (&**name, *amount));
        self.common().into_iter().filter_map(|(name, amount)| Some((name, amount?))).chain(others)
    }

    /// Raises each amount to that of `other` where that is larger.
    pub fn raise_to(&mut self, other: &Self) {
        self.merge(other, |own, other| own.map_or(other, |own| own.max(other)));
    }

    /// What is left of each resource that this list names; negative where `other` takes more than there is.
    ///
    /// Resources that only `other` names are left out, as in Karpenter: none of them was there to begin with.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.update(|name, amount| *amount -= other.amount(name));
        rest
    }

    /// The list with negative amounts raised to zero.
    #[must_use]
    pub fn floored(mut self) -> Self {
        self.update(|_, amount| *amount = (*amount).max(Quantity::ZERO.with_format(amount.format())));
        self
    }

    /// The list taken `count` times.
    #[must_use]
    pub fn times(&self, count: u64) -> Self {
        let mut multiple = self.clone();
        multiple.update(|_, amount| *amount = amount.times(count));
        multiple
    }

    /// Whether these requests fit into `total`.
    ///
    /// Nothing fits where any amount of `total` is negative, whether it is requested or not: such a node is overcommitted. A request
    /// of zero fits although `total` does not name the resource.
    #[must_use]
    pub fn fits_in(&self, total: &Self) -> bool {
        let fits = |request: Option<Quantity>, total: Option<Quantity>| {
            let total = total.unwrap_or_default();
            !total.is_negative() && request.unwrap_or_default() <= total
        };
        fits(self.cpu, total.cpu)
            && fits(self.memory, total.memory)
            && fits(self.pods, total.pods)
            && fits(self.ephemeral_storage, total.ephemeral_storage)
            && total.others.values().all(|amount| !amount.is_negative())
            && self.others.iter().all(|(name, request)| *request <= total.amount(name))
    }

    /// What keeps these requests from fitting into `total`, resource by resource; empty if and only if they fit.
    #[must_use]
    pub fn shortages(&self, total: &Self) -> Vec<Shortage> {
        let mut all = total.clone();
        all.merge(self, |own, _| own.unwrap_or_default());
        let lacking =
            all.iter().filter(|(name, available)| available.is_negative() || self.amount(name) > *available);
        lacking
            .map(|(name, available)| Shortage {
                resource: name.to_owned(),
                requested: self.amount(name),
                available,
            })
            .collect()
    }

    /// Reads the resource map of an API object; every amount that is no quantity is reported.
    pub fn from_api(amounts: &BTreeMap<String, ApiQuantity>) -> Result<Self, Vec<InvalidAmount>> {
        let mut list = Self::new();
        let mut problems = Vec::new();
        for (name, amount) in amounts {
            match Quantity::try_from(amount) {
                Ok(amount) => list.set(name, amount),
                Err(source) => problems.push(InvalidAmount { resource: name.clone(), source }),
            }
        }
        if problems.is_empty() { Ok(list) } else { Err(problems) }
    }

    /// The resource map as the API writes it.
    #[must_use]
    pub fn to_api(&self) -> BTreeMap<String, ApiQuantity> {
        self.iter().map(|(name, amount)| (name.to_owned(), amount.into())).collect()
    }

    fn common(&self) -> [(&'static str, Option<Quantity>); 4] {
        [
            (CPU, self.cpu),
            (EPHEMERAL_STORAGE, self.ephemeral_storage),
            (MEMORY, self.memory),
            (PODS, self.pods),
        ]
    }

    fn common_slot(&mut self, name: &str) -> Option<&mut Option<Quantity>> {
        match name {
            CPU => Some(&mut self.cpu),
            EPHEMERAL_STORAGE => Some(&mut self.ephemeral_storage),
            MEMORY => Some(&mut self.memory),
            PODS => Some(&mut self.pods),
            _ => None,
        }
    }

    /// Sets every resource that `other` names to what `combine` makes of the own amount and the other's.
    fn merge(&mut self, other: &Self, combine: impl Fn(Option<Quantity>, Quantity) -> Quantity) {
        for (name, amount) in other.common() {
            if let (Some(amount), Some(slot)) = (amount, self.common_slot(name)) {
                *slot = Some(combine(*slot, amount));
            }
        }
        for (name, amount) in &other.others {
            if let Some(own) = self.others.get_mut(name) {
                *own = combine(Some(*own), *amount);
            } else {
                self.others.insert(name.clone(), combine(None, *amount));
            }
        }
    }

    fn update(&mut self, change: impl Fn(&str, &mut Quantity)) {
        let common = [
            (CPU, &mut self.cpu),
            (EPHEMERAL_STORAGE, &mut self.ephemeral_storage),
            (MEMORY, &mut self.memory),
            (PODS, &mut self.pods),
        ];
        for (name, slot) in common {
            if let Some(amount) = slot {
                change(name, amount);
            }
        }
        for (name, amount) in &mut self.others {
            change(name, amount);
        }
    }
}

impl AddAssign<&ResourceList> for ResourceList {
    fn add_assign(&mut self, other: &ResourceList) {
        self.merge(other, |own, other| own.unwrap_or_default() + other);
    }
}

impl<'a> Sum<&'a ResourceList> for ResourceList {
    fn sum<I: Iterator<Item = &'a ResourceList>>(lists: I) -> Self {
        lists.fold(Self::new(), |mut sum, list| {
            sum += list;
            sum
        })
    }
}

impl<'a> FromIterator<(&'a str, Quantity)> for ResourceList {
    fn from_iter<I: IntoIterator<Item = (&'a str, Quantity)>>(amounts: I) -> Self {
        amounts.into_iter().fold(Self::new(), |list, (name, amount)| list.with(name, amount))
    }
}

/// `2 cpu, 4Gi memory`; `nothing` for an empty list.
impl fmt::Display for ResourceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, amount) in self.iter() {
            write!(f, "{separator}{amount} {}", Excerpt(name))?;
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}

impl fmt::Debug for ResourceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourceList({self})")
    }
}

/// One resource of which there is not enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// The resource's name.
    pub resource: String,
    /// How much is requested.
    pub requested: Quantity,
    /// How much there is; negative if more is promised already than there is.
    pub available: Quantity,
}

/// `needs 8 cpu, has 3920m`.
impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "needs {} {}, has {}", self.requested, Excerpt(&self.resource), self.available)
    }
}

/// A resource whose amount is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("resource {}: {source}", Excerpt(.resource))]
pub struct InvalidAmount {
    /// The resource's name.
    pub resource: String,
    /// What is wrong with its amount.
    pub source: ParseQuantityError,
}
