//! What the loader asks of the machine, behind a trait, so that tests decide what exists.
//!
//! The loader only reads: no method changes anything, and none can block on a file that is not a regular one.

use super::model::User;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Largest configuration file that is read.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// The machine as the loader sees it.
pub trait Host: std::fmt::Debug {
    /// Reads a whole regular file of at most [`FILE_BYTES_MAX`] bytes.
    fn read(&self, path: &Path) -> Result<FileContent, ReadError>;
    /// Facts about what `path` leads to, links followed; `None` when there is nothing.
    fn facts(&self, path: &Path) -> Option<FileFacts>;
    /// Whether the calling user may execute the file.
    fn is_executable(&self, path: &Path) -> bool;
    /// Whether this is a directory in which the calling user may create files, as far as rights and mounts go.
    fn is_writable(&self, path: &Path) -> bool;
    /// The paths that a pattern matches, sorted; the text says what is wrong with the pattern.
    fn glob(&self, pattern: &str) -> Result<Vec<PathBuf>, String>;
    /// The account of this name.
    fn account_by_name(&self, name: &str) -> io::Result<Option<User>>;
    /// The account of this number.
    fn account_by_uid(&self, uid: u32) -> io::Result<Option<User>>;
    /// The number of the group of this name.
    fn group_by_name(&self, name: &str) -> io::Result<Option<u32>>;
    /// Whether a group has this number.
    fn has_gid(&self, gid: u32) -> io::Result<bool>;
    /// The environment variables; those that are not UTF-8 are left out.
    fn environment(&self) -> BTreeMap<String, String>;
    /// The machine's name (`uname -n`).
    fn node_name(&self) -> String;
    /// The user this process acts as.
    fn effective_uid(&self) -> u32;
    /// Where relative paths start.
    fn current_dir(&self) -> PathBuf;
    /// Where temporary files go.
    fn temp_dir(&self) -> PathBuf;
}

/// A file that was read.
#[derive(Debug)]
pub struct FileContent {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Device and inode: two paths with the same identity are one file.
    pub identity: (u64, u64),
}

/// What kind of thing a path leads to, and who may change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Kind.
    pub kind: FileKind,
    /// Owner.
    pub uid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// What kind of thing a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A Unix socket.
    Socket,
    /// A device or a pipe.
    Other,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system said so.
    #[error("{}", describe(.0))]
    Io(#[from] io::Error),
    /// A directory, a pipe, a device.
    #[error("not a regular file")]
    NotRegular,
    /// More than [`FILE_BYTES_MAX`] bytes.
    #[error("larger than 1 MiB, the most that a configuration file may have")]
    TooLarge,
}

/// The system's words for `error`, in lower case and without the number.
pub fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}

/// The machine this process runs on. Remembers the directory and the environment it was started with, so that a later
/// reading of the same file understands relative paths as the first one did.
#[derive(Debug, Clone)]
pub struct RealHost {
    current_dir: PathBuf,
    environment: BTreeMap<String, String>,
}

impl RealHost {
    /// Takes note of the current directory and the environment.
    pub fn new() -> Self {
        Self {
            current_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        }
    }
}

impl Default for RealHost {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads a whole regular file of at most [`FILE_BYTES_MAX`] bytes. Never blocks on anything else.
pub fn read_regular(path: &Path) -> Result<FileContent, ReadError> {
    // Non-blocking, so that a named pipe cannot hold the daemon; what was opened is then looked at.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(ReadError::NotRegular);
    }
    let mut bytes = Vec::new();
    // The size is not trusted: files of /proc claim to be empty and others grow while they are read.
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ReadError::TooLarge);
    }
    Ok(FileContent {
        bytes,
        identity: (metadata.dev(), metadata.ino()),
    })
}

impl Host for RealHost {
    fn read(&self, path: &Path) -> Result<FileContent, ReadError> {
        read_regular(path)
    }

    fn facts(&self, path: &Path) -> Option<FileFacts> {
        let metadata = std::fs::metadata(path).ok()?;
        let kind = metadata.file_type();
        Some(FileFacts {
            kind: if kind.is_file() {
                FileKind::Regular
            } else if kind.is_dir() {
                FileKind::Directory
            } else if kind.is_socket() {
                FileKind::Socket
            } else {
                FileKind::Other
            },
            uid: metadata.uid(),
            mode: metadata.mode() & 0o7777,
        })
    }

    fn is_executable(&self, path: &Path) -> bool {
        nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
    }

    fn is_writable(&self, path: &Path) -> bool {
        use nix::unistd::AccessFlags;
        path.is_dir() && nix::unistd::access(path, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
    }

    fn glob(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let paths = glob::glob_with(pattern, options).map_err(|error| error.msg.to_owned())?;
        let mut found = paths
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("{}: {}", error.path().display(), describe(error.error())))?;
        found.sort();
        Ok(found)
    }

    fn account_by_name(&self, name: &str) -> io::Result<Option<User>> {
        nix::unistd::User::from_name(name)?.map(account).transpose()
    }

    fn account_by_uid(&self, uid: u32) -> io::Result<Option<User>> {
        nix::unistd::User::from_uid(uid.into())?
            .map(account)
            .transpose()
    }

    fn group_by_name(&self, name: &str) -> io::Result<Option<u32>> {
        let group = nix::unistd::Group::from_name(name)?;
        Ok(group.map(|group| group.gid.as_raw()))
    }

    fn has_gid(&self, gid: u32) -> io::Result<bool> {
        Ok(nix::unistd::Group::from_gid(gid.into())?.is_some())
    }

    fn environment(&self) -> BTreeMap<String, String> {
        self.environment.clone()
    }

    fn node_name(&self) -> String {
        nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    fn effective_uid(&self) -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    fn current_dir(&self) -> PathBuf {
        self.current_dir.clone()
    }

    fn temp_dir(&self) -> PathBuf {
        self.environment
            .get("TMPDIR")
            .filter(|dir| Path::new(dir).is_absolute())
            .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
    }
}

/// The machine, and one text in memory that stands for a file on it.
#[derive(Debug)]
pub struct MemoryHost {
    real: RealHost,
    path: PathBuf,
    /// Read as often as the file would be.
    text: String,
    /// Variables that exist for the text alone.
    variables: BTreeMap<String, String>,
}

impl MemoryHost {
    /// `path` is what the text is called; no file of that name is looked at.
    pub fn new(path: &Path, text: String, variables: BTreeMap<String, String>) -> Self {
        let real = RealHost::new();
        Self {
            path: real.current_dir().join(path),
            real,
            text,
            variables,
        }
    }

    /// What the text is called, from the root.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Host for MemoryHost {
    fn read(&self, path: &Path) -> Result<FileContent, ReadError> {
        if path != self.path {
            return self.real.read(path);
        }
        Ok(FileContent {
            bytes: self.text.clone().into_bytes(),
            identity: (0, 0),
        })
    }

    fn facts(&self, path: &Path) -> Option<FileFacts> {
        if path == self.path {
            return None;
        }
        self.real.facts(path)
    }

    fn is_executable(&self, path: &Path) -> bool {
        self.real.is_executable(path)
    }

    fn is_writable(&self, path: &Path) -> bool {
        self.real.is_writable(path)
    }

    fn glob(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        self.real.glob(pattern)
    }

    fn account_by_name(&self, name: &str) -> io::Result<Option<User>> {
        self.real.account_by_name(name)
    }

    fn account_by_uid(&self, uid: u32) -> io::Result<Option<User>> {
        self.real.account_by_uid(uid)
    }

    fn group_by_name(&self, name: &str) -> io::Result<Option<u32>> {
        self.real.group_by_name(name)
    }

    fn has_gid(&self, gid: u32) -> io::Result<bool> {
        self.real.has_gid(gid)
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = self.real.environment();
        environment.extend(self.variables.clone());
        environment
    }

    fn node_name(&self) -> String {
        self.real.node_name()
    }

    fn effective_uid(&self) -> u32 {
        self.real.effective_uid()
    }

    fn current_dir(&self) -> PathBuf {
        self.real.current_dir()
    }

    fn temp_dir(&self) -> PathBuf {
        self.real.temp_dir()
    }
}

fn account(user: nix::unistd::User) -> io::Result<User> {
    let login = CString::new(user.name.as_str())?;
    let mut groups: Vec<u32> = nix::unistd::getgrouplist(&login, user.gid)?
        .into_iter()
        .map(nix::unistd::Gid::as_raw)
        .collect();
    groups.sort_unstable();
    groups.dedup();
    let filled = |path: PathBuf| (!path.as_os_str().is_empty()).then_some(path);
    Ok(User {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups,
        home: filled(user.dir),
        shell: filled(user.shell),
    })
}
