//! `status`: Supervisor's table, to the blank.
//!
//! `NAME` padded to the longest name, but at least 30, plus 3; the state padded to 10; a description. Trailing padding
//! stays where there is no description, as scripts split such lines. On a terminal that is too narrow for that, the
//! padding gives way first, and then the end of the description.

use super::escape;
use super::render::{self, Rendered, Verb};
use crate::wire::{NamedResult, ProcessState, StatusReply, StatusRow};
use chrono::{DateTime, TimeZone};
use std::borrow::Cow;
use std::fmt::Display;
use std::iter;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const NAME_WIDTH_MIN: usize = 30;
const NAME_GAP: usize = 3;
const STATE_WIDTH: usize = 10;

/// Bytes of a usual line without its description.
const LINE_BYTES: usize = NAME_WIDTH_MIN + NAME_GAP + STATE_WIDTH;

/// How the table is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// States in colour.
    pub colour: bool,
    /// Columns of the terminal; without one nothing is fitted.
    pub width: Option<usize>,
}

/// The whole answer, and its exit status. Lines are escaped already, because colours must not be.
pub fn status<Zone>(reply: &StatusReply, look: Look, zone: &Zone) -> Rendered
where
    Zone: TimeZone,
    Zone::Offset: Display,
{
    let mut table = Table::default();
    for row in &reply.rows {
        table.push(row, zone);
    }
    table.render(&reply.unknown, look)
}

/// What a table shows of the rows it was given.
#[derive(Debug, Default)]
pub struct Table {
    names: Vec<String>,
    descriptions: Vec<String>,
    states: Vec<ProcessState>,
}

impl Table {
    /// Adds a row.
    pub fn push<Text, Zone>(&mut self, row: &StatusRow<Text>, zone: &Zone)
    where
        Text: AsRef<str>,
        Zone: TimeZone,
        Zone::Offset: Display,
    {
        self.names.push(escape::line(row.name.as_ref()));
        self.descriptions.push(escape::line(&describe(row, zone)));
        self.states.push(row.state);
    }

    /// The states of the rows.
    pub fn states(&self) -> &[ProcessState] {
        &self.states
    }

    /// The lines, and the exit status, with what is said of targets that name nothing.
    pub fn render(self, unknown: &[NamedResult], look: Look) -> Rendered {
        let mut rendered = render::results(Verb::Status, &[], unknown);
        for line in &mut rendered.lines {
            *line = escape::line(line);
        }
        let width = name_column(&self.names, &self.descriptions, look.width);
        if self.states.iter().copied().any(is_down) {
            rendered.code = 3;
        }
        let columns = self.names.into_iter().zip(self.states);
        for ((name, state), description) in columns.zip(&self.descriptions) {
            let name_width = name.width();
            let room = look
                .width
                .map(|columns| columns.saturating_sub(width.max(name_width) + STATE_WIDTH));
            // The line grows out of the name: a table may have thousands of them.
            let mut line = name;
            line.reserve_exact(LINE_BYTES + description.len());
            line.extend(iter::repeat_n(' ', width.saturating_sub(name_width)));
            let word = state.name();
            if look.colour {
                line.extend(["\x1b[", colour_of(state), "m", word, "\x1b[0m"]);
            } else {
                line.push_str(word);
            }
            let state_gap = STATE_WIDTH.saturating_sub(word.len());
            line.extend(iter::repeat_n(' ', state_gap));
            line.push_str(&fitted(description, room));
            rendered.lines.push(line);
        }
        rendered
    }
}

/// Width of the first column: Supervisor's, or what a narrow terminal leaves for it.
fn name_column(names: &[String], descriptions: &[String], columns: Option<usize>) -> usize {
    let widest = |texts: &[String]| texts.iter().map(|text| text.width()).max().unwrap_or(0);
    let longest = widest(names);
    let usual = longest.max(NAME_WIDTH_MIN) + NAME_GAP;
    let Some(columns) = columns else {
        return usual;
    };
    let left = columns.saturating_sub(STATE_WIDTH + widest(descriptions));
    usual.min(left.max(longest + 1))
}

/// As much of a text as there is room for.
fn fitted(text: &str, room: Option<usize>) -> Cow<'_, str> {
    match room {
        Some(room) if text.width() > room => {
            let mut fitting = String::new();
            for c in text.chars() {
                if fitting.width() + c.width().unwrap_or(0) + 1 > room {
                    break;
                }
                fitting.push(c);
            }
            if room > 0 {
                fitting.push('…');
            }
            Cow::Owned(fitting)
        }
        Some(_) | None => Cow::Borrowed(text),
    }
}

/// Whether `status` reports the state by its exit code.
pub fn is_down(state: ProcessState) -> bool {
    match state {
        ProcessState::Stopped
        | ProcessState::Exited
        | ProcessState::Fatal
        | ProcessState::Unknown => true,
        ProcessState::Starting
        | ProcessState::Running
        | ProcessState::Backoff
        | ProcessState::Stopping => false,
    }
}

/// Parameters of the terminal's "select graphic rendition".
pub fn colour_of(state: ProcessState) -> &'static str {
    match state {
        ProcessState::Running => "32",
        ProcessState::Starting | ProcessState::Stopping => "36",
        // Not yellow, which a white terminal swallows.
        ProcessState::Backoff => "35",
        ProcessState::Fatal | ProcessState::Unknown => "1;31",
        ProcessState::Stopped | ProcessState::Exited => "2",
    }
}

/// The third column.
pub fn describe<Text, Zone>(row: &StatusRow<Text>, zone: &Zone) -> String
where
    Text: AsRef<str>,
    Zone: TimeZone,
    Zone::Offset: Display,
{
    match row.state {
        ProcessState::Running => format!(
            "pid {}, uptime {}{}",
            row.pid.unwrap_or(0),
            uptime(row.uptime_ms.unwrap_or(0) / 1000),
            if row.adopted { ", adopted" } else { "" }
        ),
        ProcessState::Fatal | ProcessState::Backoff => match &row.trouble {
            Some(trouble) => trouble.to_string(),
            None => format!("unknown error (try \"tail {}\")", row.name.as_ref()),
        },
        ProcessState::Stopped | ProcessState::Exited => row
            .stopped_at
            .or(row.started_at)
            .and_then(|moment| DateTime::from_timestamp(moment, 0))
            .map_or_else(
                || "Not started".to_owned(),
                |stopped| {
                    stopped
                        .with_timezone(zone)
                        .format("%b %d %I:%M %p")
                        .to_string()
                },
            ),
        ProcessState::Starting | ProcessState::Stopping | ProcessState::Unknown => String::new(),
    }
}

/// `H:MM:SS`, with days in front of it from one day on.
pub fn uptime(seconds: u64) -> String {
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let time = format!("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => time,
        1 => format!("1 day, {time}"),
        days => format!("{days} days, {time}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::fake::row;
    use crate::wire::{ExitStatus, Outcome, Trouble};
    use chrono::Utc;

    const COLOURED: Look = Look {
        colour: true,
        width: None,
    };

    fn lines(rows: Vec<StatusRow>) -> (Vec<String>, u8) {
        let reply = StatusReply {
            rows,
            unknown: vec![],
        };
        let rendered = status(&reply, Look::default(), &Utc);
        (rendered.lines, rendered.code)
    }

    fn running(name: &str) -> StatusRow {
        StatusRow {
            pid: Some(17898),
            uptime_ms: Some(5999),
            ..row(name, ProcessState::Running)
        }
    }

    #[test]
    fn lines_are_those_of_the_reference() {
        let quick = StatusRow {
            trouble: Some(Trouble::ExitedTooQuickly(ExitStatus::Code(1))),
            ..row("quick", ProcessState::Fatal)
        };
        let (lines, code) = lines(vec![
            running("cat"),
            quick,
            row("slowstart", ProcessState::Starting),
        ]);
        assert_eq!(
            lines,
            [
                "cat                              RUNNING   pid 17898, uptime 0:00:05",
                "quick                            FATAL     Exited too quickly (process log may have details)",
                "slowstart                        STARTING  ",
            ]
        );
        assert_eq!(code, 3);
    }

    #[test]
    fn a_long_name_widens_the_table() {
        let name = "x".repeat(31);
        let (lines, _) = lines(vec![running(&name), running("cat")]);
        assert_eq!(
            lines[0],
            format!("{name}   RUNNING   pid 17898, uptime 0:00:05")
        );
        assert_eq!(
            lines[1],
            format!("cat{}RUNNING   pid 17898, uptime 0:00:05", " ".repeat(31))
        );
    }

    #[test]
    fn each_state_has_its_description_and_code() {
        let at = |state, started_at, stopped_at| StatusRow {
            started_at,
            stopped_at,
            ..row("x", state)
        };
        // 24 Nov 2026 08:59 UTC.
        let stop = 1_795_510_740;
        for (row, description, down) in [
            (at(ProcessState::Stopped, None, None), "Not started", true),
            (
                at(ProcessState::Stopped, Some(1), Some(stop)),
                "Nov 24 08:59 AM",
                true,
            ),
            // Given up before anything of it lived.
            (
                at(ProcessState::Stopped, None, Some(stop)),
                "Nov 24 08:59 AM",
                true,
            ),
            (
                at(ProcessState::Exited, Some(1), Some(stop + 12 * 3600)),
                "Nov 24 08:59 PM",
                true,
            ),
            (
                at(ProcessState::Fatal, None, None),
                "unknown error (try \"tail x\")",
                true,
            ),
            (
                at(ProcessState::Backoff, None, None),
                "unknown error (try \"tail x\")",
                false,
            ),
            (at(ProcessState::Starting, None, None), "", false),
            (at(ProcessState::Stopping, None, None), "", false),
            (at(ProcessState::Unknown, None, None), "", true),
            (running("x"), "pid 17898, uptime 0:00:05", false),
        ] {
            assert_eq!(describe(&row, &Utc), description, "{:?}", row.state);
            assert_eq!(lines(vec![row]).1, if down { 3 } else { 0 });
        }
    }

    #[test]
    fn uptime_counts_days() {
        for (seconds, text) in [
            (0, "0:00:00"),
            (5, "0:00:05"),
            (86399, "23:59:59"),
            (86400 + 3661, "1 day, 1:01:01"),
            (2 * 86400 + 5, "2 days, 0:00:05"),
        ] {
            assert_eq!(uptime(seconds), text);
        }
    }

    #[test]
    fn unknown_names_come_first_and_give_way_to_what_is_down() {
        let unknown = vec![
            NamedResult {
                name: "nosuch".to_owned(),
                outcome: Outcome::NoSuchProcess,
            },
            NamedResult {
                name: "grp:*".to_owned(),
                outcome: Outcome::NoSuchGroup,
            },
        ];
        let reply = StatusReply {
            rows: vec![running("cat")],
            unknown: unknown.clone(),
        };
        let rendered = status(&reply, Look::default(), &Utc);
        assert_eq!(
            rendered.lines[..2],
            [
                "nosuch: ERROR (no such process)",
                "grp: ERROR (no such group)"
            ]
        );
        assert!(rendered.lines[2].starts_with("cat "));
        assert_eq!(rendered.code, 4);
        let reply = StatusReply {
            rows: vec![row("cat", ProcessState::Stopped)],
            unknown,
        };
        assert_eq!(status(&reply, Look::default(), &Utc).code, 3);
        assert_eq!(
            status(
                &StatusReply {
                    rows: vec![],
                    unknown: vec![]
                },
                Look::default(),
                &Utc
            ),
            Rendered::default()
        );
    }

    #[test]
    fn colour_changes_nothing_but_the_colour() {
        let reply = StatusReply {
            rows: vec![running("cat"), row("\x1b[2Jdog", ProcessState::Fatal)],
            unknown: vec![],
        };
        let plain = status(&reply, Look::default(), &Utc).lines;
        let coloured = status(&reply, COLOURED, &Utc).lines;
        assert!(coloured[0].contains("\x1b[32mRUNNING\x1b[0m   pid"));
        assert!(coloured[1].starts_with("\\x1b[2Jdog "));
        let stripped: Vec<String> = coloured
            .iter()
            .map(|line| {
                line.replace("\x1b[32m", "")
                    .replace("\x1b[1;31m", "")
                    .replace("\x1b[0m", "")
            })
            .collect();
        assert_eq!(stripped, plain);
    }

    #[test]
    fn a_narrow_terminal_costs_padding_first_and_words_last() {
        let quick = StatusRow {
            trouble: Some(Trouble::ExitedTooQuickly(ExitStatus::Code(1))),
            ..row("quick", ProcessState::Fatal)
        };
        let reply = StatusReply {
            rows: vec![running("日本"), quick],
            unknown: vec![],
        };
        let shown = |columns| {
            let look = Look {
                colour: false,
                width: Some(columns),
            };
            status(&reply, look, &Utc).lines
        };
        assert_eq!(shown(200), status(&reply, Look::default(), &Utc).lines);
        assert_eq!(
            shown(66),
            [
                "日本   RUNNING   pid 17898, uptime 0:00:05",
                "quick  FATAL     Exited too quickly (process log may have details)",
            ]
        );
        assert_eq!(
            shown(40),
            [
                "日本  RUNNING   pid 17898, uptime 0:00:…",
                "quick FATAL     Exited too quickly (pro…",
            ]
        );
    }
}
