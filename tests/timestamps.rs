//! Times before the lines of log files: `stdout_timestamps`, `stderr_timestamps`.

use crate::harness::{Daemon, Sandbox, wait};
use nix::sys::signal::Signal;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};
use taskmaster::wire::{Request, Response};

/// A program that writes what it is told, byte for byte.
fn parrot(name: &str, keys: &str) -> String {
    format!(
        "[program.{name}]\ncommand=/bin/cat\nautostart=true\nstartsecs=0\nautorestart=true\n{keys}\n"
    )
}

#[track_caller]
fn tell(daemon: &Daemon, name: &str, text: &str) {
    let request = Request::Input {
        target: name.to_owned(),
        data: text.as_bytes().to_vec(),
    };
    let said = daemon.client().ask(request).unwrap();
    assert!(matches!(said, Response::Results(_)), "{said:?}");
}

/// Takes the time of form `unix` off each line and returns the first one, in milliseconds. Nothing that looks like a time
/// may be left.
#[track_caller]
fn without_times(text: &str) -> (u64, String) {
    let mut first = None;
    let mut rest = String::new();
    for line in text.split_inclusive('\n') {
        let (stamp, own) = split(line).unwrap_or_else(|| panic!("a line without a time: {line:?}"));
        assert!(split(own).is_none(), "two times: {line:?}");
        assert!(first.is_none_or(|first| stamp >= first), "{text}");
        first = first.or(Some(stamp));
        rest.push_str(own);
    }
    (first.unwrap_or(0), rest)
}

fn split(line: &str) -> Option<(u64, &str)> {
    let (stamp, own) = line.split_once(' ')?;
    let (seconds, millis) = stamp.split_once('.')?;
    let is_time = seconds.len() == 10 && millis.len() == 3;
    let stamp = format!("{seconds}{millis}").parse().ok()?;
    is_time.then_some((stamp, own))
}

/// Waits until the lines of a log are these, each with its time, and returns the first time.
#[track_caller]
fn wait_lines(sandbox: &Sandbox, path: &str, expected: &str) -> u64 {
    wait::until(format!("{path} to hold {expected:?}"), || {
        let text = sandbox.read(path);
        // A time may be there before its line.
        let whole = text.ends_with(expected.rsplit('\n').find(|line| !line.is_empty())?)
            || text.ends_with('\n') && expected.ends_with('\n');
        let (first, own) = without_times(whole.then_some(&text)?);
        (own == expected).then_some(first)
    })
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

const TIMES: &str = "stdout_timestamps=unix\nstderr_timestamps=rfc3339";

#[test]
fn a_line_has_the_time_of_its_first_byte_in_its_file_alone() {
    let daemon = Daemon::builder()
        .daemon_keys("stdout_format=prefix")
        .config(&format!(
            "{}[program.err]\ncommand=/bin/sh -c 'echo oops >&2; exec sleep 1000'\nautostart=true\n\
             startsecs=0\n{TIMES}\n",
            parrot(
                "web",
                &format!("{TIMES}\nstdout_logfile=$DIR/log/web.log, stdout")
            )
        ))
        .start();
    let began = now();
    tell(&daemon, "web", "ha");
    let first = wait_lines(&daemon.sandbox, "log/web.log", "ha");
    let later = now();
    assert!((began..=later).contains(&first), "{began} {first} {later}");
    tell(&daemon, "web", "lf\n\nnext\n");
    let again = wait_lines(&daemon.sandbox, "log/web.log", "half\n\nnext\n");
    assert_eq!(first, again);
    // Shown besides, it has the daemon's form and no time.
    wait::for_condition("the line on the standard output", || {
        daemon.sandbox.read("stdout").contains("| half\n")
    });
    // The console shows what is in the file.
    let said = daemon.ctl("tail web");
    said.begins(0, &daemon.sandbox.read("log/web.log"));
    // The other form, and the other stream.
    let line = wait::until("the line of the standard error", || {
        let text = daemon.sandbox.read("log/child/err_0_err.log");
        text.ends_with('\n').then_some(text)
    });
    let (stamp, own) = line.split_once(' ').unwrap();
    assert_eq!(own, "oops\n");
    assert!(
        stamp.len() == 24 && stamp.ends_with('Z') && stamp.contains('T'),
        "{stamp}"
    );
    daemon.close();
}

#[test]
fn a_line_goes_on_without_a_second_time_whatever_becomes_of_daemon_and_file() {
    let log = "log/web.log";
    let keys = format!("{TIMES}\nstdout_logfile=$DIR/{log}");
    let mut daemon = Daemon::with(&parrot("web", &keys));
    tell(&daemon, "web", "one-");
    let first = wait_lines(&daemon.sandbox, log, "one-");
    // Another image of the daemon.
    daemon.ctl("upgrade").code(0);
    tell(&daemon, "web", "two-");
    assert_eq!(wait_lines(&daemon.sandbox, log, "one-two-"), first);
    // A daemon that is killed, and the one that adopts.
    daemon.murder();
    daemon.launch();
    tell(&daemon, "web", "three\nfour-");
    let text = "one-two-three\nfour-";
    assert_eq!(wait_lines(&daemon.sandbox, log, text), first);
    // Moved away, and opened anew.
    let moved = daemon.sandbox.path("log/moved.log");
    fs::rename(daemon.sandbox.path(log), &moved).unwrap();
    daemon.signal(Signal::SIGUSR2);
    wait::for_condition("the new file", || daemon.sandbox.path(log).exists());
    tell(&daemon, "web", "five\n");
    daemon.wait_content(log, "five\n");
    wait_lines(&daemon.sandbox, "log/moved.log", text);
    // Emptied.
    tell(&daemon, "web", "six-");
    wait::for_condition("the beginning of the line", || {
        daemon.sandbox.read(log).ends_with("six-")
    });
    daemon.ctl("clear web").is(0, "web: cleared\n");
    tell(&daemon, "web", "seven\n");
    daemon.wait_content(log, "seven\n");
    daemon.ctl("clear web").is(0, "web: cleared\n");
    // Another life of the program does not go on with the line of the last one.
    tell(&daemon, "web", "cut");
    wait_lines(&daemon.sandbox, log, "cut");
    daemon.ctl("restart web").code(0);
    tell(&daemon, "web", "whole\n");
    wait_lines(&daemon.sandbox, log, "cut\nwhole\n");
    daemon.close();
}

#[test]
fn rotation_parts_no_line_from_its_time() {
    let daemon = Daemon::with(&format!(
        "[program.web]\ncommand=$ZOO lines web 60 50\nautostart=true\nstartsecs=0\n{TIMES}\n\
         stdout_logfile=$DIR/log/web.log\nstdout_logfile_maxbytes=300\nstdout_logfile_backups=99\n{}",
        parrot(
            "long",
            &format!(
                "{TIMES}\nstdout_logfile=$DIR/log/long.log\nstdout_logfile_maxbytes=100\nstdout_logfile_backups=9"
            )
        )
    ));
    daemon.sandbox.wait_mark("web", "said");
    let files = |name: &str| {
        let mut texts = Vec::new();
        for number in (1..=99).rev() {
            texts.extend(fs::read_to_string(
                daemon.sandbox.path(format!("log/{name}.log.{number}")),
            ));
        }
        texts.push(daemon.sandbox.read(format!("log/{name}.log")));
        texts
    };
    let expected: String = (1..=60).map(|number| format!("{number:049}\n")).collect();
    wait::for_condition("all lines", || {
        files("web").concat().matches('\n').count() == 60
    });
    let parts = files("web");
    assert!(parts.len() >= 12, "{parts:?}");
    let mut own = String::new();
    for part in &parts {
        // 15 bytes of time and 50 of line: four fit.
        assert!(part.len() <= 300, "{part:?}");
        own.push_str(&without_times(part).1);
    }
    assert_eq!(own, expected);
    // A line longer than a file goes on in the next one, where it has no second time.
    let long = "x".repeat(250);
    tell(&daemon, "long", &format!("{long}\nnext\n"));
    wait::for_condition("the end of the long line", || {
        files("long").concat().ends_with("next\n")
    });
    let (_, own) = without_times(&files("long").concat());
    assert_eq!(own, format!("{long}\nnext\n"));
    daemon.close();
}

#[test]
fn lines_of_two_streams_do_not_mix_in_a_file_with_times() {
    let keys = format!("{TIMES}\nstdout_logfile=$DIR/log/all.log");
    let daemon = Daemon::with(&format!("{}{}", parrot("a", &keys), parrot("b", &keys)));
    let mut expected = String::new();
    for (name, text, line) in [
        ("a", "a1 ", "a1 "),
        ("b", "b1\n", "\nb1\n"),
        ("a", "a2\n", "a2\n"),
        ("b", "b2 ", "b2 "),
        ("b", "b3\n", "b3\n"),
    ] {
        tell(&daemon, name, text);
        expected.push_str(line);
        wait_lines(&daemon.sandbox, "log/all.log", &expected);
    }
    daemon.close();
}

#[test]
fn the_key_applies_live_and_is_told_where_it_has_no_effect() {
    let keys = "stdout_logfile=$DIR/log/web.log";
    let daemon = Daemon::with(&parrot("web", keys));
    tell(&daemon, "web", "plain\n");
    daemon.wait_content("log/web.log", "plain\n");
    let pid = daemon.pid("web");
    daemon.edit_config(&parrot("web", &format!("{keys}\n{TIMES}")));
    daemon.ctl("update").code(0);
    tell(&daemon, "web", "stamped\n");
    wait::for_condition("a line with a time", || {
        let text = daemon.sandbox.read("log/web.log");
        let line = text.strip_prefix("plain\n").unwrap();
        split(line).is_some_and(|(_, own)| own == "stamped\n")
    });
    assert_eq!(daemon.pid("web"), pid);
    let sandbox = &daemon.sandbox;
    for (keys, told) in [
        ("stdout_timestamps=iso", "`none`, `rfc3339` or `unix`"),
        (
            "stdout_timestamps=unix\nstdout_logfile=NONE",
            "there is no log file: see `stdout_logfile`",
        ),
        (
            "stdout_timestamps=unix\nstdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0",
            "`stdout_timestamps` of the daemon's section decides",
        ),
        (
            "stderr_timestamps=unix\nredirect_stderr=true",
            "standard error goes where standard output goes",
        ),
        (
            "stdout_timestamps=unix\nstdout_direct=true",
            "`stdout_timestamps` has to put times before its lines",
        ),
    ] {
        let path = sandbox.write("x.ini", &parrot("web", keys));
        let said = sandbox.taskmaster(&["check-config", "--strict", &path.display().to_string()]);
        assert!(said.code != 0 && said.stderr.contains(told), "{said:?}");
    }
    daemon.close();
}
