//! taskmasterctl(1): usage errors, a daemon that is not there, and what scripts rely on.

use crate::harness::{Daemon, Sandbox, wait};
use std::io::Read;
use std::process::Stdio;

#[test]
fn usage_errors_of_each_action() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\n");
    for (words, code, text) in [
        ("start", 2, "Error: start requires a process name\n"),
        ("stop", 1, "Error: stop requires a process name\n"),
        ("restart", 1, "Error: restart requires a process name\n"),
        (
            "signal",
            1,
            "Error: signal requires a signal name and a process name\n",
        ),
        (
            "signal HUP",
            1,
            "Error: signal requires a signal name and a process name\n",
        ),
        ("clear", 1, "Error: clear requires a process name\n"),
        ("tail", 1, "Error: too few arguments\n"),
        ("reread x", 1, "Error: reread accepts no arguments\n"),
        ("avail x", 1, "Error: avail accepts no arguments\n"),
        ("reload x", 1, "Error: reload accepts no arguments\n"),
        ("shutdown x", 1, "Error: shutdown accepts no arguments\n"),
        ("version x", 1, "Error: version accepts no arguments\n"),
        ("fg", 1, "ERROR: no process name supplied\n"),
        ("fg a b", 1, "ERROR: too many process names supplied\n"),
        ("fg nosuch", 1, "ERROR: bad process name supplied\n"),
        ("fg web", 1, "ERROR: process not running\n"),
        ("open", 1, "ERROR: url must be http:// or unix://\n"),
        ("open foo", 1, "ERROR: url must be http:// or unix://\n"),
        ("dance", 1, "*** Unknown syntax: dance\n"),
        ("dance a  b", 1, "*** Unknown syntax: dance a b\n"),
        ("help dance", 0, "*** No help on dance\n"),
    ] {
        let said = daemon.ctl(words);
        said.begins(code, text);
        assert!(said.stderr.is_empty(), "{said:?}");
    }
    daemon.close();
}

#[test]
fn help_knows_all_actions() {
    let daemon = Daemon::with("");
    let said = daemon.ctl("help");
    said.begins(
        0,
        "\ndefault commands (type help <topic>):\n=====================================\n",
    );
    for action in [
        "add", "avail", "clear", "env", "exit", "fg", "help", "maintail", "open", "pid", "quit",
        "reload", "remove", "reread", "restart", "shutdown", "signal", "start", "status", "stop",
        "tail", "update", "upgrade", "version", "wait", "why",
    ] {
        assert!(
            said.stdout.split_whitespace().any(|word| word == action),
            "{action}: {said:?}"
        );
        let topic = daemon.ctl(&["help", action]);
        topic.code(0);
        assert!(topic.stdout.contains(action), "{topic:?}");
        assert!(!topic.stdout.contains("***"), "{topic:?}");
    }
    daemon.close();
}

/// What each action says without a daemon.
fn gone(socket: &str, problem: &str, checked: i32) -> Vec<(&'static str, i32, String)> {
    let plain = format!("{socket} {problem}\n");
    let raw = format!("error: {plain}");
    let mut rows = vec![("status", 4, plain.clone())];
    for words in [
        "start web",
        "stop web",
        "restart web",
        "signal HUP web",
        "pid",
        "clear web",
        "tail web",
        "maintail",
        "fg web",
        "version",
    ] {
        rows.push((words, checked, plain.clone()));
    }
    for words in [
        "add web",
        "avail",
        "reload",
        "remove web",
        "reread",
        "update",
    ] {
        rows.push((words, 1, raw.clone()));
    }
    rows.push((
        "shutdown",
        1,
        format!("ERROR: {socket} {problem} (already shut down?)\n"),
    ));
    rows
}

#[test]
fn a_daemon_that_is_not_there() {
    let sandbox = Sandbox::new();
    let socket = format!("unix://{}", sandbox.socket_path().display());
    for (words, code, text) in gone(&socket, "no such file", 7) {
        sandbox
            .taskmaster(&format!("ctl -s {socket} {words}"))
            .is(code, &text);
    }
    // A socket that nobody serves any more.
    drop(std::os::unix::net::UnixListener::bind(sandbox.socket_path()).unwrap());
    for (words, code, text) in gone(&socket, "refused connection", 4) {
        sandbox
            .taskmaster(&format!("ctl -s {socket} {words}"))
            .is(code, &text);
    }
}

#[test]
fn the_socket_is_named_by_option_or_file() {
    let daemon = Daemon::with("");
    let expected = format!("{}\n", daemon.process());
    let socket = daemon.sandbox.socket_path().display().to_string();
    let file = daemon.sandbox.config_path().display().to_string();
    for words in [
        format!("ctl -s unix://{socket} pid"),
        format!("ctl --serverurl=unix://{socket} pid"),
        format!("ctl -c {file} pid"),
        format!("ctl --configuration {file} pid"),
        format!("ctl -c {file} -u user -p secret pid"),
    ] {
        daemon.sandbox.taskmaster(&words).is(0, &expected);
    }
    for url in ["ftp://x", "http://localhost:9001", ""] {
        let said = daemon.sandbox.taskmaster(&["ctl", "-s", url, "pid"]);
        assert!([1, 2].contains(&said.code), "{said:?}");
        assert_eq!(said.stdout, "", "{said:?}");
    }
    daemon
        .sandbox
        .taskmaster("ctl -c /nonexistent/x.ini pid")
        .code(2)
        .mentions("/nonexistent/x.ini");
    daemon.close();
}

#[test]
fn a_broken_file_does_not_lock_the_operator_out() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=0\n");
    daemon.edit_config("[program.web]\ncommand=sleep 1000\nstartsecs=abc\n[nonsense\n");
    let file = daemon.sandbox.config_path().display().to_string();
    daemon
        .sandbox
        .taskmaster(&format!("ctl -c {file} start web"))
        .is(0, "web: started\n");
    daemon.close();
}

#[test]
fn supervisors_file_and_names() {
    let daemon = Daemon::builder()
        .supervisor()
        .config("[program:web]\ncommand=sleep 1000\nstartsecs=0\n[program:off]\ncommand=sleep 1000\nautostart=false\n")
        .start();
    daemon.wait_state("web", "RUNNING");
    let program = daemon.sandbox.called_as("supervisorctl");
    let file = daemon.sandbox.config_path().display().to_string();
    let ctl = |words: &str| daemon.sandbox.run(&program, &format!("-c {file} {words}"));
    ctl("stop web").is(0, "web: stopped\n");
    ctl("start web").is(0, "web: started\n");
    ctl("status web").begins(0, "web                              RUNNING   pid ");
    ctl("status off").is(
        3,
        "off                              STOPPED   Not started\n",
    );
    ctl("pid").is(0, &format!("{}\n", daemon.process()));
    daemon.close();
}

/// As Ansible's module reads a line of `status`: split at blanks, empty fields dropped.
fn fields(line: &str) -> Vec<&str> {
    line.split(' ').filter(|field| !field.is_empty()).collect()
}

#[test]
fn ansible_finds_what_it_looks_for() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
         [program.db]\ncommand=sleep 1000\n[group.site]\nprograms=db\n",
    );
    daemon.wait_state("web", "RUNNING");
    let said = daemon.ctl("status");
    let lines: Vec<_> = said.stdout.lines().map(fields).collect();
    assert_eq!(lines.len(), 2, "no line but those of processes: {said:?}");
    assert_eq!(lines[0][..2], ["site:db", "STOPPED"]);
    assert_eq!(lines[1][..2], ["web", "RUNNING"]);
    for (words, text) in [
        ("stop web", "web: stopped"),
        ("start web", "web: started"),
        ("restart web", "web: started"),
        ("start site:db", "site:db: started"),
        ("signal HUP web", "web: signalled"),
    ] {
        let said = daemon.ctl(words);
        said.code(0);
        assert!(said.stdout.contains(text), "{said:?}");
    }
    // present: reread, then add; absent: reread, stop, remove.
    daemon.edit_config("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n[program.new]\ncommand=sleep 1000\n");
    daemon.ctl("reread").code(0);
    daemon.ctl("add new").is(0, "new: added process group\n");
    daemon.ctl("stop site:*").code(0);
    daemon
        .ctl("remove site")
        .is(0, "site: removed process group\n");
    daemon.ctl("update").code(0);
    daemon.close();
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nnumprocs=500\n");
    for words in ["status", "help", "avail", "-j status"] {
        let mut child = daemon
            .console(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut text = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        wait::until("the end", || child.try_wait().unwrap());
        assert!(!text.contains("panicked"), "{text}");
    }
    daemon.close();
}

#[test]
fn a_thousand_processes_are_listed() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nnumprocs=1000\n");
    let said = daemon.ctl("status");
    said.code(3);
    assert_eq!(said.stdout.lines().count(), 1000);
    assert!(
        said.stdout.lines().all(|line| fields(line)[1] == "STOPPED"),
        "{said:?}"
    );
    daemon.close();
}

#[test]
fn fg_shows_output_and_passes_input() {
    let daemon = Daemon::with("[program.echo]\ncommand=/bin/cat\nautostart=true\nstartsecs=0\n");
    daemon.wait_state("echo", "RUNNING");
    let said = daemon.sandbox.finish(daemon.console("fg echo"), "hello\n");
    said.code(0);
    assert!(
        said.stdout.starts_with("==> Press Ctrl-C to exit <==\n"),
        "{said:?}"
    );
    assert!(said.stdout.contains("Exiting foreground"), "{said:?}");
    daemon.wait_content(daemon.child_log("echo_0_out.log"), "hello\n");
    assert_eq!(daemon.state("echo"), "RUNNING");
    daemon.close();
}

#[test]
fn open_changes_the_server() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
    daemon.wait_state("web", "RUNNING");
    let url = format!("unix://{}", daemon.sandbox.socket_path().display());
    let mut command = daemon.sandbox.command(Sandbox::executable());
    command
        .args(["ctl", "-s"])
        .arg(format!("unix://{}/nowhere", daemon.sandbox.tag()));
    let said = daemon
        .sandbox
        .finish(command, &format!("open {url}\npid\n"));
    said.mentions("web                              RUNNING   pid ")
        .mentions(&format!("{}\n", daemon.process()));
    daemon.close();
}
