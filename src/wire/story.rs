//! Answer to `Why`: one process and what led to its state.

use super::response::{ExitStatus, StatusRow};
use serde::{Deserialize, Serialize};

/// One process and what led to its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// As it is.
    pub row: StatusRow,
    /// Milliseconds since it entered its state; absent when it has never been in another one.
    pub since_ms: Option<u64>,
    /// What it is to be.
    pub wanted: Wanted,
    /// How its last lives ended, the oldest first.
    pub lives: Vec<Life>,
    /// How many lives have ended since the daemon started.
    pub ended: u64,
    /// Failed attempts after the first before it is given up.
    pub startretries: u32,
    /// Where its section begins: `FILE:LINE`.
    pub section: String,
    /// The settings that decide about it.
    pub keys: Vec<Key>,
}

/// What a process is to be, and who said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Up rather than down.
    pub up: bool,
    /// An operator said so, rather than the file's `autostart`.
    pub by_operator: bool,
}

/// A life of a program, from its spawn to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// When it ended: seconds since 1970.
    pub ended_at: i64,
    /// How long it ran, in milliseconds.
    pub ran_ms: u64,
    /// How it ended.
    pub status: ExitStatus,
    /// Whether it was told to end.
    pub asked: bool,
    /// Whether its status was among the expected ones.
    pub expected: bool,
}

/// A setting and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its name.
    pub key: String,
    /// Its value, as a file would write it.
    pub value: String,
    /// The file that gives it; absent for a default.
    pub file: Option<String>,
    /// The line in that file; 0 for a default.
    pub line: u32,
}
