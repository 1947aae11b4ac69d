//! `reload`: the daemon starts anew in its own process, so that its pid stays what it was.
//!
//! The new image gets the arguments, the environment and the working directory that the daemon was first started
//! with, and a marker in the environment that says not to go into the background a second time.

use crate::sys::limits::Limit;
use crate::sys::{exec, lookup};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::ffi::{CString, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Variable that marks a process which is in the background already.
pub const MARKER: &str = "TASKMASTER_RELOADED";

/// How this process was first started.
#[derive(Debug)]
pub struct Origin {
    executable: PathBuf,
    arguments: Vec<OsString>,
    directory: OwnedFd,
    background: bool,
}

/// The file that this process executes. Where no `/proc` tells, it is the one that the caller named; a `reload` looks
/// again whether it is there.
fn own_executable() -> std::io::Result<PathBuf> {
    std::env::current_exe().or_else(|unknown| {
        let name = std::env::args().next().ok_or(unknown)?;
        let path = std::env::var("PATH").unwrap_or_default();
        std::path::absolute(lookup::lookup(&name, Some(&path), None)?)
    })
}

impl Origin {
    /// Takes the process's surroundings down, before anything changes them.
    pub fn remember() -> std::io::Result<Self> {
        Ok(Self {
            executable: own_executable()?,
            arguments: std::env::args_os().collect(),
            directory: open(
                ".",
                OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_DIRECTORY,
                Mode::empty(),
            )?,
            background: false,
        })
    }

    /// The file that this process executes, and would execute anew.
    pub fn executable(&self) -> &Path {
        &self.executable
    }

    /// Whether this image was started by an earlier one that was in the background.
    pub fn is_successor() -> bool {
        std::env::var_os(MARKER).is_some()
    }

    /// Whether the daemon has gone into the background.
    pub fn is_in_background(&self) -> bool {
        self.background
    }

    /// The daemon has gone into the background.
    pub fn set_background(&mut self) {
        self.background = true;
    }

    /// Starts anew. Returns only when that failed.
    pub fn start_anew(self, original_limits: &[Limit]) -> std::io::Error {
        if let Err(errno) = nix::unistd::fchdir(&self.directory) {
            return errno.into();
        }
        let mut environment: Vec<(OsString, OsString)> = std::env::vars_os()
            .filter(|(name, _)| name != MARKER)
            .collect();
        if self.background {
            environment.push((MARKER.into(), "1".into()));
        }
        let strings = || {
            let words = self
                .arguments
                .iter()
                .map(|word| CString::new(word.as_bytes()));
            let variables = environment.iter().map(|(name, value)| {
                CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())
            });
            let program = CString::new(self.executable.as_os_str().as_bytes())?;
            let words = words.collect::<Result<Vec<_>, _>>()?;
            Ok::<_, std::ffi::NulError>((program, words, variables.collect::<Result<Vec<_>, _>>()?))
        };
        match strings() {
            Ok((program, words, variables)) => {
                exec::replace(&program, &words, &variables, original_limits).into()
            }
            Err(error) => error.into(),
        }
    }
}
