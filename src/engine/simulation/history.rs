//! A history: a file, a world's faults, and what clients, operators and strangers do at which time.
//!
//! It is drawn from one seed and is a plain list, so that a failing one can be shrunk by leaving things out. What programs
//! do is not in the list: it follows from the seed, the process and its generation, and so stays the same when something
//! else is left out.

use super::draft::{Draft, Edit, draw_edit};
use super::fate::Swarm;
use super::rng::Rng;
use crate::types::{Monotonic, Signal};
use std::fmt;
use std::time::Duration;

/// Something that comes from outside.
#[derive(Debug, Clone)]
pub enum Op {
    /// A client asks, perhaps while the command of a program cannot be run.
    Start {
        targets: Vec<String>,
        wait: bool,
        unrunnable: Option<&'static str>,
    },
    /// A client asks.
    Stop { targets: Vec<String>, wait: bool },
    /// A client asks.
    Restart {
        targets: Vec<String>,
        wait: bool,
        unrunnable: Option<&'static str>,
    },
    /// A client asks.
    Signal {
        targets: Vec<String>,
        signal: Signal,
    },
    /// The operator edits the file.
    Edit(Edit),
    /// A client asks.
    Reread,
    /// A client asks.
    Update { groups: Vec<String> },
    /// A client asks.
    Add { groups: Vec<String> },
    /// A client asks.
    Remove { groups: Vec<String> },
    /// A client that waits vanishes.
    Vanish(u64),
    /// Somebody kills one of the processes from outside.
    Murder(u64),
    /// A stranger's child ends in the arms of process 1.
    Orphan,
    /// An answer of the past arrives late.
    Stale(u64),
    /// A client asks for the end.
    Shutdown,
    /// A client asks for a new beginning.
    Reload,
    /// A signal asks for the end.
    Terminate,
}

/// A history.
#[derive(Clone)]
pub struct History {
    /// From which everything else is drawn.
    pub seed: u64,
    /// The faults.
    pub swarm: Swarm,
    /// The file at the beginning.
    pub draft: Draft,
    /// What happens when.
    pub script: Vec<(Monotonic, Op)>,
    /// When the world becomes healthy.
    pub heals_at: Monotonic,
    /// After how many actions each daemon is killed.
    pub crashes: Vec<u64>,
    /// Whether the engine is exported and imported now and then.
    pub upgrades: bool,
}

fn targets(rng: &mut Rng) -> Vec<String> {
    const TARGETS: [&str; 16] = [
        "a", "a", "b", "b", "c", "a:0", "b:1", "c:*", "site:*", "site:a", "site:b:1", "site:",
        "all", "all", "nosuch", "nosuch:*",
    ];
    (0..=rng.below(3) / 2 * rng.below(3))
        .map(|_| rng.one_of(&TARGETS).to_owned())
        .collect()
}

fn groups(rng: &mut Rng) -> Vec<String> {
    (0..=rng.below(2))
        .map(|_| rng.one_of(&["a", "b", "c", "site", "nosuch"]).to_owned())
        .collect()
}

fn draw_op(rng: &mut Rng, end: u64) -> Op {
    let wait = rng.chance(70);
    match rng.below(100) {
        0..=17 => Op::Start {
            targets: targets(rng),
            wait,
            unrunnable: rng.chance(15).then(|| rng.one_of(&["a", "b", "c"])),
        },
        18..=35 => Op::Stop {
            targets: targets(rng),
            wait,
        },
        36..=46 => Op::Restart {
            targets: targets(rng),
            wait,
            unrunnable: rng.chance(15).then(|| rng.one_of(&["a", "b", "c"])),
        },
        47..=51 => Op::Signal {
            targets: targets(rng),
            signal: Signal::HUP,
        },
        52..=61 => Op::Edit(draw_edit(rng)),
        62..=64 => Op::Reread,
        65..=74 => Op::Update {
            groups: if rng.chance(60) {
                Vec::new()
            } else {
                groups(rng)
            },
        },
        75..=77 => Op::Add {
            groups: groups(rng),
        },
        78..=80 => Op::Remove {
            groups: groups(rng),
        },
        81..=84 => Op::Vanish(rng.next()),
        85..=91 => Op::Murder(rng.next()),
        92 => Op::Orphan,
        93..=94 => Op::Stale(rng.next()),
        _ if rng.chance(end) => rng.one_of(&[Op::Shutdown, Op::Reload, Op::Terminate]),
        _ => Op::Update { groups: Vec::new() },
    }
}

impl History {
    /// Draws a history.
    pub fn draw(seed: u64) -> Self {
        let mut faults = Rng::new(seed, "faults");
        let mut file = Rng::new(seed, "file");
        let mut clients = Rng::new(seed, "clients");
        let swarm = Swarm::draw(&mut faults);
        let draft = Draft::draw(&mut file);
        let at_once = clients.chance(5);
        // In some histories the end may come at any time; in most it comes last.
        let end = clients.one_of(&[0, 0, 100]);
        let mut now = Monotonic::from_nanos(1_000_000_000);
        let mut script = Vec::new();
        let pause = |rng: &mut Rng| {
            Duration::from_nanos(match rng.below(20) {
                _ if at_once => 0,
                0..=6 => 0,
                7..=10 => rng.below(5_000_000),
                11..=13 => 1_000_000_000,
                14..=17 => rng.below(2_000_000_000),
                _ => rng.below(12_000_000_000),
            })
        };
        for _ in 0..clients.below(24) {
            now = now.after(pause(&mut clients));
            script.push((now, draw_op(&mut clients, end)));
        }
        let heals_at = now;
        let mut kills = Rng::new(seed, "crash");
        let crashes = if kills.chance(20) {
            (0..=kills.below(3)).map(|_| kills.below(60)).collect()
        } else {
            Vec::new()
        };
        // Long enough for every shortage, every undying process and every retry to be over.
        now = now.after(Duration::from_secs(400));
        for op in [
            clients.one_of(&[Op::Shutdown, Op::Reload, Op::Terminate]),
            draw_op(&mut clients, 100),
            clients.one_of(&[Op::Reload, Op::Terminate, Op::Update { groups: vec![] }]),
            draw_op(&mut clients, 100),
        ] {
            script.push((now, op));
            now = now.after(pause(&mut clients));
        }
        Self {
            seed,
            swarm,
            draft,
            script,
            heals_at,
            crashes,
            upgrades: seed % 10 == 3,
        }
    }

    /// The same history with something about its world that is simpler, for each respect in which it can be.
    pub fn simpler(&self) -> Vec<Self> {
        let drafts = self.draft.simpler().into_iter().map(|draft| Self {
            draft,
            ..self.clone()
        });
        let swarms = self.swarm.simpler().into_iter().map(|swarm| Self {
            swarm,
            ..self.clone()
        });
        let crashes = (0..self.crashes.len()).map(|index| {
            let mut less = self.clone();
            less.crashes.remove(index);
            less
        });
        let mut all: Vec<_> = swarms.chain(drafts).chain(crashes).collect();
        if self.upgrades {
            all.push(Self {
                upgrades: false,
                ..self.clone()
            });
        }
        all
    }

    /// The same history without some of what happens.
    pub fn without(&self, from: usize, count: usize) -> Self {
        let mut less = self.clone();
        let end = (from + count).min(less.script.len());
        less.script.drain(from..end);
        less
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.swarm, self.draft)?;
        if !self.crashes.is_empty() {
            writeln!(f, "killed after actions {:?}", self.crashes)?;
        }
        writeln!(f, "{} steps:", self.script.len())?;
        for (at, op) in &self.script {
            let nanos = at.as_nanos();
            writeln!(
                f,
                "  {:>4}.{:09} s {op:?}",
                nanos / 1_000_000_000,
                nanos % 1_000_000_000
            )?;
        }
        Ok(())
    }
}
