//! What a service manager such as systemd is told: that the daemon serves, applies its file anew, or ends.
//!
//! A manager that listens names a socket in the environment ([`notify::VARIABLE`]); without that nothing is sent. The
//! new image of a `reload` finds the same variable and says itself when it serves; programs never get it. A message that
//! cannot be sent is logged and forgotten: the daemon does its work whoever watches.

use super::event_loop::Daemon;
use super::logging::escape_controls;
use crate::sys::clock;
use crate::sys::notify::{self, NotifySocket};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the daemon does, as far as a manager cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Does not serve yet.
    Starting,
    /// Serves.
    Serving,
    /// Applies the file, because a signal asked for it; its end is awaited.
    Updating,
    /// Stops everything to start anew.
    Reloading,
    /// Stops everything to end.
    Stopping,
}

impl Phase {
    /// Whether a manager is told that it is followed by `next`. A shutdown is never left.
    fn gives_way_to(self, next: Self) -> bool {
        match self {
            Self::Starting | Self::Serving | Self::Updating => self != next,
            Self::Reloading => next == Self::Stopping,
            Self::Stopping => false,
        }
    }

    /// The lines for it, but for the status.
    fn lines(self, monotonic: Duration) -> String {
        match self {
            Self::Starting => String::new(),
            Self::Serving => "READY=1\n".to_owned(),
            Self::Updating | Self::Reloading => {
                format!("RELOADING=1\nMONOTONIC_USEC={}\n", monotonic.as_micros())
            }
            Self::Stopping => "STOPPING=1\n".to_owned(),
        }
    }
}

/// The daemon's side of it.
#[derive(Debug)]
pub struct Manager {
    socket: Option<NotifySocket>,
    phase: Phase,
}

impl Manager {
    /// Finds out whether a manager listens.
    pub fn from_environment() -> Self {
        let socket = std::env::var_os(notify::VARIABLE)
            .filter(|name| !name.is_empty())
            .and_then(|name| match NotifySocket::open(&name) {
                Ok(socket) => Some(socket),
                Err(errno) => {
                    log::warn!(
                        "can't tell the service manager anything, for {}={} cannot be used: {}",
                        notify::VARIABLE,
                        name.display(),
                        errno.desc()
                    );
                    None
                }
            });
        Self {
            socket,
            phase: Phase::Starting,
        }
    }

    /// What was told last.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Goes on where another image was.
    pub fn resume(phase: Phase) -> Self {
        Self {
            phase,
            ..Self::from_environment()
        }
    }

    fn enter(&mut self, next: Phase, status: &str, more: &str) {
        if !self.phase.gives_way_to(next) {
            return;
        }
        self.phase = next;
        let Some(socket) = &self.socket else {
            return;
        };
        let lines = next.lines(Duration::from_nanos(clock::now().as_nanos()));
        let message = format!("{lines}{more}STATUS={}", escape_controls(status));
        if let Err(errno) = socket.send(&message) {
            log::warn!("can't tell the service manager: {}", errno.desc());
        }
    }
}

impl Daemon {
    /// The daemon serves. In the background its pid is news to the manager, which started another process.
    pub(super) fn tell_ready(&mut self, in_background: bool) {
        let more = if in_background {
            format!("MAINPID={}\n", std::process::id())
        } else {
            String::new()
        };
        let status = self.service();
        self.manager.enter(Phase::Serving, &status, &more);
    }

    /// An update that a signal asked for begins.
    pub(super) fn tell_updating(&mut self) {
        let status = format!("applying {}", self.loader.path().display());
        self.manager.enter(Phase::Updating, &status, "");
    }

    /// An update that a signal asked for is over.
    pub(super) fn tell_updated(&mut self) {
        if self.engine.is_shutting_down() {
            return;
        }
        let status = self.service();
        self.manager.enter(Phase::Serving, &status, "");
    }

    /// An update that a signal asked for was refused, because the file has faults.
    pub(super) fn tell_not_updated(&mut self) {
        let status = format!(
            "{}; faults in {} kept the last update from changing anything",
            self.service(),
            self.loader.path().display()
        );
        self.manager.enter(Phase::Serving, &status, "");
    }

    /// Says so when a shutdown or a reload has begun.
    pub(super) fn tell_closing(&mut self) {
        if self.engine.is_reloading() {
            self.manager
                .enter(Phase::Reloading, "stopping programs, to start anew", "");
        } else if self.engine.is_shutting_down() {
            self.manager
                .enter(Phase::Stopping, "stopping programs, to end", "");
        }
    }

    fn service(&self) -> String {
        let count = self.engine.processes().count();
        let plural = if count == 1 { "" } else { "es" };
        format!(
            "serving {count} process{plural} on {}",
            self.started_with.socket.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shutdown_is_told_once_and_never_taken_back() {
        use Phase::{Reloading, Serving, Starting, Stopping, Updating};
        let all = [Starting, Serving, Updating, Reloading, Stopping];
        let told = |phase: Phase| all.map(|next| phase.gives_way_to(next));
        assert_eq!(told(Serving), [true, false, true, true, true]);
        assert_eq!(told(Updating), [true, true, false, true, true]);
        assert_eq!(told(Reloading), [false, false, false, false, true]);
        assert_eq!(told(Stopping), [false; 5]);
    }

    #[test]
    fn the_time_of_a_reload_is_told_in_microseconds() {
        assert_eq!(
            Phase::Updating.lines(Duration::from_nanos(1_234_567_890)),
            "RELOADING=1\nMONOTONIC_USEC=1234567\n"
        );
    }
}
