use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::api::conditions::ConditionStatus;
use crate::lifecycle::memory::{Answer, EvictionAnswer};
use crate::lifecycle::planted::PlantedPod;
use crate::lifecycle::testing::{Scene, launched_instance, planted_pod};
use crate::model::problem::Problem;
use crate::model::testing::nodes::{at, claim};

fn failure(problem: LaunchProblem, is_answered: bool) -> LaunchFailure {
    let (reason, message) = ("VcpuLimitExceeded".to_owned(), "too many".to_owned());
    LaunchFailure { problem, reason, message, is_answered, is_spent: false }
}

/// The effects of the next step, in short, after the attempt was answered at `answered`.
fn next(claim: NodeClaim, attempt: u32, failure: LaunchFailure, answered: i64, now: i64) -> Vec<String> {
    let mut scene = Scene::new(claim);
    scene.memory.record(Answer::Launch { attempt, result: Err(failure) }, at(answered));
    let effects = scene.step(at(now)).effects;
    let launches = |effects: &[Effect]| effects.iter().any(|effect| matches!(effect, Effect::Launch { .. }));
    assert_eq!(is_next(&scene.claim, &scene.memory, at(now)), launches(&effects), "{effects:?}");
    assert!(!launches(&scene.step_that_knows(None, at(now)).effects), "who knows who waits?");
    short(&effects)
}

fn short(effects: &[Effect]) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::PatchClaim(patch) => format!("patch {:?}", patch.annotations),
        Effect::SetStatus(_) => "status".to_owned(),
        Effect::DeleteClaim(reason) => format!("delete {}", reason.name()),
        Effect::Launch { attempt } => format!("launch {attempt}"),
        Effect::Report(event) => event.reason.to_owned(),
        other => format!("{other:?}"),
    };
    effects.iter().map(word).collect()
}

#[test]
fn nothing_is_launched_while_pods_wait_that_have_no_right_to_the_node() {
    let mut scene = Scene::new(claim());
    scene.planted = vec![planted_pod("made", true)];
    let step = scene.step(at(1));
    assert_eq!(step.effects.first(), Some(&Effect::DeletePlanted(scene.planted[0].clone())));
    scene.planted.push(planted_pod("alone", false));
    let step = scene.step(at(1));
    let words = short(&step.effects);
    assert!(
        words.contains(&"ForeignPodsWait".to_owned()) && words.contains(&"status".to_owned()),
        "{words:?}"
    );
    assert_eq!(step.requeue_at, Some(at(6)), "they are looked for again");
    let is_deleted = |uid: &str| {
        step.effects
            .iter()
            .any(|effect| matches!(effect, Effect::DeletePlanted(found) if found.pod.uid == uid))
    };
    assert!(is_deleted("made-uid") && !is_deleted("alone-uid"));
    scene.planted.clear();
    assert_eq!(short(&scene.step(at(2)).effects), ["launch 0"]);
    let unknown = scene.step_that_knows(None, at(2));
    assert_eq!((short(&unknown.effects), unknown.requeue_at), (vec!["status".to_owned()], Some(at(7))));
}

#[test]
fn nobody_is_told_of_a_pod_whose_namespace_is_not_known_yet() {
    let mut scene = Scene::new(claim());
    scene.planted = vec![PlantedPod { is_judged: false, ..planted_pod("alone", false) }];
    let step = scene.step(at(1));
    assert_eq!((short(&step.effects), step.requeue_at), (vec!["status".to_owned()], Some(at(6))));
    let late = scene.step(at(300)).effects;
    let told = |effect: &Effect| match effect {
        Effect::Report(event) => Some(event.message.clone()),
        _ => None,
    };
    let told: String = late.iter().filter_map(told).collect();
    assert!(told.contains("not known yet whether pod shop/alone"), "{told}");
}

/// The effects of a step while one pod waits that something made, whose deletion was answered so at 10 s, the condition's message, and when to look
/// again.
fn after_answer(answer: &EvictionAnswer, now: i64) -> (Vec<String>, Option<String>, Option<Timestamp>) {
    let mut scene = Scene::new(claim().with(&[], at(1)));
    scene.planted = vec![planted_pod("made", true)];
    scene.memory.record(Answer::Eviction { uid: "made-uid".into(), answer: answer.clone() }, at(10));
    scene.memory.see(&[], &scene.planted);
    let step = scene.step(at(now));
    let message = step.effects.iter().find_map(|effect| match effect {
        Effect::SetStatus(status) => {
            let conditions = status.conditions.as_ref().unwrap();
            let launched = conditions.iter().find(|condition| condition.type_ == LAUNCHED)?;
            Some(launched.message.clone())
        }
        _ => None,
    });
    (short(&step.effects), message.filter(|message| message.contains("made")), step.requeue_at)
}

#[test]
fn a_planted_pod_whose_deletion_is_refused_is_asked_for_again_later_and_named() {
    let refused = EvictionAnswer::Failed { message: "a webhook denied it".into() };
    let (words, message, look_again) = after_answer(&refused, 10);
    assert_eq!(words, ["ForeignPodsWait", "status"], "not before it is time");
    let message = message.unwrap();
    assert!(message.contains("shop/made") && message.contains("a webhook denied it"), "{message}");
    assert_eq!(look_again, Some(at(10) + SignedDuration::from_millis(100)));
    let (words, ..) = after_answer(&refused, 11);
    assert!(words[0].starts_with("DeletePlanted"), "{words:?}");
    let (words, ..) = after_answer(&refused, 300);
    assert!(words.contains(&"LaunchTimeout".to_owned()), "{words:?}");
}

#[test]
fn a_planted_pod_that_is_being_deleted_is_waited_for_until_the_launch_timeout() {
    let (words, message, look_again) = after_answer(&EvictionAnswer::Accepted, 10);
    assert_eq!((words, message), (vec![], None));
    assert_eq!(look_again, Some(at(10) + SignedDuration::from_millis(250)));
    let (words, ..) = after_answer(&EvictionAnswer::Accepted, 20);
    assert!(words[0].starts_with("DeletePlanted"), "{words:?}");
    let (words, ..) = after_answer(&EvictionAnswer::Accepted, 300);
    assert!(words.contains(&"delete launch_timeout".to_owned()), "{words:?}");
}

#[test]
fn a_pod_whose_namespace_gives_it_the_right_is_not_in_the_way_until_it_is_looked_at_again() {
    let mut scene = Scene::new(claim());
    scene.planted = vec![planted_pod("made", true)];
    scene.memory.record(Answer::Rightful { uid: "made-uid".into() }, at(10));
    scene.memory.see(&[], &scene.planted);
    assert_eq!(short(&scene.step(at(11)).effects), ["launch 0"]);
    let again = short(&scene.step(at(15)).effects);
    assert!(again[0].starts_with("DeletePlanted"), "{again:?}");
    scene.planted.push(planted_pod("other", true));
    let other = short(&scene.step(at(11)).effects);
    assert!(other[0].contains("other-uid") && !other.contains(&"launch 0".to_owned()), "{other:?}");
    scene.memory.see(&[], &[]);
    let anew = short(&scene.step(at(11)).effects);
    assert!(anew[0].contains("made-uid"), "{anew:?}");
}

#[test]
fn a_failure_is_given_up_waited_out_or_tried_again() {
    use LaunchProblem::{NoCapacity, NodeClassNotReady, Other};
    // The status is up to date in these, so that only the effect of the failure shows.
    let said = |attempt: Option<&str>| {
        let change = Change::unknown(LAUNCHED, "VcpuLimitExceeded", "too many");
        let mut claim = claim().with(&[change], at(1));
        claim.annotations.extend(attempt.map(|number| (LAUNCH_ATTEMPT.to_owned(), number.to_owned())));
        claim
    };
    let mut late = said(None);
    late.created = at(-300);
    let cases: Vec<(NodeClaim, u32, LaunchFailure, i64, &[&str])> = vec![
        (
            said(None),
            0,
            failure(NoCapacity, true),
            1,
            &["InsufficientCapacityError", "delete insufficient_capacity"],
        ),
        (
            said(None),
            0,
            failure(NodeClassNotReady, true),
            1,
            &["NodeClassNotReady", "delete nodeclass_not_ready"],
        ),
        (said(None), 0, failure(Other, false), 1, &["LaunchFailed"]),
        (said(None), 0, failure(Other, false), 2, &["launch 0"]),
        (said(None), 0, failure(Other, true), 2, &[r#"patch {"treenail.dev/launch-attempt": "1"}"#]),
        (said(Some("1")), 0, failure(Other, true), 2, &["launch 1"]),
        (said(Some("7")), 7, failure(Other, true), 2, &[r#"patch {"treenail.dev/launch-attempt": "8"}"#]),
        (said(Some("7")), 7, failure(Other, false), 2, &["launch 7"]),
        (said(Some("odd")), 0, failure(Other, false), 2, &["launch 0"]),
        (said(None), 0, failure(Other, false), 300, &["LaunchTimeout", "delete launch_timeout"]),
        (late, 0, failure(Other, true), 1, &["LaunchTimeout", "delete launch_timeout"]),
    ];
    for (claim, attempt, failure, now, expected) in cases {
        assert_eq!(next(claim, attempt, failure.clone(), 1, now), expected, "{failure:?} at {now}");
    }
}

#[test]
fn an_attempt_that_cannot_be_repeated_is_followed_by_the_next_once_its_instance_would_show() {
    /// When, and whether the attempt was spent.
    type Answers = &'static [(i64, bool)];
    let answer = |is_spent| {
        let failure = LaunchFailure { is_spent, ..failure(LaunchProblem::Other, false) };
        Answer::Launch { attempt: 0, result: Err(failure) }
    };
    // What is answered when, whether a process began anew before, and whether the attempt goes up a while after the last answer.
    let cases: [(Answers, Option<i64>, bool); 6] = [
        (&[(10, true)], None, false),
        (&[(10, true), (39, true)], None, false),
        (&[(10, true), (20, true), (40, true)], None, true),
        // It may have launched after all.
        (&[(10, true), (20, false), (40, true)], None, false),
        (&[(10, false), (20, true), (40, true)], None, false),
        (&[(10, true), (40, true)], Some(20), false),
    ];
    for (answers, crash, expected) in cases {
        let mut scene = Scene::new(claim().with(&[], at(1)));
        for (second, is_spent) in answers {
            if crash.is_some_and(|crash| *second > crash) {
                scene.memory = ClaimMemory::default();
            }
            scene.memory.begin(&Effect::Launch { attempt: 0 });
            scene.memory.record(answer(*is_spent), at(*second));
        }
        let words = short(&scene.step(at(120)).effects);
        let next = if expected { r#"patch {"treenail.dev/launch-attempt": "1"}"# } else { "launch 0" };
        assert_eq!(words, [next], "{answers:?}, crash at {crash:?}");
    }
    // What is known of one attempt says nothing of the next.
    let mut scene = Scene::new(claim().with(&[], at(1)));
    scene.memory.record(answer(true), at(10));
    scene.claim.annotations.insert(LAUNCH_ATTEMPT.to_owned(), "1".to_owned());
    let failure = LaunchFailure { is_spent: true, ..failure(LaunchProblem::Other, false) };
    scene.memory.begin(&Effect::Launch { attempt: 1 });
    scene.memory.record(Answer::Launch { attempt: 1, result: Err(failure) }, at(50));
    assert_eq!(short(&scene.step(at(120)).effects), ["launch 1"]);
    // A call that was never answered may have launched, too.
    let mut scene = Scene::new(claim().with(&[], at(1)));
    scene.memory.record(answer(true), at(10));
    scene.memory.begin(&Effect::Launch { attempt: 0 });
    scene.memory.begin(&Effect::Launch { attempt: 0 });
    scene.memory.record(answer(true), at(50));
    assert_eq!(short(&scene.step(at(120)).effects), ["launch 0"]);
}

#[test]
fn the_condition_says_what_failed_and_the_step_comes_back_in_time() {
    let mut scene = Scene::new(claim());
    for (second, wait) in [(10, 1), (20, 2), (30, 4), (40, 8)] {
        let answer = Answer::Launch { attempt: 0, result: Err(failure(LaunchProblem::Other, false)) };
        scene.memory.begin(&Effect::Launch { attempt: 0 });
        scene.memory.record(answer, at(second));
        assert_eq!(scene.step(at(second)).requeue_at, Some(at(second + wait)), "{second}");
    }
    let step = scene.step(at(40));
    let [Effect::Report(_), Effect::SetStatus(status)] = step.effects.as_slice() else { panic!("{step:?}") };
    let conditions = status.conditions.clone().unwrap();
    let launched = conditions.iter().find(|condition| condition.type_ == LAUNCHED).unwrap();
    assert_eq!(
        (
            &launched.status,
            launched.reason.as_str(),
            launched.message.as_str(),
            launched.last_transition_time.0
        ),
        (&ConditionStatus::Unknown, "VcpuLimitExceeded", "too many", at(0))
    );
}

#[test]
fn a_claim_that_is_launching_is_launched_however_old_it_is() {
    let mut old = claim();
    old.created = at(-10_000);
    assert_eq!(Scene::new(old).step(at(0)).effects, [Effect::Launch { attempt: 0 }]);
}

#[test]
fn nothing_is_launched_for_a_claim_that_is_wrong_or_held() {
    let mut wrong = Scene::new(claim());
    wrong.claim.problems = vec![Problem::new("spec.taints[0].effect", "is unknown")];
    let mut held = Scene::new(claim());
    held.gate = Gate::Closed { reason: "PolicyNotInForce", message: "the policy is not there".into() };
    for (scene, reason) in [(&mut wrong, "InvalidNodeClaim"), (&mut held, "LaunchHeld")] {
        let step = scene.step(at(10));
        assert_eq!(short(&step.effects), [reason, "status"]);
        assert_eq!(step.requeue_at, Some(at(300)));
        let late = scene.step(at(300));
        // First the status, so that the claim says why; then it goes.
        assert_eq!(short(&late.effects), [reason, "LaunchTimeout", "status"]);
        let Some(Effect::SetStatus(status)) = late.effects.last() else { panic!("{late:?}") };
        scene.claim.conditions = status.conditions.clone().unwrap();
        assert_eq!(short(&scene.step(at(300)).effects), [reason, "LaunchTimeout", "delete launch_timeout"]);
    }
    // An instance that exists is noted whatever the gate says by now.
    held.memory.record(Answer::Launch { attempt: 0, result: Ok(Box::new(launched_instance())) }, at(11));
    assert!(short(&held.step(at(11)).effects)[0].starts_with("patch"));
}

#[test]
fn first_the_labels_of_the_instance_are_noted_then_the_instance() {
    let mut scene = Scene::new(claim());
    scene.claim.labels.insert("topology.kubernetes.io/zone".into(), "from-the-claim".into());
    let mut instance = launched_instance();
    instance.annotations = [("a".to_owned(), "1".to_owned())].into();
    scene.memory.record(Answer::Launch { attempt: 0, result: Ok(Box::new(instance)) }, at(2));
    let step = scene.step(at(2));
    let [Effect::PatchClaim(patch)] = step.effects.as_slice() else { panic!("{step:?}") };
    assert_eq!(patch.labels.keys().collect::<Vec<_>>(), ["node.kubernetes.io/instance-type"]);
    assert_eq!(patch.annotations.len(), 1);
    scene.claim.labels.extend(patch.labels.clone());
    scene.claim.annotations.extend(patch.annotations.clone());
    let step = scene.step(at(2));
    let [Effect::SetStatus(status)] = step.effects.as_slice() else { panic!("{step:?}") };
    assert_eq!(status.provider_id, Some(launched_instance().provider_id));
    assert_eq!(status.image_id.as_deref(), Some("ami-1"));
    assert_eq!(status.allocatable, Some(launched_instance().allocatable));
    let launched = status.conditions.as_ref().unwrap().iter().find(|condition| condition.type_ == LAUNCHED);
    assert_eq!(launched.unwrap().status, ConditionStatus::True);
}

#[test]
fn the_finalizer_and_the_class_come_before_anything_else() {
    let mut bare = claim();
    bare.has_finalizer = false;
    bare.labels.remove("karpenter.k8s.aws/ec2nodeclass");
    let step = Scene::new(bare).step(at(0));
    let [Effect::PatchClaim(patch)] = step.effects.as_slice() else { panic!("{step:?}") };
    assert!(patch.add_finalizer);
    assert_eq!(patch.labels.get("karpenter.k8s.aws/ec2nodeclass").map(String::as_str), Some("default"));
}

#[test]
fn a_message_is_cut_at_a_character_and_says_so() {
    assert_eq!(excerpt("short"), "short");
    let cut = excerpt(&"é".repeat(301));
    assert_eq!((cut.chars().count(), cut.ends_with("é...")), (303, true));
}

proptest! {
    #[test]
    fn any_reason_becomes_one_that_the_api_server_accepts(reason in ".{0,12}") {
        let given = condition_reason(&reason);
        let pattern = |text: &str| {
            let inner = |letter: char| letter.is_ascii_alphanumeric() || "_,:".contains(letter);
            text.starts_with(|first: char| first.is_ascii_alphabetic())
                && text.chars().all(inner)
                && !text.ends_with([',', ':'])
        };
        prop_assert!(pattern(&given), "{given}");
    }

    #[test]
    fn a_reason_that_is_fine_stays(reason in "[A-Za-z][A-Za-z0-9_]{0,12}") {
        prop_assert_eq!(condition_reason(&reason).into_owned(), reason);
    }

    #[test]
    fn the_attempt_never_goes_down(noted in 0_u32.., failed in 0_u32.., is_answered: bool, seconds in 0_i64..299) {
        let mut scene = Scene::new(claim());
        scene.claim.annotations.insert(LAUNCH_ATTEMPT.into(), noted.to_string());
        let answer = Answer::Launch { attempt: failed, result: Err(failure(LaunchProblem::Other, is_answered)) };
        scene.memory.record(answer, at(0));
        let now: Timestamp = at(0) + SignedDuration::from_secs(seconds);
        for effect in scene.step(now).effects {
            match effect {
                Effect::Launch { attempt } => prop_assert_eq!(attempt, noted),
                Effect::PatchClaim(patch) => {
                    prop_assert!(is_answered && failed == noted);
                    let next = patch.annotations.get(LAUNCH_ATTEMPT).unwrap().parse::<u32>().unwrap();
                    prop_assert_eq!(next, noted.saturating_add(1));
                }
                _ => {}
            }
        }
    }
}
