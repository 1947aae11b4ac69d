//! What is done with the bytes of a stream besides writing them to its file: sections are taken out, events posted, and
//! lines sent to the system log. A stream that asks for none of that has no taps, and pays for none.

use super::CaptureEvent;
use super::StreamId;
use super::queue::{Attach, Shared};
use super::recognize::{Piece, Recognizer};
use super::stall::SYSLOG;
use super::syslog::{Lines, Progress};
use super::thread::Worker;
use crate::config::model::LogSettings;
use crate::sys::poller::Interest;
use crate::types::Pid;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Instant;

/// Which of them a stream asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wishes {
    /// Most bytes of a captured section; 0 recognizes none.
    capture_maxbytes: u64,
    events: bool,
    syslog: bool,
}

impl Wishes {
    pub(super) fn of(settings: &LogSettings) -> Self {
        Self {
            capture_maxbytes: settings.capture_maxbytes.0,
            events: settings.events_enabled,
            syslog: settings.syslog,
        }
    }
}

/// The taps of one source.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Taps {
    pid: Pid,
    recognizer: Option<Recognizer>,
    events: bool,
    lines: Option<Lines>,
}

impl Taps {
    /// Those that are asked for, if any are.
    pub(super) fn of(attach: &Attach) -> Option<Box<Self>> {
        let wishes = attach.wishes;
        if wishes == Wishes::default() {
            return None;
        }
        let limit = wishes.capture_maxbytes;
        Some(Box::new(Self {
            pid: attach.pid,
            recognizer: (limit > 0).then(|| Recognizer::new(limit)),
            events: wishes.events,
            lines: wishes
                .syslog
                .then(|| Lines::new(attach.stream.key.process.as_str())),
        }))
    }

    /// Whether sections are taken out of what is for the log.
    pub(super) fn recognizes(&self) -> bool {
        self.recognizer.is_some()
    }

    /// Posts what is to be posted of `data`, and returns what of it is for the log.
    pub(super) fn pass<'d>(
        &mut self,
        stream: &StreamId,
        data: &'d [u8],
        shared: &Shared,
    ) -> Cow<'d, [u8]> {
        let poster = Poster {
            stream,
            pid: self.pid,
            events: self.events,
            shared,
        };
        let Some(recognizer) = &mut self.recognizer else {
            poster.logged(data);
            return Cow::Borrowed(data);
        };
        let mut log = Vec::new();
        recognizer.feed(data, |piece| match piece {
            Piece::Log(text) => {
                poster.logged(text);
                log.extend_from_slice(text);
            }
            Piece::Captured(text) => poster.logged(text),
            Piece::Section(data) => poster.communicated(data),
        });
        Cow::Owned(log)
    }

    /// What is left for the log at the end of the stream, and how many bytes are missing from it.
    pub(super) fn finish(&mut self, stream: &StreamId, shared: &Shared) -> (Vec<u8>, u64) {
        let Some(recognizer) = &mut self.recognizer else {
            return (Vec::new(), 0);
        };
        let remainder = recognizer.finish();
        if !remainder.unclosed {
            let poster = Poster {
                stream,
                pid: self.pid,
                events: self.events,
                shared,
            };
            poster.logged(&remainder.text);
        }
        (remainder.text, remainder.dropped)
    }
}

/// Posts events of one stream.
#[derive(Clone, Copy)]
struct Poster<'p> {
    stream: &'p StreamId,
    pid: Pid,
    events: bool,
    shared: &'p Shared,
}

impl Poster<'_> {
    fn logged(self, data: &[u8]) {
        if self.events && !data.is_empty() && self.shared.wanted().logged {
            let (stream, pid, bytes) = (self.stream.clone(), self.pid, data.len());
            let data = data.to_vec();
            let event = CaptureEvent::Logged { stream, pid, data };
            self.shared.post(self.stream, bytes, event);
        }
    }

    fn communicated(self, data: Vec<u8>) {
        if self.shared.wanted().communicated {
            let (stream, pid, bytes) = (self.stream.clone(), self.pid, data.len());
            let event = CaptureEvent::Communicated { stream, pid, data };
            self.shared.post(self.stream, bytes, event);
        }
    }
}

impl Worker {
    /// The last writer is gone, and nothing is left to be read.
    pub(super) fn end(&mut self, number: u32, now: Instant) {
        self.finish_taps(number, now);
        self.close(number);
    }

    /// Writes what was withheld from the log of a source that has ended.
    pub(super) fn finish_taps(&mut self, number: u32, now: Instant) {
        let Some(source) = self.sources.get_mut(number) else {
            return;
        };
        let Some(taps) = &mut source.taps else {
            return;
        };
        let (text, lost) = taps.finish(&source.stream, &self.shared);
        source.health.lost_elsewhere(lost);
        self.append(number, &text, now);
        self.send_lines(number, &text, true, now);
    }

    /// Sends the lines of what a source has for its log to the system log, if it asks for that.
    pub(super) fn send_lines(&mut self, number: u32, log: &[u8], last: bool, now: Instant) {
        let Self {
            sources,
            syslog,
            shared,
            ..
        } = self;
        let taps = sources
            .get_mut(number)
            .and_then(|source| source.taps.as_mut());
        let Some(lines) = taps.and_then(|taps| taps.lines.as_mut()) else {
            return;
        };
        let mut send = |prefix: &[u8], line: &[u8]| {
            if let Some(event) = syslog.send(prefix, line, now) {
                shared.tell(event);
            }
        };
        lines.feed(log, &mut send);
        if last {
            lines.finish(&mut send);
        }
        self.watch_syslog();
    }

    /// Sends a line of the daemon's own log to the system log.
    pub(super) fn send_main_line(&mut self, line: &[u8], now: Instant) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(event) = self.syslog.send(b"", line, now) {
            self.shared.tell(event);
        }
        self.watch_syslog();
    }

    /// The system log has room again, or is gone.
    pub(super) fn resume_syslog(&mut self, now: Instant) {
        let (progress, event) = self.syslog.resume(now);
        if let Some(event) = event {
            self.shared.tell(event);
        }
        match (progress, self.syslog.socket()) {
            (Progress::Waiting, _) => self.watch_syslog(),
            // A socket that was replaced or given up is closed, and watched no more.
            (Progress::Done, Some(socket)) => self.poller.remove(socket).unwrap_or_default(),
            (Progress::Done, None) => {}
        }
    }

    fn watch_syslog(&self) {
        if let Some(socket) = self.syslog.socket().filter(|_| self.syslog.is_waiting())
            && self
                .poller
                .modify(socket, SYSLOG, Interest::WRITABLE)
                .is_err()
        {
            // Without a watch, what waits goes out with the next line.
            self.poller
                .add(socket, SYSLOG, Interest::WRITABLE)
                .unwrap_or_default();
        }
    }
}
