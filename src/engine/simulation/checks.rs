//! The invariants, held against the kernel's books after every step. Each is named by its number in the reliability
//! reference and said in words where it is checked; those about requests are in `tickets`.

use super::intent::{Effect, Intents};
use super::kernel::Kernel;
use super::world::LATENESS;
use crate::config::model::{Autorestart, Policy};
use crate::engine::Engine;
use crate::engine::action::{Action, Note, Scope, StateChange};
use crate::engine::event::{Event, SpawnFailure};
use crate::engine::view::{ProcessView, State};
use crate::types::{ExitStatus, Generation, GroupName, Monotonic, Pid, ProcessKey, Signal};
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
    closing: Option<ClosingSeen>,
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

fn is_legal(from: State, to: State) -> bool {
    matches!(
        (from, to),
        (State::Stopped | State::Fatal, State::Starting)
            | (
                State::Starting,
                State::Running | State::Backoff | State::Stopping
            )
            | (State::Running, State::Exited | State::Stopping)
            | (
                State::Backoff,
                State::Starting | State::Stopped | State::Fatal
            )
            | (State::Stopping, State::Stopped)
            | (State::Exited, State::Starting | State::Stopped)
    )
}

fn current<'a>(
    seen: &'a mut BTreeMap<ProcessKey, Seen>,
    key: &ProcessKey,
    generation: Generation,
) -> Option<&'a mut Seen> {
    seen.get_mut(key)
        .filter(|seen| seen.generation == generation)
}

const SPACING: Duration = Duration::from_millis(100);
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

    /// Whether the stop signal has been sent.
    pub fn is_told_to_stop(&self, key: &ProcessKey) -> bool {
        self.seen
            .get(key)
            .is_some_and(|seen| !seen.is_live() || seen.asked.is_some() || seen.reaped_at.is_some())
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
    pub fn before(&mut self, engine: &Engine, now: Monotonic, event: &Event) {
        self.now = now;
        self.event = Some(event.clone());
        self.before = engine
            .processes()
            .map(|view| (view.key.clone(), view))
            .collect();
        for key in self.before.keys() {
            self.seen.entry(key.clone()).or_insert_with(Seen::new);
        }
        self.nothing_due = engine.next_deadline().is_none_or(|at| at > now);
        self.effect = self.intents.reckon(engine, event);
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
        self.hear(engine, event);
        self.begin_closing(engine, event);
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
            Event::Boot
            | Event::Tick
            | Event::GroupProbed { .. }
            | Event::Command { .. }
            | Event::Abandoned { .. }
            | Event::Terminate => {}
        }
    }

    fn begin_closing(&mut self, engine: &Engine, event: &Event) {
        use crate::engine::event::Command;
        let command = match event {
            Event::Command { command, .. } => Some(command),
            _ => None,
        };
        match &mut self.closing {
            None => {
                if self.effect.closing {
                    self.closing = Some(ClosingSeen {
                        began: self.now,
                        reload: matches!(command, Some(Command::Reload)),
                        hurried: None,
                        turns: BTreeMap::new(),
                        over: false,
                    });
                }
            }
            Some(closing) => {
                debug_assert!(engine.is_shutting_down());
                if matches!(event, Event::Terminate) {
                    // I18: a signal turns a reload into an end; only one after that hurries.
                    if closing.reload {
                        closing.reload = false;
                    } else if closing.hurried.is_none() {
                        closing.hurried = Some(self.now);
                    }
                } else if matches!(command, Some(Command::Shutdown)) {
                    closing.reload = false;
                }
            }
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
        if std::mem::take(&mut self.expects_nothing) && !actions.is_empty() {
            return Err(format!("I22: an event of the past led to {actions:?}"));
        }
        let about = |action: &&Action| {
            !matches!(action, Action::Reply { .. }) && !matches!(action, Action::Log(_))
        };
        if self.effect.idle && self.nothing_due {
            if let Some(action) = actions.iter().find(about) {
                return Err(format!(
                    "I15, I16, I18, I19: what changes nothing (a client that vanishes, a reread, an unknown name, a command \
                     during a shutdown) led to {action:?}"
                ));
            }
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
        if single && self.nothing_due && self.closing.is_none() && actions.len() > 16 {
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
                key, generation, ..
            } => self.spawn(key, *generation, kernel),
            Action::Kill {
                key,
                pid,
                scope,
                signal,
            } => self.kill(key, *pid, *scope, *signal, engine, kernel),
            Action::Reap { pid } => self.reap(*pid, kernel),
            Action::Publish(change) => self.publish(change, engine, kernel),
            Action::Log(Note::Bug { detail }) => Err(format!("I16: {detail}")),
            Action::Log(Note::NotKilled { key }) => self.not_killed(key),
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
            Action::ProbeGroup { .. }
            | Action::Reply { .. }
            | Action::Log(_)
            | Action::Relimit { .. }
            | Action::PublishGroup { .. } => Ok(()),
        }
    }

    fn spawn(
        &mut self,
        key: &ProcessKey,
        generation: Generation,
        kernel: &Kernel,
    ) -> Result<(), String> {
        let now = self.now;
        if self.closing.is_some() {
            return Err(format!("I17: {key} is spawned during a shutdown"));
        }
        if !self.intents.of(key).up {
            return Err(format!("I13: {key} is spawned and ought to be down"));
        }
        if kernel.leader(key).is_some() {
            return Err(format!("I2: {key} is spawned while it lives"));
        }
        let by_command = matches!(self.event, Some(Event::Command { .. }));
        let from = self.before.get(key).map(|view| view.state);
        let seen = self.seen.entry(key.clone()).or_insert_with(Seen::new);
        if seen.unanswered {
            return Err(format!("I2: {key} is spawned twice"));
        }
        if let (false, Some(last), Some(State::Exited | State::Running | State::Backoff)) =
            (by_command, seen.spawned_at, from)
            && now < last.after(SPACING)
        {
            return Err(format!("I11: {key} is spawned too soon"));
        }
        if generation <= seen.generation {
            return Err(format!("I2: {key} has its {generation:?} twice"));
        }
        seen.generation = generation;
        seen.unanswered = true;
        seen.executed_at = None;
        seen.spawned_at = Some(now);
        seen.asked = None;
        seen.first_kill = None;
        seen.last_kill = None;
        seen.reaped_at = None;
        seen.survivors = false;
        self.spawned.insert(key.clone());
        Ok(())
    }

    /// I3: a signal reaches only processes that belong to the process and generation it is meant for, and none is sent for
    /// a pid that is reaped.
    fn kill(
        &mut self,
        key: &ProcessKey,
        pid: Pid,
        scope: Scope,
        signal: Signal,
        engine: &Engine,
        kernel: &Kernel,
    ) -> Result<(), String> {
        let now = self.now;
        let Some(seen) = self.seen.get_mut(key) else {
            return Err(format!("I3: {key} is not there and gets {signal}"));
        };
        let own = Some((key.clone(), seen.generation));
        let Some(leader) = kernel.task(pid) else {
            return Err(format!("I3: {pid} is reaped and gets {signal}"));
        };
        if leader.owner != own || !leader.leader {
            return Err(format!("I3: {key} sends {signal} to {leader:?}"));
        }
        if scope == Scope::Group
            && let Some(stranger) = kernel
                .tasks()
                .find(|task| task.group == Some(pid) && task.owner != own)
        {
            return Err(format!("I3: {key} sends {signal} to {stranger:?}"));
        }
        let policy = self
            .before
            .get(key)
            .map(|view| view.settings.policy.clone())
            .or_else(|| Some(engine.process(key)?.settings.policy.clone()));
        let Some(policy) = policy else {
            return Ok(());
        };
        let ended_now = self.exited.as_ref().is_some_and(|(other, ..)| other == key);
        if ended_now {
            // A program that ends by itself takes nobody along, unless `killasgroup`.
            if seen.state != State::Stopping && !policy.killasgroup {
                return Err(format!(
                    "I3: {key} ended by itself and its group gets {signal}"
                ));
            }
            return Ok(());
        }
        if signal == Signal::KILL && seen.asked.is_some() && scope == Scope::Group {
            let hurried = self
                .closing
                .as_ref()
                .is_some_and(|closing| closing.hurried.is_some());
            let early = seen
                .asked
                .is_none_or(|(at, patience)| now < at.after(patience));
            if early && !hurried {
                return Err(format!("I7: {key} is killed before its time"));
            }
            seen.first_kill.get_or_insert(now);
            seen.last_kill = Some(now);
            self.killed.insert(key.clone());
        } else if seen.state == State::Stopping && seen.asked.is_none() && signal != Signal::CONT {
            seen.asked = Some((now, policy.stopwaitsecs));
        }
        Ok(())
    }

    /// I4: an exit leads to exactly one reaping, and nothing else does.
    fn reap(&mut self, pid: Pid, kernel: &Kernel) -> Result<(), String> {
        if !matches!(self.event, Some(Event::Exited { pid: ended, .. }) if ended == pid) {
            return Err(format!("I4: {pid} is reaped without having ended"));
        }
        self.reaped.push(pid);
        let Some((key, ..)) = &self.exited else {
            return Ok(());
        };
        let Some(seen) = self.seen.get_mut(key) else {
            return Ok(());
        };
        let must_take_along = seen.state == State::Stopping
            || self
                .before
                .get(key)
                .is_some_and(|view| view.settings.policy.killasgroup);
        if must_take_along
            && let Some(task) = kernel
                .tasks()
                .find(|task| task.group == Some(pid) && !task.is_doomed())
        {
            return Err(format!(
                "I3: {key} is reaped and {task:?} was not killed before"
            ));
        }
        if seen.state == State::Stopping {
            seen.reaped_at = Some((self.now, pid));
        }
        Ok(())
    }

    /// I28: the changes of state that are told form a path of legal steps without a gap.
    fn publish(
        &mut self,
        change: &StateChange,
        engine: &Engine,
        kernel: &Kernel,
    ) -> Result<(), String> {
        let StateChange { key, from, to, .. } = change;
        let now = self.now;
        let policy = engine
            .process(key)
            .map(|view| view.settings.policy.clone())
            .or_else(|| Some(self.before.get(key)?.settings.policy.clone()));
        let given_up = self.given_up.contains(key);
        let resource = match &self.event {
            Some(
                Event::SpawnFailed { failure, .. }
                | Event::Exited {
                    failure: Some(failure),
                    ..
                },
            ) => failure.is_resource_shortage(),
            _ => false,
        };
        self.changed.insert(key.clone());
        let seen = self.seen.entry(key.clone()).or_insert_with(Seen::new);
        if seen.state != *from || !is_legal(*from, *to) {
            return Err(format!("I28: {key} was {:?}: {change:?}", seen.state));
        }
        seen.state = *to;
        let policy: Policy = policy.ok_or_else(|| format!("I28: {key} has no settings"))?;
        match to {
            State::Running => {
                // I8: RUNNING only if the same process has been up for `startsecs` of monotonic time.
                if seen
                    .executed_at
                    .is_none_or(|at| now < at.after(policy.startsecs))
                {
                    return Err(format!("I8: {key} is RUNNING too early"));
                }
                seen.moments.running += 1;
                seen.failures = 0;
                seen.shortages = 0;
            }
            State::Starting => {
                if *from != State::Backoff {
                    seen.failures = 0;
                    seen.shortages = 0;
                }
            }
            State::Backoff => {
                if resource {
                    seen.shortages += 1;
                } else {
                    seen.failures += 1;
                }
            }
            State::Fatal => {
                // I9: FATAL exactly when the program has failed `startretries` + 1 times in a row.
                if seen.failures != policy.startretries + 1 && seen.failures <= policy.startretries
                {
                    return Err(format!("I9: {key} is FATAL too early"));
                }
                // I10: never for a shortage of the machine.
                if resource {
                    return Err(format!("I10: {key} is FATAL for a shortage"));
                }
            }
            State::Stopped if *from == State::Stopping => {
                // I14: a stop that succeeded leaves nobody of the process group.
                let group = seen.reaped_at.map(|(_, group)| group);
                let own = Some((key.clone(), seen.generation));
                let rest = kernel
                    .tasks()
                    .find(|task| task.group == group && group.is_some() && task.owner == own);
                if let (Some(rest), false) = (rest, given_up) {
                    return Err(format!("I14: {key} is STOPPED and {rest:?} is left"));
                }
                if kernel.leader(key).is_some() || seen.unanswered {
                    return Err(format!("I1: {key} is STOPPED and lives"));
                }
                seen.survivors = given_up;
                if !given_up {
                    seen.moments.empty += 1;
                }
                seen.asked = None;
                seen.first_kill = None;
            }
            State::Stopping => self.order_of_shutdown(key, engine)?,
            State::Stopped => seen.moments.empty += 1,
            State::Exited | State::Unknown => {}
        }
        let seen = self.seen.entry(key.clone()).or_insert_with(Seen::new);
        let tries = match to {
            State::Starting | State::Backoff => seen.failures,
            _ => 0,
        };
        if change.tries != tries {
            return Err(format!("I9: {key} has failed {tries} times: {change:?}"));
        }
        Ok(())
    }

    /// I17: no group is told to stop while a higher one has live members and its time is not over.
    fn order_of_shutdown(&mut self, key: &ProcessKey, engine: &Engine) -> Result<(), String> {
        let now = self.now;
        let Some(closing) = &mut self.closing else {
            return Ok(());
        };
        closing.turns.entry(key.group.clone()).or_insert(now);
        let rank = |group: &GroupName| {
            let members = engine.table.groups().get(group);
            (members.map_or(0, |members| members.priority), group.clone())
        };
        for (other, seen) in &self.seen {
            if !seen.is_live() || rank(&other.group) <= rank(&key.group) {
                continue;
            }
            let patience = engine
                .processes()
                .filter(|view| view.key.group == other.group)
                .filter(|view| self.seen.get(&view.key).is_some_and(Seen::is_live))
                .map(|view| view.settings.policy.stopwaitsecs)
                .max()
                .unwrap_or_default();
            let began = closing.turns.get(&other.group).unwrap_or(&closing.began);
            let grace = Duration::from_secs(10);
            let over = now >= began.after(patience).after(grace)
                || closing.hurried.is_some_and(|at| now >= at.after(grace));
            if !over {
                return Err(format!("I17: {key} is told to stop while {other} lives"));
            }
        }
        Ok(())
    }

    /// Nobody stops waiting before its time.
    fn not_killed(&self, key: &ProcessKey) -> Result<(), String> {
        let Some(seen) = self.seen.get(key) else {
            return Ok(());
        };
        let group_waited = seen
            .reaped_at
            .is_some_and(|(at, _)| self.now >= at.after(Duration::from_secs(5)));
        let leader_waited = seen
            .first_kill
            .is_some_and(|at| self.now >= at.after(Duration::from_secs(60)));
        if group_waited || leader_waited || self.closing.is_some() {
            Ok(())
        } else {
            Err(format!("I6: {key} is given up too early"))
        }
    }

    /// I17: the daemon ends only when nothing lives, or says what does. I18: and as it was told last.
    fn exit(
        &mut self,
        left: &[ProcessKey],
        reload: bool,
        engine: &Engine,
        kernel: &Kernel,
    ) -> Result<(), String> {
        let Some(closing) = &mut self.closing else {
            return Err("I17: the daemon ends and nobody asked".to_owned());
        };
        if std::mem::replace(&mut closing.over, true) {
            return Err("I17: the daemon ends twice".to_owned());
        }
        if closing.reload != reload {
            return Err("I18: the daemon does not end as it was told".to_owned());
        }
        for view in engine.processes() {
            let key = &view.key;
            let live = self.seen.get(key).is_some_and(Seen::is_live);
            let gave_up = self
                .seen
                .get(key)
                .is_some_and(|seen| seen.survivors || seen.moments.not_killed > 0);
            if (live || kernel.leader(key).is_some()) != left.contains(key) && !gave_up {
                return Err(format!("I17: the daemon ends with {left:?}, and {view:?}"));
            }
            if live && !left.contains(key) {
                return Err(format!("I17: the daemon ends and hides {key}"));
            }
        }
        Ok(())
    }

    /// After a step whose actions are carried out.
    pub fn after(&mut self, engine: &Engine, kernel: &Kernel) -> Result<(), String> {
        self.one_exit(engine)?;
        self.untouched(engine)?;
        self.deadlines(engine)?;
        for view in engine.processes() {
            self.consistent(&view, kernel)?;
        }
        for (key, up) in &self.effect.added {
            // I20: what is new starts exactly if it starts by itself.
            if *up != self.spawned.contains(key) {
                return Err(format!("I20: {key} is new, and its autostart is {up}"));
            }
        }
        if let Some(closing) = &self.closing
            && closing.hurried == Some(self.now)
            && matches!(self.event, Some(Event::Terminate))
        {
            // I18: hurry brings every KILL forward.
            for (key, seen) in &self.seen {
                if seen.state == State::Stopping
                    && seen.asked.is_some()
                    && seen.reaped_at.is_none()
                    && seen.first_kill.is_none()
                {
                    return Err(format!("I18: {key} is not killed in a hurry"));
                }
            }
        }
        Ok(())
    }

    fn one_exit(&self, engine: &Engine) -> Result<(), String> {
        let Some(Event::Exited { pid, status, .. }) = &self.event else {
            return Ok(());
        };
        if self.reaped != [*pid] {
            return Err(format!("I4: {pid} ended, and reaped is {:?}", self.reaped));
        }
        let Some((key, ..)) = &self.exited else {
            if self.nothing_due && !self.changed.is_empty() {
                return Err(format!(
                    "I4: a stranger ended, and {:?} changed",
                    self.changed
                ));
            }
            return Ok(());
        };
        if self.nothing_due
            && self.closing.is_none()
            && self.changed.iter().any(|other| other != key)
        {
            return Err(format!("I4: {key} ended, and {:?} changed", self.changed));
        }
        let (Some(before), Some(after)) = (self.before.get(key), engine.process(key)) else {
            return Ok(());
        };
        let policy = &after.settings.policy;
        let was_up = before.state == State::Running
            || before.state == State::Starting
                && self
                    .seen
                    .get(key)
                    .and_then(|seen| seen.executed_at)
                    .is_some_and(|at| {
                        before.generation <= after.generation && self.ran(key, at, policy)
                    });
        if was_up {
            self.restart_table(key, *status, &before.clone(), &after)?;
        }
        Ok(())
    }

    /// Whether a process that was spawned once had been up long enough when it ended.
    fn ran(&self, key: &ProcessKey, executed: Monotonic, policy: &Policy) -> bool {
        !self.spawned.contains(key) && self.now >= executed.after(policy.startsecs)
    }

    /// I12: whether a process that ended by itself is started again is what the table says. A death by signal is never
    /// expected.
    fn restart_table(
        &self,
        key: &ProcessKey,
        status: ExitStatus,
        before: &ProcessView,
        after: &ProcessView,
    ) -> Result<(), String> {
        let policy = &after.settings.policy;
        let expected = match status {
            ExitStatus::Code(code) => policy.exitcodes.contains(&code),
            ExitStatus::Signaled { .. } => false,
        };
        let again = self.intents.of(key).up
            && match policy.autorestart {
                Autorestart::Never => false,
                Autorestart::Unexpected => !expected,
                Autorestart::Always => true,
            };
        let done = match after.state {
            State::Starting => after.generation > before.generation,
            State::Exited => after.next_attempt.is_some(),
            _ => return Err(format!("I12: {key} ended by itself and is {after:?}")),
        };
        if done != again {
            return Err(format!(
                "I12: {key} ended with {status}, again is {again}: {after:?}"
            ));
        }
        if let (Some(at), Some(last)) = (
            after.next_attempt,
            self.seen.get(key).and_then(|seen| seen.spawned_at),
        ) && at != last.after(SPACING)
        {
            return Err(format!("I11: {key} is started again at {at:?}"));
        }
        Ok(())
    }

    /// I20, I34: what an update does not concern is the same before and after: same process, same state. I16, I19: so is
    /// everything where a command changes nothing.
    fn untouched(&self, engine: &Engine) -> Result<(), String> {
        if !self.nothing_due {
            return Ok(());
        }
        for (key, before) in &self.before {
            if !(self.effect.idle || self.effect.untouched.contains(key)) {
                continue;
            }
            let Some(after) = engine.process(key) else {
                return Err(format!("I20: {key} is gone"));
            };
            // `startsecs` applies at once, so that a change of it alone may complete a start.
            let started = before.state == State::Starting && after.state == State::Running;
            if (before.pid, before.generation) != (after.pid, after.generation)
                || before.state != after.state && !started
            {
                return Err(format!("I20: {key} was {before:?} and is {after:?}"));
            }
        }
        Ok(())
    }

    /// I22: every deadline lies ahead, and the engine's is the least of those that the states need.
    fn deadlines(&self, engine: &Engine) -> Result<(), String> {
        let next = engine.next_deadline();
        if next.is_some_and(|at| at <= self.now) {
            return Err(format!("I22: the deadline {next:?} has passed"));
        }
        let least = engine
            .table
            .processes()
            .filter_map(crate::engine::process::Process::deadline)
            .min();
        if engine.table.next_deadline() != least {
            return Err(format!(
                "I22: the deadline is {next:?}, and {least:?} is needed"
            ));
        }
        for view in engine.processes() {
            if let Some(pid) = view.pid
                && engine.find_pid(pid) != Some(&view.key)
            {
                return Err(format!("I22: {pid} is not found"));
            }
        }
        Ok(())
    }

    fn consistent(&mut self, view: &ProcessView, kernel: &Kernel) -> Result<(), String> {
        let now = self.now;
        let key = &view.key;
        let seen = self.seen.entry(key.clone()).or_insert_with(Seen::new);
        if view.state != seen.state || view.state == State::Unknown {
            return Err(format!(
                "I28: {key} is told to be {:?}: {view:?}",
                seen.state
            ));
        }
        if view.since > now
            || view.started_at.is_some_and(|at| at > now)
            || view.stopped_at.is_some_and(|at| at > now)
        {
            return Err(format!("I28: {key} is of the future: {view:?}"));
        }
        // I1: a pid exactly while there is a process that was announced and is not reaped, and only where a state has one.
        let leader = kernel
            .leader(key)
            .filter(|_| !seen.unanswered)
            .map(|task| task.pid);
        if view.pid != leader {
            return Err(format!("I1: {key} has {leader:?}: {view:?}"));
        }
        let childless = matches!(
            view.state,
            State::Stopped | State::Backoff | State::Exited | State::Fatal
        );
        if childless && (view.pid.is_some() || seen.unanswered) {
            return Err(format!("I1: {view:?} has a process"));
        }
        let pending = view.next_attempt.is_some();
        if pending && !matches!(view.state, State::Backoff | State::Exited)
            || view.state == State::Backoff && !pending
            || pending && !self.intents.of(key).up
        {
            return Err(format!("I13: {key} waits for a start: {view:?}"));
        }
        match view.state {
            State::Starting => {
                if seen
                    .executed_at
                    .is_some_and(|at| now >= at.after(view.settings.policy.startsecs))
                {
                    return Err(format!("I8: {key} is up and not RUNNING: {view:?}"));
                }
            }
            State::Stopping => return stop_goes_on(now, key, seen, view),
            State::Backoff if self.changed.contains(key) => {
                return delay_is_right(now, key, seen, view);
            }
            State::Stopped
            | State::Running
            | State::Backoff
            | State::Exited
            | State::Fatal
            | State::Unknown => {}
        }
        Ok(())
    }

    /// I26: when the world has been healthy for long, whoever ought to be up is, unless it cannot; whoever ought to be down
    /// is. I5: no zombie is left. I22, I27: an idle engine waits for nothing.
    pub fn is_well(
        &self,
        engine: &Engine,
        kernel: &Kernel,
        under_way: usize,
    ) -> Result<(), String> {
        if let Some(at) = engine.next_deadline() {
            return Err(format!("I27: all is quiet, and it waits for {at:?}"));
        }
        if let Some(zombie) = kernel
            .tasks()
            .find(|task| task.ended.is_some() && under_way == 0)
        {
            return Err(format!("I5: {zombie:?} is not reaped"));
        }
        if self.closing.is_some() {
            return self.is_over(engine, kernel);
        }
        for view in engine.processes() {
            let seen = self.seen.get(&view.key);
            let survivors = seen.is_some_and(|seen| seen.survivors);
            let fine = match view.state {
                State::Running => self.intents.of(&view.key).up,
                State::Exited | State::Fatal => true,
                State::Stopped => survivors || !self.intents.of(&view.key).up,
                State::Starting | State::Backoff | State::Stopping | State::Unknown => false,
            };
            if !fine {
                let intent = self.intents.of(&view.key);
                return Err(format!("I26: {intent:?} and {view:?}"));
            }
        }
        // I20, I21: the processes are exactly those of the active configuration, with its settings.
        let configured: BTreeMap<_, _> = engine
            .config()
            .groups
            .values()
            .flat_map(|group| group.processes.values())
            .map(|settings| (settings.key.clone(), settings.clone()))
            .collect();
        let there: BTreeMap<_, _> = engine
            .processes()
            .map(|view| (view.key, view.settings))
            .collect();
        if configured != there {
            return Err(format!("I20: configured {configured:?}, there {there:?}"));
        }
        Ok(())
    }

    /// At the end of a history: the daemon has ended if it was told to, and nothing that it did not name is left.
    pub fn is_over(&self, engine: &Engine, kernel: &Kernel) -> Result<(), String> {
        let Some(closing) = &self.closing else {
            return Ok(());
        };
        if !closing.over {
            return Err("I17: the daemon never ends".to_owned());
        }
        for view in engine.processes() {
            if let Some(task) = kernel.leader(&view.key)
                && !task.is_doomed()
            {
                return Err(format!("I17: the daemon has ended, and {task:?} lives"));
            }
        }
        Ok(())
    }
}

/// I6: a stop ends. KILL comes when the patience is over, again every 5 s while the leader lives, and what is left of the
/// group is waited for 5 s at most. How long each may take beyond that is the kernel's affair.
fn stop_goes_on(
    now: Monotonic,
    key: &ProcessKey,
    seen: &Seen,
    view: &ProcessView,
) -> Result<(), String> {
    let late = |at: Monotonic| now > at.after(LATENESS);
    let overdue = match (seen.reaped_at, seen.last_kill, seen.asked) {
        (Some((at, _)), ..) => late(at.after(Duration::from_secs(5))),
        (None, Some(at), _) => late(at.after(KILL_AGAIN)),
        (None, None, Some((at, patience))) => late(at.after(patience)),
        (None, None, None) => view.pid.is_some(),
    };
    if overdue {
        Err(format!("I6: the stop of {key} does not go on: {seen:?}"))
    } else {
        Ok(())
    }
}

/// I9, I10: the delay before the next attempt is the number of failures in seconds, or for a shortage 0.1 s doubling to a
/// minute.
fn delay_is_right(
    now: Monotonic,
    key: &ProcessKey,
    seen: &Seen,
    view: &ProcessView,
) -> Result<(), String> {
    let by_failure = now.after(Duration::from_secs(u64::from(seen.failures)));
    let doubled = 100u64 << seen.shortages.saturating_sub(1).min(20);
    let by_shortage = now.after(Duration::from_millis(doubled.min(60_000)));
    let shortage = view.trouble.as_ref().is_some_and(|trouble| match trouble {
        crate::engine::view::Trouble::Spawn(failure) => failure.is_resource_shortage(),
        _ => false,
    });
    let right = if shortage { by_shortage } else { by_failure };
    if view.next_attempt != Some(right) {
        return Err(format!(
            "I10: {key} is to be tried again at {right:?}: {view:?}"
        ));
    }
    if !shortage && seen.failures > view.settings.policy.startretries {
        return Err(format!("I9: {key} is not FATAL: {view:?}"));
    }
    Ok(())
}
