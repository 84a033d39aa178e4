//! A pod on a node: what it takes there, and what emptiness and drains must know of it, read once from the API object.
//!
//! What the pod would need elsewhere is not part of it; [`super::Pod`] is the slice that placing is decided from. [`KnownPod`] is
//! either, by whether the pod has a node.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod as ApiPod;

use super::{
    host_port::HostPort,
    pod::{MalformedPod, Phase, Pod, PodKey, effective_requests},
    resources::ResourceList,
    taints::{Taint, Toleration},
};
use crate::api::{duration, labels};

/// Priority classes whose pods are drained last, by name and not by number, as in Karpenter.
const CRITICAL_CLASSES: [&str; 2] = ["system-cluster-critical", "system-node-critical"];

/// The grace that Kubernetes gives a pod that asks for none.
const DEFAULT_GRACE: SignedDuration = SignedDuration::from_secs(30);

/// What runs a pod, as far as it matters for taking the pod off its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Runner {
    /// Something that makes a new pod elsewhere, or nobody.
    #[default]
    Other,
    /// A StatefulSet, which makes the next pod only when this one is gone.
    StatefulSet,
    /// A DaemonSet, whose pod belongs to the node.
    DaemonSet,
    /// The kubelet itself: the pod mirrors a file on the machine.
    Kubelet,
}

/// The annotation [`labels::DO_NOT_DISRUPT`] of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum DoNotDisrupt {
    /// Not there, or of a value that means nothing, such as `false` or a negative duration.
    #[default]
    No,
    /// `true`: until the pod ends.
    Always,
    /// A positive duration from the pod's start on.
    For(SignedDuration),
}

impl DoNotDisrupt {
    fn read(value: Option<&String>) -> Self {
        match value.map(String::as_str) {
            None => Self::No,
            Some("true") => Self::Always,
            Some(text) => {
                duration::parse(text).ok().filter(SignedDuration::is_positive).map_or(Self::No, Self::For)
            }
        }
    }
}

/// A pod that is bound to a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BoundPod {
    /// Namespace and name.
    pub key: PodKey,
    /// The UID: another pod of the same name has another one.
    pub uid: String,
    /// The node.
    pub node_name: String,
    /// What runs it.
    pub runner: Runner,
    /// Whether it is of a class that is drained last.
    pub is_critical: bool,
    /// Where it is in its life.
    pub phase: Phase,
    /// When it should be gone, if it is being deleted: the moment of the deletion and its grace.
    pub gone_by: Option<Timestamp>,
    /// How long it may take to end.
    pub grace: SignedDuration,
    /// When it started.
    pub started: Option<Timestamp>,
    /// Whether, and for how long, it asks to be left alone.
    pub do_not_disrupt: DoNotDisrupt,
    /// The taints that it tolerates.
    pub tolerations: Vec<Toleration<'static>>,
    /// What it requests of its node, itself included as one of `pods`. Nothing, if that cannot be read.
    pub requests: ResourceList,
    /// The ports that it takes on its node.
    pub host_ports: Vec<HostPort>,
    /// The claims of the volumes that it uses, in its namespace.
    pub volume_claims: Vec<String>,
    /// The last time that it was bound, began to be deleted, or ended, as the pod itself tells.
    pub last_event: Option<Timestamp>,
}

impl BoundPod {
    /// Reads an API object; nothing for a pod that has no node.
    #[must_use]
    pub fn read(pod: &ApiPod) -> Option<Self> {
        let (metadata, spec) = (&pod.metadata, pod.spec.as_ref()?);
        let node_name = spec.node_name.clone().filter(|name| !name.is_empty())?;
        let status = pod.status.as_ref();
        let owners = || metadata.owner_references.iter().flatten();
        let is_owned_by = |version: &str, kind: &str| {
            owners().any(|owner| owner.api_version == version && owner.kind == kind)
        };
        let runner = if is_owned_by("v1", "Node") {
            Runner::Kubelet
        } else if is_owned_by("apps/v1", "DaemonSet") {
            Runner::DaemonSet
        } else if is_owned_by("apps/v1", "StatefulSet") {
            Runner::StatefulSet
        } else {
            Runner::Other
        };
        let seconds = |seconds: Option<i64>| seconds.map(|seconds| SignedDuration::from_secs(seconds.max(0)));
        let class = spec.priority_class_name.as_deref().unwrap_or_default();
        let claims = spec.volumes.iter().flatten().filter_map(|volume| {
            let generated = || format!("{}-{}", metadata.name.as_deref().unwrap_or_default(), volume.name);
            match (&volume.persistent_volume_claim, &volume.ephemeral) {
                (Some(source), _) => Some(source.claim_name.clone()),
                (None, Some(_)) => Some(generated()),
                (None, None) => None,
            }
        });
        let annotations = metadata.annotations.as_ref();
        Some(Self {
            key: PodKey {
                namespace: metadata.namespace.clone().unwrap_or_default(),
                name: metadata.name.clone().unwrap_or_default(),
            },
            uid: metadata.uid.clone().unwrap_or_default(),
            node_name,
            runner,
            is_critical: CRITICAL_CLASSES.contains(&class),
            phase: Phase::read(status.and_then(|status| status.phase.as_deref())),
            gone_by: metadata.deletion_timestamp.as_ref().map(|time| time.0),
            grace: seconds(spec.termination_grace_period_seconds).unwrap_or(DEFAULT_GRACE),
            started: status.and_then(|status| status.start_time.as_ref()).map(|time| time.0),
            do_not_disrupt: DoNotDisrupt::read(annotations.and_then(|all| all.get(labels::DO_NOT_DISRUPT))),
            tolerations: spec
                .tolerations
                .iter()
                .flatten()
                .map(|toleration| Toleration::from(toleration).into_owned())
                .collect(),
            requests: effective_requests(pod).unwrap_or_default(),
            host_ports: HostPort::of_pod(spec),
            volume_claims: claims.collect(),
            last_event: last_event(pod),
        })
    }

    /// A pod on a node of which no more is known: as much in the way there as a pod can be that asks for nothing.
    #[must_use]
    pub fn unreadable(key: PodKey, uid: String, node_name: String) -> Self {
        Self { key, uid, node_name, grace: DEFAULT_GRACE, ..Self::default() }
    }

    /// Whether it is being deleted.
    #[must_use]
    pub const fn is_terminating(&self) -> bool {
        self.gone_by.is_some()
    }

    /// Whether it runs, or will, and nobody has asked it to end.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        !self.phase.is_terminal() && !self.is_terminating()
    }

    /// Whether it would have to run elsewhere if its node went away: it is active, or of a StatefulSet that replaces it once it is
    /// gone, and does not belong to the node.
    ///
    /// So a pod that is being deleted, and is nobody's StatefulSet's, counts no more although it may take its grace to end: what
    /// drains the node waits for it. This is Karpenter's rule.
    #[must_use]
    pub const fn is_reschedulable(&self) -> bool {
        if self.phase.is_terminal() {
            return false;
        }
        match self.runner {
            Runner::Other => !self.is_terminating(),
            Runner::StatefulSet => true,
            Runner::DaemonSet | Runner::Kubelet => false,
        }
    }

    /// Whether it tolerates the taint.
    #[must_use]
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerations.iter().any(|toleration| toleration.tolerates(taint))
    }

    /// Whether it asks to be left alone now. A duration that has not begun, because the pod has not started, is not over.
    #[must_use]
    pub fn is_to_be_left_alone(&self, now: Timestamp) -> bool {
        match self.do_not_disrupt {
            DoNotDisrupt::No => false,
            DoNotDisrupt::Always => true,
            DoNotDisrupt::For(_) => self.left_alone_until().is_none_or(|end| now < end),
        }
    }

    /// When its wish to be left alone ends, if that is known.
    #[must_use]
    pub fn left_alone_until(&self) -> Option<Timestamp> {
        match self.do_not_disrupt {
            DoNotDisrupt::No | DoNotDisrupt::Always => None,
            DoNotDisrupt::For(length) => {
                self.started.map(|started| started.saturating_add(length).unwrap_or(Timestamp::MAX))
            }
        }
    }
}

/// A pod, as far as anything is decided about it: where it could run while it has no node, what it does there once it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownPod {
    /// It has no node.
    Unbound(Box<Pod>),
    /// It has one.
    Bound(Box<BoundPod>),
}

impl KnownPod {
    /// Reads an API object.
    pub fn read(pod: &ApiPod) -> Result<Self, MalformedPod> {
        match BoundPod::read(pod) {
            Some(bound) => Ok(Self::Bound(Box::new(bound))),
            None => Pod::from_api(pod).map(Box::new).map(Self::Unbound),
        }
    }

    /// The pod, if it has a node.
    #[must_use]
    pub fn bound(&self) -> Option<&BoundPod> {
        match self {
            Self::Bound(pod) => Some(pod),
            Self::Unbound(_) => None,
        }
    }

    /// The pod, if it has none.
    #[must_use]
    pub fn unbound(&self) -> Option<&Pod> {
        match self {
            Self::Unbound(pod) => Some(pod),
            Self::Bound(_) => None,
        }
    }
}

/// Read from the pod and not from the moment at which it was seen, so that a restart changes nothing.
fn last_event(pod: &ApiPod) -> Option<Timestamp> {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let bound = { conditions }
        .filter(|condition| condition.type_ == "PodScheduled" && condition.status == "True")
        .find_map(|condition| condition.last_transition_time.as_ref().map(|time| time.0));
    let deleted = pod.metadata.deletion_timestamp.as_ref().map(|gone_by| {
        let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
        gone_by.0.saturating_sub(grace).unwrap_or(Timestamp::MIN)
    });
    let is_over = Phase::read(status.and_then(|status| status.phase.as_deref())).is_terminal();
    let containers = status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
    let ended = containers.filter_map(|container| {
        let finished = container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref();
        finished.map(|time| time.0)
    });
    [bound, deleted].into_iter().flatten().chain({ ended }.filter(|_| is_over)).max()
}

#[cfg(test)]
mod tests;
