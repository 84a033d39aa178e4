//! Treenail gives each team's pods nodes of their own: an admission webhook that injects and checks
//! tolerations and node selectors, and a controller that launches the matching EC2 nodes.
//!
//! Modules in reading order, lowest layer first; a layer uses its own or lower ones, never higher ones:
//!
//! - [`api`] (L0): the objects that people write, their CRDs, and the names on them.
//! - [`model`] (L1): pure values: quantities, requirements, taints, pods, instance types.
//! - [`ports`] (L3): what is needed from the world outside, as traits: time and a cloud.
//! - [`cloud`] (L4): EC2, behind the trait of `ports`.
//! - [`cli`] (L6): the command line.

pub mod api;
pub mod cli;
pub mod cloud;
pub mod model;
pub mod ports;
