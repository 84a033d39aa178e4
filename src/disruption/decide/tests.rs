use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::api::budget::Budget;
use crate::model::testing::nodes::{at, claim, object, pod, registered_node};
use crate::model::{BoundPod, Node, NodeClaim};

/// A node with its claim and pods.
#[derive(Debug, Clone)]
struct Owned {
    claim: NodeClaim,
    node: Option<Node>,
    pods: Vec<BoundPod>,
    /// When the claim goes, once it is deleted.
    gone_at: Option<i64>,
}

fn machine(number: usize) -> Owned {
    let name = format!("application-{number}");
    let claim = NodeClaim { object: object(&name), ..claim().registered() };
    let node = Node { object: object(&format!("node-{number}")), ..registered_node() };
    let claim = claim.with(&[Change::holds(INITIALIZED)], at(100));
    Owned { claim, node: Some(node), pods: Vec::new(), gone_at: None }
}

impl Owned {
    fn tainted(mut self) -> Self {
        self.node.as_mut().unwrap().taints.push(disrupted_taint());
        self
    }

    fn with_reason(mut self, second: i64) -> Self {
        let changes = [Change::holds(DISRUPTION_REASON).with_reason("Empty")];
        self.claim = self.claim.with(&changes, at(second));
        self
    }

    fn is_disrupted(&self) -> bool {
        self.claim.deleted.is_some()
            || self.node.as_ref().is_some_and(|node| node.has_taint_like(&disrupted_taint()))
    }
}

fn pools(budgets: &[&str]) -> BTreeMap<String, Pool> {
    let budget = |nodes: &&str| Budget { nodes: (*nodes).to_owned(), ..Budget::default() };
    let pool = Pool {
        uid: "pool-uid".into(),
        consolidate_after: Some(SignedDuration::ZERO),
        budgets: budgets.iter().map(budget).collect(),
    };
    [("application".to_owned(), pool)].into()
}

fn run(fleet: &[Owned], budgets: &[&str], begun: &BTreeSet<String>, now: i64) -> Decision {
    run_that_knows(true, fleet, budgets, begun, now)
}

fn run_that_knows(
    knows_pods: bool,
    fleet: &[Owned],
    budgets: &[&str],
    begun: &BTreeSet<String>,
    now: i64,
) -> Decision {
    let pods: Vec<Vec<&BoundPod>> = fleet.iter().map(|owned| owned.pods.iter().collect()).collect();
    let machines: Vec<_> = { fleet.iter().zip(&pods) }
        .map(|(owned, pods)| Machine {
            claim: &owned.claim,
            node: owned.node.as_ref(),
            pods,
            nominated_until: None,
        })
        .collect();
    decide(&Fleet { pools: &pools(budgets), machines: &machines, knows_pods, begun }, at(now))
}

fn short(decision: &Decision) -> Vec<String> {
    let number = |claim: &ObjectRef| claim.name.rsplit('-').next().unwrap().to_owned();
    let word = |command: &Command| match command {
        Command::Mark { claim, .. } => format!("mark {}", number(claim)),
        Command::Release { claim, node: Some(_), .. } => format!("release {}", number(claim)),
        Command::Release { claim, node: None, .. } => format!("clear {}", number(claim)),
        Command::Delete { claim } => format!("delete {}", number(claim)),
    };
    decision.commands.iter().map(word).collect()
}

#[track_caller]
fn check_at(fleet: &[Owned], budgets: &[&str], now: i64, expected: &[&str]) -> Decision {
    let decision = run(fleet, budgets, &BTreeSet::new(), now);
    assert_eq!(short(&decision), expected);
    decision
}

#[test]
fn empty_nodes_are_marked_as_far_as_the_budget_goes_the_quietest_first() {
    let mut fleet: Vec<_> = (0..4).map(machine).collect();
    fleet[0].claim.last_pod_event = Some(at(150));
    fleet[1].pods = vec![pod("web")];
    let decision = check_at(&fleet, &["2"], 200, &["mark 2", "mark 3"]);
    let allowance = Allowance { nodes: 2, budget: Some(0) };
    assert_eq!(
        decision.held,
        [Held { pool: "application".into(), uid: "pool-uid".into(), allowance, disrupted: 0, waiting: 1 }]
    );
    assert_eq!(decision.kept.keys().collect::<Vec<_>>(), ["application-1"]);
    check_at(&fleet, &["5"], 200, &["mark 2", "mark 3", "mark 0"]);
    check_at(&fleet, &["30%"], 200, &["mark 2", "mark 3"]);
    check_at(&fleet, &[], 200, &["mark 2", "mark 3", "mark 0"]);
    assert_eq!(check_at(&fleet, &["0"], 200, &[]).held.len(), 1);
    let conditions = marked(&fleet[2].claim, at(200));
    let reason = conditions.iter().find(|condition| condition.type_ == DISRUPTION_REASON).unwrap();
    assert_eq!((reason.reason.as_str(), reason.last_transition_time.0), ("Empty", at(200)));
}

#[test]
fn a_mark_is_confirmed_when_it_has_held_and_released_when_something_speaks_against_it() {
    let marked = || machine(0).tainted().with_reason(200);
    let waiting = check_at(&[marked()], &["2"], 204, &[]);
    assert_eq!(waiting.look_again, Some(at(205)));
    check_at(&[marked()], &["2"], 205, &["delete 0"]);
    for now in [201, 300] {
        check_at(&[Owned { pods: vec![pod("late")], ..marked() }], &["2"], now, &["release 0"]);
        check_at(&[marked()], &["0"], now, &["release 0"]);
    }
    // The mark that came last is the first to be let off.
    let later = || machine(1).tainted().with_reason(203);
    check_at(&[later(), marked()], &["1"], 210, &["delete 0", "release 1"]);
    check_at(&[later(), marked()], &["2"], 210, &["delete 0", "delete 1"]);
}

#[test]
fn no_node_is_marked_or_deleted_while_pods_are_not_followed() {
    let marked = machine(0).tainted().with_reason(200);
    let used = Owned { pods: vec![pod("web")], ..machine(2) };
    let decision = run_that_knows(false, &[marked, machine(1), used], &["100%"], &BTreeSet::new(), 300);
    assert_eq!(short(&decision), ["release 0"]);
    let kept: Vec<_> = decision.kept.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    expect![[r#"
        application-1: the watch of pods is broken, so what runs on it is not known; it is looked at again at 2026-01-01T00:05:10Z
        application-2: pod shop/web runs on it"#]]
    .assert_eq(&kept.join("\n"));
    assert_eq!((decision.look_again, decision.held), (Some(at(310)), vec![]));
}

#[test]
fn half_a_mark_is_taken_off() {
    check_at(&[machine(0).tainted()], &["2"], 200, &["release 0"]);
    let decision = check_at(&[machine(0).with_reason(200)], &["2"], 200, &["clear 0"]);
    let Command::Release { conditions, .. } = &decision.commands[0] else { panic!("{decision:?}") };
    assert!(conditions.iter().all(|condition| condition.type_ != DISRUPTION_REASON));
    // Unless this process is about to write the other half.
    let begun = ["application-0".to_owned()].into();
    assert_eq!(run(&[machine(0).tainted()], &["2"], &begun, 200).commands, []);
}

#[test]
fn whatever_is_out_counts_against_the_budget() {
    type Change = fn(&mut Owned);
    let out: [(&str, Change); 5] = [
        ("deleting", |owned| owned.claim.deleted = Some(at(150))),
        ("its Node is deleting", |owned| owned.node.as_mut().unwrap().is_deleting = true),
        ("not ready", |owned| {
            owned.node.as_mut().unwrap().is_ready = false;
            owned.pods = vec![pod("web")];
        }),
        ("no Node", |owned| owned.node = None),
        ("half a mark", |owned| *owned = owned.clone().tainted()),
    ];
    for (name, change) in out {
        let mut fleet: Vec<_> = (0..3).map(machine).collect();
        change(&mut fleet[0]);
        let of_others = |budget: &str| {
            let commands = short(&run(&fleet, &[budget], &BTreeSet::new(), 200));
            commands.into_iter().filter(|command| command.starts_with("mark")).count()
        };
        assert_eq!((of_others("1"), of_others("2"), of_others("3")), (0, 1, 2), "{name}");
    }
    let fleet: Vec<_> = (0..3).map(machine).collect();
    let begun = ["application-0".to_owned()].into();
    assert_eq!(short(&run(&fleet, &["2"], &begun, 200)), ["mark 1"]);
}

#[test]
fn nodes_on_their_way_do_not_count() {
    let mut young = machine(0);
    young.claim.conditions.clear();
    young.node.as_mut().unwrap().is_ready = false;
    let mut deleted = machine(1);
    deleted.claim.conditions.clear();
    deleted.claim.deleted = Some(at(150));
    let fleet = [young, deleted, machine(2), machine(3)];
    let decision = check_at(&fleet, &["50%"], 200, &["mark 2"]);
    assert_eq!(decision.held[0].allowance.nodes, 1, "half of two");
}

#[test]
fn pools_have_budgets_of_their_own() {
    let mut fleet: Vec<_> = (0..4).map(machine).collect();
    for owned in &mut fleet[2..] {
        owned.claim.labels.insert(crate::api::labels::NODEPOOL.into(), "other".into());
    }
    let decision = check_at(&fleet, &["1"], 200, &["mark 0"]);
    assert!(decision.kept.values().all(|why| matches!(why, Ineligible::PoolNotFound { .. })));
    assert_eq!(decision.kept.len(), 2);
}

#[test]
fn the_words_for_commands_and_budgets() {
    let decision = check_at(&[machine(0), machine(1), machine(2)], &["50%", "1"], 200, &["mark 0"]);
    let events = decision.held.iter().map(Held::event).chain(decision.commands.iter().map(Command::event));
    let lines: Vec<_> = events.map(|event| format!("{}: {}", event.reason, event.message)).collect();
    assert_eq!(
        lines,
        [
            "DisruptionBlocked: 2 empty nodes are kept: spec.disruption.budgets[1] allows 1 at once, and 0 are disrupted or not ready",
            "Disrupting: nothing runs on it, so no more pods are scheduled there and it is removed soon",
        ]
    );
}

/// Plays a fleet second by second: commands are carried out after a lag, deleted claims are gone after a while. With each restart what has
/// begun is forgotten, and what was under way has been done by half or not at all.
struct Play {
    fleet: Vec<Owned>,
    budgets: &'static [&'static str],
    begun: BTreeMap<String, (i64, Command)>,
    most: usize,
}

impl Play {
    fn second(&mut self, now: i64, lag: i64, restart: Option<bool>) {
        if let Some(is_half_done) = restart {
            for (_, command) in std::mem::take(&mut self.begun).into_values() {
                if let (Command::Mark { claim, .. }, true) = (&command, is_half_done) {
                    let owned = self.fleet.iter_mut().find(|owned| owned.claim.object == *claim);
                    owned.unwrap().node.as_mut().unwrap().taints.push(disrupted_taint());
                }
            }
        }
        let (due, later): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.begun).into_iter().partition(|(_, (at, _))| *at <= now);
        self.begun = later;
        for (_, command) in due.into_values() {
            self.carry_out(&command, now);
        }
        self.fleet.retain(|owned| owned.gone_at.is_none_or(|at| now < at));
        let begun: BTreeSet<_> = self.begun.keys().cloned().collect();
        for command in run(&self.fleet, self.budgets, &begun, now).commands {
            let before = self.begun.insert(command.claim().name.clone(), (now + lag, command));
            assert!(before.is_none(), "two commands for one claim");
        }
        let disrupted = |owned: &&Owned| {
            owned.is_disrupted()
                || self
                    .begun
                    .get(&owned.claim.object.name)
                    .is_some_and(|(_, command)| matches!(command, Command::Mark { .. }))
        };
        self.most = self.most.max(self.fleet.iter().filter(disrupted).count());
    }

    fn carry_out(&mut self, command: &Command, now: i64) {
        let claim = command.claim();
        let owned = self.fleet.iter_mut().find(|owned| owned.claim.object == *claim).unwrap();
        let node = owned.node.as_mut().unwrap();
        match command {
            Command::Mark { .. } => {
                node.taints.push(disrupted_taint());
                owned.claim.conditions = marked(&owned.claim, at(now));
            }
            Command::Release { conditions, .. } => {
                node.taints.retain(|taint| *taint != disrupted_taint());
                owned.claim.conditions = conditions.clone();
            }
            Command::Delete { .. } => {
                assert!(owned.pods.is_empty(), "a node was given up that is in use");
                owned.claim.deleted = Some(at(now));
                owned.gone_at = Some(now + 20);
            }
        }
    }
}

fn play(
    nodes: usize,
    budgets: &'static [&'static str],
    lag: i64,
    restarts: &BTreeMap<i64, bool>,
    busy: &BTreeMap<i64, usize>,
) -> Play {
    let fleet = (0..nodes).map(machine).collect();
    let mut play = Play { fleet, budgets, begun: BTreeMap::new(), most: 0 };
    for now in 200..1200 {
        // A pod comes, if the node takes pods, and stays for a while.
        for owned in &mut play.fleet {
            owned.pods.retain(|pod| pod.started.unwrap() + SignedDuration::from_secs(30) > at(now));
        }
        let node = busy.get(&now).and_then(|number| play.fleet.get_mut(*number));
        if let Some(owned) = node.filter(|owned| !owned.is_disrupted()) {
            owned.pods.push(BoundPod { started: Some(at(now)), last_event: Some(at(now)), ..pod("web") });
        }
        play.second(now, lag, restarts.get(&now).copied());
    }
    play
}

#[test]
fn ten_empty_nodes_under_a_budget_of_two_are_never_more_than_two_at_once() {
    for lag in [0, 1, 7] {
        let play = play(10, &["2"], lag, &BTreeMap::new(), &BTreeMap::new());
        assert_eq!((play.most, play.fleet.len()), (2, 0), "lag {lag}");
    }
}

#[test]
fn no_more_than_allowed_are_disrupted_whatever_restarts() {
    let restarts: BTreeMap<_, _> = (200..1100).step_by(13).map(|second| (second, second % 2 == 0)).collect();
    let play = play(10, &["2"], 3, &restarts, &BTreeMap::new());
    assert_eq!((play.most, play.fleet.len()), (2, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn budgets_hold_and_every_node_that_is_left_alone_goes(
        nodes in 1_usize..9,
        lag in 0_i64..5,
        restarts in proptest::collection::btree_map(200_i64..400, any::<bool>(), 0..6),
        busy in proptest::collection::btree_map(200_i64..500, 0_usize..9, 0..12),
    ) {
        let play = play(nodes, &["2", "50%"], lag, &restarts, &busy);
        prop_assert!(play.most <= 2.min(nodes.div_ceil(2)), "{}", play.most);
        prop_assert!(play.fleet.is_empty(), "{:?}", play.fleet);
    }

    #[test]
    fn the_order_of_the_machines_does_not_matter(marks in proptest::collection::vec(0_u8..5, 0..7), budget in 0_usize..4) {
        let fleet: Vec<_> = { marks.iter().enumerate() }
            .map(|(number, mark)| match mark {
                0 => machine(number).tainted().with_reason(150 + i64::try_from(number).unwrap()),
                1 => machine(number).tainted(),
                2 => Owned { pods: vec![pod("web")], ..machine(number) },
                _ => machine(number),
            })
            .collect();
        let reversed: Vec<_> = fleet.iter().rev().cloned().collect();
        let budgets = [["0"], ["1"], ["2"], ["30%"]];
        let decide = |fleet: &[Owned]| run(fleet, &budgets[budget], &BTreeSet::new(), 200);
        prop_assert_eq!(decide(&fleet), decide(&reversed));
    }
}

#[test]
fn the_last_node_of_a_pool_goes_within_a_budget_of_percents_though_it_never_became_initialized() {
    let mut never = machine(1);
    never.claim = NodeClaim { object: object("application-1"), ..claim().registered() };
    never.node.as_mut().unwrap().is_ready = false;
    let marked = |now| run(&[never.clone()], &["10%"], &BTreeSet::new(), now).commands.len();
    // Registered at 40 s, given up 15 minutes later, quiet ten seconds after that.
    assert_eq!((marked(949), marked(950)), (0, 1));
}

#[test]
fn every_command_is_told_in_words_about_its_claim() {
    let (claim, node) = (object("application-x7k2q"), object("n1"));
    let commands = [
        Command::Mark { claim: claim.clone(), node },
        Command::Release { claim: claim.clone(), node: None, conditions: Vec::new() },
        Command::Delete { claim },
    ];
    let line = |command: &Command| {
        // The compiler asks for those that are added.
        match command {
            Command::Mark { .. } | Command::Release { .. } | Command::Delete { .. } => {}
        }
        let Event { regarding, severity, reason, message, .. } = command.event();
        let Regarding::NodeClaim { name, .. } = regarding else { panic!("{regarding:?}") };
        format!("{} {reason} {name}: {message}\n", severity.name())
    };
    expect![[r#"
        Normal Disrupting application-x7k2q: nothing runs on it, so no more pods are scheduled there and it is removed soon
        Normal DisruptionReleased application-x7k2q: it is needed again, or no budget allows its removal any more, or what runs on it is not known at the moment
        Normal DisruptionTerminating application-x7k2q: nothing runs on it, so it is removed
    "#]].assert_eq(&commands.iter().map(line).collect::<String>());
}
