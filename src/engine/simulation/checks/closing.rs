//! What a shutdown must fulfil.

use super::{Checks, ClosingSeen, Seen};
use crate::config::model::ExitWhen;
use crate::engine::Engine;
use crate::engine::event::{Command, Event};
use crate::engine::simulation::kernel::Kernel;
use crate::engine::view::{ProcessView, State};
use crate::types::{GroupName, Monotonic, ProcessKey};
use std::collections::BTreeMap;
use std::time::Duration;

/// When everything is killed in an end that begins now: shortly before `shutdown_timeout` is over.
fn limit(engine: &Engine, now: Monotonic) -> Option<Monotonic> {
    let timeout = engine.config().daemon.shutdown_timeout?;
    let reserve = (timeout / 10).min(Duration::from_secs(1));
    (!timeout.is_zero()).then(|| now.after(timeout.saturating_sub(reserve)))
}

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
                        limit: limit(engine, self.now)
                            .filter(|_| !matches!(command, Some(Command::Reload))),
                        turns: BTreeMap::new(),
                        over: false,
                    });
                }
            }
            Some(closing) => {
                debug_assert!(engine.is_shutting_down());
                let end =
                    matches!(event, Event::Terminate) || matches!(command, Some(Command::Shutdown));
                if closing.reload && end {
                    // I18: a reload becomes an end; only a signal after that hurries.
                    closing.reload = false;
                    closing.limit = limit(engine, self.now);
                } else if matches!(event, Event::Terminate) {
                    closing.hurried.get_or_insert(self.now);
                }
                if !closing.over && closing.limit.is_some_and(|at| self.now >= at) {
                    closing.hurried.get_or_insert(self.now);
                }
            }
        }
    }

    /// The daemon ends because of a program.
    pub(super) fn ends_by_rule(&mut self, engine: &Engine) -> Result<(), String> {
        if self.closing.is_some() {
            return Err("I17: the daemon ends by rule and is ending already".to_owned());
        }
        self.ended_by_rule = true;
        self.intents.all_down();
        self.closing = Some(ClosingSeen {
            began: self.now,
            reload: false,
            hurried: None,
            limit: limit(engine, self.now),
            turns: BTreeMap::new(),
            over: false,
        });
        Ok(())
    }

    /// I17: the daemon ends by itself exactly when a program ended in this step and `exit_when` is met.
    pub(super) fn exit_rule(&self, engine: &Engine) -> Result<(), String> {
        if self.closing.is_some() && !self.ended_by_rule {
            return Ok(());
        }
        let views: Vec<_> = engine.processes().collect();
        let pending = |view: &ProcessView| {
            view.next_attempt.is_some()
                || matches!(
                    view.state,
                    State::Starting | State::Running | State::Backoff | State::Stopping
                )
        };
        let all_essential = !views.iter().any(|view| view.settings.policy.essential);
        let ended = || {
            views.iter().filter_map(|view| {
                let failed = *self.ended.get(&view.key)?;
                let at_rest = matches!(view.state, State::Exited | State::Fatal) && !pending(view);
                let essential = all_essential || view.settings.policy.essential;
                at_rest.then_some((essential, failed))
            })
        };
        let met = match engine.config().daemon.exit_when {
            ExitWhen::Never => false,
            ExitWhen::EssentialFailed => ended().any(|(essential, failed)| essential && failed),
            ExitWhen::EssentialExited => ended().any(|(essential, _)| essential),
            ExitWhen::AllExited => ended().next().is_some() && !views.iter().any(pending),
        };
        if met == self.ended_by_rule {
            Ok(())
        } else {
            Err(format!(
                "I17: exit_when is {:?}, that it is met is {met}: {:?}",
                engine.config().daemon.exit_when,
                self.ended
            ))
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
            let known = engine.config().groups.get(group);
            let leaving = engine.table.groups().get(group);
            let priority = known.map(|group| group.priority);
            let priority = priority.or(leaving.map(|members| members.priority));
            (priority.unwrap_or_default(), group.clone())
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
