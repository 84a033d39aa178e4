//! The pods of a node or claim, together.

use crate::{
    model::{Pod, ResourceList, host_port::HostPort},
    scheduling::PendingPod,
};

/// The pods of a node or claim.
pub(super) struct Contents<'a> {
    pub(super) pods: Vec<&'a PendingPod>,
    /// What they request together.
    pub(super) requests: ResourceList,
    /// One pod for each thing that is asked of the node's labels.
    pub(super) askers: Vec<&'a Pod>,
}

impl<'a> Contents<'a> {
    pub(super) fn new(pods: Vec<&'a PendingPod>) -> Self {
        let mut askers: Vec<&Pod> = Vec::new();
        for pod in pods.iter().map(|pending| &pending.pod) {
            if !askers.iter().any(|asker| asker.alternatives == pod.alternatives) {
                askers.push(pod);
            }
        }
        Self { requests: pods.iter().map(|pending| &pending.pod.requests).sum(), askers, pods }
    }

    pub(super) fn host_ports(&self) -> impl Iterator<Item = &'a HostPort> + Clone {
        self.pods.iter().flat_map(|pending| &pending.pod.host_ports)
    }
}
