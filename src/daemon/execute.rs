//! Carries out the engine's actions, one system call each, and tells it what came of them.

use super::adoption::runs_beside;
use super::capture::{AttachOptions, StreamId};
use super::children::Waiting;
use super::event_loop::{Daemon, Ending, Wake};
use super::{convert, sentences};
use crate::engine::action::{Action, Scope, StateChange};
use crate::engine::event::Event;
use crate::engine::view::State;
use crate::sys::poller::Interest;
use crate::sys::spawn::Status;
use crate::sys::{clock, kill, reap};
use crate::types::{Pid, ProcessKey, Signal};
use crate::wire::{Channel, Notice};
use nix::errno::Errno;

impl Daemon {
    /// Carries out one action.
    pub(super) fn execute(&mut self, action: Action) {
        match action {
            Action::Spawn {
                key,
                generation,
                settings,
            } => {
                self.children.enqueue(Waiting {
                    key,
                    generation,
                    settings,
                });
            }
            Action::Kill {
                key,
                pid,
                scope,
                signal,
            } => self.send_signal(&key, pid, scope, signal),
            Action::Reap { pid } => self.reap(pid),
            Action::ProbeGroup {
                key,
                generation,
                group,
            } => {
                let alive = match self.adopted(&key, group) {
                    Some(handle) => handle.group_exists(),
                    None => kill::group_exists(group),
                };
                self.follow_up(Event::GroupProbed {
                    key,
                    generation,
                    alive,
                });
            }
            Action::Reply { ticket, reply } => self.answer(ticket, reply),
            Action::Publish(change) => self.publish(&change),
            Action::Log(note) => {
                let (level, text) = sentences::sentence(&note);
                log::log!(level, "{text}");
            }
            Action::Relimit { settings } => {
                for (channel, log) in [
                    (Channel::Stdout, &settings.stdout),
                    (Channel::Stderr, &settings.stderr),
                ] {
                    self.capture.relimit(
                        StreamId {
                            key: settings.key.clone(),
                            channel,
                        },
                        log,
                    );
                }
            }
            Action::Forget { key } => self.forget(&key),
            Action::PublishGroup { group, added } => {
                self.publish_group(&group, added);
                let group = group.to_string();
                let notice = if added {
                    Notice::GroupAdded { group }
                } else {
                    Notice::GroupRemoved { group }
                };
                self.publish_notice(&notice, None);
            }
            Action::Exit { left, reload } => {
                let status = self.engine.verdict().map(|verdict| verdict.status);
                self.ending = Some(Ending {
                    left,
                    reload,
                    status,
                });
            }
        }
    }

    /// Makes the process of a spawn whose turn it is.
    pub(super) fn spawn(&mut self, spawn: Waiting) {
        let (key, generation) = (spawn.key.clone(), spawn.generation);
        let settings = spawn.settings.clone();
        self.put_on_record();
        let (children, journal) = (&mut self.children, self.journal.fd());
        let launched = match runs_beside(&mut self.left, &key) {
            Some(failure) => Err(failure),
            None => self
                .sockets
                .acquire(&settings)
                .and_then(|listener| children.launch(&spawn, journal, listener)),
        };
        let launched = match launched {
            Ok(launched) => launched,
            Err(failure) => {
                return self.feed(Event::SpawnFailed {
                    key,
                    generation,
                    failure,
                });
            }
        };
        let pid = launched.spawned.pid;
        let ticks = launched.spawned.ticks;
        self.journal.born(key.clone(), pid, ticks, launched.details);
        let captures = [
            (Channel::Stdout, launched.stdout, &settings.stdout),
            (Channel::Stderr, launched.stderr, &settings.stderr),
        ];
        self.close_input(&key);
        if let Some(stdin) = launched.stdin {
            self.inputs.open(key.clone(), stdin);
        }
        for (channel, pipe, log) in captures {
            let key = key.clone();
            let stream = StreamId { key, channel };
            if settings.launch.listener && channel == Channel::Stdout {
                if let Some(pipe) = pipe {
                    self.begin_listening(&settings, pid, pipe);
                }
            } else if let Some(pipe) = pipe {
                let options = AttachOptions {
                    strip_ansi: settings.launch.strip_ansi,
                    adopted: false,
                };
                self.capture.attach(stream, pid, pipe, log, options);
            } else if log.direct {
                self.capture.renew(stream);
            }
        }
        let executed = match launched.spawned.status {
            Status::Settled(told) => self.children.settle(pid, spawn, told),
            Status::Awaited(pipe) => {
                let token = Wake::ExecStatus(pid).token();
                if let Err(error) = self.poller.add(&pipe, token, Interest::READABLE) {
                    // Without a watch the pipe is read when the process ends; it counts as executed only then.
                    log::error!("{key}: can't watch its start: {error}");
                }
                self.children.watch(pid, spawn, pipe);
                None
            }
        };
        self.feed(Event::Spawned {
            key,
            generation,
            pid,
        });
        if let Some(executed) = executed {
            self.feed(executed);
        }
    }

    fn reap(&mut self, pid: Pid) {
        if self.adopted.values().all(|handle| handle.pid() != pid) || reap::peek_at(pid).is_some() {
            reap::collect(pid);
        }
        self.journal.ended(pid);
    }

    /// Writes what waits to be put on record, once a turn, and from time to time all anew.
    pub(super) fn tend_journal(&mut self) {
        self.put_on_record();
        if !self.children.has_executing()
            && self.journal.is_long()
            && let Err(error) = self.journal.write_anew()
        {
            log::error!("can't rewrite the record of processes: {error}");
        }
    }

    /// Whether an action only follows from the end of the process `ended`, as it would for a daemon after this one: then
    /// it may be done before what was decided is on record. All that reaches somebody who lives may not.
    pub(super) fn may_go_unrecorded(action: &Action, ended: Option<Pid>) -> bool {
        match action {
            // The leader has ended, so this is for the rest of its group.
            Action::Kill { pid, .. } => Some(*pid) == ended,
            Action::Reap { .. }
            | Action::ProbeGroup { .. }
            | Action::Log(_)
            // Those whose turn has come, and those who listen, are served with everything on record.
            | Action::Spawn { .. }
            | Action::Publish(_)
            | Action::PublishGroup { .. }
            | Action::Relimit { .. } => true,
            Action::Reply { .. } | Action::Forget { .. } | Action::Exit { .. } => false,
        }
    }

    /// Puts on record what the engine has decided, before it is done: of each process what it has come to by now.
    pub(super) fn put_on_record(&mut self) {
        for (key, memo) in self.engine.take_memos() {
            self.journal.remember(&key, memo.as_ref());
        }
        if self.engine.is_shutting_down() {
            self.journal.close();
        }
        self.journal.flush();
    }

    fn publish(&mut self, change: &StateChange) {
        let StateChange {
            key, from, to, pid, ..
        } = change;
        if matches!(
            to,
            State::Stopped | State::Exited | State::Backoff | State::Fatal
        ) {
            self.close_input(key);
            self.release_adopted(key);
            self.sockets.look_again();
        }
        self.publish_state(change);
        let notice = Notice::State {
            name: key.to_string(),
            from: convert::state(*from),
            to: convert::state(*to),
            pid: pid.map(|pid| pid.as_raw().unsigned_abs()),
        };
        self.publish_notice(&notice, Some(key));
    }

    /// Tells everybody who wants to hear of states and may look at this process; with none, at all.
    fn publish_notice(&mut self, notice: &Notice, about: Option<&ProcessKey>) {
        let subscriptions = self.jobs.state_subscriptions();
        if subscriptions.is_empty() {
            return;
        }
        let settings = about
            .and_then(|key| self.engine.process(key))
            .map(|process| process.settings);
        let about = settings
            .as_ref()
            .map(|settings| (&settings.key, &settings.program));
        let now = clock::now();
        for subscription in subscriptions {
            let client = self.jobs.subscription(subscription).map(|open| open.client);
            if client.is_some_and(|client| self.may_see(client, about)) {
                self.notify(subscription, notice.clone(), now);
            }
        }
    }

    fn forget(&mut self, key: &ProcessKey) {
        self.close_input(key);
        self.sockets.look_again();
        self.end_output_subscriptions(key);
        self.capture.forget(key);
    }

    pub(super) fn close_input(&mut self, key: &ProcessKey) {
        if let Some((&token, _)) = self
            .input_tokens
            .iter()
            .find(|(_, watched)| *watched == key)
        {
            self.input_tokens.remove(&token);
            if let Some(pipe) = self.inputs.pipe(key) {
                self.unwatch(pipe);
            }
        }
        drop(self.inputs.close(key));
    }

    fn send_signal(&self, key: &ProcessKey, pid: Pid, scope: Scope, signal: Signal) {
        let sent = match (self.adopted(key, pid), scope) {
            (Some(handle), Scope::Leader) => handle.signal(signal),
            (Some(handle), Scope::Group) => handle.signal_group(signal),
            (None, Scope::Leader) => kill::process(pid, signal),
            (None, Scope::Group) => kill::group(pid, signal),
        };
        match sent {
            // It has ended just now: its end is on the way.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => log::error!("{key}: can't send {signal} to pid {pid}: {}", errno.desc()),
        }
    }
}
