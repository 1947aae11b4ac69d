//! What it costs to start the executable at all: `--version` beside `/bin/true`.

use crate::Run;
use crate::harness::Sandbox;
use crate::peers::quiet;
use crate::stats::Samples;
use crate::table::{Aim, Row};
use std::process::Command;
use std::time::{Duration, Instant};

/// Measures it.
pub fn run(run: &mut Run) {
    let rounds = run.rounds(200);
    let sandbox = Sandbox::new();
    let (ours, bare): (Vec<_>, Vec<_>) = (0..rounds)
        .map(|_| {
            let mut ours = sandbox.command(Sandbox::executable());
            ours.arg("--version");
            (time(ours), time(sandbox.command("/bin/true")))
        })
        .unzip();
    run.table.add(
        Row::new(
            "`taskmaster --version`",
            "ms",
            Aim::AtMostTimes(2.0, "bare"),
        )
        .with("taskmaster", Samples::milliseconds(ours))
        .with("bare", Samples::milliseconds(bare)),
    );
}

fn time(command: Command) -> Duration {
    let mut command = quiet(command);
    let begin = Instant::now();
    command.status().unwrap();
    begin.elapsed()
}
