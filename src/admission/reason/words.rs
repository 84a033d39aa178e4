//! The words of each reason: what is wrong, and what to do.

use std::fmt::{self, Display, Formatter};

use super::{KnownNames, LISTED, Reason, model};
use crate::model::taints::{Toleration, TolerationOperator};
use crate::model::text::{Excerpt, Quote};

const TYPE_LABEL: &str = crate::api::labels::WORKLOAD_TYPE;

impl Reason {
    #[expect(clippy::too_many_lines, reason = "one arm for each reason, and there are many")]
    pub(super) fn write_problem(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedObject { problem } => write!(f, "it cannot be read: {}", Excerpt(problem)),
            Self::NamespaceNotKnown => f.write_str("the labels of its namespace could not be looked up"),
            Self::NamespaceClosed { workload_type, .. } => write!(
                f,
                "its namespace has the label {TYPE_LABEL}={}, and there is no such workload type",
                Excerpt(workload_type)
            ),
            Self::TypeClosed { workload_type, problem: Some(problem) } => {
                write!(f, "workload type {} is closed: {}", Excerpt(workload_type), Quote(problem))
            }
            Self::TypeClosed { workload_type, problem: None } => write!(
                f,
                "workload type {} is closed: what its pods get has not been published yet",
                Excerpt(workload_type)
            ),
            Self::TooManyTolerations { path, count, added: 0, max } => {
                write!(f, "{path} has {count} items, and at most {max} are allowed")
            }
            Self::TooManyTolerations { path, count, added, max } => write!(
                f,
                "{path} has {count} items with the {added} that its workload type adds, and at most {max} are allowed"
            ),
            Self::PodTooLarge { path, excess } => {
                Within { path, why: &model::Reason::PodTooLarge(*excess) }.fmt(f)
            }
            Self::ForeignToleration { path, toleration, taint, owners, .. } => {
                write!(f, "{path} ({}) would match the taint {taint} of {}", Spelt(toleration), Types(owners))
            }
            Self::WildcardToleration { path, toleration, owners, .. } => {
                write!(f, "{path} ({}) tolerates every ", Spelt(toleration))?;
                if !toleration.effect.is_empty() {
                    write!(f, "{} ", Excerpt(&toleration.effect))?;
                }
                write!(f, "taint, those of {} included", Types(owners))
            }
            Self::UnknownTolerationOperator { path, toleration, taint, owners } => write!(
                f,
                "{path} has the unknown operator {} on the key of the taint {taint} of {}",
                Excerpt(&toleration.operator),
                Types(owners)
            ),
            Self::UnregisteredToleration { path, toleration } => write!(
                f,
                "{path} ({}) would match the taint karpenter.sh/unregistered:NoExecute of nodes that are not ready for pods",
                Spelt(toleration)
            ),
            Self::SelectorContradiction { path, key, value, wanted, workload_type } => write!(
                f,
                "{path}[{}] is \"{}\", and on nodes of workload type {} it is \"{}\"",
                Excerpt(key),
                Excerpt(value),
                Excerpt(workload_type),
                Excerpt(wanted)
            ),
            Self::NotInjected { workload_type, tolerations, selector, .. } => {
                write!(f, "it lacks what workload type {} gives its pods: ", Excerpt(workload_type))?;
                let tolerations = tolerations.iter().map(|taint| format!("toleration {taint}"));
                let selector = selector.iter().map(|entry| format!("node selector {}", Excerpt(entry)));
                write_list(f, &tolerations.chain(selector).collect::<Vec<_>>())
            }
            Self::NodeNameSet { path, node } => {
                write!(f, "{path} is \"{}\", which bypasses the scheduler, and so every taint", Excerpt(node))
            }
            Self::ForgedMirrorPod { user } => write!(
                f,
                "metadata.annotations[kubernetes.io/config.mirror] makes it the mirror of a static pod, and {} is not the kubelet of the node in spec.nodeName and its owner",
                Excerpt(user)
            ),
            Self::TypeNotAllowed { path, workload_type, allowed: Some(allowed) } => write!(
                f,
                "{path}[{TYPE_LABEL}] is \"{}\", and its namespace may use workload type {} only",
                Excerpt(workload_type),
                Excerpt(allowed)
            ),
            Self::TypeNotAllowed { path, workload_type, allowed: None } => write!(
                f,
                "{path}[{TYPE_LABEL}] is \"{}\", and its namespace has no workload type",
                Excerpt(workload_type)
            ),
            Self::TypeLabelChanged { old, new } => {
                let value = |value: &Option<String>| {
                    value.as_ref().map_or("absent".to_owned(), |value| format!("\"{}\"", Excerpt(value)))
                };
                write!(
                    f,
                    "metadata.labels[{TYPE_LABEL}] would change from {} to {}, and a pod's type never changes",
                    value(old),
                    value(new)
                )
            }
            Self::NeverSchedulable { path, workload_type, why } => {
                write!(
                    f,
                    "no node of workload type {} can ever run it: {}",
                    Excerpt(workload_type),
                    Within { path, why }
                )
            }
            Self::UnknownWorkloadType { workload_type, .. } => write!(
                f,
                "metadata.labels[{TYPE_LABEL}] is \"{}\", and there is no such workload type",
                Excerpt(workload_type)
            ),
            Self::WorkloadTypeNotKnown { workload_type } => write!(
                f,
                "metadata.labels[{TYPE_LABEL}] is \"{}\", and whether there is such a workload type could not be looked up",
                Excerpt(workload_type)
            ),
            Self::TypeBeingDeleted { workload_type } => write!(
                f,
                "metadata.labels[{TYPE_LABEL}] is \"{}\", and that workload type is being deleted",
                Excerpt(workload_type)
            ),
            Self::UnknownLabelKey { key, .. } => {
                write!(f, "metadata.labels[{}] is a label that means nothing", Excerpt(key))
            }
            Self::InvalidField { path, text } => write!(f, "{}: {text}", Excerpt(path)),
            Self::NotSupportedYet { path, text } => {
                write!(f, "{} is not supported yet ({})", Excerpt(path), Excerpt(text))
            }
        }
    }

    pub(super) fn write_advice(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedObject { .. } => f.write_str("send an object that the API server accepts"),
            Self::NamespaceNotKnown | Self::WorkloadTypeNotKnown { .. } => f.write_str("try again"),
            Self::NamespaceClosed { known, .. } => {
                write!(f, "have its label corrected{known}")
            }
            Self::TypeClosed { workload_type, problem: Some(_) } => {
                write!(f, "have it corrected: kubectl describe workloadtype {}", Excerpt(workload_type))
            }
            Self::TypeClosed { problem: None, .. } => {
                f.write_str("try again in a moment; if it stays, look whether Treenail's controller is running")
            }
            Self::TooManyTolerations { .. } => f.write_str("remove those that match no taint"),
            Self::PodTooLarge { excess, .. } => f.write_str(excess.advice()),
            Self::ForeignToleration { own_type: Some(own), .. }
            | Self::WildcardToleration { own_type: Some(own), .. } => write!(
                f,
                "remove it: what pods of workload type {} need is added to them",
                Excerpt(own)
            ),
            Self::ForeignToleration { own_type: None, .. } => f.write_str(
                "remove it, or run the pod in a namespace of that workload type",
            ),
            Self::WildcardToleration { own_type: None, .. } => {
                f.write_str("remove it, or name the keys that you mean")
            }
            Self::UnknownTolerationOperator { .. } => f.write_str("use Equal or Exists"),
            Self::UnregisteredToleration { .. } => {
                f.write_str("remove it, or name the keys that you mean: only pods of DaemonSets may tolerate that taint")
            }
            Self::SelectorContradiction { .. } => f.write_str("remove the key: the right value is added"),
            Self::NotInjected { is_update: false, .. } => f.write_str(
                "Treenail was not asked to add it (it may have been away for a moment), or something removed it again: try again",
            ),
            Self::NotInjected { is_update: true, .. } => {
                f.write_str("delete the pod and create it again, so that it is added")
            }
            Self::NodeNameSet { .. } => f.write_str(
                "remove it and let the scheduler choose; to debug a node: kubectl debug node/NAME -n kube-system",
            ),
            Self::ForgedMirrorPod { .. } => f.write_str("remove the annotation"),
            Self::TypeNotAllowed { allowed: Some(allowed), .. } => {
                write!(f, "remove the label, or make it {}", Excerpt(allowed))
            }
            Self::TypeNotAllowed { allowed: None, workload_type, .. } => write!(
                f,
                "remove the label, or have the namespace labelled {TYPE_LABEL}={}",
                Excerpt(workload_type)
            ),
            Self::TypeLabelChanged { .. } => f.write_str("create another pod"),
            Self::NeverSchedulable { why, .. } => why.advice().fmt(f),
            Self::UnknownWorkloadType { known, .. } | Self::UnknownLabelKey { known, .. } => {
                write!(f, "use one that exists{known}")
            }
            Self::TypeBeingDeleted { workload_type } => write!(
                f,
                "use another type, or wait until it is gone and create it again: kubectl get workloadtype {}",
                Excerpt(workload_type)
            ),
            Self::InvalidField { .. } => Ok(()),
            Self::NotSupportedYet { path, .. } => write!(f, "leave {} out", Excerpt(path)),
        }
    }
}

/// ` (did you mean a? there are: a, b and 3 more)`, to follow an advice.
impl Display for KnownNames {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.some.is_empty() {
            return f.write_str(" (there are none)");
        }
        f.write_str(" (")?;
        if let Some(nearest) = &self.nearest {
            write!(f, "did you mean {}? ", Excerpt(nearest))?;
        }
        let shown: Vec<_> = self.some.iter().map(|name| Excerpt(name).to_string()).collect();
        write!(f, "there are: {}", shown.join(", "))?;
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        f.write_str(")")
    }
}

/// `workload type a`, or `workload types a, b`.
struct Types<'a>(&'a [String]);

impl Display for Types<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "workload type " } else { "workload types " })?;
        write_list(f, &self.0.iter().map(|name| Excerpt(name).to_string()).collect::<Vec<_>>())
    }
}

fn write_list(f: &mut Formatter<'_>, items: &[String]) -> fmt::Result {
    for (index, item) in items.iter().take(LISTED).enumerate() {
        write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
    }
    match items.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

/// Why a pod gets no node, with the field under the pod's path in its object.
struct Within<'a> {
    path: &'a str,
    why: &'a model::Reason,
}

impl Display for Within<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(field) = self.why.field() {
            write!(f, "{}: ", field.replace("spec.", &format!("{}spec.", self.path)))?;
        }
        self.why.problem().fmt(f)
    }
}

/// A toleration as its author wrote it: the fields that are there.
struct Spelt<'a>(&'a Toleration<'a>);

impl Display for Spelt<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Toleration { key, operator, value, effect, seconds: _ } = self.0;
        let is_implied = operator.is_empty() || self.0.operator() == TolerationOperator::Equal;
        let operator = if is_implied && !key.is_empty() { "" } else { operator.as_ref() };
        let fields = [
            ("key", key.as_ref()),
            ("operator", operator),
            ("value", value.as_ref()),
            ("effect", effect.as_ref()),
        ];
        let fields = fields.into_iter().filter(|(_, text)| !text.is_empty());
        let fields: Vec<_> = fields.map(|(name, text)| format!("{name} {}", Excerpt(text))).collect();
        if fields.is_empty() { f.write_str("empty") } else { f.write_str(&fields.join(", ")) }
    }
}
