//! The daemon's own life: how it begins, what signals do to it, how it ends.

use crate::harness::{Daemon, proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::Duration;

pub const ONE: &str = "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n";

#[test]
fn orderly_shutdown_by_signal_and_by_command() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let mut daemon = Daemon::builder().pidfile().config(ONE).start();
        daemon.wait_state("web", "RUNNING");
        assert_eq!(
            daemon.sandbox.read("run/tm.pid"),
            format!("{}\n", daemon.process())
        );
        daemon.signal(signal);
        assert_eq!(daemon.wait_exit(), 0, "{signal}");
        let log = daemon.log();
        assert!(
            log.contains(&format!(
                "received {} indicating exit request",
                signal.as_str()
            )),
            "{log}"
        );
        assert!(
            log.contains("stopped: web (terminated by SIGTERM)"),
            "{log}"
        );
        daemon.nothing_left();
    }
    let mut daemon = Daemon::with(ONE);
    daemon.wait_state("web", "RUNNING");
    daemon
        .ctl("shutdown x")
        .begins(1, "Error: shutdown accepts no arguments\n");
    daemon.ctl("shutdown").is(0, "Shut down\n");
    assert_eq!(daemon.wait_exit(), 0);
    daemon.nothing_left();
}

#[test]
fn a_second_signal_hurries() {
    let mut daemon = Daemon::with(
        "[program.deaf]\ncommand=$ZOO ignore deaf TERM\nautostart=true\nstartsecs=0\nstopwaitsecs=600\n",
    );
    daemon.sandbox.wait_mark("deaf", "ready");
    daemon.signal(Signal::SIGTERM);
    daemon.wait_state("deaf", "STOPPING");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    daemon.nothing_left();
}

#[test]
fn a_shutdown_is_final() {
    let mut daemon = Daemon::with(
        "[program.slow]\ncommand=$ZOO hold-term slow\nautostart=true\nstartsecs=0\nstopwaitsecs=600\n\
         [program.off]\ncommand=sleep 1000\nstartsecs=0\n",
    );
    daemon.sandbox.wait_mark("slow", "ready");
    daemon.ctl("shutdown").is(0, "Shut down\n");
    daemon.wait_state("slow", "STOPPING");
    // Status is still served, changes are not.
    daemon
        .ctl("status slow")
        .is(0, "slow                             STOPPING  \n");
    daemon.ctl("start off").code(1);
    daemon.ctl("update").is(1, "ERROR: already shutting down\n");
    daemon.ctl("reload").is(1, "ERROR: already shutting down\n");
    daemon
        .ctl("reread")
        .is(1, "ERROR: supervisor shutting down\n");
    daemon.ctl("add off").is(1, "ERROR: shutting down\n");
    daemon
        .ctl("shutdown")
        .is(0, "ERROR: already shutting down\n");
    daemon.signal(Signal::SIGHUP);
    daemon.sandbox.write("out/slow.go", "");
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(daemon.sandbox.count_marks("slow", "term"), 1);
    assert_eq!(daemon.count_log("spawned: 'off'"), 0);
    daemon.nothing_left();
}

#[test]
fn signals_that_mean_nothing_do_no_harm() {
    let daemon = Daemon::with(ONE);
    daemon.wait_state("web", "RUNNING");
    let pid = daemon.pid("web");
    for signal in [
        Signal::SIGUSR1,
        Signal::SIGALRM,
        Signal::SIGPIPE,
        Signal::SIGWINCH,
        Signal::SIGURG,
        Signal::SIGTSTP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGIO,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGXCPU,
        Signal::SIGXFSZ,
        Signal::SIGCONT,
        Signal::SIGCHLD,
    ] {
        daemon.signal(signal);
        daemon.rows();
        assert_eq!(
            proc::read(daemon.process()).map(|process| process.state == 'T'),
            Some(false),
            "{signal}"
        );
    }
    for number in ["34", "35", "50", "64"] {
        let said = daemon.sandbox.run(
            "/bin/sh",
            &[
                "-c",
                "kill -\"$1\" \"$2\"",
                "sh",
                number,
                &daemon.process().to_string(),
            ],
        );
        said.code(0);
        daemon.rows();
    }
    assert_eq!(daemon.pid("web"), pid);
    daemon.close();
}

#[test]
fn after_a_kill_the_next_daemon_never_has_two_copies() {
    let config = "[program.web]\ncommand=$ZOO mark web\nautostart=true\nstartsecs=0\n\
                  [program.family]\ncommand=$ZOO parent family\nautostart=true\nstartsecs=0\n\
                  [program.deaf]\ncommand=$ZOO ignore deaf TERM HUP INT\nautostart=true\nstartsecs=0\n";
    let mut daemon = Daemon::builder().pidfile().config(config).start();
    daemon.sandbox.wait_mark("web", "start");
    daemon.sandbox.wait_mark("deaf", "ready");
    wait::for_condition("the child", || daemon.sandbox.marks("family").len() == 2);
    let old: Vec<_> = ["web", "family", "deaf"]
        .map(|name| daemon.pid(name))
        .into();
    daemon.murder();
    daemon.launch();
    for name in ["web", "family", "deaf"] {
        daemon.wait_state(name, "RUNNING");
    }
    // Either the old ones were taken over or they are gone, members of their groups included.
    for (name, old) in ["web", "family", "deaf"].iter().zip(&old) {
        let new = daemon.pid(name);
        if new != *old {
            wait::for_condition(format!("the old {name} to be gone"), || {
                proc::group_members(*old).is_empty()
            });
            assert!(daemon.sandbox.marks(name).len() >= 2);
        }
    }
    daemon.close();
}

#[test]
fn kill_and_start_ten_times() {
    let mut daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nnumprocs=5\n",
    );
    for _ in 0..10 {
        // In the middle of its starts, too.
        daemon.murder();
        daemon.launch();
    }
    for number in 0..5 {
        daemon.wait_state(&format!("web:{number}"), "RUNNING");
    }
    wait::for_condition("five processes", || {
        proc::tagged(&daemon.sandbox.tag())
            .iter()
            .filter(|process| process.name == "sleep")
            .count()
            == 5
    });
    daemon.close();
}

#[test]
fn the_daemon_starts_with_signals_blocked_or_ignored() {
    let mut daemon = Daemon::builder()
        .via(&["/bin/sh", "-c", "trap '' TERM HUP INT CHLD USR2; exec \"$@\"", "sh"])
        .config("[program.web]\ncommand=$ZOO exit-after web 0.2 0\nautostart=true\nstartsecs=0\nautorestart=false\n")
        .start();
    // CHLD is heard, ignored or not.
    daemon.wait_state("web", "EXITED");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    daemon.nothing_left();
}

#[test]
fn an_end_is_noticed_at_once() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nstartsecs=0\nautorestart=false\nnumprocs=21\n",
    );
    daemon.ctl("start web").code(0);
    let mut copies = (0..21).map(|number| format!("web:{number}"));
    wait::quickly("to notice an end", Duration::from_millis(300), 10, || {
        let name = copies.next().unwrap();
        kill(Pid::from_raw(daemon.pid(&name)), Signal::SIGKILL).unwrap();
        daemon.wait_state(&name, "EXITED");
    });
    daemon.close();
}

#[test]
fn nothing_wakes_an_idle_daemon() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=1\nnumprocs=3\n",
    );
    for number in 0..3 {
        daemon.wait_state(&format!("web:{number}"), "RUNNING");
    }
    let before = daemon.rest();
    wait::holds("no wake-up", Duration::from_secs(2), || {
        proc::wakeups(daemon.process()) == before
    });
    daemon.close();
}

#[test]
fn the_code_that_answers_a_client_is_let_go_of_when_all_is_quiet() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\n");
    // Seen at work before it comes to rest, which a machine that is busy may be too slow for.
    wait::for_condition("less code at rest than at work", || {
        daemon.rows();
        let at_work = proc::mapped_code(daemon.process());
        daemon.rest();
        proc::mapped_code(daemon.process()) < at_work
    });
    daemon.close();
}

#[test]
fn descriptors_return_to_the_baseline() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO both web\nautostart=true\nstartsecs=0\n\
         [program.flash]\ncommand=$ZOO exit flash 0\nstartsecs=0\nautorestart=false\n\
         [program.none]\ncommand=/nonexistent/x\nstartretries=0\n",
    );
    daemon.wait_state("web", "RUNNING");
    daemon.sandbox.wait_mark("web", "said");
    daemon.rows();
    daemon.note_descriptors();
    for _ in 0..20 {
        daemon.ctl("restart web").code(0);
        daemon.ctl("start flash").code(0);
        daemon.wait_state("flash", "EXITED");
        daemon.ctl("start none").code(1);
        daemon.ctl("tail web").code(0);
        daemon.signal(Signal::SIGHUP);
        daemon.signal(Signal::SIGUSR2);
    }
    daemon.close();
}
