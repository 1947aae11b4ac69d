//! Stopping 1000 and 10,000 programs, and ending the daemon with 1000 programs.
//!
//! Bare loop: TERM to each, then wait for each. With 10,000 each program writes its log itself, for want of descriptors.

use crate::Run;
use crate::bare::Bare;
use crate::harness::Sandbox;
use crate::ours;
use crate::peers::{Running, quiet};
use crate::stats::Samples;
use crate::table::{Aim, Row};
use std::time::{Duration, Instant};
use taskmaster::wire::Request;

const COUNT: usize = 1000;

/// Measures it.
pub fn run(run: &mut Run) {
    let rounds = run.rounds(5);
    let mut stops = Vec::new();
    let mut ends = Vec::new();
    let mut bare = Vec::new();
    for _ in 0..rounds {
        stops.push(stop_all(&ours::config(COUNT), COUNT));
        ends.push(shut_down());
        bare.push(Bare::start(&Sandbox::new(), COUNT).0.stop());
    }
    let mut stopping = Row::new("stop of 1000", "ms", Aim::AtMostTimes(1.3, "bare"))
        .with("taskmaster", Samples::milliseconds(stops))
        .with("bare", Samples::milliseconds(bare.clone()));
    let mut ending = Row::new("shutdown with 1000", "ms", Aim::None)
        .with("taskmaster", Samples::milliseconds(ends))
        .with("bare", Samples::milliseconds(bare));
    for peer in &run.peers {
        let start = || {
            let sandbox = Running::prepare(&**peer, COUNT, "/bin/sleep 1000");
            let running = Running::start(&**peer, sandbox);
            running.wait_up(COUNT);
            running
        };
        let running = start();
        let begin = Instant::now();
        quiet(peer.stop_all(&running.sandbox)).status().unwrap();
        stopping = stopping.with(peer.name(), Samples::milliseconds([begin.elapsed()]));
        running.end();
        let running = start();
        let begin = Instant::now();
        running.end();
        ending = ending.with(peer.name(), Samples::milliseconds([begin.elapsed()]));
    }
    run.table.add(stopping);
    run.table.add(ending);
    if !run.quick {
        let most = run.most_programs();
        let config = ours::direct(most);
        let row = Row::new(format!("stop of {most}"), "ms", Aim::None);
        let took = stop_all(&config, most);
        run.table
            .add(row.with("taskmaster", Samples::milliseconds([took])));
    }
}

fn stop_all(config: &str, count: usize) -> Duration {
    let (daemon, _) = ours::start(config, count);
    let mut client = daemon.client();
    let begin = Instant::now();
    client
        .ask(Request::Stop {
            targets: vec!["all".to_owned()],
            wait: true,
        })
        .unwrap();
    begin.elapsed()
}

fn shut_down() -> Duration {
    let (daemon, _) = ours::start(&ours::config(COUNT), COUNT);
    let begin = Instant::now();
    daemon.close();
    begin.elapsed()
}
