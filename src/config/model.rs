//! What a valid configuration says, as plain data.
//!
//! Everything here has been checked: nothing after the loader looks at a string again. There is no behaviour and no I/O,
//! and the only positions in a file are those of each program's section and keys, which messages name.

mod environment;
mod origin;
mod output;
mod pool;
mod role;

pub use super::listen::{ListenAddress, ListenSettings, Owner};
pub use environment::{EnvFile, EnvLayers, Environment};
pub use origin::KeyOrigin;
pub use output::{LineFormat, LogSettings, LogTarget, ShownOn, StandardOutput, Timestamps};
pub use pool::{GroupKind, PayloadLength, PoolSettings};
pub use role::{Class, Role, Scope};

use crate::types::{ByteSize, GroupName, ProcessKey, ProcessName, ProgramName, Signal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A whole configuration: the daemon's settings, the console's, and every process in its group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The `[taskmasterd]` section, with the command line's overrides applied.
    pub daemon: DaemonSettings,
    /// The `[taskmasterctl]` section.
    pub console: ConsoleSettings,
    /// Every group: those of `[group.NAME]` sections, and one for each program that is in none.
    pub groups: BTreeMap<GroupName, Group>,
    /// Every file that was read, the main one first. Absolute paths.
    pub files: Vec<PathBuf>,
    /// Where each key of the daemon's section stands, sorted by key; what is not here has its default or is a flag's.
    #[serde(deserialize_with = "origin::known")]
    pub origins: Arc<[KeyOrigin]>,
    /// What others than root and the daemon's user may ask for; nothing, where there is none.
    pub roles: Vec<Role>,
}

impl Config {
    /// Settings of one process.
    pub fn process(&self, key: &ProcessKey) -> Option<&Arc<ProcessSettings>> {
        self.groups.get(&key.group)?.processes.get(&key.process)
    }
}

/// The daemon's own settings. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonSettings {
    /// The control socket (`[taskmasterctl] serverurl` of a native file).
    pub socket: PathBuf,
    /// Mode of the control socket.
    pub socket_mode: u32,
    /// Whom the control socket is given to; `None` leaves it to the daemon's own user and group.
    pub socket_owner: Option<Owner>,
    /// The daemon's own log; `None` writes no file.
    pub logfile: Option<PathBuf>,
    /// The daemon's own log goes to the system log.
    pub syslog: bool,
    /// Size at which the log is rotated; 0 never.
    pub logfile_maxbytes: ByteSize,
    /// Rotated files that are kept; 0 discards the full file.
    pub logfile_backups: u32,
    /// What is logged.
    pub loglevel: LogLevel,
    /// File that holds the daemon's pid; none unless asked for.
    pub pidfile: Option<PathBuf>,
    /// File mode creation mask of the daemon and, where a program sets none, of its children.
    pub umask: u32,
    /// Stay in the foreground.
    pub nodaemon: bool,
    /// In the foreground, do not copy the log to the standard output.
    pub silent: bool,
    /// Descriptors that must be available.
    pub minfds: u64,
    /// Processes that must be available.
    pub minprocs: u64,
    /// Keep AUTO logs of programs that are no longer configured.
    pub nocleanup: bool,
    /// Directory of AUTO logs.
    pub childlogdir: PathBuf,
    /// Whom the daemon becomes; `None` stays.
    pub user: Option<User>,
    /// Directory the daemon changes to.
    pub directory: Option<PathBuf>,
    /// Remove ANSI escape sequences from captured output.
    pub strip_ansi: bool,
    /// Name of this daemon in its answers.
    pub identifier: String,
    /// Variables that every child gets.
    pub environment: Environment,
    /// Files of more of them, which are weaker.
    pub env_files: Vec<EnvFile>,
    /// Listen for consoles. Without it there is no socket, no lock and no record of processes on disk.
    pub control_socket: bool,
    /// A log that is AUTO is a file; else it is discarded.
    pub auto_logs: bool,
    /// In the foreground, copy the log to the standard error.
    pub log_to_stderr: bool,
    /// Whose lines are shown on the standard output, in the foreground.
    pub stdout: StandardOutput,
    /// How lines look on the standard output and error.
    pub stdout_format: LineFormat,
    /// The time before each of those lines; `None` leaves it to the format.
    pub stdout_timestamps: Option<Timestamps>,
    /// When the daemon ends by itself.
    pub exit_when: ExitWhen,
    /// How long an orderly shutdown may take before everything is killed; zero for ever. `None` leaves it to the daemon.
    pub shutdown_timeout: Option<Duration>,
    /// What becomes of the programs that a killed daemon left.
    pub on_orphans: OnOrphans,
}

/// What becomes of programs that outlived the daemon, because it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnOrphans {
    /// They are taken over and go on.
    #[default]
    Adopt,
    /// They are stopped, and started anew if they start by themselves.
    Stop,
    /// They are left alone; their programs are not started beside them.
    Leave,
}

/// When the daemon ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum ExitWhen {
    /// Never: it ends when it is told to.
    #[default]
    Never,
    /// An essential program has failed and is not started again.
    EssentialFailed,
    /// An essential program has ended, in whatever way, and is not started again.
    EssentialExited,
    /// No program runs or will be started again.
    AllExited,
}

impl ExitWhen {
    /// Every rule, by the word that a file has for it.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("never", Self::Never),
        ("essential-failed", Self::EssentialFailed),
        ("essential-exited", Self::EssentialExited),
        ("all-exited", Self::AllExited),
    ];

    /// The word that a file has for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::EssentialFailed => "essential-failed",
            Self::EssentialExited => "essential-exited",
            Self::AllExited => "all-exited",
        }
    }
}

/// Severity from which the daemon's log is written, in Supervisor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogLevel {
    /// Everything.
    Blather,
    /// Nearly everything.
    Trace,
    /// What a developer wants.
    Debug,
    /// What an operator wants.
    Info,
    /// Only what is odd.
    Warn,
    /// Only what failed.
    Error,
    /// Only what endangers the daemon.
    Critical,
}

/// The console's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleSettings {
    /// Socket to connect to.
    pub socket: PathBuf,
    /// Whom the file makes the daemon become: besides root and the caller, this user is trusted to answer.
    pub server_uid: Option<u32>,
    /// Prompt of the shell, as the file gives it.
    pub prompt: String,
    /// File the shell's history is kept in.
    pub history_file: Option<PathBuf>,
    /// Keys of the line editor.
    pub edit_mode: EditMode,
    /// Tell changes of state above the open prompt.
    pub announce: bool,
    /// Accepted for Supervisor's files; the socket knows its peer by `SO_PEERCRED` and needs neither.
    pub username: Option<String>,
    /// As `username`.
    pub password: Option<String>,
}

/// Keys of the shell's line editor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum EditMode {
    /// As Emacs has them.
    #[default]
    Emacs,
    /// As vi has them.
    Vi,
}

/// A group of processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Rank among groups: low starts first and stops last.
    pub priority: i32,
    /// Whether it stands in a `[group.NAME]` section of its own.
    pub explicit: bool,
    /// Where each key of that section stands, sorted by key.
    #[serde(deserialize_with = "origin::known")]
    pub origins: Arc<[KeyOrigin]>,
    /// What its processes are to each other.
    pub kind: GroupKind,
    /// Its processes.
    pub processes: BTreeMap<ProcessName, Arc<ProcessSettings>>,
}

/// Everything about one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSettings {
    /// Group and name.
    pub key: ProcessKey,
    /// The program it is a copy of.
    pub program: ProgramName,
    /// Its number among the copies (`%(process_num)d`).
    pub process_num: u32,
    /// Where its section begins: `FILE:LINE`, for messages. Shared by all copies.
    pub origin: Arc<str>,
    /// Where each key that a file gives stands, sorted by key; what is not here has its default. Shared by all copies.
    #[serde(deserialize_with = "origin::known")]
    pub origins: Arc<[KeyOrigin]>,
    /// What takes effect when the process is started: a change restarts it.
    pub launch: Launch,
    /// What the engine decides by: a change applies at once.
    pub policy: Policy,
    /// Where standard output goes.
    pub stdout: LogSettings,
    /// Where standard error goes; unused while `launch.redirect_stderr`.
    pub stderr: LogSettings,
}

impl ProcessSettings {
    /// Whether `new` says anything else. Where the section stands does not count: a line added above it changes nothing.
    pub fn differs_from(&self, new: &Self) -> bool {
        let Self {
            key,
            program,
            process_num,
            origin: _,
            origins: _,
            launch,
            policy,
            stdout,
            stderr,
        } = self;
        *key != new.key
            || *program != new.program
            || *process_num != new.process_num
            || *launch != new.launch
            || *policy != new.policy
            || *stdout != new.stdout
            || *stderr != new.stderr
    }

    /// Whether going from these settings to `new` needs the process to be started anew.
    pub fn needs_restart(&self, new: &Self) -> bool {
        self.launch != new.launch
            || self.stdout.needs_restart(&new.stdout)
            || self.stderr.needs_restart(&new.stderr)
    }
}

/// What a process is started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// Program and arguments, already split into words. Never empty.
    pub argv: Vec<String>,
    /// The command as the file gives it, expanded.
    pub command: String,
    /// Working directory; `None` keeps the daemon's.
    pub directory: Option<PathBuf>,
    /// File mode creation mask.
    pub umask: u32,
    /// Whom it runs as; `None` keeps the daemon's identity. Shared by all copies.
    pub user: Option<Arc<User>>,
    /// Variables of the program's own section, the strongest there are.
    pub environment: Environment,
    /// What lies between the daemon's own environment and those.
    pub env_layers: EnvLayers,
    /// Standard error goes where standard output goes.
    pub redirect_stderr: bool,
    /// Remove ANSI escape sequences from its output.
    pub strip_ansi: bool,
    /// Overrides the value of `SUPERVISOR_SERVER_URL`.
    pub server_url: Option<String>,
    /// Its standard input and output speak the protocol of event listeners.
    pub listener: bool,
    /// A listening socket as its standard input: that of a `FastCGI` program.
    pub listen: Option<Arc<ListenSettings>>,
}

/// What is decided about a process while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Start it when the daemon starts, or when it is added.
    pub autostart: bool,
    /// Start it again after it ended by itself.
    pub autorestart: Autorestart,
    /// How long it must stay up to count as started.
    pub startsecs: Duration,
    /// Failed attempts after the first before it is given up.
    pub startretries: u32,
    /// Exit codes that are expected.
    pub exitcodes: Vec<u8>,
    /// Signal that asks it to stop.
    pub stopsignal: Signal,
    /// How long it may take to stop before it is killed.
    pub stopwaitsecs: Duration,
    /// Rank within its group: low starts first and stops last.
    pub priority: i32,
    /// Send the stop signal to the whole process group.
    pub stopasgroup: bool,
    /// When it ends by itself, kill what is left of its process group.
    pub killasgroup: bool,
    /// The daemon's `exit_when` looks at it.
    pub essential: bool,
}

/// When a process that ended by itself is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Autorestart {
    /// Never.
    Never,
    /// Unless its exit code is among the expected ones.
    Unexpected,
    /// Always.
    Always,
}

/// An account, resolved when the file was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Login name; the number as text where the account has no name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Every group it belongs to, the primary one included.
    pub groups: Vec<u32>,
    /// Home directory, for `HOME`.
    pub home: Option<PathBuf>,
    /// Login shell, for `SHELL`.
    pub shell: Option<PathBuf>,
}
