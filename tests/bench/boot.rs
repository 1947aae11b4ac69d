//! From the command to the last of 100, 1000 and 10,000 programs.
//!
//! With 10,000 each program writes its log itself, for want of descriptors. There is no figure for other supervisors then:
//! it would take them minutes.

use crate::Run;
use crate::bare::Bare;
use crate::harness::Sandbox;
use crate::ours;
use crate::peers::Running;
use crate::stats::Samples;
use crate::table::{Aim, Row};
use std::time::{Duration, Instant};

/// Measures it.
pub fn run(run: &mut Run) {
    for count in [100, 1000] {
        // By turns, so that a machine that is busy with something else is so for all.
        let rounds = run.rounds(5);
        let mut times: Vec<(&'static str, Vec<Duration>)> = Vec::new();
        for _ in 0..rounds {
            note(&mut times, "taskmaster", ours(&ours::config(count), count));
            note(&mut times, "bare", bare(count));
            for peer in &run.peers {
                let sandbox = Running::prepare(&**peer, count, "/bin/sleep 1000");
                let begin = Instant::now();
                let running = Running::start(&**peer, sandbox);
                running.wait_up(count);
                note(&mut times, peer.name(), begin.elapsed());
                running.end();
            }
        }
        let what = format!("boot of {count} with logs");
        let row = Row::new(what, "ms", Aim::AtMostTimes(1.3, "bare"));
        run.table.add(all(row, times));
    }
    if run.quick {
        return;
    }
    let per_program = |count: usize, rounds: usize| {
        let config = ours::direct(count);
        #[allow(clippy::cast_precision_loss, reason = "a count of programs")]
        let rate = |time: Duration| count as f64 / time.as_secs_f64();
        (0..rounds).map(|_| rate(ours(&config, count))).collect()
    };
    let most = run.most_programs();
    let few: Samples = per_program(100, 5);
    let many: Samples = per_program(most, 1);
    let aim = Aim::AtLeast(0.8 * few.median());
    run.table.add(
        Row::new("programs started a second, of 100", "/s", Aim::None).with("taskmaster", few),
    );
    run.table.add(
        Row::new(format!("programs started a second, of {most}"), "/s", aim)
            .with("taskmaster", many),
    );
}

fn note(times: &mut Vec<(&'static str, Vec<Duration>)>, system: &'static str, time: Duration) {
    match times.iter_mut().find(|(name, _)| *name == system) {
        Some((_, list)) => list.push(time),
        None => times.push((system, vec![time])),
    }
}

fn all(row: Row, times: Vec<(&'static str, Vec<Duration>)>) -> Row {
    times.into_iter().fold(row, |row, (system, times)| {
        row.with(system, Samples::milliseconds(times))
    })
}

fn ours(config: &str, count: usize) -> Duration {
    ours::start(config, count).1
}

fn bare(count: usize) -> Duration {
    Bare::start(&Sandbox::new(), count).1
}
