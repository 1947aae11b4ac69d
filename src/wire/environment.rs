//! Answer to `Environment`: the variables that a process would get at its next start, and where each comes from.

use super::response::Failure;
use serde::{Deserialize, Serialize};

/// The environment of one process at its next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentReply {
    /// The process as shown.
    pub name: String,
    /// Its variables, sorted by name.
    pub variables: Vec<Variable>,
    /// Why the start would fail before that: a file of variables cannot be used.
    pub failure: Option<Failure>,
    /// Files that would be left out, though they are there: each with what is wrong.
    pub ignored: Vec<String>,
}

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; what is, or may be, a secret is replaced by `****`.
    pub value: String,
    /// Whether something was replaced.
    pub masked: bool,
    /// Where it comes from.
    pub origin: VariableOrigin,
    /// The file that gives it; absent where none does.
    pub file: Option<String>,
    /// The line in that file; 0 where none gives it.
    pub line: u32,
}

/// Where a variable comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VariableOrigin {
    /// The environment that the daemon was started with.
    Inherited,
    /// The daemon sets it for its programs.
    Daemon,
    /// The account that the program runs as.
    Account,
    /// A file that `env_file` names.
    EnvFile,
    /// The key `environment` of the daemon's or the program's section.
    Key,
}
