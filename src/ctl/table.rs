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
use std::fmt::{self, Display, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const NAME_WIDTH_MIN: usize = 30;
const NAME_GAP: usize = 3;
const STATE_WIDTH: usize = 10;

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
    let (text, code) = Table::of(reply, zone).render(&reply.unknown, look);
    Rendered {
        lines: text.lines().map(str::to_owned).collect(),
        details: vec![],
        code,
    }
}

/// What a table shows of the rows it was given.
#[derive(Debug, Default)]
pub struct Table {
    /// Names and descriptions by turns, escaped. A table may have thousands of rows: none has a string of its own.
    words: String,
    rows: Vec<Shown>,
}

/// Where the words of a row end.
#[derive(Debug, Clone, Copy)]
struct Shown {
    name_end: usize,
    name_width: usize,
    description_end: usize,
    state: ProcessState,
}

impl Table {
    /// The table of a whole answer.
    pub fn of<Zone>(reply: &StatusReply, zone: &Zone) -> Self
    where
        Zone: TimeZone,
        Zone::Offset: Display,
    {
        let mut table = Self::default();
        for row in &reply.rows {
            table.push(row, zone);
        }
        table
    }

    /// Adds a row.
    pub fn push<Text, Zone>(&mut self, row: &StatusRow<Text>, zone: &Zone)
    where
        Text: AsRef<str>,
        Zone: TimeZone,
        Zone::Offset: Display,
    {
        let begin = self.words.len();
        self.words.push_str(row.name.as_ref());
        escape::line_from(&mut self.words, begin);
        let name_end = self.words.len();
        let name_width = width(self.words.get(begin..).unwrap_or_default());
        // Writing to a string cannot fail.
        write_description(&mut self.words, row, zone).unwrap_or_default();
        escape::line_from(&mut self.words, name_end);
        self.rows.push(Shown {
            name_end,
            name_width,
            description_end: self.words.len(),
            state: row.state,
        });
    }

    /// The states of the rows.
    pub fn states(&self) -> impl Iterator<Item = ProcessState> {
        self.rows.iter().map(|row| row.state)
    }

    /// The text, after what is said of targets that name nothing, and the exit status.
    pub fn render(&self, unknown: &[NamedResult], look: Look) -> (String, u8) {
        let Rendered {
            lines, mut code, ..
        } = render::results(Verb::Status, &[], unknown);
        if self.states().any(is_down) {
            code = 3;
        }
        let column = self.name_column(look.width);
        let blanks = " ".repeat(column.max(STATE_WIDTH));
        let mut text = String::with_capacity(self.words.len() + self.rows.len() * blanks.len());
        for line in &lines {
            text.push_str(&escape::line(line));
            text.push('\n');
        }
        for (name, description, row) in self.rows() {
            let pad = |text: &mut String, used: usize, width: usize| {
                let missing = width.saturating_sub(used);
                text.push_str(blanks.get(..missing).unwrap_or_default());
            };
            text.push_str(name);
            pad(&mut text, row.name_width, column);
            let word = row.state.name();
            if look.colour {
                text.extend(["\x1b[", colour_of(row.state), "m", word, "\x1b[0m"]);
            } else {
                text.push_str(word);
            }
            pad(&mut text, word.len(), STATE_WIDTH);
            let room = look
                .width
                .map(|columns| columns.saturating_sub(column.max(row.name_width) + STATE_WIDTH));
            text.push_str(&fitted(description, room));
            text.push('\n');
        }
        (text, code)
    }

    /// Name and description of each row.
    fn rows(&self) -> impl Iterator<Item = (&str, &str, &Shown)> {
        let mut begin = 0;
        self.rows.iter().map(move |row| {
            let words = |from, to| self.words.get(from..to).unwrap_or_default();
            let name = words(begin, row.name_end);
            begin = row.description_end;
            (name, words(row.name_end, row.description_end), row)
        })
    }

    /// Width of the first column: Supervisor's, or what a narrow terminal leaves for it.
    fn name_column(&self, columns: Option<usize>) -> usize {
        let longest = self.rows.iter().map(|row| row.name_width).max();
        let longest = longest.unwrap_or(0);
        let usual = longest.max(NAME_WIDTH_MIN) + NAME_GAP;
        let Some(columns) = columns else {
            return usual;
        };
        let descriptions = self.rows().map(|(_, description, _)| width(description));
        let left = columns.saturating_sub(STATE_WIDTH + descriptions.max().unwrap_or(0));
        usual.min(left.max(longest + 1))
    }
}

/// Columns that escaped text takes.
fn width(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.width()
    }
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
    let mut description = String::new();
    // Writing to a string cannot fail.
    write_description(&mut description, row, zone).unwrap_or_default();
    description
}

fn write_description<Text, Zone>(
    out: &mut String,
    row: &StatusRow<Text>,
    zone: &Zone,
) -> fmt::Result
where
    Text: AsRef<str>,
    Zone: TimeZone,
    Zone::Offset: Display,
{
    match row.state {
        ProcessState::Running => {
            let uptime = Uptime(row.uptime_ms.unwrap_or(0) / 1000);
            write!(out, "pid {}, uptime {uptime}", row.pid.unwrap_or(0))?;
            out.write_str(if row.adopted { ", adopted" } else { "" })
        }
        ProcessState::Fatal | ProcessState::Backoff => match &row.trouble {
            Some(trouble) => write!(out, "{trouble}"),
            None => write!(out, "unknown error (try \"tail {}\")", row.name.as_ref()),
        },
        ProcessState::Stopped | ProcessState::Exited => {
            let moment = row.stopped_at.or(row.started_at);
            match moment.and_then(|moment| DateTime::from_timestamp(moment, 0)) {
                None => out.write_str("Not started"),
                Some(moment) => write!(
                    out,
                    "{}",
                    moment.with_timezone(zone).format("%b %d %I:%M %p")
                ),
            }
        }
        ProcessState::Starting | ProcessState::Stopping | ProcessState::Unknown => Ok(()),
    }
}

/// Seconds as `H:MM:SS`, with days in front of it from one day on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uptime(pub u64);

impl Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 / 86400 {
            0 => {}
            1 => f.write_str("1 day, ")?,
            days => write!(f, "{days} days, ")?,
        }
        let seconds = u32::try_from(self.0 % 86400).unwrap_or(0);
        write!(f, "{}", seconds / 3600)?;
        // For thousands of rows: the formatter's own padding would take longer than the rest of a row.
        for part in [seconds / 60 % 60, seconds % 60] {
            f.write_char(':')?;
            f.write_char(char::from_digit(part / 10, 10).unwrap_or_default())?;
            f.write_char(char::from_digit(part % 10, 10).unwrap_or_default())?;
        }
        Ok(())
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
            assert_eq!(Uptime(seconds).to_string(), text);
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
