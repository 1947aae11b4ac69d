//! `why`: the story of one process, told to a person.
//!
//! A function of the daemon's answer. The first line says what is; then come the reasons, each with the line of the
//! file that decided, what can be done about a failure, the last lives, the last words, and the settings.

use super::advice;
use super::escape;
use super::table::{self, Uptime};
use crate::wire::{ExitStatus, Life, ProcessState, Story, Trouble};
use chrono::{DateTime, TimeZone};
use std::fmt::Display;
use unicode_width::UnicodeWidthStr;

/// The last words of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWords {
    /// `stdout` or `stderr`.
    pub channel: &'static str,
    /// The last lines, escaped.
    pub lines: Vec<String>,
}

/// The story as lines, escaped already.
pub fn tell<Zone>(
    story: &Story,
    words: Option<&LastWords>,
    colour: bool,
    zone: &Zone,
) -> Vec<String>
where
    Zone: TimeZone,
    Zone::Offset: Display,
{
    let paint = Paint { colour };
    let row = &story.row;
    let since = story.since_ms.map_or_else(String::new, |millis| {
        format!(" for {}", Uptime(millis / 1000))
    });
    let mut lines = vec![format!(
        "{} {}{since}",
        paint.bold(&escape::line(&row.name)),
        paint.state(row.state),
    )];
    for reason in reasons(story) {
        lines.push(format!("  {}", escape::line(&reason)));
    }
    if let Some(advice) = advice::of(story) {
        lines.push(format!(
            "  {} {}",
            paint.bold("help:"),
            escape::line(&advice)
        ));
    }
    lines.extend(lives(story, &paint, zone));
    if let Some(words) = words {
        lines.push(String::new());
        lines.push(format!("  Last lines of its {}:", words.channel));
        for line in &words.lines {
            lines.push(format!("    {} {line}", paint.faint("|")));
        }
    }
    lines.extend(settings(story, &paint));
    lines
}

struct Paint {
    colour: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn faint(&self, text: &str) -> String {
        self.with("2", text)
    }

    fn state(&self, state: ProcessState) -> String {
        self.with(table::colour_of(state), state.name())
    }
}

/// `KEY=VALUE (FILE:LINE)`, or `(default)`.
pub fn setting(story: &Story, name: &str) -> String {
    story.keys.iter().find(|key| key.key == name).map_or_else(
        || name.to_owned(),
        |key| match &key.file {
            Some(file) => format!("{name}={} ({file}:{})", key.value, key.line),
            None => format!("{name}={} (default)", key.value),
        },
    )
}

/// Why it is in its state, one sentence each.
fn reasons(story: &Story) -> Vec<String> {
    let row = &story.row;
    let mut reasons = Vec::new();
    match row.state {
        ProcessState::Running => reasons.push(format!(
            "It runs as pid {}{}.",
            row.pid.unwrap_or(0),
            if row.adopted {
                ", adopted from a daemon that was killed"
            } else {
                ""
            }
        )),
        ProcessState::Starting => reasons.push(format!(
            "It counts as started once it has been up for {}: {}.",
            whole_seconds(story, "startsecs"),
            setting(story, "startsecs")
        )),
        ProcessState::Backoff => {
            reasons.push(failed_attempts(story));
            if let Some(millis) = row.next_attempt_ms {
                reasons.push(format!("The next attempt is due in {}.", seconds(millis)));
            }
        }
        ProcessState::Fatal => {
            reasons.push(failed_attempts(story));
            reasons
                .push("It was given up: nothing starts it until somebody asks for it.".to_owned());
        }
        ProcessState::Stopping => reasons.push(format!(
            "It was told to end by {}; it is killed {} after that: {}.",
            value(story, "stopsignal"),
            whole_seconds(story, "stopwaitsecs"),
            setting(story, "stopwaitsecs")
        )),
        ProcessState::Exited => reasons.extend(exited(story)),
        ProcessState::Stopped if row.started_at.is_none() && !story.wanted.by_operator => {
            reasons.push(format!(
                "Nothing has started it: {}.",
                setting(story, "autostart")
            ));
        }
        ProcessState::Stopped => reasons.push("It was stopped on request.".to_owned()),
        ProcessState::Unknown => {
            reasons.push("The daemon has a defect; its log tells more (maintail).".to_owned());
        }
    }
    if let Some(trouble) = &row.trouble {
        let sentence = match trouble {
            Trouble::Spawn(failure) => format!("The last attempt failed: {failure}."),
            Trouble::ExitedTooQuickly(status) => format!(
                "The last attempt failed: {status} before it had been up for {}: {}.",
                whole_seconds(story, "startsecs"),
                setting(story, "startsecs")
            ),
            Trouble::UnexpectedExit(status) => unexpected(story, status),
        };
        // How it ended comes before what followed from that.
        if row.state == ProcessState::Exited {
            reasons.insert(0, sentence);
        } else {
            reasons.push(sentence);
        }
    }
    reasons.push(wanted(story));
    if row.restarts > 0 {
        let times = times(row.restarts);
        reasons.push(format!(
            "It was restarted by itself {times} since the daemon started."
        ));
    }
    if let Some(listener) = &row.listener {
        reasons.extend(super::long::listener_news(listener));
    }
    for log in [&row.stdout_log, &row.stderr_log] {
        if let (Some(path), true) = (&log.path, log.lost > 0 || log.errno.is_some()) {
            reasons.push(super::long::log_trouble(path, log));
        }
    }
    reasons
}

fn wanted(story: &Story) -> String {
    match (story.wanted.up, story.wanted.by_operator) {
        (true, true) => "It is wanted up: an operator started it.".to_owned(),
        (false, true) => "It is wanted down: an operator stopped it.".to_owned(),
        (true, false) => format!("It is wanted up: {}.", setting(story, "autostart")),
        (false, false) => format!("It is not wanted up: {}.", setting(story, "autostart")),
    }
}

fn failed_attempts(story: &Story) -> String {
    let failures = story.row.failures;
    let allowed = story.startretries.saturating_add(1);
    let subject = if failures == 1 {
        "1 attempt has".to_owned()
    } else {
        format!("{failures} attempts have")
    };
    format!(
        "{subject} failed in a row, of {allowed} allowed: {}.",
        setting(story, "startretries")
    )
}

fn exited(story: &Story) -> Vec<String> {
    let row = &story.row;
    let mut reasons = Vec::new();
    if let Some(status) = &row.last_exit
        && row.trouble.is_none()
    {
        reasons.push(format!(
            "It ended by itself: {status}, as expected: {}.",
            setting(story, "exitcodes")
        ));
    }
    match row.next_attempt_ms {
        Some(millis) => reasons.push(format!("It is started again in {}.", seconds(millis))),
        None => reasons.push(format!(
            "It is not started again: {}.",
            setting(story, "autorestart")
        )),
    }
    reasons
}

fn unexpected(story: &Story, status: &ExitStatus) -> String {
    match status {
        ExitStatus::Code(_) => format!(
            "It ended by itself: {status}, which is not expected: {}.",
            setting(story, "exitcodes")
        ),
        ExitStatus::Signal { .. } => {
            format!("It was {status}; a death by signal is never expected.")
        }
        ExitStatus::Unknown => {
            "It ended, and how is not known: it was adopted from a daemon that was killed. \
                                That counts as unexpected."
                .to_owned()
        }
    }
}

/// The value of a key.
fn value<'s>(story: &'s Story, name: &str) -> &'s str {
    story
        .keys
        .iter()
        .find(|key| key.key == name)
        .map_or("?", |key| key.value.as_str())
}

/// The value of a key that counts seconds.
fn whole_seconds(story: &Story, name: &str) -> String {
    match value(story, name) {
        "1" => "1 second".to_owned(),
        number => format!("{number} seconds"),
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{} seconds", millis / 1000, millis % 1000 / 100)
}

/// The last lives, the newest first.
fn lives<Zone>(story: &Story, paint: &Paint, zone: &Zone) -> Vec<String>
where
    Zone: TimeZone,
    Zone::Offset: Display,
{
    if story.lives.is_empty() {
        return vec![];
    }
    let title = match (story.ended, story.lives.len() as u64) {
        (1, _) => "  It has ended once:".to_owned(),
        (all, shown) if all == shown => format!("  It has ended {}:", times(all)),
        (all, shown) => format!("  It has ended {}; the last {shown}:", times(all)),
    };
    let mut lines = vec![String::new(), title];
    for life in story.lives.iter().rev() {
        let at = DateTime::from_timestamp(life.ended_at, 0).map_or_else(String::new, |at| {
            at.with_timezone(zone).format("%b %d %H:%M:%S").to_string()
        });
        let (word, code) = verdict(life);
        lines.push(format!(
            "    {at}  after {:>10}  {:<24} {}",
            ran(life.ran_ms),
            life.status.to_string(),
            paint.with(code, word)
        ));
    }
    lines
}

fn verdict(life: &Life) -> (&'static str, &'static str) {
    match (life.asked, life.expected) {
        (true, _) => ("as told", "2"),
        (false, true) => ("expected", "32"),
        (false, false) => ("unexpected", "35"),
    }
}

fn ran(millis: u64) -> String {
    if millis < 60_000 {
        format!("{}.{:03} s", millis / 1000, millis % 1000)
    } else {
        Uptime(millis / 1000).to_string()
    }
}

fn settings(story: &Story, paint: &Paint) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!("  What decides, from {}:", escape::line(&story.section)),
    ];
    let texts: Vec<(String, String)> = story
        .keys
        .iter()
        .map(|key| {
            let origin = match &key.file {
                Some(file) => escape::line(&format!("{file}:{}", key.line)),
                None => "default".to_owned(),
            };
            (escape::line(&format!("{}={}", key.key, key.value)), origin)
        })
        .collect();
    let width = texts
        .iter()
        .map(|(text, _)| text.width())
        .filter(|&width| width <= 44)
        .max()
        .unwrap_or(0);
    for (text, origin) in texts {
        let gap = " ".repeat(width.saturating_sub(text.width()) + 2);
        lines.push(format!("    {text}{gap}{}", paint.faint(&origin)));
    }
    lines
}
