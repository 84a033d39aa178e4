//! A small world of one claim, its instance, its Node and its pods, in which steps are carried out, with crashes between any two effects.
//!
//! It holds what must always hold: it panics as soon as it does not.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::api::labels;
use crate::api::nodeclaim::INITIALIZED;
use crate::lifecycle::claim::step;
use crate::lifecycle::drain::is_drained;
use crate::lifecycle::effect::{Effect, NodePatch};
use crate::lifecycle::fence::Gate;
use crate::lifecycle::memory::{
    Answer, ClaimMemory, EvictionAnswer, Existence, LaunchFailure, LaunchProblem, LaunchedInstance,
};
use crate::lifecycle::testing::launched_instance;
use crate::lifecycle::view::ClaimView;
use crate::model::bound_pod::BoundPod;
use crate::model::node::disrupted_taint;
use crate::model::testing::nodes::{at, claim, fresh_node, pod, taint, type_labels};
use crate::model::workload_type::unregistered_taint;
use crate::model::{Node, NodeClaim, ObjectRef, ProviderId};

/// What the cloud does with one call of a launch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reply {
    Launches,
    /// The instance is launched, and nobody hears of it.
    LaunchesUnheard,
    /// The attempt is refused for good.
    Refuses,
    /// The call is refused before the cloud looks whether it was made before: a permission, credentials, too many calls.
    RefusesCall,
    /// The call asks for something else than the cloud remembers of the attempt: its instance is found, if it is shown.
    Mismatches,
    Fails,
    HasNoCapacity,
}

/// How the kubelet registers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kubelet {
    Registers,
    /// Without the pool's taint, with a type label that is not its own.
    RegistersUnfenced,
    /// Without the taint that keeps everybody out.
    RegistersOpen,
    NeverRegisters,
}

/// What happens in the world, whatever the controller does. Times are seconds from the claim's creation.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) replies: Vec<Reply>,
    pub(super) kubelet: Kubelet,
    /// So long after a launch the cloud does not know the instance yet.
    pub(super) hidden_for: i64,
    pub(super) claim_deleted: Option<i64>,
    pub(super) node_deleted: Option<i64>,
    pub(super) instance_dies: Option<i64>,
    /// Until then a budget allows no eviction.
    pub(super) blocked_until: i64,
    pub(super) grace_period: Option<i64>,
    /// Until then the watch shows no pod.
    pub(super) pods_unseen_until: i64,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            replies: Vec::new(),
            kubelet: Kubelet::Registers,
            hidden_for: 2,
            claim_deleted: Some(120),
            node_deleted: None,
            instance_dies: None,
            blocked_until: 0,
            grace_period: None,
            pods_unseen_until: 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum State {
    Running,
    Ending { at: i64 },
    Gone,
}

#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub(super) id: ProviderId,
    pub(super) attempt: u32,
    pub(super) launched: i64,
    pub(super) state: State,
}

pub(super) struct World {
    pub(super) script: Script,
    pub(super) now: i64,
    pub(super) version: u64,
    pub(super) claim: Option<NodeClaim>,
    pub(super) node: Option<Node>,
    pub(super) pods: Vec<BoundPod>,
    pub(super) instances: Vec<Instance>,
    /// Attempts that were refused: asked again, the cloud says the same.
    pub(super) refused: BTreeSet<u32>,
    pub(super) calls: usize,
    pub(super) has_registered: bool,
    pub(super) has_bound: bool,
    pub(super) was_drained: bool,
}

impl World {
    pub(super) fn new(script: &Script) -> Self {
        let mut claim = claim();
        claim.has_finalizer = false;
        claim.startup_taints = vec![taint("example.com/starting:NoSchedule")];
        claim.termination_grace_period = script.grace_period.map(SignedDuration::from_secs);
        Self {
            script: script.clone(),
            now: 0,
            version: 1,
            claim: Some(claim),
            node: None,
            pods: Vec::new(),
            instances: Vec::new(),
            refused: BTreeSet::new(),
            calls: 0,
            has_registered: false,
            has_bound: false,
            was_drained: false,
        }
    }

    fn time(&self) -> Timestamp {
        at(self.now)
    }

    fn seen(&self) -> Seen {
        (self.claim.clone(), self.node.clone(), self.shown_pods())
    }

    fn shown_pods(&self) -> Vec<BoundPod> {
        if self.now < self.script.pods_unseen_until { Vec::new() } else { self.pods.clone() }
    }

    fn live(&self) -> Vec<&Instance> {
        self.instances.iter().filter(|instance| instance.state != State::Gone).collect()
    }

    fn shows(&self, instance: &Instance) -> bool {
        instance.state != State::Gone && self.now >= instance.launched + self.script.hidden_for
    }

    // ---- what happens by itself ----

    fn tick(&mut self) {
        self.now += 1;
        let (now, script) = (self.now, self.script.clone());
        for instance in &mut self.instances {
            if matches!(instance.state, State::Ending { at } if now >= at)
                || script.instance_dies.is_some_and(|at| now >= at)
            {
                instance.state = State::Gone;
            }
        }
        if script.claim_deleted.is_some_and(|at| now >= at) {
            self.delete_claim();
        }
        if script.node_deleted == Some(now) {
            self.delete_node();
        }
        let running = self.instances.iter().find(|instance| instance.state == State::Running).cloned();
        if let Some(instance) = &running {
            let registers = script.kubelet != Kubelet::NeverRegisters && now >= instance.launched + 20;
            if registers && !self.has_registered {
                self.has_registered = true;
                self.version += 1;
                self.node = Some(self.registered_by_kubelet(instance));
            }
        }
        let version = self.next_version();
        if let Some(node) = &mut self.node {
            let was = node.clone();
            let since = now - running.as_ref().map_or(now, |instance| instance.launched);
            node.is_ready = since >= 25;
            node.taints.retain(|taint| !taint.key.starts_with("node.kubernetes.io/") || since < 25);
            node.taints.retain(|taint| !taint.key.starts_with("example.com/") || since < 30);
            if *node != was {
                node.object.resource_version = version;
            }
        }
        self.pods.retain(|pod| pod.gone_by.is_none_or(|by| at(now) < by));
        let is_open = self.node.as_ref().is_some_and(|node| {
            node.is_ready
                && !node.has_taint_like(&unregistered_taint())
                && !node.has_taint_like(&disrupted_taint())
        });
        if is_open && !self.has_bound {
            self.has_bound = true;
            self.pods = vec![pod("web-1"), pod("web-2")];
        }
        if self.node.is_none() || running.is_none() {
            self.pods.clear();
        }
    }

    fn registered_by_kubelet(&self, instance: &Instance) -> Node {
        let mut node = fresh_node();
        node.provider_id = Some(instance.id.clone());
        node.object.resource_version = self.version.to_string();
        match self.script.kubelet {
            Kubelet::Registers | Kubelet::NeverRegisters => {}
            Kubelet::RegistersUnfenced => {
                node.taints.retain(|taint| taint.key != "node-type");
                let foreign = "workload-type.node-restriction.kubernetes.io/monitoring";
                node.labels.insert(foreign.into(), String::new());
            }
            Kubelet::RegistersOpen => node.taints.retain(|taint| taint.key != labels::UNREGISTERED_TAINT),
        }
        node
    }

    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn delete_claim(&mut self) {
        let (now, version) = (self.time(), self.next_version());
        if let Some(claim) = self.claim.as_mut().filter(|claim| claim.deleted.is_none()) {
            claim.deleted = Some(now);
            claim.generation += 1;
            claim.object.resource_version = version;
        }
        self.claim = self.claim.take().filter(|claim| claim.deleted.is_none() || claim.has_finalizer);
    }

    fn delete_node(&mut self) {
        let version = self.next_version();
        if let Some(node) = &mut self.node {
            node.is_deleting = true;
            node.object.resource_version = version;
        }
        self.node = self.node.take().filter(|node| node.has_finalizer);
    }

    // ---- what the controller does ----

    /// `None` for a conflict or a missing object.
    fn apply(&mut self, effect: &Effect, seen: &ObjectRef) -> Result<Option<Answer>, Conflict> {
        let version = self.next_version();
        let is_current = self.claim.as_ref().is_some_and(|claim| claim.object == *seen);
        let own = || if is_current { Ok(()) } else { Err(Conflict) };
        match effect {
            Effect::PatchClaim(patch) => {
                own()?;
                let claim = self.claim.as_mut().ok_or(Conflict)?;
                claim.has_finalizer |= patch.add_finalizer;
                claim.labels.extend(patch.labels.clone());
                claim.annotations.extend(patch.annotations.clone());
                claim.object.resource_version = version;
            }
            Effect::SetStatus(patch) => {
                own()?;
                let claim = self.claim.as_mut().ok_or(Conflict)?;
                let patch = patch.clone();
                claim.provider_id = patch.provider_id.or(claim.provider_id.take());
                claim.node_name = patch.node_name.or(claim.node_name.take());
                claim.conditions = patch.conditions.unwrap_or(std::mem::take(&mut claim.conditions));
                claim.last_pod_event = patch.last_pod_event.or(claim.last_pod_event);
                claim.object.resource_version = version;
            }
            Effect::DeleteClaim(_) => {
                own()?;
                self.delete_claim();
            }
            Effect::RemoveClaimFinalizer => {
                own()?;
                let node = self.node.as_ref();
                assert!(!node.is_some_and(|node| node.has_finalizer), "the Node still has its finalizer");
                let claim = self.claim.as_mut().ok_or(Conflict)?;
                assert!(claim.deleted.is_some(), "let go although nobody deleted it");
                self.claim = None;
                assert!(self.live().is_empty(), "the claim went before its instance");
            }
            Effect::Launch { attempt } => return Ok(self.launch(*attempt)),
            Effect::FindInstance => return Ok(Some(self.found())),
            Effect::GetInstance { provider_id } => {
                return Ok(Some(Answer::Instance(Ok(self.existence(provider_id)))));
            }
            Effect::Terminate { provider_id } => {
                let existence = self.existence(provider_id);
                self.check_drained();
                let ends = self.now + 3;
                for instance in self.instances.iter_mut().filter(|_| existence == Existence::Exists) {
                    if instance.id == *provider_id && instance.state == State::Running {
                        instance.state = State::Ending { at: ends };
                    }
                }
                return Ok(Some(Answer::Termination(Ok(existence))));
            }
            Effect::ListPods { .. } => return Ok(Some(Answer::Pods(Ok(self.pods.clone())))),
            Effect::PatchNode(patch) => {
                let node = self.current_node(&patch.node)?;
                assert!(
                    !(node.is_deleting && patch.add_finalizer),
                    "the API server would refuse a new finalizer"
                );
                patch_node(node, patch);
                node.object.resource_version = version;
            }
            Effect::DeleteNode(seen) => {
                self.current_node(seen)?;
                self.delete_node();
            }
            Effect::RemoveNodeFinalizer(seen) => {
                let node = self.current_node(seen)?;
                assert!(node.has_finalizer && node.is_deleting);
                assert!(self.live().is_empty(), "the Node was let go before its instance was gone");
                self.node = None;
            }
            Effect::Evict(pod) => {
                let (now, is_blocked) = (self.time(), self.now < self.script.blocked_until);
                let answer = match self.pods.iter_mut().find(|other| other.uid == pod.uid) {
                    None => EvictionAnswer::Gone,
                    Some(_) if is_blocked => EvictionAnswer::Blocked { message: "not now".into() },
                    Some(pod) => {
                        assert!(!pod.is_terminating(), "{} is evicted twice", pod.key);
                        pod.gone_by = Some(now + SignedDuration::from_secs(3));
                        EvictionAnswer::Accepted
                    }
                };
                return Ok(Some(Answer::Eviction { uid: pod.uid.clone(), answer }));
            }
            Effect::DeletePod { pod, grace } => {
                let (now, deadline) = (self.time(), self.deadline());
                if let Some(pod) = self.pods.iter_mut().find(|other| other.uid == pod.uid) {
                    assert!(
                        deadline.is_some_and(|deadline| now >= deadline - pod.grace),
                        "deleted too early"
                    );
                    pod.gone_by = Some(now + *grace);
                }
                return Ok(Some(Answer::Eviction { uid: pod.uid.clone(), answer: EvictionAnswer::Accepted }));
            }
            // No other claim has its instance, and no pod is planted.
            Effect::Report(_) | Effect::FindOwner { .. } | Effect::DeletePlanted(_) => {}
        }
        Ok(None)
    }

    fn launch(&mut self, attempt: u32) -> Option<Answer> {
        assert!(self.claim.as_ref().is_some_and(|claim| claim.has_finalizer), "launched without a finalizer");
        let reply = self.script.replies.get(self.calls).copied().unwrap_or(Reply::Launches);
        self.calls += 1;
        let before = self.instances.iter().find(|instance| instance.attempt == attempt).cloned();
        let is_shown = before.as_ref().is_some_and(|instance| self.shows(instance));
        let is_spent = reply == Reply::Mismatches && !is_shown;
        let fails = |problem, is_answered| {
            let (reason, message) = ("Odd".to_owned(), "odd".to_owned());
            let failure = LaunchFailure { problem, reason, message, is_answered, is_spent };
            Some(Answer::Launch { attempt, result: Err(failure) })
        };
        let instance = match (before, reply) {
            (_, Reply::RefusesCall) => return fails(LaunchProblem::Other, false),
            (_, Reply::Mismatches) if is_spent => return fails(LaunchProblem::Other, false),
            (Some(instance), _) => instance,
            (None, Reply::Refuses) => {
                self.refused.insert(attempt);
                return fails(LaunchProblem::Other, true);
            }
            (None, _) if self.refused.contains(&attempt) => return fails(LaunchProblem::Other, true),
            (None, Reply::HasNoCapacity) => {
                self.refused.insert(attempt);
                return fails(LaunchProblem::NoCapacity, true);
            }
            (None, Reply::Fails) => return fails(LaunchProblem::Other, false),
            (None, Reply::Launches | Reply::LaunchesUnheard | Reply::Mismatches) => {
                let id = ProviderId::new(format!("aws:///us-east-1a/i-{}", self.instances.len()));
                let instance = Instance { id, attempt, launched: self.now, state: State::Running };
                self.instances.push(instance.clone());
                instance
            }
        };
        if reply == Reply::LaunchesUnheard {
            return fails(LaunchProblem::Other, false);
        }
        let launched = LaunchedInstance { provider_id: instance.id, ..launched_instance() };
        Some(Answer::Launch { attempt, result: Ok(Box::new(launched)) })
    }

    fn found(&self) -> Answer {
        let found = self.instances.iter().find(|instance| self.shows(instance));
        Answer::Found(Ok(found.map(|instance| instance.id.clone())))
    }

    fn existence(&self, id: &ProviderId) -> Existence {
        let shows = self.instances.iter().any(|instance| instance.id == *id && self.shows(instance));
        if shows { Existence::Exists } else { Existence::Gone }
    }

    fn current_node(&mut self, seen: &ObjectRef) -> Result<&mut Node, Conflict> {
        self.node.as_mut().filter(|node| node.object == *seen).ok_or(Conflict)
    }

    fn deadline(&self) -> Option<Timestamp> {
        let deleted = self.claim.as_ref()?.deleted?;
        self.script.grace_period.map(|period| deleted + SignedDuration::from_secs(period))
    }

    // ---- what must always hold ----

    /// Nothing runs that was not asked to leave first, as long as the Node was ours to drain and its instance lived.
    fn check_drained(&mut self) {
        let now = self.time();
        let is_adopted = self.node.as_ref().is_some_and(|node| node.is_labelled(labels::REGISTERED));
        if is_adopted && !self.was_drained {
            let left: Vec<_> = self.pods.iter().filter(|pod| is_drained(pod, now)).collect();
            assert!(left.is_empty(), "terminated with {left:?} on it");
            self.was_drained = true;
        }
    }

    pub(super) fn check(&self) {
        assert!(self.live().len() <= 1, "two instances: {:?}", self.instances);
        if self.claim.is_none() {
            assert!(self.live().is_empty(), "an instance outlives its claim: {:?}", self.instances);
        }
        let Some(node) = &self.node else { return };
        let is_adopted = node.is_labelled(labels::REGISTERED);
        if is_adopted && !node.has_taint_like(&unregistered_taint()) {
            assert!(
                node.has_taint(&taint("node-type=application:NoSchedule")),
                "open without the pool's taint"
            );
            let types: Vec<_> = { node.labels.keys() }
                .filter(|key| labels::domain(key) == Some(labels::NODE_TYPE_DOMAIN))
                .collect();
            assert_eq!(types, type_labels().keys().collect::<Vec<_>>(), "open with other type labels");
            assert!(node.owner_uids.contains(&claim().object.uid));
        }
        if self.script.kubelet == Kubelet::RegistersOpen {
            assert!(!is_adopted, "a node that was open was registered");
        }
    }
}

/// Somebody else has written meanwhile.
#[derive(Debug)]
struct Conflict;

fn patch_node(node: &mut Node, patch: &NodePatch) {
    node.has_finalizer |= patch.add_finalizer;
    node.owner_uids.extend(patch.owner.iter().map(|owner| owner.uid.clone()));
    node.labels.extend(patch.labels.clone());
    node.labels.retain(|key, _| !patch.remove_labels.contains(key));
    node.annotations.extend(patch.annotations.clone());
    let goes = |taint: &crate::model::Taint| {
        patch.taints.iter().chain(&patch.remove_taints).any(|other| other.is_same(taint))
    };
    node.taints.retain(|taint| !goes(taint));
    node.taints.extend(patch.taints.clone());
}

/// A run of the script, with a crash after each effect whose number is in `crashes`: the effect is done, its answer and everything that was
/// remembered is lost. Rounds whose number is in `lags` act on what was there a second earlier.
pub(super) struct Run {
    pub(super) world: World,
    pub(super) memory: ClaimMemory,
    pub(super) effects: usize,
    pub(super) rounds: usize,
    pub(super) was_initialized: bool,
    /// What the last round looked at, and when it wanted to look again.
    pub(super) seen: Option<Seen>,
    pub(super) requeue_at: Option<Timestamp>,
}

type Seen = (Option<NodeClaim>, Option<Node>, Vec<BoundPod>);

impl Run {
    pub(super) fn of(script: &Script, crashes: &BTreeSet<usize>, lags: &BTreeSet<usize>) -> Self {
        let mut run = Self {
            world: World::new(script),
            memory: ClaimMemory::default(),
            effects: 0,
            rounds: 0,
            was_initialized: false,
            seen: None,
            requeue_at: None,
        };
        while run.world.claim.is_some() && run.world.now < 1800 {
            // Like a controller, it is woken by what changes and by the time that it asked for, and by nothing else.
            let is_due = run.requeue_at.is_some_and(|due| run.world.time() >= due);
            if is_due || run.seen.as_ref() != Some(&run.world.seen()) {
                run.settle(crashes, lags);
            }
            run.world.tick();
            run.world.check();
        }
        run
    }

    /// Steps until nothing is left to do at this moment.
    fn settle(&mut self, crashes: &BTreeSet<usize>, lags: &BTreeSet<usize>) {
        for _ in 0..40 {
            // Not what there is after the round: what changes behind its back must wake it.
            self.seen = Some(self.world.seen());
            let Some(claim) = self.world.claim.clone() else { return };
            self.was_initialized |= claim.is(INITIALIZED);
            let nodes: Vec<_> = self
                .world
                .node
                .iter()
                .filter(|node| node.provider_id == claim.provider_id)
                .cloned()
                .collect();
            let pods = if nodes.is_empty() { Vec::new() } else { self.world.shown_pods() };
            self.memory.see(&pods, &[]);
            let view = ClaimView {
                claim: &claim,
                rivals: &[],
                nodes: &nodes,
                pods: &pods,
                volumes: &[],
                type_labels: &type_labels(),
                gate: &Gate::Open,
                planted: Some(&[]),
                memory: &self.memory,
            };
            let step = step(&view, self.world.time());
            self.requeue_at = step.requeue_at;
            check_writes(&step.effects);
            self.rounds += 1;
            if lags.contains(&self.rounds) {
                self.world.tick();
                self.world.check();
            }
            for effect in &step.effects {
                self.memory.begin(effect);
                let applied = self.world.apply(effect, &claim.object);
                self.world.check();
                self.effects += 1;
                if crashes.contains(&self.effects) {
                    self.memory = ClaimMemory::default();
                    break;
                }
                match applied {
                    Ok(Some(answer)) => self.memory.record(answer, self.world.time()),
                    Ok(None) => {}
                    Err(Conflict) => break,
                }
            }
            if !step.effects.iter().any(Effect::changes_anything) {
                return;
            }
        }
        panic!("it does not come to rest at {} s", self.world.now);
    }
}

/// No object is written twice in a step: the second write would conflict with the first.
fn check_writes(effects: &[Effect]) {
    let mut written = BTreeSet::new();
    for effect in effects {
        let object = match effect {
            Effect::PatchClaim(_)
            | Effect::SetStatus(_)
            | Effect::DeleteClaim(_)
            | Effect::RemoveClaimFinalizer => "",
            Effect::PatchNode(NodePatch { node, .. })
            | Effect::DeleteNode(node)
            | Effect::RemoveNodeFinalizer(node) => node.name.as_str(),
            _ => continue,
        };
        assert!(written.insert(object), "two writes of one object: {effects:?}");
    }
}

impl World {
    pub(super) fn launch_unchecked(&mut self, attempt: u32) {
        let id = ProviderId::new(format!("i-{attempt}"));
        self.instances.push(Instance { id, attempt, launched: 0, state: State::Running });
    }
}
