//! From the death of a program to its successor, told as soon as it runs: of one that had lived a while, and of one
//! that dies at once again.
//!
//! Bare loop: kill, wait, start again with two pipes. Other supervisors tell nobody, so for them the time is that until
//! a successor of another number is seen; the same is measured for the daemon.

use crate::Run;
use crate::bare;
use crate::harness::{Client, Daemon, Sandbox};
use crate::peers::{self, Running};
use crate::stats::Samples;
use crate::table::{Aim, Row};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::time::{Duration, Instant};
use taskmaster::wire::{Notice, ProcessState, Request, ServerFrame, Topic};

/// A program that has lived this long is started again without a pause.
const LIFE: Duration = Duration::from_millis(150);

const CONFIG: &str =
    "[program.web]\ncommand=/bin/sleep 1000\nautostart=true\nstartsecs=0\nautorestart=true\n";

/// Measures it.
pub fn run(run: &mut Run) {
    let rounds = run.rounds(100);
    let bare = settled_bare(rounds);
    let ours = settled(rounds);
    let what = "crash to restarted";
    let aim = Aim::AtMostTimes(1.3, "bare");
    run.table.add(
        Row::new(format!("{what}, median"), "ms", aim)
            .with("taskmaster", ours.clone())
            .with("bare", bare.clone()),
    );
    let limit = Aim::AtMost(5.0 * bare.median());
    run.table.add(
        Row::new(
            format!("{what}, 99 % (aim: 5 x bare's median)"),
            "ms",
            limit,
        )
        .with("taskmaster", ours.p99())
        .with("bare", bare.p99()),
    );
    let again = at_once(run.rounds(20));
    run.table.add(
        Row::new("crash to restarted, crashed at once again", "ms", Aim::None)
            .with("taskmaster", again),
    );
    let daemon = Daemon::with(CONFIG);
    let rounds = run.rounds(20);
    let root = daemon.process().unsigned_abs();
    let mut row = Row::new(
        "crash to successor seen",
        "ms",
        Aim::AtMostTimes(1.2, "dinit"),
    )
    .with("taskmaster", seen(root, rounds));
    for peer in &run.peers {
        let sandbox = Running::prepare(&**peer, 1, "/bin/sleep 1000");
        let running = Running::start(&**peer, sandbox);
        running.wait_up(1);
        // What restarts a second later is measured a few times only.
        let rounds = if peer.name() == "dinit" { rounds } else { 3 };
        row = row.with(peer.name(), seen(running.process.id(), rounds));
        running.end();
    }
    run.table.add(row);
}

fn watching(daemon: &Daemon) -> Client {
    let mut client = daemon.client();
    client
        .send(Request::Subscribe {
            topic: Topic::States,
        })
        .unwrap();
    client.receive().unwrap();
    client
}

fn next_running(client: &mut Client) -> i32 {
    loop {
        if let ServerFrame::Notice {
            notice:
                Notice::State {
                    to: ProcessState::Running,
                    pid: Some(pid),
                    ..
                },
            ..
        } = client.receive().unwrap()
        {
            return i32::try_from(pid).unwrap();
        }
    }
}

fn settled(rounds: usize) -> Samples {
    let daemon = Daemon::with(CONFIG);
    daemon.wait_state("web", "RUNNING");
    let mut pid = daemon.pid("web");
    let mut client = watching(&daemon);
    Samples::milliseconds((0..rounds).map(|_| {
        // Let it live: this is a pause by intent, not a wait for a condition.
        std::thread::sleep(LIFE);
        let begin = Instant::now();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        pid = next_running(&mut client);
        begin.elapsed()
    }))
}

/// Each is killed as soon as it runs.
fn at_once(rounds: usize) -> Samples {
    let daemon = Daemon::with(CONFIG);
    daemon.wait_state("web", "RUNNING");
    let mut pid = daemon.pid("web");
    let mut client = watching(&daemon);
    Samples::milliseconds((0..rounds).map(|_| {
        let begin = Instant::now();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        pid = next_running(&mut client);
        begin.elapsed()
    }))
}

fn settled_bare(rounds: usize) -> Samples {
    let sandbox = Sandbox::new();
    let mut child = bare::sleeper(&sandbox);
    let times: Vec<Duration> = (0..rounds)
        .map(|_| {
            std::thread::sleep(LIFE);
            let begin = Instant::now();
            let pid = i32::try_from(child.id()).unwrap();
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            child.wait().unwrap();
            child = bare::sleeper(&sandbox);
            begin.elapsed()
        })
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    Samples::milliseconds(times)
}

/// Kills the one program below `root` and looks for another one until it is there.
fn seen(root: u32, rounds: usize) -> Samples {
    let sleeper = |but: Option<u32>| loop {
        let found = peers::descendants(root).into_iter().find(|pid| {
            Some(*pid) != but
                && fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|name| name == "sleep\n")
        });
        if let Some(pid) = found {
            return pid;
        }
    };
    Samples::milliseconds((0..rounds).map(|_| {
        let pid = sleeper(None);
        std::thread::sleep(LIFE);
        let begin = Instant::now();
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
        sleeper(Some(pid));
        begin.elapsed()
    }))
}
