//! Which processes a daemon made, on disk, so that the next one finds those of a daemon that was killed.
//!
//! The file lies beside the socket, belongs to the holder of the lock and is only ever appended to while the daemon
//! runs: each child writes its own line (`+ GROUP PROCESS PID STARTTICKS`) between fork and exec, so that no moment
//! exists at which a program runs unrecorded; the daemon adds `- PID` when the process is gone. The first line names
//! the boot: after a reboot no pid means anything. A line cut short by a crash is ignored.
//!
//! A process is only ever touched when its start time proves that it is the recorded one.

use crate::sys::{kill, proc};
use crate::types::{GroupName, Pid, ProcessKey, ProcessName, Signal};
use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Size above which the file is written anew with only what is alive.
const COMPACT_BYTES: u64 = 256 << 10;
/// Room that is reserved on the disk for it, so that a disk that fills up later keeps no process off the record.
const RESERVED_BYTES: i64 = 512 << 10;

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    /// None for one that is kept in memory, since the daemon is not to be found by anybody.
    path: Option<PathBuf>,
    file: File,
}

/// A recorded process that still runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// Which process of the configuration it was.
    pub key: ProcessKey,
    /// Its pid, proved by its start time.
    pub pid: Pid,
    ticks: u64,
}

impl Survivor {
    fn is_alive(&self) -> bool {
        proc::survives(self.pid, self.ticks)
    }

    /// Whether it has ended and left members of its group behind, who keep the number from being given to others.
    fn left_members(&self) -> bool {
        let is_free = proc::start_ticks(self.pid).is_none_or(|ticks| ticks == self.ticks);
        is_free && !self.is_alive() && kill::group_exists(self.pid)
    }
}

impl Journal {
    /// The journal that belongs to a socket.
    pub fn path_beside(socket: &Path) -> PathBuf {
        let mut name = socket.as_os_str().to_owned();
        name.push(".children");
        PathBuf::from(name)
    }

    /// Reads what the last daemon left and returns what of it still runs. A missing file means nothing.
    pub fn survivors(path: &Path) -> io::Result<Vec<Survivor>> {
        let mut text = Vec::new();
        match open(path, false) {
            Ok(mut file) => file.read_to_end(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let recorded = parse(&String::from_utf8_lossy(&text), &this_run());
        Ok(recorded.into_values().filter(Survivor::is_alive).collect())
    }

    /// Begins a new journal in place of the old one.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut journal = Self {
            path: Some(path.to_owned()),
            file: open(path, true)?,
        };
        journal.restart(&[])?;
        Ok(journal)
    }

    /// A journal that ends with the daemon, for one that leaves nothing behind: a container's, with which all ends.
    pub fn in_memory() -> io::Result<Self> {
        let file = memfd_create(c"journal", MFdFlags::MFD_CLOEXEC)?;
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
        let mut journal = Self {
            path: None,
            file: file.into(),
        };
        journal.restart(&[])?;
        Ok(journal)
    }

    /// Where children append their line.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// A recorded process is gone.
    pub fn ended(&mut self, pid: Pid) -> io::Result<()> {
        let line = format!("- {pid}\n");
        self.file.write_all(line.as_bytes())
    }

    /// Whether it has grown enough to be worth compacting.
    pub fn is_long(&self) -> bool {
        self.file
            .metadata()
            .is_ok_and(|metadata| metadata.len() > COMPACT_BYTES)
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

    /// Writes the journal anew with the processes that are alive. A child between fork and exec must be among them.
    pub fn compact(&mut self, alive: &[(ProcessKey, Pid)]) -> io::Result<()> {
        self.restart(alive)
    }

    fn restart(&mut self, alive: &[(ProcessKey, Pid)]) -> io::Result<()> {
        let mut text = format!("boot {}\n", this_run());
        for (key, pid) in alive {
            let ticks = proc::start_ticks(*pid).unwrap_or(0);
            let line = format!("+ {} {} {pid} {ticks}\n", key.group, key.process);
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
        let mut file = open(&fresh, true)?;
        // Where there is no room, or the file system cannot reserve any, the writes themselves decide.
        let _reserved = fallocate(
            &file,
            FallocateFlags::FALLOC_FL_KEEP_SIZE,
            0,
            RESERVED_BYTES,
        );
        file.write_all(text.as_bytes())?;
        std::fs::rename(&fresh, path)?;
        self.file = file;
        Ok(())
    }

    /// Removes the file: after a clean shutdown there is nothing to find.
    pub fn remove(self) -> io::Result<()> {
        self.path.map_or(Ok(()), std::fs::remove_file)
    }
}

fn open(path: &Path, write: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(write)
        .create(write)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)
}

/// Names this run of this kernel, and the set of pids that is seen here: numbers of another mean nothing.
fn this_run() -> String {
    let namespace = proc::pid_namespace().unwrap_or_default();
    format!("{}/{namespace}", proc::boot_id().unwrap_or_default())
}

fn parse(text: &str, boot: &str) -> BTreeMap<Pid, Survivor> {
    let mut alive = BTreeMap::new();
    let mut this_boot = false;
    for line in text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
    {
        let words: Vec<&str> = line.split(' ').collect();
        match *words.as_slice() {
            ["boot", id] => this_boot = boot == id,
            ["+", group, process, pid, ticks] if this_boot => {
                if let Some(survivor) = survivor(group, process, pid, ticks) {
                    alive.insert(survivor.pid, survivor);
                }
            }
            ["-", pid] => {
                if let Some(pid) = pid.parse().ok().and_then(Pid::new) {
                    alive.remove(&pid);
                }
            }
            _ => {}
        }
    }
    alive
}

fn survivor(group: &str, process: &str, pid: &str, ticks: &str) -> Option<Survivor> {
    Some(Survivor {
        key: ProcessKey {
            group: GroupName::new(group).ok()?,
            process: ProcessName::new(process).ok()?,
        },
        pid: Pid::new(pid.parse().ok()?)?,
        // Start time 0 was written by a child that could not read its own: it proves nothing.
        ticks: ticks.parse().ok().filter(|&ticks| ticks > 0)?,
    })
}

/// How one survivor is to be stopped.
#[derive(Debug, Clone)]
pub struct Stop {
    /// The process.
    pub survivor: Survivor,
    /// Signal that asks it.
    pub signal: Signal,
    /// How long it may take.
    pub patience: Duration,
}

/// Stops processes that a killed daemon left, all at once: each is asked, then its group is killed when its time is
/// over or it has ended and others of the group have not. Returns those that did not even die of that.
pub fn stop_survivors(stops: &[Stop]) -> Vec<Survivor> {
    /// Time for the kernel to carry out a KILL.
    const KILL_GRACE: Duration = Duration::from_secs(5);
    const GLANCE: Duration = Duration::from_millis(5);

    let begin = Instant::now();
    for stop in stops.iter().filter(|stop| stop.survivor.is_alive()) {
        // An error means that it has just ended, or will show as one that is left.
        let _asked = kill::group(stop.survivor.pid, stop.signal);
        let _continued = kill::group(stop.survivor.pid, Signal::CONT);
    }
    let mut killed_at = BTreeMap::new();
    loop {
        let left: Vec<&Stop> = stops
            .iter()
            .filter(|stop| stop.survivor.is_alive() || stop.survivor.left_members())
            .collect();
        for stop in &left {
            // Those who outlive their leader were asked as he was.
            let overdue = begin.elapsed() >= stop.patience || stop.survivor.left_members();
            if overdue && !killed_at.contains_key(&stop.survivor.pid) {
                let _killed = kill::group(stop.survivor.pid, Signal::KILL);
                killed_at.insert(stop.survivor.pid, Instant::now());
            }
        }
        let given_up = |stop: &Stop| {
            killed_at
                .get(&stop.survivor.pid)
                .is_some_and(|killed| killed.elapsed() > KILL_GRACE)
        };
        if left.iter().all(|stop| given_up(stop)) {
            return left.into_iter().map(|stop| stop.survivor.clone()).collect();
        }
        std::thread::sleep(GLANCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_of_this_boot_count() {
        let text =
            "boot abc\n+ web web 10 500\n+ site web:0 11 501\n- 10\n+ junk\n+ a a 12 0\n+ b b 13 5";
        let found: Vec<(String, i32)> = parse(text, "abc")
            .into_values()
            .map(|survivor| (survivor.key.to_string(), survivor.pid.as_raw()))
            .collect();
        assert_eq!(found, [("site:web:0".to_owned(), 11)]);
        assert!(parse(text, "other").is_empty());
    }

    #[test]
    fn a_process_is_found_by_its_start_time_and_stopped_with_its_group() {
        use std::os::unix::process::CommandExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sock.children");
        let mut journal = Journal::create(&path).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .process_group(0)
            .spawn()
            .unwrap();
        let pid = Pid::new(i32::try_from(child.id()).unwrap()).unwrap();
        let key = ProcessKey {
            group: GroupName::new("web").unwrap(),
            process: ProcessName::new("web").unwrap(),
        };
        journal.compact(&[(key.clone(), pid)]).unwrap();
        let found = Journal::survivors(&path).unwrap();
        assert_eq!(
            found
                .iter()
                .map(|survivor| survivor.pid)
                .collect::<Vec<_>>(),
            [pid]
        );

        let other = Survivor {
            ticks: found[0].ticks + 1,
            ..found[0].clone()
        };
        assert!(!other.is_alive(), "another start time is another process");

        // The zombie still shows its start time, so somebody has to reap it, as process 1 would.
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        let stop = Stop {
            survivor: found[0].clone(),
            signal: Signal::TERM,
            patience: Duration::from_secs(10),
        };
        assert_eq!(stop_survivors(&[stop]), []);
        reaper.join().unwrap();

        journal.ended(pid).unwrap();
        assert_eq!(Journal::survivors(&path).unwrap(), []);
        journal.remove().unwrap();
        assert!(!path.exists());
    }
}
