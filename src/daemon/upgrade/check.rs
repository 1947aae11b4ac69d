//! The question to an executable whether it can go on with a state: `EXECUTABLE daemon --handoff-check`, with the state
//! as its standard input. It answers with one line and the exit status 0, or with the reason and another one.

use super::state::{State, VERSION};
use crate::daemon::event_loop::Daemon;
use crate::daemon::upgrade::give::Surroundings;
use crate::engine::Engine;
use crate::sys::handover::{self, Luggage, Program};
use crate::sys::spawn::{SpawnSpec, Spawner};
use crate::sys::{clock, kill, notify, pipe, reap};
use crate::types::{ExitStatus, Monotonic, Pid, Signal};
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

/// How long an executable may think while everything goes on.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may think the second time, when it has answered before and everything stands still.
const PATIENCE_AGAIN: Duration = Duration::from_secs(3);
const GLANCE: Duration = Duration::from_millis(1);
/// Most of an answer that is looked at.
const ANSWER_BYTES: usize = 4096;

/// What an executable says that can go on.
fn consent() -> String {
    format!("taskmaster can go on with a state of version {VERSION}\n")
}

/// Answers the question, as the executable that is asked. Returns the exit status.
pub fn answer_check() -> u8 {
    let read = || -> Result<(), String> {
        let mut input = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(text)?);
        let mut bytes = Vec::new();
        input.seek(SeekFrom::Start(0)).map_err(text)?;
        input.read_to_end(&mut bytes).map_err(text)?;
        let state = State::decode(&bytes).map_err(text)?;
        let engine = Engine::import(state.engine);
        // Whatever it says, it can be asked.
        let _deadline = engine.next_deadline();
        Ok(())
    };
    let (answer, status) = match read() {
        Ok(()) => (consent(), 0),
        Err(reason) => (format!("{reason}\n"), 1),
    };
    // Who does not read it sees the exit status.
    let _told = io::stdout().write_all(answer.as_bytes());
    status
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "it stands where an error is handed over"
)]
fn text(error: impl ToString) -> String {
    error.to_string()
}

/// A process that is being asked.
#[derive(Debug)]
pub struct Check {
    pid: Pid,
    answer: OwnedFd,
    deadline: Monotonic,
    killed: bool,
}

impl Check {
    /// Asks a program, with a state in sealed memory as its standard input.
    fn begin(program: &Program, memory: &OwnedFd, deadline: Monotonic) -> Result<Self, String> {
        let (answer, theirs) = pipe::output().map_err(text)?;
        let path = CString::new(program.path()).map_err(text)?;
        let argv = [c"taskmaster", c"daemon", c"--handoff-check"].map(ToOwned::to_owned);
        let variables = std::env::vars_os().filter(|(name, _)| name != notify::VARIABLE);
        let envp: Vec<CString> = variables
            .filter_map(|(mut name, value): (OsString, OsString)| {
                name.push("=");
                name.push(value);
                CString::new(name.into_vec()).ok()
            })
            .collect();
        let mut maker = Spawner::new().map_err(text)?;
        let spec = SpawnSpec {
            program: &path,
            argv: &argv,
            envp: &envp,
            directory: None,
            umask: 0o077,
            identity: None,
            limits: &[],
            stdin: memory.as_fd(),
            stdout: theirs.as_fd(),
            stderr: theirs.as_fd(),
            journal: None,
            may_hang: true,
        };
        let spawned = maker.spawn(&spec).map_err(text)?;
        let check = Self {
            pid: spawned.pid,
            answer,
            deadline,
            killed: false,
        };
        Ok(check)
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// When it is killed.
    pub fn deadline(&self) -> Monotonic {
        self.deadline
    }

    /// Ends it.
    pub fn kill(&mut self, now: Monotonic) {
        self.killed = true;
        self.deadline = now.after(PATIENCE);
        // It is our child and not reaped. One that has ended just now needs no signal.
        let _sent = kill::process(self.pid, Signal::KILL);
    }

    /// What it said, once it has ended.
    pub fn judge(self, status: ExitStatus) -> Result<(), String> {
        let mut said = vec![0; ANSWER_BYTES];
        let count = nix::unistd::read(&self.answer, &mut said).unwrap_or(0);
        said.truncate(count);
        let said = String::from_utf8_lossy(&said);
        if status == ExitStatus::Code(0) && said == consent() {
            return Ok(());
        }
        if self.killed {
            return Err("the executable did not say in time whether it can go on".to_owned());
        }
        let first = said.lines().find(|line| !line.trim().is_empty());
        Err(match (first, status) {
            (Some(line), _) => format!("the executable says: {}", line.trim()),
            (None, ExitStatus::Code(127)) => {
                "the executable cannot be executed: it is not a program for this machine".to_owned()
            }
            (None, status) => format!("the executable cannot go on: {status}"),
        })
    }
}

/// Asks while everything stands still.
pub fn ask_now(program: &Program, memory: &OwnedFd) -> Result<(), String> {
    let deadline = clock::now().after(PATIENCE_AGAIN);
    let mut check = Check::begin(program, memory, deadline)?;
    loop {
        if let Some(status) = reap::peek_at(check.pid) {
            reap::collect(check.pid);
            return check.judge(status);
        }
        let now = clock::now();
        if now >= check.deadline {
            check.kill(now);
        }
        std::thread::sleep(GLANCE);
    }
}

impl Daemon {
    /// Asks a program with a copy of the state, while everything goes on.
    pub(super) fn begin_check(&self, program: &Program, now: Monotonic) -> Result<Check, String> {
        let mut luggage = Luggage::default();
        let surroundings = Surroundings::default();
        let state = self
            .state(
                &surroundings,
                crate::daemon::capture::WorkState::default(),
                Vec::new(),
                &mut luggage,
            )
            .map_err(|errno| errno.desc().to_owned())?;
        let bytes = state.encode().map_err(text)?;
        let memory = handover::sealed(&bytes).map_err(text)?;
        drop(luggage);
        Check::begin(program, &memory, now.after(PATIENCE))
    }
}
