//! One requirement on a node's labels, as NodePool and NodeClaim spell it.
//!
//! Only the words. Which values it allows, and how requirements combine, is the model's business.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::schema::{self, Keys, QUALIFIED_NAME};
use super::text_enum::text_enum;

text_enum! {
    /// How a requirement relates a label to its values.
    pub enum Operator {
        /// The label has one of the values.
        In = "In",
        /// The label has none of the values; a node without the label passes.
        NotIn = "NotIn",
        /// The label is there.
        Exists = "Exists",
        /// The label is not there.
        DoesNotExist = "DoesNotExist",
        /// The label is a number greater than the value.
        Gt = "Gt",
        /// The label is a number less than the value.
        Lt = "Lt",
        /// The label is a number greater than or equal to the value.
        Gte = "Gte",
        /// The label is a number less than or equal to the value.
        Lte = "Lte",
    }
}

/// A requirement on one label of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelectorRequirement {
    /// Label key that the requirement is about, for example `karpenter.k8s.aws/instance-family`.
    #[schemars(length(max = 316), extend("pattern" = QUALIFIED_NAME))]
    #[x_kube(
        validation = schema::karpenter_domain(Keys::Own),
        validation = schema::not_hostname_label(Keys::Own),
        validation = schema::aws_domain(Keys::Own),
    )]
    pub key: String,
    /// How the label relates to the values: `In`, `NotIn`, `Exists`, `DoesNotExist`; for labels that are
    /// numbers also `Gt`, `Lt`, `Gte` and `Lte`.
    pub operator: Operator,
    /// Values: at least one for `In`, exactly one whole number for `Gt`, `Lt`, `Gte` and `Lte`, none for
    /// `Exists` and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::requirement_values")]
    pub values: Vec<String>,
    /// How many different values of the label must stay possible when instances are chosen. Alpha in
    /// Karpenter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub min_values: Option<i32>,
}
