//! The cluster as Treenail sees and changes it: caches fed by watches, writes, leases.

pub mod cache;
pub mod caches;
pub mod client;
pub mod events;
pub mod lease;
pub mod pods;
#[cfg(test)]
pub(crate) mod testing;
pub mod unread;
mod utf8;
pub mod write;

/// Who Treenail is in the managed fields of what it writes.
pub const FIELD_MANAGER: &str = "treenail";
