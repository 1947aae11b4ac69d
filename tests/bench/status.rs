//! What a status costs: the whole run of the console for all programs and for one, and the daemon's part alone.
//!
//! Bare for the daemon's part: a thread that answers a byte with as many bytes as the daemon's reply has.

use crate::Run;
use crate::harness::{Client, Daemon, body, framed, read_frame};
use crate::ours;
use crate::peers::{Running, quiet};
use crate::stats::Samples;
use crate::table::{Aim, Row};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};
use taskmaster::wire::{Request, RequestFrame};

/// Measures it.
pub fn run(run: &mut Run) {
    let most = run.most_programs();
    let mut sizes = vec![100, 1000];
    if !run.quick {
        sizes.push(most);
    }
    for count in sizes {
        let config = if count == most {
            ours::direct(count)
        } else {
            ours::config(count)
        };
        let (daemon, _) = ours::start(&config, count);
        let rounds = run.rounds(50);
        let aim = match count {
            1000 => Aim::AtMostTimes(1.0, "dinit"),
            _ if count == most => Aim::AtMost(50.0),
            _ => Aim::None,
        };
        let mut all = Row::new(format!("console: status of {count}"), "ms", aim)
            .with("taskmaster", commands(rounds, || daemon.console("status")));
        let one_of = format!("console: status of one of {count}");
        let mut one = Row::new(one_of, "ms", Aim::AtMostTimes(1.2, "dinit")).with(
            "taskmaster",
            commands(rounds, || daemon.console("status web:0")),
        );
        if count <= 1000 {
            for peer in &run.peers {
                let sandbox = Running::prepare(&**peer, count, "/bin/sleep 1000");
                let running = Running::start(&**peer, sandbox);
                running.wait_up(count);
                let rounds = run.rounds(10);
                let (name, sandbox) = (peer.name(), &running.sandbox);
                all = all.with(name, commands(rounds, || peer.status(sandbox)));
                one = one.with(name, commands(rounds, || peer.status_of_one(sandbox)));
                running.end();
            }
        }
        run.table.add(all);
        run.table.add(one);
        within(run, &daemon, count);
    }
}

fn commands(rounds: usize, command: impl Fn() -> Command) -> Samples {
    Samples::milliseconds((0..rounds).map(|_| {
        let mut command = quiet(command());
        let begin = Instant::now();
        command.status().unwrap();
        begin.elapsed()
    }))
}

fn within(run: &mut Run, daemon: &Daemon, count: usize) {
    let mut client = daemon.client();
    let mut size = 0;
    let rounds = run.rounds(50);
    let ours = Samples::milliseconds((0..rounds).map(|_| ask(&mut client, &mut size)));
    let bare = Samples::milliseconds(answers(size, rounds));
    let aim = match count {
        1000 => Aim::AtMost(10.0),
        count if count > 1000 => Aim::AtMost(50.0),
        _ => Aim::None,
    };
    run.table.add(
        Row::new(format!("daemon: status of {count}"), "ms", aim)
            .with("taskmaster", ours)
            .with("bare", bare),
    );
}

/// Without the decoding, which is the client's affair.
fn ask(client: &mut Client, size: &mut usize) -> Duration {
    let request = framed(&body(&RequestFrame {
        id: 1,
        request: Request::Status { targets: vec![] },
    }));
    let begin = Instant::now();
    client.stream.write_all(&request).unwrap();
    *size = read_frame(&mut client.stream).unwrap().unwrap().len();
    begin.elapsed()
}

fn answers(size: usize, rounds: usize) -> Vec<Duration> {
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || {
        let reply = framed(&vec![0; size]);
        let mut byte = [0];
        while far.read_exact(&mut byte).is_ok() {
            far.write_all(&reply).unwrap();
        }
    });
    let times = (0..rounds)
        .map(|_| {
            let begin = Instant::now();
            near.write_all(&[0]).unwrap();
            read_frame(&mut near).unwrap().unwrap();
            begin.elapsed()
        })
        .collect();
    drop(near);
    server.join().unwrap();
    times
}
