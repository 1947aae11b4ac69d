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

impl Daemon {
    /// Reads the file again.
    pub(super) fn read_file(&mut self) -> Result<Arc<Config>, Vec<wire::Diagnostic>> {
        self.owe_rest(clock::now());
        self.loader.load_and_log()
    }

    /// Something is being done that needs much.
    pub(super) fn owe_rest(&mut self, now: Monotonic) {
        self.rests_at = Some(now.after(PAUSE));
    }

    /// Something happens.
    pub(super) fn put_off_rest(&mut self, now: Monotonic) {
        self.rests_at = self.rests_at.map(|_| now.after(PAUSE));
    }

    /// When to wake for it, if it is not due yet and nothing is to be done before.
    pub(super) fn rest_deadline(
        &self,
        next: Option<Monotonic>,
        now: Monotonic,
    ) -> Option<Monotonic> {
        self.rests_at
            .filter(|&at| at > now && next.is_none_or(|next| next.since(now) >= LULL))
    }

    /// Called last before the loop sleeps for this long: what leads up to that is not needed any more either. Where work
    /// is left, as of a client that asks a thousand things at once, or is due soon, the rest is still owed afterwards.
    pub(super) fn rest_if_due(&mut self, sleep: Option<Duration>, now: Monotonic) {
        let is_quiet = sleep.is_none_or(|sleep| sleep >= LULL);
        if is_quiet && self.rests_at.is_some_and(|at| at <= now) {
            self.rests_at = None;
            self.children.shrink();
            memory::release_heap();
            memory::release_code();
        }
    }
}
