//! The steps of the start, each with the status and the message for when it fails.
//!
//! Up to [`Prepared`] nothing but directories, the lock and the socket has been created, and no process started. The
//! order is: read and check the file; raise limits; drop privileges; directories; lock; socket. [`Prepared::open`]
//! then does what must happen after the fork into the background: threads, the log, the pid file, and putting away
//! what a killed daemon left.

use super::access::Access;
use super::adoption::Estate;
use super::capture::{Capture, finish_inflight};
use super::children::Children;
use super::cleanup::LogDirectory;
use super::event_loop::{Daemon, Parts};
use super::exit::DaemonExit;
use super::journal::{Journal, Record};
use super::launch::Launcher;
use super::lines::{Lines, Standard};
use super::loader::{Loader, Source, find};
use super::logging::{self, Echo};
use super::manager::Manager;
use super::meeting::{Meeting, make_private, rights};
use super::residue::{DRAIN, Residue};
use super::runtime_files::RuntimeFiles;
use super::survivors::stop_survivors;
use crate::check_config::render;
use crate::config::model::{Config, DaemonSettings};
use crate::config::schema::DEFAULT_DIRECTORY;
use crate::config::{FindError, Loaded};
use crate::engine::Engine;
use crate::sys::limits::Limit;
use crate::sys::pidfile::{Pidfile, PidfileError};
use crate::sys::signals::SignalSource;
use crate::sys::socket::{self, LockError};
use crate::sys::{descriptors, dirs, identity, limits};
use flexi_logger::LoggerHandle;
use nix::errno::Errno;
use nix::sys::stat::Mode;
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No configuration file, or one that is not to be trusted.
    #[error("{0}")]
    NoConfiguration(#[from] FindError),
    /// The configuration has errors; they have been shown.
    #[error("nothing was started: mend {} and try again", .0.display())]
    BadConfiguration(PathBuf),
    /// The process's own surroundings could not be read or secured.
    #[error("can't set up the process: {0}")]
    Surroundings(#[source] io::Error),
    /// A limit could not be raised.
    #[error("{0}")]
    Limit(#[from] limits::LimitError),
    /// Privileges could not be dropped.
    #[error(
        "can't become user {user}: {reason}\nhelp: start the daemon as root, or as that user, or remove `user`"
    )]
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
    /// No background process could be made.
    #[error("can't go into the background: {0}")]
    Detach(String),
    /// The log could not be started.
    #[error("can't start logging: {0}")]
    Logging(#[from] flexi_logger::FlexiLoggerError),
    /// The pid file could not be written.
    #[error("{0}")]
    PidFile(#[from] PidfileError),
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
            Self::NoConfiguration(FindError::NotFound { .. })
            | Self::BadConfiguration(_)
            | Self::Lock(LockError::TooLong { .. }) => DaemonExit::Usage,
            Self::NoConfiguration(FindError::Unsafe { .. })
            | Self::UnsafeDirectory(_)
            | Self::Lock(LockError::Unsafe { .. }) => DaemonExit::UnsafePath,
            Self::Identity { .. } => DaemonExit::Privileges,
            Self::Lock(LockError::Held { .. }) => DaemonExit::AlreadyRunning,
            Self::Lock(LockError::Io { .. })
            | Self::Limit(_)
            | Self::Surroundings(_)
            | Self::Directory { .. }
            | Self::PidFile(_)
            | Self::Journal { .. }
            | Self::Detach(_) => DaemonExit::Resource,
            Self::Logging(_) => DaemonExit::Internal,
        }
    }
}

/// Makes descriptors 0 to 2 something harmless where they are closed, and closes what else was inherited, but for those
/// of `keep`.
pub fn secure_descriptors(keep: &[RawFd]) -> Result<(), Failure> {
    descriptors::sanitize_standard().map_err(Failure::surroundings)?;
    descriptors::close_inherited(keep);
    Ok(())
}

/// Everything that is settled before the daemon leaves the terminal.
#[derive(Debug)]
pub struct Prepared {
    loader: Loader,
    config: Arc<Config>,
    limits: Vec<Limit>,
    /// None where nobody is to find the daemon.
    meeting: Option<Meeting>,
    /// What cannot be written is told, and done without.
    container: bool,
}

/// Does the first half of the start.
pub fn prepare(source: Source<'_>, called_as: &str) -> Result<Prepared, Failure> {
    let (loader, container) = match source {
        Source::Options(options) => (find(options, called_as)?, options.container),
        Source::Memory(host) => (Loader::in_memory(host), false),
    };
    let config = check(&loader)?;
    let settings = &config.daemon;

    let limits = vec![
        limits::raise_nofile(settings.minfds)?,
        limits::raise_nproc(settings.minprocs)?,
    ];
    if let Some(user) = &settings.user {
        identity::become_user(user.uid, user.gid, &user.groups).map_err(|error| {
            Failure::Identity {
                user: user.name.clone(),
                reason: error.to_string(),
            }
        })?;
        // Nothing works in a directory that one may not be in: neither going into the background nor a program.
        if nix::unistd::chdir(".") == Err(Errno::EACCES) {
            nix::unistd::chdir("/").map_err(Failure::surroundings)?;
        }
    }
    nix::sys::stat::umask(Mode::from_bits_truncate(settings.umask));
    prepare_directories(settings)?;
    let meeting = match (settings.control_socket, container) {
        (false, _) => None,
        (true, false) => Some(Meeting::open(&config)?),
        (true, true) => Meeting::open_if_possible(&config)?,
    };
    Ok(Prepared {
        loader,
        config: Arc::new(config),
        limits,
        meeting,
        container,
    })
}

/// Reads the file, shows what is wrong with it, and gives it back if it can be used.
fn check(loader: &Loader) -> Result<Config, Failure> {
    let Loaded {
        config,
        diagnostics,
        sources,
    } = loader.load();
    let mut stderr = io::stderr();
    let text = render::text(&diagnostics, &sources, render::is_painted(&stderr));
    // A standard error that does not take it is no reason not to start.
    let _shown = stderr.write_all(text.as_bytes());
    config.ok_or_else(|| Failure::BadConfiguration(loader.path().to_owned()))
}

fn prepare_directories(settings: &DaemonSettings) -> Result<(), Failure> {
    if let Some(directory) = &settings.directory {
        std::env::set_current_dir(directory).map_err(|source| Failure::Directory {
            action: "change to directory",
            path: directory.clone(),
            source,
        })?;
    }
    let default = Path::new(DEFAULT_DIRECTORY);
    let childlogdir = settings.auto_logs.then_some(&settings.childlogdir);
    if [settings.logfile.as_ref(), childlogdir]
        .into_iter()
        .flatten()
        .any(|path| path.starts_with(default))
    {
        make_private(default)?;
    }
    let Some(childlogdir) = childlogdir else {
        return Ok(());
    };
    dirs::ensure_log_directory(childlogdir).map_err(|errno| Failure::Directory {
        action: "create childlogdir",
        path: childlogdir.clone(),
        source: errno.into(),
    })
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

    /// Does the second half of the start, in the process that will serve.
    pub fn open(
        self,
        signals: SignalSource,
        executable: &Path,
        called_as: &str,
    ) -> Result<(Daemon, Residue), Failure> {
        let Self {
            loader,
            config,
            limits,
            meeting,
            container,
        } = self;
        let settings = &config.daemon;
        let lines = Lines::new(settings).map_err(Failure::surroundings)?;
        lines.make_room(&config);
        let recorded = meeting
            .as_ref()
            .map_or(Ok(()), |meeting| meeting.lock.record_pid());
        let socket = meeting.is_some().then_some(settings.socket.as_path());
        let ready = recorded.map_err(Failure::from).and_then(|()| {
            let launcher = Launcher::new(socket, limits.clone()).map_err(Failure::surroundings)?;
            let (capture, logger) = begin_logs(settings, called_as, meeting.is_some(), &lines)?;
            let (journal, estate) = if meeting.is_some() {
                take_survivors(&config)?
            } else {
                let journal = Journal::in_memory().map_err(Failure::surroundings)?;
                (journal, Estate::default())
            };
            let logs = settings
                .auto_logs
                .then(|| LogDirectory::take(&config))
                .transpose()
                .map_err(|source| Failure::Directory {
                    action: "use childlogdir",
                    path: settings.childlogdir.clone(),
                    source,
                })?;
            Ok((launcher, capture, logger, journal, estate, logs))
        });
        let (launcher, capture, logger, journal, estate, logs) = match ready {
            Ok(ready) => ready,
            Err(failure) => {
                lines.finish(Instant::now() + DRAIN);
                // What cannot be removed does no harm: the next daemon replaces it.
                let _removed = meeting.map(|meeting| meeting.lock.remove());
                return Err(failure);
            }
        };
        let access = Access::to(socket, settings.socket_mode).map_err(Failure::surroundings)?;
        let (listener, runtime_files) = meeting
            .map(|Meeting { lock, listener }| {
                let files = RuntimeFiles::new(&settings.socket, rights(&config), lock);
                (listener, files)
            })
            .unzip();
        let mut daemon = Daemon::new(Parts {
            engine: Engine::new(config.clone()),
            loader,
            signals,
            listener,
            capture,
            children: Children::new(launcher, called_as == "supervisord"),
            journal,
            runtime_files,
            executable: executable.to_owned(),
            access,
            manager: Manager::from_environment(),
        })
        .map_err(Failure::surroundings)?;
        log::info!(
            "{called_as} {} started with pid {}",
            env!("CARGO_PKG_VERSION"),
            std::process::id()
        );
        let leaves_some = !estate.births().is_empty();
        let mut residue = Residue::new(None, logger, limits, logs, lines);
        if let Some(path) = &settings.pidfile {
            match Pidfile::write(path) {
                Ok(pidfile) => residue.pidfile = Some(pidfile),
                Err(error) if container => log::warn!("{error}"),
                Err(error) => {
                    residue.tidy_up(daemon, leaves_some);
                    return Err(error.into());
                }
            }
        }
        daemon.inherit(estate);
        Ok((daemon, residue))
    }
}

/// Starts the capture of output, and logging, and before that writes what a daemon that was killed had not written.
fn begin_logs(
    settings: &DaemonSettings,
    called_as: &str,
    is_found: bool,
    lines: &Lines,
) -> Result<(Capture, LoggerHandle), Failure> {
    let inflight = is_found.then(|| inflight_beside(&settings.socket));
    let unwritten = inflight.as_deref().map(finish_inflight);
    let mut capture =
        Capture::start(called_as, inflight.as_deref()).map_err(Failure::surroundings)?;
    capture.show_on(lines.clone());
    let logger = open_log(&capture, settings, lines.clone())?;
    match unwritten.transpose().map(Option::flatten) {
        Ok(None) => {}
        Ok(Some((log, bytes))) => log::info!(
            "{}: wrote {bytes} bytes that a killed daemon had not written",
            log.display()
        ),
        Err(error) => log::error!("can't write what a killed daemon had not written: {error}"),
    }
    Ok((capture, logger))
}

/// Where output is kept that has left its pipe and is not in its log yet.
pub fn inflight_beside(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".inflight");
    PathBuf::from(name)
}

pub fn open_log(
    capture: &Capture,
    settings: &DaemonSettings,
    lines: Lines,
) -> Result<LoggerHandle, Failure> {
    let standard = settings.logfile.as_deref().and_then(Standard::named);
    if let Some(logfile) = settings.logfile.as_ref().filter(|_| standard.is_none()) {
        capture.open_main(
            logfile.clone(),
            settings.logfile_maxbytes,
            settings.logfile_backups,
        );
    }
    if settings.syslog {
        capture.send_main_to_syslog();
    }
    let echo = Echo {
        stdout: settings.nodaemon
            && (standard == Some(Standard::Output)
                || settings.stdout.shows_daemon() && !settings.silent),
        // Two standard streams mostly are one in the end: a log that is there already is not copied.
        stderr: settings.nodaemon
            && standard.map_or(settings.log_to_stderr, |named| named == Standard::Error),
    };
    Ok(logging::start(
        settings.loglevel,
        capture.main_log(),
        echo,
        lines,
    )?)
}

/// Sorts out what a daemon that was killed left, so that no program ever runs twice, and begins a new record.
fn take_survivors(config: &Config) -> Result<(Journal, Estate), Failure> {
    let path = Journal::path_beside(&config.daemon.socket);
    socket::check_own_file(&path)?;
    let failed = |source| Failure::Journal {
        path: path.clone(),
        source,
    };
    let record = Record::read(&path).map_err(failed)?;
    let estate = Estate::sort_out(config, record);
    for survivor in stop_survivors(&estate.stops) {
        log::error!(
            "'{}' with pid {} survived even SIGKILL",
            survivor.key,
            survivor.pid
        );
    }
    let journal = Journal::create(&path, estate.births(), estate.memos()).map_err(failed)?;
    Ok((journal, estate))
}
