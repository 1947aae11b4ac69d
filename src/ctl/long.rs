//! `status --long`: one line for each process with what it uses, and beneath it where its output goes.
//!
//! For people, on a terminal and elsewhere; programs ask for JSON.

use super::escape;
use super::procfs::Usage;
use super::render::{self, Rendered, Verb};
use super::table::{self, is_down};
use crate::wire::{ListenerState, ListenerStatus, LogState, StatusReply, StatusRow};
use unicode_width::UnicodeWidthStr;

/// Titles of the columns; numbers stand on the right.
const COLUMNS: [(&str, bool); 8] = [
    ("NAME", false),
    ("STATE", false),
    ("PID", true),
    ("UPTIME", true),
    ("RESTARTS", true),
    ("CPU", true),
    ("MEMORY", true),
    ("LAST EXIT", false),
];

/// The place of the state among the columns.
const STATE: usize = 1;

/// The whole answer. `usage` has an entry for each row.
pub fn status(reply: &StatusReply, usage: &[Option<Usage>], colour: bool) -> Rendered {
    let mut rendered = render::results(Verb::Status, &[], &reply.unknown);
    for line in &mut rendered.lines {
        *line = escape::line(line);
    }
    if reply.rows.is_empty() {
        return rendered;
    }
    let cells: Vec<[String; 8]> = reply
        .rows
        .iter()
        .zip(usage)
        .map(|(row, usage)| cells(row, usage.as_ref()))
        .collect();
    let widths: Vec<usize> = COLUMNS
        .iter()
        .enumerate()
        .map(|(column, (title, _))| {
            let widest = cells.iter().filter_map(|row| row.get(column));
            widest
                .map(|cell| cell.width())
                .max()
                .unwrap_or(0)
                .max(title.width())
        })
        .collect();
    let titles = COLUMNS.map(|(title, _)| title.to_owned());
    let header = line(&titles, &widths, None);
    rendered.lines.push(if colour {
        format!("\x1b[1m{header}\x1b[0m")
    } else {
        header
    });
    for (row, cells) in reply.rows.iter().zip(&cells) {
        let state = colour.then(|| table::colour_of(row.state));
        rendered.lines.push(line(cells, &widths, state));
        rendered.lines.extend(listener_line(row, colour));
        for (channel, log) in [("stdout", &row.stdout_log), ("stderr", &row.stderr_log)] {
            rendered.lines.extend(log_line(channel, log, colour));
        }
    }
    if reply.rows.iter().any(|row| is_down(row.state)) {
        rendered.code = 3;
    }
    rendered
}

fn cells(row: &StatusRow, usage: Option<&Usage>) -> [String; 8] {
    let none = || "-".to_owned();
    [
        escape::line(&row.name),
        row.state.name().to_owned(),
        row.pid.map_or_else(none, |pid| {
            let mark = if row.adopted { " (adopted)" } else { "" };
            format!("{pid}{mark}")
        }),
        row.uptime_ms
            .map_or_else(none, |millis| table::Uptime(millis / 1000).to_string()),
        row.restarts.to_string(),
        usage.map_or_else(none, |usage| format!("{:.1}%", usage.cpu_percent)),
        usage.map_or_else(none, |usage| bytes(usage.memory)),
        escape::line(
            &row.last_exit
                .as_ref()
                .map_or_else(none, ToString::to_string),
        ),
    ]
}

/// Cells in their columns, without blanks at the end. `state` is the colour of the state.
fn line(cells: &[String; 8], widths: &[usize], state: Option<&str>) -> String {
    let mut text = String::new();
    for (column, ((cell, &width), (_, right))) in cells.iter().zip(widths).zip(COLUMNS).enumerate()
    {
        if column > 0 {
            text.push_str("  ");
        }
        let gap = " ".repeat(width.saturating_sub(cell.width()));
        let painted = match state {
            Some(code) if column == STATE => format!("\x1b[{code}m{cell}\x1b[0m"),
            Some(_) | None => cell.clone(),
        };
        let parts = if right {
            [gap, painted]
        } else {
            [painted, gap]
        };
        text.push_str(&parts.concat());
    }
    text.trim_end().to_owned()
}

fn listener_line(row: &StatusRow, colour: bool) -> Option<String> {
    let listener = row.listener.as_ref()?;
    let state = listener.state.map_or("-", ListenerState::name);
    let text = format!("    events  {state}, {}", waiting(listener));
    let lost = if listener.discarded > 0 {
        format!(", {} discarded", listener.discarded)
    } else {
        String::new()
    };
    Some(if colour {
        format!("\x1b[2m{text}\x1b[0m\x1b[31m{lost}\x1b[0m")
    } else {
        format!("{text}{lost}")
    })
}

fn waiting(listener: &ListenerStatus) -> String {
    format!("{} of {} waiting", listener.waiting, listener.buffer_size)
}

/// Sentences about an event listener and its pool.
pub fn listener_news(listener: &ListenerStatus) -> Vec<String> {
    let state = match listener.state {
        Some(ListenerState::Acknowledged) => "It has yet to say that it takes an event",
        Some(ListenerState::Ready) => "It is ready for an event",
        Some(ListenerState::Busy) => "It has an event that it has not dealt with yet",
        Some(ListenerState::Unknown) => {
            "It broke the protocol of event listeners, and gets no events until it is restarted"
        }
        None => "It gets no events while it is down",
    };
    let mut news = vec![format!(
        "{state}; events of its pool: {}.",
        waiting(listener)
    )];
    if listener.discarded > 0 {
        news.push(format!(
            "Its pool discarded {}, because more than {} waited: see buffer_size.",
            counted(listener.discarded, "event"),
            listener.buffer_size
        ));
    }
    if listener.rejected > 0 {
        news.push(format!(
            "Events were rejected in its pool {}.",
            counted(listener.rejected, "time")
        ));
    }
    news
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn log_line(channel: &str, log: &LogState, colour: bool) -> Option<String> {
    let path = log.path.as_ref()?;
    let lost = if log.lost > 0 || log.errno.is_some() {
        format!("  {}", loss(log))
    } else {
        String::new()
    };
    let text = escape::line(&format!("    {channel}  {path}"));
    let lost = escape::line(&lost);
    Some(if colour {
        format!("\x1b[2m{text}\x1b[0m\x1b[31m{lost}\x1b[0m")
    } else {
        format!("{text}{lost}")
    })
}

fn loss(log: &LogState) -> String {
    let lost = format!("{} lost", bytes(log.lost));
    match log.errno {
        Some(errno) => format!("{lost}, still failing: {}", render::errno_text(errno)),
        None => lost,
    }
}

/// A sentence about a log that lost something.
pub fn log_trouble(path: &str, log: &LogState) -> String {
    format!("Its log {path} is not whole: {}.", loss(log))
}

/// `512 B`, `1.5 MB`: powers of 1024, as in the file.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = count.saturating_mul(10) / 1024;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or("KB");
    for next in units {
        if tenths < 10 * 1024 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::fake::row;
    use crate::wire::{ExitStatus, ProcessState};

    #[test]
    fn columns_stand_under_their_titles() {
        let reply = StatusReply {
            rows: vec![
                StatusRow {
                    pid: Some(4711),
                    uptime_ms: Some(3_600_000),
                    restarts: 12,
                    adopted: false,
                    last_exit: Some(ExitStatus::Code(3)),
                    stdout_log: LogState {
                        path: Some("/var/log/web.log".to_owned()),
                        lost: 2048,
                        errno: Some(28),
                    },
                    ..row("web:0", ProcessState::Running)
                },
                row("日本", ProcessState::Stopped),
            ],
            unknown: vec![],
        };
        let usage = [
            Some(Usage {
                processes: 2,
                cpu_ms: 1,
                cpu_percent: 12.5,
                memory: 3 << 20,
            }),
            None,
        ];
        let rendered = status(&reply, &usage, false);
        assert_eq!(
            rendered.lines,
            [
                "NAME   STATE     PID   UPTIME  RESTARTS    CPU  MEMORY  LAST EXIT",
                "web:0  RUNNING  4711  1:00:00        12  12.5%  3.0 MB  exit status 3",
                "    stdout  /var/log/web.log  2.0 KB lost, still failing: no space left on device",
                "日本   STOPPED     -        -         0      -       -  -",
            ]
        );
        assert_eq!(rendered.code, 3);
    }

    #[test]
    fn a_listener_says_what_it_does_and_what_was_lost() {
        let listener = |state, discarded| ListenerStatus {
            state,
            waiting: 3,
            buffer_size: 10,
            discarded,
            rejected: discarded,
        };
        let lines = |status: ListenerStatus| {
            let news = listener_news(&status);
            let row = StatusRow {
                listener: Some(status),
                ..row("mail", ProcessState::Running)
            };
            (listener_line(&row, false).unwrap(), news)
        };
        let (line, news) = lines(listener(Some(ListenerState::Ready), 0));
        assert_eq!(line, "    events  READY, 3 of 10 waiting");
        assert_eq!(
            news,
            ["It is ready for an event; events of its pool: 3 of 10 waiting."]
        );
        let (line, news) = lines(listener(None, 1));
        assert_eq!(line, "    events  -, 3 of 10 waiting, 1 discarded");
        assert_eq!(
            news,
            [
                "It gets no events while it is down; events of its pool: 3 of 10 waiting.",
                "Its pool discarded 1 event, because more than 10 waited: see buffer_size.",
                "Events were rejected in its pool 1 time.",
            ]
        );
        assert_eq!(listener_line(&row("a", ProcessState::Running), false), None);
    }

    #[test]
    fn sizes_have_one_digit_after_the_point() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KB"),
            (1536, "1.5 KB"),
            (1 << 20, "1.0 MB"),
            (5 << 30, "5.0 GB"),
            (7 << 40, "7.0 TB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
