//! Which claims are to be looked at again, because something that they are decided from has changed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::cluster::caches::{Caches, KnownNode};
use crate::model::workload_type::WorkloadType;
use crate::model::{KnownPod, ProviderId};

/// Of more single changes than this, only that there were many is kept.
const MOST: usize = 10_000;

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Touched {
    /// What every claim depends on.
    Everything,
    /// The claim of this name.
    Claim(String),
    /// A Node of this instance.
    Instance(ProviderId),
    /// A pod or a volume on the Node of this name.
    Node(String),
}

/// Collects what changes until somebody asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Wake {
    touched: Arc<Mutex<BTreeSet<Touched>>>,
    notify: Arc<Notify>,
}

impl Wake {
    /// Collects the changes of these caches from now on.
    pub(super) fn on(caches: &Caches) -> Self {
        let wake = Self::default();
        let claims = wake.clone();
        caches.node_claims.observe(move |before, now| {
            claims.note({ now.or(before) }.map(|claim| Touched::Claim(claim.model.object.name.clone())));
        });
        let nodes = wake.clone();
        caches.nodes.observe(move |before, now| {
            let instance = |node: &KnownNode| node.model.provider_id.clone().map(Touched::Instance);
            nodes.note(before.and_then(instance));
            nodes.note(now.and_then(instance));
        });
        let pods = wake.clone();
        caches.pods.observe(move |before, now| {
            let node = { now.or(before) }.and_then(KnownPod::bound).map(|pod| pod.node_name.clone());
            pods.note(node.map(Touched::Node));
        });
        let attachments = wake.clone();
        caches.attachments.observe(move |before, now| {
            let node = now.or(before).map(|attachment| attachment.node_name.clone());
            attachments.note(node.map(Touched::Node));
        });
        let volumes = wake.clone();
        caches.volumes.observe(move |before, now| {
            // Which node it is attached to is not told; volumes are bound once.
            volumes.note((before != now).then_some(Touched::Everything));
        });
        let types = wake.clone();
        caches.workload_types.observe(move |before, now| {
            // Counts in their statuses change all the time.
            let is_same = before.map(WorkloadType::read) == now.map(WorkloadType::read);
            types.note((!is_same).then_some(Touched::Everything));
        });
        let classes = wake.clone();
        caches.node_classes.observe(move |_, _| classes.note(Some(Touched::Everything)));
        wake
    }

    /// Notes a change.
    pub(super) fn note(&self, touched: Option<Touched>) {
        let Some(touched) = touched else { return };
        let mut all = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        // A replica that does not lead takes nothing.
        if all.len() >= MOST {
            *all = [Touched::Everything].into();
        }
        if !all.contains(&Touched::Everything) {
            all.insert(touched);
        }
        drop(all);
        self.notify.notify_one();
    }

    /// Waits until something has changed.
    pub(super) async fn wait(&self) {
        self.notify.notified().await;
    }

    /// What has changed since the last time.
    pub(super) fn take(&self) -> BTreeSet<Touched> {
        std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn very_many_changes_are_everything() {
        let wake = Wake::default();
        let claim = |number: usize| Touched::Claim(number.to_string());
        for number in 0..MOST {
            wake.note(Some(claim(number)));
        }
        wake.note(Some(claim(0)));
        assert_eq!(wake.take(), [Touched::Everything].into());
        wake.note(Some(claim(1)));
        assert_eq!(wake.take(), [claim(1)].into());
        wake.note(Some(Touched::Everything));
        wake.note(Some(claim(2)));
        assert_eq!(wake.take(), [Touched::Everything].into());
    }
}
