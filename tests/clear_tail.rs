//! `tail`, `maintail`, `clear`.

use crate::harness::{Daemon, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::process::Stdio;

/// A daemon with a program that has said these words, a line each.
fn daemon_with_output(name: &str, words: &str) -> Daemon {
    let daemon = Daemon::with(&format!(
        "[program.{name}]\ncommand=$ZOO say {name} {words}\nautostart=true\nstartsecs=0\n"
    ));
    let expected = words.replace(' ', "\n") + "\n";
    daemon.wait_content(daemon.child_log(&format!("{name}_0_out.log")), &expected);
    daemon
}

#[test]
fn tail_prints_the_last_bytes_and_a_newline() {
    let daemon = daemon_with_output("web", "one two three");
    daemon.ctl("tail web").is(0, "one\ntwo\nthree\n\n");
    daemon.ctl("tail -6 web").is(0, "three\n\n");
    daemon.ctl("tail -3 web").is(0, "ee\n\n");
    daemon.ctl("tail -0 web").is(0, "one\ntwo\nthree\n\n");
    daemon.ctl("tail -1000000 web").is(0, "one\ntwo\nthree\n\n");
    daemon.ctl("tail web stdout").is(0, "one\ntwo\nthree\n\n");
    daemon.ctl("tail web STDOUT").is(0, "one\ntwo\nthree\n\n");
    daemon.ctl("tail web stderr").is(0, "\n");
    daemon.close();
}

#[test]
fn tail_gives_1600_bytes_unless_told_otherwise() {
    let daemon =
        Daemon::with("[program.web]\ncommand=$ZOO lines web 20 100\nautostart=true\nstartsecs=0\n");
    daemon.sandbox.wait_mark("web", "said");
    let log = daemon.child_log("web_0_out.log");
    wait::for_condition("2000 bytes", || {
        fs::metadata(&log).is_ok_and(|file| file.len() == 2000)
    });
    let whole = fs::read_to_string(&log).unwrap();
    daemon
        .ctl("tail web")
        .is(0, &format!("{}\n", &whole[400..]));
    daemon.ctl("tail -0 web").is(0, &format!("{whole}\n"));
    daemon.close();
}

#[test]
fn tail_tells_the_channels_apart() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO both web\nautostart=true\nstartsecs=0\n\
         [program.one]\ncommand=$ZOO both one\nautostart=true\nstartsecs=0\nredirect_stderr=true\n",
    );
    daemon.wait_content(daemon.child_log("web_0_out.log"), "out1\nout2\n");
    daemon.wait_content(daemon.child_log("web_0_err.log"), "err1\nerr2\n");
    daemon.ctl("tail web").is(0, "out1\nout2\n\n");
    daemon.ctl("tail web stderr").is(0, "err1\nerr2\n\n");
    daemon.wait_content(
        daemon.child_log("one_0_out.log"),
        "out1\nerr1\nout2\nerr2\n",
    );
    daemon
        .ctl("tail one stderr")
        .is(1, "one: ERROR (no log file)\n");
    daemon.close();
}

#[test]
fn tail_works_on_what_has_ended() {
    let daemon = Daemon::with(
        "[program.gone]\ncommand=$ZOO say-exit gone last words\nautostart=true\nstartsecs=0\nautorestart=false\n",
    );
    daemon.wait_state("gone", "EXITED");
    daemon.wait_content(daemon.child_log("gone_0_out.log"), "last\nwords\n");
    daemon.ctl("tail gone").is(0, "last\nwords\n\n");
    daemon.close();
}

#[test]
fn errors_of_tail() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
         [program.mute]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n",
    );
    daemon.wait_state("mute", "RUNNING");
    for (words, text) in [
        ("tail", "Error: too few arguments\n"),
        ("tail -f web stdout more", "Error: too many arguments\n"),
        ("tail -100", "Error: tail requires process name\n"),
        ("tail -f", "Error: tail requires process name\n"),
        ("tail -abc web", "Error: bad argument -abc\n"),
        ("tail web foo", "Error: bad channel 'foo'\n"),
        ("maintail -abc", "Error: bad argument -abc\n"),
        ("maintail -1 -2", "Error: too many arguments\n"),
    ] {
        daemon.ctl(words).begins(1, text);
    }
    daemon.ctl("tail mute").is(1, "mute: ERROR (no log file)\n");
    daemon
        .ctl("tail nosuch")
        .is(1, "nosuch: ERROR (no such process name)\n");
    daemon.close();
}

#[test]
fn maintail_prints_the_daemons_log() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
    daemon.wait_log("spawned: 'web'");
    let log = daemon.log();
    daemon.ctl("maintail -0").begins(0, &log);
    let said = daemon.ctl("maintail -20");
    said.code(0);
    assert_eq!(said.stdout.len(), 21, "{said:?}");
    assert!(said.stdout.ends_with("\n\n"), "{said:?}");
    daemon.ctl("maintail").code(0).mentions("spawned: 'web'");
    daemon.close();
}

#[test]
fn maintail_without_a_log_says_so() {
    let daemon = Daemon::builder().arg("-l").arg("NONE").start();
    let said = daemon.ctl("maintail");
    said.code(1);
    assert!(said.stdout.ends_with(": ERROR (no log file)\n"), "{said:?}");
    daemon.close();
}

#[test]
fn tail_f_follows_until_it_is_interrupted() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO echo-on web one two three\nautostart=true\nstartsecs=0\n",
    );
    let sandbox = &daemon.sandbox;
    sandbox.write("out/one.go", "");
    daemon.wait_content(daemon.child_log("web_0_out.log"), "one\n");
    daemon.rows();
    let out = sandbox.path("followed");
    let mut command = daemon.console("tail -f web");
    sandbox.note(&command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .spawn()
        .unwrap();
    daemon.wait_content(&out, "==> Press Ctrl-C to exit <==\none\n");
    sandbox.write("out/two.go", "");
    daemon.wait_content(&out, "==> Press Ctrl-C to exit <==\none\ntwo\n");
    // A restart does not end it.
    sandbox.write("out/three.go", "");
    daemon.wait_content(&out, "==> Press Ctrl-C to exit <==\none\ntwo\nthree\n");
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let status = wait::until("the end of tail -f", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    daemon.close();
}

#[test]
fn tail_f_begins_with_1024_bytes_and_survives_a_restart() {
    let daemon =
        Daemon::with("[program.web]\ncommand=$ZOO lines web 20 100\nautostart=true\nstartsecs=0\n");
    daemon.sandbox.wait_mark("web", "said");
    let log = daemon.child_log("web_0_out.log");
    wait::for_condition("2000 bytes", || {
        fs::metadata(&log).is_ok_and(|file| file.len() == 2000)
    });
    let whole = fs::read_to_string(&log).unwrap();
    let out = daemon.sandbox.path("followed");
    let mut child = daemon
        .console("tail -f web")
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .spawn()
        .unwrap();
    let begin = format!("==> Press Ctrl-C to exit <==\n{}", &whole[2000 - 1024..]);
    daemon.wait_content(&out, &begin);
    daemon.ctl("restart web").code(0);
    daemon.wait_content(&out, &format!("{begin}{whole}"));
    child.kill().unwrap();
    child.wait().unwrap();
    daemon.close();
}

#[test]
fn maintail_f_follows_the_daemon() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=0\n");
    let out = daemon.sandbox.path("followed");
    let mut child = daemon
        .console("maintail -f")
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .spawn()
        .unwrap();
    wait::for_condition("the banner", || {
        fs::read_to_string(&out)
            .is_ok_and(|text| text.starts_with("==> Press Ctrl-C to exit <==\n"))
    });
    daemon.ctl("start web").code(0);
    wait::for_condition("the line of the start", || {
        fs::read_to_string(&out).is_ok_and(|text| text.contains("spawned: 'web' with pid "))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    daemon.close();
}

#[test]
fn a_follower_ends_with_the_daemon() {
    let daemon = daemon_with_output("web", "one");
    let out = daemon.sandbox.path("followed");
    let mut child = daemon
        .console("tail -f web")
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .spawn()
        .unwrap();
    wait::for_condition("the first word", || {
        fs::read_to_string(&out).is_ok_and(|text| text.contains("one\n"))
    });
    daemon.close();
    wait::until("the end of tail -f", || child.try_wait().unwrap());
}

#[test]
fn clear_empties_both_logs_and_writing_goes_on() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO echo-on web one two\nautostart=true\nstartsecs=0\n",
    );
    daemon.sandbox.write("out/one.go", "");
    let log = daemon.child_log("web_0_out.log");
    daemon.wait_content(&log, "one\n");
    daemon.ctl("clear web").is(0, "web: cleared\n");
    daemon.wait_content(&log, "");
    daemon.sandbox.write("out/two.go", "");
    daemon.wait_content(&log, "two\n");
    daemon.close();
}

#[test]
fn clear_empties_the_logs_of_what_has_ended() {
    let daemon = Daemon::with(
        "[program.gone]\ncommand=$ZOO say-exit gone last words\nautostart=true\nstartsecs=0\nautorestart=false\n",
    );
    daemon.wait_state("gone", "EXITED");
    let log = daemon.child_log("gone_0_out.log");
    daemon.wait_content(&log, "last\nwords\n");
    daemon.ctl("clear gone").is(0, "gone: cleared\n");
    daemon.wait_content(&log, "");
    daemon.close();
}

#[test]
fn clear_keeps_rotated_files() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO lines web 25 100\nautostart=true\nstartsecs=0\nstdout_logfile_maxbytes=1000\n",
    );
    daemon.sandbox.wait_mark("web", "said");
    let log = daemon.child_log("web_0_out.log");
    wait::for_condition("500 bytes", || {
        fs::metadata(&log).is_ok_and(|file| file.len() == 500)
    });
    daemon.ctl("clear web").is(0, "web: cleared\n");
    daemon.wait_content(&log, "");
    assert_eq!(
        fs::metadata(daemon.child_log("web_0_out.log.1"))
            .unwrap()
            .len(),
        1000
    );
    daemon.close();
}

#[test]
fn texts_and_codes_of_clear() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\n\
         [program.mute]\ncommand=sleep 1000\nstdout_logfile=NONE\nstderr_logfile=NONE\n\
         [program.pair]\ncommand=sleep 1000\nnumprocs=2\n",
    );
    daemon.ctl("clear web").is(0, "web: cleared\n");
    daemon.ctl("clear mute").is(0, "mute: cleared\n");
    daemon
        .ctl("clear pair:*")
        .is(0, "pair:0: cleared\npair:1: cleared\n");
    daemon.ctl("clear all").is(
        0,
        "mute: cleared\npair:0: cleared\npair:1: cleared\nweb: cleared\n",
    );
    daemon
        .ctl("clear nosuch")
        .is(1, "nosuch: ERROR (no such process)\n");
    daemon
        .ctl("clear nosuch:*")
        .is(1, "nosuch: ERROR (no such group)\n");
    daemon
        .ctl("clear")
        .begins(1, "Error: clear requires a process name\n");
    daemon.close();
}
