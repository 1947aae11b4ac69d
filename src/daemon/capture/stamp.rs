//! The time before each line of a log file: `stdout_timestamps`, `stderr_timestamps`.
//!
//! A line has the time at which its first byte was read, once, at its beginning. So it matters whose line is under way at
//! the end of a file ([`LastLine`]): the stream that began it goes on without a second stamp, however often the file was
//! rotated, reopened or emptied meanwhile; anybody else ends that line first, so that lines of two streams, or of two
//! lives of a program, never mix in a file that has times.
//!
//! Only files have them. What is shown on standard streams, sent to the system log, captured or posted as an event is
//! what the program wrote; whoever follows a file sees what is in the file.

use super::file::LogFile;
use super::open::read_end;
use super::thread::{Worker, tell};
use crate::config::model::Timestamps;
use crate::daemon::lines::time_text;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Whose line is under way at the end of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum LastLine {
    /// Nobody has written since the file was opened.
    #[default]
    Unknown,
    /// Nobody's.
    Whole,
    /// That of the source with this number.
    Of(u32),
    /// That of somebody who writes no more.
    Left,
}

impl LastLine {
    /// What it is after a source has written `data`, which is not empty.
    pub(super) fn written(source: u32, data: &[u8]) -> Self {
        if data.ends_with(b"\n") {
            Self::Whole
        } else {
            Self::Of(source)
        }
    }

    /// Looks whether the file at `path`, not written by us yet, ends within a line.
    fn look(self, path: &Path) -> Self {
        if self != Self::Unknown {
            return self;
        }
        match read_end(path, 1) {
            Ok((data, _)) if !data.is_empty() && data != b"\n" => Self::Left,
            Ok(_) | Err(_) => Self::Whole,
        }
    }
}

/// How a text goes on at the end of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Opening {
    /// Within a line that has its time.
    Within,
    /// With a new line.
    Line,
    /// With a new line, after the one that somebody else has begun.
    Break,
}

/// What stands before the lines of one read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    time: String,
    opening: Opening,
}

impl Stamp {
    /// The text with its times.
    pub(super) fn apply(&self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() + 2 * self.time.len());
        for (stamp, line) in self.pieces(data) {
            for part in stamp {
                out.extend_from_slice(part.as_bytes());
            }
            out.extend_from_slice(line);
        }
        out
    }

    /// How many bytes of `data` are among the first `written` ones of the text with its times.
    pub(super) fn own_bytes(&self, data: &[u8], written: usize) -> usize {
        let mut left = written;
        let mut own = 0;
        for (stamp, line) in self.pieces(data) {
            left = left.saturating_sub(stamp.map(str::len).iter().sum());
            let here = line.len().min(left);
            own += here;
            left -= here;
        }
        own
    }

    /// A line of the daemon's own about the log, at the beginning of a line.
    pub(super) fn before_own_line(&mut self) -> &str {
        self.opening = Opening::Line;
        &self.time
    }

    /// Lines, and what stands before each: the end of the line before, and the time.
    fn pieces<'d>(&self, data: &'d [u8]) -> impl Iterator<Item = ([&str; 2], &'d [u8])> {
        let lines = data.split_inclusive(|&byte| byte == b'\n');
        lines.enumerate().map(|(number, line)| {
            let stamp = match (number, self.opening) {
                (0, Opening::Within) => ["", ""],
                (0, Opening::Break) => ["\n", self.time.as_str()],
                (0, Opening::Line) | (1.., _) => ["", self.time.as_str()],
            };
            (stamp, line)
        })
    }
}

impl LogFile {
    /// What stands before the lines that a source has brought at this time; `None` if nothing does.
    pub(super) fn stamp(
        &mut self,
        source: u32,
        form: Timestamps,
        time: SystemTime,
    ) -> Option<Stamp> {
        let mut time = time_text(form, time)?;
        time.push(' ');
        let last = self.last_line();
        let opening = match last {
            LastLine::Of(owner) if owner == source => Opening::Within,
            LastLine::Of(_) | LastLine::Left if !self.is_empty() => Opening::Break,
            LastLine::Of(_) | LastLine::Left | LastLine::Unknown | LastLine::Whole => Opening::Line,
        };
        Some(Stamp { time, opening })
    }

    /// Whose line is under way. Where that is not known, the file is read.
    fn last_line(&mut self) -> LastLine {
        self.last_line = if self.is_regular() {
            self.last_line.look(self.path())
        } else if self.last_line == LastLine::Unknown {
            LastLine::Whole
        } else {
            self.last_line
        };
        self.last_line
    }
}

impl Worker {
    /// Writes what of a source is for its log, and passes it to those who follow that.
    pub(super) fn append(&mut self, number: u32, log: &[u8], now: Instant) {
        let Some(source) = self.sources.get_mut(number).filter(|_| !log.is_empty()) else {
            return;
        };
        let mut path = None;
        let mut stalled = false;
        let mut text = Cow::Borrowed(log);
        if let Some(file) = source.file.and_then(|file| self.files.get_mut(file)) {
            let stamp = file.stamp(number, source.timestamps, self.read_at);
            let notice;
            (text, notice) = source.health.write(file, log, stamp, now);
            file.last_line = LastLine::written(number, log);
            path = file.is_regular().then(|| &**file.path());
            stalled = file.is_stalled();
            tell(&self.shared, Some(&source.stream), file.path(), notice);
        }
        self.followers
            .deliver(&self.shared, Some(&source.stream), path, &text);
        source.show(log, &self.shared, now);
        if stalled {
            let (stream, health) = (source.stream.clone(), Arc::clone(&source.health));
            let file = source.file;
            self.stall(file, Some(stream), health, now);
        }
    }

    /// Whether a line of this source is under way in its file.
    pub(super) fn is_within_line(&mut self, number: u32, file: Option<u32>) -> bool {
        let log = file.and_then(|file| self.files.get_mut(file));
        log.is_some_and(|log| log.last_line == LastLine::Of(number))
    }

    /// A source goes on with the line that the file ends with: it is known to have begun it, or, after a crash, is the
    /// first of those that may have.
    pub(super) fn claim_line(&mut self, number: u32, known: bool) {
        let file = self.sources.get_mut(number).and_then(|source| source.file);
        if let Some(log) = file.and_then(|file| self.files.get_mut(file))
            && (known || log.last_line() == LastLine::Left)
        {
            log.last_line = LastLine::Of(number);
        }
    }

    /// Nobody goes on with the line of a source that has ended.
    pub(super) fn leave_line(&mut self, number: u32, file: u32) {
        if let Some(log) = self.files.get_mut(file)
            && log.last_line == LastLine::Of(number)
        {
            log.last_line = LastLine::Left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(opening: Opening) -> Stamp {
        Stamp {
            time: "T ".to_owned(),
            opening,
        }
    }

    #[test]
    fn each_line_has_its_time_once() {
        use Opening::{Break, Line, Within};
        for (opening, data, expected) in [
            (Line, "", ""),
            (Line, "a", "T a"),
            (Line, "a\nb\n", "T a\nT b\n"),
            (Line, "\n\nx", "T \nT \nT x"),
            (Within, "rest\nnew", "rest\nT new"),
            (Within, "\n", "\n"),
            (Break, "mine\n", "\nT mine\n"),
        ] {
            let text = stamp(opening).apply(data.as_bytes());
            assert_eq!(
                String::from_utf8(text).unwrap(),
                expected,
                "{opening:?} {data:?}"
            );
        }
    }

    #[test]
    fn of_a_text_that_was_cut_only_the_programs_bytes_are_counted() {
        let data = b"ab\ncd\n";
        // T ab\nT cd\n
        let counts: Vec<usize> = (0..=10)
            .map(|written| stamp(Opening::Line).own_bytes(data, written))
            .collect();
        assert_eq!(counts, [0, 0, 0, 1, 2, 3, 3, 3, 4, 5, 6]);
        let within = stamp(Opening::Within);
        assert_eq!(within.own_bytes(data, 3), 3);
        assert_eq!(within.own_bytes(data, 6), 4);
    }
}
