//! What is promised, and for how long.

use super::*;
use crate::model::testing::resource_list;

fn pod(name: &str) -> PodKey {
    PodKey { namespace: "shop".to_owned(), name: name.to_owned() }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

#[test]
fn a_promise_stands_while_the_node_is_on_its_way_and_a_while_longer() {
    let mut nominations = Nominations::default();
    nominations.nominate(pod("a"), "u1", "claim-1");
    assert_eq!(nominations.of(&pod("a"), "u1"), Some("claim-1"));
    assert_eq!(nominations.of(&pod("a"), "u2"), None, "another pod of the same name");
    nominations.review(|_, _| true, |_| Progress::OnItsWay, at(1000));
    assert_eq!(nominations.next_end(), None);
    assert_eq!(nominations.until("claim-1"), Some(Timestamp::MAX));
    assert_eq!(nominations.until("claim-2"), None);
    nominations.review(|_, _| true, |_| Progress::Ready, at(2000));
    assert_eq!(nominations.next_end(), Some(at(2020)));
    assert_eq!(nominations.until("claim-1"), Some(at(2020)));
    nominations.review(|_, _| true, |_| Progress::Ready, at(2019));
    assert!(nominations.of(&pod("a"), "u1").is_some());
    nominations.review(|_, _| true, |_| Progress::Ready, at(2020));
    assert!(nominations.of(&pod("a"), "u1").is_none());
}

#[test]
fn a_promise_ends_when_others_have_taken_its_place() {
    let mut nominations = Nominations::default();
    for (name, node) in [("a", "full"), ("b", "half"), ("c", "half"), ("d", "on-its-way")] {
        nominations.nominate(pod(name), "u", node);
    }
    let room = [("full", "cpu=100m pods=9"), ("half", "cpu=700m pods=9")];
    let room = room.map(|(node, left)| (node.to_owned(), resource_list(left))).into();
    let requests = |_: &PodKey| Some(resource_list("cpu=500m pods=1"));
    nominations.release_crowded_out(requests, &room, at(0));
    let left: Vec<_> =
        ["a", "b", "c", "d"].into_iter().filter(|name| nominations.of(&pod(name), "u").is_some()).collect();
    assert_eq!(left, ["b", "d"]);
    assert_eq!(nominations.nodes(), ["half".to_owned(), "on-its-way".to_owned()].into());
}

/// A kubelet gives less than was expected, or a label is on no node that is there: one more node would be like the last.
#[test]
fn a_pod_that_ready_nodes_do_not_get_waits_longer_and_longer_for_the_next() {
    let mut nominations = Nominations::default();
    let room = [("node".to_owned(), resource_list("cpu=100m pods=9"))].into();
    let (mut now, mut pauses) = (0, Vec::new());
    for again in 0..9 {
        assert_eq!(nominations.pause(&pod("a"), "u", at(now)), None);
        nominations.nominate(pod("a"), "u", "node");
        nominations.review(|_, _| true, |_| Progress::Ready, at(now));
        if again % 2 == 0 {
            nominations.release_crowded_out(|_| Some(resource_list("cpu=500m pods=1")), &room, at(now));
        } else {
            now += 20;
            nominations.review(|_, _| true, |_| Progress::Ready, at(now));
        }
        assert_eq!(nominations.of(&pod("a"), "u"), None);
        let pause = nominations.pause(&pod("a"), "u", at(now));
        assert!(pause.is_none_or(|pause| pause.times == again + 1));
        let seconds = pause.map_or(0, |pause| pause.until.as_second() - now);
        pauses.push(seconds);
        now += seconds;
    }
    assert_eq!(pauses, [0, 0, 30, 60, 120, 240, 480, 600, 600]);
    nominations.review(|_, _| true, |_| Progress::Ready, at(now - 1));
    assert!(nominations.pause(&pod("a"), "u", at(now - 1)).is_some());
    assert_eq!(nominations.pause(&pod("a"), "another", at(now - 1)), None);
    nominations.review(|_, _| false, |_| Progress::Ready, at(now - 1));
    assert_eq!(nominations.pause(&pod("a"), "u", at(now - 1)), None, "it waits no more");
}

/// A node class that no launch gets past, or capacity that is gone although the cloud does not say of what.
#[test]
fn a_pod_whose_nodes_are_given_up_waits_longer_and_longer_for_the_next() {
    let mut nominations = Nominations::default();
    let (mut now, mut pauses) = (0, Vec::new());
    for again in 0..12 {
        assert_eq!(nominations.pause(&pod("a"), "u", at(now)), None);
        nominations.nominate(pod("a"), "u", &format!("claim-{again}"));
        nominations.review(|_, _| true, |_| Progress::Gone, at(now));
        let pause = nominations.pause(&pod("a"), "u", at(now));
        assert!(
            pause.is_none_or(|pause| (pause.breach, pause.times) == (Breach::NodeLost, again + 1)),
            "{pause:?}"
        );
        let seconds = pause.map_or(0, |pause| pause.until.as_second() - now);
        pauses.push(seconds);
        now += seconds;
    }
    assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600]);
    nominations.nominate(pod("a"), "new", "claim");
    nominations.review(|_, uid| uid == "new", |_| Progress::Gone, at(now));
    assert_eq!(nominations.pause(&pod("a"), "new", at(now)), None, "its own first");
}

#[test]
fn a_pod_that_waits_no_more_or_whose_node_is_gone_was_promised_nothing() {
    let mut nominations = Nominations::default();
    for (name, node) in [("a", "gone"), ("b", "here"), ("c", "here")] {
        nominations.nominate(pod(name), "u", node);
    }
    let progress = |node: &str| if node == "gone" { Progress::Gone } else { Progress::OnItsWay };
    nominations.review(|pod, _| pod.name != "c", progress, at(0));
    let left: Vec<_> =
        ["a", "b", "c"].into_iter().filter(|name| nominations.of(&pod(name), "u").is_some()).collect();
    assert_eq!(left, ["b"]);
}

#[test]
fn a_refused_claim_is_tried_again_soon_and_one_that_never_was_broke_no_promise() {
    let mut nominations = Nominations::default();
    let (mut now, mut pauses) = (0, Vec::new());
    for _ in 0..6 {
        nominations.refused(&pod("a"), "u", at(now));
        let pause = nominations.pause(&pod("a"), "u", at(now)).unwrap();
        pauses.push(pause.until.as_second() - now);
        now += 100;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
    for _ in 0..9 {
        nominations.nominate(pod("b"), "u", "?shop/b");
        nominations.review(|_, _| true, |_| Progress::Unfounded, at(now));
        assert_eq!(
            (nominations.of(&pod("b"), "u"), nominations.pause(&pod("b"), "u", at(now))),
            (None, None)
        );
    }
}

#[test]
fn a_node_that_is_not_ready_after_all_is_on_its_way_again() {
    let mut nominations = Nominations::default();
    nominations.nominate(pod("a"), "u", "claim-1");
    nominations.review(|_, _| true, |_| Progress::Ready, at(0));
    nominations.review(|_, _| true, |_| Progress::OnItsWay, at(19));
    assert_eq!(nominations.next_end(), None, "nothing ends by itself");
    nominations.review(|_, _| true, |_| Progress::Ready, at(1000));
    assert_eq!(nominations.next_end(), Some(at(1020)));
}
