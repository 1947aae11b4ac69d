//! What can happen to the engine.

use super::process::memo::Memo;
use crate::config::model::Config;
use crate::types::{ExitStatus, Generation, GroupName, Monotonic, Pid, ProcessKey, Signal, Ticket};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One thing that happened. The shell makes these; the engine has no other input.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// What is known of processes from a daemon that was killed. Comes instead of [`Event::Boot`], or before it: nothing
    /// is judged before everything is known and has started.
    Recover {
        /// One for each process of which anything is known.
        found: Vec<Found>,
    },
    /// The daemon serves: start what is to start by itself.
    Boot,
    /// A deadline may have passed.
    Tick,
    /// An [`Action::Spawn`](super::Action::Spawn) made a process; it has not executed its program yet.
    Spawned {
        /// Whose.
        key: ProcessKey,
        /// Of the action.
        generation: Generation,
        /// The new process, leader of a session and process group of its own.
        pid: Pid,
    },
    /// The process has executed its program.
    Executed {
        /// Whose.
        key: ProcessKey,
        /// Of the action.
        generation: Generation,
    },
    /// An [`Action::Spawn`](super::Action::Spawn) made no process.
    SpawnFailed {
        /// Whose.
        key: ProcessKey,
        /// Of the action.
        generation: Generation,
        /// Why.
        failure: SpawnFailure,
    },
    /// A child has ended and is not reaped yet, so its pid still belongs to it.
    Exited {
        /// The child; perhaps none of ours (an orphan handed to process 1).
        pid: Pid,
        /// How it ended.
        status: ExitStatus,
        /// Set when it ended because a step before its program failed.
        failure: Option<SpawnFailure>,
    },
    /// Answer to [`Action::ProbeGroup`](super::Action::ProbeGroup).
    GroupProbed {
        /// Whose group.
        key: ProcessKey,
        /// Of the action.
        generation: Generation,
        /// Whether the process group still has a member.
        alive: bool,
    },
    /// A client asks for something.
    Command {
        /// Identifies the reply.
        ticket: Ticket,
        /// What.
        command: Command,
    },
    /// Nobody waits for this ticket any more. What was asked for still happens.
    Abandoned {
        /// Of the command.
        ticket: Ticket,
    },
    /// Event listeners have heard of everything that there is to hear of, as the shutdown waits for
    /// ([`Engine::waits_for_listeners`](super::Engine::waits_for_listeners)).
    ListenersHeard,
    /// A signal asks the daemon to shut down; a second one hurries.
    Terminate,
}

/// What is known of one process from a daemon that was killed.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which.
    pub key: ProcessKey,
    /// What that daemon wrote down about it last.
    pub memo: Option<Memo>,
    /// The generation of the last process that is known to have been made for it.
    pub born: Option<Generation>,
    /// That process, if it lives and is to be taken over.
    pub survivor: Option<Survivor>,
    /// Whether the survivor was started with settings that have changed since.
    pub outdated: bool,
}

/// A process that outlived its daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survivor {
    /// The process; nobody but the kernel reaps it.
    pub pid: Pid,
    /// When it was spawned.
    pub started_at: Monotonic,
}
/// Processes whose program is known not to run, with the failure that a start of it would have.
pub type Unrunnable = BTreeMap<ProcessKey, SpawnFailure>;

/// What clients and signals can ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Start processes.
    Start {
        /// Which, as the user wrote them.
        targets: Vec<String>,
        /// Answer when the outcome is known, not when the process exists.
        wait: bool,
        /// Processes that are not even tried, and why.
        unrunnable: Unrunnable,
    },
    /// Stop processes.
    Stop {
        /// Which, as the user wrote them.
        targets: Vec<String>,
        /// Answer when they are gone, not when they were asked to go.
        wait: bool,
    },
    /// Stop processes, then start them.
    Restart {
        /// Which, as the user wrote them.
        targets: Vec<String>,
        /// Answer when the outcome is known.
        wait: bool,
        /// Processes that are stopped and not even tried, and why.
        unrunnable: Unrunnable,
    },
    /// Send a signal to processes.
    Signal {
        /// Which, as the user wrote them.
        targets: Vec<String>,
        /// The signal.
        signal: Signal,
    },
    /// Compare a freshly read file with what is active, change nothing, remember it for `add`.
    Reread {
        /// The file's content.
        config: Arc<Config>,
    },
    /// Make a freshly read file the active one.
    Update {
        /// The file's content.
        config: Arc<Config>,
        /// Only these groups; empty for all.
        groups: Vec<String>,
    },
    /// Activate groups of the last file read.
    Add {
        /// Which.
        groups: Vec<String>,
    },
    /// Deactivate groups that have no running process.
    Remove {
        /// Which.
        groups: Vec<String>,
    },
    /// Stop everything, in order, and end.
    Shutdown,
    /// Stop everything, in order, and start anew in the same process.
    Reload,
}

/// Why a process could not be started, and at which step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnFailure {
    /// The step that failed.
    pub step: SpawnStep,
    /// What the step worked on: a path, a user, a limit. Empty where it says nothing.
    pub subject: String,
    /// The error number of the kernel; 0 where no system call failed.
    pub errno: i32,
}

impl SpawnFailure {
    /// Whether the machine, not the program, is at fault: such a failure costs no retry.
    pub fn is_resource_shortage(&self) -> bool {
        // Numbers of Linux: ENOMEM, EAGAIN, ENFILE, EMFILE, ETXTBSY. The engine must not depend on the C library.
        matches!(self.errno, 12 | 11 | 23 | 24 | 26)
    }
}

/// Steps of a start, in the order in which they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SpawnStep {
    /// Reading the files of variables. The subject says what is wrong where no system call failed.
    Environment,
    /// Looking for the program along `PATH`.
    Lookup,
    /// Listening on its socket.
    Socket,
    /// Making the pipes.
    Pipe,
    /// Making the process.
    Fork,
    /// Starting a session.
    Session,
    /// Putting the descriptors in place.
    Descriptors,
    /// Setting resource limits.
    Limits,
    /// Setting the supplementary groups.
    Groups,
    /// Setting the group id.
    GroupId,
    /// Setting the user id.
    UserId,
    /// Changing the working directory.
    Directory,
    /// Executing the program.
    Exec,
    /// Seeing to it that no process of an earlier daemon runs beside it.
    Orphan,
}

/// A group that `update` or `reread` speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupChange {
    /// The group.
    pub group: GroupName,
    /// Whether it appeared, changed or disappeared.
    pub kind: GroupChangeKind,
    /// Whether a process of it had to be stopped.
    pub stopped: bool,
}

/// What happened, or would happen, to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GroupChangeKind {
    /// No longer in the file.
    Removed,
    /// In both, with differences.
    Changed,
    /// Only in the file.
    Added,
}

/// Answer to a command. Data; the console words it.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// One result for each target, in the order in which they were asked for.
    Results(Vec<TargetResult>),
    /// The stops of a restart, then its starts.
    Restarted {
        /// Results of the first half.
        stops: Vec<TargetResult>,
        /// Results of the second half.
        starts: Vec<TargetResult>,
    },
    /// Differences between file and daemon.
    Changes(Vec<GroupChange>),
    /// `update` named a group that is neither active nor in the file.
    UnknownGroup(String),
    /// One result for each group.
    Groups(Vec<(String, GroupOutcome)>),
    /// Accepted; what follows takes its time.
    Accepted,
    /// Refused: the daemon is shutting down.
    ShuttingDown,
}

/// What became of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetResult {
    /// The process, or the target as given when there is no such process.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a request for one process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It runs (or, without waiting, its process was asked for).
    Started,
    /// It is stopped (or, without waiting, asked to).
    Stopped,
    /// The signal was sent.
    Signalled,
    /// Nothing to do: it is up.
    AlreadyStarted,
    /// Nothing to do: it is down.
    NotRunning,
    /// There is no such process.
    NoSuchProcess,
    /// There is no such group.
    NoSuchGroup,
    /// The attempt failed before or within its program.
    SpawnFailed(SpawnFailure),
    /// It ended before it counted as started.
    ExitedTooQuickly(ExitStatus),
    /// It was stopped, or ended, while the request waited.
    AbnormalTermination,
    /// Members of its process group survived even KILL.
    NotKilled,
    /// The signal could not be delivered.
    SignalFailed,
}

/// What became of `add` or `remove` for one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupOutcome {
    /// Active now.
    Added,
    /// No longer active.
    Removed,
    /// It was active before.
    AlreadyAdded,
    /// A process of it runs.
    StillRunning,
    /// Neither active nor in the file.
    NoSuchGroup,
}
