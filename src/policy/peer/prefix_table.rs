//! An immutable longest-prefix table.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Prefixes of both families with a value each; asking costs one binary search. The prefixes are laid flat when the
/// table is built: since two of them are either nested or apart, the address space falls into at most `2 n + 1`
/// segments, each of which belongs to one longest prefix or to none.
#[derive(Clone, Debug)]
pub struct PrefixTable<T> {
    entries: Box<[Entry<T>]>,
    v4: Segments<u32>,
    v6: Segments<u128>,
}

/// A prefix and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// The prefix, host bits zero.
    pub net: IpNet,
    /// Its value.
    pub value: T,
}

impl<T> PrefixTable<T> {
    /// From prefixes in any order; of equal ones the first counts.
    pub fn new(prefixes: impl IntoIterator<Item = (IpNet, T)>) -> Self {
        let mut entries: Vec<_> = prefixes.into_iter().map(|(net, value)| Entry { net: net.trunc(), value }).collect();
        // `IpNet` orders by network address, then by length, so a prefix stands before those nested in it. The sort is
        // stable and `dedup` keeps the first.
        entries.sort_by_key(|entry| entry.net);
        entries.dedup_by_key(|entry| entry.net);
        let v4 = flatten(indexed(&entries).filter_map(|(index, net)| match net {
            IpNet::V4(net) => Some(Span { first: net.network().to_bits(), last: net.broadcast().to_bits(), index }),
            IpNet::V6(_) => None,
        }));
        let v6 = flatten(indexed(&entries).filter_map(|(index, net)| match net {
            IpNet::V4(_) => None,
            IpNet::V6(net) => Some(Span { first: net.network().to_bits(), last: net.broadcast().to_bits(), index }),
        }));
        Self { entries: entries.into(), v4, v6 }
    }

    /// The longest prefix that holds `ip`.
    pub fn v4(&self, ip: Ipv4Addr) -> Option<&Entry<T>> {
        self.entries.get(self.v4.holder(ip.to_bits())? as usize)
    }

    /// The longest prefix that holds `ip`.
    pub fn v6(&self, ip: Ipv6Addr) -> Option<&Entry<T>> {
        self.entries.get(self.v6.holder(ip.to_bits())? as usize)
    }

    /// The longest prefix that holds `ip`. A mapped IPv6 address is an IPv6 address here.
    pub fn lookup(&self, ip: std::net::IpAddr) -> Option<&Entry<T>> {
        match ip {
            std::net::IpAddr::V4(ip) => self.v4(ip),
            std::net::IpAddr::V6(ip) => self.v6(ip),
        }
    }

    /// Every prefix, by address.
    pub fn entries(&self) -> &[Entry<T>] {
        &self.entries
    }
}

/// The address space cut at `starts`; `holders` says whom each piece belongs to.
#[derive(Clone, Debug)]
struct Segments<K> {
    starts: Vec<K>,
    holders: Vec<Option<u32>>,
}

impl<K: Copy + Ord> Segments<K> {
    fn holder(&self, key: K) -> Option<u32> {
        let after = self.starts.partition_point(|start| *start <= key);
        self.holders.get(after.checked_sub(1)?).copied().flatten()
    }

    /// From `start` on the space is `holder`'s; what began at the same place before was empty.
    fn begin(&mut self, start: K, holder: Option<u32>) {
        match (self.starts.last(), self.holders.last_mut()) {
            (Some(last), Some(last_holder)) if *last == start => *last_holder = holder,
            _ => {
                self.starts.push(start);
                self.holders.push(holder);
            }
        }
    }
}

/// The addresses of one prefix.
struct Span<K> {
    first: K,
    last: K,
    index: u32,
}

trait Key: Copy + Ord {
    fn successor(self) -> Option<Self>;
}

impl Key for u32 {
    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Key for u128 {
    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// `spans` come sorted by first address, outer ones before inner ones.
fn flatten<K: Key>(spans: impl Iterator<Item = Span<K>>) -> Segments<K> {
    let mut segments = Segments { starts: Vec::new(), holders: Vec::new() };
    let mut open: Vec<Span<K>> = Vec::new();
    for span in spans {
        while let Some(ended) = open.pop_if(|innermost| innermost.last < span.first) {
            close(&mut segments, &ended, open.last());
        }
        segments.begin(span.first, Some(span.index));
        open.push(span);
    }
    while let Some(ended) = open.pop() {
        close(&mut segments, &ended, open.last());
    }
    segments
}

/// Behind the end of `ended` the space is its surroundings' again.
fn close<K: Key>(segments: &mut Segments<K>, ended: &Span<K>, outer: Option<&Span<K>>) {
    if let Some(next) = ended.last.successor() {
        segments.begin(next, outer.map(|outer| outer.index));
    }
}

fn indexed<T>(entries: &[Entry<T>]) -> impl Iterator<Item = (u32, IpNet)> {
    (0..).zip(entries.iter().map(|entry| entry.net))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(nets: &[&str]) -> PrefixTable<usize> {
        PrefixTable::new(nets.iter().enumerate().map(|(index, net)| (net.parse().unwrap(), index)))
    }

    fn value(table: &PrefixTable<usize>, ip: &str) -> Option<usize> {
        table.lookup(ip.parse().unwrap()).map(|entry| entry.value)
    }

    #[test]
    fn the_longest_prefix_answers() {
        let table = table(&["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "::/0", "2001:db8::/32"]);
        assert_eq!(value(&table, "9.255.255.255"), None);
        assert_eq!(value(&table, "10.0.0.0"), Some(0));
        assert_eq!(value(&table, "10.1.0.0"), Some(1));
        assert_eq!(value(&table, "10.1.2.3"), Some(2));
        assert_eq!(value(&table, "10.1.2.4"), Some(1));
        assert_eq!(value(&table, "10.2.0.0"), Some(0));
        assert_eq!(value(&table, "11.0.0.0"), None);
        assert_eq!(value(&table, "::10.1.2.3"), Some(3));
        assert_eq!(value(&table, "2001:db8::1"), Some(4));
        assert_eq!(value(&table, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), Some(3));
    }

    #[test]
    fn the_whole_space_and_its_last_address_are_prefixes_too() {
        let table = table(&["0.0.0.0/0", "255.255.255.255/32"]);
        assert_eq!(value(&table, "255.255.255.254"), Some(0));
        assert_eq!(value(&table, "255.255.255.255"), Some(1));
        assert_eq!(value(&table, "::1"), None);
    }

    #[test]
    fn of_equal_prefixes_the_first_counts() {
        assert_eq!(value(&table(&["10.0.0.0/8", "10.9.9.9/8"]), "10.0.0.1"), Some(0));
    }

    fn naive(nets: &[IpNet], ip: std::net::IpAddr) -> Option<usize> {
        let holds = nets.iter().enumerate().filter(|(_, net)| net.contains(&ip));
        holds.max_by_key(|(index, net)| (net.prefix_len(), std::cmp::Reverse(*index))).map(|(index, _)| index)
    }

    /// Prefixes that crowd together: few distinct leading bits, all lengths.
    fn net() -> impl Strategy<Value = IpNet> {
        prop_oneof![
            (0_u32..8, 0_u32..8, 0_u8..=32).prop_map(|(high, low, len)| {
                IpNet::new(Ipv4Addr::from_bits(high << 29 | low).into(), len).unwrap().trunc()
            }),
            (0_u128..8, 0_u128..8, 0_u8..=128).prop_map(|(high, low, len)| {
                IpNet::new(Ipv6Addr::from_bits(high << 125 | low).into(), len).unwrap().trunc()
            }),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_scan(nets in prop::collection::vec(net(), 0..24), v4: u32, v6: u128) {
            let table = PrefixTable::new(nets.iter().copied().zip(0_usize..));
            let edges = nets.iter().flat_map(|net| [net.network(), net.broadcast()]);
            let neighbours = edges.flat_map(|ip| match ip {
                std::net::IpAddr::V4(ip) => {
                    [-1, 0, 1].map(|by| Ipv4Addr::from_bits(ip.to_bits().wrapping_add_signed(by)).into())
                }
                std::net::IpAddr::V6(ip) => {
                    [-1, 0, 1].map(|by| Ipv6Addr::from_bits(ip.to_bits().wrapping_add_signed(by)).into())
                }
            });
            let probes = [Ipv4Addr::from_bits(v4).into(), Ipv6Addr::from_bits(v6).into()];
            for ip in neighbours.chain(probes) {
                prop_assert_eq!(table.lookup(ip).map(|entry| entry.value), naive(&nets, ip), "{}", ip);
            }
        }
    }
}
