//! A seeded simulation of everything around the engine.
//!
//! Each history has a small configuration, a virtual kernel with its faults, clients that ask and vanish, an operator who
//! edits the file, and strangers who kill. Chance decides what comes first among what could come at the same time. First
//! there is chaos, then the world heals and everybody must be well; then the daemon is told to end, and everything must be
//! gone. After every step the invariants are checked, against the kernel's books and not the engine's.
//!
//! Now and then the engine is exported, written down and imported, as an upgrade does; both must decide the same from
//! then on, and it is the new one that goes on.
//!
//! A history follows from one seed. One that fails is shrunk, by leaving out what does not matter, and printed with the
//! command that replays it:
//!
//! ```text
//! TASKMASTER_SIM_SEED=4711 cargo test --lib engine::simulation
//! TASKMASTER_SIM_HISTORIES=1000000 cargo test --release --lib engine::simulation
//! ```
//!
//! # Whether the net is tight
//!
//! These faults were put into the engine by hand, one at a time. A few hundred histories found each of them:
//!
//! - stopping: no KILL before the reaping, or after it; KILL for the leader alone, or only for a group that does not exist
//!   yet; KILL after half the time; KILL not repeated; no CONT after the stop signal; a stop forgotten that came before the
//!   process did; STOPPED before the group is gone; a reused group number taken for the old group; an exit during a stop
//!   that leads to BACKOFF; an operator's signal that reaches the whole group; a program that ends by itself and takes its
//!   group along;
//! - starting: RUNNING a nanosecond early; an exit that overlooks that `startsecs` are over; one retry too many; failures that
//!   survive a manual start; a shortage that counts as a failure, or whose delay is never reset; restarts without a pause; a
//!   death by signal that is expected;
//! - intent: a stop that is not recorded, that leaves a retry or a restart pending, or that does not take back a queued start;
//!   a restart that forgets to start; an event of an earlier generation that counts;
//! - changes: an update that restarts what only moved in its file or applies live; a reread that applies; a removed process
//!   that stays; a changed one that forgets what the operator said; an added one that ignores `autostart`; one that comes
//!   back while it is leaving and is lost;
//! - requests: stop answered when signalled, start when spawned, a waiting start never told that it is overruled, lines in
//!   another order or left in, an answer for a client that is gone, a client whose going cancels its start;
//! - shutdown: groups in ascending order, or all at once; pending retries that stay; a program that is started again; a second
//!   signal that does not hurry, or that misses a process not yet born; a reload that stays one; commands that still work; a
//!   turn without an end; survivors that are not named;
//! - the shell's needs: a stranger that is not reaped; a deadline that is forgotten, or that stays.

mod checks;
mod crash;
mod draft;
mod fate;
mod history;
mod intent;
mod kernel;
mod mutants;
mod rng;
mod tickets;
mod trace;
mod world;

use crate::engine::view::State;
use history::History;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Outcome, World};

/// Histories of one run of the tests, unless `TASKMASTER_SIM_HISTORIES` says otherwise.
const HISTORIES: u64 = 10_000;
/// The histories are told apart by number and spread over this many tests, which run in parallel.
const SHARDS: u64 = 4;

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a history; a panic of the engine counts as a broken invariant.
fn run(history: &History, record: bool) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| World::run(history, record))).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().cloned().or_else(|| {
            payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
        });
        Outcome {
            broken: Some(format!("I16: it panics: {text:?}")),
            ..Outcome::default()
        }
    })
}

/// The name of the invariant that an outcome breaks.
fn invariant(outcome: &Outcome) -> Option<&str> {
    outcome.broken.as_ref()?.split(':').next()
}

/// Leaves out of a failing history whatever can be left out: large pieces first, then smaller ones, until no single piece
/// can go without the same invariant holding again.
fn shrink(history: &History) -> History {
    let outcome = run(history, false);
    let same = |candidate: &History| invariant(&run(candidate, false)) == invariant(&outcome);
    let mut smallest = history.clone();
    let mut size = (smallest.script.len() / 2).max(1);
    loop {
        let mut from = 0;
        let mut shrunk = false;
        while from < smallest.script.len() {
            let candidate = smallest.without(from, size);
            if same(&candidate) {
                smallest = candidate;
                shrunk = true;
            } else {
                from += size;
            }
        }
        if size == 1 && !shrunk {
            // A simpler world may make more of the script superfluous.
            match smallest.simpler().into_iter().find(same) {
                Some(simpler) => smallest = simpler,
                None => return smallest,
            }
        }
        size = (size / 2).max(1);
    }
}

/// Everything somebody needs to understand a failure.
fn report(history: &History) -> String {
    let seed = history.seed;
    let smallest = shrink(history);
    let outcome = run(&smallest, true);
    let mut text = format!(
        "history {seed}: {}\nreplay: TASKMASTER_SIM_SEED={seed} cargo test --lib engine::simulation\n\n{smallest}\n",
        outcome.broken.unwrap_or_default()
    );
    let tail = outcome.lines.len().saturating_sub(40);
    for line in &outcome.lines[tail..] {
        text += line;
        text += "\n";
    }
    text
}

fn check(seed: u64) -> Outcome {
    let history = History::draw(seed);
    let outcome = run(&history, false);
    assert!(outcome.broken.is_none(), "{}", report(&history));
    outcome
}

fn shard(number: u64) {
    if let Some(seed) = number_from_environment("TASKMASTER_SIM_SEED") {
        if number == 0 {
            check(seed);
        }
        return;
    }
    let histories = number_from_environment("TASKMASTER_SIM_HISTORIES").unwrap_or(HISTORIES);
    for seed in (number..histories).step_by(usize::try_from(SHARDS).unwrap()) {
        check(seed);
    }
}

#[test]
fn every_history_keeps_all_invariants_1() {
    shard(0);
}

#[test]
fn every_history_keeps_all_invariants_2() {
    shard(1);
}

#[test]
fn every_history_keeps_all_invariants_3() {
    shard(2);
}

#[test]
fn every_history_keeps_all_invariants_4() {
    shard(3);
}

/// I31: the same seed gives the same events and the same actions.
#[test]
fn a_history_is_the_same_each_time() {
    for seed in 0..50 {
        let history = History::draw(seed);
        let (first, second) = (run(&history, true), run(&history, true));
        assert_eq!(first.hash, second.hash, "{seed}");
        assert!(first.steps > 1 && first.lines == second.lines, "{seed}");
    }
}

/// A net with holes proves nothing: the histories reach every state with every event that can meet it.
#[test]
fn the_histories_reach_every_cell_of_the_table() {
    let mut cells: BTreeMap<(State, &str), u64> = BTreeMap::new();
    for seed in 0..400 {
        for (cell, count) in check(1_000_000 + seed).cells.0 {
            *cells.entry(cell).or_default() += count;
        }
    }
    let states = [
        State::Stopped,
        State::Starting,
        State::Running,
        State::Backoff,
        State::Stopping,
        State::Exited,
        State::Fatal,
    ];
    let mut needed = Vec::new();
    for what in ["start", "stop", "restart", "signal", "update", "terminate"] {
        needed.extend(states.map(|state| (state, what)));
    }
    for (state, what) in [
        (State::Starting, "spawned"),
        (State::Starting, "executed"),
        (State::Starting, "spawn failed"),
        (State::Starting, "exited"),
        (State::Starting, "exited before its program"),
        (State::Running, "exited"),
        (State::Stopping, "spawned"),
        (State::Stopping, "executed"),
        (State::Stopping, "spawn failed"),
        (State::Stopping, "exited"),
        (State::Stopping, "exited before its program"),
        (State::Stopping, "probed"),
    ] {
        needed.push((state, what));
    }
    needed.retain(|cell| !cells.contains_key(cell));
    assert!(needed.is_empty(), "never reached: {needed:?}");
}
