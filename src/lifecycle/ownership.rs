//! A claim that says that it has an instance, where others say the same: only one of them acts on the instance and on its Node.
//!
//! Two claims have one provider ID when a status was copied or restored. The instance's tags tell whose it is, so the cloud is asked before
//! anything is done for either. The other claims keep their hands off: deleted, they go without a drain and without a termination.

use super::draft::Draft;
use super::effect::Effect;
use super::notice::Notice;
use crate::api::conditions::{Change, find};
use crate::api::nodeclaim::CONSISTENT_STATE_FOUND;
use crate::model::ownership::owner;

/// The reason of the condition.
const OF_ANOTHER: &str = "InstanceOfAnotherClaim";

/// Whether the claim may act on the instance that it says it has. If not, what is to be done is in the draft.
pub(super) fn may_act(draft: &mut Draft<'_>) -> bool {
    let view = draft.view;
    let claim = view.claim;
    let Some(provider_id) = claim.provider_id.as_ref().filter(|_| !view.rivals.is_empty()) else {
        return is_mine(draft);
    };
    let told = match view.memory.owner.as_ref().map(|known| (&known.value, known.ask_again)) {
        Some((Ok(Some(uid)), _)) => vec![uid.clone()],
        Some((Ok(None), ask_again)) if draft.now < ask_again => Vec::new(),
        Some((Err(_), ask_again)) if draft.now < ask_again => {
            draft.look_again_at(ask_again);
            return false;
        }
        Some(_) | None => {
            draft.push(Effect::FindOwner { provider_id: provider_id.clone() });
            return false;
        }
    };
    let owner = owner(view.rivals.iter().chain([claim]), &told).unwrap_or(claim);
    if owner.object.uid == claim.object.uid {
        return is_mine(draft);
    }
    let notice = Notice::InstanceOfAnotherClaim { provider_id, owner };
    draft.report(&notice);
    if claim.deleted.is_some() {
        draft.push(Effect::RemoveClaimFinalizer);
    } else {
        draft.set(Change::fails(CONSISTENT_STATE_FOUND, OF_ANOTHER, notice.to_string()));
    }
    false
}

/// It is: what was said before does not hold any more.
fn is_mine(draft: &mut Draft<'_>) -> bool {
    let said = find(&draft.view.claim.conditions, CONSISTENT_STATE_FOUND);
    if said.is_some_and(|condition| condition.reason == OF_ANOTHER) {
        draft.set(Change::holds(CONSISTENT_STATE_FOUND));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::memory::Answer;
    use crate::lifecycle::testing::Scene;
    use crate::model::NodeClaim;
    use crate::model::testing::nodes::{at, claim, instance_id, object, registered_node};

    fn named(name: &str, created: i64) -> NodeClaim {
        NodeClaim { object: object(name), created: at(created), ..claim().registered() }
    }

    /// What is done for `claim` beside `rival`, when the cloud has said whose the instance is.
    fn effects(claim: &NodeClaim, rival: &NodeClaim, told: Result<Option<&str>, &str>) -> Vec<Effect> {
        let mut scene = Scene::new(claim.clone()).with_node(registered_node());
        scene.rivals = vec![rival.clone()];
        let step = scene.step(at(100));
        assert_eq!(
            step.effects,
            [Effect::FindOwner { provider_id: instance_id() }],
            "nothing before that is known"
        );
        let told = told.map(|uid| uid.map(str::to_owned)).map_err(str::to_owned);
        scene.memory.record(Answer::Owner(told), at(100));
        scene.step(at(100)).effects
    }

    /// Whether the claim goes as if it had no instance.
    fn lets_go(effects: &[Effect]) -> bool {
        matches!(effects, [Effect::Report(event), Effect::RemoveClaimFinalizer] if event.reason == OF_ANOTHER)
    }

    #[test]
    fn the_deletion_of_a_claim_that_names_anothers_instance_leaves_that_alone() {
        let (old, new) = (named("old", 0), named("new", 10));
        let cases = [
            // By the tags, or else by age.
            (&new, &old, Ok(Some("old-uid")), true),
            (&old, &new, Ok(Some("old-uid")), false),
            (&old, &new, Ok(Some("new-uid")), true),
            (&new, &old, Ok(Some("new-uid")), false),
            (&new, &old, Ok(None), true),
            (&old, &new, Ok(None), false),
            (&new, &old, Ok(Some("gone-uid")), true),
        ];
        for (deleted, rival, told, expected) in cases {
            let done = effects(&deleted.clone().deleted(50).with(&[], at(50)), rival, told);
            assert_eq!(lets_go(&done), expected, "{} {told:?}: {done:?}", deleted.object.name);
            assert!(!done.is_empty());
        }
    }

    #[test]
    fn a_live_claim_says_so_and_stays_and_a_cloud_that_does_not_answer_is_asked_again() {
        let (old, new) = (named("old", 0), named("new", 10));
        let done = effects(&new, &old, Ok(Some("old-uid")));
        let [Effect::Report(_), Effect::SetStatus(status)] = done.as_slice() else { panic!("{done:?}") };
        let condition = find(status.conditions.as_ref().unwrap(), CONSISTENT_STATE_FOUND).unwrap();
        assert!(condition.message.contains("NodeClaim old"), "{}", condition.message);
        assert_eq!(effects(&new, &old, Err("slow")), []);
        // The other is gone: it says nothing of the kind any more, and lives on.
        let mut alone =
            Scene::new(new.with(&[Change::fails(CONSISTENT_STATE_FOUND, OF_ANOTHER, "")], at(90)));
        alone.nodes = vec![registered_node()];
        let effects = alone.step(at(100)).effects;
        let status = effects.iter().find_map(|effect| match effect {
            Effect::SetStatus(status) => status.conditions.as_ref(),
            _ => None,
        });
        let condition = find(status.unwrap(), CONSISTENT_STATE_FOUND).unwrap();
        assert_ne!(condition.reason, OF_ANOTHER);
    }
}
