//! Settings, as flags and environment variables, read once. Where Karpenter has a setting of the same meaning, the name is its own.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::api::names::is_dns_label;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Settings that every long-running command has.
#[derive(Args, Clone, Debug)]
pub struct CommonSettings {
    /// Address to listen on.
    #[arg(long, env = "BIND_ADDRESS", default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// Port of /healthz and /readyz, plain HTTP.
    #[arg(long, env = "HEALTH_PROBE_PORT", default_value_t = 8081)]
    pub health_probe_port: u16,
    /// The namespace that Treenail runs in: its leases and its certificate authority are there.
    #[arg(long, env = "SYSTEM_NAMESPACE", default_value = "treenail-system")]
    pub system_namespace: String,
    /// Further namespaces whose pods are not judged and may run anywhere, beside kube-system, kube-public, kube-node-lease and Treenail's own.
    /// Must be the same for the webhook and the controller, and stand in the lists of manifests/base/admission-*.yaml.
    #[arg(long, env = "EXEMPT_NAMESPACES", value_delimiter = ',', value_parser = namespace, value_name = "NAMESPACES")]
    pub exempt_namespaces: Vec<String>,
    /// What is logged: a level, or levels by module, as in `info,treenail::server=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_parser = log_level)]
    pub log_level: String,
    /// How it is logged.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// Settings of the admission webhook.
#[derive(Args, Clone, Debug)]
pub struct WebhookSettings {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the help of the flattened group")]
    pub common: CommonSettings,
    /// Port of /mutate and /validate (and of both with /typed), TLS.
    #[arg(long, env = "WEBHOOK_PORT", default_value_t = 8443)]
    pub webhook_port: u16,
    /// Name of the Service in front; the certificate is for NAME.NAMESPACE.svc.
    #[arg(long, env = "WEBHOOK_SERVICE", default_value = "treenail-webhook")]
    pub service_name: String,
    /// Further DNS names and addresses that API servers call by, where a configuration has a `url` instead of a `service`.
    #[arg(long, env = "WEBHOOK_HOSTNAMES", value_delimiter = ',', value_parser = host)]
    pub hostnames: Vec<String>,
    /// Name of the mutating and of the validating webhook configuration.
    #[arg(long, env = "WEBHOOK_CONFIGURATION", default_value = "treenail")]
    pub configuration_name: String,
    /// Secret of the self-signed certificate authority. Made at the first start, shared by all replicas.
    #[arg(long, env = "AUTHORITY_SECRET", default_value = "treenail-webhook-authority")]
    pub authority_secret: String,
    /// Serve tls.crt and tls.key from this folder instead (cert-manager); the CA bundle is then filled in by whoever wrote them.
    #[arg(long, env = "TLS_DIRECTORY")]
    pub tls_directory: Option<PathBuf>,
    /// After SIGTERM: how long connections are still accepted, so that every API server takes notice.
    #[arg(long, env = "SHUTDOWN_DELAY", default_value = "10s", value_parser = duration)]
    pub shutdown_delay: Duration,
    /// After that: how long accepted calls may take to finish.
    #[arg(long, env = "SHUTDOWN_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub shutdown_timeout: Duration,
}

impl WebhookSettings {
    /// Every name that the certificate must be good for; the first is the Service's.
    #[must_use]
    pub fn certificate_names(&self) -> Vec<String> {
        let service = format!("{}.{}.svc", self.service_name, self.common.system_namespace);
        let full = format!("{service}.cluster.local");
        [service, full].into_iter().chain(self.hostnames.iter().cloned()).collect()
    }
}

/// Settings of the provisioning controller.
#[derive(Args, Clone, Debug)]
pub struct ControllerSettings {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the help of the flattened group")]
    pub common: CommonSettings,
    /// This replica's name in the leases; must be unique among the replicas.
    #[arg(long, env = "POD_NAME", default_value_t = host_name())]
    pub identity: String,
    /// Name of the cluster, as EC2's tags carry it.
    #[arg(long, env = "CLUSTER_NAME", value_parser = cluster_name)]
    pub cluster_name: String,
    /// URL of the API server, as nodes reach it; by default the one that EKS names, or else that of the own kubeconfig.
    #[arg(long, env = "CLUSTER_ENDPOINT")]
    pub cluster_endpoint: Option<String>,
    /// Certificate authority that nodes trust, base64 of PEM; by default the one of the own kubeconfig.
    #[arg(long, env = "CLUSTER_CA_BUNDLE")]
    pub cluster_ca_bundle: Option<String>,
    /// Namespace of Karpenter's own lease. Pools of karpenter.k8s.aws classes are acted on only while it is held here.
    #[arg(long, env = "KARPENTER_LEASE_NAMESPACE", default_value = "kube-system")]
    pub karpenter_lease_namespace: String,
    /// How often instances without a claim, claims without an instance, and Nodes without either are looked for.
    #[arg(long, env = "GARBAGE_COLLECTION_INTERVAL", default_value = "2m", value_parser = interval, hide = true)]
    pub garbage_collection_interval: Duration,
}

/// A pod's host name is its own name.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", name.trim(), std::process::id())
}

/// A DNS name or an address, as a certificate can be for.
pub fn host(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        let is_edge = |edge: Option<char>| edge.is_some_and(|edge| edge.is_ascii_alphanumeric());
        label.len() <= 63
            && is_edge(label.chars().next())
            && is_edge(label.chars().next_back())
            && label.chars().all(|character| character.is_ascii_alphanumeric() || character == '-')
    };
    // A certificate may stand for all names of one level.
    let name = text.strip_prefix("*.").unwrap_or(text);
    if text.parse::<IpAddr>().is_ok() || name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    Err("neither an address nor a DNS name: letters, digits and - in parts between dots, such as treenail-webhook.treenail-system.svc"
        .to_owned())
}

/// Levels, whole or by module. A word that is no level would be taken for a module, and nothing would be logged of any other.
fn log_level(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let wrong = |part: &&str| !is_level(part.rsplit('=').next().unwrap_or_default().trim());
    match text.split(',').find(wrong) {
        None => Ok(text.to_owned()),
        Some(part) => Err(format!(
            "{part:?} has no level; use {}, or module=level, several separated by commas",
            LEVELS.join(", ")
        )),
    }
}

/// The name of a namespace (RFC 1123), or nothing: an empty variable sets none.
fn namespace(text: &str) -> Result<String, String> {
    if text.is_empty() || is_dns_label(text) {
        return Ok(text.to_owned());
    }
    Err("the name of a namespace has at most 63 lower-case letters, digits and -, and begins and ends with a letter or a digit; several are separated by commas without spaces"
        .to_owned())
}

/// The name of an EKS cluster, by EKS's own rule. An empty one would make tags that match nothing.
fn cluster_name(text: &str) -> Result<String, String> {
    let is_name = text.len() <= 100
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "-_".contains(character));
    if is_name {
        return Ok(text.to_owned());
    }
    Err("the name of a cluster has 1 to 100 letters, digits, - and _, and begins with a letter or a digit"
        .to_owned())
}

/// A Go duration of a second at least: whoever does something so often must not do it all the time.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_secs(1) { Err(format!("{text} is less than 1s")) } else { Ok(interval) }
}

/// A Go duration such as `1m30s`, and not negative.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = crate::api::duration::parse(text).map_err(|error| error.to_string())?;
    Duration::try_from(parsed).map_err(|_| format!("{text} is negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_a_dns_name() {
        for text in
            ["localhost", "127.0.0.1", "::1", "treenail-webhook.treenail-system.svc", "*.example.com", "1.a"]
        {
            assert_eq!(host(text), Ok(text.to_owned()));
        }
        for text in ["", "a_b", "a..b", ".a", "a.", "-a", "a-", "a b", "*", "a.*.b", &"a".repeat(64)] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_log_level_is_a_level_or_levels_by_module() {
        for text in ["info", "WARN", "off", "info,treenail::server=debug", "treenail=trace, kube=error"] {
            assert_eq!(log_level(text), Ok(text.to_owned()));
        }
        for text in ["", "loud", "info,treenail", "treenail=loud", "info,", "treenail="] {
            assert!(log_level(text).unwrap_err().contains("error, warn, info"), "{text}");
        }
    }

    #[test]
    fn the_name_of_a_namespace_is_one_that_the_api_server_takes() {
        for text in ["", "a", "kube-system", "1st", &"a".repeat(63)] {
            assert_eq!(namespace(text), Ok(text.to_owned()));
        }
        for text in [" ", "a b", "-a", "a-", "Shop", "a.b", "a/b", &"a".repeat(64)] {
            assert!(namespace(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_name_of_a_cluster_is_one_that_eks_takes() {
        for text in ["lab", "team_a-1", "1st"] {
            assert_eq!(cluster_name(text), Ok(text.to_owned()));
        }
        for text in ["", " ", "-a", "a b", "a/b", &"a".repeat(101)] {
            assert!(cluster_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_interval_is_a_duration_of_a_second_at_least() {
        assert_eq!(interval("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(interval("1s"), Ok(Duration::from_secs(1)));
        for text in ["0s", "999ms", "-1m", "often"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
