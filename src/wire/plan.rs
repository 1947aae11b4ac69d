//! Answer to `Plan`: what an update would do.

use super::response::{Change, ProcessState};
use serde::{Deserialize, Serialize};

/// What an update would do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The groups that differ, as the answer to `Update` would list them.
    pub groups: Vec<PlannedGroup>,
    /// Every process of the groups that are meant, by group and name.
    pub processes: Vec<PlannedProcess>,
}

/// What would be done to a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedGroup {
    /// As `Update` would answer.
    pub change: Change,
    /// Keys of its own section that differ.
    pub keys: Vec<PlannedKey>,
}

/// What would be done to a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedProcess {
    /// Name as shown: `NAME` or `GROUP:PROCESS`.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its name within the group.
    pub process: String,
    /// The program it is a copy of.
    pub program: String,
    /// Its state now; absent when the daemon does not know it yet.
    pub state: Option<ProcessState>,
    /// What would be done.
    pub step: PlannedStep,
    /// Where its section begins, or began: `FILE:LINE`.
    pub section: String,
    /// The keys that are the reason. Empty for one that is unchanged, and where the whole section came or went.
    pub keys: Vec<PlannedKey>,
}

/// What an update does to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlannedStep {
    /// Nothing.
    Unchanged,
    /// It gets its new settings as it is, up or down.
    Apply,
    /// It is stopped and started.
    Restart,
    /// It is started.
    Start,
    /// It is stopped.
    Stop,
    /// It becomes known, and stays down.
    Add,
    /// It is down, and is forgotten.
    Remove,
}

/// A key whose value differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedKey {
    /// Its name.
    pub key: String,
    /// The active value; absent for none.
    pub old: Option<String>,
    /// The value of the file, or the default; absent for none.
    pub new: Option<String>,
    /// The file that decides: at the key, or at the section whose default it is.
    pub file: Option<String>,
    /// The line in that file; 0 without a file.
    pub line: u32,
    /// Whether it applies without a restart.
    pub live: bool,
}
