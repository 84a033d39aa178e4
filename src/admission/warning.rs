//! What a person is told without being refused anything.
//!
//! Short and on one line: the API server sends warnings as HTTP headers and cuts long ones.

use std::fmt;

use crate::model::pod::UnsupportedConstraint;
use crate::model::reason::{ADVICE_ON_HUGE_PAGES, Reason};
use crate::model::resources::HUGE_PAGES_PREFIX;
use crate::model::taints::Taint;
use crate::model::text::Excerpt;
use crate::model::workload_type::Finding;

#[cfg(test)]
mod tests;

/// Something that a person should know about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A DaemonSet in a namespace of a type lacks tolerations for the type's nodes, and is not injected.
    DaemonSetStaysAway {
        /// The object.
        object: String,
        /// The type.
        workload_type: String,
        /// What its template does not tolerate.
        tolerations: Vec<Taint>,
    },
    /// A pod has a field that may place it and that this version does not judge.
    UnknownPlacementField {
        /// The object.
        object: String,
        /// The field.
        path: String,
    },
    /// An exempt namespace names a type.
    LabelOnExemptNamespace {
        /// The object.
        object: String,
    },
    /// A namespace names a type that is closed.
    TypeClosed {
        /// The object.
        object: String,
        /// The type.
        workload_type: String,
    },
    /// A label of ours has no effect yet.
    LabelNotSupportedYet {
        /// The object.
        object: String,
        /// The label's key.
        key: String,
    },
    /// A field of one of our objects is not honoured: less is done than it asks for.
    FieldNotHonoured {
        /// The object.
        object: String,
        /// The field, and what happens instead.
        field: String,
    },
    /// A field of one of our objects is not honoured, and nothing is launched for the object.
    NothingLaunched {
        /// The object.
        object: String,
        /// The field, and what is missing.
        field: String,
    },
    /// A field was wrong before this update, too.
    StillInvalid {
        /// The object.
        object: String,
        /// The field, and what is wrong.
        problem: String,
    },
    /// A pool's node class does not exist.
    NodeClassMissing {
        /// The object.
        object: String,
        /// The class.
        class: String,
    },
    /// A pool that a type names does not exist.
    PoolMissing {
        /// The object.
        object: String,
        /// The pool.
        pool: String,
    },
    /// A pool that a type names is named by others, too.
    PoolShared {
        /// The object.
        object: String,
        /// The pool.
        pool: String,
        /// The other types.
        workload_types: Vec<String>,
    },
    /// A pool that types name has no taint that keeps other pods away.
    PoolOpen {
        /// The object.
        object: String,
        /// The types.
        workload_types: Vec<String>,
        /// A taint that would keep them away: the one that it had, or one that it could have.
        taint: Taint,
    },
    /// A requirement names instance types, or families of them, that this version knows nothing of.
    UnknownInstanceType {
        /// The object.
        object: String,
        /// The requirement.
        path: String,
        /// What it names.
        value: String,
        /// What it may mean.
        nearest: Option<String>,
    },
    /// A requirement is on a label that is nobody's, and that looks like one that describes instances.
    MisspeltLabel {
        /// The object.
        object: String,
        /// The requirement.
        path: String,
        /// The label's key.
        key: String,
        /// The label that was probably meant.
        meant: &'static str,
    },
    /// A pool gives the label of a type that does not name it.
    StrangeTypeLabel {
        /// The object.
        object: String,
        /// Where.
        path: String,
        /// The type.
        workload_type: String,
        /// Whether there is such a type.
        is_known: bool,
        /// What it may mean where there is none.
        nearest: Option<String>,
    },
    /// A pool gives the label of a type in a way that does not reach its nodes.
    TypeLabelMisplaced {
        /// The object.
        object: String,
        /// Where.
        path: String,
        /// The type.
        workload_type: String,
    },
    /// No node is launched for what a person wrote.
    NothingLaunchedFor {
        /// The object.
        object: String,
        /// Why.
        why: Reason,
    },
    /// No node is launched for what a person wrote, since it has a constraint that is not solved yet.
    NotSupportedYet {
        /// The object.
        object: String,
        /// Where the constraint stands.
        path: String,
        /// The constraint.
        constraint: UnsupportedConstraint,
    },
    /// A resource is requested that no node of the type is known to have.
    UnknownResource {
        /// The object.
        object: String,
        /// The type.
        workload_type: String,
        /// The resource.
        resource: String,
    },
    /// A limit is on something that no node counts.
    UnknownLimit {
        /// The object.
        object: String,
        /// What is limited.
        resource: String,
    },
    /// A namespace has another type than before, or none any more.
    PodsStay {
        /// The object.
        object: String,
        /// The type that it had.
        old: String,
    },
    /// A namespace has got a type, of which the pods that are there have nothing.
    PodsWithoutType {
        /// The object.
        object: String,
        /// The type that it has now.
        workload_type: String,
    },
    /// A type depends on other objects that are not as they should be.
    Surroundings(Finding),
}

/// One line: the object, what is wrong, and what follows.
impl fmt::Display for Warning {
    #[expect(clippy::too_many_lines, reason = "one arm for each warning, and there are many")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DaemonSetStaysAway { object, workload_type, tolerations } => {
                let taints: Vec<_> = tolerations.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "{}: not on nodes of workload type {}: its template does not tolerate {}; tolerate it there if it belongs on them",
                    Excerpt(object),
                    Excerpt(workload_type),
                    taints.join(", ")
                )
            }
            Self::UnknownPlacementField { object, path } => {
                write!(
                    f,
                    "{}: {} is unknown to this version of Treenail and not judged",
                    Excerpt(object),
                    Excerpt(path)
                )
            }
            Self::LabelOnExemptNamespace { object } => {
                write!(f, "{}: the workload type has no effect: the namespace is exempt", Excerpt(object))
            }
            Self::TypeClosed { object, workload_type } => write!(
                f,
                "{}: workload type {} is closed: pods will be refused until it is corrected",
                Excerpt(object),
                Excerpt(workload_type)
            ),
            Self::LabelNotSupportedYet { object, key } => {
                write!(
                    f,
                    "{}: label {} is not supported yet and has no effect",
                    Excerpt(object),
                    Excerpt(key)
                )
            }
            Self::FieldNotHonoured { object, field } => write!(f, "{}: {}", Excerpt(object), OneLine(field)),
            Self::NothingLaunched { object, field } => {
                write!(f, "{}: nothing is launched: {}", Excerpt(object), OneLine(field))
            }
            Self::StillInvalid { object, problem } => {
                write!(f, "{}: nothing is launched: {}", Excerpt(object), OneLine(problem))
            }
            Self::NodeClassMissing { object, class } => write!(
                f,
                "{}: EC2NodeClass {} does not exist yet; the pool is used as soon as it does",
                Excerpt(object),
                Excerpt(class)
            ),
            Self::PoolMissing { object, pool } => write!(
                f,
                "{}: NodePool {} does not exist yet; it is used as soon as it does",
                Excerpt(object),
                Excerpt(pool)
            ),
            Self::PoolShared { object, pool, workload_types } => write!(
                f,
                "{}: {} NodePool {}, too: pods of {} share its nodes",
                Excerpt(object),
                Naming(workload_types),
                Excerpt(pool),
                if workload_types.len() == 1 { "both" } else { "all of them" }
            ),
            Self::PoolOpen { object, workload_types, taint } => write!(
                f,
                "{}: no taint of it keeps other pods away, so it isolates nobody, and {} it; give it {taint} in spec.template.spec.taints",
                Excerpt(object),
                Naming(workload_types),
            ),
            Self::UnknownInstanceType { object, path, value, nearest } => {
                write!(f, "{}: {path}: instance type {} is not known", Excerpt(object), Excerpt(value))?;
                match nearest {
                    Some(nearest) => write!(f, " (did you mean {nearest}?)"),
                    None => Ok(()),
                }?;
                f.write_str("; nothing is launched by that name, unless EC2 has it")
            }
            Self::MisspeltLabel { object, path, key, meant } => write!(
                f,
                "{}: {path}: {} is a label of its own and constrains no instance type; did you mean {meant}?",
                Excerpt(object),
                Excerpt(key)
            ),
            Self::StrangeTypeLabel { object, path, workload_type, is_known, nearest } => {
                let (object, workload_type) = (Excerpt(object), Excerpt(workload_type));
                write!(f, "{object}: {path}: WorkloadType {workload_type} ")?;
                if *is_known {
                    return f.write_str(
                        "does not name this pool, so nodes of Treenail do not get its label, and those of Karpenter should not; name the pool there, or leave the label out",
                    );
                }
                f.write_str("does not exist yet")?;
                if let Some(nearest) = nearest {
                    write!(f, " (did you mean {}?)", Excerpt(nearest))?;
                }
                f.write_str(", and its label is of use only once it names this pool")
            }
            Self::TypeLabelMisplaced { object, path, workload_type } => write!(
                f,
                "{}: {path}: nodes do not get the label of WorkloadType {} from this: Treenail gives it anyway, Karpenter only for \
                 an empty value in spec.template.metadata.labels",
                Excerpt(object),
                Excerpt(workload_type)
            ),
            Self::NothingLaunchedFor { object, why } => write!(
                f,
                "{}: no node is launched for it: {}; {}",
                Excerpt(object),
                why.problem(),
                why.advice()
            ),
            Self::NotSupportedYet { object, path, constraint } => {
                let why = Reason::from(constraint.clone());
                write!(
                    f,
                    "{}: no node is launched for it: {path}: {}; {}",
                    Excerpt(object),
                    why.problem(),
                    why.advice()
                )
            }
            Self::UnknownResource { object, workload_type, resource } => {
                write!(
                    f,
                    "{}: it requests {}, which no node of workload type {} is known to have: it may never run",
                    Excerpt(object),
                    Excerpt(resource),
                    Excerpt(workload_type)
                )?;
                if resource.starts_with(HUGE_PAGES_PREFIX) {
                    write!(f, "; {ADVICE_ON_HUGE_PAGES}")?;
                }
                Ok(())
            }
            Self::UnknownLimit { object, resource } => write!(
                f,
                "{}: spec.limits[{}] limits nothing; use cpu, memory, ephemeral-storage, pods, nodes, or an extended resource such as nvidia.com/gpu",
                Excerpt(object),
                Excerpt(resource)
            ),
            Self::PodsStay { object, old } => write!(
                f,
                "{}: pods that run already keep tolerations and nodes of workload type {} until they are recreated",
                Excerpt(object),
                Excerpt(old)
            ),
            Self::PodsWithoutType { object, workload_type } => write!(
                f,
                "{}: pods that are there already have nothing of workload type {}; recreate them (kubectl rollout restart)",
                Excerpt(object),
                Excerpt(workload_type)
            ),
            Self::Surroundings(finding) => write!(f, "{}", OneLine(&finding.to_string())),
        }
    }
}

/// `WorkloadType a names`, or `WorkloadTypes a, b and 1 more name`.
struct Naming<'a>(&'a [String]);

impl fmt::Display for Naming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 3;
        let names: Vec<_> = self.0.iter().take(NAMED).map(|name| Excerpt(name).to_string()).collect();
        match (names.as_slice(), self.0.len().saturating_sub(NAMED)) {
            ([name], _) => write!(f, "WorkloadType {name} names"),
            (names, 0) => write!(f, "WorkloadTypes {} name", names.join(", ")),
            (names, more) => write!(f, "WorkloadTypes {} and {more} more name", names.join(", ")),
        }
    }
}

/// Text without control characters, of whatever length.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| {
            if character.is_control() {
                write!(f, "{}", character.escape_default())
            } else {
                write!(f, "{character}")
            }
        })
    }
}
