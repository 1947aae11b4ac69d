//! The last duty of a daemon that is process 1: nobody is left behind when the container ends.
//!
//! Orphans, which is what programs leave that put themselves into the background, are nobody's programs, and are collected
//! like all children when they end. But with process 1 the kernel kills whatever lives in the container, at once. So
//! they are asked first, when all programs have ended, and have a moment for it.
//!
//! Not here: the programs, whose stopping is the engine's.

use crate::sys::{identity, kill, reap};
use crate::types::Signal;
use std::time::{Duration, Instant};

/// How long orphans may take to end.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the kernel may take to carry out a KILL.
const KILL_PATIENCE: Duration = Duration::from_secs(1);
const GLANCE: Duration = Duration::from_millis(2);

/// Ends whatever lives beside this process, if it is process 1.
pub fn end() {
    if !identity::is_init() || !kill::everyone(Signal::TERM) {
        return;
    }
    log::info!("asking orphans to end");
    kill::everyone(Signal::CONT);
    if !all_gone(PATIENCE) {
        log::warn!("killing orphans that did not end");
        kill::everyone(Signal::KILL);
        all_gone(KILL_PATIENCE);
    }
}

fn all_gone(patience: Duration) -> bool {
    let begin = Instant::now();
    loop {
        while let Some((pid, _)) = reap::peek() {
            reap::collect(pid);
        }
        if !reap::has_children() {
            return true;
        }
        if begin.elapsed() >= patience {
            return false;
        }
        std::thread::sleep(GLANCE);
    }
}
