//! What an update would do to each process, without doing it.
//!
//! A forecast is no second set of rules: the very steps of the update are taken on a copy of the processes, and what has
//! become of each of them is read off. The copy is thrown away with its actions. So the two can differ only in what
//! happens between them: a process that ends, another edit of the file.

use super::Engine;
use super::commands::named_groups;
use super::event::GroupChange;
use super::outbox::Outbox;
use super::process::Process;
use super::requests::Requests;
use super::view::State;
use crate::config::model::{Config, ProcessSettings};
use crate::engine::mutants::mutant;
use crate::types::{GroupName, Monotonic, ProcessKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What an update would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// What it would say of each group.
    pub groups: Vec<GroupChange>,
    /// What would become of each process of the groups that are meant, by group and name.
    pub processes: Vec<Foreseen>,
}

/// What would become of one process.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreseen {
    /// Which.
    pub key: ProcessKey,
    /// What would happen to it.
    pub fate: Fate,
    /// Its state as it is; `None` when it is not known yet.
    pub state: Option<State>,
    /// Its settings as they are.
    pub old: Option<Arc<ProcessSettings>>,
    /// Its settings as they would be.
    pub new: Option<Arc<ProcessSettings>>,
}

/// What an update does to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing: no setting of it changed.
    Unchanged,
    /// It takes new settings as it is, up or down.
    Apply,
    /// It is stopped and started.
    Restart,
    /// It is started.
    Start,
    /// It is stopped, and removed if the file does not have it any more.
    Stop,
    /// It becomes known and stays down.
    Add,
    /// It is down and is removed.
    Remove,
}

impl Engine {
    /// What `update` with this configuration and these groups would do now. The error is a group that is in neither
    /// configuration.
    pub fn forecast(
        &self,
        now: Monotonic,
        config: &Arc<Config>,
        groups: &[String],
    ) -> Result<Forecast, String> {
        let only = named_groups(groups, &self.config, config)?;
        let mut trial = Self {
            config: Arc::clone(&self.config),
            last_read: Arc::clone(&self.last_read),
            table: self.table.clone(),
            requests: Requests::default(),
            closing: None,
            verdict: None,
        };
        // Nobody carries out what the trial asks for.
        let mut actions = Outbox::default();
        let (groups, _stops) = trial.adopt(now, Arc::clone(config), only.clone(), &mut actions);
        let processes = Settings::of_both(&self.config, config, only.as_ref())
            .into_iter()
            .map(|(key, settings)| Foreseen {
                fate: fate(self.table.get(&key), trial.table.get(&key), &settings),
                state: settings
                    .old
                    .and_then(|_| self.table.get(&key))
                    .map(Process::state),
                old: settings.old.cloned(),
                new: settings.new.cloned(),
                key,
            })
            .collect();
        Ok(Forecast { groups, processes })
    }
}

/// The settings of one process in two configurations.
#[derive(Debug, Default)]
struct Settings<'c> {
    old: Option<&'c Arc<ProcessSettings>>,
    new: Option<&'c Arc<ProcessSettings>>,
}

impl<'c> Settings<'c> {
    /// Those of every process that one of them has, in the groups that are meant.
    fn of_both(
        old: &'c Config,
        new: &'c Config,
        only: Option<&BTreeSet<GroupName>>,
    ) -> BTreeMap<ProcessKey, Self> {
        let wanted = |name: &GroupName| only.is_none_or(|names| names.contains(name));
        let mut all: BTreeMap<ProcessKey, Self> = BTreeMap::new();
        for settings in processes(old).filter(|settings| wanted(&settings.key.group)) {
            all.entry(settings.key.clone()).or_default().old = Some(settings);
        }
        for settings in processes(new).filter(|settings| wanted(&settings.key.group)) {
            all.entry(settings.key.clone()).or_default().new = Some(settings);
        }
        all
    }
}

fn processes(config: &Config) -> impl Iterator<Item = &Arc<ProcessSettings>> {
    config
        .groups
        .values()
        .flat_map(|group| group.processes.values())
}

/// What happened between `before` and `after`.
fn fate(before: Option<&Process>, after: Option<&Process>, settings: &Settings<'_>) -> Fate {
    let was_up = before.is_some_and(Process::is_up);
    let spawns = match (before, after) {
        (_, None) => false,
        (None, Some(after)) => after.was_spawned(),
        (Some(before), Some(after)) => {
            after.generation() > before.generation() || after.starts_again()
        }
    };
    let leaves = after.is_some_and(|process| process.state() == State::Stopping)
        && before.is_none_or(|process| process.state() != State::Stopping);
    let gave_way = before.is_some_and(|process| process.state() == State::Backoff)
        && after.is_none_or(|process| process.state() != State::Backoff);
    let Settings { old, new } = settings;
    match (old, new) {
        (_, None) if was_up => Fate::Stop,
        (_, None) => Fate::Remove,
        (None, Some(_)) if spawns => Fate::Start,
        (None, Some(_)) => Fate::Add,
        (Some(old), Some(new)) => match (leaves || gave_way, spawns) {
            (true, true) => mutant!(ForecastDiffersFromTheUpdate, Fate::Restart, Fate::Stop),
            (true, false) => Fate::Stop,
            (false, true) if old.differs_from(new) => Fate::Start,
            (false, _) if old.differs_from(new) => Fate::Apply,
            (false, _) => Fate::Unchanged,
        },
    }
}
