//! Tolerations that a type gives, owns or allows: always one taint exactly.

use std::fmt;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::schema;
use crate::api::taint::TaintEffect;
use crate::api::text_enum::text_enum;

text_enum! {
    /// How a toleration compares values.
    pub enum TolerationOperator {
        /// Key and value are equal.
        Equal = "Equal",
    }
}

/// Tolerates one taint exactly. No wildcards, and no grace by `tolerationSeconds`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Toleration {
    /// Key of the taint, for example `node-type`.
    #[schemars(length(max = 316), extend("pattern" = schema::QUALIFIED_NAME))]
    #[x_kube(validation = (
        "!self.startsWith('node.kubernetes.io/') && !self.startsWith('node.cloudprovider.kubernetes.io/') && \
         !self.startsWith('karpenter.sh/')",
        "taints of node.kubernetes.io, node.cloudprovider.kubernetes.io and karpenter.sh isolate nobody and cannot be owned",
    ))]
    pub key: String,
    /// How values are compared: `Equal`, nothing else.
    #[serde(default = "equal")]
    #[schemars(extend("default" = null))]
    pub operator: TolerationOperator,
    /// Value of the taint.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63), extend("pattern" = schema::LABEL_VALUE))]
    pub value: String,
    /// Effect of the taint: `NoSchedule` or `NoExecute`.
    #[schemars(extend("enum" = ["NoSchedule", "NoExecute"]))]
    pub effect: TaintEffect,
}

impl fmt::Display for Toleration {
    /// As the taint that it tolerates: `key=value:effect`, or `key:effect` without a value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() {
            write!(f, "{}:{}", self.key, self.effect)
        } else {
            write!(f, "{}={}:{}", self.key, self.value, self.effect)
        }
    }
}

fn equal() -> TolerationOperator {
    TolerationOperator::Equal
}
