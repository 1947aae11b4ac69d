//! What a daemon has beside itself, and what becomes of it at the end: the log, the pid file, the socket and its lock.
//!
//! The lock goes last, so that nobody begins before everything else is gone. What a killed daemon left is another matter
//! ([`super::survivors`]).

use super::cleanup::LogDirectory;
use super::event_loop::Daemon;
use super::lines::Lines;
use super::runtime_files::RuntimeFiles;
use crate::sys::limits::Limit;
use crate::sys::pidfile::Pidfile;
use flexi_logger::LoggerHandle;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long pipes may be drained at the end.
pub const DRAIN: Duration = Duration::from_secs(2);

/// What has to be put away at the end.
pub struct Residue {
    pub(super) pidfile: Option<Pidfile>,
    /// Kept to the end: dropping it ends logging.
    logger: LoggerHandle,
    /// Limits that the daemon was started with.
    limits: Vec<Limit>,
    logs: Option<LogDirectory>,
    lines: Lines,
}

impl Residue {
    /// All of it.
    pub fn new(
        pidfile: Option<Pidfile>,
        logger: LoggerHandle,
        limits: Vec<Limit>,
        logs: Option<LogDirectory>,
        lines: Lines,
    ) -> Self {
        Self {
            pidfile,
            logger,
            limits,
            logs,
            lines,
        }
    }

    /// The daemon's standard streams.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Where the pid file is.
    pub fn pidfile_path(&self) -> Option<PathBuf> {
        self.pidfile.as_ref().map(|it| it.path().to_owned())
    }

    /// Limits that the daemon was started with.
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// What holds the use of the directory of logs.
    pub fn logs(&self) -> Option<BorrowedFd<'_>> {
        self.logs.as_ref().map(LogDirectory::descriptor)
    }

    /// Drains the logs, then removes what the daemon created to be found by. The lock goes last. Returns the limits
    /// that the daemon was started with. The record of processes stays where some are left.
    pub fn tidy_up(self, daemon: Daemon, processes_left: bool) -> Vec<Limit> {
        let Self {
            pidfile,
            logger,
            limits,
            logs,
            lines,
        } = self;
        if let Some(pidfile) = pidfile
            && let Err(errno) = pidfile.remove()
        {
            log::warn!("can't remove the pid file: {}", errno.desc());
        }
        let runtime_files = daemon.close(DRAIN, processes_left);
        // The log is closed. A socket that is left behind does no harm: the next daemon replaces it.
        let _removed = runtime_files.map(RuntimeFiles::remove);
        drop(logs);
        drop(logger);
        // A reader that takes nothing by then gets no more. There is nobody left to be told.
        let _whole = lines.finish(Instant::now() + DRAIN);
        limits
    }
}
