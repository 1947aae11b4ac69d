//! What users other than root and the daemon's own may ask for.

use crate::types::{ProcessKey, ProgramName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What some users may ask of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name, for the log.
    pub name: String,
    /// User ids it belongs to.
    pub users: BTreeSet<u32>,
    /// Ids of groups it belongs to.
    pub groups: BTreeSet<u32>,
    /// The processes it is about.
    pub programs: Vec<Scope>,
    /// What may be done to them.
    pub allow: BTreeSet<Class>,
}

impl Role {
    /// Whether it is about a process.
    pub fn covers(&self, key: &ProcessKey, program: &ProgramName) -> bool {
        self.programs.iter().any(|scope| match scope {
            Scope::All => true,
            Scope::Program(name) => name == program.as_str(),
            Scope::Group(group) => group == key.group.as_str(),
            Scope::Process(group, process) => {
                group == key.group.as_str() && process == key.process.as_str()
            }
        })
    }
}

/// Which processes a role is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// All, and what concerns none in particular.
    All,
    /// Every copy of a program.
    Program(String),
    /// Every process of a group.
    Group(String),
    /// One process: group and name.
    Process(String, String),
}

/// A class of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// Looks at states.
    Read,
    /// Reads output, which may hold secrets.
    Logs,
    /// Starts, stops and signals, and writes to standard inputs.
    Operate,
    /// Reads the file again and applies it: as much as being the daemon's user.
    Config,
    /// Ends the daemon, or takes logs away.
    Daemon,
}

impl Class {
    /// Every class, by the word that a file has for it.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("read", Self::Read),
        ("logs", Self::Logs),
        ("operate", Self::Operate),
        ("config", Self::Config),
        ("daemon", Self::Daemon),
    ];

    /// The word that a file has for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Logs => "logs",
            Self::Operate => "operate",
            Self::Config => "config",
            Self::Daemon => "daemon",
        }
    }
}
