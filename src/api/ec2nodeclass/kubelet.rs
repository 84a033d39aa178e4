//! `spec.kubelet`: an open map at admission, read here into the settings that are honoured.
//!
//! Karpenter changed the field from a closed struct to an open map; both are accepted. Reading returns
//! every problem at once. Quantities stay text, they are the model's to read. Settings that are not read
//! here are found by [`unsupported`](crate::api::unsupported), so that none is ignored unnoticed.

use core::net::IpAddr;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;
use thiserror::Error;

/// The settings that are honoured. Absent ones keep the image's default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kubelet {
    /// The most pods that run on a node.
    pub max_pods: Option<u32>,
    /// The most pods per CPU; 0 for no limit. The smaller of this and `max_pods` counts.
    pub pods_per_core: Option<u32>,
    /// Resources kept for the operating system, by `cpu`, `memory`, `ephemeral-storage`, `pid`.
    pub system_reserved: BTreeMap<String, Quantity>,
    /// Resources kept for Kubernetes' own processes, under the same names.
    pub kube_reserved: BTreeMap<String, Quantity>,
    /// Thresholds below which pods are evicted, by signal, for example `memory.available`.
    pub eviction_hard: BTreeMap<String, EvictionThreshold>,
    /// Addresses of the cluster's DNS servers.
    pub cluster_dns: Vec<String>,
}

/// How much of a resource must be left.
#[derive(Clone, Debug, PartialEq)]
pub enum EvictionThreshold {
    /// So many hundredths of a per cent of the capacity; 10,000 is all of it.
    HundredthsOfPercent(u32),
    /// So much.
    Quantity(Quantity),
}

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("spec.kubelet.{path}: {problem}")]
pub struct KubeletError {
    /// Path below `spec.kubelet`, for example `kubeReserved.gpu`.
    pub path: String,
    /// What was expected and what was found.
    pub problem: String,
}

/// Keys of `systemReserved` and `kubeReserved`.
const RESERVED: &[&str] = &["cpu", "memory", "ephemeral-storage", "pid"];
/// Keys of `evictionHard`.
const SIGNALS: &[&str] = &[
    "memory.available",
    "nodefs.available",
    "nodefs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
    "pid.available",
];

/// The schema of the field: any object.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Reads the settings that are honoured; with all problems if there are any.
pub fn parse(settings: &BTreeMap<String, Value>) -> Result<Kubelet, Vec<KubeletError>> {
    let mut errors = Vec::new();
    let kubelet = Kubelet {
        max_pods: number(settings, "maxPods", &mut errors),
        pods_per_core: number(settings, "podsPerCore", &mut errors),
        system_reserved: reserved(settings, "systemReserved", &mut errors),
        kube_reserved: reserved(settings, "kubeReserved", &mut errors),
        eviction_hard: thresholds(settings, "evictionHard", &mut errors),
        cluster_dns: addresses(settings, "clusterDNS", &mut errors),
    };
    if errors.is_empty() { Ok(kubelet) } else { Err(errors) }
}

fn report(errors: &mut Vec<KubeletError>, path: impl Into<String>, problem: impl Into<String>) {
    errors.push(KubeletError { path: path.into(), problem: problem.into() });
}

fn number(settings: &BTreeMap<String, Value>, key: &str, errors: &mut Vec<KubeletError>) -> Option<u32> {
    let value = settings.get(key)?;
    let number = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| i32::try_from(*n).is_ok());
    if number.is_none() {
        report(errors, key, format!("expected a whole number from 0 to 2147483647, found {value}"));
    }
    number
}

fn reserved(
    settings: &BTreeMap<String, Value>,
    key: &str,
    errors: &mut Vec<KubeletError>,
) -> BTreeMap<String, Quantity> {
    let mut quantities = BTreeMap::new();
    for (name, value) in entries(settings, key, RESERVED, errors) {
        match value.as_str() {
            Some(text) if text.starts_with('-') => {
                report(errors, format!("{key}.{name}"), format!("cannot be negative, found {text:?}"));
            }
            Some(text) => {
                quantities.insert(name.clone(), Quantity(text.to_owned()));
            }
            None => {
                report(errors, format!("{key}.{name}"), format!("expected a quoted quantity, found {value}"));
            }
        }
    }
    quantities
}

fn thresholds(
    settings: &BTreeMap<String, Value>,
    key: &str,
    errors: &mut Vec<KubeletError>,
) -> BTreeMap<String, EvictionThreshold> {
    let mut thresholds = BTreeMap::new();
    for (name, value) in entries(settings, key, SIGNALS, errors) {
        let path = format!("{key}.{name}");
        let Some(text) = value.as_str() else {
            report(errors, path, format!("expected a quoted quantity or percentage, found {value}"));
            continue;
        };
        let threshold = match text.strip_suffix('%') {
            Some(percent) => hundredths(percent).map(EvictionThreshold::HundredthsOfPercent),
            None if text.starts_with('-') => None,
            None => Some(EvictionThreshold::Quantity(Quantity(text.to_owned()))),
        };
        match threshold {
            Some(threshold) => {
                thresholds.insert(name.clone(), threshold);
            }
            None => report(
                errors,
                path,
                format!(
                    "expected a quantity, or a percentage from 0% to 100% with at most two decimals, found {text:?}"
                ),
            ),
        }
    }
    thresholds
}

fn addresses(settings: &BTreeMap<String, Value>, key: &str, errors: &mut Vec<KubeletError>) -> Vec<String> {
    let Some(value) = settings.get(key) else { return Vec::new() };
    let texts = value.as_array().map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)));
    let Some(texts) = texts.and_then(Iterator::collect::<Option<Vec<String>>>) else {
        report(errors, key, format!("expected a list of IP addresses, found {value}"));
        return Vec::new();
    };
    for (index, text) in texts.iter().enumerate() {
        if text.parse::<IpAddr>().is_err() {
            report(errors, format!("{key}[{index}]"), format!("expected an IP address, found {text:?}"));
        }
    }
    texts
}

/// The entries of an object, without those whose key is not known.
fn entries<'a>(
    settings: &'a BTreeMap<String, Value>,
    key: &str,
    known: &[&str],
    errors: &mut Vec<KubeletError>,
) -> Vec<(&'a String, &'a Value)> {
    let Some(value) = settings.get(key) else { return Vec::new() };
    let Some(object) = value.as_object() else {
        report(errors, key, format!("expected a map, found {value}"));
        return Vec::new();
    };
    let (good, bad): (Vec<_>, Vec<_>) = object.iter().partition(|(name, _)| known.contains(&name.as_str()));
    for (name, _) in bad {
        report(
            errors,
            format!("{key}.{name}"),
            format!("unknown name, expected one of {}", known.join(", ")),
        );
    }
    good
}

/// `7.25` is 725; `None` for anything that is no percentage with at most two decimals.
fn hundredths(percent: &str) -> Option<u32> {
    let (whole, decimals) = percent.split_once('.').unwrap_or((percent, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || whole.len() > 3 || decimals.len() > 2 {
        return None;
    }
    let decimals = format!("{decimals:0<2}").parse::<u32>().ok()?;
    Some(whole.parse::<u32>().ok()? * 100 + decimals).filter(|value| *value <= 10_000)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn read(settings: Value) -> Result<Kubelet, Vec<KubeletError>> {
        parse(&serde_json::from_value(settings).expect("an object"))
    }

    #[test]
    fn the_honoured_settings_are_read_and_the_others_left_alone() {
        let kubelet = read(json!({
            "maxPods": 42,
            "podsPerCore": 0,
            "systemReserved": { "cpu": "100m" },
            "kubeReserved": { "memory": "1Gi", "pid": "100" },
            "evictionHard": { "memory.available": "5%", "nodefs.available": "1Gi", "pid.available": "7.5%" },
            "clusterDNS": ["10.0.0.10", "fd00::10"],
            "cpuCFSQuota": false,
        }))
        .expect("valid");
        assert_eq!((kubelet.max_pods, kubelet.pods_per_core), (Some(42), Some(0)));
        assert_eq!(kubelet.kube_reserved.get("memory"), Some(&Quantity("1Gi".to_owned())));
        assert_eq!(
            kubelet.eviction_hard.values().cloned().collect::<Vec<_>>(),
            [
                EvictionThreshold::HundredthsOfPercent(500),
                EvictionThreshold::Quantity(Quantity("1Gi".to_owned())),
                EvictionThreshold::HundredthsOfPercent(750),
            ]
        );
        assert_eq!(kubelet.cluster_dns, ["10.0.0.10", "fd00::10"]);
        assert_eq!(read(json!({})), Ok(Kubelet::default()));
    }

    #[test]
    fn every_problem_is_reported_with_its_path() {
        let errors = read(json!({
            "maxPods": "cpus * 10",
            "podsPerCore": -1,
            "systemReserved": { "cpu": "-1", "gpu": "1", "memory": 5 },
            "kubeReserved": ["cpu"],
            "evictionHard": { "memory.available": "101%", "nodefs.available": "1.234%", "disk": "5%", "pid.available": "%" },
            "clusterDNS": ["dns.example.com"],
        }))
        .expect_err("refused");
        let text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") + "\n";
        expect![[r#"
            spec.kubelet.maxPods: expected a whole number from 0 to 2147483647, found "cpus * 10"
            spec.kubelet.podsPerCore: expected a whole number from 0 to 2147483647, found -1
            spec.kubelet.systemReserved.gpu: unknown name, expected one of cpu, memory, ephemeral-storage, pid
            spec.kubelet.systemReserved.cpu: cannot be negative, found "-1"
            spec.kubelet.systemReserved.memory: expected a quoted quantity, found 5
            spec.kubelet.kubeReserved: expected a map, found ["cpu"]
            spec.kubelet.evictionHard.disk: unknown name, expected one of memory.available, nodefs.available, nodefs.inodesFree, imagefs.available, imagefs.inodesFree, pid.available
            spec.kubelet.evictionHard.memory.available: expected a quantity, or a percentage from 0% to 100% with at most two decimals, found "101%"
            spec.kubelet.evictionHard.nodefs.available: expected a quantity, or a percentage from 0% to 100% with at most two decimals, found "1.234%"
            spec.kubelet.evictionHard.pid.available: expected a quantity, or a percentage from 0% to 100% with at most two decimals, found "%"
            spec.kubelet.clusterDNS[0]: expected an IP address, found "dns.example.com"
        "#]]
        .assert_eq(&text);
    }
}
