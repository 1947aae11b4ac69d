//! Steps that several states share: beginning an attempt, failing, ending by itself.

use super::{Answer, Attempt, Current, End, Process, Then, Verdict};
use crate::engine::action::{Action, Note, Scope, StateChange};
use crate::engine::event::{Outcome, SpawnFailure};
use crate::engine::mutants::mutant;
use crate::engine::outbox::{Happening, Outbox};
use crate::engine::restart;
use crate::engine::view::{LifeView, State, Trouble};
use crate::types::{ExitStatus, Monotonic, Pid, Signal};
use std::time::Duration;

impl Process {
    /// Goes to another state and tells everybody. `pid` is the process that there is or was.
    pub(super) fn enter(
        &mut self,
        now: Monotonic,
        next: Current,
        pid: Option<Pid>,
        out: &mut Outbox,
    ) {
        let from = self.state();
        self.current = next;
        self.since = now;
        let (expected, tries) = match next {
            Current::Exited { expected, .. } => (Some(expected), 0),
            Current::Starting(_) | Current::Backoff { .. } => (None, self.failures),
            Current::Stopped
            | Current::Running { .. }
            | Current::Stopping { .. }
            | Current::Fatal => (None, 0),
        };
        out.act(Action::Publish(StateChange {
            key: self.key().clone(),
            from,
            to: self.state(),
            pid,
            expected,
            tries,
        }));
    }

    pub(super) fn kill(&self, pid: Pid, scope: Scope, signal: Signal, out: &mut Outbox) {
        out.act(Action::Kill {
            key: self.key().clone(),
            pid,
            scope,
            signal,
        });
    }

    /// Starts afresh: earlier failures are forgiven.
    pub(super) fn start_afresh(&mut self, now: Monotonic, out: &mut Outbox) {
        self.failures = mutant!(FailuresSurviveAStart, 0, self.failures);
        self.shortages = 0;
        self.trouble = None;
        self.attempt(now, out);
    }

    /// Asks for a process.
    pub(super) fn attempt(&mut self, now: Monotonic, out: &mut Outbox) {
        self.generation = self.generation.next();
        self.last_spawn = Some(now);
        self.adopted = false;
        self.enter(now, Current::Starting(Attempt::Asked), None, out);
        out.act(Action::Spawn {
            key: self.key().clone(),
            generation: self.generation,
            settings: std::sync::Arc::clone(&self.settings),
        });
    }

    /// The spawn made a process.
    pub(super) fn born(&mut self, now: Monotonic, pid: Pid, out: &mut Outbox) {
        self.started_at = Some(now);
        out.log(Note::Spawned {
            key: self.key().clone(),
            pid,
        });
        out.happen(&self.settings.key, Happening::Spawned);
    }

    /// Counts as started, if it has been up long enough.
    pub(super) fn count_as_started(&mut self, now: Monotonic, out: &mut Outbox) {
        let Current::Starting(Attempt::Executed { pid, at }) = self.current else {
            return;
        };
        let startsecs = self.settings.policy.startsecs;
        let enough = mutant!(RunningTooEarly, startsecs, startsecs / 2);
        if now < at.after(enough) {
            return;
        }
        self.failures = 0;
        self.shortages = mutant!(ShortagesAreNeverForgiven, 0, self.shortages);
        self.trouble = None;
        self.enter(now, Current::Running { pid }, Some(pid), out);
        mutant!(RunningIsToldTwice, self.enter(now, self.current, None, out));
        out.log(Note::Running {
            key: self.key().clone(),
            startsecs,
        });
        out.happen(&self.settings.key, Happening::Running);
    }

    /// A step before its program failed.
    pub(super) fn spawn_failed(
        &mut self,
        now: Monotonic,
        pid: Option<Pid>,
        failure: SpawnFailure,
        out: &mut Outbox,
    ) {
        let shortage = mutant!(ShortageCostsARetry, failure.is_resource_shortage(), false);
        out.log(Note::SpawnFailed {
            key: self.key().clone(),
            failure: failure.clone(),
        });
        out.happen(&self.settings.key, Happening::SpawnFailed(failure.clone()));
        self.trouble = Some(Trouble::Spawn(failure));
        if shortage {
            self.shortages = self.shortages.saturating_add(1);
            self.back_off(now, pid, Some(restart::shortage_delay(self.shortages)), out);
        } else {
            self.failed(now, pid, out);
        }
    }

    /// Its program ended before it counted as started.
    pub(super) fn exited_too_quickly(
        &mut self,
        now: Monotonic,
        pid: Pid,
        status: ExitStatus,
        out: &mut Outbox,
    ) {
        out.log(Note::Exited {
            key: self.key().clone(),
            status,
            expected: false,
        });
        out.happen(&self.settings.key, Happening::ExitedTooQuickly(status));
        self.remember(now, status, false);
        self.trouble = Some(Trouble::ExitedTooQuickly(status));
        self.failed(now, Some(pid), out);
    }

    pub(super) fn failed(&mut self, now: Monotonic, pid: Option<Pid>, out: &mut Outbox) {
        self.failures = self.failures.saturating_add(1);
        let delay = restart::failure_delay(self.failures, self.settings.policy.startretries);
        self.back_off(now, pid, delay, out);
    }

    /// Waits for the next attempt; without a delay there is none. Passes through BACKOFF in any case, as listeners to
    /// its state expect.
    fn back_off(
        &mut self,
        now: Monotonic,
        pid: Option<Pid>,
        delay: Option<Duration>,
        out: &mut Outbox,
    ) {
        let until = now.after(delay.unwrap_or_default());
        self.enter(now, Current::Backoff { until }, pid, out);
        if delay.is_none() {
            self.enter(now, Current::Fatal, None, out);
            out.log(Note::GaveUp {
                key: self.key().clone(),
            });
        } else if !self.wanted.up {
            self.enter(now, Current::Stopped, None, out);
        }
    }

    /// Remembers that a life of its program has ended. `asked` says that it was told to.
    pub(super) fn remember(&mut self, now: Monotonic, status: ExitStatus, asked: bool) {
        self.lives.end(LifeView {
            started_at: self.started_at.unwrap_or(now),
            ended_at: now,
            status,
            asked,
            expected: restart::is_expected(status, &self.settings.policy),
        });
    }

    /// It ended by itself: takes its status, so that its pid is free.
    pub(super) fn collect(
        &mut self,
        now: Monotonic,
        pid: Pid,
        status: ExitStatus,
        out: &mut Outbox,
    ) {
        self.stopped_at = Some(now);
        self.last_exit = Some(status);
        if mutant!(
            EndTakesItsGroupAlong,
            self.settings.policy.killasgroup,
            true
        ) {
            self.kill(pid, Scope::Group, Signal::KILL, out);
        }
        mutant!(EndIsNotReaped, out.act(Action::Reap { pid }), ());
    }

    /// It ended by itself after it counted as started.
    pub(super) fn ended(&mut self, now: Monotonic, pid: Pid, status: ExitStatus, out: &mut Outbox) {
        let expected = restart::is_expected(status, &self.settings.policy);
        self.collect(now, pid, status, out);
        self.remember(now, status, false);
        self.trouble = (!expected).then_some(Trouble::UnexpectedExit(status));
        let wanted = mutant!(RestartIgnoresIntent, self.wanted.up, true);
        let again = wanted && restart::starts_again(expected, &self.settings.policy);
        let at = restart::earliest_respawn(self.last_spawn);
        let next = Current::Exited {
            expected,
            next_attempt: again.then_some(at),
        };
        self.enter(now, next, Some(pid), out);
        out.log(Note::Exited {
            key: self.key().clone(),
            status,
            expected,
        });
        if again && at <= now {
            self.start_again(now, out);
        }
    }

    /// Starts again by itself after it ran and ended.
    pub(super) fn start_again(&mut self, now: Monotonic, out: &mut Outbox) {
        self.restarts = self.restarts.saturating_add(1);
        self.attempt(now, out);
    }

    /// Gives up what is pending: a retry or a restart.
    pub(super) fn stand_down(&mut self, now: Monotonic, out: &mut Outbox) {
        self.trouble = None;
        self.enter(now, Current::Stopped, None, out);
    }

    /// Is told to end while it is down. `pending` says that it would have come up by itself.
    pub(super) fn end_while_down(
        &mut self,
        now: Monotonic,
        pending: bool,
        end: End,
        out: &mut Outbox,
    ) -> Answer {
        if mutant!(StopLeavesARetryPending, pending, false) {
            if self.state() == State::Backoff {
                // Where no attempt made a process, the attempts themselves are what has ended.
                self.stopped_at.get_or_insert(now);
            }
            self.stand_down(now, out);
        }
        if let Some(settings) = end.settings {
            self.settings = settings;
        }
        let stop = Some(Verdict::Now(if pending {
            Outcome::Stopped
        } else {
            Outcome::NotRunning
        }));
        let start = match end.then {
            Then::Rest => None,
            Then::Start => {
                self.start_afresh(now, out);
                Some(Verdict::Later)
            }
            Then::Forget => {
                out.happen(&self.settings.key, Happening::Forgotten);
                None
            }
        };
        Answer { stop, start }
    }

    /// Sends a signal on an operator's behalf. Only the leader gets it, and the state stays what it is.
    pub fn signal(&self, signal: Signal, out: &mut Outbox) -> Outcome {
        let Some(pid) = mutant!(
            SignalReachesTheReaped,
            self.pid(),
            self.pid().or(self.remains())
        ) else {
            return Outcome::NotRunning;
        };
        out.log(Note::Signalling {
            key: self.key().clone(),
            pid,
            signal,
            scope: Scope::Leader,
        });
        let scope = mutant!(SignalReachesTheGroup, Scope::Leader, Scope::Group);
        self.kill(pid, scope, signal, out);
        Outcome::Signalled
    }

    /// The shell said something that cannot be: a defect, contained to this process.
    pub(super) fn broken(&mut self, now: Monotonic, what: &str, out: &mut Outbox) {
        out.bug(format!("{}: {what} in {:?}", self.key(), self.current));
        if !self.is_live() {
            self.enter(now, Current::Fatal, None, out);
        }
    }

    /// A process came into being that nobody asked for: it must not live unattended.
    pub(super) fn unasked(&mut self, now: Monotonic, pid: Pid, out: &mut Outbox) {
        self.kill(pid, Scope::Leader, Signal::KILL, out);
        self.broken(now, "a process that was not asked for", out);
    }
}
