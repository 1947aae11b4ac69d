//! What the daemon answers: data, never sentences.
//!
//! The only wording here is `Display` of [`Failure`], [`Trouble`] and [`ExitStatus`], because the daemon's log and the
//! console must use the same words for them.

use super::environment::EnvironmentReply;
use super::listener::ListenerStatus;
use super::plan::Plan;
use super::story::Story;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// To `Status`.
    Status(StatusReply),
    /// To `Start`, `Stop`, `Signal`, `Clear`, `Input`: one for each process, in the order asked for.
    Results(Vec<NamedResult>),
    /// To `Restart`.
    Restarted {
        /// Results of the stops.
        stops: Vec<NamedResult>,
        /// Results of the starts.
        starts: Vec<NamedResult>,
    },
    /// To `Pid` with targets.
    Pids(Vec<PidRow>),
    /// To `Pid` without targets.
    DaemonPid(u32),
    /// To `Tail` and `MainTail`.
    Log(LogChunk),
    /// To `Why`.
    Story(Box<Story>),
    /// To `Environment`.
    Environment(Box<EnvironmentReply>),
    /// To `Avail`.
    Avail(Vec<AvailRow>),
    /// To `Reread` and `Update`: in the order removed, changed, added, each sorted by name.
    Changes(Vec<Change>),
    /// To `Add` and `Remove`.
    Groups(Vec<GroupResult>),
    /// To `Reload`, `Shutdown`, `Remote`, `Unsubscribe`.
    Accepted,
    /// To `Version`.
    Version(String),
    /// To `Upgrade`, by the new image.
    Upgraded {
        /// Version of the old image.
        from: String,
        /// Version of the new one.
        to: String,
    },
    /// To `Subscribe`.
    Subscribed,
    /// To `Plan`.
    Plan(Plan),
    /// The request was understood and not carried out.
    Refused(Refusal),
}

/// Why a request as a whole was not carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Refusal {
    /// The daemon is shutting down.
    ShuttingDown,
    /// The file has errors. Nothing was changed.
    BadConfig(Vec<Diagnostic>),
    /// `update` named a group that is neither active nor in the file.
    NoSuchGroup(String),
    /// No signal is called that.
    BadSignal(String),
    /// There is no such process.
    NoSuchProcess(String),
    /// The target names several processes where one is needed: these.
    Ambiguous(Vec<String>),
    /// The process (or the daemon) keeps no such log.
    NoLog(String),
    /// The log could not be read.
    LogUnreadable {
        /// Name of the process, or of the daemon.
        name: String,
        /// The kernel's error number.
        errno: i32,
    },
    /// The request is beyond a limit of the daemon.
    TooLarge,
    /// The daemon is at its limit of clients or subscriptions.
    Busy,
    /// The peer may not do this.
    Forbidden,
    /// The new image cannot go on where this one is, which goes on instead; for this reason.
    NotUpgraded(String),
    /// The bytes are no request that this version knows.
    NotUnderstood(String),
    /// The peer speaks a version of the protocol that this daemon does not.
    Protocol {
        /// The version this daemon speaks.
        supported: u32,
    },
}

/// A fault or warning in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Error rather than warning.
    pub error: bool,
    /// File it stands in.
    pub file: String,
    /// Line, from 1; 0 when it has none.
    pub line: u32,
    /// Column, from 1; 0 when it has none.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// States of processes. All rows are of the same instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReply {
    /// One for each process asked for.
    pub rows: Vec<StatusRow>,
    /// Targets that name nothing, in the order given.
    pub unknown: Vec<NamedResult>,
}

/// State of one process. The daemon writes it with borrowed words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusRow<Text = String> {
    /// Name as shown: `NAME` or `GROUP:PROCESS`.
    pub name: Text,
    /// Its group.
    pub group: Text,
    /// Its name within the group.
    pub process: Text,
    /// The program it is a copy of.
    pub program: Text,
    /// Its state.
    pub state: ProcessState,
    /// Its process, if there is one.
    pub pid: Option<u32>,
    /// Milliseconds since it was last spawned, while it is up.
    pub uptime_ms: Option<u64>,
    /// When it was last spawned: seconds since 1970.
    pub started_at: Option<i64>,
    /// When it last ended: seconds since 1970.
    pub stopped_at: Option<i64>,
    /// Why the last attempt failed.
    pub trouble: Option<Trouble>,
    /// How it last ended.
    pub last_exit: Option<ExitStatus>,
    /// Failed attempts in a row.
    pub failures: u32,
    /// Milliseconds until the next attempt.
    pub next_attempt_ms: Option<u64>,
    /// Times it was started again by itself since the daemon started.
    pub restarts: u64,
    /// Whether its process was taken over from a daemon that was killed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub adopted: bool,
    /// Log of its standard output.
    pub stdout_log: LogState<Text>,
    /// Log of its standard error.
    pub stderr_log: LogState<Text>,
    /// What it does as an event listener; absent for programs that are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<ListenerStatus>,
}

/// A log and its health.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogState<Text = String> {
    /// The file; absent when the stream is discarded or goes elsewhere.
    pub path: Option<Text>,
    /// Bytes that could not be written since the daemon started.
    pub lost: u64,
    /// Error number of the failure that is going on, if one is.
    pub errno: Option<i32>,
}

/// Supervisor's process states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProcessState {
    /// Not started, or stopped on request.
    Stopped,
    /// Up, but not yet for `startsecs`.
    Starting,
    /// Up.
    Running,
    /// Failed to start; another attempt will follow.
    Backoff,
    /// Asked to stop, not yet gone.
    Stopping,
    /// Ended by itself.
    Exited,
    /// Failed to start too often.
    Fatal,
    /// A defect of the daemon.
    Unknown,
}

impl ProcessState {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Stopped,
        Self::Starting,
        Self::Running,
        Self::Backoff,
        Self::Stopping,
        Self::Exited,
        Self::Fatal,
        Self::Unknown,
    ];

    /// Supervisor's number for the state.
    pub fn code(self) -> u32 {
        match self {
            Self::Stopped => 0,
            Self::Starting => 10,
            Self::Running => 20,
            Self::Backoff => 30,
            Self::Stopping => 40,
            Self::Exited => 100,
            Self::Fatal => 200,
            Self::Unknown => 1000,
        }
    }

    /// The word that is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Backoff => "BACKOFF",
            Self::Stopping => "STOPPING",
            Self::Exited => "EXITED",
            Self::Fatal => "FATAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl fmt::Display for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// By `exit` with this code.
    Code(u8),
    /// By a signal.
    Signal {
        /// Its number.
        number: i32,
        /// Its name: `SIGTERM`, or `signal 35`.
        name: String,
        /// Whether a core file was written.
        core_dumped: bool,
    },
    /// Nobody knows: it was adopted from a daemon that was killed, and the kernel did not tell.
    Unknown,
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal {
                name,
                core_dumped: false,
                ..
            } => write!(f, "terminated by {name}"),
            Self::Signal {
                name,
                core_dumped: true,
                ..
            } => write!(f, "terminated by {name} (core dumped)"),
            Self::Unknown => f.write_str("exit status unknown"),
        }
    }
}

/// What a process that is not up suffers from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// A step before its program failed.
    Spawn(Failure),
    /// It ended before `startsecs`.
    ExitedTooQuickly(ExitStatus),
    /// It ended with an unexpected code or by a signal.
    UnexpectedExit(ExitStatus),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(failure) => failure.fmt(f),
            Self::ExitedTooQuickly(_) => {
                f.write_str("Exited too quickly (process log may have details)")
            }
            Self::UnexpectedExit(ExitStatus::Code(code)) => write!(f, "Bad exit code {code}"),
            Self::UnexpectedExit(status @ (ExitStatus::Signal { .. } | ExitStatus::Unknown)) => {
                let mut text = status.to_string();
                if let Some(first) = text.get_mut(0..1) {
                    first.make_ascii_uppercase();
                }
                f.write_str(&text)
            }
        }
    }
}

/// Why no program was executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step that failed.
    pub step: Step,
    /// What the step worked on.
    pub subject: String,
    /// The kernel's error number; 0 where no system call failed.
    pub errno: i32,
}

/// Steps of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
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
    /// Seeing to it that no process of an earlier daemon runs beside it: `subject` is its pid.
    Orphan,
    /// Reading the files of variables, the first step of all. Where no system call failed, the subject is a sentence
    /// that begins with `FILE:LINE:COLUMN:`.
    Environment,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedResult {
    /// The process as shown, or the target as given where it names nothing.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a request for one process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It runs.
    Started,
    /// It is stopped.
    Stopped,
    /// The signal was sent.
    Signalled,
    /// Its logs are empty.
    Cleared,
    /// The bytes were taken.
    InputSent,
    /// Nothing to do: it is up.
    AlreadyStarted,
    /// Nothing to do, or nothing to signal: it is down.
    NotRunning,
    /// There is no such process.
    NoSuchProcess,
    /// There is no such group.
    NoSuchGroup,
    /// No program was executed.
    SpawnFailed(Failure),
    /// It ended before it counted as started.
    ExitedTooQuickly(ExitStatus),
    /// It was stopped, or ended, while the request waited.
    AbnormalTermination,
    /// Members of its process group survived even KILL.
    NotKilled,
    /// The signal, the input or the emptying failed with this error number.
    Failed {
        /// The kernel's error number.
        errno: i32,
    },
}

/// A process id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidRow {
    /// The process as shown, or the target as given where it names nothing.
    pub name: String,
    /// Its pid; 0 when it has no process; absent when the name names nothing.
    pub pid: Option<u32>,
}

/// The end of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// The bytes.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
    /// Size of the file.
    pub size: u64,
}

/// A configured process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvailRow {
    /// Name as shown.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Whether its group is active.
    pub in_use: bool,
    /// Whether it starts by itself.
    pub autostart: bool,
    /// Rank of its group.
    pub group_priority: i32,
    /// Its rank within the group.
    pub process_priority: i32,
}

/// What happened, or would happen, to a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The group.
    pub group: String,
    /// What.
    pub kind: ChangeKind,
    /// Whether a process of it was stopped for that.
    pub stopped: bool,
}

/// Kinds of [`Change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChangeKind {
    /// No longer in the file.
    Removed,
    /// In both, with differences.
    Changed,
    /// Only in the file.
    Added,
}

/// One result of `Add` or `Remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupResult {
    /// The group as given.
    pub group: String,
    /// What became of it.
    pub answer: GroupAnswer,
}

/// What became of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupAnswer {
    /// Active now.
    Added,
    /// Active no more.
    Removed,
    /// It was active before.
    AlreadyAdded,
    /// A process of it runs.
    StillRunning,
    /// Neither active nor in the file.
    NoSuchGroup,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}
