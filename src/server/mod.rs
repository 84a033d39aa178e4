//! The webhook's HTTP side: listeners, limits, AdmissionReview in and out, health.
//!
//! Nothing here decides about a review: [`judge`] asks [`crate::admission`].

pub mod connections;
pub mod health;
pub mod judge;
pub mod listener;
pub mod review;
pub mod room;
pub mod shutdown;
pub mod webhook;
