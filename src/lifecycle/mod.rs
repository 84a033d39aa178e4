//! The life of nodes and of what depends on them, decided. Pure.

pub mod pool_status;
pub mod type_status;
