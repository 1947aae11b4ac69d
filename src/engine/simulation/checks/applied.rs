//! Which settings are in force, reckoned anew from the commands alone.
//!
//! - **I19** Only what makes a configuration the active one changes the active configuration.
//! - **I30** Nothing is spawned with settings that are not in force: of a file that was only read, or was replaced.

use crate::config::model::{Config, Group, ProcessSettings};
use crate::engine::Engine;
use crate::engine::event::{Command, Event};
use crate::engine::view::State;
use crate::types::GroupName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The active groups, and those of the last file that was read.
#[derive(Debug, Default)]
pub struct Applied {
    active: BTreeMap<GroupName, Group>,
    read: BTreeMap<GroupName, Group>,
}

impl Applied {
    /// A daemon begins with a file.
    pub fn begin(&mut self, config: &Config) {
        self.active.clone_from(&config.groups);
        self.read.clone_from(&config.groups);
    }

    /// The active groups.
    pub fn groups(&self) -> &BTreeMap<GroupName, Group> {
        &self.active
    }

    /// Takes an event into account, before the engine sees it.
    pub fn reckon(&mut self, engine: &Engine, event: &Event) {
        if *event == Event::Boot {
            self.begin(engine.config());
        }
        let Event::Command { command, .. } = event else {
            return;
        };
        if engine.is_shutting_down() {
            return;
        }
        match command {
            Command::Reread { config } => self.read.clone_from(&config.groups),
            Command::Update { config, groups } => self.update(config, groups),
            Command::Add { groups } => {
                for name in groups {
                    let name = GroupName::new(name).unwrap();
                    if let Some(group) = self.read.get(&name) {
                        self.active.entry(name).or_insert_with(|| group.clone());
                    }
                }
            }
            Command::Remove { groups } => {
                for name in groups {
                    let up = |state| {
                        matches!(
                            state,
                            State::Starting | State::Running | State::Backoff | State::Stopping
                        )
                    };
                    let busy = engine
                        .processes()
                        .any(|view| view.key.group.as_str() == name && up(view.state));
                    if !busy {
                        self.active.remove(&GroupName::new(name).unwrap());
                    }
                }
            }
            Command::Start { .. }
            | Command::Stop { .. }
            | Command::Restart { .. }
            | Command::Signal { .. }
            | Command::Shutdown
            | Command::Reload => {}
        }
    }

    fn update(&mut self, config: &Config, groups: &[String]) {
        let names: Vec<_> = groups
            .iter()
            .map(|name| GroupName::new(name).unwrap())
            .collect();
        let known = |name| self.active.contains_key(name) || config.groups.contains_key(name);
        if !names.iter().all(known) {
            return;
        }
        self.read.clone_from(&config.groups);
        if names.is_empty() {
            self.active.clone_from(&config.groups);
        }
        for name in names {
            match config.groups.get(&name) {
                Some(group) => self.active.insert(name, group.clone()),
                None => self.active.remove(&name),
            };
        }
    }

    /// I30, for the settings of a spawn.
    pub fn may_spawn(&self, settings: &Arc<ProcessSettings>) -> Result<(), String> {
        let key = &settings.key;
        let group = self.active.get(&key.group);
        match group.and_then(|group| group.processes.get(&key.process)) {
            Some(active) if active == settings => Ok(()),
            other => Err(format!(
                "I30: {key} is spawned with {settings:?}, and in force is {other:?}"
            )),
        }
    }

    /// I19, after a step.
    pub fn is_active(&self, engine: &Engine, event: Option<&Event>) -> Result<(), String> {
        // Nothing else is told of a configuration, and the comparison is dear.
        if !matches!(event, Some(Event::Command { .. } | Event::Boot)) {
            return Ok(());
        }
        let actual = &engine.config().groups;
        let same = actual.len() == self.active.len()
            && actual.iter().all(|(name, group)| {
                self.active.get(name).is_some_and(|expected| {
                    expected.priority == group.priority && expected.processes == group.processes
                })
            });
        if same {
            Ok(())
        } else {
            Err(format!(
                "I19: active is {actual:?} and ought to be {:?}",
                self.active
            ))
        }
    }
}
