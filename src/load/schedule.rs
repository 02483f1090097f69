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
    /// What some are instead.
    pub(super) key: Option<KeyFrame>,
}

/// A picture that stands alone, as encoders send one now and then. The flows of a stream send theirs at even distances
/// from each other: calls that began at different times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyFrame {
    /// Frames from one to the next, itself included; 1 and more.
    pub(super) every: u32,
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
    /// How long the allocations take to come into being, one after the other at even distances, each sending from
    /// then on; counted as part of `length`.
    pub(super) growth: Duration,
}

/// How long a growing allocation is given to come into being before its first packet is due.
const HEAD_START_NS: u64 = 250_000_000;

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
            lane.next_ns = lane.time(0, course);
            lane.pass_absent(course);
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
        let due = Due { flow: lane.stream.first_flow + lane.member(), at_ns, frame: lane.frame() };
        lane.step(course);
        lane.pass_absent(course);
        Some(due)
    }

    /// What is left that is due before `until_ns`: flows, and how many packets of each.
    pub(super) fn rest(&self, until_ns: u64) -> impl Iterator<Item = (u32, u64)> {
        let (course, until_ns) = (self.course, until_ns.min(nanos(self.course.length)));
        let of_lane = move |lane: &Lane| -> Vec<(u32, u64)> {
            let packets = |member| (lane.stream.first_flow + member, lane.packets_left(member, until_ns, course));
            (0..lane.stream.flows).map(packets).filter(|(_, packets)| *packets > 0).collect()
        };
        self.lanes.iter().flat_map(of_lane)
    }

    /// The most packets that one flow sends.
    pub(super) fn most_packets_of_a_flow(&self) -> u64 {
        let most = |lane: &Lane| {
            let frames = (self.course.length.as_secs_f64() * lane.stream.frames_per_s).ceil() as u64 + 1;
            let key = lane
                .stream
                .key
                .map_or(0, |key| (frames / u64::from(key.every.max(1)) + 1) * u64::from(key.frame.packets));
            frames * u64::from(lane.stream.frame.packets) + key
        };
        self.lanes.iter().map(most).max().unwrap_or(0)
    }
}

impl Lane {
    /// Whose frame is next, within the stream.
    fn member(&self) -> u32 {
        (self.index % u64::from(self.stream.flows)) as u32
    }

    /// What the next frame is.
    fn frame(&self) -> Frame {
        let Some(KeyFrame { every, frame }) = self.stream.key else { return self.stream.frame };
        let number = self.index / u64::from(self.stream.flows) + self.ahead(self.member());
        if number.is_multiple_of(every.max(1).into()) { frame } else { self.stream.frame }
    }

    /// By how many frames a flow's first key frame is early.
    fn ahead(&self, member: u32) -> u64 {
        let every = self.stream.key.map_or(1, |key| key.every.max(1));
        u64::from(member) * u64::from(every) / u64::from(self.stream.flows)
    }

    /// Packets of a flow from the next frame on that are due before `until_ns`.
    fn packets_left(&self, member: u32, until_ns: u64, course: Course) -> u64 {
        let flows = u64::from(self.stream.flows);
        let next = self.index.saturating_sub(u64::from(member)).div_ceil(flows);
        let joins = match course.growth.is_zero() {
            true => 0,
            false => self.frames_before(member, course.joins_ns(member, self.stream.flows) + HEAD_START_NS, course),
        };
        let from = next.max(joins);
        let to = self.frames_before(member, until_ns, course).max(from);
        let Some(KeyFrame { every, frame }) = self.stream.key else {
            return (to - from) * u64::from(self.stream.frame.packets);
        };
        let (every, ahead) = (u64::from(every.max(1)), self.ahead(member));
        let keys = (to + ahead).div_ceil(every) - (from + ahead).div_ceil(every);
        keys * u64::from(frame.packets) + (to - from - keys) * u64::from(self.stream.frame.packets)
    }

    /// How many frames of a flow are due before `at_ns`.
    fn frames_before(&self, member: u32, at_ns: u64, course: Course) -> u64 {
        let flows = f64::from(self.stream.flows);
        let is_before =
            |frame: u64| self.time(frame * u64::from(self.stream.flows) + u64::from(member), course) < at_ns;
        let full_rate_s = course.amount_at(at_ns as f64 / 1e9);
        let guess = (full_rate_s * self.stream.frames_per_s * flows - self.shift - f64::from(member)) / flows;
        // Fractions: it is off by one at most, and what counts is what `time` says.
        let mut frames = guess.max(0.0) as u64;
        while frames > 0 && !is_before(frames - 1) {
            frames -= 1;
        }
        while is_before(frames) {
            frames += 1;
        }
        frames
    }

    fn step(&mut self, course: Course) {
        self.index += 1;
        self.next_ns = self.time(self.index, course);
    }

    /// Leaves out the frames of flows whose allocation is not there yet.
    fn pass_absent(&mut self, course: Course) {
        if course.growth.is_zero() {
            return;
        }
        while self.next_ns < course.joins_ns(self.member(), self.stream.flows) + HEAD_START_NS {
            self.step(course);
        }
    }

    /// When frame `index` of the stream is due.
    fn time(&self, index: u64, course: Course) -> u64 {
        let per_s = self.stream.frames_per_s * f64::from(self.stream.flows);
        let full_rate_s = (index as f64 + self.shift) / per_s;
        (course.time_of(full_rate_s) * 1e9) as u64
    }
}

impl Course {
    /// At full rate for all of `length`.
    pub(super) const fn even(length: Duration) -> Self {
        Self { ramp: Duration::ZERO, length, growth: Duration::ZERO }
    }

    /// It begins with less than it ends with.
    pub(super) fn rises(&self) -> bool {
        !(self.ramp.is_zero() && self.growth.is_zero())
    }

    /// When allocation `number` of `count` begins to come into being, in nanoseconds since the phase began. Those of a
    /// pair begin together.
    pub(super) fn joins_ns(&self, number: u32, count: u32) -> u64 {
        (self.growth.as_secs_f64() * 1e9 * f64::from(number & !1) / f64::from(count.max(1))) as u64
    }

    /// When as much has been sent as the full rate sends in `full_rate_s` seconds. During the ramp of length r the
    /// amount is t²/2r; behind it the ramp has cost r/2.
    fn time_of(&self, full_rate_s: f64) -> f64 {
        let ramp = self.ramp.as_secs_f64();
        if full_rate_s < ramp / 2.0 { (2.0 * ramp * full_rate_s).sqrt() } else { full_rate_s + ramp / 2.0 }
    }

    /// The other way round: what has been sent after `at_s`, in seconds of the full rate.
    fn amount_at(&self, at_s: f64) -> f64 {
        let ramp = self.ramp.as_secs_f64();
        if at_s < ramp { at_s * at_s / (2.0 * ramp) } else { at_s - ramp / 2.0 }
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

    /// Payload of all.
    pub(super) fn bytes(&self) -> u32 {
        (0..self.packets).map(|index| u32::from(self.payload_of(index))).sum()
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
        Stream { first_flow, flows, frames_per_s, frame: Frame::single(160), key: None }
    }

    fn course(ramp_s: f64, length_s: f64) -> Course {
        let length = Duration::from_secs_f64(length_s);
        Course { ramp: Duration::from_secs_f64(ramp_s), ..Course::even(length) }
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
    fn key_frames_come_in_turn() {
        let key = Some(KeyFrame { every: 10, frame: Frame::equal(4, 160) });
        let schedule = Schedule::new(course(0.0, 4.0), &[Stream { key, ..stream(0, 5, 10.0) }]);
        let most = schedule.most_packets_of_a_flow();
        let mut keys = Vec::new();
        let mut schedule = schedule;
        let mut packets = [0; 5];
        while let Some(due) = schedule.pop(u64::MAX) {
            packets[due.flow as usize] += u64::from(due.frame.packets);
            if due.frame.packets == 4 {
                keys.push((due.at_ns / 200_000_000, due.flow));
            }
        }
        // One a flow and second, 200 ms apart: the one with the highest number is the farthest on.
        let expected: Vec<_> = (0..20).map(|at| (at, [0, 4, 3, 2, 1][at as usize % 5])).collect();
        assert_eq!(keys, expected);
        assert!(packets.iter().all(|sent| *sent == 36 + 4 * 4 && *sent <= most), "{packets:?}, {most}");
    }

    #[test]
    fn allocations_join_while_it_grows() {
        let growing = Course { growth: Duration::from_secs(2), ..course(0.0, 4.0) };
        let due = all(Schedule::new(growing, &[stream(0, 10, 100.0)]));
        for flow in 0..10 {
            let joins = growing.joins_ns(flow, 10) + HEAD_START_NS;
            let times: Vec<_> = due.iter().filter(|(of, _)| *of == flow).map(|(_, at)| *at).collect();
            assert!(times[0] >= joins && times[0] <= joins + 10_000_000, "{flow} begins at {}", times[0]);
            // Fractions of a nanosecond are cut off.
            assert!(times.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff(10_000_000) <= 1));
        }
        assert_eq!(growing.joins_ns(7, 10), growing.joins_ns(6, 10), "a pair begins together");
    }

    /// Whenever it stops, what was taken and what is left are the schedule.
    #[test]
    fn what_is_left_is_counted_to_the_packet() {
        let key = Some(KeyFrame { every: 7, frame: Frame::equal(5, 160) });
        let streams = [stream(0, 3, 333.3), Stream { key, ..stream(3, 5, 30.0) }, stream(8, 1, 0.7)];
        let growing = Course { growth: Duration::from_secs(1), ..course(0.0, 2.0) };
        for course in [course(0.0, 2.0), course(0.7, 2.0), course(2.0, 2.0), growing] {
            let all: Vec<Due> = {
                let mut schedule = Schedule::new(course, &streams);
                std::iter::from_fn(|| schedule.pop(u64::MAX)).collect()
            };
            for (taken, until_ms) in [(0, 2000), (1, 2000), (700, 2000), (all.len(), 2000), (0, 450), (200, 1999)] {
                let mut schedule = Schedule::new(course, &streams);
                for _ in 0..taken {
                    assert!(schedule.pop(u64::MAX).is_some());
                }
                let until_ns = until_ms * 1_000_000;
                let mut left = [0; 9];
                schedule.rest(until_ns).for_each(|(flow, packets)| left[flow as usize] += packets);
                let mut expected = [0; 9];
                let due = all.iter().skip(taken).filter(|due| due.at_ns < until_ns);
                due.for_each(|due| expected[due.flow as usize] += u64::from(due.frame.packets));
                assert_eq!(left, expected, "{course:?}: {taken} taken, until {until_ms} ms");
            }
        }
    }

    #[test]
    fn nothing_to_send_ends_at_once() {
        assert_eq!(Schedule::new(course(0.0, 1.0), &[stream(0, 0, 1.0), stream(0, 1, 0.0)]).peek(), None);
    }
}
