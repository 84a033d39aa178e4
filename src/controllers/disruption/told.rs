//! What people have been told, so that a state that lasts is not told at every look. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::Event;
use crate::model::event::Regarding;

/// What lasts is told again after so long: the API server keeps an event for an hour.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// By the object and what makes events about it the same.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<(Regarding, String), Timestamp>);

impl Told {
    /// Of everything that could be told now, what is worth telling. What is not among it any more is news when it comes back.
    pub(super) fn news(&mut self, events: Vec<Event>, now: Timestamp) -> Vec<Event> {
        let mut before = std::mem::take(&mut self.0);
        let mut news = Vec::new();
        for event in events {
            let key = (event.regarding.clone(), event.same_if.clone());
            let told = before.remove(&key).filter(|told| now.duration_since(*told) < AGAIN_AFTER);
            self.0.insert(key, told.unwrap_or(now));
            if told.is_none() {
                news.push(event);
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Severity;
    use crate::model::testing::nodes::at;

    fn event(name: &str, why: &str) -> Event {
        Event {
            regarding: Regarding::NodeClaim { name: name.to_owned(), uid: "u".to_owned() },
            severity: Severity::Normal,
            reason: "DisruptionBlocked",
            message: why.to_owned(),
            same_if: why.to_owned(),
        }
    }

    #[test]
    fn what_lasts_is_told_once_in_a_while_and_what_changes_at_once() {
        let mut told = Told::default();
        let mut news = |events: &[(&str, &str)], now| {
            let events = events.iter().map(|(name, why)| event(name, why)).collect();
            told.news(events, at(now)).iter().map(|event| event.message.clone()).collect::<Vec<_>>()
        };
        assert_eq!(news(&[("a", "pod"), ("b", "pod")], 0), ["pod", "pod"]);
        assert!(news(&[("a", "pod"), ("b", "pod")], 599).is_empty());
        assert_eq!(news(&[("a", "node"), ("b", "pod")], 600), ["node", "pod"]);
        assert!(news(&[("b", "pod")], 601).is_empty());
        assert_eq!(news(&[("a", "node")], 602), ["node"]);
    }
}
