//! The integration tests: one executable, since each further one would link everything again.
#![cfg(test)]

mod architecture;
#[cfg(feature = "ec2")]
mod ec2_wire;
