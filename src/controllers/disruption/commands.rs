//! Carries commands out, as their documentation demands: the Node first, then the claim, each on the condition of its version.

use super::begun::Written;
use super::view::View;
use crate::api::conditions::Condition;
use crate::controllers::writes::{Failure, Writes};
use crate::disruption::decide::{Command, marked};
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
        Command::Mark { claim, node } => {
            let mark = NodePatch { taints: vec![disrupted_taint()], ..NodePatch::of(node) };
            match patch_node(writes, view, &mark, &mut outcome.written).await {
                Ok(()) => match view.claim(&claim.name) {
                    Some(known) => {
                        // Not the moment of the decision: the taint is on only now.
                        let conditions = marked(&known.model, writes.0.clock.now());
                        set_conditions(writes, view, claim, &conditions, &mut outcome.written).await
                    }
                    None => Err(Failure::Changed),
                },
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::cluster::testing::slow_api_server;
    use crate::controllers::testing::{cluster_key, context, registered_claim};
    use crate::model::testing::nodes::at;

    #[tokio::test(start_paused = true)]
    async fn a_mark_counts_from_when_the_node_has_the_taint_and_not_from_when_it_was_decided() {
        let (_, claim) = registered_claim("a", "aws:///a/i-1", json!({}));
        let node = json!({ "metadata": { "name": "n1", "uid": "n1-uid", "resourceVersion": "1" }, "spec": { "providerID": "aws:///a/i-1" } });
        let (claim_answer, node_answer) = (serde_json::to_value(&claim.object).unwrap(), node.clone());
        let answer = move |line: &str| {
            let answer = if line.ends_with("/nodes/n1") { &node_answer } else { &claim_answer };
            (200, answer.clone())
        };
        let (client, calls) = slow_api_server(|_| Duration::from_secs(7), move |call| answer(&call.line));
        let context = context(client, at(600));
        let node = crate::cluster::caches::known_node(serde_json::from_value(node).unwrap());
        let command = Command::Mark { claim: claim.model.object.clone(), node: node.model.object.clone() };
        context.caches.node_claims.fill([(cluster_key("a"), claim)]);
        context.caches.nodes.fill([(cluster_key("n1"), node)]);
        let view = View::gather(&context.caches);
        let outcome = carry_out(Writes(&context), &view, &command).await;
        assert!(outcome.result.is_ok(), "{:?}", outcome.result);
        let calls = calls.take();
        let lines: Vec<_> = calls.iter().map(|call| call.line.as_str()).collect();
        assert_eq!(lines, ["PATCH /api/v1/nodes/n1", "PATCH /apis/karpenter.sh/v1/nodeclaims/a/status"]);
        let conditions = calls[1].body["status"]["conditions"].as_array().unwrap();
        let reason = conditions.iter().find(|condition| condition["type"] == "DisruptionReason").unwrap();
        let written: jiff::Timestamp = reason["lastTransitionTime"].as_str().unwrap().parse().unwrap();
        assert_eq!(written, at(607));
    }
}
