//! Label keys that look like a well-known one and are not: which one was probably meant.
//!
//! Any key may be a label of somebody's own, so a key that merely resembles another is none of these: domain and name are compared each for
//! itself.

use super::label::normalized;
use super::requirements::edits_within;
use crate::api::labels;

/// A bare name that is shorter says too little to be taken for another.
const SHORTEST_NEAR_NAME: usize = 8;

/// Domains of Kubernetes whose labels are the cluster's own, whatever they are called.
const OF_THE_CLUSTER: [&str; 2] = ["node-role.kubernetes.io", labels::NODE_RESTRICTION_DOMAIN];

/// The well-known label that the key was probably meant to be: a slip away from it, or its name without the domain, or with another
/// domain of Kubernetes. Nothing for keys that are known, and for those that nobody may ask for.
#[must_use]
pub fn meant_label(key: &str) -> Option<&'static str> {
    if labels::is_well_known(normalized(key)) || labels::is_restricted(key) {
        return None;
    }
    let (domain, name) = split(key);
    let distance = |candidate: &'static str| {
        let (known_domain, known_name) = split(candidate);
        let apart = edits_within(name, known_name, slips(known_name))?;
        let is_near = match (domain, known_domain) {
            (None, _) => apart == 0 || (apart == 1 && name.len() >= SHORTEST_NEAR_NAME),
            (Some(domain), Some(known)) => {
                edits_within(domain, known, slips(known)).is_some()
                    || (apart == 0 && is_of_kubernetes(domain))
            }
            (Some(_), None) => false,
        };
        is_near.then_some((apart, candidate))
    };
    labels::well_known().filter_map(distance).min().map(|(_, candidate)| candidate)
}

/// So many edits are a slip. Two names of few letters can be two words.
fn slips(known: &str) -> usize {
    (known.len() / 5).clamp(1, 3)
}

fn is_of_kubernetes(domain: &str) -> bool {
    let is_of = |parent| labels::is_in_domain(domain, parent);
    (is_of("kubernetes.io") || is_of("k8s.io")) && !OF_THE_CLUSTER.into_iter().any(is_of)
}

fn split(key: &str) -> (Option<&str>, &str) {
    key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_or_a_name_without_its_domain_means_the_well_known_label() {
        let cases = [
            ("topology.kubernetes.io/zon", labels::ZONE),
            ("topology.kubernetes.io/zones", labels::ZONE),
            ("topology.kubernets.io/zone", labels::ZONE),
            ("kubernetes.io/zone", labels::ZONE),
            ("topology.kubernetes.io/zone-id", labels::ZONE_ID),
            ("node.kubernetes.io/instance-typ", labels::INSTANCE_TYPE),
            ("kubernetes.io/instance-type", labels::INSTANCE_TYPE),
            ("node.kubernetes.io/arch", labels::ARCH),
            ("arch", labels::ARCH),
            ("os", labels::OS),
            ("zone", labels::ZONE),
            ("instance-type", labels::INSTANCE_TYPE),
            ("instance-typ", labels::INSTANCE_TYPE),
            ("capacity-type", labels::CAPACITY_TYPE),
            ("instance-family", labels::INSTANCE_FAMILY),
            ("karpenter.k8s.io/instance-family", labels::INSTANCE_FAMILY),
        ];
        for (key, expected) in cases {
            assert_eq!(meant_label(key), Some(expected), "{key}");
        }
    }

    #[test]
    fn labels_of_ones_own_and_those_that_are_known_or_refused_mean_nothing_else() {
        let keys = [
            "team",
            "node-type",
            "disk",
            "tone",
            "archive",
            "instance-role",
            "instance-cost",
            "example.com/zone",
            "example.com/arch",
            "topology.kubernetes.io/rack",
            "node-role.kubernetes.io/os",
            "zone.node-restriction.kubernetes.io/zone",
            "workload-type.node-restriction.kubernetes.io/application",
            "eks.amazonaws.com/nodegroup",
            "karpenter.sh/capacity-typ",
            "karpenter.k8s.aws/instance-famili",
            "kubernetes.io/hostname",
            "beta.kubernetes.io/arch",
            "topology.ebs.csi.aws.com/zone",
            "/",
            "",
        ];
        for key in keys.into_iter().chain(labels::well_known()) {
            assert_eq!(meant_label(key), None, "{key}");
        }
    }
}
