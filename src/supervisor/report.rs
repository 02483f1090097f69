//! What the log says of the sockets at the start, and of the traffic as a whole: never of a packet.

use std::collections::BTreeMap;

use tracing::{info, warn};

use crate::config::Config;
use crate::engine::{Buffers, Engine, Granted, Listening, StreamListening, WorkerCounters};
use crate::relay::{DropReason, Family};

/// Where clients come in, and whether the kernel gave what was asked for.
pub(super) fn listening(all: &[Listening], streams: &[StreamListening]) {
    for Listening { address, buffers } in all {
        info!(%address, transport = "udp", receive_buffer = buffers.receive.granted, "listening");
    }
    for StreamListening { address, kind } in streams {
        info!(%address, transport = kind.name(), "listening");
    }
    let shortest = all.iter().map(|listening| listening.buffers).min_by_key(|buffers| buffers.receive.granted);
    warn_of_short("listening sockets", shortest);
}

/// Where relayed addresses are.
pub(super) fn relaying(config: &Config, engine: &Engine) {
    for address in &config.relay.addresses {
        let (advertised, bound, ports) = (address.advertised(), address.bind, config.relay.ports);
        info!(address = %advertised, bound_to = %bound, %ports, "relaying");
    }
    let buffers = [Family::V4, Family::V6].into_iter().find_map(|family| engine.relay_buffers(family));
    warn_of_short("relay sockets", buffers);
}

/// Where goes what is not ours.
pub(super) fn passing_on(config: &Config) {
    for pass in &config.pass_through {
        let listed = |all: &mut dyn Iterator<Item = &str>| all.collect::<Vec<_>>().join(" ");
        let server_names = listed(&mut pass.server_names.iter().map(|name| name.as_str()));
        let alpn = listed(&mut pass.alpn.iter().map(|protocol| protocol.as_str()));
        info!(to = %pass.to, server_names, alpn, "passing TLS on");
    }
}

fn warn_of_short(sockets: &str, buffers: Option<Buffers>) {
    let Some(Buffers { receive, send }) = buffers else { return };
    for (size, way, key) in [(receive, "receive", "rmem_max"), (send, "send", "wmem_max")] {
        if size.is_short() {
            let Granted { asked, granted } = size;
            warn!(
                "the kernel grants {sockets} {granted} bytes of {way} buffer where {asked} were asked for, and packets \
                 will be lost in bursts: sysctl -w net.core.{key}={asked}"
            );
        }
    }
}

/// What was relayed, and what was not and why: by the names of [`DropReason`] and of the engine's own losses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    packets: u64,
    bytes: u64,
    dropped: BTreeMap<&'static str, u64>,
}

/// The engine's own losses.
const RECEIVE_BUFFER_FULL: &str = "receive_buffer_full";
const NOT_SENT: &str = "not_sent";
const NO_PROXY_HEADER: &str = "no_proxy_header";

impl Traffic {
    /// The sum over all workers.
    pub(super) fn of(workers: &[WorkerCounters]) -> Self {
        let sum = |count: &dyn Fn(&WorkerCounters) -> u64| workers.iter().map(count).fold(0, u64::saturating_add);
        let by_reason =
            DropReason::ALL.iter().map(|reason| (reason.name(), sum(&|worker| worker.relay.dropped(*reason))));
        let by_engine = [
            (RECEIVE_BUFFER_FULL, sum(&|worker| worker.engine.receive_buffer_full())),
            (NOT_SENT, sum(&|worker| worker.engine.not_sent())),
            (NO_PROXY_HEADER, sum(&|worker| worker.engine.unintroduced)),
        ];
        Self {
            packets: sum(&|worker| worker.relay.packets_to_peers.saturating_add(worker.relay.packets_to_clients)),
            bytes: sum(&|worker| worker.relay.bytes_to_peers.saturating_add(worker.relay.bytes_to_clients)),
            dropped: by_reason.chain(by_engine).filter(|(_, count)| *count > 0).collect(),
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        let before = |name| earlier.dropped.get(name).copied().unwrap_or_default();
        let dropped = self.dropped.iter().map(|(name, count)| (*name, count.saturating_sub(before(name))));
        Self {
            packets: self.packets.saturating_sub(earlier.packets),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            dropped: dropped.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

/// One line for it.
pub(super) fn relayed(traffic: &Traffic, when: &str) {
    let Traffic { packets, bytes, dropped } = traffic;
    let dropped: Vec<String> = dropped.iter().map(|(name, count)| format!("{name}={count}")).collect();
    info!(packets, bytes, dropped = dropped.join(" "), "{when}");
}

/// Tells of each minute in which there was traffic.
#[derive(Debug, Default)]
pub(super) struct Minute {
    seconds: u32,
    told: Traffic,
}

impl Minute {
    /// A second has passed, and `traffic` is what there was so far.
    pub(super) fn tick(&mut self, traffic: &Traffic) {
        self.seconds += 1;
        if let Some(last) = self.last(traffic) {
            relayed(&last, "relayed in the last minute");
            if let Some(lost) = last.dropped.get(RECEIVE_BUFFER_FULL) {
                warn!(
                    "{lost} packets were lost because they came faster than they were read: more workers, or a larger \
                     net.core.rmem_max, help"
                );
            }
        }
    }

    /// Some of `traffic` is to be told of when the minute is over.
    pub(super) fn is_waiting(&self, traffic: &Traffic) -> bool {
        self.told != *traffic
    }

    /// What is to be told, once a minute.
    fn last(&mut self, traffic: &Traffic) -> Option<Traffic> {
        if self.seconds < 60 {
            return None;
        }
        self.seconds = 0;
        let last = traffic.since(&self.told);
        self.told = traffic.clone();
        (last != Traffic::default()).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(packets: u64, dropped: &[(&'static str, u64)]) -> Traffic {
        Traffic { packets, bytes: packets * 100, dropped: dropped.iter().copied().collect() }
    }

    #[test]
    fn a_minute_is_told_once_by_its_own_traffic_and_not_at_all_without_any() {
        let mut minute = Minute::default();
        let mut after_a_minute = |traffic: &Traffic| {
            let mut told = Vec::new();
            for _ in 0..60 {
                minute.seconds += 1;
                told.extend(minute.last(traffic));
            }
            told
        };
        let first = traffic(10, &[(NOT_SENT, 3)]);
        let second = traffic(25, &[(NOT_SENT, 3), (RECEIVE_BUFFER_FULL, 7)]);
        assert_eq!(after_a_minute(&Traffic::default()), []);
        assert_eq!(after_a_minute(&first), std::slice::from_ref(&first));
        assert_eq!(after_a_minute(&first), []);
        assert_eq!(after_a_minute(&second), [traffic(15, &[(RECEIVE_BUFFER_FULL, 7)])]);
    }
}
