//! Which connections are open, so that none is refused while others only idle, and one address cannot have them all.
//!
//! Where there is no room for a new connection, one that is idle is told to close: of the address that has the most, first one that never
//! made a call, else the one that has been idle longest. So whoever only holds connections loses them first, and what an API server keeps for
//! its next call stays for as long as any other address has more. A connection with a call in progress is never told to close.

use std::cmp::Reverse;
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
    /// Not before its first call, thus not during the handshake.
    has_called: bool,
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

    /// A place for a new connection of this address. If there is none, another one is told to close: one of the address itself if it has too
    /// many, else one of the address that has the most with the new one. Nothing, if all of these have a call in progress.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> Option<Place> {
        // IPv4 addresses have two spellings on a socket that takes both families.
        let address = address.to_canonical();
        let mut open = self.lock();
        let mut held = BTreeMap::from([(address, 1)]);
        for entry in open.by_number.values() {
            *held.entry(entry.address).or_default() += 1;
        }
        if held.get(&address).is_some_and(|own| *own > self.limits.of_one) {
            open.shed(|entry| (entry.address == address).then_some(()))?;
        } else if open.by_number.len() >= self.limits.in_all {
            open.shed(|entry| held.get(&entry.address).map(Reverse))?;
        }
        let number = open.next_event();
        let close = Arc::new(Notify::new());
        let entry = Entry { address, idle_since: Some(number), has_called: false, close: Arc::clone(&close) };
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

    /// Tells one that is idle to close: of those that rank first the longest idle, one without a call before one with. Those without a rank
    /// are spared. It has no place any more: it needs no more than a moment.
    fn shed<R: Ord>(&mut self, rank: impl Fn(&Entry) -> Option<R>) -> Option<()> {
        let idle = self
            .by_number
            .iter()
            .filter_map(|(number, entry)| Some((rank(entry)?, entry.has_called, entry.idle_since?, *number)));
        let (.., number) = idle.min()?;
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
            (entry.idle_since, entry.has_called) = (None, true);
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
        // The second is the longest idle: the first was used since, and both have made a call.
        drop(second.call());
        drop(first.call());
        let third = connections.admit(one).unwrap();
        assert_eq!([&others, &first, &second, &third].map(is_shed), [false, false, true, false]);
        drop(second);
        assert_eq!(connections.lock().by_number.len(), 3);
    }

    #[test]
    fn where_nobody_has_too_many_one_of_those_who_have_the_most_goes() {
        let connections = Connections::new(Limits { in_all: 5, of_one: 5 });
        let [server, stranger, third] = addresses(["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let admit = |address| connections.admit(address).unwrap();
        let pooled = [admit(server), admit(server)];
        for place in &pooled {
            drop(place.call());
        }
        let strangers: Vec<_> = (0..3).map(|_| admit(stranger)).collect();
        // The first two have made calls since: the last one is the youngest, and never made one.
        drop(strangers[0].call());
        drop(strangers[1].call());
        let more = [admit(stranger), admit(stranger), admit(third)];
        assert!(
            !pooled.iter().any(is_shed),
            "those of an API server stay, though they have been idle longer"
        );
        assert_eq!(strangers.iter().map(is_shed).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!([&more[0], &more[1], &more[2]].map(is_shed), [true, true, false]);
        // All three have two now: the one goes that never made a call.
        let again = admit(third);
        assert_eq!(strangers[..2].iter().map(is_shed).collect::<Vec<_>>(), [false, false]);
        assert_eq!(pooled.iter().map(is_shed).collect::<Vec<_>>(), [false, false]);
        assert_eq!([&more[2], &again].map(is_shed), [true, false]);
    }

    #[test]
    fn a_busy_address_that_has_the_most_passes_it_on() {
        let connections = Connections::new(Limits { in_all: 3, of_one: 3 });
        let [one, other] = addresses(["10.0.0.1", "10.0.0.2"]);
        let busy = [one, one].map(|address| connections.admit(address).unwrap());
        let calls: Vec<_> = busy.iter().map(Place::call).collect();
        let idle = connections.admit(other).unwrap();
        let new = connections.admit(one).unwrap();
        assert_eq!([&busy[0], &busy[1], &idle, &new].map(is_shed), [false, false, true, false]);
        drop(calls);
    }

    #[test]
    fn of_an_address_those_that_never_made_a_call_go_first() {
        let connections = Connections::new(Limits { in_all: 3, of_one: 2 });
        let [one] = addresses(["10.0.0.1"]);
        let (used, silent) = (connections.admit(one).unwrap(), connections.admit(one).unwrap());
        drop(used.call());
        let third = connections.admit(one).unwrap();
        assert_eq!([&used, &silent, &third].map(is_shed), [false, true, false]);
        drop(third.call());
        let fourth = connections.admit(one).unwrap();
        assert_eq!([&used, &third, &fourth].map(is_shed), [true, false, false]);
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
