//! The cluster as Treenail sees and changes it: caches fed by watches, writes, leases.

pub mod cache;
pub mod lease;
