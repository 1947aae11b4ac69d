//! What is done with output: the same programs under both, and the same bytes in logs and in the system log.

use super::install::supervisor;
use super::rig::Rig;
use crate::harness::{Daemon, wait};
use crate::output::{receive, with_syslog};
use std::fs::{self, File};
use std::process::Stdio;

#[test]
fn captured_sections_leave_the_same_log() {
    let Some(bin) = supervisor() else { return };
    // Sections are followed by more than the 24 bytes that the real one holds back, and are written at once.
    let tail = "a-long-tail-that-is-no-beginning-of-a-token";
    let config = format!(
        "[program:web]\ncommand=$ZOO say web \
         before<!--XSUPERVISOR:BEGIN-->inside<!--XSUPERVISOR:END-->{tail} \
         <!--XSUPERVISOR:BEGIN-->two<!--XSUPERVISOR:END-->{tail}\n\
         stdout_capture_maxbytes=1KB\nstdout_logfile=$DIR/log/web.log\nautostart=true\nstartsecs=0\n"
    );
    let expected = format!("before{tail}\n{tail}\n");
    for rig in [Rig::real(bin, &config), Rig::ours(&config)] {
        let log = rig.sandbox().path("log/web.log");
        wait::for_condition(format!("{expected:?} in the log"), || {
            fs::read_to_string(&log).is_ok_and(|text| text == expected)
        });
        rig.ask("shutdown");
    }
}

#[test]
fn colours_leave_the_same_text() {
    let Some(bin) = supervisor() else { return };
    let config = "strip_ansi=true\n[program:web]\n\
        command=/bin/sh -c 'printf \"\\033[1;31mred\\033[0m \\033[2J\\033[Hhome\\033[K\\n\"; exec sleep 1000'\n\
        stdout_logfile=$DIR/log/web.log\nautostart=true\nstartsecs=0\n";
    for rig in [Rig::real(bin, config), Rig::ours(config)] {
        let log = rig.sandbox().path("log/web.log");
        wait::for_condition("the text without colours", || {
            fs::read_to_string(&log).is_ok_and(|text| text == "red home\n")
        });
        rig.ask("shutdown");
    }
}

#[test]
fn the_same_lines_go_to_the_system_log() {
    let Some(bin) = supervisor() else { return };
    let program = "[program:web]\ncommand=$ZOO say web one two\nstdout_syslog=true\n\
                   stdout_logfile=$DIR/log/web.log\nautostart=true\nstartsecs=0\n";
    let expected = [
        ("<14>".to_owned(), "supervisord: web one".to_owned()),
        ("<14>".to_owned(), "supervisord: web two".to_owned()),
    ];
    let Some((sandbox, socket, words)) = with_syslog() else {
        return;
    };
    let config = format!(
        "[supervisord]\nlogfile=$DIR/log/main.log\npidfile=$DIR/run/supervisord.pid\n{program}"
    );
    sandbox.write("tm.ini", &config);
    let mut command = sandbox.command(&words[0]);
    command
        .args(&words[1..])
        .arg(bin.join("supervisord"))
        .args(["-n", "-s", "-c"])
        .arg(sandbox.config_path())
        .stdin(Stdio::null())
        .stdout(File::create(sandbox.path("stdout")).unwrap())
        .stderr(File::create(sandbox.path("stderr")).unwrap());
    let mut real = command.spawn().unwrap();
    let heard = [receive(&socket), receive(&socket)];
    real.kill().unwrap();
    real.wait().unwrap();
    assert_eq!(heard, expected, "the real one");

    let Some((sandbox, socket, words)) = with_syslog() else {
        return;
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let daemon = Daemon::builder()
        .supervisor()
        .via(&words)
        .config(program)
        .start_in(sandbox);
    assert_eq!([receive(&socket), receive(&socket)], expected, "ours");
    daemon.close();
}
