//! A new daemon takes over what a killed one left: what the engine writes down of its processes, and what it makes of
//! that when it is told.
//!
//! The shell keeps each [`Memo`] where it survives, before it carries out the actions that belong to it. So whatever was
//! done is on record, and what is on record but was not done is done again or shows as not done.

use super::Engine;
use super::event::Found;
use super::outbox::Outbox;
use super::process::memo::Memo;
use crate::engine::mutants::mutant;
use crate::types::{Monotonic, ProcessKey};
use std::sync::Arc;

impl Engine {
    /// What is to be written down about every process that something has happened to since the last call; `None` for
    /// one that is no longer known.
    pub fn take_memos(&mut self) -> Vec<(ProcessKey, Option<Memo>)> {
        self.table
            .take_touched()
            .into_iter()
            .map(|key| {
                let memo = self.table.get(&key).map(super::Process::memo);
                (key, memo)
            })
            .collect()
    }

    /// Makes of each process what it was, as far as the world still agrees. One whose settings have changed meanwhile is
    /// started anew, as an update would.
    pub(super) fn recover(&mut self, now: Monotonic, found: Vec<Found>, out: &mut Outbox) {
        for found in found {
            let key = found.key.clone();
            let outdated =
                mutant!(OutdatedSurvivorGoesOn, found.outdated, false) && found.survivor.is_some();
            self.table
                .with(&key, |process| process.recover(now, found, out));
            self.apply_happenings(out);
            if outdated
                && let Some(settings) = self.table.get(&key).map(|it| Arc::clone(it.settings()))
            {
                self.replace(now, settings, out);
            }
        }
    }
}
