//! When the relay is looked after: each second while anything goes on, and never while nothing does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::engine::{Bell, News};

/// Beats while anything goes on.
pub(super) struct Pulse {
    news: Bell<Arc<News>>,
    /// The next beat; none while nothing goes on.
    next: Option<Instant>,
}

const EVERY: Duration = Duration::from_secs(1);

impl Pulse {
    /// Its first beat is due now. Call it within a runtime.
    ///
    /// # Errors
    /// No memory or descriptor left.
    pub(super) fn new(news: Arc<News>) -> io::Result<Self> {
        Ok(Self { news: Bell::new(news)?, next: Some(Instant::now()) })
    }

    /// Waits for the next beat. What happens after it is told of, however soon.
    pub(super) async fn beat(&self) {
        match self.next {
            Some(next) => sleep_until(next).await,
            None => drop(self.news.rung().await),
        }
        self.news.source().wait();
    }

    /// To be called after each beat: the next one is in a second if `is_busy`, and at the next news if not.
    pub(super) fn go_on(&mut self, is_busy: bool) {
        self.next = is_busy.then(|| Instant::now() + EVERY);
    }
}
