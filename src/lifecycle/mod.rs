//! The life of nodes and of what depends on them, decided. Pure.
//!
//! - [`claim`] is the entry: one step of a claim's life, from what is known ([`view`]) to what is to be done ([`draft`]). It goes through [`launch`],
//!   registration, initialization and liveness, or, once the claim is deleted, termination and [`drain`]; if its instance is its own.
//! - [`fence`] is what workload types mean for a claim: when it may be launched, and the labels of its Node. [`planted`] finds the pods
//!   that wait behind the fence without a right to.
//! - [`effect`] is what a step asks for, [`memory`] what the answers are, [`patch`] how writes look to the API server.
//! - [`class_finalizer`] holds a node class until its last claim is gone.
//! - [`gc`] finds what belongs to nothing any more, on both sides.
//! - [`type_status`] and [`pool_status`] are what the statuses of a workload type and of a pool say; [`type_deletion`] is how a type goes.

pub mod backoff;
pub mod claim;
pub mod class_finalizer;
pub mod draft;
pub mod drain;
pub mod effect;
pub mod fence;
pub mod gc;
mod initialization;
pub mod launch;
pub mod liveness;
pub mod memory;
mod notice;
mod ownership;
pub mod patch;
pub mod planted;
pub mod pool_status;
pub mod registration;
mod terminate;
pub mod type_deletion;
pub mod type_status;
pub mod view;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
