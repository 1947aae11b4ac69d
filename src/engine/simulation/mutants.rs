//! Whether the net is tight: every bug that is put into the engine on purpose is found, soon, and by the invariant that
//! it breaks.

use super::history::History;
use super::{invariant, run};
use crate::engine::mutants::switch::{ALL, Mutant, set};
use std::time::Instant;

/// Histories within which a bug must be found. Two thousand take about five seconds in a debug build.
const HISTORIES: u64 = 2_000;

/// The first history that finds a bug, and the invariant that it breaks.
fn find(mutant: Mutant) -> Option<(History, String)> {
    set(Some(mutant));
    let found = (0..HISTORIES).find_map(|seed| {
        let history = History::draw(seed);
        let outcome = run(&history, false);
        let broken = invariant(&outcome)?.to_owned();
        Some((history, broken))
    });
    set(None);
    found
}

fn shard(number: usize) {
    let mut missed = Vec::new();
    for mutant in ALL.iter().copied().skip(number).step_by(4) {
        let began = Instant::now();
        match find(mutant) {
            Some((history, broken)) => println!(
                "{mutant:?} {broken} {} {:?}",
                history.seed + 1,
                began.elapsed()
            ),
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn every_bug_is_found_1() {
    shard(0);
}
#[test]
fn every_bug_is_found_2() {
    shard(1);
}
#[test]
fn every_bug_is_found_3() {
    shard(2);
}
#[test]
fn every_bug_is_found_4() {
    shard(3);
}
