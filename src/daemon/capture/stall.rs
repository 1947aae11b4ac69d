//! Readers that do not keep up.
//!
//! A log need not be a file: in a container it is often the daemon's standard output, a pipe that somebody else reads.
//! While that reader is behind, the programs that write to it are held back by not reading their pipes, just as if they
//! had the pipe themselves; everything else goes on. A reader that takes nothing for [`PATIENCE`] is given up: what was kept
//! for it and what comes is counted as lost, and once a second it is offered something, until it takes it.

use super::StreamId;
use super::stream::Health;
use super::thread::{BELL, WRITTEN, Worker, tell};
use crate::sys::poller::Interest;
use nix::errno::Errno;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a reader may take nothing at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Set in the token of a stalled file, next to its number.
const STALLED: u64 = 1 << 32;
/// Token of the system log's socket, while messages wait for it.
pub(super) const SYSLOG: u64 = BELL - 1;

/// A file that waits for its reader.
#[derive(Debug)]
pub(super) struct Stall {
    /// When the reader is given up.
    until: Instant,
    /// Whose bytes are kept for it.
    stream: Option<StreamId>,
    health: Arc<Health>,
    /// Sources that are not read meanwhile.
    paused: Vec<u32>,
}

/// The number of the file that a token stands for, if it does.
pub(super) fn stalled_file(token: u64) -> Option<u32> {
    if matches!(token, BELL | WRITTEN | SYSLOG) {
        return None;
    }
    u32::try_from(token.checked_sub(STALLED)?).ok()
}

impl Worker {
    /// How long the thread may sleep: without end, unless a reader is waited for.
    pub(super) fn patience(&self) -> Option<Duration> {
        let until = self.stalls.values().map(|stall| stall.until).min()?;
        Some(until.saturating_duration_since(Instant::now()))
    }

    /// Begins to wait for the reader of `file`, which was not taking what `stream` had to say.
    pub(super) fn stall(
        &mut self,
        file: Option<u32>,
        stream: Option<StreamId>,
        health: Arc<Health>,
        now: Instant,
    ) {
        let Some(file) = file.filter(|file| !self.stalls.contains_key(file)) else {
            return;
        };
        let stall = Stall {
            until: now + PATIENCE,
            stream,
            health,
            paused: Vec::new(),
        };
        self.stalls.insert(file, stall);
        self.watch_stalled(file, now);
    }

    /// Stops reading a source whose file is stalled. Says whether it is.
    pub(super) fn pause(&mut self, number: u32) -> bool {
        if self.stalls.is_empty() {
            return false;
        }
        let source = self.sources.get_mut(number);
        let stall = source
            .as_ref()
            .and_then(|source| self.stalls.get_mut(&source.file?));
        let (Some(source), Some(stall)) = (source, stall) else {
            return false;
        };
        // Not being watched, it is paused already.
        if self.poller.remove(&source.pipe).is_ok() {
            stall.paused.push(number);
        }
        true
    }

    /// The reader of a stalled file has made room, or is gone. Says whether nothing was lost.
    pub(super) fn flush(&mut self, file: u32, now: Instant) -> bool {
        let (Some(log), Some(stall)) = (self.files.get_mut(file), self.stalls.get_mut(&file))
        else {
            return true;
        };
        match log.flush() {
            Ok(_) if !log.is_stalled() => self.resume(file, now),
            Ok(0) => {}
            Ok(_) => stall.until = now + PATIENCE,
            Err(errno) => {
                self.give_up(file, errno, now);
                return false;
            }
        }
        true
    }

    /// Waits for the readers of all stalled files. Says whether they took everything by then.
    pub(super) fn flush_all_by(&mut self, deadline: Instant) -> bool {
        let mut whole = true;
        while let Some(file) = self.stalls.keys().next().copied() {
            let opened = self.files.get_mut(file).and_then(|log| log.opened());
            if opened.is_some_and(|opened| opened.wait_writable(deadline).is_ok()) {
                whole &= self.flush(file, Instant::now());
            } else {
                whole = false;
                self.give_up(file, Errno::EAGAIN, Instant::now());
            }
        }
        whole
    }

    /// Gives up the readers that have taken nothing for too long.
    pub(super) fn give_up_stalled(&mut self, now: Instant) {
        while let Some((&file, _)) = self.stalls.iter().find(|(_, stall)| stall.until <= now) {
            self.give_up(file, Errno::EAGAIN, now);
        }
    }

    fn give_up(&mut self, file: u32, errno: Errno, now: Instant) {
        if let (Some(log), Some(stall)) = (self.files.get_mut(file), self.stalls.get(&file)) {
            let lost = log.give_up(errno, now);
            stall.health.lost_elsewhere(lost as u64);
            let notice = stall.health.settle(log.trouble(), now);
            tell(&self.shared, stall.stream.as_ref(), log.path(), notice);
        }
        self.resume(file, now);
    }

    /// Ends a stall: its sources are read again.
    fn resume(&mut self, file: u32, now: Instant) {
        self.unwatch_stalled(file);
        let paused = self.stalls.remove(&file).map(|stall| stall.paused);
        for number in paused.unwrap_or_default() {
            self.watch(number, now);
        }
    }

    /// Ends the stall of a file that is closed, which therefore no source is waiting for.
    pub(super) fn forget_stall(&mut self, file: u32) {
        if self.files.get_mut(file).is_none() {
            self.stalls.remove(&file);
        }
    }

    pub(super) fn watch_stalled(&mut self, file: u32, now: Instant) {
        let opened = self.files.get_mut(file).and_then(|log| log.opened());
        let watched = opened.is_some_and(|opened| {
            let token = STALLED | u64::from(file);
            self.poller.add(opened, token, Interest::WRITABLE).is_ok()
        });
        if !watched {
            self.flush(file, now);
            if self.stalls.contains_key(&file) {
                self.give_up(file, Errno::EAGAIN, now);
            }
        }
    }

    pub(super) fn unwatch_stalled(&mut self, file: u32) {
        if let Some(opened) = self.files.get_mut(file).and_then(|log| log.opened()) {
            // It is not watched when it could not be.
            self.poller.remove(opened).unwrap_or_default();
        }
    }
}
