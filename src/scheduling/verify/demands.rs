//! What pods ask of their nodes, and whether that is met.

use crate::{
    model::{Pod, Requirement, Taint, host_port::HostPort},
    scheduling::Daemon,
};

/// The taints that keep the pod away.
pub(super) fn untolerated<'t>(pod: &'t Pod, taints: &'t [Taint]) -> impl Iterator<Item = &'t Taint> {
    let tolerates = |taint: &Taint| pod.tolerations.iter().any(|toleration| toleration.tolerates(taint));
    taints.iter().filter(move |taint| taint.effect.is_hard() && !tolerates(taint))
}

/// Whether no taint keeps the pod away.
pub(super) fn tolerates_all(pod: &Pod, taints: &[Taint]) -> bool {
    untolerated(pod, taints).next().is_none()
}

/// The daemons that have a right to nodes with these taints.
pub(super) fn behind<'a>(daemons: &'a [Daemon], taints: &[Taint]) -> impl Iterator<Item = &'a Pod> {
    let has_right = |daemon: &&Daemon| !daemon.barred.iter().any(|barred| taints.contains(barred));
    daemons.iter().filter(has_right).map(|daemon| &daemon.pod)
}

/// Whether a node meets one of the pod's alternatives, however what is open about its labels turns out. `label` says what is known of
/// each.
pub(super) fn is_certain(pod: &Pod, label: impl Fn(&str) -> Option<Requirement>) -> bool {
    let meets = |wanted: &Requirement| match label(wanted.key()) {
        Some(given) => !given.is_contradiction() && implies(&given, wanted),
        None => wanted.allows_absence(),
    };
    pod.alternatives.iter().any(|alternative| alternative.requirements.iter().all(meets))
}

/// Whether every label that `given` allows is one that `wanted` allows.
pub(super) fn implies(given: &Requirement, wanted: &Requirement) -> bool {
    let both = given.intersection(wanted);
    both == *given
}

/// Whether the pod wants a port that is taken.
pub(super) fn takes_one_of<'p>(pod: &Pod, mut taken: impl Iterator<Item = &'p HostPort>) -> bool {
    taken.any(|taken| pod.host_ports.iter().any(|port| port.conflicts_with(taken)))
}

/// The first of `ports` that conflicts with one before it, or with one that is taken.
pub(super) fn conflicting_port<'p>(
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
