//! How much may be under way at once, of all claims together.

use tokio::sync::Semaphore;

/// So many calls to the cloud may be under way at once, of all claims.
const MOST_CLOUD_CALLS: usize = 200;
/// So many writes to the API server may be.
const MOST_WRITES: usize = 200;

/// Who may call whom. The two do not share: a cloud that is slow keeps no claim waiting that does not need it.
#[derive(Debug)]
pub(super) struct Permits {
    pub(super) cloud: Semaphore,
    pub(super) writes: Semaphore,
}

impl Default for Permits {
    fn default() -> Self {
        Self { cloud: Semaphore::new(MOST_CLOUD_CALLS), writes: Semaphore::new(MOST_WRITES) }
    }
}
