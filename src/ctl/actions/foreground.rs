//! `fg`: a process's output on the terminal, and the terminal's input to the process.
//!
//! Bytes go through untouched in both directions; the terminal edits lines as it always does.
//! The subscription to states comes first and the look at the state second, so that a death in between is not missed.

use super::Invocation;
use crate::ctl::connection::{Connection, TalkError, Wake};
use crate::ctl::follow::{self, Style, Writers};
use crate::ctl::render::{self, Verb};
use crate::ctl::session::{Failure, Session};
use crate::wire::{
    Channel, NamedResult, Notice, Outcome, ProcessState, Refusal, Request, Response, ServerFrame,
    SubscriptionEnd, Topic,
};
use std::io;
use std::time::{Duration, Instant};

const INPUT_BYTES: usize = 4096;
/// Pause before input is offered again to a program that has too much unread.
const SEND_AGAIN: Duration = Duration::from_millis(50);

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
    let mut writers = Writers::new(Style::Raw);
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
///
/// Input is read only when the piece before it has been taken: a program that does not read holds its writer up, as a
/// pipe would, and nothing is lost.
fn attend(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    name: &str,
    states: u64,
    writers: &mut Writers,
) -> Result<Ending, Failure> {
    let mut piece = Piece::None;
    while !session.output.has_failed() {
        let Some((connection, interrupts, input)) = session.listen() else {
            return Err(Failure::Unexpected);
        };
        let (input, limit) = match &piece {
            Piece::None => (input, None),
            Piece::Sent(_) => (None, None),
            Piece::Refused { again, .. } => (None, Some(*again)),
        };
        let wake = match connection.wait_until(interrupts, input, limit) {
            Ok(Wake::Interrupted) => return Ok(Ending::Left),
            Ok(Wake::Frame(frame)) => Ok(Some(frame)),
            Ok(Wake::Late) => match std::mem::take(&mut piece) {
                Piece::Refused { data, .. } => {
                    send(connection, name, data, &mut piece).map(|()| None)
                }
                Piece::None | Piece::Sent(_) => Ok(None),
            },
            Ok(Wake::Other) => {
                let mut bytes = [0; INPUT_BYTES];
                let count = input.map_or(Ok(0), |input| nix::unistd::read(input, &mut bytes));
                match count {
                    Ok(0) => return Ok(Ending::Left),
                    Ok(count) => {
                        let data = bytes.get(..count).unwrap_or_default().to_vec();
                        send(connection, name, data, &mut piece).map(|()| None)
                    }
                    Err(nix::errno::Errno::EINTR) => Ok(None),
                    Err(error) => Err(TalkError::System(io::Error::from(error))),
                }
            }
            Err(error) => Err(error),
        };
        let frame = wake.map_err(|error| session.lost(call.action, &error))?;
        let Some(frame) = frame else { continue };
        let dead = match &frame {
            ServerFrame::Reply {
                response: Response::Results(results),
                ..
            } => answered(session, results, &mut piece),
            ServerFrame::Reply { .. } | ServerFrame::Notice { .. } | ServerFrame::End { .. } => {
                is_death(&frame, name, states)
            }
        };
        if dead {
            drain(session, writers);
            return Ok(Ending::Died);
        }
        writers.take(session, frame);
    }
    Ok(Ending::Left)
}

/// A piece of input on its way.
#[derive(Debug, Default)]
enum Piece {
    /// There is none.
    #[default]
    None,
    /// It is sent and not answered.
    Sent(Vec<u8>),
    /// The program has too much unread already.
    Refused {
        /// The bytes.
        data: Vec<u8>,
        /// When to send them again.
        again: Instant,
    },
}

fn send(
    connection: &mut Connection,
    name: &str,
    data: Vec<u8>,
    piece: &mut Piece,
) -> Result<(), TalkError> {
    connection.send(Request::Input {
        target: name.to_owned(),
        data: data.clone(),
    })?;
    *piece = Piece::Sent(data);
    Ok(())
}

/// What became of a piece of input. True when the process is up no more.
fn answered(session: &mut Session<'_>, results: &[NamedResult], piece: &mut Piece) -> bool {
    let sent = std::mem::take(piece);
    let mut dead = false;
    for result in results {
        match (&result.outcome, &sent) {
            (Outcome::NotRunning | Outcome::NoSuchProcess, _) => dead = true,
            (Outcome::InputSent, _) => {}
            (Outcome::Failed { errno }, Piece::Sent(data)) if *errno == libc::EAGAIN => {
                *piece = Piece::Refused {
                    data: data.clone(),
                    again: Instant::now() + SEND_AGAIN,
                };
            }
            _ => {
                let (line, _) = render::result_line(Verb::Input, result);
                session.output.error_line(&line);
            }
        }
    }
    dead
}

/// Whether a frame says that the process is up no more.
fn is_death(frame: &ServerFrame, name: &str, states: u64) -> bool {
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
        ServerFrame::Reply { .. } | ServerFrame::Notice { .. } => false,
    }
}

/// Prints the output that has arrived already; the process's last words often come right before its end is known.
fn drain(session: &mut Session<'_>, writers: &mut Writers) {
    while let Some(frame) = session.arrived() {
        writers.take(session, frame);
    }
}
