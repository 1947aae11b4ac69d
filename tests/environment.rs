//! `env_file` and the action `env`: what programs find in their environment, and what is told of it.

use crate::harness::{Daemon, Sandbox, wait};
use nix::sys::stat::Mode;
use serde_json::Value;
use std::fs;

/// A program that writes its environment to `out/NAME` and stays.
fn dumper(name: &str, keys: &str) -> String {
    format!(
        "[program.{name}]\ncommand=/bin/sh -c 'env > $OUT/{name}.new; mv $OUT/{name}.new $OUT/{name}; exec sleep 1000'\n\
         autostart=true\nstartsecs=0\n{keys}\n"
    )
}

/// What a program found, once it has written it down.
fn found(daemon: &Daemon, name: &str) -> String {
    let path = format!("out/{name}");
    wait::for_condition(format!("the environment of {name}"), || {
        !daemon.sandbox.read(&path).is_empty()
    });
    daemon.sandbox.read(&path)
}

fn value<'t>(environment: &'t str, name: &str) -> Option<&'t str> {
    environment
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

/// The document of `env NAME --json`.
fn document(daemon: &Daemon, name: &str) -> Value {
    let said = daemon.ctl(&["env", name, "--json"]);
    let mut document: Value = serde_json::from_str(&said.stdout).unwrap();
    document["processes"][0].take()
}

fn variable<'d>(document: &'d Value, name: &str) -> &'d Value {
    document["variables"]
        .as_array()
        .unwrap()
        .iter()
        .find(|variable| variable["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {document}"))
}

#[test]
fn layers_lie_as_the_manual_says_and_files_are_read_at_each_start() {
    let sandbox = Sandbox::new();
    // Each variable is called after the strongest layer that sets it.
    sandbox.write("common.env", "B=file\nC=file\nD=file\nE=file\n");
    sandbox.write("web.env", "# settings\nexport D='of web'\r\nE=web\n");
    let daemon = Daemon::builder()
        .env("A", "inherited")
        .env("B", "inherited")
        .daemon_keys("env_file=$DIR/common.env\nenvironment=C=section,D=section,E=section")
        .config(&dumper(
            "web",
            "env_file=-$DIR/none.env, $DIR/web.env\nenvironment=E=own",
        ))
        .start_in(sandbox);
    let environment = found(&daemon, "web");
    for (name, expected) in [
        ("A", "inherited"),
        ("B", "file"),
        ("C", "section"),
        ("D", "of web"),
        ("E", "own"),
    ] {
        assert_eq!(value(&environment, name), Some(expected), "{name}");
    }
    daemon.sandbox.write("none.env", "B=now\n");
    daemon.sandbox.write("web.env", "D=edited\n");
    fs::remove_file(daemon.sandbox.path("out/web")).unwrap();
    daemon.ctl("restart web").code(0);
    let environment = found(&daemon, "web");
    assert_eq!(value(&environment, "B"), Some("now"));
    assert_eq!(value(&environment, "D"), Some("edited"));
    assert_eq!(value(&environment, "E"), Some("own"));
    daemon.close();
}

#[test]
fn the_action_env_tells_values_and_origins() {
    let sandbox = Sandbox::new();
    sandbox.write("web.env", "\nPORT=80\n");
    let daemon = Daemon::builder()
        .env("A", "inherited")
        .daemon_keys("environment=C=section")
        .config(&dumper(
            "web",
            "env_file=$DIR/web.env\nenvironment=E=own\nautostart=false",
        ))
        .start_in(sandbox);
    let here = daemon.sandbox.tag();
    let said = daemon.ctl("env web");
    said.code(0);
    let lines: Vec<Vec<&str>> = said
        .stdout
        .lines()
        .map(|line| line.split("  ").filter(|part| !part.is_empty()).collect())
        .collect();
    let mut names: Vec<&str> = said
        .stdout
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    let shown = names.clone();
    names.sort_unstable();
    assert_eq!(shown, names, "sorted");
    let origin = |variable: &str| {
        lines
            .iter()
            .find(|line| line[0] == variable)
            .map(|line| line[1].trim().to_owned())
    };
    let config = fs::read_to_string(daemon.sandbox.config_path()).unwrap();
    let line_of = |text: &str| config.lines().position(|line| line == text).unwrap() + 1;
    for (variable, expected) in [
        ("A=inherited", "inherited".to_owned()),
        (
            "TASKMASTER_PROCESS_NAME=web",
            "set by the daemon".to_owned(),
        ),
        ("PORT=80", format!("env file {here}/web.env:2")),
        (
            "C=section",
            format!(
                "{here}/tm.ini:{} environment",
                line_of("environment=C=section")
            ),
        ),
        (
            "E=own",
            format!("{here}/tm.ini:{} environment", line_of("environment=E=own")),
        ),
    ] {
        assert_eq!(origin(variable), Some(expected), "{variable}\n{said:?}");
    }
    let document = document(&daemon, "web");
    assert_eq!(document["name"], "web");
    assert_eq!(document["failure"], Value::Null);
    let port = variable(&document, "PORT");
    assert_eq!(port["value"], "80");
    assert_eq!(port["masked"], false);
    assert_eq!(port["origin"], "env_file");
    assert_eq!(port["file"], format!("{here}/web.env"));
    assert_eq!(port["line"], 2);
    let inherited = variable(&document, "A");
    assert_eq!(inherited["origin"], "inherited");
    assert_eq!(inherited["line"], Value::Null);
    daemon.ctl("env nosuch").code(1);
    daemon.ctl("env").code(2);
    daemon.close();
}

#[test]
fn secrets_never_leave_the_daemon() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "web.env",
        "DB_PASSWORD=hunter2\nDATABASE_URL=postgres://web:hunter2@db/x\nPLAIN=seen\n",
    );
    let daemon = Daemon::builder()
        .daemon_keys("loglevel=blather\nenvironment=API_KEY=hunter2")
        .config(&dumper(
            "web",
            "env_file=$DIR/web.env\nenvironment=TOKEN=hunter2",
        ))
        .start_in(sandbox);
    let environment = found(&daemon, "web");
    assert_eq!(value(&environment, "DB_PASSWORD"), Some("hunter2"));
    assert_eq!(value(&environment, "API_KEY"), Some("hunter2"));
    let said = daemon.ctl("env web");
    said.code(0);
    for shown in [
        "DB_PASSWORD=**** ",
        "DATABASE_URL=postgres://web:****@db/x ",
        "API_KEY=**** ",
        "TOKEN=**** ",
        "PLAIN=seen ",
    ] {
        assert!(said.stdout.contains(shown), "{shown}: {said:?}");
    }
    let mut client = daemon.client();
    let request = taskmaster::wire::Request::Environment {
        target: "web".to_owned(),
    };
    let answer = client.ask(request).unwrap();
    let texts = [
        format!("{answer:?}"),
        said.stdout.clone(),
        daemon.ctl("why web").stdout,
        daemon.ctl("status --json").stdout,
        daemon.log(),
        daemon.sandbox.read("run/tm.sock.children"),
        daemon.sandbox.read("stdout"),
    ];
    for text in texts {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert_eq!(variable(&document(&daemon, "web"), "TOKEN")["masked"], true);
    daemon.close();
}

#[test]
fn a_file_that_cannot_be_used_fails_the_start_with_its_place() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.env", "A=1\n  B=\"hunter2\n");
    nix::unistd::mkfifo(&sandbox.path("fifo.env"), Mode::S_IRWXU).unwrap();
    let program = |name: &str, file: &str| {
        dumper(
            name,
            &format!("env_file={file}\nautostart=false\nstartretries=0"),
        )
    };
    let config = ["bad", "none", "fifo"]
        .map(|name| program(name, &format!("$DIR/{name}.env")))
        .join("");
    let config = config + &program("optional", "-$DIR/bad.env, -$DIR/none.env, -$DIR/fifo.env");
    let daemon = Daemon::builder().config(&config).start_in(sandbox);
    let here = daemon.sandbox.tag();
    for (name, reason) in [
        (
            "bad",
            format!("bad env_file: {here}/bad.env:2:5: this \" is never closed"),
        ),
        (
            "none",
            format!("can't read env_file {here}/none.env: no such file or directory"),
        ),
        (
            "fifo",
            format!("bad env_file: cannot read {here}/fifo.env: not a regular file"),
        ),
    ] {
        daemon.ctl(&["start", name]).code(7);
        daemon.wait_state(name, "FATAL");
        daemon.wait_log(&format!("spawnerr: {reason} ({name})"));
        let status = daemon.ctl(&["status", name]).stdout;
        assert!(
            status.contains("FATAL") && status.contains("env"),
            "{status}"
        );
        let why = daemon.ctl(&["why", name]).stdout;
        assert!(
            why.contains(&format!("The last attempt failed: {reason}.")),
            "{why}"
        );
        let said = daemon.ctl(&["env", name]);
        said.code(1);
        assert_eq!(
            said.stderr,
            format!("{name}: a start would fail: {reason}\n")
        );
        assert_eq!(document(&daemon, name)["failure"]["step"], "environment");
        let check = daemon
            .sandbox
            .taskmaster(&["check-config", &format!("{here}/tm.ini")]);
        check.code(0);
        assert!(check.stderr.contains("cannot be used now"), "{check:?}");
    }
    daemon.ctl("start optional").is(0, "optional: started\n");
    daemon.wait_log(&format!(
        "optional: optional env_file left out: {here}/bad.env:2:5: this \" is never closed"
    ));
    assert!(
        !daemon
            .log()
            .contains("none.env: no such file or directory (optional")
    );
    assert!(!daemon.log().contains("hunter2"));
    daemon.close();
}
