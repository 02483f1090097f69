//! The shapes of calls: frames, and how often.

use std::time::Duration;

use super::Profile;
use crate::load::schedule::{Frame, KeyFrame};

/// What one direction of one allocation sends: frames, and how many of them each second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::load) struct Shape {
    pub(in crate::load) frame: Frame,
    pub(in crate::load) frames_per_s: f64,
    pub(in crate::load) key: Option<KeyFrame>,
}

impl Shape {
    /// Packets/s on average.
    pub(in crate::load) fn packets_per_s(&self) -> f64 {
        self.per_s(|frame| f64::from(frame.packets))
    }

    /// Payload bits/s on average.
    pub(in crate::load) fn bits_per_s(&self) -> f64 {
        self.per_s(|frame| 8.0 * frame.bytes() as f64)
    }

    fn per_s(&self, of: impl Fn(&Frame) -> f64) -> f64 {
        let more = self.key.map_or(0.0, |key| (of(&key.frame) - of(&self.frame)) / f64::from(key.every.max(1)));
        self.frames_per_s * (of(&self.frame) + more)
    }
}

const AUDIO: Shape = Shape { frame: Frame::single(120), frames_per_s: 50.0, key: None };
const VIDEO_FRAMES_PER_S: f64 = 30.0;
const VIDEO_PAYLOAD: u16 = 1150;
/// From one key frame to the next. Live encoders send one when a receiver asks for it, which a loss or a newcomer
/// makes it do, and many at least so often.
pub const DEFAULT_KEY_FRAMES: Duration = Duration::from_secs(10);
/// Packets of a key frame, for each of another.
const KEY_FRAME_TIMES: u16 = 5;

impl Profile {
    /// What one direction of one allocation sends, where the profile says it; of pictures with key frames at such
    /// distances.
    pub(in crate::load) fn shapes(self, key_frames: Duration) -> Vec<Shape> {
        let every = (key_frames.as_secs_f64() * VIDEO_FRAMES_PER_S).round() as u32;
        let video = |packets: u16, last_payload| {
            let frame = Frame { packets, payload: VIDEO_PAYLOAD, last_payload };
            let key = KeyFrame { every, frame: Frame { packets: packets * KEY_FRAME_TIMES, ..frame } };
            vec![AUDIO, Shape { frame, frames_per_s: VIDEO_FRAMES_PER_S, key: (every > 0).then_some(key) }]
        };
        match self {
            Self::Raw | Self::Churn | Self::Connect | Self::Idle | Self::Flood => Vec::new(),
            Self::Audio => vec![AUDIO],
            Self::Video360 => video(2, 930),
            Self::Video720 => video(6, 500),
            Self::Video1080 => video(11, 1000),
            Self::Data => vec![Shape { frame: Frame::equal(4, VIDEO_PAYLOAD), frames_per_s: 25.0, key: None }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 11 packets 30 times a second, and 44 more every 10 s; 10 x 1150 and 1000 bytes, and 44 x 1150 more.
    #[test]
    fn key_frames_are_part_of_the_rate() {
        let [_, picture] = Profile::Video1080.shapes(DEFAULT_KEY_FRAMES)[..] else { panic!("voice and picture") };
        assert!((picture.packets_per_s() - (330.0 + 4.4)).abs() < 1e-9);
        assert!((picture.bits_per_s() - 8.0 * (30.0 * 12_500.0 + 5060.0)).abs() < 1e-6);
        let [_, without] = Profile::Video1080.shapes(Duration::ZERO)[..] else { panic!("voice and picture") };
        assert!((without.packets_per_s() - 330.0).abs() < 1e-9);
    }
}
