//! The steps of the start, each with the status and the message for when it fails.
//!
//! Up to [`Prepared`] nothing but directories, the lock and the socket has been created, and no process started. The
//! order is: read and check the file; raise limits; drop privileges; directories; lock; socket. [`Prepared::open`]
//! then does what must happen after the fork into the background: threads, the log, the pid file, and putting away
//! what a killed daemon left.

use super::access::Access;
use super::capture::Capture;
use super::children::Children;
use super::event_loop::{Daemon, Parts};
use super::exit::DaemonExit;
use super::journal::{Journal, Stop, stop_survivors};
use super::launch::Launcher;
use super::loader::Loader;
use super::logging;
use crate::check_config::render;
use crate::cli::DaemonOptions;
use crate::config::model::{Config, DaemonSettings};
use crate::config::{self, Loaded};
use crate::engine::Engine;
use crate::sys::limits::OriginalLimits;
use crate::sys::pidfile::PidFile;
use crate::sys::signals::SignalSource;
use crate::sys::socket::{Lock, LockError};
use crate::sys::{self, descriptors, dirs, identity, limits, socket};
use crate::types::Signal;
use flexi_logger::LoggerHandle;
use nix::errno::Errno;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Pending connections that the kernel keeps.
const BACKLOG: u32 = 1024;
/// How long a survivor of a killed daemon may take to stop when its program is no longer configured.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);
/// How long pipes may be drained at the end.
const DRAIN: Duration = Duration::from_secs(2);

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No configuration file, or one that is not to be trusted.
    #[error("{0}")]
    NoConfiguration(#[from] config::FindError),
    /// The configuration has errors, listed here as they are shown.
    #[error("{0}")]
    BadConfiguration(String),
    /// The process's own surroundings could not be read or secured.
    #[error("can't set up the process: {0}")]
    Surroundings(#[source] io::Error),
    /// A limit could not be raised.
    #[error("{0}")]
    Limit(#[from] limits::LimitError),
    /// Privileges could not be dropped.
    #[error("can't become user {user}: {reason}\nhelp: start the daemon as root, or as that user, or remove `user`")]
    Identity {
        /// Whom the file names.
        user: String,
        /// What failed.
        reason: String,
    },
    /// A directory is not to be trusted.
    #[error("{0}")]
    UnsafeDirectory(#[from] dirs::DirError),
    /// A directory could not be made or entered.
    #[error("can't {action} {}: {source}", path.display())]
    Directory {
        /// What was tried.
        action: &'static str,
        /// Which directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The lock is held, or cannot be taken.
    #[error("{0}")]
    Lock(#[from] LockError),
    /// The socket could not be opened.
    #[error("can't open the control socket {}: {source}", path.display())]
    Socket {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No background process could be made.
    #[error("can't go into the background: {0}")]
    Detach(String),
    /// The log could not be started.
    #[error("can't start logging: {0}")]
    Logging(#[from] flexi_logger::FlexiLoggerError),
    /// The pid file could not be written.
    #[error("can't write the pid file {}: {source}", path.display())]
    PidFile {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The record of processes could not be read or begun.
    #[error("can't use the record of processes {}: {source}", path.display())]
    Journal {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Failure {
    /// Wraps an error of the process's surroundings.
    pub fn surroundings(error: impl Into<io::Error>) -> Self {
        Self::Surroundings(error.into())
    }

    /// The exit status for it.
    pub fn status(&self) -> DaemonExit {
        match self {
            Self::NoConfiguration(error) if error.is_unsafe() => DaemonExit::UnsafePath,
            Self::NoConfiguration(_) | Self::BadConfiguration(_) => DaemonExit::Usage,
            Self::Limit(_) | Self::Surroundings(_) => DaemonExit::Resource,
            Self::Identity { .. } => DaemonExit::Privileges,
            Self::UnsafeDirectory(_) => DaemonExit::UnsafePath,
            Self::Lock(LockError::Held { .. }) => DaemonExit::AlreadyRunning,
            Self::Lock(LockError::Unsafe { .. }) => DaemonExit::UnsafePath,
            Self::Lock(LockError::Io { .. })
            | Self::Directory { .. }
            | Self::Socket { .. }
            | Self::PidFile { .. }
            | Self::Journal { .. }
            | Self::Detach(_) => DaemonExit::Resource,
            Self::Logging(_) => DaemonExit::Internal,
        }
    }
}

/// Makes descriptors 0 to 2 something harmless where they are closed, and closes what else was inherited.
pub fn secure_descriptors() -> Result<(), Failure> {
    descriptors::sanitize_standard().map_err(Failure::surroundings)?;
    descriptors::close_inherited(&[]).map_err(Failure::surroundings)
}

/// Everything that is settled before the daemon leaves the terminal.
#[derive(Debug)]
pub struct Prepared {
    loader: Loader,
    config: Arc<Config>,
    limits: OriginalLimits,
    lock: Lock,
    listener: UnixListener,
}

/// Does the first half of the start.
pub fn prepare(options: &DaemonOptions, called_as: &str) -> Result<Prepared, Failure> {
    let path = match &options.configuration {
        Some(path) => std::path::absolute(path).map_err(Failure::surroundings)?,
        None => config::find(called_as, &config::RealHost)?,
    };
    let loader = Loader::new(path, options);
    let config = check(&loader)?;
    let settings = &config.daemon;

    let limits = limits::raise(settings.minfds, settings.minprocs)?;
    if let Some(user) = &settings.user {
        identity::become_user(user.uid, user.gid, &user.groups)
            .map_err(|error| Failure::Identity { user: user.name.clone(), reason: error.to_string() })?;
    }
    sys::clock::set_umask(settings.umask);
    prepare_directories(settings)?;
    let lock = Lock::acquire(&settings.socket)?;
    let listener = socket::bind(&settings.socket, settings.socket_mode, BACKLOG, &lock)
        .map_err(|source| Failure::Socket { path: settings.socket.clone(), source })?;
    Ok(Prepared { loader, config: Arc::new(config), limits, lock, listener })
}

/// Reads the file, shows what is wrong with it, and gives it back if it can be used.
fn check(loader: &Loader) -> Result<Config, Failure> {
    let Loaded { config, diagnostics, sources } = loader.load();
    let mut stderr = io::stderr();
    let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = render::text(&diagnostics, &sources, colour);
    match config {
        Some(config) => {
            // Warnings; a standard error that does not take them is no reason not to start.
            let _shown = stderr.write_all(text.as_bytes());
            Ok(config)
        }
        None => {
            let help = format!("{text}\nnothing was started; mend {} and try again", loader.path().display());
            Err(Failure::BadConfiguration(help))
        }
    }
}

fn prepare_directories(settings: &DaemonSettings) -> Result<(), Failure> {
    if let Some(directory) = &settings.directory {
        std::env::set_current_dir(directory).map_err(|source| Failure::Directory {
            action: "change to directory",
            path: directory.clone(),
            source,
        })?;
    }
    let default = Path::new(config::DEFAULT_DIRECTORY);
    let uses_default = [Some(&settings.socket), settings.logfile.as_ref(), Some(&settings.childlogdir)]
        .into_iter()
        .flatten()
        .any(|path| path.starts_with(default));
    if uses_default && dirs::ensure_private(default)? == dirs::Ensured::Tightened {
        let notice = format!("notice: {} was open to others; it is private (0700) now\n", default.display());
        let _told = io::stderr().write_all(notice.as_bytes());
    }
    if let Some(parent) = settings.socket.parent() {
        dirs::trusted(parent)?;
    }
    match nix::unistd::mkdir(&settings.childlogdir, nix::sys::stat::Mode::from_bits_truncate(0o750)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(Failure::Directory {
            action: "create childlogdir",
            path: settings.childlogdir.clone(),
            source: errno.into(),
        }),
    }
}

impl Prepared {
    /// Whether the file or the command line asks for the foreground.
    pub fn stays_in_foreground(&self) -> bool {
        self.config.daemon.nodaemon
    }

    /// File mode creation mask.
    pub fn umask(&self) -> u32 {
        self.config.daemon.umask
    }

    /// In the launching command: lock and socket belong to the daemon now.
    pub fn leave_to_the_daemon(self) {
        let Self { lock, listener, .. } = self;
        drop(listener);
        lock.disown();
    }

    /// Does the second half of the start, in the process that will serve.
    pub fn open(self, signals: SignalSource, called_as: &str) -> Result<(Daemon, Residue), Failure> {
        let Self { loader, config, limits, mut lock, listener } = self;
        let settings = &config.daemon;
        lock.record_pid().map_err(|source| Failure::Socket { path: settings.socket.clone(), source })?;

        let capture = Capture::start().map_err(Failure::surroundings)?;
        if let Some(logfile) = &settings.logfile {
            capture.open_main(logfile, settings.logfile_maxbytes, settings.logfile_backups);
        }
        let echo = settings.nodaemon && !settings.silent;
        let logger = logging::start(settings.loglevel, capture.main_log(), echo)?;

        let pidfile = match &settings.pidfile {
            Some(path) => Some(
                PidFile::create(path)
                    .map_err(|source| Failure::PidFile { path: path.clone(), source })?,
            ),
            None => None,
        };
        let journal = put_away_survivors(&config)?;
        let launcher = Launcher::new(&settings.socket, limits).map_err(Failure::surroundings)?;
        let access = Access {
            uid: nix::unistd::geteuid().as_raw(),
            gid: std::fs::metadata(&settings.socket).map_err(Failure::surroundings)?.gid(),
            mode: settings.socket_mode,
        };
        let daemon = Daemon::new(Parts {
            engine: Engine::new(config.clone()),
            loader,
            signals,
            listener,
            capture,
            children: Children::new(launcher),
            journal,
            identifier: settings.identifier.clone(),
            access,
        })
        .map_err(Failure::surroundings)?;
        log::info!("{called_as} {} started with pid {}", env!("CARGO_PKG_VERSION"), std::process::id());
        let residue = Residue { lock, socket: settings.socket.clone(), pidfile, logger };
        Ok((daemon, residue))
    }
}

/// Stops what a daemon that was killed left running, so that no program ever runs twice, and begins a new record.
fn put_away_survivors(config: &Config) -> Result<Journal, Failure> {
    let path = Journal::path_beside(&config.daemon.socket);
    let failed = |source| Failure::Journal { path: path.clone(), source };
    let stops: Vec<Stop> = Journal::survivors(&path)
        .map_err(failed)?
        .into_iter()
        .map(|survivor| {
            log::warn!("stopping '{}' with pid {}, left by a daemon that was killed", survivor.key, survivor.pid);
            let policy = config.process(&survivor.key).map(|settings| &settings.policy);
            Stop {
                signal: policy.map_or(Signal::TERM, |policy| policy.stopsignal),
                patience: policy.map_or(DEFAULT_PATIENCE, |policy| policy.stopwaitsecs),
                survivor,
            }
        })
        .collect();
    for survivor in stop_survivors(&stops) {
        log::error!("'{}' with pid {} survived even SIGKILL", survivor.key, survivor.pid);
    }
    Journal::create(&path).map_err(failed)
}

/// What has to be put away at the end.
pub struct Residue {
    lock: Lock,
    socket: PathBuf,
    pidfile: Option<PidFile>,
    /// Kept to the end: dropping it ends logging.
    logger: LoggerHandle,
}

impl Residue {
    /// Drains the logs, then removes what the daemon created to be found by. The lock goes last.
    pub fn tidy_up(self, daemon: Daemon) {
        let Self { lock, socket, pidfile, logger } = self;
        daemon.close(DRAIN);
        drop(logger);
        drop(pidfile);
        // Already gone is as good as removed.
        let _removed = std::fs::remove_file(&socket);
        drop(lock);
    }
}
