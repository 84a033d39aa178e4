//! AL2023 user data, read as nodeadm reads it: a MIME archive with one or more `NodeConfig` documents.

use mailparse::{ParsedMail, parse_mail};
use serde_json::{Map, Value};
use thiserror::Error;

const NODE_CONFIG: &str = "application/node.eks.aws";

/// What the machine does with its user data: which cluster it joins, and as what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bootstrap {
    /// The API server's URL.
    pub endpoint: String,
    /// The authority that the kubelet trusts, as the user data has it (base64 of PEM).
    pub authority: String,
    /// `--node-labels`, in order.
    pub labels: Vec<(String, String)>,
    /// `registerWithTaints`: key, value, effect.
    pub taints: Vec<(String, String, String)>,
    /// The kubelet's configuration, merged over all documents.
    pub kubelet: Map<String, Value>,
}

/// Why a machine never joins.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum UserDataError {
    /// The archive cannot be taken apart.
    #[error("the user data is not a MIME archive: {0}")]
    NotMime(String),
    /// No part of the archive is for nodeadm.
    #[error("the user data has no {NODE_CONFIG} part")]
    NoNodeConfig,
    /// A document that cannot be read.
    #[error("a NodeConfig cannot be read: {0}")]
    Unreadable(String),
    /// A document of another version or kind.
    #[error("expected apiVersion node.eks.aws/v1alpha1 and kind NodeConfig, found {0}")]
    WrongKind(String),
    /// A field that nodeadm requires.
    #[error("the NodeConfig has no spec.cluster.{0}")]
    Missing(&'static str),
}

impl Bootstrap {
    /// Reads user data after base64 is undone.
    pub fn read(user_data: &[u8]) -> Result<Self, UserDataError> {
        let archive = parse_mail(user_data).map_err(|error| UserDataError::NotMime(error.to_string()))?;
        if !archive.ctype.mimetype.starts_with("multipart/") {
            return Err(UserDataError::NotMime(format!("its type is {}", archive.ctype.mimetype)));
        }
        let mut config = Value::Null;
        for part in archive.subparts.iter().filter(|part| part.ctype.mimetype == NODE_CONFIG) {
            merge(&mut config, document(part)?);
        }
        if config.is_null() {
            return Err(UserDataError::NoNodeConfig);
        }
        let cluster = |field: &'static str| {
            let value = config.pointer(&format!("/spec/cluster/{field}")).and_then(Value::as_str);
            value.filter(|text| !text.is_empty()).map(str::to_owned).ok_or(UserDataError::Missing(field))
        };
        cluster("name")?;
        cluster("cidr")?;
        let kubelet =
            config.pointer("/spec/kubelet/config").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(Self {
            endpoint: cluster("apiServerEndpoint")?,
            authority: cluster("certificateAuthority")?,
            labels: labels(&config),
            taints: taints(&kubelet),
            kubelet,
        })
    }
}

fn document(part: &ParsedMail<'_>) -> Result<Value, UserDataError> {
    let unreadable = |error: String| UserDataError::Unreadable(error);
    let body = part.get_body().map_err(|error| unreadable(error.to_string()))?;
    let config: Value = serde_saphyr::from_str(&body).map_err(|error| unreadable(error.to_string()))?;
    let field = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or("nothing").to_owned();
    let found = format!("{} {}", field("apiVersion"), field("kind"));
    if found == "node.eks.aws/v1alpha1 NodeConfig" {
        Ok(config)
    } else {
        Err(UserDataError::WrongKind(found))
    }
}

/// Later documents win, field by field; lists are replaced whole.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn labels(config: &Value) -> Vec<(String, String)> {
    let flags = config.pointer("/spec/kubelet/flags").and_then(Value::as_array);
    let flags = flags.into_iter().flatten().filter_map(Value::as_str);
    let listed = flags.filter_map(|flag| flag.strip_prefix("--node-labels="));
    listed
        .flat_map(|list| list.trim_matches('"').split(','))
        .filter_map(|label| label.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn taints(kubelet: &Map<String, Value>) -> Vec<(String, String, String)> {
    let taints = kubelet.get("registerWithTaints").and_then(Value::as_array);
    let text =
        |taint: &Value, field: &str| taint.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    taints
        .into_iter()
        .flatten()
        .map(|taint| (text(taint, "key"), text(taint, "value"), text(taint, "effect")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(parts: &[(&str, &str)]) -> String {
        let head = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"//\"\n\n";
        let parts = parts.iter().map(|(kind, body)| format!("--//\nContent-Type: {kind}\n\n{body}\n"));
        [head.to_owned()].into_iter().chain(parts).chain(["--//--\n".to_owned()]).collect()
    }

    fn read(parts: &[(&str, &str)]) -> Result<Bootstrap, UserDataError> {
        Bootstrap::read(archive(parts).as_bytes())
    }

    const CLUSTER: &str = "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  cluster:\n    name: lab\n    \
        apiServerEndpoint: https://127.0.0.1:6443\n    certificateAuthority: Q0E=\n    cidr: 172.20.0.0/16\n";

    #[test]
    fn labels_taints_and_kubelet_settings_are_read() {
        let kubelet = "  kubelet:\n    config:\n      maxPods: 29\n      registerWithTaints:\n      - {key: node-type, \
            value: application, effect: NoSchedule}\n      - {key: karpenter.sh/unregistered, effect: NoExecute}\n    \
            flags: ['--node-labels=\"a=1,b.example/c=\"']\n";
        let bootstrap =
            read(&[("text/x-shellscript", "#!/bin/sh"), (NODE_CONFIG, &format!("{CLUSTER}{kubelet}"))]);
        let bootstrap = bootstrap.unwrap();
        assert_eq!(bootstrap.endpoint, "https://127.0.0.1:6443");
        assert_eq!(bootstrap.labels, [("a", "1"), ("b.example/c", "")].map(|(k, v)| (k.into(), v.into())));
        assert_eq!(
            bootstrap.taints,
            [("node-type", "application", "NoSchedule"), ("karpenter.sh/unregistered", "", "NoExecute")]
                .map(|(key, value, effect)| (key.into(), value.into(), effect.into()))
        );
        assert_eq!(bootstrap.kubelet.get("maxPods"), Some(&Value::from(29)));
    }

    #[test]
    fn a_later_document_wins_field_by_field() {
        let later = "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  cluster: {apiServerEndpoint: \
            https://10.0.0.1}\n";
        let bootstrap = read(&[(NODE_CONFIG, CLUSTER), (NODE_CONFIG, later)]).unwrap();
        assert_eq!((bootstrap.endpoint.as_str(), bootstrap.authority.as_str()), ("https://10.0.0.1", "Q0E="));
    }

    #[test]
    fn an_archive_without_its_last_boundary_is_still_read() {
        let whole = archive(&[(NODE_CONFIG, CLUSTER)]);
        let cut = whole.strip_suffix("--//--\n").unwrap().to_owned() + "--//\n";
        assert_eq!(Bootstrap::read(cut.as_bytes()).unwrap().authority, "Q0E=");
    }

    #[test]
    fn what_nodeadm_would_refuse_is_refused() {
        let cases: [(&str, &str, UserDataError); 5] = [
            ("text/plain", CLUSTER, UserDataError::NoNodeConfig),
            (NODE_CONFIG, "a: [", UserDataError::Unreadable(String::new())),
            (NODE_CONFIG, "apiVersion: v1\nkind: Pod\n", UserDataError::WrongKind("v1 Pod".to_owned())),
            (NODE_CONFIG, &CLUSTER.replace("cidr", "cedar"), UserDataError::Missing("cidr")),
            (NODE_CONFIG, &CLUSTER.replace("Q0E=", "''"), UserDataError::Missing("certificateAuthority")),
        ];
        for (kind, body, expected) in cases {
            let found = read(&[(kind, body)]).unwrap_err();
            assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&expected), "{body}: {found}");
        }
        assert!(matches!(Bootstrap::read(b"#!/bin/sh\n"), Err(UserDataError::NotMime(_))));
        assert!(matches!(Bootstrap::read(b""), Err(UserDataError::NotMime(_))));
    }
}
