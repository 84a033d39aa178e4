use expect_test::{Expect, expect};

use super::*;
use crate::lifecycle::planted::removal::Held;
use crate::lifecycle::testing::planted_pod;
use crate::model::bound_pod::BoundPod;
use crate::model::testing::assert_in_troubleshooting;
use crate::model::testing::nodes::{at, claim, instance_id, pod, registered_node};

/// One of each; the match makes the compiler ask for those that are added.
fn all<'a>(
    nodes: &'a [Node],
    waiting: &'a [Waiting<'a>],
    problems: &'a [Problem],
    id: &'a ProviderId,
    planted: &'a [InTheWay<'a>],
    owner: &'a NodeClaim,
) -> Vec<Notice<'a>> {
    let node = &nodes[0];
    let message = "odd";
    let timeout = SignedDuration::from_mins(5);
    let notices = vec![
        Notice::InsufficientCapacity { message },
        Notice::NodeClassNotReady { message },
        Notice::LaunchFailed { message },
        Notice::InvalidNodeClaim { problems },
        Notice::LaunchHeld { message },
        Notice::PlantedPods { planted, held: Held::Launch },
        Notice::PlantedPods { planted: &planted[..1], held: Held::Launch },
        Notice::PlantedPods { planted: &planted[1..], held: Held::Launch },
        Notice::PlantedPods { planted: &planted[..1], held: Held::Opening },
        Notice::PlantedPods { planted: &planted[..1], held: Held::Joining },
        Notice::LaunchTimeout { timeout, last: Some(message) },
        Notice::LaunchTimeout { timeout, last: None },
        Notice::RegistrationTimeout { timeout, provider_id: id, in_the_way: None },
        Notice::RegistrationTimeout { timeout, provider_id: id, in_the_way: Some(message) },
        Notice::InstanceOfAnotherClaim { provider_id: id, owner },
        Notice::UnregisteredTaintMissing { node },
        Notice::MultipleNodesFound { nodes },
        Notice::NodeDeleted { node },
        Notice::TerminationGracePeriodExpiring { deadline: at(60) },
        Notice::FailedDraining { node, waiting },
        Notice::AwaitingVolumeDetachment { node, volumes: &["pv-1", "pv-2"] },
        Notice::FailedTermination { provider_id: id, message },
    ];
    for notice in &notices {
        match notice {
            Notice::InsufficientCapacity { .. }
            | Notice::NodeClassNotReady { .. }
            | Notice::LaunchFailed { .. }
            | Notice::InvalidNodeClaim { .. }
            | Notice::LaunchHeld { .. }
            | Notice::PlantedPods { .. }
            | Notice::LaunchTimeout { .. }
            | Notice::RegistrationTimeout { .. }
            | Notice::InstanceOfAnotherClaim { .. }
            | Notice::UnregisteredTaintMissing { .. }
            | Notice::MultipleNodesFound { .. }
            | Notice::NodeDeleted { .. }
            | Notice::TerminationGracePeriodExpiring { .. }
            | Notice::FailedDraining { .. }
            | Notice::AwaitingVolumeDetachment { .. }
            | Notice::FailedTermination { .. } => {}
        }
    }
    notices
}

fn check(expected: Expect) {
    let nodes = [registered_node(), registered_node()];
    let pods: Vec<_> = (0..7).map(|number| pod(&format!("web-{number}"))).collect();
    let holds = [
        Hold::Blocked { message: "the budget needs 3 healthy pods and has 3".into() },
        Hold::LeftAlone { until: None },
        Hold::LeftAlone { until: Some(at(90)) },
        Hold::Failed { message: "no\nanswer".into() },
        Hold::Ending { by: at(30) },
        Hold::Asked,
        Hold::LaterGroup,
    ];
    let waiting: Vec<_> = pods.iter().zip(holds).map(|(pod, hold)| Waiting { pod, hold }).collect();
    let problems = [Problem::new("spec.taints[0].effect", "is unknown; use NoSchedule")];
    let id = instance_id();
    let (alone, made) = (planted_pod("a", false), planted_pod("b", true));
    let refusal = Some("admission webhook \"keep.example.com\" denied the request: not today");
    let planted = [InTheWay { pod: &alone, refusal: None }, InTheWay { pod: &made, refusal }];
    let owner = claim();
    let lines = all(&nodes, &waiting, &problems, &id, &planted, &owner).into_iter().map(|notice| {
        let Event { regarding, severity, reason, message, .. } = notice.about(&claim());
        assert_in_troubleshooting(reason);
        let object = match regarding {
            Regarding::NodeClaim { name, .. } => format!("NodeClaim {name}"),
            Regarding::Node { name, .. } => format!("Node {name}"),
            Regarding::NodePool { name, .. } => format!("NodePool {name}"),
            Regarding::NodeClass { name, .. } => format!("EC2NodeClass {name}"),
            Regarding::WorkloadType { name, .. } => format!("WorkloadType {name}"),
            Regarding::Pod { key, .. } => format!("Pod {key}"),
        };
        format!("{} {reason} {object}\n    {message}\n", severity.name())
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn people_are_told_what_happened_to_what_and_what_to_do() {
    check(expect![[r#"
        Warning InsufficientCapacityError NodeClaim application-x7k2q
            no capacity, so the claim is deleted and its pods are placed anew: odd; allow more instance types or zones in the NodePool's requirements if this lasts
        Warning NodeClassNotReady NodeClaim application-x7k2q
            nothing can be launched as node class and pool are, so the claim is deleted: odd; where that is about the class, the EC2NodeClass's status says more
        Warning LaunchFailed NodeClaim application-x7k2q
            the launch failed and is tried again: odd
        Warning InvalidNodeClaim NodeClaim application-x7k2q
            nothing is launched, since the claim cannot be used as it is written: spec.taints[0].effect: is unknown; use NoSchedule; delete it and create a correct one
        Normal LaunchHeld NodeClaim application-x7k2q
            nothing is launched yet: odd
        Warning ForeignPodsWait NodeClaim application-x7k2q
            nothing is launched while pods wait that tolerate the node's taint and are not of the type that owns it: shop/a (tolerates node-type=application:NoSchedule of workload type application), shop/b (tolerates node-type=application:NoSchedule of workload type application), whose deletion was refused (admission webhook "keep.example.com" denied the request: not today); delete those that nothing made, and let the others be deleted: what is created now is judged
        Warning ForeignPodsWait NodeClaim application-x7k2q
            nothing is launched while pods wait that tolerate the node's taint and are not of the type that owns it: shop/a (tolerates node-type=application:NoSchedule of workload type application); delete them: nobody makes them again, and what is created now is judged
        Warning ForeignPodsWait NodeClaim application-x7k2q
            nothing is launched while pods wait that tolerate the node's taint and are not of the type that owns it: shop/b (tolerates node-type=application:NoSchedule of workload type application), whose deletion was refused (admission webhook "keep.example.com" denied the request: not today); let them be deleted: what is created in their place is judged
        Warning ForeignPodsWait NodeClaim application-x7k2q
            its Node is not opened while pods wait that tolerate the node's taint and are not of the type that owns it: shop/a (tolerates node-type=application:NoSchedule of workload type application); delete them: nobody makes them again, and what is created now is judged
        Warning ForeignPodsWait NodeClaim application-x7k2q
            its Node is not given to the workload types of its pool while pods wait that tolerate the node's taint and are not of the type that owns it: shop/a (tolerates node-type=application:NoSchedule of workload type application); delete them: nobody makes them again, and what is created now is judged
        Warning LaunchTimeout NodeClaim application-x7k2q
            no instance was launched within 5m, so the claim is deleted; last failure: odd
        Warning LaunchTimeout NodeClaim application-x7k2q
            no instance was launched within 5m, so the claim is deleted
        Warning RegistrationTimeout NodeClaim application-x7k2q
            no Node of instance aws:///us-east-1a/i-1 was registered within 5m, so the claim is deleted; look at the instance's console output, its user data, and whether its role may join the cluster
        Warning RegistrationTimeout NodeClaim application-x7k2q
            the Node of instance aws:///us-east-1a/i-1 was not opened within 5m, so the claim is deleted: odd
        Warning InstanceOfAnotherClaim NodeClaim application-x7k2q
            status.providerID names instance aws:///us-east-1a/i-1, which is NodeClaim application-x7k2q's, so nothing is done to it for this claim; delete this NodeClaim: the instance stays
        Warning UnregisteredTaintMissing NodeClaim application-x7k2q
            Node n1 registered without the taint karpenter.sh/unregistered:NoExecute and was open to every pod, so it is terminated; let its kubelet register with that taint
        Warning MultipleNodesFound NodeClaim application-x7k2q
            several Nodes have the instance's provider ID: n1, n1; delete those that are not the instance
        Normal NodeDeleted NodeClaim application-x7k2q
            Node n1 was deleted, so it is drained and its instance is terminated
        Warning TerminationGracePeriodExpiring NodeClaim application-x7k2q
            the drain ends at 2026-01-01T00:01:00Z: what is left by then is deleted, early enough for its grace, whatever protects it
        Warning FailedDraining Node n1
            the drain waits for pods: shop/web-0 (not allowed now: the budget needs 3 healthy pods and has 3), shop/web-1 (karpenter.sh/do-not-disrupt), shop/web-2 (karpenter.sh/do-not-disrupt until 2026-01-01T00:01:30Z), shop/web-3 (eviction failed: no\nanswer), shop/web-4 (it ends by 2026-01-01T00:00:30Z) and 2 more
        Normal AwaitingVolumeDetachment Node n1
            the instance waits until these volumes are detached: pv-1, pv-2
        Warning FailedTermination NodeClaim application-x7k2q
            instance aws:///us-east-1a/i-1 could not be terminated and is tried again: odd
    "#]]);
}

#[test]
fn holds_that_are_no_trouble_are_not_told_alone() {
    let cases = [
        (Hold::Asked, false),
        (Hold::Ending { by: at(1) }, false),
        (Hold::LaterGroup, false),
        (Hold::LeftAlone { until: None }, true),
        (Hold::Blocked { message: String::new() }, true),
        (Hold::Failed { message: String::new() }, true),
    ];
    for (hold, expected) in cases {
        assert_eq!(hold.is_trouble(), expected, "{hold}");
    }
}

#[test]
fn a_drain_that_waits_for_other_pods_is_another_event_and_the_passing_of_time_is_none() {
    let node = registered_node();
    let event = |pod: &BoundPod, hold: Hold| {
        let waiting = [Waiting { pod, hold }];
        Notice::FailedDraining { node: &node, waiting: &waiting }.about(&claim())
    };
    let first = event(&pod("a"), Hold::Blocked { message: "1 of 2".into() });
    let again = event(&pod("a"), Hold::Blocked { message: "0 of 2".into() });
    let other = event(&pod("b"), Hold::Blocked { message: "1 of 2".into() });
    assert_eq!(first.dedupe_key(), again.dedupe_key());
    assert_ne!(first.dedupe_key(), other.dedupe_key());
}
