//! `taskmaster run`: commands and Procfiles without a configuration file.

use crate::harness::{Said, Sandbox, proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use rexpect::session::{Options, PtySession, spawn_with_options};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

fn run(sandbox: &Sandbox, words: &[&str]) -> Said {
    let mut command = sandbox.command(Sandbox::executable());
    command.arg("run").args(words);
    sandbox.finish(command, "")
}

/// A run that goes on, with its output in the files `stdout` and `stderr`.
fn begin(sandbox: &Sandbox, words: &[&str]) -> Child {
    let mut command: Command = sandbox.command(Sandbox::executable());
    command
        .arg("run")
        .args(words)
        .stdin(Stdio::null())
        .stdout(File::create(sandbox.path("stdout")).unwrap())
        .stderr(File::create(sandbox.path("stderr")).unwrap());
    sandbox.note(&command);
    command.spawn().unwrap()
}

fn end(child: &mut Child) -> i32 {
    let status = wait::until("the run to end", || child.try_wait().unwrap());
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap()
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// Names of what lies in the sandbox, below the directories too.
fn listing(sandbox: &Sandbox) -> Vec<String> {
    fn walk(directory: &std::path::Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.display().to_string());
            if path.is_dir() {
                walk(&path, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(sandbox.dir(), &mut found);
    found.sort();
    found
}

#[test]
fn lines_have_names_and_no_file_is_written() {
    let sandbox = Sandbox::new();
    let before = listing(&sandbox);
    let said = run(
        &sandbox,
        &[
            "--exit-when",
            "all-exited",
            "--name",
            "web",
            "--",
            "sh",
            "-c",
            "echo hello; echo oops >&2",
            ":::",
            "/bin/echo",
            "a b",
            ";",
            "#",
            "%",
            ":::",
            "echo",
            "two\nlines",
        ],
    );
    said.code(0);
    let mut lines: Vec<&str> = said.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "echo   | a b ; # %",
            "echo-2 | lines",
            "echo-2 | two",
            "web    | hello",
        ]
    );
    assert!(said.stderr.contains("web    ! oops\n"), "{said:?}");
    assert_eq!(listing(&sandbox), before);
}

#[test]
fn the_status_is_that_of_the_command_that_decided() {
    let sandbox = Sandbox::new();
    let long = ["sleep", "1000"];
    for (words, rule, status) in [
        (&["sh", "-c", "exit 7"][..], "essential-exited", 7),
        (&["true"], "essential-exited", 0),
        (&["sh", "-c", "kill -TERM $$"], "essential-exited", 143),
        (&["/nonexistent/x"], "essential-exited", 127),
        (&["sh", "-c", "exit 7"], "essential-failed", 7),
    ] {
        let mut line = vec!["--exit-when", rule, "--"];
        line.extend(long);
        line.push(":::");
        line.extend(words);
        let said = run(&sandbox, &line);
        said.code(status);
        if status != 0 {
            assert!(said.stderr.contains("as exit_when="), "{said:?}");
        }
        assert_eq!(proc::tagged(&sandbox.tag()), []);
    }
    let all = [
        "--exit-when",
        "all-exited",
        "--",
        "true",
        ":::",
        "sh",
        "-c",
        "exit 3",
        ":::",
        "true",
    ];
    run(&sandbox, &all).code(3);
    let fine = ["--exit-when", "all-exited", "--", "true", ":::", "true"];
    run(&sandbox, &fine).code(0);
}

#[test]
fn an_interrupt_stops_all_and_a_second_one_hurries() {
    let sandbox = Sandbox::new();
    let zoo = sandbox.path("zoo.sh").display().to_string();
    let mut child = begin(
        &sandbox,
        &[
            "--", "sh", &zoo, "catch", "a", "TERM", ":::", "sh", &zoo, "catch", "b", "TERM",
        ],
    );
    for name in ["a", "b"] {
        sandbox.wait_mark(name, "ready");
    }
    signal(&child, Signal::SIGINT);
    assert_eq!(end(&mut child), 0);
    for name in ["a", "b"] {
        sandbox.wait_mark(name, "got-TERM");
    }
    assert_eq!(proc::tagged(&sandbox.tag()), []);

    let mut child = begin(
        &sandbox,
        &["-t", "1000", "--", "sh", &zoo, "ignore", "c", "TERM"],
    );
    sandbox.wait_mark("c", "ready");
    signal(&child, Signal::SIGINT);
    wait::for_condition("the first to be noticed", || {
        sandbox.read("stderr").contains("received SIGINT")
    });
    signal(&child, Signal::SIGINT);
    assert_eq!(end(&mut child), 0);
    assert_eq!(proc::tagged(&sandbox.tag()), []);
}

#[test]
fn a_socket_is_there_when_it_is_asked_for() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("run/run.sock").display().to_string();
    let mut child = begin(
        &sandbox,
        &[
            "--socket",
            "run/run.sock",
            "--",
            "sleep",
            "1000",
            ":::",
            "sleep",
            "1001",
        ],
    );
    let url = format!("unix://{socket}");
    wait::for_condition("both to run", || {
        let said = sandbox.taskmaster(&["ctl", "-s", &url, "status"]);
        said.stdout.matches("RUNNING").count() == 2
    });
    // What was asked for is written nowhere, so that another image could not read it again.
    sandbox
        .taskmaster(&["ctl", "-s", &url, "upgrade"])
        .code(1)
        .mentions("not upgraded, and nothing changed")
        .mentions("made from commands or a Procfile and is in memory alone")
        .mentions("end this daemon and start it anew, or write a file");
    sandbox
        .taskmaster(&["ctl", "-s", &url, "stop", "sleep-2"])
        .is(0, "sleep-2: stopped\n");
    sandbox.taskmaster(&["ctl", "-s", &url, "shutdown"]).code(0);
    assert_eq!(end(&mut child), 0);
    assert!(!sandbox.path("run/run.sock").exists());
}

#[test]
fn a_procfile_is_run_with_its_variables() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("app")).unwrap();
    sandbox.write(
        "app/Procfile",
        "# services\nweb: echo port $PORT greeting \"$GREETING\" in $(pwd)\nworker: printf 'a b %s\\n' $PORT\n\nother: false\n",
    );
    sandbox.write("app/.env", "GREETING=\"hello you\"\nPORT=6000\n");
    let said = run(
        &sandbox,
        &[
            "-f",
            "app/Procfile",
            "--exit-when",
            "all-exited",
            "web",
            "worker",
        ],
    );
    said.code(0);
    let mut lines: Vec<&str> = said.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            format!(
                "web    | port 6000 greeting hello you in {}/app",
                sandbox.tag()
            )
            .as_str(),
            "worker | a b 6100",
        ]
    );
    sandbox.write("other.env", "GREETING=bye\n");
    let said = run(
        &sandbox,
        &[
            "-f",
            "app/Procfile",
            "-e",
            "other.env",
            "-p",
            "7000",
            "--exit-when",
            "all-exited",
            "--format",
            "raw",
            "web",
        ],
    );
    said.code(0);
    assert_eq!(
        said.stdout,
        format!("port 7000 greeting bye in {}/app\n", sandbox.tag()),
    );
    run(&sandbox, &["-f", "app/Procfile", "other"]).code(1);
    let said = run(&sandbox, &["-f", "app/Procfile", "nosuch"]);
    said.code(2);
    assert!(
        said.stderr
            .contains("has no line \"nosuch\"\nhelp: it has web, worker, other"),
        "{said:?}"
    );
}

#[test]
fn a_line_that_is_one_program_is_the_process_itself() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "Procfile",
        "one: sleep ${SECONDS_TO_SLEEP:-1000}\ntwo: sleep 1001 && true\n",
    );
    let mut child = begin(
        &sandbox,
        &["-f", "Procfile", "--format", "raw", "-l", "info"],
    );
    let names = || -> Vec<String> {
        let mut names: Vec<String> = proc::tagged(&sandbox.tag())
            .into_iter()
            .filter(|process| process.pid != i32::try_from(child.id()).unwrap())
            .map(|process| process.name)
            .collect();
        names.sort();
        names
    };
    wait::for_condition("a program, and a shell with one", || {
        names() == ["sh", "sleep", "sleep"]
    });
    signal(&child, Signal::SIGTERM);
    assert_eq!(end(&mut child), 0);
    assert_eq!(proc::tagged(&sandbox.tag()), []);
}

#[test]
fn what_cannot_be_run_is_told_at_once() {
    let sandbox = Sandbox::new();
    sandbox.write("Bad", "web: a\nno colon\n");
    sandbox.write("bad.env", "A=1\nnonsense\n");
    for (words, told) in [
        (&[][..], "nothing to run is named"),
        (&["--", "a", ":::", ":::"], "command 2 is empty"),
        (&["-f", "Nofile"], "Nofile: no such file or directory"),
        (&["-f", "Bad"], "Bad:2: expected NAME: COMMAND"),
        (
            &["--name", "a", "--name", "b", "--", "true"],
            "2 names for 1 commands",
        ),
        (
            &["--loglevel", "loud", "--", "true"],
            "`loglevel` must be a log level",
        ),
        (&["sleep", "1"], "--procfile"),
    ] {
        let said = run(&sandbox, words);
        said.code(2);
        assert!(said.stderr.contains(told), "{told}: {said:?}");
    }
    // A file of variables is read when a command is started.
    let said = run(&sandbox, &["-e", "bad.env", "--", "true"]);
    said.code(1);
    let told = format!(
        "bad env_file: {}/bad.env:2:9: expected `=` after the name",
        sandbox.tag()
    );
    assert!(said.stderr.contains(&told), "{said:?}");
}

#[test]
fn a_hangup_ends_it_unless_it_is_to_outlive_its_terminal() {
    let sandbox = Sandbox::new();
    // Whoever started the tests may have them outlive a terminal, too.
    let mut command = sandbox.command("env");
    command
        .arg("--default-signal=HUP")
        .arg(Sandbox::executable())
        .args(["run", "--", "sleep", "1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let commands = || {
        let tagged = proc::tagged(&sandbox.tag());
        tagged
            .iter()
            .filter(|process| process.name == "sleep")
            .count()
    };
    wait::for_condition("the command", || commands() == 1);
    signal(&child, Signal::SIGHUP);
    assert_eq!(end(&mut child), 0);
    assert_eq!(commands(), 0);

    let script = "trap '' HUP; exec \"$@\"";
    let mut command = sandbox.command("/bin/sh");
    command
        .args(["-c", script, "sh"])
        .arg(Sandbox::executable())
        .args(["run", "--socket", "run/tm.sock", "--", "sleep", "1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    wait::for_condition("the command", || commands() == 1);
    signal(&child, Signal::SIGHUP);
    // It answers after the signal has come, and still runs.
    let url = format!("unix://{}", sandbox.socket_path().display());
    sandbox
        .taskmaster(&["ctl", "-s", &url, "status"])
        .code(0)
        .mentions("RUNNING");
    signal(&child, Signal::SIGTERM);
    assert_eq!(end(&mut child), 0);
}

/// A run on a terminal.
fn on_terminal(sandbox: &Sandbox, no_color: &str, words: &[&str]) -> PtySession {
    let mut command = sandbox.command(Sandbox::executable());
    command
        .arg("run")
        .args(words)
        .env("TERM", "xterm")
        .env("NO_COLOR", no_color);
    sandbox.note(&command);
    let timeout = u64::try_from(wait::patience().as_millis()).unwrap();
    spawn_with_options(command, Options::new().timeout_ms(Some(timeout))).unwrap()
}

#[test]
fn on_a_terminal_names_have_colours_unless_they_are_forbidden_and_ctrl_c_stops() {
    let sandbox = Sandbox::new();
    let script = ["--", "sh", "-c", "echo hi; echo no >&2; exec sleep 1000"];
    for (no_color, out, err) in [
        (
            "",
            "\x1b[36msh \x1b[36m|\x1b[0m hi\r\n",
            "\x1b[36msh \x1b[31m!\x1b[0m no\r\n",
        ),
        ("1", "sh | hi\r\n", "sh ! no\r\n"),
    ] {
        let mut session = on_terminal(&sandbox, no_color, &script);
        let mut text = session.exp_string("no\r\n").unwrap() + "no\r\n";
        if !text.contains("hi\r\n") {
            text += &(session.exp_string("hi\r\n").unwrap() + "hi\r\n");
        }
        assert!(text.contains(out) && text.contains(err), "{text:?}");
        session.send_control('c').unwrap();
        session.exp_eof().unwrap();
        let status = session.process().wait().unwrap();
        assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
        assert_eq!(proc::tagged(&sandbox.tag()), []);
    }
}
