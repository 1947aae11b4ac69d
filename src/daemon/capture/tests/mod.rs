//! The capture thread with real pipes and real files. Whatever must happen is waited for by its event or its effect,
//! with a deadline that only a defect can reach.

#![allow(
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a measurement is printed, and a test picks the one event that it waits for"
)]

mod follow;
mod logs;
mod slow_readers;
mod streams;
mod taps;
mod thread;

use super::*;
use crate::config::model::LogTarget;
use crate::sys::pipe;
use crate::sys::poller::{Interest, Poller};
use crate::types::{GroupName, ProcessName};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

const PATIENCE: Duration = Duration::from_mins(1);

struct Rig {
    directory: tempfile::TempDir,
    capture: Capture,
    poller: Poller,
    /// Fetched, but not asked for yet.
    events: Vec<CaptureEvent>,
    jobs: u64,
}

/// A pipe whose writer notices when nobody reads any more.
fn one_way() -> (OwnedFd, OwnedFd) {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    (read, write)
}

impl Rig {
    fn health(&self, stream: &StreamId) -> LogHealth {
        let [stdout, stderr] = self.capture.healths().of(&stream.key);
        match stream.channel {
            Channel::Stdout => stdout,
            Channel::Stderr => stderr,
        }
    }

    fn new() -> Self {
        Self::over(Capture::start("taskmasterd", None).unwrap())
    }

    /// With a system log of its own.
    fn with(syslog: PathBuf) -> Self {
        Self::over(Capture::start_with(syslog, "taskmasterd", None).unwrap())
    }

    fn over(capture: Capture) -> Self {
        let poller = Poller::new().unwrap();
        poller
            .add(capture.waker_fd(), 0, Interest::READABLE)
            .unwrap();
        Self {
            directory: tempfile::tempdir().unwrap(),
            capture,
            poller,
            events: Vec::new(),
            jobs: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    fn settings(&self, name: &str, maxbytes: u64, backups: u32) -> LogSettings {
        log(&self.path(name), maxbytes, backups)
    }

    /// A pipe whose other end is captured into file `name`.
    fn attach(&mut self, stream: StreamId, name: &str) -> File {
        let settings = self.settings(name, 0, 0);
        self.attach_to(stream, &settings)
    }

    fn attach_to(&mut self, stream: StreamId, settings: &LogSettings) -> File {
        let (read, write) = one_way();
        self.capture
            .attach(stream, pid(), read, settings, AttachOptions::default());
        File::from(write)
    }

    /// Waits for the first event that `pick` takes.
    fn wait<T>(&mut self, mut pick: impl FnMut(&CaptureEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut ready = Vec::new();
        loop {
            let mut events = self.events.iter().enumerate();
            let found = events.find_map(|(at, event)| Some((at, pick(event)?)));
            if let Some((at, picked)) = found {
                self.events.remove(at);
                return picked;
            }
            let left = deadline.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("nothing of that kind: {:?}", self.events));
            self.poller.wait(&mut ready, Some(left)).unwrap();
            self.events.extend(self.capture.events());
        }
    }

    /// Waits until what is in the pipes by now is written.
    fn settle(&mut self) {
        let nowhere = LogRef::File(self.path("nowhere"));
        self.tail(nowhere, 1, 1).unwrap_err();
    }

    fn tail(&mut self, log: LogRef, bytes: u64, max: u64) -> io::Result<(Vec<u8>, u64)> {
        self.jobs += 1;
        let mine = self.jobs;
        self.capture.tail(mine, log, bytes, max);
        self.wait(|event| match event {
            CaptureEvent::Tailed { job, result } if *job == mine => Some(copy(result)),
            _ => None,
        })
    }

    fn clear(&mut self, names: &[&str]) -> io::Result<()> {
        self.jobs += 1;
        let mine = self.jobs;
        let paths = names.iter().map(|name| self.path(name)).collect();
        self.capture.clear(mine, paths);
        self.wait(|event| match event {
            CaptureEvent::Cleared { job, result } if *job == mine => Some(copy(result)),
            _ => None,
        })
    }

    /// Collects what a follower gets until there are `bytes` of it.
    fn followed(&mut self, mine: u64, bytes: usize) -> String {
        let mut all = Vec::new();
        while all.len() < bytes {
            all.extend(self.wait(|event| match event {
                CaptureEvent::Output { subscription, data } if *subscription == mine => {
                    Some(data.clone())
                }
                CaptureEvent::Gap { .. } => panic!("a gap"),
                _ => None,
            }));
        }
        String::from_utf8(all).unwrap()
    }

    fn finish(self) -> (bool, tempfile::TempDir) {
        (self.capture.finish(PATIENCE), self.directory)
    }
}

fn copy<T: Clone>(result: &io::Result<T>) -> io::Result<T> {
    match result {
        Ok(value) => Ok(value.clone()),
        Err(error) => Err(io::Error::from_raw_os_error(error.raw_os_error().unwrap())),
    }
}

fn log(path: &Path, maxbytes: u64, backups: u32) -> LogSettings {
    LogSettings {
        target: LogTarget::File {
            path: path.into(),
            auto: false,
        },
        maxbytes: ByteSize(maxbytes),
        backups,
        timestamps: crate::config::model::Timestamps::None,
        shown: crate::config::model::ShownOn::default(),
        direct: false,
        capture_maxbytes: ByteSize(0),
        events_enabled: false,
        syslog: false,
    }
}

fn stream(name: &str, channel: Channel) -> StreamId {
    StreamId {
        key: ProcessKey {
            group: GroupName::new(name).unwrap(),
            process: ProcessName::new(name).unwrap(),
        },
        channel,
    }
}

/// A system log that nobody serves.
fn nowhere() -> Syslog {
    Syslog::new("/nonexistent".into(), "taskmasterd".into())
}

fn pid() -> Pid {
    Pid::new(4711).unwrap()
}

fn stdout(name: &str) -> StreamId {
    stream(name, Channel::Stdout)
}

/// `count` lines of different lengths, each with its number and a check sum.
fn numbered_lines(tag: &str, count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        let fill = "x".repeat(number * 7 % 90);
        let body = format!("{tag} {number} {fill}");
        writeln!(text, "{body} {}", checksum(&body)).unwrap();
    }
    text
}

fn checksum(text: &str) -> u32 {
    text.bytes().fold(17, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    })
}

/// The numbers of the lines of `tag`, each of them checked to be whole.
fn numbers(text: &str, tag: &str) -> Vec<usize> {
    let mut numbers = Vec::new();
    for line in text.lines() {
        let (body, sum) = line.rsplit_once(' ').unwrap_or((line, ""));
        assert_eq!(sum, checksum(body).to_string(), "broken line {line:?}");
        let mut words = body.split(' ');
        if words.next() == Some(tag) {
            numbers.push(words.next().unwrap().parse().unwrap());
        }
    }
    numbers
}

fn is_open(path: &Path) -> bool {
    fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .any(|target| target == path)
}
