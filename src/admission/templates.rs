//! V7: templates are judged as if their pods had been injected, so that what could never work is refused where a person writes it.
//!
//! Templates are never changed (M4). Of a template of a namespace without a type only the type label is judged, which such pods may not have;
//! everything else of its pods is judged when they are made.

use super::corrected;
use super::injection;
use super::never_schedulable::Asked;
use super::object::Template;
use super::parse;
use super::pods::unknown_fields;
use super::policies::Policies;
use super::question::Question;
use super::reason::Reason;
use super::review::TemplateKind;
use super::standing::Standing;
use super::subject::{Role, Subject};
use super::verdict::Verdict;
use super::warning::Warning;
use super::wishes::Wishes;
use super::{placement, selector, size, tolerations, type_label};

pub(super) fn validate(policies: &Policies, question: &Question<'_>, kind: TemplateKind) -> Verdict {
    let review = question.review;
    let standing = Standing::of(policies, &review.namespace, question.namespace);
    if matches!(standing, Standing::Exempt) {
        return Verdict::default();
    }
    let read = |object| Template::parse(kind, object).map_err(parse::malformed);
    let new = parse::raw_object(review).and_then(read);
    let stored = parse::raw_old_object(review).and_then(|stored| stored.map(read).transpose());
    let (new, stored) = match (new, stored) {
        (Ok(new), Ok(stored)) => (new, stored),
        (Err(malformed), _) | (_, Err(malformed)) => {
            return Verdict::refuse(parse::object_name(review, None), vec![malformed.into()]);
        }
    };
    let Some(pod) = new.pod.as_ref().filter(|_| !is_made_by_controller(kind, &new)) else {
        return Verdict::default();
    };
    let name = parse::object_name(review, Some(&new.metadata));
    if matches!(standing, Standing::Unknown) {
        return Verdict::refuse(name, vec![Reason::NamespaceNotKnown]);
    }
    let stored = stored.as_ref().and_then(|stored| stored.pod.as_ref());
    let path = format!("{}.", kind.template_path().join("."));
    let subject = Subject {
        policies,
        standing,
        role: if kind == TemplateKind::DaemonSet { Role::DaemonTemplate } else { Role::Template },
        path: &path,
        new: pod,
        stored,
        baseline: stored,
        now: question.now,
    };
    if matches!(standing, Standing::Typeless) {
        return Verdict::refuse(name, type_label::judge_label(&subject).into_iter().collect());
    }
    let mut reasons = judge(&subject);
    let wishes = Wishes::read(&subject, review);
    reasons.extend(wishes.as_ref().and_then(|wishes| size::judge(&subject, wishes)));
    let asked = wishes.as_ref().and_then(|wishes| Asked::of(&subject, wishes));
    reasons.extend(asked.as_ref().and_then(Asked::refusal));
    let advice = corrected::fragment(&subject, kind, &reasons);
    let mut verdict = Verdict::refuse(name.clone(), reasons);
    verdict.advice = advice;
    verdict.warn(unknown_fields(&subject, &name));
    verdict.warn(stays_away(&subject, &name));
    if verdict.is_allowed() {
        verdict.warn(asked.iter().flat_map(|asked| asked.warnings(&name)));
    }
    verdict
}

/// A controller copies these from objects that were judged. Anybody can claim an owner, and gains nothing: the pods are judged.
fn is_made_by_controller(kind: TemplateKind, template: &Template<'_>) -> bool {
    matches!(kind, TemplateKind::ReplicaSet | TemplateKind::Job) && template.metadata.controller().is_some()
}

fn judge(subject: &Subject<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    reasons.extend(type_label::judge_namespace(subject));
    reasons.extend(type_label::judge_label(subject));
    reasons.extend(placement::judge_node_name(subject));
    reasons.extend(tolerations::judge(subject));
    reasons.extend(selector::judge(subject));
    reasons
}

/// Nobody injects the pods of a DaemonSet: its author may have counted on it.
fn stays_away(subject: &Subject<'_>, object: &str) -> Option<Warning> {
    let workload_type = subject.workload_type().filter(|_| subject.role == Role::DaemonTemplate)?;
    let missing = injection::missing(&workload_type.current, &subject.new.spec);
    let is_known = subject
        .baseline
        .is_some_and(|before| injection::missing(&workload_type.current, &before.spec) == missing);
    (!missing.tolerations.is_empty() && !is_known).then(|| Warning::DaemonSetStaysAway {
        object: object.to_owned(),
        workload_type: workload_type.name.clone(),
        tolerations: missing.tolerations.into_iter().cloned().collect(),
    })
}

#[cfg(test)]
mod tests;
