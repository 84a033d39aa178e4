//! What is the same of a node for every pod.

use std::{cell::OnceCell, collections::BTreeMap};

use super::{
    contents::Contents,
    demands::{behind, takes_one_of, tolerates_all},
};
use crate::{
    model::{Pod, ResourceList, label, pod::PodKey},
    scheduling::{Daemon, ExistingNode, PendingPod, Plan, Problem},
};

/// A node that is there, and what is known of it once it has been asked for.
pub(super) struct NodeFacts<'a> {
    pub(super) node: &'a ExistingNode,
    daemons: &'a [Daemon],
    /// The pods that the plan puts there.
    coming: Contents<'a>,
    labels: OnceCell<BTreeMap<&'a str, &'a str>>,
    promised: OnceCell<ResourceList>,
    room: OnceCell<Option<ResourceList>>,
}

/// The nodes of the problem, in its order.
pub(super) fn all<'a>(
    problem: &'a Problem,
    plan: &'a Plan,
    pods: &BTreeMap<&'a PodKey, &'a PendingPod>,
) -> Vec<NodeFacts<'a>> {
    let mut coming: BTreeMap<&str, Vec<&PendingPod>> = BTreeMap::new();
    for nomination in &plan.nominations {
        let known = nomination.pods.iter().filter_map(|pod| pods.get(pod).copied());
        coming.entry(&nomination.node).or_default().extend(known);
    }
    let facts = |node: &'a ExistingNode| NodeFacts {
        node,
        daemons: &problem.daemons,
        coming: Contents::new(coming.get(node.name.as_str()).cloned().unwrap_or_default()),
        labels: OnceCell::new(),
        promised: OnceCell::new(),
        room: OnceCell::new(),
    };
    problem.nodes.iter().map(facts).collect()
}

impl NodeFacts<'_> {
    /// Whether the node's labels are what the pod asks for.
    pub(super) fn meets(&self, pod: &Pod) -> bool {
        let labels = self.labels();
        pod.alternatives.iter().any(|alternative| {
            alternative.requirements.iter().all(|wanted| match labels.get(wanted.key()) {
                Some(value) => wanted.has(value),
                None => wanted.allows_absence(),
            })
        })
    }

    /// What pods that are on the node and daemons that will be have of it.
    pub(super) fn promised(&self) -> &ResourceList {
        self.promised.get_or_init(|| {
            let node = self.node;
            let runs = |daemon: &&Pod| {
                daemon.requests.fits_in(&node.allocatable)
                    && tolerates_all(daemon, &node.taints)
                    && self.meets(daemon)
            };
            let daemons: ResourceList =
                behind(self.daemons, &node.taints).filter(runs).map(|daemon| &daemon.requests).sum();
            [node.requests.clone(), daemons.minus(&node.daemon_requests).floored()].iter().sum()
        })
    }

    /// Whether the node has room for one more pod once the plan is carried out.
    pub(super) fn holds(&self, pod: &Pod) -> bool {
        self.room().is_some_and(|room| pod.requests.fits_in(room))
            && tolerates_all(pod, &self.node.taints)
            && self.meets(pod)
            && !takes_one_of(pod, self.node.host_ports.iter().chain(self.coming.host_ports()))
    }

    /// What is left for one more pod; nothing, if there is too much on the node already.
    fn room(&self) -> Option<&ResourceList> {
        let room = self.room.get_or_init(|| {
            let taken: ResourceList = [self.promised(), &self.coming.requests].into_iter().sum();
            taken.fits_in(&self.node.allocatable).then(|| self.node.allocatable.minus(&taken))
        });
        room.as_ref()
    }

    /// The labels by the keys that requirements have. What is there under such a key itself counts before what is there under another.
    fn labels(&self) -> &BTreeMap<&str, &str> {
        self.labels.get_or_init(|| {
            let mut labels = BTreeMap::new();
            for (key, value) in &self.node.labels {
                labels.entry(label::normalized(key)).or_insert(value.as_str());
            }
            labels.extend(self.node.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            labels
        })
    }
}
