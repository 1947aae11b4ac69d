//! What a shutdown must fulfil.

use super::{Checks, ClosingSeen, Seen};
use crate::engine::Engine;
use crate::engine::event::{Command, Event};
use crate::engine::simulation::kernel::Kernel;
use crate::engine::view::State;
use crate::types::{GroupName, ProcessKey};
use std::collections::BTreeMap;
use std::time::Duration;

impl Checks {
    pub(super) fn begin_closing(&mut self, engine: &Engine, event: &Event) {
        let command = match event {
            Event::Command { command, .. } => Some(command),
            Event::Recover { .. }
            | Event::Boot
            | Event::Tick
            | Event::Spawned { .. }
            | Event::Executed { .. }
            | Event::SpawnFailed { .. }
            | Event::Exited { .. }
            | Event::GroupProbed { .. }
            | Event::Abandoned { .. }
            | Event::ListenersHeard
            | Event::Terminate => None,
        };
        match &mut self.closing {
            None => {
                if self.effect.closing {
                    self.closing = Some(ClosingSeen {
                        began: self.now,
                        reload: matches!(command, Some(Command::Reload)),
                        hurried: None,
                        turns: BTreeMap::new(),
                        over: false,
                    });
                }
            }
            Some(closing) => {
                debug_assert!(engine.is_shutting_down());
                if matches!(event, Event::Terminate) {
                    // I18: a signal turns a reload into an end; only one after that hurries.
                    if closing.reload {
                        closing.reload = false;
                    } else if closing.hurried.is_none() {
                        closing.hurried = Some(self.now);
                    }
                } else if matches!(command, Some(Command::Shutdown)) {
                    closing.reload = false;
                }
            }
        }
    }

    /// I17: no group is told to stop while a higher one has live members and its time is not over.
    pub(super) fn order_of_shutdown(
        &mut self,
        key: &ProcessKey,
        engine: &Engine,
    ) -> Result<(), String> {
        let now = self.now;
        let Some(closing) = &mut self.closing else {
            return Ok(());
        };
        closing.turns.entry(key.group.clone()).or_insert(now);
        let rank = |group: &GroupName| {
            let members = engine.table.groups().get(group);
            (members.map_or(0, |members| members.priority), group.clone())
        };
        for (other, seen) in &self.seen {
            if !seen.is_live() || rank(&other.group) <= rank(&key.group) {
                continue;
            }
            let patience = engine
                .processes()
                .filter(|view| view.key.group == other.group)
                .filter(|view| self.seen.get(&view.key).is_some_and(Seen::is_live))
                .map(|view| view.settings.policy.stopwaitsecs)
                .max()
                .unwrap_or_default();
            let began = closing.turns.get(&other.group).unwrap_or(&closing.began);
            let grace = Duration::from_secs(10);
            let over = now >= began.after(patience).after(grace)
                || closing.hurried.is_some_and(|at| now >= at.after(grace));
            if !over {
                return Err(format!("I17: {key} is told to stop while {other} lives"));
            }
        }
        Ok(())
    }

    /// I17: the daemon ends only when nothing lives, or says what does. I18: and as it was told last.
    pub(super) fn exit(
        &mut self,
        left: &[ProcessKey],
        reload: bool,
        engine: &Engine,
        kernel: &Kernel,
    ) -> Result<(), String> {
        let Some(closing) = &mut self.closing else {
            return Err("I17: the daemon ends and nobody asked".to_owned());
        };
        if std::mem::replace(&mut closing.over, true) {
            return Err("I17: the daemon ends twice".to_owned());
        }
        if closing.reload != reload {
            return Err("I18: the daemon does not end as it was told".to_owned());
        }
        for view in engine.processes() {
            let key = &view.key;
            let live = self.seen.get(key).is_some_and(Seen::is_live);
            let gave_up = self
                .seen
                .get(key)
                .is_some_and(|seen| seen.survivors || seen.moments.not_killed > 0);
            if (live || kernel.leader(key).is_some()) != left.contains(key) && !gave_up {
                return Err(format!("I17: the daemon ends with {left:?}, and {view:?}"));
            }
            if live && !left.contains(key) {
                return Err(format!("I17: the daemon ends and hides {key}"));
            }
        }
        Ok(())
    }

    /// I18: hurry brings every KILL forward.
    pub(super) fn hurried(&self) -> Result<(), String> {
        if let Some(closing) = &self.closing
            && closing.hurried.is_some()
        {
            // I18: hurry brings every KILL forward.
            for (key, seen) in &self.seen {
                if seen.state == State::Stopping
                    && seen.asked.is_some()
                    && seen.reaped_at.is_none()
                    && seen.first_kill.is_none()
                {
                    return Err(format!("I18: {key} is not killed in a hurry"));
                }
            }
        }
        Ok(())
    }

    /// At the end of a history: the daemon has ended if it was told to, and nothing that it did not name is left.
    pub fn is_over(&self, engine: &Engine, kernel: &Kernel) -> Result<(), String> {
        let Some(closing) = &self.closing else {
            return Ok(());
        };
        if !closing.over {
            return Err("I17: the daemon never ends".to_owned());
        }
        for view in engine.processes() {
            if let Some(task) = kernel.leader(&view.key)
                && !task.is_doomed()
            {
                return Err(format!("I17: the daemon has ended, and {task:?} lives"));
            }
        }
        Ok(())
    }
}
