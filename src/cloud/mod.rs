//! Clouds behind the trait of `ports`.
//!
//! The only one is EC2. Adapters know nothing of each other, of the cluster, or of who uses them.

pub mod ec2;
