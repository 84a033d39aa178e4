//! Hollow kubelets: for every running instance, what its machine would do.
//!
//! A machine reads its user data, connects to the cluster that it names, registers a node, runs and ends pods,
//! and goes silent when the instance is terminated. Nothing comes to it from the lab but the instance itself, so
//! wrong user data means no node.

mod capacity;
mod fleet;
mod machine;
mod node;
mod pods;
mod user_data;

pub use fleet::{Boot, Kubelets};
pub use user_data::{Bootstrap, UserDataError};
