//! Launches nodes for pods that wait.

pub mod batch;
pub mod nominations;
