//! Disruption budgets as NodePool spells them.
//!
//! Only the words and the number. When a budget is active, and what it leaves of a pool, is the
//! disruption's business.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::text_enum::text_enum;

text_enum! {
    /// Why a node is disrupted, where budgets apply.
    pub enum DisruptionReason {
        /// Its pods fit elsewhere, or on something cheaper.
        Underutilized = "Underutilized",
        /// Nothing runs on it.
        Empty = "Empty",
        /// It is no longer what its pool and class describe.
        Drifted = "Drifted",
    }
}

/// How many nodes of a pool may be disrupted at once, for which reasons and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Reasons that the budget is for; without any it is for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "set"))]
    pub reasons: Vec<DisruptionReason>,
    /// How many nodes may be disrupted at once: a number, or a percentage of the pool's nodes rounded up.
    /// `0` stops disruption.
    #[serde(default = "default_nodes")]
    #[schemars(extend("pattern" = "^((100|[0-9]{1,2})%|[0-9]+)$"))]
    pub nodes: String,
    /// When the budget starts to apply: five cron fields, or one of `@hourly`, `@daily`, `@midnight`,
    /// `@weekly`, `@monthly`, `@yearly` and `@annually`, in UTC. Needs a duration; without either it always
    /// applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = SCHEDULE))]
    pub schedule: Option<String>,
    /// For how long the budget applies from each start on, in hours and minutes: `8h`, `1h30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^((([0-9]+(h|m))|([0-9]+h[0-9]+m))(0s)?)$"))]
    pub duration: Option<String>,
}

/// The anchors bind to one alternative each, so the pattern is laxer than it looks. Kept as in Karpenter's
/// CRD; a schedule that cannot be read makes its budget allow nothing.
const SCHEDULE: &str =
    r"^(@(annually|yearly|monthly|weekly|daily|midnight|hourly))|((.+)\s(.+)\s(.+)\s(.+)\s(.+))$";

/// What `nodes` of a budget says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeCount {
    /// So many nodes.
    Count(u32),
    /// So many per cent of the pool's nodes, rounded up. At most 100.
    Percent(u8),
}

/// The text is neither a number of nodes nor a percentage.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a number of nodes: expected a whole number or a percentage up to 100%")]
pub struct NodeCountError {
    text: String,
}

impl Budget {
    /// What `nodes` says. Fails on text that the schema refuses, or on a number beyond `u32`.
    pub fn node_count(&self) -> Result<NodeCount, NodeCountError> {
        let error = || NodeCountError { text: self.nodes.clone() };
        let (digits, is_percent) = match self.nodes.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (self.nodes.as_str(), false),
        };
        // `u32::from_str` would also read a sign.
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        if is_percent {
            let percent = digits.parse::<u8>().ok().filter(|p| *p <= 100).ok_or_else(error)?;
            Ok(NodeCount::Percent(percent))
        } else {
            digits.parse().map(NodeCount::Count).map_err(|_| error())
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { reasons: Vec::new(), nodes: default_nodes(), schedule: None, duration: None }
    }
}

fn default_nodes() -> String {
    "10%".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_is_a_number_or_a_percentage() {
        let cases = [
            ("0", Some(NodeCount::Count(0))),
            ("25", Some(NodeCount::Count(25))),
            ("10%", Some(NodeCount::Percent(10))),
            ("100%", Some(NodeCount::Percent(100))),
            ("101%", None),
            ("99999999999", None),
            ("-1", None),
            ("+1", None),
            ("", None),
            ("%", None),
            ("ten", None),
        ];
        for (nodes, expected) in cases {
            let budget = Budget { nodes: nodes.to_owned(), ..Budget::default() };
            assert_eq!(budget.node_count().ok(), expected, "{nodes}");
        }
    }
}
