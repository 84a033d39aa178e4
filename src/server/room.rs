//! Room for the bodies of calls in flight, so that memory stays bounded and one address cannot have all of it.
//!
//! Whoever waits stands in the queue of its own address first; what of an address gets into the queue of all is never more than its share.
//! So whatever an address sends or leaves unsent, others wait for none of its calls beyond that share. How long room may be held is not
//! known here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// One address has one of so many parts at most.
pub const SHARES: usize = 4;

/// Room for so many bytes in all.
#[derive(Debug)]
pub struct Room {
    of_all: Arc<Semaphore>,
    share: usize,
    /// What is left of the shares of those that hold or await room.
    of_one: Mutex<BTreeMap<IpAddr, Weak<Semaphore>>>,
}

/// Room that is taken; dropping it makes room for others.
#[derive(Debug)]
pub struct Taken {
    _of_all: OwnedSemaphorePermit,
    _of_one: OwnedSemaphorePermit,
}

impl Room {
    /// Room for so many bytes, all of it free.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self { of_all: Arc::new(Semaphore::new(bytes)), share: bytes / SHARES, of_one: Mutex::default() }
    }

    /// Waits until there is room for so many bytes of this address, and takes it. For more than an address may have, the wait has no end:
    /// the caller bounds the time.
    ///
    /// # Errors
    ///
    /// None in practice: the room is never closed.
    pub async fn take(&self, address: IpAddr, bytes: u32) -> Result<Taken, AcquireError> {
        let share = self.share_of(address);
        let of_one = share.acquire_many_owned(bytes).await?;
        let of_all = Arc::clone(&self.of_all).acquire_many_owned(bytes).await?;
        Ok(Taken { _of_all: of_all, _of_one: of_one })
    }

    fn share_of(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut of_one = self.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        of_one.retain(|_, share| share.strong_count() > 0);
        let known = of_one.get(&address).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let share = Arc::new(Semaphore::new(self.share));
            of_one.insert(address, Arc::downgrade(&share));
            share
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn taken(room: &Room, address: [u8; 4], bytes: u32) -> Option<Taken> {
        room.take(address.into(), bytes).now_or_never().map(Result::unwrap)
    }

    #[test]
    fn an_address_has_its_share_and_others_have_theirs() {
        let (room, one) = (Room::new(40), [10, 0, 0, 1]);
        let first = taken(&room, one, 6).unwrap();
        let second = taken(&room, one, 4).unwrap();
        assert!(taken(&room, one, 1).is_none());
        let others = [2, 3, 4].map(|last| taken(&room, [10, 0, 0, last], 10).unwrap());
        assert!(taken(&room, [10, 0, 0, 5], 1).is_none(), "all of it is taken");
        drop(first);
        assert!(taken(&room, one, 7).is_none());
        let again = taken(&room, one, 6).unwrap();
        drop((second, others, again));
        assert!(taken(&room, one, 10).is_some());
        assert_eq!(room.of_one.lock().unwrap().len(), 1, "nobody else is remembered");
    }

    #[test]
    fn those_of_an_address_that_has_its_share_keep_nobody_else_waiting() {
        let (room, one) = (Room::new(40), [10, 0, 0, 1].into());
        let held = room.take(one, 10).now_or_never().unwrap();
        let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(room.take(one, 10))).collect();
        assert!(waiting.iter_mut().all(|take| take.now_or_never().is_none()));
        let others = [2, 3, 4].map(|last| taken(&room, [10, 0, 0, last], 10));
        assert!(others.iter().all(Option::is_some));
        drop(held);
        assert!(waiting[0].as_mut().now_or_never().is_some(), "they have it in turn");
    }
}
