//! What a WorkloadType's status says: what its pods get, who owns which taint, how much it holds, and what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::type_deletion::Remains;
use crate::api::conditions::{Change, Condition, ConditionStatus, READY, Subject};
use crate::api::labels;
use crate::api::nodeclaim::REGISTERED;
use crate::api::workload_type::{self as api, PoolStatus, WorkloadTypeStatus};
use crate::model::taints::Taint;
use crate::model::workload_type::{
    Derivation, Finding, FindingKind, Fleet, LaunchedNode, Pool, Unfenced, WorkloadType, derive, is_ownable,
};
use crate::model::{Node, NodeClaim, Price};

/// What can be counted about the types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Namespaces by the type that their label names.
    pub namespaces: BTreeMap<String, BTreeSet<String>>,
    /// Nodes by the pool that they were launched from.
    pub nodes: BTreeMap<String, i64>,
    /// What they cost.
    pub costs: Costs,
}

/// What nodes cost together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// So much an hour.
    Known(Price),
    /// The price of one is not known.
    Unknown,
    /// The cloud has not answered yet for the class of one: what was said before stands.
    Awaited,
}

impl Cost {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Known(own), Self::Known(other)) => Self::Known(own + other),
            (Self::Awaited, _) | (_, Self::Awaited) => Self::Awaited,
            _ => Self::Unknown,
        }
    }

    /// What is told of it, where `before` was told last.
    fn told(self, before: Option<&String>) -> Option<String> {
        match self {
            Self::Known(price) => Some(dollars(price)),
            Self::Unknown => None,
            Self::Awaited => before.cloned(),
        }
    }
}

/// What nodes cost, by the pool that they were launched from. A pool without nodes costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Costs(BTreeMap<String, Cost>);

impl Costs {
    /// Adds a node.
    pub fn add(&mut self, pool: &str, cost: Cost) {
        let total = self.of(pool).and(cost);
        self.0.insert(pool.to_owned(), total);
    }

    fn of(&self, pool: &str) -> Cost {
        self.0.get(pool).copied().unwrap_or(Cost::Known(Price::ZERO))
    }
}

/// What is known of how large a pod the type can run.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum EnvelopeState {
    /// The cloud has not answered yet: what was published stands, for the generations that it names.
    #[default]
    Awaited,
    /// It cannot be known now.
    Unknown,
    /// This.
    Known(api::Envelope),
}

/// What a status is made from, beside the type itself.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Types, pools and nodes.
    pub fleet: &'a Fleet<'a>,
    /// What can be counted.
    pub counts: &'a Counts,
    /// How large a pod the type can run.
    pub envelope: &'a EnvelopeState,
    /// What is left of a type that was deleted.
    pub remains: Option<&'a Remains>,
    /// Who else holds Karpenter's lease: then the pools are left to them.
    pub left_to: Option<&'a str>,
}

/// The status that the object should have.
#[must_use]
pub fn status(
    object: &api::WorkloadType,
    surroundings: &Surroundings<'_>,
    now: Timestamp,
) -> WorkloadTypeStatus {
    let Surroundings { fleet, counts, envelope, remains, left_to } = *surroundings;
    let before = object.status.clone().unwrap_or_default();
    let workload_type = WorkloadType::read(object);
    let derivation = derive(&workload_type, fleet);
    let nodes_of = |pool: &String| counts.nodes.get(pool).copied().unwrap_or(0);
    let subject = Subject {
        conditions: &before.conditions,
        generation: workload_type.generation,
        created: object.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0),
    };
    let cost_of = |pool: &String| {
        let known = before.pools.iter().find(|known| known.name == *pool);
        counts.costs.of(pool).told(known.and_then(|known| known.hourly_cost.as_ref()))
    };
    let of_pools = workload_type.pools.iter().map(|pool| counts.costs.of(pool));
    let hourly_cost = of_pools.fold(Cost::Known(Price::ZERO), Cost::and).told(before.hourly_cost.as_ref());
    let mut changes = conditions(&derivation, &sharing(&workload_type, fleet));
    changes.extend(remains.map(Remains::condition));
    let namespaces = counts.namespaces.get(&workload_type.name).map_or(0, BTreeSet::len);
    let status = WorkloadTypeStatus {
        observed_generation: Some(workload_type.generation),
        conditions: told(
            api::CONDITIONS.merge_and_end(subject, &changes, remains.map(Remains::end), now),
            &derivation.findings,
        ),
        namespaces: Some(i64::try_from(namespaces).unwrap_or(i64::MAX)),
        nodes: Some(workload_type.pools.iter().map(nodes_of).sum()),
        pools: workload_type
            .pools
            .iter()
            .map(|pool| PoolStatus {
                nodes: Some(nodes_of(pool)),
                hourly_cost: cost_of(pool),
                ..pool_status(
                    pool,
                    &derivation.findings,
                    left_to.map(|holder| left(holder, pool, &workload_type, fleet)),
                )
            })
            .collect(),
        hourly_cost,
        envelope: match envelope {
            EnvelopeState::Awaited => before.envelope.clone(),
            EnvelopeState::Unknown => None,
            EnvelopeState::Known(envelope) => Some(envelope.clone()),
        },
        ..before
    };
    if object.unreadable().is_some() {
        // What was published last is all that is known of its pods and of its fence.
        return status;
    }
    derivation.publish(status)
}

/// What a claim says of its node, and its Node, if there is one, of itself. A claim of no pool is nobody's node.
#[must_use]
pub fn launched(claim: &NodeClaim, node: Option<&Node>) -> Option<LaunchedNode> {
    let name = claim.object.name.clone();
    // Before it is opened, its taints are on their way.
    let open = node.filter(|_| claim.is(REGISTERED));
    let unfenced = open.and_then(|node| {
        let mut guards = claim.taints.iter().filter(|taint| is_ownable(taint));
        let taint = guards.find(|taint| !node.has_taint(taint))?.clone();
        Some(Unfenced { node: node.object.name.clone(), taint })
    });
    Some(LaunchedNode { name, pool: claim.pool()?.to_owned(), taints: claim.taints.clone(), unfenced })
}

/// What a Node that has no claim stands for: somebody took the claim away and left the node. Of its taints only those count that a type's
/// status has recorded for the pool, since people put others there for a while.
#[must_use]
pub fn stray(node: &Node, types: &BTreeMap<String, WorkloadType>) -> Option<LaunchedNode> {
    let pool = node.labels.get(labels::NODEPOOL)?;
    let is_recorded = |taint: &&Taint| {
        let mut recorded = types.values().filter_map(|workload_type| workload_type.recorded.get(taint));
        recorded.any(|pools| pools.contains(pool))
    };
    let taints = node.taints.iter().filter(is_recorded).cloned().collect();
    Some(LaunchedNode { name: node.object.name.clone(), pool: pool.clone(), taints, unfenced: None })
}

/// The conditions, where `Ready` names what is wrong even if the type is in use all the same, or that is not known yet: it is what people see.
fn told(mut conditions: Vec<Condition>, findings: &[Finding]) -> Vec<Condition> {
    let ready = conditions.iter_mut().find(|condition| condition.type_ == READY);
    let (Some(ready), Some(first)) = (ready, findings.first()) else { return conditions };
    let condition = first.kind.condition();
    ready.message = match (&ready.status, first.kind) {
        (ConditionStatus::Unknown, FindingKind::PoolNotResolved) => format!("{condition}=Unknown: {first}"),
        (ConditionStatus::True, FindingKind::TaintShared) => format!("{condition}=True: {first}"),
        (ConditionStatus::True, _) => format!("{condition}=False: {first}"),
        _ => return conditions,
    };
    conditions
}

/// Which pools of the type other types name too: pods of these types are let in there, and rightly so.
fn sharing(workload_type: &WorkloadType, fleet: &Fleet<'_>) -> String {
    let line = |(pool, others): (&str, Vec<&str>)| {
        let (named, others) =
            (if others.len() == 1 { "WorkloadType" } else { "WorkloadTypes" }, others.join(", "));
        format!(
            "NodePool {pool}: shared with {named} {others}; to keep their pods apart, name a pool of its own in each type"
        )
    };
    fleet.shared_pools(workload_type).into_iter().map(line).collect::<Vec<_>>().join("\n")
}

fn conditions(derivation: &Derivation, sharing: &str) -> Vec<Change> {
    let judged = [api::VALIDATION_SUCCEEDED, api::POOLS_READY, api::ISOLATED].map(|condition| {
        let mut findings = derivation.findings.iter().filter(|finding| finding.kind.condition() == condition);
        match findings.next() {
            None if condition == api::ISOLATED => Change::holds(condition).with_message(sharing),
            None => Change::holds(condition),
            Some(first) if first.kind == FindingKind::PoolNotResolved => {
                Change::unknown(condition, first.kind.reason(), messages(first, findings))
            }
            Some(first) => Change::fails(condition, first.kind.reason(), messages(first, findings)),
        }
    });
    // This one is bad when it holds.
    let mut shared = derivation.findings.iter().filter(|finding| finding.kind == FindingKind::TaintShared);
    let shared = match shared.next() {
        None => Change::fails(api::TAINT_SHARED, "NotShared", ""),
        Some(first) => Change::holds(api::TAINT_SHARED).with_message(messages(first, shared)),
    };
    judged.into_iter().chain([shared]).collect()
}

fn messages<'f>(first: &'f Finding, others: impl Iterator<Item = &'f Finding>) -> String {
    std::iter::once(first).chain(others).map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn pool_status(pool: &str, findings: &[Finding], left: Option<String>) -> PoolStatus {
    let object = format!("NodePool {pool}");
    let unusable =
        |finding: &&Finding| finding.kind.condition() == api::POOLS_READY && finding.object == object;
    let problems: Vec<_> = findings.iter().filter(unusable).map(|finding| finding.problem.clone()).collect();
    PoolStatus {
        name: pool.to_owned(),
        ready: problems.is_empty(),
        message: { problems.iter().cloned() }.chain(left).collect::<Vec<_>>().join("; "),
        nodes: None,
        hourly_cost: None,
    }
}

/// Karpenter gives an empty label to nodes only where the template has it, and pods of the type find their nodes by theirs.
fn left(holder: &str, pool: &str, workload_type: &WorkloadType, fleet: &Fleet<'_>) -> String {
    let lease = labels::KARPENTER_LEASE;
    let left = format!(
        "left alone: {holder} holds the Lease {lease}, so nodes of karpenter.k8s.aws classes are its business"
    );
    let is_labelled = |pool: &Pool| pool.labelled_for.contains(&workload_type.name);
    if fleet.pools.get(pool).is_none_or(is_labelled) {
        return left;
    }
    let label = labels::node_type_label(&workload_type.name);
    format!(
        "{left}; pods find its nodes only once the NodePool has the label {label}: \"\" in spec.template.metadata.labels"
    )
}

/// `0.1785`: dollars to a hundredth of a cent, as prices are listed.
fn dollars(price: Price) -> String {
    const NANOS_PER_UNIT: u64 = 100_000;
    const UNITS_PER_DOLLAR: u64 = 10_000;
    let units = price.nanos().saturating_add(NANOS_PER_UNIT / 2) / NANOS_PER_UNIT;
    format!("{}.{:04}", units / UNITS_PER_DOLLAR, units % UNITS_PER_DOLLAR)
}

#[cfg(test)]
mod tests;
