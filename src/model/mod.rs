//! The values that every decision is made of: quantities, requirements, taints, pods, instance types, reasons.
//!
//! Everything here is a plain value with pure functions on it. Nothing reads a clock, a cluster, the environment or a hash
//! map's order, and nothing panics on outside data: what comes from an API object is parsed once, with all its problems
//! returned, and is usable from then on. How pods are placed, admitted or disrupted is decided one layer up.

pub mod label;
pub mod quantity;
pub mod requirement;
pub mod requirements;
pub mod resources;
pub mod taints;
mod text;

pub use quantity::Quantity;
pub use requirement::Requirement;
pub use requirements::Requirements;
pub use resources::ResourceList;
pub use taints::{Taint, Toleration};
