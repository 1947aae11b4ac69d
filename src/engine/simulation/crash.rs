//! The daemon is killed between two actions, and the next one takes over. That may happen more than once in a history, also
//! while one is taking over.
//!
//! What survives is what would: the kernel's processes, the memos, which the shell writes down before it carries out the
//! actions of a step, and which generation was born when with which settings. Events on their way are lost, and so are
//! clients. While the next daemon takes over, this holds:
//!
//! - **I35, I2** Nothing is spawned for a process that lives, whether it was adopted or not.
//! - **I35, I3** No signal reaches anybody but the process it is meant for.
//!
//! What it has made of everything is then held against what the checks remember (`checks::recovery`), and from there on
//! every invariant holds as before.

use super::kernel::{Kernel, Task};
use crate::config::model::{Config, ProcessSettings};
use crate::engine::action::{Action, Note, Scope};
use crate::engine::event::{Found, Survivor};
use crate::engine::{Engine, Memo};
use crate::types::{Generation, Monotonic, ProcessKey, Signal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    /// The next daemon is taking over.
    pub takes_over: bool,
    /// What it has done so far.
    pub taking: Taking,
}

/// What a daemon has done that takes over.
#[derive(Debug, Default)]
pub struct Taking {
    /// Those that it has sent KILL.
    pub killed: BTreeSet<ProcessKey>,
    /// It has ended again.
    pub over: bool,
    /// It has done all that it had decided.
    pub done: bool,
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

    /// The next daemon begins at `now` or later: stops what it does not adopt, waits until that is gone, and says what it
    /// has found and when it was done.
    pub fn next_daemon(
        &mut self,
        old: &Engine,
        config: &Config,
        kernel: &mut Kernel,
        mut now: Monotonic,
    ) -> (Monotonic, Vec<Found>) {
        self.takes_over = true;
        self.taking = Taking::default();
        kernel.run(now);
        // Process 1 of the machine collects what has ended.
        kernel.collect_all(now);
        let closing = old.is_shutting_down();
        let leaders: Vec<_> = kernel.tasks().filter(|task| task.leader).cloned().collect();
        let mut survivors = BTreeMap::new();
        let mut condemned = BTreeSet::new();
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
                survivors.insert(key, task.uid);
            } else {
                condemned.insert(task.uid);
                kernel.kill(now, task.pid, Scope::Group, Signal::KILL);
                kernel.kill(now, task.pid, Scope::Leader, Signal::KILL);
            }
        }
        // However long those take that do not die at once. By then every survivor runs its program.
        let is_awaited =
            |task: &Task| condemned.contains(&task.uid) || task.leader && !task.executed;
        while kernel
            .tasks()
            .any(|task| task.ended.is_none() && is_awaited(task))
            && let Some(next) = kernel.next()
        {
            now = now.max(next);
            kernel.run(now);
        }
        kernel.collect_all(now);
        let mut pids = BTreeMap::new();
        for (key, uid) in survivors {
            if let Some(task) = kernel.leader(&key).filter(|task| task.uid == uid) {
                pids.insert(key, task.pid);
            }
        }
        if closing {
            self.memos.clear();
            return (now, Vec::new());
        }
        let processes = config.groups.values().flat_map(|it| it.processes.values());
        let found = processes.filter_map(|settings| {
            let key = settings.key.clone();
            let born = self.born.get(&key);
            let survivor = pids.get(&key).zip(born).map(|(&pid, born)| Survivor {
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
        (now, found.collect())
    }

    /// An action of the next daemon, just before it is carried out.
    pub fn action(&mut self, action: &Action, kernel: &Kernel) -> Result<(), String> {
        match action {
            Action::Spawn { key, .. } if kernel.leader(key).is_some() => {
                Err(format!("I35, I2: {key} is spawned and lives"))
            }
            Action::Kill {
                key,
                pid,
                signal,
                scope,
            } => match kernel.task(*pid) {
                Some(task) if task.owner.as_ref().is_some_and(|(owner, _)| owner == key) => {
                    if (*signal, *scope) == (Signal::KILL, Scope::Group) {
                        self.taking.killed.insert(key.clone());
                    }
                    Ok(())
                }
                other => Err(format!("I35, I3: {key} sends {signal} to {pid}: {other:?}")),
            },
            Action::Log(Note::Bug { detail }) => Err(format!("I16: {detail}")),
            Action::Exit { .. } => {
                self.taking.over = true;
                Ok(())
            }
            Action::Publish(change) if change.from == change.to => {
                Err(format!("I28: nothing changes: {change:?}"))
            }
            Action::Spawn { .. }
            | Action::Reap { .. }
            | Action::ProbeGroup { .. }
            | Action::Reply { .. }
            | Action::Publish(_)
            | Action::Log(_)
            | Action::Relimit { .. }
            | Action::Forget { .. }
            | Action::PublishGroup { .. } => Ok(()),
        }
    }
}
