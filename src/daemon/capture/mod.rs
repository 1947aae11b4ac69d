//! Log capture: one thread that owns every log file and every output pipe.
//!
//! The daemon's loop hands a pipe over when it has started a process and then forgets it; how a process is doing never
//! depends on what happens here. All else are questions, answered by events. Loop and thread share two queues
//! (`queue`); the loop never waits for a disk, and the thread never waits for the loop.
//!
//! Invariants:
//! - Bytes of one stream are written in the order in which they were written to its pipe, unchanged but for escape
//!   sequences that are to be removed. The pipe of a process's predecessor is emptied before its own is read.
//! - A byte is either written or counted as lost, and a lost one leaves a line in its log. As long as files can be
//!   written nothing is lost; while they cannot, pipes are still emptied, so that programs go on.
//! - A pipe is read until its last writer is gone, be that the program or a grandchild that outlived it. Nothing waits
//!   for that.
//! - What a program asks to be captured is not a byte of its log: it goes where the events go, if anybody wants them.
//!   Events that are lost never cost a byte of a log, nor a program its time.
//! - Memory is one buffer for all pipes, a few hundred bytes for each stream, what may be captured at once, and what the
//!   queues may hold.
//! - With nothing to do the thread sleeps.
//!
//! Lines for the daemon's own standard streams are [`super::lines`]' matter, which is fed here.
//!
//! Not here: which streams are captured and where they go (the configuration says so), what events are worded as, and
//! how fast a client may take what it follows.

mod by_stream;
mod file;
mod files;
mod follow;
mod handover;
mod healths;
mod inflight;
mod open;
mod queue;
mod recognize;
mod slab;
mod stall;
mod stamp;
mod stream;
mod strip;
mod syslog;
mod taps;
#[cfg(test)]
mod tests;
mod thread;
mod watched;

use crate::config::model::LogSettings;
use crate::daemon::lines::Lines;
use crate::sys::poller::Poller;
use crate::types::{ByteSize, Pid, ProcessKey};
use crate::wire::Channel;
use by_stream::ByStream;
use file::Limits;
use handover::Ended;
pub use handover::{Work, WorkState};
pub use healths::Healths;
use inflight::Inflight;
use queue::{Attach, Command, Shared};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use stream::Health;
use syslog::Syslog;
use taps::Wishes;
use thread::Worker;

/// How long after its deadline a thread that is stuck in a write is waited for.
const GRACE: Duration = Duration::from_millis(200);

/// One of the two output streams of a process, over all its lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamId {
    /// The process.
    pub key: ProcessKey,
    /// Which of the two.
    pub channel: Channel,
}

/// What is done to a stream on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttachOptions {
    /// Remove terminal escape sequences.
    pub strip_ansi: bool,
    /// Its program was started by a daemon that was killed, and may have begun a line.
    pub adopted: bool,
}

/// Which events of the programs' output somebody wants. What nobody wants is not even posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// [`CaptureEvent::Communicated`].
    pub communicated: bool,
    /// [`CaptureEvent::Logged`].
    pub logged: bool,
}

/// A log to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogRef {
    /// The file at this path.
    File(PathBuf),
    /// The daemon's own log.
    Main,
}

/// A log to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowTarget {
    /// A stream, whether or not its process runs; and its file, which is what is followed if it is a regular one.
    Stream(StreamId, Option<PathBuf>),
    /// A stream whose log the program writes itself, and its file.
    Written(StreamId, PathBuf),
    /// The daemon's own log.
    Main,
}

/// How a log is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogHealth {
    /// Bytes lost since the daemon started.
    pub lost: u64,
    /// What is wrong at present.
    pub errno: Option<i32>,
}

/// What the thread has to tell.
#[derive(Debug)]
pub enum CaptureEvent {
    /// Answer to [`Capture::clear`].
    Cleared {
        /// Its number.
        job: u64,
        /// The first failure, if any.
        result: io::Result<()>,
    },
    /// Answer to [`Capture::tail`].
    Tailed {
        /// Its number.
        job: u64,
        /// The end of the file, and the size of the whole.
        result: io::Result<(Vec<u8>, u64)>,
    },
    /// Output for a follower.
    Output {
        /// Whose.
        subscription: u64,
        /// The bytes.
        data: Vec<u8>,
    },
    /// Output that a follower does not get, because too much waited for it already.
    Gap {
        /// Whose.
        subscription: u64,
        /// How many bytes.
        lost: u64,
    },
    /// A log cannot be written, rotated or re-created. Told at most once a minute for each stream.
    LogTrouble {
        /// The stream; `None` for the daemon's own log.
        stream: Option<StreamId>,
        /// The file.
        path: PathBuf,
        /// Why.
        errno: i32,
    },
    /// The trouble that was told of is over.
    LogRecovered {
        /// The stream; `None` for the daemon's own log.
        stream: Option<StreamId>,
        /// The file.
        path: PathBuf,
        /// Bytes that are missing from it.
        lost: u64,
    },
    /// A program has written a section between the tokens for capturing. Its bytes are in no log.
    Communicated {
        /// Where.
        stream: StreamId,
        /// Who: the process whose pipe it came from.
        pid: Pid,
        /// What stood between the tokens; of more than `capture_maxbytes`, the last so many.
        data: Vec<u8>,
    },
    /// A program has written something, with `events_enabled`.
    Logged {
        /// Where.
        stream: StreamId,
        /// Who: the process whose pipe it came from.
        pid: Pid,
        /// What one read brought, or the part of it before, within or after a captured section.
        data: Vec<u8>,
    },
    /// Events of a stream were dropped, because the loop did not fetch them as fast as they came. Its log is whole. Told
    /// at most once a minute for each stream.
    EventsLost {
        /// Whose.
        stream: StreamId,
        /// How many since it was last told.
        events: u64,
    },
    /// The system log cannot be written. Told at most once a minute.
    SyslogTrouble {
        /// Why.
        errno: i32,
    },
    /// The trouble that was told of is over.
    SyslogRecovered {
        /// Messages that were dropped.
        lost: u64,
    },
}

/// The loop's handle on the capture thread. Dropped without [`Capture::finish`], it ends the thread at once.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    /// Absent once it has been told to finish.
    thread: Option<JoinHandle<()>>,
    /// Tells once whether everything was written, when the thread ends.
    ended: Receiver<Ended>,
    healths: ByStream<Arc<Health>>,
    main_health: Arc<Health>,
    /// The system log, and how the daemon is called there.
    syslog: (PathBuf, String),
    /// Where lines are shown; nowhere when it is absent.
    pub(super) lines: Option<Lines>,
}

/// Writes what a daemon that was killed had read and not written. Says how many bytes of which log that was.
pub fn finish_inflight(path: &Path) -> io::Result<Option<(PathBuf, usize)>> {
    inflight::finish(path)
}

/// Hands lines of the daemon's own log over, from any thread.
#[derive(Debug, Clone)]
pub struct MainLog {
    shared: Arc<Shared>,
}

impl MainLog {
    /// Appends a line, newline included, to the log that [`Capture::open_main`] opened; without one it is discarded.
    /// Never blocks: beyond a megabyte that waits to be written, lines are dropped, and the log says how much.
    pub fn write(&self, line: Vec<u8>) {
        self.shared.write_main(line);
    }
}

impl Capture {
    /// Starts the thread. Signals must be blocked already, since it inherits the mask. `identity` is how the daemon calls
    /// itself in the system log; `inflight` is where the next daemon finds what this one had read and not written when it
    /// was killed.
    pub fn start(identity: &str, inflight: Option<&Path>) -> io::Result<Self> {
        Self::start_with(PathBuf::from(syslog::SOCKET), identity, inflight)
    }

    fn start_with(syslog: PathBuf, identity: &str, inflight: Option<&Path>) -> io::Result<Self> {
        let mut capture = Self::prepare(syslog, identity)?;
        capture.start_thread(inflight)?;
        Ok(capture)
    }

    /// A handle without a thread.
    fn prepare(syslog: PathBuf, identity: &str) -> io::Result<Self> {
        let (_tell_end, ended) = sync_channel(1);
        Ok(Self {
            shared: Arc::new(Shared::new()?),
            thread: None,
            ended,
            healths: ByStream::new(),
            main_health: Arc::new(Health::default()),
            syslog: (syslog, identity.to_owned()),
            lines: None,
        })
    }

    fn start_thread(&mut self, inflight: Option<&Path>) -> io::Result<()> {
        let poller = Poller::new()?;
        let buffer = Inflight::new(inflight, thread::BUFFER_BYTES)?;
        let (tell_end, ended) = sync_channel(1);
        let (theirs, health) = (Arc::clone(&self.shared), Arc::clone(&self.main_health));
        let (path, identity) = self.syslog.clone();
        let syslog = Syslog::new(path, identity);
        let thread = Builder::new().name("capture".into()).spawn(move || {
            let worker = Worker::new(theirs, poller, health, syslog, buffer);
            let end = worker.map_or(Ended::Finished(false), Worker::run);
            // Nobody listens any more when the handle was dropped.
            tell_end.try_send(end).unwrap_or_default();
        })?;
        self.thread = Some(thread);
        self.ended = ended;
        Ok(())
    }

    /// Shows the lines of the streams whose settings say so.
    pub fn show_on(&mut self, lines: Lines) {
        self.shared.ask(Command::ShowOn(lines.clone()));
        self.lines = Some(lines);
    }

    /// Readable when [`Capture::events`] has something.
    pub fn waker_fd(&self) -> BorrowedFd<'_> {
        self.shared.outbox_bell.as_fd()
    }

    /// Lets what is asked from now on lie until [`Capture::let_go`], so that the thread wakes once for all of it.
    pub fn hold(&self) {
        self.shared.hold();
        if let Some(lines) = &self.lines {
            lines.hold();
        }
    }

    /// Has the thread do what was asked since [`Capture::hold`].
    pub fn let_go(&self) {
        self.shared.let_go();
        if let Some(lines) = &self.lines {
            lines.let_go();
        }
    }

    /// Everything there is to tell by now. Never blocks.
    pub fn events(&self) -> Vec<CaptureEvent> {
        self.shared.take_events()
    }

    /// Reads `pipe`, which must not block and is that of the process `pid`, to its end, and does with what comes as
    /// `settings` say. The file is opened, or created, at once. An earlier pipe of the same stream goes on being read.
    /// Where streams share a file, the latest settings hold.
    pub fn attach(
        &mut self,
        stream: StreamId,
        pid: Pid,
        pipe: OwnedFd,
        settings: &LogSettings,
        options: AttachOptions,
    ) {
        let health = Arc::clone(self.healths.place(&stream).get_or_insert_default());
        let path = settings.target.shared_path();
        let feed = self
            .lines
            .as_ref()
            .and_then(|lines| lines.feed(&stream.key, stream.channel, settings.shown))
            .map(Box::new);
        self.shared.ask(Command::Attach(Box::new(Attach {
            stream,
            pid,
            pipe,
            health,
            path,
            limits: Limits::of(settings),
            options,
            timestamps: settings.timestamps,
            feed,
            wishes: Wishes::of(settings),
            restored: None,
        })));
    }

    /// Tells that a process was started that writes the log of a stream itself.
    pub fn renew(&self, stream: StreamId) {
        self.shared.ask(Command::Renew(stream));
    }

    /// Says which events of the programs' output are to be posted from now on; at first none.
    pub fn want(&self, wanted: Wanted) {
        self.shared.want(wanted);
    }

    /// New limits and times for the file of a stream, from its next output on.
    pub fn relimit(&self, stream: StreamId, settings: &LogSettings) {
        self.shared.ask(Command::Relimit {
            stream,
            limits: Limits::of(settings),
            timestamps: settings.timestamps,
        });
    }

    /// Forgets the accounts of a process that is no longer configured. Its files are closed already, except where a
    /// grandchild still writes to its pipes; those are read to their end all the same.
    pub fn forget(&mut self, key: &ProcessKey) {
        self.healths.forget(key);
        if let Some(lines) = &self.lines {
            lines.forget(key);
        }
        self.shared.forget_posted(key);
    }

    /// Follows the path of every log anew, as after somebody has moved the files.
    pub fn reopen_all(&self) {
        self.shared.ask(Command::ReopenAll);
    }

    /// Empties log files, whether or not their process runs; rotated ones stay. Answered by `Cleared`.
    pub fn clear(&self, job: u64, paths: Vec<PathBuf>) {
        self.shared.ask(Command::Clear { job, paths });
    }

    /// Reads the last `bytes` of a log (0: all), at most `max`. Answered by `Tailed`.
    pub fn tail(&self, job: u64, log: LogRef, bytes: u64, max: u64) {
        let bytes = if bytes == 0 { max } else { bytes.min(max) };
        self.shared.ask(Command::Tail { job, log, bytes });
    }

    /// Tells of everything that is written to a log as `Output`, beginning with the last `backlog` bytes of what is
    /// there. A `subscription` is a number that is not in use. What the loop does not fetch is kept up to a megabyte;
    /// the rest is a `Gap`.
    pub fn follow(&self, subscription: u64, target: FollowTarget, backlog: u64) {
        self.shared.add_follower(subscription);
        self.shared.ask(Command::Follow {
            subscription,
            target,
            backlog: backlog.min(queue::FOLLOWER_QUEUE_BYTES as u64),
            from: None,
        });
    }

    /// Ends a subscription. No event of it comes after this.
    pub fn unfollow(&self, subscription: u64) {
        self.shared.remove_follower(subscription);
        self.shared.ask(Command::Unfollow { subscription });
    }

    /// Opens the daemon's own log, or another one in its place.
    pub fn open_main(&self, path: PathBuf, maxbytes: ByteSize, backups: u32) {
        let maxbytes = maxbytes.0;
        let limits = Limits { maxbytes, backups };
        self.shared.ask(Command::OpenMain {
            path,
            limits,
            restored: None,
        });
    }

    /// Sends the lines of the daemon's own log to the system log from now on, besides the file if there is one.
    pub fn send_main_to_syslog(&self) {
        self.shared.ask(Command::MainToSyslog);
    }

    /// Something that writes to the daemon's own log and can be given away.
    pub fn main_log(&self) -> MainLog {
        MainLog {
            shared: Arc::clone(&self.shared),
        }
    }

    /// As [`MainLog::write`].
    pub fn write_main(&self, line: Vec<u8>) {
        self.shared.write_main(line);
    }

    /// How the logs of processes are doing.
    pub fn healths(&self) -> Healths<'_> {
        Healths(self.healths.walk())
    }

    /// How the daemon's own log is doing.
    pub fn main_health(&self) -> LogHealth {
        self.main_health.read()
    }

    /// Writes what is in the pipes by now and what was asked before, then closes everything. Takes hardly longer than
    /// `deadline`, even when a disk hangs. Says whether there was time for all of it.
    pub fn finish(mut self, deadline: Duration) -> bool {
        let thread = self.thread.take();
        let until = Instant::now() + deadline;
        self.shared.let_go();
        self.shared.ask(Command::Finish { deadline: until });
        let patience = deadline.saturating_add(GRACE);
        let whole = self.ended.recv_timeout(patience);
        whole.is_ok_and(|ended| {
            let joined = thread.is_none_or(|thread| thread.join().is_ok());
            joined && matches!(ended, Ended::Finished(true))
        })
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let deadline = Instant::now();
            self.shared.let_go();
            self.shared.ask(Command::Finish { deadline });
            // It puts its files away; one that is stuck in a write is not waited for.
            if self.ended.recv_timeout(GRACE).is_ok() {
                let _ended = thread.join();
            }
        }
    }
}

/// Opens the log that a program is to write itself. For a file, its directory and name are as safe as for one that is
/// written here; what cannot be opened at once, such as a FIFO without a reader, is refused.
pub fn open_for_program(path: &Path) -> io::Result<OwnedFd> {
    Ok(open::for_program(path)?)
}
