//! The drivers: each reads state, asks a decider, and carries out what it answers.

pub mod certificate;
pub mod workload_type;
