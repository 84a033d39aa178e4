//! User data written by hand, for instances that are launched without Treenail.

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::CLUSTER_NAME;
use crate::control_plane::SERVICE_CIDR;
use crate::users::Endpoint;

/// What a hand-launched node is told.
#[derive(Clone, Debug)]
pub struct UserData {
    /// The API server's URL.
    pub endpoint: String,
    /// The authority, PEM.
    pub authority: String,
    /// `key=value` labels.
    pub labels: Vec<String>,
    /// Taints: key, value, effect.
    pub taints: Vec<(String, String, String)>,
}

impl UserData {
    /// For a node of this cluster, without labels and taints.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Self {
        Self {
            endpoint: endpoint.url.clone(),
            authority: endpoint.authority.clone(),
            labels: Vec::new(),
            taints: Vec::new(),
        }
    }

    /// Adds a `key=value` label.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.labels.push(label.to_owned());
        self
    }

    /// Adds a taint.
    #[must_use]
    pub fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        self.taints.push((key.to_owned(), value.to_owned(), effect.to_owned()));
        self
    }

    /// The MIME archive that AL2023 reads.
    #[must_use]
    pub fn archive(&self) -> String {
        let authority = BASE64_STANDARD.encode(&self.authority);
        let mut taints = String::new();
        for (key, value, effect) in &self.taints {
            let _ = write!(taints, "{{key: {key}, value: '{value}', effect: {effect}}}, ");
        }
        format!(
            r#"MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="//"

--//
Content-Type: application/node.eks.aws

apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster:
    name: {CLUSTER_NAME}
    apiServerEndpoint: {endpoint}
    certificateAuthority: {authority}
    cidr: {SERVICE_CIDR}
  kubelet:
    config:
      registerWithTaints: [{taints}]
    flags: ['--node-labels="{labels}"']

--//--
"#,
            endpoint = self.endpoint,
            labels = self.labels.join(","),
        )
    }
}
