//! Listening sockets that programs inherit: TCP, and Unix sockets with an owner and a mode.
//!
//! A Unix socket appears under its name complete: it is made under another name in the same directory, given its owner and
//! mode through a descriptor of the file itself, listened on, and only then linked to its name. Links are not followed,
//! neither at the name nor, where others could have put them, on the way to it ([`dirs::open_unled`]). What lies at the name
//! is replaced only if it is a socket that nobody serves. When the socket is given up, the name is removed if it is still
//! that of this socket.
//!
//! The descriptors block, as the programs that inherit them expect; nobody accepts from them here.
//!
//! Not here: when a socket is made and given up, and what a host name means.

use super::dirs;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmod, fchmodat, fstat, fstatat};
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags, fchownat, geteuid, linkat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Who owns a Unix socket, and who may connect to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// User to give it to, and group; `None` leaves either as it is.
    pub owner: (Option<u32>, Option<u32>),
}

/// A socket that is listened on. Dropping it closes it and removes its name.
#[derive(Debug)]
pub struct Listening {
    socket: OwnedFd,
    node: Option<Node>,
}

/// The file of a Unix socket.
#[derive(Debug)]
struct Node {
    directory: OwnedFd,
    name: OsString,
    /// The file itself, whatever its name leads to by now.
    handle: OwnedFd,
}

/// A socket and its file, as descriptors and a name: for another image of the process.
pub type Parts = (OwnedFd, Option<(OwnedFd, OsString, OwnedFd)>);

impl Listening {
    /// The socket and the descriptors of its file, to be taken along.
    pub fn descriptors(
        &self,
    ) -> (
        BorrowedFd<'_>,
        Option<(BorrowedFd<'_>, &OsStr, BorrowedFd<'_>)>,
    ) {
        let node = self.node.as_ref().map(|node| {
            let name = node.name.as_os_str();
            (node.directory.as_fd(), name, node.handle.as_fd())
        });
        (self.socket.as_fd(), node)
    }

    /// What another image of the process listened on.
    pub fn inherit((socket, node): Parts) -> Self {
        let node = node.map(|(directory, name, handle)| Node {
            directory,
            name,
            handle,
        });
        Self { socket, node }
    }

    /// Listens on a TCP address. `backlog` connections may wait; as many as the system allows when that is `None`.
    pub fn tcp(address: SocketAddr, backlog: Option<u32>) -> Result<Self, Errno> {
        // The standard library allows an address that was just in use to be taken again, and listens; a second call to
        // `listen` only sets the length of the queue.
        let listener = TcpListener::bind(address)
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
        let socket = OwnedFd::from(listener);
        listen(&socket, queue(backlog))?;
        Ok(Self { socket, node: None })
    }

    /// Listens on the Unix socket at `path`. `ENOTSOCK`: something else lies there; `EADDRINUSE`: somebody serves it.
    pub fn unix(path: &Path, access: Access, backlog: Option<u32>) -> Result<Self, Errno> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::EISDIR);
        };
        let directory = dirs::open_unled(parent)?;
        let stale = match look(&directory, name) {
            Err(Errno::ENOENT) => false,
            Err(errno) => return Err(errno),
            Ok(stat) if !is_socket(&stat) => return Err(Errno::ENOTSOCK),
            Ok(_) => {
                refuse_served(&reach(&directory, parent, name))?;
                true
            }
        };
        let temporary = OsString::from(format!(".taskmaster-{}", std::process::id()));
        let listening = Self::under(&directory, parent, &temporary, access, backlog);
        let listening = listening.and_then(|(socket, handle)| {
            if stale {
                // Between the look and now it can only have become somebody else's loss: nobody served it.
                remove(&directory, name, None)?;
            }
            // Unlike a rename it never replaces what has come meanwhile.
            linkat(
                &directory,
                temporary.as_os_str(),
                &directory,
                name,
                LinkatFlags::empty(),
            )?;
            Ok((socket, handle))
        });
        // Where it was not made there is none, and a name too many does no harm.
        let _removed = remove(&directory, &temporary, None);
        let (socket, handle) = listening?;
        Ok(Self {
            socket,
            node: Some(Node {
                directory,
                name: name.to_owned(),
                handle,
            }),
        })
    }

    /// Makes the socket under another name, complete.
    fn under(
        directory: &OwnedFd,
        parent: &Path,
        name: &OsStr,
        access: Access,
        backlog: Option<u32>,
    ) -> Result<(OwnedFd, OwnedFd), Errno> {
        // A name that a process of our number left.
        match remove(directory, name, None) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        let socket = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        // The file gets these bits, less those of the umask: never wider than asked for.
        fchmod(&socket, Mode::from_bits_truncate(access.mode))?;
        let address = UnixAddr::new(&reach(directory, parent, name))?;
        bind(socket.as_raw_fd(), &address)?;
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let handle = openat(directory, name, flags, Mode::empty())?;
        // Whoever may write into the directory could have put another file in its place.
        let stat = fstat(&handle)?;
        if !is_socket(&stat) || stat.st_uid != geteuid().as_raw() || stat.st_nlink != 1 {
            return Err(Errno::EPERM);
        }
        grant(&handle, access)?;
        listen(&socket, queue(backlog))?;
        Ok((socket, handle))
    }

    /// Gives a socket that is listened on another backlog, owner and mode; connections that wait are kept.
    pub fn adjust(&self, access: Access, backlog: Option<u32>) -> Result<(), Errno> {
        listen(&self.socket, queue(backlog))?;
        match &self.node {
            Some(node) => grant(&node.handle, access),
            None => Ok(()),
        }
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A name that stays does no harm: nobody serves it, so the next one replaces it.
        let _removed =
            fstat(&self.handle).and_then(|own| remove(&self.directory, &self.name, Some(&own)));
    }
}

/// Sets owner and mode of a socket's file, through a descriptor of it.
fn grant(handle: &OwnedFd, access: Access) -> Result<(), Errno> {
    let stat = fstat(handle)?;
    let (uid, gid) = access.owner;
    let user = uid.filter(|&uid| uid != stat.st_uid).map(Uid::from_raw);
    let group = gid.filter(|&gid| gid != stat.st_gid).map(Gid::from_raw);
    if user.is_some() || group.is_some() {
        fchownat(handle, "", user, group, AtFlags::AT_EMPTY_PATH)?;
    }
    if fstat(handle)?.st_mode & 0o777 != access.mode & 0o777 {
        let mode = Mode::from_bits_truncate(access.mode);
        let file = own_descriptor(handle);
        fchmodat(AT_FDCWD, &file, mode, FchmodatFlags::FollowSymlink)?;
    }
    Ok(())
}

/// Refuses a socket that somebody serves. One that nobody serves refuses the connection.
fn refuse_served(path: &Path) -> Result<(), Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(probe.as_raw_fd(), &UnixAddr::new(path)?) {
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(()),
        // A queue that is full, or a socket of another kind: somebody is there.
        Ok(()) | Err(Errno::EAGAIN | Errno::EPROTOTYPE) => Err(Errno::EADDRINUSE),
        Err(errno) => Err(errno),
    }
}

/// Removes a socket's name; with `own` only if it is still that of this very file.
fn remove(directory: &OwnedFd, name: &OsStr, own: Option<&FileStat>) -> Result<(), Errno> {
    let there = look(directory, name)?;
    let same = |own: &FileStat| (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino);
    if !is_socket(&there) || !own.is_none_or(same) {
        return Err(Errno::EEXIST);
    }
    unlinkat(directory, name, UnlinkatFlags::NoRemoveDir)
}

fn look(directory: &OwnedFd, name: &OsStr) -> Result<FileStat, Errno> {
    fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// A path to `name` through the descriptor of its directory, which is short and leads nowhere else; by the directory's own
/// path where there is no /proc.
fn reach(directory: &OwnedFd, parent: &Path, name: &OsStr) -> PathBuf {
    let held = own_descriptor(directory);
    let base = if held.exists() { &held } else { parent };
    base.join(name)
}

fn own_descriptor(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn is_socket(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == SFlag::S_IFSOCK.bits()
}

fn queue(backlog: Option<u32>) -> Backlog {
    backlog
        .and_then(|count| i32::try_from(count).ok())
        .and_then(|count| Backlog::new(count).ok())
        .unwrap_or(Backlog::MAXCONN)
}

#[cfg(test)]
mod tests;
