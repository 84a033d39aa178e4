//! The pools of a type.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NamespaceSelector;
use crate::api::duration::GoDuration;
use crate::api::schema;
use crate::api::text_enum::text_enum;

text_enum! {
    /// Whose pods share a node of the pool.
    pub enum Tenancy {
        /// All pods of the type.
        Shared = "Shared",
        /// Pods of one team: of namespaces with the same label `treenail.dev/team`.
        Team = "Team",
        /// Pods of one namespace.
        Namespace = "Namespace",
    }
}

/// A NodePool whose nodes a type uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolReference {
    /// Name of the NodePool.
    #[schemars(length(max = 63), extend("pattern" = schema::DNS_SUBDOMAIN))]
    pub name: String,
    /// Whose pods share a node of the pool: `Shared` (all pods of the type), `Team` (pods of namespaces with
    /// the same label `treenail.dev/team`) or `Namespace`. Default: `Shared`.
    #[serde(default = "shared", skip_serializing_if = "is_shared")]
    pub tenancy: Tenancy,
    /// Namespaces of the type whose pods may use the pool. Without it: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<NamespaceSelector>,
    /// Only pods that request one of these resources use the pool, for example `nvidia.com/gpu`. Without any:
    /// all pods.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(length(max = 16), schema_with = "schema::extended_resource_names")]
    pub only_for_resources: BTreeSet<String>,
    /// For how long the pool must have had no capacity, or been at its limit, before the next pool may be
    /// launched instead. Default: `2m`.
    #[serde(default = "default_fallback_after", skip_serializing_if = "is_default_fallback_after")]
    pub fallback_after: GoDuration,
}

impl PoolReference {
    /// The pool, with the default of everything else.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            tenancy: shared(),
            namespace_selector: None,
            only_for_resources: BTreeSet::new(),
            fallback_after: default_fallback_after(),
        }
    }
}

fn shared() -> Tenancy {
    Tenancy::Shared
}

fn is_shared(tenancy: &Tenancy) -> bool {
    *tenancy == Tenancy::Shared
}

fn default_fallback_after() -> GoDuration {
    GoDuration::from("2m")
}

fn is_default_fallback_after(duration: &GoDuration) -> bool {
    *duration == default_fallback_after()
}
