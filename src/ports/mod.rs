//! What the controllers need from the world outside: time and a cloud, as traits, and the errors by which they decide.
//!
//! Contracts only; who keeps them (the adapters of `cloud`) and who relies on them (the controllers) live elsewhere. Deciders need
//! none of this: they are functions of values.

pub mod clock;
pub mod cloud;
pub mod error;

pub use clock::Clock;
pub use cloud::CloudProvider;
pub use error::{CloudError, ErrorClass};
