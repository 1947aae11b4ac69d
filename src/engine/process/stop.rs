//! Stopping: asking, killing, looking after what is left of the process group, and what follows.

use super::{
    Answer, Current, End, KILL_AGAIN, KILL_PATIENCE, Leader, PROBE_CAP, PROBE_FIRST,
    PROBE_PATIENCE, Phase, Process, Then, Verdict,
};
use crate::engine::action::{Action, Note, Scope};
use crate::engine::event::Outcome;
use crate::engine::mutants::mutant;
use crate::engine::outbox::{Happening, Outbox};
use crate::engine::restart;
use crate::types::{ExitStatus, Monotonic, Pid, Signal};
use std::time::Duration;

impl Process {
    /// Is told to end while it is up, or about to be.
    pub(super) fn end_while_up(
        &mut self,
        now: Monotonic,
        leader: Option<Leader>,
        end: End,
        out: &mut Outbox,
    ) -> Answer {
        out.happen(&self.settings.key, Happening::Cancelled);
        let unborn = Current::Stopping {
            then: end.then,
            phase: Phase::Unborn { hurry: end.hurry },
        };
        self.enter(now, unborn, leader.map(|leader| leader.pid), out);
        if let Some(leader) = leader {
            self.ask_to_stop(now, end.then, leader, end.hurry, out);
        }
        if let Some(settings) = end.settings {
            self.settings = settings;
        }
        self.stop_answer(end.then)
    }

    /// Is told to end while it is already ending. What follows the stop is what was said last, except that an operator
    /// cannot bring back what is no longer configured.
    pub(super) fn end_again(
        &mut self,
        now: Monotonic,
        old: Then,
        phase: Phase,
        end: End,
        out: &mut Outbox,
    ) -> Answer {
        let then = match (old, end.then, &end.settings) {
            (Then::Forget, Then::Start, None) => {
                let refused = || Some(Verdict::Now(Outcome::NoSuchProcess));
                return Answer {
                    stop: refused(),
                    start: refused(),
                };
            }
            (Then::Forget, Then::Rest, None) => Then::Forget,
            (Then::Rest | Then::Start | Then::Forget, then, _) => {
                mutant!(LaterOrderIsForgotten, then, old)
            }
        };
        if then != Then::Start {
            out.happen(&self.settings.key, Happening::Cancelled);
        }
        // Whoever joins after the others were told to wait no longer gets a wait of its own.
        let phase = match phase {
            Phase::Killed {
                leader,
                again_at,
                give_up_at: None,
            } => Phase::Killed {
                leader,
                again_at,
                give_up_at: Some(now.after(KILL_PATIENCE)),
            },
            Phase::Unborn { hurry } => Phase::Unborn {
                hurry: hurry || end.hurry,
            },
            Phase::Asked { .. } | Phase::Killed { .. } | Phase::Remains { .. } => phase,
        };
        self.current = Current::Stopping { then, phase };
        if let (Phase::Asked { leader, .. }, true) = (phase, end.hurry) {
            self.kill_first(now, then, leader, out);
        }
        if let Some(settings) = end.settings {
            self.settings = settings;
        }
        self.stop_answer(then)
    }

    fn stop_answer(&self, then: Then) -> Answer {
        let unborn = matches!(
            self.current,
            Current::Stopping {
                phase: Phase::Unborn { .. },
                ..
            }
        );
        Answer {
            stop: Some(if unborn {
                Verdict::Later
            } else {
                Verdict::Signalled
            }),
            start: (then == Then::Start).then_some(Verdict::Later),
        }
    }

    /// Sends the stop signal, and CONT after it, because a stopped process would not see it.
    pub(super) fn ask_to_stop(
        &mut self,
        now: Monotonic,
        then: Then,
        leader: Leader,
        hurry: bool,
        out: &mut Outbox,
    ) {
        let policy = &self.settings.policy;
        let signal = policy.stopsignal;
        let patience = mutant!(KilledTooEarly, policy.stopwaitsecs, policy.stopwaitsecs / 2);
        // Before its program runs, the leader is alone, and its process group may not exist yet.
        let scope = if policy.stopasgroup && leader.executed {
            Scope::Group
        } else {
            Scope::Leader
        };
        out.log(Note::Signalling {
            key: self.key().clone(),
            pid: leader.pid,
            signal,
            scope,
        });
        self.kill(leader.pid, scope, signal, out);
        mutant!(
            SleeperCannotHearTheStop,
            self.kill(leader.pid, scope, Signal::CONT, out),
            ()
        );
        out.happen(&self.settings.key, Happening::Signalled);
        let kill_at = if hurry { now } else { now.after(patience) };
        self.current = Current::Stopping {
            then,
            phase: Phase::Asked { leader, kill_at },
        };
        if kill_at <= now {
            self.kill_first(now, then, leader, out);
        }
    }

    /// Sends KILL to everything in its process group. At `give_up_at` nobody waits any longer.
    pub(super) fn kill_all(
        &mut self,
        now: Monotonic,
        then: Then,
        leader: Leader,
        give_up_at: Option<Monotonic>,
        out: &mut Outbox,
    ) {
        out.log(Note::Killing {
            key: self.key().clone(),
            pid: leader.pid,
        });
        self.kill(leader.pid, Scope::Group, Signal::KILL, out);
        if mutant!(KillNeedsAGroup, !leader.executed, false) {
            self.kill(leader.pid, Scope::Leader, Signal::KILL, out);
        }
        self.current = Current::Stopping {
            then,
            phase: Phase::Killed {
                leader,
                again_at: now.after(mutant!(KillIsNotRepeated, KILL_AGAIN, KILL_PATIENCE)),
                give_up_at,
            },
        };
    }

    /// Sends the first KILL.
    pub(super) fn kill_first(
        &mut self,
        now: Monotonic,
        then: Then,
        leader: Leader,
        out: &mut Outbox,
    ) {
        self.kill_all(now, then, leader, Some(now.after(KILL_PATIENCE)), out);
    }

    /// The leader ended as it was told to: kills the rest of its process group while the pid is still its own, and only
    /// then takes its status.
    pub(super) fn leader_ended(
        &mut self,
        now: Monotonic,
        then: Then,
        pid: Pid,
        status: ExitStatus,
        out: &mut Outbox,
    ) {
        self.stopped_at = Some(now);
        self.last_exit = Some(status);
        self.remember(now, status, true);
        mutant!(ReapedBeforeItsGroupIsKilled, out.act(Action::Reap { pid }));
        mutant!(
            RestOfTheGroupIsSpared,
            self.kill(pid, Scope::Group, Signal::KILL, out),
            ()
        );
        out.act(Action::Reap { pid });
        out.log(Note::Stopped {
            key: self.key().clone(),
            status,
            expected: restart::is_expected(status, &self.settings.policy),
        });
        if mutant!(StoppedBeforeItsGroupIsGone, false, true) {
            return self.gone(now, then, Some(pid), out);
        }
        self.look(
            then,
            Phase::Remains {
                group: pid,
                look_at: None,
                pause: PROBE_FIRST,
                until: now.after(PROBE_PATIENCE),
            },
            out,
        );
    }

    /// Looks whether the process group has gone.
    pub(super) fn look(&mut self, then: Then, phase: Phase, out: &mut Outbox) {
        self.current = Current::Stopping { then, phase };
        if let Some(group) = self.remains() {
            out.act(Action::ProbeGroup {
                key: self.key().clone(),
                generation: self.generation,
                group,
            });
        }
    }

    /// Somebody of its process group is still there.
    pub(super) fn look_later(
        &mut self,
        now: Monotonic,
        then: Then,
        (group, pause, until): (Pid, Duration, Monotonic),
        out: &mut Outbox,
    ) {
        if now >= until {
            self.leave_alone(now, then, group, out);
        } else {
            self.current = Current::Stopping {
                then,
                phase: Phase::Remains {
                    group,
                    look_at: Some(mutant!(LooksWithoutAPause, now.after(pause), now)),
                    pause: pause.saturating_mul(2).min(PROBE_CAP),
                    until,
                },
            };
        }
    }

    /// Nothing is left of it; what was to follow follows.
    pub(super) fn gone(&mut self, now: Monotonic, then: Then, pid: Option<Pid>, out: &mut Outbox) {
        self.trouble = None;
        self.enter(now, Current::Stopped, pid, out);
        out.happen(&self.settings.key, Happening::Gone);
        match then {
            Then::Rest => mutant!(StoppedIsStarted, {}, self.start_afresh(now, out)),
            Then::Start => mutant!(RestartForgetsToStart, self.start_afresh(now, out), ()),
            Then::Forget => out.happen(&self.settings.key, Happening::Forgotten),
        }
    }

    /// Something is left of it that KILL does not end. It counts as stopped, and nothing is started beside the survivors:
    /// that is for the operator to decide.
    pub(super) fn leave_alone(&mut self, now: Monotonic, then: Then, pid: Pid, out: &mut Outbox) {
        self.trouble = None;
        self.enter(now, Current::Stopped, Some(pid), out);
        out.log(Note::NotKilled {
            key: self.key().clone(),
        });
        out.happen(&self.settings.key, Happening::NotKilled);
        if then == Then::Forget {
            out.happen(&self.settings.key, Happening::Forgotten);
        }
    }

    /// It is to be up while it is ending: it is started when it is gone.
    pub(super) fn start_when_gone(&mut self, then: Then, phase: Phase) -> Answer {
        match then {
            Then::Forget => Answer::start(Verdict::Now(Outcome::NoSuchProcess)),
            Then::Rest | Then::Start => {
                self.current = Current::Stopping {
                    then: Then::Start,
                    phase,
                };
                Answer::start(Verdict::Later)
            }
        }
    }

    /// It is not to be started when it is gone.
    pub(super) fn rest_when_gone(&mut self, then: Then, phase: Phase, out: &mut Outbox) {
        if mutant!(ShutdownKeepsAQueuedStart, then == Then::Start, false) {
            out.happen(&self.settings.key, Happening::Cancelled);
            self.current = Current::Stopping {
                then: Then::Rest,
                phase,
            };
        }
    }

    /// It is killed now, or as soon as it is born.
    pub(super) fn hurry(&mut self, now: Monotonic, then: Then, phase: Phase, out: &mut Outbox) {
        match phase {
            Phase::Unborn { .. } => {
                self.current = Current::Stopping {
                    then,
                    phase: Phase::Unborn { hurry: true },
                };
            }
            Phase::Asked { leader, .. } => self.kill_first(now, then, leader, out),
            Phase::Killed { .. } | Phase::Remains { .. } => {}
        }
    }

    /// The program of a process that is told to end runs now, so its process group exists.
    pub(super) fn mark_executed(
        &mut self,
        now: Monotonic,
        then: Then,
        phase: Phase,
        out: &mut Outbox,
    ) {
        let executed = |leader: Leader| Leader {
            executed: true,
            ..leader
        };
        let phase = match phase {
            Phase::Asked { leader, kill_at } => Phase::Asked {
                leader: executed(leader),
                kill_at,
            },
            Phase::Killed {
                leader,
                again_at,
                give_up_at,
            } => Phase::Killed {
                leader: executed(leader),
                again_at,
                give_up_at,
            },
            Phase::Remains { .. } => phase,
            Phase::Unborn { .. } => return self.broken(now, "a program without a process", out),
        };
        self.current = Current::Stopping { then, phase };
    }

    /// A deadline of a stop may have passed.
    pub(super) fn stop_is_due(
        &mut self,
        now: Monotonic,
        then: Then,
        phase: Phase,
        out: &mut Outbox,
    ) {
        match phase {
            Phase::Unborn { .. } => {}
            Phase::Asked { leader, kill_at } => {
                if now >= kill_at {
                    self.kill_first(now, then, leader, out);
                }
            }
            Phase::Killed {
                leader,
                again_at,
                give_up_at,
            } => {
                let give_up = give_up_at.is_some_and(|at| now >= at);
                let remaining = if give_up { None } else { give_up_at };
                if now >= again_at {
                    self.kill_all(now, then, leader, remaining, out);
                } else {
                    self.current = Current::Stopping {
                        then,
                        phase: Phase::Killed {
                            leader,
                            again_at,
                            give_up_at: remaining,
                        },
                    };
                }
                if give_up {
                    out.log(Note::NotKilled {
                        key: self.key().clone(),
                    });
                    out.happen(&self.settings.key, Happening::NotKilled);
                }
            }
            Phase::Remains {
                group,
                look_at,
                pause,
                until,
            } => {
                if now >= until {
                    self.leave_alone(now, then, group, out);
                } else if look_at.is_some_and(|at| now >= at) {
                    let awaiting = Phase::Remains {
                        group,
                        look_at: None,
                        pause,
                        until,
                    };
                    self.look(then, awaiting, out);
                }
            }
        }
    }
}
