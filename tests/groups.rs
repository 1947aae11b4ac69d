//! Groups and priorities: who comes first, who goes last.

use crate::harness::Daemon;
use nix::sys::signal::Signal;

/// Names in the order in which the log speaks of them, without their group.
fn order(log: &str, before: &str, after: char) -> Vec<String> {
    log.lines()
        .filter_map(|line| {
            Some(
                line.split_once(before)?
                    .1
                    .split(after)
                    .next()?
                    .trim_start_matches("site:")
                    .to_owned(),
            )
        })
        .collect()
}

const RANKED: &str = "[program.last]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\npriority=30\n\
                      [program.first]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\npriority=10\n\
                      [program.b]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\npriority=20\n\
                      [program.a]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\npriority=20\n\
                      [program.inner2]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\npriority=2\n\
                      [program.inner1]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\npriority=1\n\
                      [group.site]\nprograms=inner2,inner1\npriority=15\n";

#[test]
fn low_priorities_start_first_and_stop_last() {
    let mut daemon = Daemon::with(RANKED);
    daemon.wait_state("last", "RUNNING");
    let started = ["first", "inner1", "inner2", "a", "b", "last"];
    assert_eq!(order(&daemon.log(), "spawned: '", '\''), started);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    let stopped = order(&daemon.log(), "stopped: ", ' ');
    assert_eq!(stopped.len(), 6);
    // Groups go strictly one after another; `inner1` and `inner2` share one and may end in any order.
    let rank = |name: &str| stopped.iter().position(|other| other == name).unwrap();
    assert_eq!([rank("last"), rank("b"), rank("a")], [0, 1, 2]);
    assert_eq!(rank("first"), 5);
    daemon.nothing_left();
}

#[test]
fn at_shutdown_a_group_waits_for_the_one_above() {
    let mut daemon = Daemon::with(
        "[program.above]\ncommand=$ZOO slow-term above 0.5\nautostart=true\nstartsecs=0\npriority=20\nstopwaitsecs=60\n\
         [program.below]\ncommand=$ZOO slow-term below 0\nautostart=true\nstartsecs=0\npriority=10\nstopwaitsecs=60\n",
    );
    daemon.sandbox.wait_mark("above", "ready");
    daemon.sandbox.wait_mark("below", "ready");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    let above = daemon.sandbox.wait_mark("above", "term").at;
    let below = daemon.sandbox.wait_mark("below", "term").at;
    assert!(below >= above, "above ended at {above}, below at {below}");
    daemon.nothing_left();
}

#[test]
fn members_of_a_group_stop_together() {
    let config = "[program.a]\ncommand=$ZOO ignore a TERM\nautostart=true\nstartsecs=0\nstopwaitsecs=1\n\
         [program.b]\ncommand=$ZOO ignore b TERM\nautostart=true\nstartsecs=0\nstopwaitsecs=1\n\
         [program.c]\ncommand=$ZOO ignore c TERM\nautostart=true\nstartsecs=0\nstopwaitsecs=1\n\
         [program.d]\ncommand=$ZOO ignore d TERM\nautostart=true\nstartsecs=0\nstopwaitsecs=1\n\
         [group.all4]\nprograms=a,b,c,d\n";
    let mut daemon = Daemon::builder()
        .daemon_keys("loglevel=debug")
        .config(config)
        .start();
    for name in ["a", "b", "c", "d"] {
        daemon.sandbox.wait_mark(name, "ready");
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    // All of them were told before the time of the first one was up.
    let log = daemon.log();
    let place = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text}: {log}"));
    for name in ["a", "b", "c", "d"] {
        assert!(place(&format!("sending all4:{name} ")) < place(" with SIGKILL"));
    }
    daemon.nothing_left();
}

#[test]
fn targets_of_groups() {
    let daemon = Daemon::with(
        "[program.db]\ncommand=sleep 1000\nstartsecs=0\n\
         [program.web]\ncommand=sleep 1000\nstartsecs=0\nnumprocs=2\n\
         [program.alone]\ncommand=sleep 1000\nstartsecs=0\n\
         [group.site]\nprograms=db,web\n",
    );
    daemon.ctl("start site:*").is(
        0,
        "site:db: started\nsite:web:0: started\nsite:web:1: started\n",
    );
    daemon.ctl("stop site:web:1").is(0, "site:web:1: stopped\n");
    daemon.ctl("start site:").is(0, "site:web:1: started\n");
    daemon
        .ctl("restart site:db")
        .is(0, "site:db: stopped\nsite:db: started\n");
    daemon.ctl("stop site:*").is(
        0,
        "site:db: stopped\nsite:web:0: stopped\nsite:web:1: stopped\n",
    );
    // One copy in a group of its own name is shown short, and understood long.
    daemon.ctl("start alone:alone").is(0, "alone: started\n");
    daemon.ctl("stop alone:*").is(0, "alone: stopped\n");
    // A program's name means all its copies, whatever group they are in.
    daemon.ctl("start db").is(0, "site:db: started\n");
    daemon.ctl("stop web:*").is(0, "");
    daemon.close();
}

#[test]
fn a_supervisor_group_is_the_same() {
    let daemon = Daemon::with(
        "[program:db]\ncommand=sleep 1000\nstartsecs=0\n\
         [program:web]\ncommand=sleep 1000\nstartsecs=0\nnumprocs=2\nprocess_name=%(program_name)s_%(process_num)02d\n\
         [group:site]\nprograms=db, web\npriority=5\n",
    );
    for name in ["site:db", "site:web_00", "site:web_01"] {
        daemon.wait_state(name, "RUNNING");
    }
    daemon
        .ctl("stop site:web_01")
        .is(0, "site:web_01: stopped\n");
    daemon.close();
}

#[test]
fn a_shutdown_gives_up_waiting_programs_and_starts_none() {
    let mut daemon = Daemon::with(
        "[program.slow]\ncommand=$ZOO hold-term slow\nautostart=true\nstartsecs=0\nstopwaitsecs=60\npriority=20\n\
         [program.always]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nautorestart=true\npriority=10\n\
         [program.retry]\ncommand=$ZOO exit retry 1\nautostart=true\nstartsecs=600\nstartretries=1000\npriority=10\n",
    );
    daemon.sandbox.wait_mark("slow", "ready");
    daemon.wait_state("retry", "BACKOFF");
    daemon.signal(Signal::SIGTERM);
    daemon.wait_state("slow", "STOPPING");
    let spawned = daemon.count_log("spawned: ");
    daemon.sandbox.write("out/slow.go", "");
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(daemon.count_log("spawned: "), spawned);
    daemon.nothing_left();
}
