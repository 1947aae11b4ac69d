//! Stops processes that a killed daemon left and that are not taken over, before anything is started.
//!
//! A process is only ever signalled when its start time proves that it is the recorded one, and its group only while it
//! proves the group, or members of it that it left keep the number from being given to others.

use super::journal::Birth;
use crate::sys::{kill, proc};
use crate::types::Signal;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How one survivor is to be stopped.
#[derive(Debug, Clone)]
pub struct Stop {
    /// The process.
    pub survivor: Birth,
    /// Signal that asks it.
    pub signal: Signal,
    /// How long it may take.
    pub patience: Duration,
}

/// Whether it has ended and left members of its group behind, who keep the number from being given to others.
fn left_members(survivor: &Birth) -> bool {
    let is_free = proc::start_ticks(survivor.pid).is_none_or(|ticks| ticks == survivor.ticks);
    is_free && !survivor.is_alive() && kill::group_exists(survivor.pid)
}

/// Stops processes that a killed daemon left, all at once: each is asked, then its group is killed when its time is
/// over or it has ended and others of the group have not. Returns those that did not even die of that.
pub fn stop_survivors(stops: &[Stop]) -> Vec<Birth> {
    /// Time for the kernel to carry out a KILL.
    const KILL_GRACE: Duration = Duration::from_secs(5);
    const GLANCE: Duration = Duration::from_millis(5);

    let begin = Instant::now();
    for stop in stops.iter().filter(|stop| stop.survivor.is_alive()) {
        // An error means that it has just ended, or will show as one that is left.
        let _asked = kill::group(stop.survivor.pid, stop.signal);
        let _continued = kill::group(stop.survivor.pid, Signal::CONT);
    }
    let mut killed_at = BTreeMap::new();
    loop {
        let left: Vec<&Stop> = stops
            .iter()
            .filter(|stop| stop.survivor.is_alive() || left_members(&stop.survivor))
            .collect();
        for stop in &left {
            // Those who outlive their leader were asked as he was.
            let overdue = begin.elapsed() >= stop.patience || left_members(&stop.survivor);
            if overdue && !killed_at.contains_key(&stop.survivor.pid) {
                let _killed = kill::group(stop.survivor.pid, Signal::KILL);
                killed_at.insert(stop.survivor.pid, Instant::now());
            }
        }
        let given_up = |stop: &Stop| {
            killed_at
                .get(&stop.survivor.pid)
                .is_some_and(|killed| killed.elapsed() > KILL_GRACE)
        };
        if left.iter().all(|stop| given_up(stop)) {
            return left.into_iter().map(|stop| stop.survivor.clone()).collect();
        }
        std::thread::sleep(GLANCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{GroupName, Pid, ProcessKey, ProcessName};

    #[test]
    fn a_process_is_found_by_its_start_time_and_stopped_with_its_group() {
        use std::os::unix::process::CommandExt;
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .process_group(0)
            .spawn()
            .unwrap();
        let pid = Pid::new(i32::try_from(child.id()).unwrap()).unwrap();
        let survivor = Birth {
            key: ProcessKey {
                group: GroupName::new("web").unwrap(),
                process: ProcessName::new("web").unwrap(),
            },
            pid,
            ticks: proc::start_ticks(pid).unwrap(),
            details: None,
            is_child: false,
        };
        let stop = |survivor| Stop {
            survivor,
            signal: Signal::TERM,
            patience: Duration::from_secs(10),
        };
        let other = Birth {
            ticks: survivor.ticks + 1,
            ..survivor.clone()
        };
        assert!(!other.is_alive(), "another start time is another process");
        assert_eq!(stop_survivors(&[stop(other)]), []);
        assert!(survivor.is_alive(), "it was not signalled");

        // The zombie still shows its start time, so somebody has to reap it, as process 1 would.
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        assert_eq!(stop_survivors(&[stop(survivor)]), []);
        reaper.join().unwrap();
    }
}
