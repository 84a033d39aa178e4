//! Free loopback ports for servers that can only be told a number.
//!
//! The kernel's own choice (port 0) would be free only until it is closed again, and lies in the range that outgoing
//! connections are given. So ports are taken below that range, and each is guarded by a listener on the same port of
//! another loopback address: labs that run at once never share one, and the guard goes with its process.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

const GUARD: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port of 127.0.0.1 that no other lab uses while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _guard: TcpListener,
}

impl Port {
    /// Reserves a free port.
    pub fn reserve() -> Result<Self> {
        let start = u64::from(std::process::id());
        for step in 0..u64::from(COUNT) {
            let offset = (start + step * 7) % u64::from(COUNT);
            let number = FIRST + u16::try_from(offset).unwrap_or(0);
            let Ok(guard) = TcpListener::bind((GUARD, number)) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self { number, _guard: guard });
            }
        }
        bail!("no free port between {FIRST} and {}", FIRST + COUNT)
    }

    /// The port's number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn reserved_ports_differ_and_can_be_listened_on() {
        let ports: Vec<_> = (0..20).map(|_| Port::reserve().unwrap()).collect();
        let numbers: BTreeSet<_> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        for port in &ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).unwrap();
        }
    }
}
