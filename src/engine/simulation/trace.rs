//! What a history leaves behind for people: which cells of the table it reached, and its events in short.

use crate::engine::action::Action;
use crate::engine::event::{Command, Event};
use crate::engine::view::State;
use crate::engine::{Engine, Resolution};
use std::collections::BTreeMap;

/// How often each state met each kind of event.
#[derive(Debug, Default)]
pub struct Cells(pub BTreeMap<(State, &'static str), u64>);

impl Cells {
    /// Notes which state met which event, so that a cell of the table that is never reached is noticed.
    pub fn count(&mut self, engine: &Engine, event: &Event) {
        let mut count = |state, what| {
            *self.0.entry((state, what)).or_default() += 1;
        };
        let (key, what) = match event {
            Event::Spawned { key, .. } => (Some(key), "spawned"),
            Event::Executed { key, .. } => (Some(key), "executed"),
            Event::SpawnFailed { key, .. } => (Some(key), "spawn failed"),
            Event::GroupProbed { key, .. } => (Some(key), "probed"),
            Event::Exited { pid, failure, .. } => (
                engine.find_pid(*pid),
                if failure.is_some() {
                    "exited before its program"
                } else {
                    "exited"
                },
            ),
            Event::Terminate => {
                for view in engine.processes() {
                    count(view.state, "terminate");
                }
                return;
            }
            Event::Command { command, .. } => {
                let (targets, what) = match command {
                    Command::Start { targets, .. } => (targets, "start"),
                    Command::Stop { targets, .. } => (targets, "stop"),
                    Command::Restart { targets, .. } => (targets, "restart"),
                    Command::Signal { targets, .. } => (targets, "signal"),
                    Command::Update { .. } => {
                        for view in engine.processes() {
                            count(view.state, "update");
                        }
                        return;
                    }
                    Command::Reread { .. }
                    | Command::Add { .. }
                    | Command::Remove { .. }
                    | Command::Shutdown
                    | Command::Reload => return,
                };
                for target in targets {
                    if let Resolution::Processes(keys) = engine.resolve(target) {
                        for key in keys {
                            if let Some(view) = engine.process(&key) {
                                count(view.state, what);
                            }
                        }
                    }
                }
                return;
            }
            Event::Recover { .. }
            | Event::Boot
            | Event::Tick
            | Event::ListenersHeard
            | Event::Abandoned { .. } => return,
        };
        if let Some(view) = key.and_then(|key| engine.process(key)) {
            count(view.state, what);
        }
    }
}

/// An event in short.
pub fn brief_event(event: &Event) -> String {
    match event {
        Event::Command {
            ticket,
            command: Command::Update { groups, .. },
        } => format!("update {groups:?} {ticket:?}"),
        Event::Command {
            ticket,
            command: Command::Reread { .. },
        } => format!("reread {ticket:?}"),
        Event::Boot
        | Event::Tick
        | Event::Spawned { .. }
        | Event::Executed { .. }
        | Event::SpawnFailed { .. }
        | Event::Exited { .. }
        | Event::GroupProbed { .. }
        | Event::Command { .. }
        | Event::Abandoned { .. }
        | Event::Recover { .. }
        | Event::ListenersHeard
        | Event::Terminate => format!("{event:?}"),
    }
}

/// An action in short.
pub fn brief_action(action: &Action) -> String {
    match action {
        Action::Spawn {
            key,
            generation,
            settings,
        } => format!(
            "Spawn {key} {generation:?} {} {:?}",
            settings.launch.command, settings.policy
        ),
        Action::Publish(change) => format!(
            "Publish {} {:?} -> {:?} {:?}",
            change.key, change.from, change.to, change.pid
        ),
        Action::Kill { .. }
        | Action::Reap { .. }
        | Action::ProbeGroup { .. }
        | Action::Reply { .. }
        | Action::Log(_)
        | Action::Relimit { .. }
        | Action::Forget { .. }
        | Action::PublishGroup { .. }
        | Action::Exit { .. } => format!("{action:?}"),
    }
}
