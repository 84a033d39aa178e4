//! A step that is being made up: what the parts of a claim's life add to it, and what is left of it in the end.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::effect::{DeletionReason, Effect, NodePatch, StatusPatch};
use super::notice::Notice;
use super::view::ClaimView;
use crate::api::conditions::Change;
use crate::api::nodeclaim;

/// What is to be done now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// What to do, in this order.
    pub effects: Vec<Effect>,
    /// When to look again, if nothing changes before.
    pub requeue_at: Option<Timestamp>,
}

/// A step that is being made up.
pub(super) struct Draft<'a> {
    pub(super) view: &'a ClaimView<'a>,
    pub(super) now: Timestamp,
    pub(super) status: StatusPatch,
    changes: Vec<Change>,
    effects: Vec<Effect>,
    requeue_at: Option<Timestamp>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(view: &'a ClaimView<'a>, now: Timestamp) -> Self {
        let status = StatusPatch::default();
        Self { view, now, status, changes: Vec::new(), effects: Vec::new(), requeue_at: None }
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn set(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(super) fn report(&mut self, notice: &Notice<'_>) {
        self.effects.push(Effect::Report(notice.about(self.view.claim)));
    }

    pub(super) fn give_up(&mut self, reason: DeletionReason, notice: &Notice<'_>) {
        self.report(notice);
        self.effects.push(Effect::DeleteClaim(reason));
    }

    /// Asks for the patch unless it changes nothing; says whether it does.
    pub(super) fn patch_node(&mut self, patch: NodePatch) -> bool {
        let changes = !patch.is_empty();
        if changes {
            self.effects.push(Effect::PatchNode(patch));
        }
        changes
    }

    /// Whether something is to be done already, other than to tell people.
    pub(super) fn is_busy(&self) -> bool {
        self.effects.iter().any(Effect::changes_anything)
    }

    pub(super) fn look_again_at(&mut self, moment: impl Into<Option<Timestamp>>) {
        self.requeue_at = self.requeue_at.into_iter().chain(moment.into()).min();
    }

    /// Adds the status, if that is to be another one.
    ///
    /// Not beside another write of the claim, which would make one of the two conflict, nor before a launch, which is in more of a hurry
    /// and changes it anyway. A deletion comes after it, in the next step, so that the claim still says why.
    pub(super) fn finish(mut self) -> Step {
        let claim = self.view.claim;
        let conditions = nodeclaim::CONDITIONS.merge(claim.subject(), &self.changes, self.now);
        if conditions != claim.conditions {
            self.status.conditions = Some(conditions);
        }
        let waits = |effect: &Effect| matches!(effect, Effect::PatchClaim(_) | Effect::Launch { .. });
        let is_over = self.view.claim.deleted.is_some()
            && (!claim.has_finalizer || self.effects.contains(&Effect::RemoveClaimFinalizer));
        if self.status != StatusPatch::default() && !is_over && !self.effects.iter().any(waits) {
            self.effects.retain(|effect| !matches!(effect, Effect::DeleteClaim(_)));
            self.effects.push(Effect::SetStatus(self.status));
        }
        Step { effects: self.effects, requeue_at: self.requeue_at }
    }
}

/// Those of `wanted` that `present` does not have with this value.
pub(super) fn missing<'w>(
    present: &BTreeMap<String, String>,
    wanted: impl IntoIterator<Item = (&'w str, &'w str)>,
) -> BTreeMap<String, String> {
    { wanted.into_iter() }
        .filter(|(key, value)| present.get(*key).is_none_or(|own| own != value))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}
