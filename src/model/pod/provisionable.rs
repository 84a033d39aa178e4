//! Whether a pod is one to launch nodes for.

use super::Pod;

/// Why no node is launched for a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum NotProvisionable {
    /// It has a node already.
    #[error("it is bound to a node")]
    Bound,
    /// It has finished.
    #[error("it has finished")]
    Finished,
    /// It is being deleted.
    #[error("it is being deleted")]
    Terminating,
    /// It waits for its scheduling gates.
    #[error("it has scheduling gates")]
    Gated,
    /// The scheduler is making room for it on a node by preemption.
    #[error("the scheduler has nominated a node for it")]
    Nominated,
    /// Its DaemonSet runs it on nodes that are there for other pods.
    #[error("it belongs to a DaemonSet")]
    DaemonSet,
    /// It is the mirror of a static pod.
    #[error("it mirrors a static pod of its node")]
    Mirror,
    /// The scheduler has not looked for a node yet, or has found one.
    #[error("the scheduler has not found it unschedulable")]
    NotUnschedulable,
}

impl Pod {
    /// Whether nodes are launched for this pod, as Karpenter decides it, or the first reason why not.
    ///
    /// Karpenter does not look at deletion or phase. We do: the scheduler never binds such a pod, and each node launched for it would
    /// stay empty. The scheduler's name does not matter, as in Karpenter.
    pub fn check_provisionable(&self) -> Result<(), NotProvisionable> {
        let obstacles = [
            (self.node_name.is_some(), NotProvisionable::Bound),
            (self.phase.is_terminal(), NotProvisionable::Finished),
            (self.is_terminating, NotProvisionable::Terminating),
            (!self.scheduling_gates.is_empty(), NotProvisionable::Gated),
            (self.nominated_node_name.is_some(), NotProvisionable::Nominated),
            (self.is_owned_by_daemon_set(), NotProvisionable::DaemonSet),
            (self.is_owned_by_node(), NotProvisionable::Mirror),
            (!self.is_unschedulable, NotProvisionable::NotUnschedulable),
        ];
        obstacles.into_iter().find(|(holds, _)| *holds).map_or(Ok(()), |(_, obstacle)| Err(obstacle))
    }
}
