//! Bugs on purpose, so that the simulation can show that it would find them.
//!
//! [`mutant!`] stands where a bug of the kind would be. It names the bug, then what is right, if
//! anything, then what is wrong. Outside of
//! the unit tests it *is* what is right: nothing else is compiled, whatever the profile. Within them one bug at a time can be
//! switched on for the current thread. Which invariant finds which bug stands in the documentation of the simulation.

/// What is right; in a unit test that has switched this bug on, what is wrong.
#[cfg(not(test))]
macro_rules! mutant {
    ($bug:ident, $right:expr, $wrong:expr $(,)?) => {
        $right
    };
    ($bug:ident, $wrong:expr $(,)?) => {};
}

/// What is right; in a unit test that has switched this bug on, what is wrong.
#[cfg(test)]
macro_rules! mutant {
    ($bug:ident, $right:expr, $wrong:expr $(,)?) => {
        if $crate::engine::mutants::switch::is_on($crate::engine::mutants::switch::Mutant::$bug) {
            $wrong
        } else {
            $right
        }
    };
    ($bug:ident, $wrong:expr $(,)?) => {
        if $crate::engine::mutants::switch::is_on($crate::engine::mutants::switch::Mutant::$bug) {
            $wrong
        }
    };
}

pub(in crate::engine) use mutant;

#[cfg(test)]
pub(in crate::engine) mod switch {
    //! Which bug is on in this thread.

    use std::cell::Cell;

    macro_rules! mutants {
        ($($name:ident,)*) => {
            /// All bugs.
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum Mutant { $($name,)* }

            /// All bugs.
            pub const ALL: &[Mutant] = &[$(Mutant::$name,)*];
        };
    }

    mutants! {
        OneRetryTooMany,
        RetriesDoNotSlowDown,
        DeathBySignalIsExpected,
        ExpectedExitIsRestarted,
        RestartsWithoutPause,
        FailuresSurviveAStart,
        RunningTooEarly,
        ShortagesAreNeverForgiven,
        RunningIsToldTwice,
        ShortageCostsARetry,
        EndTakesItsGroupAlong,
        EndIsNotReaped,
        RestartIgnoresIntent,
        StopLeavesARetryPending,
        SignalReachesTheReaped,
        SignalReachesTheGroup,
        LaterOrderIsForgotten,
        SleeperCannotHearTheStop,
        KilledTooEarly,
        KillNeedsAGroup,
        KillIsNotRepeated,
        ReapedBeforeItsGroupIsKilled,
        RestOfTheGroupIsSpared,
        StoppedBeforeItsGroupIsGone,
        LooksWithoutAPause,
        StoppedIsStarted,
        RestartForgetsToStart,
        ShutdownKeepsAQueuedStart,
        ShutdownKeepsARetry,
        NewbornIsNotStopped,
        ExitDuringAStopIsAFailure,
        RetryIsOverslept,
        KillIsForgotten,
        ExitOverlooksStartsecs,
        CrashForgetsFailures,
        CrashForgetsIntent,
        DeadCountsAsSurvivor,
        StopIsLostInACrash,
        OutdatedSurvivorGoesOn,
        ShutdownHasNoDeadline,
        StrangerIsNotReaped,
        ReusedGroupIsTakenForTheOld,
        SecondSignalDoesNotHurry,
        EarlierGenerationCounts,
        VanishedIsAnswered,
        RereadApplies,
        StopIsNotRecorded,
        UpdateIgnoresItsGroups,
        RemovedStays,
        ChangeForgetsTheOperator,
        AddedStartsInAnyCase,
        LiveChangeIsLost,
        RemovesWhatRuns,
        UnrunnableIsStarted,
        ChangedCommandIsAppliedLive,
        LiveKeyRestarts,
        MovedSectionRestarts,
        SurplusCopyStays,
        AnsweredBeforeTheOutcome,
        AnsweredIsNotForgotten,
        AnsweredTwice,
        OverruledStartIsNeverAnswered,
        IdleMembersAreListed,
        LowestRankStopsFirst,
        AllGroupsStopAtOnce,
        ShutdownTimeoutIsIgnored,
        ReloadStaysAReload,
        SurvivorsAreHidden,
        ExitRuleIsIgnored,
        EssentialIsMisread,
        ForecastDiffersFromTheUpdate,
        UpgradeForgetsRequests,
        UpgradeForgetsTheShutdown,
        OldDeadlineStays,
        RemovedGenerationIsForgotten,
        ChangeOfRankIsLost,
        ReapedPidIsStillFound,
    }

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Whether this bug is on.
    pub fn is_on(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }

    /// Switches a bug on, or all off, for this thread.
    pub fn set(mutant: Option<Mutant>) {
        ON.set(mutant);
    }
}
