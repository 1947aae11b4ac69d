//! What of a process outlives the daemon: enough for the next one to go on as if it were the same.
//!
//! A memo is written often and read rarely, so it leaves out what nothing depends on: earlier lives, and how far a start
//! or a wait for the rest of a process group has come.

use super::{Attempt, Current, PROBE_FIRST, Phase, Process, Wanted};
use crate::engine::mutants::mutant;
use crate::engine::view::Trouble;
use crate::types::{ExitStatus, Generation, Monotonic};
use serde::{Deserialize, Serialize};

/// See the module's documentation. Its fields are the engine's business.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memo {
    pub(super) wanted: Wanted,
    pub(super) current: Current,
    pub(super) generation: Generation,
    pub(super) since: Monotonic,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) started_at: Option<Monotonic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stopped_at: Option<Monotonic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_spawn: Option<Monotonic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<Trouble>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_exit: Option<ExitStatus>,
    #[serde(default)]
    pub(super) failures: u32,
    #[serde(default)]
    pub(super) shortages: u32,
    #[serde(default)]
    pub(super) restarts: u64,
}

impl Memo {
    /// Counts the spawns of the process.
    pub fn generation(&self) -> Generation {
        self.generation
    }
}

impl Process {
    /// What is to be written down.
    pub fn memo(&self) -> Memo {
        Memo {
            wanted: self.wanted,
            current: self.current.in_outline(),
            generation: self.generation,
            since: self.since,
            // Known from the process itself while one is being started.
            started_at: match self.current {
                Current::Starting(_) => None,
                Current::Stopped
                | Current::Running { .. }
                | Current::Backoff { .. }
                | Current::Stopping { .. }
                | Current::Exited { .. }
                | Current::Fatal => self.started_at,
            },
            stopped_at: self.stopped_at,
            last_spawn: self.last_spawn,
            trouble: self.trouble.clone(),
            last_exit: self.last_exit,
            failures: mutant!(CrashForgetsFailures, self.failures, 0),
            shortages: self.shortages,
            restarts: self.restarts,
        }
    }
}

impl Current {
    /// Without what changes all the time and says nothing to a successor.
    fn in_outline(self) -> Self {
        match self {
            Self::Starting(_) => Self::Starting(Attempt::Asked),
            Self::Stopping {
                then,
                phase: Phase::Remains { group, until, .. },
            } => Self::Stopping {
                then,
                phase: Phase::Remains {
                    group,
                    look_at: None,
                    pause: PROBE_FIRST,
                    until,
                },
            },
            Self::Stopped
            | Self::Running { .. }
            | Self::Backoff { .. }
            | Self::Stopping { .. }
            | Self::Exited { .. }
            | Self::Fatal => self,
        }
    }
}
