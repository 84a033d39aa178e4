//! How much a machine offers: what its instance type has, less what nodeadm and the kubelet keep.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Map, Value};

use crate::ec2::query::InstanceSize;

/// The hypervisor keeps a part of the advertised memory. The share that Karpenter assumes by default, so that a
/// machine here is no larger than what was planned for.
const HYPERVISOR_PERMILLE: u64 = 75;
const MEBIBYTE: u64 = 1024 * 1024;
const EVICTION_MEBIBYTES: u64 = 100;

/// `capacity` and `allocatable` of a node.
#[derive(Debug, PartialEq)]
pub(crate) struct Resources {
    pub(crate) capacity: BTreeMap<String, Quantity>,
    pub(crate) allocatable: BTreeMap<String, Quantity>,
}

impl Resources {
    /// The node's resources under this kubelet configuration.
    ///
    /// `systemReserved` and `evictionHard` beyond the default are not modelled; a reservation that the configuration
    /// gives replaces nodeadm's own, resource by resource.
    pub(crate) fn of(size: &InstanceSize, root_gibibytes: u64, kubelet: &Map<String, Value>) -> Self {
        let network_pods = size.network_interfaces * size.addresses_per_interface.saturating_sub(1) + 2;
        let pods = kubelet.get("maxPods").and_then(Value::as_u64).unwrap_or(network_pods);
        let memory = size.memory_mebibytes - (size.memory_mebibytes * HYPERVISOR_PERMILLE).div_ceil(1000);
        let disk = root_gibibytes * 1024 * MEBIBYTE;

        let reserved =
            |resource: &str| kubelet.get("kubeReserved")?.get(resource)?.as_str().map(str::to_owned);
        let reserved_cpu =
            reserved("cpu").and_then(|text| millis(&text)).unwrap_or_else(|| reserved_millis(size.cpus));
        let reserved_memory =
            reserved("memory").and_then(|text| mebibytes(&text)).unwrap_or(11 * network_pods + 255);

        let quantities = |cpu_millis: u64, memory: u64, disk: u64| {
            BTreeMap::from([
                ("cpu".to_owned(), Quantity(format!("{cpu_millis}m"))),
                ("memory".to_owned(), Quantity(format!("{memory}Mi"))),
                ("ephemeral-storage".to_owned(), Quantity(disk.to_string())),
                ("pods".to_owned(), Quantity(pods.to_string())),
            ])
        };
        Self {
            capacity: quantities(size.cpus * 1000, memory, disk),
            allocatable: quantities(
                (size.cpus * 1000).saturating_sub(reserved_cpu),
                memory.saturating_sub(reserved_memory + EVICTION_MEBIBYTES),
                // The kubelet evicts below a tenth of the disk, and nodeadm reserves a gibibyte.
                (disk - disk / 10).saturating_sub(1024 * MEBIBYTE),
            ),
        }
    }
}

/// nodeadm's CPU reservation: 6 % of the first core, 1 % of the second, 0.5 % of the next two, 0.25 % of the rest.
fn reserved_millis(cpus: u64) -> u64 {
    let millis = cpus * 1000;
    let tier = |from: u64, to: u64, per_ten_thousand: u64| {
        millis.min(to).saturating_sub(from) * per_ten_thousand / 10_000
    };
    tier(0, 1000, 600) + tier(1000, 2000, 100) + tier(2000, 4000, 50) + tier(4000, u64::MAX, 25)
}

fn millis(quantity: &str) -> Option<u64> {
    match quantity.strip_suffix('m') {
        Some(millis) => millis.parse().ok(),
        None => quantity.parse::<u64>().ok().map(|cores| cores * 1000),
    }
}

fn mebibytes(quantity: &str) -> Option<u64> {
    match (quantity.strip_suffix("Mi"), quantity.strip_suffix("Gi")) {
        (Some(mebibytes), _) => mebibytes.parse().ok(),
        (_, Some(gibibytes)) => gibibytes.parse::<u64>().ok().map(|gibibytes| gibibytes * 1024),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(size: (u64, u64, u64, u64), kubelet: Value, allocatable: [&str; 3]) {
        let size = InstanceSize {
            cpus: size.0,
            memory_mebibytes: size.1,
            architecture: "amd64".to_owned(),
            network_interfaces: size.2,
            addresses_per_interface: size.3,
        };
        let resources = Resources::of(&size, 20, kubelet.as_object().unwrap());
        let found = ["cpu", "memory", "pods"].map(|name| resources.allocatable[name].0.as_str());
        assert_eq!(found, allocatable);
    }

    #[test]
    fn m5_large_offers_what_amazon_publishes() {
        check((2, 8192, 3, 10), json!({}), ["1930m", "6903Mi", "29"]);
    }

    #[test]
    fn the_configuration_decides_pods_and_reservations() {
        let kubelet = json!({"maxPods": 10, "kubeReserved": {"cpu": "100m", "memory": "1Gi"}});
        check((2, 8192, 3, 10), kubelet, ["1900m", "6453Mi", "10"]);
    }
}
