use expect_test::expect;

use super::*;
use crate::model::Requirement;
use crate::model::workload_type::FindingKind;

/// An example of each warning, in the order of the enum. The match makes sure that a new one gets its example.
#[expect(clippy::too_many_lines, reason = "one example of each warning, and there are many")]
fn example_after(warning: Option<&Warning>) -> Option<Warning> {
    let owned = |text: &str| text.to_owned();
    Some(match warning {
        None => Warning::DaemonSetStaysAway {
            object: owned("daemonset shop/agent"),
            workload_type: owned("application"),
            tolerations: vec!["node-type=application:NoSchedule".parse().unwrap()],
        },
        Some(Warning::DaemonSetStaysAway { .. }) => {
            Warning::UnknownPlacementField { object: owned("pod shop/web"), path: owned("spec.nodeGroup") }
        }
        Some(Warning::UnknownPlacementField { .. }) => {
            Warning::LabelOnExemptNamespace { object: owned("namespace kube-system") }
        }
        Some(Warning::LabelOnExemptNamespace { .. }) => {
            Warning::TypeClosed { object: owned("namespace shop"), workload_type: owned("application") }
        }
        Some(Warning::TypeClosed { .. }) => {
            Warning::LabelNotSupportedYet { object: owned("namespace shop"), key: owned("treenail.dev/team") }
        }
        Some(Warning::LabelNotSupportedYet { .. }) => Warning::FieldNotHonoured {
            object: owned("nodepool application"),
            field: owned("spec.template.spec.expireAfter: not supported yet: nodes are not replaced"),
        },
        Some(Warning::FieldNotHonoured { .. }) => Warning::NothingLaunched {
            object: owned("nodepool application"),
            field: owned("spec.replicas: not supported yet: pools with a fixed number of nodes"),
        },
        Some(Warning::NothingLaunched { .. }) => Warning::StillInvalid {
            object: owned("nodepool application"),
            problem: owned("spec.weight is negative"),
        },
        Some(Warning::StillInvalid { .. }) => {
            Warning::NodeClassMissing { object: owned("nodepool application"), class: owned("default") }
        }
        Some(Warning::NodeClassMissing { .. }) => {
            Warning::PoolMissing { object: owned("workloadtype application"), pool: owned("application") }
        }
        Some(Warning::PoolMissing { .. }) => Warning::PoolShared {
            object: owned("workloadtype application"),
            pool: owned("application"),
            workload_types: vec![owned("batch")],
        },
        Some(Warning::PoolShared { .. }) => Warning::PoolOpen {
            object: owned("nodepool application"),
            workload_types: vec![owned("application")],
            taint: "node-type=application:NoSchedule".parse().unwrap(),
        },
        Some(Warning::PoolOpen { .. }) => Warning::UnknownInstanceType {
            object: owned("nodepool application"),
            path: owned("spec.template.spec.requirements[0]"),
            value: owned("m5a.largee"),
            nearest: Some(owned("m5a.large")),
        },
        Some(Warning::UnknownInstanceType { .. }) => Warning::MisspeltLabel {
            object: owned("nodepool application"),
            path: owned("spec.template.spec.requirements[0].key"),
            key: owned("topology.kubernetes.io/zon"),
            meant: "topology.kubernetes.io/zone",
        },
        Some(Warning::MisspeltLabel { .. }) => Warning::StrangeTypeLabel {
            object: owned("nodepool stranger"),
            path: owned("spec.template.metadata.labels"),
            workload_type: owned("application"),
            is_known: true,
            nearest: None,
        },
        Some(Warning::StrangeTypeLabel { is_known: true, .. }) => Warning::StrangeTypeLabel {
            object: owned("nodepool application"),
            path: owned("spec.template.metadata.labels"),
            workload_type: owned("aplication"),
            is_known: false,
            nearest: Some(owned("application")),
        },
        Some(Warning::StrangeTypeLabel { is_known: false, .. }) => Warning::TypeLabelMisplaced {
            object: owned("nodepool application"),
            path: owned("spec.template.spec.requirements[0]"),
            workload_type: owned("application"),
        },
        Some(Warning::TypeLabelMisplaced { .. }) => Warning::NothingLaunchedFor {
            object: owned("deployment shop/web"),
            why: Reason::RequirementConflict {
                incoming: Requirement::one_of("karpenter.sh/capacity-type", ["spot"]),
                existing: Requirement::one_of("karpenter.sh/capacity-type", ["on-demand"]),
            },
        },
        Some(Warning::NothingLaunchedFor { .. }) => Warning::NotSupportedYet {
            object: owned("statefulset shop/database"),
            path: owned("spec.volumeClaimTemplates"),
            constraint: UnsupportedConstraint::PersistentVolume { volume: owned("data") },
        },
        Some(Warning::NotSupportedYet { .. }) => Warning::UnknownResource {
            object: owned("deployment shop/web"),
            workload_type: owned("application"),
            resource: owned("nvidia.com/gpu"),
        },
        Some(Warning::UnknownResource { .. }) => {
            Warning::UnknownLimit { object: owned("nodepool application"), resource: owned("gpu") }
        }
        Some(Warning::UnknownLimit { .. }) => {
            Warning::PodsStay { object: owned("namespace shop"), old: owned("application") }
        }
        Some(Warning::PodsStay { .. }) => {
            Warning::PodsWithoutType { object: owned("namespace shop"), workload_type: owned("application") }
        }
        Some(Warning::PodsWithoutType { .. }) => Warning::Surroundings(Finding {
            kind: FindingKind::PoolMissing,
            object: owned("NodePool application"),
            problem: owned("does not exist"),
            fix: owned("create it"),
        }),
        Some(Warning::Surroundings(_)) => return None,
    })
}

#[test]
fn every_warning_is_one_short_line() {
    let examples: Vec<_> =
        std::iter::successors(example_after(None), |warning| example_after(Some(warning))).collect();
    let shown: Vec<_> = examples.iter().map(ToString::to_string).collect();
    for line in &shown {
        assert!(line.len() <= 240 && !line.contains(char::is_control), "{} {line}", line.len());
    }
    expect![[r#"
        daemonset shop/agent: not on nodes of workload type application: its template does not tolerate node-type=application:NoSchedule; tolerate it there if it belongs on them
        pod shop/web: spec.nodeGroup is unknown to this version of Treenail and not judged
        namespace kube-system: the workload type has no effect: the namespace is exempt
        namespace shop: workload type application is closed: pods will be refused until it is corrected
        namespace shop: label treenail.dev/team is not supported yet and has no effect
        nodepool application: spec.template.spec.expireAfter: not supported yet: nodes are not replaced
        nodepool application: nothing is launched: spec.replicas: not supported yet: pools with a fixed number of nodes
        nodepool application: nothing is launched: spec.weight is negative
        nodepool application: EC2NodeClass default does not exist yet; the pool is used as soon as it does
        workloadtype application: NodePool application does not exist yet; it is used as soon as it does
        workloadtype application: WorkloadType batch names NodePool application, too: pods of both share its nodes
        nodepool application: no taint of it keeps other pods away, so it isolates nobody, and WorkloadType application names it; give it node-type=application:NoSchedule in spec.template.spec.taints
        nodepool application: spec.template.spec.requirements[0]: instance type m5a.largee is not known (did you mean m5a.large?); nothing is launched by that name, unless EC2 has it
        nodepool application: spec.template.spec.requirements[0].key: topology.kubernetes.io/zon is a label of its own and constrains no instance type; did you mean topology.kubernetes.io/zone?
        nodepool stranger: spec.template.metadata.labels: WorkloadType application does not name this pool, so nodes of Treenail do not get its label, and those of Karpenter should not; name the pool there, or leave the label out
        nodepool application: spec.template.metadata.labels: WorkloadType aplication does not exist yet (did you mean application?), and its label is of use only once it names this pool
        nodepool application: spec.template.spec.requirements[0]: nodes do not get the label of WorkloadType application from this: Treenail gives it anyway, Karpenter only for an empty value in spec.template.metadata.labels
        deployment shop/web: no node is launched for it: karpenter.sh/capacity-type In [spot] is asked for, but the nodes have karpenter.sh/capacity-type In [on-demand]; ask for a value that the nodes have, or let the NodePool allow it
        statefulset shop/database: no node is launched for it: spec.volumeClaimTemplates: not supported yet: persistent volume data; use an emptyDir if the data may go with the pod; else it runs only where a node that is there has room
        deployment shop/web: it requests nvidia.com/gpu, which no node of workload type application is known to have: it may never run
        nodepool application: spec.limits[gpu] limits nothing; use cpu, memory, ephemeral-storage, pods, nodes, or an extended resource such as nvidia.com/gpu
        namespace shop: pods that run already keep tolerations and nodes of workload type application until they are recreated
        namespace shop: pods that are there already have nothing of workload type application; recreate them (kubectl rollout restart)
        NodePool application: does not exist; create it
    "#]].assert_eq(&(shown.join("\n") + "\n"));
}
