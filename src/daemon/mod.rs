//! The daemon: the thin shell around the engine.
//!
//! [`run`] tells the start as a story: read the file, take what only root may take, become who it says, secure the
//! directory, take the lock, open the socket, and only then leave the terminal; what goes wrong up to here is told to
//! whoever typed the command. From then on [`event_loop`] turns what happens into events, lets the engine decide, and
//! [`execute`] carries out its actions. Two threads: the loop, and log capture, which owns every log file.
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
mod event_loop;
mod execute;
mod exit;
mod inputs;
mod jobs;
mod journal;
mod launch;
mod loader;
mod logging;
mod manager;
mod orphans;
mod queries;
mod readiness;
mod reexec;
mod renew;
mod runtime_files;
mod sentences;
mod startup;
mod status;
mod story;
mod streams;
mod survivors;

pub use exit::DaemonExit;

use crate::cli::DaemonOptions;
use crate::sys::signals::SignalSource;
use crate::types::Signal;
use event_loop::Ending;
use readiness::{Readiness, Side};
use reexec::Origin;
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
    match start(options, called_as) {
        Ok(status) => status,
        Err(failure) => {
            complain(called_as, &failure.to_string());
            failure.status().code(called_as)
        }
    }
}

fn start(options: &DaemonOptions, called_as: &str) -> Result<u8, Failure> {
    // First of all: whatever is opened before would be taken for inherited and closed.
    startup::secure_descriptors()?;
    let mut origin = Origin::remember().map_err(Failure::surroundings)?;
    // Blocked before anything is created, so that a signal during the start is acted upon when the loop runs.
    let signals = SignalSource::block_and_listen(&LISTENED).map_err(Failure::surroundings)?;
    let prepared = startup::prepare(options, called_as)?;

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
    serve(prepared, signals, readiness, origin, called_as)
}

fn serve(
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
    let outcome = daemon.serve();
    let ending = match outcome {
        Ok(ending) => ending,
        Err(error) => {
            log::error!("the event loop failed: {error}");
            // The programs run on, so the record of them stays, and the next daemon stops them first.
            residue.tidy_up(daemon, true);
            return Ok(DaemonExit::Internal.code(called_as));
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
        return Ok(DaemonExit::Internal.code(called_as));
    }
    if let Some(status) = status {
        return Ok(status);
    }
    let status = if left.is_empty() {
        DaemonExit::Clean
    } else {
        DaemonExit::ProcessesLeft
    };
    Ok(status.code(called_as))
}

fn complain(called_as: &str, message: &str) {
    // Nothing can be done about a standard error that does not take it.
    let _told = writeln!(std::io::stderr(), "{called_as}: {}", message.trim_end());
}
