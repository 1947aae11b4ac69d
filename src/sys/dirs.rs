//! Whether a directory can be trusted: whether nobody but root and ourselves can change what a path leads to.
//!
//! The path is walked component by component through descriptors, so that what was checked is what is used. Each
//! component belongs to root or to us, and its directory is writable by nobody else, unless the sticky bit keeps others
//! from replacing it. A link is followed only where its maker could be trusted with the directory as well.
//! A group-writable directory is fine when the group is our user's private one, with no other member.

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Group, User, geteuid};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Why a directory is refused. Every variant names the component at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirError {
    /// A component belongs to somebody whom we need not trust.
    #[error(
        "{} is not safe to use: it belongs to user {owner} (mode {mode:04o}), \
         not to root or user {}; remove it, change its owner or use another directory",
        component.display(), geteuid()
    )]
    Foreign {
        /// The component.
        component: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Others may write into a component.
    #[error(
        "{} is not safe to use: others can write into it (mode {mode:04o}, owner {owner}); \
         run `chmod go-w {}` or use another directory",
        component.display(), component.display()
    )]
    Writable {
        /// The component.
        component: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Our own directory is a link.
    #[error(
        "{} is not safe to use: it is a symbolic link (owner {owner}); remove it or name the directory itself",
        component.display()
    )]
    Link {
        /// The link.
        component: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// A component is no directory.
    #[error("{} is not a directory (mode {mode:04o}, owner {owner}); remove it or use another path", component.display())]
    NotDirectory {
        /// The component.
        component: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Our own directory was open to others, and others have put something into it.
    #[error(
        "{} is not safe to use: it was open to others (mode {mode:04o}) and holds {}, which belongs to user {owner}; \
         empty it or use another directory",
        component.display(), entry.display()
    )]
    ForeignEntry {
        /// The directory.
        component: PathBuf,
        /// The directory's permission bits.
        mode: u32,
        /// The file in it.
        entry: PathBuf,
        /// The file's owner.
        owner: u32,
    },
    /// The path does not begin at the root.
    #[error("{} is not an absolute path; begin it with `/`", component.display())]
    Relative {
        /// The path.
        component: PathBuf,
    },
    /// The kernel refused.
    #[error("cannot use directory {}: {}", component.display(), errno.desc())]
    Io {
        /// The component.
        component: PathBuf,
        /// The kernel's reason.
        errno: Errno,
    },
}

/// What [`ensure_private`] found or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Private {
    /// It was made.
    Created,
    /// It was there, and private.
    Present,
    /// It was there, ours and open to others; it is private now. Worth a notice.
    Tightened {
        /// The permission bits it had.
        mode: u32,
    },
}

/// Most links that are followed in one path.
const LINKS_MAX: usize = 8;

/// Flags that look at a component without following or opening it.
const LOOK: OFlag = OFlag::O_PATH
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// Checks that nobody but root and we can replace the directory, or a file in it that is ours.
///
/// A directory with the sticky bit, such as `/tmp`, passes: what others put there must be recognised by its owner.
pub fn trusted(path: &Path) -> Result<(), DirError> {
    trusted_chain(path).map(drop)
}

fn trusted_chain(path: &Path) -> Result<Walked, DirError> {
    let walked = walk(path, check_entry)?;
    check_writers(&walked)?;
    Ok(walked)
}

/// Makes a directory for logs (mode 0750) where it is missing; its parent must exist.
pub fn ensure_log_directory(path: &Path) -> Result<(), Errno> {
    match nix::unistd::mkdir(path, Mode::from_bits_truncate(0o750)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Opens a directory that may be somebody else's, such as the one for the logs of a program with a user of its own.
///
/// Whoever may write into a directory on the way could put a link there and lead us into a directory that he cannot
/// write into himself. So root follows a link only where root made it, or where it leads to a directory of the
/// link's own maker; any other is `ELOOP`. Without root's power there is none to lend, and links are just followed.
pub fn open_unled(path: &Path) -> Result<OwnedFd, Errno> {
    if !geteuid().is_root() {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        return nix::fcntl::open(path, flags, Mode::empty());
    }
    let mut makers = Vec::new();
    let walked = walk(path, |_, _, stat| {
        if kind(stat) == SFlag::S_IFLNK && !is_trusted(stat.st_uid) {
            makers.push(stat.st_uid);
        }
        Ok(())
    });
    let walked = walked.map_err(|error| match error {
        DirError::Io { errno, .. } => errno,
        DirError::NotDirectory { .. } | DirError::Relative { .. } => Errno::ENOTDIR,
        DirError::Foreign { .. }
        | DirError::Writable { .. }
        | DirError::Link { .. }
        | DirError::ForeignEntry { .. } => Errno::EPERM,
    })?;
    let owner = fstat(&walked.descriptor)?.st_uid;
    if makers.iter().any(|&maker| maker != owner) {
        return Err(Errno::ELOOP);
    }
    Ok(walked.descriptor)
}

/// Makes sure that the directory is ours alone (mode 0700) and cannot be replaced by others.
///
/// Makes the last component where it is missing, takes rights from others where it is ours. Refuses a link, somebody
/// else's directory, and one of ours into which somebody else has put something.
pub fn ensure_private(path: &Path) -> Result<Private, DirError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(DirError::Relative {
            component: path.to_owned(),
        });
    };
    let walked = trusted_chain(parent)?;
    let full = walked.path.join(name);
    let io = |errno| DirError::Io {
        component: full.clone(),
        errno,
    };
    let created = match mkdirat(&walked.descriptor, name, Mode::S_IRWXU) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(errno) => return Err(io(errno)),
    };
    let found = fstatat(&walked.descriptor, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(io)?;
    if !is_trusted(found.st_uid) {
        return Err(foreign(full, &found));
    }
    match kind(&found) {
        SFlag::S_IFDIR => {}
        SFlag::S_IFLNK => {
            return Err(DirError::Link {
                component: full,
                owner: found.st_uid,
            });
        }
        _ => return Err(not_directory(full, &found)),
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
    let descriptor = openat(&walked.descriptor, name, flags, Mode::empty()).map_err(io)?;
    let stat = fstat(&descriptor).map_err(io)?;
    let mode = permissions(&stat);
    // Unlike above it has to be ours: root's own directory is not ours to change.
    if stat.st_uid != geteuid().as_raw() {
        return Err(foreign(full, &stat));
    }
    if created {
        // The umask may have taken rights of our own.
        fchmod(&descriptor, Mode::S_IRWXU).map_err(io)?;
        return Ok(Private::Created);
    }
    if !Mode::from_bits_truncate(mode).intersects(Mode::S_IRWXG | Mode::S_IRWXO) {
        return Ok(Private::Present);
    }
    // First close the door, then look who is inside.
    fchmod(&descriptor, Mode::S_IRWXU).map_err(io)?;
    check_contents(&full, mode)?;
    Ok(Private::Tightened { mode })
}

fn check_contents(directory: &Path, mode: u32) -> Result<(), DirError> {
    let io = |error: &std::io::Error| DirError::Io {
        component: directory.to_owned(),
        errno: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
    };
    for entry in fs::read_dir(directory).map_err(|error| io(&error))? {
        let entry = entry.map_err(|error| io(&error))?;
        // Does not follow links.
        let metadata = entry.metadata().map_err(|error| io(&error))?;
        if !is_trusted(metadata.uid()) {
            return Err(DirError::ForeignEntry {
                component: directory.to_owned(),
                mode,
                entry: entry.path(),
                owner: metadata.uid(),
            });
        }
    }
    Ok(())
}

/// A directory that was reached through trusted components.
struct Walked {
    descriptor: OwnedFd,
    path: PathBuf,
}

/// Goes along a path and follows its links; `check` is asked about every entry, with the directory it is in.
fn walk(
    path: &Path,
    mut check: impl FnMut(&Walked, &Path, &FileStat) -> Result<(), DirError>,
) -> Result<Walked, DirError> {
    if !path.is_absolute() {
        return Err(DirError::Relative {
            component: path.to_owned(),
        });
    }
    let mut here = root()?;
    let mut names = names_of(path);
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        let full = if name == ".." {
            here.path.parent().unwrap_or(Path::new("/")).to_owned()
        } else {
            here.path.join(&name)
        };
        let io = |errno| DirError::Io {
            component: full.clone(),
            errno,
        };
        let next = openat(&here.descriptor, name.as_os_str(), LOOK, Mode::empty()).map_err(io)?;
        let stat = stat_of(&next, &full)?;
        if name != ".." {
            check(&here, &full, &stat)?;
        }
        match kind(&stat) {
            SFlag::S_IFLNK => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(io(Errno::ELOOP));
                }
                let target = readlinkat(&here.descriptor, name.as_os_str()).map_err(io)?;
                let target = Path::new(&target);
                for name in names_of(target).into_iter().rev() {
                    names.push_front(name);
                }
                if target.is_absolute() {
                    here = root()?;
                }
            }
            SFlag::S_IFDIR => {
                here = Walked {
                    descriptor: next,
                    path: full,
                };
            }
            _ => return Err(not_directory(full, &stat)),
        }
    }
    Ok(here)
}

fn root() -> Result<Walked, DirError> {
    let path = PathBuf::from("/");
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    match nix::fcntl::open(&path, flags, Mode::empty()) {
        Ok(descriptor) => Ok(Walked { descriptor, path }),
        Err(errno) => Err(DirError::Io {
            component: path,
            errno,
        }),
    }
}

/// The components below the root, `..` included: what it leads to depends on links before it.
fn names_of(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsStr::from_bytes(b"..").to_owned()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Checks an entry of a directory: its owner, and that nobody else could have put it there or can replace it.
fn check_entry(directory: &Walked, full: &Path, entry: &FileStat) -> Result<(), DirError> {
    check_writers(directory)?;
    if is_trusted(entry.st_uid) {
        return Ok(());
    }
    Err(foreign(full.to_owned(), entry))
}

/// Checks that nobody else can replace what is in a directory.
fn check_writers(directory: &Walked) -> Result<(), DirError> {
    let stat = stat_of(&directory.descriptor, &directory.path)?;
    if !is_trusted(stat.st_uid) {
        return Err(foreign(directory.path.clone(), &stat));
    }
    let mode = permissions(&stat);
    let sticky = mode & 0o1000 != 0;
    let by_others = mode & 0o002 != 0;
    let by_group = mode & 0o020 != 0 && !is_our_private_group(stat.st_gid);
    if (by_others || by_group) && !sticky {
        return Err(DirError::Writable {
            component: directory.path.clone(),
            owner: stat.st_uid,
            mode,
        });
    }
    Ok(())
}

fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

fn is_our_private_group(gid: u32) -> bool {
    // Not for root: other users may have root's group as their primary one.
    if geteuid().is_root() {
        return false;
    }
    let user = User::from_uid(geteuid()).ok().flatten();
    let group = Group::from_gid(gid.into()).ok().flatten();
    match (user, group) {
        (Some(user), Some(group)) => is_private_group(&user, &group),
        _ => false,
    }
}

/// The habit of one group for each user: same name, the user's primary group, no other member.
fn is_private_group(user: &User, group: &Group) -> bool {
    user.gid == group.gid
        && user.name == group.name
        && group.mem.iter().all(|member| *member == user.name)
}

fn stat_of(descriptor: &impl AsFd, path: &Path) -> Result<FileStat, DirError> {
    fstat(descriptor).map_err(|errno| DirError::Io {
        component: path.to_owned(),
        errno,
    })
}

fn foreign(component: PathBuf, stat: &FileStat) -> DirError {
    DirError::Foreign {
        component,
        owner: stat.st_uid,
        mode: permissions(stat),
    }
}

fn not_directory(component: PathBuf, stat: &FileStat) -> DirError {
    DirError::NotDirectory {
        component,
        owner: stat.st_uid,
        mode: permissions(stat),
    }
}

fn permissions(stat: &FileStat) -> u32 {
    stat.st_mode & 0o7777
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT)
}

#[cfg(test)]
mod tests;
