//! The daemon's children between the engine's decision and the kernel: spawns that wait for their turn, processes that
//! have not executed their program yet, and ends that have to be told before they are collected.
//!
//! The order matters twice. A status pipe, where there is one, is read before the end of its process is told, so that an
//! end is never taken for an exit of the program when the program was never executed. And an end is told while the
//! kernel still holds the process (`WNOWAIT`), so that the engine can signal what is left of its group under a number
//! that cannot have been given to anybody else.

use super::launch::{self, Launched, Launcher};
use crate::config::model::ProcessSettings;
use crate::engine::event::{Event, SpawnFailure};
use crate::sys::handover::{self, Luggage};
use crate::sys::spawn::{self, ExecStatus};
use crate::types::{ExitStatus, Generation, Pid, ProcessKey};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

/// Processes made in one turn of the loop, so that clients and ends are served in between.
pub const SPAWNS_PER_TURN: usize = 16;

/// Children, written down.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChildrenState {
    waiting: Vec<Waiting>,
    executing: Vec<(Pid, Waiting, RawFd)>,
    failures: BTreeMap<Pid, SpawnFailure>,
}

/// A spawn that waits for its turn.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// Whose.
    pub key: ProcessKey,
    /// Of the engine's action.
    pub generation: Generation,
    /// How.
    pub settings: Arc<ProcessSettings>,
}

#[derive(Debug)]
struct Executing {
    spawn: Waiting,
    status: OwnedFd,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Children {
    launcher: Launcher,
    /// Whether what cannot be executed is left as it is when somebody asks for its start, as Supervisor does.
    looks_first: bool,
    waiting: VecDeque<Waiting>,
    executing: BTreeMap<Pid, Executing>,
    failures: BTreeMap<Pid, SpawnFailure>,
}

impl Children {
    /// No children yet.
    pub fn new(launcher: Launcher, looks_first: bool) -> Self {
        Self {
            launcher,
            looks_first,
            waiting: VecDeque::new(),
            executing: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }

    /// What is to be written down of it, for the next image.
    pub fn export(&self, luggage: &mut Luggage) -> Result<ChildrenState, Errno> {
        let executing = self.executing.iter().map(|(&pid, executing)| {
            let spawn = executing.spawn.clone();
            Ok((pid, spawn, luggage.pack(&executing.status)?))
        });
        Ok(ChildrenState {
            waiting: self.waiting.iter().cloned().collect(),
            executing: executing.collect::<Result<_, _>>()?,
            failures: self.failures.clone(),
        })
    }

    /// Goes on where another image was.
    pub fn import(launcher: Launcher, looks_first: bool, state: ChildrenState) -> Self {
        let mut children = Self::new(launcher, looks_first);
        children.waiting = state.waiting.into();
        children.failures = state.failures;
        for (pid, spawn, status) in state.executing {
            if let Some(status) = handover::inherit(status) {
                children.watch(pid, spawn, status);
            }
        }
        children
    }

    /// The status pipes that have not told anything yet.
    pub fn statuses(&self) -> impl Iterator<Item = (Pid, BorrowedFd<'_>)> {
        self.executing
            .iter()
            .map(|(&pid, executing)| (pid, executing.status.as_fd()))
    }

    /// Takes a spawn into the queue.
    pub fn enqueue(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
    }

    /// The spawn whose turn it is.
    pub fn next_waiting(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    /// Whether spawns wait for their turn.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Gives up the room of a queue that is shorter now.
    pub fn shrink(&mut self) {
        self.waiting.shrink_to_fit();
    }

    /// Whether a process may not have written itself down yet.
    pub fn has_executing(&self) -> bool {
        !self.executing.is_empty()
    }

    /// What makes processes.
    pub fn launcher(&self) -> &Launcher {
        &self.launcher
    }

    /// Why the program of a process is not to be tried: it could not be executed, as far as that is seen without trying.
    pub fn refusal(&self, settings: &ProcessSettings) -> Option<SpawnFailure> {
        self.looks_first
            .then(|| self.launcher.look(settings).err())
            .flatten()
    }

    /// Makes the process of a spawn.
    pub fn launch(
        &mut self,
        spawn: &Waiting,
        journal: BorrowedFd<'_>,
        listener: Option<BorrowedFd<'_>>,
    ) -> Result<Launched, SpawnFailure> {
        self.launcher
            .launch(&spawn.settings, spawn.generation, journal, listener)
    }

    /// Keeps the status pipe of a process just made, until it tells.
    pub fn watch(&mut self, pid: Pid, spawn: Waiting, status: OwnedFd) {
        self.executing.insert(pid, Executing { spawn, status });
    }

    /// Reads the status pipe of `pid`. `Some` once it has told, with the pipe to stop watching, and the event if the
    /// program was executed; a failure is kept for the end of the process, which follows.
    pub fn read_status(&mut self, pid: Pid) -> Option<(OwnedFd, Option<Event>)> {
        let executing = self.executing.get(&pid)?;
        let told = spawn::exec_status(executing.status.as_fd());
        if told == ExecStatus::Pending {
            return None;
        }
        let Executing { spawn, status } = self.executing.remove(&pid)?;
        Some((status, self.settle(pid, spawn, told)))
    }

    /// Takes in how the start of `pid` went. `Some` if the program was executed; a failure is kept for the end of the
    /// process, which follows.
    pub fn settle(&mut self, pid: Pid, spawn: Waiting, told: ExecStatus) -> Option<Event> {
        let Waiting {
            key,
            generation,
            settings,
        } = spawn;
        let ExecStatus::Failed { step, errno } = told else {
            return Some(Event::Executed { key, generation });
        };
        let step = launch::step(step);
        let failure = SpawnFailure {
            step,
            subject: launch::subject(&settings, step),
            errno: errno as i32,
        };
        self.failures.insert(pid, failure);
        None
    }

    /// The event for the end of a process, after its status pipe was read.
    pub fn end_of(&mut self, pid: Pid, status: ExitStatus) -> Event {
        Event::Exited {
            pid,
            status,
            failure: self.failures.remove(&pid),
        }
    }

    /// Forgets a process that ended before its status pipe told anything (it was killed on the way).
    pub fn forget(&mut self, pid: Pid) -> Option<OwnedFd> {
        self.executing
            .remove(&pid)
            .map(|executing| executing.status)
    }
}
