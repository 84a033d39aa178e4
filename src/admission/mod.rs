//! Admission: what is added to a pod, and what is refused, with every reason put into words.
//!
//! [`decide`] is the door: policies, a review and a moment in, a verdict out. It reads no cluster and writes no response. Each rule has a
//! file of its own:
//!
//! | rule | file |
//! |---|---|
//! | M1, M2, M7: what is added, what is put back | `injection`, written as a patch with its note (M3) in `patch` |
//! | M4: daemon pods, mirror pods | `daemon` |
//! | M5, M6, V9: which rules apply to a pod, and to what of it | `pods` |
//! | V1, V12: foreign tolerations, too many tolerations | `tolerations`, by the index in `owned` |
//! | V12: pods that ask for more than is planned for | `size`, of what `wishes` reads |
//! | V2: the type's selector and tolerations are there | `selector` |
//! | V3: node names, forged mirror pods | `placement` |
//! | V5: labels of namespaces | `namespace_guard` |
//! | V6: WorkloadType, NodePool, EC2NodeClass | `resources` |
//! | V7: templates | `templates`, with the YAML to write instead in `corrected` |
//! | V8: what no node of the type can ever run | `never_schedulable`, by the envelope in `policies`, and `instance_types` |
//! | V13: a pod's own type, closed namespaces | `type_label` |

mod corrected;
mod daemon;
pub mod decide;
mod injection;
mod instance_types;
mod json;
pub mod missing;
mod namespace_guard;
mod never_schedulable;
mod object;
mod owned;
mod parse;
mod patch;
mod placement;
mod pods;
pub mod policies;
pub mod question;
pub mod reason;
pub mod reference;
mod resources;
pub mod review;
mod selector;
mod size;
pub mod standing;
mod subject;
mod templates;
#[cfg(test)]
mod testing;
mod tolerations;
mod type_label;
pub mod verdict;
pub mod warning;
mod wishes;
