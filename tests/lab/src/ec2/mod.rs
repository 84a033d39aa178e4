//! EC2 as the cluster sees it: moto answers, a front before it watches.

pub mod faults;
pub mod front;
pub mod ledger;
pub mod moto;
pub mod query;

pub use front::{Call, Front};
pub use ledger::Lifetime;
pub use moto::Moto;
pub use query::{Instance, Query};
