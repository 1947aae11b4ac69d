//! The capture thread with real pipes and real files. Whatever must happen is waited for by its event or its effect,
//! with a deadline that only a defect can reach.

#![allow(
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a measurement is printed, and a test picks the one event that it waits for"
)]

use super::*;
use crate::sys::pipe;
use crate::sys::poller::{Interest, Poller};
use crate::types::{GroupName, ProcessName};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    directory: tempfile::TempDir,
    capture: Capture,
    poller: Poller,
    /// Fetched, but not asked for yet.
    events: Vec<CaptureEvent>,
    jobs: u64,
}

impl Rig {
    fn new() -> Self {
        let capture = Capture::start().unwrap();
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
        let (read, write) = pipe::output().unwrap();
        self.capture
            .attach(stream, read, settings, AttachOptions::default());
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
            path: path.to_owned(),
            auto: false,
        },
        maxbytes: ByteSize(maxbytes),
        backups,
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

#[test]
fn bytes_arrive_unchanged_and_the_end_of_the_stream_closes_the_file() {
    let mut rig = Rig::new();
    let mut pipe = rig.attach(stdout("web"), "log");
    let bytes: Vec<u8> = (0..300_000u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[1])
        .collect();
    rig.settle();
    assert!(
        is_open(&rig.path("log")),
        "the file exists before the first byte"
    );
    pipe.write_all(&bytes).unwrap();
    pipe.write_all(b"last words").unwrap();
    drop(pipe);
    let deadline = Instant::now() + PATIENCE;
    while is_open(&rig.path("log")) {
        assert!(Instant::now() < deadline, "the file is still open");
        rig.settle();
    }
    let mut expected = bytes;
    expected.extend(b"last words");
    assert!(fs::read(rig.path("log")).unwrap() == expected);
    assert_eq!(rig.capture.health(&stdout("web")), LogHealth::default());
}

#[test]
fn lines_are_complete_and_in_order_through_many_rotations() {
    let mut rig = Rig::new();
    let settings = rig.settings("log", 4096, 10_000);
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    let text = numbered_lines("a", 20_000);
    // Whole lines, each write far smaller than a read, so that every cut is the file's own.
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = rest
            .get(..1000)
            .map_or(rest.len(), |part| part.rfind('\n').unwrap() + 1);
        pipe.write_all(&rest.as_bytes()[..end]).unwrap();
        rest = &rest[end..];
    }
    drop(pipe);
    let (whole, directory) = rig.finish();
    assert!(whole);
    let files = fs::read_dir(directory.path()).unwrap().count();
    assert!(files > 200, "{files} files");
    let mut all = String::new();
    for number in (0..files).rev() {
        let name = if number == 0 {
            "log".into()
        } else {
            format!("log.{number}")
        };
        let part = fs::read_to_string(directory.path().join(name)).unwrap();
        assert!(part.len() <= 4096 && !part.is_empty());
        all.push_str(&part);
    }
    assert_eq!(numbers(&all, "a"), (0..20_000).collect::<Vec<_>>());
}

#[test]
fn streams_that_share_a_file_rotate_it_together() {
    let mut rig = Rig::new();
    let settings = rig.settings("log", 2000, 10_000);
    let writers: Vec<_> = [Channel::Stdout, Channel::Stderr]
        .into_iter()
        .zip(["out", "err"])
        .map(|(channel, tag)| {
            let mut pipe = rig.attach_to(stream("web", channel), &settings);
            std::thread::spawn(move || {
                for line in numbered_lines(tag, 3000).split_inclusive('\n') {
                    pipe.write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let (whole, directory) = rig.finish();
    assert!(whole);
    let files = fs::read_dir(directory.path()).unwrap().count();
    let mut all = String::new();
    for number in (1..files).rev() {
        let part = fs::read_to_string(directory.path().join(format!("log.{number}"))).unwrap();
        assert!(part.len() <= 2000);
        all.push_str(&part);
    }
    all.push_str(&fs::read_to_string(directory.path().join("log")).unwrap());
    for tag in ["out", "err"] {
        assert_eq!(numbers(&all, tag), (0..3000).collect::<Vec<_>>(), "{tag}");
    }
}

#[test]
fn a_grandchild_that_keeps_the_pipe_delays_nothing_and_loses_nothing() {
    let mut rig = Rig::new();
    let mut grandchild = rig.attach(stdout("web"), "log");
    let mut program = rig.attach(stdout("web"), "log");
    program.write_all(b"new\n").unwrap();
    rig.settle();
    assert_eq!(rig.read("log"), "new\n");
    grandchild.write_all(b"old\n").unwrap();
    rig.settle();
    drop(grandchild);
    program.write_all(b"newer\n").unwrap();
    rig.settle();
    assert_eq!(rig.read("log"), "new\nold\nnewer\n");
    rig.capture.forget(&stdout("web").key);
    program.write_all(b"forgotten\n").unwrap();
    drop(program);
    let (whole, directory) = rig.finish();
    assert!(whole);
    let text = fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(text.ends_with("newer\nforgotten\n"));
}

#[test]
fn the_last_words_of_a_process_come_before_the_first_of_the_next() {
    let mut rig = Rig::new();
    let settings = rig.settings("log", 0, 0);
    let (old, mut old_end) = pipe::output()
        .map(|(read, write)| (read, File::from(write)))
        .unwrap();
    let (new, mut new_end) = pipe::output()
        .map(|(read, write)| (read, File::from(write)))
        .unwrap();
    // More than one read takes, where the kernel allows it.
    let larger = nix::fcntl::fcntl(&old, nix::fcntl::FcntlArg::F_SETPIPE_SZ(512 << 10));
    let length = if larger.is_ok() { 400_000 } else { 4_000 };
    old_end.write_all(&vec![b'a'; length]).unwrap();
    new_end.write_all(b"b").unwrap();
    for pipe in [old, new] {
        rig.capture
            .attach(stdout("web"), pipe, &settings, AttachOptions::default());
    }
    let (whole, directory) = rig.finish();
    assert!(whole);
    let text = fs::read(directory.path().join("log")).unwrap();
    assert_eq!(text.len(), length + 1);
    assert_eq!(text.last(), Some(&b'b'));
}

#[test]
fn a_full_disk_costs_bytes_that_are_counted_and_never_blocks_the_program() {
    let mut rig = Rig::new();
    let stream = stdout("web");
    let mut pipe = rig.attach_to(stream.clone(), &log(Path::new("/dev/full"), 0, 0));
    pipe.write_all(&vec![b'x'; 1 << 20]).unwrap();
    drop(pipe);
    let told = rig.wait(|event| match event {
        CaptureEvent::LogTrouble {
            stream,
            path,
            errno,
        } => Some((stream.clone(), path.clone(), *errno)),
        _ => None,
    });
    let errno = libc::ENOSPC;
    assert_eq!(told, (Some(stream.clone()), "/dev/full".into(), errno));
    rig.settle();
    let health = LogHealth {
        lost: 1 << 20,
        errno: Some(errno),
    };
    assert_eq!(rig.capture.health(&stream), health);
    // It is told once, even to a process that is started again and again.
    for _ in 0..3 {
        rig.attach_to(stream.clone(), &log(Path::new("/dev/full"), 0, 0))
            .write_all(b"x")
            .unwrap();
    }
    rig.settle();
    assert!(rig.events.is_empty(), "{:?}", rig.events);
    assert_eq!(rig.capture.health(&stream).lost, (1 << 20) + 3);
}

#[test]
fn what_was_lost_leaves_a_line_and_recovery_is_told() {
    let mut rig = Rig::new();
    let stream = stdout("web");
    let mut pipe = rig.attach(stream.clone(), "later/log");
    rig.wait(|event| matches!(event, CaptureEvent::LogTrouble { .. }).then_some(()));
    pipe.write_all(b"lost\n").unwrap();
    rig.settle();
    assert_eq!(rig.capture.health(&stream).lost, 5);
    fs::create_dir(rig.path("later")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut written = 5;
    // It is tried again when data comes, at most every second.
    let told = loop {
        assert!(Instant::now() < deadline);
        pipe.write_all(b"data\n").unwrap();
        written += 5;
        rig.settle();
        let recovered = rig.events.iter().find_map(|event| match event {
            CaptureEvent::LogRecovered { lost, .. } => Some(*lost),
            _ => None,
        });
        if let Some(lost) = recovered {
            break lost;
        }
        let mut ready = Vec::new();
        let pause = Duration::from_millis(20);
        rig.poller.wait(&mut ready, Some(pause)).unwrap();
    };
    let lost = rig.capture.health(&stream).lost;
    assert_eq!((told, rig.capture.health(&stream).errno), (lost, None));
    let text = rig.read("later/log");
    let marker = format!("[taskmaster: {lost} bytes lost]\n");
    let rest = text.strip_prefix(&marker).unwrap();
    assert_eq!(rest.len() as u64 + lost, written);
    rig.settle();
    assert_eq!(rig.capture.health(&stream).lost, lost);
}

/// A FIFO with a reader that has not read yet.
fn fifo(rig: &Rig) -> File {
    let path = rig.path("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let mut options = fs::OpenOptions::new();
    // With a writer of its own, so that opening does not wait and reading does.
    options.read(true).write(true).open(path).unwrap()
}

#[test]
fn a_slow_reader_holds_back_those_who_write_to_it_and_nobody_else() {
    let mut rig = Rig::new();
    let mut reader = fifo(&rig);
    let text = numbered_lines("a", 20_000);
    let mut slow = rig.attach(stdout("slow"), "fifo");
    let writer = std::thread::spawn({
        let text = text.clone();
        move || slow.write_all(text.as_bytes()).unwrap()
    });
    // All the while, another stream flows.
    let mut other = rig.attach(stdout("other"), "log");
    let (mut got, mut buffer) = (Vec::<u8>::new(), vec![0; 40_000]);
    while got.len() < text.len() {
        let length = rig.read("log").len();
        other.write_all(b"line\n").unwrap();
        rig.settle();
        assert_eq!(rig.read("log").len(), length + 5);
        let count = io::Read::read(&mut reader, &mut buffer).unwrap();
        got.extend(&buffer[..count]);
    }
    writer.join().unwrap();
    assert!(got == text.as_bytes());
    assert_eq!(rig.capture.health(&stdout("slow")), LogHealth::default());
    assert!(rig.events.is_empty(), "{:?}", rig.events);
}

#[test]
fn a_reader_that_never_reads_is_given_up_and_the_program_goes_on() {
    let mut rig = Rig::new();
    let mut reader = fifo(&rig);
    let mut pipe = rig.attach(stdout("web"), "fifo");
    let total = 1 << 20;
    let writer = std::thread::spawn(move || {
        pipe.write_all(&vec![b'x'; total]).unwrap();
        pipe
    });
    let errno = rig.wait(|event| match event {
        CaptureEvent::LogTrouble { errno, .. } => Some(*errno),
        _ => None,
    });
    assert_eq!(errno, libc::EAGAIN);
    let mut pipe = writer.join().unwrap();
    rig.settle();
    let lost = usize::try_from(rig.capture.health(&stdout("web")).lost).unwrap();
    let mut got = vec![0; total - lost];
    io::Read::read_exact(&mut reader, &mut got).unwrap();
    // Now that there is room, what comes next says what is missing.
    let deadline = Instant::now() + PATIENCE;
    while rig.capture.health(&stdout("web")).errno.is_some() {
        assert!(Instant::now() < deadline);
        let pause = Duration::from_millis(20);
        rig.poller.wait(&mut Vec::new(), Some(pause)).unwrap();
        pipe.write_all(b"y").unwrap();
        rig.settle();
    }
    let lost = rig.capture.health(&stdout("web")).lost;
    let expected = format!("\n[taskmaster: {lost} bytes lost]\ny");
    let mut got = vec![0; expected.len()];
    io::Read::read_exact(&mut reader, &mut got).unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), expected);
}

#[test]
fn finishing_waits_for_a_slow_reader_but_not_for_one_that_never_reads() {
    for reads in [true, false] {
        let mut rig = Rig::new();
        let mut reader = fifo(&rig);
        let settings = rig.settings("fifo", 0, 0);
        let mut pipe = rig.attach_to(stdout("web"), &settings);
        // As much as FIFO, thread and pipe hold together is more than the FIFO alone.
        for _ in 0..2 {
            pipe.write_all(&vec![b'x'; 50_000]).unwrap();
            rig.settle();
        }
        let (begin, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let reads = told.recv().unwrap_or(false);
            if reads {
                io::Read::read_exact(&mut reader, &mut vec![0; 100_000]).unwrap();
            }
            // Being there is all that this reader does.
            told.recv().unwrap_err();
        });
        begin.send(reads).unwrap();
        let deadline = Duration::from_millis(if reads { 20_000 } else { 50 });
        assert_eq!(rig.capture.finish(deadline), reads);
        drop(begin);
        thread.join().unwrap();
    }
}

#[test]
fn a_follower_misses_and_repeats_nothing_across_rotations() {
    let mut rig = Rig::new();
    let settings = rig.settings("log", 3000, 2);
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    let text = numbered_lines("a", 2000);
    let (before, after) = text.split_at(text.len() / 2);
    let (early, late) = before.split_at(before.len() - 500);
    for part in [early, late] {
        pipe.write_all(part.as_bytes()).unwrap();
        rig.settle();
    }
    let target = FollowTarget::Stream(stdout("web"), Some(rig.path("log")));
    rig.capture.follow(7, target, 100);
    rig.settle();
    // What is there to begin with is what the live file has.
    let backlog = rig.read("log").len().min(100);
    let expected = &text[before.len() - backlog..];
    let writer = std::thread::spawn({
        let after = after.to_owned();
        move || pipe.write_all(after.as_bytes()).unwrap()
    });
    assert_eq!(rig.followed(7, expected.len()), expected);
    writer.join().unwrap();
    assert!(rig.path("log.2").exists());
}

#[test]
fn a_follower_that_comes_while_the_program_writes_gets_every_byte_once() {
    let mut rig = Rig::new();
    let mut pipe = rig.attach(stdout("web"), "log");
    let text = numbered_lines("a", 10_000);
    assert!(text.len() < queue::FOLLOWER_QUEUE_BYTES);
    let writer = std::thread::spawn({
        let text = text.clone();
        move || {
            for line in text.split_inclusive('\n') {
                pipe.write_all(line.as_bytes()).unwrap();
            }
        }
    });
    for subscription in 0..8 {
        let target = FollowTarget::Stream(stdout("web"), Some(rig.path("log")));
        rig.capture.follow(subscription, target, u64::MAX);
        rig.settle();
    }
    for subscription in 0..8 {
        assert!(rig.followed(subscription, text.len()) == text);
    }
    writer.join().unwrap();
}

#[test]
fn a_follower_stays_when_the_program_is_started_again_or_not_yet() {
    let mut rig = Rig::new();
    let target = FollowTarget::Stream(stdout("web"), Some(rig.path("log")));
    rig.capture.follow(1, target, 1000);
    for text in ["first\n", "second\n"] {
        rig.attach(stdout("web"), "log")
            .write_all(text.as_bytes())
            .unwrap();
        rig.settle();
    }
    assert_eq!(rig.followed(1, 13), "first\nsecond\n");
    rig.capture.unfollow(1);
    rig.attach(stdout("web"), "log")
        .write_all(b"third\n")
        .unwrap();
    rig.settle();
    assert!(rig.events.is_empty(), "{:?}", rig.events);
}

#[test]
fn a_follower_of_a_file_sees_all_that_is_written_to_it_and_of_a_stream_only_that() {
    let mut rig = Rig::new();
    let follow = |name: &str, path| FollowTarget::Stream(stdout(name), path);
    let mut one = rig.attach(stdout("one"), "log");
    let mut two = rig.attach(stdout("two"), "log");
    let target = follow("one", Some(rig.path("log")));
    rig.capture.follow(1, target, 0);
    let discard = LogSettings {
        target: LogTarget::Discard,
        maxbytes: ByteSize(0),
        backups: 0,
    };
    let mut three = rig.attach_to(stdout("three"), &discard);
    rig.capture.follow(2, follow("three", None), 0);
    for (pipe, text) in [(&mut one, "1\n"), (&mut two, "2\n"), (&mut three, "3\n")] {
        rig.settle();
        pipe.write_all(text.as_bytes()).unwrap();
    }
    rig.settle();
    assert_eq!(rig.followed(1, 4), "1\n2\n");
    assert_eq!(rig.followed(2, 2), "3\n");
    assert!(rig.events.is_empty(), "{:?}", rig.events);
}

#[test]
fn a_follower_that_is_not_served_gets_a_gap_in_its_place() {
    let mut rig = Rig::new();
    let mut pipe = rig.attach(stdout("web"), "log");
    rig.capture
        .follow(1, FollowTarget::Stream(stdout("web"), None), 0);
    rig.capture.tail(99, LogRef::Main, 1, 1);
    rig.wait(|event| matches!(event, CaptureEvent::Tailed { .. }).then_some(()));
    let flood = numbered_lines("a", 60_000);
    assert!(flood.len() > 3 << 20);
    pipe.write_all(flood.as_bytes()).unwrap();
    // Not fetching events, wait for the file alone.
    let deadline = Instant::now() + PATIENCE;
    while rig.read("log").len() < flood.len() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    // The thread delivers after it has written: ask it something so that it is through.
    rig.settle();
    let (mut got, mut gaps) = (Vec::new(), Vec::new());
    for event in rig.events.drain(..) {
        match event {
            CaptureEvent::Output { data, .. } => {
                assert!(gaps.is_empty(), "output after the gap that it precedes");
                got.extend(data);
            }
            CaptureEvent::Gap {
                subscription: 1,
                lost,
            } => gaps.push(lost),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gaps.len(), 1);
    assert!(got.len() <= queue::FOLLOWER_QUEUE_BYTES);
    assert!(flood.as_bytes().starts_with(&got));
    assert_eq!(got.len() as u64 + gaps[0], flood.len() as u64);
    pipe.write_all(b"on\n").unwrap();
    assert_eq!(rig.followed(1, 3), "on\n");
}

#[test]
fn escape_sequences_go_where_that_is_wanted() {
    let mut rig = Rig::new();
    let settings = rig.settings("log", 0, 0);
    let (read, write) = pipe::output().unwrap();
    let options = AttachOptions { strip_ansi: true };
    rig.capture.attach(stdout("web"), read, &settings, options);
    rig.capture
        .follow(1, FollowTarget::Stream(stdout("web"), None), 0);
    let mut pipe = File::from(write);
    for piece in ["\x1b[3", "1mred\x1b", "[0m\n"] {
        pipe.write_all(piece.as_bytes()).unwrap();
        rig.settle();
    }
    assert_eq!(rig.read("log"), "red\n");
    assert_eq!(rig.followed(1, 4), "red\n");
    let mut plain = rig.attach(stdout("plain"), "plain");
    plain.write_all(b"\x1b[31mred\n").unwrap();
    rig.settle();
    assert_eq!(rig.read("plain"), "\x1b[31mred\n");
}

#[test]
fn clearing_works_for_the_living_the_dead_and_the_absent() {
    let mut rig = Rig::new();
    let mut pipe = rig.attach(stdout("web"), "live");
    pipe.write_all(b"live\n").unwrap();
    fs::write(rig.path("dead"), "dead\n").unwrap();
    fs::write(rig.path("dead.1"), "backup\n").unwrap();
    rig.settle();
    rig.clear(&["live", "dead", "absent", "nowhere/absent"])
        .unwrap();
    assert_eq!(
        (rig.read("live"), rig.read("dead")),
        (String::new(), String::new())
    );
    assert_eq!(rig.read("dead.1"), "backup\n");
    assert!(!rig.path("absent").exists());
    pipe.write_all(b"more\n").unwrap();
    rig.settle();
    assert_eq!(rig.read("live"), "more\n");
    std::os::unix::fs::symlink(rig.path("live"), rig.path("link")).unwrap();
    let error = rig.clear(&["link", "live"]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    assert_eq!(rig.read("live"), "", "the others are cleared all the same");
}

#[test]
fn the_end_of_a_file_is_as_long_as_asked_and_allowed() {
    let mut rig = Rig::new();
    fs::write(rig.path("log"), "0123456789").unwrap();
    let file = || LogRef::File(rig.path("log"));
    let (log, missing) = (file(), LogRef::File(rig.path("missing")));
    for (bytes, max, expected) in [
        (3, 100, "789"),
        (0, 100, "0123456789"),
        (0, 4, "6789"),
        (100, 100, "0123456789"),
        (5, 2, "89"),
    ] {
        let (data, size) = rig.tail(log.clone(), bytes, max).unwrap();
        assert_eq!(
            (String::from_utf8(data).unwrap().as_str(), size),
            (expected, 10)
        );
    }
    let errno = |result: io::Result<_>| result.unwrap_err().raw_os_error();
    assert_eq!(errno(rig.tail(missing, 1, 1)), Some(libc::ENOENT));
    let directory = LogRef::File(rig.path(""));
    assert!(rig.tail(directory, 1, 1).is_err());
}

#[test]
fn the_daemons_own_log_rotates_reopens_and_can_be_followed() {
    let mut rig = Rig::new();
    rig.capture.write_main(b"before it is open\n".to_vec());
    rig.capture.open_main(rig.path("main.log"), ByteSize(9), 2);
    let writer = rig.capture.main_log();
    for text in ["one 1\n", "two 2\n", "three 3\n", "four 4\n"] {
        writer.write(text.into());
    }
    let (tail, size) = rig.tail(LogRef::Main, 0, 100).unwrap();
    assert_eq!((tail.as_slice(), size), (b"four 4\n".as_slice(), 7));
    assert_eq!(rig.read("main.log.1"), "three 3\n");
    assert_eq!(rig.read("main.log.2"), "two 2\n");
    assert!(!rig.path("main.log.3").exists());
    rig.capture.follow(1, FollowTarget::Main, 2);
    rig.settle();
    fs::rename(rig.path("main.log"), rig.path("moved")).unwrap();
    writer.write(b"x\n".to_vec());
    rig.capture.reopen_all();
    writer.write(b"after\n".to_vec());
    assert_eq!(rig.followed(1, 10), "4\nx\nafter\n");
    let (tail, _) = rig.tail(LogRef::Main, 0, 100).unwrap();
    assert_eq!(tail, b"after\n");
    assert_eq!(rig.capture.main_health(), LogHealth::default());
}

#[test]
fn reopening_moves_every_stream_to_its_path() {
    let mut rig = Rig::new();
    let mut pipes = Vec::new();
    for name in ["a", "b"] {
        pipes.push((name, rig.attach(stdout(name), name)));
    }
    rig.settle();
    for (name, pipe) in &mut pipes {
        pipe.write_all(b"old\n").unwrap();
        rig.settle();
        fs::rename(rig.path(name), rig.path(&format!("{name}.moved"))).unwrap();
    }
    rig.capture.reopen_all();
    rig.settle();
    for (name, pipe) in &mut pipes {
        pipe.write_all(b"new\n").unwrap();
        rig.settle();
        assert_eq!(rig.read(name), "new\n");
        assert_eq!(rig.read(&format!("{name}.moved")), "old\n");
    }
}

#[test]
fn new_limits_hold_at_once() {
    let mut rig = Rig::new();
    let mut pipe = rig.attach(stdout("web"), "log");
    pipe.write_all(b"0123456789\n").unwrap();
    rig.settle();
    let settings = rig.settings("log", 4, 1);
    rig.capture.relimit(stdout("web"), &settings);
    rig.settle();
    pipe.write_all(b"abc\n").unwrap();
    rig.settle();
    assert_eq!(
        (rig.read("log"), rig.read("log.1")),
        ("abc\n".into(), "0123456789\n".into())
    );
}

#[test]
fn the_daemons_own_log_is_bounded_while_it_waits_and_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let shared = Arc::new(Shared::new().unwrap());
    let limits = Limits {
        maxbytes: 0,
        backups: 0,
    };
    let open = path.clone();
    shared.ask(Command::OpenMain { path: open, limits });
    // The thread does not run yet, so everything waits.
    let mut line = vec![b'x'; 1023];
    line.push(b'\n');
    for _ in 0..1034 {
        shared.write_main(line.clone());
    }
    let deadline = Instant::now();
    shared.ask(Command::Finish { deadline });
    let health = Arc::new(Health::default());
    let worker = Worker::new(shared, Poller::new().unwrap(), Arc::clone(&health)).unwrap();
    assert!(worker.run());
    let mut expected = line.repeat(1024);
    expected.extend(b"[taskmaster: 10240 bytes lost]\n");
    assert!(fs::read(path).unwrap() == expected);
    assert_eq!(health.read().lost, 10_240);
}

#[test]
fn finishing_writes_what_is_in_the_pipes_but_waits_for_nobody() {
    let mut rig = Rig::new();
    let mut pipes: Vec<File> = (0..40)
        .map(|number| rig.attach(stdout(&format!("p{number}")), &format!("log{number}")))
        .collect();
    rig.capture.open_main(rig.path("main"), ByteSize(0), 0);
    for pipe in &mut pipes {
        pipe.write_all(&[b'x'; 4000]).unwrap();
    }
    rig.capture.write_main(b"the end\n".to_vec());
    // The pipes stay open.
    let (whole, directory) = rig.finish();
    assert!(whole);
    for number in 0..40 {
        let log = fs::metadata(directory.path().join(format!("log{number}"))).unwrap();
        assert_eq!(log.len(), 4000);
    }
    let main = fs::read_to_string(directory.path().join("main")).unwrap();
    assert_eq!(main, "the end\n");
    assert!(pipes[0].write_all(b"x").is_err(), "nobody reads any more");
}

#[test]
fn finishing_does_not_wait_for_a_program_that_never_stops_writing() {
    let mut rig = Rig::new();
    let settings = rig.settings("log", 1 << 20, 0);
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    let flood = vec![b'x'; 65_536];
    let writer = std::thread::spawn(move || while pipe.write_all(&flood).is_ok() {});
    rig.settle();
    let begin = Instant::now();
    rig.capture.finish(Duration::from_millis(50));
    assert!(begin.elapsed() < PATIENCE);
    writer.join().unwrap();
}

#[test]
fn a_dropped_handle_ends_the_thread() {
    let mut rig = Rig::new();
    let mut pipe = rig.attach(stdout("web"), "log");
    rig.settle();
    drop(rig);
    let deadline = Instant::now() + PATIENCE;
    while pipe.write_all(b"x").is_ok() {
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn with_nothing_to_do_the_thread_sleeps() {
    let directory = tempfile::tempdir().unwrap();
    let shared = Arc::new(Shared::new().unwrap());
    let theirs = Arc::clone(&shared);
    let (tell, told) = std::sync::mpsc::channel();
    // Not through `Capture`, to learn which thread it is among those of the other tests.
    let thread = std::thread::spawn(move || {
        tell.send(fs::read_link("/proc/thread-self").unwrap())
            .unwrap();
        Worker::new(theirs, Poller::new().unwrap(), Arc::default())
            .unwrap()
            .run()
    });
    let status = Path::new("/proc").join(told.recv().unwrap()).join("status");
    let mut pipes = Vec::new();
    for number in 0..100 {
        let (pipe, write) = pipe::output().unwrap();
        shared.ask(Command::Attach(Box::new(Attach {
            stream: stdout(&format!("p{number}")),
            pipe,
            health: Arc::default(),
            // One in two has a log in trouble, which is no reason to wake up either.
            path: Some(match number % 2 {
                0 => directory.path().join("log"),
                _ => directory.path().join("nowhere/log"),
            }),
            limits: Limits {
                maxbytes: 10,
                backups: 1,
            },
            strip_ansi: false,
        })));
        let mut write = File::from(write);
        write.write_all(b"hello\n").unwrap();
        pipes.push(write);
    }
    let switches = || {
        let text = fs::read_to_string(&status).unwrap();
        let lines = text.lines().filter(|line| line.contains("ctxt_switches"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let asleep = || {
        let text = fs::read_to_string(&status).unwrap();
        text.lines()
            .any(|line| line.starts_with("State:") && line.contains('S'))
    };
    let answered = |job| {
        shared.ask(Command::Tail {
            job,
            log: LogRef::Main,
            bytes: 1,
        });
        let deadline = Instant::now() + PATIENCE;
        while !shared
            .take_events()
            .iter()
            .any(|event| matches!(event, CaptureEvent::Tailed { job: of, .. } if *of == job))
        {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        while !asleep() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
    };
    answered(1);
    let before = switches();
    assert_eq!(before.len(), 2);
    // This is the time that is measured, not one that is waited for.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(switches(), before);
    answered(2);
    assert_ne!(switches(), before, "the counters count");
    shared.ask(Command::Finish {
        deadline: Instant::now(),
    });
    thread.join().unwrap();
}

/// Prints how fast a flood is written by three loops in the same run: the barest possible, which blocks in `read`; the
/// same with a wait for the pipe before each read, as whoever has more than one pipe must do; and the capture thread.
/// Waiting has a price that is the kernel's: a pipe that is polled wakes its poller at every single write.
///
/// `cargo test --release --lib throughput -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn throughput() {
    const TOTAL: u32 = 1 << 28;
    const ROUNDS: usize = 7;
    fn flood(pipe: OwnedFd, chunk: u32) -> JoinHandle<()> {
        let line = vec![b'x'; usize::try_from(chunk).unwrap()];
        let mut pipe = File::from(pipe);
        std::thread::spawn(move || {
            for _ in 0..TOTAL / chunk {
                pipe.write_all(&line).unwrap();
            }
        })
    }
    fn speed(begin: Instant) -> f64 {
        f64::from(TOTAL) / begin.elapsed().as_secs_f64() / 1e6
    }
    fn bare(path: &Path, chunk: u32, poller: Option<&Poller>) -> f64 {
        let (read, write) = nix::unistd::pipe().unwrap();
        if let Some(poller) = poller {
            poller.add(&read, 0, Interest::READABLE).unwrap();
        }
        let begin = Instant::now();
        let writer = flood(write, chunk);
        let mut options = fs::OpenOptions::new();
        let mut file = options.append(true).create(true).open(path).unwrap();
        let (mut buffer, mut length, mut ready) = (vec![0; 65_536], 0, Vec::new());
        loop {
            if let Some(poller) = poller {
                poller.wait(&mut ready, None).unwrap();
            }
            match nix::unistd::read(&read, &mut buffer).unwrap() {
                0 => break,
                count => {
                    file.write_all(&buffer[..count]).unwrap();
                    length += count;
                }
            }
            if length > 50 << 20 {
                file.set_len(0).unwrap();
                length = 0;
            }
        }
        writer.join().unwrap();
        speed(begin)
    }
    fn captured(path: &Path, chunk: u32) -> f64 {
        let mut rig = Rig::new();
        let pipe = rig.attach_to(stdout("web"), &log(path, 50 << 20, 1));
        rig.settle();
        let begin = Instant::now();
        flood(pipe.into(), chunk).join().unwrap();
        rig.finish();
        speed(begin)
    }
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = |name| directory.path().join(name);
    let poller = Poller::new().unwrap();
    for chunk in [100, 4096, 65_536] {
        let mut rounds: Vec<[f64; 3]> = (0..ROUNDS)
            .map(|_| {
                [
                    bare(&path("bare"), chunk, None),
                    bare(&path("waiting"), chunk, Some(&poller)),
                    captured(&path("log"), chunk),
                ]
            })
            .collect();
        let [bare, waiting, ours] = [0, 1, 2].map(|column| {
            rounds.sort_by(|a, b| a[column].total_cmp(&b[column]));
            rounds[ROUNDS / 2][column]
        });
        eprintln!(
            "writes of {chunk:5} bytes, medians in MB/s: bare {bare:5.0}, waiting {waiting:5.0}, capture {ours:5.0}"
        );
    }
}
