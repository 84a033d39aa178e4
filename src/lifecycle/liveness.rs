//! How long a claim may take to become a node. Past that it is deleted, and its pods are placed anew.
//!
//! Both times run from the claim's creation, so that nothing that happens to it can make them longer. They are looked at only where a
//! claim does not get on: one that would be launched or registered by this very step is, however late.

use jiff::{SignedDuration, Timestamp};

use super::backoff::later;
use super::draft::Draft;
use super::effect::DeletionReason;
use super::notice::Notice;
use crate::api::nodeclaim::REGISTERED;
use crate::model::NodeClaim;

/// Within so long the instance must be launched.
pub const LAUNCH_TIMEOUT: SignedDuration = SignedDuration::from_mins(5);
/// Within so long the Node must be registered.
pub const REGISTRATION_TIMEOUT: SignedDuration = SignedDuration::from_mins(15);

/// Until when the instance must be launched.
pub(super) fn launch_deadline(claim: &NodeClaim) -> Timestamp {
    later(claim.created, LAUNCH_TIMEOUT)
}

/// Gives up a claim that cannot be launched, when it is time.
pub(super) fn launch_in_time(draft: &mut Draft<'_>, last: Option<&str>) {
    let deadline = launch_deadline(draft.view.claim);
    if draft.now < deadline {
        draft.look_again_at(deadline);
        return;
    }
    draft.give_up(DeletionReason::LaunchTimeout, &Notice::LaunchTimeout { timeout: LAUNCH_TIMEOUT, last });
}

/// Gives up a claim without a registered Node, when it is time and nothing is being done about it.
pub(super) fn register_in_time(draft: &mut Draft<'_>, in_the_way: Option<&str>) {
    let claim = draft.view.claim;
    if draft.is_busy() || claim.is(REGISTERED) {
        return;
    }
    let Some(provider_id) = &claim.provider_id else { return };
    let deadline = later(claim.created, REGISTRATION_TIMEOUT);
    if draft.now < deadline {
        draft.look_again_at(deadline);
        return;
    }
    let notice = Notice::RegistrationTimeout { timeout: REGISTRATION_TIMEOUT, provider_id, in_the_way };
    draft.give_up(DeletionReason::RegistrationTimeout, &notice);
}
