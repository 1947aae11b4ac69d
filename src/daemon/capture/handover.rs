//! The capture thread gives up its work to a successor: another thread, or that of the daemon's next image.
//!
//! It stops between two commands, with nothing under way: every byte that has left a pipe is in its log, is counted as
//! lost, or is kept for a slow reader and handed over. The pipes stay open, so what comes meanwhile waits in them. Who
//! follows a log is known to the loop, which asks again.

use super::file::{Limits, LogFile};
use super::inflight::Place;
use super::queue::{Attach, Command, Reading, Restored};
use super::stream::{Account, Health};
use super::strip::AnsiStripper;
use super::taps::{Taps, Wishes};
use super::thread::Worker;
use super::{AttachOptions, Capture, FollowTarget, StreamId, Wanted};
use crate::config::model::Timestamps;
use crate::daemon::lines::{FeedState, Lines};
use crate::types::Pid;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How the thread ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// As it was told; whether everything was written.
    Finished(bool),
    /// It has given up its work.
    HandedOver(Box<Work>),
}

/// What the thread was doing.
#[derive(Debug, Default)]
pub struct Work {
    /// Everything but the pipes.
    pub state: WorkState,
    /// The pipes, in the order of the streams.
    pub pipes: Vec<OwnedFd>,
}

/// What can be written down of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct WorkState {
    streams: Vec<StreamState>,
    main: Option<FileState>,
    main_account: Account,
    accounts: Vec<(StreamId, Account)>,
    /// Lines of the daemon's own log that nobody has written yet.
    lines: Vec<Vec<u8>>,
    main_to_syslog: bool,
    /// Messages that the system log had no room for.
    syslog: Vec<Vec<u8>>,
    /// How far logs that their programs write themselves are read, by the number of the subscription.
    #[serde(default)]
    written: Vec<(u64, Place)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StreamState {
    stream: StreamId,
    file: Option<FileState>,
    /// Where in an escape sequence it is, if such are removed.
    stripper: Option<AnsiStripper>,
    taps: Option<Box<Taps>>,
    /// What stands before its lines in the file, and whether one of them is under way there.
    #[serde(default)]
    timestamps: Timestamps,
    #[serde(default)]
    within_line: bool,
    /// Where its lines are shown, and the line that is not complete.
    feed: Option<FeedState>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct FileState {
    path: PathBuf,
    maxbytes: u64,
    backups: u32,
    ends_with_line: bool,
    #[serde(with = "serde_bytes")]
    pending: Vec<u8>,
}

impl FileState {
    /// `pending` goes with the first that uses the file.
    fn of(log: &mut LogFile, pending: bool) -> Self {
        let Limits { maxbytes, backups } = log.limits();
        Self {
            path: log.path().to_path_buf(),
            maxbytes,
            backups,
            ends_with_line: log.ends_with_line(),
            pending: if pending {
                log.take_pending()
            } else {
                Vec::new()
            },
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            maxbytes: self.maxbytes,
            backups: self.backups,
        }
    }

    fn restored(self) -> Restored {
        Restored {
            ends_with_line: self.ends_with_line,
            pending: self.pending,
        }
    }
}

impl Worker {
    /// Takes in what is known of a file from whoever wrote it before.
    pub(super) fn restore(
        &mut self,
        file: Option<u32>,
        stream: Option<&StreamId>,
        health: &Arc<Health>,
        restored: Option<Restored>,
        now: Instant,
    ) {
        let log = file.and_then(|file| self.files.get_mut(file));
        if let (Some(log), Some(restored)) = (log, restored) {
            log.restore(restored);
            if log.is_stalled() {
                self.stall(file, stream.cloned(), Arc::clone(health), now);
            }
        }
    }

    /// Stops where it is.
    pub(super) fn into_work(mut self) -> Work {
        let mut work = Work::default();
        let mut seen = BTreeSet::new();
        let mut file_of = |files: &mut super::files::Files, number: Option<u32>| {
            let log = files.get_mut(number?)?;
            Some(FileState::of(log, seen.insert(number)))
        };
        work.state.main = file_of(&mut self.files, self.main);
        work.state.main_to_syslog = self.main_to_syslog;
        work.state.syslog = self.syslog.take_pending();
        work.state.written = self.watched.places();
        let newest: BTreeSet<u32> = self.newest.iter().map(|(_, &number)| number).collect();
        let (last, first): (Vec<u32>, Vec<u32>) = self
            .sources
            .numbers()
            .into_iter()
            .partition(|number| newest.contains(number));
        // The pipe of a process's predecessor comes before its own, as it did.
        for number in first.into_iter().chain(last) {
            if let Some(source) = self.sources.remove(number) {
                let within_line = self.is_within_line(number, source.file);
                work.state.streams.push(StreamState {
                    file: file_of(&mut self.files, source.file),
                    stream: source.stream,
                    stripper: source.stripper,
                    taps: source.taps,
                    timestamps: source.timestamps,
                    within_line,
                    feed: source.feed.map(|feed| feed.export()),
                });
                work.pipes.push(source.pipe);
            }
        }
        work
    }
}

impl Capture {
    /// Stops the thread and returns what it was doing. `None` when it does not come to an end in time, as when a disk
    /// hangs; it goes on then. After this, [`Capture::go_on`] or the end.
    pub fn hand_over(&mut self, patience: Duration) -> Option<Work> {
        let claimed = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&claimed);
        self.shared.let_go();
        self.shared.ask(Command::HandOver { claimed: theirs });
        let ended = self.ended.recv_timeout(patience).ok().or_else(|| {
            // Either it is told in time that nobody waits any more, or it has stopped just now.
            let stopped = claimed.swap(true, Ordering::AcqRel);
            stopped.then(|| self.ended.recv().ok()).flatten()
        })?;
        let thread = self.thread.take();
        let _joined = thread.map(std::thread::JoinHandle::join);
        match ended {
            Ended::HandedOver(work) => Some(*work),
            Ended::Finished(_) => None,
        }
    }

    /// What is to be written down of the work and of what is known on this side.
    pub fn write_down(&self, work: &mut Work) {
        let WorkState {
            main_account,
            accounts,
            lines,
            ..
        } = &mut work.state;
        *main_account = self.main_health.account();
        *accounts = self
            .healths
            .iter()
            .map(|(stream, health)| (stream, health.account()))
            .collect();
        *lines = self.shared.waiting_lines();
    }

    /// Goes on with the work in a new thread of the same daemon. What is `followed` has neither a gap nor a repetition.
    pub fn go_on(
        &mut self,
        work: Work,
        followed: Vec<(u64, FollowTarget)>,
        inflight: Option<&Path>,
    ) -> io::Result<()> {
        let commands = self.commands_for(work, followed);
        self.shared.put_first(commands);
        self.start_thread(inflight)
    }

    /// Goes on with the work of another image. A pipe that did not arrive is not read any more.
    pub fn resume(
        identity: &str,
        state: WorkState,
        pipes: impl IntoIterator<Item = Option<OwnedFd>>,
        followed: Vec<(u64, FollowTarget)>,
        inflight: Option<&Path>,
        lines: Lines,
        wanted: Wanted,
    ) -> io::Result<Self> {
        let mut capture = Self::prepare(PathBuf::from(super::syslog::SOCKET), identity)?;
        capture.lines = Some(lines);
        // Known before anything is read, so that no event is passed over.
        capture.want(wanted);
        let WorkState {
            streams,
            main,
            main_account,
            accounts,
            lines: own_lines,
            main_to_syslog,
            syslog,
            written,
        } = state;
        capture.main_health.restore(main_account);
        for (stream, account) in accounts {
            let health = Health::default();
            health.restore(account);
            *capture.healths.place(&stream) = Some(Arc::new(health));
        }
        let (streams, pipes) = streams
            .into_iter()
            .zip(pipes)
            .filter_map(|(stream, pipe)| Some((stream, pipe?)))
            .unzip();
        let work = Work {
            state: WorkState {
                streams,
                main,
                main_to_syslog,
                syslog,
                written,
                ..WorkState::default()
            },
            pipes,
        };
        let commands = capture.commands_for(work, followed);
        capture.shared.put_first(commands);
        for line in own_lines {
            capture.shared.write_main(line);
        }
        capture.start_thread(inflight)?;
        Ok(capture)
    }

    fn commands_for(&mut self, work: Work, followed: Vec<(u64, FollowTarget)>) -> Vec<Command> {
        let Work { state, pipes } = work;
        let main = state.main.map(|file| Command::OpenMain {
            path: file.path.clone(),
            limits: file.limits(),
            restored: Some(file.restored()),
        });
        let lines = self.lines.clone();
        let show = lines.clone().map(Command::ShowOn);
        let own = i32::try_from(std::process::id()).ok().and_then(Pid::new);
        let attaches = state
            .streams
            .into_iter()
            .zip(pipes)
            .filter_map(|(source, pipe)| {
                let health = self.healths.place(&source.stream).get_or_insert_default();
                let file = source.file;
                let limits = file.as_ref().map(FileState::limits);
                Some(Command::Attach(Box::new(Attach {
                    health: Arc::clone(health),
                    path: file.as_ref().map(|file| file.path.as_path().into()),
                    limits: limits.unwrap_or(Limits {
                        maxbytes: 0,
                        backups: 0,
                    }),
                    // What these would ask for is in what is restored.
                    pid: own?,
                    options: AttachOptions::default(),
                    timestamps: source.timestamps,
                    wishes: Wishes::default(),
                    feed: source
                        .feed
                        .zip(lines.as_ref())
                        .and_then(|(state, lines)| lines.restore(&source.stream, state))
                        .map(Box::new),
                    stream: source.stream,
                    pipe,
                    restored: Some(Box::new(Reading {
                        stripper: source.stripper,
                        taps: source.taps,
                        file: file.map(FileState::restored),
                        within_line: source.within_line,
                    })),
                })))
            });
        let shared = &self.shared;
        // Before anything is read.
        let places: BTreeMap<u64, Place> = state.written.into_iter().collect();
        let follows = followed.into_iter().map(move |(subscription, target)| {
            shared.add_follower(subscription);
            Command::Follow {
                subscription,
                target,
                backlog: 0,
                from: places.get(&subscription).copied(),
            }
        });
        let to_syslog = state.main_to_syslog.then_some(Command::MainToSyslog);
        let syslog = Command::RestoreSyslog(state.syslog);
        main.into_iter()
            .chain(show)
            .chain(to_syslog)
            .chain([syslog])
            .chain(follows)
            .chain(attaches)
            .collect()
    }
}
