//! The engine as the shell sees it. Here is a shell that does as it is told; what is tested with it stands beside.

mod changes;
mod closing;
mod commands;
mod exit_policy;
mod processes;
mod recovery;

use super::Engine;
use super::action::Action;
use super::event::{Command, Event, Outcome, Reply, TargetResult};
use super::testing::{config, key, ms, settings};
use super::view::{ProcessView, State};
use crate::config::model::ProcessSettings;
use crate::types::{ExitStatus, Monotonic, Pid, Ticket};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// An engine with a shell that does as it is told: every spawn succeeds at once, and each process gets a pid of its own.
pub struct Shell {
    pub engine: Engine,
    pub now: Monotonic,
    pub next_pid: i32,
    next_ticket: u64,
    replies: Vec<(Ticket, Reply)>,
    pub log: Vec<Action>,
}

impl Shell {
    pub fn new(processes: impl IntoIterator<Item = ProcessSettings>) -> Self {
        Self {
            engine: Engine::new(Arc::new(config(processes))),
            now: ms(1000),
            next_pid: 100,
            next_ticket: 0,
            replies: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Lets something happen, and carries out what it leads to.
    pub fn feed(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.engine.step(self.now, event) {
                match &action {
                    Action::Spawn {
                        key, generation, ..
                    } => {
                        let pid = Pid::new(self.next_pid).unwrap();
                        self.next_pid += 1;
                        events.push(Event::Executed {
                            key: key.clone(),
                            generation: *generation,
                        });
                        events.push(Event::Spawned {
                            key: key.clone(),
                            generation: *generation,
                            pid,
                        });
                    }
                    Action::ProbeGroup {
                        key, generation, ..
                    } => events.push(Event::GroupProbed {
                        key: key.clone(),
                        generation: *generation,
                        alive: false,
                    }),
                    Action::Reply { ticket, reply } => self.replies.push((*ticket, reply.clone())),
                    Action::Kill { .. }
                    | Action::Reap { .. }
                    | Action::Publish(_)
                    | Action::Log(_)
                    | Action::Relimit { .. }
                    | Action::Forget { .. }
                    | Action::PublishGroup { .. }
                    | Action::Exit { .. } => {}
                }
                self.log.push(action);
            }
        }
    }

    pub fn ask(&mut self, command: Command) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.feed(Event::Command { ticket, command });
        ticket
    }

    pub fn start(&mut self, targets: &[&str]) -> Ticket {
        let targets = targets.iter().map(|&target| target.to_owned()).collect();
        self.ask(Command::Start {
            targets,
            wait: true,
            unrunnable: BTreeMap::new(),
        })
    }

    pub fn stop(&mut self, targets: &[&str]) -> Ticket {
        let targets = targets.iter().map(|&target| target.to_owned()).collect();
        self.ask(Command::Stop {
            targets,
            wait: true,
        })
    }

    pub fn restart(&mut self, targets: &[&str]) -> Ticket {
        let targets = targets.iter().map(|&target| target.to_owned()).collect();
        self.ask(Command::Restart {
            targets,
            wait: true,
            unrunnable: BTreeMap::new(),
        })
    }

    pub fn update(&mut self, processes: impl IntoIterator<Item = ProcessSettings>) -> Ticket {
        self.ask(Command::Update {
            config: Arc::new(config(processes)),
            groups: Vec::new(),
        })
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.feed(Event::Tick);
    }

    pub fn second(&mut self) {
        self.pass(Duration::from_secs(1));
    }

    pub fn exit(&mut self, name: &str, code: u8) {
        let pid = self.view(name).pid.unwrap();
        self.feed(Event::Exited {
            pid,
            status: ExitStatus::Code(code),
            failure: None,
        });
    }

    pub fn view(&self, name: &str) -> ProcessView {
        self.engine.process(&key(name)).unwrap()
    }

    pub fn state(&self, name: &str) -> State {
        self.view(name).state
    }

    /// The answer to a ticket, if there is one.
    pub fn reply(&self, ticket: Ticket) -> Option<&Reply> {
        let mut replies = self.replies.iter().filter(|(other, _)| *other == ticket);
        let reply = replies.next();
        assert!(replies.next().is_none(), "{ticket:?} is answered twice");
        reply.map(|(_, reply)| reply)
    }

    /// Names of processes that were spawned, or told to stop, since the last call.
    pub fn taken(&mut self) -> (Vec<String>, Vec<String>) {
        let mut spawned = Vec::new();
        let mut stopped = Vec::new();
        for action in std::mem::take(&mut self.log) {
            match action {
                Action::Spawn { key, .. } => spawned.push(key.to_string()),
                Action::Publish(change) if change.to == State::Stopping => {
                    stopped.push(change.key.to_string());
                }
                Action::Publish(_)
                | Action::Kill { .. }
                | Action::Reap { .. }
                | Action::ProbeGroup { .. }
                | Action::Reply { .. }
                | Action::Log(_)
                | Action::Relimit { .. }
                | Action::Forget { .. }
                | Action::PublishGroup { .. }
                | Action::Exit { .. } => {}
            }
        }
        (spawned, stopped)
    }
}

pub fn row(name: &str, outcome: Outcome) -> TargetResult {
    TargetResult {
        name: name.to_owned(),
        outcome,
    }
}

pub fn autostarted(name: &str) -> ProcessSettings {
    let mut settings = settings(name);
    settings.policy.autostart = true;
    settings
}

pub fn ranked(name: &str, priority: i32) -> ProcessSettings {
    let mut settings = autostarted(name);
    settings.policy.priority = priority;
    settings
}
