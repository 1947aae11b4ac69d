//! The system log: datagrams to the local daemon, one for each line.
//!
//! A message has the form that the C library's `syslog` gives it, `<14>Mmm dd hh:mm:ss IDENTITY: TEXT` (facility user,
//! severity info), which is what Supervisor sends. Nothing here waits. What the daemon has no room for right now is kept
//! up to a limit and sent when it has; what cannot be sent, because nobody serves the socket, is dropped and counted. Every
//! message tries anew to find the socket, so that a daemon that was restarted is found with the first line after it.

use super::CaptureEvent;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where the system log listens.
pub(super) const SOCKET: &str = "/dev/log";
/// Facility user, severity info.
const PRIORITY: &str = "<14>";
/// The longest text of one message; the rest of a longer line goes into further ones. Common daemons take no more.
const TEXT_BYTES_MAX: usize = 8 * 1024 - 256;
/// The most that is kept for a daemon that is behind.
const PENDING_BYTES: usize = 1024 * 1024;
/// Shortest time from one report of trouble to the next.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// The way to the system log.
#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
    identity: String,
    socket: Option<UnixDatagram>,
    /// Messages that wait for room, and their bytes.
    pending: VecDeque<Vec<u8>>,
    pending_bytes: usize,
    /// Messages lost since the last report of it.
    lost: u64,
    /// Whether trouble was reported, so that its end must be.
    reported: bool,
    reported_at: Option<Instant>,
}

/// Whether the socket has to be watched for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing waits.
    Done,
    /// Messages wait for room.
    Waiting,
}

impl Syslog {
    /// Connects to nothing yet.
    pub(super) fn new(path: PathBuf, identity: String) -> Self {
        Self {
            path,
            identity,
            socket: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            lost: 0,
            reported: false,
            reported_at: None,
        }
    }

    /// Gives up what waits for room, to somebody who will send it.
    pub(super) fn take_pending(&mut self) -> Vec<Vec<u8>> {
        self.pending_bytes = 0;
        self.pending.drain(..).collect()
    }

    /// Takes over what somebody else could not send.
    pub(super) fn restore(&mut self, pending: Vec<Vec<u8>>) {
        self.pending_bytes += pending.iter().map(Vec::len).sum::<usize>();
        self.pending.extend(pending);
    }

    /// The socket, to watch it for room.
    pub(super) fn socket(&self) -> Option<&UnixDatagram> {
        self.socket.as_ref()
    }

    /// Whether messages wait for room.
    pub(super) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Sends `prefix` and one line, without its end. Says what there is to tell.
    pub(super) fn send(
        &mut self,
        prefix: &[u8],
        line: &[u8],
        now: Instant,
    ) -> Option<CaptureEvent> {
        let head = format!(
            "{PRIORITY}{} {}: ",
            chrono::Local::now().format("%b %e %T"),
            self.identity
        );
        let mut outcome = Ok(());
        let mut rest = line;
        loop {
            let (text, more) = rest.split_at_checked(TEXT_BYTES_MAX).unwrap_or((rest, &[]));
            outcome = outcome.and(self.submit([head.as_bytes(), prefix, text].concat()));
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        self.judge(outcome, now)
    }

    /// Sends what waits, now that there may be room.
    pub(super) fn resume(&mut self, now: Instant) -> (Progress, Option<CaptureEvent>) {
        while let Some(message) = self.pending.pop_front() {
            let length = message.len();
            match self.try_send(&message) {
                Ok(()) => self.pending_bytes -= length,
                Err(Errno::EAGAIN) => {
                    self.pending.push_front(message);
                    return (Progress::Waiting, None);
                }
                Err(errno) => {
                    self.lost += 1 + self.pending.len() as u64;
                    self.pending.clear();
                    self.pending_bytes = 0;
                    return (Progress::Done, self.judge(Err(errno), now));
                }
            }
        }
        (Progress::Done, self.judge(Ok(()), now))
    }

    /// Sends what waits, as far as there is room for it until `deadline`. Says whether it was all sent.
    pub(super) fn flush_by(&mut self, deadline: Instant) -> bool {
        while self.is_waiting() {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let Some(socket) = &self.socket else {
                return false;
            };
            let mut watched = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut watched, timeout) {
                Ok(0) => return false,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return false,
            }
            let lost = self.lost;
            self.resume(Instant::now());
            if self.lost > lost {
                return false;
            }
        }
        true
    }

    /// Sends a message, or keeps it while there is no room; behind those that wait already.
    fn submit(&mut self, message: Vec<u8>) -> Result<(), Errno> {
        let sent = if self.pending.is_empty() {
            self.try_send(&message)
        } else {
            Err(Errno::EAGAIN)
        };
        match sent {
            Err(Errno::EAGAIN) if self.pending_bytes + message.len() <= PENDING_BYTES => {
                self.pending_bytes += message.len();
                self.pending.push_back(message);
                Ok(())
            }
            Err(errno) => {
                self.lost += 1;
                Err(errno)
            }
            Ok(()) => Ok(()),
        }
    }

    fn try_send(&mut self, message: &[u8]) -> Result<(), Errno> {
        let fresh = self.socket.is_none();
        let errno = match self.send_once(message) {
            Ok(()) => return Ok(()),
            Err(errno) => errno,
        };
        if matches!(errno, Errno::EAGAIN | Errno::EMSGSIZE) {
            return Err(errno);
        }
        // The daemon that was connected to is gone; there may be another one by now.
        self.socket = None;
        if fresh {
            return Err(errno);
        }
        let again = self.send_once(message);
        if again.is_err_and(|errno| !matches!(errno, Errno::EAGAIN | Errno::EMSGSIZE)) {
            self.socket = None;
        }
        again
    }

    fn send_once(&mut self, message: &[u8]) -> Result<(), Errno> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect().map_err(|error| errno_of(&error))?,
        };
        let socket = self.socket.insert(socket);
        loop {
            match socket.send(message) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let errno = errno_of(&error);
                    let is_full = errno == Errno::ENOBUFS;
                    return Err(if is_full { Errno::EAGAIN } else { errno });
                }
            }
        }
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.path)?;
        Ok(socket)
    }

    /// What is to be told about an attempt: its failure at most once a minute, and then its end.
    fn judge(&mut self, outcome: Result<(), Errno>, now: Instant) -> Option<CaptureEvent> {
        match outcome {
            Ok(()) if self.reported => {
                self.reported = false;
                let lost = std::mem::take(&mut self.lost);
                Some(CaptureEvent::SyslogRecovered { lost })
            }
            Ok(()) => None,
            Err(errno) => {
                let recent = self
                    .reported_at
                    .is_some_and(|at| now.saturating_duration_since(at) < REPORT_INTERVAL);
                if self.reported || recent {
                    return None;
                }
                self.reported = true;
                self.reported_at = Some(now);
                Some(CaptureEvent::SyslogTrouble {
                    errno: errno as i32,
                })
            }
        }
    }
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// The lines of a stream that arrives in pieces.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Lines {
    /// What each message begins with.
    prefix: Vec<u8>,
    begun: Vec<u8>,
}

impl Lines {
    /// Lines of the process `name`.
    pub(super) fn new(name: &str) -> Self {
        Self {
            prefix: format!("{name} ").into_bytes(),
            begun: Vec::new(),
        }
    }

    /// Gives every line that is complete now to `sink`, after the prefix. One that grows too long for a message is given
    /// in parts, so that a program which never ends its line costs no memory.
    pub(super) fn feed(&mut self, data: &[u8], mut sink: impl FnMut(&[u8], &[u8])) {
        for piece in data.split_inclusive(|&byte| byte == b'\n') {
            let Some(line) = piece.strip_suffix(b"\n") else {
                self.begun.extend_from_slice(piece);
                while let Some((part, more)) = self.begun.split_at_checked(TEXT_BYTES_MAX) {
                    sink(&self.prefix, part);
                    self.begun = more.to_vec();
                }
                continue;
            };
            if self.begun.is_empty() {
                sink(&self.prefix, line);
            } else {
                self.begun.extend_from_slice(line);
                sink(&self.prefix, &self.begun);
                self.begun.clear();
            }
        }
    }

    /// Gives the last line, which nothing ended.
    pub(super) fn finish(&mut self, mut sink: impl FnMut(&[u8], &[u8])) {
        if !self.begun.is_empty() {
            sink(&self.prefix, &self.begun);
            self.begun.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&str]) -> Vec<String> {
        let mut lines = Lines::new("web");
        let mut all = Vec::new();
        let mut sink = |prefix: &[u8], line: &[u8]| {
            all.push(String::from_utf8([prefix, line].concat()).unwrap());
        };
        for piece in pieces {
            lines.feed(piece.as_bytes(), &mut sink);
        }
        lines.finish(&mut sink);
        all
    }

    #[test]
    fn pieces_are_put_together_to_lines() {
        assert_eq!(lines(&["a\nb\n"]), ["web a", "web b"]);
        assert_eq!(
            lines(&["a", "b\nc", "\n\nd"]),
            ["web ab", "web c", "web ", "web d"]
        );
        assert_eq!(lines(&[]), Vec::<String>::new());
        let long = "x".repeat(TEXT_BYTES_MAX + 5);
        let parts = lines(&[&long, "y\n"]);
        assert_eq!(
            parts.iter().map(String::len).collect::<Vec<_>>(),
            [TEXT_BYTES_MAX + 4, 10]
        );
    }

    #[test]
    fn messages_have_the_form_of_the_c_library() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(path, "supervisord".into());
        assert!(syslog.send(b"web ", b"hello", Instant::now()).is_none());
        let mut buffer = [0; 4096];
        let length = receiver.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        let (head, rest) = text.split_at(4 + 15);
        assert_eq!(rest, " supervisord: web hello");
        let shape: String = head
            .chars()
            .map(|character| match character {
                'a'..='z' | 'A'..='Z' => 'a',
                '0'..='9' => '9',
                other => other,
            })
            .collect();
        assert_eq!(shape.replace(" 9 ", "99 "), "<99>aaa 99 99:99:99", "{text}");
    }

    #[test]
    fn a_daemon_that_was_restarted_is_found_and_what_it_missed_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let now = Instant::now();
        let mut syslog = Syslog::new(path.clone(), "t".into());
        let told = syslog.send(b"", b"nobody hears", now);
        assert!(
            matches!(told, Some(CaptureEvent::SyslogTrouble { errno }) if errno == libc::ENOENT)
        );
        assert!(syslog.send(b"", b"nor this", now).is_none(), "told once");
        let first = UnixDatagram::bind(&path).unwrap();
        let told = syslog.send(b"", b"one", now);
        assert!(matches!(
            told,
            Some(CaptureEvent::SyslogRecovered { lost: 2 })
        ));
        drop(first);
        assert!(
            syslog.send(b"", b"gone", now).is_none(),
            "told a moment ago"
        );
        std::fs::remove_file(&path).unwrap();
        let second = UnixDatagram::bind(&path).unwrap();
        assert!(syslog.send(b"", b"two", now).is_none());
        let mut buffer = [0; 4096];
        let length = second.recv(&mut buffer).unwrap();
        assert!(buffer[..length].ends_with(b"t: two"));
        drop(second);
        let later = now + REPORT_INTERVAL;
        assert!(matches!(
            syslog.send(b"", b"gone again", later),
            Some(CaptureEvent::SyslogTrouble { .. })
        ));
        std::fs::remove_file(&path).unwrap();
        let _third = UnixDatagram::bind(&path).unwrap();
        let told = syslog.send(b"", b"three", later);
        assert!(
            matches!(told, Some(CaptureEvent::SyslogRecovered { lost: 2 })),
            "{told:?}"
        );
    }

    #[test]
    fn a_daemon_that_is_behind_gets_everything_up_to_the_limit_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let now = Instant::now();
        let mut syslog = Syslog::new(path, "t".into());
        let mut sent = 0;
        // The kernel's own queue for a socket holds some, ours the rest.
        while syslog.lost == 0 {
            syslog.send(b"", format!("{sent:01000}").as_bytes(), now);
            sent += 1;
            assert!(sent < 1_000_000);
        }
        assert!(syslog.is_waiting());
        assert!(syslog.pending_bytes <= PENDING_BYTES);
        let mut buffer = [0; 4096];
        let mut count = 0;
        loop {
            while let Ok(length) = receiver.recv(&mut buffer) {
                let tail = format!("t: {count:01000}");
                assert!(buffer[..length].ends_with(tail.as_bytes()), "{count}");
                count += 1;
            }
            if syslog.resume(now).0 == Progress::Done {
                while receiver.recv(&mut buffer).is_ok() {
                    count += 1;
                }
                break;
            }
        }
        assert_eq!(count, sent - 1, "all but the one that had no room");
        assert!(!syslog.is_waiting() && syslog.pending_bytes == 0);
    }
}
