//! The live view: painted by a thread of its own, so that a slow terminal never holds up a packet.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::sys::terminal;
use crate::load::Progress;
use crate::load::live::Live;

/// How often the block on a terminal is painted at most.
const PAINT_EVERY: Duration = Duration::from_millis(250);
/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// News that nobody has painted yet; more are dropped.
const WAITING: usize = 16;
const COLUMNS: usize = 80;

/// Shows news until it is closed.
pub(super) struct View {
    news: Option<SyncSender<Progress>>,
    painter: Option<JoinHandle<()>>,
    next: Instant,
}

impl View {
    /// Begins before the load tester is pinned, so that the painter runs wherever there is room. `is_quiet`: shows
    /// nothing.
    pub(super) fn open(is_quiet: bool) -> Self {
        let (news, painter) = match is_quiet {
            true => (None, None),
            false => {
                let (news, receiver) = sync_channel(WAITING);
                let painter = std::thread::Builder::new().name("live".into()).spawn(move || paint(&receiver));
                // Without a thread there is no view, and the test goes on.
                (Some(news), painter.ok())
            }
        };
        Self { news, painter, next: Instant::now() }
    }

    /// Called from the load tester's loop: it passes on a few times a second what was told, and never waits.
    pub(super) fn note(&mut self, progress: &Progress) {
        let now = Instant::now();
        if let Some(news) = self.news.as_ref().filter(|_| progress.second.is_some() || now >= self.next) {
            self.next = now + PAINT_EVERY;
            let _ = news.try_send(progress.clone());
        }
    }

    /// Takes the view away; what is printed next begins on a line of its own.
    pub(super) fn close(mut self) {
        self.news = None;
        if let Some(painter) = self.painter.take() {
            let _ = painter.join();
        }
    }
}

fn paint(news: &Receiver<Progress>) {
    let is_terminal = io::stderr().is_terminal();
    let every = if is_terminal { PAINT_EVERY } else { LINE_EVERY };
    let (mut live, mut told, mut painted) = (Live::default(), Instant::now(), Instant::now());
    let mut block = Block::default();
    loop {
        match news.recv_timeout(every.saturating_sub(painted.elapsed())) {
            Ok(progress) => {
                live.note(&progress);
                told = Instant::now();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if painted.elapsed() < every {
            continue;
        }
        painted = Instant::now();
        if is_terminal {
            let columns = terminal::columns(io::stderr().as_fd()).unwrap_or(COLUMNS);
            block.replace(&live.block(told.elapsed().as_secs_f64(), columns.saturating_sub(1)));
        } else if let Some(line) = live.line() {
            block.write(&format!("{line}\n"));
        }
    }
    if is_terminal {
        block.replace(&[]);
    }
}

/// The lines that stand on the terminal. Nothing of it is changed but these: no cursor hidden, no mode set, so that
/// whatever ends the process leaves it as it was.
#[derive(Default)]
struct Block {
    height: usize,
}

impl Block {
    /// One write, so that nothing flickers.
    fn replace(&mut self, lines: &[String]) {
        let mut text = String::new();
        if self.height > 0 {
            // To the beginning of the block, and clear to the end of the screen.
            text.push_str(&format!("\x1b[{}F\x1b[J", self.height));
        }
        lines.iter().for_each(|line| text.extend([line, "\n"]));
        self.height = lines.len();
        self.write(&text);
    }

    fn write(&self, text: &str) {
        // Where standard error is closed there is nobody left to tell.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}
