//! What one step brings forth: actions for the shell, and happenings that the rest of the engine reacts to.

use super::action::{Action, Note};
use super::event::SpawnFailure;
use crate::types::{ExitStatus, ProcessKey};

/// Something about one process that requests and the shutdown wait for. Never leaves the engine.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Happening {
    /// A process exists for the attempt that is under way.
    Spawned,
    /// It counts as started.
    Running,
    /// The attempt made no process, or its process failed before its program.
    SpawnFailed(SpawnFailure),
    /// Its program ended before it counted as started.
    ExitedTooQuickly(ExitStatus),
    /// Whoever waits for a start waits in vain: it was told to end.
    Cancelled,
    /// The stop signal has been sent.
    Signalled,
    /// It was told to end, and nothing is left of it.
    Gone,
    /// It was told to end, KILL did not help, and nobody shall wait any longer.
    NotKilled,
    /// It is no longer configured and nothing is left of it. The last that is heard of it.
    Forgotten,
}

/// Collects what a step brings forth.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// For the shell, in this order.
    pub actions: Vec<Action>,
    /// For the engine itself; empty between steps.
    pub happenings: Vec<(ProcessKey, Happening)>,
}

impl Outbox {
    /// Adds an action.
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Adds a line for the log.
    pub fn log(&mut self, note: Note) {
        self.actions.push(Action::Log(note));
    }

    /// Tells the rest of the engine.
    pub fn happen(&mut self, key: &ProcessKey, happening: Happening) {
        self.happenings.push((key.clone(), happening));
    }

    /// Reports a broken invariant: stops a test at once, costs a release one line in the log.
    pub fn bug(&mut self, detail: String) {
        debug_assert!(false, "bug: {detail}");
        self.log(Note::Bug { detail });
    }
}
