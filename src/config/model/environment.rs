//! The variables of a program.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Variables of a program that are weaker than those of its own section, the weakest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EnvLayers {
    /// Files that the daemon's section names.
    pub common_files: Vec<EnvFile>,
    /// Variables of the daemon's section, but for those that the program's own section sets as well.
    pub common: Environment,
    /// Files that the program's section names.
    pub files: Vec<EnvFile>,
}

/// A file of variables, read at each start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvFile {
    /// Where it is. Absolute.
    pub path: PathBuf,
    /// A start does not fail for want of it.
    pub optional: bool,
}

/// As a file names it.
impl fmt::Display for EnvFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.optional { "-" } else { "" };
        write!(f, "{mark}{}", self.path.display())
    }
}

/// Environment variables. Values may be secrets, so `Debug` prints only how many there are.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Environment(pub BTreeMap<String, String>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} variables>", self.0.len())
    }
}
