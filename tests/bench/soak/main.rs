//! One daemon under everything at once for about ten minutes: 300,000 restarts of programs that end at once, 100,000
//! sessions of clients, of which many break off, 10,000 rereads of a file that changes, 10,000 rotations of a log, stops that
//! end in a KILL, and log reopenings.
//!
//!     cargo bench --bench soak -- [--quick] [--json]
//!
//! The work is done in rounds. After each the daemon is left in peace until it rests, and what it takes up is noted. A line is
//! laid through the notes after the warm-up, which is the first fifth. The exit status is 0 when
//! - neither resident nor proportional memory rises by more than 512 KiB along that line: 16 bytes lost in every session
//!   would be three times as much,
//! - as many descriptors are open after the last round as after the warm-up, and no fit of them rises,
//! - no zombie was there at rest, no process is left at the end, and no line of the log says "bug:",
//! - the daemon ends with 0, and the last line that was written through it is in its log.
//!
//! Latencies of a status, asked for all the time, and stops whose KILL came late are printed and not judged: they tell as
//! much about what else the machine does. `--quick` does a hundredth of everything. `--json` prints JSON and no table.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench fails by panicking and prints its findings"
)]
#![allow(
    dead_code,
    unused_imports,
    clippy::needless_pass_by_value,
    clippy::wildcard_enum_match_arm,
    reason = "the harness is that of the tests, which use more of it"
)]

#[path = "../../harness/mod.rs"]
mod harness;
#[path = "../machine.rs"]
mod machine;
#[path = "../stats.rs"]
mod stats;

mod findings;
mod load;
mod log;

use findings::{Findings, Note};
use harness::{Daemon, proc};
use load::{Amounts, Load};
use log::Log;
use nix::sys::signal::Signal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What is to be done in all.
const WHOLE: Amounts = Amounts {
    restarts: 300_000,
    sessions: 100_000,
    rereads: 10_000,
    rotations: 10_000,
};
/// In how many rounds, and in a quick run.
const ROUNDS: u64 = 40;
const QUICK_ROUNDS: u64 = 10;
/// A quick run does one part of so many.
const QUICK: u64 = 100;
/// What is left may take the kernel a moment to go.
const LAST_MOMENT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    machine::move_into_memory();
    let words: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` adds the last one.
    let known = ["--quick", "--json", "--bench"];
    if let Some(unknown) = words.iter().find(|word| !known.contains(&word.as_str())) {
        eprintln!("there is no {unknown}: say --quick, --json or nothing");
        return ExitCode::from(2);
    }
    let has = |name: &str| words.iter().any(|word| word == name);
    let (rounds, amounts) = if has("--quick") {
        (QUICK_ROUNDS, WHOLE.divided_by(QUICK))
    } else {
        (ROUNDS, WHOLE)
    };
    let findings = soak(rounds, amounts.divided_by(rounds));
    if has("--json") {
        println!("{}", findings.json());
    } else {
        findings.print();
    }
    if findings.faults().is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Does so many rounds with so much in each.
fn soak(rounds: u64, amounts: Amounts) -> Findings {
    let begin = Instant::now();
    let mut daemon = Daemon::builder()
        .daemon_keys("logfile_maxbytes=0\nminfds=1024")
        .config(load::CONFIG)
        .start();
    for name in ["steady:0", "writer", "changing"] {
        daemon.wait_state(name, "RUNNING");
    }
    let process = daemon.process();
    let mut log = Log::open(&daemon.sandbox.log_path());
    let mut load = Load::new(&daemon);
    let mut findings = Findings::default();
    let mut done = Amounts::default();
    for round in 1..=rounds {
        let work = load.round(amounts, &mut log);
        done = done.plus(work.done);
        findings.late_kills.extend(work.late_kills);
        findings.stops += work.stops;
        findings.status.extend(work.status);
        daemon.rest();
        let zombies = proc::zombies_of(process).len();
        findings.zombies = findings.zombies.max(zombies);
        let note = Note::of(process, done.operations());
        eprintln!(
            "round {round} of {rounds}, {:.0} s: {} restarts, {note}",
            begin.elapsed().as_secs_f64(),
            done.restarts
        );
        findings.notes.push(note);
    }
    findings.lost = load.lost_lines(&daemon);
    daemon.signal(Signal::SIGTERM);
    findings.exit = daemon.wait_exit();
    let tag = daemon.sandbox.tag();
    let until = Instant::now() + LAST_MOMENT;
    findings.left = loop {
        let left = proc::tagged(&tag);
        if left.is_empty() || Instant::now() > until {
            break left;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    log.read_on();
    findings.bugs = log.bugs;
    findings.done = done;
    findings.seconds = begin.elapsed().as_secs_f64();
    daemon.sandbox.kill_all();
    findings
}
