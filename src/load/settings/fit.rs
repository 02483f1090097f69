//! What would be ignored, or never measured: refused, since whoever wrote it expects it to count.

use super::{DEFAULT_KEY_FRAMES, Profile, Settings};

/// The default of what only raw packets have.
const PAYLOAD: u16 = 160;

impl Settings {
    /// Whether all that was asked for has a meaning with this profile.
    ///
    /// # Errors
    /// A sentence that names the option.
    pub(super) fn check_fit(&self) -> Result<(), String> {
        let profile = self.profile;
        let name = profile.name();
        if profile != Profile::Raw && (self.payload != PAYLOAD || self.burst != 1) {
            return Err(format!("--payload and --burst go with the raw profile; {name} has its own packets, or none"));
        }
        let has_rate = matches!(profile, Profile::Raw | Profile::Churn | Profile::Connect | Profile::Flood);
        if self.rate.is_some() && !has_rate {
            return Err(format!("--rate does not go with {name}: what it sends follows from --allocations"));
        }
        if self.rate.is_some() && !self.steps.is_empty() {
            return Err("--rate and --steps exclude each other: the steps are the rates".into());
        }
        let has_picture = matches!(profile, Profile::Video360 | Profile::Video720 | Profile::Video1080);
        if self.key_frames != DEFAULT_KEY_FRAMES && !has_picture {
            return Err(format!("--key-frames goes with the video profiles; {name} has no picture"));
        }
        if !self.ramp.is_zero() && (!profile.relays() || self.search.is_some()) {
            return Err("--ramp goes with packets that are relayed, and not with a search".into());
        }
        let obstacle = self.fail_if.iter().find_map(|threshold| threshold.obstacle(self));
        obstacle.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::Credentials;

    fn settings(profile: Profile) -> Settings {
        let credentials = Credentials::Secret(b"north".to_vec().into());
        Settings { profile, ..Settings::new("127.0.0.1:3478".parse().unwrap(), credentials) }
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        let refuses = |settings: Settings, word: &str| {
            let refused = settings.check().expect_err(word);
            assert!(refused.contains(word), "{refused}");
        };
        let (audio, idle, raw) = (settings(Profile::Audio), settings(Profile::Idle), settings(Profile::Raw));
        refuses(Settings { payload: 1000, ..audio.clone() }, "--payload");
        refuses(Settings { burst: 2, ..audio.clone() }, "--burst");
        refuses(Settings { rate: Some(10.0), ..audio.clone() }, "--allocations");
        refuses(Settings { rate: Some(10.0), ..idle.clone() }, "--rate");
        refuses(Settings { rate: Some(10.0), steps: vec![10.0], ..raw.clone() }, "--steps");
        refuses(Settings { key_frames: Duration::ZERO, ..raw.clone() }, "--key-frames");
        refuses(Settings { ramp: Duration::from_secs(1), ..idle.clone() }, "--ramp");
        for fine in [audio, idle, raw, settings(Profile::Churn), settings(Profile::Video720)] {
            assert_eq!(fine.check(), Ok(()), "{:?}", fine.profile);
        }
    }

    #[test]
    fn conditions_on_what_is_not_measured_are_refused() {
        let with = |profile, condition: &str, server_pids: &[u32]| {
            let fail_if = vec![condition.parse().unwrap()];
            Settings { fail_if, server_pids: server_pids.into(), ..settings(profile) }.check()
        };
        assert!(with(Profile::Raw, "cpu>6us", &[]).is_err_and(|error| error.contains("--server-pid")));
        assert!(with(Profile::Raw, "memory>1k", &[]).is_err_and(|error| error.contains("--server-pid")));
        for profile in [Profile::Churn, Profile::Flood, Profile::Idle] {
            for condition in ["p99>10ms", "loss>1%", "cpu>6us"] {
                let refused = with(profile, condition, &[7]).expect_err(condition);
                assert!(refused.contains(profile.name()), "{refused}");
            }
        }
        assert!(with(Profile::Churn, "p99>10ms", &[]).is_err_and(|error| error.contains("setup, ")));
        assert!(with(Profile::Flood, "setup>1s", &[]).is_err() && with(Profile::Idle, "rate<1", &[]).is_err());
        assert_eq!(with(Profile::Churn, "setup>10ms", &[]), Ok(()));
        for profile in [Profile::Churn, Profile::Flood, Profile::Audio] {
            assert_eq!(with(profile, "not-sent>1%", &[]), Ok(()), "{profile:?}");
        }
        let fail_if = vec!["not-sent>1%".parse().unwrap()];
        let closed = Settings { fail_if, closed_loop: true, ..settings(Profile::Churn) };
        assert!(closed.check().is_err_and(|error| error.contains("--rate max")), "nothing is due");
        assert_eq!(with(Profile::Churn, "cpu-share>50%", &[7]), Ok(()));
        assert_eq!(with(Profile::Raw, "cpu>6us", &[7]), Ok(()));
    }
}
