//! Network address translators, in the words of RFC 4787.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::random::Random;
use crate::relay::Instant;

/// On what a mapping, or what is let in through it, depends (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// On the inner address alone.
    EndpointIndependent,
    /// On the outer host's address, too.
    AddressDependent,
    /// On the outer host's address and port, too: what is called a symmetric NAT.
    AddressAndPortDependent,
}

/// One translator with one public address. A port that it has given out is not given out again for as long as there are
/// others.
#[derive(Debug)]
pub struct Nat {
    public: IpAddr,
    mapping: Behaviour,
    filtering: Behaviour,
    /// A mapping that nothing leaves by for so long is forgotten (RFC 4787 §4.3: two minutes or more).
    timeout: Duration,
    mappings: Vec<Mapping>,
    next_port: u16,
}

#[derive(Debug)]
struct Mapping {
    inside: SocketAddr,
    /// As much of the first outer address as the mapping depends on.
    toward: Option<SocketAddr>,
    port: u16,
    used: Instant,
    contacted: Vec<SocketAddr>,
}

/// Ports below are left to services.
const FIRST_PORT: u16 = 1024;

impl Nat {
    /// Without mappings.
    pub fn new(
        public: IpAddr,
        mapping: Behaviour,
        filtering: Behaviour,
        timeout: Duration,
        random: &mut Random,
    ) -> Self {
        let next_port = u16::try_from(random.within(u64::from(FIRST_PORT)..=65_535)).unwrap_or(FIRST_PORT);
        Self { public, mapping, filtering, timeout, mappings: Vec::new(), next_port }
    }

    /// The address that outer hosts know it by.
    pub fn public(&self) -> IpAddr {
        self.public
    }

    /// A datagram leaves: its source address outside.
    pub fn outward(&mut self, now: Instant, inside: SocketAddr, to: SocketAddr) -> SocketAddr {
        self.forget(now);
        let toward = seen_by(self.mapping, to);
        let known = self.mappings.iter().position(|mapping| (mapping.inside, mapping.toward) == (inside, toward));
        let place = known.unwrap_or_else(|| {
            let port = self.fresh_port();
            self.mappings.push(Mapping { inside, toward, port, used: now, contacted: Vec::new() });
            self.mappings.len() - 1
        });
        let mapping = &mut self.mappings[place];
        mapping.used = now;
        if !mapping.contacted.contains(&to) {
            mapping.contacted.push(to);
        }
        SocketAddr::new(self.public, mapping.port)
    }

    /// A datagram arrives at an outer port: where it goes inside, if it is let in.
    pub fn inward(&mut self, now: Instant, from: SocketAddr, port: u16) -> Option<SocketAddr> {
        self.forget(now);
        let mapping = self.mappings.iter().find(|mapping| mapping.port == port)?;
        let seen = seen_by(self.filtering, from);
        let is_known = mapping.contacted.iter().any(|contacted| seen_by(self.filtering, *contacted) == seen);
        is_known.then_some(mapping.inside)
    }

    /// Forgets every mapping, as after a restart: what leaves next has another address.
    pub fn rebind(&mut self) {
        self.mappings.clear();
    }

    fn forget(&mut self, now: Instant) {
        let timeout = self.timeout;
        self.mappings.retain(|mapping| now.since(mapping.used) < timeout);
    }

    /// The next in turn that no mapping has; there are more than there will ever be mappings.
    fn fresh_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
            if self.mappings.iter().all(|mapping| mapping.port != port) {
                return port;
            }
        }
    }
}

/// As much of an outer address as the behaviour looks at.
fn seen_by(behaviour: Behaviour, outer: SocketAddr) -> Option<SocketAddr> {
    match behaviour {
        Behaviour::EndpointIndependent => None,
        Behaviour::AddressDependent => Some(SocketAddr::new(outer.ip(), 0)),
        Behaviour::AddressAndPortDependent => Some(outer),
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Seed;
    use super::*;

    const INSIDE: &str = "10.0.0.2:5000";

    fn nat(mapping: Behaviour, filtering: Behaviour) -> Nat {
        let public = "203.0.113.1".parse().unwrap();
        Nat::new(public, mapping, filtering, Duration::from_secs(120), &mut Seed(1).stream("nat"))
    }

    fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_mapping_depends_on_what_the_behaviour_says() {
        let (host, other_port, other_host) = (address("192.0.2.1:1"), address("192.0.2.1:2"), address("192.0.2.2:1"));
        let cases = [
            (Behaviour::EndpointIndependent, [true, true]),
            (Behaviour::AddressDependent, [true, false]),
            (Behaviour::AddressAndPortDependent, [false, false]),
        ];
        for (mapping, same) in cases {
            let mut nat = nat(mapping, Behaviour::EndpointIndependent);
            let first = nat.outward(at(0), address(INSIDE), host);
            let others = [other_port, other_host].map(|to| nat.outward(at(0), address(INSIDE), to) == first);
            assert_eq!(others, same, "{mapping:?}");
            assert_eq!(nat.outward(at(1), address(INSIDE), host), first, "the same again");
            assert_ne!(nat.outward(at(1), address("10.0.0.2:5001"), host), first);
        }
    }

    #[test]
    fn only_those_who_were_spoken_to_are_let_in() {
        let (host, other_port, other_host) = (address("192.0.2.1:1"), address("192.0.2.1:2"), address("192.0.2.2:1"));
        let cases = [
            (Behaviour::EndpointIndependent, [true, true, true]),
            (Behaviour::AddressDependent, [true, true, false]),
            (Behaviour::AddressAndPortDependent, [true, false, false]),
        ];
        for (filtering, let_in) in cases {
            let mut nat = nat(Behaviour::EndpointIndependent, filtering);
            let outer = nat.outward(at(0), address(INSIDE), host);
            let got = [host, other_port, other_host].map(|from| nat.inward(at(1), from, outer.port()).is_some());
            assert_eq!(got, let_in, "{filtering:?}");
            assert_eq!(nat.inward(at(1), host, outer.port() ^ 1), None);
        }
    }

    #[test]
    fn mappings_end_by_silence_and_by_a_restart() {
        let mut nat = nat(Behaviour::EndpointIndependent, Behaviour::EndpointIndependent);
        let host = address("192.0.2.1:1");
        let first = nat.outward(at(0), address(INSIDE), host);
        assert_eq!(nat.outward(at(119), address(INSIDE), host), first);
        assert!(nat.inward(at(238), host, first.port()).is_some(), "what comes in does not keep it alive");
        assert!(nat.inward(at(239), host, first.port()).is_none());
        let second = nat.outward(at(240), address(INSIDE), host);
        nat.rebind();
        let third = nat.outward(at(240), address(INSIDE), host);
        assert!(first != second && second != third && first != third);
    }
}
