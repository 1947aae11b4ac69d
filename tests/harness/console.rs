//! Running commands to their end and judging what they said.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;

/// What a finished command said.
#[derive(Clone)]
pub struct Said {
    /// The command, for messages.
    pub command: String,
    /// Its exit code; 128 and the number of the signal that ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Said {
    pub(super) fn new(command: String, output: &Output) -> Self {
        let status = output.status;
        Self {
            command,
            code: status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal))
                .unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Demands this exit code and exactly this standard output, and nothing on standard error.
    #[track_caller]
    pub fn is(&self, code: i32, stdout: &str) -> &Self {
        assert!(
            self.code == code && self.stdout == stdout && self.stderr.is_empty(),
            "expected code {code} and standard output {stdout:?}\n{self:?}"
        );
        self
    }

    /// Demands this exit code and a standard output that begins so (a usage error is followed by the action's help).
    #[track_caller]
    pub fn begins(&self, code: i32, stdout: &str) -> &Self {
        assert!(
            self.code == code && self.stdout.starts_with(stdout),
            "expected code {code} and standard output that begins with {stdout:?}\n{self:?}"
        );
        self
    }

    /// Demands this exit code.
    #[track_caller]
    pub fn code(&self, code: i32) -> &Self {
        assert!(self.code == code, "expected code {code}\n{self:?}");
        self
    }

    /// Demands that standard output or standard error holds `text`.
    #[track_caller]
    pub fn mentions(&self, text: &str) -> &Self {
        assert!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "expected a mention of {text:?}\n{self:?}"
        );
        self
    }

    /// Both outputs in one text.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        writeln!(f, "exit code: {}", self.code)?;
        writeln!(f, "standard output: {:?}", self.stdout)?;
        write!(f, "standard error: {:?}", self.stderr)
    }
}

/// Words of a command line: a text split at blanks, or a list.
pub trait Words {
    /// The words.
    fn words(&self) -> Vec<String>;
}

impl Words for &str {
    fn words(&self) -> Vec<String> {
        self.split_whitespace().map(str::to_owned).collect()
    }
}

impl Words for &String {
    fn words(&self) -> Vec<String> {
        self.as_str().words()
    }
}

impl<const N: usize> Words for &[&str; N] {
    fn words(&self) -> Vec<String> {
        self.iter().map(|&word| word.to_owned()).collect()
    }
}

impl Words for &Vec<String> {
    fn words(&self) -> Vec<String> {
        (*self).clone()
    }
}
