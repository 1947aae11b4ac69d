//! `signal`.

use crate::harness::{Daemon, wait};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

#[test]
fn a_signal_arrives_and_changes_no_state() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO note web USR1 USR2 HUP TERM\nautostart=true\nstartsecs=0\nstopsignal=KILL\n",
    );
    daemon.sandbox.wait_mark("web", "ready");
    for (written, got) in [
        ("USR1", "got-USR1"),
        ("SIGUSR2", "got-USR2"),
        ("hup", "got-HUP"),
        ("15", "got-TERM"),
    ] {
        daemon
            .ctl(&["signal", written, "web"])
            .is(0, "web: signalled\n");
        daemon.sandbox.wait_mark("web", got);
        assert_eq!(daemon.state("web"), "RUNNING");
    }
    assert_eq!(daemon.sandbox.count_marks("web", "start"), 1);
    daemon.close();
}

#[test]
fn signal_and_name_may_come_in_one_word() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO note web USR1\nautostart=true\nstartsecs=0\nstopsignal=KILL\n",
    );
    daemon.sandbox.wait_mark("web", "ready");
    daemon
        .ctl(&["signal USR1", "web"])
        .is(0, "web: signalled\n");
    daemon.sandbox.wait_mark("web", "got-USR1");
    daemon.close();
}

#[test]
fn a_fatal_signal_is_an_end_like_any_other() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nautorestart=unexpected\n",
    );
    daemon.wait_state("web", "RUNNING");
    let old = daemon.pid("web");
    daemon.ctl("signal KILL web").is(0, "web: signalled\n");
    wait::for_condition("a new process", || {
        daemon
            .row("web")
            .pid
            .is_some_and(|pid| i32::try_from(pid) != Ok(old))
    });
    daemon.wait_log("exited: web (terminated by SIGKILL; not expected)");
    daemon.close();
}

#[test]
fn several_targets_are_answered_one_by_one() {
    let daemon = Daemon::with(
        "[program.a]\ncommand=$ZOO note a USR1\nautostart=true\nstartsecs=0\nstopsignal=KILL\n\
         [program.b]\ncommand=$ZOO note b USR1\nautostart=true\nstartsecs=0\nstopsignal=KILL\n\
         [program.off]\ncommand=sleep 1000\n",
    );
    daemon.sandbox.wait_mark("a", "ready");
    daemon.sandbox.wait_mark("b", "ready");
    daemon
        .ctl("signal USR1 b off a")
        .is(7, "b: signalled\noff: ERROR (not running)\na: signalled\n");
    for name in ["a", "b"] {
        // Signals of one kind that are pending together arrive as one.
        daemon.sandbox.wait_mark(name, "got-USR1");
    }
    // `all` touches only what runs.
    daemon
        .ctl("signal USR1 all")
        .is(0, "a: signalled\nb: signalled\n");
    wait::for_condition("two signals each", || {
        daemon.sandbox.count_marks("a", "got-USR1") == 2
            && daemon.sandbox.count_marks("b", "got-USR1") == 2
    });
    daemon.close();
}

#[test]
fn only_the_leader_is_signalled() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO family web alone\nautostart=true\nstartsecs=0\nautorestart=false\n",
    );
    daemon.sandbox.wait_mark("web", "child-ready");
    daemon.sandbox.wait_mark("web", "ready");
    let leader = daemon.pid("web");
    daemon.ctl("signal TERM web").is(0, "web: signalled\n");
    daemon.wait_state("web", "EXITED");
    assert_eq!(daemon.sandbox.count_marks("web", "child-term"), 0);
    // Whoever ends by itself takes nobody along.
    killpg(Pid::from_raw(leader), Signal::SIGKILL).unwrap();
    daemon.close();
}

#[test]
fn texts_and_codes_of_signal() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n[program.off]\ncommand=sleep 1000\n",
    );
    daemon.wait_state("web", "RUNNING");
    for bad in ["NOSUCH", "SIG", "99", "-1", "1.5", "USR1x"] {
        daemon
            .ctl(&["signal", bad, "web"])
            .is(1, "web: ERROR (bad signal name)\n");
    }
    daemon
        .ctl("signal HUP off")
        .is(7, "off: ERROR (not running)\n");
    daemon
        .ctl("signal HUP nosuch")
        .is(1, "nosuch: ERROR (no such process)\n");
    daemon
        .ctl("signal HUP nosuch:*")
        .is(1, "nosuch: ERROR (no such group)\n");
    for few in ["signal", "signal HUP"] {
        daemon.ctl(few).begins(
            1,
            "Error: signal requires a signal name and a process name\n",
        );
    }
    assert_eq!(daemon.state("web"), "RUNNING");
    daemon.close();
}
