//! Removes AUTO logs that nothing writes to any more, when the daemon starts.
//!
//! A file goes only if all of this holds: it lies in `childlogdir`, its name was made by the AUTO rule
//! (`NAME_ID_out.log`, `NAME_ID_err.log`, or a rotated one of these), it is a regular file of our own, and no configured
//! process logs to it. While another daemon uses the same directory nothing is removed: each holds a shared lock on the
//! directory for its life, and only who gets it alone cleans up. Nothing is removed either from a directory that
//! everybody may write to, such as `/tmp`: what lies there may be the logs of a daemon that is down at the moment.

use crate::config::model::Config;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often, and how far apart, the shared lock is tried for: another daemon's cleaning takes less time.
const SHARED_LOCK_TRIES: u32 = 20;
const SHARED_LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The use of a `childlogdir`. Ends when it is dropped.
#[derive(Debug)]
pub struct LogDirectory {
    lock: File,
}

impl LogDirectory {
    /// The use that an earlier image of this process has made of it.
    pub fn inherit(lock: OwnedFd) -> Self {
        Self {
            lock: File::from(lock),
        }
    }

    /// The descriptor that holds it.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// Takes the directory into use, and first cleans it up unless the configuration says not to, or somebody else
    /// uses it.
    pub fn take(config: &Config) -> io::Result<Self> {
        let directory = &config.daemon.childlogdir;
        let lock = File::open(directory)?;
        let everybodys = lock.metadata()?.mode() & 0o002 != 0;
        if !everybodys && !config.daemon.nocleanup && lock.try_lock().is_ok() {
            remove_leftovers(directory, &logs_of(config))?;
            lock.unlock()?;
        }
        // Whoever may read the directory can hold it locked, and must not hold up the start by that.
        let mut tries = 1..SHARED_LOCK_TRIES;
        while let Err(error) = lock.try_lock_shared() {
            let held = matches!(error, TryLockError::WouldBlock);
            if !held || tries.next().is_none() {
                // Or a file system without locks: two daemons that share it have to be told not to clean up.
                log::debug!("can't lock {}: {error}", directory.display());
                break;
            }
            std::thread::sleep(SHARED_LOCK_PAUSE);
        }
        Ok(Self { lock })
    }
}

fn logs_of(config: &Config) -> BTreeSet<PathBuf> {
    config
        .groups
        .values()
        .flat_map(|group| group.processes.values())
        .flat_map(|process| [&process.stdout.target, &process.stderr.target])
        .filter_map(|target| target.path().map(Path::to_owned))
        .collect()
}

fn remove_leftovers(directory: &Path, in_use: &BTreeSet<PathBuf>) -> io::Result<()> {
    let own = nix::unistd::geteuid().as_raw();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(log) = name.to_str().and_then(auto_log) else {
            continue;
        };
        let metadata = entry.metadata()?;
        let is_ours = metadata.is_file() && metadata.uid() == own && metadata.nlink() == 1;
        if !is_ours || in_use.contains(&directory.join(log)) {
            continue;
        }
        let path = entry.path();
        match fs::remove_file(&path) {
            Ok(()) => log::info!(
                "removed {}: its program is no longer configured",
                path.display()
            ),
            Err(error) => log::warn!("can't remove {}: {error}", path.display()),
        }
    }
    Ok(())
}

/// The name of the live log, if `name` is that of an AUTO log or of a rotated one.
fn auto_log(name: &str) -> Option<&str> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let live = match name.rsplit_once('.') {
        Some((live, number)) if is_number(number) => live,
        Some(_) | None => name,
    };
    let stem = live
        .strip_suffix("_out.log")
        .or_else(|| live.strip_suffix("_err.log"))?;
    let (program, id) = stem.rsplit_once('_')?;
    (!program.is_empty() && is_number(id)).then_some(live)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_made_by_the_auto_rule_are_recognised() {
        for (name, live) in [
            ("web_0_out.log", Some("web_0_out.log")),
            ("web_12_err.log.3", Some("web_12_err.log")),
            ("site_web_0_out.log", Some("site_web_0_out.log")),
            ("web_out.log", None),
            ("web_0_out.log.bak", None),
            ("web_0_out.log.gz", None),
            ("_0_out.log", None),
            ("web_x_out.log", None),
            ("web_0_out.txt", None),
            ("taskmaster.log", None),
        ] {
            assert_eq!(auto_log(name), live, "{name}");
        }
    }

    #[test]
    fn leftovers_go_and_everything_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in [
            "old_0_out.log",
            "old_0_out.log.1",
            "web_0_out.log",
            "web_0_out.log.2",
            "notes.txt",
        ] {
            fs::write(path(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("notes.txt", path("link_0_out.log")).unwrap();
        fs::hard_link(path("notes.txt"), path("hard_0_out.log")).unwrap();
        remove_leftovers(directory.path(), &BTreeSet::from([path("web_0_out.log")])).unwrap();
        let mut left: Vec<String> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "hard_0_out.log",
                "link_0_out.log",
                "notes.txt",
                "web_0_out.log",
                "web_0_out.log.2"
            ]
        );
    }
}
