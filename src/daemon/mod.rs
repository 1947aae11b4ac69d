//! The daemon: the thin shell around the engine.
//!
//! [`run`] tells the start as a story: read the file, take what only root may take, become who it says, secure the
//! directory, take the lock, open the socket, and only then leave the terminal; what goes wrong up to here is told to
//! whoever typed the command. From then on [`event_loop`] turns what happens into events, lets the engine decide, and
//! [`execute`] carries out its actions. Two threads: the loop, and log capture, which owns every log file; and one for
//! each standard stream that is written ([`lines`]).
//!
//! Not here: decisions about processes (the engine's), the meaning of a file (config's), wording for people (ctl's).

mod access;
mod adoption;
mod api;
pub mod capture;
mod children;
mod cleanup;
mod clients;
mod connections;
mod convert;
mod environment;
mod event_loop;
mod execute;
mod exit;
mod inputs;
mod jobs;
mod journal;
mod launch;
mod lines;
mod listener_output;
mod listeners;
mod loader;
mod logging;
mod manager;
mod meeting;
mod orders;
mod orphans;
mod output_events;
mod plan;
mod queries;
mod readiness;
mod reexec;
mod renew;
mod residue;
mod rest;
mod rights;
mod runtime_files;
mod secrets;
mod sentences;
mod sockets;
mod startup;
mod status;
mod story;
mod streams;
mod survivors;
mod ticks;
mod upgrade;

pub use exit::DaemonExit;

use crate::cli::DaemonOptions;
use crate::config::MemoryHost;
use crate::sys::signals::{self, SignalSource};
use crate::types::Signal;
use event_loop::{Daemon, Ending};
use loader::Source;
use readiness::{Readiness, Side};
use reexec::Origin;
use residue::Residue;
use startup::{Failure, Prepared};
use std::io::Write;

/// Signals that the loop acts upon; all others do the daemon no harm.
const LISTENED: [Signal; 6] = [
    Signal::TERM,
    Signal::INT,
    Signal::QUIT,
    Signal::HUP,
    Signal::USR2,
    Signal::CHLD,
];

/// Runs the daemon to its end and returns the exit status of the process.
pub fn run(options: &DaemonOptions, called_as: &str) -> u8 {
    if options.handoff_check {
        return upgrade::answer_check();
    }
    run_on(Source::Options(options), called_as)
}

/// Runs a daemon whose configuration is a text in memory.
pub fn run_in_memory(host: MemoryHost, called_as: &str) -> u8 {
    run_on(Source::Memory(host), called_as)
}

fn run_on(source: Source<'_>, called_as: &str) -> u8 {
    match start(source, called_as) {
        Ok(status) => status,
        Err(failure) => {
            complain(called_as, &failure.to_string());
            failure.status().code(called_as)
        }
    }
}

fn start(source: Source<'_>, called_as: &str) -> Result<u8, Failure> {
    let incoming = upgrade::incoming();
    let kept = incoming.as_ref().map(|state| state.descriptors.as_slice());
    // First of all: whatever is opened before would be taken for inherited and closed.
    startup::secure_descriptors(kept.unwrap_or_default())?;
    let mut origin = Origin::remember().map_err(Failure::surroundings)?;
    origin.take_name();
    // Blocked before anything is created, so that a signal during the start is acted upon when the loop runs.
    let signals =
        SignalSource::block_and_listen(&listened(&source)).map_err(Failure::surroundings)?;
    if let (Some(state), Source::Options(options)) = (incoming, &source) {
        origin.set_executable(state.executable.clone());
        if state.background {
            origin.set_background();
        }
        let limits = upgrade::original_limits(&state);
        let failure = match upgrade::take_over(state, options, signals, called_as) {
            Ok((daemon, residue)) => return Ok(serve(daemon, residue, origin, called_as)),
            Err(failure) => failure,
        };
        // Like any other it finds the programs by the record of them. What was handed over, clients and pipes among it, is
        // closed by that.
        complain(called_as, &format!("can't go on, starting anew: {failure}"));
        return Err(Failure::surroundings(origin.start_anew(&limits)));
    }
    let prepared = startup::prepare(source, called_as)?;

    let in_background = Origin::is_successor();
    let readiness = if in_background || prepared.stays_in_foreground() {
        Readiness::foreground()
    } else {
        match readiness::detach(prepared.umask()).map_err(Failure::Detach)? {
            Side::Launcher { status, message } => {
                if !message.is_empty() {
                    complain(called_as, &message);
                }
                return Ok(status);
            }
            Side::Daemon(readiness) => {
                origin.set_background();
                readiness
            }
        }
    };
    if in_background {
        origin.set_background();
    }
    begin(prepared, signals, readiness, origin, called_as)
}

/// The signals to act upon. A text in memory has nothing to be read again for, so that there HUP means the end, as it does
/// for a command whose terminal is closed; unless it was started to outlive that.
fn listened(source: &Source<'_>) -> Vec<Signal> {
    let deaf = matches!(source, Source::Memory(_)) && signals::is_ignored(Signal::HUP);
    LISTENED
        .into_iter()
        .filter(|&signal| !(deaf && signal == Signal::HUP))
        .collect()
}

fn begin(
    prepared: Prepared,
    signals: SignalSource,
    readiness: Readiness,
    origin: Origin,
    called_as: &str,
) -> Result<u8, Failure> {
    let (mut daemon, residue) = match prepared.open(signals, origin.executable(), called_as) {
        Ok(opened) => opened,
        Err(failure) => {
            return if readiness.fail(failure.status(), called_as, &failure.to_string()) {
                Ok(failure.status().code(called_as))
            } else {
                Err(failure)
            };
        }
    };
    // The launching command ends at its word; a manager must know by then which process goes on.
    daemon.tell_ready(origin.is_in_background());
    readiness.ready();
    daemon.boot();
    Ok(serve(daemon, residue, origin, called_as))
}

/// Serves until the daemon ends or another image goes on; returns the exit status.
fn serve(mut daemon: Daemon, residue: Residue, origin: Origin, called_as: &str) -> u8 {
    let outcome = loop {
        match daemon.serve() {
            Ok(None) => daemon.hand_over(&residue, &origin),
            Ok(Some(ending)) => break Ok(ending),
            Err(error) => break Err(error),
        }
    };
    let ending = match outcome {
        Ok(ending) => ending,
        Err(error) => {
            log::error!("the event loop failed: {error}");
            // The programs run on, so the record of them stays, and the next daemon takes them over.
            residue.tidy_up(daemon, true);
            return DaemonExit::Internal.code(called_as);
        }
    };
    let Ending {
        left,
        reload,
        status,
    } = ending;
    for key in &left {
        log::error!("{key}: still running at the end of the shutdown");
    }
    if !reload {
        orphans::end();
    }
    let limits = residue.tidy_up(daemon, !left.is_empty());
    if reload && left.is_empty() {
        let error = origin.start_anew(&limits);
        complain(called_as, &format!("can't start anew: {error}"));
        return DaemonExit::Internal.code(called_as);
    }
    if let Some(status) = status {
        return status;
    }
    let status = if left.is_empty() {
        DaemonExit::Clean
    } else {
        DaemonExit::ProcessesLeft
    };
    status.code(called_as)
}

fn complain(called_as: &str, message: &str) {
    // Nothing can be done about a standard error that does not take it.
    let _told = writeln!(std::io::stderr(), "{called_as}: {}", message.trim_end());
}
