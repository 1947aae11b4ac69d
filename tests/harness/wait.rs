//! Waiting on conditions.
//!
//! Every wait has a deadline that is far beyond what a healthy machine needs and can be stretched by the environment
//! variable `TASKMASTER_TEST_SLOWNESS` (a factor), so that a slow machine makes tests slow, not red.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How long a condition may take to come true.
pub const PATIENCE: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(8);
/// Where the time until something is true is measured.
const CLOSE_POLL: Duration = Duration::from_micros(300);

/// `duration`, stretched by the slowness of the machine.
pub fn scaled(duration: Duration) -> Duration {
    let factor = std::env::var("TASKMASTER_TEST_SLOWNESS")
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
        .filter(|factor| (0.1..=1000.0).contains(factor))
        .unwrap_or(1.0);
    duration.mul_f64(factor)
}

/// [`PATIENCE`], stretched.
pub fn patience() -> Duration {
    scaled(PATIENCE)
}

/// Probes until there is an answer and returns it.
#[track_caller]
pub fn until<T>(what: impl Display, probe: impl FnMut() -> Option<T>) -> T {
    probing(POLL, what, probe)
}

/// As [`until`], and notices soon that there is an answer.
#[track_caller]
pub fn closely<T>(what: impl Display, probe: impl FnMut() -> Option<T>) -> T {
    probing(CLOSE_POLL, what, probe)
}

#[track_caller]
fn probing<T>(pause: Duration, what: impl Display, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {:?} in vain for: {what}",
            patience()
        );
        std::thread::sleep(pause);
    }
}

/// Probes until the condition holds.
#[track_caller]
pub fn for_condition(what: impl Display, mut probe: impl FnMut() -> bool) {
    until(what, || probe().then_some(()));
}

/// Watches that the condition holds during the whole of `duration`. For what must *not* happen.
#[track_caller]
pub fn holds(what: impl Display, duration: Duration, mut probe: impl FnMut() -> bool) {
    let begin = Instant::now();
    while begin.elapsed() < duration {
        assert!(
            probe(),
            "no longer true after {:?}: {what}",
            begin.elapsed()
        );
        std::thread::sleep(POLL);
    }
}

/// Runs `work` and returns its result and how long it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = work();
    (result, begin.elapsed())
}
