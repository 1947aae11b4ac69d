//! Reading a file of 1000 programs: by the loader alone, by the checker as a process, and again by the daemon, compared
//! only and applied, with nothing and with one program changed.

use crate::Run;
use crate::harness::{Daemon, Sandbox};
use crate::peers::quiet;
use crate::stats::Samples;
use crate::table::{Aim, Row};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use taskmaster::config::{self, LoadRequest, RealHost};
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
    let path = daemon.sandbox.config_path();
    let loads = Samples::milliseconds((0..rounds).map(|_| load(&path)));
    let checks = Samples::milliseconds((0..rounds).map(|_| {
        let mut check = daemon.sandbox.command(Sandbox::executable());
        check.arg("check-config").arg(&path);
        let mut check = quiet(check);
        let begin = Instant::now();
        assert!(check.status().unwrap().success());
        begin.elapsed()
    }));
    run.table
        .add(Row::new("load of 1000 programs", "ms", Aim::None).with("taskmaster", loads));
    run.table.add(
        Row::new("`check-config` of 1000 programs", "ms", Aim::None).with("taskmaster", checks),
    );
    run.table
        .add(Row::new("reread of 1000 programs", "ms", Aim::AtMost(50.0)).with("taskmaster", same));
    run.table.add(
        Row::new("update of one of 1000 programs", "ms", Aim::AtMost(50.0))
            .with("taskmaster", changed),
    );
}

fn load(path: &Path) -> Duration {
    let host = RealHost::new();
    let request = LoadRequest {
        path,
        host: &host,
        overrides: &[],
    };
    let begin = Instant::now();
    assert!(config::load(&request).config.is_some());
    begin.elapsed()
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
