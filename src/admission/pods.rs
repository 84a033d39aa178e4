//! Pods: which of the rules apply to one, on creation and on update (V9), and what is changed about it (M1–M7).

use super::daemon;
use super::injection;
use super::never_schedulable::Asked;
use super::object::{Pod, WholePod};
use super::patch;
use super::policies::Policies;
use super::question::{Endpoint, Question};
use super::reason::Reason;
use super::review::Review;
use super::standing::Standing;
use super::subject::{Role, Subject};
use super::verdict::Verdict;
use super::warning::Warning;
use super::wishes::Wishes;
use super::{parse, placement, selector, size, tolerations, type_label};

pub(super) fn decide(policies: &Policies, question: &Question<'_>) -> Verdict {
    let review = question.review;
    let standing = Standing::of(policies, &review.namespace, question.namespace);
    if matches!(standing, Standing::Exempt) {
        return Verdict::default();
    }
    let new = parse::object::<WholePod<'_>>(review).map(Pod::from);
    let (new, stored) = match (new, parse::old_object::<Pod<'_>>(review)) {
        (Ok(new), Ok(stored)) => (new, stored),
        (Err(malformed), _) | (_, Err(malformed)) => {
            return Verdict::refuse(parse::object_name(review, None), vec![malformed.into()]);
        }
    };
    let name = parse::object_name(review, Some(&new.metadata));
    if matches!(standing, Standing::Unknown) {
        // The validating call asks again, and refuses if it still cannot be said.
        return match question.endpoint {
            Endpoint::Mutate => Verdict::default(),
            Endpoint::Validate => Verdict::refuse(name, vec![Reason::NamespaceNotKnown]),
        };
    }
    if stored.is_none() && daemon::is_genuine_mirror_pod(&review.user, &new) {
        return Verdict::default();
    }
    let is_daemon = stored.is_none() && daemon::is_daemon_pod(&review.user, &new);
    let subject = Subject {
        policies,
        standing,
        role: if is_daemon { Role::DaemonPod } else { Role::Pod },
        path: "",
        new: &new,
        stored: stored.as_ref(),
        baseline: stored.as_ref().filter(|stored| !is_released(stored, &new)),
        now: question.now,
    };
    let mut reasons = judge(&subject, review);
    match question.endpoint {
        Endpoint::Mutate => {
            // What a later step may still repair is for the validating call to judge.
            reasons.retain(|reason| !reason.is_repairable());
            let mut verdict = Verdict::refuse(name, reasons);
            if verdict.is_allowed() {
                change(&subject, &mut verdict);
            }
            verdict
        }
        Endpoint::Validate => {
            let wishes = Wishes::read(&subject, review);
            reasons.extend(wishes.as_ref().and_then(|wishes| size::judge(&subject, wishes)));
            let asked = wishes.as_ref().and_then(|wishes| Asked::of(&subject, wishes));
            reasons.extend(asked.as_ref().and_then(Asked::refusal));
            let mut verdict = Verdict::refuse(name.clone(), reasons);
            verdict.warn(unknown_fields(&subject, &name));
            if verdict.is_allowed() {
                verdict.warn(asked.iter().flat_map(|asked| asked.warnings(&name)));
            }
            verdict
        }
    }
}

/// Whether an update lets the scheduler have a pod that it was kept from: only now does anything follow from what the pod says.
fn is_released(stored: &Pod<'_>, new: &Pod<'_>) -> bool {
    stored.spec.scheduling_gates > 0 && new.spec.scheduling_gates == 0
}

fn judge(subject: &Subject<'_>, review: &Review<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    reasons.extend(type_label::judge_namespace(subject));
    reasons.extend(type_label::judge_label(subject));
    reasons.extend(placement::judge_mirror(subject, &review.user));
    reasons.extend(placement::judge_node_name(subject));
    reasons.extend(tolerations::judge(subject));
    reasons.extend(selector::judge(subject));
    reasons
}

fn change(subject: &Subject<'_>, verdict: &mut Verdict) {
    if subject.stored.is_some() {
        verdict.patch = patch::put_back(subject.new, &injection::lost(subject));
    } else if let Some(workload_type) = subject.injected_type() {
        let missing = injection::missing(&workload_type.current, &subject.new.spec);
        if let Some((patch, note)) = patch::inject(subject.new, workload_type, &missing) {
            verdict.patch = Some(patch);
            verdict.audit.insert("injected", note);
        }
    }
}

/// Fields that are newer than this program may place pods in ways that it does not judge.
pub(super) fn unknown_fields(subject: &Subject<'_>, object: &str) -> Vec<Warning> {
    let is_new = |field: &&str| subject.baseline.is_none_or(|before| !before.spec.unknown.contains(*field));
    let fields = subject.new.spec.unknown.iter().map(|field| &**field).filter(is_new);
    fields
        .map(|field| Warning::UnknownPlacementField {
            object: object.to_owned(),
            path: subject.field(&format!("spec.{field}")),
        })
        .collect()
}

#[cfg(test)]
mod tests;
