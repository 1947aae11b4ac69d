//! `reload`: the daemon starts anew in its own process, so that its pid stays what it was.
//!
//! The new image gets the arguments, the environment and the working directory that the daemon was first started
//! with, and a marker in the environment that says not to go into the background a second time.

use crate::sys::handover::Program;
use crate::sys::limits::Limit;
use crate::sys::{exec, lookup};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::ffi::{CString, OsString};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Variable that marks a process which is in the background already.
pub const MARKER: &str = "TASKMASTER_RELOADED";

/// Variable that says which descriptor holds what an earlier image hands over.
pub const HANDOVER: &str = "TASKMASTER_HANDOVER";

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

    /// Is called in lists of processes as it was first started. What is executed without a name, or by that of the file
    /// behind a link, is called after it, and who looks for `taskmasterd` would look in vain.
    pub fn take_name(&self) {
        let word = self.arguments.first().map(Path::new);
        if let Some(name) = word.and_then(Path::file_name)
            && let Ok(name) = CString::new(name.as_bytes())
        {
            // It is for people to read, and nothing depends on it.
            let _called = nix::sys::prctl::set_name(&name);
        }
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

    /// What is executed from now on, as an earlier image knows it.
    pub fn set_executable(&mut self, executable: PathBuf) {
        self.executable = executable;
    }

    /// Goes on as another program, which finds what is handed over in the descriptor of this number. Returns only when
    /// that failed.
    pub fn go_on_as(&self, program: &Program, number: RawFd) -> Result<Errno, String> {
        let marker = (OsString::from(HANDOVER), OsString::from(number.to_string()));
        let (words, variables) = self.strings([marker]).map_err(|error| error.to_string())?;
        let here = std::env::current_dir();
        self.go_back()
            .map_err(|errno| format!("the directory of the start: {}", errno.desc()))?;
        let errno = program.execute(&words, &variables);
        if let Ok(here) = here {
            // It was the directory a moment ago.
            let _back = std::env::set_current_dir(here);
        }
        Ok(errno)
    }

    /// Goes to the directory of the start. The user that the daemon has become since may not be let in there, as where root
    /// started it from its own; nothing that is named from there can be read any more then, so no name is lost by going
    /// elsewhere.
    fn go_back(&self) -> Result<(), Errno> {
        match nix::unistd::fchdir(&self.directory) {
            Err(Errno::EACCES) => nix::unistd::chdir("/"),
            result => result,
        }
    }

    /// The arguments of the start, and its environment with these variables.
    fn strings(
        &self,
        more: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(Vec<CString>, Vec<CString>), std::ffi::NulError> {
        let words = self
            .arguments
            .iter()
            .map(|word| CString::new(word.as_bytes()));
        let kept = std::env::vars_os().filter(|(name, _)| name != MARKER && name != HANDOVER);
        let variables = kept
            .chain(more)
            .map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()));
        Ok((
            words.collect::<Result<_, _>>()?,
            variables.collect::<Result<_, _>>()?,
        ))
    }

    /// Starts anew. Returns only when that failed.
    pub fn start_anew(self, original_limits: &[Limit]) -> std::io::Error {
        if let Err(errno) = self.go_back() {
            return errno.into();
        }
        let marker = self.background.then(|| (MARKER.into(), "1".into()));
        let strings = || {
            let program = CString::new(self.executable.as_os_str().as_bytes())?;
            let (words, variables) = self.strings(marker)?;
            Ok::<_, std::ffi::NulError>((program, words, variables))
        };
        match strings() {
            Ok((program, words, variables)) => {
                exec::replace(&program, &words, &variables, original_limits).into()
            }
            Err(error) => error.into(),
        }
    }
}
