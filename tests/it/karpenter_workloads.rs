//! The same workloads as were given to Karpenter's own code, where that data is at hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Instant,
};

use k8s_openapi::api::core::v1::{Node as ApiNode, Pod as ApiPod};
use serde_json::Value;

use treenail::{
    api::labels,
    model::{
        InstanceType, NodePool, Pod, Price, Requirement, Requirements, ResourceList, Taint,
        instance_type::{CapacityType, MachineResources, Offering, Overhead},
        label::{self, LabelKeys},
        node_pool::Limits,
        resources::NODES,
        taints,
    },
    scheduling::{Catalog, Daemon, ExistingNode, PendingPod, Pool, Problem, solve, verify},
};

use crate::support::tell;

/// The data; a test that is not told where it is says so and does nothing.
#[expect(clippy::disallowed_methods, reason = "the test's data is found by an environment variable")]
fn folder() -> Option<PathBuf> {
    let folder = std::env::var("TREENAIL_DATA").ok().map(PathBuf::from);
    if folder.is_none() {
        tell("skipped: TREENAIL_DATA does not name the folder with Karpenter's workloads");
    }
    folder
}

fn read(path: &Path) -> Value {
    let text = if path.extension().is_some_and(|extension| extension == "gz") {
        Command::new("gzip").arg("-dc").arg(path).output().unwrap().stdout
    } else {
        std::fs::read(path).unwrap()
    };
    serde_json::from_slice(&text).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn amounts(value: &Value) -> ResourceList {
    let amounts: BTreeMap<String, _> = serde_json::from_value(value.clone()).unwrap_or_default();
    ResourceList::from_api(&amounts).unwrap()
}

fn catalog(catalog: &Value) -> Arc<Catalog> {
    Arc::new(Catalog::new(catalog["instanceTypes"].as_array().unwrap().iter().map(instance_type).collect()))
}

fn instance_type(value: &Value) -> InstanceType {
    let labels = value["labels"].as_object().unwrap().iter().map(|(key, values)| match &texts(values)[..] {
        [] => Requirement::does_not_exist(key),
        values => Requirement::one_of(key, values.iter().map(String::as_str)),
    });
    let overhead = &value["overhead"];
    let offerings = value["offerings"].as_array().unwrap().iter().map(|offering| Offering {
        zone: offering["zone"].as_str().unwrap().to_owned(),
        capacity_type: [CapacityType::Reserved, CapacityType::OnDemand, CapacityType::Spot]
            .into_iter()
            .find(|known| known.name() == offering["capacityType"])
            .unwrap(),
        labels: BTreeMap::new(),
        price: format!("{:.9}", offering["price"].as_f64().unwrap()).parse().unwrap(),
        is_available: offering["available"].as_bool().unwrap(),
    });
    InstanceType {
        name: texts(&value["labels"][label::INSTANCE_TYPE]).concat(),
        requirements: labels.collect(),
        resources: MachineResources::new(
            amounts(&value["capacity"]),
            Overhead {
                kube_reserved: amounts(&overhead["kubeReserved"]),
                system_reserved: amounts(&overhead["systemReserved"]),
                eviction_threshold: amounts(&overhead["evictionThreshold"]),
            },
        ),
        offerings: offerings.collect(),
    }
}

fn well_known(catalog: &Value) -> LabelKeys {
    let given = texts(&catalog["wellKnownLabels"]).into_iter().map(|key| &*key.leak());
    let core = [
        labels::NODEPOOL,
        label::CAPACITY_TYPE,
        label::ZONE,
        label::REGION,
        label::INSTANCE_TYPE,
        label::ARCH,
        label::OS,
        labels::WINDOWS_BUILD,
    ];
    given.chain(core).collect()
}

fn taint_list(value: &Value) -> Vec<Taint> {
    let api: Vec<k8s_openapi::api::core::v1::Taint> =
        serde_json::from_value(value.clone()).unwrap_or_default();
    api.iter().map(|taint| taint.try_into().unwrap()).collect()
}

fn pool(value: &Value, catalog: &Arc<Catalog>, nodes: &[Value]) -> Pool {
    let (name, spec) = (value["metadata"]["name"].as_str().unwrap(), &value["spec"]);
    let template = &spec["template"];
    let mut requirements = Requirements::new();
    for entry in template["spec"]["requirements"].as_array().into_iter().flatten() {
        let text = |field: &str| entry[field].as_str().unwrap();
        requirements
            .add(Requirement::parse(text("key"), text("operator"), &texts(&entry["values"])).unwrap());
    }
    for (key, value) in template["metadata"]["labels"].as_object().into_iter().flatten() {
        requirements.add(Requirement::one_of(key, [value.as_str().unwrap()]));
    }
    let mut held = ResourceList::new().with(NODES, 0.to_string().parse().unwrap());
    for node in nodes.iter().filter(|node| node["node"]["metadata"]["labels"][labels::NODEPOOL] == name) {
        held += &amounts(&node["node"]["status"]["capacity"]);
        held += &ResourceList::new().with(NODES, "1".parse().unwrap());
    }
    Pool {
        node_pool: NodePool {
            name: name.to_owned(),
            weight: spec["weight"].as_u64().map_or(0, |weight| weight.try_into().unwrap()),
            requirements,
            taints: taint_list(&template["spec"]["taints"]),
            startup_taints: taint_list(&template["spec"]["startupTaints"]),
            limits: Limits(amounts(&spec["limits"])),
        },
        catalog: Arc::clone(catalog),
        held,
        node_class: "default".to_owned(),
        not_ready: None,
    }
}

fn existing_node(value: &Value) -> Option<ExistingNode> {
    let node: ApiNode = serde_json::from_value(value["node"].clone()).ok()?;
    let status = node.status.unwrap_or_default();
    let labels = node.metadata.labels.unwrap_or_default();
    let is_initialized = labels.contains_key(labels::INITIALIZED);
    let is_ours = labels.contains_key(labels::NODEPOOL);
    let startup = taint_list(&value["nodeClaim"]["spec"]["startupTaints"]);
    let starts_with =
        |taint: &Taint| taint.is_ephemeral() || startup.iter().any(|other| other.is_same(taint));
    let mut taints = taint_list(&value["node"]["spec"]["taints"]);
    taints::merge(
        &mut taints,
        taint_list(&value["nodeClaim"]["spec"]["taints"]).into_iter().filter(|_| !is_initialized && is_ours),
    );
    taints.retain(|taint| is_initialized || !is_ours || !starts_with(taint));
    let pods: Vec<Pod> = value["pods"].as_array().into_iter().flatten().map(pod).collect();
    let daemons = pods.iter().filter(|pod| pod.is_owned_by_daemon_set()).map(|pod| &pod.requests);
    Some(ExistingNode {
        name: node.metadata.name?,
        is_initialized: is_initialized || !is_ours,
        labels,
        taints,
        allocatable: ResourceList::from_api(&status.allocatable.or(status.capacity).unwrap_or_default())
            .unwrap(),
        requests: pods.iter().map(|pod| &pod.requests).sum(),
        daemon_requests: daemons.sum(),
        host_ports: pods.iter().flat_map(|pod| pod.host_ports.clone()).collect(),
    })
}

fn pod(value: &Value) -> Pod {
    let pod: ApiPod = serde_json::from_value(value.clone()).unwrap();
    Pod::from_api(&pod).unwrap()
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn daemon(pod: Pod) -> Daemon {
    Daemon { pod, ..Daemon::default() }
}

fn problem(workload: &Value, pools: &[Value], catalog_value: &Value, catalog: &Arc<Catalog>) -> Problem {
    let nodes = list(workload, "existing");
    Problem {
        pods: list(workload, "pods")
            .iter()
            .map(|value| PendingPod { pod: pod(value), workload_type: None })
            .collect(),
        nodes: nodes.iter().filter_map(existing_node).collect(),
        pools: pools.iter().map(|value| pool(value, catalog, nodes)).collect(),
        workload_types: Vec::new(),
        daemons: list(workload, "daemonSets").iter().map(pod).map(daemon).collect(),
        well_known: well_known(catalog_value),
    }
}

#[expect(clippy::cast_precision_loss, reason = "prices are compared with those of a table in dollars")]
fn dollars(price: Price) -> f64 {
    price.nanos() as f64 / 1e9
}

/// The most that a plan may cost, as a part of what Karpenter's dearest did.
const MOST_OF_KARPENTERS_PRICE: f64 = 1.0;

#[test]
fn plans_for_karpenters_workloads_are_right_and_never_dearer() {
    let Some(folder) = folder() else { return };
    let rows = read(&folder.join("karpenter.json"));
    let catalogs = ["aws1345", "fake400", "kwok144"].map(|name| {
        let value = read(&folder.join(format!("catalogs/{name}.json.gz")));
        let built = Instant::now();
        let catalog = catalog(&value);
        println!("catalogue {name}: {} types in {:?}", catalog.types().len(), built.elapsed());
        (name, (value, catalog))
    });
    let catalogs = BTreeMap::from(catalogs);
    println!(
        "{:<16} {:<8} {:<17} {:>6} {:>6} {:>10} {:>7} {:>7} {:>8}",
        "workload", "catalog", "pools", "placed", "nodes", "$/h", "/lb1", "/karp.", "ms"
    );
    let rows = rows.as_array().or_else(|| rows["rows"].as_array()).unwrap();
    for row in rows {
        let text = |field: &str| row[field].as_str().unwrap();
        let (workload, pools) = (text("workload"), text("nodePools"));
        // Most pods of the others have constraints that are not solved yet.
        let is_ours = ["generic-100", "generic-1000", "generic-5000", "e2e-basic-1000", "e2e-basic-5000"]
            .contains(&workload);
        let is_large = workload.ends_with("5000") && text("catalog") == "aws1345";
        let is_partly_ours = workload == "diverse-1000" && pools == "aws-cmr";
        if is_large || !(is_ours || is_partly_ours) {
            continue;
        }
        let catalog = if text("catalog") == "aws-cmr" { "aws1345" } else { text("catalog") };
        let (catalog_value, catalog) = &catalogs[catalog];
        let pods = read(&folder.join(format!("workloads/{workload}.json.gz")));
        let pool_list = read(&folder.join(format!("nodepools/{pools}.json")));
        let problem = problem(&pods, pool_list.as_array().unwrap(), catalog_value, catalog);
        let started = Instant::now();
        let plan = solve(&problem);
        let elapsed = started.elapsed();
        let violations = verify(&problem, &plan);
        assert_eq!(violations, [], "{workload} on {pools}");
        let placed = problem.pods.len() - plan.unschedulable.len();
        let price = dollars(plan.price());
        let of_karpenter = price / row["priceMax"].as_f64().unwrap();
        println!(
            "{workload:<16} {:<8} {pools:<17} {placed:>6} {:>6} {price:>10.4} {:>7.3} {of_karpenter:>7.3} {:>8.1}",
            text("catalog"),
            plan.claims.len(),
            price / row["lb1"].as_f64().unwrap(),
            elapsed.as_secs_f64() * 1e3,
        );
        if is_ours {
            assert_eq!(placed, problem.pods.len());
            assert!(of_karpenter <= MOST_OF_KARPENTERS_PRICE, "{workload} on {pools}: {of_karpenter}");
        } else {
            let unsupported =
                plan.unschedulable.iter().all(|pod| pod.reasons[0].reason.code() == "NotSupportedYet");
            assert!(unsupported);
        }
    }
}

#[test]
fn what_is_solved_yet_is_placed_where_karpenter_places_it_and_left_out_where_it_does() {
    let Some(folder) = folder() else { return };
    let cases = read(&folder.join("cases/part-00.json.gz"));
    let (mut compared, mut different) = (0, Vec::new());
    for case in cases["scenarios"].as_array().unwrap() {
        let (name, input) = (case["name"].as_str().unwrap(), &case["input"]);
        // A pool that asks for a minimum of values is not used yet at all.
        if texts(&case["features"]).iter().any(|feature| feature == "minValues") {
            continue;
        }
        let catalog = catalog(&input["catalog"]);
        let problem = problem(input, list(input, "nodePools"), &input["catalog"], &catalog);
        let plan = solve(&problem);
        assert_eq!(verify(&problem, &plan), [], "{name}");
        let expected: BTreeSet<&str> =
            list(&case["expected"], "unschedulable").iter().map(|pod| pod["uid"].as_str().unwrap()).collect();
        let left_out: BTreeMap<_, _> =
            plan.unschedulable.iter().map(|left| (&left.pod, &left.reasons)).collect();
        for pending in problem.pods.iter().filter(|pending| pending.pod.unsupported.is_empty()) {
            compared += 1;
            let reasons = left_out.get(&pending.pod.key);
            if reasons.is_some() != expected.contains(pending.pod.uid.as_str()) {
                let shown = reasons
                    .map(|reasons| reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
                different.push((
                    name,
                    format!("{}: {}", pending.pod.key, shown.unwrap_or_else(|| "placed".to_owned())),
                ));
            }
        }
    }
    println!("{compared} pods compared");
    assert!(different.is_empty(), "{different:#?}");
}
