//! Required constraints that are recognised and not solved yet.

use std::fmt;

use k8s_openapi::api::core::v1::PodSpec;

use super::{NodeAlternative, excess::Excess};
use crate::model::text::Excerpt;

/// A required constraint of a pod that no solver handles yet. A pod that has one is not provisioned for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnsupportedConstraint {
    /// The pod must be near certain other pods.
    PodAffinity {
        /// What counts as near.
        topology_key: String,
    },
    /// The pod must be away from certain other pods.
    PodAntiAffinity {
        /// What counts as near.
        topology_key: String,
    },
    /// The pod must be spread evenly with certain other pods.
    TopologySpread {
        /// Over what.
        topology_key: String,
    },
    /// A volume of the pod may exist in some zones only.
    PersistentVolume {
        /// The volume's name in the pod.
        volume: String,
    },
    /// The pod claims devices by dynamic resource allocation.
    ResourceClaim {
        /// The claim's name in the pod.
        claim: String,
    },
    /// The pod chooses nodes by name.
    NodeFields,
    /// The pod has more of something than is planned for. Nothing else that it asks for is known then.
    TooLarge(Excess),
}

impl UnsupportedConstraint {
    pub(super) fn of_pod(spec: &PodSpec, alternatives: &[NodeAlternative]) -> Vec<Self> {
        let affinity = spec.affinity.as_ref();
        let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
        let near = near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_deref());
        let away = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        let away = away.and_then(|away| away.required_during_scheduling_ignored_during_execution.as_deref());
        let spread = spec.topology_spread_constraints.iter().flatten();
        // Anything but the one known soft mode is taken for required.
        let spread = spread.filter(|constraint| constraint.when_unsatisfiable != "ScheduleAnyway");
        let volumes = spec.volumes.iter().flatten();
        let volumes =
            volumes.filter(|volume| volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some());

        let mut found: Vec<_> = near
            .into_iter()
            .flatten()
            .map(|term| Self::PodAffinity { topology_key: term.topology_key.clone() })
            .chain(
                away.into_iter()
                    .flatten()
                    .map(|term| Self::PodAntiAffinity { topology_key: term.topology_key.clone() }),
            )
            .chain(
                spread
                    .map(|constraint| Self::TopologySpread { topology_key: constraint.topology_key.clone() }),
            )
            .chain(volumes.map(|volume| Self::PersistentVolume { volume: volume.name.clone() }))
            .chain(
                spec.resource_claims
                    .iter()
                    .flatten()
                    .map(|claim| Self::ResourceClaim { claim: claim.name.clone() }),
            )
            .collect();
        if alternatives.iter().any(|alternative| alternative.node_name.is_some()) {
            found.push(Self::NodeFields);
        }
        found.dedup();
        found
    }

    /// Where in a Pod the constraint stands.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::PodAffinity { .. } => {
                "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution"
            }
            Self::PodAntiAffinity { .. } => {
                "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution"
            }
            Self::TopologySpread { .. } => "spec.topologySpreadConstraints",
            Self::PersistentVolume { .. } => "spec.volumes",
            Self::ResourceClaim { .. } => "spec.resourceClaims",
            Self::NodeFields => {
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.matchFields"
            }
            Self::TooLarge(excess) => excess.field(),
        }
    }

    /// What to do instead.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::PodAffinity { .. } | Self::PodAntiAffinity { .. } => {
                "remove it, or make it preferredDuringSchedulingIgnoredDuringExecution"
            }
            Self::TopologySpread { .. } => "remove it, or set whenUnsatisfiable to ScheduleAnyway",
            Self::PersistentVolume { .. } => {
                "use an emptyDir if the data may go with the pod; else it runs only where a node that is there has room"
            }
            Self::ResourceClaim { .. } => {
                "request the device as a resource, such as nvidia.com/gpu, if its nodes offer it as one"
            }
            Self::NodeFields => "select nodes by their labels",
            Self::TooLarge(excess) => excess.advice(),
        }
    }
}

impl fmt::Display for UnsupportedConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PodAffinity { topology_key } => {
                write!(f, "required pod affinity over {}", Excerpt(topology_key))
            }
            Self::PodAntiAffinity { topology_key } => {
                write!(f, "required pod anti-affinity over {}", Excerpt(topology_key))
            }
            Self::TopologySpread { topology_key } => {
                write!(f, "required topology spread over {}", Excerpt(topology_key))
            }
            Self::PersistentVolume { volume } => write!(f, "persistent volume {}", Excerpt(volume)),
            Self::ResourceClaim { claim } => write!(f, "resource claim {}", Excerpt(claim)),
            Self::NodeFields => f.write_str("choosing nodes by name with matchFields"),
            Self::TooLarge(excess) => write!(f, "{excess}"),
        }
    }
}
