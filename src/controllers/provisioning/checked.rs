//! A plan that may be carried out: solved, and verified by other means. Pure.
//!
//! What a check finds wrong is a defect of the scheduler, and so is a panic. Nothing that is wrong is ever launched: the pods that it
//! concerns are left out, and the rest is planned anew without them. A panic does not say which pods it is about: pods of each workload
//! type are planned for alone then, and those are left out with which it panics again.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

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

/// What to say of something that is wrong with a plan, before what it is.
#[must_use]
pub const fn headline(violation: &Violation) -> &'static str {
    if matches!(violation, Violation::Panicked { .. }) {
        "the scheduler panicked, and no node is launched for the pods of this workload type; please report it"
    } else {
        "a plan did not pass its own check, and is not carried out as it is; please report it"
    }
}

/// Solves the problem as far as that can be done right.
pub fn checked(
    mut problem: Problem,
    solve: impl Fn(&Problem) -> Plan,
    verify: impl Fn(&Problem, &Plan) -> Vec<Violation>,
) -> Checked {
    let (mut violations, mut refused) = (Vec::new(), BTreeSet::new());
    for _ in 0..MOST_ATTEMPTS {
        let (plan, found) = match attempt(&problem, &solve, &verify) {
            Ok(made) => made,
            Err(message) => (Plan::default(), panics(&problem, &message, &solve, &verify)),
        };
        if found.is_empty() {
            return Checked { problem, plan, violations, refused };
        }
        let concerned: BTreeSet<PodKey> =
            found.iter().flat_map(|violation| pods_of(violation, &problem, &plan)).cloned().collect();
        violations.extend(found);
        problem.pods.retain(|pending| !concerned.contains(&pending.pod.key));
        refused.extend(concerned);
    }
    refused.extend(problem.pods.drain(..).map(|pending| pending.pod.key));
    Checked { problem, plan: Plan::default(), violations, refused }
}

/// A plan and what is wrong with it, or what was said in panic.
fn attempt(
    problem: &Problem,
    solve: impl Fn(&Problem) -> Plan,
    verify: impl Fn(&Problem, &Plan) -> Vec<Violation>,
) -> Result<(Plan, Vec<Violation>), String> {
    // Nothing that is half done is seen afterwards: both only read, and what they were making is gone.
    let made = catch_unwind(AssertUnwindSafe(|| {
        let plan = solve(problem);
        let found = verify(problem, &plan);
        (plan, found)
    }));
    made.map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// The workload types over which the scheduler panics. If it panics over none alone, that cannot be told: then all of them.
fn panics(
    problem: &Problem,
    message: &str,
    solve: impl Fn(&Problem) -> Plan,
    verify: impl Fn(&Problem, &Plan) -> Vec<Violation>,
) -> Vec<Violation> {
    let panicked = |workload_type: &Option<String>, message: &str| Violation::Panicked {
        workload_type: workload_type.clone(),
        message: message.to_owned(),
    };
    let types: BTreeSet<_> = problem.pods.iter().map(|pending| &pending.workload_type).collect();
    let mut found = Vec::new();
    if types.len() > 1 {
        let mut alone = problem.clone();
        for workload_type in types.iter().copied() {
            let its = problem.pods.iter().filter(|pending| pending.workload_type == *workload_type);
            alone.pods = its.cloned().collect();
            found.extend(
                attempt(&alone, &solve, &verify).err().map(|message| panicked(workload_type, &message)),
            );
        }
    }
    if found.is_empty() {
        found.extend(types.into_iter().map(|workload_type| panicked(workload_type, message)));
    }
    found
}

/// The pods without which the violation would not be there.
fn pods_of<'a>(violation: &'a Violation, problem: &'a Problem, plan: &'a Plan) -> Vec<&'a PodKey> {
    let of_claims = |wanted: &dyn Fn(usize, &PlannedClaim) -> bool| {
        let claims = plan.claims.iter().enumerate().filter(|(i, claim)| wanted(*i, claim));
        claims.flat_map(|(_, claim)| &claim.pods).collect()
    };
    let of_node = |name: &str| {
        let nominations = plan.nominations.iter().filter(|nomination| nomination.node == name);
        nominations.flat_map(|nomination| &nomination.pods).collect()
    };
    match violation {
        Violation::Panicked { workload_type, .. } => {
            let its = problem.pods.iter().filter(|pending| pending.workload_type == *workload_type);
            its.map(|pending| &pending.pod.key).collect()
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Pod;
    use crate::scheduling::{PendingPod, solve, verify};

    /// A problem of pods that are written `name` or `name:type`.
    fn problem(pods: &[&str]) -> Problem {
        let pod = |text: &&str| {
            let (name, workload_type) =
                text.split_once(':').map_or((*text, None), |(name, of)| (name, Some(of)));
            let key = PodKey { namespace: "shop".to_owned(), name: name.to_owned() };
            PendingPod { pod: Pod { key, ..Pod::default() }, workload_type: workload_type.map(str::to_owned) }
        };
        Problem { pods: pods.iter().map(pod).collect(), ..Problem::default() }
    }

    fn has(problem: &Problem, name: &str) -> bool {
        problem.pods.iter().any(|pending| pending.pod.key.name == name)
    }

    #[test]
    fn of_a_panic_only_the_pods_are_left_out_that_it_is_about() {
        type IsBad = fn(&Problem) -> bool;
        let one: IsBad = |problem| has(problem, "bad");
        let both: IsBad = |problem| has(problem, "a") && has(problem, "b");
        let cases: [(&str, &[&str], IsBad, &str, &str); 7] = [
            ("nothing is wrong", &["a:x", "b:y", "c"], one, "", "a b c"),
            ("a type", &["a:x", "bad:x", "b:y", "c"], one, "a bad", "b c"),
            ("pods without a type", &["a:x", "b:y", "c", "bad"], one, "bad c", "a b"),
            ("the only type", &["a:x", "bad:x"], one, "a bad", ""),
            ("two types", &["bad:x", "bad:y", "b:y", "c"], one, "b bad", "c"),
            ("types together", &["a:x", "b:y", "c"], both, "a b c", ""),
            ("no pods", &[], |_| true, "", ""),
        ];
        for (name, pods, is_bad, refused, planned) in cases {
            let check = |solved: Checked, panicked: &str| {
                let names = |pods: Vec<&PodKey>| {
                    pods.into_iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>().join(" ")
                };
                assert_eq!(names(solved.refused.iter().collect()), refused, "{name}");
                assert!(solved.violations.iter().all(|violation| headline(violation).contains("panicked")));
                let left = solved.plan.unschedulable.iter().map(|left_out| &left_out.pod);
                assert_eq!(names(left.collect()), planned, "{name}");
                let told = solved.violations.iter().all(|violation| violation.to_string().contains(panicked));
                assert!(
                    told && solved.violations.is_empty() == refused.is_empty(),
                    "{:?}",
                    solved.violations
                );
            };
            let solves = |problem: &Problem| {
                assert!(!is_bad(problem), "in solve");
                solve(problem)
            };
            check(checked(problem(pods), solves, verify), "in solve");
            let verifies = |problem: &Problem, plan: &Plan| {
                assert!(!is_bad(problem), "in verify");
                verify(problem, plan)
            };
            check(checked(problem(pods), solve, verifies), "in verify");
        }
    }
}
