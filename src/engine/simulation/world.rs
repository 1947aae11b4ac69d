//! Runs one history: carries out the engine's actions on the virtual kernel, and brings it events in an order that chance
//! picks among all that are possible.

use super::checks::{Checks, is_bounded};
use super::crash::Crash;
use super::draft::Draft;
use super::fate::Fate;
use super::history::{History, Op};
use super::kernel::{Kernel, Notice};
use super::rng::Rng;
use super::tickets::Tickets;
use super::trace::{Cells, brief_action, brief_event};
use crate::config::model::ProcessSettings;
use crate::engine::Engine;
use crate::engine::action::{Action, Scope};
use crate::engine::event::{Command, Event, SpawnFailure, SpawnStep, Unrunnable};
use crate::types::{Generation, Monotonic, Signal, Ticket};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

/// What a history led to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Hash of all events and actions, if they were recorded.
    pub hash: u64,
    /// Events.
    pub steps: u64,
    /// Each event and its actions, if they were asked for.
    pub lines: Vec<String>,
    /// What it reached.
    pub cells: Cells,
    /// The first broken invariant.
    pub broken: Option<String>,
}

/// A history that is under way.
pub struct World {
    history: History,
    engine: Engine,
    kernel: Kernel,
    draft: Draft,
    now: Monotonic,
    script: VecDeque<(Monotonic, Op)>,
    /// Events on their way to the engine, by time and then by chance.
    deliveries: BTreeMap<(Monotonic, u64, u64), Event>,
    /// The last event about each process of the kernel, which later ones must not overtake.
    last_delivery: BTreeMap<u64, (Monotonic, u64)>,
    counter: u64,
    scheduler: Rng,
    handovers: Rng,
    crash: Crash,
    /// After how many actions each daemon is killed.
    crashes: VecDeque<u64>,
    /// Actions of the daemon that lives.
    actions: u64,
    tickets_given: u64,
    past: Vec<Event>,
    checks: Checks,
    tickets: Tickets,
    hasher: DefaultHasher,
    record: bool,
    outcome: Outcome,
}

/// How late a tick may be.
pub const LATENESS: Duration = Duration::from_millis(5);
/// How long a history waits after it healed before it looks whether everything is well.
pub const CONVALESCENCE: Duration = Duration::from_secs(400);

/// What comes next.
enum Next {
    Kernel,
    Delivery,
    Script,
    Tick,
}

impl World {
    /// Runs a history to its end, or to the first broken invariant.
    pub fn run(history: &History, record: bool) -> Outcome {
        let mut world = Self {
            engine: Engine::new(Arc::new(history.draft.load())),
            kernel: Kernel::new(history.swarm.init),
            draft: history.draft.clone(),
            now: Monotonic::from_nanos(1_000_000_000),
            script: history.script.iter().cloned().collect(),
            deliveries: BTreeMap::new(),
            last_delivery: BTreeMap::new(),
            counter: 0,
            scheduler: Rng::new(history.seed, "scheduler"),
            handovers: Rng::new(history.seed, "handovers"),
            crash: Crash::default(),
            crashes: history.crashes.iter().copied().collect(),
            actions: 0,
            tickets_given: 0,
            past: Vec::new(),
            checks: Checks::default(),
            tickets: Tickets::default(),
            hasher: DefaultHasher::new(),
            record,
            outcome: Outcome::default(),
            history: history.clone(),
        };
        let result = world.live();
        world.outcome.broken = result.err();
        world.outcome.hash = world.hasher.finish();
        world.outcome
    }

    fn live(&mut self) -> Result<(), String> {
        self.step(Event::Boot)?;
        let healthy_at = self.history.heals_at.after(CONVALESCENCE);
        let mut looked = false;
        let mut steps_without_time = 0u32;
        while let Some((at, next)) = self.next() {
            if at >= healthy_at && !looked {
                looked = true;
                self.is_well(self.deliveries.len())?;
            }
            if at > self.now {
                steps_without_time = 0;
                self.now = at;
            } else {
                steps_without_time += 1;
            }
            if steps_without_time > 1_000 || self.outcome.steps > 60_000 {
                return Err("I27: it spins".to_owned());
            }
            match next {
                Next::Kernel => {
                    let notices = self.kernel.run(self.now);
                    self.notice(notices);
                }
                Next::Tick => self.step(Event::Tick)?,
                Next::Delivery => {
                    if let Some((_, event)) = self.deliveries.pop_first() {
                        self.past.push(event.clone());
                        self.step(event)?;
                    }
                }
                Next::Script => {
                    if let Some((_, op)) = self.script.pop_front() {
                        self.play(op)?;
                    }
                }
            }
        }
        if !looked {
            self.checks.is_well(&self.engine, &self.kernel, 0)?;
        }
        self.tickets.are_all_answered()?;
        self.checks.is_over(&self.engine, &self.kernel)
    }

    fn is_well(&self, under_way: usize) -> Result<(), String> {
        self.checks.is_well(&self.engine, &self.kernel, under_way)?;
        self.tickets.are_all_answered()
    }

    /// The daemon is killed, and a while later the next one begins.
    fn die(&mut self) -> Result<(), String> {
        self.deliveries.clear();
        self.past.clear();
        self.tickets = Tickets::default();
        self.actions = 0;
        let pause = Duration::from_nanos(self.handovers.below(5_000_000_000));
        let config = self.draft.load();
        let (now, found) = self.crash.next_daemon(
            &self.engine,
            &config,
            &mut self.kernel,
            self.now.after(pause),
        );
        self.now = now;
        self.checks.begin_again(&config, &found);
        self.engine = Engine::new(Arc::new(config));
        self.step(Event::Recover { found })
    }

    /// What comes next. Among what comes at the same time, the kernel is first and the rest is left to chance.
    fn next(&mut self) -> Option<(Monotonic, Next)> {
        let now = self.now;
        let late = if self.scheduler.chance(20) {
            Duration::from_nanos(
                self.scheduler
                    .below(LATENESS.as_nanos().try_into().unwrap()),
            )
        } else {
            Duration::ZERO
        };
        // Sometimes the shell wakes too early.
        let early = self.scheduler.chance(10);
        let choices = [
            self.kernel.next().map(|at| (at, 0, Next::Kernel)),
            self.deliveries
                .keys()
                .next()
                .map(|(at, ..)| (*at, 1 + self.scheduler.below(9), Next::Delivery)),
            self.script
                .front()
                .map(|(at, _)| (*at, 1 + self.scheduler.below(9), Next::Script)),
            self.engine.next_deadline().map(|at| {
                let at = if early {
                    Monotonic::from_nanos(at.as_nanos() - 1)
                } else {
                    at.after(late)
                };
                (at, 1 + self.scheduler.below(9), Next::Tick)
            }),
        ];
        choices
            .into_iter()
            .flatten()
            .map(|(at, luck, next)| (at.max(now), luck, next))
            .min_by_key(|(at, luck, _)| (*at, *luck))
            .map(|(at, _, next)| (at, next))
    }

    /// Puts an event on its way; it does not overtake earlier ones about the same process.
    fn deliver(&mut self, uid: Option<u64>, event: Event) {
        let delay = if self.scheduler.chance(60) {
            0
        } else {
            self.scheduler.below(3_000_000)
        };
        let luck = self.scheduler.below(1 << 32);
        let mut at = (self.now.after(Duration::from_nanos(delay)), luck);
        if let Some(uid) = uid {
            if let Some(last) = self.last_delivery.get(&uid) {
                at = at.max((last.0, last.1 + 1));
            }
            self.last_delivery.insert(uid, at);
        }
        self.counter += 1;
        self.deliveries.insert((at.0, at.1, self.counter), event);
    }

    fn notice(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            match notice {
                Notice::Executed(task) => {
                    if let Some((key, generation)) = task.owner {
                        self.deliver(Some(task.uid), Event::Executed { key, generation });
                    }
                }
                Notice::Exited(task) => {
                    if let Some(status) = task.ended {
                        self.deliver(
                            Some(task.uid),
                            Event::Exited {
                                pid: task.pid,
                                status,
                                failure: task.failure,
                            },
                        );
                    }
                }
            }
        }
    }

    fn play(&mut self, op: Op) -> Result<(), String> {
        let command = match op {
            Op::Start {
                targets,
                wait,
                unrunnable,
            } => Command::Start {
                targets,
                wait,
                unrunnable: self.unrunnable(unrunnable),
            },
            Op::Stop { targets, wait } => Command::Stop { targets, wait },
            Op::Restart {
                targets,
                wait,
                unrunnable,
            } => Command::Restart {
                targets,
                wait,
                unrunnable: self.unrunnable(unrunnable),
            },
            Op::Signal { targets, signal } => Command::Signal { targets, signal },
            Op::Reread => Command::Reread {
                config: Arc::new(self.draft.load()),
            },
            Op::Update { groups } => Command::Update {
                config: Arc::new(self.draft.load()),
                groups,
            },
            Op::Add { groups } => Command::Add { groups },
            Op::Remove { groups } => Command::Remove { groups },
            Op::Shutdown => Command::Shutdown,
            Op::Reload => Command::Reload,
            Op::Edit(edit) => {
                self.draft.edit(edit);
                return Ok(());
            }
            Op::Terminate => {
                self.tickets.terminated();
                return self.step(Event::Terminate);
            }
            Op::Vanish(pick) => {
                return match self.tickets.one_that_waits(pick) {
                    Some(ticket) => self.step(Event::Abandoned { ticket }),
                    None => Ok(()),
                };
            }
            Op::Murder(pick) => {
                self.murder(pick);
                return Ok(());
            }
            Op::Orphan => {
                if let Some(task) = self.kernel.orphan(&mut self.scheduler) {
                    self.notice(vec![Notice::Exited(task)]);
                }
                return Ok(());
            }
            Op::Stale(pick) => return self.replay(pick),
        };
        let ticket = Ticket(self.tickets_given);
        self.tickets_given += 1;
        self.step(Event::Command { ticket, command })
    }

    /// The processes of a program whose command is known not to run.
    fn unrunnable(&self, program: Option<&str>) -> Unrunnable {
        let failure = SpawnFailure {
            step: SpawnStep::Lookup,
            subject: "/bin/nowhere".to_owned(),
            errno: 2,
        };
        self.engine
            .processes()
            .filter(|view| Some(view.settings.program.as_str()) == program)
            .map(|view| (view.key, failure.clone()))
            .collect()
    }

    fn murder(&mut self, pick: u64) {
        let living: Vec<_> = self
            .kernel
            .tasks()
            .filter(|task| task.ended.is_none())
            .map(|task| task.pid)
            .collect();
        if let Some(count) = u64::try_from(living.len()).ok().filter(|count| *count > 0) {
            let victim = living[usize::try_from(pick % count).unwrap()];
            let notices = self
                .kernel
                .kill(self.now, victim, Scope::Leader, Signal::KILL);
            self.notice(notices);
        }
    }

    /// An answer that was given before comes once more, if its generation is over. It must change nothing.
    fn replay(&mut self, pick: u64) -> Result<(), String> {
        let stale: Vec<_> = self
            .past
            .iter()
            .filter(|event| match event {
                Event::Executed { key, generation }
                | Event::SpawnFailed {
                    key, generation, ..
                }
                | Event::GroupProbed {
                    key, generation, ..
                } => self
                    .engine
                    .process(key)
                    .is_none_or(|view| view.generation > *generation),
                Event::Boot
                | Event::Tick
                | Event::Spawned { .. }
                | Event::Exited { .. }
                | Event::Command { .. }
                | Event::Abandoned { .. }
                | Event::Recover { .. }
                | Event::ListenersHeard
                | Event::Terminate => false,
            })
            .cloned()
            .collect();
        let Some(count) = u64::try_from(stale.len()).ok().filter(|count| *count > 0) else {
            return Ok(());
        };
        let event = stale[usize::try_from(pick % count).unwrap()].clone();
        self.checks.expects_nothing(&self.engine, self.now);
        self.step(event)
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        let said = event.clone();
        self.outcome.steps += 1;
        self.outcome.cells.count(&self.engine, &said);
        if !self.crash.takes_over {
            self.checks.before(&self.engine, self.now, &said)?;
        }
        if let Event::Command { ticket, command } = &said {
            self.tickets
                .asked(*ticket, command, &self.engine, &self.checks);
        }
        let actions = self.decide(event)?;
        self.crash.write_down(&mut self.engine);
        if self.record {
            let mut line = format!("{:>15} {}", self.now.as_nanos(), brief_event(&said));
            for action in &actions {
                line += &["\n               -> ", &brief_action(action)].concat();
            }
            format!("{:?}{said:?}{actions:?}", self.now).hash(&mut self.hasher);
            self.outcome.lines.push(line);
        }
        if !self.crash.takes_over {
            self.checks.look_over(&actions)?;
        }
        for (done, action) in actions.iter().enumerate() {
            if self.crashes.front() == Some(&self.actions) {
                self.crashes.pop_front();
                if self.crash.takes_over {
                    self.taken_over(false)?;
                } else {
                    self.checks
                        .on_record(&actions[done..], &self.engine, &self.kernel)?;
                }
                return self.die();
            }
            self.actions += 1;
            self.execute(action.clone())?;
        }
        if std::mem::take(&mut self.crash.takes_over) {
            return self.taken_over(true);
        }
        if let Event::Abandoned { ticket } = &said {
            self.tickets.abandoned(*ticket);
        }
        self.checks.after(&self.engine, &self.kernel)?;
        is_bounded(&self.engine, self.tickets.count())
    }

    fn taken_over(&mut self, done: bool) -> Result<(), String> {
        self.crash.taking.done = done;
        let (engine, kernel) = (&self.engine, &self.kernel);
        self.checks
            .taken_over(engine, kernel, self.now, &self.crash.taking)
    }

    /// Lets the engine decide. Now and then another one goes on from what it exports: I32, which must decide the same.
    fn decide(&mut self, event: Event) -> Result<Vec<Action>, String> {
        if !self.history.upgrades || !self.handovers.chance(4) {
            return Ok(self.engine.step(self.now, event));
        }
        let snapshot = ciborium::from_reader(written(&self.engine).as_slice()).unwrap();
        let mut other = Engine::import(snapshot);
        let expected = self.engine.step(self.now, event.clone());
        let actions = other.step(self.now, event);
        if actions != expected || other.next_deadline() != self.engine.next_deadline() {
            return Err(format!("I32: {actions:?} instead of {expected:?}"));
        }
        if written(&other) != written(&self.engine) {
            return Err(format!("I32: {other:?} instead of {:?}", self.engine));
        }
        self.engine = other;
        Ok(actions)
    }

    fn execute(&mut self, action: Action) -> Result<(), String> {
        if self.crash.takes_over {
            self.crash.action(&action, &self.kernel)?;
        } else {
            self.checks.action(&action, &self.engine, &self.kernel)?;
        }
        match action {
            Action::Spawn {
                key,
                generation,
                settings,
            } => {
                let fate = self.fate(&settings, generation);
                match self.kernel.spawn(self.now, &settings, generation, fate) {
                    Ok(task) => {
                        self.crash.born(self.now, &key, generation, &settings);
                        self.deliver(
                            Some(task.uid),
                            Event::Spawned {
                                key,
                                generation,
                                pid: task.pid,
                            },
                        );
                    }
                    Err(failure) => self.deliver(
                        None,
                        Event::SpawnFailed {
                            key,
                            generation,
                            failure,
                        },
                    ),
                }
            }
            Action::Kill {
                pid, scope, signal, ..
            } => {
                let notices = self.kernel.kill(self.now, pid, scope, signal);
                self.notice(notices);
            }
            Action::Reap { pid } => {
                self.kernel
                    .reap(self.now, pid)
                    .map_err(|why| format!("I4: {why}"))?;
            }
            Action::ProbeGroup {
                key,
                generation,
                group,
            } => {
                let alive = self.kernel.group_exists(group);
                self.deliver(
                    None,
                    Event::GroupProbed {
                        key,
                        generation,
                        alive,
                    },
                );
            }
            Action::Reply { ticket, reply } => {
                self.tickets.answered(ticket, &reply, &self.checks)?;
            }
            Action::Publish(_)
            | Action::Log(_)
            | Action::Relimit { .. }
            | Action::Forget { .. }
            | Action::PublishGroup { .. }
            | Action::Exit { .. } => {}
        }
        Ok(())
    }

    fn fate(&self, settings: &ProcessSettings, generation: Generation) -> Fate {
        let swarm = if self.now >= self.history.heals_at {
            self.history.swarm.healthy()
        } else {
            self.history.swarm
        };
        let concern = format!("{:?} {generation:?}", settings.key);
        let mut rng = Rng::new(self.history.seed, &concern);
        let policy = &settings.policy;
        Fate::draw(&mut rng, swarm, policy.startsecs, policy.stopwaitsecs)
    }
}

/// An engine as it is handed over.
fn written(engine: &Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(&engine.export(), &mut bytes).unwrap();
    bytes
}
