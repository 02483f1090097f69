//! The signals that the relay heeds, and what they tell it.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the relay heeds.
pub(super) struct Signals {
    /// The relay ends with the terminal that it was started from.
    is_attended: bool,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
}

/// What a signal tells the relay.
pub(super) enum Told {
    /// To end.
    Stop(&'static str),
    /// To go on in a new audit file, if the old one was moved away.
    Look(&'static str),
}

impl Signals {
    /// From now on; until then they end the process. Call it within a runtime.
    ///
    /// # Errors
    /// The system forbids it.
    pub(super) fn listen(is_attended: bool) -> io::Result<Self> {
        Ok(Self {
            is_attended,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one, those counted that came before it was asked for.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop("SIGINT"),
            _ = self.terminate.recv() => Told::Stop("SIGTERM"),
            // It goes with its terminal.
            _ = self.hang_up.recv() => if self.is_attended { Told::Stop("SIGHUP") } else { Told::Look("SIGHUP") },
            // Other daemons reopen their logs at one of these; unheeded, they would kill.
            _ = self.user_1.recv() => Told::Look("SIGUSR1"),
            _ = self.user_2.recv() => Told::Look("SIGUSR2"),
        }
    }
}
