//! When a process started, as the kernel will tell it: in clock ticks since boot.
//!
//! To read it from `/proc` takes a child a fifth of all the time that it needs to become its program. A clock that is
//! read just before the process is made, and again in it, tells as much as long as no tick lies between; else, and
//! until the clock has proved to be the one that the kernel uses, the child looks.

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Knows whether the clock can be relied on.
#[derive(Debug)]
pub(super) struct BirthClock {
    /// Absent when ticks are not counted as we think.
    nanos_per_tick: Option<u64>,
    is_proved: bool,
}

/// What a child knows about its own start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Birth {
    /// Nothing.
    Unknown,
    /// It was not before this, by a clock that can be relied on.
    NotBefore { nanos: u64, nanos_per_tick: u64 },
}

impl BirthClock {
    pub(super) fn new() -> Self {
        // SAFETY: asks for a number.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        let nanos_per_tick = u64::try_from(per_second)
            .ok()
            .filter(|&ticks| ticks > 0 && NANOS_PER_SECOND.is_multiple_of(ticks))
            .map(|ticks| NANOS_PER_SECOND / ticks);
        Self {
            nanos_per_tick,
            is_proved: false,
        }
    }

    /// For a child that is about to be made.
    pub(super) fn begin(&self) -> Birth {
        match self.nanos_per_tick {
            Some(nanos_per_tick) if self.is_proved => Birth::NotBefore {
                nanos: now(),
                nanos_per_tick,
            },
            Some(_) | None => Birth::Unknown,
        }
    }

    /// Compares the clock with what a child has read, which was made after `begin` and has just told.
    pub(super) fn compare(&mut self, begin: u64, ticks: u64) {
        let Some(nanos_per_tick) = self.nanos_per_tick.filter(|_| ticks > 0 && !self.is_proved)
        else {
            return;
        };
        self.is_proved = (begin / nanos_per_tick..=now() / nanos_per_tick).contains(&ticks);
        if !self.is_proved {
            self.nanos_per_tick = None;
        }
    }
}

impl Birth {
    /// The tick in which this process must have started, if there is only one.
    pub(super) fn ticks(self) -> Option<u64> {
        match self {
            Self::Unknown => None,
            Self::NotBefore {
                nanos,
                nanos_per_tick,
            } => {
                let tick = nanos / nanos_per_tick;
                (tick == now() / nanos_per_tick).then_some(tick)
            }
        }
    }
}

/// Nanoseconds since boot, sleep included. Async-signal-safe.
pub(super) fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes a local value. The clock exists since Linux 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(NANOS_PER_SECOND) + nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 10_000_000;

    fn clock() -> BirthClock {
        BirthClock {
            nanos_per_tick: Some(TICK),
            is_proved: false,
        }
    }

    #[test]
    fn nothing_is_believed_before_the_kernel_has_agreed_once() {
        let mut clock = clock();
        assert_eq!(clock.begin(), Birth::Unknown);
        // A child that could not read its start proves nothing, and refutes nothing.
        clock.compare(now(), 0);
        assert_eq!(clock.begin(), Birth::Unknown);
        let begin = now();
        clock.compare(begin, begin / TICK);
        assert!(matches!(clock.begin(), Birth::NotBefore { nanos, .. } if nanos >= begin));
    }

    #[test]
    fn a_kernel_that_disagrees_is_never_asked_again() {
        for ticks in [now() / TICK - 1, now() / TICK + 100_000] {
            let mut clock = clock();
            clock.compare(now(), ticks);
            clock.compare(now(), now() / TICK);
            assert_eq!(clock.begin(), Birth::Unknown, "{ticks}");
        }
    }

    #[test]
    fn a_tick_in_between_leaves_it_open() {
        // Centuries, so that no machine has been up for one.
        let nanos_per_tick = NANOS_PER_SECOND * 3_600 * 24 * 365 * 250;
        let begin = |nanos| Birth::NotBefore {
            nanos,
            nanos_per_tick,
        };
        assert_eq!(begin(now()).ticks(), Some(0));
        assert_eq!(begin(2 * nanos_per_tick).ticks(), None);
        assert_eq!(Birth::Unknown.ticks(), None);
    }
}
