//! The arithmetic of trying again: how long to wait, and when to stop trying.
//!
//! Three delays, because there are three reasons to try again. A program that failed to start waits 1, 2, 3 … seconds and
//! is given up after `startretries` of them. A machine that is short of something waits 0.1 s, doubling up to a minute, and
//! is never given up. A program that ran and ended is started again at once, but no process is spawned twice within
//! [`SPAWN_SPACING`], so that nothing can make the daemon spin.

use crate::config::model::{Autorestart, Policy};
use crate::engine::mutants::mutant;
use crate::types::{ExitStatus, Monotonic};
use std::time::Duration;

/// Least time between two spawns of one process that nobody asked for.
pub(super) const SPAWN_SPACING: Duration = Duration::from_millis(80);

const SHORTAGE_FIRST: Duration = Duration::from_millis(100);
const SHORTAGE_CAP: Duration = Duration::from_mins(1);

/// Delay after the `failures`-th failed attempt in a row; `None` when there were too many.
pub(super) fn failure_delay(failures: u32, startretries: u32) -> Option<Duration> {
    let allowed = mutant!(
        OneRetryTooMany,
        startretries,
        startretries.saturating_add(1)
    );
    let seconds = mutant!(RetriesDoNotSlowDown, failures, 1);
    (failures <= allowed).then(|| Duration::from_secs(u64::from(seconds)))
}

/// Delay after the machine was short of something for the `shortages`-th time in a row (from 1).
pub(super) fn shortage_delay(shortages: u32) -> Duration {
    1u32.checked_shl(shortages.saturating_sub(1))
        .and_then(|factor| SHORTAGE_FIRST.checked_mul(factor))
        .map_or(SHORTAGE_CAP, |delay| delay.min(SHORTAGE_CAP))
}

/// Whether an end by itself was an expected one.
pub(super) fn is_expected(status: ExitStatus, policy: &Policy) -> bool {
    let codes = &policy.exitcodes;
    mutant!(
        DeathBySignalIsExpected,
        status.is_among(codes),
        !matches!(status, ExitStatus::Code(code) if !codes.contains(&code))
    )
}

/// Whether a process that ran and ended by itself is to be started again.
pub(super) fn starts_again(expected: bool, policy: &Policy) -> bool {
    match policy.autorestart {
        Autorestart::Never => false,
        Autorestart::Unexpected => mutant!(ExpectedExitIsRestarted, !expected, true),
        Autorestart::Always => true,
    }
}

/// The earliest time of a spawn that nobody asked for.
pub(super) fn earliest_respawn(last_spawn: Option<Monotonic>) -> Monotonic {
    let spacing = mutant!(RestartsWithoutPause, SPAWN_SPACING, Duration::ZERO);
    last_spawn.map_or_else(Monotonic::default, |at| at.after(spacing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::settings;
    use crate::types::Signal;

    #[test]
    fn a_failing_program_waits_longer_each_time_and_is_given_up() {
        for (failures, startretries, seconds) in [
            (1, 3, Some(1)),
            (2, 3, Some(2)),
            (3, 3, Some(3)),
            (4, 3, None),
            (1, 0, None),
            (1, 1, Some(1)),
            (u32::MAX, u32::MAX, Some(u64::from(u32::MAX))),
        ] {
            assert_eq!(
                failure_delay(failures, startretries),
                seconds.map(Duration::from_secs),
                "{failures} of {startretries}"
            );
        }
    }

    #[test]
    fn a_shortage_waits_twice_as_long_each_time_up_to_a_minute() {
        for (shortages, millis) in [
            (0, 100),
            (1, 100),
            (2, 200),
            (3, 400),
            (10, 51_200),
            (11, 60_000),
            (32, 60_000),
            (33, 60_000),
            (u32::MAX, 60_000),
        ] {
            assert_eq!(
                shortage_delay(shortages),
                Duration::from_millis(millis),
                "{shortages}"
            );
        }
    }

    #[test]
    fn an_end_by_itself_is_judged_by_code_and_policy() {
        let died = ExitStatus::Signaled {
            signal: Signal::TERM,
            core_dumped: false,
        };
        for (status, codes, expected) in [
            (ExitStatus::Code(0), &[0][..], true),
            (ExitStatus::Code(1), &[0][..], false),
            (ExitStatus::Code(2), &[0, 2][..], true),
            (ExitStatus::Code(0), &[][..], false),
            (died, &[0, 15, 143][..], false),
        ] {
            let mut policy = settings("web").policy;
            policy.exitcodes = codes.to_vec();
            assert_eq!(is_expected(status, &policy), expected, "{status} {codes:?}");
        }
        for (autorestart, after_expected, after_unexpected) in [
            (Autorestart::Never, false, false),
            (Autorestart::Unexpected, false, true),
            (Autorestart::Always, true, true),
        ] {
            let mut policy = settings("web").policy;
            policy.autorestart = autorestart;
            assert_eq!(starts_again(true, &policy), after_expected);
            assert_eq!(starts_again(false, &policy), after_unexpected);
        }
    }

    #[test]
    fn spawns_keep_their_distance() {
        assert_eq!(earliest_respawn(None), Monotonic::from_nanos(0));
        assert_eq!(
            earliest_respawn(Some(Monotonic::from_nanos(5))),
            Monotonic::from_nanos(80_000_005)
        );
    }
}
