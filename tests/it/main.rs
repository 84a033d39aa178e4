//! The integration tests: one executable, since each further one would link everything again.
#![cfg(test)]

mod architecture;
mod attacks;
mod crds;
mod demo;
#[cfg(feature = "ec2")]
mod ec2_wire;
mod karpenter_workloads;
mod leadership;
mod legitimate;
mod manifests;
mod support;
mod type_deletion;
mod webhook;
