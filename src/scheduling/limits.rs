//! What pools may still hold while a plan is made.
//!
//! A limit is hard. It is charged with the node that is planned at once, and with whatever else the claim may become when its options
//! are listed; so a launch that falls back to a larger type stays within it. Karpenter charges the largest remaining type from the
//! start, and stops early where limits are tight.
//!
//! Larger options may use half of what the planned nodes leave, and no more: they count until it is known what was launched, and the
//! pods that come in the meantime must not find the limit reached by what nobody has.

use crate::model::{
    Quantity, ResourceList,
    node_pool::{LimitExceeded, Limits},
    resources::NODES,
};

/// What one pool holds, claims of this plan included.
#[derive(Debug, Clone)]
pub(super) struct Ledger<'p> {
    limits: &'p Limits,
    held: ResourceList,
    /// What of that is only there for larger options.
    for_options: ResourceList,
}

impl<'p> Ledger<'p> {
    pub(super) fn new(limits: &'p Limits, held: &ResourceList) -> Self {
        Self { limits, held: held.clone(), for_options: ResourceList::new() }
    }

    /// Whether one more node of this capacity may be launched, or the limits that are in the way.
    pub(super) fn check(&self, capacity: &ResourceList) -> Result<(), Vec<LimitExceeded>> {
        self.limits.check(&self.held, capacity)
    }

    /// Whether [`check`](Self::check) finds nothing in the way.
    pub(super) fn allows(&self, capacity: &ResourceList) -> bool {
        self.limits.allow(&self.held, capacity)
    }

    /// Whether anything is limited.
    pub(super) fn is_limited(&self) -> bool {
        !self.limits.0.is_empty()
    }

    /// Counts one more node of this capacity.
    pub(super) fn charge(&mut self, capacity: &ResourceList) {
        self.held += capacity;
        self.held += &ResourceList::new().with(NODES, Quantity::from_units(1));
    }

    /// Counts a node that is charged with `charged` as large enough for `capacity` too, if the limits allow it.
    pub(super) fn widen(&mut self, charged: &mut ResourceList, capacity: &ResourceList) -> bool {
        let mut widened = charged.clone();
        widened.raise_to(capacity);
        let mut for_options = self.for_options.clone();
        for_options += &widened.minus(charged);
        let limits = self.limits.0.iter().filter(|(name, _)| *name != NODES);
        let grows = |name: &str| widened.amount(name) > charged.amount(name);
        let exceeds = |(name, limit): (&str, Quantity)| {
            let needed = self.held.amount(name) - self.for_options.amount(name);
            let twice = for_options.amount(name) + for_options.amount(name);
            grows(name) && needed + twice > limit
        };
        if limits.into_iter().any(exceeds) {
            return false;
        }
        self.held += &widened.minus(charged);
        self.for_options = for_options;
        *charged = widened;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::resource_list as list;

    #[test]
    fn each_node_is_counted_at_once() {
        let limits = Limits(list("cpu=10 nodes=2"));
        let mut ledger = Ledger::new(&limits, &list("cpu=2 nodes=0"));
        assert!(ledger.check(&list("cpu=8")).is_ok());
        assert!(ledger.check(&list("cpu=9")).is_err());
        ledger.charge(&list("cpu=4"));
        ledger.charge(&list("cpu=4"));
        let exceeded = ledger.check(&list("cpu=4")).unwrap_err();
        let shown: Vec<_> = exceeded.iter().map(LimitExceeded::to_string).collect();
        assert_eq!(
            shown,
            ["limit of 10 cpu: 10 held, 4 would be added", "limit of 2 nodes: 2 held, 1 would be added"]
        );
    }

    #[test]
    fn larger_options_use_what_no_planned_node_needs() {
        let limits = Limits(list("cpu=16"));
        let mut ledger = Ledger::new(&limits, &list(""));
        let (mut first, mut second) = (list("cpu=4 memory=8Gi"), list("cpu=4 memory=8Gi"));
        ledger.charge(&first);
        ledger.charge(&second);
        assert!(
            ledger.widen(&mut first, &list("cpu=8 memory=64Gi")),
            "8 cpu are left, and half of them may be used"
        );
        assert!(!ledger.widen(&mut second, &list("cpu=8 memory=16Gi")), "they are taken");
        assert!(ledger.widen(&mut second, &list("cpu=2 memory=64Gi")), "memory has no limit");
        assert!(ledger.widen(&mut first, &list("cpu=6")), "no more than it has been charged with");
    }
}
