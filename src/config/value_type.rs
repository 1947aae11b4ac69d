//! The types a value can have, what each expects in words, and what a refusal consists of.

use super::{fcgi, value};
use std::ops::Range;

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Any text, the empty one included.
    Text,
    /// A command line.
    Command,
    /// A process name, usually with variables.
    Name,
    /// True or false.
    Boolean,
    /// A whole number.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A count of bytes.
    Size,
    /// Permission bits in octal.
    Mode,
    /// A signal.
    Signal,
    /// A list of exit codes.
    ExitCodes,
    /// When to start again.
    Autorestart,
    /// A log level.
    LogLevel,
    /// Keys of the line editor.
    EditMode,
    /// What becomes of programs that a killed daemon left.
    OnOrphans,
    /// When the daemon ends by itself.
    ExitWhen,
    /// Whose lines are shown.
    StandardOutput,
    /// How lines look.
    LineFormat,
    /// The time before a line.
    Timestamps,
    /// A login name or a number.
    Account,
    /// `USER` or `USER:GROUP`.
    Owner,
    /// A path.
    Path,
    /// A path, `syslog`, or nothing for no log.
    MainLog,
    /// `AUTO`, `NONE` or a path.
    ChildLog,
    /// A list of variables.
    Environment,
    /// A list of files of variables, each perhaps with `-` before it.
    EnvFiles,
    /// `unix://PATH` or a path.
    Socket,
    /// `tcp://HOST:PORT` or `unix:///PATH`.
    Listen,
    /// `AUTO` or any URL.
    Url,
    /// A port, perhaps of one host.
    InetAddress,
    /// A list of names.
    Names,
    /// A list of kinds of events.
    Events,
    /// What is counted.
    PayloadLength,
    /// File patterns separated by white space.
    Patterns,
}

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueFault {
    /// What is wrong, said of the place.
    pub label: String,
    /// Which part of the value; all of it when `None`.
    pub range: Option<Range<usize>>,
    /// What to do.
    pub help: Option<String>,
    /// What was probably meant instead of that part.
    pub replacement: Option<String>,
}

impl ValueFault {
    /// A fault of the whole value.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            range: None,
            help: None,
            replacement: None,
        }
    }

    /// Narrows the fault to a part of the value.
    #[must_use]
    pub fn at(mut self, range: Range<usize>) -> Self {
        self.range = Some(range);
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what was probably meant instead of that part.
    #[must_use]
    pub fn meant(mut self, replacement: Option<&str>) -> Self {
        self.replacement = replacement.map(str::to_owned);
        self
    }
}

impl ValueType {
    /// Whether any text is a value of this type, so that quotes by mistake go unnoticed.
    pub fn takes_any_text(&self) -> bool {
        matches!(
            self,
            Self::Text
                | Self::Name
                | Self::Path
                | Self::MainLog
                | Self::ChildLog
                | Self::Socket
                | Self::Patterns
        )
    }

    /// The sentence that says that the value of `subject` is not of this type.
    pub fn complaint(&self, subject: &str) -> String {
        match self {
            Self::Command => format!("{subject} cannot be split into a program and its arguments"),
            Self::Environment => format!("{subject} cannot be read as a list of variables"),
            Self::Account => format!("{subject} must name an existing user"),
            Self::Text
            | Self::Name
            | Self::Boolean
            | Self::Integer { .. }
            | Self::Size
            | Self::Mode
            | Self::Signal
            | Self::ExitCodes
            | Self::Autorestart
            | Self::LogLevel
            | Self::EditMode
            | Self::OnOrphans
            | Self::ExitWhen
            | Self::StandardOutput
            | Self::LineFormat
            | Self::Timestamps
            | Self::Owner
            | Self::Path
            | Self::MainLog
            | Self::ChildLog
            | Self::EnvFiles
            | Self::Socket
            | Self::Listen
            | Self::Url
            | Self::InetAddress
            | Self::Names
            | Self::Events
            | Self::PayloadLength
            | Self::Patterns => format!("{subject} must be {}", self.expected()),
        }
    }

    /// What a value must be, to stand behind "must be".
    pub fn expected(&self) -> String {
        match self {
            Self::Text => "a text".into(),
            Self::Command => "a program and its arguments".into(),
            Self::Name => "a name without blanks, `:` and `/`".into(),
            Self::Boolean => "`true` or `false`".into(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Size => "a size in bytes, such as 0, 512KB, 50MB or 1GB".into(),
            Self::Mode => "octal permission bits from 000 to 777".into(),
            Self::Signal => "a signal, by name or number".into(),
            Self::ExitCodes => "exit codes from 0 to 255, separated by commas".into(),
            Self::Autorestart => "`true`, `false` or `unexpected`".into(),
            Self::LogLevel => "a log level".into(),
            Self::EditMode => "`emacs` or `vi`".into(),
            Self::OnOrphans => "`adopt`, `stop` or `leave`".into(),
            Self::ExitWhen => {
                "`never`, `essential-failed`, `essential-exited` or `all-exited`".into()
            }
            Self::StandardOutput => "`children`, `daemon`, `both` or `none`".into(),
            Self::LineFormat => "`raw`, `prefix` or `json`".into(),
            Self::Timestamps => "`none`, `rfc3339` or `unix`".into(),
            Self::Account => "an existing user, by name or number".into(),
            Self::Owner => "`USER` or `USER:GROUP`".into(),
            Self::Path => "a path".into(),
            Self::MainLog => "the path of a file, syslog or NONE".into(),
            Self::ChildLog => "AUTO, NONE, the path of a file, `stdout` or `stderr`".into(),
            Self::Environment => "variables such as NAME=\"value\",OTHER=\"value\"".into(),
            Self::EnvFiles => "paths of files, separated by commas".into(),
            Self::Socket => "the path of a Unix socket, plain or as unix://PATH".into(),
            Self::Listen => "tcp://HOST:PORT or unix:///PATH".into(),
            Self::Url => "AUTO or a URL".into(),
            Self::InetAddress => "a port from 1 to 65535, or HOST:PORT".into(),
            Self::Names => "names separated by commas".into(),
            Self::Events => "kinds of events separated by commas".into(),
            Self::PayloadLength => "`bytes` or `characters`".into(),
            Self::Patterns => "file names or patterns separated by blanks".into(),
        }
    }

    /// Checks a value without making use of it.
    pub fn check(&self, text: &str) -> Result<(), ValueFault> {
        match self {
            Self::Text | Self::MainLog => Ok(()),
            Self::ChildLog => value::log_targets(text).map(drop),
            Self::Command => value::command(text).map(drop),
            Self::Account | Self::Owner | Self::Path => value::filled(text).map(drop),
            Self::Name => value::process_name(text).map(drop),
            Self::Boolean => value::boolean(text).map(drop),
            Self::Integer { min, max } => value::integer(text, *min, *max).map(drop),
            Self::Size => value::size(text).map(drop),
            Self::Mode => value::mode(text).map(drop),
            Self::Signal => value::signal(text).map(drop),
            Self::ExitCodes => value::exit_codes(text).map(drop),
            Self::Autorestart => value::autorestart(text).map(drop),
            Self::LogLevel => value::log_level(text).map(drop),
            Self::EditMode => value::edit_mode(text).map(drop),
            Self::OnOrphans => value::on_orphans(text).map(drop),
            Self::ExitWhen => value::exit_when(text).map(drop),
            Self::StandardOutput => value::standard_output(text).map(drop),
            Self::LineFormat => value::line_format(text).map(drop),
            Self::Timestamps => value::timestamps(text).map(drop),
            Self::Environment => value::variables(text).map(drop),
            Self::EnvFiles => value::env_files(text).map(drop),
            Self::Socket => value::socket(text).map(drop),
            Self::Listen => fcgi::address(text).map(drop),
            Self::Url => value::url(text).map(drop),
            Self::InetAddress => value::inet_address(text),
            Self::Names => value::names(text).map(drop),
            Self::Events => value::events(text).map(drop),
            Self::PayloadLength => value::payload_length(text).map(drop),
            Self::Patterns => value::patterns(text).map(drop),
        }
    }
}
