//! A file that holds the daemon's pid, for other people's scripts. Nothing here ever kills by it.
//!
//! It appears complete or not at all, replaces whatever file had its name (a link itself, not what it leads to), and is
//! removed only while it still holds our pid. A device is nobody's to replace: `pidfile=/dev/null`, which many files for
//! containers have, writes there and leaves it. Anything else that is no file is refused, and so is a link to it.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::unlink;
use std::ffi::OsString;
use std::fs::{self, File, FileType};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Why there is no pid file.
#[derive(Debug, thiserror::Error)]
#[error("cannot write pid file {}: {source}; name another one or leave it out", path.display())]
pub struct PidfileError {
    /// The pid file.
    pub path: PathBuf,
    /// The kernel's reason.
    pub source: io::Error,
}

/// A pid file of ours.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    content: String,
}

impl Pidfile {
    /// Writes this process's pid, for all to read.
    pub fn write(path: &Path) -> Result<Self, PidfileError> {
        let content = format!("{}\n", std::process::id());
        match put(path, content.as_bytes()) {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                content,
            }),
            Err(source) => Err(PidfileError {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// The one that an earlier image of this process wrote.
    pub fn of_this_process(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            content: format!("{}\n", std::process::id()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, if it is still ours.
    pub fn remove(self) -> Result<(), Errno> {
        if read(&self.path).is_ok_and(|content| content == self.content) {
            unlink(&self.path)?;
        }
        Ok(())
    }
}

fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let Ok(there) = fs::symlink_metadata(path) else {
        return replace(path, content);
    };
    let is_no_file = |kind: FileType| !kind.is_file() && !kind.is_dir();
    if there.file_type().is_char_device() {
        let flags = OFlag::O_WRONLY
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        return File::from(open(path, flags, Mode::empty())?).write_all(content);
    }
    let leads_to = if there.is_symlink() {
        // One that leads nowhere is replaced.
        fs::metadata(path).ok()
    } else {
        Some(there)
    };
    if leads_to.is_some_and(|there| is_no_file(there.file_type())) {
        return Err(io::Error::other("it is no regular file"));
    }
    replace(path, content)
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    let mut temporary = OsString::from(".");
    temporary.push(name);
    // Always the same, so that those of daemons that were killed while they wrote do not pile up.
    temporary.push(".new");
    let temporary = directory.join(temporary);
    let written = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        return match unlink(&temporary) {
            // The first error is the one that tells.
            Ok(()) | Err(_) => Err(error),
        };
    }
    File::open(directory)?.sync_all()
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP | Mode::S_IROTH;
    let descriptor = match open(path, flags, mode) {
        // A daemon was killed while it wrote.
        Err(Errno::EEXIST) => {
            unlink(path)?;
            open(path, flags, mode)?
        }
        opened => opened?,
    };
    // Whatever the umask is.
    fchmod(&descriptor, mode)?;
    let mut file = File::from(descriptor);
    file.write_all(content)?;
    file.sync_all()
}

fn read(path: &Path) -> io::Result<String> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let mut content = String::new();
    let file = File::from(open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    file.take(32).read_to_string(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::in_fork;
    use nix::sys::stat::umask;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn own() -> String {
        format!("{}\n", std::process::id())
    }

    fn names(directory: &Path) -> Vec<OsString> {
        fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect()
    }

    #[test]
    fn it_replaces_what_was_there_and_goes_with_us() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("d.pid");
        let victim = directory.path().join("victim");
        let leftover = directory.path().join(".d.pid.new");
        for before in ["", "garbage", "1\n"] {
            fs::write(&path, before).unwrap();
            fs::write(&leftover, "half").unwrap();
            let pidfile = Pidfile::write(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), own());
            pidfile.remove().unwrap();
            assert_eq!(names(directory.path()), [""; 0]);
        }
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, &path).unwrap();
        let pidfile = Pidfile::write(&path).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        pidfile.remove().unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn what_is_no_file_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let is_device = |path: &Path| fs::metadata(path).unwrap().file_type().is_char_device();
        // A device of our own, where one can be made: nothing here may touch that of the machine.
        let null = directory.path().join("null");
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let number = nix::sys::stat::makedev(1, 3);
        if nix::sys::stat::mknod(&null, nix::sys::stat::SFlag::S_IFCHR, mode, number).is_ok() {
            // It may be one that cannot be opened, as on a file system without devices.
            if let Ok(pidfile) = Pidfile::write(&null) {
                pidfile.remove().unwrap();
            }
            assert!(is_device(&null));
            fs::remove_file(&null).unwrap();
        }
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, mode).unwrap();
        let link = directory.path().join("link");
        symlink(&fifo, &link).unwrap();
        for path in [&fifo, &link] {
            let error = Pidfile::write(path).unwrap_err();
            assert!(
                error.to_string().contains("it is no regular file"),
                "{error}"
            );
            Pidfile::of_this_process(path).remove().unwrap();
        }
        let mut left = names(directory.path());
        left.sort();
        assert_eq!(left, ["fifo", "link"]);
    }

    #[test]
    fn its_mode_does_not_depend_on_the_umask() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("d.pid");
        for mask in [0, 0o077, 0o777] {
            in_fork(|| {
                umask(Mode::from_bits_truncate(mask));
                Pidfile::write(&path).map_err(|error| error.to_string())?;
                match fs::metadata(&path) {
                    Ok(metadata) if metadata.mode() & 0o7777 == 0o644 => Ok(()),
                    other => Err(format!("{mask:o}: {other:?}")),
                }
            });
        }
    }

    #[test]
    fn one_that_is_no_longer_ours_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("d.pid");
        let pidfile = Pidfile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        pidfile.remove().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        // A link to something that looks like ours.
        let pidfile = Pidfile::write(&path).unwrap();
        let elsewhere = directory.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        pidfile.remove().unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        let pidfile = Pidfile::write(&path).unwrap();
        fs::remove_file(&path).unwrap();
        pidfile.remove().unwrap();
    }

    #[test]
    fn where_it_cannot_be_is_said_and_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let occupied = directory.path().join("occupied");
        fs::create_dir(&occupied).unwrap();
        let error = Pidfile::write(&occupied).unwrap_err();
        assert!(
            error.to_string().contains("occupied: Is a directory"),
            "{error}"
        );
        assert_eq!(names(directory.path()), ["occupied"]);
        let missing = directory.path().join("missing/d.pid");
        let error = Pidfile::write(&missing).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::NotFound);
        assert_eq!(error.path, missing);
    }
}
