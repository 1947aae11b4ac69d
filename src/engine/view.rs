//! A read-only view of a process, for status and for decisions of the shell.

use super::event::SpawnFailure;
use crate::config::model::ProcessSettings;
use crate::types::{ExitStatus, Generation, Monotonic, Pid, ProcessKey, ProgramName};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The state of a process as users see it, with Supervisor's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// Not started, or stopped on request.
    Stopped = 0,
    /// Up, but not yet for `startsecs`.
    Starting = 10,
    /// Up.
    Running = 20,
    /// Failed to start; another attempt will follow.
    Backoff = 30,
    /// Asked to stop, not yet gone.
    Stopping = 40,
    /// Ended by itself.
    Exited = 100,
    /// Failed to start too often.
    Fatal = 200,
    /// A defect of ours.
    Unknown = 1000,
}

/// One process at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessView {
    /// Which.
    pub key: ProcessKey,
    /// Its settings.
    pub settings: Arc<ProcessSettings>,
    /// Its state.
    pub state: State,
    /// Its process, if there is one.
    pub pid: Option<Pid>,
    /// Counts its spawns.
    pub generation: Generation,
    /// When it entered the state.
    pub since: Monotonic,
    /// When it was last spawned.
    pub started_at: Option<Monotonic>,
    /// When it last ended.
    pub stopped_at: Option<Monotonic>,
    /// Why the last attempt failed.
    pub trouble: Option<Trouble>,
    /// How it last ended.
    pub last_exit: Option<ExitStatus>,
    /// Failed attempts in a row.
    pub failures: u32,
    /// When the next attempt or restart is due.
    pub next_attempt: Option<Monotonic>,
    /// Times it was started again by itself, after it had run, since the daemon started.
    pub restarts: u64,
    /// Whether its process was taken over from a daemon that was killed.
    pub adopted: bool,
}

/// One process and what led to its state.
#[derive(Debug, Clone, PartialEq)]
pub struct StoryView {
    /// As it is.
    pub process: ProcessView,
    /// Whether it is to be up.
    pub wanted_up: bool,
    /// Whether an operator said so, rather than `autostart`.
    pub by_operator: bool,
    /// How its last lives ended, the oldest first.
    pub lives: Vec<LifeView>,
    /// How many lives have ended since the daemon started.
    pub ended: u64,
}

/// A life of a program, from its spawn to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeView {
    /// When it was spawned.
    pub started_at: Monotonic,
    /// When it ended.
    pub ended_at: Monotonic,
    /// How it ended.
    pub status: ExitStatus,
    /// Whether it was told to end.
    pub asked: bool,
    /// Whether its status was among the expected ones.
    pub expected: bool,
}

/// One process of the last configuration that was read, active or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvailView {
    /// Which.
    pub key: ProcessKey,
    /// The program it is a copy of.
    pub program: ProgramName,
    /// Whether its group is active.
    pub in_use: bool,
    /// Whether it starts by itself.
    pub autostart: bool,
    /// Rank of its group.
    pub group_priority: i32,
    /// Its rank within the group.
    pub process_priority: i32,
}

/// What a FATAL, BACKOFF or unexpectedly EXITED process suffers from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Trouble {
    /// A step before its program failed.
    Spawn(SpawnFailure),
    /// It ended before `startsecs`.
    ExitedTooQuickly(ExitStatus),
    /// It ended with a code that is not expected, or by a signal.
    UnexpectedExit(ExitStatus),
}
