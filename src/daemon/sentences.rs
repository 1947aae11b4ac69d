//! The words of the daemon's log: Supervisor's sentences, so that scripts which watch the log keep working.
//!
//! Names are shown as the console shows them, except that a process in a group of another name is called
//! `GROUP:PROCESS` where Supervisor leaves the group out.

use super::convert;
use crate::engine::Verdict;
use crate::engine::action::{Note, Scope};
use crate::engine::view::State;
use crate::events;
use log::Level;

/// Severity and text of a note.
pub fn sentence(note: &Note) -> (Level, String) {
    match note {
        Note::Spawned { key, pid } => (Level::Info, format!("spawned: '{key}' with pid {pid}")),
        Note::Adopted { key, pid } => (
            Level::Info,
            format!("adopted: '{key}' with pid {pid}, left by a daemon that was killed"),
        ),
        Note::SpawnFailed { key, failure } => (
            Level::Info,
            format!("spawnerr: {} ({key})", convert::failure(failure)),
        ),
        Note::Running { key, startsecs } => (
            Level::Info,
            format!(
                "success: {key} entered RUNNING state, process has stayed up for > than {} seconds (startsecs)",
                startsecs.as_secs()
            ),
        ),
        Note::Exited {
            key,
            status,
            expected: true,
        } => (Level::Info, format!("exited: {key} ({status}; expected)")),
        Note::Exited {
            key,
            status,
            expected: false,
        } => (
            Level::Warn,
            format!("exited: {key} ({status}; not expected)"),
        ),
        Note::Stopped {
            key,
            status,
            expected,
        } => {
            let level = if *expected { Level::Info } else { Level::Warn };
            (level, format!("stopped: {key} ({status})"))
        }
        Note::GaveUp { key } => (
            Level::Info,
            format!("gave up: {key} entered FATAL state, too many start retries too quickly"),
        ),
        Note::Signalling {
            key,
            pid,
            signal,
            scope: Scope::Leader,
        } => (
            Level::Debug,
            format!("sending {key} (pid {pid}) sig {signal}"),
        ),
        Note::Signalling {
            key,
            pid,
            signal,
            scope: Scope::Group,
        } => (
            Level::Debug,
            format!("sending {key} (pid {pid}) process group sig {signal}"),
        ),
        Note::Killing { key, pid } => {
            (Level::Warn, format!("killing '{key}' ({pid}) with SIGKILL"))
        }
        Note::WaitingToStop { key } => (Level::Info, format!("waiting for {key} to stop")),
        Note::WaitingToDie { keys } => {
            let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
            (
                Level::Info,
                format!("waiting for {} to die", names.join(", ")),
            )
        }
        Note::UnknownReaped { pid, status } => {
            (Level::Info, format!("reaped unknown pid {pid} ({status})"))
        }
        Note::NotKilled { key } => (
            Level::Error,
            format!(
                "{key}: processes of its process group survived SIGKILL; not waiting for them any longer"
            ),
        ),
        Note::GroupAdded { group } => (Level::Info, format!("added process group {group}")),
        Note::GroupRemoved { group } => (Level::Info, format!("removed process group {group}")),
        Note::EndsByRule { verdict } => (Level::Warn, ends_by_rule(verdict)),
        Note::OutOfTime => (
            Level::Warn,
            "the shutdown has reached shutdown_timeout: killing what is left".to_owned(),
        ),
        Note::Bug { detail } => (Level::Error, format!("bug: {detail}")),
    }
}

fn ends_by_rule(verdict: &Verdict) -> String {
    let Verdict {
        key,
        state,
        last_exit,
        failure,
        rule,
        status,
    } = verdict;
    let how = match (state, failure, last_exit) {
        (State::Fatal, Some(failure), _) => {
            format!("{key} is FATAL ({})", convert::failure(failure))
        }
        (State::Fatal, None, Some(exit)) => format!("{key} is FATAL ({exit})"),
        (State::Fatal, None, None) => format!("{key} is FATAL"),
        (_, _, Some(exit)) => format!("{key} has ended ({exit})"),
        (_, _, None) => format!("{key} has ended"),
    };
    format!(
        "{how}: shutting down with status {status}, as exit_when={} asks",
        rule.word()
    )
}

/// Severity and text of a note about listeners.
pub fn about_listeners(note: &events::Note) -> (Level, String) {
    use events::Note;
    match note {
        Note::Stepped { listener, from, to } => {
            (Level::Debug, format!("{listener}: {from} -> {to}"))
        }
        Note::Lost { listener } => (
            Level::Warn,
            format!(
                "{listener}: has entered the UNKNOWN state and will no longer receive events, this usually indicates the process violated the eventlistener protocol"
            ),
        ),
        Note::BadLine { listener, line } => (
            Level::Warn,
            format!("{listener}: bad result line: '{line}'"),
        ),
        Note::Processed { listener } => (Level::Debug, format!("{listener}: event was processed")),
        Note::Rejected { listener } => (Level::Warn, format!("{listener}: event was rejected")),
        Note::Sent { listener, serial } => (
            Level::Debug,
            format!("event {serial} sent to listener {listener}"),
        ),
        Note::Deaf { listener, serial } => (
            Level::Debug,
            format!(
                "epipe occurred while sending event {serial} to listener {listener}, listener state unchanged"
            ),
        ),
        Note::Requeued {
            pool,
            serial,
            waiting,
            buffer_size,
        } => (
            Level::Debug,
            format!(
                "rebuffering event {serial} for pool {pool} (buf size={waiting}, max={buffer_size})"
            ),
        ),
        Note::Discarded { pool, serial } => (
            Level::Error,
            format!("pool {pool} event buffer overflowed, discarding event {serial}"),
        ),
    }
}
