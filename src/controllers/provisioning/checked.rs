//! A plan that may be carried out: solved, and verified by other means. Pure.
//!
//! What a check finds wrong is a defect of the scheduler. Nothing that is wrong is ever launched: the pods that it concerns are left out,
//! and the rest is planned anew without them.

use std::collections::BTreeSet;

use crate::model::pod::PodKey;
use crate::scheduling::{Place, Plan, PlannedClaim, Problem, Violation};

/// How often a plan is made before nothing at all is launched.
const MOST_ATTEMPTS: usize = 3;

/// A plan, and what was wrong on the way to it.
#[derive(Debug, Default)]
pub struct Checked {
    /// The problem, without the pods that had to be left out.
    pub problem: Problem,
    /// A plan of it that has nothing wrong.
    pub plan: Plan,
    /// What was wrong with earlier ones.
    pub violations: Vec<Violation>,
    /// The pods that were left out for that.
    pub refused: BTreeSet<PodKey>,
}

/// Solves the problem as far as that can be done right.
pub fn checked(
    mut problem: Problem,
    solve: impl Fn(&Problem) -> Plan,
    verify: impl Fn(&Problem, &Plan) -> Vec<Violation>,
) -> Checked {
    let (mut violations, mut refused) = (Vec::new(), BTreeSet::new());
    for _ in 0..MOST_ATTEMPTS {
        let plan = solve(&problem);
        let found = verify(&problem, &plan);
        if found.is_empty() {
            return Checked { problem, plan, violations, refused };
        }
        let concerned: BTreeSet<PodKey> =
            found.iter().flat_map(|violation| pods_of(violation, &plan)).cloned().collect();
        violations.extend(found);
        problem.pods.retain(|pending| !concerned.contains(&pending.pod.key));
        refused.extend(concerned);
    }
    refused.extend(problem.pods.drain(..).map(|pending| pending.pod.key));
    Checked { problem, plan: Plan::default(), violations, refused }
}

/// The pods without which the violation would not be there.
fn pods_of<'a>(violation: &'a Violation, plan: &'a Plan) -> Vec<&'a PodKey> {
    let of_claims = |wanted: &dyn Fn(usize, &PlannedClaim) -> bool| {
        let claims = plan.claims.iter().enumerate().filter(|(i, claim)| wanted(*i, claim));
        claims.flat_map(|(_, claim)| &claim.pods).collect()
    };
    let of_node = |name: &str| {
        let nominations = plan.nominations.iter().filter(|nomination| nomination.node == name);
        nominations.flat_map(|nomination| &nomination.pods).collect()
    };
    match violation {
        Violation::UnknownPod { pod }
        | Violation::NamedTwice { pod, .. }
        | Violation::Forgotten { pod }
        | Violation::NoReason { pod }
        | Violation::UnsupportedPlaced { pod }
        | Violation::FitsOnNode { pod, .. }
        | Violation::FitsInPool { pod, .. } => vec![pod],
        Violation::UnknownNode { node } => of_node(node),
        Violation::LimitExceeded { pool, .. } => of_claims(&|_, claim| claim.pool == *pool),
        Violation::PoolUnusable { place }
        | Violation::PoolNotForPod { place, .. }
        | Violation::WrongTaints { place }
        | Violation::WiderThanPool { place, .. }
        | Violation::WrongLabel { place, .. }
        | Violation::WrongInstanceTypes { place, .. }
        | Violation::TaintNotTolerated { place, .. }
        | Violation::LabelsNotMet { place, .. }
        | Violation::DoesNotFit { place, .. }
        | Violation::RequestsTooLittle { place }
        | Violation::HostPortConflict { place, .. } => match place {
            Place::Claim { position, .. } => of_claims(&|i, _| i == *position),
            Place::Node(name) => of_node(name),
        },
    }
}
