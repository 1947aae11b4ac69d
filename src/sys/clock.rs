//! The two clocks: one that only moves forward and times everything, one that people read.

use crate::types::Monotonic;
use nix::time::{ClockId, clock_gettime};
use std::time::SystemTime;

/// The present moment of `CLOCK_MONOTONIC`: unaffected by whoever sets the date.
pub fn now() -> Monotonic {
    // The clock exists on every Linux, so the call cannot fail; were it to, time would stand still, not run backwards.
    let nanos = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let rest = u64::try_from(time.tv_nsec()).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(rest)
    });
    Monotonic::from_nanos(nanos)
}

/// The date and time of day, for texts only. Nothing is ever timed by it: it may jump.
pub fn wall() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_moves_forward() {
        let first = now();
        let mut later = now();
        while later == first {
            later = now();
        }
        assert!(later > first);
        assert!(first > Monotonic::from_nanos(0));
    }
}
