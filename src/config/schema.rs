//! The table of every key: one row each, from which the loader, the suggestions, the completions and the test of the
//! manual page read.
//!
//! A default is a text and is read like a value from the file, so that the table cannot disagree with the code. The
//! loader knows the keys it uses by name; a test makes sure that each of them has a row here and is of the right type.

use super::value_type::ValueType::{
    self, Account, Autorestart, Boolean, ChildLog, Command, EditMode, EnvFiles, Environment,
    Events, ExitCodes, ExitWhen, InetAddress, Integer, LineFormat, Listen, LogLevel, MainLog, Mode,
    Name, Names, OnOrphans, Owner, Path, Patterns, PayloadLength, Signal, Size, Socket,
    StandardOutput, Text, Timestamps, Url,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

/// The kinds of sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `[taskmasterd]`, `[supervisord]`.
    Daemon,
    /// `[taskmasterctl]`, `[supervisorctl]`.
    Console,
    /// `[program.NAME]`, `[program:NAME]`.
    Program,
    /// `[group.NAME]`, `[group:NAME]`.
    Group,
    /// `[include]`.
    Include,
    /// `[role.NAME]`.
    Role,
    /// `[unix_http_server]`.
    UnixServer,
    /// `[inet_http_server]`.
    InetServer,
    /// `[fcgi-program.NAME]`, `[fcgi-program:NAME]`: the keys of a program and its own.
    FcgiProgram,
    /// `[eventlistener:NAME]`: the keys of a program and its own.
    EventListener,
    /// `[rpcinterface:NAME]`: any key.
    RpcInterface,
    /// `[ctlplugin:NAME]`: any key.
    CtlPlugin,
    /// `[DEFAULT]`: keys that every other section falls back on.
    Default,
}

/// Which defaults a section has: the separator in its name decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// `[program.NAME]`.
    Native,
    /// `[program:NAME]`.
    Supervisor,
}

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// At once, without a restart of the program.
    Live,
    /// When the program is started; a change restarts it.
    Restart,
    /// When the daemon starts or is told to `reload`.
    Daemon,
    /// When the console starts.
    Console,
}

/// Whether a key does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does.
    Effective,
    /// It is read and checked, and does nothing; the text says why.
    None(&'static str),
}

/// One key of one kind of section.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The kind of section it belongs to.
    pub section: Kind,
    /// Its name.
    pub name: &'static str,
    /// Other spellings of the name.
    pub aliases: &'static [&'static str],
    /// The type of its value.
    pub value: ValueType,
    /// Default in a native section, as a file would write it; `None` is unset.
    pub native: Option<&'static str>,
    /// Default in a section of Supervisor's dialect.
    pub supervisor: Option<&'static str>,
    /// When a change takes effect.
    pub applies: Applies,
    /// Whether it does anything.
    pub effect: Effect,
    /// Whether its value may differ between the copies of a program (`process_num` is known in it).
    pub per_copy: bool,
    /// What it is for, in one line.
    pub doc: &'static str,
}

impl Key {
    /// The default for a dialect.
    pub fn default_for(&self, dialect: Dialect) -> Option<&'static str> {
        match dialect {
            Dialect::Native => self.native,
            Dialect::Supervisor => self.supervisor,
        }
    }

    /// The name and every other spelling.
    pub fn spellings(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    const fn or(mut self, native: &'static str, supervisor: &'static str) -> Self {
        self.native = Some(native);
        self.supervisor = Some(supervisor);
        self
    }

    const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn live(mut self) -> Self {
        self.applies = Applies::Live;
        self
    }

    const fn each(mut self) -> Self {
        self.per_copy = true;
        self
    }

    const fn idle(mut self, why: &'static str) -> Self {
        self.effect = Effect::None(why);
        self
    }
}

const fn key(section: Kind, name: &'static str, value: ValueType, doc: &'static str) -> Key {
    let applies = match section {
        Kind::Program | Kind::FcgiProgram | Kind::EventListener => Applies::Restart,
        Kind::Group | Kind::Role => Applies::Live,
        Kind::Console | Kind::CtlPlugin => Applies::Console,
        Kind::Daemon
        | Kind::Include
        | Kind::UnixServer
        | Kind::InetServer
        | Kind::RpcInterface
        | Kind::Default => Applies::Daemon,
    };
    Key {
        section,
        name,
        aliases: &[],
        value,
        native: None,
        supervisor: None,
        applies,
        effect: Effect::Effective,
        per_copy: false,
        doc,
    }
}

const fn whole(min: i64, max: i64) -> ValueType {
    Integer { min, max }
}

const INT_MAX: i64 = i32::MAX as i64;
/// Most copies of one program.
pub const NUMPROCS_MAX: i64 = 65_535;
/// Most rotated files that are kept of one log.
pub const BACKUPS_MAX: i64 = 9_999;
/// The directory of the native defaults, which the daemon creates.
pub const DEFAULT_DIRECTORY: &str = "/tmp/taskmaster.d";
/// Takes its place for the socket where `/tmp` cannot be written.
pub const DEFAULT_DIRECTORY_IN_MEMORY: &str = "/dev/shm/taskmaster.d";

/// The only function of Supervisor's that can be honoured.
const DEFAULT_HANDLER: &str = "supervisor.dispatchers:default_handler";

/// Why a password has no use.
pub const PEER: &str = "the socket itself says who connects, so no password is asked for";
const INET: &str = "this version does not listen on the network";
const PROTOCOL: &str = "the standard output of an event listener is its protocol";
const RESULTS: &str =
    "results are read as Supervisor's own handler reads them, and no Python function is called";

/// Every key.
#[rustfmt::skip]
pub static KEYS: &[Key] = {
    use Kind::{Console, Daemon, EventListener, FcgiProgram, Group, Include, InetServer, Program, Role, UnixServer};
    &[
        // The daemon.
        key(Daemon, "logfile", MainLog, "The daemon's own log: a path, syslog, or NONE").or("/tmp/taskmaster.d/taskmaster.log", "supervisord.log"),
        key(Daemon, "logfile_maxbytes", Size, "Size at which the daemon's log is rotated; 0 never").or("50MB", "50MB"),
        key(Daemon, "logfile_backups", whole(0, BACKUPS_MAX), "Rotated logs of the daemon to keep").or("10", "10"),
        key(Daemon, "loglevel", LogLevel, "What is logged: critical, error, warn, info, debug, trace or blather").or("info", "info"),
        key(Daemon, "pidfile", Path, "File to write the daemon's pid to; none unless given"),
        key(Daemon, "umask", Mode, "File mode creation mask of the daemon and its programs").or("022", "022"),
        key(Daemon, "nodaemon", Boolean, "Stay in the foreground").or("false", "false"),
        key(Daemon, "silent", Boolean, "In the foreground, do not copy the log to the standard output").or("false", "false"),
        key(Daemon, "minfds", whole(0, INT_MAX), "File descriptors that must be available").or("1024", "1024"),
        key(Daemon, "minprocs", whole(0, INT_MAX), "Processes that must be available").or("200", "200"),
        key(Daemon, "nocleanup", Boolean, "Keep the AUTO logs of programs that are no longer configured").or("false", "false"),
        key(Daemon, "childlogdir", Path, "Directory of the AUTO logs; created if its parent exists").or("/tmp/taskmaster.d/childlog/", ""),
        key(Daemon, "user", Account, "User that the daemon becomes").alias(&["userid"]),
        key(Daemon, "directory", Path, "Directory that the daemon changes to"),
        key(Daemon, "strip_ansi", Boolean, "Remove ANSI escape sequences from the programs' output").or("false", "false"),
        key(Daemon, "identifier", Text, "Name of this daemon in its answers").or("taskmaster", "supervisor"),
        key(Daemon, "environment", Environment, "Variables that every program gets").or("", ""),
        key(Daemon, "on_orphans", OnOrphans, "What becomes of the programs that a killed daemon left: adopt, stop or leave").or("adopt", "adopt"),
        key(Daemon, "control_socket", Boolean, "Listen for the console; without it nothing is written for others to find the daemon").or("true", "true"),
        key(Daemon, "auto_logs", Boolean, "Write a file for a log that is AUTO; false makes AUTO mean NONE").or("true", "true"),
        key(Daemon, "log_to_stderr", Boolean, "In the foreground, copy the daemon's log to the standard error").or("false", "false"),
        key(Daemon, "stdout", StandardOutput, "Whose lines the standard output shows in the foreground: children, daemon, both or none").or("daemon", "daemon"),
        key(Daemon, "stdout_format", LineFormat, "How lines look there: raw, prefix or json").or("raw", "raw"),
        key(Daemon, "stdout_timestamps", Timestamps, "The time before each of those lines: none, rfc3339 or unix"),
        key(Daemon, "exit_when", ExitWhen, "When the daemon ends by itself: never, essential-failed, essential-exited or all-exited").or("never", "never").live(),
        key(Daemon, "shutdown_timeout", whole(0, INT_MAX), "Seconds that a shutdown may take before everything is killed; 0 for ever").live(),
        key(Daemon, "env_file", EnvFiles, "Files of variables that every program gets, read at each start; - before one that may be missing"),
        // The console.
        key(Console, "serverurl", Socket, "Socket of the daemon: a path, or unix://PATH").or("/tmp/taskmaster.d/taskmasterd.sock", ""),
        key(Console, "prompt", Text, "Prompt of the shell").or("taskmasterd>", "supervisor"),
        key(Console, "history_file", Path, "File that keeps the shell's history"),
        key(Console, "edit_mode", EditMode, "Keys of the shell's line editor: emacs or vi").or("emacs", "emacs"),
        key(Console, "announce", Boolean, "Tell changes of state above the open prompt").or("true", "true"),
        key(Console, "username", Text, "Name for a password prompt that does not exist").idle(PEER),
        key(Console, "password", Text, "Password for a prompt that does not exist").idle(PEER),
        // Programs.
        key(Program, "command", Command, "Program and arguments; quoted as in a shell, but no shell runs").each(),
        key(Program, "process_name", Name, "Name of each copy; must hold %(process_num) when there are several").or("", "%(program_name)s").each(),
        key(Program, "numprocs", whole(1, NUMPROCS_MAX), "How many copies run").or("1", "1"),
        key(Program, "numprocs_start", whole(0, INT_MAX - NUMPROCS_MAX), "Number of the first copy").or("0", "0"),
        key(Program, "priority", whole(i32::MIN as i64, INT_MAX), "Rank: low starts first and stops last").or("999", "999").live(),
        key(Program, "autostart", Boolean, "Start it when the daemon starts").or("false", "true").live(),
        key(Program, "autorestart", Autorestart, "Start it again when it ended: true, false or unexpected").or("unexpected", "unexpected").live(),
        key(Program, "startsecs", whole(0, INT_MAX), "Seconds it must stay up to count as started").alias(&["startsec"]).or("1", "1").live(),
        key(Program, "startretries", whole(0, INT_MAX), "Failed attempts after the first before it is given up").or("3", "3").live(),
        key(Program, "exitcodes", ExitCodes, "Exit codes that are expected").or("0", "0").live(),
        key(Program, "stopsignal", Signal, "Signal that asks it to stop").or("TERM", "TERM").live(),
        key(Program, "stopwaitsecs", whole(0, INT_MAX), "Seconds it may take to stop before it is killed").alias(&["stopwaitsec"]).or("3", "10").live(),
        key(Program, "stopasgroup", Boolean, "Send the stop signal to its whole process group").or("false", "false").live(),
        key(Program, "killasgroup", Boolean, "When it ends, kill what is left of its process group").live(),
        key(Program, "essential", Boolean, "The daemon's exit_when looks at it; where no program says so, at all").or("false", "false").live(),
        key(Program, "user", Account, "User that it runs as").alias(&["userid"]),
        key(Program, "redirect_stderr", Boolean, "Send its standard error where its standard output goes").or("false", "false"),
        key(Program, "stdout_logfile", ChildLog, "Log of its standard output: AUTO, NONE, a path, stdout or stderr; or several of these").or("AUTO", "AUTO").each(),
        key(Program, "stdout_logfile_maxbytes", Size, "Size at which that log is rotated; 0 never").or("50MB", "50MB").live().each(),
        key(Program, "stdout_logfile_backups", whole(0, BACKUPS_MAX), "Rotated files of that log to keep").or("10", "10").live().each(),
        key(Program, "stdout_timestamps", Timestamps, "The time before each line of that log: none, rfc3339 or unix").or("none", "none").live(),
        key(Program, "stdout_direct", Boolean, "Let it write that log itself, where nothing else needs what it writes").or("false", "false"),
        key(Program, "stdout_capture_maxbytes", Size, "Bytes kept of a section captured from its standard output; 0 captures none").or("0", "0"),
        key(Program, "stdout_events_enabled", Boolean, "Publish its standard output as events").or("false", "false"),
        key(Program, "stdout_syslog", Boolean, "Send its standard output to the system log").or("false", "false").each(),
        key(Program, "stderr_logfile", ChildLog, "Log of its standard error: AUTO, NONE, a path, stdout or stderr; or several of these").or("AUTO", "AUTO").each(),
        key(Program, "stderr_logfile_maxbytes", Size, "Size at which that log is rotated; 0 never").or("50MB", "50MB").live().each(),
        key(Program, "stderr_logfile_backups", whole(0, BACKUPS_MAX), "Rotated files of that log to keep").or("10", "10").live().each(),
        key(Program, "stderr_timestamps", Timestamps, "The time before each line of that log: none, rfc3339 or unix").or("none", "none").live(),
        key(Program, "stderr_direct", Boolean, "Let it write that log itself, where nothing else needs what it writes").or("false", "false"),
        key(Program, "stderr_capture_maxbytes", Size, "Bytes kept of a section captured from its standard error; 0 captures none").or("0", "0"),
        key(Program, "stderr_events_enabled", Boolean, "Publish its standard error as events").or("false", "false"),
        key(Program, "stderr_syslog", Boolean, "Send its standard error to the system log").or("false", "false").each(),
        key(Program, "environment", Environment, "Variables it gets, on top of the daemon's").or("", "").each(),
        key(Program, "directory", Path, "Directory it is started in").each(),
        key(Program, "umask", Mode, "File mode creation mask; the daemon's unless given"),
        key(Program, "serverurl", Url, "Value of SUPERVISOR_SERVER_URL in its environment").or("AUTO", "AUTO"),
        key(Program, "env_file", EnvFiles, "Files of variables it gets, read at each start; - before one that may be missing").each(),
        // Groups.
        key(Group, "programs", Names, "Programs of the group, separated by commas"),
        key(Group, "priority", whole(i32::MIN as i64, INT_MAX), "Rank among groups: low starts first and stops last").or("999", "999"),
        key(Include, "files", Patterns, "Files to read after this one; relative to its directory"),
        // Roles.
        key(Role, "users", Names, "Users that it belongs to, by name or number"),
        key(Role, "groups", Names, "Groups that it belongs to, by name or number"),
        key(Role, "programs", Names, "Processes that it is about: NAME, GROUP:*, GROUP:PROCESS or all").or("all", "all"),
        key(Role, "allow", Names, "What it may do: read, logs, operate, config, daemon").or("read", "read"),
        // Servers.
        key(UnixServer, "file", Socket, "Path of the control socket"),
        key(UnixServer, "chmod", Mode, "Mode of the control socket").or("0700", "0700"),
        key(UnixServer, "chown", Owner, "User, and perhaps group, that the control socket is given to"),
        key(UnixServer, "username", Text, "Name to log in with").idle(PEER),
        key(UnixServer, "password", Text, "Password to log in with").idle(PEER),
        key(InetServer, "port", InetAddress, "Address to listen on").idle(INET),
        key(InetServer, "username", Text, "Name to log in with").idle(INET),
        key(InetServer, "password", Text, "Password to log in with").idle(INET),
        // FastCGI programs.
        key(FcgiProgram, "socket", Listen, "Socket that all copies inherit as their standard input: tcp://HOST:PORT or unix:///PATH").each(),
        key(FcgiProgram, "socket_backlog", whole(1, 65_535), "Connections that may wait; as many as the system allows unless given"),
        key(FcgiProgram, "socket_owner", Owner, "Owner of a Unix socket; the program's user unless given"),
        key(FcgiProgram, "socket_mode", Mode, "Mode of a Unix socket").or("0700", "0700"),
        // Event listeners.
        key(EventListener, "events", Events, "Kinds of events it listens to, separated by commas").live(),
        key(EventListener, "buffer_size", whole(1, INT_MAX), "Events that may wait; the oldest is discarded when one more comes").or("10", "10").live(),
        key(EventListener, "payload_length", PayloadLength, "What `len` in a header counts: bytes or characters").or("bytes", "characters").live(),
        key(EventListener, "result_handler", Text, "Python function that reads its results").or(DEFAULT_HANDLER, DEFAULT_HANDLER).idle(RESULTS),
        key(EventListener, "priority", whole(i32::MIN as i64, INT_MAX), "Rank: low starts first and stops last").or("-1", "-1").live(),
        key(EventListener, "redirect_stderr", Boolean, "Must be false: its standard output is the protocol").or("false", "false"),
        key(EventListener, "stdout_capture_maxbytes", Size, "Size of the capture buffer").or("0", "0").idle(PROTOCOL),
        key(EventListener, "stdout_events_enabled", Boolean, "Publish its standard output as events").or("false", "false").idle(PROTOCOL),
        key(EventListener, "stdout_syslog", Boolean, "Send its standard output to the system log").or("false", "false").idle(PROTOCOL).each(),
    ]
};

/// The keys that a kind of section may have.
pub fn keys_of(kind: Kind) -> impl Iterator<Item = &'static Key> {
    let base = if matches!(kind, Kind::FcgiProgram | Kind::EventListener) {
        Kind::Program
    } else {
        kind
    };
    KEYS.iter().filter(move |key| {
        // A row of its own stands before that of all programs.
        let shadowed = || SPELLINGS.contains_key(&(key.name, kind));
        key.section == kind || (key.section == base && !shadowed())
    })
}

/// Every spelling of every key, so that a file of thousands of lines does not walk the table for each.
/// By the name first, which differs more often than the kind.
static SPELLINGS: LazyLock<BTreeMap<(&str, Kind), &Key>> = LazyLock::new(|| {
    KEYS.iter()
        .flat_map(|key| key.spellings().map(move |name| ((name, key.section), key)))
        .collect()
});

/// The key of this name, or with this other spelling, in a kind of section.
pub fn find(kind: Kind, name: &str) -> Option<&'static Key> {
    let own = SPELLINGS.get(&(name, kind));
    let inherited = || match kind {
        Kind::FcgiProgram | Kind::EventListener => SPELLINGS.get(&(name, Kind::Program)),
        Kind::Daemon
        | Kind::Console
        | Kind::Program
        | Kind::Group
        | Kind::Include
        | Kind::UnixServer
        | Kind::InetServer
        | Kind::RpcInterface
        | Kind::CtlPlugin
        | Kind::Role
        | Kind::Default => None,
    };
    own.or_else(inherited).copied()
}

/// Section names that stand for themselves.
const FIXED: &[(&str, Kind, Dialect)] = &[
    ("taskmasterd", Kind::Daemon, Dialect::Native),
    ("supervisord", Kind::Daemon, Dialect::Supervisor),
    ("taskmasterctl", Kind::Console, Dialect::Native),
    ("supervisorctl", Kind::Console, Dialect::Supervisor),
    ("unix_http_server", Kind::UnixServer, Dialect::Supervisor),
    ("inet_http_server", Kind::InetServer, Dialect::Supervisor),
    ("include", Kind::Include, Dialect::Native),
    ("DEFAULT", Kind::Default, Dialect::Supervisor),
];

/// Words before the separator and the name.
const NAMED: &[(&str, Kind)] = &[
    ("program", Kind::Program),
    ("group", Kind::Group),
    ("role", Kind::Role),
    ("fcgi-program", Kind::FcgiProgram),
    ("eventlistener", Kind::EventListener),
    ("rpcinterface", Kind::RpcInterface),
    ("ctlplugin", Kind::CtlPlugin),
];

/// What a section's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionName<'t> {
    /// A section that exists once.
    Fixed(Kind, Dialect),
    /// A section with a name of its own, as written, and where in the text the name begins.
    Named(Kind, Dialect, &'t str, usize),
    /// A word that needs a name behind it, without one.
    NameMissing(Kind),
    /// No such section.
    Unknown,
}

/// Takes a section's name apart.
pub fn section_name(text: &str) -> SectionName<'_> {
    let bare = text.split_once(':').map_or(text, |(word, _)| word);
    let server = matches!(bare, "unix_http_server" | "inet_http_server");
    let wanted = if server { bare } else { text };
    if let Some(&(_, kind, dialect)) = FIXED.iter().find(|(name, ..)| *name == wanted) {
        return SectionName::Fixed(kind, dialect);
    }
    let separator = text.find(['.', ':']).unwrap_or(text.len());
    let word = text.get(..separator).unwrap_or_default();
    let Some(&(_, kind)) = NAMED.iter().find(|(name, _)| *name == word) else {
        return SectionName::Unknown;
    };
    let rest = text.get(separator + 1..).unwrap_or_default();
    let name = rest.trim();
    if name.is_empty() {
        return SectionName::NameMissing(kind);
    }
    let dialect = if text
        .get(separator..)
        .is_some_and(|tail| tail.starts_with('.'))
    {
        Dialect::Native
    } else {
        Dialect::Supervisor
    };
    let at = separator + 1 + rest.len() - rest.trim_start().len();
    SectionName::Named(kind, dialect, name, at)
}

/// Every fixed section name, and every word that takes a name; for suggestions.
pub fn section_words() -> impl Iterator<Item = &'static str> {
    FIXED
        .iter()
        .map(|(name, ..)| *name)
        .chain(NAMED.iter().map(|(name, _)| *name))
}

/// How messages call a section of this kind.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Daemon => "daemon section",
            Self::Console => "console section",
            Self::Program => "program",
            Self::Group => "group",
            Self::Role => "role",
            Self::Include => "[include]",
            Self::UnixServer => "[unix_http_server]",
            Self::InetServer => "[inet_http_server]",
            Self::FcgiProgram => "FastCGI program",
            Self::EventListener => "event listener",
            Self::RpcInterface => "RPC interface",
            Self::CtlPlugin => "console plug-in",
            Self::Default => "[DEFAULT]",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_is_sound() {
        let mut seen = BTreeSet::new();
        for key in KEYS {
            for spelling in key.spellings() {
                assert!(seen.insert((key.section, spelling)), "{spelling} twice");
                assert_eq!(spelling, spelling.to_lowercase());
                assert_eq!(find(key.section, spelling).unwrap().name, key.name);
            }
            assert!(
                !key.doc.is_empty() && !key.doc.ends_with('.'),
                "{}",
                key.name
            );
            for dialect in [Dialect::Native, Dialect::Supervisor] {
                if let Some(default) = key.default_for(dialect).filter(|text| !text.is_empty()) {
                    assert_eq!(key.value.check(default), Ok(()), "{}", key.name);
                }
            }
        }
    }

    #[test]
    fn section_names_are_taken_apart() {
        use SectionName::{Fixed, NameMissing, Named, Unknown};
        for (text, expected) in [
            ("taskmasterd", Fixed(Kind::Daemon, Dialect::Native)),
            ("supervisord", Fixed(Kind::Daemon, Dialect::Supervisor)),
            (
                "program.web",
                Named(Kind::Program, Dialect::Native, "web", 8),
            ),
            (
                "program:web",
                Named(Kind::Program, Dialect::Supervisor, "web", 8),
            ),
            (
                "program: web ",
                Named(Kind::Program, Dialect::Supervisor, "web", 9),
            ),
            (
                "program.a:b",
                Named(Kind::Program, Dialect::Native, "a:b", 8),
            ),
            (
                "program:a.b",
                Named(Kind::Program, Dialect::Supervisor, "a.b", 8),
            ),
            ("program.", NameMissing(Kind::Program)),
            ("program:", NameMissing(Kind::Program)),
            ("program", NameMissing(Kind::Program)),
            ("group: ", NameMissing(Kind::Group)),
            (
                "unix_http_server:b",
                Fixed(Kind::UnixServer, Dialect::Supervisor),
            ),
            ("taskmasterd:x", Unknown),
            ("Program.web", Unknown),
            (" program.web", Unknown),
            ("programs.web", Unknown),
            ("", Unknown),
        ] {
            assert_eq!(section_name(text), expected, "{text:?}");
        }
    }
}
