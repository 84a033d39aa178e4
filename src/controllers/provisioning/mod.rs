//! What launching nodes for waiting pods needs beside the scheduler: when to plan, and which pods were promised a node. The
//! controller that launches does not exist yet.

pub mod batch;
pub mod nominations;
