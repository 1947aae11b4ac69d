//! One output pipe, and the account kept of a stream's bytes.
//!
//! Every byte of a stream is written in order or counted as lost. What is lost leaves a line in the log at the place where it
//! is missing, as soon as the log can be written again, even if the program was restarted meanwhile.

use super::file::LogFile;
use super::inflight::Inflight;
use super::queue::Shared;
use super::stamp::Stamp;
use super::strip::AnsiStripper;
use super::taps::Taps;
use super::thread::tell;
use super::{LogHealth, StreamId};
use crate::config::model::Timestamps;
use crate::daemon::lines::Feed;
use crate::sys::pipe;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time from one report of trouble with a stream to the next.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// An output pipe that is being read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) pipe: OwnedFd,
    pub(super) stream: StreamId,
    pub(super) health: Arc<Health>,
    /// Number of its file; `None` discards.
    pub(super) file: Option<u32>,
    pub(super) stripper: Option<AnsiStripper>,
    /// What stands before its lines in the file.
    pub(super) timestamps: Timestamps,
    /// Shows its lines on the daemon's standard streams.
    pub(super) feed: Option<Box<Feed>>,
    /// What else is done with its bytes; most streams ask for nothing else.
    pub(super) taps: Option<Box<Taps>>,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intake {
    /// So many bytes from the pipe.
    Data { read: usize },
    /// Nothing for now.
    Nothing,
    /// The last writer is gone.
    End,
}

impl Source {
    /// Reads once, as much as is there and fits, and says to `buffer` what is being done.
    pub(super) fn read(
        &mut self,
        buffer: &mut Inflight,
        log: Option<(&LogFile, Option<Stamp>)>,
    ) -> Intake {
        let count = match pipe::waiting(&self.pipe) {
            Ok(0) => return self.look(),
            Ok(count) => count,
            // A pipe has no failure that would pass.
            Err(_) => return Intake::End,
        };
        let place = match log {
            Some((log, stamp)) => buffer.begin(log, (self.stripper, stamp), count),
            None => buffer.buffer(count),
        };
        let read = loop {
            match nix::unistd::read(&self.pipe, place) {
                Err(Errno::EINTR) => {}
                result => break result,
            }
        };
        match read {
            Ok(read @ 1..) => {
                buffer.read();
                Intake::Data { read }
            }
            other => {
                buffer.end();
                match other {
                    Err(Errno::EAGAIN) => Intake::Nothing,
                    _ => Intake::End,
                }
            }
        }
    }

    /// Whether an empty pipe has ended. What comes at this moment is for the next read.
    fn look(&self) -> Intake {
        let mut ready = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
        while poll(&mut ready, PollTimeout::ZERO) == Err(Errno::EINTR) {}
        let events = ready.first().and_then(PollFd::revents);
        let ended = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        match events {
            Some(events) if events.contains(PollFlags::POLLIN) => Intake::Nothing,
            Some(events) if events.intersects(ended) && self.is_over() => Intake::End,
            Some(_) | None => Intake::Nothing,
        }
    }

    /// Whether a pipe without a writer is empty. The kernel looks for bytes before it looks for writers, without a lock:
    /// the last bytes and the last writer's end may lie between the two.
    pub(super) fn is_over(&self) -> bool {
        pipe::waiting(&self.pipe).unwrap_or(0) == 0
    }
}

/// What a stream's trouble is told of when only its lines are shown.
const SHOWN: &str = "/dev/stdout";

impl Source {
    /// Shows the lines of what was read, if they are shown. Trouble is told of streams that have no file besides.
    pub(super) fn show(&mut self, data: &[u8], shared: &Shared, now: Instant) {
        let Some(feed) = &mut self.feed else {
            return;
        };
        self.health.not_shown(feed.push(data));
        if self.file.is_none() {
            let notice = self.health.settle(feed.trouble(), now);
            tell(shared, Some(&self.stream), Path::new(SHOWN), notice);
        }
    }

    /// Shows what is left when nothing more comes.
    pub(super) fn end_lines(&mut self) {
        if let Some(feed) = &mut self.feed {
            self.health.not_shown(feed.finish());
        }
    }
}

/// The account of one stream. The loop reads it at any time; only the capture thread changes it.
#[derive(Debug, Default)]
pub(super) struct Health {
    lost: AtomicU64,
    /// 0 when all is well.
    errno: AtomicI32,
    episode: Mutex<Episode>,
}

/// An account, written down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    lost: u64,
    errno: i32,
    unmarked: u64,
    lost_lately: u64,
    reported: bool,
}

/// What is going on with a stream that cannot be written.
#[derive(Debug, Default)]
struct Episode {
    /// Lost bytes that no line in the log tells of yet.
    unmarked: u64,
    /// Lost bytes since the trouble began.
    lost: u64,
    /// Whether the trouble was reported, so that its end must be.
    reported: bool,
    reported_at: Option<Instant>,
}

/// Something to tell the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// The log cannot be written, rotated or re-created.
    Trouble(Errno),
    /// It can again, and so many bytes are missing.
    Recovered(u64),
}

impl Health {
    pub(super) fn account(&self) -> Account {
        let episode = self.episode();
        Account {
            lost: self.lost.load(Ordering::Relaxed),
            errno: self.errno.load(Ordering::Relaxed),
            unmarked: episode.unmarked,
            lost_lately: episode.lost,
            reported: episode.reported,
        }
    }

    pub(super) fn restore(&self, account: Account) {
        self.lost.store(account.lost, Ordering::Relaxed);
        self.errno.store(account.errno, Ordering::Relaxed);
        *self.episode() = Episode {
            unmarked: account.unmarked,
            lost: account.lost_lately,
            reported: account.reported,
            reported_at: None,
        };
    }

    pub(super) fn read(&self) -> LogHealth {
        let errno = self.errno.load(Ordering::Relaxed);
        LogHealth {
            lost: self.lost.load(Ordering::Relaxed),
            errno: (errno != 0).then_some(errno),
        }
    }

    /// Writes `data` to `file`, preceded by a line about what was lost before, and each line by its time if it has one.
    /// Returns what is, or would be, in the file, but for that first line.
    pub(super) fn write<'d>(
        &self,
        file: &mut LogFile,
        data: &'d [u8],
        mut stamp: Option<Stamp>,
        now: Instant,
    ) -> (Cow<'d, [u8]>, Option<Notice>) {
        let mut episode = self.episode();
        let mut marked = true;
        if episode.unmarked > 0 {
            let time = stamp.as_mut().map_or("", Stamp::before_own_line);
            let line = marker(episode.unmarked, file.ends_with_line(), time);
            marked = file.write(line.as_bytes(), now).failure.is_none();
        }
        let text = match &stamp {
            Some(stamp) => Cow::Owned(stamp.apply(data)),
            None => Cow::Borrowed(data),
        };
        let mut own = 0;
        if marked {
            episode.unmarked = 0;
            let written = file.write(&text, now).bytes;
            own = stamp.map_or(written, |stamp| stamp.own_bytes(data, written));
        }
        self.lose(&mut episode, data.len().saturating_sub(own) as u64);
        let notice = self.judge(&mut episode, file.trouble(), now);
        (text, notice)
    }

    /// Counts bytes that were lost before they came to a file.
    pub(super) fn lost_elsewhere(&self, bytes: u64) {
        self.lose(&mut self.episode(), bytes);
    }

    /// Counts bytes that were not shown. Where they are missing is said there.
    pub(super) fn not_shown(&self, bytes: u64) {
        self.lost.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes in what is wrong with the stream's file now.
    pub(super) fn settle(&self, trouble: Option<Errno>, now: Instant) -> Option<Notice> {
        self.judge(&mut self.episode(), trouble, now)
    }

    fn lose(&self, episode: &mut Episode, bytes: u64) {
        if bytes > 0 {
            self.lost.fetch_add(bytes, Ordering::Relaxed);
            episode.lost = episode.lost.saturating_add(bytes);
            episode.unmarked = episode.unmarked.saturating_add(bytes);
        }
    }

    fn judge(&self, episode: &mut Episode, trouble: Option<Errno>, now: Instant) -> Option<Notice> {
        let number = trouble.map_or(0, |errno| errno as i32);
        self.errno.store(number, Ordering::Relaxed);
        match trouble {
            Some(errno) => {
                let recent = episode
                    .reported_at
                    .is_some_and(|at| now.saturating_duration_since(at) < REPORT_INTERVAL);
                if episode.reported || recent {
                    return None;
                }
                episode.reported = true;
                episode.reported_at = Some(now);
                Some(Notice::Trouble(errno))
            }
            None if episode.unmarked > 0 => None,
            None => {
                let lost = std::mem::take(&mut episode.lost);
                std::mem::take(&mut episode.reported).then_some(Notice::Recovered(lost))
            }
        }
    }

    fn episode(&self) -> MutexGuard<'_, Episode> {
        self.episode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line that stands for lost bytes.
fn marker(lost: u64, at_line_start: bool, time: &str) -> String {
    let break_line = if at_line_start { "" } else { "\n" };
    format!("{break_line}{time}[taskmaster: {lost} bytes lost]\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::capture::file::Limits;
    use crate::daemon::capture::open::Directory;
    use std::rc::Rc;

    #[test]
    fn trouble_is_told_once_a_minute_and_its_end_only_after_it() {
        let health = Health::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let full = Some(Errno::ENOSPC);
        // When, what is wrong then, and what is told of it.
        for (seconds, trouble, expected) in [
            (0, None, None),
            (1, full, Some(Notice::Trouble(Errno::ENOSPC))),
            (2, full, None),
            (3, None, Some(Notice::Recovered(0))),
            (4, full, None),
            (5, None, None),
            (60, full, None),
            (61, full, Some(Notice::Trouble(Errno::ENOSPC))),
            (999, full, None),
            (1000, None, Some(Notice::Recovered(0))),
        ] {
            assert_eq!(health.settle(trouble, at(seconds)), expected, "{seconds}");
            let errno = trouble.map(|errno| errno as i32);
            assert_eq!(health.read(), LogHealth { lost: 0, errno });
        }
    }

    #[test]
    fn a_recovery_is_told_when_the_log_tells_what_is_missing() {
        let health = Health::default();
        let now = Instant::now();
        health.lost_elsewhere(7);
        assert!(health.settle(Some(Errno::EIO), now).is_some());
        assert_eq!(health.settle(None, now), None);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let parent = Rc::new(Directory::new(directory.path()));
        let limits = Limits {
            maxbytes: 0,
            backups: 0,
        };
        let mut file = LogFile::open(path.as_path().into(), Some(parent), limits, now);
        assert_eq!(
            health.write(&mut file, b"on\n", None, now).1,
            Some(Notice::Recovered(7))
        );
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            "[taskmaster: 7 bytes lost]\non\n"
        );
    }

    #[test]
    fn the_line_about_lost_bytes_stands_alone() {
        assert_eq!(marker(5, true, ""), "[taskmaster: 5 bytes lost]\n");
        assert_eq!(marker(5, false, ""), "\n[taskmaster: 5 bytes lost]\n");
        assert_eq!(marker(5, false, "T "), "\nT [taskmaster: 5 bytes lost]\n");
    }
}
