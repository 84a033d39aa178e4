//! The integration tests: one executable, since each further one would link everything again.
#![cfg(test)]

mod architecture;
mod karpenter_workloads;
