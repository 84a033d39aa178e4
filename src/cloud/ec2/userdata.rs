//! User data of AL2023: the MIME archive from which nodeadm makes a machine a node of the cluster.
//!
//! The document in it is JSON, which is YAML in which no value can be taken for one of another type. It is not compressed, not merged
//! with user data of the class (not supported yet), and not encoded: base64 is the launch template's business.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Map, Value, json};

use crate::api::labels;
use crate::model::taints::{Effect, Taint};
use crate::ports::cloud::ClusterFacts;

/// The most bytes that EC2 accepts, before base64.
pub const LIMIT: usize = 16 * 1024;

/// Domains whose labels a kubelet may not set on its own Node, or may only in part: they come by registration.
const NOT_BY_KUBELET: [&str; 3] = [labels::NODE_RESTRICTION_DOMAIN, "kubernetes.io", "k8s.io"];

/// What a machine is told.
#[derive(Clone, Copy, Debug)]
pub struct Bootstrap<'a> {
    /// The cluster that it joins.
    pub cluster: &'a ClusterFacts,
    /// The class's settings of the kubelet.
    pub kubelet: Option<&'a BTreeMap<String, Value>>,
    /// The most pods.
    pub max_pods: u64,
    /// Labels of the claim. Those that a kubelet may not set are left out.
    pub labels: &'a BTreeMap<String, String>,
    /// Taints of the claim.
    pub taints: &'a [Taint],
    /// Taints of the claim that something on the node removes.
    pub startup_taints: &'a [Taint],
    /// Whether local disks become one volume for pods.
    pub stripes_local_disks: bool,
}

impl Bootstrap<'_> {
    /// The archive.
    #[must_use]
    pub fn user_data(&self) -> String {
        let document = format!("{:#}", self.node_config());
        format!(
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"//\"\n\n--//\n\
             Content-Type: application/node.eks.aws\n\n{document}\n--//--\n"
        )
    }

    fn node_config(&self) -> Value {
        let mut spec = json!({
            "cluster": {
                "name": self.cluster.name,
                "apiServerEndpoint": self.cluster.endpoint,
                "certificateAuthority": BASE64_STANDARD.encode(&self.cluster.certificate_authority),
                "cidr": self.cluster.service_cidr,
            },
            "kubelet": { "config": self.kubelet(), "flags": [format!("--node-labels=\"{}\"", self.node_labels())] },
        });
        if let (true, Some(spec)) = (self.stripes_local_disks, spec.as_object_mut()) {
            spec.insert("instance".to_owned(), json!({ "localStorage": { "strategy": "RAID0" } }));
        }
        json!({ "apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig", "spec": spec })
    }

    /// The class's settings as they are, with what the controller decides.
    fn kubelet(&self) -> Value {
        let settings = self.kubelet.into_iter().flatten();
        let mut config: Map<_, _> = settings.map(|(key, value)| (key.clone(), value.clone())).collect();
        config.insert("maxPods".to_owned(), self.max_pods.into());
        let dns = config.entry("clusterDNS").or_insert_with(|| json!([]));
        if dns.as_array().is_none_or(Vec::is_empty) {
            *dns = json!([self.cluster.dns_address]);
        }
        config.insert("registerWithTaints".to_owned(), self.register_with_taints());
        config.into()
    }

    /// The taints of the claim, and the one that keeps all pods away until the node has been adopted.
    fn register_with_taints(&self) -> Value {
        let unregistered = Taint {
            key: labels::UNREGISTERED_TAINT.to_owned(),
            value: String::new(),
            effect: Effect::NoExecute,
        };
        let mut taints: Vec<&Taint> = Vec::new();
        for taint in self.taints.iter().chain(self.startup_taints).chain([&unregistered]) {
            // Kubernetes refuses a node with two taints of one key and effect.
            if !taints.iter().any(|known| known.is_same(taint)) {
                taints.push(taint);
            }
        }
        let written = taints.into_iter().map(|taint| {
            let mut written = json!({ "key": taint.key, "effect": taint.effect.name() });
            if let (false, Some(fields)) = (taint.value.is_empty(), written.as_object_mut()) {
                fields.insert("value".to_owned(), taint.value.clone().into());
            }
            written
        });
        written.collect()
    }

    fn node_labels(&self) -> String {
        let mut all: BTreeMap<&str, &str> = self
            .labels
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .filter(|(key, _)| !is_out_of_reach(key))
            .collect();
        all.insert(labels::CAPACITY_TYPE, labels::CAPACITY_ON_DEMAND);
        // Whoever registers the node leaves its taints alone: startup taints that are gone stay gone.
        all.insert(labels::DO_NOT_SYNC_TAINTS, "true");
        let all: Vec<_> = all.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        all.join(",")
    }
}

fn is_out_of_reach(key: &str) -> bool {
    labels::domain(key)
        .is_some_and(|domain| NOT_BY_KUBELET.iter().any(|parent| labels::is_in_domain(domain, parent)))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn cluster() -> ClusterFacts {
        ClusterFacts {
            name: "lab".to_owned(),
            endpoint: "https://10.0.0.1:6443".to_owned(),
            certificate_authority: "-----BEGIN CERTIFICATE-----\n".to_owned(),
            service_cidr: "172.20.0.0/16".to_owned(),
            dns_address: "172.20.0.10".parse().unwrap(),
            kubernetes_version: "1.36".to_owned(),
        }
    }

    fn labels_of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_archive_of_a_pool() {
        let cluster = cluster();
        let labels = labels_of(&[
            ("karpenter.sh/nodepool", "application"),
            ("team", "blue"),
            ("kubernetes.io/arch", "amd64"),
            ("node.kubernetes.io/instance-type", "c7i.xlarge"),
            ("workload-type.node-restriction.kubernetes.io/application", ""),
            ("example.k8s.io/x", "y"),
            ("notk8s.io/x", "y"),
        ]);
        let bootstrap = Bootstrap {
            cluster: &cluster,
            kubelet: None,
            max_pods: 58,
            labels: &labels,
            taints: &["node-type=application:NoSchedule".parse().unwrap()],
            startup_taints: &["agent.example.com/starting:NoExecute".parse().unwrap()],
            stripes_local_disks: false,
        };
        expect![[r#"
            MIME-Version: 1.0
            Content-Type: multipart/mixed; boundary="//"

            --//
            Content-Type: application/node.eks.aws

            {
              "apiVersion": "node.eks.aws/v1alpha1",
              "kind": "NodeConfig",
              "spec": {
                "cluster": {
                  "apiServerEndpoint": "https://10.0.0.1:6443",
                  "certificateAuthority": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==",
                  "cidr": "172.20.0.0/16",
                  "name": "lab"
                },
                "kubelet": {
                  "config": {
                    "clusterDNS": [
                      "172.20.0.10"
                    ],
                    "maxPods": 58,
                    "registerWithTaints": [
                      {
                        "effect": "NoSchedule",
                        "key": "node-type",
                        "value": "application"
                      },
                      {
                        "effect": "NoExecute",
                        "key": "agent.example.com/starting"
                      },
                      {
                        "effect": "NoExecute",
                        "key": "karpenter.sh/unregistered"
                      }
                    ]
                  },
                  "flags": [
                    "--node-labels=\"karpenter.sh/capacity-type=on-demand,karpenter.sh/do-not-sync-taints=true,karpenter.sh/nodepool=application,notk8s.io/x=y,team=blue\""
                  ]
                }
              }
            }
            --//--
        "#]]
        .assert_eq(&bootstrap.user_data());
    }

    #[test]
    fn settings_of_the_class_are_passed_on_and_what_the_controller_decides_wins() {
        let cluster = cluster();
        let kubelet = json!({
            "maxPods": 10,
            "podsPerCore": 4,
            "systemReserved": { "cpu": "100m" },
            "evictionHard": { "memory.available": "5%" },
            "clusterDNS": ["10.1.0.10", "10.1.0.11"],
        });
        let kubelet: BTreeMap<String, Value> = serde_json::from_value(kubelet).unwrap();
        let bootstrap = Bootstrap {
            cluster: &cluster,
            kubelet: Some(&kubelet),
            max_pods: 8,
            labels: &BTreeMap::new(),
            taints: &["a=1:NoSchedule".parse().unwrap()],
            startup_taints: &["a=2:NoSchedule".parse().unwrap()],
            stripes_local_disks: true,
        };
        let config = bootstrap.node_config();
        let at = |path: &str| config.pointer(path).cloned().unwrap();
        assert_eq!(at("/spec/kubelet/config/maxPods"), json!(8));
        assert_eq!(at("/spec/kubelet/config/podsPerCore"), json!(4));
        assert_eq!(at("/spec/kubelet/config/systemReserved"), json!({ "cpu": "100m" }));
        assert_eq!(at("/spec/kubelet/config/evictionHard"), json!({ "memory.available": "5%" }));
        assert_eq!(at("/spec/kubelet/config/clusterDNS"), json!(["10.1.0.10", "10.1.0.11"]));
        assert_eq!(
            at("/spec/kubelet/config/registerWithTaints"),
            json!([
                { "key": "a", "value": "1", "effect": "NoSchedule" },
                { "key": "karpenter.sh/unregistered", "effect": "NoExecute" },
            ])
        );
        assert_eq!(at("/spec/instance/localStorage/strategy"), json!("RAID0"));
    }
}
