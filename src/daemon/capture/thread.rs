//! The capture thread: reads every pipe, writes every file, and does what the loop asks.
//!
//! It sleeps until a pipe has something or the loop asks something; there is no timer but the one that ends the patience
//! with a reader that does not keep up ([`super::stall`]). A pipe that is ready
//! is read until it is empty or has filled one buffer, then the next one has its turn; one buffer serves all of them.

use super::by_stream::ByStream;
use super::files::Files;
use super::follow::Followers;
use super::handover::Ended;
use super::inflight::Inflight;
use super::open::{errno_of, read_end};
use super::queue::{Attach, Command, Shared};
use super::slab::Slab;
use super::stall::{SYSLOG, Stall, stalled_file};
use super::stamp::LastLine;
use super::stream::{Health, Intake, Notice, Source};
use super::strip::AnsiStripper;
use super::syslog::Syslog;
use super::taps::Taps;
use super::watched::Watched;
use super::{AttachOptions, CaptureEvent, LogRef, StreamId};
use crate::daemon::lines::Lines;
use crate::sys::poller::{Interest, Poller};
use nix::errno::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// The most a pipe holds unless somebody enlarged it.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;
/// The most reads that one source gets before the next has its turn.
const TURN_READS: u32 = 16;
/// The most that is read from the pipe of a process's predecessor before its own: no user can make a pipe larger.
const PREDECESSOR_BYTES: usize = 1024 * 1024;
/// Token of the loop's bell; sources have their number, stalled files one between.
pub(super) const BELL: u64 = u64::MAX;
/// Token of what tells that a program has written to its own log.
pub(super) const WRITTEN: u64 = u64::MAX - 2;

/// Why the thread ends.
enum Stop {
    /// It is told to, and has until then.
    Finish(Instant),
    /// Somebody else goes on with its work.
    HandOver,
}

/// Everything the thread owns.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) poller: Poller,
    pub(super) sources: Slab<Source>,
    /// The newest source of each stream that has one.
    pub(super) newest: ByStream<u32>,
    pub(super) files: Files,
    pub(super) main: Option<u32>,
    main_health: Arc<Health>,
    pub(super) stalls: BTreeMap<u32, Stall>,
    pub(super) followers: Followers,
    lines: Option<Lines>,
    pub(super) watched: Watched,
    pub(super) syslog: Syslog,
    pub(super) main_to_syslog: bool,
    /// Lent to whoever reads.
    buffer: Option<Inflight>,
    /// Where escape sequences are removed.
    stripped: Vec<u8>,
    /// When something was last read that may have times before its lines.
    pub(super) read_at: SystemTime,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        poller: Poller,
        main_health: Arc<Health>,
        syslog: Syslog,
        buffer: Inflight,
    ) -> io::Result<Self> {
        poller.add(&shared.inbox_bell, BELL, Interest::READABLE)?;
        Ok(Self {
            shared,
            poller,
            sources: Slab::new(),
            newest: ByStream::new(),
            files: Files::new(),
            main: None,
            main_health,
            stalls: BTreeMap::new(),
            followers: Followers::default(),
            lines: None,
            watched: Watched::default(),
            syslog,
            main_to_syslog: false,
            buffer: Some(buffer),
            stripped: Vec::new(),
            read_at: SystemTime::UNIX_EPOCH,
        })
    }

    /// Works until it is told to finish, or to give up its work.
    pub(super) fn run(mut self) -> Ended {
        let mut ready = Vec::new();
        loop {
            // It can only fail for reasons that would be defects; without it nothing more can be done.
            if self.poller.wait(&mut ready, self.patience()).is_err() {
                return Ended::Finished(false);
            }
            let asked = ready.iter().any(|event| event.token == BELL);
            let mut commands = VecDeque::new();
            if asked {
                commands = self.shared.take_commands();
                // An answer is to contain what was written before it was asked for, so look at the pipes once more.
                if self.poller.wait(&mut ready, Some(Duration::ZERO)).is_err() {
                    return Ended::Finished(false);
                }
            }
            let now = Instant::now();
            for event in &ready {
                if event.token == WRITTEN {
                    self.watched.serve(&self.shared);
                } else if let Ok(number) = u32::try_from(event.token) {
                    let ends = event.hangup && !event.readable && !self.pause(number);
                    if ends
                        && self
                            .sources
                            .get_mut(number)
                            .is_some_and(|source| source.is_over())
                    {
                        self.end(number, now);
                    } else {
                        self.serve(number, now);
                    }
                } else if let Some(file) = stalled_file(event.token) {
                    self.flush(file, now);
                } else if event.token == SYSLOG {
                    self.resume_syslog(now);
                }
            }
            self.give_up_stalled(now);
            match self.obey(commands, now) {
                None => {}
                Some(Stop::Finish(deadline)) => return Ended::Finished(self.drain(deadline)),
                Some(Stop::HandOver) => return Ended::HandedOver(Box::new(self.into_work())),
            }
        }
    }

    /// Does everything that is asked. Says how, if the end is asked for.
    fn obey(&mut self, mut commands: VecDeque<Command>, now: Instant) -> Option<Stop> {
        while let Some(command) = commands.pop_front() {
            match command {
                Command::Attach(attach) => self.attach(*attach, now),
                Command::Relimit {
                    stream,
                    limits,
                    timestamps,
                } => {
                    let source = self.newest.get(&stream).copied();
                    if let Some(source) = source.and_then(|number| self.sources.get_mut(number)) {
                        source.timestamps = timestamps;
                        if let Some(file) = source.file {
                            self.files.relimit(file, limits);
                        }
                    }
                }
                Command::ReopenAll => self.reopen_all(now),
                Command::Clear { job, paths } => {
                    let result = self.files.clear(&paths, now);
                    let result = result.map_err(io::Error::from);
                    self.shared.tell(CaptureEvent::Cleared { job, result });
                }
                Command::Tail { job, log, bytes } => {
                    let result = match &log {
                        LogRef::File(path) => read_end(path, bytes),
                        LogRef::Main => match self.main_path() {
                            Some(path) => read_end(&path, bytes),
                            None => Err(Errno::ENOENT),
                        },
                    };
                    let result = result.map_err(io::Error::from);
                    self.shared.tell(CaptureEvent::Tailed { job, result });
                }
                Command::Follow {
                    subscription,
                    target,
                    backlog,
                    from,
                } => self.follow(subscription, target, backlog, from),
                Command::Unfollow { subscription } => {
                    self.followers.remove(subscription);
                    self.watched.remove(&self.poller, WRITTEN, subscription);
                }
                Command::Renew(stream) => self.watched.renew(&self.shared, &stream),
                Command::OpenMain {
                    path,
                    limits,
                    restored,
                } => {
                    let new = self.files.acquire(path.into(), limits, now);
                    self.restore(new, None, &Arc::clone(&self.main_health), restored, now);
                    if let Some(old) = std::mem::replace(&mut self.main, new) {
                        self.files.release(old);
                        self.forget_stall(old);
                    }
                    self.settle(None, new, &Arc::clone(&self.main_health), now);
                }
                Command::RestoreSyslog(pending) => self.syslog.restore(pending),
                Command::MainToSyslog => self.main_to_syslog = true,
                Command::WriteMain(line) => {
                    if self.main_to_syslog {
                        self.send_main_line(&line, now);
                    }
                    self.write_main(&line, now);
                    self.shared.main_written(line.len());
                }
                Command::MainLost(bytes) => {
                    self.main_health.lost_elsewhere(bytes);
                    self.write_main(&[], now);
                }
                Command::ShowOn(lines) => self.lines = Some(lines),
                Command::Finish { deadline } => return Some(Stop::Finish(deadline)),
                Command::HandOver { claimed } => {
                    if !claimed.swap(true, Ordering::AcqRel) {
                        self.shared.put_first(commands);
                        return Some(Stop::HandOver);
                    }
                }
            }
        }
        None
    }

    fn attach(&mut self, mut attach: Attach, now: Instant) {
        // The last bytes of the process before this one come first in the file.
        if let Some(&older) = self.newest.get(&attach.stream) {
            let mut taken = 0;
            while taken < PREDECESSOR_BYTES
                && let Some(count @ 1..) = self.read(older, now)
            {
                taken += count;
            }
        }
        let file = attach
            .path
            .take()
            .and_then(|path| self.files.acquire(path, attach.limits, now));
        self.settle(Some(&attach.stream), file, &attach.health, now);
        let AttachOptions {
            strip_ansi,
            adopted,
        } = attach.options;
        let (stripper, taps, within_line) = match attach.restored.take() {
            Some(reading) => {
                let stream = Some(&attach.stream);
                self.restore(file, stream, &attach.health, reading.file, now);
                (reading.stripper, reading.taps, reading.within_line)
            }
            None => (
                strip_ansi.then(AnsiStripper::default),
                Taps::of(&attach),
                false,
            ),
        };
        let source = Source {
            pipe: attach.pipe,
            stream: attach.stream,
            health: attach.health,
            file,
            stripper,
            timestamps: attach.timestamps,
            feed: attach.feed,
            taps,
        };
        let stream = source.stream.clone();
        if let Ok(number) = self.sources.insert(source) {
            *self.newest.place(&stream) = Some(number);
            if within_line || adopted {
                self.claim_line(number, within_line);
            }
            self.watch(number, now);
            // What is asked next may be about what it has already.
            self.read(number, now);
        }
    }

    /// Begins to read a source; a kernel that has no room to watch it is reported as trouble with its log.
    pub(super) fn watch(&mut self, number: u32, now: Instant) {
        let Some(source) = self.sources.get_mut(number) else {
            return;
        };
        let added = self
            .poller
            .add(&source.pipe, u64::from(number), Interest::READABLE);
        if let Err(error) = added {
            let notice = source.health.settle(Some(errno_of(&error)), now);
            let path = source.file.and_then(|file| self.files.path(file));
            let path = path.as_deref().unwrap_or(Path::new(""));
            tell(&self.shared, Some(&source.stream), path, notice);
            self.close(number);
        }
    }

    /// Gives a source its turn: reads until it is empty or has had its share. A program that writes one short line
    /// after the other would otherwise cost a wait for each.
    fn serve(&mut self, number: u32, now: Instant) {
        let mut share = BUFFER_BYTES;
        for _ in 0..TURN_READS {
            match self.read(number, now) {
                Some(count @ 1..) if count < share => share -= count,
                _ => return,
            }
        }
    }

    /// Reads a source once and passes on what it had. Says how much that was; `None` once it has ended.
    fn read(&mut self, number: u32, now: Instant) -> Option<usize> {
        if self.pause(number) {
            return Some(0);
        }
        let source = self.sources.get_mut(number)?;
        // Lent for the time being: nothing that follows from a read reads again.
        let mut buffer = self.buffer.take()?;
        let mut log = source.file.and_then(|file| self.files.get_mut(file));
        let stamp = log.as_deref_mut().and_then(|log| {
            self.read_at = SystemTime::now();
            log.stamp(number, source.timestamps, self.read_at)
        });
        // What is in a log tells nothing about what of a pipe was read if sections are taken out on the way.
        let recognizes = source.taps.as_ref().is_some_and(|taps| taps.recognizes());
        let log = log.as_deref().filter(|_| !recognizes);
        let taken = match source.read(&mut buffer, log.map(|log| (log, stamp))) {
            Intake::Nothing => Some(0),
            Intake::End => {
                self.end(number, now);
                None
            }
            Intake::Data { read } => {
                let data = buffer.data(read);
                if let Some(stripper) = &mut source.stripper {
                    let mut stripped = std::mem::take(&mut self.stripped);
                    stripped.clear();
                    stripped.extend_from_slice(data);
                    let kept = stripper.strip(&mut stripped);
                    self.pass_on(number, stripped.get(..kept).unwrap_or_default(), now);
                    self.stripped = stripped;
                } else {
                    self.pass_on(number, data, now);
                }
                buffer.end();
                Some(read)
            }
        };
        self.buffer = Some(buffer);
        taken
    }

    /// Does with what a source had what its stream asks for.
    fn pass_on(&mut self, number: u32, data: &[u8], now: Instant) {
        let Some(source) = self.sources.get_mut(number) else {
            return;
        };
        let Some(taps) = &mut source.taps else {
            return self.append(number, data, now);
        };
        let log = taps.pass(&source.stream, data, &self.shared);
        self.append(number, &log, now);
        self.send_lines(number, &log, false, now);
    }

    pub(super) fn close(&mut self, number: u32) {
        let Some(mut source) = self.sources.remove(number) else {
            return;
        };
        source.end_lines();
        // A child that is just being made has a copy of the pipe until it executes its program, so closing ours would
        // not end its being watched. It is not watched while it is paused.
        self.poller.remove(&source.pipe).unwrap_or_default();
        if self.newest.get(&source.stream) == Some(&number) {
            self.newest.remove(&source.stream);
        }
        if let Some(file) = source.file {
            self.leave_line(number, file);
            self.files.release(file);
        }
    }

    fn write_main(&mut self, line: &[u8], now: Instant) {
        let mut path = None;
        let mut stalled = false;
        if let Some(file) = self.main.and_then(|main| self.files.get_mut(main)) {
            let (_, notice) = self.main_health.write(file, line, None, now);
            file.last_line = LastLine::Whole;
            path = file.is_regular().then(|| &**file.path());
            stalled = file.is_stalled();
            tell(&self.shared, None, file.path(), notice);
        }
        self.followers.deliver(&self.shared, None, path, line);
        if stalled {
            self.stall(self.main, None, Arc::clone(&self.main_health), now);
        }
    }

    pub(super) fn main_path(&mut self) -> Option<Arc<Path>> {
        self.main.and_then(|main| self.files.path(main))
    }

    fn reopen_all(&mut self, now: Instant) {
        // What is kept for a reader goes to whatever the path leads to now.
        let stalled: Vec<u32> = self.stalls.keys().copied().collect();
        for &file in &stalled {
            self.unwatch_stalled(file);
        }
        self.files.reopen_all(now);
        for file in stalled {
            self.watch_stalled(file, now);
        }
        for number in self.sources.numbers() {
            if let Some(source) = self.sources.get_mut(number) {
                let (stream, health) = (source.stream.clone(), Arc::clone(&source.health));
                let file = source.file;
                self.settle(Some(&stream), file, &health, now);
            }
        }
        self.settle(None, self.main, &Arc::clone(&self.main_health), now);
    }

    /// Compares a stream's account with the state of its file, and reports what is new.
    fn settle(
        &mut self,
        stream: Option<&StreamId>,
        file: Option<u32>,
        health: &Health,
        now: Instant,
    ) {
        if let Some(file) = file.and_then(|file| self.files.get_mut(file)) {
            let notice = health.settle(file.trouble(), now);
            tell(&self.shared, stream, file.path(), notice);
        }
    }

    /// Reads what is in the pipes, in turns, until all are empty.
    fn drain(&mut self, deadline: Instant) -> bool {
        // At the end there is nobody left to be fair to: slow readers are waited for.
        if let Some(lines) = &self.lines {
            // Half of the time: a reader that is stuck must not keep the others' last words from their files.
            lines.be_patient(
                Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2,
            );
        }
        let mut whole = self.flush_all_by(deadline);
        let mut waiting = self.sources.numbers();
        while !waiting.is_empty() {
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            waiting.retain(|&number| {
                let more = matches!(self.read(number, now), Some(1..));
                whole &= self.flush_all_by(deadline);
                more
            });
        }
        for number in self.sources.numbers() {
            self.finish_taps(number, Instant::now());
            if let Some(source) = self.sources.get_mut(number) {
                source.end_lines();
            }
        }
        whole &= self.flush_all_by(deadline);
        whole && self.syslog.flush_by(deadline)
    }
}

/// Puts a notice, if there is one, into words that the loop knows.
pub(super) fn tell(
    shared: &Shared,
    stream: Option<&StreamId>,
    path: &Path,
    notice: Option<Notice>,
) {
    let Some(notice) = notice else { return };
    let (stream, path) = (stream.cloned(), path.to_owned());
    shared.tell(match notice {
        Notice::Trouble(errno) => CaptureEvent::LogTrouble {
            stream,
            path,
            errno: errno as i32,
        },
        Notice::Recovered(lost) => CaptureEvent::LogRecovered { stream, path, lost },
    });
}
