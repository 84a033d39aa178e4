//! Small problems as text, for tests.
//!
//! ```text
//! type s cpu=2 memory=4Gi pods=20; offer a on-demand 0.1; offer b spot 0.03 gone; offer c spot 0.03 no-subnet; labels size In small
//! pool general types=s; requires karpenter.sh/capacity-type In on-demand; taint team=a:NoSchedule; limits cpu=10; weight 5; held cpu=4
//! workload team-a general? spare         (in order; `?`: the next may be used when this one is short)
//! node n1 cpu=4 memory=8Gi pods=20; used cpu=1; daemons cpu=100m; labels team=a; taint team=a:NoSchedule; port 80; starting
//! daemon agent cpu=100m; wants team In a; tolerate team=a:NoSchedule; port 80; barred team=b:NoSchedule
//! pod web x50 cpu=500m; type team-a; wants zone In a, size In small | zone In b; tolerate team=a:NoSchedule; port 80; age 3; spread
//! ```
//!
//! Without a line `type` there are those of [`EC2`]. A pool without `types=` has all of them; one may end in `*`.

use std::{collections::BTreeMap, sync::Arc};

use expect_test::Expect;

use super::{
    Catalog, Daemon, ExistingNode, PendingPod, Plan, Pool, PoolPreference, Problem, WorkloadType, solve,
    verify,
};
use crate::model::{
    InstanceType, NodePool, Pod, Quantity, Requirement, Requirements, ResourceList, Taint, Toleration,
    host_port::HostPort,
    instance_type::{CapacityType, MachineResources, Offering, Overhead},
    label::{self, LabelKeys},
    node_pool::Limits,
    pod::{NodeAlternative, PodKey, UnsupportedConstraint},
    resources,
    testing::{requirements, resource_list},
};

/// A few types with what they leave for pods and their prices in us-east-1.
pub(super) const EC2: &str = "\
    type c7i.large cpu=1930m memory=3114Mi pods=29; price 0.08925
    type c7i.xlarge cpu=3920m memory=6584Mi pods=58; price 0.1785
    type c7i.2xlarge cpu=7910m memory=14162Mi pods=58; price 0.357
    type c7i.4xlarge cpu=15890m memory=27381Mi pods=234; price 0.714
    type c7i.8xlarge cpu=31850m memory=57691Mi pods=234; price 1.428
    type c7i.24xlarge cpu=95690m memory=173400Mi pods=737; price 4.284
    type m5a.large cpu=1930m memory=6903Mi pods=29; price 0.086
    type m5a.xlarge cpu=3920m memory=14162Mi pods=58; price 0.172
    type c7g.xlarge cpu=3920m memory=6584Mi pods=58; price 0.145; labels kubernetes.io/arch In arm64";

/// The labels that every node gets from its provider here.
pub(super) const WELL_KNOWN: [&str; 9] = [
    label::ZONE,
    label::ARCH,
    label::OS,
    label::INSTANCE_TYPE,
    label::CAPACITY_TYPE,
    crate::api::labels::NODEPOOL,
    crate::api::labels::INSTANCE_FAMILY,
    crate::api::labels::INSTANCE_CPU,
    "size",
];

/// Solves a problem, has the plan verified, and compares its text.
#[track_caller]
pub(super) fn check(text: &str, expected: &Expect) {
    expected.assert_eq(&solved(&problem(text)).to_string());
}

/// The plan of a problem, verified.
#[track_caller]
pub(super) fn solved(problem: &Problem) -> Plan {
    let plan = solve(problem);
    let violations = verify(problem, &plan);
    let shown: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{}\n{plan}", shown.join("\n"));
    plan
}

/// Reads a problem.
#[track_caller]
pub(super) fn problem(text: &str) -> Problem {
    let mut types = Vec::new();
    let lines: Vec<Line<'_>> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Line::read).collect();
    let of_kind = |kind: &'static str| lines.iter().filter(move |line| line.kind == kind);
    let standard: Vec<Line<'_>> = EC2.lines().map(str::trim).map(Line::read).collect();
    types.extend(of_kind("type").map(instance_type));
    if types.is_empty() {
        types.extend(standard.iter().map(instance_type));
    }
    let known = ["type", "pool", "workload", "node", "daemon", "pod"];
    assert!(lines.iter().all(|line| known.contains(&line.kind)), "unknown line");
    Problem {
        pods: of_kind("pod").flat_map(pending_pods).collect(),
        nodes: of_kind("node").map(node).collect(),
        pools: of_kind("pool").map(|line| pool(line, &types)).collect(),
        workload_types: of_kind("workload").map(workload_type).collect(),
        daemons: of_kind("daemon").map(daemon).collect(),
        well_known: WELL_KNOWN.into_iter().collect::<LabelKeys>(),
    }
}

fn daemon(line: &Line<'_>) -> Daemon {
    let barred = line.all("barred").map(|taint| taint.parse().unwrap()).collect();
    Daemon { pod: pod(line, line.name), barred }
}

/// `kind name word word; clause …; clause …`.
struct Line<'t> {
    kind: &'t str,
    name: &'t str,
    words: Vec<&'t str>,
    clauses: Vec<(&'t str, &'t str)>,
}

impl<'t> Line<'t> {
    #[track_caller]
    fn read(text: &'t str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut words = parts.next().unwrap().split_whitespace();
        let (kind, name) = (words.next().unwrap(), words.next().unwrap());
        let clauses = parts.map(|part| part.split_once(' ').unwrap_or((part, "")));
        Self { kind, name, words: words.collect(), clauses: clauses.collect() }
    }

    fn all<'s>(&'s self, clause: &'s str) -> impl Iterator<Item = &'t str> + 's {
        self.clauses.iter().filter(move |(name, _)| *name == clause).map(|(_, text)| *text)
    }

    fn one(&self, clause: &str) -> Option<&'t str> {
        self.all(clause).next()
    }

    fn amounts(&self) -> ResourceList {
        let words: Vec<_> = self.words.iter().copied().filter(|word| is_amount(word)).collect();
        resource_list(&words.join(" "))
    }

    fn list(&self, clause: &str) -> ResourceList {
        resource_list(self.one(clause).unwrap_or_default())
    }

    fn taints(&self) -> Vec<Taint> {
        self.all("taint").map(|taint| taint.parse().unwrap()).collect()
    }

    fn host_ports(&self) -> Vec<HostPort> {
        let port = |port: &str| HostPort {
            ip: "0.0.0.0".into(),
            port: port.parse().unwrap(),
            protocol: "TCP".into(),
        };
        self.all("port").map(port).collect()
    }
}

fn is_amount(word: &str) -> bool {
    word.contains('=') && !word.starts_with("types=")
}

fn instance_type(line: &Line<'_>) -> InstanceType {
    let family = line.name.split('.').next().unwrap();
    let mut offers: Vec<Offering> = line.all("offer").map(offering).collect();
    if let Some(price) = line.one("price") {
        offers.extend(["a", "b", "c"].map(|zone| offering(&format!("{zone} on-demand {price}"))));
    }
    let mut labels = Requirements::from_labels([
        (label::INSTANCE_TYPE, line.name),
        (crate::api::labels::INSTANCE_FAMILY, family),
    ]);
    let cpu = line.amounts().amount(resources::CPU).units().to_string();
    labels.add(Requirement::one_of(crate::api::labels::INSTANCE_CPU, [cpu.as_str()]));
    let has_subnet = |text: &&str| !text.ends_with("no-subnet");
    let zones = offers.iter().map(|offer| offer.zone.as_str());
    let closed: Vec<_> = { line.all("offer").filter(|text| !has_subnet(text)) }
        .filter_map(|text| text.split_whitespace().next())
        .collect();
    labels.add(Requirement::one_of(label::ZONE, zones.filter(|zone| !closed.contains(zone))));
    let bought = offers.iter().map(|offer| offer.capacity_type.name());
    labels.add(Requirement::one_of(label::CAPACITY_TYPE, bought));
    let given = requirements(&line.all("labels").collect::<Vec<_>>().join(","));
    for (key, usual) in [(label::ARCH, "amd64"), (label::OS, "linux")] {
        if given.get(key).is_none() {
            labels.add(Requirement::one_of(key, [usual]));
        }
    }
    labels.extend(given.iter().cloned());
    InstanceType {
        name: line.name.to_owned(),
        requirements: labels,
        resources: MachineResources::new(line.amounts(), Overhead::default()),
        offerings: offers,
    }
}

fn offering(text: &str) -> Offering {
    let words: Vec<_> = text.split_whitespace().collect();
    let [zone, bought, price, rest @ ..] = &words[..] else { panic!("offer {text}") };
    let all = [CapacityType::Reserved, CapacityType::OnDemand, CapacityType::Spot];
    Offering {
        zone: (*zone).to_owned(),
        capacity_type: all.into_iter().find(|known| known.name() == *bought).unwrap(),
        labels: BTreeMap::new(),
        price: price.parse().unwrap(),
        is_available: rest.is_empty(),
    }
}

fn pool(line: &Line<'_>, types: &[InstanceType]) -> Pool {
    let wanted = line.words.iter().find_map(|word| word.strip_prefix("types=")).unwrap_or("*");
    let is_wanted = |instance_type: &&InstanceType| {
        wanted.split(',').any(|wanted| match wanted.strip_suffix('*') {
            Some(start) => instance_type.name.starts_with(start),
            None => instance_type.name == wanted,
        })
    };
    let startup = line.all("startup").map(|taint| taint.parse().unwrap());
    Pool {
        node_pool: NodePool {
            name: line.name.to_owned(),
            weight: line.one("weight").map_or(0, |weight| weight.parse().unwrap()),
            requirements: requirements(&line.all("requires").collect::<Vec<_>>().join(",")),
            taints: line.taints(),
            startup_taints: startup.collect(),
            limits: Limits(line.list("limits")),
        },
        node_class: "default".to_owned(),
        catalog: Arc::new(Catalog::new(types.iter().filter(is_wanted).cloned().collect())),
        held: line.list("held"),
        not_ready: line.one("not-ready").map(str::to_owned),
    }
}

fn workload_type(line: &Line<'_>) -> WorkloadType {
    let pools = line.words.iter().map(|word| {
        let (pool, may_fall_back) = word.strip_suffix('?').map_or((*word, false), |pool| (pool, true));
        PoolPreference { pool: pool.to_owned(), may_fall_back }
    });
    WorkloadType { name: line.name.to_owned(), pools: pools.collect() }
}

fn node(line: &Line<'_>) -> ExistingNode {
    let labels =
        line.all("labels").flat_map(str::split_whitespace).map(|label| label.split_once('=').unwrap());
    ExistingNode {
        name: line.name.to_owned(),
        is_initialized: line.one("starting").is_none(),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        taints: line.taints(),
        allocatable: line.amounts(),
        requests: line.list("used"),
        daemon_requests: line.list("daemons"),
        host_ports: line.host_ports(),
    }
}

fn pending_pods(line: &Line<'_>) -> Vec<PendingPod> {
    let count = line.words.iter().find_map(|word| word.strip_prefix('x')?.parse().ok());
    let names = match count {
        None => vec![line.name.to_owned()],
        Some(count) => (0..count).map(|i: u32| format!("{}-{i:03}", line.name)).collect(),
    };
    let workload_type = line.one("type").map(str::to_owned);
    names
        .iter()
        .map(|name| PendingPod { pod: pod(line, name), workload_type: workload_type.clone() })
        .collect()
}

fn pod(line: &Line<'_>, name: &str) -> Pod {
    let mut alternatives: Vec<_> =
        line.all("wants").flat_map(|terms| terms.split('|')).map(requirements).collect();
    if alternatives.is_empty() {
        alternatives.push(Requirements::new());
    }
    let tolerate = |taint: &str| match taint {
        "everything" => Toleration { operator: "Exists".into(), ..Toleration::default() },
        taint => Toleration::of(&taint.parse().unwrap()).into_owned(),
    };
    let spread = line
        .one("spread")
        .map(|_| UnsupportedConstraint::TopologySpread { topology_key: label::ZONE.to_owned() });
    let age = line.one("age").map_or(0, |age| age.parse::<i64>().unwrap());
    Pod {
        key: PodKey { namespace: "default".to_owned(), name: name.to_owned() },
        uid: format!("uid-of-{name}"),
        created: Some(jiff::Timestamp::from_second(1_000_000 - age).unwrap()),
        alternatives: alternatives
            .into_iter()
            .map(|requirements| NodeAlternative { requirements, node_name: None })
            .collect(),
        tolerations: line.all("tolerate").map(tolerate).collect(),
        requests: line.amounts().with(resources::PODS, Quantity::from_units(1)),
        host_ports: line.host_ports(),
        unsupported: spread.into_iter().collect(),
        ..Pod::default()
    }
}
