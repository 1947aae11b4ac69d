//! A daemon that ends because of its programs, with their status, and a shutdown that has a time.

use crate::harness::{Daemon, proc};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

const PEER: &str = "[program.peer]\ncommand=$ZOO catch peer TERM\nautostart=true\nstartsecs=0\n";

fn daemon(rule: &str, programs: &str) -> Daemon {
    Daemon::builder()
        .daemon_keys(&format!("exit_when={rule}\n"))
        .config(&format!("{programs}{PEER}"))
        .start()
}

/// Waits for the end, and makes sure that the others were stopped in order and one line says why.
#[track_caller]
fn ends(mut daemon: Daemon, status: i32, reason: &str) {
    assert_eq!(daemon.wait_exit(), status);
    let log = daemon.log();
    assert_eq!(log.matches("as exit_when=").count(), 1, "{log}");
    assert!(log.contains(reason), "{log}");
    assert!(log.contains("stopped: peer ("), "{log}");
    daemon.nothing_left();
}

#[test]
fn an_essential_program_that_fails_takes_the_daemon_along() {
    let failing = "[program.web]\ncommand=$ZOO exit-on-go web 5\nautorestart=false\n\
                   startsecs=0\nautostart=true\nessential=true\n";
    let daemon = daemon("essential-failed", failing);
    daemon.sandbox.write("out/web.go", "");
    ends(
        daemon,
        5,
        "web has ended (exit status 5): shutting down with status 5, as exit_when=essential-failed asks",
    );
}

#[test]
fn a_program_that_was_killed_is_told_as_shells_do() {
    let running = "[program.web]\ncommand=$ZOO mark web\nautorestart=false\nautostart=true\n\
                   essential=true\n";
    let daemon = daemon("essential-failed", running);
    daemon.wait_state("web", "RUNNING");
    daemon.ctl("signal KILL web").is(0, "web: signalled\n");
    ends(daemon, 137, "web has ended (terminated by SIGKILL)");
}

#[test]
fn a_program_that_gives_up_or_cannot_be_executed_counts_as_failed() {
    for (command, rule, status, reason) in [
        ("/nonexistent/web", "essential-failed", 127, "web is FATAL"),
        (
            "$ZOO exit web 0",
            "essential-exited",
            1,
            "web is FATAL (exit status 0): shutting down with status 1",
        ),
    ] {
        let web = format!("[program.web]\ncommand={command}\nstartsecs=600\nstartretries=0\n");
        let daemon = daemon(rule, &web);
        daemon.wait_state("peer", "RUNNING");
        daemon.ctl("start web").mentions("web: ERROR");
        ends(daemon, status, reason);
    }
}

#[test]
fn a_job_that_is_done_ends_the_daemon_well() {
    let job = "[program.job]\ncommand=$ZOO exit-on-go job 0\nautorestart=false\nstartsecs=0\n\
               autostart=true\nessential=true\n";
    let daemon = daemon("essential-exited", job);
    daemon.sandbox.write("out/job.go", "");
    ends(daemon, 0, "job has ended");
}

#[test]
fn a_file_of_supervisors_can_use_it() {
    let mut daemon = Daemon::builder()
        .supervisor()
        .daemon_keys("exit_when=all-exited\n")
        .config(
            "[program:a]\ncommand=$ZOO exit-on-go a 0\nstartsecs=0\nautorestart=false\n\
             [program:b]\ncommand=$ZOO exit-on-go b 6\nstartsecs=0\nautorestart=false\n\
             [program:c]\ncommand=$ZOO exit-on-go c 0\nstartsecs=0\nautorestart=false\n",
        )
        .start();
    for name in ["a", "b", "c"] {
        daemon.sandbox.write(&format!("out/{name}.go"), "");
    }
    assert_eq!(daemon.wait_exit(), 6);
    assert!(daemon.log().contains("b has ended (exit status 6)"));
    daemon.nothing_left();
}

#[test]
fn what_is_not_essential_or_was_stopped_ends_nothing() {
    let daemon = daemon(
        "essential-failed",
        "[program.web]\ncommand=$ZOO mark web\nautostart=true\nessential=true\nstartsecs=0\n\
         [program.job]\ncommand=$ZOO exit job 4\nautorestart=false\nautostart=true\nstartsecs=0\n",
    );
    daemon.wait_state("job", "EXITED");
    daemon.ctl("stop web").is(0, "web: stopped\n");
    daemon.ctl("start web").is(0, "web: started\n");
    // The rule applies live.
    let file = daemon.sandbox.read("tm.ini");
    daemon
        .sandbox
        .write("tm.ini", &file.replace("=essential-failed", "=never"));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_log("received SIGHUP");
    daemon.ctl("update").code(0);
    assert_eq!(daemon.count_log("`reload` makes them take effect"), 0);
    daemon.ctl("signal KILL web").code(0);
    daemon.close();
}

#[test]
fn a_shutdown_is_over_in_its_time_though_a_program_ignores_it() {
    let mut daemon = Daemon::builder()
        .daemon_keys("shutdown_timeout=1\n")
        .config(
            "[program.deaf]\ncommand=$ZOO ignore deaf TERM\nautostart=true\nstartsecs=0\n\
             stopwaitsecs=3600\n",
        )
        .start();
    // It ignores the signal only when it has said so.
    daemon.sandbox.wait_mark("deaf", "ready");
    let pid = daemon.pid("deaf");
    let began = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    // Far less than stopwaitsecs; how much more than a second is the machine's affair.
    assert!(began.elapsed() < Duration::from_mins(1));
    assert!(!proc::is_alive(pid));
    let log = daemon.log();
    assert!(
        log.contains("the shutdown has reached shutdown_timeout"),
        "{log}"
    );
    daemon.nothing_left();
}
