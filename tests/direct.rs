//! Logs that programs write themselves.

use crate::harness::{Daemon, Sandbox, proc, wait};
use nix::sys::signal::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

const WEB: &str = "[program.web]\ncommand=$ZOO echo-on web one two three\nautostart=true\nstartsecs=0\n\
    stdout_direct=true\nstdout_logfile=$DIR/log/web.log\nstderr_logfile=NONE\n";

fn opened(pid: i32, number: i32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap()
}

fn follow(daemon: &Daemon, out: &Path) -> Child {
    daemon
        .console("tail -f web")
        .stdin(Stdio::null())
        .stdout(fs::File::create(out).unwrap())
        .spawn()
        .unwrap()
}

#[test]
fn a_program_has_its_log_open_itself() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=/bin/sh -c 'echo out; echo err >&2; exec sleep 1000'\nautostart=true\nstartsecs=0\n\
         stdout_direct=true\nstdout_logfile=$DIR/log/web.log\nredirect_stderr=true\n\
         [program.two]\ncommand=/bin/sh -c 'echo out; echo err >&2; exec sleep 1000'\nautostart=true\nstartsecs=0\n\
         stderr_direct=true\n",
    );
    let log = daemon.sandbox.path("log/web.log");
    daemon.wait_content(&log, "out\nerr\n");
    let web = daemon.pid("web");
    for number in [1, 2] {
        assert_eq!(opened(web, number), log);
        let info = fs::read_to_string(format!("/proc/{web}/fdinfo/{number}")).unwrap();
        let flags = proc::field_of(&info, "flags").unwrap();
        let flags = i32::from_str_radix(&flags, 8).unwrap();
        let both = libc::O_APPEND | libc::O_NONBLOCK;
        assert_eq!(flags & both, libc::O_APPEND, "{number}");
    }
    // Each stream by itself, with a log of the usual name.
    let (out, err) = (
        daemon.child_log("two_0_out.log"),
        daemon.child_log("two_0_err.log"),
    );
    daemon.wait_content(&out, "out\n");
    daemon.wait_content(&err, "err\n");
    let two = daemon.pid("two");
    assert!(opened(two, 1).display().to_string().starts_with("pipe:"));
    assert_eq!(opened(two, 2), err);
    assert_eq!(daemon.ctl("tail two stderr").stdout, "err\n\n");
    daemon.close();
}

#[test]
fn it_is_followed_emptied_and_followed_on_across_restarts() {
    let daemon = Daemon::with(WEB);
    let sandbox = &daemon.sandbox;
    let log = sandbox.path("log/web.log");
    sandbox.write("out/one.go", "");
    daemon.wait_content(&log, "one\n");
    let at_rest = daemon.rest();
    let out = sandbox.path("followed");
    let begin = "==> Press Ctrl-C to exit <==\n";
    let mut tail = follow(&daemon, &out);
    daemon.wait_content(&out, &format!("{begin}one\n"));
    daemon.ctl("clear web").is(0, "web: cleared\n");
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
    sandbox.write("out/two.go", "");
    daemon.wait_content(&out, &format!("{begin}one\ntwo\n"));
    assert_eq!(fs::read_to_string(&log).unwrap(), "two\n");
    // The next process has a file of its own when the old one was moved.
    fs::rename(&log, sandbox.path("log/web.log.1")).unwrap();
    fs::remove_file(sandbox.path("out/one.go")).unwrap();
    fs::remove_file(sandbox.path("out/two.go")).unwrap();
    daemon.ctl("restart web").code(0);
    sandbox.write("out/one.go", "");
    daemon.wait_content(&log, "one\n");
    daemon.wait_content(&out, &format!("{begin}one\ntwo\none\n"));
    tail.kill().unwrap();
    tail.wait().unwrap();
    // Nobody follows any more: the daemon does not notice what is written.
    let before = daemon.rest();
    assert!(before > at_rest);
    sandbox.write("out/two.go", "");
    daemon.wait_content(&log, "one\ntwo\n");
    assert_eq!(daemon.rest(), before);
    daemon.close();
}

#[test]
fn who_asks_for_reopening_is_told_that_it_needs_a_restart() {
    let daemon = Daemon::with(WEB);
    let sandbox = &daemon.sandbox;
    let (log, moved) = (sandbox.path("log/web.log"), sandbox.path("log/moved"));
    sandbox.write("out/one.go", "");
    daemon.wait_content(&log, "one\n");
    fs::rename(&log, &moved).unwrap();
    daemon.signal(Signal::SIGUSR2);
    daemon.wait_log("1 running programs write their logs themselves");
    sandbox.write("out/two.go", "");
    daemon.wait_content(&moved, "one\ntwo\n");
    assert!(!log.exists());
    daemon.close();
}

#[test]
fn what_cannot_be_given_away_goes_through_the_daemon() {
    let sandbox = Sandbox::new();
    nix::unistd::mkfifo(
        &sandbox.path("log/fifo"),
        nix::sys::stat::Mode::from_bits_truncate(0o600),
    )
    .unwrap();
    let daemon = Daemon::builder()
        .config(
            "[program.web]\ncommand=/bin/sh -c 'echo out; exec sleep 1000'\nautostart=true\nstartsecs=0\n\
             stdout_direct=true\nstdout_logfile=$DIR/log/fifo\n\
             [program.sized]\ncommand=/bin/sh -c 'echo out; exec sleep 1000'\nautostart=true\nstartsecs=0\n\
             stdout_direct=true\nstdout_logfile_maxbytes=1000\n",
        )
        .start_in(sandbox);
    daemon.wait_log("web: can't write");
    for name in ["web", "sized"] {
        let pid = daemon.wait_state(name, "RUNNING").pid.unwrap();
        let pid = i32::try_from(pid).unwrap();
        wait::for_condition("the program to be executed", || {
            proc::read(pid).is_some_and(|process| process.name == "sleep")
        });
        assert!(opened(pid, 1).display().to_string().starts_with("pipe:"));
    }
    daemon.wait_content(daemon.child_log("sized_0_out.log"), "out\n");
    daemon.close();
}

#[test]
fn turning_it_on_restarts_the_program() {
    let config = |direct: bool| {
        format!(
            "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
             stdout_logfile_maxbytes=0\nstdout_direct={direct}\n"
        )
    };
    let daemon = Daemon::with(&config(false));
    let before = daemon.wait_state("web", "RUNNING").pid;
    daemon.edit_config(&config(true));
    daemon.ctl("update").code(0);
    let pid = wait::until("another process", || {
        daemon.row("web").pid.filter(|&pid| Some(pid) != before)
    });
    let pid = i32::try_from(pid).unwrap();
    assert_eq!(opened(pid, 1), daemon.child_log("web_0_out.log"));
    daemon.close();
}
