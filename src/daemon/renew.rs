//! Reading the file again in a running daemon: what an update needs before the engine gets it, and what it cannot change.
//!
//! The engine plans what becomes of programs. The daemon's own section takes effect only at its next start or `reload`,
//! except for what is part of every program's settings: there the daemon makes ready what those need.

use super::api::Waiter;
use super::event_loop::Daemon;
use crate::config::model::{Config, DaemonSettings};
use crate::engine::Event;
use crate::engine::event::Command;
use crate::sys::dirs;
use crate::wire;
use std::sync::Arc;

impl Daemon {
    /// Makes the file on disk the active configuration, as `update` does; a faulty file changes nothing.
    pub(super) fn update_by_signal(&mut self) {
        if self.engine.is_shutting_down() {
            log::warn!("ignored SIGHUP indicating update request (shutdown in progress)");
            return;
        }
        self.tell_updating();
        match self.load_for_update() {
            Ok(config) => {
                let ticket = self.counters.next_ticket();
                self.waiters.insert(ticket, Waiter::Signal);
                self.feed(Event::Command {
                    ticket,
                    command: Command::Update {
                        config,
                        groups: Vec::new(),
                    },
                });
            }
            Err(faults) => {
                log::error!(
                    "nothing is changed, for {} cannot be used (errors: {})",
                    self.loader.path().display(),
                    faults.iter().filter(|fault| fault.error).count()
                );
                self.tell_not_updated();
            }
        }
    }

    /// Reads the file for an update, and makes ready what its programs are going to need.
    pub(super) fn load_for_update(&mut self) -> Result<Arc<Config>, Vec<wire::Diagnostic>> {
        let config = self.read_file()?;
        let directory = &config.daemon.childlogdir;
        if config.daemon.auto_logs
            && let Err(errno) = dirs::ensure_log_directory(directory)
        {
            log::error!(
                "can't create childlogdir {}: {}",
                directory.display(),
                errno.desc()
            );
        }
        if waits_for_reload(&self.started_with, &config.daemon) {
            log::warn!(
                "the daemon's own settings have changed in {}; `reload` makes them take effect",
                self.loader.path().display()
            );
        }
        Ok(config)
    }
}

/// Whether settings differ in anything that an update does not bring about.
fn waits_for_reload(active: &DaemonSettings, read: &DaemonSettings) -> bool {
    let mut updated = active.clone();
    // These are part of the programs' settings.
    updated.umask = read.umask;
    updated.strip_ansi = read.strip_ansi;
    updated.environment.clone_from(&read.environment);
    updated.env_files.clone_from(&read.env_files);
    updated.childlogdir.clone_from(&read.childlogdir);
    updated.auto_logs = read.auto_logs;
    // The engine takes these from what is active.
    updated.exit_when = read.exit_when;
    updated.shutdown_timeout = read.shutdown_timeout;
    updated != *read
}
