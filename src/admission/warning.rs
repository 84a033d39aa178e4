//! What a person is told without being refused anything.
//!
//! Short and on one line: the API server sends warnings as HTTP headers and cuts long ones.

use std::fmt;

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
    /// A type depends on other objects that are not as they should be.
    Surroundings(Finding),
}

/// One line: the object, what is wrong, and what follows.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DaemonSetStaysAway { object, workload_type, tolerations } => {
                let taints: Vec<_> = tolerations.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "{}: not on nodes of workload type {}: its template does not tolerate {}",
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
                "{}: nothing is launched until EC2NodeClass {} exists",
                Excerpt(object),
                Excerpt(class)
            ),
            Self::Surroundings(finding) => write!(f, "{}", OneLine(&finding.to_string())),
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
