//! What the drivers need of the outside, as traits and values.

pub mod clock;
