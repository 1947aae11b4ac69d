//! Opening what a log is written to, without being led elsewhere.
//!
//! A log's path is a directory and one name. The directory is held open, so that one which is moved away, or replaced
//! by a link, goes on receiving its files until somebody asks for the path to be followed anew. The name is never
//! followed when it is a link, opening it never blocks (a FIFO without a reader is an error), and what was opened must
//! be a regular file with one name, a FIFO or a character device, and in a directory for all not somebody else's. A
//! link in the directory's path leads root only where its maker could go himself ([`dirs::open_unled`]). The daemon's
//! own descriptors are the exception: a few names under `/dev` are followed, by exact spelling. Its standard output and error
//! are not among what comes here: [`crate::daemon::lines`] writes them.

use crate::sys::dirs;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, fcntl, open, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{geteuid, write};
use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

/// A directory that logs are in, shared by all of them.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    handle: RefCell<Option<Rc<OwnedFd>>>,
}

impl Directory {
    /// Opens nothing yet.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            handle: RefCell::new(None),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory itself; looked up by its path when it is not held yet.
    pub(super) fn handle(&self) -> Result<Rc<OwnedFd>, Errno> {
        if let Some(held) = &*self.handle.borrow() {
            return Ok(Rc::clone(held));
        }
        let found = Rc::new(dirs::open_unled(&self.path)?);
        *self.handle.borrow_mut() = Some(Rc::clone(&found));
        Ok(found)
    }

    /// Makes the next use look it up by its path again.
    pub(super) fn release(&self) {
        *self.handle.borrow_mut() = None;
    }

    /// Releases a directory that no longer exists, which nothing can be created in. Says whether it was one.
    pub(super) fn release_removed(&self) -> bool {
        let removed = self
            .handle()
            .and_then(fstat)
            .is_ok_and(|stat| stat.st_nlink == 0);
        if removed {
            self.release();
        }
        removed
    }
}

/// What kind of thing a log is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A regular file found by name: the only kind that is rotated, emptied and watched for being replaced.
    Regular,
    /// Something else that is ours to open, without blocking.
    Special,
}

/// Something open for writing.
#[derive(Debug)]
pub(super) struct Opened {
    fd: OwnedFd,
    kind: Kind,
    device: u64,
    inode: u64,
    /// Its size when it was opened.
    size: u64,
}

impl Opened {
    /// Opens `name` in `directory`, creating it unless `create` is false; with `new` it must not exist.
    pub(super) fn entry(directory: &Directory, name: &OsStr, how: Creation) -> Result<Self, Errno> {
        let flags = match how {
            Creation::Never => OFlag::empty(),
            Creation::IfAbsent => OFlag::O_CREAT,
            Creation::Always => OFlag::O_CREAT | OFlag::O_EXCL,
        };
        let flags = flags
            | OFlag::O_WRONLY
            | OFlag::O_APPEND
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o640);
        let parent = directory.handle()?;
        let fd = openat(&*parent, name, flags, mode)?;
        let stat = fstat(&fd)?;
        if is_others(&stat) && is_planted(&fstat(&*parent)?, &stat) {
            return Err(Errno::EACCES);
        }
        let kind = match file_type(&stat) {
            SFlag::S_IFREG if stat.st_nlink == 1 => Kind::Regular,
            SFlag::S_IFREG => return Err(Errno::EMLINK),
            SFlag::S_IFIFO | SFlag::S_IFCHR => Kind::Special,
            _ => return Err(Errno::EOPNOTSUPP),
        };
        Ok(Self {
            fd,
            kind,
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
        })
    }

    /// Device and inode.
    pub(super) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Opens one of the names that [`is_own_descriptor`] knows.
    pub(super) fn own_descriptor(path: &Path) -> Result<Self, Errno> {
        let flags = OFlag::O_WRONLY
            | OFlag::O_APPEND
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        let fd = open(path, flags, Mode::empty())?;
        let stat = fstat(&fd)?;
        Ok(Self {
            fd,
            kind: Kind::Special,
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
        })
    }

    pub(super) fn is_regular(&self) -> bool {
        self.kind == Kind::Regular
    }

    /// Its size when it was opened.
    pub(super) fn initial_size(&self) -> u64 {
        self.size
    }

    /// What the kernel says about it now.
    pub(super) fn stat(&self) -> Result<FileStat, Errno> {
        fstat(&self.fd)
    }

    /// Whether `stat` describes this very file.
    pub(super) fn is(&self, stat: &FileStat) -> bool {
        (stat.st_dev, stat.st_ino) == (self.device, self.inode)
    }

    /// Empties a regular file.
    pub(super) fn truncate(&self) -> Result<(), Errno> {
        nix::unistd::ftruncate(&self.fd, 0)
    }

    /// Writes what can be written without waiting for a reader; `EAGAIN` when that is nothing.
    pub(super) fn write(&self, data: &[u8]) -> Result<usize, Errno> {
        retrying(|| write(&self.fd, data))
    }

    /// Waits until a reader has made room; `EAGAIN` when none has by then.
    pub(super) fn wait_writable(&self, give_up: Instant) -> Result<(), Errno> {
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut watched = [PollFd::new(self.fd.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut watched, timeout) {
                Ok(0) => return Err(Errno::EAGAIN),
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether [`Opened::entry`] may create the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Creation {
    /// It must exist.
    Never,
    /// It may exist.
    IfAbsent,
    /// It must not exist.
    Always,
}

/// Whether `path` is a name for a descriptor of the daemon, or `/dev/null`.
pub(super) fn is_own_descriptor(path: &Path) -> bool {
    let Some(text) = path.to_str() else {
        return false;
    };
    matches!(text, "/dev/null" | "/dev/stdout" | "/dev/stderr")
        || text.strip_prefix("/dev/fd/").is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// What `name` in `directory` is; links are not followed.
pub(super) fn look(directory: &Directory, name: &OsStr) -> Result<FileStat, Errno> {
    fstatat(directory.handle()?, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// A regular file that is open for reading.
#[derive(Debug)]
pub(super) struct Readable {
    file: File,
    device: u64,
    inode: u64,
}

/// Opens the regular file at `path` to read it.
pub(super) fn readable(path: &Path) -> Result<Readable, Errno> {
    let flags = OFlag::O_RDONLY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::EISDIR);
    };
    let parent = dirs::open_unled(parent)?;
    let file = File::from(openat(&parent, name, flags, Mode::empty())?);
    let stat = fstat(&file)?;
    if file_type(&stat) != SFlag::S_IFREG {
        return Err(Errno::ESPIPE);
    }
    Ok(Readable {
        file,
        device: stat.st_dev,
        inode: stat.st_ino,
    })
}

impl Readable {
    /// Its size now.
    pub(super) fn size(&self) -> u64 {
        fstat(&self.file).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// Device and number, which name the file.
    pub(super) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Whether both are the same file.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }

    /// Reads once.
    pub(super) fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, Errno> {
        self.file
            .read_at(buffer, position)
            .map_err(|error| errno_of(&error))
    }
}

/// The last bytes of the regular file at `path`, at most `count`, and its size.
pub(super) fn read_end(path: &Path, count: u64) -> Result<(Vec<u8>, u64), Errno> {
    let file = readable(path)?;
    let size = file.size();
    let length = usize::try_from(size.min(count)).map_err(|_| Errno::EFBIG)?;
    let mut data = vec![0; length];
    let mut filled = 0;
    let begin = size.saturating_sub(count);
    while let Some(rest) = data.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read_at(rest, begin + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    // Somebody may have cut the file short meanwhile.
    data.truncate(filled);
    Ok((data, size))
}

/// Opens what a program is to write by itself: for appending, and so that a full pipe or terminal makes it wait.
pub(super) fn for_program(path: &Path) -> Result<OwnedFd, Errno> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::EISDIR);
    };
    let opened = Opened::entry(&Directory::new(parent), name, Creation::IfAbsent)?;
    // Nobody but the program has it.
    fcntl(&opened.fd, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(opened.fd)
}

/// The kernel's number for an error of the standard library.
pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Whether a file belongs to somebody who is neither root nor we.
fn is_others(file: &FileStat) -> bool {
    file.st_uid != 0 && file.st_uid != geteuid().as_raw()
}

/// Whether a file in a directory for all, such as `/tmp`, was put there by somebody whom neither we nor the directory's
/// owner are: he could read and change what we write.
fn is_planted(directory: &FileStat, file: &FileStat) -> bool {
    let for_all = directory.st_mode & 0o1000 != 0 && directory.st_mode & 0o022 != 0;
    for_all && is_others(file) && file.st_uid != directory.st_uid
}

fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn retrying(mut call: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_descriptors_are_opened_by_name_and_never_regular() {
        let null = Opened::own_descriptor(Path::new("/dev/null")).unwrap();
        assert!(!null.is_regular());
        let missing = Opened::own_descriptor(Path::new("/dev/fd/9999999"));
        assert_eq!(missing.map(|_| ()), Err(Errno::ENOENT));
    }
}
