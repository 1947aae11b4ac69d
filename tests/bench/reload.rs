//! Reading a file of 1000 programs again: compared only, and applied, with nothing and with one program changed.

use crate::Run;
use crate::harness::Daemon;
use crate::stats::Samples;
use crate::table::{Aim, Row};
use std::fmt::Write;
use std::time::Instant;
use taskmaster::wire::Request;

const PROGRAMS: usize = 1000;

/// Measures it.
pub fn run(run: &mut Run) {
    let rounds = run.rounds(20);
    let daemon = Daemon::with(&file(0));
    let mut client = daemon.client();
    let same = Samples::milliseconds((0..rounds).map(|_| {
        let begin = Instant::now();
        client.ask(Request::Reread).unwrap();
        begin.elapsed()
    }));
    let changed = Samples::milliseconds((0..rounds).map(|round| {
        daemon.edit_config(&file(round + 1));
        let begin = Instant::now();
        client.ask(Request::Update { groups: Vec::new() }).unwrap();
        begin.elapsed()
    }));
    run.table
        .add(Row::new("reread of 1000 programs", "ms", Aim::AtMost(50.0)).with("taskmaster", same));
    run.table.add(
        Row::new("update of one of 1000 programs", "ms", Aim::AtMost(50.0))
            .with("taskmaster", changed),
    );
}

fn file(priority: usize) -> String {
    (0..PROGRAMS).fold(String::new(), |mut text, number| {
        let priority = if number == 0 { priority } else { 0 };
        write!(
            text,
            "[program.p{number}]\ncommand=/usr/bin/env sleep {number}\nstartsecs=2\nstopwaitsecs=5\n\
             environment=A=\"1\",B=\"two\"\nexitcodes=0,2\npriority={priority}\n"
        )
        .unwrap();
        text
    })
}
