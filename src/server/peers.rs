//! How many connections each address has open, so that one cannot have them all.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The open connections by address. Cheap to clone, all clones see the same.
#[derive(Clone, Debug)]
pub struct Peers {
    at_most: usize,
    open: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

/// One open connection; dropping it makes room for another.
#[derive(Debug)]
pub struct Place {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    /// Nobody yet; each address may have so many.
    #[must_use]
    pub fn new(at_most: usize) -> Self {
        Self { at_most, open: Arc::default() }
    }

    /// A place for one more connection of this address, if it has room for one.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> Option<Place> {
        // IPv4 addresses have two spellings on a socket that takes both families.
        let address = address.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= self.at_most {
            return None;
        }
        *count += 1;
        Some(Place { peers: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_takes_none_from_another() {
        let peers = Peers::new(2);
        let [one, mapped, other] =
            ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        let (first, second) = (peers.admit(one), peers.admit(mapped));
        assert!(first.is_some() && second.is_some());
        assert!(peers.admit(one).is_none());
        assert!(peers.admit(other).is_some());
        drop(first);
        assert!(peers.admit(one).is_some());
        drop(second);
        assert!(peers.open.lock().unwrap().is_empty(), "addresses that are gone are forgotten");
    }
}
