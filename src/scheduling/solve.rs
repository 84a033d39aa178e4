//! From a problem to a plan. Read this first.
//!
//! 1. Pods that ask for the same become one class; classes are put in order ([`queue`](super::queue)).
//! 2. In that order, every class takes what room there is on nodes that are there or on their way.
//! 3. In that order again, each class first uses what room is left in claims of this plan; for what still waits, claims are opened, each
//!    filled with what goes best together ([`launch`](super::launch)), until no pool can help any more.
//! 4. Every claim gets the list of all instance types that hold its pods, cheapest first ([`claims`](super::claims)).
//! 5. Every pod that is left gets its reasons ([`explain`](super::explain)).
//!
//! The same problem gives the same plan, byte for byte, and the order of its lists does not matter.
//!
//! Not solved yet: topology spread, affinity between pods, volumes, device claims (a pod that requires one stays out and says
//! so), preferences (they are ignored), minimum values, and reserved capacity that runs out.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use super::{
    amounts::Dimensions,
    claims::Finisher,
    explain,
    fit::{Draft, NodeRoom},
    launch::Launcher,
    plan::{Nomination, Plan, PoolReason, Unschedulable},
    pools::Pools,
    problem::{PendingPod, Problem},
    queue::Queue,
};
use crate::model::pod::PodKey;

/// Places the pods of a problem: on nodes that are there, and on nodes to launch at a low price.
#[must_use]
pub fn solve(problem: &Problem) -> Plan {
    let pods = problem.pods.iter().map(|pending| &pending.pod);
    let pods = pods.chain(problem.daemons.iter().map(|daemon| &daemon.pod));
    let of_nodes = problem.nodes.iter().flat_map(|node| node.allocatable.iter().map(|(name, _)| name));
    let of_nodes: BTreeSet<&str> = of_nodes.collect();
    let is_there = |name: &str| {
        of_nodes.contains(name) || problem.pools.iter().any(|pool| pool.catalog.allocatable(name).is_some())
    };
    let dimensions = Dimensions::of(pods.map(|pod| &pod.requests), is_there);
    let pools = Pools::new(problem, &dimensions);
    let queue = Queue::new(&problem.pods, &dimensions, &pools, &problem.well_known);

    let mut waiting = Waiting::new(&queue);
    let nominations = use_nodes(problem, &dimensions, &queue, &mut waiting);
    let mut launcher = Launcher::new(&pools, &queue.classes);
    let drafts = open_claims(&pools, &queue, &mut launcher, &mut waiting);
    let finisher = Finisher { problem, dimensions: &dimensions, pools: &pools, queue: &queue };
    let mut claims = Vec::new();
    for draft in &drafts {
        let pods: Vec<_> =
            draft.loads.iter().flat_map(|load| waiting.hand_out(load.class, load.pods)).collect();
        claims.extend(finisher.finish(draft, &pods, &mut launcher.ledgers));
    }
    let unschedulable = left_over(problem, &pools, &queue, &launcher, &mut waiting);
    Plan { claims, nominations, unschedulable }
}

/// The pods that have no place yet.
struct Waiting<'q> {
    queue: &'q Queue<'q>,
    /// How many of each class have no place.
    counts: Vec<u64>,
    /// How many of each class, the most senior first, have been named in the plan.
    handed_out: Vec<usize>,
}

impl<'q> Waiting<'q> {
    fn new(queue: &'q Queue<'q>) -> Self {
        let counts = queue.classes.iter().map(|class| class.pods.len() as u64).collect();
        Self { queue, counts, handed_out: vec![0; queue.classes.len()] }
    }

    fn of(&self, class: usize) -> u64 {
        self.counts.get(class).copied().unwrap_or_default()
    }

    fn placed(&mut self, class: usize, pods: u64) {
        if let Some(count) = self.counts.get_mut(class) {
            *count = count.saturating_sub(pods);
        }
    }

    /// The next so many pods of a class.
    fn hand_out(&mut self, class: usize, pods: u64) -> Vec<&'q PendingPod> {
        let Some((class, from)) = self.queue.classes.get(class).zip(self.handed_out.get_mut(class)) else {
            return Vec::new();
        };
        let pods = usize::try_from(pods).unwrap_or(usize::MAX);
        let next: Vec<_> = class.pods.iter().skip(*from).take(pods).copied().collect();
        *from += next.len();
        next
    }
}

/// Fills the nodes that are there: those first that can run pods at once, then by name.
fn use_nodes<'q>(
    problem: &'q Problem,
    dimensions: &Dimensions,
    queue: &'q Queue<'q>,
    waiting: &mut Waiting<'q>,
) -> Vec<Nomination> {
    let mut nodes: Vec<_> = problem.nodes.iter().collect();
    nodes.sort_by_key(|node| (!node.is_initialized, &node.name));
    let mut nodes: Vec<_> = nodes.into_iter().map(|node| NodeRoom::new(problem, node, dimensions)).collect();
    let mut nominated: BTreeMap<&str, Vec<PodKey>> = BTreeMap::new();
    for (number, class) in queue.classes.iter().enumerate() {
        for node in &mut nodes {
            if waiting.of(number) == 0 {
                break;
            }
            let pods = node.fill(class, waiting.of(number));
            if pods > 0 {
                waiting.placed(number, pods);
                let names = waiting.hand_out(number, pods).into_iter().map(|pending| pending.pod.key.clone());
                nominated.entry(&node.node.name).or_default().extend(names);
            }
        }
    }
    let nomination = |(node, mut pods): (&str, Vec<PodKey>)| {
        pods.sort_unstable();
        Nomination { node: node.to_owned(), pods }
    };
    nominated.into_iter().map(nomination).collect()
}

/// Opens claims until nothing waits that any pool can help.
fn open_claims<'q>(
    pools: &'q Pools<'q>,
    queue: &'q Queue<'q>,
    launcher: &mut Launcher<'q>,
    waiting: &mut Waiting<'q>,
) -> Vec<Draft<'q>> {
    let mut drafts: Vec<Draft<'q>> = Vec::new();
    for (number, class) in queue.classes.iter().enumerate() {
        for draft in &mut drafts {
            let Some(table) = pools.get(draft.pool).filter(|_| waiting.of(number) > 0) else { break };
            let pods = draft.fill(table, number, class, waiting.of(number));
            waiting.placed(number, pods);
        }
        while waiting.of(number) > 0 {
            let opened = launcher.open(number, &waiting.counts);
            if opened.is_empty() {
                break;
            }
            for load in opened.iter().flat_map(|draft| &draft.loads) {
                waiting.placed(load.class, load.pods);
            }
            drafts.extend(opened);
        }
    }
    drafts
}

/// The pods that are left, each with its reasons.
fn left_over<'q>(
    problem: &Problem,
    pools: &'q Pools<'q>,
    queue: &'q Queue<'q>,
    launcher: &Launcher<'q>,
    waiting: &mut Waiting<'q>,
) -> Vec<Unschedulable> {
    let rejected = queue.rejected.iter().map(|(pod, reason)| Unschedulable {
        pod: (*pod).clone(),
        reasons: vec![PoolReason { pool: None, reason: reason.clone() }],
    });
    let mut left: Vec<_> = rejected.collect();
    for (number, class) in queue.classes.iter().enumerate() {
        let pods = waiting.hand_out(number, waiting.of(number));
        if pods.is_empty() {
            continue;
        }
        let reasons = explain::reasons(problem, pools, class, &launcher.ledgers);
        left.extend(
            pods.into_iter()
                .zip(iter::repeat(reasons))
                .map(|(pod, reasons)| Unschedulable { pod: pod.pod.key.clone(), reasons }),
        );
    }
    left.sort_by(|a, b| a.pod.cmp(&b.pod));
    left
}
