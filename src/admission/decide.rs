//! The decision: what is asked, what is answered, and which rules answer for which kind.
//!
//! Pure: the same policies, question and moment give the same verdict. How a verdict travels (patch in base64, status 403, headers) is the
//! server's business, and so is what happens when no verdict can be had in time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use json_patch::Patch;

use super::policies::Policies;
use super::reason::{Denial, Reason};
use super::review::{Kind, Operation, Review};
use super::standing::NamespaceLabels;
use super::warning::Warning;
use super::{namespace_guard, pods, resources, templates};

/// The most problems that one answer spells out.
const SHOWN: usize = 10;

/// Which of the two webhooks asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/mutate`: may change the object, and refuses what no later step of the same request can repair.
    Mutate,
    /// `/validate`: judges the object as it would be stored.
    Validate,
}

/// What is to be decided, and what the caller knows about it.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Which webhook asks.
    pub endpoint: Endpoint,
    /// What the API server sent.
    pub review: &'a Review<'a>,
    /// The labels of the request's namespace. Looked at for namespaced kinds only.
    pub namespace: NamespaceLabels<'a>,
    /// The moment.
    pub now: Timestamp,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What to change about the object; never together with denials, and only from [`Endpoint::Mutate`].
    pub patch: Option<Patch>,
    /// Every reason to refuse; none means that the object is admitted.
    pub denials: Vec<Denial>,
    /// The corrected part of the object in YAML, where something can be corrected.
    pub advice: Option<String>,
    /// What the person is told besides, each one line.
    pub warnings: Vec<String>,
    /// What the audit log says about the request. Keys have no slash.
    pub audit: BTreeMap<&'static str, String>,
}

impl Verdict {
    /// Whether the object is admitted.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.denials.is_empty()
    }

    /// What the person reads who is refused: one line for each problem, its code first, then the correction. Empty if nothing is refused.
    #[must_use]
    pub fn message(&self) -> String {
        let mut lines: Vec<_> = self.denials.iter().take(SHOWN).map(ToString::to_string).collect();
        if let more @ 1.. = self.denials.len().saturating_sub(SHOWN) {
            lines.push(format!("and {more} more problems"));
        }
        if let Some(advice) = &self.advice {
            lines.push(format!("This would be right:\n{}", advice.trim_end()));
        }
        lines.join("\n")
    }

    /// The codes of the reasons to refuse, each once, in the order of the message.
    #[must_use]
    pub fn codes(&self) -> Vec<&'static str> {
        let mut codes: Vec<_> = Vec::new();
        for code in self.denials.iter().map(|denial| denial.reason.code()) {
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        codes
    }

    /// Refuses the object for these reasons; admits it if there is none.
    pub(super) fn refuse(object: String, reasons: Vec<Reason>) -> Self {
        let denials = reasons.into_iter().map(|reason| Denial { object: object.clone(), reason });
        let mut verdict = Self { denials: denials.collect(), ..Self::default() };
        if !verdict.is_allowed() {
            verdict.audit.insert("refused", verdict.codes().join(","));
        }
        verdict
    }

    pub(super) fn warn(&mut self, warnings: impl IntoIterator<Item = Warning>) {
        self.warnings.extend(warnings.into_iter().map(|warning| warning.to_string()));
    }
}

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
