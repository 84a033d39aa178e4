//! The decision: which rules answer for which kind.
//!
//! Pure: the same policies, question and moment give the same verdict. What happens when no verdict can be had in time is the server's
//! business.

use super::policies::Policies;
use super::question::{Endpoint, Question};
use super::review::{Kind, Operation};
use super::verdict::Verdict;
use super::{namespace_guard, pods, resources, templates};

/// Decides on a request.
#[must_use]
pub fn decide(policies: &Policies, question: &Question<'_>) -> Verdict {
    let review = question.review;
    match review.operation {
        Operation::Delete | Operation::Connect => return Verdict::default(),
        Operation::Create | Operation::Update | Operation::Other => {}
    }
    match (question.endpoint, review.kind) {
        (_, Kind::Pod) => pods::decide(policies, question),
        (Endpoint::Validate, Kind::Template(kind)) => templates::validate(policies, question, kind),
        (Endpoint::Validate, Kind::Namespace) => namespace_guard::validate(policies, question),
        (Endpoint::Validate, Kind::WorkloadType) => resources::validate_workload_type(policies, review),
        (Endpoint::Validate, Kind::NodePool) => resources::validate_node_pool(policies, review),
        (Endpoint::Validate, Kind::Ec2NodeClass) => resources::validate_node_class(review),
        (Endpoint::Validate, Kind::Other)
        | (
            Endpoint::Mutate,
            Kind::Template(_)
            | Kind::Namespace
            | Kind::WorkloadType
            | Kind::NodePool
            | Kind::Ec2NodeClass
            | Kind::Other,
        ) => Verdict::default(),
    }
}

#[cfg(test)]
mod tests;
