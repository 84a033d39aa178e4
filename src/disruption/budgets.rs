//! How many nodes of a pool may be disrupted at once.
//!
//! Of several budgets that apply the strictest counts. What is not understood never allows more: a budget whose number cannot be read
//! allows nothing, for any reason, one for a reason that we do not know is for ours, and one with a schedule applies at all times, since schedules are not supported yet and a budget
//! only ever takes away.

use crate::api::budget::{Budget, DisruptionReason, NodeCount};
use crate::model::event::{Event, Regarding, Severity};

/// How many nodes may be disrupted at once, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The number of nodes; everything that is being disrupted already counts against it.
    pub nodes: usize,
    /// The index of the budget that says so; absent if none applies, and then the number has no limit.
    pub budget: Option<usize>,
}

/// A pool whose budgets keep nodes that could be given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The pool.
    pub pool: String,
    /// Its UID.
    pub uid: String,
    /// What its budgets allow.
    pub allowance: Allowance,
    /// How many of its nodes are being disrupted.
    pub disrupted: usize,
    /// How many more could be.
    pub waiting: usize,
}

impl Held {
    /// What people are told.
    #[must_use]
    pub fn event(&self) -> Event {
        let budget = self
            .allowance
            .budget
            .map_or_else(String::new, |index| format!("spec.disruption.budgets[{index}] "));
        Event {
            regarding: Regarding::NodePool { name: self.pool.clone(), uid: self.uid.clone() },
            severity: Severity::Normal,
            reason: "DisruptionBlocked",
            message: format!(
                "{} empty nodes are kept: {budget}allows {} at once, and {} are disrupted or not ready",
                self.waiting, self.allowance.nodes, self.disrupted
            ),
            same_if: String::new(),
        }
    }
}

/// What the budgets allow for the reason in a pool of so many nodes.
///
/// A budget without reasons is for all of them. Percentages are rounded up, as in Karpenter: 10% of one node is one.
#[must_use]
pub fn allowance(budgets: &[Budget], reason: &DisruptionReason, nodes: usize) -> Allowance {
    let covers = |given: &DisruptionReason| given == reason || matches!(given, DisruptionReason::Other(_));
    let applies = |budget: &Budget| budget.reasons.is_empty() || budget.reasons.iter().any(covers);
    let value = |budget: &Budget| match budget.node_count() {
        Err(_) => Some(0),
        Ok(_) if !applies(budget) => None,
        Ok(NodeCount::Count(count)) => Some(usize::try_from(count).unwrap_or(usize::MAX)),
        Ok(NodeCount::Percent(percent)) => Some(nodes.saturating_mul(percent.into()).div_ceil(100)),
    };
    { budgets.iter().enumerate() }
        .filter_map(|(index, budget)| Some(Allowance { nodes: value(budget)?, budget: Some(index) }))
        .min_by_key(|allowance| allowance.nodes)
        .unwrap_or(Allowance { nodes: usize::MAX, budget: None })
}

#[cfg(test)]
mod tests;
