//! Whether the net is tight: every bug that is put into the engine on purpose is found, soon, and by the invariant that
//! it breaks.
//!
//! One bug at a time is switched on (`engine::mutants`) and histories are run until an invariant is broken. A bug that no
//! history finds, or that another invariant finds than the table says, fails the tests. To see one at work:
//!
//! ```text
//! TASKMASTER_SIM_MUTANT=KilledTooEarly cargo test --lib engine::simulation::mutants::every_bug -- --show-output
//! ```
//!
//! | bug | found by |
//! |---|---|
//! | `OneRetryTooMany` | I9 |
//! | `RetriesDoNotSlowDown` | I10 |
//! | `DeathBySignalIsExpected` | I12 |
//! | `ExpectedExitIsRestarted` | I12 |
//! | `RestartsWithoutPause` | I11 |
//! | `FailuresSurviveAStart` | I9 |
//! | `RunningTooEarly` | I8 |
//! | `ShortagesAreNeverForgiven` | I10 |
//! | `RunningIsToldTwice` | I28 |
//! | `ShortageCostsARetry` | I9 |
//! | `EndTakesItsGroupAlong` | I3 |
//! | `EndIsNotReaped` | I4 |
//! | `RestartIgnoresIntent` | I17 |
//! | `StopLeavesARetryPending` | I13 |
//! | `SignalReachesTheReaped` | I3 |
//! | `SignalReachesTheGroup` | I3 |
//! | `LaterOrderIsForgotten` | I13 |
//! | `SleeperCannotHearTheStop` | I6 |
//! | `KilledTooEarly` | I7 |
//! | `KillNeedsAGroup` | I6 |
//! | `KillIsNotRepeated` | I6 |
//! | `ReapedBeforeItsGroupIsKilled` | I3 |
//! | `RestOfTheGroupIsSpared` | I3 |
//! | `StoppedBeforeItsGroupIsGone` | I14 |
//! | `LooksWithoutAPause` | I27 |
//! | `StoppedIsStarted` | I17 |
//! | `RestartForgetsToStart` | I26 |
//! | `ShutdownKeepsAQueuedStart` | I17 |
//! | `ShutdownKeepsARetry` | I13 |
//! | `NewbornIsNotStopped` | I1 |
//! | `ExitDuringAStopIsAFailure` | I28 |
//! | `RetryIsOverslept` | I22 |
//! | `KillIsForgotten` | I6 |
//! | `ExitOverlooksStartsecs` | I12 |
//! | `CrashForgetsFailures` | I35, I9 |
//! | `CrashForgetsIntent` | I12 |
//! | `DeadCountsAsSurvivor` | I28 |
//! | `StopIsLostInACrash` | I35, I6 |
//! | `OutdatedSurvivorGoesOn` | I21 |
//! | `ShutdownHasNoDeadline` | I17 |
//! | `StrangerIsNotReaped` | I4 |
//! | `ReusedGroupIsTakenForTheOld` | I14 |
//! | `SecondSignalDoesNotHurry` | I18 |
//! | `EarlierGenerationCounts` | I16 |
//! | `VanishedIsAnswered` | I29 |
//! | `RereadApplies` | I19 |
//! | `StopIsNotRecorded` | I13 |
//! | `UpdateIgnoresItsGroups` | I20 |
//! | `RemovedStays` | I30 |
//! | `ChangeForgetsTheOperator` | I13 |
//! | `AddedStartsInAnyCase` | I13 |
//! | `LiveChangeIsLost` | I21 |
//! | `RemovesWhatRuns` | I14 |
//! | `UnrunnableIsStarted` | I30 |
//! | `ChangedCommandIsAppliedLive` | I21 |
//! | `LiveKeyRestarts` | I20 |
//! | `MovedSectionRestarts` | I20 |
//! | `SurplusCopyStays` | I30 |
//! | `AnsweredBeforeTheOutcome` | I14 |
//! | `AnsweredIsNotForgotten` | I29 |
//! | `AnsweredTwice` | I14 |
//! | `OverruledStartIsNeverAnswered` | I14 |
//! | `IdleMembersAreListed` | I33 |
//! | `LowestRankStopsFirst` | I17 |
//! | `AllGroupsStopAtOnce` | I17 |
//! | `ShutdownTimeoutIsIgnored` | I17 |
//! | `ReloadStaysAReload` | I18 |
//! | `SurvivorsAreHidden` | I17 |
//! | `ExitRuleIsIgnored` | I17 |
//! | `EssentialIsMisread` | I17 |
//! | `ForecastDiffersFromTheUpdate` | I20 |
//! | `UpgradeForgetsRequests` | I32 |
//! | `UpgradeForgetsTheShutdown` | I32 |
//! | `OldDeadlineStays` | I22 |
//! | `RemovedGenerationIsForgotten` | I2 |
//! | `ChangeOfRankIsLost` | I17 |
//! | `ReapedPidIsStillFound` | I22, I29 |

use super::history::History;
use super::{SHARDS, invariant, report, run, shrink};
use crate::engine::mutants::switch::{ALL, Mutant, set};
use std::time::Instant;

/// Histories within which a bug must be found: fewer than a debug build runs in ten seconds on an idle machine. A number
/// of histories rather than a time, so that the outcome does not depend on what else the machine does.
const HISTORIES: u64 = 600;

/// A bug is on as long as this lives.
struct On;

impl On {
    fn switch(mutant: Mutant) -> Self {
        set(Some(mutant));
        Self
    }
}

impl Drop for On {
    fn drop(&mut self) {
        set(None);
    }
}

/// The first history that finds the bug that is on, and the invariant that it breaks.
fn find() -> Option<(History, String)> {
    (0..HISTORIES).find_map(|seed| {
        let history = History::draw(seed);
        let broken = invariant(&run(&history, false))?.to_owned();
        Some((history, broken))
    })
}

/// The invariants that the table above names for a bug.
fn named(mutant: Mutant) -> Vec<&'static str> {
    let row = format!("//! | `{mutant:?}` | ");
    let found = include_str!("mutants.rs")
        .lines()
        .find_map(|line| line.strip_prefix(&row));
    let cells = found.and_then(|rest| rest.split(" |").next());
    cells.unwrap_or_default().split(", ").collect()
}

#[allow(
    clippy::print_stdout,
    reason = "a test says how soon each bug is found"
)]
fn shard(number: u64) {
    let only = std::env::var("TASKMASTER_SIM_MUTANT").ok();
    let mut faults = Vec::new();
    for (index, mutant) in (0..).zip(ALL.iter().copied()) {
        let name = format!("{mutant:?}");
        if index % SHARDS != number || only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let _on = On::switch(mutant);
        let began = Instant::now();
        let Some((history, broken)) = find() else {
            faults.push(format!("{name} is not found"));
            continue;
        };
        println!(
            "{name} | {broken} | {} | {:?}",
            history.seed + 1,
            began.elapsed()
        );
        if only.is_some() {
            println!("{}", report(&history));
        }
        let told = named(mutant);
        if !broken.split(", ").all(|id| told.contains(&id)) {
            faults.push(format!(
                "{name} is found by {broken}, and the table says {told:?}"
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
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

/// A failure that nobody can read helps nobody: a simple bug is shown in a few steps, in a world without needless faults.
#[test]
fn a_failing_history_is_shrunk_to_what_matters() {
    for (mutant, most) in [
        (Mutant::StopIsNotRecorded, 4),
        (Mutant::KillIsNotRepeated, 2),
        (Mutant::ChangeForgetsTheOperator, 4),
        (Mutant::LowestRankStopsFirst, 1),
        (Mutant::CrashForgetsIntent, 2),
    ] {
        let _on = On::switch(mutant);
        let (history, broken) = find().unwrap();
        let shrunk = shrink(&history);
        let steps = shrunk.script.len();
        assert!(steps <= most, "{mutant:?} takes {steps} steps:\n{shrunk}");
        assert!(steps < history.script.len(), "{mutant:?}");
        assert_eq!(invariant(&run(&shrunk, false)), Some(broken.as_str()));
        for piece in 0..steps {
            let less = run(&shrunk.without(piece, 1), false);
            assert_ne!(
                invariant(&less),
                Some(broken.as_str()),
                "{piece} of\n{shrunk}"
            );
        }
    }
}

/// What is printed of a failure is enough to see it again.
#[test]
fn a_failure_says_how_it_is_replayed() {
    let _on = On::switch(Mutant::KilledTooEarly);
    let (history, broken) = find().unwrap();
    let text = report(&history);
    for needed in [
        format!("history {}: {broken}", history.seed),
        format!("TASKMASTER_SIM_SEED={} cargo test", history.seed),
        " steps:\n".to_owned(),
        "-> Kill ".to_owned(),
    ] {
        assert!(text.contains(&needed), "{needed:?} is missing in\n{text}");
    }
    // The number is all that a replay has.
    let replayed = History::draw(history.seed);
    assert_eq!(run(&replayed, true).hash, run(&history, true).hash);
}
