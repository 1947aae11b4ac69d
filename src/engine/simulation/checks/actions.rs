//! What each action must fulfil at the moment it is carried out.

use super::{Checks, SPACING, Seen};
use crate::config::model::Policy;
use crate::engine::Engine;
use crate::engine::action::{Scope, StateChange};
use crate::engine::event::{Command, Event};
use crate::engine::simulation::kernel::Kernel;
use crate::engine::view::State;
use crate::types::{Generation, Pid, ProcessKey, Signal};
use std::time::Duration;

fn is_legal(from: State, to: State) -> bool {
    matches!(
        (from, to),
        (State::Stopped | State::Fatal, State::Starting)
            | (
                State::Starting,
                State::Running | State::Backoff | State::Stopping
            )
            | (State::Running, State::Exited | State::Stopping)
            | (
                State::Backoff,
                State::Starting | State::Stopped | State::Fatal
            )
            | (State::Stopping, State::Stopped)
            | (State::Exited, State::Starting | State::Stopped)
    )
}

impl Checks {
    pub(super) fn spawn(
        &mut self,
        key: &ProcessKey,
        generation: Generation,
        kernel: &Kernel,
    ) -> Result<(), String> {
        let now = self.now;
        if self.closing.is_some() {
            return Err(format!("I17: {key} is spawned during a shutdown"));
        }
        if !self.intents.of(key).up {
            return Err(format!("I13: {key} is spawned and ought to be down"));
        }
        if kernel.leader(key).is_some() {
            return Err(format!("I2: {key} is spawned while it lives"));
        }
        let by_command = matches!(self.event, Some(Event::Command { .. }));
        if let Some(Event::Command {
            command: Command::Start { unrunnable, .. } | Command::Restart { unrunnable, .. },
            ..
        }) = &self.event
            && unrunnable.contains_key(key)
            && self.nothing_due
        {
            return Err(format!("I30: {key} cannot be run and is spawned"));
        }
        let from = self.before.get(key).map(|view| view.state);
        let seen = self.seen.entry(key.clone()).or_insert_with(Seen::new);
        if seen.unanswered {
            return Err(format!("I2: {key} is spawned twice"));
        }
        if let (false, Some(last), Some(State::Exited | State::Running | State::Backoff)) =
            (by_command, seen.spawned_at, from)
            && now < last.after(SPACING)
        {
            return Err(format!("I11: {key} is spawned too soon"));
        }
        if generation <= seen.generation {
            return Err(format!("I2: {key} has its {generation:?} twice"));
        }
        seen.generation = generation;
        seen.unanswered = true;
        seen.executed_at = None;
        seen.spawned_at = Some(now);
        seen.asked = None;
        seen.first_kill = None;
        seen.last_kill = None;
        seen.reaped_at = None;
        seen.survivors = false;
        seen.probed_at = None;
        self.spawned.insert(key.clone());
        Ok(())
    }

    /// I3: a signal reaches only processes that belong to the process and generation it is meant for, and none is sent for
    /// a pid that is reaped.
    pub(super) fn kill(
        &mut self,
        key: &ProcessKey,
        pid: Pid,
        scope: Scope,
        signal: Signal,
        engine: &Engine,
        kernel: &Kernel,
    ) -> Result<(), String> {
        let now = self.now;
        let Some(seen) = self.seen.get_mut(key) else {
            return Err(format!("I3: {key} is not there and gets {signal}"));
        };
        let own = Some((key.clone(), seen.generation));
        let Some(leader) = kernel.task(pid) else {
            return Err(format!("I3: {pid} is reaped and gets {signal}"));
        };
        if leader.owner != own || !leader.leader {
            return Err(format!("I3: {key} sends {signal} to {leader:?}"));
        }
        if scope == Scope::Group
            && let Some(stranger) = kernel
                .tasks()
                .find(|task| task.group == Some(pid) && task.owner != own)
        {
            return Err(format!("I3: {key} sends {signal} to {stranger:?}"));
        }
        let policy = self
            .before
            .get(key)
            .map(|view| view.settings.policy.clone())
            .or_else(|| Some(engine.process(key)?.settings.policy.clone()));
        let Some(policy) = policy else {
            return Ok(());
        };
        let by_operator = matches!(
            self.event,
            Some(Event::Command {
                command: Command::Signal { .. },
                ..
            })
        );
        if by_operator && signal == Signal::HUP && scope == Scope::Group {
            return Err(format!("I3: a signal to {key} reaches its group"));
        }
        let ended_now = self.exited.as_ref().is_some_and(|(other, ..)| other == key);
        if ended_now {
            // A program that ends by itself takes nobody along, unless `killasgroup`.
            if seen.state != State::Stopping && !policy.killasgroup {
                return Err(format!(
                    "I3: {key} ended by itself and its group gets {signal}"
                ));
            }
            return Ok(());
        }
        if signal == Signal::KILL && seen.asked.is_some() && scope == Scope::Group {
            let hurried = self
                .closing
                .as_ref()
                .is_some_and(|closing| closing.hurried.is_some());
            let early = seen
                .asked
                .is_none_or(|(at, patience)| now < at.after(patience));
            if early && !hurried {
                return Err(format!("I7: {key} is killed before its time"));
            }
            seen.first_kill.get_or_insert(now);
            seen.last_kill = Some(now);
            self.killed.insert(key.clone());
        } else if seen.state == State::Stopping && seen.asked.is_none() && signal != Signal::CONT {
            seen.asked = Some((now, policy.stopwaitsecs));
            seen.moments.signalled += 1;
        }
        Ok(())
    }

    /// I4: an exit leads to exactly one reaping, and nothing else does.
    pub(super) fn reap(&mut self, pid: Pid, kernel: &Kernel) -> Result<(), String> {
        if !matches!(self.event, Some(Event::Exited { pid: ended, .. }) if ended == pid) {
            return Err(format!("I4: {pid} is reaped without having ended"));
        }
        self.reaped.push(pid);
        let Some((key, ..)) = &self.exited else {
            return Ok(());
        };
        let Some(seen) = self.seen.get_mut(key) else {
            return Ok(());
        };
        let must_take_along = seen.state == State::Stopping
            || self
                .before
                .get(key)
                .is_some_and(|view| view.settings.policy.killasgroup);
        if must_take_along
            && let Some(task) = kernel
                .tasks()
                .find(|task| task.group == Some(pid) && !task.is_doomed())
        {
            return Err(format!(
                "I3: {key} is reaped and {task:?} was not killed before"
            ));
        }
        if seen.state == State::Stopping {
            seen.reaped_at = Some((self.now, pid));
        }
        Ok(())
    }

    /// I28: the changes of state that are told form a path of legal steps without a gap.
    pub(super) fn publish(
        &mut self,
        change: &StateChange,
        engine: &Engine,
        kernel: &Kernel,
    ) -> Result<(), String> {
        let StateChange { key, from, to, .. } = change;
        let now = self.now;
        let policy = engine
            .process(key)
            .map(|view| view.settings.policy.clone())
            .or_else(|| Some(self.before.get(key)?.settings.policy.clone()));
        let given_up = self.given_up.contains(key);
        let resource = match &self.event {
            Some(
                Event::SpawnFailed { failure, .. }
                | Event::Exited {
                    failure: Some(failure),
                    ..
                },
            ) => failure.is_resource_shortage(),
            _ => false,
        };
        self.changed.insert(key.clone());
        if matches!(to, State::Exited | State::Fatal) {
            let failed = *to == State::Fatal || change.expected == Some(false);
            self.ended.insert(key.clone(), failed);
        }
        let seen = self.seen.entry(key.clone()).or_insert_with(Seen::new);
        if seen.state != *from || !is_legal(*from, *to) {
            return Err(format!("I28: {key} was {:?}: {change:?}", seen.state));
        }
        seen.state = *to;
        let policy: Policy = policy.ok_or_else(|| format!("I28: {key} has no settings"))?;
        match to {
            State::Running => {
                // I8: RUNNING only if the same process has been up for `startsecs` of monotonic time.
                if seen
                    .executed_at
                    .is_none_or(|at| now < at.after(policy.startsecs))
                {
                    return Err(format!("I8: {key} is RUNNING too early"));
                }
                seen.moments.running += 1;
                seen.failures = 0;
                seen.shortages = 0;
            }
            State::Starting => {
                if *from != State::Backoff {
                    seen.failures = 0;
                    seen.shortages = 0;
                }
            }
            State::Backoff => {
                if resource {
                    seen.shortages += 1;
                } else {
                    seen.failures += 1;
                }
            }
            State::Fatal => {
                // I9: FATAL exactly when the program has failed `startretries` + 1 times in a row.
                if seen.failures != policy.startretries + 1 && seen.failures <= policy.startretries
                {
                    return Err(format!("I9: {key} is FATAL too early"));
                }
                // I10: never for a shortage of the machine.
                if resource {
                    return Err(format!("I10: {key} is FATAL for a shortage"));
                }
            }
            State::Stopped if *from == State::Stopping => {
                // I14: a stop that succeeded leaves nobody of the process group.
                let group = seen.reaped_at.map(|(_, group)| group);
                let own = Some((key.clone(), seen.generation));
                let rest = kernel
                    .tasks()
                    .find(|task| task.group == group && group.is_some() && task.owner == own);
                if let (Some(rest), false) = (rest, given_up) {
                    return Err(format!("I14: {key} is STOPPED and {rest:?} is left"));
                }
                if kernel.leader(key).is_some() || seen.unanswered {
                    return Err(format!("I1: {key} is STOPPED and lives"));
                }
                seen.survivors = given_up;
                if !given_up {
                    seen.moments.empty += 1;
                }
                seen.asked = None;
                seen.first_kill = None;
            }
            State::Stopping => self.order_of_shutdown(key, engine)?,
            State::Stopped => seen.moments.empty += 1,
            State::Exited | State::Unknown => {}
        }
        let seen = self.seen.entry(key.clone()).or_insert_with(Seen::new);
        let tries = match to {
            State::Starting | State::Backoff => seen.failures,
            State::Stopped
            | State::Running
            | State::Stopping
            | State::Exited
            | State::Fatal
            | State::Unknown => 0,
        };
        if change.tries != tries {
            return Err(format!("I9: {key} has failed {tries} times: {change:?}"));
        }
        Ok(())
    }

    /// Nobody stops waiting before its time.
    pub(super) fn not_killed(&self, key: &ProcessKey, kernel: &Kernel) -> Result<(), String> {
        let Some(seen) = self.seen.get(key) else {
            return Ok(());
        };
        let group_waited = seen
            .reaped_at
            .is_some_and(|(at, _)| self.now >= at.after(Duration::from_secs(5)));
        // The pauses between two looks are at most 0.1 s long. A stranger's group that got the same number cannot be told
        // apart; one of our own can.
        let owner = (key.clone(), seen.generation);
        if let Some(at) = kernel.all_left_at(&owner)
            && self.now > at.after(Duration::from_millis(250))
            && self.closing.is_none()
            && !seen.stranger
        {
            return Err(format!(
                "I14: {key} is given up, and nobody is left since {at:?}"
            ));
        }
        let leader_waited = seen
            .first_kill
            .is_some_and(|at| self.now >= at.after(Duration::from_mins(1)));
        if group_waited || leader_waited || self.closing.is_some() {
            Ok(())
        } else {
            Err(format!("I6: {key} is given up too early"))
        }
    }
}
