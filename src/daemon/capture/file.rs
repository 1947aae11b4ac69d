//! A log file: appended to, rotated at an exact size, and re-created when somebody takes it away.
//!
//! # Rotation
//! The file never grows beyond `maxbytes` by what is written here. A piece that does not fit is cut after its last newline
//! that does; when there is none, the file is rotated first if it ends with a whole line, so that a line stays in one
//! file. Only two kinds of line are cut at the limit itself: one that is longer than a whole file, and one whose
//! beginning was written before its end was known. A file that is just full is rotated when the next byte comes, so
//! the live file is not empty after a rotation.
//!
//! `FILE` becomes `FILE.1`, `FILE.1` becomes `FILE.2`, and what would come after `FILE.N` (N is `backups`) is dropped.
//! Numbers move up only as far as the first one that is missing, so nothing is dropped while there is a gap, and files beyond N
//! that an earlier, higher limit left are not touched. With no backups the file is emptied. The old descriptor is
//! given up only when the new file is open: when that fails, the file gets its name back, writing goes on beyond the
//! limit, and the rotation is tried again later. What is not a regular file is never rotated.
//!
//! # Trouble
//! A write that fails makes the file refuse everything for a second, so that a full disk costs no system call per
//! chunk; the next data after that tries again. Nothing here waits or needs a timer: all of it happens when data comes.
//!
//! A reader that does not keep up (of a FIFO, a terminal, a pipe that is the daemon's standard output) is no failure yet:
//! what it does not take is kept here, and the file is *stalled*: the thread gives it no more until the reader has taken
//! that. One that takes nothing for too long is given up by [`LogFile::give_up`], and tried again as after a failure.

use super::inflight::Place;
use super::open::{Creation, Directory, Opened, is_own_descriptor, look};
use super::queue::Restored;
use super::stamp::LastLine;
use crate::config::model::LogSettings;
use nix::errno::Errno;
use nix::fcntl::renameat;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a file that could not be written is left alone.
pub(super) const WRITE_RETRY: Duration = Duration::from_secs(1);
/// How often, at most, a file is compared with what its path leads to.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a rotation that failed is put off.
pub(super) const ROTATE_RETRY: Duration = Duration::from_secs(10);

/// The most that is kept for a reader that does not keep up.
const PENDING_BYTES: usize = 128 * 1024;

/// When a file is rotated and what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Size that the file never exceeds; 0 for no limit.
    pub(super) maxbytes: u64,
    /// Rotated files that are kept.
    pub(super) backups: u32,
}

impl Limits {
    pub(super) fn of(settings: &LogSettings) -> Self {
        Self {
            maxbytes: settings.maxbytes.0,
            backups: settings.backups,
        }
    }
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Bytes that are in the file; always a prefix.
    pub(super) bytes: usize,
    /// Why it is not all of them.
    pub(super) failure: Option<Errno>,
}

/// A log file. All that write to one path share one of these.
#[derive(Debug)]
pub(super) struct LogFile {
    path: Arc<Path>,
    /// `None` for a descriptor of the daemon, which is opened by its whole name.
    directory: Option<Rc<Directory>>,
    limits: Limits,
    opened: Option<Opened>,
    /// Grows with every write and is corrected from time to time, since others may append or truncate.
    size: u64,
    ends_with_line: bool,
    /// Whose line it is otherwise. Kept through rotation and reopening, as the line goes on.
    pub(super) last_line: LastLine,
    looked_at: Instant,
    /// Why the last write failed, and until when no other is tried.
    blocked: Option<(Errno, Instant)>,
    /// Why the file could not be rotated or re-created. Nothing is lost by that.
    disorder: Option<Errno>,
    rotate_after: Option<Instant>,
    /// What a slow reader has not taken yet.
    pending: Vec<u8>,
    /// The reader was given up, and has taken nothing since.
    given_up: bool,
}

impl LogFile {
    /// Opens or creates the file. When that fails, the failure is that of the first write.
    pub(super) fn open(
        path: Arc<Path>,
        directory: Option<Rc<Directory>>,
        limits: Limits,
        now: Instant,
    ) -> Self {
        let mut file = Self {
            path,
            directory,
            limits,
            opened: None,
            size: 0,
            ends_with_line: true,
            last_line: LastLine::default(),
            looked_at: now,
            blocked: None,
            disorder: None,
            rotate_after: None,
            pending: Vec::new(),
            given_up: false,
        };
        if let Err(errno) = file.open_anew(now) {
            file.blocked = Some((errno, now + WRITE_RETRY));
        }
        file
    }

    /// Whether `path` needs a directory to be opened.
    pub(super) fn directory_of(path: &Path) -> Option<&Path> {
        if is_own_descriptor(path) {
            return None;
        }
        path.parent()
    }

    pub(super) fn path(&self) -> &Arc<Path> {
        &self.path
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Which file it is, and how long, if it is a regular one.
    pub(super) fn place(&self) -> Option<Place> {
        let (device, inode) = self.opened.as_ref()?.identity();
        let size = self.size;
        Some(Place {
            device,
            inode,
            size,
        })
    }

    pub(super) fn directory(&self) -> Option<&Rc<Directory>> {
        self.directory.as_ref()
    }

    /// Whether its content can be read back.
    pub(super) fn is_regular(&self) -> bool {
        self.opened.as_ref().is_some_and(Opened::is_regular)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.is_regular() && self.size == 0
    }

    /// What is wrong with it: the last write failed, or it is written but cannot be rotated or re-created.
    pub(super) fn trouble(&self) -> Option<Errno> {
        self.blocked.map(|(errno, _)| errno).or(self.disorder)
    }

    pub(super) fn ends_with_line(&self) -> bool {
        self.ends_with_line
    }

    /// New limits, which hold from the next write on.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        if self.limits != limits {
            self.limits = limits;
            self.rotate_after = None;
        }
    }

    /// Appends `data`.
    pub(super) fn write(&mut self, data: &[u8], now: Instant) -> Written {
        let mut bytes = 0;
        let failure = self.append(data, now, &mut bytes).err();
        Written { bytes, failure }
    }

    fn append(&mut self, data: &[u8], now: Instant, done: &mut usize) -> Result<(), Errno> {
        if let Some((errno, until)) = self.blocked
            && now < until
        {
            return Err(errno);
        }
        if self.is_stalled() {
            return self.stash(data, done);
        }
        let result = self.append_now(data, now, done);
        self.blocked = result.err().map(|errno| (errno, now + WRITE_RETRY));
        result
    }

    fn append_now(&mut self, data: &[u8], now: Instant, done: &mut usize) -> Result<(), Errno> {
        if self.opened.is_none() {
            self.open_anew(now)?;
        } else if now.saturating_duration_since(self.looked_at) >= LOOK_INTERVAL {
            self.look_after(now);
        }
        while let Some(rest) = data.get(*done..)
            && !rest.is_empty()
        {
            let piece = self.piece(rest, now);
            if piece.is_empty() {
                self.rotate(now);
                continue;
            }
            let Some(opened) = &self.opened else {
                return Err(Errno::EBADF);
            };
            let count = match opened.write(piece) {
                // Bytes that are only late are not lost.
                Err(Errno::EAGAIN) if !self.given_up => return self.stash(rest, done),
                result => result?,
            };
            self.given_up = false;
            let Some(last) = count.checked_sub(1).and_then(|last| piece.get(last)) else {
                return Err(Errno::EIO);
            };
            self.ends_with_line = *last == b'\n';
            self.size = self.size.saturating_add(count as u64);
            *done += count;
        }
        Ok(())
    }

    /// Keeps `data` for later, as far as there is room.
    fn stash(&mut self, data: &[u8], done: &mut usize) -> Result<(), Errno> {
        if self.pending.len().saturating_add(data.len()) > PENDING_BYTES {
            return Err(Errno::EAGAIN);
        }
        self.pending.extend_from_slice(data);
        *done += data.len();
        Ok(())
    }

    /// Whether a reader must take what is kept for it before the file should be given more.
    pub(super) fn is_stalled(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Offers the reader what is kept for it. Says how many bytes it took.
    pub(super) fn flush(&mut self) -> Result<usize, Errno> {
        let mut taken = 0;
        while let (Some(opened), Some(rest)) = (&self.opened, self.pending.get(taken..))
            && !rest.is_empty()
        {
            match opened.write(rest) {
                Ok(count) => taken += count,
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno),
            }
        }
        if let Some(last) = taken.checked_sub(1).and_then(|last| self.pending.get(last)) {
            self.ends_with_line = *last == b'\n';
        }
        self.pending.drain(..taken);
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
        Ok(taken)
    }

    /// Drops what is kept for a reader that does not take it, and says how many bytes that was.
    pub(super) fn give_up(&mut self, errno: Errno, now: Instant) -> usize {
        self.given_up = true;
        self.blocked = Some((errno, now + WRITE_RETRY));
        std::mem::take(&mut self.pending).len()
    }

    /// Gives up what is kept for a reader, to somebody who will keep it.
    pub(super) fn take_pending(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    /// Takes in what is known from whoever wrote it before.
    pub(super) fn restore(&mut self, restored: Restored) {
        let Restored {
            ends_with_line,
            pending,
        } = restored;
        self.ends_with_line = ends_with_line || self.size == 0 && self.is_regular();
        if self.pending.is_empty() {
            self.pending = pending;
        }
    }

    /// What is open now, to be watched while it is stalled.
    pub(super) fn opened(&self) -> Option<&Opened> {
        self.opened.as_ref()
    }

    /// The beginning of `data` that may be written now; empty when the file must be rotated first.
    fn piece<'a>(&mut self, data: &'a [u8], now: Instant) -> &'a [u8] {
        let limit = self.limits.maxbytes;
        let exempt =
            limit == 0 || !self.is_regular() || self.rotate_after.is_some_and(|until| now < until);
        if exempt || self.size.saturating_add(data.len() as u64) <= limit {
            return data;
        }
        // About to matter, so ask: others may have truncated the file.
        self.correct_size();
        let room = usize::try_from(limit.saturating_sub(self.size)).unwrap_or(usize::MAX);
        let fits = data.get(..room).unwrap_or(data);
        if fits.len() == data.len() {
            return data;
        }
        match fits.iter().rposition(|&byte| byte == b'\n') {
            Some(newline) => fits.get(..=newline).unwrap_or(fits),
            None if self.ends_with_line && self.size > 0 => &[],
            None => fits,
        }
    }

    fn correct_size(&mut self) {
        if let Some(stat) = self.opened.as_ref().and_then(|opened| opened.stat().ok()) {
            self.size = u64::try_from(stat.st_size).unwrap_or(0);
            self.ends_with_line |= self.size == 0;
        }
    }

    /// Re-creates the file when its path no longer leads to it.
    fn look_after(&mut self, now: Instant) {
        self.looked_at = now;
        if !self.is_regular() {
            return;
        }
        if self.is_in_place() {
            self.correct_size();
            // A file that could not be re-created may have been put back by hand.
            if self.rotate_after.is_none() {
                self.disorder = None;
            }
        } else {
            self.disorder = self.open_anew(now).err();
        }
    }

    /// Opens by name again, as an operator asks for after having moved files. What is open stays open when that fails.
    pub(super) fn reopen(&mut self, now: Instant) {
        match self.open_anew(now) {
            Ok(()) => {
                self.disorder = None;
                self.blocked = None;
                self.rotate_after = None;
            }
            Err(errno) if self.opened.is_some() => self.disorder = Some(errno),
            Err(errno) => self.blocked = Some((errno, now + WRITE_RETRY)),
        }
    }

    /// Empties the file, if there is one; rotated files stay.
    pub(super) fn clear(&mut self, now: Instant) -> Result<(), Errno> {
        if self.opened.is_none() || (self.is_regular() && !self.is_in_place()) {
            self.open_anew(now)?;
        }
        if let Some(opened) = self.opened.as_ref().filter(|opened| opened.is_regular()) {
            opened.truncate()?;
            self.size = 0;
            self.ends_with_line = true;
            // There is room now.
            self.blocked = None;
        }
        Ok(())
    }

    fn open_anew(&mut self, now: Instant) -> Result<(), Errno> {
        let opened = match &self.directory {
            None if is_own_descriptor(&self.path) => Opened::own_descriptor(&self.path)?,
            None => return Err(Errno::EISDIR),
            Some(directory) => {
                let name = name_of(&self.path)?;
                match Opened::entry(directory, name, Creation::IfAbsent) {
                    Err(Errno::ENOENT) if directory.release_removed() => {
                        Opened::entry(directory, name, Creation::IfAbsent)?
                    }
                    result => result?,
                }
            }
        };
        self.replace(opened, now);
        Ok(())
    }

    fn replace(&mut self, opened: Opened, now: Instant) {
        self.given_up = false;
        self.looked_at = now;
        // What is in the file already is taken for whole lines.
        self.size = opened.initial_size();
        self.ends_with_line = true;
        self.opened = Some(opened);
    }

    /// Whether the path leads to the open file.
    fn is_in_place(&self) -> bool {
        let (Some(directory), Some(opened), Ok(name)) =
            (&self.directory, &self.opened, name_of(&self.path))
        else {
            return true;
        };
        look(directory, name).is_ok_and(|stat| opened.is(&stat))
    }

    /// Makes room. After a failure the limit does not hold for a while.
    fn rotate(&mut self, now: Instant) {
        let result = if !self.is_in_place() {
            self.open_anew(now)
        } else if self.limits.backups == 0 {
            self.clear(now)
        } else {
            self.move_up().map(|opened| self.replace(opened, now))
        };
        self.disorder = result.err();
        self.rotate_after = self.disorder.map(|_| now + ROTATE_RETRY);
    }

    /// Renames the file and those before it, and opens a new one in its place.
    fn move_up(&self) -> Result<Opened, Errno> {
        let directory = self.directory.as_deref().ok_or(Errno::EOPNOTSUPP)?;
        let name = name_of(&self.path)?;
        let handle = directory.handle()?;
        let rename = |from: &OsStr, to: &OsStr| renameat(&handle, from, &handle, to);
        let mut occupied = 0;
        while occupied < self.limits.backups && exists(directory, &numbered(name, occupied + 1))? {
            occupied += 1;
        }
        for number in (1..self.limits.backups.min(occupied + 1)).rev() {
            rename(&numbered(name, number), &numbered(name, number + 1))?;
        }
        let newest = numbered(name, 1);
        rename(name, &newest)?;
        Opened::entry(directory, name, Creation::Always).inspect_err(|_| {
            // When even this fails, what follows is written to the file under its new name and nothing is lost; the
            // next look at the path creates it anew.
            rename(&newest, name).unwrap_or_default();
        })
    }
}

fn name_of(path: &Path) -> Result<&OsStr, Errno> {
    path.file_name().ok_or(Errno::EISDIR)
}

/// `NAME.NUMBER`
fn numbered(name: &OsStr, number: u32) -> OsString {
    let mut text = name.to_owned();
    text.push(format!(".{number}"));
    text
}

fn exists(directory: &Directory, name: &OsStr) -> Result<bool, Errno> {
    match look(directory, name) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
