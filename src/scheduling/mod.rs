//! What to launch: from pods that wait to a plan of nodes, pure and deterministic.
//!
//! [`solve()`] is the way in. [`verify()`] checks a plan against its problem by other means, and shares nothing with the solver but the
//! model. Nothing here starts, binds or remembers anything.

mod amounts;
mod catalog;
mod claims;
mod daemons;
mod envelope;
mod explain;
mod fit;
mod launch;
mod limits;
mod plan;
mod pools;
mod problem;
mod queue;
mod solve;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verify;
mod worth;

pub use catalog::{Catalog, Unmet};
pub use claims::MOST_INSTANCE_TYPES;
pub use envelope::envelope;
pub use plan::{InstanceOption, Nomination, Plan, PlannedClaim, PoolReason, Unschedulable};
pub use problem::{Daemon, ExistingNode, PendingPod, Pool, PoolPreference, Problem, WorkloadType};
pub use solve::solve;
pub use verify::{Place, Violation, verify};
