//! What is wrong with the claims and nominations of a plan.

use super::{
    Check, Place, Violation,
    contents::Contents,
    demands::{conflicting_port, implies, is_certain, untolerated},
    pool::TypeFacts,
};
use crate::{
    api::labels,
    model::{Pod, Price, Requirement, ResourceList, host_port::HostPort, instance_type::Offering, label},
    scheduling::{Nomination, PlannedClaim},
};

impl Check<'_> {
    pub(super) fn claim(&self, position: usize, claim: &PlannedClaim, found: &mut Vec<Violation>) {
        let place = |instance_type: Option<&str>| Place::Claim {
            position,
            pool: claim.pool.clone(),
            instance_type: instance_type.map(str::to_owned),
        };
        let Some(facts) = self.pool(&claim.pool).filter(|facts| facts.pool.obstacle().is_none()) else {
            found.push(Violation::PoolUnusable { place: place(None) });
            return;
        };
        let pool = facts.pool;
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
        let mut labels = claim.labels.iter();
        if let Some((key, _)) = labels.find(|(key, value)| !claim.requirements.allows(key, value)) {
            found.push(Violation::WrongLabel { place: place(None), key: key.clone() });
        }
        let keeps_to =
            |own: &&Requirement| claim.requirements.get(own.key()).is_some_and(|given| implies(given, own));
        let wider = facts.labels.iter().filter(|own| !keeps_to(own));
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
            match facts.of_type(&option.name) {
                Some(of_type) => {
                    let option = AsType { claim, of_type, price: option.price };
                    option.check(&place(Some(&option.of_type.instance_type.name)), &contents, found);
                }
                None => found.push(wrong(format!("the pool has no instance type {}", option.name))),
            }
        }
    }

    pub(super) fn nomination(&self, nomination: &Nomination, found: &mut Vec<Violation>) {
        let place = || Place::Node(nomination.node.clone());
        let Some(facts) = self.nodes.iter().find(|facts| facts.node.name == nomination.node) else {
            found.push(Violation::UnknownNode { node: nomination.node.clone() });
            return;
        };
        let node = facts.node;
        let contents = Contents::new(self.pods_of(&nomination.pods));
        for pod in contents.pods.iter().map(|pending| &pending.pod) {
            found.extend(untolerated(pod, &node.taints).map(|taint| Violation::TaintNotTolerated {
                place: place(),
                pod: pod.key.clone(),
                taint: taint.clone(),
            }));
            if !facts.meets(pod) {
                found.push(Violation::LabelsNotMet { place: place(), pod: pod.key.clone() });
            }
        }
        let requested: ResourceList = [facts.promised(), &contents.requests].into_iter().sum();
        let shortages = requested.shortages(&node.allocatable);
        if !shortages.is_empty() {
            found.push(Violation::DoesNotFit { place: place(), shortages });
        }
        let of_node: Vec<&HostPort> = node.host_ports.iter().collect();
        let port = conflicting_port(&of_node, contents.host_ports());
        found.extend(port.map(|port| Violation::HostPortConflict { place: place(), port: port.clone() }));
    }
}

/// A claim as one of its instance types, at a price.
struct AsType<'a> {
    claim: &'a PlannedClaim,
    of_type: &'a TypeFacts<'a>,
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
        let known = [
            self.claim.requirements.get(key),
            self.of_type.instance_type.requirements.get(key),
            given.as_ref(),
        ];
        known.into_iter().flatten().cloned().reduce(|known, further| known.intersection(&further))
    }

    fn check(&self, place: &Place, contents: &Contents<'_>, found: &mut Vec<Violation>) {
        let TypeFacts { instance_type, daemons, taken, .. } = self.of_type;
        let offerings: Vec<&Offering> = instance_type.offerings_for(&self.claim.requirements).collect();
        let cheapest = offerings.iter().map(|offering| offering.price).min();
        if !instance_type.is_compatible(&self.claim.requirements) || cheapest != Some(self.price) {
            found.push(Violation::WrongInstanceTypes {
                place: place.clone(),
                problem: format!("it cannot be bought for {} as the claim requires", self.price),
            });
        }
        let meets =
            |pod: &Pod| offerings.iter().all(|offering| is_certain(pod, |key| self.label(key, offering)));
        let unmet = contents.askers.iter().find(|pod| !meets(pod));
        found.extend(unmet.map(|pod| Violation::LabelsNotMet { place: place.clone(), pod: pod.key.clone() }));
        let requested: ResourceList = [&contents.requests, taken].into_iter().sum();
        let shortages = requested.shortages(instance_type.resources.allocatable());
        if !shortages.is_empty() {
            found.push(Violation::DoesNotFit { place: place.clone(), shortages });
        }
        let of_daemons: Vec<&HostPort> = daemons.iter().flat_map(|daemon| &daemon.host_ports).collect();
        let port = conflicting_port(&of_daemons, contents.host_ports());
        found.extend(
            port.map(|port| Violation::HostPortConflict { place: place.clone(), port: port.clone() }),
        );
    }
}
