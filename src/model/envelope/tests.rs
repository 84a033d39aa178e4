use super::*;
use crate::model::testing::{requirements, resource_list as list};

fn vector(
    pool: &str,
    architecture: &str,
    zones: &[&str],
    instance_type: &str,
    allocatable: &str,
) -> EnvelopeVector {
    EnvelopeVector {
        pool: pool.into(),
        architecture: architecture.into(),
        zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
        instance_type: instance_type.into(),
        allocatable: list(allocatable),
    }
}

fn envelope() -> Envelope {
    Envelope {
        vectors: vec![
            vector("application", "amd64", &["a", "b"], "c7i.xlarge", "cpu=3920m memory=6584Mi pods=58"),
            vector("application", "amd64", &["c"], "c7i.24xlarge", "cpu=95690m memory=173400Mi pods=737"),
            vector("application", "arm64", &["a"], "r7g.large", "cpu=1930m memory=15Gi pods=29"),
        ],
    }
}

fn pod(requests: &str, alternatives: &[&str]) -> Pod {
    let alternative = |text: &&str| NodeAlternative { requirements: requirements(text), node_name: None };
    Pod {
        requests: list(requests),
        alternatives: alternatives.iter().map(alternative).collect(),
        ..Pod::default()
    }
}

#[track_caller]
fn check(requests: &str, alternatives: &[&str], expected: &str) {
    let refusal = envelope().refusal(&pod(requests, alternatives));
    assert_eq!(refusal.map(|reason| reason.to_string()).unwrap_or_default(), expected);
}

#[test]
fn what_fits_into_one_vector_is_admitted_and_a_byte_more_is_not() {
    check("cpu=95690m memory=173400Mi pods=1", &[""], "");
    check("cpu=1", &[""], "");
    check(
        "cpu=95691m memory=173400Mi pods=1",
        &[""],
        "spec.containers[*].resources.requests: 95691m cpu requested, and c7i.24xlarge, which comes closest, leaves 95690m cpu; request less, or let the NodePool use larger instance types",
    );
}

#[test]
fn of_a_pod_that_is_too_large_to_be_read_nothing_is_said() {
    use crate::model::pod::{Excess, Measure, UnsupportedConstraint};
    let excess = Excess { of: Measure::Terms, count: 3000 };
    let large = Pod { unsupported: vec![UnsupportedConstraint::TooLarge(excess)], ..pod("cpu=1000", &[]) };
    assert_eq!(envelope().refusal(&large), None);
    assert!(envelope().refusal(&pod("cpu=1", &[])).is_some());
}

#[test]
fn zone_architecture_and_pool_choose_among_the_vectors() {
    check("cpu=3", &["topology.kubernetes.io/zone In a"], "");
    check(
        "cpu=8",
        &["topology.kubernetes.io/zone In a"],
        "spec.containers[*].resources.requests: 8 cpu requested, and c7i.xlarge, which comes closest, leaves 3920m cpu; request less, or let the NodePool use larger instance types",
    );
    check("cpu=8", &["topology.kubernetes.io/zone In a", "topology.kubernetes.io/zone NotIn a"], "");
    check(
        "cpu=3",
        &["kubernetes.io/arch In arm64"],
        "spec.containers[*].resources.requests: 3 cpu requested, and r7g.large, which comes closest, leaves 1930m cpu; request less, or let the NodePool use larger instance types",
    );
    check(
        "cpu=1",
        &["kubernetes.io/arch In riscv"],
        "spec.nodeSelector or spec.affinity.nodeAffinity: kubernetes.io/arch In [riscv] is asked for, but the nodes have kubernetes.io/arch In [amd64, arm64]; ask for a value that the nodes have, or let the NodePool allow it",
    );
    check(
        "cpu=1",
        &["karpenter.sh/nodepool In monitoring"],
        "spec.nodeSelector or spec.affinity.nodeAffinity: karpenter.sh/nodepool In [monitoring] is asked for, but the nodes have karpenter.sh/nodepool In [application]; ask for a value that the nodes have, or let the NodePool allow it",
    );
}

#[test]
fn what_it_does_not_know_it_does_not_judge() {
    check("cpu=1 nvidia.com/gpu=8", &[""], "");
    check("cpu=1", &["team In a, node.kubernetes.io/instance-type In c7i.large"], "");
    let all = pod("cpu=1000", &[""]);
    assert_eq!(Envelope::default().refusal(&all), None);
    let unknown = Envelope { vectors: vec![vector("p", "", &[], "node-1", "cpu=4")] };
    let picky = pod("cpu=1", &["kubernetes.io/arch In arm64, topology.kubernetes.io/zone In z"]);
    assert_eq!(unknown.refusal(&picky), None);
}

#[test]
fn a_pod_whose_labels_contradict_each_other_never_runs_and_one_that_cannot_be_read_may() {
    let never = UnusableTerm::Contradiction { key: "team".into() };
    let unknown = UnusableTerm::UnknownField { field: "metadata.zone".into() };
    let mut pod = pod("cpu=1", &[]);
    pod.unusable_terms = vec![(0, never.clone()), (1, UnusableTerm::Empty)];
    let refusal = envelope().refusal(&pod).unwrap().to_string();
    assert!(refusal.contains("[0]: its requirements on team contradict each other"), "{refusal}");
    pod.unusable_terms = vec![(0, never), (1, unknown)];
    assert_eq!(envelope().refusal(&pod), None);
}

#[test]
fn an_envelope_counts_only_for_the_generations_that_it_was_computed_from() {
    let mut generations = Generations::default();
    generations.note_workload_type("application", 2);
    generations.note_node_pool("application", 3);
    let published = envelope().to_api(&generations);
    assert_eq!(Envelope::from_api(&published), Ok(envelope()));
    assert!(generations.are_those_of(&published));
    for change in [
        |generations: &mut Generations| generations.note_node_pool("application", 4),
        |generations: &mut Generations| generations.note_node_pool("spare", 1),
        |generations: &mut Generations| generations.note_node_class("default", 1),
    ] {
        let mut changed = generations.clone();
        change(&mut changed);
        assert!(!changed.are_those_of(&published), "{changed:?}");
    }
}

#[test]
fn the_status_keeps_every_vector_as_it_is() {
    for vector in envelope().vectors {
        assert_eq!(EnvelopeVector::from_api(&vector.to_api()), Ok(vector));
    }
}
