//! Taints as NodePool and NodeClaim spell them.
//!
//! Only the words. Which pods tolerate a taint is the model's business.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{self, QUALIFIED_NAME};
use super::text_enum::text_enum;

text_enum! {
    /// What a taint does to pods that do not tolerate it.
    pub enum TaintEffect {
        /// They are not scheduled there.
        NoSchedule = "NoSchedule",
        /// They are scheduled elsewhere if that is possible.
        PreferNoSchedule = "PreferNoSchedule",
        /// They are not scheduled there, and those that run there are evicted.
        NoExecute = "NoExecute",
    }
}

/// A taint: pods that do not tolerate it stay away from the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    /// Key of the taint, for example `node-type`.
    #[schemars(length(min = 1), extend("pattern" = QUALIFIED_NAME))]
    pub key: String,
    /// Value of the taint.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("pattern" = QUALIFIED_NAME))]
    pub value: String,
    /// What happens to pods that do not tolerate the taint: `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: TaintEffect,
    /// When the taint was added. Set by Kubernetes on nodes; leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub time_added: Option<Time>,
}

impl fmt::Display for Taint {
    /// As `kubectl taint` writes it: `key=value:effect`, or `key:effect` without a value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() {
            write!(f, "{}:{}", self.key, self.effect)
        } else {
            write!(f, "{}={}:{}", self.key, self.value, self.effect)
        }
    }
}
