use super::*;
use crate::lifecycle::testing::{launched_instance, planted_pod};
use crate::model::testing::nodes::{at, pod};

fn failed(attempt: u32, is_answered: bool) -> Answer {
    let failure = LaunchFailure {
        problem: LaunchProblem::Other,
        reason: "Odd".into(),
        message: "odd".into(),
        is_answered,
        is_spent: false,
    };
    Answer::Launch { attempt, result: Err(failure) }
}

#[test]
fn answers_of_the_eviction_api_are_classified() {
    let twice =
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    let blocked = |message: &str| EvictionAnswer::Blocked { message: message.into() };
    let failed = |message: &str| EvictionAnswer::Failed { message: message.into() };
    let cases = [
        (200, "", EvictionAnswer::Accepted),
        (201, "", EvictionAnswer::Accepted),
        (404, "not found", EvictionAnswer::Gone),
        (409, "the UID in the precondition does not match", EvictionAnswer::Gone),
        (
            429,
            "would violate the pod's disruption budget",
            blocked("would violate the pod's disruption budget"),
        ),
        (500, twice, blocked(twice)),
        (500, "etcd is down", failed("etcd is down")),
        (403, "no", failed("no")),
        (0, "no connection", failed("no connection")),
    ];
    for (code, message, expected) in cases {
        assert_eq!(EvictionAnswer::classify(code, message), expected, "{code} {message}");
    }
}

#[test]
fn a_launch_under_way_makes_what_was_known_of_the_last_one_void() {
    let mut memory = ClaimMemory::default();
    memory.record(failed(0, true), at(1));
    assert!(memory.has_refused(0) && !memory.has_refused(1));
    memory.begin(&Effect::FindInstance);
    assert!(memory.has_refused(0));
    memory.begin(&Effect::Launch { attempt: 1 });
    assert!(!memory.has_refused(0));
    memory.record(failed(1, false), at(2));
    assert!(!memory.has_refused(1), "the answer may have been lost");
    assert_eq!(
        memory.launch.as_ref().map(|known| known.ask_again),
        Some(at(4)),
        "the second failure in a row"
    );
    memory.record(Answer::Launch { attempt: 1, result: Ok(Box::new(launched_instance())) }, at(3));
    assert!(!memory.has_refused(1));
    memory.record(failed(1, false), at(10));
    assert_eq!(memory.launch.map(|known| known.ask_again), Some(at(11)), "success starts the count anew");
}

#[test]
fn failures_are_asked_again_later_and_later_and_answers_after_five_seconds() {
    let mut memory = ClaimMemory::default();
    let mut waits = Vec::new();
    for result in [Err("odd".to_owned()), Err("odd".to_owned()), Ok(Existence::Exists), Err("odd".to_owned())]
    {
        memory.record(Answer::Termination(result.clone()), at(100));
        memory.record(Answer::Instance(result.clone()), at(100));
        memory.record(Answer::Found(result.map(|_| None)), at(100));
        let known = [&memory.termination, &memory.instance].map(|known| known.as_ref().unwrap().ask_again);
        assert!(known.iter().all(|at| *at == memory.found.as_ref().unwrap().ask_again));
        waits.push(known[0].duration_since(at(100)).as_secs());
    }
    assert_eq!(waits, [1, 2, 5, 1]);
}

#[test]
fn pods_that_are_gone_leave_only_the_time_of_their_last_event() {
    let mut memory = ClaimMemory::default();
    let with_event = |name: &str, second| BoundPod { last_event: Some(at(second)), ..pod(name) };
    let daemon = BoundPod { runner: Runner::DaemonSet, ..with_event("daemon", 90) };
    memory.see(&[with_event("a", 50), with_event("b", 70), daemon], &[]);
    memory.record(Answer::Eviction { uid: "a-uid".into(), answer: EvictionAnswer::Accepted }, at(80));
    memory.record(Answer::Eviction { uid: "b-uid".into(), answer: EvictionAnswer::Accepted }, at(80));
    memory.see(&[with_event("a", 50)], &[]);
    assert_eq!(memory.last_pod_event, Some(at(70)));
    assert_eq!(memory.evictions.keys().collect::<Vec<_>>(), ["a-uid"]);
    memory.see(&[], &[]);
    assert_eq!((memory.last_pod_event, memory.evictions.len()), (Some(at(70)), 0));
}

#[test]
fn what_was_answered_about_a_planted_pod_is_known_while_the_pod_is_there() {
    let mut memory = ClaimMemory::default();
    let planted = [planted_pod("a", true)];
    memory.record(Answer::Eviction { uid: "a-uid".into(), answer: EvictionAnswer::Accepted }, at(80));
    memory.see(&[], &planted);
    assert_eq!(memory.evictions.len(), 1);
    memory.see(&[], &[]);
    assert_eq!(memory.evictions.len(), 0);
}
