//! The invariants, held against the kernel's books after every step. Each is named by its number in the reliability
//! reference and said in words where it is checked; those about requests are in `tickets`.

mod actions;
mod after;
mod applied;
mod closing;
mod foresight;
mod recovery;
mod settled;

pub use settled::is_bounded;

use super::intent::{Effect, Intents};
use super::kernel::Kernel;
use crate::engine::Engine;
use crate::engine::action::{Action, Note};
use crate::engine::event::{Event, SpawnFailure};
use crate::engine::forecast::Forecast;
use crate::engine::view::{ProcessView, State};
use crate::types::{ExitStatus, Generation, GroupName, Monotonic, Pid, ProcessKey};
use applied::Applied;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often things have happened to a process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moments {
    pub running: u64,
    pub born: u64,
    pub empty: u64,
    pub failed: u64,
    pub told_to_end: u64,
    pub not_killed: u64,
    pub signalled: u64,
}

/// What is known of a process from outside.
#[derive(Debug, Clone)]
struct Seen {
    state: State,
    generation: Generation,
    moments: Moments,
    /// The spawn has not been answered.
    unanswered: bool,
    executed_at: Option<Monotonic>,
    spawned_at: Option<Monotonic>,
    failures: u32,
    shortages: u32,
    /// The stop signal was sent: when, and how long it may take.
    asked: Option<(Monotonic, Duration)>,
    first_kill: Option<Monotonic>,
    last_kill: Option<Monotonic>,
    /// The leader was reaped during a stop.
    reaped_at: Option<(Monotonic, Pid)>,
    /// Members of its group survived KILL, and nothing was started since.
    survivors: bool,
    /// When last looked at, the number of its process group was in use, and not by the leader of another one of ours.
    stranger: bool,
    /// When it was last looked whether its process group is gone.
    probed_at: Option<Monotonic>,
}

impl Seen {
    fn new() -> Self {
        Self {
            state: State::Stopped,
            generation: Generation::default(),
            moments: Moments::default(),
            unanswered: false,
            executed_at: None,
            spawned_at: None,
            failures: 0,
            shortages: 0,
            asked: None,
            first_kill: None,
            last_kill: None,
            reaped_at: None,
            survivors: false,
            stranger: false,
            probed_at: None,
        }
    }

    fn is_live(&self) -> bool {
        matches!(
            self.state,
            State::Starting | State::Running | State::Stopping
        )
    }
}

/// What is known of a shutdown from outside.
#[derive(Debug)]
struct ClosingSeen {
    began: Monotonic,
    reload: bool,
    hurried: Option<Monotonic>,
    /// When the patience for the whole is over.
    limit: Option<Monotonic>,
    /// The first stop of each group.
    turns: BTreeMap<GroupName, Monotonic>,
    over: bool,
}

/// The checks, and what they remember.
#[derive(Debug, Default)]
pub struct Checks {
    now: Monotonic,
    event: Option<Event>,
    effect: Effect,
    seen: BTreeMap<ProcessKey, Seen>,
    intents: Intents,
    applied: Applied,
    closing: Option<ClosingSeen>,
    /// What an update is foretold to do.
    foreseen: Option<Result<Forecast, String>>,
    /// These ended by themselves in this step: whether they failed.
    ended: BTreeMap<ProcessKey, bool>,
    /// `exit_when` ended the daemon in this step.
    ended_by_rule: bool,
    before: BTreeMap<ProcessKey, ProcessView>,
    /// Nothing was due when the step began.
    nothing_due: bool,
    expects_nothing: bool,
    reaped: Vec<Pid>,
    changed: BTreeSet<ProcessKey>,
    spawned: BTreeSet<ProcessKey>,
    given_up: BTreeSet<ProcessKey>,
    killed: BTreeSet<ProcessKey>,
    /// The process whose exit the step is about, its state and settings before.
    exited: Option<(ProcessKey, ExitStatus, Option<SpawnFailure>)>,
}

fn current<'a>(
    seen: &'a mut BTreeMap<ProcessKey, Seen>,
    key: &ProcessKey,
    generation: Generation,
) -> Option<&'a mut Seen> {
    seen.get_mut(key)
        .filter(|seen| seen.generation == generation)
}

const SPACING: Duration = Duration::from_millis(80);
const KILL_AGAIN: Duration = Duration::from_secs(5);

impl Checks {
    /// How often things have happened to a process.
    pub fn moments(&self, key: &ProcessKey) -> Moments {
        self.seen
            .get(key)
            .map_or_else(Moments::default, |seen| seen.moments)
    }

    /// Whether something of it lives, or may be born.
    pub fn is_live(&self, key: &ProcessKey) -> bool {
        self.seen.get(key).is_some_and(Seen::is_live)
    }

    /// Whether a shutdown is under way.
    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// The next step must do nothing at all, unless something is due.
    pub fn expects_nothing(&mut self, engine: &Engine, now: Monotonic) {
        self.expects_nothing = engine.next_deadline().is_none_or(|at| at > now);
    }

    /// Before a step.
    pub fn before(&mut self, engine: &Engine, now: Monotonic, event: &Event) -> Result<(), String> {
        self.now = now;
        self.overslept(engine)?;
        self.event = Some(event.clone());
        self.before = engine
            .processes()
            .map(|view| (view.key.clone(), view))
            .collect();
        for key in self.before.keys() {
            self.seen.entry(key.clone()).or_insert_with(Seen::new);
        }
        self.nothing_due = engine.next_deadline().is_none_or(|at| at > now);
        self.foresee(engine, event);
        self.effect = self.intents.reckon(engine, event);
        self.applied.reckon(engine, event);
        for key in &self.effect.told_to_end {
            if let Some(seen) = self.seen.get_mut(key) {
                seen.moments.told_to_end += 1;
            }
        }
        self.reaped.clear();
        self.changed.clear();
        self.spawned.clear();
        self.given_up.clear();
        self.killed.clear();
        self.exited = None;
        self.ended.clear();
        self.ended_by_rule = false;
        self.hear(engine, event);
        self.begin_closing(engine, event);
        Ok(())
    }

    fn hear(&mut self, engine: &Engine, event: &Event) {
        let now = self.now;
        match event {
            Event::Spawned {
                key, generation, ..
            } => {
                if let Some(seen) = current(&mut self.seen, key, *generation) {
                    seen.unanswered = false;
                    seen.moments.born += 1;
                }
            }
            Event::SpawnFailed {
                key, generation, ..
            } => {
                if let Some(seen) = current(&mut self.seen, key, *generation) {
                    seen.unanswered = false;
                    seen.moments.failed += 1;
                }
            }
            Event::Executed { key, generation } => {
                if let Some(seen) = current(&mut self.seen, key, *generation)
                    && seen.executed_at.is_none()
                {
                    seen.executed_at = Some(now);
                }
            }
            Event::Exited {
                pid,
                status,
                failure,
            } => {
                if let Some(key) = engine.find_pid(*pid) {
                    if let Some(seen) = self.seen.get_mut(key) {
                        seen.moments.failed += 1;
                    }
                    self.exited = Some((key.clone(), *status, failure.clone()));
                }
            }
            Event::Recover { .. }
            | Event::Boot
            | Event::Tick
            | Event::GroupProbed { .. }
            | Event::Command { .. }
            | Event::Abandoned { .. }
            | Event::ListenersHeard
            | Event::Terminate => {}
        }
    }

    /// All actions of a step at once, before any is carried out.
    pub fn look_over(&mut self, actions: &[Action]) -> Result<(), String> {
        for action in actions {
            if let Action::Log(Note::NotKilled { key }) = action {
                self.given_up.insert(key.clone());
                if let Some(seen) = self.seen.get_mut(key) {
                    seen.moments.not_killed += 1;
                }
            }
        }
        self.came_true(actions)?;
        if std::mem::take(&mut self.expects_nothing) && !actions.is_empty() {
            return Err(format!("I22: an event of the past led to {actions:?}"));
        }
        let about = |action: &&Action| {
            !matches!(action, Action::Reply { .. }) && !matches!(action, Action::Log(_))
        };
        if self.effect.idle
            && self.nothing_due
            && let Some(action) = actions.iter().find(about)
        {
            return Err(format!(
                "I15, I16, I18, I19: what changes nothing (a client that vanishes, a reread, an unknown name, a command \
                 during a shutdown) led to {action:?}"
            ));
        }
        let single = matches!(
            self.event,
            Some(
                Event::Spawned { .. }
                    | Event::Executed { .. }
                    | Event::SpawnFailed { .. }
                    | Event::Exited { .. }
                    | Event::GroupProbed { .. }
            )
        );
        let ends = |action: &Action| matches!(action, Action::Log(Note::EndsByRule { .. }));
        let closing = self.closing.is_some() || actions.iter().any(ends);
        if single && self.nothing_due && !closing && actions.len() > 16 {
            return Err(format!("I27: one event led to {} actions", actions.len()));
        }
        Ok(())
    }

    /// One action, just before it is carried out.
    pub fn action(
        &mut self,
        action: &Action,
        engine: &Engine,
        kernel: &Kernel,
    ) -> Result<(), String> {
        match action {
            Action::Spawn {
                key,
                generation,
                settings,
            } => {
                self.applied.may_spawn(settings)?;
                self.spawn(key, *generation, kernel)
            }
            Action::Kill {
                key,
                pid,
                scope,
                signal,
            } => self.kill(key, *pid, *scope, *signal, engine, kernel),
            Action::Reap { pid } => self.reap(*pid, kernel),
            Action::Publish(change) => self.publish(change, engine, kernel),
            Action::Log(Note::Bug { detail }) => Err(format!("I16: {detail}")),
            Action::Log(Note::NotKilled { key }) => self.not_killed(key, kernel),
            Action::Log(Note::EndsByRule { .. }) => self.ends_by_rule(engine),
            Action::Exit { left, reload } => self.exit(left, *reload, engine, kernel),
            Action::Forget { key } => {
                // I20: what is removed is reaped first, then absent.
                if kernel.leader(key).is_some() {
                    return Err(format!("I20: {key} is forgotten and lives"));
                }
                if let Some(seen) = self.seen.get_mut(key) {
                    *seen = Seen {
                        moments: seen.moments,
                        generation: seen.generation,
                        ..Seen::new()
                    };
                }
                Ok(())
            }
            Action::ProbeGroup { key, group, .. } => {
                if let Some(seen) = self.seen.get_mut(key) {
                    seen.stranger =
                        kernel.group_exists(*group) && engine.find_pid(*group).is_none();
                    // I27: no busy waiting; the first look comes with the reaping.
                    let pause = Duration::from_millis(2);
                    let last = seen.probed_at.replace(self.now);
                    if last.is_some_and(|last| self.now < last.after(pause)) {
                        return Err(format!("I27: {key} looks after its group without a pause"));
                    }
                }
                Ok(())
            }
            Action::Reply { .. }
            | Action::Log(_)
            | Action::Relimit { .. }
            | Action::PublishGroup { .. } => Ok(()),
        }
    }
}
