//! Lines on the daemon's own standard output and error.

use crate::harness::{Daemon, Sandbox, wait};
use std::fs::{self, File};
use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Programs that say something and stay.
fn sayer(name: &str, script: &str, keys: &str) -> String {
    format!(
        "[program.{name}]\ncommand=/bin/sh -c '{script}; exec sleep 1000'\nautostart=true\nstartsecs=0\n{keys}\n"
    )
}

/// Lines of a stream of the daemon without those of its own log. One that is being written is none yet.
fn lines(sandbox: &Sandbox, stream: &str) -> Vec<String> {
    let text = sandbox.read(stream);
    let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
    whole.lines().map(str::to_owned).collect()
}

#[track_caller]
fn wait_line(daemon: &Daemon, stream: &str, line: &str) {
    wait::for_condition(format!("{line:?} on {stream}"), || {
        lines(&daemon.sandbox, stream)
            .iter()
            .any(|found| found == line)
    });
}

#[test]
fn names_stand_in_a_column_and_errors_are_marked() {
    let daemon = Daemon::builder()
        .daemon_keys("stdout=children\nstdout_format=prefix")
        .config(&format!(
            "{}{}",
            sayer(
                "web",
                "echo GET /; echo oops >&2; printf half; sleep 0.1; echo \" line\"",
                ""
            ),
            sayer("longer", "echo hello", "redirect_stderr=true")
        ))
        .start();
    wait_line(&daemon, "stdout", "web    | GET /");
    wait_line(&daemon, "stdout", "web    ! oops");
    wait_line(&daemon, "stdout", "web    | half line");
    wait_line(&daemon, "stdout", "longer | hello");
    // The daemon's own log is not there, and programs still have theirs.
    assert!(!daemon.sandbox.read("stdout").contains("spawned"));
    daemon.wait_content(daemon.child_log("web_0_out.log"), "GET /\nhalf line\n");
    daemon.close();
}

#[test]
fn the_daemons_lines_stand_among_the_others_and_json_is_json() {
    let daemon = Daemon::builder()
        .daemon_keys("stdout=both\nstdout_format=json\nidentifier=tm")
        .config(&sayer("web", "echo \"say \\\"hi\\\"\"; echo oops >&2", ""))
        .start();
    let find = |name: &str, stream: &str, text: &str| {
        wait::until(format!("{text:?} of {name}"), || {
            lines(&daemon.sandbox, "stdout")
                .iter()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
                .find(|object| {
                    object["p"] == name
                        && object["s"] == stream
                        && object["m"].as_str().unwrap().contains(text)
                })
        })
    };
    find("web", "out", "say ");
    let object = find("web", "err", "oops");
    let time = object["t"].as_str().unwrap();
    assert!(
        time.ends_with('Z') && time.contains('T') && time.len() == 24,
        "{time}"
    );
    find("tm", "out", "spawned: 'web'");
    daemon.close();
}

#[test]
fn a_log_named_after_a_standard_stream_is_written_as_inherited() {
    let daemon = Daemon::builder()
        .daemon_keys("stdout=none\nstdout_timestamps=unix")
        .config(&format!(
            "{}{}",
            sayer(
                "old",
                "echo one; echo two >&2",
                "stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\nstderr_logfile=/dev/fd/2\nstderr_logfile_maxbytes=0"
            ),
            sayer(
                "both",
                "echo three; echo four >&2",
                "stdout_logfile=$DIR/out/both.log, stdout\nstderr_logfile=NONE"
            )
        ))
        .start();
    let stamped = |stream: &str, text: &str| {
        wait::until(format!("{text} on {stream}"), || {
            lines(&daemon.sandbox, stream).into_iter().find_map(|line| {
                let stamp = line.strip_suffix(&format!(" {text}"))?.to_owned();
                Some(stamp)
            })
        })
    };
    for (stream, text) in [("stdout", "one"), ("stderr", "two"), ("stdout", "three")] {
        let stamp = stamped(stream, text);
        let (seconds, millis) = stamp.split_once('.').unwrap();
        assert!(
            seconds.parse::<u64>().unwrap() > 1_700_000_000 && millis.len() == 3,
            "{stamp}"
        );
    }
    // A file gets what was written, and no time.
    daemon.wait_content("out/both.log", "three\n");
    assert_eq!(lines(&daemon.sandbox, "stdout").len(), 2);
    assert_eq!(lines(&daemon.sandbox, "stderr").len(), 1);
    // Such a log can be followed, though not read back.
    daemon.ctl("tail old").code(1);
    let why = daemon.ctl("why both");
    why.mentions("both.log, stdout");
    let check = daemon.sandbox.taskmaster(&[
        "check-config",
        "--strict",
        &daemon.sandbox.config_path().display().to_string(),
    ]);
    check.code(0);
    daemon.close();
}

#[test]
fn a_long_line_is_cut_and_marked() {
    let daemon = Daemon::builder()
        .daemon_keys("stdout=children\nstdout_format=prefix")
        .config(&sayer("web", "printf \"%%020000d\\n\" 7; echo end", ""))
        .start();
    wait_line(&daemon, "stdout", "web | end");
    let found = lines(&daemon.sandbox, "stdout");
    let zeros = |count: usize| "0".repeat(count);
    assert_eq!(
        found,
        [
            format!("web | {}", zeros(8192)),
            format!("web |+{}", zeros(8192)),
            format!("web |+{}7", zeros(20000 - 2 * 8192 - 1)),
            "web | end".to_owned(),
        ]
    );
    daemon.close();
}

/// A daemon whose standard output is a pipe that the test reads when it likes.
fn piped(sandbox: &Sandbox, config: &str) -> Child {
    sandbox.write(
        "tm.ini",
        &format!(
            "[taskmasterctl]\nserverurl=$DIR/run/tm.sock\n[taskmasterd]\nlogfile=$DIR/log/taskmaster.log\n\
             auto_logs=false\nstdout=children\nstdout_format=prefix\n{config}"
        ),
    );
    let mut command = sandbox.command(Sandbox::executable());
    command
        .args(["daemon", "-n", "-c"])
        .arg(sandbox.config_path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(sandbox.path("stderr")).unwrap());
    sandbox.note(&command);
    command.spawn().unwrap()
}

fn status(sandbox: &Sandbox, name: &str) -> serde_json::Value {
    let url = format!("unix://{}", sandbox.socket_path().display());
    let said = sandbox.taskmaster(&["ctl", "-s", &url, "status", name, "--json"]);
    let whole: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_default();
    whole["processes"][0].clone()
}

#[test]
fn a_reader_that_takes_nothing_blocks_no_program_and_is_told_what_it_missed() {
    let sandbox = Sandbox::new();
    // Ten megabytes, more than pipe and queue hold.
    let script = "yes 0123456789012345678901234567890123456789 | head -n 250000; echo done > $OUT/done; echo last";
    let mut daemon = piped(&sandbox, &sayer("web", script, ""));
    wait::for_condition("the program to get through", || {
        sandbox.read("out/done") == "done\n"
    });
    let lost = wait::until("lost bytes to be counted", || {
        status(&sandbox, "web")["stdout_log"]["lost"]
            .as_u64()
            .filter(|&lost| lost > 1_000_000)
    });
    let mut stdout = daemon.stdout.take().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        let mut text = Vec::new();
        while let Ok(length @ 1..) = stdout.read(&mut bytes) {
            text.extend_from_slice(&bytes[..length]);
            count.store(text.len(), Ordering::Relaxed);
        }
        String::from_utf8(text).unwrap()
    });
    // At its end the daemon waits only for a while. Its queue was full, and most of it has been read by then.
    wait::for_condition("the queue to be read", || {
        taken.load(Ordering::Relaxed) > 1_000_000
    });
    let url = format!("unix://{}", sandbox.socket_path().display());
    sandbox.taskmaster(&["ctl", "-s", &url, "shutdown"]).code(0);
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    let text = reader.join().unwrap();
    let mut kept = 0;
    let mut dropped = 0;
    for line in text.lines() {
        if let Some(notice) = line.split("[taskmaster: ").nth(1) {
            dropped += notice.split(' ').next().unwrap().parse::<u64>().unwrap();
        } else {
            assert!(
                line.starts_with("web        | ") || line.starts_with("web | "),
                "{line:?}"
            );
            kept += 1;
        }
    }
    assert_eq!(kept + dropped, 250_001, "{lost}");
    assert!(dropped > 0);
}

#[test]
fn a_reader_that_is_gone_ends_nothing() {
    let sandbox = Sandbox::new();
    let script = "while :; do echo again; sleep 0.02; done";
    let mut daemon = piped(&sandbox, &sayer("web", script, ""));
    drop(daemon.stdout.take());
    wait::for_condition("lost bytes to be counted", || {
        status(&sandbox, "web")["stdout_log"]["lost"].as_u64() > Some(20)
    });
    assert_eq!(status(&sandbox, "web")["state"], "RUNNING");
    wait::for_condition("the trouble to be logged", || {
        fs::read_to_string(sandbox.log_path())
            .is_ok_and(|log| log.contains("can't write /dev/stdout: Broken pipe"))
    });
    let url = format!("unix://{}", sandbox.socket_path().display());
    sandbox.taskmaster(&["ctl", "-s", &url, "shutdown"]).code(0);
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

#[test]
fn a_wrong_choice_is_refused_with_what_there_is() {
    let sandbox = Sandbox::new();
    for (keys, told) in [
        (
            "[taskmasterd]\nstdout=childs\n",
            "`children`, `daemon`, `both` or `none`",
        ),
        (
            "[taskmasterd]\nstdout_format=pretty\n",
            "`raw`, `prefix` or `json`",
        ),
        (
            "[taskmasterd]\nstdout_timestamps=iso\n",
            "`none`, `rfc3339` or `unix`",
        ),
        (
            "[program.a]\ncommand=/bin/cat\nstdout_logfile=/tmp/a, stdout, /tmp/b\n",
            "a second file",
        ),
    ] {
        let path = sandbox.write("x.ini", keys);
        let said = sandbox.taskmaster(&["check-config", &path.display().to_string()]);
        said.code(2);
        assert!(said.stderr.contains(told), "{said:?}");
    }
}
