//! What the engine wants done.

use super::event::{Reply, SpawnFailure};
use super::exit_policy::Verdict;
use super::view::State;
use crate::config::model::ProcessSettings;
use crate::types::{ExitStatus, Generation, GroupName, Pid, ProcessKey, Signal, Ticket};
use std::sync::Arc;
use std::time::Duration;

/// One thing to do. The shell carries them out in order; each that can fail answers with an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make a process. Answered by `Spawned` or `SpawnFailed`, then `Executed` or `Exited`.
    Spawn {
        /// Whose.
        key: ProcessKey,
        /// Goes into every answer.
        generation: Generation,
        /// How.
        settings: Arc<ProcessSettings>,
    },
    /// Send a signal. Only ever names a process that is not reaped yet.
    Kill {
        /// Whose.
        key: ProcessKey,
        /// Leader of the process group.
        pid: Pid,
        /// The leader alone, or all.
        scope: Scope,
        /// The signal.
        signal: Signal,
    },
    /// Collect the status of an ended child and with it free its pid.
    Reap {
        /// Named by the last `Exited`.
        pid: Pid,
    },
    /// Find out whether a reaped leader's process group still has members; answered by `GroupProbed`.
    ProbeGroup {
        /// Whose.
        key: ProcessKey,
        /// Goes into the answer.
        generation: Generation,
        /// The process group: the pid its leader had.
        group: Pid,
    },
    /// Answer a command. Comes exactly once for each ticket, unless it was abandoned.
    Reply {
        /// Of the command.
        ticket: Ticket,
        /// The answer.
        reply: Reply,
    },
    /// Tell whoever listens that a process changed its state.
    Publish(StateChange),
    /// Write to the daemon's log.
    Log(Note),
    /// New limits for the logs of a process that goes on.
    Relimit {
        /// Its new settings.
        settings: Arc<ProcessSettings>,
    },
    /// A process is no longer configured and has ended: close its logs.
    Forget {
        /// Which.
        key: ProcessKey,
    },
    /// A group appeared or disappeared.
    PublishGroup {
        /// Which.
        group: GroupName,
        /// Appeared.
        added: bool,
    },
    /// End the daemon.
    Exit {
        /// Processes that survived everything; empty after a clean shutdown.
        left: Vec<ProcessKey>,
        /// Start anew in the same process instead of ending.
        reload: bool,
    },
}

/// Whom a signal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The process that was spawned.
    Leader,
    /// Everything in its process group.
    Group,
}

/// A step of one process from one state to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// Which process.
    pub key: ProcessKey,
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
    /// The process, where there is or was one.
    pub pid: Option<Pid>,
    /// For EXITED: whether that was expected.
    pub expected: Option<bool>,
    /// For STARTING and BACKOFF: failed attempts so far.
    pub tries: u32,
}

/// A line for the daemon's log, before it is worded.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// A process exists.
    Spawned {
        /// Whose.
        key: ProcessKey,
        /// The process.
        pid: Pid,
    },
    /// A process that a killed daemon left is taken over.
    Adopted {
        /// Whose.
        key: ProcessKey,
        /// The process.
        pid: Pid,
    },
    /// An attempt failed.
    SpawnFailed {
        /// Whose.
        key: ProcessKey,
        /// Why.
        failure: SpawnFailure,
    },
    /// It counts as started.
    Running {
        /// Which.
        key: ProcessKey,
        /// The time it had to stay up.
        startsecs: Duration,
    },
    /// It ended by itself.
    Exited {
        /// Which.
        key: ProcessKey,
        /// How.
        status: ExitStatus,
        /// Whether that was expected.
        expected: bool,
    },
    /// It ended because it was asked to.
    Stopped {
        /// Which.
        key: ProcessKey,
        /// How.
        status: ExitStatus,
        /// Whether the exit code is an expected one.
        expected: bool,
    },
    /// Too many failed attempts.
    GaveUp {
        /// Which.
        key: ProcessKey,
    },
    /// A stop or other signal is sent.
    Signalling {
        /// Which.
        key: ProcessKey,
        /// The process.
        pid: Pid,
        /// The signal.
        signal: Signal,
        /// Whom it reaches.
        scope: Scope,
    },
    /// It did not stop in time.
    Killing {
        /// Which.
        key: ProcessKey,
        /// The process.
        pid: Pid,
    },
    /// An operator's request waits for it to stop.
    WaitingToStop {
        /// Which.
        key: ProcessKey,
    },
    /// The shutdown waits for these.
    WaitingToDie {
        /// Which.
        keys: Vec<ProcessKey>,
    },
    /// A child that is none of ours was reaped.
    UnknownReaped {
        /// The child.
        pid: Pid,
        /// How it ended.
        status: ExitStatus,
    },
    /// Processes survived even KILL; the daemon goes on without waiting for them.
    NotKilled {
        /// Which.
        key: ProcessKey,
    },
    /// A group appeared.
    GroupAdded {
        /// Which.
        group: GroupName,
    },
    /// A group disappeared.
    GroupRemoved {
        /// Which.
        group: GroupName,
    },
    /// The daemon ends by itself, because of a program.
    EndsByRule {
        /// Which, and how.
        verdict: Verdict,
    },
    /// The shutdown has lasted as long as it may: everything is killed.
    OutOfTime,
    /// An invariant is broken: a defect of ours, contained to one process.
    Bug {
        /// What was found.
        detail: String,
    },
}
