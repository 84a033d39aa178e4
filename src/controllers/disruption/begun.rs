//! Commands that were begun and whose outcome cannot be seen yet. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::cluster::write::SETTLED_AFTER;
use crate::lifecycle::backoff::later;
use crate::model::ObjectRef;

/// What commands have written, or may have, each by the name of its claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Begun(BTreeMap<String, Entry>);

/// The objects that a command has written, or may have, in the versions that it found them in.
///
/// Every write is made on the condition of that version. So as soon as another one is seen, the write has been seen, or can never be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) claim: Option<ObjectRef>,
    pub(super) node: Option<ObjectRef>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    written: Written,
    until: Timestamp,
}

impl Begun {
    /// Notes at `now` what a command for the claim has written.
    pub(super) fn note(&mut self, claim: &str, written: Written, now: Timestamp) {
        if written != Written::default() {
            let until = later(now, SETTLED_AFTER);
            self.0.insert(claim.to_owned(), Entry { written, until });
        }
    }

    /// Forgets what can be seen by now. `claim` and `node` tell in which version an object of that name is known.
    pub(super) fn review(
        &mut self,
        claim: impl Fn(&str) -> Option<ObjectRef>,
        node: impl Fn(&str) -> Option<ObjectRef>,
        now: Timestamp,
    ) {
        self.0.retain(|_, Entry { written, until }| {
            let is_unseen = |written: &Option<ObjectRef>, known: &dyn Fn(&str) -> Option<ObjectRef>| {
                written.as_ref().is_some_and(|before| known(&before.name).as_ref() == Some(before))
            };
            now < *until && (is_unseen(&written.claim, &claim) || is_unseen(&written.node, &node))
        });
    }

    /// The names of the claims.
    pub(super) fn claims(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    /// When the first of them is forgotten, whatever is seen.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.0.values().map(|entry| entry.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::nodes::{at, object};

    fn version(name: &str, version: &str) -> ObjectRef {
        ObjectRef { resource_version: version.to_owned(), ..object(name) }
    }

    fn left(claim: Option<ObjectRef>, node: Option<ObjectRef>, now: i64) -> Vec<String> {
        let mut begun = Begun::default();
        let written = Written { claim: Some(version("c", "1")), node: Some(version("n", "1")) };
        begun.note("c", written, at(0));
        begun.review(|_| claim.clone(), |_| node.clone(), at(now));
        begun.claims().into_iter().collect()
    }

    #[test]
    fn a_command_is_begun_until_all_that_it_wrote_is_seen() {
        let (old, new) = (|name| Some(version(name, "1")), |name| Some(version(name, "2")));
        assert_eq!(left(old("c"), old("n"), 1), ["c"]);
        assert_eq!(left(new("c"), old("n"), 1), ["c"]);
        assert_eq!(left(old("c"), new("n"), 1), ["c"]);
        assert!(left(new("c"), new("n"), 1).is_empty());
        assert!(left(None, new("n"), 1).is_empty(), "what is gone is seen to be gone");
        let other = Some(ObjectRef { uid: "another".to_owned(), ..version("c", "1") });
        assert!(left(other, None, 1).is_empty());
    }

    #[test]
    fn what_nobody_ever_sees_is_forgotten_and_nothing_written_is_nothing_begun() {
        assert_eq!(left(Some(version("c", "1")), None, 59), ["c"]);
        assert!(left(Some(version("c", "1")), None, 60).is_empty());
        let mut begun = Begun::default();
        begun.note("c", Written::default(), at(0));
        assert_eq!((begun.claims().len(), begun.next_end()), (0, None));
    }
}
