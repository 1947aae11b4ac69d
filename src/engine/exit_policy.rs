//! When the daemon ends by itself: `exit_when`, for containers, whose life is that of their programs.
//!
//! A program has failed when it is FATAL, or EXITED unexpectedly and is not started again. It has ended when it has
//! failed, or is EXITED and is not started again. A program that an operator stopped has done neither. Only the end of
//! a program is a cause: a daemon in which nothing was ever started stays.
//!
//! A program is essential when it says so; where none does, all are. What ends the daemon is a [`Verdict`]: which
//! program, how it ended, and the exit status that tells the outer world. A failure is never told as 0.

use super::Engine;
use super::action::{Action, Note};
use super::outbox::Outbox;
use super::process::Process;
use super::view::{ProcessView, State, Trouble};
use super::{SpawnFailure, SpawnStep};
use crate::config::model::ExitWhen;
use crate::engine::mutants::mutant;
use crate::types::{ExitStatus, Monotonic, ProcessKey};
use serde::{Deserialize, Serialize};

/// Exit status for a program that cannot be found, as shells have it.
const NOT_FOUND: u8 = 127;
/// Exit status for a program that cannot be executed, as shells have it.
const NOT_EXECUTABLE: u8 = 126;
/// Exit status for a failure that has no status of its own.
const FAILED: u8 = 1;
/// What is added to the number of a signal, as shells have it.
const SIGNAL_BASE: i32 = 128;

/// Why the daemon ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The program that decided.
    pub key: ProcessKey,
    /// Its state.
    pub state: State,
    /// How its last process ended; `None` when it had none.
    pub last_exit: Option<ExitStatus>,
    /// Why its last attempt did not come to a program.
    pub failure: Option<SpawnFailure>,
    /// The rule that was met.
    pub rule: ExitWhen,
    /// The exit status that the daemon is to have.
    pub status: u8,
}

/// How a program that is not started again has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// As expected.
    Done,
    /// FATAL, or unexpectedly.
    Failed,
}

impl Engine {
    /// Why the daemon ends by itself, once it does.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// Begins the shutdown when what happened in this step meets `exit_when`.
    pub(super) fn judge_exit(&mut self, now: Monotonic, out: &mut Outbox) {
        let exit_when = self.config.daemon.exit_when;
        let rule = mutant!(ExitRuleIsIgnored, exit_when, ExitWhen::Never);
        if rule == ExitWhen::Never || self.closing.is_some() {
            return;
        }
        let ended: Vec<ProcessKey> = out.actions.iter().filter_map(has_ended).collect();
        let Some(verdict) = ended.iter().find_map(|key| self.meets(rule, key)) else {
            return;
        };
        out.log(Note::EndsByRule {
            verdict: verdict.clone(),
        });
        self.verdict = Some(verdict);
        self.shut_down(now, false, out);
    }

    /// Whether the end of this program meets the rule.
    fn meets(&self, rule: ExitWhen, key: &ProcessKey) -> Option<Verdict> {
        let process = self.table.get(key)?;
        let fate = fate(process)?;
        let decided = match rule {
            ExitWhen::Never => return None,
            ExitWhen::EssentialFailed => {
                (fate == Fate::Failed && self.is_essential(process)).then_some((process, fate))
            }
            ExitWhen::EssentialExited => self.is_essential(process).then_some((process, fate)),
            ExitWhen::AllExited => self.when_all_have_ended(process, fate),
        };
        let (process, fate) = decided?;
        let view = process.view();
        Some(Verdict {
            key: view.key.clone(),
            state: view.state,
            last_exit: view.last_exit,
            failure: match &view.trouble {
                Some(Trouble::Spawn(failure)) => Some(failure.clone()),
                Some(_) | None => None,
            },
            rule,
            status: status(&view, fate),
        })
    }

    /// The program that speaks for all, when none lives or will: one that failed, else the last one.
    fn when_all_have_ended<'p>(
        &'p self,
        last: &'p Process,
        fate_of_last: Fate,
    ) -> Option<(&'p Process, Fate)> {
        if self.table.processes().any(is_pending) {
            return None;
        }
        let failed = self
            .table
            .processes()
            .find(|process| self.is_essential(process) && fate(process) == Some(Fate::Failed));
        Some(failed.map_or((last, fate_of_last), |process| (process, Fate::Failed)))
    }

    fn is_essential(&self, process: &Process) -> bool {
        mutant!(
            EssentialIsMisread,
            process.settings().policy.essential,
            true
        ) || !self
            .table
            .processes()
            .any(|process| process.settings().policy.essential)
    }
}

/// The process that an action says has come to an end of its own.
fn has_ended(action: &Action) -> Option<ProcessKey> {
    match action {
        Action::Publish(change) if matches!(change.to, State::Exited | State::Fatal) => {
            Some(change.key.clone())
        }
        Action::Publish(_)
        | Action::Spawn { .. }
        | Action::Kill { .. }
        | Action::Reap { .. }
        | Action::ProbeGroup { .. }
        | Action::Reply { .. }
        | Action::Log(_)
        | Action::Relimit { .. }
        | Action::Forget { .. }
        | Action::PublishGroup { .. }
        | Action::Exit { .. } => None,
    }
}

/// How a program has ended; `None` while it lives, will be started again, or was stopped.
fn fate(process: &Process) -> Option<Fate> {
    match process.state() {
        State::Fatal => Some(Fate::Failed),
        State::Exited if process.deadline().is_none() => {
            let unexpected = matches!(process.view().trouble, Some(Trouble::UnexpectedExit(_)));
            Some(if unexpected { Fate::Failed } else { Fate::Done })
        }
        State::Exited
        | State::Stopped
        | State::Starting
        | State::Running
        | State::Backoff
        | State::Stopping
        | State::Unknown => None,
    }
}

/// Whether something of the program lives or is due to be started.
fn is_pending(process: &Process) -> bool {
    process.is_live() || process.deadline().is_some()
}

fn status(view: &ProcessView, fate: Fate) -> u8 {
    let own = match (&view.trouble, view.last_exit) {
        (Some(Trouble::Spawn(failure)), _) => of_failed_spawn(failure),
        (_, Some(ExitStatus::Code(code))) => code,
        (_, Some(ExitStatus::Signaled { signal, .. })) => {
            u8::try_from(SIGNAL_BASE + signal.number()).unwrap_or(FAILED)
        }
        (_, None | Some(ExitStatus::Unknown)) => FAILED,
    };
    match fate {
        // Its exit code is among the expected ones, so it stands for success, whatever the number.
        Fate::Done => own,
        Fate::Failed => own.max(FAILED),
    }
}

fn of_failed_spawn(failure: &SpawnFailure) -> u8 {
    match failure.step {
        SpawnStep::Lookup => NOT_FOUND,
        SpawnStep::Exec if failure.errno == nix::errno::Errno::ENOENT as i32 => NOT_FOUND,
        SpawnStep::Exec => NOT_EXECUTABLE,
        SpawnStep::Environment
        | SpawnStep::Socket
        | SpawnStep::Pipe
        | SpawnStep::Fork
        | SpawnStep::Session
        | SpawnStep::Descriptors
        | SpawnStep::Limits
        | SpawnStep::Groups
        | SpawnStep::GroupId
        | SpawnStep::UserId
        | SpawnStep::Directory
        | SpawnStep::Orphan => FAILED,
    }
}
