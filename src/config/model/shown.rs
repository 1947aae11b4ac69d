//! What is shown on the daemon's own standard streams, and how.

/// Whose lines are shown on the daemon's standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    /// None.
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
}

/// Standard streams of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
