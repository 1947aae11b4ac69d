//! What must hold when a new daemon has taken over, and with what the checks go on.
//!
//! - **I35** A process has a pid exactly if it was adopted, or lives again. What failed, what was told to stop and what an
//!   operator wants are as they were. A stop that was under way keeps its time; a process that nobody saw ending is
//!   started again if it would have been, an unexpected end given.

use super::{Checks, Seen};
use crate::config::model::{Autorestart, Config};
use crate::engine::Engine;
use crate::engine::action::Action;
use crate::engine::event::Found;
use crate::engine::simulation::crash::Taking;
use crate::engine::simulation::kernel::Kernel;
use crate::engine::view::{ProcessView, State};
use crate::types::{Monotonic, ProcessKey, Signal};
use std::collections::BTreeSet;

impl Checks {
    /// What was decided but not done when the daemon was killed is on record, and so counts as it was decided.
    pub fn on_record(
        &mut self,
        actions: &[Action],
        engine: &Engine,
        kernel: &Kernel,
    ) -> Result<(), String> {
        for action in actions {
            match action {
                Action::Publish(change) => self.publish(change, engine, kernel)?,
                Action::Spawn { key, .. } => {
                    if let Some(seen) = self.seen.get_mut(key) {
                        seen.spawned_at = Some(self.now);
                        seen.asked = None;
                        seen.first_kill = None;
                        seen.last_kill = None;
                        seen.reaped_at = None;
                    }
                }
                Action::Kill { key, signal, .. } => {
                    let settings = self.before.get(key).map(|view| &view.settings);
                    let patience = settings.map(|it| it.policy.stopwaitsecs);
                    if let Some(seen) = self.seen.get_mut(key)
                        && seen.state == State::Stopping
                        && *signal != Signal::CONT
                    {
                        let asked = (self.now, patience.unwrap_or_default());
                        seen.asked.get_or_insert(asked);
                    }
                }
                Action::Reap { .. }
                | Action::ProbeGroup { .. }
                | Action::Reply { .. }
                | Action::Log(_)
                | Action::Relimit { .. }
                | Action::Forget { .. }
                | Action::PublishGroup { .. }
                | Action::Exit { .. } => {}
            }
        }
        Ok(())
    }

    /// A new daemon begins with this file, and is told this.
    pub fn begin_again(&mut self, config: &Config, found: &[Found]) {
        let all = |test: &dyn Fn(&Found) -> bool| -> BTreeSet<ProcessKey> {
            let found = found.iter().filter(|found| test(found));
            found.map(|found| found.key.clone()).collect()
        };
        let known = all(&|_| true);
        let started = all(&|found| {
            found.survivor.is_some()
                || self
                    .seen
                    .get(&found.key)
                    .is_some_and(|seen| seen.spawned_at.is_some())
        });
        let outdated = all(&|found| found.outdated && found.survivor.is_some());
        self.intents.recover(config, &known, &started, &outdated);
        self.applied.begin(config);
        self.closing = None;
        self.seen.retain(|key, _| known.contains(key));
    }

    /// The new daemon has taken over, or was killed itself before it had done what it has decided.
    pub fn taken_over(
        &mut self,
        engine: &Engine,
        kernel: &Kernel,
        now: Monotonic,
        taking: &Taking,
    ) -> Result<(), String> {
        self.now = now;
        self.event = None;
        self.changed.clear();
        if engine.is_shutting_down() {
            self.closing = None;
            self.ends_by_rule(engine)?;
        }
        if let Some(closing) = &mut self.closing {
            closing.over = taking.over;
        }
        for view in engine.processes() {
            let old = self.seen.get(&view.key).cloned();
            if let Some(old) = &old {
                self.goes_on(old, &view)?;
            }
            let seen = resumed(old, &view, now, taking.killed.contains(&view.key));
            self.seen.insert(view.key.clone(), seen);
            if taking.done {
                self.consistent(&view, kernel)
                    .map_err(|why| format!("I35, {why}"))?;
            }
        }
        Ok(())
    }

    fn goes_on(&self, old: &Seen, view: &ProcessView) -> Result<(), String> {
        let key = &view.key;
        // One that nobody saw ending has failed once more.
        let same_attempts = !matches!(old.state, State::Backoff | State::Starting)
            || !matches!(view.state, State::Backoff | State::Starting | State::Fatal)
            || view.failures >= old.failures;
        if !same_attempts {
            return Err(format!(
                "I35, I9: {key} had failed {} times: {view:?}",
                old.failures
            ));
        }
        let unseen_end = self.closing.is_none()
            && old.state == State::Running
            && matches!(
                view.state,
                State::Exited | State::Starting | State::Stopped | State::Fatal
            )
            && old.asked.is_none();
        let again =
            self.intents.of(key).up && view.settings.policy.autorestart != Autorestart::Never;
        let done = view.next_attempt.is_some() || view.generation > old.generation;
        if unseen_end && again != done {
            return Err(format!("I35, I12: {key} ended unseen, and is {view:?}"));
        }
        Ok(())
    }
}

/// What is known of a process whose daemon is a new one.
fn resumed(old: Option<Seen>, view: &ProcessView, now: Monotonic, killed: bool) -> Seen {
    let old = old.unwrap_or_else(Seen::new);
    let stopping = view.state == State::Stopping;
    let asked = old.asked.filter(|_| old.state == State::Stopping);
    let new_spawn = view.generation > old.generation;
    let kill = (stopping && killed).then_some(now);
    Seen {
        state: view.state,
        generation: view.generation,
        moments: old.moments,
        // Whatever is being stopped and has no process was spawned while taking over.
        unanswered: matches!(view.state, State::Starting | State::Stopping) && view.pid.is_none(),
        executed_at: view.pid.and(view.started_at),
        spawned_at: match (new_spawn, view.pid) {
            (true, Some(_)) => view.started_at,
            (true, None) => Some(now),
            (false, _) => old.spawned_at,
        },
        failures: view.failures,
        // Whatever is started afresh is forgiven.
        shortages: match old.state {
            State::Starting | State::Backoff => old.shortages,
            State::Stopped
            | State::Running
            | State::Stopping
            | State::Exited
            | State::Fatal
            | State::Unknown => 0,
        },
        asked: view
            .pid
            .filter(|_| stopping)
            .map(|_| asked.unwrap_or((now, view.settings.policy.stopwaitsecs))),
        first_kill: kill,
        last_kill: kill,
        reaped_at: None,
        survivors: old.survivors && view.state == State::Stopped,
        stranger: false,
        probed_at: None,
    }
}
