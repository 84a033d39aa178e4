//! Gives up nodes that nothing needs: asks `disruption::decide`, and carries its commands out.
//!
//! A round ends when all of its commands have been answered, so that no two are under way for one claim. What a lost answer leaves open
//! counts as begun until it can be seen. Nothing else is remembered: the marks are on Nodes and claims.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::select_all;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use self::begun::Begun;
use self::commands::{Outcome, carry_out};
use self::view::View;
use super::told::Told;
use super::writes::{Failure, Writes};
use super::{Context, one_term};
use crate::disruption::budgets::Held;
use crate::disruption::decide::{Command, Decision};

mod begun;
mod commands;
mod view;

/// Changes that come together are answered together.
const GATHER: Duration = Duration::from_millis(50);
/// After a write failed; a change that is seen comes first.
const RETRY: Duration = Duration::from_secs(1);
/// Why a node stays is told again after so long: the API server keeps an event for an hour.
const TOLD_AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// Commands that are carried out at once.
const AT_ONCE: usize = 10;

/// Tells until when pods are expected on a node, by its name or its claim's, because a plan has placed them there.
pub type NominatedUntil = Arc<dyn Fn(&str) -> Option<Timestamp> + Send + Sync>;

/// Reads the caches, decides, and writes.
pub struct DisruptionController {
    /// What controllers share.
    pub context: Context,
    /// Until when pods are expected on nodes.
    pub nominated_until: NominatedUntil,
}

impl DisruptionController {
    /// Gives nodes up while `leads` says so and all caches are complete, for as long as it is awaited.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        while one_term(&mut leads, self.lead()).await {}
    }

    async fn lead(&self) {
        let caches = &self.context.caches;
        caches.synced().await;
        let mut changes = [
            caches.node_pools.changes(),
            caches.node_claims.changes(),
            caches.nodes.changes(),
            caches.pods.changes(),
        ];
        let (mut begun, mut told) = (Begun::default(), Told::new(TOLD_AGAIN_AFTER, usize::MAX));
        loop {
            for change in &mut changes {
                change.mark_unchanged();
            }
            let due = self.round(&mut begun, &mut told).await;
            let wait = due.map(|due| self.context.until(due)).unwrap_or_default();
            tokio::select! {
                // Both arms only wait; whatever changed, everything is looked at again.
                _ = select_all(changes.iter_mut().map(|change| Box::pin(change.changed()))) => {}
                () = tokio::time::sleep(wait), if due.is_some() => {}
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Decides once, carries everything out, and says when to decide again if nothing changes before.
    async fn round(&self, begun: &mut Begun, told: &mut Told) -> Option<Timestamp> {
        let view = View::gather(&self.context.caches);
        let now = self.context.clock.now();
        begun.review(
            |name| view.claim(name).map(|claim| claim.model.object.clone()),
            |name| view.node(name).map(|node| node.model.object.clone()),
            now,
        );
        let decision = view.decide(&begun.claims(), |name| (self.nominated_until)(name), now);
        self.tell(&view, &decision, told, now);
        let (writes, of) = (Writes(&self.context), &view);
        let outcomes = futures::stream::iter(decision.commands)
            .map(|command| async move {
                let outcome = carry_out(writes, of, &command).await;
                (command, outcome)
            })
            .buffer_unordered(AT_ONCE);
        let outcomes: Vec<_> = outcomes.collect().await;
        let now = self.context.clock.now();
        let mut retry = None;
        for (command, Outcome { written, result }) in outcomes {
            begun.note(&command.claim().name, written, now);
            if !self.report(&command, &result) {
                retry = now.saturating_add(RETRY).ok();
            }
        }
        [decision.look_again, begun.next_end(), retry].into_iter().flatten().min()
    }

    fn report(&self, command: &Command, result: &Result<(), Failure>) -> bool {
        let name = &command.claim().name;
        let word = match command {
            Command::Mark { .. } => "mark",
            Command::Release { .. } => "release",
            Command::Delete { .. } => "delete",
        };
        match result {
            Ok(()) => {
                tracing::info!(node_claim = name, command = word, "an empty node");
                self.context.events.send(command.event());
            }
            // What is there now comes by the watch.
            Err(Failure::Changed) => {}
            Err(error) => {
                tracing::warn!(node_claim = name, command = word, %error, "it could not be done; it is decided on again");
            }
        }
        result.is_ok()
    }

    fn tell(&self, view: &View, decision: &Decision, told: &mut Told, now: Timestamp) {
        let kept = { decision.kept.iter() }.filter_map(|(name, why)| why.event(&view.claim(name)?.model));
        let held = decision.held.iter().map(Held::event);
        for event in told.news(kept.chain(held), now) {
            self.context.events.send(event);
        }
    }
}
