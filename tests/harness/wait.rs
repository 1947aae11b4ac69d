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
    every(POLL, what, probe)
}

/// As [`until`], and notices soon that there is an answer.
#[track_caller]
pub fn closely<T>(what: impl Display, probe: impl FnMut() -> Option<T>) -> T {
    every(CLOSE_POLL, what, probe)
}

/// Probes once in so long until the answer is there: for who must not keep what it measures from its work.
#[track_caller]
pub fn every<T>(pause: Duration, what: impl Display, mut probe: impl FnMut() -> Option<T>) -> T {
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

/// Makes a call again that ended because this process was held up, as one with a deadline does.
pub fn uninterrupted<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Runs `work` and returns its result and how long it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = work();
    (result, begin.elapsed())
}

/// Does something again and again until it was done within `limit` as often as `times` says, and returns what it gave the
/// last time. Any process may be held up by the machine now and then, so that a slow answer proves nothing; what is slow
/// more often than quick is slow by itself.
#[track_caller]
pub fn quickly<T>(
    what: impl Display,
    limit: Duration,
    times: usize,
    mut work: impl FnMut() -> T,
) -> T {
    let mut quick = 0;
    let mut slow = Vec::new();
    loop {
        let (result, took) = timed(&mut work);
        if took < scaled(limit) {
            quick += 1;
        } else {
            slow.push(took);
        }
        if quick == times {
            return result;
        }
        assert!(
            slow.len() <= times,
            "{what} took {slow:?}, and only {quick} times less than {limit:?}"
        );
    }
}

/// Probes until a count has come to `goal`. The deadline is that of the next step, for many steps take long.
#[track_caller]
pub fn for_count(what: impl Display, goal: usize, mut count: impl FnMut() -> usize) {
    let mut seen = 0;
    while seen < goal {
        seen = until(format!("more than {seen} of {goal}: {what}"), || {
            let now = count();
            (now > seen || now >= goal).then_some(now)
        });
    }
}
