//! Claims that the cache does not show although they exist, or may: those that were created a moment ago, and those whose creation was
//! not answered. Without them a second node would be launched for the same pods. Pure.
//!
//! A watch can be silent for longer than anybody can wait. So whatever is not shown after a while is asked for: the API server's list,
//! unlike the cache, is never behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::cluster::caches::KnownClaim;
use crate::cluster::write::SETTLED_AFTER;
use crate::lifecycle::backoff::later;
use crate::model::pod::PodKey;

/// What the cache does not show by then is asked for. A creation that was answered with an error has taken effect by then, or never will.
const ASKED_FOR_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// The claims.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    /// By name, and when to ask for each.
    claims: BTreeMap<String, (Arc<KnownClaim>, Timestamp)>,
    /// By a name for the place on each.
    in_doubt: BTreeMap<String, Timestamp>,
}

impl Unseen {
    /// The claim was created.
    pub(super) fn created(&mut self, claim: Arc<KnownClaim>, now: Timestamp) {
        self.claims.insert(claim.model.object.name.clone(), (claim, later(now, ASKED_FOR_AFTER)));
    }

    /// A claim may have been created for this pod and others; whether there was an answer decides how long that may still come true. Nobody
    /// knows its name: what stands for it is returned.
    pub(super) fn in_doubt(&mut self, pod: &PodKey, is_answered: bool, now: Timestamp) -> String {
        let settled_after = if is_answered { ASKED_FOR_AFTER } else { SETTLED_AFTER };
        // No object has a name like this.
        let place = format!("?{pod}");
        self.in_doubt.insert(place.clone(), later(now, settled_after));
        place
    }

    /// Whether the claim that this stands for is in doubt; nothing, if it stands for none.
    pub(super) fn is_in_doubt(&self, place: &str) -> Option<bool> {
        place.starts_with('?').then(|| self.in_doubt.contains_key(place))
    }

    /// The claim of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Arc<KnownClaim>> {
        self.claims.get(name).map(|(claim, _)| claim)
    }

    /// All that are known to exist.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<KnownClaim>> {
        self.claims.values().map(|(claim, _)| claim)
    }

    /// Drops what the cache shows.
    pub(super) fn review(&mut self, is_seen: impl Fn(&str) -> bool) {
        self.claims.retain(|name, _| !is_seen(name));
    }

    /// When the API server is to be asked which claims there are.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let asked_for = self.claims.values().map(|(_, at)| at);
        asked_for.chain(self.in_doubt.values()).min().copied()
    }

    /// These are all claims that there were when it was asked, at `now`. What was in doubt for long enough is no longer: it is among them
    /// or does not exist.
    pub(super) fn answered(
        &mut self,
        listed: impl IntoIterator<Item = KnownClaim>,
        is_seen: impl Fn(&str) -> bool,
        now: Timestamp,
    ) {
        self.claims.clear();
        self.in_doubt.retain(|_, at| *at > now);
        for claim in listed {
            if !is_seen(&claim.model.object.name) {
                self.created(Arc::new(claim), now);
            }
        }
    }

    /// It was asked at `now` and not answered; what was to be asked for stays as it is.
    pub(super) fn not_answered(&mut self, now: Timestamp) {
        let times = self.claims.values_mut().map(|(_, at)| at).chain(self.in_doubt.values_mut());
        for at in times.filter(|at| **at <= now) {
            *at = later(now, ASKED_FOR_AFTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::caches::known_claim;
    use crate::model::testing::nodes::at;

    fn claim(name: &str) -> KnownClaim {
        known_claim(
            serde_json::from_value(json!({
                "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": name, "uid": name },
                "spec": { "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" }, "requirements": [] },
            }))
            .unwrap(),
        )
    }

    fn names(unseen: &Unseen) -> Vec<&str> {
        unseen.all().map(|claim| claim.model.object.name.as_str()).collect()
    }

    #[test]
    fn a_claim_counts_until_the_cache_shows_it_however_long_that_takes() {
        let mut unseen = Unseen::default();
        assert_eq!(unseen.due(), None);
        unseen.created(Arc::new(claim("a")), at(0));
        unseen.created(Arc::new(claim("b")), at(3));
        unseen.review(|name| name == "b");
        assert_eq!((names(&unseen), unseen.due()), (vec!["a"], Some(at(10))));
        unseen.not_answered(at(10));
        assert_eq!((names(&unseen), unseen.due()), (vec!["a"], Some(at(20))));
        unseen.answered([claim("a"), claim("seen")], |name| name == "seen", at(20));
        assert_eq!((names(&unseen), unseen.due()), (vec!["a"], Some(at(30))), "it is still not shown");
        unseen.answered([], |_| false, at(30));
        assert_eq!((names(&unseen), unseen.due()), (vec![], None), "it came and went");
    }

    #[test]
    fn a_claim_whose_creation_failed_is_found_by_the_list_once_it_can_be_there() {
        let pod = PodKey { namespace: "shop".to_owned(), name: "web".to_owned() };
        for (is_answered, settled) in [(true, 10), (false, 60)] {
            let mut unseen = Unseen::default();
            let place = unseen.in_doubt(&pod, is_answered, at(0));
            unseen.answered([], |_| false, at(settled - 1));
            assert_eq!(unseen.is_in_doubt(&place), Some(true), "it may still appear");
            assert_eq!(unseen.due(), Some(at(settled)));
            unseen.not_answered(at(settled));
            assert_eq!(unseen.is_in_doubt(&place), Some(true), "nobody has said that it does not exist");
            unseen.answered([claim("late")], |_| false, at(settled + 10));
            assert_eq!(unseen.is_in_doubt(&place), Some(false));
            assert_eq!(names(&unseen), ["late"]);
        }
        assert_eq!(Unseen::default().is_in_doubt("application-1"), None);
    }
}
