//! Treenail gives each team's pods nodes of their own: an admission webhook that injects and checks
//! tolerations and node selectors, and a controller that launches the matching EC2 nodes.
//!
//! Modules in reading order, lowest layer first; a layer uses its own or lower ones, never higher ones:
//!
//! - [`api`] (L0): the objects that people write, their CRDs, and the names on them.
//! - [`model`] (L1): pure values that decisions are made from.
//! - [`admission`], [`scheduling`], [`lifecycle`], [`disruption`] (L2): pure deciders.
//! - [`ports`], [`config`] (L3): what drivers need of the outside, as traits: time and a cloud; settings.
//! - [`cluster`], [`cloud`], [`tls`], [`telemetry`] (L4): the API server, EC2, certificates, logs.
//! - [`controllers`], [`server`] (L5): the drivers, and the webhook's HTTP side.
//! - [`app`], [`cli`] (L6): composition, and the command line.

pub mod admission;
pub mod api;
pub mod app;
pub mod cli;
pub mod cloud;
pub mod cluster;
pub mod config;
pub mod controllers;
pub mod disruption;
pub mod lifecycle;
pub mod model;
pub mod ports;
pub mod scheduling;
pub mod server;
pub mod telemetry;
pub mod tls;
