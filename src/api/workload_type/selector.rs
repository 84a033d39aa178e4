//! Which namespaces are meant.
//!
//! Narrower than Kubernetes' label selector: only labels that are guarded, so that nobody can choose a
//! type by labelling a namespace, and only positive terms, so that a namespace is never chosen by what it
//! lacks.

use std::collections::{BTreeMap, BTreeSet};

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::schema;
use crate::api::text_enum::text_enum;

text_enum! {
    /// How an expression relates a label to its values.
    pub enum SelectorOperator {
        /// The label has one of the values.
        In = "In",
    }
}

/// Selects namespaces by labels. All that it says must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "(has(self.matchLabels) && self.matchLabels.size() > 0) || (has(self.matchExpressions) && self.matchExpressions.size() > 0)",
    "an empty selector would select every namespace: leave it out, or name labels",
))]
pub struct NamespaceSelector {
    /// Labels with the values that they must have. Keys: `treenail.dev/*` and `kubernetes.io/metadata.name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels", extend("maxProperties" = 16))]
    #[x_kube(validation = (
        "self.all(k, k == 'kubernetes.io/metadata.name' || k.matches('^treenail[.]dev/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$'))",
        "namespaces can be selected by labels treenail.dev/* and kubernetes.io/metadata.name only",
    ))]
    pub match_labels: BTreeMap<String, String>,
    /// Labels with several values each, one of which they must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<NamespaceExpression>,
}

/// A label with several values, one of which it must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceExpression {
    /// Label key: `treenail.dev/*` or `kubernetes.io/metadata.name`.
    #[schemars(length(max = 76))]
    #[x_kube(validation = (
        "self == 'kubernetes.io/metadata.name' || self.matches('^treenail[.]dev/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$')",
        "namespaces can be selected by labels treenail.dev/* and kubernetes.io/metadata.name only",
    ))]
    pub key: String,
    /// How the label relates to the values: `In`, nothing else.
    pub operator: SelectorOperator,
    /// Values, one of which the label must have.
    #[schemars(length(min = 1, max = 256), schema_with = "schema::label_values")]
    pub values: BTreeSet<String>,
}

impl NamespaceSelector {
    /// Whether the labels are those of a namespace that is meant. A selector that says nothing means none,
    /// and an operator that this version does not know matches nothing.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let says_something = !self.match_labels.is_empty() || !self.match_expressions.is_empty();
        says_something
            && self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|expression| match expression.operator {
                SelectorOperator::In => {
                    labels.get(&expression.key).is_some_and(|value| expression.values.contains(value))
                }
                SelectorOperator::Other(_) => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_namespace_is_selected_only_if_all_that_is_said_matches() {
        let labels = BTreeMap::from([
            ("treenail.dev/team".to_owned(), "red".to_owned()),
            ("kubernetes.io/metadata.name".to_owned(), "shop".to_owned()),
        ]);
        let name_in = |values: &[&str]| json!([{ "key": "kubernetes.io/metadata.name", "operator": "In", "values": values }]);
        let cases = [
            (json!({}), false),
            (json!({ "matchLabels": { "treenail.dev/team": "red" } }), true),
            (json!({ "matchLabels": { "treenail.dev/team": "blue" } }), false),
            (json!({ "matchLabels": { "treenail.dev/env": "" } }), false),
            (json!({ "matchExpressions": name_in(&["shop", "bank"]) }), true),
            (json!({ "matchExpressions": name_in(&["bank"]) }), false),
            (
                json!({ "matchLabels": { "treenail.dev/team": "red" }, "matchExpressions": name_in(&["bank"]) }),
                false,
            ),
            (
                json!({ "matchExpressions": [{ "key": "treenail.dev/team", "operator": "NotIn", "values": ["blue"] }] }),
                false,
            ),
        ];
        for (selector, expected) in cases {
            let text = selector.to_string();
            let selector: NamespaceSelector = serde_json::from_value(selector).expect("a selector");
            assert_eq!(selector.matches(&labels), expected, "{text}");
        }
    }
}
