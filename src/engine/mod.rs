//! The engine: every decision about processes, and nothing else.
//!
//! [`Engine::step`] is told what happened and when, and answers with what is to be done. It is pure and total: it reads no
//! clock, touches no file, writes no log, draws no random number, cannot fail and does not panic. All it knows is in its
//! fields, so the same events at the same times give the same actions.
//!
//! # What a process is
//!
//! A process has two fields that must not be confused: what it is *wanted* to be (up or down, and whether an operator
//! said so), and what it *is*. An intent is recorded before anything is done about it; nothing is ever spawned for a
//! process that is wanted down.
//!
//! | state | what it knows | what it waits for | what else ends it |
//! |---|---|---|---|
//! | STOPPED | nothing lives, nothing is pending | | a start |
//! | STARTING | *asked*: no answer to the spawn yet; *forked*: the pid; *executed*: the pid, and since when its program runs | `startsecs` after *executed*: RUNNING (at once where it is 0) | a failed spawn, or an exit before that: BACKOFF, or FATAL after too many; an order to end: STOPPING |
//! | RUNNING | the pid | | an exit: EXITED; an order to end: STOPPING |
//! | BACKOFF | when the next attempt is due | that time: STARTING | an order to end: STOPPED at once |
//! | STOPPING | what follows (rest, start, be forgotten), and: *unborn*: no answer to the spawn yet; *asked*: the pid, and when to KILL; *killed*: the pid, when to KILL again, when to tell that it is in vain; *remains*: the process group, when to look again, when to leave it alone | the leader's exit, then the end of its process group: STOPPED, and what follows | another order only changes what follows |
//! | EXITED | whether that was expected, and when it is started again | that time: STARTING | a start; an order to end: STOPPED if a restart was pending |
//! | FATAL | nothing lives, nothing is pending | | a start, new settings |
//!
//! UNKNOWN is a word of the protocol that this engine never says.
//!
//! # What holds at all times
//!
//! - A process has a pid exactly from the answer to its spawn until it is reaped. There is never a second one.
//! - A signal is only sent to a pid, or the group of a pid, that is not reaped. What is to be killed after an exit is killed
//!   before the reaping, while the zombie still pins the number.
//! - Every event names a generation or a pid. One of the past changes nothing.
//! - After a stop that succeeded, nobody of the process group is left.
//! - KILL comes `stopwaitsecs` after the stop signal, never earlier, except in a shutdown that was told to hurry.
//! - Every deadline stands in the state that needs it. [`Engine::next_deadline`] is exact, lies in the future after each
//!   step, and is `None` when nothing is pending.
//! - Every ticket is answered exactly once, unless it was abandoned.
//! - A shutdown is never left, and nothing is spawned once it has begun.
//!
//! # Time
//!
//! A step first lets its event happen, then works off every deadline that has passed. So a stop that comes together with
//! the end of a BACKOFF wins, and an exit that comes together with the deadline of a stop draws no KILL. There is one thing
//! that an event cannot undo: a process that has been up for `startsecs` counts as started first, also when nobody has
//! looked since.
//!
//! # What the shell promises
//!
//! It carries out actions in their order and answers each [`Action::Spawn`] and each [`Action::ProbeGroup`] once. It says
//! `Spawned` before it says anything else about that pid, and `Executed` before the `Exited` of a program that was
//! executed. Times do not go back. It passes a foreign child's `Exited` on as well, since only the engine knows whose it is.
//!
//! # What is not here
//!
//! No wall clock and no time of day, no file and no path is touched, no text for people: [`action::Note`] and
//! [`event::Reply`] are data that others word. Output of programs never gets here; that a pipe was closed says nothing
//! about a process. Dependencies between programs and health checks are not built; they would be one more condition in
//! front of [`Action::Spawn`].

pub mod action;
mod commands;
pub mod event;
mod exit_policy;
pub mod forecast;
pub mod handover;
mod mutants;
mod outbox;
mod plan;
mod process;
mod recovery;
mod requests;
mod resolve;
mod restart;
mod shutdown;
#[cfg(test)]
mod simulation;
mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod view;

pub use action::Action;
pub use event::Event;
pub use exit_policy::Verdict;
pub use process::memo::Memo;
pub use resolve::Resolution;

use crate::config::model::Config;
use crate::engine::mutants::mutant;
use crate::types::{Generation, GroupName, Monotonic, Pid, ProcessKey};
use action::{Note, Scope};
use event::{SpawnFailure, SpawnStep};
use outbox::{Happening, Outbox};
use process::{Answer, Input, Process, Wanted};
use requests::Requests;
use shutdown::Closing;
use std::sync::Arc;
use table::Table;
use view::{AvailView, ProcessView, StoryView};

/// All processes, and all requests about them.
#[derive(Debug)]
pub struct Engine {
    /// What is active.
    config: Arc<Config>,
    /// What was read last; `add` takes groups from here.
    last_read: Arc<Config>,
    table: Table,
    requests: Requests,
    closing: Option<Closing>,
    verdict: Option<Verdict>,
}

impl Engine {
    /// An engine for a configuration, in which nothing has been started. [`Event::Boot`] starts what is to start.
    pub fn new(config: Arc<Config>) -> Self {
        let mut table = Table::default();
        for (name, group) in &config.groups {
            table.rank_group(name, group.priority);
            for settings in group.processes.values() {
                table.add(Monotonic::default(), Arc::clone(settings));
            }
        }
        Self {
            last_read: Arc::clone(&config),
            config,
            table,
            requests: Requests::default(),
            closing: None,
            verdict: None,
        }
    }

    /// Lets something happen at `now`, works off what is due by then, and says what is to be done.
    #[must_use]
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Action> {
        let mut out = Outbox::default();
        self.handle(now, event, &mut out);
        for key in self.table.due(now) {
            self.apply(now, &key, Input::Due, &mut out);
        }
        self.judge_exit(now, &mut out);
        self.go_on_closing(now, &mut out);
        out.actions
    }

    /// When to send [`Event::Tick`] if nothing else happens before; `None` when nothing is pending.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let shutdown = self.closing.as_ref().and_then(Closing::deadline);
        let closing = mutant!(ShutdownHasNoDeadline, shutdown, None);
        match (self.table.next_deadline(), closing) {
            (Some(process), Some(closing)) => Some(process.min(closing)),
            (process, closing) => process.or(closing),
        }
    }

    /// The active configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Every process, by group and name; also those that are no longer configured and not yet gone.
    pub fn processes(&self) -> impl Iterator<Item = ProcessView> {
        self.table.processes().map(Process::view)
    }

    /// How many processes there are.
    pub fn count(&self) -> usize {
        self.table.count()
    }

    /// One process.
    pub fn process(&self, key: &ProcessKey) -> Option<ProcessView> {
        self.table.get(key).map(Process::view)
    }

    /// One process and what led to its state.
    pub fn story(&self, key: &ProcessKey) -> Option<StoryView> {
        self.table.get(key).map(Process::story)
    }

    /// The process that a pid belongs to, from the answer to its spawn until it is reaped.
    pub fn find_pid(&self, pid: Pid) -> Option<&ProcessKey> {
        self.table.find_pid(pid)
    }

    /// What a user means by a name.
    pub fn resolve(&self, target: &str) -> Resolution {
        resolve::resolve(&self.table, target)
    }

    /// Whether a shutdown or a reload is under way.
    pub fn is_shutting_down(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether the daemon starts anew after the shutdown that is under way.
    pub fn is_reloading(&self) -> bool {
        self.closing.as_ref().is_some_and(Closing::reloads)
    }

    /// Whether the shutdown goes on as soon as event listeners have heard of everything.
    pub fn waits_for_listeners(&self) -> bool {
        self.closing
            .as_ref()
            .is_some_and(Closing::waits_for_listeners)
    }

    /// Every process of the last configuration that was read.
    pub fn avail(&self) -> Vec<AvailView> {
        let groups = self.last_read.groups.iter();
        groups
            .flat_map(|(name, group)| {
                let in_use = self.config.groups.contains_key(name);
                group.processes.values().map(move |settings| AvailView {
                    key: settings.key.clone(),
                    program: settings.program.clone(),
                    in_use,
                    autostart: settings.policy.autostart,
                    group_priority: group.priority,
                    process_priority: settings.policy.priority,
                })
            })
            .collect()
    }

    fn handle(&mut self, now: Monotonic, event: Event, out: &mut Outbox) {
        match event {
            Event::Recover { found } => {
                self.recover(now, found, out);
                self.boot(now, out);
            }
            Event::Boot => self.boot(now, out),
            Event::Tick => {}
            Event::Spawned {
                key,
                generation,
                pid,
            } => self.spawned(now, &key, generation, pid, out),
            Event::Executed { key, generation } => {
                self.answered(now, &key, generation, Input::Executed, out);
            }
            Event::SpawnFailed {
                key,
                generation,
                failure,
            } => {
                self.answered(now, &key, generation, Input::SpawnFailed(failure), out);
            }
            Event::Exited {
                pid,
                status,
                failure,
            } => {
                if let Some(key) = self.table.find_pid(pid).cloned() {
                    self.apply(now, &key, Input::Exited { status, failure }, out);
                } else {
                    mutant!(StrangerIsNotReaped, out.act(Action::Reap { pid }), ());
                    out.log(Note::UnknownReaped { pid, status });
                }
            }
            Event::GroupProbed {
                key,
                generation,
                alive,
            } => {
                // A pid is not given out again while a process group of that number exists. If one of our own processes
                // has it now, the group that was looked at is that process's, and the old one is gone.
                let reused = self
                    .table
                    .get(&key)
                    .and_then(Process::remains)
                    .is_some_and(|group| self.table.find_pid(group).is_some());
                let alive = alive && !mutant!(ReusedGroupIsTakenForTheOld, reused, false);
                self.answered(now, &key, generation, Input::Probed { alive }, out);
            }
            Event::Command { ticket, command } => self.command(now, ticket, command, out),
            Event::Abandoned { ticket } => {
                mutant!(VanishedIsAnswered, self.requests.abandon(ticket), ());
            }
            Event::ListenersHeard => {
                if let Some(closing) = &mut self.closing {
                    closing.listeners_heard();
                }
            }
            Event::Terminate if self.closing.is_none() => self.shut_down(now, false, out),
            Event::Terminate => {
                if !self.end_for_good(now) {
                    mutant!(SecondSignalDoesNotHurry, self.hurry(now, out), ());
                }
            }
        }
    }

    /// Starts what starts by itself and has never been started.
    fn boot(&mut self, now: Monotonic, out: &mut Outbox) {
        if self.closing.is_some() {
            return;
        }
        for key in self.table.in_order_of_rank() {
            self.start_by_itself(now, &key, out);
        }
    }

    /// Starts a process if `autostart` says so, it has never been started, and no operator has said anything about it.
    fn start_by_itself(&mut self, now: Monotonic, key: &ProcessKey, out: &mut Outbox) {
        let fresh = self.table.get(key).is_some_and(|process| {
            process.settings().policy.autostart
                && !process.was_spawned()
                && !process.wanted().by_operator
        });
        if fresh {
            self.want(
                key,
                Wanted {
                    up: true,
                    by_operator: false,
                },
            );
            self.apply(now, key, Input::Start, out);
        }
    }

    /// A spawn made a process.
    fn spawned(
        &mut self,
        now: Monotonic,
        key: &ProcessKey,
        generation: Generation,
        pid: Pid,
        out: &mut Outbox,
    ) {
        if let Some(owner) = self.table.find_pid(pid) {
            out.bug(format!(
                "{key} was given pid {pid}, which is that of {owner}"
            ));
            let failure = SpawnFailure {
                step: SpawnStep::Fork,
                subject: String::new(),
                errno: 0,
            };
            self.answered(now, key, generation, Input::SpawnFailed(failure), out);
        } else if !self.answered(now, key, generation, Input::Spawned(pid), out) {
            // Nobody is waiting for it, and nobody would ever stop it.
            out.act(Action::Kill {
                key: key.clone(),
                pid,
                scope: Scope::Leader,
                signal: crate::types::Signal::KILL,
            });
            out.bug(format!("{key}: pid {pid} was spawned too late"));
        }
    }

    /// Passes an answer on, unless it belongs to an earlier generation; says whether it did.
    fn answered(
        &mut self,
        now: Monotonic,
        key: &ProcessKey,
        generation: Generation,
        input: Input,
        out: &mut Outbox,
    ) -> bool {
        let known = self.table.get(key).map(Process::generation);
        let current = mutant!(EarlierGenerationCounts, known == Some(generation), true);
        if current {
            self.apply(now, key, input, out);
        }
        current
    }

    /// Lets something happen to a process, and tells everybody inside the engine who is concerned.
    fn apply(
        &mut self,
        now: Monotonic,
        key: &ProcessKey,
        input: Input,
        out: &mut Outbox,
    ) -> Answer {
        let answer = self.table.step(now, key, input, out).unwrap_or_default();
        self.apply_happenings(out);
        answer
    }

    /// Tells everybody inside the engine what has happened.
    fn apply_happenings(&mut self, out: &mut Outbox) {
        for (key, happening) in std::mem::take(&mut out.happenings) {
            self.requests.happened(&key, &happening, out);
            if let Some(closing) = &mut self.closing {
                closing.happened(&key, &happening);
            }
            if happening == Happening::Forgotten {
                self.forget(&key, out);
            }
        }
    }

    /// Records what a process is to be.
    fn want(&mut self, key: &ProcessKey, wanted: Wanted) {
        self.table.with(key, |process| process.want(wanted));
    }

    /// A process that is no longer configured is gone.
    fn forget(&mut self, key: &ProcessKey, out: &mut Outbox) {
        self.table.remove(key);
        out.act(Action::Forget { key: key.clone() });
        self.drop_group(&key.group, out);
    }

    /// Forgets a group that is no longer configured and has no process left.
    fn drop_group(&mut self, group: &GroupName, out: &mut Outbox) {
        if !self.config.groups.contains_key(group) && self.table.drop_empty_group(group) {
            out.log(Note::GroupRemoved {
                group: group.clone(),
            });
            out.act(Action::PublishGroup {
                group: group.clone(),
                added: false,
            });
        }
    }
}
