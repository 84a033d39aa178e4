//! More than is planned for. Kubernetes bounds hardly anything of what a pod asks of nodes, and planning multiplies it: by the terms of the
//! pod itself, and by the instance types, pools and nodes of the cluster.
//!
//! The bounds are far from what people write, and from what programs write for them. A pod beyond one of them is kept without what it asks
//! for, so that nothing is multiplied by it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use k8s_openapi::api::core::v1::{Container, NodeSelectorTerm, PodSpec};

use crate::model::host_port;

/// Something that a pod can have too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Containers, those that run first included.
    Containers,
    /// Tolerations.
    Tolerations,
    /// Terms of required node affinity.
    Terms,
    /// What the terms ask of labels: each its own expressions and the whole node selector.
    Requirements,
    /// Values in expressions of required node affinity.
    Values,
    /// Different resources.
    Resources,
    /// Ports of the node.
    HostPorts,
}

impl Measure {
    const ALL: [Self; 7] = [
        Self::Containers,
        Self::Tolerations,
        Self::Terms,
        Self::Requirements,
        Self::Values,
        Self::Resources,
        Self::HostPorts,
    ];

    /// How much of it is planned for.
    #[must_use]
    pub const fn most(self) -> usize {
        match self {
            // Each may request every resource.
            Self::Containers => 500,
            // Compared with the taints of every node and pool.
            Self::Tolerations => 1_000,
            // Each is a way of its own to place the pod, which is looked for in every pool. One for each pair of zone and family is dozens.
            Self::Terms => 100,
            // A hundred terms may ask for twenty labels each.
            Self::Requirements => 2_000,
            // All the types that EC2 has, three times over.
            Self::Values => 5_000,
            // A node has a dozen; each is a column of every catalogue.
            Self::Resources => 64,
            // Compared with the ports of every other pod of a node.
            Self::HostPorts => 256,
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::Tolerations => "tolerations",
            Self::Terms => "terms",
            Self::Requirements => "requirements in all terms together, the node selector counted with each",
            Self::Values => "values in all terms together",
            Self::Resources => "different resources",
            Self::HostPorts => "host ports",
        }
    }

    fn count(self, spec: &PodSpec) -> usize {
        let expressions = || {
            terms(spec)
                .iter()
                .flat_map(|term| [&term.match_expressions, &term.match_fields])
                .flatten()
                .flatten()
        };
        match self {
            Self::Containers => containers(spec).count(),
            Self::Tolerations => spec.tolerations.as_ref().map_or(0, Vec::len),
            Self::Terms => terms(spec).len(),
            Self::Requirements => {
                let selected = spec.node_selector.as_ref().map_or(0, BTreeMap::len);
                terms(spec).len().max(1).saturating_mul(selected).saturating_add(expressions().count())
            }
            Self::Values => {
                expressions().map(|expression| expression.values.as_ref().map_or(0, Vec::len)).sum()
            }
            Self::Resources => resources(spec).len(),
            Self::HostPorts => host_port::on_host(spec).count(),
        }
    }
}

/// What a pod has too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Excess {
    /// Of what.
    pub of: Measure,
    /// How much.
    pub count: usize,
}

impl Excess {
    /// The first thing that the pod has too much of. Takes time in proportion to the pod's own size, and copies nothing.
    #[must_use]
    pub fn find(spec: &PodSpec) -> Option<Self> {
        Measure::ALL.into_iter().find_map(|measure| Self::of(measure, spec))
    }

    /// Whether there is too much in what the pod requests, so that not all of it can be added up.
    pub(super) fn is_in_requests(spec: &PodSpec) -> bool {
        [Measure::Containers, Measure::Resources].into_iter().any(|measure| Self::of(measure, spec).is_some())
    }

    fn of(measure: Measure, spec: &PodSpec) -> Option<Self> {
        let count = measure.count(spec);
        (count > measure.most()).then_some(Self { of: measure, count })
    }

    /// Where in a Pod it stands.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self.of {
            Measure::Containers => "spec.containers",
            Measure::Tolerations => "spec.tolerations",
            Measure::Terms | Measure::Requirements | Measure::Values => {
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
            }
            Measure::Resources => "spec.containers[*].resources.requests",
            Measure::HostPorts => "spec.containers[*].ports[*].hostPort",
        }
    }

    /// What to do instead.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self.of {
            Measure::Containers => "run them in several pods",
            Measure::Tolerations => "remove those that match no taint",
            Measure::Terms => {
                "join them: one expression In with several values says the same as several terms"
            }
            Measure::Requirements | Measure::Values => "select the nodes by a label that they share",
            Measure::Resources => "request only what the pod uses",
            Measure::HostPorts => "use fewer, or a Service",
        }
    }
}

/// `too large to plan for: 3000 terms, and at most 100 are allowed`.
impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, count } = self;
        write!(f, "too large to plan for: {count} {}, and at most {} are allowed", of.noun(), of.most())
    }
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers.iter().chain(spec.init_containers.iter().flatten())
}

fn terms(spec: &PodSpec) -> &[NodeSelectorTerm] {
    let node = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = node.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    required.map_or(&[], |required| &required.node_selector_terms)
}

/// The names of what is requested or limited: a template's limits become requests.
fn resources(spec: &PodSpec) -> BTreeSet<&str> {
    let of_containers = containers(spec).filter_map(|container| container.resources.as_ref());
    let lists = of_containers.chain(&spec.resources).flat_map(|it| [&it.requests, &it.limits]);
    let names = lists.chain([&spec.overhead]).flatten().flat_map(|list| list.keys());
    names.map(String::as_str).collect()
}

#[cfg(test)]
mod tests;
