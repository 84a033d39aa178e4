//! Checks a plan against its problem, pod by pod and type by type, by the plainest means there are.
//!
//! This shares no code with the solver, only the values of the model; it is slow where the solver is quick, and exact where the solver
//! rounds. What it accepts may be expensive, but is right: every pod can run where the plan puts it, *whichever* of its instance types and
//! offerings a claim becomes, no limit is exceeded, and no pod is left out that plainly could have been placed.

use std::collections::BTreeMap;

use super::{Daemon, ExistingNode, Nomination, PendingPod, Plan, PlannedClaim, Pool, Problem, Unschedulable};
use crate::{
    api::labels,
    model::{
        InstanceType, Pod, Price, Quantity, Requirement, Requirements, ResourceList, Taint,
        host_port::HostPort, instance_type::Offering, label, node_pool::LimitExceeded, pod::PodKey,
        requirements::Undefined, resources::NODES,
    },
};

mod violation;

pub use violation::{Place, Violation};

#[cfg(test)]
mod tests;

/// Everything that is wrong with a plan; nothing, if it is right.
#[must_use]
pub fn verify(problem: &Problem, plan: &Plan) -> Vec<Violation> {
    let mut pods = BTreeMap::new();
    for pending in &problem.pods {
        pods.entry(&pending.pod.key).or_insert(pending);
    }
    let check = Check { problem, plan, pods };
    let mut found = check.names();
    for (position, claim) in plan.claims.iter().enumerate() {
        check.claim(position, claim, &mut found);
    }
    plan.nominations.iter().for_each(|nomination| check.nomination(nomination, &mut found));
    check.limits(&mut found);
    check.all_left_out(&mut found);
    found
}

/// A claim as one of its instance types, at a price.
struct AsType<'a> {
    claim: &'a PlannedClaim,
    instance_type: &'a InstanceType,
    price: Price,
}

impl AsType<'_> {
    /// What is known of a label of the node, bought like this; nothing, if nobody says that the node has it.
    fn label(&self, key: &str, offering: &Offering) -> Option<Requirement> {
        let given = match key {
            label::ZONE => Some(offering.zone.as_str()),
            label::CAPACITY_TYPE => Some(offering.capacity_type.name()),
            // A node that pods can use has both.
            labels::REGISTERED | labels::INITIALIZED => Some("true"),
            _ => offering.labels.get(key).or_else(|| self.claim.labels.get(key)).map(String::as_str),
        };
        let given = given.map(|value| Requirement::one_of(key, [value]));
        let known =
            [self.claim.requirements.get(key), self.instance_type.requirements.get(key), given.as_ref()];
        known.into_iter().flatten().cloned().reduce(|known, further| known.intersection(&further))
    }
}

/// The pods of a node or claim.
struct Contents<'a> {
    pods: Vec<&'a PendingPod>,
    /// What they request together.
    requests: ResourceList,
    /// One pod for each thing that is asked of the node's labels.
    askers: Vec<&'a Pod>,
}

impl<'a> Contents<'a> {
    fn new(pods: Vec<&'a PendingPod>) -> Self {
        let mut askers: Vec<&Pod> = Vec::new();
        for pod in pods.iter().map(|pending| &pending.pod) {
            if !askers.iter().any(|asker| asker.alternatives == pod.alternatives) {
                askers.push(pod);
            }
        }
        Self { requests: pods.iter().map(|pending| &pending.pod.requests).sum(), askers, pods }
    }

    fn host_ports(&self) -> impl Iterator<Item = &'a HostPort> + Clone {
        self.pods.iter().flat_map(|pending| &pending.pod.host_ports)
    }
}

struct Check<'a> {
    problem: &'a Problem,
    plan: &'a Plan,
    pods: BTreeMap<&'a PodKey, &'a PendingPod>,
}

impl<'a> Check<'a> {
    /// Every pod is named once.
    fn names(&self) -> Vec<Violation> {
        let placed = self.plan.claims.iter().flat_map(|claim| &claim.pods);
        let placed = placed.chain(self.plan.nominations.iter().flat_map(|nomination| &nomination.pods));
        let mut times: BTreeMap<&PodKey, usize> = self.pods.keys().map(|pod| (*pod, 0)).collect();
        let mut found = Vec::new();
        for pod in placed.clone().chain(self.plan.unschedulable.iter().map(|left_out| &left_out.pod)) {
            match times.get_mut(pod) {
                Some(times) => *times += 1,
                None => found.push(Violation::UnknownPod { pod: pod.clone() }),
            }
        }
        for (pod, times) in times {
            match times {
                0 => found.push(Violation::Forgotten { pod: pod.clone() }),
                1 => {}
                times => found.push(Violation::NamedTwice { pod: pod.clone(), times }),
            }
        }
        let unsupported =
            |pod: &&PodKey| self.pods.get(pod).is_some_and(|pending| !pending.pod.unsupported.is_empty());
        found.extend(placed.filter(unsupported).map(|pod| Violation::UnsupportedPlaced { pod: pod.clone() }));
        found
    }

    fn pods_of(&self, names: &[PodKey]) -> Vec<&'a PendingPod> {
        names.iter().filter_map(|name| self.pods.get(name).copied()).collect()
    }

    fn pool(&self, name: &str) -> Option<&'a Pool> {
        self.problem.pools.iter().find(|pool| pool.node_pool.name == name)
    }

    fn claim(&self, position: usize, claim: &PlannedClaim, found: &mut Vec<Violation>) {
        let place = |instance_type: Option<&str>| Place::Claim {
            position,
            pool: claim.pool.clone(),
            instance_type: instance_type.map(str::to_owned),
        };
        let Some(pool) = self.pool(&claim.pool).filter(|pool| pool.obstacle().is_none()) else {
            found.push(Violation::PoolUnusable { place: place(None) });
            return;
        };
        let contents = Contents::new(self.pods_of(&claim.pods));
        for pending in &contents.pods {
            let pod = &pending.pod;
            if !self.pools_of(pending).iter().any(|(allowed, _)| *allowed == claim.pool) {
                found.push(Violation::PoolNotForPod { place: place(None), pod: pod.key.clone() });
            }
            found.extend(untolerated(pod, &claim.taints).map(|taint| Violation::TaintNotTolerated {
                place: place(None),
                pod: pod.key.clone(),
                taint: taint.clone(),
            }));
        }
        if claim.taints != pool.node_pool.taints || claim.startup_taints != pool.node_pool.startup_taints {
            found.push(Violation::WrongTaints { place: place(None) });
        }
        let of_pool = self.labels_of(pool);
        let mut labels = claim.labels.iter();
        if let Some((key, _)) = labels.find(|(key, value)| !claim.requirements.allows(key, value)) {
            found.push(Violation::WrongLabel { place: place(None), key: key.clone() });
        }
        let keeps_to =
            |own: &&Requirement| claim.requirements.get(own.key()).is_some_and(|given| implies(given, own));
        let wider = of_pool.iter().filter(|own| !keeps_to(own));
        found.extend(
            wider.map(|own| Violation::WiderThanPool { place: place(None), requirement: own.clone() }),
        );
        if contents.requests.iter().any(|(name, amount)| claim.requests.amount(name) < amount) {
            found.push(Violation::RequestsTooLittle { place: place(None) });
        }
        let wrong = |problem: String| Violation::WrongInstanceTypes { place: place(None), problem };
        if claim.instance_types.is_empty() {
            found.push(wrong("it has no instance type".to_owned()));
        }
        if !claim.instance_types.is_sorted_by_key(|option| option.price) {
            found.push(wrong("its instance types are not in the order of their prices".to_owned()));
        }
        for option in &claim.instance_types {
            match pool.catalog.instance_type(&option.name) {
                Some(instance_type) => {
                    let option = AsType { claim, instance_type, price: option.price };
                    self.option(&option, pool, &place(Some(&instance_type.name)), &contents, found);
                }
                None => found.push(wrong(format!("the pool has no instance type {}", option.name))),
            }
        }
    }

    /// The claim as one of its instance types.
    fn option(
        &self,
        option: &AsType<'_>,
        pool: &Pool,
        place: &Place,
        contents: &Contents<'_>,
        found: &mut Vec<Violation>,
    ) {
        let offerings: Vec<&Offering> =
            option.instance_type.offerings_for(&option.claim.requirements).collect();
        let cheapest = offerings.iter().map(|offering| offering.price).min();
        if !option.instance_type.is_compatible(&option.claim.requirements) || cheapest != Some(option.price) {
            found.push(Violation::WrongInstanceTypes {
                place: place.clone(),
                problem: format!("it cannot be bought for {} as the claim requires", option.price),
            });
        }
        let meets =
            |pod: &Pod| offerings.iter().all(|offering| is_certain(pod, |key| option.label(key, offering)));
        let unmet = contents.askers.iter().find(|pod| !meets(pod));
        found.extend(unmet.map(|pod| Violation::LabelsNotMet { place: place.clone(), pod: pod.key.clone() }));
        let daemons = self.daemons_on(pool, option.instance_type);
        let taken: ResourceList = daemons.iter().map(|daemon| &daemon.requests).sum();
        let requested: ResourceList = [&contents.requests, &taken].into_iter().sum();
        let shortages = requested.shortages(option.instance_type.resources.allocatable());
        if !shortages.is_empty() {
            found.push(Violation::DoesNotFit { place: place.clone(), shortages });
        }
        let of_daemons: Vec<&HostPort> = daemons.iter().flat_map(|daemon| &daemon.host_ports).collect();
        let port = conflicting_port(&of_daemons, contents.host_ports());
        found.extend(
            port.map(|port| Violation::HostPortConflict { place: place.clone(), port: port.clone() }),
        );
    }

    /// What the labels of the pool's nodes can be.
    fn labels_of(&self, pool: &Pool) -> Requirements {
        let name = pool.node_pool.name.as_str();
        let mut requirements = pool.node_pool.requirements.clone();
        requirements.add(Requirement::one_of(labels::NODEPOOL, [name]));
        for workload_type in &self.problem.workload_types {
            if workload_type.pools.iter().any(|used| used.pool == name) {
                requirements.add(Requirement::one_of(&labels::node_type_label(&workload_type.name), [""]));
            }
        }
        requirements
    }

    /// The same, once they are ready.
    fn labels_of_ready(&self, pool: &Pool) -> Requirements {
        let mut requirements = self.labels_of(pool);
        requirements.add(Requirement::one_of(labels::REGISTERED, ["true"]));
        requirements.add(Requirement::one_of(labels::INITIALIZED, ["true"]));
        requirements
    }

    /// The daemons that have a right to nodes with these taints.
    fn daemons_behind(&self, taints: &[Taint]) -> impl Iterator<Item = &'a Pod> {
        let has_right = |daemon: &&Daemon| !daemon.barred.iter().any(|barred| taints.contains(barred));
        self.problem.daemons.iter().filter(has_right).map(|daemon| &daemon.pod)
    }

    /// The daemons that may run on a node of the pool of this type.
    fn daemons_on(&self, pool: &Pool, instance_type: &InstanceType) -> Vec<&'a Pod> {
        if self.problem.daemons.is_empty() {
            return Vec::new();
        }
        let template = self.labels_of_ready(pool);
        let may_run = |daemon: &&Pod| {
            daemon.requests.fits_in(instance_type.resources.allocatable())
                && untolerated(daemon, &pool.node_pool.taints).next().is_none()
                && daemon.alternatives.iter().map(|alternative| &alternative.requirements).any(|wanted| {
                    template.is_compatible(wanted, Undefined::Allowed(&self.problem.well_known))
                        && instance_type.is_compatible(wanted)
                        && instance_type.offerings.iter().any(|offering| offering.is_compatible(wanted))
                })
        };
        self.daemons_behind(&pool.node_pool.taints).filter(may_run).collect()
    }

    fn nomination(&self, nomination: &Nomination, found: &mut Vec<Violation>) {
        let place = || Place::Node(nomination.node.clone());
        let Some(node) = self.problem.nodes.iter().find(|node| node.name == nomination.node) else {
            found.push(Violation::UnknownNode { node: nomination.node.clone() });
            return;
        };
        let contents = Contents::new(self.pods_of(&nomination.pods));
        for pod in contents.pods.iter().map(|pending| &pending.pod) {
            found.extend(untolerated(pod, &node.taints).map(|taint| Violation::TaintNotTolerated {
                place: place(),
                pod: pod.key.clone(),
                taint: taint.clone(),
            }));
            if !is_certain(pod, |key| label_of_node(node, key)) {
                found.push(Violation::LabelsNotMet { place: place(), pod: pod.key.clone() });
            }
        }
        let requested: ResourceList = [&self.promised(node), &contents.requests].into_iter().sum();
        let shortages = requested.shortages(&node.allocatable);
        if !shortages.is_empty() {
            found.push(Violation::DoesNotFit { place: place(), shortages });
        }
        let of_node: Vec<&HostPort> = node.host_ports.iter().collect();
        let port = conflicting_port(&of_node, contents.host_ports());
        found.extend(port.map(|port| Violation::HostPortConflict { place: place(), port: port.clone() }));
    }

    /// What pods that are on a node and daemons that will be have of it.
    fn promised(&self, node: &ExistingNode) -> ResourceList {
        let runs = |daemon: &&Pod| {
            daemon.requests.fits_in(&node.allocatable)
                && untolerated(daemon, &node.taints).next().is_none()
                && is_certain(daemon, |key| label_of_node(node, key))
        };
        let daemons: ResourceList =
            self.daemons_behind(&node.taints).filter(runs).map(|daemon| &daemon.requests).sum();
        [node.requests.clone(), daemons.minus(&node.daemon_requests).floored()].iter().sum()
    }

    /// What a pool's nodes have, each claim as the largest that it can become, and how much of that is new.
    fn held(&self, pool: &Pool) -> (ResourceList, ResourceList) {
        let mut added = ResourceList::new();
        for claim in self.plan.claims.iter().filter(|claim| claim.pool == pool.node_pool.name) {
            let mut largest = ResourceList::new().with(NODES, Quantity::from_units(1));
            for option in &claim.instance_types {
                if let Some(instance_type) = pool.catalog.instance_type(&option.name) {
                    largest.raise_to(instance_type.resources.capacity());
                }
            }
            added += &largest;
        }
        ([&pool.held, &added].into_iter().sum(), added)
    }

    fn limits(&self, found: &mut Vec<Violation>) {
        for pool in &self.problem.pools {
            let (held, added) = self.held(pool);
            if added.is_empty() {
                continue;
            }
            let exceeded = pool.node_pool.limits.0.iter().filter(|(name, limit)| held.amount(name) > *limit);
            found.extend(exceeded.map(|(name, limit)| Violation::LimitExceeded {
                pool: pool.node_pool.name.clone(),
                limit: LimitExceeded {
                    resource: name.to_owned(),
                    limit,
                    held: pool.held.amount(name),
                    added: added.amount(name),
                },
            }));
        }
    }

    /// The pools that a pod may use in order, and whether the next may be used when one of them is short.
    fn pools_of(&self, pending: &PendingPod) -> Vec<(&'a str, bool)> {
        let types = &self.problem.workload_types;
        if let Some(name) = &pending.workload_type {
            let of_type = types.iter().filter(|workload_type| workload_type.name == *name).take(1);
            return of_type
                .flat_map(|it| &it.pools)
                .map(|used| (used.pool.as_str(), used.may_fall_back))
                .collect();
        }
        let is_used = |name: &str| types.iter().flat_map(|it| &it.pools).any(|used| used.pool == name);
        let names = self.problem.pools.iter().map(|pool| pool.node_pool.name.as_str());
        names.filter(|name| !is_used(name)).map(|name| (name, true)).collect()
    }

    /// Checks every pod that is left out. Of those that ask for the same there may be thousands: what is right for one is right for all.
    fn all_left_out(&self, found: &mut Vec<Violation>) {
        let mut right: Vec<&PendingPod> = Vec::new();
        for left_out in &self.plan.unschedulable {
            let pending = self.pods.get(&left_out.pod).copied();
            let is_known = pending.is_some_and(|pending| right.iter().any(|known| ask_alike(known, pending)));
            if is_known && !left_out.reasons.is_empty() {
                continue;
            }
            let before = found.len();
            self.left_out(left_out, found);
            if found.len() == before {
                right.extend(pending);
            }
        }
    }

    fn left_out(&self, left_out: &Unschedulable, found: &mut Vec<Violation>) {
        let Some(pending) = self.pods.get(&left_out.pod) else { return };
        let pod = &pending.pod;
        if left_out.reasons.is_empty() {
            found.push(Violation::NoReason { pod: pod.key.clone() });
        }
        if !pod.unsupported.is_empty() {
            return;
        }
        let node = self.problem.nodes.iter().find(|node| self.fits_on(pod, node));
        found
            .extend(node.map(|node| Violation::FitsOnNode { pod: pod.key.clone(), node: node.name.clone() }));
        for (name, may_fall_back) in self.pools_of(pending) {
            let Some(pool) = self.pool(name) else { continue };
            let fitting: Vec<_> =
                pool.catalog.types().iter().filter(|it| self.fits_in(pod, pool, it)).collect();
            let (held, _) = self.held(pool);
            let launched = fitting.iter().find(|it| {
                let is_allowed = pool.node_pool.limits.check(&held, it.resources.capacity()).is_ok();
                is_allowed && self.offerings(pod, pool, it).any(|offering| offering.is_available)
            });
            if let Some(instance_type) = launched.filter(|_| pool.obstacle().is_none()) {
                found.push(Violation::FitsInPool {
                    pod: pod.key.clone(),
                    pool: name.to_owned(),
                    instance_type: instance_type.name.clone(),
                });
                return;
            }
            if !may_fall_back && (pool.obstacle().is_some() || !fitting.is_empty()) {
                return;
            }
        }
    }

    /// Whether a node has room for one more pod once the plan is carried out.
    fn fits_on(&self, pod: &Pod, node: &ExistingNode) -> bool {
        let coming = self.plan.nominations.iter().filter(|nomination| nomination.node == node.name);
        let coming = Contents::new(coming.flat_map(|nomination| self.pods_of(&nomination.pods)).collect());
        let requested: ResourceList =
            [&self.promised(node), &coming.requests, &pod.requests].into_iter().sum();
        untolerated(pod, &node.taints).next().is_none()
            && is_certain(pod, |key| label_of_node(node, key))
            && requested.fits_in(&node.allocatable)
            && !takes_one_of(pod, node.host_ports.iter().chain(coming.host_ports()))
    }

    /// Whether an empty node of the type in the pool would hold the pod, could it be bought.
    fn fits_in(&self, pod: &Pod, pool: &Pool, instance_type: &InstanceType) -> bool {
        let daemons = self.daemons_on(pool, instance_type);
        let requested: ResourceList = daemons.iter().chain([&pod]).map(|pod| &pod.requests).sum();
        let taken = daemons.iter().flat_map(|daemon| &daemon.host_ports);
        untolerated(pod, &pool.node_pool.taints).next().is_none()
            && self.offerings(pod, pool, instance_type).next().is_some()
            && requested.fits_in(instance_type.resources.allocatable())
            && !takes_one_of(pod, taken)
    }

    /// The ways to buy the type, now or not, so that the pod's and the pool's requirements are met.
    fn offerings<'s>(
        &'s self,
        pod: &'s Pod,
        pool: &Pool,
        instance_type: &'s InstanceType,
    ) -> impl Iterator<Item = &'s Offering> {
        let of_pool = self.labels_of(pool);
        let of_ready = self.labels_of_ready(pool);
        let wanted = pod.alternatives.iter().filter_map(move |alternative| {
            let wanted = &alternative.requirements;
            let compatible = of_ready.is_compatible(wanted, Undefined::Allowed(&self.problem.well_known));
            let defined = |key: &str| self.problem.well_known.contains(key) || of_pool.get(key).is_some();
            let wanted = wanted.iter().filter(|requirement| defined(requirement.key())).cloned();
            let both = of_pool.and(&wanted.collect());
            let is_type =
                instance_type.is_compatible(&both) && instance_type.is_compatible(&alternative.requirements);
            (compatible && is_type).then_some(both)
        });
        wanted.flat_map(|both| {
            instance_type.offerings.iter().filter(move |offering| offering.is_compatible(&both))
        })
    }
}

fn untolerated<'t>(pod: &'t Pod, taints: &'t [Taint]) -> impl Iterator<Item = &'t Taint> {
    let tolerates = |taint: &Taint| pod.tolerations.iter().any(|toleration| toleration.tolerates(taint));
    taints.iter().filter(move |taint| taint.effect.is_hard() && !tolerates(taint))
}

/// What a label of a node that is there is, if it has it.
fn label_of_node(node: &ExistingNode, key: &str) -> Option<Requirement> {
    let has = |own: &&String| label::normalized(own) == key;
    let value =
        node.labels.get(key).or_else(|| node.labels.iter().find(|(own, _)| has(own)).map(|(_, value)| value));
    value.map(|value| Requirement::one_of(key, [value.as_str()]))
}

/// Whether a node meets one of the pod's alternatives, however what is open about its labels turns out. `label` says what is known of
/// each.
fn is_certain(pod: &Pod, label: impl Fn(&str) -> Option<Requirement>) -> bool {
    let meets = |wanted: &Requirement| match label(wanted.key()) {
        Some(given) => !given.is_contradiction() && implies(&given, wanted),
        None => wanted.allows_absence(),
    };
    pod.alternatives.iter().any(|alternative| alternative.requirements.iter().all(meets))
}

/// Whether every label that `given` allows is one that `wanted` allows.
fn implies(given: &Requirement, wanted: &Requirement) -> bool {
    let both = given.intersection(wanted);
    both == *given
}

/// Whether the pod wants a port that is taken.
fn takes_one_of<'p>(pod: &Pod, mut taken: impl Iterator<Item = &'p HostPort>) -> bool {
    taken.any(|taken| pod.host_ports.iter().any(|port| port.conflicts_with(taken)))
}

/// The first of `ports` that conflicts with one before it, or with one that is taken.
fn conflicting_port<'p>(
    taken: &[&HostPort],
    ports: impl Iterator<Item = &'p HostPort>,
) -> Option<&'p HostPort> {
    let mut before: Vec<&HostPort> = Vec::new();
    for port in ports {
        if taken.iter().chain(&before).any(|other| other.conflicts_with(port)) {
            return Some(port);
        }
        before.push(port);
    }
    None
}

/// Whether two pods ask for the same of their nodes.
fn ask_alike(a: &PendingPod, b: &PendingPod) -> bool {
    let Pod { requests, alternatives, tolerations, host_ports, unsupported, .. } = &a.pod;
    let other = &b.pod;
    a.workload_type == b.workload_type
        && (requests, alternatives, tolerations) == (&other.requests, &other.alternatives, &other.tolerations)
        && (host_ports, unsupported) == (&other.host_ports, &other.unsupported)
}
