//! The daemon is killed between two actions, and the next one takes over.
//!
//! What survives is what would: the kernel's processes, the memos, which the shell writes down before it carries out the
//! actions of a step, and which generation was born when with which settings. Events on their way are lost, and so are
//! clients. From then on the history is held against fewer rules, since what the checks remember is of the old daemon:
//!
//! - **I35, I2** Nothing is spawned for a process that lives, whether it was adopted or not.
//! - **I35, I3** No signal reaches anybody but the process it is meant for.
//! - **I35, I13** What an operator has stopped is not started by the taking over.
//! - **I26** When the world has been healthy for long nothing is on its way any more.
//! - **I17** When the daemon has ended nothing of it lives.

use super::kernel::Kernel;
use crate::config::model::{Config, ProcessSettings};
use crate::engine::action::{Action, Note, Scope};
use crate::engine::event::{Found, Survivor};
use crate::engine::view::State;
use crate::engine::{Engine, Memo};
use crate::types::{Generation, Monotonic, ProcessKey, Signal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What is on record of a process that was made.
#[derive(Debug, Clone)]
struct Born {
    generation: Generation,
    at: Monotonic,
    settings: Arc<ProcessSettings>,
}

/// What survives the daemon, and what is known after it has not survived.
#[derive(Debug, Default)]
pub struct Crash {
    memos: BTreeMap<ProcessKey, Memo>,
    born: BTreeMap<ProcessKey, Born>,
    /// It has happened.
    pub happened: bool,
    /// Stopped by an operator when it happened; emptied by the first command after it.
    down: BTreeSet<ProcessKey>,
}

impl Crash {
    /// The shell writes down what the engine has decided.
    pub fn write_down(&mut self, engine: &mut Engine) {
        for (key, memo) in engine.take_memos() {
            match memo {
                Some(memo) => drop(self.memos.insert(key, memo)),
                None => drop(self.memos.remove(&key)),
            }
        }
    }

    /// A process writes itself down.
    pub fn born(
        &mut self,
        at: Monotonic,
        key: &ProcessKey,
        generation: Generation,
        settings: &Arc<ProcessSettings>,
    ) {
        let born = Born {
            generation,
            at,
            settings: Arc::clone(settings),
        };
        self.born.insert(key.clone(), born);
    }

    /// The next daemon begins at `now`: stops what it does not adopt, and says what it has found.
    pub fn next_daemon(
        &mut self,
        old: &Engine,
        config: &Config,
        kernel: &mut Kernel,
        now: Monotonic,
    ) -> Vec<Found> {
        self.happened = true;
        kernel.run(now);
        // Process 1 of the machine collects what has ended.
        kernel.collect_all(now);
        let closing = old.is_shutting_down();
        let leaders: Vec<_> = kernel.tasks().filter(|task| task.leader).cloned().collect();
        let mut survivors = BTreeMap::new();
        for task in leaders {
            let Some((key, generation)) = task.owner.clone() else {
                continue;
            };
            let newest = self
                .born
                .get(&key)
                .is_some_and(|born| born.generation == generation);
            let known = config.process(&key).is_some();
            if known && newest && !closing && !task.is_doomed() {
                survivors.insert(key, task.pid);
            } else {
                kernel.kill(now, task.pid, Scope::Group, Signal::KILL);
                kernel.kill(now, task.pid, Scope::Leader, Signal::KILL);
            }
        }
        // However long those take that do not die at once.
        kernel.run(now.after(Duration::from_mins(5)));
        kernel.collect_all(now);
        survivors.retain(|_, pid| kernel.task(*pid).is_some());
        for view in old.processes() {
            let story = old.story(&view.key);
            if story.is_some_and(|story| story.by_operator && !story.wanted_up) {
                self.down.insert(view.key);
            }
        }
        if closing {
            self.down.clear();
            self.memos.clear();
            return Vec::new();
        }
        let processes = config.groups.values().flat_map(|it| it.processes.values());
        let found = processes.filter_map(|settings| {
            let key = settings.key.clone();
            let born = self.born.get(&key);
            let survivor = survivors.get(&key).zip(born).map(|(&pid, born)| Survivor {
                pid,
                started_at: born.at,
            });
            let memo = self.memos.get(&key).cloned();
            (memo.is_some() || survivor.is_some()).then(|| Found {
                memo,
                born: born.map(|born| born.generation),
                survivor,
                outdated: born.is_some_and(|born| born.settings.needs_restart(settings)),
                key,
            })
        });
        found.collect()
    }

    /// Somebody asks for something.
    pub fn asked(&mut self) {
        self.down.clear();
    }

    /// An action of the next daemon, just before it is carried out.
    pub fn action(&self, action: &Action, kernel: &Kernel) -> Result<(), String> {
        match action {
            Action::Spawn { key, .. } if kernel.leader(key).is_some() => {
                Err(format!("I35, I2: {key} is spawned and lives"))
            }
            Action::Spawn { key, .. } if self.down.contains(key) => {
                Err(format!("I35, I13: {key} was stopped and is spawned"))
            }
            Action::Kill {
                key, pid, signal, ..
            } => match kernel.task(*pid) {
                Some(task) if task.owner.as_ref().is_some_and(|(owner, _)| owner == key) => Ok(()),
                other => Err(format!("I35, I3: {key} sends {signal} to {pid}: {other:?}")),
            },
            Action::Log(Note::Bug { detail }) => Err(format!("I16: {detail}")),
            Action::Spawn { .. }
            | Action::Reap { .. }
            | Action::ProbeGroup { .. }
            | Action::Reply { .. }
            | Action::Publish(_)
            | Action::Log(_)
            | Action::Relimit { .. }
            | Action::Forget { .. }
            | Action::PublishGroup { .. }
            | Action::Exit { .. } => Ok(()),
        }
    }

    /// The world has been healthy for long.
    pub fn is_well(engine: &Engine) -> Result<(), String> {
        let moving = engine.processes().find(|view| {
            matches!(
                view.state,
                State::Starting | State::Backoff | State::Stopping | State::Unknown
            )
        });
        match moving {
            Some(view) => Err(format!("I26: after a crash {view:?}")),
            None => Ok(()),
        }
    }

    /// The daemon has ended.
    pub fn is_over(engine: &Engine, kernel: &Kernel) -> Result<(), String> {
        let alive = engine
            .processes()
            .filter_map(|view| kernel.leader(&view.key).cloned())
            .find(|task| !task.is_doomed());
        match alive {
            Some(task) if engine.is_shutting_down() => {
                Err(format!("I17: the daemon has ended, and {task:?} lives"))
            }
            Some(_) | None => Ok(()),
        }
    }
}
