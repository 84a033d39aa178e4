//! How large a pod a workload type can run at most.
//!
//! Whether a type can be bought just now does not matter, nor what the pool holds: that changes, and what is never schedulable does not.
//! What is judged by the envelope, and what is not, stands at [`Envelope`].

use std::collections::{BTreeMap, BTreeSet};

use super::{
    amounts::Dimensions,
    daemons,
    pools::PoolTable,
    problem::{ExistingNode, Pool, Problem},
};
use crate::{
    api::labels,
    model::{
        Requirements, ResourceList,
        envelope::{Envelope, EnvelopeVector},
        label,
    },
};

#[cfg(test)]
mod tests;

/// The largest pods that nodes of a workload type can hold: those that could be launched, and those that are there.
///
/// Nothing, if not everything is known that this depends on: a pool of the type is missing, or its instance types are.
#[must_use]
pub fn envelope(problem: &Problem, workload_type: &str) -> Option<Envelope> {
    let workload_type = problem.workload_types.iter().find(|known| known.name == workload_type)?;
    let mut vectors = Vec::new();
    for preference in &workload_type.pools {
        let pool = problem.pools.iter().find(|pool| pool.node_pool.name == preference.pool)?;
        if pool.catalog.types().is_empty() {
            return None;
        }
        vectors.extend(launchable(problem, pool));
    }
    let is_used = |pool: &str| workload_type.pools.iter().any(|preference| preference.pool == pool);
    // What only something on a node brings there is not known of nodes that are yet to be launched, and so is not judged.
    let known: BTreeSet<String> = {
        let names = vectors.iter().flat_map(|vector| vector.allocatable.iter().map(|(name, _)| name));
        names.map(str::to_owned).collect()
    };
    let nodes = problem.nodes.iter().filter(|node| !node.allocatable.is_empty());
    let nodes = nodes.filter_map(|node| of_node(problem, node)).filter(|vector| is_used(&vector.pool));
    vectors.extend(nodes.map(|vector| EnvelopeVector {
        allocatable: vector.allocatable.iter().filter(|(name, _)| known.contains(*name)).collect(),
        ..vector
    }));
    Some(Envelope { vectors: largest(vectors) })
}

/// What every instance type of a pool leaves for pods that its limits could ever allow.
fn launchable(problem: &Problem, pool: &Pool) -> Vec<EnvelopeVector> {
    let daemons = problem.daemons.iter().map(|daemon| &daemon.pod.requests);
    let dimensions = Dimensions::of(daemons, |name| pool.catalog.allocatable(name).is_some());
    let table = PoolTable::new(problem, pool, &dimensions);
    let nothing = ResourceList::new();
    let mut zones: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for row in table.rows.iter() {
        if let (Some(instance_type), Some(zone)) = (table.type_of(row), pool.catalog.zone(row)) {
            zones.entry(instance_type).or_default().insert(zone.to_owned());
        }
    }
    let mut vectors = Vec::new();
    for (number, zones) in zones {
        let Some(instance_type) = pool.catalog.types().get(number) else { continue };
        if pool.node_pool.limits.check(&nothing, instance_type.resources.capacity()).is_err() {
            continue;
        }
        let taken = table.overheads.on(number).map(|overhead| overhead.requests.clone()).unwrap_or_default();
        let listed = instance_type.requirements.get(label::ARCH).and_then(|requirement| requirement.values());
        let architectures = match listed {
            Some(values) => values.iter().map(ToString::to_string).collect(),
            None => vec![String::new()],
        };
        let allowed = |architecture: &String| {
            architecture.is_empty() || table.requirements.allows(label::ARCH, architecture)
        };
        let vector = |architecture: String| EnvelopeVector {
            pool: pool.node_pool.name.clone(),
            architecture,
            zones: zones.clone(),
            instance_type: instance_type.name.clone(),
            allocatable: instance_type.resources.allocatable().minus(&taken),
        };
        vectors.extend(architectures.into_iter().filter(allowed).map(vector));
    }
    vectors
}

/// What a node that is there could leave for pods if none but daemons were on it.
fn of_node(problem: &Problem, node: &ExistingNode) -> Option<EnvelopeVector> {
    let of_node =
        Requirements::from_labels(node.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let value =
        |key: &str| of_node.get(key).and_then(|requirement| requirement.single_value()).map(str::to_owned);
    let to_come = daemons::still_to_come(&problem.daemons, node, &of_node);
    Some(EnvelopeVector {
        pool: value(labels::NODEPOOL)?,
        architecture: value(label::ARCH).unwrap_or_default(),
        zones: value(label::ZONE).into_iter().collect(),
        instance_type: value(label::INSTANCE_TYPE).unwrap_or_else(|| node.name.clone()),
        allocatable: node.allocatable.minus(&node.daemon_requests).minus(&to_come),
    })
}

/// The vectors that no other of the same pool and architecture exceeds in everything wherever they can be, in order.
fn largest(mut vectors: Vec<EnvelopeVector>) -> Vec<EnvelopeVector> {
    vectors.retain(|vector| vector.allocatable.iter().all(|(_, amount)| !amount.is_negative()));
    vectors.sort_by(|a, b| {
        (&a.pool, &a.architecture, &a.zones, &a.instance_type).cmp(&(
            &b.pool,
            &b.architecture,
            &b.zones,
            &b.instance_type,
        ))
    });
    // So a node in one zone is not listed beside the type that it is of, and the envelope stays as nodes come and go.
    let is_wherever = |a: &EnvelopeVector, b: &EnvelopeVector| {
        (&a.pool, &a.architecture) == (&b.pool, &b.architecture)
            && (a.zones.is_empty() || (!b.zones.is_empty() && b.zones.is_subset(&a.zones)))
    };
    let mut kept: Vec<EnvelopeVector> = Vec::new();
    for vector in vectors {
        let exceeds = |a: &EnvelopeVector, b: &EnvelopeVector| {
            is_wherever(a, b) && b.allocatable.fits_in(&a.allocatable)
        };
        if !kept.iter().any(|other| exceeds(other, &vector)) {
            kept.retain(|other| !exceeds(&vector, other));
            kept.push(vector);
        }
    }
    kept
}
