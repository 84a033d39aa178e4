//! The composition root: builds adapters, supervises every task, shuts down in order.

#[cfg(feature = "ec2")]
mod cluster_facts;
#[cfg(feature = "ec2")]
pub mod controller;
pub mod supervisor;
pub mod webhook;
