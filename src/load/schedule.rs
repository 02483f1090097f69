//! When each packet leaves: fixed beforehand, whatever the server does (an open loop), so that a server that stalls is
//! charged with every packet that waited, not with one (no coordinated omission).

use std::time::Duration;

/// Equal flows that send the same frames at the same pace, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stream {
    /// The number of its first flow; the others follow.
    pub(super) first_flow: u32,
    /// How many.
    pub(super) flows: u32,
    /// Frames/s of each flow.
    pub(super) frames_per_s: f64,
    /// What one frame is.
    pub(super) frame: Frame,
}

/// Packets that leave at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// How many.
    pub(super) packets: u16,
    /// Payload of each but the last, in bytes.
    pub(super) payload: u16,
    /// Payload of the last.
    pub(super) last_payload: u16,
}

/// How the rate develops over one phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Course {
    /// How long it rises, evenly from 0; counted as part of `length`.
    pub(super) ramp: Duration,
    /// After which nothing is sent.
    pub(super) length: Duration,
}

/// A frame that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) flow: u32,
    /// In nanoseconds since the phase began.
    pub(super) at_ns: u64,
    pub(super) frame: Frame,
}

/// The frames of all streams in the order of their times.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    course: Course,
    lanes: Vec<Lane>,
}

/// A stream and where it stands.
#[derive(Clone, Debug)]
struct Lane {
    stream: Stream,
    /// The next frame of the stream, over all its flows.
    index: u64,
    /// Which part of the way from one frame to the next the stream is behind the first: streams of the same pace must
    /// not send in step.
    shift: f64,
    next_ns: u64,
}

impl Schedule {
    pub(super) fn new(course: Course, streams: &[Stream]) -> Self {
        let live = streams.iter().filter(|stream| stream.flows > 0 && stream.frames_per_s > 0.0);
        let count = live.clone().count() as f64;
        let lane = |(number, stream): (usize, &Stream)| {
            let mut lane = Lane { stream: stream.clone(), index: 0, shift: number as f64 / count, next_ns: 0 };
            lane.next_ns = lane.time(course);
            lane
        };
        Self { course, lanes: live.enumerate().map(lane).collect() }
    }

    /// When the next frame is due, in nanoseconds since the phase began; none at the end.
    pub(super) fn peek(&self) -> Option<u64> {
        let end = nanos(self.course.length);
        self.lanes.iter().map(|lane| lane.next_ns).min().filter(|at| *at < end)
    }

    /// Takes the next frame if it is due at `now_ns`.
    pub(super) fn pop(&mut self, now_ns: u64) -> Option<Due> {
        let course = self.course;
        let lane = self.lanes.iter_mut().min_by_key(|lane| lane.next_ns)?;
        let at_ns = lane.next_ns;
        if at_ns > now_ns || at_ns >= nanos(course.length) {
            return None;
        }
        let flow = lane.stream.first_flow + (lane.index % u64::from(lane.stream.flows)) as u32;
        lane.index += 1;
        lane.next_ns = lane.time(course);
        Some(Due { flow, at_ns, frame: lane.stream.frame })
    }

    /// The most packets that one flow sends.
    pub(super) fn most_packets_of_a_flow(&self) -> u64 {
        let most = |lane: &Lane| {
            let frames = (self.course.length.as_secs_f64() * lane.stream.frames_per_s).ceil() as u64 + 1;
            frames * u64::from(lane.stream.frame.packets)
        };
        self.lanes.iter().map(most).max().unwrap_or(0)
    }
}

impl Lane {
    /// When frame `index` is due.
    fn time(&self, course: Course) -> u64 {
        let per_s = self.stream.frames_per_s * f64::from(self.stream.flows);
        let full_rate_s = (self.index as f64 + self.shift) / per_s;
        (course.time_of(full_rate_s) * 1e9) as u64
    }
}

impl Course {
    /// When as much has been sent as the full rate sends in `full_rate_s` seconds. During the ramp of length r the
    /// amount is t²/2r; behind it the ramp has cost r/2.
    fn time_of(&self, full_rate_s: f64) -> f64 {
        let ramp = self.ramp.as_secs_f64();
        if full_rate_s < ramp / 2.0 { (2.0 * ramp * full_rate_s).sqrt() } else { full_rate_s + ramp / 2.0 }
    }
}

impl Frame {
    /// One packet of `payload` bytes.
    pub(super) const fn single(payload: u16) -> Self {
        Self::equal(1, payload)
    }

    /// Equal packets.
    pub(super) const fn equal(packets: u16, payload: u16) -> Self {
        Self { packets, payload, last_payload: payload }
    }

    /// Payload of the packet `index` of the frame.
    pub(super) fn payload_of(&self, index: u16) -> u16 {
        if index + 1 == self.packets { self.last_payload } else { self.payload }
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(first_flow: u32, flows: u32, frames_per_s: f64) -> Stream {
        Stream { first_flow, flows, frames_per_s, frame: Frame::single(160) }
    }

    fn course(ramp_s: f64, length_s: f64) -> Course {
        Course { ramp: Duration::from_secs_f64(ramp_s), length: Duration::from_secs_f64(length_s) }
    }

    fn all(mut schedule: Schedule) -> Vec<(u32, u64)> {
        std::iter::from_fn(|| schedule.pop(u64::MAX)).map(|due| (due.flow, due.at_ns)).collect()
    }

    #[test]
    fn flows_take_turns_at_even_distances() {
        let due = all(Schedule::new(course(0.0, 1.0), &[stream(10, 4, 2.0)]));
        let expected: Vec<_> = (0..8).map(|k| (10 + k % 4, u64::from(k) * 125_000_000)).collect();
        assert_eq!(due, expected);
    }

    #[test]
    fn streams_do_not_send_in_step() {
        let due = all(Schedule::new(course(0.0, 1.0), &[stream(0, 2, 1.0), stream(2, 2, 1.0)]));
        assert_eq!(due, [(0, 0), (2, 250_000_000), (1, 500_000_000), (3, 750_000_000)]);
    }

    /// However late the caller is, the times are those of the plan.
    #[test]
    fn a_late_caller_gets_the_intended_times() {
        let mut schedule = Schedule::new(course(0.0, 10.0), &[stream(0, 1, 10.0)]);
        assert_eq!(schedule.pop(0).map(|due| due.at_ns), Some(0));
        assert_eq!(schedule.pop(99_999_999), None);
        let late: Vec<_> = std::iter::from_fn(|| schedule.pop(1_000_000_000)).map(|due| due.at_ns).collect();
        assert_eq!(late, (1..=10).map(|k| k * 100_000_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_ramp_sends_half_of_the_full_rate() {
        let due = all(Schedule::new(course(2.0, 4.0), &[stream(0, 10, 100.0)]));
        assert_eq!(due.len(), 1000 + 2000);
        let within = |from: u64, to: u64| due.iter().filter(|(_, at)| (from..to).contains(at)).count();
        let second = 1_000_000_000;
        assert_eq!([within(0, second), within(second, 2 * second), within(2 * second, 3 * second)], [250, 750, 1000]);
        assert!(due.is_sorted_by_key(|(_, at)| *at));
    }

    #[test]
    fn there_is_room_for_all_that_is_sent() {
        for rate in [0.3, 1.0, 33.3, 999.9] {
            let schedule = Schedule::new(course(0.0, 3.0), &[stream(0, 3, rate)]);
            let most = schedule.most_packets_of_a_flow();
            let sent = all(schedule);
            assert!((0..3).all(|flow| sent.iter().filter(|(of, _)| *of == flow).count() as u64 <= most), "{rate}");
        }
    }

    #[test]
    fn a_frame_has_a_shorter_end() {
        let frame = Frame { packets: 3, payload: 1150, last_payload: 200 };
        assert_eq!([0, 1, 2].map(|index| frame.payload_of(index)), [1150, 1150, 200]);
    }

    #[test]
    fn nothing_to_send_ends_at_once() {
        assert_eq!(Schedule::new(course(0.0, 1.0), &[stream(0, 0, 1.0), stream(0, 1, 0.0)]).peek(), None);
    }
}
