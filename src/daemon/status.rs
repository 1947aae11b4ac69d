//! Rows of a status reply.

use super::capture::LogHealth;
use super::convert;
use crate::config::model::ProcessSettings;
use crate::engine::view::ProcessView;
use crate::events::ListenerView;
use crate::sys::clock;
use crate::types::Monotonic;
use crate::wire::{Channel, LogState, StatusRow};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The row for one process at the moment `now`.
pub fn row(
    process: &ProcessView,
    now: Monotonic,
    stdout: LogHealth,
    stderr: LogHealth,
    listener: Option<ListenerView>,
) -> StatusRow {
    let settings = &process.settings;
    let wall = |moment: Monotonic| wall_seconds(now.since(moment));
    let log = |channel, health: LogHealth| LogState {
        path: log_path(settings, channel).map(|path| path.display().to_string()),
        lost: health.lost,
        errno: health.errno,
    };
    StatusRow {
        name: process.key.to_string(),
        group: process.key.group.to_string(),
        process: process.key.process.to_string(),
        program: settings.program.to_string(),
        state: convert::state(process.state),
        pid: process.pid.map(|pid| pid.as_raw().unsigned_abs()),
        uptime_ms: process
            .pid
            .and(process.started_at)
            .map(|started| millis(now.since(started))),
        started_at: process.started_at.map(wall),
        stopped_at: process.stopped_at.map(wall),
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
    let wall = clock::wall()
        .checked_sub(ago)
        .unwrap_or(SystemTime::UNIX_EPOCH);
    wall.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// Whole milliseconds.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
