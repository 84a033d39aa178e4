//! The objects that people write and controllers report on, and the names on them.
//!
//! Types with their schemas, the CRDs made from them, and small pure helpers on one field (durations,
//! conditions, budgets). No decisions: those read these types and live above.

#![expect(unreachable_pub, reason = "deriving KubeSchema repeats the public struct inside a function")]
#![expect(clippy::duplicated_attributes, reason = "printer columns of one type are no duplicates")]
#![expect(clippy::struct_field_names, reason = "fields are named as on the wire")]

pub mod budget;
pub mod conditions;
pub mod crds;
pub mod duration;
pub mod ec2nodeclass;
pub mod labels;
pub mod names;
pub mod nodeclaim;
pub mod nodepool;
pub mod requirement;
mod schema;
pub mod taint;
mod text_enum;
pub mod unsupported;
pub mod workload_type;
