//! The integration tests: one executable, since each further one would link everything again.
#![cfg(test)]

mod architecture;
mod attacks;
mod bombs;
mod cli;
mod crash;
mod crds;
mod disruption;
#[cfg(feature = "ec2")]
mod ec2_wire;
mod envelope;
mod install;
mod interrupted;
mod karpenter_workloads;
mod leadership;
mod legitimate;
mod manifests;
mod node_claim;
mod poisoned;
mod provisioning;
mod readiness;
mod rotation;
mod support;
mod type_deletion;
mod user_data;
mod webhook;
