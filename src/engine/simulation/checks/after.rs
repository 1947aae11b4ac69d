//! What must hold after a step.

use super::{Checks, KILL_AGAIN, SPACING, Seen};
use crate::config::model::{Autorestart, Policy};
use crate::engine::Engine;
use crate::engine::event::Event;
use crate::engine::simulation::kernel::Kernel;
use crate::engine::simulation::world::LATENESS;
use crate::engine::view::{ProcessView, State, Trouble};
use crate::types::{ExitStatus, Monotonic, ProcessKey};
use std::collections::BTreeMap;
use std::time::Duration;

impl Checks {
    /// After a step whose actions are carried out.
    pub fn after(&mut self, engine: &Engine, kernel: &Kernel) -> Result<(), String> {
        self.one_exit(engine)?;
        self.applied.is_active(engine, self.event.as_ref())?;
        self.exit_rule(engine)?;
        self.untouched(engine)?;
        self.deadlines(engine)?;
        for view in engine.processes() {
            self.consistent(&view, kernel)?;
        }
        for (key, up) in &self.effect.added {
            // I20: what is new starts exactly if it starts by itself.
            if *up != self.spawned.contains(key) {
                return Err(format!("I20: {key} is new, and its autostart is {up}"));
            }
        }
        self.hurried()
    }

    fn one_exit(&self, engine: &Engine) -> Result<(), String> {
        let Some(Event::Exited { pid, status, .. }) = &self.event else {
            return Ok(());
        };
        if self.reaped != [*pid] {
            return Err(format!("I4: {pid} ended, and reaped is {:?}", self.reaped));
        }
        let Some((key, ..)) = &self.exited else {
            if self.nothing_due && !self.changed.is_empty() {
                return Err(format!(
                    "I4: a stranger ended, and {:?} changed",
                    self.changed
                ));
            }
            return Ok(());
        };
        if self.nothing_due
            && self.closing.is_none()
            && self.changed.iter().any(|other| other != key)
        {
            return Err(format!("I4: {key} ended, and {:?} changed", self.changed));
        }
        let (Some(before), Some(after)) = (self.before.get(key), engine.process(key)) else {
            return Ok(());
        };
        let policy = &after.settings.policy;
        let was_up = before.state == State::Running
            || before.state == State::Starting
                && self
                    .seen
                    .get(key)
                    .and_then(|seen| seen.executed_at)
                    .is_some_and(|at| {
                        before.generation <= after.generation && self.ran(key, at, policy)
                    });
        if was_up && !self.ended_by_rule {
            self.restart_table(key, *status, &before.clone(), &after)?;
        }
        Ok(())
    }

    /// Whether a process that was spawned once had been up long enough when it ended.
    fn ran(&self, key: &ProcessKey, executed: Monotonic, policy: &Policy) -> bool {
        !self.spawned.contains(key) && self.now >= executed.after(policy.startsecs)
    }

    /// I12: whether a process that ended by itself is started again is what the table says. A death by signal is never
    /// expected.
    fn restart_table(
        &self,
        key: &ProcessKey,
        status: ExitStatus,
        before: &ProcessView,
        after: &ProcessView,
    ) -> Result<(), String> {
        let policy = &after.settings.policy;
        let expected = match status {
            ExitStatus::Code(code) => policy.exitcodes.contains(&code),
            ExitStatus::Signaled { .. } | ExitStatus::Unknown => false,
        };
        let again = self.intents.of(key).up
            && match policy.autorestart {
                Autorestart::Never => false,
                Autorestart::Unexpected => !expected,
                Autorestart::Always => true,
            };
        let done = match after.state {
            State::Starting => after.generation > before.generation,
            State::Exited => after.next_attempt.is_some(),
            State::Stopped
            | State::Running
            | State::Backoff
            | State::Stopping
            | State::Fatal
            | State::Unknown => {
                return Err(format!("I12: {key} ended by itself and is {after:?}"));
            }
        };
        if done != again {
            return Err(format!(
                "I12: {key} ended with {status}, again is {again}: {after:?}"
            ));
        }
        if let (Some(at), Some(last)) = (
            after.next_attempt,
            self.seen.get(key).and_then(|seen| seen.spawned_at),
        ) && at != last.after(SPACING)
        {
            return Err(format!("I11: {key} is started again at {at:?}"));
        }
        Ok(())
    }

    /// I20, I34: what an update does not concern is the same before and after: same process, same state. I16, I19: so is
    /// everything where a command changes nothing.
    fn untouched(&self, engine: &Engine) -> Result<(), String> {
        if !self.nothing_due {
            return Ok(());
        }
        for (key, before) in &self.before {
            if !(self.effect.idle || self.effect.untouched.contains(key)) {
                continue;
            }
            let Some(after) = engine.process(key) else {
                return Err(format!("I20: {key} is gone"));
            };
            // `startsecs` applies at once, so that a change of it alone may complete a start.
            let started = before.state == State::Starting && after.state == State::Running;
            if (before.pid, before.generation) != (after.pid, after.generation)
                || before.state != after.state && !started
            {
                return Err(format!("I20: {key} was {before:?} and is {after:?}"));
            }
        }
        Ok(())
    }

    /// I22: nothing that was to happen at a time is overslept. The shell wakes up when it is told to, or a little later.
    pub(super) fn overslept(&self, engine: &Engine) -> Result<(), String> {
        let late = |at: Monotonic| self.now > at.after(LATENESS);
        for view in engine.processes() {
            if view.next_attempt.is_some_and(late) {
                return Err(format!("I22: a start is overslept: {view:?}"));
            }
        }
        if let Some(closing) = &self.closing
            && !closing.over
            && closing.hurried.is_none()
            && closing.limit.is_some_and(late)
        {
            return Err("I17: the end of all patience is overslept".to_owned());
        }
        Ok(())
    }

    /// I22: every deadline lies ahead, and the engine's is the least of those that the states need.
    fn deadlines(&self, engine: &Engine) -> Result<(), String> {
        let next = engine.next_deadline();
        if next.is_some_and(|at| at <= self.now) {
            return Err(format!("I22: the deadline {next:?} has passed"));
        }
        let least = engine
            .table
            .processes()
            .filter_map(crate::engine::process::Process::deadline)
            .min();
        if engine.table.next_deadline() != least {
            return Err(format!(
                "I22: the deadline is {next:?}, and {least:?} is needed"
            ));
        }
        for view in engine.processes() {
            if let Some(pid) = view.pid
                && engine.find_pid(pid) != Some(&view.key)
            {
                return Err(format!("I22: {pid} is not found"));
            }
        }
        Ok(())
    }

    pub(super) fn consistent(&mut self, view: &ProcessView, kernel: &Kernel) -> Result<(), String> {
        let now = self.now;
        let key = &view.key;
        let seen = self.seen.entry(key.clone()).or_insert_with(Seen::new);
        if view.state != seen.state || view.state == State::Unknown {
            return Err(format!(
                "I28: {key} is told to be {:?}: {view:?}",
                seen.state
            ));
        }
        if view.since > now
            || view.started_at.is_some_and(|at| at > now)
            || view.stopped_at.is_some_and(|at| at > now)
        {
            return Err(format!("I28: {key} is of the future: {view:?}"));
        }
        // I1: a pid exactly while there is a process that was announced and is not reaped, and only where a state has one.
        let leader = kernel
            .leader(key)
            .filter(|_| !seen.unanswered)
            .map(|task| task.pid);
        if view.pid != leader {
            return Err(format!("I1: {key} has {leader:?}: {view:?}"));
        }
        let childless = matches!(
            view.state,
            State::Stopped | State::Backoff | State::Exited | State::Fatal
        );
        if childless && (view.pid.is_some() || seen.unanswered) {
            return Err(format!("I1: {view:?} has a process"));
        }
        let pending = view.next_attempt.is_some();
        let may_wait = matches!(view.state, State::Backoff | State::Exited);
        let must_wait = view.state == State::Backoff;
        if must_wait && !pending || pending && !(may_wait && self.intents.of(key).up) {
            return Err(format!("I13: {key} waits for a start: {view:?}"));
        }
        match view.state {
            State::Starting => {
                if seen
                    .executed_at
                    .is_some_and(|at| now >= at.after(view.settings.policy.startsecs))
                {
                    return Err(format!("I8: {key} is up and not RUNNING: {view:?}"));
                }
            }
            State::Stopping => {
                stop_reaches(now, key, seen, kernel)?;
                return stop_goes_on(now, key, seen, view);
            }
            State::Backoff if self.changed.contains(key) => {
                return delay_is_right(now, key, seen, view);
            }
            State::Stopped
            | State::Running
            | State::Backoff
            | State::Exited
            | State::Fatal
            | State::Unknown => {}
        }
        Ok(())
    }

    /// I26: when the world has been healthy for long, whoever ought to be up is, unless it cannot; whoever ought to be down
    /// is. I5: no zombie is left. I22, I27: an idle engine waits for nothing.
    pub fn is_well(
        &self,
        engine: &Engine,
        kernel: &Kernel,
        under_way: usize,
    ) -> Result<(), String> {
        if let Some(at) = engine.next_deadline() {
            return Err(format!("I27: all is quiet, and it waits for {at:?}"));
        }
        if let Some(zombie) = kernel
            .tasks()
            .find(|task| task.ended.is_some() && under_way == 0)
        {
            return Err(format!("I5: {zombie:?} is not reaped"));
        }
        if self.closing.is_some() {
            return self.is_over(engine, kernel);
        }
        for view in engine.processes() {
            let seen = self.seen.get(&view.key);
            let survivors = seen.is_some_and(|seen| seen.survivors);
            let fine = match view.state {
                State::Running => self.intents.of(&view.key).up,
                State::Exited | State::Fatal => true,
                State::Stopped => survivors || !self.intents.of(&view.key).up,
                State::Starting | State::Backoff | State::Stopping | State::Unknown => false,
            };
            if !fine {
                let intent = self.intents.of(&view.key);
                return Err(format!("I26: {intent:?} and {view:?}"));
            }
        }
        self.is_confluent(engine, kernel)?;
        // I20, I21: the processes are exactly those of the active configuration, with its settings.
        let configured: BTreeMap<_, _> = engine
            .config()
            .groups
            .values()
            .flat_map(|group| group.processes.values())
            .map(|settings| (settings.key.clone(), settings.clone()))
            .collect();
        let there: BTreeMap<_, _> = engine
            .processes()
            .map(|view| (view.key, view.settings))
            .collect();
        if configured != there {
            return Err(format!("I20: configured {configured:?}, there {there:?}"));
        }
        Ok(())
    }
}

/// I6: a stop ends. KILL comes when the patience is over, again every 5 s while the leader lives, and what is left of the
/// group is waited for 5 s at most. How long each may take beyond that is the kernel's affair.
fn stop_goes_on(
    now: Monotonic,
    key: &ProcessKey,
    seen: &Seen,
    view: &ProcessView,
) -> Result<(), String> {
    let late = |at: Monotonic| now > at.after(LATENESS);
    let overdue = match (seen.reaped_at, seen.last_kill, seen.asked) {
        (Some((at, _)), ..) => late(at.after(Duration::from_secs(5))),
        (None, Some(at), _) => late(at.after(KILL_AGAIN)),
        (None, None, Some((at, patience))) => late(at.after(patience)),
        (None, None, None) => view.pid.is_some(),
    };
    if overdue {
        Err(format!("I6: the stop of {key} does not go on: {seen:?}"))
    } else {
        Ok(())
    }
}

/// I9, I10: the delay before the next attempt is the number of failures in seconds, or for a shortage 0.1 s doubling to a
/// minute.
fn delay_is_right(
    now: Monotonic,
    key: &ProcessKey,
    seen: &Seen,
    view: &ProcessView,
) -> Result<(), String> {
    let by_failure = now.after(Duration::from_secs(u64::from(seen.failures)));
    let doubled = 100u64 << seen.shortages.saturating_sub(1).min(20);
    let by_shortage = now.after(Duration::from_millis(doubled.min(60_000)));
    let shortage = view.trouble.as_ref().is_some_and(|trouble| match trouble {
        Trouble::Spawn(failure) => failure.is_resource_shortage(),
        Trouble::ExitedTooQuickly(_) | Trouble::UnexpectedExit(_) => false,
    });
    let right = if shortage { by_shortage } else { by_failure };
    if view.next_attempt != Some(right) {
        return Err(format!(
            "I10: {key} is to be tried again at {right:?}: {view:?}"
        ));
    }
    if !shortage && seen.failures > view.settings.policy.startretries {
        return Err(format!("I9: {key} is not FATAL: {view:?}"));
    }
    Ok(())
}

/// I6: whoever was told to stop can hear it (a stopped process cannot), and whoever was sent KILL gets it, also when its
/// process group does not exist yet.
fn stop_reaches(
    now: Monotonic,
    key: &ProcessKey,
    seen: &Seen,
    kernel: &Kernel,
) -> Result<(), String> {
    let Some(leader) = kernel.leader(key).filter(|_| seen.asked.is_some()) else {
        return Ok(());
    };
    if leader.is_stopped() {
        return Err(format!("I6: {key} is told to stop and cannot hear it"));
    }
    if seen.last_kill == Some(now) && !leader.is_doomed() {
        return Err(format!("I6: {key} is sent KILL and does not get it"));
    }
    Ok(())
}
