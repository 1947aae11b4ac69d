//! Orphans by the thousand, for a daemon that is process 1.

use crate::harness::{proc, wait};
use crate::init::{Container, SOCKET};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::OpenOptions;
use std::time::{Duration, Instant};

/// Ended or not, how many children process 1 has besides the program that stays.
fn orphans(init: i32) -> usize {
    let children = proc::all().into_iter().filter(|it| it.parent == init);
    children.filter(|it| it.name != "sleep").count()
}

/// Rounds of orphans that all end in the same moment: each waits for a FIFO to have a writer, and is gone when it has.
#[test]
fn thousands_of_orphans_that_end_at_once_are_all_collected() {
    const ROUNDS: usize = 10;
    const EACH: usize = 1000;
    let script = format!(
        "n=0; while [ $n -lt {EACH} ]; do : < $OUT/gate & n=$((n + 1)); done 2>/dev/null; echo made"
    );
    let Some(mut container) = Container::with(
        &format!(
            "{SOCKET}[program.stays]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
             [program.horde]\ncommand=/bin/sh -c '{script}'\nstartsecs=0\nautorestart=false\n\
             startretries=0\n"
        ),
        "--container",
    ) else {
        return;
    };
    let gate = container.sandbox.path("out/gate");
    mkfifo(&gate, Mode::from_bits_truncate(0o600)).unwrap();
    let mut spent = Duration::ZERO;
    for round in 0..ROUNDS {
        container.ctl("start horde").code(0);
        wait::for_condition(format!("the orphans of round {round}"), || {
            orphans(container.init) == EACH
        });
        let begin = Instant::now();
        // It opens at once, since readers wait; those that come late find it open.
        let open = OpenOptions::new().write(true).open(&gate).unwrap();
        wait::for_condition("all of them to be collected", || {
            orphans(container.init) == 0
        });
        spent += begin.elapsed();
        drop(open);
        container.ctl("status stays").begins(0, "stays ");
    }
    let all = ROUNDS * EACH;
    let rate = f64::from(u32::try_from(all).unwrap()) / spent.as_secs_f64();
    eprintln!("{all} orphans ended and were collected in {spent:.2?}: {rate:.0} a second");
    assert_eq!(proc::zombies_of(container.init), []);
    assert_eq!(
        container.sandbox.read("stdout").matches("made").count(),
        ROUNDS
    );
    container.signal(Signal::SIGTERM);
    assert_eq!(container.wait_exit(), Some(0));
    let stderr = container.sandbox.read("stderr");
    assert!(!stderr.contains("bug:"), "{stderr}");
}
