//! A seeded simulation of everything around the engine.
//!
//! Each history has a small configuration, a virtual kernel with its faults, clients that ask and vanish, an operator who
//! edits the file, and strangers who kill. Chance decides what comes first among what could come at the same time. First
//! there is chaos, then the world heals and everybody must be well; then the daemon is told to end, and everything must be
//! gone. After every step the invariants are checked, against the kernel's books and not the engine's.
//!
//! Now and then the engine is exported, written down and imported, as an upgrade does; both must decide the same, and it is
//! the new one that goes on. In some histories the daemon is killed, up to three times, between any two actions, and the next
//! one takes over ([`crash`]).
//!
//! A history follows from one seed. One that fails is shrunk, by leaving out steps, faults, programs and crashes that do not
//! matter, and printed as a list of steps with the command that replays it:
//!
//! ```text
//! TASKMASTER_SIM_SEED=4711 cargo test --lib engine::simulation::every_history
//! TASKMASTER_SIM_HISTORIES=1000000 cargo test --release --lib engine::simulation::every_history
//! TASKMASTER_SIM_MUTANT=KilledTooEarly cargo test --lib engine::simulation::mutants -- --show-output
//! ```
//!
//! # What is checked where
//!
//! The names are those of the functions; where none of a column is given, it is the whole file.
//!
//! | invariant | checked by |
//! |---|---|
//! | I1 a pid exactly while there is a process | `checks::after::consistent` |
//! | I2 at most one process | `checks::actions::spawn`, `crash::action` |
//! | I3 a signal reaches nobody else | `checks::actions::kill`, `reap`; `crash::action` |
//! | I4 an exit is consumed once | `checks::after::one_exit`, `checks::actions::reap`, `kernel::reap` |
//! | I5 no zombie stays | `checks::after::is_well` |
//! | I6 a stop ends, KILL is repeated | `checks::after::stop_goes_on`, `stop_reaches` |
//! | I7 no KILL before its time | `checks::actions::kill`; the engine is never told the time of day |
//! | I8 RUNNING after `startsecs`, and then at once | `checks::actions::publish`, `checks::after::consistent` |
//! | I9 FATAL after so many failures | `checks::actions::publish`, `checks::after::delay_is_right` |
//! | I10 a shortage is no failure | the same two |
//! | I11 restarts keep their distance | `checks::actions::spawn`, `checks::after::restart_table` |
//! | I12 the table of restarts | `checks::after::restart_table`, `checks::recovery::goes_on` |
//! | I13 nothing starts that ought to be down | `checks::actions::spawn`, `checks::after::consistent`, by `intent` |
//! | I14 one true answer | `tickets`, `checks::actions::publish`, `not_killed` |
//! | I15 nothing is said to who is gone, nothing changes | `tickets::answered`, `checks::look_over` |
//! | I16 no panic, no bug, no effect of nonsense | `run`, `checks::action`, `checks::look_over` |
//! | I17 shutdown: order, time, end, and `exit_when` | `checks::closing`, `checks::after::overslept` |
//! | I18 shutdown is never left; the second signal hurries | `checks::closing::hurried`, `exit`; `tickets::answered` |
//! | I19 a reread changes nothing | `checks::applied::is_active`, `checks::look_over`; a file with faults never gets here |
//! | I20 an update is minimal, and as foretold | `checks::after::untouched`, `checks::foresight` |
//! | I21 confluence | `checks::settled::is_confluent` |
//! | I22 deadlines are those that are needed, and kept | `checks::after::deadlines`, `overslept`; `checks::settled::is_bounded` |
//! | I26 the world heals and all is well | `checks::after::is_well` |
//! | I27 no spinning | `world::live`, `checks::look_over`, `checks::action` (looking after a group) |
//! | I28 one instant, legal steps | `checks::actions::publish`, `checks::after::consistent`, `crash::action` |
//! | I29 bounded memory | `checks::settled::is_bounded`, `is_confluent` (remembered lives) |
//! | I30 only settings in force are spawned | `checks::applied::may_spawn`, `checks::actions::spawn` (what cannot be run) |
//! | I31 determinism | `a_history_is_the_same_each_time` |
//! | I32 an upgrade changes nothing | `world::decide`: the next step and all that is known after it |
//! | I33 one line for each member | `tickets::compare` |
//! | I34 `numprocs` touches only surplus and new | `checks::after::untouched`, and `after` for what is new |
//! | I35 a crash at any action | `crash::action`, `checks::recovery` |
//!
//! Three cannot be checked here, since the engine knows neither descriptors nor bytes, and no event tells it of either:
//!
//! - **I23**, descriptors: `life::descriptors_return_to_the_baseline`, the closing checks of `tests/faults`
//!   (`no_extra_descriptors`), and the slope that the soak bench prints.
//! - **I24**, output: `adoption::killed_again_and_again_under_load_no_line_is_lost_or_doubled`,
//!   `lines_are_complete_and_in_order_through_many_rotations` and `what_was_lost_leaves_a_line_and_recovery_is_told` in
//!   `daemon::capture`.
//! - **I25**, the end of output: `logs::a_program_that_closes_its_output_lives_on_and_costs_nothing` and
//!   `logs::a_grandchild_that_holds_the_pipe_delays_nothing_and_is_heard`.
//!
//! Parts of three others are the shell's, and tested there: that a bad file changes nothing (I19,
//! `configuration::a_file_that_its_own_daemon_may_no_longer_read_changes_nothing` in `tests/faults`), that an earlier
//! version's state is read (I32, `daemon::upgrade::tests`), that a stranger's pid is never taken for a survivor (I35,
//! `adoption::a_number_that_was_given_to_somebody_else_is_never_signalled`) and the policies other than to adopt
//! (`adoption::the_policy_may_be_to_stop`, `the_policy_may_be_to_leave_alone_and_then_nothing_is_started_beside`). That a program says by
//! itself when it is ready is nothing that the engine knows.
//!
//! Whether the net is tight is shown by [`mutants`].

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
const HISTORIES: u64 = 6_000;
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
        "history {seed}: {}\nreplay: TASKMASTER_SIM_SEED={seed} cargo test --lib engine::simulation::every_history\n\n{smallest}\n",
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
