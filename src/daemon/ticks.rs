//! When TICK events are due: at each multiple of 5 seconds, of a minute, of an hour, by the wall clock.
//!
//! Pure: the caller knows what time it is and who listens. Only periods that somebody listens to cost a wake-up. As in
//! Supervisor a slice of time is only noted when it is first seen, slices that were slept through are not made up for, and
//! a clock that is set back begins a slice as well.

use crate::events::Event;
use crate::types::EventType;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The periods, in seconds.
const PERIODS: [(EventType, u64); 3] = [
    (EventType::Tick5, 5),
    (EventType::Tick60, 60),
    (EventType::Tick3600, 3600),
];

/// The longest sleep: a clock that was set is noticed after that.
const LONGEST: Duration = Duration::from_mins(1);

/// The slices of time that were seen last.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ticks {
    slices: [Option<u64>; 3],
}

impl Ticks {
    /// It is `wall` since 1970. Returns what begins now, and how long nothing else will.
    pub fn pass(
        &mut self,
        wall: Duration,
        wanted: impl Fn(EventType) -> bool,
    ) -> (Vec<Event>, Option<Duration>) {
        let mut events = Vec::new();
        let mut sleep: Option<Duration> = None;
        for ((kind, period), slice) in PERIODS.into_iter().zip(&mut self.slices) {
            if !wanted(kind) {
                *slice = None;
                continue;
            }
            let begin = wall.as_secs() / period * period;
            if slice.replace(begin).is_some_and(|before| before != begin) {
                events.push(Event::tick(kind, begin));
            }
            let left = Duration::from_secs(begin + period).saturating_sub(wall);
            sleep = Some(sleep.map_or(left, |sleep| sleep.min(left)).min(LONGEST));
        }
        (events, sleep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slice_begins_once_and_the_first_only_when_it_was_seen_before() {
        let mut ticks = Ticks::default();
        let all = |_| true;
        for (millis, expected, left) in [
            (7_199_000, vec![], 1_000),
            (7_199_999, vec![], 1),
            (
                7_200_000,
                vec![
                    "TICK_5 when:7200",
                    "TICK_60 when:7200",
                    "TICK_3600 when:7200",
                ],
                5_000,
            ),
            (7_204_999, vec![], 1),
            (7_205_001, vec!["TICK_5 when:7205"], 4_999),
            // Asleep for a while.
            (
                7_263_000,
                vec!["TICK_5 when:7260", "TICK_60 when:7260"],
                2_000,
            ),
            // Set back.
            (
                7_100_000,
                vec![
                    "TICK_5 when:7100",
                    "TICK_60 when:7080",
                    "TICK_3600 when:3600",
                ],
                5_000,
            ),
        ] {
            let (events, sleep) = ticks.pass(Duration::from_millis(millis), all);
            let told: Vec<String> = events
                .iter()
                .map(|event| format!("{} {}", event.kind, event.payload))
                .collect();
            assert_eq!(told, expected, "{millis}");
            assert_eq!(sleep, Some(Duration::from_millis(left)), "{millis}");
        }
    }

    #[test]
    fn what_nobody_wants_costs_nothing() {
        let mut ticks = Ticks::default();
        let wall = Duration::from_secs(7_201);
        assert_eq!(ticks.pass(wall, |_| false), (vec![], None));
        let hours = |kind| kind == EventType::Tick3600;
        assert_eq!(ticks.pass(wall, hours), (vec![], Some(LONGEST)));
        // Whoever comes later hears of the next slice, not of the one that has begun.
        let later = Duration::from_secs(7_262);
        let minutes = |kind| kind == EventType::Tick60;
        let left = Duration::from_secs(58);
        assert_eq!(ticks.pass(later, minutes), (vec![], Some(left)));
    }
}
