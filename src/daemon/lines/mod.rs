//! The daemon's own standard output and error as a place for lines: those of programs and its own.
//!
//! Programs do not get these descriptors, lest they mix within a line, and nobody reopens `/dev/stdout`, which fails for
//! sockets and other people's terminals: the bytes that the capture thread has read are put together to lines
//! ([`assemble`]), dressed ([`style`]) and handed to a thread of the stream ([`outlet`]), which alone waits for a reader.
//!
//! Invariants: a line is shown whole, or cut at [`assemble::LINE_BYTES`] and marked; lines of one stream keep their
//! order; nobody who has a line waits, but at the end of the daemon, for a time; what is dropped is counted, for its
//! program and in a line where it is missing. Where both streams are one file they share one thread, so that order is
//! kept there too.
//!
//! Not here: which streams are shown (the configuration says so), and files.

mod assemble;
mod outlet;
mod style;

use crate::config::model::{Config, DaemonSettings, LineFormat, ShownOn};
use crate::daemon::capture::StreamId;
use crate::types::ProcessKey;
use crate::wire::Channel;
use assemble::{Assembler, Piece};
use nix::errno::Errno;
use nix::sys::stat::fstat;
use outlet::{Fate, Outlet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};
pub use style::time_text;
use style::{Place, Speaker, Style};
use unicode_width::UnicodeWidthStr;

/// One of the two streams, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standard {
    /// Descriptor 1.
    Output,
    /// Descriptor 2.
    Error,
}

impl Standard {
    /// The stream that a path means. It is never opened by that path.
    pub fn named(path: &Path) -> Option<Self> {
        match path.to_str() {
            Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => Some(Self::Output),
            Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => Some(Self::Error),
            Some(_) | None => None,
        }
    }
}

/// Both streams. A copy leads to the same ones.
#[derive(Debug, Clone)]
pub struct Lines {
    board: Arc<Board>,
}

#[derive(Debug)]
struct Board {
    style: Style,
    /// The daemon's name among the others.
    own_name: String,
    output: Arc<Stream>,
    error: Arc<Stream>,
    width: AtomicUsize,
    /// Numbers of programs, in the order in which they were first heard of.
    numbers: Mutex<BTreeMap<ProcessKey, usize>>,
    next_speaker: AtomicU64,
}

#[derive(Debug)]
struct Stream {
    outlet: Outlet,
    painted: bool,
}

/// Who speaks for the daemon itself.
const DAEMON: u64 = 0;

impl Lines {
    /// Takes copies of both descriptors. Nothing is written, and no thread started, before there is a line.
    pub fn new(settings: &DaemonSettings) -> io::Result<Self> {
        let painted = |is_terminal: bool| is_terminal && wants_colour();
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let output = Arc::new(Stream {
            outlet: Outlet::new(outlet::copy_of(&stdout)?),
            painted: painted(stdout.is_terminal()),
        });
        let same = match (fstat(&stdout), fstat(&stderr)) {
            (Ok(one), Ok(other)) => {
                (one.st_dev, one.st_ino, one.st_rdev) == (other.st_dev, other.st_ino, other.st_rdev)
            }
            (Err(_), _) | (_, Err(_)) => false,
        };
        let error = if same {
            Arc::clone(&output)
        } else {
            Arc::new(Stream {
                outlet: Outlet::new(outlet::copy_of(&stderr)?),
                painted: painted(stderr.is_terminal()),
            })
        };
        Ok(Self {
            board: Arc::new(Board {
                style: Style {
                    format: settings.stdout_format,
                    timestamps: settings.stdout_timestamps,
                },
                own_name: settings.identifier.clone(),
                output,
                error,
                width: AtomicUsize::new(0),
                numbers: Mutex::default(),
                next_speaker: AtomicU64::new(DAEMON + 1),
            }),
        })
    }

    /// Makes the column of names wide enough for all whose lines are shown.
    pub fn make_room(&self, config: &Config) {
        for process in config
            .groups
            .values()
            .flat_map(|group| group.processes.values())
        {
            if process.stdout.shown.is_anywhere() || process.stderr.shown.is_anywhere() {
                self.board.widen(&process.key.to_string());
            }
        }
        let DaemonSettings { stdout, silent, .. } = config.daemon;
        // Its rare lines on the standard error alone are not worth the width.
        if stdout.shows_daemon() && !silent && self.board.width.load(Ordering::Relaxed) > 0 {
            self.board.widen(&self.board.own_name);
        }
    }

    /// A way for the lines of one stream of a process; `None` when they are not shown.
    pub fn feed(&self, key: &ProcessKey, channel: Channel, shown: ShownOn) -> Option<Feed> {
        let ShownOn { stdout, stderr } = shown;
        let targets: Vec<Standard> = [(stdout, Standard::Output), (stderr, Standard::Error)]
            .into_iter()
            .filter_map(|(is_shown, target)| is_shown.then_some(target))
            .collect();
        if targets.is_empty() {
            return None;
        }
        let name = key.to_string();
        self.board.widen(&name);
        let number = {
            let mut numbers = self
                .board
                .numbers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let next = numbers.len();
            *numbers.entry(key.clone()).or_insert(next)
        };
        Some(Feed {
            board: Arc::clone(&self.board),
            assembler: Assembler::default(),
            out: Out {
                targets,
                name,
                number,
                channel,
                speaker: self.board.next_speaker.fetch_add(1, Ordering::Relaxed),
            },
        })
    }

    /// The way of lines that a daemon before this one, or another thread, had begun.
    pub fn restore(&self, stream: &StreamId, state: FeedState) -> Option<Feed> {
        let feed = self.feed(&stream.key, stream.channel, state.shown)?;
        Some(Feed {
            assembler: state.assembler,
            ..feed
        })
    }

    /// Waits until nothing waits to be written, so that another image can go on. A line that was cut is ended.
    pub fn settle(&self, deadline: Instant) -> bool {
        let streams = [&self.board.output, &self.board.error];
        streams.iter().all(|stream| stream.outlet.settle(deadline))
    }

    /// Lets lines that are said from now on lie until [`Lines::let_go`].
    pub fn hold(&self) {
        self.board.output.outlet.hold();
        self.board.error.outlet.hold();
    }

    /// Has them written.
    pub fn let_go(&self) {
        self.board.output.outlet.let_go();
        self.board.error.outlet.let_go();
    }

    /// Forgets a process that is no longer configured.
    pub fn forget(&self, key: &ProcessKey) {
        let numbers = &self.board.numbers;
        // The numbers of the others stay, and with them their colours.
        numbers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }

    /// Shows a line of the daemon itself, line feed included.
    pub fn say(&self, target: Standard, line: &[u8]) {
        let bytes = line.strip_suffix(b"\n").unwrap_or(line);
        let piece = Piece {
            bytes,
            begins: true,
            ends: true,
        };
        let channel = match target {
            Standard::Output => Channel::Stdout,
            Standard::Error => Channel::Stderr,
        };
        let text = self.board.own(target, channel, piece);
        let _fate = self.board.push(target, DAEMON, &text);
    }

    /// From now on a reader that is behind is waited for, until then.
    pub fn be_patient(&self, until: Instant) {
        for stream in [&self.board.output, &self.board.error] {
            stream.outlet.be_patient(until);
        }
    }

    /// Writes what waits. Says whether there was time for all of it.
    pub fn finish(&self, deadline: Instant) -> bool {
        [Standard::Output, Standard::Error]
            .into_iter()
            .fold(true, |whole, target| {
                let notice = |lines| self.board.notice(target, lines);
                let stream = self.board.stream(target);
                stream.outlet.finish(deadline, notice) && whole
            })
    }
}

impl Board {
    fn stream(&self, target: Standard) -> &Stream {
        match target {
            Standard::Output => &self.output,
            Standard::Error => &self.error,
        }
    }

    fn widen(&self, name: &str) {
        let width = name.width().min(style::NAME_COLUMNS);
        self.width.fetch_max(width, Ordering::Relaxed);
    }

    fn place(&self, target: Standard) -> Place {
        Place {
            painted: self.stream(target).painted,
            width: self.width.load(Ordering::Relaxed),
        }
    }

    /// A line of the daemon itself. Its log has a time already, so only JSON gets one more.
    fn own(&self, target: Standard, channel: Channel, piece: Piece<'_>) -> Vec<u8> {
        let speaker = Speaker {
            name: &self.own_name,
            channel,
            number: 0,
        };
        let timestamps = match self.style.format {
            LineFormat::Json => self.style.timestamps,
            LineFormat::Raw | LineFormat::Prefix => None,
        };
        let style = Style {
            timestamps,
            ..self.style
        };
        let mut text = Vec::with_capacity(piece.bytes.len() + 64);
        style.write(
            &mut text,
            piece,
            speaker,
            self.place(target),
            SystemTime::now(),
        );
        text
    }

    /// What stands in place of lines that were dropped.
    fn notice(&self, target: Standard, lines: u64) -> Vec<u8> {
        let plural = if lines == 1 { "" } else { "s" };
        let mut text = String::new();
        // Writing to a string cannot fail.
        write!(text, "[taskmaster: {lines} line{plural} dropped here]").unwrap_or_default();
        let piece = Piece {
            bytes: text.as_bytes(),
            begins: true,
            ends: true,
        };
        self.own(target, Channel::Stderr, piece)
    }

    fn push(&self, target: Standard, speaker: u64, text: &[u8]) -> Fate {
        let notice = |lines| self.notice(target, lines);
        self.stream(target).outlet.push(speaker, text, notice)
    }
}

/// What a [`Feed`] is made from again.
#[derive(Debug, Serialize, Deserialize)]
pub struct FeedState {
    shown: ShownOn,
    assembler: Assembler,
}

/// The way for the lines of one pipe.
#[derive(Debug)]
pub struct Feed {
    board: Arc<Board>,
    assembler: Assembler,
    out: Out,
}

#[derive(Debug)]
struct Out {
    targets: Vec<Standard>,
    name: String,
    number: usize,
    channel: Channel,
    speaker: u64,
}

impl Feed {
    /// What is to be known to go on with it elsewhere.
    pub fn export(self) -> FeedState {
        let shown = ShownOn {
            stdout: self.out.targets.contains(&Standard::Output),
            stderr: self.out.targets.contains(&Standard::Error),
        };
        FeedState {
            shown,
            assembler: self.assembler,
        }
    }

    /// Takes what was read. Returns how many bytes of it, and of what was held back before, were dropped.
    pub fn push(&mut self, data: &[u8]) -> u64 {
        let Self {
            board,
            assembler,
            out,
        } = self;
        let now = SystemTime::now();
        let mut dropped = 0;
        assembler.push(data, |piece| dropped += out.show(board, piece, now));
        dropped
    }

    /// Takes the end of the pipe: a last line without its line feed is shown all the same.
    pub fn finish(&mut self) -> u64 {
        let Self {
            board,
            assembler,
            out,
        } = self;
        let now = SystemTime::now();
        let mut dropped = 0;
        assembler.finish(|piece| dropped += out.show(board, piece, now));
        dropped
    }

    /// What keeps its lines from being written, if anything does.
    pub fn trouble(&self) -> Option<Errno> {
        self.out
            .targets
            .iter()
            .find_map(|&target| self.board.stream(target).outlet.trouble())
    }
}

impl Out {
    fn show(&self, board: &Board, piece: Piece<'_>, now: SystemTime) -> u64 {
        let mut dropped = 0;
        for &target in &self.targets {
            let speaker = Speaker {
                name: &self.name,
                channel: self.channel,
                number: self.number,
            };
            let mut text = Vec::with_capacity(piece.bytes.len() + 64);
            let place = board.place(target);
            board.style.write(&mut text, piece, speaker, place, now);
            if board.push(target, self.speaker, &text) == Fate::Dropped {
                dropped += piece.bytes.len() as u64 + u64::from(piece.ends);
            }
        }
        dropped
    }
}

/// Whether the user has not forbidden colours.
fn wants_colour() -> bool {
    let filled = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !filled("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
