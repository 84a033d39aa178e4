//! The drivers: each reads state, asks a decider, and carries out what it answers.

pub mod certificate;
pub mod node_class;
pub mod node_pool;
pub mod provisioning;
pub mod workload_type;
