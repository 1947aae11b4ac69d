//! Options of `run`.

use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// What to run, and how.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// Run the lines of this Procfile
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with_all = ["command", "name"])]
    pub procfile: Option<PathBuf>,
    /// Name of a command, in their order; without one the name of its program
    #[arg(short, long, value_name = "NAME")]
    pub name: Vec<String>,
    /// File of variables for all; with a Procfile it replaces the .env beside it
    #[arg(short, long, value_name = "FILE")]
    pub env: Vec<PathBuf>,
    /// When to end by itself
    #[arg(long, value_enum, default_value_t = Rule::EssentialExited, value_name = "RULE")]
    pub exit_when: Rule,
    /// How lines look
    #[arg(long, value_enum, default_value_t = Form::Prefix, value_name = "FORM")]
    pub format: Form,
    /// The time before each line; without it none, but in JSON
    #[arg(long, value_enum, value_name = "FORM")]
    pub timestamps: Option<Stamp>,
    /// PORT of the first line of a Procfile; the next ones get 100 more each
    #[arg(short, long, value_name = "NUMBER")]
    pub port: Option<u16>,
    /// Listen for the console on this socket; without it on none
    #[arg(long, value_name = "FILE")]
    pub socket: Option<PathBuf>,
    /// Seconds that each may take to stop before it is killed
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10)]
    pub timeout: u16,
    /// What is told of the running itself: critical, error, warn, info, debug, trace or blather
    #[arg(short = 'l', long, value_name = "LEVEL", default_value = "warn")]
    pub loglevel: String,
    /// Lines of the Procfile to run; all when none is named
    #[arg(value_name = "LINE", requires = "procfile")]
    pub lines: Vec<String>,
    /// Program and arguments; `:::` begins the next command
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// When `run` ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rule {
    /// When the first command has failed; if none fails, it stays
    EssentialFailed,
    /// When the first command has ended, in whatever way
    EssentialExited,
    /// When all commands have ended
    AllExited,
}

impl Rule {
    /// The word that a file has for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::EssentialFailed => "essential-failed",
            Self::EssentialExited => "essential-exited",
            Self::AllExited => "all-exited",
        }
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// As it was written
    Raw,
    /// After the name of its command
    Prefix,
    /// As a JSON object
    Json,
}

impl Form {
    /// The word that a file has for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Prefix => "prefix",
            Self::Json => "json",
        }
    }
}

/// The time before a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stamp {
    /// None
    None,
    /// As 2026-11-24T08:49:01.123Z
    Rfc3339,
    /// Seconds since 1970
    Unix,
}

impl Stamp {
    /// The word that a file has for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Rfc3339 => "rfc3339",
            Self::Unix => "unix",
        }
    }
}
