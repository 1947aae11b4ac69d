//! `tail -f` and `maintail -f`: logs as they are written, by subscription.
//!
//! Bytes go untouched into a pipe and escaped to a terminal. Whatever is not the log's, such as a gap that the daemon
//! had to leave because this side was too slow, goes to the standard error.

use super::actions::Action;
use super::connection::Wake;
use super::escape;
use super::interrupt::Interrupts;
use super::session::{Failure, Session};
use crate::wire::{Notice, ServerFrame, SubscriptionEnd, Topic};
use std::collections::BTreeMap;

/// Bytes of a log shown before what is new.
pub const BACKLOG: u64 = 1024;

/// Printed first, as Supervisor does.
pub const BANNER: &str = "==> Press Ctrl-C to exit <==";

/// A log to follow.
#[derive(Debug)]
pub struct Stream {
    /// What to subscribe to.
    pub topic: Topic,
    /// Its name, where there are several.
    pub name: String,
}

/// What stands above the bytes of one log among several.
pub fn heading(name: &str) -> String {
    format!("==> {name} <==")
}

/// Makes Ctrl-C end the action instead of the console. True when it did not before.
pub fn catch_interrupts(session: &mut Session<'_>) -> bool {
    if session.interrupts.is_some() {
        return false;
    }
    match Interrupts::listen() {
        Ok(interrupts) => {
            session.interrupts = Some(interrupts);
            true
        }
        Err(error) => {
            session
                .output
                .error_line(&format!("warning: Ctrl-C will end the console: {error}"));
            false
        }
    }
}

/// Follows until Ctrl-C, until nobody reads any more, or until nothing more can come.
pub fn follow(
    session: &mut Session<'_>,
    action: &Action,
    streams: Vec<Stream>,
) -> Result<u8, Failure> {
    let caught = catch_interrupts(session);
    let result = subscribe_all(session, action, streams)
        .and_then(|writers| print_all(session, action, writers));
    // Answers to come would be taken for those of the next action.
    session.hang_up();
    if caught {
        session.interrupts = None;
    }
    result
}

fn subscribe_all(
    session: &mut Session<'_>,
    action: &Action,
    streams: Vec<Stream>,
) -> Result<Writers, Failure> {
    let mut writers = Writers::new(streams.len() > 1);
    for Stream { topic, name } in streams {
        let id = session.subscribe(action, topic)?;
        writers.add(id, name);
    }
    Ok(writers)
}

fn print_all(
    session: &mut Session<'_>,
    action: &Action,
    mut writers: Writers,
) -> Result<u8, Failure> {
    session.output.line(BANNER);
    while !writers.is_empty() && !session.output.has_failed() {
        let Some((connection, interrupts, _)) = session.listen() else {
            break;
        };
        match connection.wait(interrupts, None) {
            Ok(Wake::Frame(frame)) => writers.take(session, frame),
            Ok(Wake::Interrupted | Wake::Other | Wake::Late) => break,
            Err(error) => return Err(session.lost(action, &error)),
        }
    }
    writers.finish(session);
    Ok(0)
}

/// The logs that are being followed, by the number of their subscriptions.
#[derive(Debug)]
pub struct Writers {
    streams: BTreeMap<u64, (String, escape::Stream)>,
    headings: bool,
    last: Option<u64>,
}

impl Writers {
    /// None yet; with a heading at each change between logs, if wanted.
    pub fn new(headings: bool) -> Self {
        Self {
            streams: BTreeMap::new(),
            headings,
            last: None,
        }
    }

    /// One more log.
    pub fn add(&mut self, id: u64, name: String) {
        self.streams.insert(id, (name, escape::Stream::default()));
    }

    /// Whether nothing more can come.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Prints what a frame brought, if it is for one of these logs.
    pub fn take(&mut self, session: &mut Session<'_>, frame: ServerFrame) {
        match frame {
            ServerFrame::Notice {
                id,
                notice: Notice::Output { data },
            } => self.write(session, id, &data),
            ServerFrame::Notice {
                id,
                notice: Notice::Gap { lost },
            } if self.streams.contains_key(&id) => {
                session
                    .output
                    .error_line(&format!("==> {lost} bytes were left out here <=="));
            }
            ServerFrame::End { id, reason } => {
                if let Some((name, mut stream)) = self.streams.remove(&id) {
                    session.output.text(&stream.finish());
                    let why = match reason {
                        SubscriptionEnd::Unsubscribed => return,
                        SubscriptionEnd::Removed => "is no longer configured",
                        SubscriptionEnd::Shutdown => "ends here: the daemon shuts down",
                    };
                    session.output.error_line(&format!("==> {name} {why} <=="));
                }
            }
            ServerFrame::Notice { .. } | ServerFrame::Reply { .. } => {}
        }
    }

    fn write(&mut self, session: &mut Session<'_>, id: u64, data: &[u8]) {
        let Some((name, stream)) = self.streams.get_mut(&id) else {
            return;
        };
        if self.headings && self.last != Some(id) {
            session.output.line(&heading(name));
            self.last = Some(id);
        }
        if session.output.terminal {
            let text = stream.push(data);
            session.output.text(&text);
        } else {
            session.output.bytes(data);
        }
    }

    /// Prints what was kept back.
    pub fn finish(&mut self, session: &mut Session<'_>) {
        for (_, stream) in self.streams.values_mut() {
            let text = stream.finish();
            session.output.text(&text);
        }
    }
}
