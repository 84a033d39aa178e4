//! What people have been told, so that a state that lasts is not told at every look, and thousands of objects in the same state do not flood
//! the API server. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::Event;
use crate::model::event::Regarding;

/// What was told, by the object and what makes events about it the same, and when.
#[derive(Debug)]
pub(super) struct Told {
    at: BTreeMap<(Regarding, String), Timestamp>,
    again_after: SignedDuration,
    most_at_once: usize,
}

impl Told {
    /// Nothing so far. What lasts is told again after `again_after`; so many events are told at once, and the others at the next look.
    pub(super) const fn new(again_after: SignedDuration, most_at_once: usize) -> Self {
        Self { at: BTreeMap::new(), again_after, most_at_once }
    }

    /// Of everything that could be told now, what is worth telling. What is not among it any more is news when it comes back.
    pub(super) fn news(&mut self, events: impl IntoIterator<Item = Event>, now: Timestamp) -> Vec<Event> {
        let before = std::mem::take(&mut self.at);
        self.worth(before, events, now)
    }

    /// The same, where these are only a part of what could be told: nothing is forgotten.
    pub(super) fn further(&mut self, events: impl IntoIterator<Item = Event>, now: Timestamp) -> Vec<Event> {
        let before = self.at.clone();
        self.worth(before, events, now)
    }

    fn worth(
        &mut self,
        mut before: BTreeMap<(Regarding, String), Timestamp>,
        events: impl IntoIterator<Item = Event>,
        now: Timestamp,
    ) -> Vec<Event> {
        let mut news = Vec::new();
        for event in events {
            let key = (event.regarding.clone(), event.same_if.clone());
            let told = before.remove(&key).filter(|told| now.duration_since(*told) < self.again_after);
            if told.is_none() && news.len() == self.most_at_once {
                continue;
            }
            self.at.insert(key, told.unwrap_or(now));
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
        let mut told = Told::new(SignedDuration::from_mins(10), usize::MAX);
        let mut news = |events: &[(&str, &str)], now| {
            let events = events.iter().map(|(name, why)| event(name, why));
            told.news(events, at(now)).iter().map(|event| event.message.clone()).collect::<Vec<_>>()
        };
        assert_eq!(news(&[("a", "pod"), ("b", "pod")], 0), ["pod", "pod"]);
        assert!(news(&[("a", "pod"), ("b", "pod")], 599).is_empty());
        assert_eq!(news(&[("a", "node"), ("b", "pod")], 600), ["node", "pod"]);
        assert!(news(&[("b", "pod")], 601).is_empty());
        assert_eq!(news(&[("a", "node"), ("b", "pod")], 602), ["node"], "it is news when it comes back");
    }

    #[test]
    fn of_very_many_each_is_told_in_the_end() {
        let mut told = Told::new(SignedDuration::from_mins(5), 500);
        let mut counts = Vec::new();
        for second in 0..4 {
            let events = (0..1200).map(|number| event(&format!("pod-{number:05}"), "full"));
            counts.push(told.news(events, at(second)).len());
        }
        assert_eq!(counts, [500, 500, 200, 0]);
        let one = told.further([event("another", "full")], at(4));
        assert_eq!((one.len(), told.at.len()), (1, 1201), "nothing is forgotten for what is told between");
        told.news([], at(5));
        assert!(told.at.is_empty(), "those that wait no more are forgotten");
    }
}
