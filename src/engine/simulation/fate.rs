//! What goes wrong in a history, and what each process will do in its life.

use super::rng::Rng;
use crate::engine::event::{SpawnFailure, SpawnStep};
use crate::types::{ExitStatus, Signal};
use std::fmt;
use std::time::Duration;

/// Which faults a history has, and whether its world is still sick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swarm {
    /// Percent of spawns that fail before there is a process.
    pub no_process: u64,
    /// Percent of processes that fail before their program.
    pub no_program: u64,
    /// Percent of failures that are a shortage of the machine.
    pub shortage: u64,
    /// Percent of programs that end by themselves.
    pub mortal: u64,
    /// Percent of programs that do not obey the stop signal at once.
    pub stubborn: u64,
    /// Percent of processes that KILL does not end at once.
    pub undying: u64,
    /// Percent of programs that have descendants.
    pub fertile: u64,
    /// Percent of programs that stop themselves.
    pub sleepy: u64,
    /// Percent of spawns whose program takes long to be executed.
    pub slow_exec: u64,
    /// The daemon is process 1: orphans are its children.
    pub init: bool,
}

impl Swarm {
    /// Draws which kinds of fault there are and how strong each is.
    pub fn draw(rng: &mut Rng) -> Self {
        let mut strength = |choices: &[u64]| rng.one_of(choices);
        Self {
            no_process: strength(&[0, 0, 10, 50]),
            no_program: strength(&[0, 0, 20, 60]),
            shortage: strength(&[0, 30, 100]),
            mortal: strength(&[0, 30, 60, 95]),
            stubborn: strength(&[0, 30, 80]),
            undying: strength(&[0, 0, 0, 15, 60]),
            fertile: strength(&[0, 0, 40, 90]),
            sleepy: strength(&[0, 0, 30]),
            slow_exec: strength(&[0, 0, 30]),
            init: rng.chance(30),
        }
    }

    /// A world in which everything works.
    pub fn healthy(self) -> Self {
        Self {
            no_process: 0,
            no_program: 0,
            shortage: 0,
            mortal: 0,
            stubborn: 0,
            undying: 0,
            fertile: 0,
            sleepy: 0,
            slow_exec: 0,
            init: self.init,
        }
    }
}

impl Swarm {
    /// The same without one of its faults, for each that it has.
    pub fn simpler(self) -> Vec<Self> {
        [
            Self {
                no_process: 0,
                ..self
            },
            Self {
                no_program: 0,
                ..self
            },
            Self {
                shortage: 0,
                ..self
            },
            Self { mortal: 0, ..self },
            Self {
                stubborn: 0,
                ..self
            },
            Self { undying: 0, ..self },
            Self { fertile: 0, ..self },
            Self { sleepy: 0, ..self },
            Self {
                slow_exec: 0,
                ..self
            },
            Self {
                init: false,
                ..self
            },
        ]
        .into_iter()
        .filter(|simpler| *simpler != self)
        .collect()
    }
}

impl fmt::Display for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = [
            ("no_process", self.no_process),
            ("no_program", self.no_program),
            ("shortage", self.shortage),
            ("mortal", self.mortal),
            ("stubborn", self.stubborn),
            ("undying", self.undying),
            ("fertile", self.fertile),
            ("sleepy", self.sleepy),
            ("slow_exec", self.slow_exec),
            ("init", u64::from(self.init)),
        ];
        write!(f, "faults:")?;
        for (name, percent) in faults.into_iter().filter(|(_, percent)| *percent > 0) {
            write!(f, " {name}={percent}")?;
        }
        writeln!(f)
    }
}

/// What a process will do in its life, drawn when it is spawned.
#[derive(Debug, Clone)]
pub struct Fate {
    /// The spawn fails, and there is no process.
    pub no_process: Option<SpawnFailure>,
    /// A step before its program fails.
    pub no_program: Option<SpawnFailure>,
    /// Time from the fork to the program, or to the failure.
    pub exec_after: Duration,
    /// Its process group exists from the fork on, not only when the program runs.
    pub group_early: bool,
    /// It ends by itself.
    pub ends: Option<(Duration, ExitStatus)>,
    /// How long it takes to obey the stop signal; `None` ignores it.
    pub obeys: Option<Duration>,
    /// How long KILL takes.
    pub dying: Duration,
    /// It stops itself as soon as it runs.
    pub sleepy: bool,
    /// HUP ends it.
    pub fears_hangup: bool,
    /// Descendants: in its process group or in one of their own, and how long KILL takes.
    pub family: Vec<(bool, Duration)>,
}

impl Fate {
    /// Draws a life. Durations love the borders of the settings.
    pub fn draw(rng: &mut Rng, swarm: Swarm, startsecs: Duration, stopwaitsecs: Duration) -> Self {
        let nano = Duration::from_nanos(1);
        let around = |border: Duration| {
            [
                border.saturating_sub(nano),
                border,
                border + nano,
                border / 2,
            ]
        };
        let failure = |rng: &mut Rng, step: SpawnStep| SpawnFailure {
            step,
            subject: String::new(),
            errno: if rng.chance(swarm.shortage) {
                rng.one_of(&[11, 12, 23, 24, 26])
            } else {
                rng.one_of(&[2, 8, 13])
            },
        };
        let status = if rng.chance(25) {
            ExitStatus::Signaled {
                signal: Signal::from_number(11).unwrap(),
                core_dumped: true,
            }
        } else {
            ExitStatus::Code(rng.one_of(&[0, 0, 1, 2]))
        };
        let mut lifetimes = vec![
            Duration::ZERO,
            Duration::from_millis(1),
            Duration::from_secs(5),
        ];
        lifetimes.extend(around(startsecs));
        let mut delays = vec![Duration::ZERO, Duration::from_millis(20)];
        delays.extend(around(stopwaitsecs));
        let dying = |rng: &mut Rng| {
            if rng.chance(swarm.undying) {
                Duration::from_millis(rng.one_of(&[1, 30, 2_000, 7_000, 80_000]))
            } else {
                Duration::ZERO
            }
        };
        let family = if rng.chance(swarm.fertile) {
            (0..=rng.below(2))
                .map(|_| (rng.chance(75), dying(rng)))
                .collect()
        } else {
            Vec::new()
        };
        Self {
            no_process: rng.chance(swarm.no_process).then(|| {
                let step = rng.one_of(&[SpawnStep::Lookup, SpawnStep::Pipe, SpawnStep::Fork]);
                failure(rng, step)
            }),
            no_program: rng.chance(swarm.no_program).then(|| {
                let step = rng.one_of(&[SpawnStep::UserId, SpawnStep::Directory, SpawnStep::Exec]);
                failure(rng, step)
            }),
            exec_after: if rng.chance(swarm.slow_exec) {
                Duration::from_secs(rng.below(6))
            } else {
                Duration::from_micros(rng.one_of(&[0, 0, 300, 2_000]))
            },
            group_early: rng.chance(50),
            ends: rng
                .chance(swarm.mortal)
                .then(|| (rng.one_of(&lifetimes), status)),
            obeys: if rng.chance(swarm.stubborn) {
                rng.chance(60).then(|| rng.one_of(&delays))
            } else {
                Some(Duration::ZERO)
            },
            dying: dying(rng),
            sleepy: rng.chance(swarm.sleepy),
            fears_hangup: rng.chance(50),
            family,
        }
    }
}
