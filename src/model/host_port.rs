//! Ports that a pod takes on its node itself, of which each node has only one.
//!
//! Which pods are on a node is not known here.

use std::{fmt, net::IpAddr};

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec};

use super::text::Excerpt;

/// A port on the node that a container is bound to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// The address of the node that is bound; `0.0.0.0` for all.
    pub ip: String,
    /// The port.
    pub port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

impl HostPort {
    /// The host ports of a pod: those of its containers and of its sidecars, which run beside them.
    ///
    /// Karpenter leaves sidecars out, and then launches nodes on which kube-scheduler finds the port taken. With `hostNetwork` every
    /// container port is a host port; the API server writes that into pods, but not into templates.
    #[must_use]
    pub fn of_pod(spec: &PodSpec) -> Vec<Self> {
        let text = |field: &Option<String>, default: &str| {
            field.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
        };
        let mut ports: Vec<_> = on_host(spec)
            .map(|(port, on_host)| Self {
                ip: text(&port.host_ip, "0.0.0.0"),
                port: on_host,
                protocol: text(&port.protocol, "TCP"),
            })
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Whether two pods with these ports cannot share a node.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.port == other.port && self.protocol == other.protocol && self.shares_address_with(other)
    }

    fn shares_address_with(&self, other: &Self) -> bool {
        match (self.ip.parse::<IpAddr>(), other.ip.parse::<IpAddr>()) {
            (Ok(own), Ok(other)) => own == other || own.is_unspecified() || other.is_unspecified(),
            (Ok(known), Err(_)) | (Err(_), Ok(known)) => known.is_unspecified(),
            (Err(_), Err(_)) => self.ip == other.ip,
        }
    }
}

/// The container ports that are bound on the node, each with the node's port.
pub(super) fn on_host(spec: &PodSpec) -> impl Iterator<Item = (&ContainerPort, i32)> {
    let host_network = spec.host_network.unwrap_or_default();
    let ports = long_running_containers(spec).flat_map(|container| container.ports.iter().flatten());
    ports.filter_map(move |port| {
        let on_host = port.host_port.filter(|port| *port != 0);
        Some((port, on_host.or_else(|| host_network.then_some(port.container_port))?))
    })
}

/// The containers that run as long as the pod does: the ordinary ones and the sidecars.
pub(crate) fn long_running_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let sidecars = spec.init_containers.iter().flatten().filter(|container| is_sidecar(container));
    spec.containers.iter().chain(sidecars)
}

/// Whether an init container keeps running beside the ordinary ones.
pub(crate) fn is_sidecar(init_container: &Container) -> bool {
    init_container.restart_policy.as_deref() == Some("Always")
}

/// `TCP 8080`, with the address unless it is every one.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", Excerpt(&self.protocol))?;
        if self.ip != "0.0.0.0" {
            write!(f, "{}:", Excerpt(&self.ip))?;
        }
        write!(f, "{}", self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, port: i32, protocol: &str) -> HostPort {
        HostPort { ip: ip.into(), port, protocol: protocol.into() }
    }

    #[test]
    fn ports_conflict_on_the_same_protocol_number_and_address() {
        let cases = [
            (port("0.0.0.0", 80, "TCP"), port("0.0.0.0", 80, "TCP"), true),
            (port("10.0.0.1", 80, "TCP"), port("0.0.0.0", 80, "TCP"), true),
            (port("10.0.0.1", 80, "TCP"), port("::", 80, "TCP"), true),
            (port("::1", 80, "TCP"), port("0:0:0:0:0:0:0:1", 80, "TCP"), true),
            (port("10.0.0.1", 80, "TCP"), port("10.0.0.2", 80, "TCP"), false),
            (port("0.0.0.0", 80, "TCP"), port("0.0.0.0", 80, "UDP"), false),
            (port("0.0.0.0", 80, "TCP"), port("0.0.0.0", 81, "TCP"), false),
            (port("nonsense", 80, "TCP"), port("0.0.0.0", 80, "TCP"), true),
            (port("nonsense", 80, "TCP"), port("10.0.0.1", 80, "TCP"), false),
            (port("nonsense", 80, "TCP"), port("nonsense", 80, "TCP"), true),
        ];
        for (a, b, conflict) in cases {
            assert_eq!(a.conflicts_with(&b), conflict, "{a} / {b}");
            assert_eq!(b.conflicts_with(&a), conflict, "{b} / {a}");
        }
    }

    fn container(ports: &[(i32, Option<i32>)], restart_policy: Option<&str>) -> Container {
        let ports = ports.iter().map(|(container_port, host_port)| ContainerPort {
            container_port: *container_port,
            host_port: *host_port,
            ..ContainerPort::default()
        });
        Container {
            ports: Some(ports.collect()),
            restart_policy: restart_policy.map(str::to_owned),
            ..Container::default()
        }
    }

    #[track_caller]
    fn check(spec: &PodSpec, expected: &[&str]) {
        let shown: Vec<_> = HostPort::of_pod(spec).iter().map(HostPort::to_string).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn containers_and_sidecars_take_host_ports_and_init_containers_do_not() {
        let mut spec = PodSpec {
            containers: vec![container(&[(8080, Some(80)), (9090, None), (9091, Some(0))], None)],
            init_containers: Some(vec![
                container(&[(1, Some(81))], None),
                container(&[(2, Some(82))], Some("Always")),
            ]),
            ..PodSpec::default()
        };
        check(&spec, &["TCP 80", "TCP 82"]);
        spec.host_network = Some(true);
        check(&spec, &["TCP 80", "TCP 82", "TCP 9090", "TCP 9091"]);
    }
}
