//! Who was told lately why there is no node, so that thousands of pods that wait for the same thing do not flood the API server. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::pod::PodKey;

/// The same is not told to a pod again for so long. Karpenter's value.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// So many pods are told at once; the others come next time.
const MOST_AT_ONCE: usize = 500;

/// What was told to whom, and when.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<PodKey, (String, Timestamp)>);

impl Told {
    /// Those of `pods` that are to be told now, each given with what it would be told, as far as that makes a difference. Pods that are not
    /// among them are forgotten.
    pub(super) fn news<'p, T>(
        &mut self,
        pods: impl IntoIterator<Item = (&'p PodKey, String, T)>,
        now: Timestamp,
    ) -> Vec<T> {
        let mut before = std::mem::take(&mut self.0);
        let mut news = Vec::new();
        for (pod, what, item) in pods {
            let known = before
                .remove(pod)
                .filter(|(known, at)| *known == what && now.duration_since(*at) < AGAIN_AFTER);
            if known.is_none() && news.len() == MOST_AT_ONCE {
                continue;
            }
            let told = known.unwrap_or_else(|| {
                news.push(item);
                (what, now)
            });
            self.0.insert(pod.clone(), told);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(count: usize) -> Vec<PodKey> {
        let pod = |i| PodKey { namespace: "shop".to_owned(), name: format!("pod-{i:05}") };
        (0..count).map(pod).collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_pod_is_told_again_when_something_else_is_in_the_way_or_time_has_passed() {
        let mut told = Told::default();
        let pods = pods(1);
        let mut ask = |what: &str, second| {
            !told.news(pods.iter().map(|pod| (pod, what.to_owned(), ())), at(second)).is_empty()
        };
        assert!(ask("too large", 0));
        assert!(!ask("too large", 299));
        assert!(ask("no capacity", 299));
        assert!(!ask("no capacity", 300));
        assert!(ask("no capacity", 599));
    }

    #[test]
    fn of_very_many_each_is_told_in_the_end() {
        let mut told = Told::default();
        let pods = pods(1200);
        let mut counts = Vec::new();
        for second in 0..4 {
            let news = told.news(pods.iter().map(|pod| (pod, "full".to_owned(), ())), at(second));
            counts.push(news.len());
        }
        assert_eq!(counts, [500, 500, 200, 0]);
        told.news(Vec::<(&PodKey, String, ())>::new(), at(4));
        assert!(told.0.is_empty(), "those that wait no more are forgotten");
    }
}
