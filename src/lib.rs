//! Treenail gives each team's pods nodes of their own: an admission webhook that injects and checks
//! tolerations and node selectors, and a controller that launches the matching EC2 nodes.
//!
//! Modules in reading order, lowest layer first; a layer uses its own or lower ones, never higher ones:
//!
//! - [`api`] (L0): the objects that people write, their CRDs, and the names on them.
//! - [`model`] (L1): pure values that decisions are made from.
//! - [`scheduling`] (L2): which nodes to launch for the pods that wait.
//! - [`ports`] (L3): what drivers need of the outside.
//! - [`cluster`], [`tls`] (L4): the API server and certificates.
//! - [`server`] (L5): the webhook's HTTP side.
//! - [`cli`] (L6): the command line.

pub mod api;
pub mod cli;
pub mod cluster;
pub mod model;
pub mod ports;
pub mod scheduling;
pub mod server;
pub mod tls;
