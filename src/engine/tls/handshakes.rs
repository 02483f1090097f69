//! Handshakes, apart from the workers: a signature takes up to a millisecond (RSA-2048), in which packets of calls
//! would wait. A few threads work on them, at a lower priority than the workers. On one core, which the worker shared
//! with them, calls of 1,000 packets/s had a median latency of 94 µs and a p99 of 0.4 ms alone, and 101 µs and 0.8 ms
//! beside 200 handshakes/s (ECDSA P-256); it does 1,290 handshakes/s at most (`turnkeep load --profile connect --rate
//! 200 --transport tls` beside `--rate 1000 --allocations 20`).
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::{Session, State};
use crate::engine::sys::eventfd::Waker;
use crate::engine::sys::nice::yield_to_others;

/// The threads. Dropping it ends them.
pub(in crate::engine) struct Handshakes {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

/// Where a worker hands its handshakes in, and gets them back.
pub(in crate::engine) struct Desk {
    queue: Arc<Queue>,
    inbox: Arc<Inbox>,
}

/// One step of a handshake: what came, and, when it comes back, what is to be sent and how far it is.
pub(in crate::engine) struct Step {
    /// The connection's slot and serial number.
    pub(in crate::engine) of: (u32, u64),
    pub(in crate::engine) session: Session,
    /// What came and has not been worked on.
    pub(in crate::engine) incoming: Vec<u8>,
    /// To be sent.
    pub(in crate::engine) outgoing: Vec<u8>,
    /// What the client said behind its handshake.
    pub(in crate::engine) heard: Vec<u8>,
    /// How far it is, or what the client did wrong.
    pub(in crate::engine) state: Result<State, String>,
}

/// Steps that wait. There are never more than connections that have yet to authenticate, which are bounded.
#[derive(Default)]
struct Queue {
    steps: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting {
    steps: VecDeque<(Step, Arc<Inbox>)>,
    is_over: bool,
}

/// Steps that are done, for one worker.
struct Inbox {
    done: Mutex<Vec<Step>>,
    waker: Arc<Waker>,
}

impl Handshakes {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(in crate::engine) fn start(count: usize) -> io::Result<Self> {
        let mut handshakes = Self { queue: Arc::default(), threads: Vec::new() };
        for index in 0..count {
            let queue = handshakes.queue.clone();
            let thread = thread::Builder::new().name(format!("handshakes-{index}")).spawn(move || queue.work())?;
            handshakes.threads.push(thread);
        }
        Ok(handshakes)
    }

    /// A place for a worker that is woken by `waker`.
    pub(in crate::engine) fn desk(&self, waker: Arc<Waker>) -> Desk {
        Desk { queue: self.queue.clone(), inbox: Arc::new(Inbox { done: Mutex::default(), waker }) }
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        self.queue.lock().is_over = true;
        self.queue.more.notify_all();
        for thread in self.threads.drain(..) {
            // Its panics are caught.
            let _ = thread.join();
        }
    }
}

impl Desk {
    /// Hands a step in.
    pub(in crate::engine) fn hand_in(&self, step: Step) {
        self.queue.lock().steps.push_back((step, self.inbox.clone()));
        self.queue.more.notify_one();
    }

    /// Takes back what is done.
    pub(in crate::engine) fn take_back(&self) -> Vec<Step> {
        std::mem::take(&mut *self.inbox.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Queue {
    fn work(&self) {
        // Without it they merely compete with the workers.
        let _ = yield_to_others();
        loop {
            let mut waiting = self.lock();
            let (step, inbox) = loop {
                if waiting.is_over {
                    return;
                }
                match waiting.steps.pop_front() {
                    Some(next) => break next,
                    None => waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(waiting);
            // Unwind safety: a step that panics is thrown away, and its connection times out.
            if let Ok(step) = catch_unwind(AssertUnwindSafe(|| step.work())) {
                inbox.done.lock().unwrap_or_else(PoisonError::into_inner).push(step);
                inbox.waker.wake();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Step {
    /// The first step, or the next one, on what has come.
    pub(in crate::engine) fn new(of: (u32, u64), session: Session, incoming: Vec<u8>) -> Self {
        Self { of, session, incoming, outgoing: Vec::new(), heard: Vec::new(), state: Ok(State::Handshaking) }
    }

    fn work(mut self) -> Self {
        let Self { session, incoming, outgoing, heard, .. } = &mut self;
        let (done, state) = session.process(incoming, |bytes| heard.extend_from_slice(bytes), outgoing);
        incoming.drain(..done);
        self.state = state.map_err(|error| error.to_string());
        self
    }
}
