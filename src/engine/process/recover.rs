//! A process after the daemon was killed: it is what it was, or what must have become of it meanwhile.
//!
//! Whoever lives goes on living and is watched again; a stop that was under way is asked for once more, because nobody
//! knows whether the signal was sent, and keeps its time. Whoever is gone has ended in a way that nobody knows, which
//! counts as unexpected. No signal is sent to a number here whose owner the shell has not proved.

use super::{Attempt, Current, Leader, Phase, Process, Then, Wanted};
use crate::engine::action::{Note, Scope};
use crate::engine::event::{Found, Survivor};
use crate::engine::mutants::mutant;
use crate::engine::outbox::Outbox;
use crate::engine::restart;
use crate::engine::view::Trouble;
use crate::types::{ExitStatus, Monotonic, Signal};

impl Process {
    /// Takes in what is known of it.
    pub fn recover(&mut self, now: Monotonic, found: Found, out: &mut Outbox) {
        let Found {
            memo,
            born,
            survivor,
            ..
        } = found;
        let mut remembered = None;
        if let Some(memo) = memo {
            self.wanted = mutant!(CrashForgetsIntent, memo.wanted, self.wanted);
            self.generation = self.generation.max(memo.generation);
            self.started_at = memo.started_at;
            self.stopped_at = memo.stopped_at;
            self.last_spawn = memo.last_spawn;
            self.trouble = memo.trouble;
            self.last_exit = memo.last_exit;
            self.failures = memo.failures;
            self.shortages = memo.shortages;
            self.restarts = memo.restarts;
            remembered = Some((memo.current, memo.since.min(now)));
        }
        let was_born = born.is_some_and(|born| born >= self.generation);
        self.generation = self.generation.max(born.unwrap_or_default());
        match (survivor, remembered) {
            (Some(survivor), remembered) => self.take_over(now, survivor, remembered, out),
            (None, Some((current, since))) => self.resume(now, current, since, was_born, out),
            (None, None) => {}
        }
    }

    /// Its process lives.
    fn take_over(
        &mut self,
        now: Monotonic,
        survivor: Survivor,
        remembered: Option<(Current, Monotonic)>,
        out: &mut Outbox,
    ) {
        let Survivor { pid, started_at } = survivor;
        let started_at = started_at.min(now);
        let leader = Leader {
            pid,
            executed: true,
        };
        self.adopted = true;
        self.started_at = Some(started_at);
        self.last_spawn.get_or_insert(started_at);
        out.log(Note::Adopted {
            key: self.key().clone(),
            pid,
        });
        match remembered {
            Some((Current::Running { .. }, since)) => {
                self.enter(now, Current::Running { pid }, Some(pid), out);
                self.since = since;
            }
            Some((Current::Stopping { then, phase }, since)) => {
                self.stop_goes_on(now, then, phase, leader, out);
                self.since = since;
            }
            Some((Current::Starting(_), since)) => {
                self.starts_still(now, leader, started_at, out);
                self.since = since;
                self.count_as_started(now, out);
            }
            // What was written down is older than the process.
            Some((
                Current::Stopped
                | Current::Backoff { .. }
                | Current::Exited { .. }
                | Current::Fatal,
                _,
            ))
            | None => {
                self.wanted = Wanted {
                    up: true,
                    by_operator: false,
                };
                self.starts_still(now, leader, started_at, out);
                self.since = started_at;
                self.count_as_started(now, out);
            }
        }
    }

    /// Whether its program ran already is not known; it will have by now.
    fn starts_still(&mut self, now: Monotonic, leader: Leader, at: Monotonic, out: &mut Outbox) {
        let pid = leader.pid;
        let starting = Current::Starting(Attempt::Executed { pid, at });
        self.enter(now, starting, Some(pid), out);
    }

    fn stop_goes_on(
        &mut self,
        now: Monotonic,
        then: Then,
        phase: Phase,
        leader: Leader,
        out: &mut Outbox,
    ) {
        let then = still_configured(then);
        let asked = |kill_at| Current::Stopping {
            then,
            phase: Phase::Asked { leader, kill_at },
        };
        match phase {
            Phase::Asked { kill_at, .. } => {
                let at = mutant!(
                    StopIsLostInACrash,
                    kill_at,
                    kill_at.after(super::KILL_PATIENCE)
                );
                self.enter(now, asked(at), Some(leader.pid), out);
                let policy = &self.settings.policy;
                let (signal, scope) = (
                    policy.stopsignal,
                    if policy.stopasgroup {
                        Scope::Group
                    } else {
                        Scope::Leader
                    },
                );
                self.kill(leader.pid, scope, signal, out);
                self.kill(leader.pid, scope, Signal::CONT, out);
            }
            Phase::Killed { .. } => {
                self.enter(now, asked(now), Some(leader.pid), out);
                self.kill_first(now, then, leader, out);
            }
            // The process was not known yet, or what is known is older than it.
            Phase::Unborn { hurry } => {
                self.enter(now, asked(now), Some(leader.pid), out);
                self.ask_to_stop(now, then, leader, hurry, out);
            }
            Phase::Remains { .. } => {
                self.enter(now, asked(now), Some(leader.pid), out);
                self.ask_to_stop(now, then, leader, false, out);
            }
        }
    }

    /// It has no process any more.
    fn resume(
        &mut self,
        now: Monotonic,
        current: Current,
        since: Monotonic,
        was_born: bool,
        out: &mut Outbox,
    ) {
        const HOW: ExitStatus = ExitStatus::Unknown;
        // Whatever ended is first taken for what it was, so that its end is told as a step from there.
        match current {
            Current::Stopped => self.since = since,
            Current::Backoff { .. } | Current::Exited { .. } | Current::Fatal => {
                self.enter(now, current, None, out);
                self.since = since;
            }
            Current::Starting(_) if was_born => {
                self.current = current;
                self.ends_unseen(now);
                self.remember(now, HOW, false);
                self.started_at.get_or_insert(since);
                out.log(Note::Exited {
                    key: self.key().clone(),
                    status: HOW,
                    expected: false,
                });
                self.trouble = Some(Trouble::ExitedTooQuickly(HOW));
                self.failed(now, None, out);
            }
            // It was asked for and never made: that is done again, and costs no retry.
            Current::Starting(_) => self.enter(now, Current::Backoff { until: now }, None, out),
            Current::Running { pid } => {
                self.current = current;
                self.ends_unseen(now);
                self.remember(now, HOW, false);
                self.trouble = Some(Trouble::UnexpectedExit(HOW));
                let again = self.wanted.up && restart::starts_again(false, &self.settings.policy);
                let exited = Current::Exited {
                    expected: false,
                    next_attempt: again.then_some(now),
                };
                let next = mutant!(DeadCountsAsSurvivor, exited, current);
                self.enter(now, next, Some(pid), out);
                out.log(Note::Exited {
                    key: self.key().clone(),
                    status: HOW,
                    expected: false,
                });
            }
            Current::Stopping { then, phase } => {
                self.current = current;
                if !matches!(phase, Phase::Remains { .. } | Phase::Unborn { .. }) {
                    self.ends_unseen(now);
                    self.remember(now, HOW, true);
                    out.log(Note::Stopped {
                        key: self.key().clone(),
                        status: HOW,
                        expected: false,
                    });
                }
                self.gone(now, still_configured(then), None, out);
            }
        }
    }

    fn ends_unseen(&mut self, now: Monotonic) {
        self.stopped_at = Some(now);
        self.last_exit = Some(ExitStatus::Unknown);
    }
}

/// A process that was to be forgotten and is in the file again rests.
fn still_configured(then: Then) -> Then {
    match then {
        Then::Forget => Then::Rest,
        Then::Rest | Then::Start => then,
    }
}
