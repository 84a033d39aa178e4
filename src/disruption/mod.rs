//! Which nodes are given up, and when. Pure.
//!
//! Only empty nodes for now; a node is never replaced and no pod is moved. What happens to a node that is given up is the lifecycle's.
//!
//! - [`decide`] is the entry: from all nodes to commands.
//! - [`candidates`] says whether a node may be given up, or why not; [`emptiness`] whether nothing needs it.
//! - [`budgets`] says how many nodes of a pool may be given up at once.

pub mod budgets;
pub mod candidates;
pub mod decide;
pub mod emptiness;
