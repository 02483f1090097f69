//! A flood of Allocate requests without credentials, each from another source: what a server does for those who have
//! proven nothing.

use super::fleet::{Place, Role, SEND_BATCH};
use super::measure::Times;
use super::result::Flood;
use super::schedule::nanos;
use super::session::{OVERTIME, Session, due_at, due_before};
use super::usage::{Meter, Usage};
use crate::wire::attribute::{ErrorCode, RequestedTransport};
use crate::wire::{Class, Message, MessageWriter, Method, TransactionId};

/// How long answers may take after the last request.
const DRAIN_NS: u64 = 1_000_000_000;

/// What has been sent and answered.
struct Tally {
    /// The first bytes of our transaction ids; the others say when the request was due.
    stamp: [u8; 4],
    requests: u64,
    /// With those that the kernel did not take.
    queued: u64,
    /// They are all as long.
    request_len: u64,
    answers: u64,
    bytes_out: u64,
    bytes_in: u64,
    times: Times,
    lateness: Times,
}

/// Sends requests at the rate for the measured time.
pub(super) fn run(session: &mut Session<'_>) -> (Flood, Usage) {
    let ((mut tally, length_ns), mut usage) = session.measured(|session, meter| {
        let begun_ns = session.clock.now();
        let (times, lateness) = (Times::new(), Times::new());
        let stamp = (super::mark::mix(begun_ns) as u32).to_be_bytes();
        let mut tally = Tally {
            stamp,
            requests: 0,
            queued: 0,
            request_len: 0,
            answers: 0,
            bytes_out: 0,
            bytes_in: 0,
            times,
            lateness,
        };
        let length_ns = tally.pour(session, meter, begun_ns);
        (tally, length_ns)
    });
    usage.lateness = std::mem::take(&mut tally.lateness);
    let duration_s = length_ns as f64 / 1e9;
    let scheduled = due_before(0, length_ns, session.settings.total_rate()).max(tally.queued);
    usage.behind = scheduled - tally.queued;
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let flood = Flood {
        duration_s,
        scheduled: Some(scheduled),
        requests: tally.requests,
        answers: tally.answers,
        requests_per_s: (tally.requests as f64 / duration_s * 10.0).round() / 10.0,
        amplification: (share(tally.bytes_in, tally.bytes_out) * 1000.0).round() / 1000.0,
        latency: tally.times.latency(),
        server_cpu_ns_per_request: usage.server_cpu_ns_per(tally.requests),
    };
    (flood, usage)
}

impl Tally {
    /// Returns for how long requests were due, in nanoseconds.
    fn pour(&mut self, session: &mut Session<'_>, meter: &mut Meter, start_ns: u64) -> u64 {
        let (rate, sources) = (session.settings.total_rate(), session.cast.clients().len() as u64);
        let mut end_ns = start_ns + nanos(session.settings.duration);
        let (mut next, mut next_tick_ns) = (0_u64, start_ns + 1_000_000_000);
        let due = |index: u64| due_at(start_ns, index, rate);
        loop {
            let now = session.clock.now();
            if session.is_stopped() && now < end_ns {
                // It was allowed to be as late as at the end.
                end_ns = due(next).max(now.saturating_sub(nanos(OVERTIME))).clamp(start_ns + 1, now.max(start_ns + 1));
            }
            let is_over = due(next) >= end_ns || now >= end_ns + nanos(OVERTIME) || session.is_stopped();
            if is_over && (self.answers >= self.requests || now >= end_ns + DRAIN_NS) {
                return end_ns - start_ns;
            }
            let first = next;
            while !is_over && next < first + SEND_BATCH as u64 && due(next) <= now && due(next) < end_ns {
                self.request(session, (next % sources) as u32, due(next));
                next += 1;
            }
            if next > first {
                session.fleet.flush(|_, _| {
                    self.requests -= 1;
                    self.bytes_out -= self.request_len;
                });
                let after = session.clock.now();
                (first..next).for_each(|index| self.lateness.note(after.saturating_sub(due(index))));
            }
            let received = self.receive(session);
            if now >= next_tick_ns {
                let length = session.settings.duration;
                session.tell("flood", start_ns, Some(length), rate, self.answers, Default::default());
                next_tick_ns += 1_000_000_000;
            }
            if next == first && received == 0 {
                if is_over {
                    meter.end(|| session.mark());
                }
                let next_due = (!is_over).then(|| due(next));
                session.rest(next_due, Some(now + 1_000_000));
                meter.idle(session.clock.now() - now);
            }
        }
    }

    fn request(&mut self, session: &mut Session<'_>, number: u32, due_ns: u64) {
        let mut id = [0; 12];
        id[..4].copy_from_slice(&self.stamp);
        id[4..].copy_from_slice(&due_ns.to_be_bytes());
        let mut out = [0; 64];
        let Ok(mut writer) = MessageWriter::new(&mut out, Method::ALLOCATE, Class::Request, TransactionId(id)) else {
            return;
        };
        // It has 8 bytes.
        let _ = writer.put(&RequestedTransport::UDP);
        let len = writer.finish();
        session.fleet.queue(Place { role: Role::Client, number }, None, len, None, |bytes| {
            bytes.copy_from_slice(&out[..len]);
        });
        self.requests += 1;
        self.queued += 1;
        self.request_len = len as u64;
        self.bytes_out += self.request_len;
    }

    fn receive(&mut self, session: &mut Session<'_>) -> usize {
        let target = session.settings.target;
        let Session { fleet, cast, clock, .. } = session;
        fleet.receive(
            || clock.now(),
            |now, incoming, bytes| {
                let Ok(message) = Message::parse(bytes) else {
                    if incoming.source == target {
                        cast.note_nonsense();
                    }
                    return;
                };
                let TransactionId(id) = message.transaction_id();
                let (Some((stamp, due)), true) = (id.split_first_chunk::<4>(), incoming.source == target) else {
                    return;
                };
                let Some(due) = due.first_chunk().filter(|_| *stamp == self.stamp) else { return };
                self.answers += 1;
                self.bytes_in += bytes.len() as u64;
                self.times.note(now.saturating_sub(u64::from_be_bytes(*due)));
                let code = message.get::<ErrorCode<'_>>().ok().flatten().map_or(0, |error| error.code);
                match (message.class(), code) {
                    (Class::Error, 401) => {}
                    (Class::Success, _) => cast.note_errors("flood allocated".into(), 1),
                    (_, 0) => cast.note_errors("flood unintelligible".into(), 1),
                    (_, code) => cast.note_errors(format!("flood {code}"), 1),
                }
            },
        )
    }
}
