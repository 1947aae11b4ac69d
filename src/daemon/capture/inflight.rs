//! What has left a pipe and may not be in its log yet, kept where a killed daemon leaves it for the next one.
//!
//! Between the read of a pipe and the write to the log the bytes exist only in the daemon. So they are read into a file
//! that is mapped into memory: `SOCKET.inflight`, 0600. The kernel moves bytes from the pipe into it in one call, which a
//! kill does not divide; whether that call was made shows by a mark that it overwrites, and how far the write came by
//! how much the log has grown. The next daemon writes what is missing before anything else, so that no byte of a program
//! is lost or doubled, whenever the daemon is killed.
//!
//! How many bytes are to come is asked first, and never more are read: nobody else takes any out of the pipe.
//!
//! Exact for regular files that nobody else writes to. What is kept for a slow reader (a FIFO, a terminal) is not covered,
//! nor is what programs wrote that had ended before there was a daemon again: their pipes ended with them.

use super::file::{Limits, LogFile};
use super::open::Directory;
use super::stamp::Stamp;
use super::strip::AnsiStripper;
use crate::sys::mapping::Mapping;
use crate::sys::own_file;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Version of the layout, at the first byte.
const VERSION: u8 = 1;
/// Where it says how far things have come.
const STAGE: usize = 1;
/// Where the mark is kept.
const MARK: usize = 16;
const MARK_BYTES: usize = 16;
/// Where the description begins, after its length.
const CLAIM: usize = 64;
/// Where the bytes begin.
const DATA: usize = 8 * 1024;

/// More than is ever under way says that somebody else writes there.
const MOST_BYTES: u64 = 1 << 20;

/// Nothing is under way.
const IDLE: u8 = 0;
/// A read may have been made.
const READING: u8 = 1;
/// The bytes are there, and some of them may be in the log.
const WRITING: u8 = 2;

/// What is under way, for whoever finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    path: PathBuf,
    maxbytes: u64,
    backups: u32,
    /// How many bytes are read.
    count: usize,
    /// Where in an escape sequence they begin, if such are removed.
    stripper: Option<AnsiStripper>,
    /// What stands before their lines in the log, if something does.
    #[serde(default)]
    stamp: Option<Stamp>,
    /// The log before.
    place: Option<Place>,
}

/// A log file at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
}

/// The buffer that all pipes are read into.
#[derive(Debug)]
pub(super) struct Inflight {
    memory: Mapping,
    /// None where it dies with the daemon.
    path: Option<PathBuf>,
    capacity: usize,
}

impl Inflight {
    /// A buffer for `capacity` bytes, in the file at `path`; in plain memory without one, or where that cannot be.
    pub(super) fn new(path: Option<&Path>, capacity: usize) -> io::Result<Self> {
        let length = DATA + capacity;
        let mapped = path.and_then(|path| match map(path, length) {
            Ok(memory) => Some((memory, path.to_owned())),
            Err(error) => {
                log::warn!(
                    "can't keep {}: {error}; if the daemon is killed, some output may be lost",
                    path.display()
                );
                None
            }
        });
        let (mut memory, path) = match mapped {
            Some((memory, path)) => (memory, Some(path)),
            None => (Mapping::anonymous(length)?, None),
        };
        let mark = mark();
        if let Some(place) = memory.bytes_mut().get_mut(MARK..MARK + MARK_BYTES) {
            place.copy_from_slice(&mark);
        }
        memory.seal(STAGE, IDLE);
        memory.seal(0, VERSION);
        Ok(Self {
            memory,
            path,
            capacity,
        })
    }

    /// Says what is going to be read, and returns where to.
    pub(super) fn begin(
        &mut self,
        log: &LogFile,
        (stripper, stamp): (Option<AnsiStripper>, Option<Stamp>),
        count: usize,
    ) -> &mut [u8] {
        let count = count.min(self.capacity);
        if self.path.is_some() && log.is_regular() {
            let Limits { maxbytes, backups } = log.limits();
            self.announce(&Claim {
                path: log.path().to_path_buf(),
                maxbytes,
                backups,
                count,
                stripper,
                stamp,
                place: log.place(),
            });
            let memory = self.memory.bytes_mut();
            let (head, data) = memory.split_at_mut_checked(DATA).unwrap_or_default();
            if let (Some(mark), Some(place)) = (
                head.get(MARK..MARK + MARK_BYTES.min(count)),
                data.get_mut(..MARK_BYTES.min(count)),
            ) {
                place.copy_from_slice(mark);
            }
            self.memory.seal(STAGE, READING);
        }
        self.buffer(count)
    }

    /// Where bytes are read to that go nowhere.
    pub(super) fn buffer(&mut self, count: usize) -> &mut [u8] {
        self.memory
            .bytes_mut()
            .get_mut(DATA..DATA + count.min(self.capacity))
            .unwrap_or_default()
    }

    /// The bytes were read.
    pub(super) fn read(&mut self) {
        if self.memory.bytes().get(STAGE) == Some(&READING) {
            self.memory.seal(STAGE, WRITING);
        }
    }

    /// The first `count` of the bytes that were read.
    pub(super) fn data(&self, count: usize) -> &[u8] {
        self.memory
            .bytes()
            .get(DATA..DATA + count)
            .unwrap_or_default()
    }

    /// The bytes are written, or counted as lost; or none came.
    pub(super) fn end(&mut self) {
        self.memory.seal(STAGE, IDLE);
    }

    fn announce(&mut self, claim: &Claim) {
        let text = serde_json::to_vec(claim).unwrap_or_default();
        let length = u32::try_from(text.len()).unwrap_or_default();
        let memory = self.memory.bytes_mut();
        // A path too long for it is described by nothing, and what is found is not written.
        if let Some(place) = memory.get_mut(CLAIM + 4..DATA)
            && let Some(place) = place.get_mut(..text.len())
        {
            place.copy_from_slice(&text);
        }
        if let Some(place) = memory.get_mut(CLAIM..CLAIM + 4) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
    }
}

impl Drop for Inflight {
    fn drop(&mut self) {
        // With nothing under way there is nothing to find. What cannot be removed does no harm.
        if let Some(path) = &self.path
            && self.memory.bytes().get(STAGE) == Some(&IDLE)
        {
            let _removed = std::fs::remove_file(path);
        }
    }
}

/// Bytes that are unlikely in any output, and cannot be in a text.
fn mark() -> [u8; MARK_BYTES] {
    let mut random = [0_u8; MARK_BYTES];
    // Without a source of chance the mark is one that a program could print; it would have to want to.
    let _read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
    random.map(|byte| byte | 0xf8)
}

fn map(path: &Path, length: usize) -> io::Result<Mapping> {
    let file = open(path, true)?;
    let mapped = file
        .set_len(0)
        .and_then(|()| Ok(Mapping::of_file(&file, length)?));
    if mapped.is_err() {
        // It is of no use. That it could not be made is told already.
        let _removed = std::fs::remove_file(path);
    }
    mapped
}

fn open(path: &Path, write: bool) -> io::Result<File> {
    own_file::open(own_file::options().write(write).create(write), path)
}

/// Writes what a killed daemon left unwritten to its log. Says how many bytes of which log that was.
pub(super) fn finish(path: &Path) -> io::Result<Option<(PathBuf, usize)>> {
    let mut bytes = Vec::new();
    match open(path, false) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some((claim, data)) = found(&bytes) else {
        return Ok(None);
    };
    let mut kept = data.to_vec();
    if let Some(mut stripper) = claim.stripper {
        let count = stripper.strip(&mut kept);
        kept.truncate(count);
    }
    if let Some(stamp) = &claim.stamp {
        kept = stamp.apply(&kept);
    }
    let missing = kept.get(written(&claim, &kept)..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(None);
    }
    let limits = Limits {
        maxbytes: claim.maxbytes,
        backups: claim.backups,
    };
    let now = Instant::now();
    let directory =
        LogFile::directory_of(&claim.path).map(|parent| Rc::new(Directory::new(parent)));
    let mut log = LogFile::open(Arc::from(claim.path.as_path()), directory, limits, now);
    let done = log.write(missing, now);
    match done.failure {
        Some(errno) => Err(errno.into()),
        None => Ok(Some((claim.path, missing.len()))),
    }
}

/// The bytes that had been read and were not certainly written.
fn found(bytes: &[u8]) -> Option<(Claim, &[u8])> {
    let stage = *bytes.get(STAGE)?;
    if *bytes.first()? != VERSION || ![READING, WRITING].contains(&stage) {
        return None;
    }
    let length = bytes.get(CLAIM..CLAIM + 4)?.try_into().ok()?;
    let length = usize::try_from(u32::from_ne_bytes(length)).ok()?;
    let claim: Claim = serde_json::from_slice(bytes.get(CLAIM + 4..DATA)?.get(..length)?).ok()?;
    let data = bytes.get(DATA..)?.get(..claim.count)?;
    let marked = MARK_BYTES.min(claim.count);
    let unread = data.get(..marked) == bytes.get(MARK..MARK + marked);
    (!unread || stage == WRITING).then_some((claim, data))
}

/// How much of `data` is in the log already.
fn written(claim: &Claim, data: &[u8]) -> usize {
    let Some(before) = claim.place else {
        return 0;
    };
    let grown = grown(claim, before, data.len());
    if grown.last().is_some_and(|oldest| oldest.follows) {
        let added = concat(&grown);
        if data.starts_with(&added) {
            return added.len();
        }
    }
    // Or what it was before is gone: it was emptied, or dropped after enough rotations, and its number may be used again.
    let nowhere = Place {
        size: u64::MAX,
        ..before
    };
    let mut rest = self::grown(claim, nowhere, data.len());
    while !rest.is_empty() {
        if let Some(end) = end_of(&concat(&rest), data) {
            return end;
        }
        rest.pop();
    }
    // Somebody else has written to it as well. Better twice than never.
    0
}

/// What the log and those that it was rotated to have more than before, the newest first, down to the one that it was.
fn grown(claim: &Claim, before: Place, most: usize) -> Vec<Part> {
    let mut grown = Vec::new();
    let mut total = 0;
    for number in 0..=claim.backups {
        let Some(part) = part_of(&numbered(&claim.path, number), before) else {
            break;
        };
        total += part.added.len();
        let is_last = part.follows || total > most;
        if total <= most {
            grown.push(part);
        }
        if is_last {
            break;
        }
    }
    grown
}

fn concat(newest_first: &[Part]) -> Vec<u8> {
    let parts = newest_first.iter().rev();
    parts.flat_map(|part| part.added.iter().copied()).collect()
}

/// Where something ends of which the beginning was dropped with an older file. Where it is in there twice, the first place
/// is the safe one.
fn end_of(added: &[u8], data: &[u8]) -> Option<usize> {
    if added.is_empty() {
        return None;
    }
    let mut places = data.windows(added.len());
    places.position(|it| it == added).map(|at| at + added.len())
}

/// The log, or what it was rotated to.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    if number > 0 {
        name.push(format!(".{number}"));
    }
    PathBuf::from(name)
}

/// What is in a file that may not have been there before.
struct Part {
    added: Vec<u8>,
    /// It comes right after what was there before; else it is all that the file has.
    follows: bool,
}

/// What a file has more than it had before, if it is the same one; else all of it. One that is shorter was emptied and
/// begun anew, and so was one that has more than was ever under way.
fn part_of(path: &Path, before: Place) -> Option<Part> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)
        .ok()?;
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let same = (metadata.dev(), metadata.ino()) == (before.device, before.inode);
    let follows = same && metadata.len() >= before.size;
    let from = if follows { before.size } else { 0 };
    let length = metadata.len().saturating_sub(from);
    if length > MOST_BYTES {
        return None;
    }
    let mut added = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut added, from).ok()?;
    Some(Part { added, follows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Timestamps;
    use std::fs;
    use std::time::SystemTime;

    struct Rig {
        directory: tempfile::TempDir,
    }

    impl Rig {
        fn new() -> Self {
            Self {
                directory: tempfile::tempdir().unwrap(),
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn log(&self, limits: Limits) -> LogFile {
            let directory = Rc::new(Directory::new(self.directory.path()));
            let path = self.path("log");
            LogFile::open(
                Arc::from(path.as_path()),
                Some(directory),
                limits,
                Instant::now(),
            )
        }

        /// A daemon that reads `data` and is killed after it has written so many bytes of it; `None` before the read.
        fn killed(&self, limits: Limits, data: &[u8], written: Option<usize>) {
            self.killed_with(limits, Timestamps::None, data, written);
        }

        fn killed_with(
            &self,
            limits: Limits,
            form: Timestamps,
            data: &[u8],
            written: Option<usize>,
        ) {
            let mut log = self.log(limits);
            let stamp = log.stamp(1, form, SystemTime::UNIX_EPOCH);
            let text = stamp
                .as_ref()
                .map_or(data.to_vec(), |stamp| stamp.apply(data));
            let mut inflight = Inflight::new(Some(&self.path("inflight")), 1024).unwrap();
            let buffer = inflight.begin(&log, (None, stamp), data.len());
            if let Some(written) = written {
                buffer.copy_from_slice(data);
                if written > 0 {
                    inflight.read();
                }
                log.write(&text[..written], Instant::now());
            }
            // Without an end.
            std::mem::forget(inflight);
        }

        fn finish(&self) -> Option<usize> {
            finish(&self.path("inflight"))
                .unwrap()
                .map(|(_, count)| count)
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).unwrap_or_default()
        }
    }

    const NEVER: Limits = Limits {
        maxbytes: 0,
        backups: 0,
    };

    #[test]
    fn what_is_missing_is_written_and_nothing_else() {
        for data in ["x\n", "one two three\n", "a longer line than the mark is\n"] {
            for written in [
                None,
                Some(0),
                Some(1),
                Some(data.len() - 1),
                Some(data.len()),
            ] {
                let rig = Rig::new();
                fs::write(rig.path("log"), "before\n").unwrap();
                rig.killed(NEVER, data.as_bytes(), written);
                let missing = written.map_or(0, |written| data.len() - written);
                assert_eq!(rig.finish().unwrap_or(0), missing, "{data:?} {written:?}");
                let expected = match written {
                    None => "before\n".to_owned(),
                    Some(_) => format!("before\n{data}"),
                };
                assert_eq!(rig.read("log"), expected, "{data:?} {written:?}");
            }
        }
    }

    #[test]
    fn what_is_missing_has_the_times_that_it_was_to_have() {
        let text = "\n0.000 one two three four\n0.000 five\n0.000 si";
        for written in 1..=text.len() {
            let rig = Rig::new();
            fs::write(rig.path("log"), "cut").unwrap();
            let data = b"one two three four\nfive\nsi";
            rig.killed_with(NEVER, Timestamps::Unix, data, Some(written));
            let missing = text.len() - written;
            assert_eq!(rig.finish().unwrap_or(0), missing, "{written}");
            assert_eq!(rig.read("log"), format!("cut{text}"), "{written}");
        }
    }

    #[test]
    fn a_rotation_in_the_middle_is_taken_into_account() {
        let limits = Limits {
            maxbytes: 12,
            backups: 2,
        };
        let data = "line 1\nline 2\nline 3\n";
        for written in 1..=data.len() {
            let rig = Rig::new();
            rig.killed(limits, data.as_bytes(), Some(written));
            rig.finish();
            let all: String = ["log.2", "log.1", "log"]
                .map(|name| rig.read(name))
                .concat();
            assert_eq!(all, data, "{written}");
        }
    }

    #[test]
    fn many_rotations_in_the_middle_are_taken_into_account_and_what_they_dropped() {
        let data = "aaaa\nbbbb\ncccc\ndddd\neeee\nffff\n";
        for (maxbytes, backups) in [(5, 9), (5, 0), (12, 2), (12, 0), (7, 2)] {
            for before in ["", "............\n"] {
                for written in 1..=data.len() {
                    let limits = Limits { maxbytes, backups };
                    let rig = Rig::new();
                    fs::write(rig.path("log"), before).unwrap();
                    fs::write(rig.path("log.1"), "old\n").unwrap();
                    rig.killed(limits, data.as_bytes(), Some(written));
                    let missing = data.len() - written;
                    let context = format!("{limits:?} {before:?} {written}");
                    assert_eq!(rig.finish().unwrap_or(0), missing, "{context}");
                }
            }
        }
    }

    #[test]
    fn an_orderly_end_leaves_nothing_and_garbage_is_ignored() {
        let rig = Rig::new();
        let log = rig.log(NEVER);
        let mut inflight = Inflight::new(Some(&rig.path("inflight")), 1024).unwrap();
        inflight
            .begin(&log, (None, None), 5)
            .copy_from_slice(b"12345");
        inflight.read();
        assert_eq!(inflight.data(5), b"12345");
        inflight.end();
        drop(inflight);
        assert!(!rig.path("inflight").exists());
        assert_eq!(rig.finish(), None);
        for garbage in [&b""[..], b"\x01\x02", &[1; 100], &[2; 9000]] {
            fs::write(rig.path("inflight"), garbage).unwrap();
            assert_eq!(rig.finish(), None);
        }
        let other = rig.path("other");
        fs::write(&other, "precious").unwrap();
        fs::remove_file(rig.path("inflight")).unwrap();
        std::os::unix::fs::symlink(&other, rig.path("inflight")).unwrap();
        assert!(finish(&rig.path("inflight")).is_err());
        let fallback = Inflight::new(Some(&rig.path("inflight")), 10).unwrap();
        assert_eq!(fallback.path, None);
        assert_eq!(rig.read("other"), "precious");
    }
}
