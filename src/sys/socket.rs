//! The control socket: one owner, and no moment in which its file is wider open than it should be.
//!
//! The lock comes first. Whoever holds the lock on `SOCKET.lock` owns the socket's name and may remove what an earlier
//! daemon left there; nobody probes by connecting. The lock ends with the process, however that ends. Whether the
//! directory can be trusted is the caller's business ([`super::dirs`]).

use super::proc;
use crate::types::Pid;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FcntlArg, OFlag, fcntl, open};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmod, fchmodat, fstat, fstatat};
use nix::unistd::{Gid, Uid, fchownat, geteuid, unlink};
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest path of a Unix socket, in bytes; the kernel's field has one more, for the end.
pub const SOCKET_PATH_MAX: usize = 107;

/// How long the lock of a holder that is dead may be held by what it left.
const ORPHANED_LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How often a lock file that is replaced while it is being locked is opened anew.
const ATTEMPTS_MAX: u32 = 10;

/// Why a socket is not ours to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Another process serves it.
    #[error("already running{} ({} is locked)", as_pid(*pid), path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The holder, as it wrote itself into the lock file.
        pid: Option<Pid>,
    },
    /// What lies at the path cannot be ours.
    #[error(
        "{} is not safe to use: it is a {kind} of user {owner} (mode {mode:04o}); \
         remove it or use another path",
        path.display()
    )]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What it is: `symbolic link`, `regular file` and so on.
        kind: &'static str,
        /// Its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// The path does not fit into a socket's address.
    #[error(
        "socket path {} has {} bytes, the longest possible has {SOCKET_PATH_MAX}; use a shorter one",
        path.display(), path.as_os_str().len()
    )]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("cannot {operation} {}: {}", path.display(), errno.desc())]
    Io {
        /// What was to be done, as a verb.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// The kernel's reason.
        errno: Errno,
    },
}

fn as_pid(pid: Option<Pid>) -> String {
    pid.map_or_else(String::new, |pid| format!(" as PID {pid}"))
}

/// The right to a socket's name. Ends when it is dropped.
#[derive(Debug)]
pub struct Lock {
    socket: PathBuf,
    path: PathBuf,
    file: File,
    /// The user that the socket was given to, besides our own: it is ours all the same.
    given_to: Option<u32>,
}

/// Who may use a socket: its permission bits and its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Permission bits.
    pub mode: u32,
    /// User, and perhaps group, that it is given to.
    pub owner: Option<(u32, Option<u32>)>,
}

impl Lock {
    /// Takes the right to the socket `socket`, by locking the file of that name with `.lock` behind it.
    pub fn acquire(socket: &Path) -> Result<Self, LockError> {
        check_length(socket)?;
        let mut path = OsString::from(socket);
        path.push(".lock");
        let path = PathBuf::from(path);
        for _ in 0..ATTEMPTS_MAX {
            let file = open_lock_file(&path)?;
            if !lock_patiently(&file).map_err(|errno| io("lock", &path, errno))? {
                let pid = read_holder(&file);
                return Err(LockError::Held { path, pid });
            }
            // Between opening and locking the former holder may have removed the file: then this lock guards nothing.
            if is_file_at(&file, &path) {
                let lock = Self {
                    socket: socket.to_owned(),
                    path,
                    file,
                    given_to: None,
                };
                lock.record_pid()?;
                return Ok(lock);
            }
        }
        Err(io("lock", &path, Errno::ESTALE))
    }

    /// The right that an earlier image of this process took.
    pub fn inherit(socket: &Path, lock: OwnedFd, rights: Rights) -> Self {
        let mut path = OsString::from(socket);
        path.push(".lock");
        Self {
            socket: socket.to_owned(),
            path: PathBuf::from(path),
            file: File::from(lock),
            given_to: rights.owner.map(|(uid, _)| uid),
        }
    }

    /// The descriptor that holds it.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the lock file is still the one that is locked. Somebody who removed it could let a second daemon in.
    pub fn is_intact(&self) -> bool {
        is_file_at(&self.file, &self.path)
    }

    /// Makes the listening socket, non-blocking, with exactly these rights. A socket of ours, or of the owner that it is to
    /// have, which an earlier daemon left is replaced; anything else at its path is refused.
    ///
    /// The owner is changed before anybody can connect, and of the file itself, not of what a link leads to.
    pub fn bind(&mut self, rights: Rights, backlog: i32) -> Result<UnixListener, LockError> {
        self.given_to = rights.owner.map(|(uid, _)| uid);
        let path = &self.socket;
        let failed = |operation| move |errno| io(operation, path, errno);
        remove_leftover(path, self.given_to)?;
        let mode = Mode::from_bits_truncate(rights.mode);
        let descriptor = bound(path, mode)?;
        if stat_at(path).map_err(failed("look at"))?.st_mode & 0o777 != mode.bits() & 0o777 {
            // The umask took rights that were asked for.
            fchmodat(AT_FDCWD, path, mode, FchmodatFlags::FollowSymlink)
                .map_err(failed("set the mode of"))?;
        }
        if let Some((uid, gid)) = rights.owner {
            let (uid, gid) = (Uid::from_raw(uid), gid.map(Gid::from_raw));
            fchownat(AT_FDCWD, path, Some(uid), gid, AtFlags::AT_SYMLINK_NOFOLLOW)
                .map_err(failed("change the owner of"))?;
        }
        let backlog = Backlog::new(backlog).unwrap_or(Backlog::MAXCONN);
        listen(&descriptor, backlog).map_err(failed("listen on"))?;
        Ok(UnixListener::from(descriptor))
    }

    /// Removes the socket and the lock file, for an orderly end. What somebody else put there stays. A file that cannot
    /// be removed does no harm: the next daemon replaces it.
    pub fn remove(self) -> Result<(), LockError> {
        if stat_at(&self.socket).is_ok_and(|stat| is_our_socket(&stat, self.given_to)) {
            unlink(&self.socket).map_err(|errno| io("remove", &self.socket, errno))?;
        }
        if self.is_intact() {
            unlink(&self.path).map_err(|errno| io("remove", &self.path, errno))?;
        }
        Ok(())
    }

    /// Writes this process into the lock file, for whoever is refused. To be repeated after a fork, which the lock
    /// survives and the number does not.
    pub fn record_pid(&self) -> Result<(), LockError> {
        let text = format!("{}\n", std::process::id());
        self.file
            .set_len(0)
            .and_then(|()| self.file.write_all_at(text.as_bytes(), 0))
            .map_err(|error| io("write", &self.path, errno_of(&error)))
    }
}

/// Refuses a path that the kernel's address cannot hold.
pub fn check_length(socket: &Path) -> Result<(), LockError> {
    if socket.as_os_str().len() > SOCKET_PATH_MAX {
        return Err(LockError::TooLong {
            path: socket.to_owned(),
        });
    }
    Ok(())
}

/// Refuses what lies at the path unless it is a regular file of ours with no other name, or nothing.
pub fn check_own_file(path: &Path) -> Result<(), LockError> {
    match stat_at(path) {
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(io("look at", path, errno)),
        Ok(stat) if is_own_file(&stat) => Ok(()),
        Ok(stat) => Err(not_safe(path, &stat)),
    }
}

/// Makes a socket whose file appears with these permission bits, less those of the umask: never wider than asked for.
fn bound(path: &Path, mode: Mode) -> Result<OwnedFd, LockError> {
    let failed = |operation| move |errno| io(operation, path, errno);
    let address = UnixAddr::new(path).map_err(failed("use"))?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let descriptor = socket(AddressFamily::Unix, SockType::Stream, flags, None)
        .map_err(failed("make a socket for"))?;
    fchmod(&descriptor, mode).map_err(failed("set the mode of"))?;
    bind(descriptor.as_raw_fd(), &address).map_err(failed("bind"))?;
    Ok(descriptor)
}

fn open_lock_file(path: &Path) -> Result<File, LockError> {
    let flags =
        OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let descriptor = match open(path, flags, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(descriptor) => descriptor,
        Err(errno) => {
            // A link or a directory is named as such; any other failure as it is.
            return Err(match stat_at(path) {
                Ok(stat) if !is_kind(&stat, SFlag::S_IFREG) || !is_ours(&stat) => {
                    not_safe(path, &stat)
                }
                Ok(_) | Err(_) => io("open", path, errno),
            });
        }
    };
    let stat = fstat(&descriptor).map_err(|errno| io("look at", path, errno))?;
    // Through a second name somebody could make the file reach elsewhere.
    if !is_own_file(&stat) {
        return Err(not_safe(path, &stat));
    }
    Ok(File::from(descriptor))
}

/// Locks a file for this process; false when a living process holds it.
///
/// A holder that was killed may have left a child between fork and exec, which holds the lock until it executes its
/// program. That takes moments, and they are waited for.
fn lock_patiently(file: &File) -> Result<bool, Errno> {
    let begin = Instant::now();
    loop {
        if try_lock(file)? {
            return Ok(true);
        }
        let dead = read_holder(file).is_some_and(|pid| proc::lives_now(pid) == Some(false));
        if !dead || begin.elapsed() > ORPHANED_LOCK_PATIENCE {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Locks a file for this process; false when somebody else holds it.
fn try_lock(file: &File) -> Result<bool, Errno> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => {
            let errno = errno_of(&error);
            if [Errno::ENOLCK, Errno::EOPNOTSUPP, Errno::ENOSYS].contains(&errno) {
                // Some network file systems have only the other kind of lock.
                try_range_lock(file)
            } else {
                Err(errno)
            }
        }
    }
}

/// A lock of another kind on the whole file, held by the open file like the first, not by the process.
fn try_range_lock(file: &File) -> Result<bool, Errno> {
    let kind = |number| libc::c_short::try_from(number).map_err(|_| Errno::EINVAL);
    let whole = libc::flock {
        l_type: kind(libc::F_WRLCK)?,
        l_whence: kind(libc::SEEK_SET)?,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => Ok(true),
        Err(errno) if [Errno::EAGAIN, Errno::EACCES].contains(&errno) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn read_holder(file: &File) -> Option<Pid> {
    let mut text = [0; 32];
    let count = file.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..count)?).ok()?;
    Pid::new(text.trim().parse().ok()?)
}

fn remove_leftover(path: &Path, given_to: Option<u32>) -> Result<(), LockError> {
    match stat_at(path) {
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(io("look at", path, errno)),
        Ok(stat) if is_our_socket(&stat, given_to) => {
            unlink(path).map_err(|errno| io("remove", path, errno))
        }
        Ok(stat) => Err(not_safe(path, &stat)),
    }
}

fn is_file_at(file: &File, path: &Path) -> bool {
    match (fstat(file), stat_at(path)) {
        (Ok(ours), Ok(there)) => (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino),
        (Ok(_) | Err(_), _) => false,
    }
}

/// Looks at a path itself, not at what a link there leads to.
fn stat_at(path: &Path) -> Result<FileStat, Errno> {
    fstatat(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW)
}

fn is_our_socket(stat: &FileStat, given_to: Option<u32>) -> bool {
    is_kind(stat, SFlag::S_IFSOCK) && (is_ours(stat) || given_to == Some(stat.st_uid))
}

fn is_own_file(stat: &FileStat) -> bool {
    is_kind(stat, SFlag::S_IFREG) && is_ours(stat) && stat.st_nlink == 1
}

fn is_ours(stat: &FileStat) -> bool {
    stat.st_uid == geteuid().as_raw()
}

fn is_kind(stat: &FileStat, kind: SFlag) -> bool {
    stat.st_mode & libc::S_IFMT == kind.bits()
}

fn not_safe(path: &Path, stat: &FileStat) -> LockError {
    let kind = match SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT) {
        SFlag::S_IFREG => "regular file",
        SFlag::S_IFDIR => "directory",
        SFlag::S_IFLNK => "symbolic link",
        SFlag::S_IFSOCK => "socket",
        SFlag::S_IFIFO => "named pipe",
        _ => "device",
    };
    LockError::Unsafe {
        path: path.to_owned(),
        kind,
        owner: stat.st_uid,
        mode: stat.st_mode & 0o7777,
    }
}

fn io(operation: &'static str, path: &Path, errno: Errno) -> LockError {
    LockError::Io {
        operation,
        path: path.to_owned(),
        errno,
    }
}

fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests;
