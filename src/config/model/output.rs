//! Where output goes: files, and the daemon's own standard streams.

use crate::types::ByteSize;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Whose lines are shown on the daemon's standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StandardOutput {
    /// Those of all programs.
    Children,
    /// Those of its own log.
    #[default]
    Daemon,
    /// Both.
    Both,
    /// Nobody's, but for programs whose logs are there.
    None,
}

impl StandardOutput {
    /// Every choice, by the word that a file has for it.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("children", Self::Children),
        ("daemon", Self::Daemon),
        ("both", Self::Both),
        ("none", Self::None),
    ];

    /// The word that a file has for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Children => "children",
            Self::Daemon => "daemon",
            Self::Both => "both",
            Self::None => "none",
        }
    }

    /// Whether programs are shown.
    pub fn shows_children(self) -> bool {
        matches!(self, Self::Children | Self::Both)
    }

    /// Whether the daemon's own log is shown.
    pub fn shows_daemon(self) -> bool {
        matches!(self, Self::Daemon | Self::Both)
    }
}

/// How a line looks on a standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LineFormat {
    /// As it was written.
    #[default]
    Raw,
    /// After the name of its program.
    Prefix,
    /// As a JSON object.
    Json,
}

impl LineFormat {
    /// Every form, by the word that a file has for it.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("raw", Self::Raw),
        ("prefix", Self::Prefix),
        ("json", Self::Json),
    ];
}

/// The time that stands before a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Timestamps {
    /// None.
    #[default]
    None,
    /// `2026-11-24T08:49:01.123Z`.
    Rfc3339,
    /// Seconds since 1970 with three decimals.
    Unix,
}

impl Timestamps {
    /// Every form, by the word that a file has for it.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("none", Self::None),
        ("rfc3339", Self::Rfc3339),
        ("unix", Self::Unix),
    ];

    /// The word that a file has for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Rfc3339 => "rfc3339",
            Self::Unix => "unix",
        }
    }
}

/// Standard streams of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ShownOn {
    /// The output.
    pub stdout: bool,
    /// The error.
    pub stderr: bool,
}

impl ShownOn {
    /// Whether it is any of them.
    pub fn is_anywhere(self) -> bool {
        self.stdout || self.stderr
    }
}

/// Where one output stream goes and how its file is rotated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// The destination.
    pub target: LogTarget,
    /// Size at which the file is rotated; 0 never.
    pub maxbytes: ByteSize,
    /// Rotated files that are kept; 0 discards the full file.
    pub backups: u32,
    /// The time before each line of the file.
    #[serde(default)]
    pub timestamps: Timestamps,
    /// Standard streams of the daemon that its lines are shown on.
    pub shown: ShownOn,
    /// The program writes the file itself. Only where nothing needs to see the bytes on their way.
    pub direct: bool,
    /// The most that is kept of a section between the tokens for capturing; 0 leaves them in the log.
    pub capture_maxbytes: ByteSize,
    /// Post what is written as events.
    pub events_enabled: bool,
    /// Send every line to the system log.
    pub syslog: bool,
}

impl LogSettings {
    /// Whether anything is done with the bytes at all.
    pub fn is_read(&self) -> bool {
        self.target != LogTarget::Discard
            || self.shown.is_anywhere()
            || self.capture_maxbytes.0 > 0
            || self.events_enabled
            || self.syslog
    }

    /// Whether going from these settings to `new` needs the process to be started anew.
    pub(super) fn needs_restart(&self, new: &Self) -> bool {
        let Self {
            target,
            maxbytes: _,
            backups: _,
            timestamps: _,
            shown,
            direct,
            capture_maxbytes,
            events_enabled,
            syslog,
        } = self;
        *target != new.target
            || *shown != new.shown
            || *direct != new.direct
            || *capture_maxbytes != new.capture_maxbytes
            || *events_enabled != new.events_enabled
            || *syslog != new.syslog
    }
}

/// Destination of one output stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogTarget {
    /// Discarded.
    Discard,
    /// A file.
    File {
        /// Absolute path. Shared with whoever writes the file.
        path: Arc<Path>,
        /// Whether the name was made by the AUTO rule.
        auto: bool,
    },
}

impl LogTarget {
    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => Some(path),
            Self::Discard => None,
        }
    }

    /// The same, for somebody who keeps it.
    pub fn shared_path(&self) -> Option<Arc<Path>> {
        match self {
            Self::File { path, .. } => Some(Arc::clone(path)),
            Self::Discard => None,
        }
    }
}
