//! Start and stop of one program, over a connection that is open, each answered when it is done.
//!
//! Bare loop: start with two pipes, TERM, wait.

use crate::Run;
use crate::bare;
use crate::harness::{Daemon, Sandbox};
use crate::stats::Samples;
use crate::table::{Aim, Row};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::Instant;
use taskmaster::wire::Request;

/// Measures it.
pub fn run(run: &mut Run) {
    let rounds = run.rounds(100);
    let daemon = Daemon::with("[program.web]\ncommand=/bin/sleep 1000\nstartsecs=0\n");
    let mut client = daemon.client();
    let ours = Samples::milliseconds((0..rounds).map(|_| {
        let targets = || vec!["web".to_owned()];
        let begin = Instant::now();
        let (targets, wait) = (targets(), true);
        client
            .ask(Request::Start {
                targets: targets.clone(),
                wait,
            })
            .unwrap();
        client.ask(Request::Stop { targets, wait }).unwrap();
        begin.elapsed()
    }));
    let sandbox = Sandbox::new();
    let bare = Samples::milliseconds((0..rounds).map(|_| {
        let begin = Instant::now();
        let mut child = bare::sleeper(&sandbox);
        let pid = i32::try_from(child.id()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        child.wait().unwrap();
        begin.elapsed()
    }));
    run.table.add(
        Row::new("start and stop of one", "ms", Aim::None)
            .with("taskmaster", ours)
            .with("bare", bare),
    );
}
