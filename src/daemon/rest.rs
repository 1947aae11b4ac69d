//! Coming to rest: what only the work that is done has needed is let go of.
//!
//! A start, a look into the file and a client's request need much that nothing else needs: what a text was taken apart into,
//! and above all code, which is most of the daemon's memory. So when nothing has happened for a moment after one of these,
//! free memory and the pages of the executable are given back, once. The start or the end of a program is no reason for
//! that, and while there is none no timer runs.

use super::event_loop::Daemon;
use crate::config::model::Config;
use crate::sys::{clock, memory};
use crate::types::Monotonic;
use crate::wire;
use std::sync::Arc;
use std::time::Duration;

/// How long nothing may have happened.
const PAUSE: Duration = Duration::from_millis(100);

/// How long nothing may be due: who is about to work again does not rest before it.
const LULL: Duration = Duration::from_secs(1);

/// When to rest; never while there is no reason for it.
#[derive(Debug, Default)]
pub(super) struct Rest {
    at: Option<Monotonic>,
}

impl Rest {
    /// Something is being done that needs much.
    pub(super) fn owe(&mut self, now: Monotonic) {
        self.at = Some(now.after(PAUSE));
    }

    /// Something happens.
    pub(super) fn put_off(&mut self, now: Monotonic) {
        self.at = self.at.map(|_| now.after(PAUSE));
    }

    /// When to wake for it, if it is not due yet and nothing is to be done before.
    pub(super) fn deadline(&self, next: Option<Monotonic>, now: Monotonic) -> Option<Monotonic> {
        self.at
            .filter(|&at| at > now && next.is_none_or(|next| next.since(now) >= LULL))
    }

    /// Whether to rest now, before a sleep of this length. Where work is left, as of a client that asks a thousand things
    /// at once, or is due soon, the rest is still owed afterwards.
    fn take_if_due(&mut self, sleep: Option<Duration>, now: Monotonic) -> bool {
        let is_quiet = sleep.is_none_or(|sleep| sleep >= LULL);
        is_quiet && self.at.take_if(|at| *at <= now).is_some()
    }
}

impl Daemon {
    /// Reads the file again.
    pub(super) fn read_file(&mut self) -> Result<Arc<Config>, Vec<wire::Diagnostic>> {
        self.rest.owe(clock::now());
        self.loader.load_and_log()
    }

    /// Called last before the loop sleeps for this long: what leads up to that is not needed any more either.
    pub(super) fn rest_if_due(&mut self, sleep: Option<Duration>, now: Monotonic) {
        if self.rest.take_if_due(sleep, now) {
            self.children.shrink();
            memory::release_heap();
            memory::release_code();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Monotonic = Monotonic::from_nanos(1_000_000_000);

    #[test]
    fn it_comes_once_after_a_pause_and_not_without_a_reason() {
        let mut rest = Rest::default();
        rest.put_off(START);
        assert_eq!(rest.deadline(None, START), None);
        assert!(!rest.take_if_due(None, START.after(LULL)));
        rest.owe(START);
        let due = START.after(PAUSE);
        assert_eq!(rest.deadline(None, START), Some(due));
        assert!(!rest.take_if_due(None, START));
        assert!(rest.take_if_due(None, due));
        assert_eq!(rest.deadline(None, due), None);
        assert!(!rest.take_if_due(None, due.after(LULL)));
    }

    #[test]
    fn it_waits_until_nothing_happens_and_nothing_is_due_soon() {
        let mut rest = Rest::default();
        rest.owe(START);
        let later = START.after(PAUSE / 2);
        rest.put_off(later);
        let due = later.after(PAUSE);
        assert_eq!(rest.deadline(None, later), Some(due));
        // Nobody wakes for it shortly before something else, nor between two turns of work.
        assert_eq!(rest.deadline(Some(later.after(LULL / 2)), later), None);
        assert!(!rest.take_if_due(Some(LULL / 2), due));
        assert!(!rest.take_if_due(Some(Duration::ZERO), due));
        // It is still owed, and comes before the next long sleep, without a wake-up of its own.
        let next = due.after(LULL * 3);
        assert_eq!(rest.deadline(Some(next), due), None);
        assert!(rest.take_if_due(Some(next.since(due)), due));
    }
}
