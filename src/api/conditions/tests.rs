use proptest::prelude::*;

use super::*;

const TYPES: ConditionTypes = ConditionTypes { dependents: &["Launched", "Registered"] };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("within range")
}

/// `type=status/reason@since g=generation message`.
fn render(condition: &Condition) -> String {
    let Condition { type_, status, reason, message, .. } = condition;
    let generation = condition.observed_generation.expect("every condition set here has one");
    let since = condition.last_transition_time.0.as_second();
    format!("{type_}={status}/{reason}@{since} g{generation} {message}").trim_end().to_owned()
}

struct Step {
    now: i64,
    generation: i64,
    changes: Vec<Change>,
}

fn check(steps: &[Step], expected: &expect_test::Expect) {
    let mut conditions = Vec::new();
    let mut story = Vec::new();
    for step in steps {
        let subject = Subject { conditions: &conditions, generation: step.generation, created: at(100) };
        conditions = TYPES.merge(subject, &step.changes, at(step.now));
        story.push(format!("at {}", step.now));
        story.extend(conditions.iter().map(render));
    }
    expected.assert_eq(&(story.join("\n") + "\n"));
}

#[test]
fn an_unset_dependent_is_unknown_since_the_object_was_created() {
    check(
        &[Step { now: 500, generation: 1, changes: vec![] }],
        &expect_test::expect![[r#"
            at 500
            Launched=Unknown/AwaitingReconciliation@100 g1 object is awaiting reconciliation
            Registered=Unknown/AwaitingReconciliation@100 g1 object is awaiting reconciliation
            Ready=Unknown/ReconcilingDependents@500 g1 Launched=Unknown, Registered=Unknown
        "#]],
    );
}

#[test]
fn only_a_new_status_moves_the_last_transition() {
    let unknown = |reason| vec![Change::unknown("Launched", reason, "still trying")];
    check(
        &[
            Step { now: 200, generation: 1, changes: unknown("First") },
            Step { now: 300, generation: 1, changes: unknown("Second") },
            Step { now: 400, generation: 1, changes: vec![Change::holds("Launched")] },
        ],
        &expect_test::expect![[r#"
            at 200
            Launched=Unknown/First@100 g1 still trying
            Registered=Unknown/AwaitingReconciliation@100 g1 object is awaiting reconciliation
            Ready=Unknown/ReconcilingDependents@200 g1 Launched=Unknown, Registered=Unknown
            at 300
            Launched=Unknown/Second@100 g1 still trying
            Registered=Unknown/AwaitingReconciliation@100 g1 object is awaiting reconciliation
            Ready=Unknown/ReconcilingDependents@200 g1 Launched=Unknown, Registered=Unknown
            at 400
            Registered=Unknown/AwaitingReconciliation@100 g1 object is awaiting reconciliation
            Launched=True/Launched@400 g1
            Ready=Unknown/ReconcilingDependents@200 g1 Registered=Unknown
        "#]],
    );
}

#[test]
fn the_root_follows_its_dependents_and_no_free_condition() {
    check(
        &[
            Step {
                now: 200,
                generation: 1,
                changes: vec![Change::holds("Launched"), Change::holds("Registered")],
            },
            Step {
                now: 300,
                generation: 1,
                changes: vec![Change::fails("Drifted", "NotDrifted", "same as its pool")],
            },
            Step {
                now: 400,
                generation: 1,
                changes: vec![Change::fails("Registered", "Gone", "no such node")],
            },
        ],
        &expect_test::expect![[r#"
            at 200
            Launched=True/Launched@200 g1
            Registered=True/Registered@200 g1
            Ready=True/Ready@200 g1
            at 300
            Launched=True/Launched@200 g1
            Registered=True/Registered@200 g1
            Drifted=False/NotDrifted@300 g1 same as its pool
            Ready=True/Ready@200 g1
            at 400
            Launched=True/Launched@200 g1
            Drifted=False/NotDrifted@300 g1 same as its pool
            Registered=False/Gone@400 g1 no such node
            Ready=False/UnhealthyDependents@400 g1 Registered=False: no such node
        "#]],
    );
}

#[test]
fn a_dependent_of_an_older_generation_leaves_the_root_unknown() {
    let both = || vec![Change::holds("Launched"), Change::holds("Registered")];
    check(
        &[
            Step { now: 200, generation: 1, changes: both() },
            Step { now: 300, generation: 2, changes: vec![Change::holds("Launched")] },
            Step { now: 400, generation: 2, changes: both() },
        ],
        &expect_test::expect![[r#"
            at 200
            Launched=True/Launched@200 g1
            Registered=True/Registered@200 g1
            Ready=True/Ready@200 g1
            at 300
            Launched=True/Launched@200 g2
            Registered=True/Registered@200 g1
            Ready=Unknown/ReconcilingDependents@300 g2 Registered=True
            at 400
            Launched=True/Launched@200 g2
            Registered=True/Registered@200 g2
            Ready=True/Ready@400 g2
        "#]],
    );
}

#[test]
fn only_a_free_condition_can_be_cleared() {
    let subject = Subject { conditions: &[], generation: 1, created: at(100) };
    let conditions = TYPES.merge(subject, &[Change::holds("Drained")], at(200));
    assert!(find(&TYPES.clear(&conditions, "Drained"), "Drained").is_none());
    assert_eq!(TYPES.clear(&conditions, "Launched"), conditions);
    assert_eq!(TYPES.clear(&conditions, READY), conditions);
}

#[test]
fn a_condition_without_reason_and_message_is_read() {
    let text = r#"{"type":"Ready","status":"True","lastTransitionTime":"2025-01-02T03:04:05Z"}"#;
    let read: Condition = serde_json::from_str(text).expect("reason and message are optional");
    assert!(is_true(&[read], READY));
}

fn change() -> impl Strategy<Value = Change> {
    let type_ = prop::sample::select(vec!["Launched", "Registered", "Drifted", "Drained"]);
    (type_, 0..3).prop_map(|(type_, status)| match status {
        0 => Change::holds(type_),
        1 => Change::fails(type_, "No", "it does not"),
        _ => Change::unknown(type_, "Maybe", "nobody knows"),
    })
}

proptest! {
    #[test]
    fn merging_twice_is_merging_once(
        before in prop::collection::vec(change(), 0..6),
        changes in prop::collection::vec(change(), 0..6),
        milliseconds in 0_i64..5_000_000,
    ) {
        let start = Subject { conditions: &[], generation: 1, created: at(100) };
        let conditions = TYPES.merge(start, &before, at(150));
        let now = Timestamp::from_millisecond(200_000 + milliseconds).expect("within range");
        let once = TYPES.merge(Subject { conditions: &conditions, ..start }, &changes, now);
        let twice = TYPES.merge(Subject { conditions: &once, ..start }, &changes, at(9_000));
        prop_assert_eq!(&once, &twice);
        let written = serde_json::to_string(&once).expect("conditions are JSON");
        let read: Vec<Condition> = serde_json::from_str(&written).expect("and are read back");
        prop_assert_eq!(once, read);
    }
}
