//! What is remembered, held against what the caches show now.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Provisioner;
use super::batch::Crowd;
use super::machines::{is_closed, is_lost};
use super::nominations::Progress;
use crate::api::nodeclaim::INITIALIZED;
use crate::controllers::Context;
use crate::disruption::emptiness::initialization_deadline;
use crate::model::ResourceList;
use crate::model::pod::PodKey;

impl Provisioner {
    /// Brings everything that is remembered up to what the caches show.
    pub(super) fn review(&mut self) {
        let caches = &self.context.caches;
        let now = self.context.clock.now();
        self.unseen.review(|name| caches.node_claims.get("", name).is_some());
        let mut waiting = self.pending.waiting();
        self.nominations.with(|nominations| {
            let waits = |pod: &PodKey, uid: &str| waiting.get(pod).is_some_and(|own| own == uid);
            nominations.review(waits, |name| self.progress(name, now), now);
            let requests = |pod: &PodKey| {
                let known = caches.pods.get(&pod.namespace, &pod.name)?;
                known.unbound().map(|pod| pod.requests.clone())
            };
            nominations.release_crowded_out(requests, &self.room(&nominations.nodes()), now);
            waiting.retain(|pod, uid| nominations.of(pod, uid).is_none());
        });
        self.left_out.retain(|pod, uid| waiting.get(pod) == Some(uid));
        waiting.retain(|pod, _| !self.left_out.contains_key(pod));
        let any_new = waiting.iter().any(|(pod, uid)| self.fresh.get(pod) != Some(uid));
        let maker = |pod: &PodKey| {
            let pod = caches.pods.get(&pod.namespace, &pod.name)?;
            pod.unbound()?.controller().map(|maker| maker.uid.clone())
        };
        let makers: BTreeSet<_> = waiting.keys().filter_map(maker).collect();
        let crowd = Crowd {
            waiting: waiting.len(),
            any_new,
            has_maker: !makers.is_empty(),
            are_more_coming: self.pending.are_more_coming(&makers),
        };
        self.batch.note(self.epoch.elapsed(), crowd);
        self.fresh = waiting;
    }

    /// What these machines have left beside the pods that are bound to them, as far as they have a Node.
    fn room(&self, machines: &BTreeSet<String>) -> BTreeMap<String, ResourceList> {
        let Context { caches, index, .. } = &self.context;
        let node_of = |machine: &String| match caches.node_claims.get("", machine) {
            // Before, devices may be missing that will be there.
            Some(claim) if !claim.model.is(INITIALIZED) => None,
            Some(claim) => caches.nodes.get("", claim.model.node_name.as_deref()?),
            None => caches.nodes.get("", machine),
        };
        let room_on = |machine: &String| {
            let node = node_of(machine)?;
            let pods = index.pods_on(&node.model.object.name);
            let bound = pods.iter().filter_map(|pod| pod.bound()).filter(|pod| !pod.phase.is_terminal());
            let taken = bound.map(|pod| &pod.requests).sum();
            Some((machine.clone(), node.model.allocatable.minus(&taken)))
        };
        machines.iter().filter_map(room_on).collect()
    }

    /// When the next promise ends if nothing changes.
    pub(super) fn next_end_of_promise(&self) -> Option<Timestamp> {
        let (end, machines) =
            self.nominations.with(|nominations| (nominations.next_end(), nominations.nodes()));
        let claims = &self.context.caches.node_claims;
        let deadlines =
            machines.iter().filter_map(|name| initialization_deadline(&claims.get("", name)?.model));
        end.into_iter().chain(deadlines).min()
    }

    /// What became of a machine, by the name that promises go by.
    fn progress(&self, name: &str, now: Timestamp) -> Progress {
        let caches = &self.context.caches;
        if let Some(is_in_doubt) = self.unseen.is_in_doubt(name) {
            return if is_in_doubt { Progress::OnItsWay } else { Progress::Unfounded };
        }
        let claim = caches.node_claims.get("", name);
        if let Some(claim) = claim.or_else(|| self.unseen.get(name).cloned()) {
            return match &claim.model {
                claim if is_lost(claim, now) => Progress::Gone,
                claim if claim.is(INITIALIZED) => Progress::Ready,
                _ => Progress::OnItsWay,
            };
        }
        match caches.nodes.get("", name) {
            Some(node) if !is_closed(&node) => Progress::Ready,
            _ => Progress::Gone,
        }
    }
}
