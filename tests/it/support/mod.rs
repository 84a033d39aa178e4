//! What integration tests stand on.

pub(crate) mod claims;
pub(crate) mod cluster;
pub(crate) mod world;
