//! The values that every decision is made of: quantities, requirements, taints, pods, instance types, reasons.
//!
//! Everything here is a plain value with pure functions on it. Nothing reads a clock, a cluster, the environment or a hash
//! map's order, and nothing panics on outside data: what comes from an API object is parsed once, with all its problems
//! returned, and is usable from then on. How pods are placed, admitted or disrupted is decided one layer up.

pub mod bound_pod;
pub mod envelope;
pub mod event;
pub mod host_port;
pub mod instance_type;
pub mod label;
pub mod min_values;
pub mod misspelt;
pub mod namespace;
pub mod node;
pub mod node_claim;
pub mod node_pool;
pub mod object_ref;
pub mod ownership;
pub mod pod;
pub mod price;
pub mod problem;
pub mod provider_id;
pub mod quantity;
pub mod reason;
pub mod requirement;
pub mod requirements;
pub mod resources;
pub mod taints;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod text;
pub mod workload_type;

pub use bound_pod::{BoundPod, KnownPod};
pub use event::Event;
pub use instance_type::InstanceType;
pub use namespace::Namespace;
pub use node::Node;
pub use node_claim::NodeClaim;
pub use node_pool::NodePool;
pub use object_ref::{ObjectRef, PodRef};
pub use pod::Pod;
pub use price::Price;
pub use provider_id::ProviderId;
pub use quantity::Quantity;
pub use reason::Reason;
pub use requirement::Requirement;
pub use requirements::Requirements;
pub use resources::ResourceList;
pub use taints::{Taint, Toleration};
