//! `fg`: a process's output on the terminal, and the terminal's input to the process.
//!
//! The subscription to states comes first and the look at the state second, so that a death in between is not missed.

use super::Invocation;
use crate::ctl::connection::{TalkError, Wake};
use crate::ctl::follow::{self, Writers};
use crate::ctl::render::{self, Verb};
use crate::ctl::session::{Failure, Session};
use crate::wire::{
    Channel, Notice, Outcome, ProcessState, Refusal, Request, Response, ServerFrame,
    SubscriptionEnd, Topic,
};
use std::io;

const INPUT_BYTES: usize = 4096;

/// Why it ended.
enum Ending {
    /// Ctrl-C, or no more input.
    Left,
    /// The process did.
    Died,
}

pub(super) fn fg(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    if session.json {
        let text = "Error: --json gives one document and cannot connect to a process";
        return Err(session.fail(call.action, "usage", text, 2));
    }
    let target = match call.arguments {
        [] => return Err(session.misused(call.action, "ERROR: no process name supplied", 1)),
        [target] => target,
        _ => return Err(too_many(session, call)),
    };
    let caught = follow::catch_interrupts(session);
    let result = connect(session, call, target);
    session.hang_up();
    if caught {
        session.interrupts = None;
    }
    result
}

fn too_many(session: &mut Session<'_>, call: &Invocation<'_>) -> Failure {
    session.fail(
        call.action,
        "usage",
        "ERROR: too many process names supplied",
        1,
    )
}

fn connect(session: &mut Session<'_>, call: &Invocation<'_>, target: &str) -> Result<u8, Failure> {
    let states = session.subscribe(call.action, Topic::States)?;
    let request = Request::Status {
        targets: vec![target.to_owned()],
    };
    let Response::Status(reply) = session.ask(call.action, request)? else {
        return Err(Failure::Unexpected);
    };
    let name = match reply.rows.as_slice() {
        [] => return Err(Failure::Refused(Refusal::NoSuchProcess(target.to_owned()))),
        [row] if row.state == ProcessState::Running => row.name.clone(),
        [_] => {
            return Err(session.fail(call.action, "not_running", "ERROR: process not running", 1));
        }
        _ => return Err(too_many(session, call)),
    };
    let mut writers = Writers::new(false);
    for channel in [Channel::Stdout, Channel::Stderr] {
        let topic = Topic::Output {
            target: name.clone(),
            channel,
            backlog: follow::BACKLOG,
        };
        match session.subscribe(call.action, topic) {
            Ok(id) => writers.add(id, name.clone()),
            // Nothing to show of this one, as with redirect_stderr; the other, or the input, may still be of use.
            Err(Failure::Refused(Refusal::NoLog(_))) => {}
            Err(failure) => return Err(failure),
        }
    }
    session.output.line(follow::BANNER);
    let ending = attend(session, call, &name, states, &mut writers)?;
    writers.finish(session);
    if matches!(ending, Ending::Died) {
        session.output.line("Process got killed");
    }
    session.output.line("Exiting foreground");
    Ok(0)
}

/// Passes bytes both ways until one side ends.
fn attend(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    name: &str,
    states: u64,
    writers: &mut Writers,
) -> Result<Ending, Failure> {
    while !session.output.has_failed() {
        let Some((connection, interrupts, input)) = session.listen() else {
            return Err(Failure::Unexpected);
        };
        let wake = match connection.wait(interrupts, input) {
            Ok(Wake::Interrupted | Wake::Late) => return Ok(Ending::Left),
            Ok(Wake::Frame(frame)) => Ok(Some(frame)),
            Ok(Wake::Other) => {
                let mut bytes = [0; INPUT_BYTES];
                let count = input.map_or(Ok(0), |input| nix::unistd::read(input, &mut bytes));
                match count {
                    Ok(0) => return Ok(Ending::Left),
                    Ok(count) => connection
                        .send(Request::Input {
                            target: name.to_owned(),
                            data: bytes.get(..count).unwrap_or_default().to_vec(),
                        })
                        .map(|_| None),
                    Err(nix::errno::Errno::EINTR) => Ok(None),
                    Err(error) => Err(TalkError::System(io::Error::from(error))),
                }
            }
            Err(error) => Err(error),
        };
        let frame = wake.map_err(|error| session.lost(call.action, &error))?;
        let Some(frame) = frame else { continue };
        if is_death(session, &frame, name, states) {
            drain(session, writers);
            return Ok(Ending::Died);
        }
        writers.take(session, frame);
    }
    Ok(Ending::Left)
}

/// Whether a frame says that the process is up no more. Tells what else it says about the input.
fn is_death(session: &mut Session<'_>, frame: &ServerFrame, name: &str, states: u64) -> bool {
    match frame {
        ServerFrame::Notice {
            id,
            notice: Notice::State { name: of, to, .. },
        } => {
            *id == states
                && of == name
                && *to != ProcessState::Running
                && *to != ProcessState::Stopping
        }
        ServerFrame::End { reason, .. } => matches!(reason, SubscriptionEnd::Removed),
        ServerFrame::Reply {
            response: Response::Results(results),
            ..
        } => {
            let mut dead = false;
            for result in results {
                if matches!(result.outcome, Outcome::NotRunning | Outcome::NoSuchProcess) {
                    dead = true;
                } else if result.outcome != Outcome::InputSent {
                    let (line, _) = render::result_line(Verb::Input, result);
                    session.output.error_line(&line);
                }
            }
            dead
        }
        ServerFrame::Reply { .. } | ServerFrame::Notice { .. } => false,
    }
}

/// Prints the output that has arrived already; the process's last words often come right before its end is known.
fn drain(session: &mut Session<'_>, writers: &mut Writers) {
    while let Some(frame) = session.arrived() {
        writers.take(session, frame);
    }
}
