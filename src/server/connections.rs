//! Which connections are open, so that none is refused while others only idle, and one address cannot have them all.
//!
//! Where there is no room for a new connection, the one that has been idle longest is told to close: API servers open another when they need
//! one, and whoever only holds connections loses them first. A connection with a call in progress is never told to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of all addresses together.
    pub in_all: usize,
    /// Of one address.
    pub of_one: usize,
}

/// The open connections. Cheap to clone, all clones see the same.
#[derive(Clone, Debug)]
pub struct Connections {
    limits: Limits,
    open: Arc<Mutex<Open>>,
    /// Told when there may be room again.
    freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Open {
    /// How often a connection was opened or became idle: the order of these events, and the number of the next connection.
    events: u64,
    by_number: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    /// Since which event it is idle; nothing while a call is in progress.
    idle_since: Option<u64>,
    close: Arc<Notify>,
}

/// Who opened the connection that a request came by: an extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller(pub IpAddr);

/// One open connection; dropping it makes room for another.
#[derive(Debug)]
pub struct Place {
    connections: Connections,
    caller: Caller,
    number: u64,
    close: Arc<Notify>,
}

/// A call in progress; dropping it makes its connection idle.
#[derive(Debug)]
pub struct Call {
    connections: Connections,
    number: u64,
}

impl Connections {
    /// Nobody yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: Arc::default(), freed: Arc::default() }
    }

    /// Waits until there is room for one more connection of somebody: a free place, or one that only idles.
    pub async fn room(&self) {
        loop {
            let freed = self.freed.notified();
            if self.has_room() {
                return;
            }
            freed.await;
        }
    }

    /// A place for a new connection of this address. If there is none, the connection that has been idle longest is told to close, one of
    /// the address itself if it is that which has too many. Nothing, if all of these have a call in progress.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> Option<Place> {
        // IPv4 addresses have two spellings on a socket that takes both families.
        let address = address.to_canonical();
        let mut open = self.lock();
        let own = open.by_number.values().filter(|entry| entry.address == address).count();
        if own >= self.limits.of_one {
            open.shed(|entry| entry.address == address)?;
        } else if open.by_number.len() >= self.limits.in_all {
            open.shed(|_| true)?;
        }
        let number = open.next_event();
        let close = Arc::new(Notify::new());
        let entry = Entry { address, idle_since: Some(number), close: Arc::clone(&close) };
        open.by_number.insert(number, entry);
        Some(Place { connections: self.clone(), caller: Caller(address), number, close })
    }

    fn has_room(&self) -> bool {
        let open = self.lock();
        open.by_number.len() < self.limits.in_all
            || open.by_number.values().any(|entry| entry.idle_since.is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn next_event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    /// Tells the longest idle of these connections to close. It has no place any more: it needs no more than a moment.
    fn shed(&mut self, is_eligible: impl Fn(&Entry) -> bool) -> Option<()> {
        let idle = self.by_number.iter().filter(|(_, entry)| is_eligible(entry));
        let idle = idle.filter_map(|(number, entry)| Some((entry.idle_since?, *number)));
        let (_, number) = idle.min()?;
        self.by_number.remove(&number)?.close.notify_one();
        Some(())
    }
}

impl Place {
    /// Whose it is; an IPv4 address in its own spelling.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.caller
    }

    /// Waits until the connection is to be closed, so that another has its place.
    pub async fn is_shed(&self) {
        self.close.notified().await;
    }

    /// A call begins.
    #[must_use]
    pub fn call(&self) -> Call {
        if let Some(entry) = self.connections.lock().by_number.get_mut(&self.number) {
            entry.idle_since = None;
        }
        Call { connections: self.connections.clone(), number: self.number }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        {
            let mut open = self.connections.lock();
            let now = open.next_event();
            if let Some(entry) = open.by_number.get_mut(&self.number) {
                entry.idle_since = Some(now);
            }
        }
        self.connections.freed.notify_waiters();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().by_number.remove(&self.number);
        self.connections.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn is_shed(place: &Place) -> bool {
        place.is_shed().now_or_never().is_some()
    }

    fn addresses<const N: usize>(texts: [&str; N]) -> [IpAddr; N] {
        texts.map(|text| text.parse().unwrap())
    }

    #[test]
    fn an_address_that_has_too_many_loses_its_own_that_has_been_idle_longest() {
        let connections = Connections::new(Limits { in_all: 10, of_one: 2 });
        let [one, mapped, other] = addresses(["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"]);
        let others = connections.admit(other).unwrap();
        let (first, second) = (connections.admit(one).unwrap(), connections.admit(mapped).unwrap());
        // The second is the longest idle: the first was used since.
        drop(first.call());
        let third = connections.admit(one).unwrap();
        assert_eq!([&others, &first, &second, &third].map(is_shed), [false, false, true, false]);
        drop(second);
        assert_eq!(connections.lock().by_number.len(), 3);
    }

    #[test]
    fn where_nobody_has_too_many_the_longest_idle_of_all_goes() {
        let connections = Connections::new(Limits { in_all: 2, of_one: 2 });
        let [one, other] = addresses(["10.0.0.1", "10.0.0.2"]);
        let (first, second) = (connections.admit(one).unwrap(), connections.admit(other).unwrap());
        let third = connections.admit(other).unwrap();
        assert_eq!([&first, &second, &third].map(is_shed), [true, false, false]);
    }

    #[test]
    fn a_call_in_progress_is_never_broken_off() {
        let connections = Connections::new(Limits { in_all: 3, of_one: 2 });
        let [one, other] = addresses(["10.0.0.1", "10.0.0.2"]);
        let places = [one, one, other].map(|address| connections.admit(address).unwrap());
        let calls: Vec<_> = places.iter().map(Place::call).collect();
        assert!(connections.admit(one).is_none() && connections.admit(other).is_none());
        assert!(connections.room().now_or_never().is_none());
        drop(calls);
        assert!(connections.room().now_or_never().is_some());
        assert!(!places.iter().any(is_shed));
        assert!(connections.admit(one).is_some());
        assert!(is_shed(&places[0]));
    }

    #[tokio::test]
    async fn whoever_waits_for_room_gets_it_when_a_place_or_a_call_ends() {
        let connections = Connections::new(Limits { in_all: 1, of_one: 1 });
        let [one] = addresses(["10.0.0.1"]);
        for ends_with_place in [true, false] {
            let place = connections.admit(one).unwrap();
            let call = place.call();
            let waiting = connections.clone();
            let waiter = tokio::spawn(async move { waiting.room().await });
            tokio::task::yield_now().await;
            assert!(!waiter.is_finished());
            if ends_with_place {
                drop(place);
            } else {
                drop(call);
            }
            waiter.await.unwrap();
        }
    }
}
