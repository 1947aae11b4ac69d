//! One function for each state. Each names every input, so that a new input or state does not compile until every cell
//! of the table has been thought about.

use super::{Answer, Attempt, Current, Input, Leader, Phase, Process, Then, Verdict};
use crate::engine::action::Note;
use crate::engine::event::Outcome;
use crate::engine::mutants::mutant;
use crate::engine::outbox::Outbox;
use crate::types::{Monotonic, Pid};

/// The input needs no answer.
fn nothing() -> Answer {
    Answer::default()
}

impl Process {
    /// STOPPED: nothing lives and nothing is pending.
    pub(super) fn on_stopped(&mut self, now: Monotonic, input: Input, out: &mut Outbox) -> Answer {
        match input {
            Input::Start => self.start_while_down(now, out),
            Input::End(end) => self.end_while_down(now, false, end, out),
            Input::Spawned(pid) => {
                self.unasked(now, pid, out);
                nothing()
            }
            Input::SpawnFailed(_) | Input::Exited { .. } => {
                self.broken(now, "an answer to no question", out);
                nothing()
            }
            Input::Withdraw
            | Input::Hurry
            | Input::Executed
            | Input::Probed { .. }
            | Input::Due => nothing(),
        }
    }

    /// STARTING: a process was asked for, exists, or runs its program, but not yet for `startsecs`.
    pub(super) fn on_starting(
        &mut self,
        now: Monotonic,
        attempt: Attempt,
        input: Input,
        out: &mut Outbox,
    ) -> Answer {
        match input {
            Input::Start => Answer::start(Verdict::Now(Outcome::AlreadyStarted)),
            Input::End(end) => {
                let leader = match attempt {
                    Attempt::Asked => None,
                    Attempt::Forked { pid } => Some(Leader {
                        pid,
                        executed: false,
                    }),
                    Attempt::Executed { pid, .. } => Some(Leader {
                        pid,
                        executed: true,
                    }),
                };
                self.end_while_up(now, leader, end, out)
            }
            Input::Spawned(pid) => {
                match attempt {
                    Attempt::Asked => {
                        self.current = Current::Starting(Attempt::Forked { pid });
                        self.born(now, pid, out);
                    }
                    Attempt::Forked { .. } | Attempt::Executed { .. } => {
                        self.unasked(now, pid, out);
                    }
                }
                nothing()
            }
            Input::Executed => {
                match attempt {
                    Attempt::Forked { pid } => {
                        self.current = Current::Starting(Attempt::Executed { pid, at: now });
                        self.count_as_started(now, out);
                    }
                    Attempt::Asked => self.broken(now, "a program without a process", out),
                    Attempt::Executed { .. } => {}
                }
                nothing()
            }
            Input::SpawnFailed(failure) => {
                match attempt {
                    Attempt::Asked => self.spawn_failed(now, None, failure, out),
                    Attempt::Forked { .. } | Attempt::Executed { .. } => {
                        self.broken(now, "a failed spawn of a process that exists", out);
                    }
                }
                nothing()
            }
            Input::Exited { status, failure } => {
                match (attempt, failure) {
                    (Attempt::Asked, _) => self.broken(now, "the end of no process", out),
                    (Attempt::Forked { pid } | Attempt::Executed { pid, .. }, Some(failure)) => {
                        self.collect(now, pid, status, out);
                        self.spawn_failed(now, Some(pid), failure, out);
                    }
                    (Attempt::Forked { pid } | Attempt::Executed { pid, .. }, None) => {
                        self.collect(now, pid, status, out);
                        self.exited_too_quickly(now, pid, status, out);
                    }
                }
                nothing()
            }
            Input::Withdraw | Input::Hurry | Input::Probed { .. } | Input::Due => nothing(),
        }
    }

    /// RUNNING: up for at least `startsecs`.
    pub(super) fn on_running(
        &mut self,
        now: Monotonic,
        pid: Pid,
        input: Input,
        out: &mut Outbox,
    ) -> Answer {
        match input {
            Input::Start => Answer::start(Verdict::Now(Outcome::AlreadyStarted)),
            Input::End(end) => {
                let leader = Leader {
                    pid,
                    executed: true,
                };
                self.end_while_up(now, Some(leader), end, out)
            }
            Input::Exited { status, .. } => {
                self.ended(now, pid, status, out);
                nothing()
            }
            Input::Spawned(extra) => {
                self.unasked(now, extra, out);
                nothing()
            }
            Input::SpawnFailed(_) => {
                self.broken(now, "a failed spawn of a process that runs", out);
                nothing()
            }
            Input::Withdraw
            | Input::Hurry
            | Input::Executed
            | Input::Probed { .. }
            | Input::Due => nothing(),
        }
    }

    /// BACKOFF: an attempt failed and the next one is pending.
    pub(super) fn on_backoff(
        &mut self,
        now: Monotonic,
        until: Monotonic,
        input: Input,
        out: &mut Outbox,
    ) -> Answer {
        match input {
            Input::Start => Answer::start(Verdict::Now(Outcome::AlreadyStarted)),
            Input::End(end) => self.end_while_down(now, true, end, out),
            Input::Withdraw => {
                mutant!(ShutdownKeepsARetry, self.stand_down(now, out), ());
                nothing()
            }
            Input::Due => {
                if now >= until {
                    self.attempt(now, out);
                }
                nothing()
            }
            Input::Spawned(pid) => {
                self.unasked(now, pid, out);
                nothing()
            }
            Input::SpawnFailed(_) | Input::Exited { .. } => {
                self.broken(now, "an answer to no question", out);
                nothing()
            }
            Input::Hurry | Input::Executed | Input::Probed { .. } => nothing(),
        }
    }

    /// STOPPING: told to end; something of it lives or may yet be born.
    pub(super) fn on_stopping(
        &mut self,
        now: Monotonic,
        then: Then,
        phase: Phase,
        input: Input,
        out: &mut Outbox,
    ) -> Answer {
        match input {
            Input::Start => self.start_when_gone(then, phase),
            Input::End(end) => self.end_again(now, then, phase, end, out),
            Input::Withdraw => {
                self.rest_when_gone(then, phase, out);
                nothing()
            }
            Input::Hurry => {
                self.hurry(now, then, phase, out);
                nothing()
            }
            Input::Spawned(pid) => {
                match phase {
                    Phase::Unborn { hurry } => {
                        self.born(now, pid, out);
                        let leader = Leader {
                            pid,
                            executed: false,
                        };
                        mutant!(
                            NewbornIsNotStopped,
                            self.ask_to_stop(now, then, leader, hurry, out),
                            ()
                        );
                    }
                    Phase::Asked { .. } | Phase::Killed { .. } | Phase::Remains { .. } => {
                        self.unasked(now, pid, out);
                    }
                }
                nothing()
            }
            Input::Executed => {
                self.mark_executed(now, then, phase, out);
                nothing()
            }
            Input::SpawnFailed(failure) => {
                match phase {
                    Phase::Unborn { .. } => {
                        out.log(Note::SpawnFailed {
                            key: self.key().clone(),
                            failure,
                        });
                        self.gone(now, then, None, out);
                    }
                    Phase::Asked { .. } | Phase::Killed { .. } | Phase::Remains { .. } => {
                        self.broken(now, "a failed spawn of a process that exists", out);
                    }
                }
                nothing()
            }
            Input::Exited { status, .. } => {
                match phase {
                    Phase::Asked { leader, .. } | Phase::Killed { leader, .. } => {
                        mutant!(
                            ExitDuringAStopIsAFailure,
                            self.leader_ended(now, then, leader.pid, status, out),
                            self.exited_too_quickly(now, leader.pid, status, out)
                        );
                    }
                    Phase::Unborn { .. } | Phase::Remains { .. } => {
                        self.broken(now, "the end of no process", out);
                    }
                }
                nothing()
            }
            Input::Probed { alive } => {
                match phase {
                    // A second answer to one question says nothing new.
                    Phase::Remains {
                        group,
                        look_at: None,
                        pause,
                        until,
                    } => {
                        if alive {
                            self.look_later(now, then, (group, pause, until), out);
                        } else {
                            self.gone(now, then, Some(group), out);
                        }
                    }
                    Phase::Remains { .. }
                    | Phase::Unborn { .. }
                    | Phase::Asked { .. }
                    | Phase::Killed { .. } => {}
                }
                nothing()
            }
            Input::Due => {
                self.stop_is_due(now, then, phase, out);
                nothing()
            }
        }
    }

    /// EXITED: ended by itself after it counted as started; perhaps about to be started again.
    pub(super) fn on_exited(
        &mut self,
        now: Monotonic,
        next_attempt: Option<Monotonic>,
        input: Input,
        out: &mut Outbox,
    ) -> Answer {
        match input {
            Input::Start => self.start_while_down(now, out),
            Input::End(end) => self.end_while_down(now, next_attempt.is_some(), end, out),
            Input::Withdraw => {
                if next_attempt.is_some() {
                    self.stand_down(now, out);
                }
                nothing()
            }
            Input::Due => {
                if next_attempt.is_some_and(|at| now >= at) {
                    self.start_again(now, out);
                }
                nothing()
            }
            Input::Spawned(pid) => {
                self.unasked(now, pid, out);
                nothing()
            }
            Input::SpawnFailed(_) | Input::Exited { .. } => {
                self.broken(now, "an answer to no question", out);
                nothing()
            }
            Input::Hurry | Input::Executed | Input::Probed { .. } => nothing(),
        }
    }

    /// FATAL: failed to start too often. Only an operator or a new configuration brings it back.
    pub(super) fn on_fatal(&mut self, now: Monotonic, input: Input, out: &mut Outbox) -> Answer {
        match input {
            Input::Start => self.start_while_down(now, out),
            Input::End(end) => self.end_while_down(now, false, end, out),
            Input::Spawned(pid) => {
                self.unasked(now, pid, out);
                nothing()
            }
            Input::SpawnFailed(_) | Input::Exited { .. } => {
                self.broken(now, "an answer to no question", out);
                nothing()
            }
            Input::Withdraw
            | Input::Hurry
            | Input::Executed
            | Input::Probed { .. }
            | Input::Due => nothing(),
        }
    }

    fn start_while_down(&mut self, now: Monotonic, out: &mut Outbox) -> Answer {
        self.start_afresh(now, out);
        Answer::start(Verdict::Later)
    }
}
