//! One process: what it is to be, what it is, and what it does about the difference.
//!
//! The data lives here, the decisions in [`states`] (one function for each state), the steps that several states share
//! in [`moves`] and [`stop`].

mod lives;
pub(super) mod memo;
mod moves;
mod recover;
mod states;
mod stop;
#[cfg(test)]
mod tests;

use super::event::{Outcome, SpawnFailure};
use super::outbox::Outbox;
use super::view::{ProcessView, State, StoryView, Trouble};
use crate::config::model::ProcessSettings;
use crate::engine::mutants::mutant;
use crate::types::{ExitStatus, Generation, Monotonic, Pid, ProcessKey};
use lives::Lives;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Time between two KILLs while the leader lives.
pub(super) const KILL_AGAIN: Duration = Duration::from_secs(5);
/// Time after the first KILL at which nobody waits any longer.
pub(super) const KILL_PATIENCE: Duration = Duration::from_mins(1);
/// Pause before the second look at what is left of a process group; doubles each time.
const PROBE_FIRST: Duration = Duration::from_millis(2);
/// Longest pause between two looks.
const PROBE_CAP: Duration = Duration::from_millis(100);
/// Time after which a process group that does not go away is left alone.
pub(super) const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// One process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Process {
    settings: Arc<ProcessSettings>,
    wanted: Wanted,
    current: Current,
    generation: Generation,
    since: Monotonic,
    started_at: Option<Monotonic>,
    stopped_at: Option<Monotonic>,
    /// When the last spawn was asked for.
    last_spawn: Option<Monotonic>,
    trouble: Option<Trouble>,
    last_exit: Option<ExitStatus>,
    lives: Lives,
    /// Failed attempts in a row that were the program's fault.
    failures: u32,
    /// Failed attempts in a row that were the machine's fault.
    shortages: u32,
    restarts: u64,
    /// Its process was taken over from a daemon that was killed.
    adopted: bool,
}

/// What a process is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// Up rather than down.
    pub up: bool,
    /// An operator said so, rather than `autostart`.
    pub by_operator: bool,
}

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Current {
    Stopped,
    Starting(Attempt),
    Running {
        pid: Pid,
    },
    Backoff {
        until: Monotonic,
    },
    Stopping {
        then: Then,
        phase: Phase,
    },
    Exited {
        expected: bool,
        /// When it is started again; `None` when it is not.
        next_attempt: Option<Monotonic>,
    },
    Fatal,
}

/// How far a start has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Attempt {
    /// The spawn is not answered yet.
    Asked,
    /// A process exists; its program is not known to run yet.
    Forked { pid: Pid },
    /// Its program runs.
    Executed { pid: Pid, at: Monotonic },
}

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// The spawn is not answered yet: whatever it makes is told to end at once.
    Unborn { hurry: bool },
    /// The stop signal was sent.
    Asked { leader: Leader, kill_at: Monotonic },
    /// KILL was sent.
    Killed {
        leader: Leader,
        again_at: Monotonic,
        /// When nobody waits any longer; `None` when that has been told.
        give_up_at: Option<Monotonic>,
    },
    /// The leader is reaped; the rest of its process group has been sent KILL and must go away.
    Remains {
        /// The process group: the pid that the leader had.
        group: Pid,
        /// When to look again; `None` while an answer is awaited.
        look_at: Option<Monotonic>,
        /// The pause after the next look.
        pause: Duration,
        /// When to leave it alone.
        until: Monotonic,
    },
}

/// A process that is not reaped, so that its pid is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Leader {
    pid: Pid,
    /// Whether its program is known to run. Before that, its process group may not exist yet.
    executed: bool,
}

/// What follows a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Then {
    /// It stays stopped.
    Rest,
    /// It is started.
    Start,
    /// It is no longer configured.
    Forget,
}

/// What can happen to a process. Events of an earlier generation do not get this far.
#[derive(Debug, Clone)]
pub(super) enum Input {
    /// It is to be up.
    Start,
    /// It is to end whatever it does.
    End(End),
    /// The daemon shuts down: nothing is started any more. What is up stays up until it is told to end.
    Withdraw,
    /// No patience is left: what has been told to end is killed now.
    Hurry,
    /// The spawn made a process.
    Spawned(Pid),
    /// The process runs its program.
    Executed,
    /// The spawn made no process.
    SpawnFailed(SpawnFailure),
    /// The leader has ended and is not reaped.
    Exited {
        status: ExitStatus,
        failure: Option<SpawnFailure>,
    },
    /// Whether the process group of the reaped leader still has members.
    Probed { alive: bool },
    /// Its deadline may have passed.
    Due,
}

/// How a process is to end.
#[derive(Debug, Clone)]
pub(super) struct End {
    /// What follows.
    pub then: Then,
    /// KILL without waiting.
    pub hurry: bool,
    /// New settings. Whatever runs is stopped as the old ones say.
    pub settings: Option<Arc<ProcessSettings>>,
}

/// What a process says to an operator's input at once.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Answer {
    /// About its stop.
    pub stop: Option<Verdict>,
    /// About its start.
    pub start: Option<Verdict>,
}

/// Whether an outcome is known yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// It is this.
    Now(Outcome),
    /// A happening will tell.
    Later,
    /// A happening will tell; the stop signal has been sent.
    Signalled,
}

impl Answer {
    fn start(verdict: Verdict) -> Self {
        Self {
            stop: None,
            start: Some(verdict),
        }
    }
}

impl Process {
    /// A process that was never started.
    pub fn new(now: Monotonic, settings: Arc<ProcessSettings>, generation: Generation) -> Self {
        Self {
            settings,
            wanted: Wanted {
                up: false,
                by_operator: false,
            },
            current: Current::Stopped,
            generation,
            since: now,
            started_at: None,
            stopped_at: None,
            last_spawn: None,
            trouble: None,
            last_exit: None,
            lives: Lives::default(),
            failures: 0,
            shortages: 0,
            restarts: 0,
            adopted: false,
        }
    }

    /// Its name.
    pub fn key(&self) -> &ProcessKey {
        &self.settings.key
    }

    /// Its settings.
    pub fn settings(&self) -> &Arc<ProcessSettings> {
        &self.settings
    }

    /// Takes new settings that need no restart.
    pub fn adjust(&mut self, settings: Arc<ProcessSettings>) {
        self.settings = settings;
    }

    /// What it is to be.
    pub fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// Records what it is to be, before anything is done about it.
    pub fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    /// Whether a spawn was ever asked for.
    pub fn was_spawned(&self) -> bool {
        self.last_spawn.is_some()
    }

    /// Rises with each of its spawns.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Its state as users see it.
    pub fn state(&self) -> State {
        match self.current {
            Current::Stopped => State::Stopped,
            Current::Starting(_) => State::Starting,
            Current::Running { .. } => State::Running,
            Current::Backoff { .. } => State::Backoff,
            Current::Stopping { .. } => State::Stopping,
            Current::Exited { .. } => State::Exited,
            Current::Fatal => State::Fatal,
        }
    }

    /// Its process, from the answer to the spawn until it is reaped.
    pub fn pid(&self) -> Option<Pid> {
        match self.current {
            Current::Starting(Attempt::Forked { pid } | Attempt::Executed { pid, .. })
            | Current::Running { pid } => Some(pid),
            Current::Stopping {
                phase: Phase::Asked { leader, .. } | Phase::Killed { leader, .. },
                ..
            } => Some(leader.pid),
            Current::Stopping {
                phase: Phase::Unborn { .. } | Phase::Remains { .. },
                ..
            }
            | Current::Starting(Attempt::Asked)
            | Current::Stopped
            | Current::Backoff { .. }
            | Current::Exited { .. }
            | Current::Fatal => None,
        }
    }

    /// The process group whose leader is reaped and whose members must go away.
    pub fn remains(&self) -> Option<Pid> {
        match self.current {
            Current::Stopping {
                phase: Phase::Remains { group, .. },
                ..
            } => Some(group),
            Current::Stopping { .. }
            | Current::Starting(_)
            | Current::Running { .. }
            | Current::Stopped
            | Current::Backoff { .. }
            | Current::Exited { .. }
            | Current::Fatal => None,
        }
    }

    /// Whether something of it lives, or may yet be born.
    pub fn is_live(&self) -> bool {
        matches!(
            self.state(),
            State::Starting | State::Running | State::Stopping
        )
    }

    /// Whether it is on its way down, to be started again from there.
    pub fn starts_again(&self) -> bool {
        matches!(
            self.current,
            Current::Stopping {
                then: Then::Start,
                ..
            }
        )
    }

    /// Whether it counts as up: something of it lives, or another attempt is due.
    pub fn is_up(&self) -> bool {
        self.is_live() || self.state() == State::Backoff
    }

    /// When it wants to be stepped again without any other cause.
    pub fn deadline(&self) -> Option<Monotonic> {
        match self.current {
            Current::Starting(Attempt::Executed { at, .. }) => {
                Some(at.after(self.settings.policy.startsecs))
            }
            Current::Backoff { until } => {
                Some(mutant!(RetryIsOverslept, until, until.after(KILL_AGAIN)))
            }
            Current::Exited { next_attempt, .. } => next_attempt,
            Current::Stopping { phase, .. } => match phase {
                Phase::Unborn { .. } => None,
                Phase::Asked { kill_at, .. } => mutant!(KillIsForgotten, Some(kill_at), None),
                Phase::Killed {
                    again_at,
                    give_up_at,
                    ..
                } => Some(give_up_at.map_or(again_at, |at| at.min(again_at))),
                Phase::Remains { look_at, until, .. } => {
                    Some(look_at.map_or(until, |at| at.min(until)))
                }
            },
            Current::Starting(Attempt::Asked | Attempt::Forked { .. })
            | Current::Stopped
            | Current::Running { .. }
            | Current::Fatal => None,
        }
    }

    /// What the shell may know of it.
    pub fn view(&self) -> ProcessView {
        ProcessView {
            key: self.settings.key.clone(),
            settings: Arc::clone(&self.settings),
            state: self.state(),
            pid: self.pid(),
            generation: self.generation,
            since: self.since,
            started_at: self.started_at,
            stopped_at: self.stopped_at,
            trouble: self.trouble.clone(),
            last_exit: self.last_exit,
            failures: self.failures,
            next_attempt: match self.current {
                Current::Backoff { until } => Some(until),
                Current::Exited { next_attempt, .. } => next_attempt,
                Current::Stopped
                | Current::Starting(_)
                | Current::Running { .. }
                | Current::Stopping { .. }
                | Current::Fatal => None,
            },
            restarts: self.restarts,
            adopted: self.adopted,
        }
    }

    /// What the shell may know of its past.
    pub fn story(&self) -> StoryView {
        StoryView {
            process: self.view(),
            wanted_up: self.wanted.up,
            by_operator: self.wanted.by_operator,
            lives: self.lives.last(),
            ended: self.lives.count(),
        }
    }

    /// Lets something happen to it.
    ///
    /// An event is judged by its own time: a process that has been up for `startsecs` counts as started before anything
    /// else happens to it, even if nobody has looked since.
    pub fn step(&mut self, now: Monotonic, input: Input, out: &mut Outbox) -> Answer {
        if mutant!(
            ExitOverlooksStartsecs,
            true,
            !matches!(input, Input::Exited { .. })
        ) {
            self.count_as_started(now, out);
        }
        match self.current {
            Current::Stopped => self.on_stopped(now, input, out),
            Current::Starting(attempt) => self.on_starting(now, attempt, input, out),
            Current::Running { pid } => self.on_running(now, pid, input, out),
            Current::Backoff { until } => self.on_backoff(now, until, input, out),
            Current::Stopping { then, phase } => self.on_stopping(now, then, phase, input, out),
            Current::Exited { next_attempt, .. } => self.on_exited(now, next_attempt, input, out),
            Current::Fatal => self.on_fatal(now, input, out),
        }
    }
}
