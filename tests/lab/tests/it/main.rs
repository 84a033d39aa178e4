//! The lab itself: what stands on it must be able to trust it.
#![cfg(test)]

mod demo;
mod front;
mod machines;
mod pods;
mod teardown;
