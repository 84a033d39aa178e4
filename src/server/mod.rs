//! The webhook's HTTP side: listeners, limits, AdmissionReview in and out, health.
//!
//! Nothing here decides about a review; a [`webhook::Judge`] does.

pub mod health;
pub mod listener;
pub mod review;
pub mod shutdown;
pub mod webhook;
