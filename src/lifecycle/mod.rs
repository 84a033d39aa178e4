//! The life of nodes and of what depends on them, decided. Pure.

pub mod type_status;
