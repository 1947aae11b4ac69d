//! `upgrade`: the daemon's image is replaced by what its executable is now, and no program notices.
//!
//! The process stays, and with it the children, whose ends are told to nobody else. What the daemon knows passes to the
//! new image as sealed memory ([`state`]), what it holds as open descriptors ([`give`], [`take`]).
//!
//! There is no way back from an execution that succeeded. So the new executable is asked before, twice: once while
//! everything goes on, with a copy of the state and ten seconds to answer; and once more, when everything stands still,
//! with the very bytes that it is going to get. It is opened once, and what was asked is what is executed, whatever its
//! name leads to by then. One that is garbage, refuses, crashes or hangs leaves everything as it is. Should the new image
//! fail all the same, it starts from the file like any daemon, and takes over the programs by the record of them.

mod check;
mod give;
mod state;
mod take;
#[cfg(test)]
mod tests;

pub use check::answer_check;
pub use take::{incoming, take_over};

use super::clients::ClientId;
use super::event_loop::Daemon;
use crate::config::model::{Config, DaemonSettings};
use crate::sys::handover::Program;
use crate::types::{ExitStatus, Monotonic, Pid};
use crate::wire::{Refusal, Response};
use check::Check;
use state::Asker;

/// An upgrade that is under way.
#[derive(Debug)]
pub struct Upgrade {
    askers: Vec<Asker>,
    /// What is going to be executed.
    program: Program,
    /// The question that is not answered yet.
    check: Option<Check>,
    /// The daemon's own settings from then on, for a reload.
    settings: Option<DaemonSettings>,
}

impl Daemon {
    /// A client asks for the executable as it is now.
    pub(super) fn ask_for_upgrade(&mut self, client: ClientId, request: u64, now: Monotonic) {
        let asker = Asker {
            client,
            request,
            reload: false,
        };
        self.begin_upgrade(asker, None, now);
    }

    /// A client asks for a reload that concerns the daemon alone.
    pub(super) fn ask_for_settings(
        &mut self,
        client: ClientId,
        request: u64,
        settings: DaemonSettings,
        now: Monotonic,
    ) {
        let asker = Asker {
            client,
            request,
            reload: true,
        };
        self.begin_upgrade(asker, Some(settings), now);
    }

    fn begin_upgrade(&mut self, asker: Asker, settings: Option<DaemonSettings>, now: Monotonic) {
        if self.engine.is_shutting_down() {
            let refusal = Response::Refused(Refusal::ShuttingDown);
            return self.reply(asker.client, asker.request, refusal, now);
        }
        if let Some(upgrade) = &mut self.upgrade {
            upgrade.askers.push(asker);
            upgrade.settings = settings.or(upgrade.settings.take());
            return;
        }
        let executable = self.executable.clone();
        let begun = self
            .can_be_handed_over()
            .and_then(|()| {
                Program::open(&executable)
                    .map_err(|errno| format!("{}: {}", executable.display(), errno.desc()))
            })
            .and_then(|program| {
                let check = self.begin_check(&program, now)?;
                Ok((program, check))
            });
        match begun {
            Ok((program, check)) => {
                log::info!("asking {} whether it can go on", executable.display());
                self.upgrade = Some(Upgrade {
                    askers: vec![asker],
                    program,
                    check: Some(check),
                    settings,
                });
            }
            Err(reason) => self.refuse_upgrade(vec![asker], &reason, now),
        }
    }

    /// A configuration that no file holds is not part of the state.
    pub(super) fn can_be_handed_over(&self) -> Result<(), String> {
        if self.loader.is_in_memory() {
            return Err(
                "the configuration was made from commands or a Procfile and is in memory alone, where a new image could \
                 not read it again; end this daemon and start it anew, or write a file and run `taskmaster daemon` to be \
                 able to upgrade it in place"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn refuse_upgrade(&mut self, askers: Vec<Asker>, reason: &str, now: Monotonic) {
        log::error!("not upgraded, and nothing changed: {reason}");
        for Asker {
            client, request, ..
        } in askers
        {
            let refusal = Refusal::NotUpgraded(reason.to_owned());
            self.reply(client, request, Response::Refused(refusal), now);
        }
    }

    /// The upgrade that is under way comes to nothing.
    pub(super) fn give_up_upgrade(&mut self, reason: &str, now: Monotonic) {
        if let Some(upgrade) = self.upgrade.take() {
            self.refuse_upgrade(upgrade.askers, reason, now);
        }
    }

    /// Whether everything is ready for the new image.
    pub(super) fn is_handover_due(&self) -> bool {
        self.upgrade
            .as_ref()
            .is_some_and(|upgrade| upgrade.check.is_none())
    }

    /// When the patience with the new executable is over.
    pub(super) fn upgrade_deadline(&self) -> Option<Monotonic> {
        Some(self.upgrade.as_ref()?.check.as_ref()?.deadline())
    }

    /// Ends a check that takes too long. Its end is told like that of every child.
    pub(super) fn tend_upgrade(&mut self, now: Monotonic) {
        if let Some(upgrade) = &mut self.upgrade
            && let Some(check) = &mut upgrade.check
            && check.deadline() <= now
        {
            check.kill(now);
        }
    }

    /// A child has ended. Says whether it was the check, which is dealt with then.
    pub(super) fn is_end_of_check(&mut self, pid: Pid, status: ExitStatus, now: Monotonic) -> bool {
        let check = self
            .upgrade
            .as_mut()
            .and_then(|it| it.check.take_if(|it| it.pid() == pid));
        let Some(check) = check else {
            return false;
        };
        if let Err(reason) = check.judge(status) {
            self.give_up_upgrade(&reason, now);
        }
        true
    }
}

/// Whether a file differs from what is active in the daemon's own settings, and in none that concerns programs or how
/// the daemon is found.
pub fn concerns_daemon_alone(
    started_with: &DaemonSettings,
    active: &Config,
    read: &Config,
) -> bool {
    let mut applied = started_with.clone();
    let new = &read.daemon;
    applied.logfile.clone_from(&new.logfile);
    applied.logfile_maxbytes = new.logfile_maxbytes;
    applied.logfile_backups = new.logfile_backups;
    applied.loglevel = new.loglevel;
    applied.pidfile.clone_from(&new.pidfile);
    applied.silent = new.silent;
    applied.log_to_stderr = new.log_to_stderr;
    applied.nocleanup = new.nocleanup;
    applied.identifier.clone_from(&new.identifier);
    applied.on_orphans = new.on_orphans;
    applied.exit_when = new.exit_when;
    applied.shutdown_timeout = new.shutdown_timeout;
    *started_with != *new && applied == *new && has_same_programs(active, read)
}

fn has_same_programs(active: &Config, read: &Config) -> bool {
    active.groups.len() == read.groups.len()
        && active.groups.iter().all(|(name, group)| {
            read.groups.get(name).is_some_and(|other| {
                group.priority == other.priority
                    && group.explicit == other.explicit
                    && group.kind == other.kind
                    && group.processes.len() == other.processes.len()
                    && group.processes.iter().all(|(name, settings)| {
                        other
                            .processes
                            .get(name)
                            .is_some_and(|other| !settings.differs_from(other))
                    })
            })
        })
}
