use proptest::prelude::*;

use super::*;
use crate::lifecycle::memory::Answer;
use crate::model::Toleration;
use crate::model::bound_pod::DoNotDisrupt;
use crate::model::pod::Phase;
use crate::model::testing::nodes::{at, claim, pod};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// A pod of group 0 to 3.
fn grouped(name: &str, group: u8) -> BoundPod {
    let runner = if group % 2 == 1 { Runner::DaemonSet } else { Runner::Other };
    BoundPod { runner, is_critical: group >= 2, ..pod(name) }
}

fn tolerating(text: &str) -> BoundPod {
    let taint = text.parse().unwrap();
    BoundPod { tolerations: vec![Toleration::of(&taint).into_owned()], ..pod("daemon") }
}

fn names(pods: &[&BoundPod]) -> Vec<String> {
    pods.iter().map(|pod| pod.key.name.clone()).collect()
}

fn remembering(uid: &str, answer: EvictionAnswer, second: i64) -> ClaimMemory {
    let mut memory = ClaimMemory::default();
    memory.record(Answer::Eviction { uid: uid.into(), answer }, at(second));
    memory
}

#[test]
fn who_is_drained() {
    let everything = Toleration { operator: "Exists".into(), ..Toleration::default() };
    let cases = [
        ("an ordinary pod", pod("p"), true),
        ("a pending one", BoundPod { phase: Phase::Pending, ..pod("p") }, true),
        ("a daemon", grouped("p", 1), true),
        ("one that has ended", BoundPod { phase: Phase::Succeeded, ..pod("p") }, false),
        ("one that has failed", BoundPod { phase: Phase::Failed, ..pod("p") }, false),
        ("the kubelet's own", BoundPod { runner: Runner::Kubelet, ..pod("p") }, false),
        ("one that tolerates it", tolerating("karpenter.sh/disrupted:NoSchedule"), false),
        ("one that tolerates something else", tolerating("node-type=application:NoSchedule"), true),
        ("one that tolerates everything", BoundPod { tolerations: vec![everything], ..pod("p") }, false),
        ("one that is ending", BoundPod { gone_by: Some(at(40)), ..pod("p") }, true),
        ("one that should be gone for a minute", BoundPod { gone_by: Some(at(39)), ..pod("p") }, false),
    ];
    for (name, pod, expected) in cases {
        assert_eq!(is_drained(&pod, at(100)), expected, "{name}");
        let drain = drain(std::slice::from_ref(&pod), &ClaimMemory::default(), None, at(100));
        assert_eq!(drain.waiting.is_empty(), !expected, "{name}");
    }
}

#[test]
fn groups_leave_one_after_the_other() {
    let mut pods: Vec<_> = (0..4).rev().map(|group| grouped(&format!("p{group}"), group)).collect();
    for expected in ["p0", "p1", "p2", "p3"] {
        let drain = drain(&pods, &ClaimMemory::default(), None, at(100));
        assert_eq!(names(&drain.evict), [expected]);
        let later = drain.waiting.iter().filter(|pod| pod.hold == Hold::LaterGroup).count();
        assert_eq!(later, pods.len() - 1);
        // While it ends, the next group still waits.
        pods.iter_mut().filter(|pod| pod.key.name == expected).for_each(|pod| pod.gone_by = Some(at(130)));
        assert!(super::drain(&pods, &ClaimMemory::default(), None, at(101)).evict.is_empty());
        pods.retain(|pod| pod.key.name != expected);
    }
}

#[test]
fn what_holds_a_pod_and_when_to_look_again() {
    let left_alone = |do_not_disrupt| BoundPod { do_not_disrupt, ..pod("p") };
    let blocked = || EvictionAnswer::Blocked { message: "budget".into() };
    let failed = || EvictionAnswer::Failed { message: "odd".into() };
    let none = ClaimMemory::default;
    let cases: Vec<(BoundPod, ClaimMemory, Hold, usize, Option<Timestamp>)> = vec![
        (pod("p"), none(), Hold::Asked, 1, None),
        (
            BoundPod { gone_by: Some(at(130)), ..pod("p") },
            none(),
            Hold::Ending { by: at(130) },
            0,
            Some(at(191)),
        ),
        (left_alone(DoNotDisrupt::Always), none(), Hold::LeftAlone { until: None }, 0, None),
        (
            left_alone(DoNotDisrupt::For(SECOND * 100)),
            none(),
            Hold::LeftAlone { until: Some(at(160)) },
            0,
            Some(at(160)),
        ),
        (left_alone(DoNotDisrupt::For(SECOND * 40)), none(), Hold::Asked, 1, None),
        (pod("p"), remembering("p-uid", EvictionAnswer::Accepted, 99), Hold::Asked, 0, Some(at(109))),
        (pod("p"), remembering("p-uid", EvictionAnswer::Accepted, 90), Hold::Asked, 1, None),
        (pod("p"), remembering("p-uid", EvictionAnswer::Gone, 99), Hold::Asked, 0, Some(at(109))),
        (
            pod("p"),
            remembering("p-uid", blocked(), 100),
            Hold::Blocked { message: "budget".into() },
            0,
            Some(at(100) + SignedDuration::from_millis(100)),
        ),
        (pod("p"), remembering("p-uid", blocked(), 99), Hold::Blocked { message: "budget".into() }, 1, None),
        (pod("p"), remembering("p-uid", failed(), 99), Hold::Failed { message: "odd".into() }, 1, None),
        (pod("p"), remembering("other", blocked(), 100), Hold::Asked, 1, None),
    ];
    for (number, (pod, memory, hold, evicted, look_again)) in cases.into_iter().enumerate() {
        let drain = drain(std::slice::from_ref(&pod), &memory, None, at(100));
        assert_eq!(drain.waiting.iter().map(|pod| pod.hold.clone()).collect::<Vec<_>>(), [hold], "{number}");
        assert_eq!((drain.evict.len(), drain.look_again), (evicted, look_again), "{number}");
        assert!(drain.delete.is_empty(), "{number}");
    }
}

#[test]
fn a_pod_is_deleted_early_enough_to_get_its_grace_and_not_earlier() {
    let deadline = at(200);
    let blocked = remembering("p-uid", EvictionAnswer::Blocked { message: String::new() }, 199);
    let none = ClaimMemory::default();
    let protected = || BoundPod { do_not_disrupt: DoNotDisrupt::Always, ..grouped("p", 3) };
    let ending = |by| BoundPod { gone_by: Some(at(by)), ..pod("p") };
    let cases: Vec<(&str, BoundPod, &ClaimMemory, i64, Option<i64>)> = vec![
        ("before its time", protected(), &none, 169, None),
        ("at its time", protected(), &none, 170, Some(30)),
        ("late", protected(), &none, 190, Some(10)),
        ("at the deadline", protected(), &none, 200, Some(1)),
        ("long past it", protected(), &none, 500, Some(1)),
        ("without grace", BoundPod { grace: SignedDuration::ZERO, ..protected() }, &none, 199, None),
        (
            "without grace, at the deadline",
            BoundPod { grace: SignedDuration::ZERO, ..protected() },
            &none,
            200,
            Some(1),
        ),
        ("just blocked", pod("p"), &blocked, 199, Some(1)),
        ("ending in time", ending(200), &none, 190, None),
        ("ending too late", ending(300), &none, 190, Some(10)),
        ("ending too late, known early", ending(300), &none, 150, Some(50)),
    ];
    for (name, pod, memory, now, expected) in cases {
        let pods = [pod, BoundPod { gone_by: Some(at(200)), ..self::pod("first") }];
        let drain = drain(&pods, memory, Some(deadline), at(now));
        let graces: Vec<_> =
            drain.delete.iter().map(|(pod, grace)| (pod.key.name.as_str(), grace.as_secs())).collect();
        assert_eq!(graces, expected.map(|grace| ("p", grace)).into_iter().collect::<Vec<_>>(), "{name}");
        let looks = drain.look_again.is_some_and(|moment| moment > at(now));
        assert!(looks, "{name}: {:?}", drain.look_again);
    }
}

#[test]
fn a_deletion_is_not_repeated_at_once_whatever_came_of_it() {
    for answer in
        [EvictionAnswer::Accepted, EvictionAnswer::Gone, EvictionAnswer::Failed { message: "odd".into() }]
    {
        let memory = remembering("p-uid", answer.clone(), 200);
        let drain = drain(&[pod("p")], &memory, Some(at(200)), at(200)).delete.len();
        assert_eq!(drain, 0, "{answer:?}");
        let drain = super::drain(&[pod("p")], &memory, Some(at(200)), at(210)).delete.len();
        assert_eq!(drain, 1, "{answer:?}");
    }
}

#[test]
fn the_deadline_is_what_is_noted_or_else_what_the_claim_asks_for() {
    let noted = |text: &str| [(labels::TERMINATION_TIMESTAMP.to_owned(), text.to_owned())].into();
    let period = Some(SignedDuration::from_secs(60));
    let cases = [
        (None, None, None),
        (period, None, Some(at(160))),
        (period, Some("2026-01-01T00:00:30Z"), Some(at(30))),
        (None, Some("2026-01-01T00:00:30Z"), Some(at(30))),
        (period, Some("soon"), Some(at(160))),
        (None, Some("soon"), None),
    ];
    for (termination_grace_period, annotation, expected) in cases {
        let mut claim = claim().deleted(100);
        claim.termination_grace_period = termination_grace_period;
        claim.annotations = annotation.map(noted).unwrap_or_default();
        assert_eq!(deadline(&claim), expected, "{annotation:?}");
    }
}

fn some_pod() -> impl Strategy<Value = BoundPod> {
    (0_u8..4, 0_u32..1000, proptest::option::of(0_i64..300), 0_i64..120, 0_u8..3).prop_map(
        |(group, number, gone_by, grace, wish)| BoundPod {
            gone_by: gone_by.map(at),
            grace: SECOND * i32::try_from(grace).unwrap(),
            do_not_disrupt: match wish {
                0 => DoNotDisrupt::Always,
                1 => DoNotDisrupt::For(SECOND * 50),
                _ => DoNotDisrupt::No,
            },
            ..grouped(&format!("p{number}"), group)
        },
    )
}

proptest! {
    #[test]
    fn evictions_are_of_the_first_group_alone_and_everybody_is_accounted_for(
        pods in proptest::collection::vec(some_pod(), 0..12),
        deadline in proptest::option::of(0_i64..300),
        now in 0_i64..300,
    ) {
        let drain = drain(&pods, &ClaimMemory::default(), deadline.map(at), at(now));
        let left: Vec<_> = pods.iter().filter(|pod| is_drained(pod, at(now))).collect();
        prop_assert_eq!(drain.waiting.len(), left.len());
        let first = left.iter().map(|pod| group(pod)).min();
        for pod in &drain.evict {
            prop_assert_eq!(Some(group(pod)), first);
            prop_assert!(!pod.is_terminating() && !pod.is_to_be_left_alone(at(now)));
        }
        for (pod, grace) in &drain.delete {
            let deadline = at(deadline.unwrap());
            prop_assert!(*grace >= SECOND);
            prop_assert!(pod.is_terminating() || *grace <= pod.grace.max(SECOND));
            // Nobody loses grace for which there is time.
            let left = deadline.duration_since(at(now));
            prop_assert!(*grace >= left.min(pod.grace) || pod.is_terminating());
        }
        // Nobody is asked and told at once.
        prop_assert!(drain.evict.iter().all(|pod| drain.delete.iter().all(|(other, _)| !std::ptr::eq(*pod, *other))));
        if let Some(deadline) = deadline {
            let is_over = |pod: &&&BoundPod| pod.gone_by.is_none() && now >= deadline - pod.grace.as_secs();
            prop_assert_eq!(left.iter().filter(is_over).count(), drain.delete.iter().filter(|(pod, _)| !pod.is_terminating()).count());
        } else {
            prop_assert!(drain.delete.is_empty());
        }
    }

    #[test]
    fn the_order_of_the_pods_does_not_matter(
        pods in proptest::collection::vec(some_pod(), 0..8),
        deadline in proptest::option::of(0_i64..300),
    ) {
        let mut pods = pods;
        for (number, pod) in pods.iter_mut().enumerate() {
            pod.uid = number.to_string();
        }
        let reversed: Vec<_> = pods.iter().rev().cloned().collect();
        let memory = ClaimMemory::default();
        prop_assert_eq!(
            drain(&pods, &memory, deadline.map(at), at(100)),
            drain(&reversed, &memory, deadline.map(at), at(100))
        );
    }
}

#[test]
fn a_pod_is_told_once_it_is_going() {
    let pod = pod("web").reference();
    let evict = Effect::Evict(pod.clone());
    let delete = Effect::DeletePod { pod, grace: SECOND * 90 };
    let cases = [
        (&evict, Some("Evicted: evicted, since its node is being removed")),
        (
            &delete,
            Some("Disrupted: deleted with 1m 30s of grace, since the removal of its node may take no longer"),
        ),
        (&Effect::FindInstance, None),
    ];
    for (effect, expected) in cases {
        let told = event(effect, &EvictionAnswer::Accepted);
        let told = told.map(|event| format!("{}: {}", event.reason, event.message));
        assert_eq!(told.as_deref(), expected);
        assert_eq!(event(effect, &EvictionAnswer::Gone), None);
    }
}
