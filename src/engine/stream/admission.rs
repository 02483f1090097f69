//! How many connections may wait to authenticate: in all, and from one network, whatever worker they came to.
#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::end::StreamEnd;
use super::limits::StreamLimits;

/// The count of all workers.
#[derive(Debug)]
pub(in crate::engine) struct Admission {
    limits: StreamLimits,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    in_all: u32,
    by_network: HashMap<Network, u32, RandomState>,
}

/// The leading bits of an address, and the family that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(bool, u128);

/// One connection's place among those that have yet to authenticate; it is free again once this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    /// None of those that are not counted.
    network: Option<Network>,
}

impl Admission {
    /// Nobody waits.
    pub(in crate::engine) fn new(limits: StreamLimits) -> Self {
        Self { limits, waiting: Mutex::default() }
    }

    /// Takes a place for a connection from `ip`.
    pub(super) fn enter(self: &Arc<Self>, ip: IpAddr) -> Result<Place, StreamEnd> {
        let network = self.network(ip);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.in_all >= self.limits.unauthenticated {
            return Err(StreamEnd::TooManyUnauthenticated);
        }
        let of_network = waiting.by_network.entry(network).or_default();
        if *of_network >= self.limits.unauthenticated_per_network {
            return Err(StreamEnd::TooManyFromNetwork);
        }
        *of_network += 1;
        waiting.in_all += 1;
        Ok(Place { admission: self.clone(), network: Some(network) })
    }

    /// Takes a place for a connection from a proxy, of which many clients come.
    pub(super) fn enter_as_proxy(self: &Arc<Self>) -> Result<Place, StreamEnd> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.in_all >= self.limits.unauthenticated {
            return Err(StreamEnd::TooManyUnauthenticated);
        }
        waiting.in_all += 1;
        Ok(Place { admission: self.clone(), network: None })
    }

    fn leave(&self, network: Option<Network>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.in_all = waiting.in_all.saturating_sub(1);
        let Some(network) = network else { return };
        if let Some(count) = waiting.by_network.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                waiting.by_network.remove(&network);
            }
        }
    }

    fn network(&self, ip: IpAddr) -> Network {
        let StreamLimits { network_bits_v4, network_bits_v6, .. } = self.limits;
        let (is_v4, bits, address) = match ip {
            IpAddr::V4(v4) => (true, network_bits_v4.min(32) + 96, u128::from(u32::from(v4))),
            IpAddr::V6(v6) => (false, network_bits_v6.min(128), u128::from(v6)),
        };
        let mask = u128::MAX.checked_shl(u32::from(128 - bits)).unwrap_or(0);
        Network(is_v4, address & mask)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.leave(self.network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(in_all: u32, per_network: u32) -> Arc<Admission> {
        let limits = StreamLimits { unauthenticated: in_all, unauthenticated_per_network: per_network, ..limits() };
        Arc::new(Admission::new(limits))
    }

    fn limits() -> StreamLimits {
        StreamLimits::default()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// who fills his own share leaves room for others.
    #[test]
    fn one_network_cannot_take_the_places_of_others() {
        let admission = admission(5, 2);
        let _own = [(); 2].map(|()| admission.enter(ip("192.0.2.1")).unwrap());
        assert_eq!(admission.enter(ip("192.0.2.1")).unwrap_err(), StreamEnd::TooManyFromNetwork);
        let _other = [(); 2].map(|()| admission.enter(ip("192.0.2.2")).unwrap());
        let last = admission.enter(ip("2001:db8::1")).unwrap();
        assert_eq!(admission.enter(ip("198.51.100.1")).unwrap_err(), StreamEnd::TooManyUnauthenticated);
        drop(last);
        assert!(admission.enter(ip("198.51.100.1")).is_ok());
    }

    #[test]
    fn a_network_is_what_shares_the_prefix() {
        for (bits, one, other, same) in [
            (32, "192.0.2.1", "192.0.2.2", false),
            (24, "192.0.2.1", "192.0.2.255", true),
            (24, "192.0.2.1", "192.0.3.1", false),
            (0, "192.0.2.1", "8.8.8.8", true),
            (64, "2001:db8::1", "2001:db8::ffff:0:0:1", true),
            (64, "2001:db8::1", "2001:db8:0:1::1", false),
            (0, "2001:db8::1", "::1", true),
            (0, "0.0.0.0", "::", false),
        ] {
            let limits = StreamLimits { network_bits_v4: bits, network_bits_v6: bits, ..limits() };
            let admission = Admission::new(limits);
            assert_eq!(admission.network(ip(one)) == admission.network(ip(other)), same, "{one} {other} {bits}");
        }
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        let admission = admission(1000, 1000);
        drop((0..1000).map(|_| admission.enter(ip("192.0.2.1")).unwrap()).collect::<Vec<_>>());
        let waiting = admission.waiting.lock().unwrap();
        assert_eq!((waiting.in_all, waiting.by_network.len()), (0, 0));
    }
}
