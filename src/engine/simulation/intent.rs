//! Who ought to be up, reckoned anew from the commands alone.
//!
//! This is the table of the manual in code, written without a look at the engine's own: what a start, a stop, a file does to
//! the intent for a process. The checks hold every spawn against it.

use crate::config::model::{Config, LogSettings, ProcessSettings};
use crate::engine::event::{Command, Event};
use crate::engine::view::State;
use crate::engine::{Engine, Resolution};
use crate::types::{GroupName, ProcessKey};
use std::collections::{BTreeMap, BTreeSet};

/// Whether a process ought to be up, and whether an operator said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Intent {
    /// Up.
    pub up: bool,
    /// An operator said so.
    pub explicit: bool,
}

/// What an event does to the processes it concerns.
#[derive(Debug, Default)]
pub struct Effect {
    /// These are told to end (and perhaps to start again).
    pub told_to_end: BTreeSet<ProcessKey>,
    /// These must be the same before and after.
    pub untouched: BTreeSet<ProcessKey>,
    /// These are new, and start at once or do not.
    pub added: BTreeMap<ProcessKey, bool>,
    /// No process may be touched at all.
    pub idle: bool,
    /// Everything is told to end.
    pub closing: bool,
}

/// All intents.
#[derive(Debug, Default)]
pub struct Intents {
    intents: BTreeMap<ProcessKey, Intent>,
    /// Their `autostart` was changed live, which neither starts nor stops what has been started before.
    kept: BTreeSet<ProcessKey>,
}

/// Which configured processes are meant. What is on its way out of the file cannot be brought back by name.
fn meant(engine: &Engine, targets: &[String]) -> BTreeSet<ProcessKey> {
    let mut keys = named(engine, targets);
    keys.retain(|key| engine.config().process(key).is_some());
    keys
}

fn named(engine: &Engine, targets: &[String]) -> BTreeSet<ProcessKey> {
    let all = targets.iter().any(|target| target == "all");
    let everything = ["all".to_owned()];
    let targets = if all { &everything[..] } else { targets };
    let mut keys = BTreeSet::new();
    for target in targets {
        if let Resolution::Processes(found) = engine.resolve(target) {
            keys.extend(found);
        }
    }
    keys
}

/// The targets that stand for particular processes, not for whatever there is.
fn by_name(targets: &[String]) -> Vec<String> {
    let collective = |target: &&String| target.ends_with(':') || target.ends_with('*');
    if targets.iter().any(|target| target == "all") {
        return Vec::new();
    }
    let particular = targets.iter().filter(|target| !collective(target));
    particular.cloned().collect()
}

fn is_up(state: State) -> bool {
    matches!(
        state,
        State::Starting | State::Running | State::Backoff | State::Stopping
    )
}

impl Intents {
    /// The intent for a process.
    pub fn of(&self, key: &ProcessKey) -> Intent {
        self.intents.get(key).copied().unwrap_or_default()
    }

    fn set(&mut self, key: ProcessKey, up: bool, explicit: bool) {
        self.kept.remove(&key);
        self.intents.insert(key, Intent { up, explicit });
    }

    /// A shutdown begins.
    pub fn all_down(&mut self) {
        self.intents.clear();
    }

    /// Whether the intent may differ from what `autostart` says now.
    pub fn is_kept(&self, key: &ProcessKey) -> bool {
        self.kept.contains(key)
    }

    /// A daemon begins after one that was killed: what was on record stands, and what was not is up to `autostart`.
    /// `started` were spawned at least once; `outdated` live with settings that are no longer those of the file.
    pub fn recover(
        &mut self,
        config: &Config,
        known: &BTreeSet<ProcessKey>,
        started: &BTreeSet<ProcessKey>,
        outdated: &BTreeSet<ProcessKey>,
    ) {
        self.intents.retain(|key, _| known.contains(key));
        let groups = config.groups.values();
        for settings in groups.flat_map(|group| group.processes.values()) {
            let key = &settings.key;
            let autostart = settings.policy.autostart;
            let fresh = !started.contains(key) && autostart;
            if self.of(key).explicit {
                continue;
            }
            if !known.contains(key) || outdated.contains(key) || fresh {
                self.set(key.clone(), autostart, false);
            } else if self.of(key).up != autostart {
                self.kept.insert(key.clone());
            }
        }
    }

    /// Takes an event into account, before the engine sees it.
    pub fn reckon(&mut self, engine: &Engine, event: &Event) -> Effect {
        let mut effect = Effect::default();
        match event {
            Event::Boot => {
                for view in engine.processes() {
                    self.set(view.key, view.settings.policy.autostart, false);
                }
            }
            Event::Terminate => {
                self.all_down();
                effect.closing = true;
            }
            Event::Command { command, .. } if !engine.is_shutting_down() => {
                self.command(engine, command, &mut effect);
            }
            Event::Command { command, .. } => {
                effect.idle = !matches!(command, Command::Shutdown | Command::Reload);
            }
            Event::Abandoned { .. } | Event::ListenersHeard => effect.idle = true,
            Event::Recover { .. }
            | Event::Tick
            | Event::Spawned { .. }
            | Event::Executed { .. }
            | Event::SpawnFailed { .. }
            | Event::Exited { .. }
            | Event::GroupProbed { .. } => {}
        }
        effect
    }

    fn command(&mut self, engine: &Engine, command: &Command, effect: &mut Effect) {
        match command {
            Command::Start {
                targets,
                unrunnable,
                ..
            } => {
                let mut keys = meant(engine, targets);
                let by_name = by_name(targets);
                keys.retain(|key| {
                    let up = engine.process(key).is_some_and(|view| is_up(view.state));
                    !unrunnable.contains_key(key) || up && !named(engine, &by_name).contains(key)
                });
                effect.idle = keys.is_empty();
                for key in keys {
                    self.set(key, true, true);
                }
            }
            Command::Stop { targets, .. } => {
                for key in meant(engine, targets) {
                    effect.told_to_end.insert(key.clone());
                    self.set(key, false, true);
                }
            }
            Command::Restart {
                targets,
                unrunnable,
                ..
            } => {
                for key in meant(engine, targets) {
                    effect.told_to_end.insert(key.clone());
                    let runnable = !unrunnable.contains_key(&key);
                    self.set(key, runnable, true);
                }
            }
            Command::Signal { targets, .. } => effect.idle = named(engine, targets).is_empty(),
            Command::Reread { .. } => effect.idle = true,
            Command::Update { config, groups } => self.update(engine, config, groups, effect),
            Command::Add { groups } => {
                let groups: BTreeSet<_> = groups.iter().collect();
                for group in groups {
                    let name = GroupName::new(group).unwrap();
                    let known = engine.last_read.groups.get(&name);
                    if let Some(group) = known
                        && !engine.config().groups.contains_key(&name)
                    {
                        for settings in group.processes.values() {
                            self.add(engine, settings, effect);
                        }
                    }
                }
            }
            Command::Remove { groups } => {
                for view in engine.processes() {
                    let busy = engine.processes().any(|other| {
                        other.key.group == view.key.group
                            && matches!(
                                other.state,
                                State::Starting | State::Running | State::Backoff | State::Stopping
                            )
                    });
                    if !busy && groups.iter().any(|name| name == view.key.group.as_str()) {
                        self.set(view.key, false, false);
                    }
                }
            }
            Command::Shutdown | Command::Reload => {
                self.all_down();
                effect.closing = true;
            }
        }
    }

    fn add(&mut self, engine: &Engine, settings: &ProcessSettings, effect: &mut Effect) {
        let up = settings.policy.autostart;
        self.set(settings.key.clone(), up, false);
        if engine.process(&settings.key).is_none() {
            effect.added.insert(settings.key.clone(), up);
        }
    }

    fn update(&mut self, engine: &Engine, new: &Config, groups: &[String], effect: &mut Effect) {
        let old = engine.config();
        let known = |name: &String| {
            let name = GroupName::new(name).unwrap();
            old.groups.contains_key(&name) || new.groups.contains_key(&name)
        };
        if !groups.iter().all(known) {
            effect.idle = true;
            return;
        }
        let asked = |key: &ProcessKey| {
            groups.is_empty() || groups.iter().any(|name| name == key.group.as_str())
        };
        let keys = |config: &Config| -> BTreeSet<ProcessKey> {
            let groups = config.groups.values();
            groups
                .flat_map(|group| group.processes.values())
                .map(|settings| settings.key.clone())
                .collect()
        };
        for key in keys(old).union(&keys(new)) {
            match (old.process(key), new.process(key)) {
                _ if !asked(key) => {
                    effect.untouched.insert(key.clone());
                }
                (Some(_), None) => {
                    effect.told_to_end.insert(key.clone());
                    self.set(key.clone(), false, false);
                }
                (None, Some(settings)) => self.add(engine, settings, effect),
                (Some(old), Some(new)) => {
                    let intent = self.of(key);
                    if old.launch == new.launch
                        && same_output(&old.stdout, &new.stdout)
                        && same_output(&old.stderr, &new.stderr)
                    {
                        let woken = !old.policy.autostart && new.policy.autostart;
                        // Not by the generation: one that comes after others were removed does not begin at 0.
                        let process = engine.table.get(key);
                        let never = process.is_some_and(|process| !process.was_spawned());
                        if woken && !intent.explicit && never {
                            self.set(key.clone(), true, false);
                            effect.added.insert(key.clone(), true);
                        } else {
                            if old.policy.autostart != new.policy.autostart {
                                self.kept.insert(key.clone());
                            }
                            effect.untouched.insert(key.clone());
                        }
                    } else {
                        effect.told_to_end.insert(key.clone());
                        if !intent.explicit {
                            self.set(key.clone(), new.policy.autostart, false);
                        }
                    }
                }
                (None, None) => {}
            }
        }
    }
}

fn same_output(old: &LogSettings, new: &LogSettings) -> bool {
    old.target == new.target
        && old.capture_maxbytes == new.capture_maxbytes
        && old.events_enabled == new.events_enabled
        && old.syslog == new.syslog
}
