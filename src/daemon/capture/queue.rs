//! The two queues between the daemon's loop and the capture thread. Neither side ever waits for the other.
//!
//! Each is a list behind a mutex that is held for a moment, and an eventfd that is written when the list was empty.
//! Bounded is what others can make grow: the lines of the daemon's own log, what was captured for each follower, and the
//! events that the programs' output makes.

use super::file::Limits;
use super::inflight::Place;
use super::stream::Health;
use super::strip::AnsiStripper;
use super::taps::{Taps, Wishes};
use super::{AttachOptions, CaptureEvent, FollowTarget, LogRef, StreamId, Wanted};
use crate::config::model::Timestamps;
use crate::daemon::lines::{Feed, Lines};
use crate::sys::waker::Waker;
use crate::types::{Pid, ProcessKey};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most bytes of the daemon's own log that may wait to be written.
pub(super) const MAIN_QUEUE_BYTES: usize = 1024 * 1024;
/// Bytes of it for which the thread is woken at once, so that one busy turn of the loop does not fill the queue.
const MAIN_PIECE_BYTES: usize = 128 * 1024;
/// Most bytes that may wait for one follower.
pub(super) const FOLLOWER_QUEUE_BYTES: usize = 1024 * 1024;
/// Most bytes of events of one stream that may wait for the loop; a single one may be larger.
pub(super) const POSTED_BYTES: usize = 1024 * 1024;
/// Most bytes of events of all streams together; a single one may be larger.
const ALL_POSTED_BYTES: usize = 16 * POSTED_BYTES;
/// What an event without data counts for.
const EVENT_BYTES: usize = 128;
/// Shortest time from one report of lost events of a stream to the next.
const LOSS_INTERVAL: Duration = Duration::from_mins(1);

/// What the loop asks of the thread.
#[derive(Debug)]
pub(super) enum Command {
    Attach(Box<Attach>),
    Relimit {
        stream: StreamId,
        limits: Limits,
        timestamps: Timestamps,
    },
    /// A process was started that writes the log of this stream itself.
    Renew(StreamId),
    ReopenAll,
    Clear {
        job: u64,
        paths: Vec<PathBuf>,
    },
    Tail {
        job: u64,
        log: LogRef,
        bytes: u64,
    },
    Follow {
        subscription: u64,
        target: FollowTarget,
        backlog: u64,
        /// Where somebody else has followed it to, if its program writes it itself.
        from: Option<Place>,
    },
    Unfollow {
        subscription: u64,
    },
    OpenMain {
        path: PathBuf,
        limits: Limits,
        restored: Option<Restored>,
    },
    MainToSyslog,
    /// Messages that somebody else could not send.
    RestoreSyslog(Vec<Vec<u8>>),
    WriteMain(Vec<u8>),
    /// Lines of so many bytes were dropped at this place.
    MainLost(u64),
    /// Where lines are shown.
    ShowOn(Lines),
    Finish {
        deadline: Instant,
    },
    /// Give up the work, unless somebody has claimed that before.
    HandOver {
        claimed: Arc<AtomicBool>,
    },
}

/// How far the reading of a pipe has come.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) stripper: Option<AnsiStripper>,
    pub(super) taps: Option<Box<Taps>>,
    pub(super) file: Option<Restored>,
    /// A line of it is under way in the file.
    pub(super) within_line: bool,
}

/// What is known of a file from whoever wrote it before.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) ends_with_line: bool,
    /// What its reader has not taken yet.
    pub(super) pending: Vec<u8>,
}

/// A pipe to read, and where its bytes go.
#[derive(Debug)]
pub(super) struct Attach {
    pub(super) stream: StreamId,
    pub(super) pid: Pid,
    pub(super) pipe: OwnedFd,
    pub(super) health: Arc<Health>,
    /// `None` discards.
    pub(super) path: Option<Arc<Path>>,
    pub(super) limits: Limits,
    pub(super) options: AttachOptions,
    pub(super) timestamps: Timestamps,
    /// Shows its lines.
    pub(super) feed: Option<Box<Feed>>,
    pub(super) wishes: Wishes,
    /// What is known from whoever read it before.
    pub(super) restored: Option<Box<Reading>>,
}

/// Both queues.
#[derive(Debug)]
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    /// The loop will ring when it has asked everything it has to ask.
    held: AtomicBool,
    /// Rings for the thread.
    pub(super) inbox_bell: Waker,
    outbox: Mutex<Outbox>,
    /// Rings for the loop.
    pub(super) outbox_bell: Waker,
    /// Whether anybody wants captured sections, and output, as events.
    communicated_wanted: AtomicBool,
    logged_wanted: AtomicBool,
}

#[derive(Debug, Default)]
struct Inbox {
    commands: VecDeque<Command>,
    /// Bytes of `WriteMain` in the queue and in the hands of the thread.
    main_bytes: usize,
}

#[derive(Debug, Default)]
struct Outbox {
    events: VecDeque<CaptureEvent>,
    followers: BTreeMap<u64, Waiting>,
    posted: BTreeMap<StreamId, Posted>,
    posted_bytes: usize,
}

/// What waits of the events of one stream.
#[derive(Debug, Default)]
struct Posted {
    bytes: usize,
    /// Events dropped that were not told of yet.
    lost: u64,
    told_at: Option<Instant>,
}

impl Posted {
    /// What is to be told of events that were dropped.
    fn loss(&mut self, now: Instant) -> Option<u64> {
        let recent = |at: Instant| now.saturating_duration_since(at) < LOSS_INTERVAL;
        if self.lost == 0 || self.told_at.is_some_and(recent) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.lost))
    }
}

/// What waits for one follower.
#[derive(Debug, Default)]
struct Waiting {
    bytes: usize,
    /// Bytes skipped after those; until the loop has looked, everything that comes later is skipped as well.
    skipped: u64,
}

impl Shared {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            inbox: Mutex::default(),
            held: AtomicBool::new(false),
            inbox_bell: Waker::new()?,
            outbox: Mutex::default(),
            outbox_bell: Waker::new()?,
            communicated_wanted: AtomicBool::new(false),
            logged_wanted: AtomicBool::new(false),
        })
    }

    /// Asks something of the thread.
    pub(super) fn ask(&self, command: Command) {
        let mut inbox = lock(&self.inbox);
        let was_empty = inbox.commands.is_empty();
        inbox.commands.push_back(command);
        drop(inbox);
        if was_empty {
            self.ring();
        }
    }

    /// Wakes the thread, unless the loop is about to do so for all that it asks in one turn: to wake it for each would
    /// cost more than what is asked.
    fn ring(&self) {
        if !self.held.load(Ordering::SeqCst) {
            self.inbox_bell.wake();
        }
    }

    /// From now on the thread is not woken, until [`Shared::let_go`].
    pub(super) fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Wakes the thread if anything was asked since [`Shared::hold`], by whomever.
    pub(super) fn let_go(&self) {
        if self.held.swap(false, Ordering::SeqCst) && !lock(&self.inbox).commands.is_empty() {
            self.inbox_bell.wake();
        }
    }

    /// Hands over a line of the daemon's log, or counts it as lost when too much waits already.
    pub(super) fn write_main(&self, line: Vec<u8>) {
        let mut inbox = lock(&self.inbox);
        let was_empty = inbox.commands.is_empty();
        let length = line.len();
        let before = inbox.main_bytes;
        if inbox.main_bytes.saturating_add(length) <= MAIN_QUEUE_BYTES {
            inbox.main_bytes += length;
            inbox.commands.push_back(Command::WriteMain(line));
        } else if let Some(Command::MainLost(lost)) = inbox.commands.back_mut() {
            *lost = lost.saturating_add(length as u64);
        } else {
            inbox.commands.push_back(Command::MainLost(length as u64));
        }
        let much = before < MAIN_PIECE_BYTES && inbox.main_bytes >= MAIN_PIECE_BYTES;
        drop(inbox);
        if much {
            self.inbox_bell.wake();
        } else if was_empty {
            self.ring();
        }
    }

    /// Takes everything asked so far.
    pub(super) fn take_commands(&self) -> VecDeque<Command> {
        self.inbox_bell.drain();
        std::mem::take(&mut lock(&self.inbox).commands)
    }

    /// Puts commands in front of all others.
    pub(super) fn put_first(&self, commands: impl IntoIterator<Item = Command>) {
        let mut inbox = lock(&self.inbox);
        let later = std::mem::take(&mut inbox.commands);
        inbox.commands = commands.into_iter().chain(later).collect();
        drop(inbox);
        self.inbox_bell.wake();
    }

    /// The lines of the daemon's log that nobody has taken.
    pub(super) fn waiting_lines(&self) -> Vec<Vec<u8>> {
        let lines = |command: &Command| match command {
            Command::WriteMain(line) => Some(line.clone()),
            Command::Attach(_)
            | Command::Relimit { .. }
            | Command::ReopenAll
            | Command::Renew(_)
            | Command::ShowOn(_)
            | Command::Clear { .. }
            | Command::Tail { .. }
            | Command::Follow { .. }
            | Command::Unfollow { .. }
            | Command::OpenMain { .. }
            | Command::MainToSyslog
            | Command::RestoreSyslog(_)
            | Command::MainLost(_)
            | Command::Finish { .. }
            | Command::HandOver { .. } => None,
        };
        lock(&self.inbox)
            .commands
            .iter()
            .filter_map(lines)
            .collect()
    }

    /// Makes room for so many bytes of the daemon's log.
    pub(super) fn main_written(&self, bytes: usize) {
        let mut inbox = lock(&self.inbox);
        inbox.main_bytes = inbox.main_bytes.saturating_sub(bytes);
    }

    /// Tells the loop something.
    pub(super) fn tell(&self, event: CaptureEvent) {
        let mut outbox = lock(&self.outbox);
        let was_empty = outbox.events.is_empty();
        outbox.events.push_back(event);
        drop(outbox);
        if was_empty {
            self.outbox_bell.wake();
        }
    }

    /// From now on only these events are posted.
    pub(super) fn want(&self, wanted: Wanted) {
        let Wanted {
            communicated,
            logged,
        } = wanted;
        self.communicated_wanted
            .store(communicated, Ordering::Relaxed);
        self.logged_wanted.store(logged, Ordering::Relaxed);
    }

    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            communicated: self.communicated_wanted.load(Ordering::Relaxed),
            logged: self.logged_wanted.load(Ordering::Relaxed),
        }
    }

    /// Tells the loop of an event of a stream's output that carries `bytes`, or drops and counts it when too many wait.
    pub(super) fn post(&self, stream: &StreamId, bytes: usize, event: CaptureEvent) {
        let length = bytes + EVENT_BYTES;
        let has_room = |waiting: usize, most| waiting == 0 || waiting + length <= most;
        let mut outbox = lock(&self.outbox);
        let all = has_room(outbox.posted_bytes, ALL_POSTED_BYTES);
        let posted = outbox.posted.entry(stream.clone()).or_default();
        if !all || !has_room(posted.bytes, POSTED_BYTES) {
            posted.lost += 1;
            return;
        }
        posted.bytes += length;
        outbox.posted_bytes += length;
        let was_empty = outbox.events.is_empty();
        outbox.events.push_back(event);
        drop(outbox);
        if was_empty {
            self.outbox_bell.wake();
        }
    }

    /// Forgets the account of the events of a process.
    pub(super) fn forget_posted(&self, key: &ProcessKey) {
        lock(&self.outbox)
            .posted
            .retain(|stream, _| stream.key != *key);
    }

    /// Passes output to a follower that there still is, or skips it when too much waits for it.
    pub(super) fn tell_follower(&self, subscription: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let mut outbox = lock(&self.outbox);
        let Some(waiting) = outbox.followers.get_mut(&subscription) else {
            return;
        };
        if waiting.skipped > 0 || waiting.bytes.saturating_add(data.len()) > FOLLOWER_QUEUE_BYTES {
            waiting.skipped = waiting.skipped.saturating_add(data.len() as u64);
            return;
        }
        waiting.bytes += data.len();
        let was_empty = outbox.events.is_empty();
        outbox.events.push_back(CaptureEvent::Output {
            subscription,
            data: data.to_vec(),
        });
        drop(outbox);
        if was_empty {
            self.outbox_bell.wake();
        }
    }

    /// Says that a follower does not get so many bytes.
    pub(super) fn skip_for_follower(&self, subscription: u64, bytes: u64) {
        let mut outbox = lock(&self.outbox);
        if let Some(waiting) = outbox.followers.get_mut(&subscription) {
            waiting.skipped = waiting.skipped.saturating_add(bytes);
            drop(outbox);
            self.outbox_bell.wake();
        }
    }

    /// From now on `subscription` may be told of output.
    pub(super) fn add_follower(&self, subscription: u64) {
        lock(&self.outbox)
            .followers
            .insert(subscription, Waiting::default());
    }

    /// From now on it is not, nor of what waits already.
    pub(super) fn remove_follower(&self, subscription: u64) {
        let mut outbox = lock(&self.outbox);
        if outbox.followers.remove(&subscription).is_some() {
            outbox.events.retain(|event| {
                !matches!(event, CaptureEvent::Output { subscription: of, .. } if *of == subscription)
            });
        }
    }

    /// Takes everything there is to tell. What was skipped for a follower comes after what it gets.
    pub(super) fn take_events(&self) -> Vec<CaptureEvent> {
        self.outbox_bell.drain();
        let mut outbox = lock(&self.outbox);
        let mut events = Vec::from(std::mem::take(&mut outbox.events));
        for (&subscription, waiting) in &mut outbox.followers {
            let Waiting { skipped, .. } = std::mem::take(waiting);
            if skipped > 0 {
                events.push(CaptureEvent::Gap {
                    subscription,
                    lost: skipped,
                });
            }
        }
        let now = Instant::now();
        outbox.posted_bytes = 0;
        for (stream, posted) in &mut outbox.posted {
            posted.bytes = 0;
            if let Some(events_lost) = posted.loss(now) {
                let stream = stream.clone();
                events.push(CaptureEvent::EventsLost {
                    stream,
                    events: events_lost,
                });
            }
        }
        // Only what there is something to remember of.
        outbox
            .posted
            .retain(|_, posted| posted.lost > 0 || posted.told_at.is_some());
        events
    }
}

/// A thread that panicked leaves whole values behind: each change here is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
