//! Carries commands out, as their documentation demands: the Node first, then the claim, each on the condition of its version.

use super::begun::Written;
use super::view::View;
use crate::api::conditions::Condition;
use crate::controllers::writes::{Failure, Writes};
use crate::disruption::decide::Command;
use crate::lifecycle::effect::{NodePatch, StatusPatch};
use crate::model::ObjectRef;
use crate::model::node::disrupted_taint;

/// How a command went: what it has written or may have, and whether all of it is done.
pub(super) struct Outcome {
    pub(super) written: Written,
    pub(super) result: Result<(), Failure>,
}

/// Carries one command out that was decided on from this view.
pub(super) async fn carry_out(writes: Writes<'_>, view: &View, command: &Command) -> Outcome {
    let mut outcome = Outcome { written: Written::default(), result: Ok(()) };
    outcome.result = match command {
        Command::Mark { claim, node, conditions } => {
            let mark = NodePatch { taints: vec![disrupted_taint()], ..NodePatch::of(node) };
            match patch_node(writes, view, &mark, &mut outcome.written).await {
                Ok(()) => set_conditions(writes, view, claim, conditions, &mut outcome.written).await,
                Err(failure) => Err(failure),
            }
        }
        Command::Release { claim, node, conditions } => {
            let freed = match node {
                Some(node) => {
                    let release = NodePatch { remove_taints: vec![disrupted_taint()], ..NodePatch::of(node) };
                    patch_node(writes, view, &release, &mut outcome.written).await
                }
                None => Ok(()),
            };
            match freed {
                Ok(()) => set_conditions(writes, view, claim, conditions, &mut outcome.written).await,
                Err(failure) => Err(failure),
            }
        }
        Command::Delete { claim } => {
            let deleted = writes.delete_claim(claim).await;
            outcome.written.claim = may_be_written(claim, &deleted);
            deleted
        }
    };
    outcome
}

async fn patch_node(
    writes: Writes<'_>,
    view: &View,
    changes: &NodePatch,
    written: &mut Written,
) -> Result<(), Failure> {
    let node = view.node(&changes.node.name).ok_or(Failure::Changed)?;
    let patched = writes.patch_node(node, changes).await;
    written.node = may_be_written(&changes.node, &patched);
    patched
}

async fn set_conditions(
    writes: Writes<'_>,
    view: &View,
    claim: &ObjectRef,
    conditions: &[Condition],
    written: &mut Written,
) -> Result<(), Failure> {
    let known = view.claim(&claim.name).ok_or(Failure::Changed)?;
    if known.model.conditions == conditions {
        return Ok(());
    }
    let status = StatusPatch { conditions: Some(conditions.to_vec()), ..StatusPatch::default() };
    let set = writes.set_status(known, &status).await;
    written.claim = may_be_written(claim, &set);
    set
}

fn may_be_written(object: &ObjectRef, result: &Result<(), Failure>) -> Option<ObjectRef> {
    match result {
        Ok(()) | Err(Failure::Unknown(_)) => Some(object.clone()),
        Err(Failure::Changed | Failure::Refused(_)) => None,
    }
}
