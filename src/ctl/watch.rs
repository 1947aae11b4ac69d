//! `status --watch`: the table, kept up to date from a subscription.
//!
//! The daemon is asked only when it says that something changed; on a terminal the uptimes tick by the console's own
//! clock. Elsewhere the whole table is printed again after each change, behind an empty line.

use super::actions::Action;
use super::connection::Wake;
use super::follow;
use super::procfs::{Processes, Sampler};
use super::render::Rendered;
use super::session::{Failure, Session};
use super::{long, table};
use crate::wire::{Request, Response, ServerFrame, StatusReply, Topic};
use chrono::Local;
use std::time::{Duration, Instant};
use unicode_width::UnicodeWidthChar;

/// Time between two redraws while nothing changes.
const TICK: Duration = Duration::from_secs(1);

/// What is watched, and how it is shown.
#[derive(Debug)]
pub struct View {
    /// Which processes; all when empty.
    pub targets: Vec<String>,
    /// With what they use.
    pub long: bool,
}

/// Watches until Ctrl-C or until nobody reads any more.
pub fn watch(session: &mut Session<'_>, action: &Action, view: &View) -> Result<u8, Failure> {
    let caught = follow::catch_interrupts(session);
    // Where a screen cannot be drawn again, tables follow each other.
    let screen = session.output.terminal && session.output.can_draw;
    if screen {
        session.output.text("\x1b[?1049h\x1b[?25l");
    }
    let result = draw_again(session, action, view, screen);
    if screen {
        session.output.text("\x1b[?25h\x1b[?1049l");
    }
    session.hang_up();
    if caught {
        session.interrupts = None;
    }
    let last = result?;
    if screen {
        // What was seen last stays in sight.
        print(session, &last);
    }
    Ok(0)
}

fn draw_again(
    session: &mut Session<'_>,
    action: &Action,
    view: &View,
    screen: bool,
) -> Result<Rendered, Failure> {
    session.subscribe(action, Topic::States)?;
    let mut sampler = Sampler::default();
    let mut first = true;
    loop {
        let reply = ask(session, action, view)?;
        let asked = Instant::now();
        loop {
            let rendered = render(session, view, &aged(&reply, asked.elapsed()), &mut sampler);
            if screen {
                draw(session, &rendered);
            } else {
                if !first {
                    session.output.text("\n");
                }
                print(session, &rendered);
            }
            first = false;
            if session.output.has_failed() {
                return Ok(rendered);
            }
            match wait(session, action, screen)? {
                Event::Changed => break,
                Event::Ticked => {}
                Event::Left => return Ok(rendered),
            }
        }
    }
}

/// Why the table is drawn again.
enum Event {
    Changed,
    Ticked,
    Left,
}

fn wait(session: &mut Session<'_>, action: &Action, screen: bool) -> Result<Event, Failure> {
    let limit = screen.then(|| Instant::now() + TICK);
    let Some((connection, interrupts, _)) = session.listen() else {
        return Err(Failure::Unexpected);
    };
    let wake = connection
        .wait_until(interrupts, None, limit)
        .map_err(|error| session.lost(action, &error))?;
    match wake {
        Wake::Interrupted => Ok(Event::Left),
        Wake::Late | Wake::Other => Ok(Event::Ticked),
        Wake::Frame(frame) => {
            // Several changes at once are one.
            let mut over = is_end(&frame);
            while let Some(frame) = session.arrived() {
                over |= is_end(&frame);
            }
            if over {
                let text = format!("{}: the daemon shuts down", action.name);
                return Err(session.fail(action, "shutting_down", &text, 1));
            }
            Ok(Event::Changed)
        }
    }
}

fn is_end(frame: &ServerFrame) -> bool {
    matches!(frame, ServerFrame::End { .. })
}

fn ask(session: &mut Session<'_>, action: &Action, view: &View) -> Result<StatusReply, Failure> {
    let request = Request::Status {
        targets: view.targets.clone(),
    };
    let Response::Status(reply) = session.ask(action, request)? else {
        return Err(Failure::Unexpected);
    };
    Ok(reply)
}

/// The answer as it would be after some time in which nothing changed.
fn aged(reply: &StatusReply, by: Duration) -> StatusReply {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    let mut reply = reply.clone();
    for row in &mut reply.rows {
        row.uptime_ms = row.uptime_ms.map(|millis| millis.saturating_add(by));
        row.next_attempt_ms = row.next_attempt_ms.map(|millis| millis.saturating_sub(by));
    }
    reply
}

fn render(
    session: &Session<'_>,
    view: &View,
    reply: &StatusReply,
    sampler: &mut Sampler,
) -> Rendered {
    if view.long {
        let usage = usage(reply, sampler);
        long::status(reply, &usage, session.output.colour)
    } else {
        let look = table::Look {
            colour: session.output.colour,
            width: session.output.width(),
        };
        table::status(reply, look, &Local)
    }
}

/// What the tree of each row uses.
pub fn usage(reply: &StatusReply, sampler: &mut Sampler) -> Vec<Option<super::procfs::Usage>> {
    let processes = Processes::look();
    reply
        .rows
        .iter()
        .map(|row| sampler.usage(&processes, row.pid?, row.uptime_ms.unwrap_or(0)))
        .collect()
}

fn print(session: &mut Session<'_>, rendered: &Rendered) {
    let mut text = rendered.lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    session.output.text(&text);
}

/// Draws from the top of the screen; what does not fit is left out and counted.
fn draw(session: &mut Session<'_>, rendered: &Rendered) {
    let (width, height) = session.output.size().unwrap_or((80, 24));
    let room = height.saturating_sub(2).max(1);
    let mut text = String::from("\x1b[H");
    for line in rendered.lines.iter().take(room) {
        text.push_str(&cut(line, width));
        text.push_str("\x1b[K\n");
    }
    let hidden = rendered.lines.len().saturating_sub(room);
    let more = if hidden > 0 {
        format!("{hidden} more lines; ")
    } else {
        String::new()
    };
    let foot = format!("{more}Ctrl-C leaves");
    let foot = if session.output.colour {
        format!("\x1b[2m{foot}\x1b[0m")
    } else {
        foot
    };
    for part in ["\x1b[K\n", &foot, "\x1b[K\x1b[J"] {
        text.push_str(part);
    }
    session.output.text(&text);
}

/// The beginning of a line that fits into `width` columns. Colours take no room, and are ended.
fn cut(line: &str, width: usize) -> String {
    let mut text = String::with_capacity(line.len());
    let (mut used, mut within) = (0, false);
    for c in line.chars() {
        if within {
            within = c != 'm';
        } else if c == '\x1b' {
            within = true;
        } else {
            used += c.width().unwrap_or(0);
            if used > width {
                text.push_str("\x1b[0m");
                break;
            }
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::fake::row;
    use crate::wire::{ProcessState, StatusRow};

    #[test]
    fn lines_are_cut_at_the_edge_and_colours_take_no_room() {
        for (line, width, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "abc\x1b[0m"),
            ("\x1b[32mabc\x1b[0m", 3, "\x1b[32mabc\x1b[0m"),
            ("\x1b[32mabcd", 3, "\x1b[32mabc\x1b[0m"),
            ("日本", 3, "日\x1b[0m"),
        ] {
            assert_eq!(cut(line, width), expected);
        }
    }

    #[test]
    fn uptimes_tick_without_asking() {
        let reply = StatusReply {
            rows: vec![StatusRow {
                uptime_ms: Some(1000),
                next_attempt_ms: Some(500),
                ..row("web", ProcessState::Running)
            }],
            unknown: vec![],
        };
        let later = aged(&reply, Duration::from_secs(2));
        assert_eq!(later.rows[0].uptime_ms, Some(3000));
        assert_eq!(later.rows[0].next_attempt_ms, Some(0));
    }
}
