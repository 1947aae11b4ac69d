//! What is done to the daemon in a round: everything at once, each kind by a thread of its own.

use crate::harness::{Client, Daemon, body, framed};
use crate::log::Log;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use taskmaster::wire::{Channel, Outcome, Request, Response, Topic};

/// `quick` ends at once and is started again, each copy ten times a second at most. `stubborn` does not heed TERM.
pub const CONFIG: &str = "\
[program.quick]
command=/bin/true
numprocs=100
autorestart=true
startsecs=0
stdout_logfile=NONE
stderr_logfile=NONE
[program.stubborn]
command=/bin/sh -c \"trap '' TERM; exec sleep 1000\"
numprocs=2
startsecs=0
stopwaitsecs=1
[program.steady]
command=/bin/sleep 1000
numprocs=10
autostart=true
startsecs=0
[program.writer]
command=/bin/cat
autostart=true
startsecs=0
stdout_logfile_maxbytes=32KB
stdout_logfile_backups=3
[program.changing]
command=/bin/sleep 1000
autostart=true
startsecs=0
";

/// The `stopwaitsecs` of `stubborn`.
const STOPWAIT: Duration = Duration::from_secs(1);
/// A KILL that comes so much later is late.
const MARGIN: Duration = Duration::from_millis(500);
const LINE_BYTES: usize = 1024;
/// One more than fit into a log of `writer`, so that each such chunk brings a rotation.
const LINES: usize = 32 + 1;
/// Between two questions for the state of everything.
const STATUS_PAUSE: Duration = Duration::from_millis(20);
/// Between two looks at the log.
const LOG_PAUSE: Duration = Duration::from_millis(50);
/// A round, or a rotation, that takes longer has gone wrong.
const PATIENCE: Duration = Duration::from_mins(2);
const ROTATION_PATIENCE: Duration = Duration::from_secs(20);
/// Each so many rereads the change is made active; each so many rotations the logs are opened anew.
const UPDATE_EVERY: u64 = 10;
const REOPEN_EVERY: u64 = 10;
/// Threads that hold sessions.
const CALLERS: u64 = 2;

/// How much of each kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Amounts {
    /// Ends of a program that is started again.
    pub restarts: u64,
    /// Connections of clients.
    pub sessions: u64,
    /// Times that the changed file is read again.
    pub rereads: u64,
    /// Rotations of a log.
    pub rotations: u64,
}

impl Amounts {
    /// A part of it, of each kind one at least.
    pub fn divided_by(self, parts: u64) -> Self {
        let part = |amount: u64| (amount / parts).max(1);
        Self {
            restarts: part(self.restarts),
            sessions: part(self.sessions),
            rereads: part(self.rereads),
            rotations: part(self.rotations),
        }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            restarts: self.restarts + other.restarts,
            sessions: self.sessions + other.sessions,
            rereads: self.rereads + other.rereads,
            rotations: self.rotations + other.rotations,
        }
    }

    /// All kinds together.
    pub fn operations(self) -> u64 {
        self.restarts + self.sessions + self.rereads + self.rotations
    }
}

/// What a round brought.
#[derive(Debug, Default)]
pub struct Work {
    /// How much was done, which may be more than was wanted.
    pub done: Amounts,
    /// How long each status took.
    pub status: Vec<Duration>,
    /// Stops that ended in a KILL.
    pub stops: u64,
    /// How long those took whose KILL came late.
    pub late_kills: Vec<Duration>,
}

/// See the module's documentation.
pub struct Load {
    process: i32,
    socket: PathBuf,
    /// The file, and its text as it was.
    config: (PathBuf, String),
    written: PathBuf,
    control: Client,
    sessions: u64,
    rereads: u64,
    rotations: u64,
    lines: u64,
}

impl Load {
    /// For this daemon, which runs [`CONFIG`].
    pub fn new(daemon: &Daemon) -> Self {
        let config = daemon.sandbox.config_path();
        let text = fs::read_to_string(&config).unwrap();
        Self {
            process: daemon.process(),
            socket: daemon.sandbox.socket_path(),
            config: (config, text),
            written: daemon.child_log("writer_0_out.log"),
            control: daemon.client(),
            sessions: 0,
            rereads: 0,
            rotations: 0,
            lines: 0,
        }
    }

    /// Does so much, all kinds at once, and leaves nothing running but what runs always.
    pub fn round(&mut self, amounts: Amounts, log: &mut Log) -> Work {
        let Self {
            process,
            socket,
            config,
            written,
            control,
            sessions,
            rereads,
            rotations,
            lines,
        } = self;
        let (process, socket, written) = (*process, socket.as_path(), written.as_path());
        log.read_on();
        let before = log.spawned;
        ask(control, start("quick", false));
        let over = AtomicBool::new(false);
        let next_session = AtomicU64::new(*sessions);
        let end_of_sessions = *sessions + amounts.sessions;
        let mut work = Work {
            done: amounts,
            ..Work::default()
        };
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|_| {
                    scope.spawn(|| {
                        loop {
                            let number = next_session.fetch_add(1, Ordering::Relaxed);
                            if number >= end_of_sessions {
                                return;
                            }
                            session(socket, number);
                        }
                    })
                })
                .collect();
            let rereader = scope.spawn(|| {
                let mut client = Client::connect(socket).unwrap();
                for _ in 0..amounts.rereads {
                    *rereads += 1;
                    reread(&mut client, config, *rereads);
                }
            });
            let rotator = scope.spawn(|| {
                let mut client = Client::connect(socket).unwrap();
                for _ in 0..amounts.rotations {
                    *rotations += 1;
                    rotate(&mut client, written, lines);
                    if rotations.is_multiple_of(REOPEN_EVERY) {
                        kill(Pid::from_raw(process), Signal::SIGUSR2).unwrap();
                    }
                }
            });
            let asker = scope.spawn(|| statuses(socket, &over));
            let stopper = scope.spawn(|| stops(socket, &over));
            let until = Instant::now() + PATIENCE;
            while log.spawned - before < amounts.restarts
                || !callers
                    .iter()
                    .all(std::thread::ScopedJoinHandle::is_finished)
                || !rereader.is_finished()
                || !rotator.is_finished()
            {
                assert!(Instant::now() < until, "a round takes too long");
                std::thread::sleep(LOG_PAUSE);
                log.read_on();
            }
            over.store(true, Ordering::Relaxed);
            work.status = asker.join().unwrap();
            (work.stops, work.late_kills) = stopper.join().unwrap();
        });
        *sessions = end_of_sessions;
        ask(control, stop("quick"));
        log.read_on();
        work.done.restarts = log.spawned - before;
        work
    }

    /// How many of the lines that were written through the daemon are missing at the end of its log.
    pub fn lost_lines(&self, daemon: &Daemon) -> u64 {
        // A log that is full is a backup before the next one has anything in it.
        let newest = |name: &str| {
            let text = fs::read(daemon.child_log(name)).unwrap_or_default();
            let last = text.lines().map_while(Result::ok).last()?;
            last.trim_start_matches('.').parse().ok()
        };
        let last: u64 = newest("writer_0_out.log")
            .or_else(|| newest("writer_0_out.log.1"))
            .unwrap_or(0);
        self.lines - last
    }
}

fn start(target: &str, wait: bool) -> Request {
    let targets = vec![target.to_owned()];
    Request::Start { targets, wait }
}

fn stop(target: &str) -> Request {
    let targets = vec![target.to_owned()];
    Request::Stop {
        targets,
        wait: true,
    }
}

fn ask(client: &mut Client, request: Request) -> Response {
    let response = client.ask(request).unwrap();
    assert!(!matches!(response, Response::Refused(_)), "{response:?}");
    response
}

/// One connection. Every other one breaks off or has a question of its own kind.
fn session(socket: &Path, number: u64) {
    let one = || vec![format!("steady:{}", number % 10)];
    let target = || one().remove(0);
    let asks = |request: Request| drop(ask(&mut Client::connect(socket).unwrap(), request));
    match number % 10 {
        0 => asks(Request::Version),
        1 => asks(Request::Status { targets: vec![] }),
        2 => asks(Request::Tail {
            target: "writer".to_owned(),
            channel: Channel::Stdout,
            bytes: 4096,
        }),
        3 => asks(Request::Why { target: target() }),
        // Comes and says nothing.
        4 => drop(Client::open(socket).unwrap()),
        // Goes in the middle of a word.
        5 => {
            let greeting = framed(&body(&Client::greeting()));
            let mut stream = Client::open(socket).unwrap();
            stream.write_all(&greeting[..greeting.len() / 2]).unwrap();
        }
        // Does not wait for the answer.
        6 => {
            let mut client = Client::connect(socket).unwrap();
            client.send(Request::Status { targets: vec![] }).unwrap();
        }
        // Leaves with a subscription open.
        7 | 8 => {
            let topic = if number % 10 == 7 {
                Topic::States
            } else {
                Topic::Output {
                    target: "writer".to_owned(),
                    channel: Channel::Stdout,
                    backlog: 100,
                }
            };
            let mut client = Client::connect(socket).unwrap();
            client.send(Request::Subscribe { topic }).unwrap();
            client.receive().unwrap();
        }
        _ => asks(Request::Status { targets: one() }),
    }
}

/// Changes the file and has it read again, and sometimes made active.
fn reread(client: &mut Client, (path, text): &(PathBuf, String), number: u64) {
    let changed = format!("command=/bin/sleep {}\n", 1001 + number % 2);
    let (head, tail) = text.split_once("[program.changing]\n").unwrap();
    let tail = tail.replacen("command=/bin/sleep 1000\n", &changed, 1);
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, format!("{head}[program.changing]\n{tail}")).unwrap();
    fs::rename(&fresh, path).unwrap();
    let response = if number.is_multiple_of(UPDATE_EVERY) {
        ask(client, Request::Update { groups: vec![] })
    } else {
        ask(client, Request::Reread)
    };
    assert!(matches!(response, Response::Changes(_)), "{response:?}");
}

/// Writes more than a log holds, and waits until it has been rotated.
fn rotate(client: &mut Client, log: &Path, lines: &mut u64) {
    let backup = PathBuf::from(format!("{}.1", log.display()));
    let newest = || fs::metadata(&backup).map_or(0, |found| found.ino());
    let before = newest();
    let width = LINE_BYTES - 1;
    let mut data = Vec::new();
    for _ in 0..LINES {
        *lines += 1;
        writeln!(data, "{lines:.>width$}").unwrap();
    }
    let until = Instant::now() + ROTATION_PATIENCE;
    let wait = || {
        assert!(Instant::now() < until, "the log is not rotated");
        std::thread::sleep(Duration::from_micros(200));
    };
    while !is_taken(client, &data) {
        wait();
    }
    while newest() == before {
        wait();
    }
}

/// Whether the daemon had room for what `writer` is to write.
fn is_taken(client: &mut Client, data: &[u8]) -> bool {
    let input = Request::Input {
        target: "writer".to_owned(),
        data: data.to_vec(),
    };
    match ask(client, input) {
        Response::Results(results) => match &results[0].outcome {
            Outcome::InputSent => true,
            Outcome::Failed { .. } => false,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Asks for the state of everything again and again, and says how long each answer took.
fn statuses(socket: &Path, over: &AtomicBool) -> Vec<Duration> {
    let mut client = Client::connect(socket).unwrap();
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        ask(&mut client, Request::Status { targets: vec![] });
        times.push(begin.elapsed());
        std::thread::sleep(STATUS_PAUSE);
    }
    times
}

/// Starts and stops what does not heed TERM; says how often, and how long late ones took.
fn stops(socket: &Path, over: &AtomicBool) -> (u64, Vec<Duration>) {
    let mut client = Client::connect(socket).unwrap();
    let mut count = 0;
    let mut late = Vec::new();
    while !over.load(Ordering::Relaxed) {
        ask(&mut client, start("stubborn", true));
        let begin = Instant::now();
        ask(&mut client, stop("stubborn"));
        let took = begin.elapsed();
        count += 1;
        if took > STOPWAIT + MARGIN {
            late.push(took);
        }
    }
    (count, late)
}
