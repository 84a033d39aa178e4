//! The objects that a kubelet writes about its machine: the Node, its status, its Lease.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{
    Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo, Taint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;

use super::capacity::Resources;
use super::user_data::Bootstrap;
use crate::ec2::Instance;

/// The kubelet's version that nodes report.
const KUBELET_VERSION: &str = "v1.36.3";

/// The node as it is first registered: not ready, with what the user data says.
pub(crate) fn registered(
    instance: &Instance,
    architecture: &str,
    bootstrap: &Bootstrap,
    resources: &Resources,
) -> Node {
    let region = instance.zone.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    // The last five are names of before, which kubelets and the cloud's controller still set.
    let own = [
        ("kubernetes.io/hostname", instance.private_dns_name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture),
        ("node.kubernetes.io/instance-type", &instance.instance_type),
        ("topology.kubernetes.io/zone", &instance.zone),
        ("topology.kubernetes.io/region", region),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", architecture),
        ("beta.kubernetes.io/instance-type", &instance.instance_type),
        ("failure-domain.beta.kubernetes.io/zone", &instance.zone),
        ("failure-domain.beta.kubernetes.io/region", region),
    ];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let taints = bootstrap.taints.iter().map(|(key, value, effect)| Taint {
        key: key.clone(),
        value: Some(value.clone()).filter(|value| !value.is_empty()),
        effect: effect.clone(),
        time_added: None,
    });
    Node {
        metadata: ObjectMeta {
            name: Some(instance.private_dns_name.clone()),
            labels: Some(bootstrap.labels.iter().cloned().chain(own).collect()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            provider_id: Some(format!("aws:///{}/{}", instance.zone, instance.id)),
            taints: Some(taints.collect()),
            ..NodeSpec::default()
        }),
        status: Some(NodeStatus {
            capacity: Some(resources.capacity.clone()),
            allocatable: Some(resources.allocatable.clone()),
            addresses: Some(vec![
                address("InternalIP", &instance.private_ip),
                address("Hostname", &instance.private_dns_name),
            ]),
            node_info: Some(NodeSystemInfo {
                architecture: architecture.to_owned(),
                container_runtime_version: "hollow://1".to_owned(),
                kubelet_version: KUBELET_VERSION.to_owned(),
                operating_system: "linux".to_owned(),
                os_image: "Amazon Linux 2023".to_owned(),
                ..NodeSystemInfo::default()
            }),
            daemon_endpoints: Some(NodeDaemonEndpoints::default()),
            conditions: Some(conditions("False", "KubeletNotReady")),
            ..NodeStatus::default()
        }),
    }
}

fn address(kind: &str, value: &str) -> NodeAddress {
    NodeAddress { type_: kind.to_owned(), address: value.to_owned() }
}

/// The four conditions of a healthy machine whose readiness is as given.
pub(crate) fn conditions(ready: &str, reason: &str) -> Vec<NodeCondition> {
    let condition = |kind: &str, status: &str, reason: &str| NodeCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        last_heartbeat_time: Some(Time(now())),
        last_transition_time: Some(Time(now())),
        ..NodeCondition::default()
    };
    vec![
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID"),
        condition("Ready", ready, reason),
    ]
}

/// The heartbeat of a node.
pub(crate) fn lease(node: &str, node_uid: &str) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(node.to_owned()),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Node".to_owned(),
                name: node.to_owned(),
                uid: node_uid.to_owned(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(node.to_owned()),
            lease_duration_seconds: Some(40),
            renew_time: Some(MicroTime(now())),
            ..LeaseSpec::default()
        }),
    }
}

/// The machine's own clock.
#[expect(clippy::disallowed_methods, reason = "a kubelet stamps what it reports with its own clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::ec2::query::InstanceSize;

    #[test]
    fn a_node_carries_the_labels_and_taints_of_its_user_data_and_no_others_but_its_own() {
        let instance = Instance {
            id: "i-1".to_owned(),
            state: "running".to_owned(),
            instance_type: "c7i.xlarge".to_owned(),
            zone: "us-east-1a".to_owned(),
            private_dns_name: "ip-10-0-0-1.ec2.internal".to_owned(),
            private_ip: "10.0.0.1".to_owned(),
        };
        let bootstrap = Bootstrap {
            endpoint: String::new(),
            authority: String::new(),
            labels: vec![("team".to_owned(), "a".to_owned())],
            taints: vec![("node-type".to_owned(), "application".to_owned(), "NoSchedule".to_owned())],
            kubelet: Map::new(),
        };
        let size = InstanceSize {
            cpus: 4,
            memory_mebibytes: 8192,
            architecture: "amd64".to_owned(),
            network_interfaces: 4,
            addresses_per_interface: 15,
        };
        let node = registered(&instance, "amd64", &bootstrap, &Resources::of(&size, 20, &Map::new()));
        let labels: Vec<_> =
            node.metadata.labels.unwrap().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            labels,
            [
                "beta.kubernetes.io/arch=amd64",
                "beta.kubernetes.io/instance-type=c7i.xlarge",
                "beta.kubernetes.io/os=linux",
                "failure-domain.beta.kubernetes.io/region=us-east-1",
                "failure-domain.beta.kubernetes.io/zone=us-east-1a",
                "kubernetes.io/arch=amd64",
                "kubernetes.io/hostname=ip-10-0-0-1.ec2.internal",
                "kubernetes.io/os=linux",
                "node.kubernetes.io/instance-type=c7i.xlarge",
                "team=a",
                "topology.kubernetes.io/region=us-east-1",
                "topology.kubernetes.io/zone=us-east-1a",
            ]
        );
        let spec = node.spec.unwrap();
        assert_eq!(spec.provider_id.as_deref(), Some("aws:///us-east-1a/i-1"));
        let taints: Vec<_> =
            spec.taints.unwrap().into_iter().map(|taint| (taint.key, taint.value, taint.effect)).collect();
        assert_eq!(
            taints,
            [("node-type".to_owned(), Some("application".to_owned()), "NoSchedule".to_owned())]
        );
    }
}
