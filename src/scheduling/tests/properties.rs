//! What holds for every problem.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    super::{Problem, solve, verify},
    *,
};
use crate::model::{Price, pod::PodKey};

/// A line of a few words, each from its list.
fn line(start: &'static str, clauses: &[&[&'static str]]) -> BoxedStrategy<String> {
    let clauses: Vec<_> = clauses.iter().map(|choices| prop::sample::select(choices.to_vec())).collect();
    clauses
        .prop_map(move |chosen| {
            let chosen: Vec<_> = chosen.into_iter().filter(|clause| !clause.is_empty()).collect();
            format!("{start}{}", chosen.join("; "))
        })
        .boxed()
}

/// So many lines, each with a name of its own.
fn lines(
    kind: &'static str,
    each: BoxedStrategy<String>,
    count: std::ops::Range<usize>,
) -> BoxedStrategy<String> {
    prop::collection::vec(each, count)
        .prop_map(move |rest| {
            let lines = rest.iter().enumerate().map(|(i, rest)| format!("{kind} {kind}{i} {rest}\n"));
            lines.collect::<Vec<_>>().concat()
        })
        .boxed()
}

const WANTS: &[&str] = &[
    "",
    "",
    "wants topology.kubernetes.io/zone In a",
    "wants topology.kubernetes.io/zone In a b, karpenter.sh/capacity-type In spot",
    "wants team In x",
    "wants team NotIn x",
    "wants team Exists",
    "wants size In small | size In large",
    "wants kubernetes.io/os In windows mac",
    "wants kubernetes.io/os In linux mac",
    "wants size DoesNotExist",
    "wants disk DoesNotExist",
    "wants disk NotIn slow",
    "wants karpenter.sh/nodepool In pool1 | topology.kubernetes.io/zone In c",
];
const TOLERATIONS: &[&str] =
    &["", "tolerate a:NoSchedule", "tolerate b:NoExecute; tolerate a:NoSchedule", "tolerate everything"];
const PORTS: &[&str] = &["", "", "", "", "port 80", "port 81", "port 80; port 81"];

fn types() -> BoxedStrategy<String> {
    let each = line(
        "",
        &[
            &[
                "cpu=2 memory=4Gi pods=8",
                "cpu=4 memory=16Gi pods=8",
                "cpu=8 memory=16Gi pods=50",
                "cpu=4 memory=8Gi pods=8 gpu=2",
            ],
            &["offer a on-demand 0.2", "offer b on-demand 0.4", "offer c on-demand 0.3 gone"],
            &["", "offer a spot 0.05", "offer b spot 0.1", "offer d spot 0.01 gone"],
            &[
                "",
                "labels size In small",
                "labels size In large",
                "labels kubernetes.io/os In linux windows",
                "labels size Exists",
                "labels disk In fast",
            ],
        ],
    );
    lines("type", each, 1..5)
}

fn pools(limits: &[&'static str], not_ready: &[&'static str]) -> BoxedStrategy<String> {
    let each = line(
        "",
        &[
            &["", "types=type0", "types=type0,type1"],
            &[
                "",
                "",
                "requires team In x y",
                "requires team Exists",
                "requires karpenter.sh/capacity-type In on-demand",
                "requires size NotIn large",
            ],
            &["", "", "taint a:NoSchedule", "taint b:NoExecute", "taint a:PreferNoSchedule"],
            &["", "weight 1", "weight 2"],
            limits,
            not_ready,
        ],
    );
    lines("pool", each, 1..4)
}

fn pods(types: &[&'static str], count: std::ops::Range<usize>) -> BoxedStrategy<String> {
    let each = line("", &[&["x1", "x2", "x5"], &["", "", "spread"], WANTS, TOLERATIONS, PORTS, types]);
    let sizes = line(
        "",
        &[&[
            "cpu=100m memory=100Mi",
            "cpu=1 memory=1Gi",
            "cpu=500m memory=3Gi",
            "cpu=3 memory=2Gi",
            "",
            "cpu=100",
            "gpu=1",
        ]],
    );
    let each = (each, sizes).prop_map(|(rest, size)| {
        let (count, rest) = rest.split_once(';').unwrap_or((&rest, ""));
        format!("{count} {size};{rest}")
    });
    lines("pod", each.boxed(), count)
}

fn surroundings() -> BoxedStrategy<String> {
    let node = line(
        "cpu=4 memory=8Gi pods=6; ",
        &[
            &["", "used cpu=1 memory=1Gi", "used cpu=5"],
            &["", "labels team=x", "labels team=x size=small topology.kubernetes.io/zone=a"],
            &["", "", "taint a:NoSchedule"],
            &["", "port 80"],
            &["", "starting"],
        ],
    );
    let daemon = line(
        "",
        &[
            &["cpu=100m memory=200Mi", "cpu=100m memory=200Mi", "cpu=5", "cpu=9"],
            &["", "tolerate everything"],
            WANTS,
            &["", "", "port 80"],
            &["", "", "barred a:NoSchedule"],
        ],
    );
    let workload = line("", &[&["pool0", "pool0 pool1", "pool0? pool1 pool2", "pool7 pool1"]]);
    (lines("node", node, 0..3), lines("daemon", daemon, 0..3), lines("workload", workload, 0..2))
        .prop_map(|(nodes, daemons, workloads)| format!("{nodes}{daemons}{workloads}"))
        .boxed()
}

fn any_problem() -> BoxedStrategy<String> {
    let limits = &["", "", "limits cpu=9", "limits memory=20Gi; held memory=4Gi", "limits nodes=2"];
    let not_ready = &["", "", "", "not-ready for a reason"];
    (
        types(),
        pools(limits, not_ready),
        surroundings(),
        pods(&["", "", "type workload0", "type nobody"], 0..12),
    )
        .prop_map(|(types, pools, surroundings, pods)| format!("{types}{pools}{surroundings}{pods}"))
        .boxed()
}

/// A problem in which every pool can launch as many nodes as it likes, and no pod has to wait for one.
fn unlimited_problem() -> BoxedStrategy<String> {
    (types(), pools(&[""], &[""]), pods(&[""], 0..12))
        .prop_map(|(types, pools, pods)| format!("{types}{pools}{pods}"))
        .boxed()
}

fn placed(problem: &Problem) -> BTreeSet<PodKey> {
    let left_out: BTreeSet<_> =
        solved(problem).unschedulable.into_iter().map(|left_out| left_out.pod).collect();
    problem.pods.iter().map(|pending| pending.pod.key.clone()).filter(|pod| !left_out.contains(pod)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_plan_is_right(text in any_problem()) {
        let problem = problem(&text);
        let plan = solve(&problem);
        prop_assert_eq!(verify(&problem, &plan), vec![], "{}", plan);
        for left_out in &plan.unschedulable {
            prop_assert!(!left_out.reasons.is_empty());
        }
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(text in any_problem(), seed in any::<u64>()) {
        let problem = problem(&text);
        let mut shuffled = problem.clone();
        shuffle(&mut shuffled.pods, seed);
        shuffle(&mut shuffled.nodes, seed);
        shuffle(&mut shuffled.pools, seed);
        shuffle(&mut shuffled.daemons, seed);
        shuffle(&mut shuffled.workload_types, seed);
        let (plan, other) = (solve(&problem), solve(&shuffled));
        prop_assert_eq!(plan.to_string(), other.to_string());
        prop_assert_eq!(format!("{plan:?}"), format!("{other:?}"));
    }

    #[test]
    fn a_further_pool_never_leaves_a_pod_without_a_node_that_had_one(text in unlimited_problem(), further in pools(&[""], &[""])) {
        let before = placed(&problem(&text));
        let further = further.replace("pool pool", "pool further");
        let after = placed(&problem(&format!("{text}{further}")));
        prop_assert!(before.is_subset(&after), "{:?}", before.difference(&after));
    }
}

#[test]
fn a_few_pods_cost_little_more_than_they_must() {
    let types = [("s", 4, 8, 100), ("m", 8, 16, 190), ("r", 4, 16, 125), ("l", 16, 32, 370)];
    let offers = types.map(|(name, cpu, memory, price)| {
        format!("type {name} cpu={cpu} memory={memory}Gi pods=20; price 0.{price}\n")
    });
    let mut random = Random(1);
    let (mut total, mut best_total, mut worst) = (0, 0, 0.0_f64);
    for _ in 0..300 {
        let pods: Vec<(u64, u64)> =
            (0..=random.below(7)).map(|_| (1 + random.below(7), 1 + random.below(14))).collect();
        let lines = pods
            .iter()
            .enumerate()
            .map(|(i, (cpu, memory))| format!("pod p{i} cpu={cpu} memory={memory}Gi\n"));
        let plan =
            solved(&problem(&format!("{}pool general\n{}", offers.concat(), lines.collect::<String>())));
        let (price, best) = (plan.price().nanos(), cheapest(&pods, &types).nanos());
        assert!(price >= best, "{plan} is cheaper than is possible");
        total += price;
        best_total += best;
        worst = worst.max(ratio(price, best));
    }
    let mean = ratio(total, best_total);
    assert!(mean < 1.05 && worst < 1.5, "mean {mean}, worst {worst}");
}

#[expect(clippy::cast_precision_loss, reason = "the ratio is compared with two digits")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

/// Numbers that look random and are always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A fixed permutation for each seed.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut random = Random(seed);
    for i in (1..items.len()).rev() {
        items.swap(i, usize::try_from(random.below(i as u64 + 1)).unwrap());
    }
}

/// The lowest price for which pods of so much cpu and memory can be placed, by trying every way to divide them.
fn cheapest(pods: &[(u64, u64)], types: &[(&str, u64, u64, u64)]) -> Price {
    let subsets = 1_usize << pods.len();
    let price_of = |subset: usize| {
        let chosen = pods.iter().enumerate().filter(|(i, _)| subset & (1 << i) != 0);
        let (cpu, memory) = chosen.fold((0, 0), |(cpu, memory), (_, pod)| (cpu + pod.0, memory + pod.1));
        let fitting =
            types.iter().filter(|(_, type_cpu, type_memory, _)| cpu <= *type_cpu && memory <= *type_memory);
        fitting.map(|(.., price)| *price).min()
    };
    let mut best: BTreeMap<usize, u64> = BTreeMap::from([(0, 0)]);
    for subset in 1..subsets {
        let newest = 1 << (usize::BITS - 1 - subset.leading_zeros());
        // Each node of the division holds the newest pod once; so it is enough to look at the parts that have it.
        let parts = (1..=subset).filter(|part| part & subset == *part && part & newest != 0);
        let least = parts.filter_map(|part| Some(price_of(part)? + best.get(&(subset & !part))?)).min();
        best.extend(least.map(|least| (subset, least)));
    }
    Price::from_nanos(best[&(subsets - 1)] * 1_000_000)
}
