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
use unicode_width::UnicodeWidthStr;

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
    let mut writers = Writers::new(match (streams.len(), session.output.terminal) {
        (0 | 1, _) => Style::Alone,
        (_, true) => Style::Names,
        (_, false) => Style::Headings,
    });
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

/// How several logs are told apart, and what becomes of control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A heading at each change between logs; escaped on a terminal.
    Headings,
    /// The name in front of each line; escaped.
    Names,
    /// There is one, which is escaped on a terminal.
    Alone,
    /// Whatever it is, byte by byte, as if the program stood at the terminal itself.
    Raw,
}

/// The logs that are being followed, by the number of their subscriptions.
#[derive(Debug)]
pub struct Writers {
    streams: BTreeMap<u64, Writer>,
    style: Style,
    last: Option<u64>,
}

/// One of them.
#[derive(Debug)]
struct Writer {
    name: String,
    text: escape::Stream,
    /// Its place among the others, for its colour.
    place: usize,
    /// Whether its last line is not ended.
    within_line: bool,
}

/// Colours of names, in turn.
const COLOURS: [&str; 5] = ["36", "35", "32", "34", "31"];

impl Writers {
    /// None yet.
    pub fn new(style: Style) -> Self {
        Self {
            streams: BTreeMap::new(),
            style,
            last: None,
        }
    }

    /// One more log.
    pub fn add(&mut self, id: u64, name: String) {
        let writer = Writer {
            name,
            text: escape::Stream::default(),
            place: self.streams.len(),
            within_line: false,
        };
        self.streams.insert(id, writer);
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
                if let Some(Writer { name, mut text, .. }) = self.streams.remove(&id) {
                    session.output.text(&text.finish());
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
        let changed = self.last != Some(id);
        if changed {
            self.end_line(session);
        }
        let width = self
            .streams
            .values()
            .map(|writer| writer.name.width())
            .max();
        let Some(writer) = self.streams.get_mut(&id) else {
            return;
        };
        if changed && self.style == Style::Headings {
            session.output.line(&heading(&writer.name));
        }
        self.last = Some(id);
        match self.style {
            Style::Raw => session.output.bytes(data),
            Style::Headings | Style::Alone if !session.output.terminal => {
                session.output.bytes(data);
            }
            Style::Headings | Style::Alone => {
                let text = writer.text.push(data);
                session.output.text(&text);
            }
            Style::Names => {
                let text = writer.named(data, width.unwrap_or(0), session.output.colour);
                session.output.text(&text);
            }
        }
    }

    /// Ends the line of the log that wrote last, so that another one does not go on in it.
    fn end_line(&mut self, session: &mut Session<'_>) {
        let last = self.last.and_then(|id| self.streams.get_mut(&id));
        if let (Style::Names, Some(writer)) = (self.style, last)
            && std::mem::take(&mut writer.within_line)
        {
            session.output.text("\n");
        }
    }

    /// Prints what was kept back.
    pub fn finish(&mut self, session: &mut Session<'_>) {
        for writer in self.streams.values_mut() {
            let text = writer.text.finish();
            session.output.text(&text);
        }
        self.end_line(session);
    }
}

impl Writer {
    /// New bytes with the name in front of each line.
    fn named(&mut self, data: &[u8], width: usize, colour: bool) -> String {
        let name = escape::line(&self.name);
        let gap = " ".repeat(width.saturating_sub(name.width()));
        let code = COLOURS.get(self.place % COLOURS.len()).unwrap_or(&"36");
        let front = if colour {
            format!("\x1b[{code}m{name}{gap} |\x1b[0m ")
        } else {
            format!("{name}{gap} | ")
        };
        let escaped = self.text.push(data);
        let mut text = String::with_capacity(escaped.len());
        for line in escaped.split_inclusive('\n') {
            if !self.within_line {
                text.push_str(&front);
            }
            text.push_str(line);
            self.within_line = !line.ends_with('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_front_of_lines_and_not_of_pieces() {
        let mut writer = Writer {
            name: "web".to_owned(),
            text: escape::Stream::default(),
            place: 0,
            within_line: false,
        };
        assert_eq!(writer.named(b"a\nb", 5, false), "web   | a\nweb   | b");
        assert_eq!(writer.named(b"c\n\x1b", 5, false), "c\nweb   | \\x1b");
        assert_eq!(writer.named(b"\n", 3, true), "\n");
        assert_eq!(writer.named(b"d\n", 3, true), "\x1b[36mweb |\x1b[0m d\n");
    }
}
