//! What must hold when all is quiet, and how much may be remembered.

use super::Checks;
use crate::engine::Engine;
use crate::engine::event::{Command, Event};
use crate::engine::simulation::kernel::Kernel;
use crate::engine::view::State;
use crate::types::Ticket;
use std::sync::Arc;

impl Checks {
    /// I21: where the edits and commands of a history have led is where a daemon would be that had begun with the last
    /// file and the operator's orders. Only what a live change of `autostart` found started or stopped stays so. And what
    /// runs was started with what is configured, by the kernel's books.
    pub(super) fn is_confluent(&self, engine: &Engine, kernel: &Kernel) -> Result<(), String> {
        let mut config = (**engine.config()).clone();
        config.groups.clone_from(self.applied.groups());
        let mut fresh = Engine::new(Arc::new(config));
        drop(fresh.step(self.now, Event::Boot));
        for (number, view) in (0..).zip(engine.processes()) {
            let intent = self.intents.of(&view.key);
            if !intent.explicit {
                continue;
            }
            let targets = vec![view.key.to_string()];
            let command = if intent.up {
                Command::Start {
                    targets,
                    wait: false,
                    unrunnable: std::collections::BTreeMap::new(),
                }
            } else {
                Command::Stop {
                    targets,
                    wait: false,
                }
            };
            let ticket = Ticket(number);
            drop(fresh.step(self.now, Event::Command { ticket, command }));
        }
        let keys = |engine: &Engine| engine.processes().map(|view| view.key).collect::<Vec<_>>();
        if keys(engine) != keys(&fresh) {
            return Err(format!("I21: {:?} is not {:?}", keys(engine), keys(&fresh)));
        }
        for view in fresh.processes() {
            let key = &view.key;
            let (Some(story), Some(expected)) = (engine.story(key), fresh.story(key)) else {
                return Err(format!("I21: {key} has no story"));
            };
            if story.process.settings != view.settings {
                return Err(format!("I21: {key} is {story:?}, not {view:?}"));
            }
            if story.wanted_up != expected.wanted_up && !self.intents.is_kept(key) {
                return Err(format!("I21: {key} is to be {story:?}, not {expected:?}"));
            }
            if story.lives.len() > 8 {
                return Err(format!("I29: {key} remembers {} lives", story.lives.len()));
            }
            let started_with = kernel.leader(key).and_then(|task| task.settings.clone());
            if story.process.state == State::Running
                && started_with.is_some_and(|old| old.needs_restart(&view.settings))
            {
                return Err(format!("I21: {key} still runs with earlier settings"));
            }
        }
        Ok(())
    }
}

/// I29: nothing is remembered for nobody. There is one open request for each client that waits, at most two outcomes that it
/// waits for in each process, and one index entry for each pid, deadline and copy.
pub fn is_bounded(engine: &Engine, clients: usize) -> Result<(), String> {
    let (requests, outcomes) = engine.requests.sizes();
    let processes = engine.table.processes().count();
    if requests != clients || outcomes > 2 * requests * processes {
        return Err(format!(
            "I29: {clients} clients wait, {requests} requests are open for {outcomes} outcomes"
        ));
    }
    let pids = engine.processes().filter(|view| view.pid.is_some()).count();
    let deadlines = engine
        .table
        .processes()
        .filter(|process| process.deadline().is_some())
        .count();
    let sizes = engine.table.sizes();
    if sizes != [pids, deadlines, processes] {
        return Err(format!(
            "I22, I29: indices of {sizes:?} for {pids} pids, {deadlines} deadlines, {processes} processes"
        ));
    }
    Ok(())
}
