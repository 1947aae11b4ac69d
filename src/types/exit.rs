//! How a process ended, as `wait` told it.

use super::Signal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The end of a process: typed, so that a death by signal can never be read as exit code 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It called `exit` with this code (0 to 255).
    Code(u8),
    /// A signal ended it.
    Signaled {
        /// The signal.
        signal: Signal,
        /// Whether the kernel wrote a core file.
        core_dumped: bool,
    },
    /// Nobody knows: it was not a child of this daemon, and the kernel did not tell.
    Unknown,
}

impl ExitStatus {
    /// Whether this is an exit with one of `codes`. A death by signal is never expected, nor is an end of which nothing is
    /// known.
    pub fn is_among(self, codes: &[u8]) -> bool {
        match self {
            Self::Code(code) => codes.contains(&code),
            Self::Signaled { .. } | Self::Unknown => false,
        }
    }
}

/// The words of Supervisor's log: `exit status 3`, `terminated by SIGSEGV (core dumped)`.
impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signaled {
                signal,
                core_dumped: false,
            } => write!(f, "terminated by {signal}"),
            Self::Signaled {
                signal,
                core_dumped: true,
            } => write!(f, "terminated by {signal} (core dumped)"),
            Self::Unknown => f.write_str("exit status unknown"),
        }
    }
}
