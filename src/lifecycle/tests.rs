//! A claim's whole life, with crashes after any effect and with decisions on what was there a moment ago.

use std::collections::BTreeSet;

use proptest::prelude::*;

use self::world::{Kubelet, Reply, Run, Script, World};
use crate::model::testing::nodes::registered_node;

mod world;

fn scripts() -> Vec<(&'static str, Script)> {
    use Reply::{Fails, HasNoCapacity, Launches, LaunchesUnheard, Mismatches, Refuses, RefusesCall};
    let base = Script::default;
    vec![
        ("a life", base()),
        ("deleted before anything happened", Script { claim_deleted: Some(1), ..base() }),
        ("deleted while the instance starts", Script { claim_deleted: Some(10), ..base() }),
        ("deleted as the node registers", Script { claim_deleted: Some(20), ..base() }),
        ("deleted as the node gets ready", Script { claim_deleted: Some(25), ..base() }),
        ("the instance is not shown for long", Script { hidden_for: 25, claim_deleted: Some(3), ..base() }),
        (
            "deleted as the node registers, before the instance is shown",
            Script { hidden_for: 22, claim_deleted: Some(21), ..base() },
        ),
        ("the answer to the launch is lost", Script { replies: vec![LaunchesUnheard], ..base() }),
        (
            "the answer to the launch is lost and the claim deleted",
            Script { replies: vec![LaunchesUnheard; 9], claim_deleted: Some(1), hidden_for: 20, ..base() },
        ),
        (
            "refused, failed, lost, launched",
            Script { replies: vec![Refuses, Fails, Refuses, LaunchesUnheard], ..base() },
        ),
        (
            "the answer is lost and the repetition refused",
            Script { replies: vec![LaunchesUnheard, RefusesCall, RefusesCall], ..base() },
        ),
        (
            "the answer is lost, the repetition refused and the claim deleted",
            Script {
                replies: [[LaunchesUnheard].as_slice(), &[RefusesCall; 99]].concat(),
                claim_deleted: Some(4),
                hidden_for: 25,
                ..base()
            },
        ),
        (
            "the answer is lost and the repetition asks for something else",
            Script {
                replies: [[LaunchesUnheard].as_slice(), &[Mismatches; 9]].concat(),
                hidden_for: 25,
                ..base()
            },
        ),
        (
            "refused calls, then something else is asked for",
            Script { replies: [[RefusesCall].as_slice(), &[Mismatches; 7]].concat(), ..base() },
        ),
        ("every call is refused", Script { replies: vec![RefusesCall; 99], claim_deleted: None, ..base() }),
        ("no capacity", Script { replies: vec![HasNoCapacity; 9], claim_deleted: None, ..base() }),
        ("never launched", Script { replies: vec![Fails; 99], claim_deleted: None, ..base() }),
        ("never registered", Script { kubelet: Kubelet::NeverRegisters, claim_deleted: None, ..base() }),
        ("registered open", Script { kubelet: Kubelet::RegistersOpen, claim_deleted: None, ..base() }),
        ("registered without its taint", Script { kubelet: Kubelet::RegistersUnfenced, ..base() }),
        ("the node is deleted", Script { node_deleted: Some(100), claim_deleted: None, ..base() }),
        ("the instance dies", Script { instance_dies: Some(90), claim_deleted: Some(95), ..base() }),
        ("a budget blocks", Script { blocked_until: 300, ..base() }),
        (
            "a budget blocks and no watch shows the pods",
            Script { blocked_until: 300, pods_unseen_until: 9999, ..base() },
        ),
        ("no watch shows the pods for a while", Script { pods_unseen_until: 127, ..base() }),
        (
            "no watch shows the pods past the deadline",
            Script { blocked_until: 9999, grace_period: Some(60), pods_unseen_until: 9999, ..base() },
        ),
        (
            "a budget blocks past the deadline",
            Script { blocked_until: 9999, grace_period: Some(60), replies: vec![Launches], ..base() },
        ),
    ]
}

#[test]
fn every_life_comes_to_its_end() {
    for (name, script) in scripts() {
        let run = Run::of(&script, &BTreeSet::new(), &BTreeSet::new());
        assert!(run.world.claim.is_none(), "{name}: {:#?}", run.world.claim);
        assert!(!run.world.node.is_some_and(|node| node.has_finalizer), "{name}: its Node stays");
    }
}

#[test]
fn a_life_has_all_of_its_stages() {
    let run = Run::of(
        &Script { claim_deleted: Some(120), ..Script::default() },
        &BTreeSet::new(),
        &BTreeSet::new(),
    );
    assert!(run.was_initialized && run.world.has_bound && run.world.was_drained);
    assert_eq!(run.world.instances.len(), 1);
    // Two pods of 3 s, five seconds without one, three for the instance; it is asked after every five.
    assert!((131..=140).contains(&run.world.now), "{}", run.world.now);
}

#[test]
fn attempts_go_up_only_when_the_cloud_has_refused() {
    let (_, script) = scripts().into_iter().find(|(name, _)| name.starts_with("refused, failed")).unwrap();
    let run = Run::of(&script, &BTreeSet::new(), &BTreeSet::new());
    assert_eq!(run.world.refused, BTreeSet::from([0, 1]));
    assert_eq!(run.world.instances.iter().map(|instance| instance.attempt).collect::<Vec<_>>(), [2]);
}

#[test]
fn an_open_node_and_a_silent_one_are_given_up_without_anybody_asking() {
    for (name, latest) in [
        ("registered open", 60),
        ("never registered", 950),
        ("never launched", 340),
        ("every call is refused", 340),
        ("no capacity", 5),
    ] {
        let (_, script) = scripts().into_iter().find(|(other, _)| *other == name).unwrap();
        let run = Run::of(&script, &BTreeSet::new(), &BTreeSet::new());
        assert!(run.world.now <= latest, "{name}: {} s", run.world.now);
    }
}

#[test]
fn a_crash_after_any_effect_loses_nothing_and_doubles_nothing() {
    for (name, script) in scripts() {
        let effects = Run::of(&script, &BTreeSet::new(), &BTreeSet::new()).effects;
        assert!(effects > 3, "{name}: nothing happens");
        // The script that fails for minutes repeats itself.
        for crash in 1..=effects.min(60) {
            let run = Run::of(&script, &BTreeSet::from([crash]), &BTreeSet::new());
            assert!(run.world.claim.is_none(), "{name}, crash after effect {crash}: {:#?}", run.world.claim);
            let is_left = run.world.node.is_some_and(|node| node.has_finalizer);
            assert!(!is_left, "{name}, crash after effect {crash}: its Node stays");
        }
    }
}

#[test]
fn two_crashes_after_any_two_effects_of_a_life_lose_nothing_either() {
    let replies = vec![Reply::Refuses, Reply::LaunchesUnheard, Reply::RefusesCall];
    let script = Script { replies, ..Script::default() };
    let effects = Run::of(&script, &BTreeSet::new(), &BTreeSet::new()).effects;
    for first in 1..=effects {
        for second in first + 1..=effects + 2 {
            let run = Run::of(&script, &BTreeSet::from([first, second]), &BTreeSet::new());
            assert!(run.world.claim.is_none(), "crashes after {first} and {second}: {:#?}", run.world.claim);
        }
    }
}

#[test]
fn with_a_registered_node_pods_are_never_torn_off() {
    // Checked by the world at each termination; here, that the check is reached.
    for (name, script) in scripts().into_iter().filter(|(name, _)| name.starts_with("a budget")) {
        let run = Run::of(&script, &BTreeSet::new(), &BTreeSet::new());
        assert!(run.world.was_drained, "{name}");
    }
}

fn points(most: usize) -> impl Strategy<Value = BTreeSet<usize>> {
    proptest::collection::btree_set(1..most, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_crashes_and_any_lag_at_any_moment_of_any_life_are_survived(
        number in 0..scripts().len(),
        crashes in points(60),
        lags in points(60),
        deleted in proptest::option::of(1_i64..150),
        hidden_for in 0_i64..25,
    ) {
        let (name, script) = scripts().swap_remove(number);
        let script = Script { claim_deleted: deleted.or(script.claim_deleted), hidden_for, ..script };
        let run = Run::of(&script, &crashes, &lags);
        prop_assert!(run.world.claim.is_none(), "{}: {:#?}", name, run.world.claim);
        prop_assert!(!run.world.node.is_some_and(|node| node.has_finalizer), "{}: its Node stays", name);
    }
}

#[test]
fn the_world_notices_what_it_should() {
    let is_caught = |break_it: fn(&mut World)| {
        let mut world = World::new(&Script::default());
        break_it(&mut world);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.check())).is_err()
    };
    assert!(!is_caught(|_| {}));
    let two: fn(&mut World) = |world| {
        for attempt in [0, 1] {
            world.launch_unchecked(attempt);
        }
    };
    assert!(is_caught(two));
    let orphan: fn(&mut World) = |world| {
        world.launch_unchecked(0);
        world.claim = None;
    };
    assert!(is_caught(orphan));
    let unfenced: fn(&mut World) = |world| {
        let mut node = registered_node();
        node.taints.clear();
        world.node = Some(node);
    };
    assert!(is_caught(unfenced));
}
