//! What `/proc` tells about processes: enough to recognise one again after the daemon's own death, when all that is
//! left is a number that may have been given to somebody else.
//!
//! A process is the same one when pid, start time and boot are the same. `/proc` may be missing; every answer is then
//! `None`, never a guess.

use super::reap::exit_status_of_wait;
use super::spawn::start_ticks_in;
use crate::types::{ExitStatus, Pid};
use nix::errno::Errno;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// One line of `/proc/PID/stat`, as far as it is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    state: u8,
    group: i32,
    session: i32,
    start_ticks: u64,
    /// As `wait` would tell it; 0 for who may not know.
    exit_code: i32,
}

/// When the process started, in clock ticks since boot; `None` when it does not exist.
pub fn start_ticks(pid: Pid) -> Option<u64> {
    stat(pid).map(|stat| stat.start_ticks)
}

/// Whether a process with this pid exists and has not ended; `None` when `/proc` cannot be read.
pub fn lives_now(pid: Pid) -> Option<bool> {
    if !std::path::Path::new("/proc/self/stat").exists() {
        return None;
    }
    Some(stat(pid).is_some_and(|stat| lives(stat.state)))
}

/// The session that the process belongs to.
pub fn session_of(pid: Pid) -> Option<Pid> {
    stat(pid).and_then(|stat| Pid::new(stat.session))
}

/// The process group that the process belongs to.
pub fn group_of(pid: Pid) -> Option<Pid> {
    stat(pid).and_then(|stat| Pid::new(stat.group))
}

/// The effective user of the process.
pub fn uid_of(pid: Pid) -> Option<u32> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    // `Uid:`, then real, effective, saved and file system user. The owner of the directory would be root for every
    // process that changed its user.
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Names this run of the kernel: start times of different boots cannot be compared.
pub fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// Names the set of pids that this process sees: a pid of another container means nothing here.
pub fn pid_namespace() -> Option<u64> {
    fs::metadata("/proc/self/ns/pid")
        .ok()
        .map(|link| link.ino())
}

/// Whether the process that had this pid and start time still lives.
pub fn survives(pid: Pid, start_ticks: u64) -> bool {
    stat(pid).is_some_and(|stat| stat.start_ticks == start_ticks && lives(stat.state))
}

/// How a process ended that is not reaped; `None` unless it is the one with this start time, has ended, and the kernel
/// lets us know.
pub fn status_of_zombie(pid: Pid, start_ticks: u64) -> Option<ExitStatus> {
    // Whoever may not know reads 0, as if all were well. The same right decides about this link, which an ended process
    // has no more.
    match nix::fcntl::readlink(format!("/proc/{pid}/exe").as_str()) {
        Err(Errno::ENOENT) => {}
        Ok(_) | Err(_) => return None,
    }
    let stat = stat(pid).filter(|stat| stat.start_ticks == start_ticks && stat.state == b'Z')?;
    Some(exit_status_of_wait(stat.exit_code))
}

/// The members of a process group that `/proc` shows, its leader first.
pub fn group_members(group: Pid) -> Vec<Pid> {
    let all = processes().into_iter().flatten();
    let others = all
        .filter(|(pid, stat)| stat.group == group.as_raw() && *pid != group && lives(stat.state))
        .map(|(pid, _)| pid);
    std::iter::once(group).chain(others).collect()
}

/// Where the open descriptors of a process are found.
pub fn descriptors(pid: Pid) -> Result<Vec<String>, Errno> {
    let directory = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&directory).map_err(|error| errno_of(&error))?;
    Ok(entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            Some(format!("{directory}/{}", name.to_str()?))
        })
        .collect())
}

/// Whether a descriptor found by [`descriptors`] is the pipe of this number.
pub fn is_pipe(descriptor: &str, number: u64) -> bool {
    nix::fcntl::readlink(descriptor).is_ok_and(|link| link == *format!("pipe:[{number}]"))
}

/// Whether a descriptor of another process may be looked at; one that it does not have may be.
pub fn may_look(descriptor: &str) -> Result<(), Errno> {
    match nix::fcntl::readlink(descriptor) {
        Ok(_) => Ok(()),
        Err(Errno::ENOENT) => {
            let directory = descriptor
                .rsplit_once('/')
                .map_or(descriptor, |(path, _)| path);
            fs::metadata(directory)
                .map(drop)
                .map_err(|error| errno_of(&error))
        }
        Err(errno) => Err(errno),
    }
}

fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Whether a process group has a member that lives; `None` when `/proc` cannot be read.
pub fn group_lives(group: Pid) -> Option<bool> {
    let mut all = processes()?;
    Some(all.any(|(_, stat)| stat.group == group.as_raw() && lives(stat.state)))
}

fn processes() -> Option<impl Iterator<Item = (Pid, Stat)>> {
    let entries = fs::read_dir("/proc").ok()?;
    Some(entries.filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let pid = Pid::new(pid)?;
        Some((pid, stat(pid)?))
    }))
}

fn lives(state: u8) -> bool {
    !matches!(state, b'Z' | b'X' | b'x')
}

fn stat(pid: Pid) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in field 2 may hold spaces and parentheses, so everything is counted from the last one.
fn parse_stat(line: &[u8]) -> Option<Stat> {
    let name_end = line.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(line.get(name_end + 1..)?).ok()?;
    let mut fields = rest.split_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let group = fields.nth(1)?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    // Field 52, counted from field 6.
    let exit_code = fields.nth(45).and_then(|field| field.parse().ok());
    Some(Stat {
        state,
        group,
        session,
        start_ticks: start_ticks_in(line)?,
        exit_code: exit_code.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::kill;
    use crate::sys::reap;
    use crate::sys::testing::{await_end, fork_child};
    use crate::types::Signal;

    #[test]
    fn stat_lines_are_cut_after_the_last_parenthesis() {
        let line = |name: &str| {
            format!(
                "42 ({name}) S 1 40 39 0 -1 4194304 9 0 0 0 1 2 0 0 20 0 1 0 {} 1 2 3\n",
                u64::MAX
            )
        };
        let expected = Some(Stat {
            state: b'S',
            group: 40,
            session: 39,
            start_ticks: u64::MAX,
            exit_code: 0,
        });
        for name in ["cat", "a b", ") Z 1 1 1", "((", "", "\n"] {
            assert_eq!(parse_stat(line(name).as_bytes()), expected, "{name:?}");
        }
        for broken in [
            "",
            "42 (cat",
            "42 (cat) S 1",
            "42 (cat) S 1 40 39 0 -1 4194304 9",
        ] {
            assert_eq!(parse_stat(broken.as_bytes()), None, "{broken:?}");
        }
        let overflow = line("cat").replace(&u64::MAX.to_string(), "99999999999999999999");
        assert_eq!(parse_stat(overflow.as_bytes()), None);
    }

    #[test]
    fn a_process_is_recognised_until_it_ends() {
        let pid = fork_child(|| {
            loop {
                nix::unistd::pause();
            }
        });
        let ticks = start_ticks(pid).unwrap();
        let own = Pid::new(nix::unistd::getpid().as_raw()).unwrap();
        assert!(ticks >= start_ticks(own).unwrap());
        assert!(survives(pid, ticks));
        assert!(
            !survives(pid, ticks + 1),
            "another process of the same number"
        );
        assert_eq!(group_of(pid), group_of(own));
        assert_eq!(uid_of(pid), Some(nix::unistd::geteuid().as_raw()));
        kill::process(pid, Signal::KILL).unwrap();
        await_end(pid);
        assert!(!survives(pid, ticks), "ended, though not collected");
        reap::collect(pid).unwrap();
        assert!(!survives(pid, ticks));
    }

    #[test]
    fn the_boot_has_a_name() {
        let id = boot_id().unwrap();
        assert_eq!(id.len(), 36, "{id}");
        assert!(pid_namespace().is_some());
    }

    #[test]
    fn the_end_of_a_zombie_is_known_and_of_nobody_else() {
        for (code, expected) in [(0, ExitStatus::Code(0)), (7, ExitStatus::Code(7))] {
            let pid = fork_child(|| code);
            let ticks = start_ticks(pid).unwrap();
            await_end(pid);
            assert_eq!(status_of_zombie(pid, ticks), Some(expected));
            assert_eq!(status_of_zombie(pid, ticks + 1), None);
            reap::collect(pid).unwrap();
            assert_eq!(status_of_zombie(pid, ticks), None);
        }
        let own = Pid::new(nix::unistd::getpid().as_raw()).unwrap();
        assert_eq!(status_of_zombie(own, start_ticks(own).unwrap()), None);
        let pid = fork_child(|| {
            loop {
                nix::unistd::pause();
            }
        });
        let ticks = start_ticks(pid).unwrap();
        kill::process(pid, Signal::TERM).unwrap();
        await_end(pid);
        let killed = ExitStatus::Signaled {
            signal: Signal::TERM,
            core_dumped: false,
        };
        assert_eq!(status_of_zombie(pid, ticks), Some(killed));
        reap::collect(pid).unwrap();
    }
}
