//! Rows of a status reply.

use super::capture::LogHealth;
use super::convert;
use crate::config::model::ProcessSettings;
use crate::engine::view::ProcessView;
use crate::events::ListenerView;
use crate::sys::clock;
use crate::types::Monotonic;
use crate::wire::{BorrowedRow, Channel, LogState};
use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One moment, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// By the clock that only goes forward.
    pub now: Monotonic,
    wall: SystemTime,
}

impl Moment {
    /// The moment `now`, which is the present.
    pub fn new(now: Monotonic) -> Self {
        let wall = clock::wall();
        Self { now, wall }
    }

    /// Seconds since 1970 of a moment before this one, by the wall clock of now.
    fn seconds(&self, before: Monotonic) -> i64 {
        seconds(self.wall, self.now.since(before))
    }
}

/// The row for one process at a moment.
pub fn row(
    process: &ProcessView,
    moment: Moment,
    stdout: LogHealth,
    stderr: LogHealth,
    listener: Option<ListenerView>,
) -> BorrowedRow<'_> {
    let settings = &process.settings;
    let now = moment.now;
    let log = |channel, health: LogHealth| LogState {
        path: log_path(settings, channel).map(Path::to_string_lossy),
        lost: health.lost,
        errno: health.errno,
    };
    BorrowedRow {
        name: process.key.shown(),
        group: Cow::Borrowed(process.key.group.as_str()),
        process: Cow::Borrowed(process.key.process.as_str()),
        program: Cow::Borrowed(settings.program.as_str()),
        state: convert::state(process.state),
        pid: process.pid.map(|pid| pid.as_raw().unsigned_abs()),
        uptime_ms: process
            .pid
            .and(process.started_at)
            .map(|started| millis(now.since(started))),
        started_at: process.started_at.map(|at| moment.seconds(at)),
        stopped_at: process.stopped_at.map(|at| moment.seconds(at)),
        trouble: process.trouble.as_ref().map(convert::trouble),
        last_exit: process.last_exit.map(convert::exit_status),
        failures: process.failures,
        next_attempt_ms: process.next_attempt.map(|at| millis(at.since(now))),
        restarts: process.restarts,
        adopted: process.adopted,
        stdout_log: log(Channel::Stdout, stdout),
        stderr_log: log(Channel::Stderr, stderr),
        listener: listener.map(convert::listener),
    }
}

/// The file a stream of a process is kept in; none for a stream that is discarded or goes where the other one goes.
pub fn log_path(settings: &ProcessSettings, channel: Channel) -> Option<&Path> {
    let target = match channel {
        Channel::Stdout => &settings.stdout.target,
        Channel::Stderr if settings.launch.redirect_stderr => return None,
        Channel::Stderr => &settings.stderr.target,
    };
    target.path()
}

/// Whether the bytes of a stream can be followed: they are kept or shown, and it is a stream of its own.
pub fn is_read(settings: &ProcessSettings, channel: Channel) -> bool {
    match channel {
        Channel::Stdout => settings.stdout.is_read(),
        Channel::Stderr => !settings.launch.redirect_stderr && settings.stderr.is_read(),
    }
}

/// Whether the program writes the log of a stream itself.
pub fn is_direct(settings: &ProcessSettings, channel: Channel) -> bool {
    match channel {
        Channel::Stdout => settings.stdout.direct,
        Channel::Stderr => !settings.launch.redirect_stderr && settings.stderr.direct,
    }
}

/// Seconds since 1970 of the moment `ago` before now, by the wall clock of now.
pub fn wall_seconds(ago: Duration) -> i64 {
    seconds(clock::wall(), ago)
}

fn seconds(wall: SystemTime, ago: Duration) -> i64 {
    let before = wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
    before.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// Whole milliseconds.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
