//! Which processes a daemon made and what it knew of them, on disk, so that the next one finds what a killed one left.
//!
//! The file lies beside the socket, belongs to the holder of the lock and is only ever appended to while the daemon
//! runs. Its first line names the boot and the set of pids: of others no number means anything. A line is
//!
//! - `b GROUP PROCESS GENERATION STARTED PIPES SETTINGS`, and in the same write `+ GROUP PROCESS PID STARTTICKS`: a
//!   process was made. The child writes it between fork and exec, so that no program ever runs unrecorded.
//! - `- PID`: it is gone.
//! - `m GROUP PROCESS MEMO`: what the engine knows of a process, as JSON, written before what it has decided is done.
//! - `x GROUP PROCESS`: it is no longer configured.
//! - `closing`: a shutdown has begun; whoever comes next starts from the file alone.
//!
//! What the daemon appends is gathered and written at once by [`Journal::flush`], which comes before everything that must
//! not be done unrecorded: a spawn, a signal to whoever lives, a word to whoever listens, and the next wait of the loop.
//! What may come before it only follows from the end of a process, and would follow from it for a successor as well.
//!
//! A line that was cut short is ignored, and so is one that this version does not know. Earlier versions wrote `+` and
//! `-` alone and ignore the rest, so both directions of a change of version are covered. There is no environment and no
//! value of a setting in the file, only hashes; and nobody but the daemon's user may read it.

use crate::config::fingerprint::Fingerprint;
use crate::engine::Memo;
use crate::sys::{own_file, proc};
use crate::types::{Generation, GroupName, Monotonic, Pid, ProcessKey, ProcessName};
use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Size above which the file is written anew with only what still counts, unless that alone is half of it.
const COMPACT_BYTES: u64 = 256 << 10;

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    /// None for one that is kept in memory, since the daemon is not to be found by anybody.
    path: Option<PathBuf>,
    file: File,
    births: BTreeMap<Pid, Box<Birth>>,
    memos: BTreeMap<ProcessKey, Box<str>>,
    closing: bool,
    /// Lines that are not in the file yet.
    waiting: String,
    /// Something in the file has ceased to count.
    has_shed: bool,
    /// Size of the file when it was last written anew.
    compacted: u64,
    /// A write has failed, and that was told.
    complained: bool,
}

/// A journal, written down.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct JournalState {
    births: BTreeMap<Pid, Box<Birth>>,
    memos: BTreeMap<ProcessKey, Box<str>>,
    closing: bool,
}

/// A process that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// Which process of the configuration it is.
    pub key: ProcessKey,
    /// Its pid.
    pub pid: Pid,
    /// When it started, in clock ticks since boot: proves the pid.
    pub ticks: u64,
    /// What else is known; a daemon of an earlier version did not write it down.
    pub details: Option<Details>,
    /// It was made by this very daemon, and is not reaped.
    #[serde(skip)]
    pub is_child: bool,
}

/// What is written down about a process that is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// Of its spawn.
    pub generation: Generation,
    /// When it was spawned.
    pub started_at: Monotonic,
    /// Its pipes: standard input, output and error, where they are pipes of the daemon's.
    pub pipes: [Option<u64>; 3],
    /// What it was started with.
    pub fingerprint: Fingerprint,
}

impl Birth {
    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        proc::survives(self.pid, self.ticks)
    }

    fn line(&self) -> String {
        let (key, pid, ticks, details) = (&self.key, self.pid, self.ticks, &self.details);
        let prefix = details
            .as_ref()
            .map_or_else(|| born_prefix(key), |details| details.line(key));
        format!("{prefix} {pid} {ticks}\n")
    }
}

impl Details {
    /// The beginning of the lines that the child writes. The line before may have been cut short by a full disk.
    pub fn line(&self, key: &ProcessKey) -> String {
        let Self {
            generation,
            started_at,
            pipes,
            fingerprint,
        } = self;
        let pipes = pipes.map(|pipe| pipe.map_or_else(|| "-".to_owned(), |it| it.to_string()));
        format!(
            "\nb {} {} {} {} {} {fingerprint}\n{}",
            key.group,
            key.process,
            generation.0,
            started_at.as_nanos(),
            pipes.join(","),
            born_prefix(key)
        )
    }
}

fn born_prefix(key: &ProcessKey) -> String {
    format!("+ {} {}", key.group, key.process)
}

/// What the last daemon left on record.
#[derive(Debug, Default, PartialEq)]
pub struct Record {
    /// Processes that were made and not told to be gone.
    pub births: Vec<Birth>,
    /// What it knew of its processes.
    pub memos: BTreeMap<ProcessKey, Memo>,
    /// The generation of the last process that was made for each.
    pub last_born: BTreeMap<ProcessKey, Generation>,
    /// It was shutting down.
    pub closing: bool,
}

impl Record {
    /// Reads the file. A missing one means nothing.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut text = Vec::new();
        match open(path, false) {
            Ok(mut file) => file.read_to_end(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        Ok(Self::parse(&String::from_utf8_lossy(&text), &this_run()))
    }

    fn parse(text: &str, boot: &str) -> Self {
        let mut record = Self::default();
        let mut births = BTreeMap::new();
        let mut this_boot = false;
        let mut details = None;
        let lines = text.split_inclusive('\n');
        for line in lines.filter_map(|line| line.strip_suffix('\n')) {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let announced = details.take();
            match *words.as_slice() {
                ["boot", id] => this_boot = boot == id,
                _ if !this_boot => {}
                ["closing"] => record.closing = true,
                ["-", pid] => {
                    if let Some(pid) = pid.parse().ok().and_then(Pid::new) {
                        births.remove(&pid);
                    }
                }
                ["b", group, process, rest] => {
                    details = key(group, process).zip(parse_details(rest));
                }
                ["+", group, process, rest] => {
                    if let Some((key, (pid, ticks))) = key(group, process).zip(parse_proof(rest)) {
                        let details = announced
                            .filter(|(of, _)| *of == key)
                            .map(|(_, details)| details);
                        if let Some(Details { generation, .. }) = &details {
                            let last = record.last_born.entry(key.clone()).or_default();
                            *last = (*last).max(*generation);
                        }
                        let birth = Birth {
                            key,
                            pid,
                            ticks,
                            details,
                            is_child: false,
                        };
                        births.insert(pid, birth);
                    }
                }
                ["m", group, process, json] => {
                    if let (Some(key), Ok(memo)) = (key(group, process), serde_json::from_str(json))
                    {
                        record.memos.insert(key, memo);
                    }
                }
                ["x", group, process] => {
                    if let Some(key) = key(group, process) {
                        record.memos.remove(&key);
                    }
                }
                _ => {}
            }
        }
        record.births = births.into_values().collect();
        record
    }
}

fn key(group: &str, process: &str) -> Option<ProcessKey> {
    Some(ProcessKey {
        group: GroupName::new(group).ok()?,
        process: ProcessName::new(process).ok()?,
    })
}

fn parse_proof(text: &str) -> Option<(Pid, u64)> {
    let (pid, ticks) = text.split_once(' ')?;
    // Start time 0 was written by a child that could not read its own: it proves nothing.
    let ticks = ticks.parse().ok().filter(|&ticks| ticks > 0)?;
    Some((Pid::new(pid.parse().ok()?)?, ticks))
}

fn parse_details(text: &str) -> Option<Details> {
    let words: Vec<&str> = text.split(' ').collect();
    let [generation, started_at, pipes, fingerprint] = *words.as_slice() else {
        return None;
    };
    let pipes: Vec<Option<u64>> = pipes.split(',').map(|pipe| pipe.parse().ok()).collect();
    Some(Details {
        generation: Generation(generation.parse().ok()?),
        started_at: Monotonic::from_nanos(started_at.parse().ok()?),
        pipes: pipes.try_into().ok()?,
        fingerprint: fingerprint.parse().unwrap_or_default(),
    })
}

impl Journal {
    /// The journal that belongs to a socket.
    pub fn path_beside(socket: &Path) -> PathBuf {
        let mut name = socket.as_os_str().to_owned();
        name.push(".children");
        PathBuf::from(name)
    }

    /// Begins a new journal in place of the old one, with processes that live on and what is known.
    pub fn create<'a>(
        path: &Path,
        births: Vec<Birth>,
        memos: impl Iterator<Item = (&'a ProcessKey, &'a Memo)>,
    ) -> io::Result<Self> {
        let memos = memos.filter_map(|(key, memo)| {
            let json = serde_json::to_string(memo).ok()?;
            Some((key.clone(), json.into_boxed_str()))
        });
        let mut journal = Self {
            path: Some(path.to_owned()),
            file: open(path, true)?,
            births: births
                .into_iter()
                .map(|birth| (birth.pid, Box::new(birth)))
                .collect(),
            memos: memos.collect(),
            closing: false,
            waiting: String::new(),
            has_shed: false,
            compacted: 0,
            complained: false,
        };
        journal.write_anew()?;
        Ok(journal)
    }

    /// What is to be written down of it, for the next image.
    pub fn export(&self) -> JournalState {
        JournalState {
            births: self.births.clone(),
            memos: self.memos.clone(),
            closing: self.closing,
        }
    }

    /// Goes on with the journal of another image; without a path, in memory. There is no way back to that image: a file
    /// that cannot be written anew, as on a full disk, is appended to as it is, and one that cannot even be opened is
    /// kept in memory until somebody looks again whether it is intact.
    pub fn import(path: Option<&Path>, state: JournalState) -> io::Result<Self> {
        let opened = path.map(|path| open(path, true));
        let file = match opened {
            Some(Ok(file)) => file,
            Some(Err(error)) => {
                log::error!("can't write the record of processes: {error}");
                memory()?
            }
            None => memory()?,
        };
        let mut journal = Self {
            path: path.map(Path::to_owned),
            compacted: file.metadata()?.len(),
            file,
            births: state.births,
            memos: state.memos,
            closing: state.closing,
            waiting: String::new(),
            has_shed: false,
            complained: false,
        };
        if let Err(error) = journal.write_anew() {
            log::error!("can't rewrite the record of processes: {error}");
        }
        Ok(journal)
    }

    /// A journal that ends with the daemon, for one that leaves nothing behind: a container's, with which all ends.
    pub fn in_memory() -> io::Result<Self> {
        Self::import(None, JournalState::default())
    }

    /// Where children append their line.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// A process was made, which writes its own line. When it started may be unknown: 0.
    pub fn born(&mut self, key: ProcessKey, pid: Pid, ticks: u64, details: Details) {
        let birth = Birth {
            key,
            pid,
            ticks,
            details: Some(details),
            is_child: true,
        };
        self.births.insert(pid, Box::new(birth));
    }

    /// A recorded process is gone.
    pub fn ended(&mut self, pid: Pid) {
        self.births.remove(&pid);
        self.has_shed = true;
        self.append(&format!("- {pid}\n"));
    }

    /// What the engine knows of a process; `None` when it is no longer configured. Writes nothing that is written already.
    pub fn remember(&mut self, key: &ProcessKey, memo: Option<&Memo>) {
        let (group, process) = (&key.group, &key.process);
        match memo.map(serde_json::to_string) {
            Some(Ok(json)) => {
                if self.memos.get(key).map(AsRef::as_ref) != Some(json.as_str()) {
                    self.append(&format!("m {group} {process} {json}\n"));
                    self.memos.insert(key.clone(), json.into_boxed_str());
                }
            }
            Some(Err(error)) => log::error!("bug: {key} can't be written down: {error}"),
            None => {
                if self.memos.remove(key).is_some() {
                    self.append(&format!("x {group} {process}\n"));
                }
            }
        }
    }

    /// A shutdown has begun.
    pub fn close(&mut self) {
        if !std::mem::replace(&mut self.closing, true) {
            self.append("closing\n");
        }
    }

    fn append(&mut self, line: &str) {
        self.waiting.push_str(line);
    }

    /// Writes what waits.
    pub fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return;
        }
        match self.file.write_all(waiting.as_bytes()) {
            Ok(()) => self.complained = false,
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    log::error!("can't write the record of processes: {error}");
                }
            }
        }
    }

    /// Whether a process has gone since the last question, and it has grown enough to be worth writing anew.
    pub fn is_long(&mut self) -> bool {
        let most = COMPACT_BYTES.max(self.compacted.saturating_mul(2));
        let is_long = |file: &File| file.metadata().is_ok_and(|found| found.len() > most);
        std::mem::take(&mut self.has_shed) && is_long(&self.file)
    }

    /// Whether the file is still the one at its path.
    pub fn is_intact(&self) -> bool {
        let Some(path) = &self.path else {
            return true;
        };
        match (self.file.metadata(), std::fs::symlink_metadata(path)) {
            (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
            (Ok(_) | Err(_), _) => false,
        }
    }

    /// Writes the journal anew with what still counts. What waits is part of it.
    pub fn write_anew(&mut self) -> io::Result<()> {
        self.flush();
        let mut text = format!("boot {}\n", this_run());
        if self.closing {
            text.push_str("closing\n");
        }
        self.births.retain(|pid, birth| {
            if birth.ticks == 0 {
                birth.ticks = proc::start_ticks(*pid).unwrap_or(0);
            }
            // A child that is not reaped has its number still. Who is none may have ended unnoticed.
            birth.is_child || birth.ticks == 0 || proc::start_ticks(*pid) == Some(birth.ticks)
        });
        for birth in self.births.values() {
            text.push_str(&birth.line());
        }
        for (key, json) in &self.memos {
            let line = format!("m {} {} {json}\n", key.group, key.process);
            text.push_str(&line);
        }
        let Some(path) = &self.path else {
            self.file.set_len(0)?;
            return self.file.write_all(text.as_bytes());
        };
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let fresh = PathBuf::from(name);
        // One that was killed in the middle of this left it.
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // Made by nobody else since: in a directory for all, such as `/tmp`, somebody may wait for this moment.
        let mut file = own_file::options()
            .append(true)
            .create_new(true)
            .open(&fresh)?;
        let size = text.len() as u64;
        // Room for all that comes before it is written anew, so that a disk that fills up later keeps nothing off the
        // record. Where there is no room, or the file system cannot reserve any, the writes themselves decide.
        let most = COMPACT_BYTES.max(size.saturating_mul(2));
        let room = i64::try_from(most.saturating_mul(2)).unwrap_or(i64::MAX);
        let _reserved = fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, room);
        file.write_all(text.as_bytes())?;
        std::fs::rename(&fresh, path)?;
        self.file = file;
        self.compacted = size;
        Ok(())
    }

    /// Removes the file: after a clean shutdown there is nothing to find.
    pub fn remove(self) -> io::Result<()> {
        self.path.map_or(Ok(()), std::fs::remove_file)
    }
}

fn memory() -> io::Result<File> {
    let file = memfd_create(c"journal", MFdFlags::MFD_CLOEXEC)?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file.into())
}

fn open(path: &Path, write: bool) -> io::Result<File> {
    own_file::open(own_file::options().append(write).create(write), path)
}

/// Names this run of this kernel, and the set of pids that is seen here: numbers of another mean nothing.
fn this_run() -> String {
    let namespace = proc::pid_namespace().unwrap_or_default();
    format!("{}/{namespace}", proc::boot_id().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, boot: &str) -> Vec<(String, i32)> {
        Record::parse(text, boot)
            .births
            .into_iter()
            .map(|birth| (birth.key.to_string(), birth.pid.as_raw()))
            .collect()
    }

    #[test]
    fn only_whole_lines_of_this_boot_count() {
        // As an earlier version wrote it.
        let text =
            "boot abc\n+ web web 10 500\n+ site web:0 11 501\n- 10\n+ junk\n+ a a 12 0\n+ b b 13 5";
        assert_eq!(found(text, "abc"), [("site:web:0".to_owned(), 11)]);
        assert_eq!(Record::parse(text, "abc").births[0].details, None);
        assert_eq!(Record::parse(text, "other"), Record::default());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let web = key("site", "web:0").unwrap();
        let details = Details {
            generation: Generation(7),
            started_at: Monotonic::from_nanos(123_456),
            pipes: [Some(11), None, Some(12)],
            fingerprint: "command=0011,umask=22".parse().unwrap(),
        };
        let birth = Birth {
            key: web.clone(),
            pid: Pid::new(42).unwrap(),
            ticks: 99,
            details: Some(details),
            is_child: false,
        };
        let text = format!("boot abc\nm site web:0 {{\"cut{}", birth.line());
        let record = Record::parse(&text, "abc");
        assert_eq!(record.births, std::slice::from_ref(&birth));
        assert_eq!(record.last_born.get(&web), Some(&Generation(7)));
        // A cut in the middle of the two lines leaves nothing half-known.
        let line = birth.line();
        for cut in 0..line.len() {
            let text = format!("boot abc\n{}", &line[..cut]);
            assert_eq!(found(&text, "abc"), [], "{text}");
        }
        let gone = Record::parse(&format!("{text}- 42\nclosing\n"), "abc");
        assert_eq!((gone.births.len(), gone.closing), (0, true));
        assert_eq!(gone.last_born.get(&web), Some(&Generation(7)));
    }

    #[test]
    fn a_record_that_cannot_be_written_anew_is_gone_on_with() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sock.children");
        let journal = Journal::create(&path, Vec::new(), std::iter::empty()).unwrap();
        // Nothing can be made of this name, as on a full disk.
        let in_the_way = directory.path().join("sock.children.new");
        std::fs::create_dir(&in_the_way).unwrap();
        let mut journal = Journal::import(Some(&path), journal.export()).unwrap();
        assert!(journal.is_intact());
        journal.close();
        assert!(!Record::read(&path).unwrap().closing, "it waits");
        journal.flush();
        assert!(Record::read(&path).unwrap().closing);
        // Not even opened: kept until it can be.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let mut journal = Journal::import(Some(&path), journal.export()).unwrap();
        assert!(!journal.is_intact());
        std::fs::remove_dir(&path).unwrap();
        std::fs::remove_dir(&in_the_way).unwrap();
        journal.write_anew().unwrap();
        assert!(journal.is_intact() && Record::read(&path).unwrap().closing);
    }

    #[test]
    fn nothing_that_is_not_ours_alone_is_taken_for_a_record() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sock.children");
        let victim = directory.path().join("victim");
        std::fs::write(&victim, "boot\n").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(Record::read(&path).is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&victim, &path).unwrap();
        assert!(Record::read(&path).is_err());
        assert!(Journal::create(&path, Vec::new(), std::iter::empty()).is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "boot\n");
    }

    #[test]
    fn it_is_written_anew_with_what_still_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sock.children");
        let mut journal = Journal::create(&path, Vec::new(), std::iter::empty()).unwrap();
        let web = key("web", "web").unwrap();
        let own = Pid::new(nix::unistd::getpid().as_raw()).unwrap();
        let details = Details {
            generation: Generation(1),
            started_at: Monotonic::from_nanos(1),
            pipes: [None; 3],
            fingerprint: Fingerprint::default(),
        };
        journal.born(web.clone(), own, 0, details);
        let memo: Memo = serde_json::from_str(
            r#"{"wanted":{"up":true,"by_operator":false},"current":"Fatal","generation":3,"since":5}"#,
        )
        .unwrap();
        journal.remember(&web, Some(&memo));
        journal.flush();
        let size = std::fs::metadata(&path).unwrap().len();
        journal.remember(&web, Some(&memo));
        journal.flush();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), size, "twice");
        journal.write_anew().unwrap();
        let record = Record::read(&path).unwrap();
        assert_eq!(record.births.len(), 1);
        assert!(record.births[0].is_alive());
        assert_eq!(record.memos, BTreeMap::from([(web.clone(), memo.clone())]));
        journal.remember(&web, None);
        journal.ended(own);
        journal.close();
        journal.flush();
        let record = Record::read(&path).unwrap();
        assert_eq!((record.births, record.memos.len()), (vec![], 0));
        assert!(record.closing);
        assert!(journal.is_intact() && !journal.is_long());
        for round in 0..=COMPACT_BYTES / 20 {
            let memo = (round % 2 == 0).then_some(&memo);
            journal.remember(&web, memo);
        }
        journal.flush();
        assert!(!journal.is_long(), "no process has gone");
        journal.ended(own);
        journal.flush();
        assert!(journal.is_long() && !journal.is_long(), "told once");
        journal.remove().unwrap();
        assert_eq!(Record::read(&path).unwrap(), Record::default());
    }
}
