//! `wait`, `--no-wait`, `--timeout`, `status --fail-if`, `--watch` and `--long`: what scripts and people wait for.

use crate::harness::{Daemon, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::process::Stdio;

#[test]
fn a_state_that_is_there_is_not_waited_for() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n[program.off]\ncommand=sleep 1000\n",
    );
    daemon.wait_state("web", "RUNNING");
    daemon.ctl("wait web").is(0, "web: running\n");
    daemon.ctl("wait off --for stopped").is(0, "off: stopped\n");
    daemon
        .ctl("wait --all --for stopped,running")
        .is(0, "off: stopped\nweb: running\n");
    daemon.close();
}

#[test]
fn a_wait_ends_when_the_state_comes() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=0\n");
    let command = daemon.console("wait web");
    let out = daemon.sandbox.path("waited");
    let mut command = command;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .spawn()
        .unwrap();
    daemon.ctl("start web").code(0);
    let status = wait::until("the end of wait", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert_eq!(fs::read_to_string(&out).unwrap(), "web: running\n");
    daemon.close();
}

#[test]
fn a_wait_that_is_in_vain_ends_at_once() {
    let daemon = Daemon::with(
        "[program.bad]\ncommand=/nonexistent\nautostart=true\nstartretries=0\n\
         [program.gone]\ncommand=$ZOO exit gone 0\nautostart=true\nstartsecs=0\nautorestart=false\n",
    );
    daemon.wait_state("bad", "FATAL");
    daemon.wait_state("gone", "EXITED");
    daemon.ctl("wait bad").is(1, "bad: ERROR (fatal)\n");
    daemon.ctl("wait gone").is(1, "gone: ERROR (exited)\n");
    daemon.ctl("wait gone --for exited").is(0, "gone: exited\n");
    daemon
        .ctl("wait nosuch")
        .is(1, "nosuch: ERROR (no such process)\n");
    daemon.close();
}

#[test]
fn time_runs_out_with_124() {
    let daemon = Daemon::with(
        "[program.off]\ncommand=sleep 1000\n[program.slow]\ncommand=sleep 1000\nstartsecs=600\n\
         [program.deaf]\ncommand=$ZOO ignore deaf TERM\nautostart=true\nstartsecs=0\nstopwaitsecs=600\n",
    );
    daemon
        .ctl("wait off --timeout 100ms")
        .is(124, "off: ERROR (timed out, stopped)\n");
    daemon.ctl("start slow --timeout 100ms").is(
        124,
        "start: ERROR (not done in time; the daemon goes on with it)\n",
    );
    // It was asked for all the same.
    assert_eq!(daemon.state("slow"), "STARTING");
    daemon.sandbox.wait_mark("deaf", "ready");
    daemon.ctl("stop --timeout=0.1 deaf").code(124);
    assert_eq!(daemon.state("deaf"), "STOPPING");
    let deaf = daemon.pid("deaf");
    kill(Pid::from_raw(deaf), Signal::SIGKILL).unwrap();
    daemon.close();
}

#[test]
fn without_waiting_the_answer_comes_at_once() {
    let daemon = Daemon::with("[program.slow]\ncommand=sleep 1000\nstartsecs=600\n");
    daemon.ctl("start --no-wait slow").is(0, "slow: starting\n");
    assert_eq!(daemon.state("slow"), "STARTING");
    daemon
        .ctl("restart --no-wait slow")
        .is(0, "slow: stopping\nslow: starting\n");
    daemon.ctl("stop --no-wait slow").is(0, "slow: stopping\n");
    daemon.wait_state("slow", "STOPPED");
    daemon.close();
}

#[test]
fn a_probe_fails_by_state() {
    let daemon = Daemon::with(
        "[program.bad]\ncommand=/nonexistent\nautostart=true\nstartretries=0\n[program.off]\ncommand=sleep 1000\n",
    );
    daemon.wait_state("bad", "FATAL");
    for (words, code) in [
        ("status --fail-if fatal,backoff", 1),
        ("status --fail-if backoff", 0),
        ("status off --fail-if fatal", 0),
        ("status off --fail-if=Stopped", 1),
        ("status nosuch --fail-if fatal", 4),
        ("status --fail-if asleep", 2),
        ("status --dance", 2),
    ] {
        daemon.ctl(words).code(code);
    }
    daemon.close();
}

#[test]
fn a_watch_prints_the_table_after_each_change() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=0\n");
    let out = daemon.sandbox.path("watched");
    let mut child = daemon
        .console("status --watch")
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .spawn()
        .unwrap();
    let stopped = "web                              STOPPED   Not started\n";
    daemon.wait_content(&out, stopped);
    daemon.ctl("start web").code(0);
    wait::for_condition("the running process", || {
        let text = fs::read_to_string(&out).unwrap();
        text.starts_with(&format!("{stopped}\n")) && text.contains("RUNNING   pid ")
    });
    assert!(!fs::read_to_string(&out).unwrap().contains('\u{1b}'));
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let status = wait::until("the end of the watch", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    daemon.close();
}

#[test]
fn the_long_form_shows_use_and_logs() {
    let daemon =
        Daemon::with("[program.web]\ncommand=$ZOO parent web\nautostart=true\nstartsecs=0\n");
    daemon.wait_state("web", "RUNNING");
    // The kernel counts the memory of a process that has just begun a little late.
    wait::for_condition("memory in use", || {
        daemon.ctl("status --long").stdout.contains(" MB  ")
    });
    let said = daemon.ctl("status --long");
    said.code(0)
        .mentions("NAME ")
        .mentions("RESTARTS")
        .mentions(&format!("  {}  ", daemon.pid("web")))
        .mentions(" MB  ")
        .mentions(&daemon.child_log("web_0_out.log").display().to_string());
    wait::for_condition("the child to be counted", || {
        let said = daemon.ctl("status --long --json");
        let document: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let resources = &document["processes"][0]["resources"];
        resources["memory"].as_u64().is_some_and(|bytes| bytes > 0)
            && resources["processes"] == 2
            && resources["cpu_percent"].is_number()
            && resources["cpu_ms"].is_number()
    });
    daemon.close();
}

#[test]
fn json_of_a_wait_has_the_documented_keys() {
    let daemon = Daemon::with("[program.off]\ncommand=sleep 1000\n");
    let said = daemon.ctl("wait off --timeout 50ms --json");
    said.code(124);
    let document: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        document,
        serde_json::json!({
            "action": "wait",
            "processes": [{ "name": "off", "state": "STOPPED", "reached": false }],
            "reached": false,
            "timed_out": true,
        })
    );
    daemon.close();
}

#[test]
fn the_last_lines_of_several_logs() {
    let daemon = Daemon::with(
        "[program.a]\ncommand=$ZOO say a one two three\nautostart=true\nstartsecs=0\n\
         [program.b]\ncommand=$ZOO say b four five\nautostart=true\nstartsecs=0\n",
    );
    daemon.wait_content(daemon.child_log("a_0_out.log"), "one\ntwo\nthree\n");
    daemon.wait_content(daemon.child_log("b_0_out.log"), "four\nfive\n");
    daemon.ctl("tail -n 2 a").is(0, "two\nthree\n\n");
    daemon.ctl("tail -n 0 a").is(0, "\n");
    daemon
        .ctl("tail -n 1 a b stdout")
        .is(0, "==> a <==\nthree\n\n==> b <==\nfive\n\n");
    daemon
        .ctl("tail a nosuch")
        .is(1, "Error: bad channel 'nosuch'\n");
    daemon.ctl("maintail -n 1").code(0);
    daemon.close();
}

#[test]
fn the_foreground_loses_no_byte_of_a_long_input() {
    // The program begins to read late, so more is offered than the daemon keeps for it.
    let daemon = Daemon::with(
        "[program.late]\ncommand=sh -c 'sleep 0.5; cat'\nautostart=true\nstartsecs=0\nstdout_logfile_maxbytes=0\n",
    );
    daemon.wait_state("late", "RUNNING");
    let input: Vec<u8> = (0..400_000_u32)
        .map(|number| u8::try_from(number % 251).unwrap())
        .collect();
    let path = daemon.sandbox.path("input");
    fs::write(&path, &input).unwrap();
    let mut child = daemon
        .console("fg late")
        .stdin(fs::File::open(&path).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = wait::until("the end of the input", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    let log = daemon.child_log("late_0_out.log");
    wait::for_condition("all bytes in the log", || fs::read(&log).unwrap() == input);
    daemon.close();
}
