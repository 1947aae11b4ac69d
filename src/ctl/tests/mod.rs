//! Each action from the typed words to the text and the exit status, against a daemon in a thread.

#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    reason = "a daemon of a test answers the rest alike, and tables are long"
)]

mod live;
mod shell;

use super::actions;
use super::connect::Server;
use super::fake::{Daemon, Reaction, reply, row};
use super::output::Output;
use super::session::Session;
use crate::wire::{
    AvailRow, Change, ChangeKind, Diagnostic, GroupAnswer, GroupResult, Hello, LogChunk,
    NamedResult, Outcome, PidRow, ProcessState, Refusal, Request, Response, ServerFrame,
    StatusReply, StatusRow,
};
use serde_json::Value;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a console printed and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    out: String,
    err: String,
    code: u8,
}

/// Runs `work` on a console for `socket`.
fn console(socket: &Path, work: impl FnOnce(&mut Session<'_>) -> u8) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = {
        let output = Output::new(&mut out, &mut err);
        let mut session = Session::new(output, Server::at(socket.to_owned()));
        work(&mut session)
    };
    Ran {
        out: String::from_utf8_lossy(&out).into_owned(),
        err: String::from_utf8_lossy(&err).into_owned(),
        code,
    }
}

fn run(socket: &Path, line: &str) -> Ran {
    console(socket, |session| {
        actions::run(session, &actions::words([line]))
    })
}

/// A daemon that gives every request the same answer.
fn answering(response: Response) -> Daemon {
    Daemon::new(move |id, _| reply(id, response.clone()))
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn named(name: &str, outcome: Outcome) -> NamedResult {
    NamedResult {
        name: name.to_owned(),
        outcome,
    }
}

fn rows(rows: Vec<StatusRow>) -> Response {
    Response::Status(StatusReply {
        rows,
        unknown: vec![],
    })
}

fn running(name: &str) -> StatusRow {
    StatusRow {
        pid: Some(4711),
        uptime_ms: Some(5000),
        ..row(name, ProcessState::Running)
    }
}

#[test]
fn each_action_asks_its_question_and_words_the_answer() {
    let targets = |names: &[&str]| strings(names);
    let results = |list: Vec<NamedResult>| Response::Results(list);
    let change = |kind| Change {
        group: "g".to_owned(),
        kind,
        stopped: true,
    };
    let group = |answer| GroupResult {
        group: "g".to_owned(),
        answer,
    };
    let cases: Vec<(&str, Request, Response, &str, u8)> = vec![
        (
            "status",
            Request::Status { targets: vec![] },
            rows(vec![running("web")]),
            "web                              RUNNING   pid 4711, uptime 0:00:05\n",
            0,
        ),
        (
            "status web:*",
            Request::Status {
                targets: targets(&["web:*"]),
            },
            rows(vec![row("web:0", ProcessState::Stopped)]),
            "web:0                            STOPPED   Not started\n",
            3,
        ),
        (
            "status",
            Request::Status { targets: vec![] },
            rows(vec![]),
            "",
            0,
        ),
        (
            "start a b",
            Request::Start {
                targets: targets(&["a", "b"]),
                wait: true,
            },
            results(vec![
                named("a", Outcome::Started),
                named("b", Outcome::AlreadyStarted),
            ]),
            "a: started\nb: ERROR (already started)\n",
            0,
        ),
        (
            "stop a",
            Request::Stop {
                targets: targets(&["a"]),
                wait: true,
            },
            results(vec![named("a", Outcome::Stopped)]),
            "a: stopped\n",
            0,
        ),
        (
            "restart a",
            Request::Restart {
                targets: targets(&["a"]),
                wait: true,
            },
            Response::Restarted {
                stops: vec![named("a", Outcome::NotRunning)],
                starts: vec![named("a", Outcome::Started)],
            },
            "a: ERROR (not running)\na: started\n",
            0,
        ),
        (
            "restart nosuch:*",
            Request::Restart {
                targets: targets(&["nosuch:*"]),
                wait: true,
            },
            Response::Restarted {
                stops: vec![named("nosuch:*", Outcome::NoSuchGroup)],
                starts: vec![named("nosuch:*", Outcome::NoSuchGroup)],
            },
            "nosuch: ERROR (no such group)\nnosuch: ERROR (no such group)\n",
            2,
        ),
        (
            "signal HUP a",
            Request::Signal {
                targets: targets(&["a"]),
                signal: "HUP".to_owned(),
            },
            results(vec![named("a", Outcome::Signalled)]),
            "a: signalled\n",
            0,
        ),
        (
            "clear g:*",
            Request::Clear {
                targets: targets(&["g:*"]),
            },
            results(vec![
                named("g:0", Outcome::Cleared),
                named("g:1", Outcome::Cleared),
            ]),
            "g:0: cleared\ng:1: cleared\n",
            0,
        ),
        (
            "pid",
            Request::Pid { targets: vec![] },
            Response::DaemonPid(4700),
            "4700\n",
            0,
        ),
        (
            "pid web",
            Request::Pid {
                targets: targets(&["web"]),
            },
            Response::Pids(vec![
                PidRow {
                    name: "web:0".to_owned(),
                    pid: Some(1),
                },
                PidRow {
                    name: "web:1".to_owned(),
                    pid: Some(2),
                },
            ]),
            "1\n2\n",
            0,
        ),
        (
            "avail",
            Request::Avail,
            Response::Avail(vec![AvailRow {
                name: "a".to_owned(),
                group: "a".to_owned(),
                in_use: false,
                autostart: true,
                group_priority: 999,
                process_priority: 999,
            }]),
            "a                                avail     auto      999:999\n",
            0,
        ),
        (
            "reread",
            Request::Reread,
            Response::Changes(vec![change(ChangeKind::Added)]),
            "g: available\n",
            0,
        ),
        (
            "reread",
            Request::Reread,
            Response::Refused(Refusal::BadConfig(vec![Diagnostic {
                error: true,
                file: "/t.ini".to_owned(),
                line: 3,
                column: 5,
                message: "bad".to_owned(),
                help: None,
            }])),
            "ERROR: CANT_REREAD: /t.ini:3:5: bad\n",
            1,
        ),
        (
            "update",
            Request::Update { groups: vec![] },
            Response::Changes(vec![change(ChangeKind::Changed)]),
            "g: stopped\ng: updated process group\n",
            0,
        ),
        (
            "update all x",
            Request::Update { groups: vec![] },
            Response::Changes(vec![]),
            "",
            0,
        ),
        (
            "update x",
            Request::Update {
                groups: targets(&["x"]),
            },
            Response::Refused(Refusal::NoSuchGroup("x".to_owned())),
            "ERROR: no such group: x\n",
            1,
        ),
        (
            "add g",
            Request::Add {
                groups: targets(&["g"]),
            },
            Response::Groups(vec![group(GroupAnswer::Added)]),
            "g: added process group\n",
            0,
        ),
        (
            "remove g",
            Request::Remove {
                groups: targets(&["g"]),
            },
            Response::Groups(vec![group(GroupAnswer::StillRunning)]),
            "ERROR: process/group still running: g\n",
            1,
        ),
        (
            "upgrade",
            Request::Upgrade,
            Response::Upgraded {
                from: "1.0".to_owned(),
                to: "1.1".to_owned(),
            },
            "Upgraded taskmasterd from 1.0 to 1.1\n",
            0,
        ),
        (
            "upgrade",
            Request::Upgrade,
            Response::Refused(Refusal::NotUpgraded("it is garbage".to_owned())),
            "ERROR: not upgraded, and nothing changed: it is garbage\n",
            1,
        ),
        (
            "reload",
            Request::Reload,
            Response::Accepted,
            "Restarted taskmasterd\n",
            0,
        ),
        (
            "shutdown",
            Request::Shutdown,
            Response::Accepted,
            "Shut down\n",
            0,
        ),
        (
            "shutdown",
            Request::Shutdown,
            Response::Refused(Refusal::ShuttingDown),
            "ERROR: already shutting down\n",
            0,
        ),
        (
            "version",
            Request::Version,
            Response::Version("1.2.3".to_owned()),
            "1.2.3\n",
            0,
        ),
        (
            "maintail",
            Request::MainTail { bytes: 1600 },
            Response::Log(LogChunk {
                data: b"line\n".to_vec(),
                size: 5,
            }),
            "line\n\n",
            0,
        ),
        (
            "maintail -0",
            Request::MainTail { bytes: 0 },
            Response::Refused(Refusal::NoLog("some identifier".to_owned())),
            "taskmasterd: ERROR (no log file)\n",
            1,
        ),
    ];
    for (line, request, response, text, code) in cases {
        let daemon = answering(response);
        let ran = run(&daemon.socket(), line);
        assert_eq!((ran.out.as_str(), ran.code), (text, code), "{line}");
        assert_eq!(ran.err, "", "{line}");
        assert_eq!(daemon.requests(), [request], "{line}");
    }
}

#[test]
fn a_signal_that_is_none_is_told_of_each_target_after_a_look_for_it() {
    let daemon = answering(Response::Refused(Refusal::BadSignal("NOPE".to_owned())));
    let ran = run(&daemon.socket(), "signal NOPE a g:*");
    assert_eq!(
        (ran.out.as_str(), ran.code),
        (
            "a: ERROR (bad signal name)\ng: ERROR (bad signal name)\n",
            1
        )
    );
    let sent = vec!["a".to_owned(), "g:*".to_owned()];
    assert_eq!(
        daemon.requests(),
        [
            Request::Signal {
                targets: sent.clone(),
                signal: "NOPE".to_owned(),
            },
            Request::Status { targets: sent },
        ]
    );
}

#[test]
fn wrong_use_is_explained_without_a_daemon() {
    for (line, text, code) in [
        (
            "start",
            "Error: start requires a process name\nstart NAME...\t",
            2,
        ),
        (
            "stop",
            "Error: stop requires a process name\nstop NAME...\t",
            1,
        ),
        ("restart", "Error: restart requires a process name\n", 1),
        ("clear", "Error: clear requires a process name\n", 1),
        (
            "signal",
            "Error: signal requires a signal name and a process name\nsignal ",
            1,
        ),
        (
            "signal HUP",
            "Error: signal requires a signal name and a process name\n",
            1,
        ),
        (
            "reread x",
            "Error: reread accepts no arguments\nreread\t",
            1,
        ),
        ("avail x", "Error: avail accepts no arguments\navail\t", 1),
        (
            "version x",
            "Error: version accepts no arguments\nversion\t",
            1,
        ),
        (
            "reload x",
            "Error: reload accepts no arguments\nreload\t",
            1,
        ),
        (
            "shutdown x",
            "Error: shutdown accepts no arguments\nshutdown\t",
            1,
        ),
        ("tail", "Error: too few arguments\ntail NAME", 1),
        ("tail -f", "Error: tail requires process name\n", 1),
        ("maintail x", "Error: bad argument x\n", 1),
        ("maintail -f x", "Error: too many arguments\nmaintail\t", 1),
        ("fg", "ERROR: no process name supplied\nfg NAME\t", 1),
        ("fg a b", "ERROR: too many process names supplied\n", 1),
        ("open", "ERROR: url must be http:// or unix://\n", 1),
        ("open foo", "ERROR: url must be http:// or unix://\n", 1),
        (
            "open http://x:9001",
            "ERROR: 'http://x:9001' is not supported",
            1,
        ),
        ("add", "", 0),
        ("remove", "", 0),
        ("exit", "\n", 0),
        ("quit", "\n", 0),
        ("EOF", "\n", 0),
        ("nosuch a b", "*** Unknown syntax: nosuch a b\n", 1),
        ("!ls", "*** Unknown syntax: !ls\n", 1),
        ("statsu web", "*** Unknown syntax: statsu web\n", 1),
        ("help bogus", "*** No help on bogus\n", 0),
        (
            "help version",
            "version\tShow the daemon's version\nExample: version\n",
            0,
        ),
        ("?version", "version\tShow the daemon's version\n", 0),
        ("? version", "version\tShow the daemon's version\n", 0),
        ("?", "\ndefault commands (type help <topic>):\n", 0),
        ("", "", 0),
    ] {
        let ran = run(Path::new("/nonexistent/sock"), line);
        assert!(ran.out.starts_with(text), "{line}: {}", ran.out);
        assert_eq!(ran.code, code, "{line}");
        if text.is_empty() {
            assert_eq!(ran.out, "", "{line}");
        }
    }
}

#[test]
fn a_daemon_that_is_not_there_is_told_as_each_action_does() {
    for (lines, text, code) in [
        (
            &["status"][..],
            "unix:///nonexistent/sock no such file\n",
            4,
        ),
        (
            &[
                "start a",
                "stop a",
                "restart a",
                "signal HUP a",
                "pid",
                "clear a",
                "tail a",
                "maintail",
                "fg a",
                "version",
            ],
            "unix:///nonexistent/sock no such file\n",
            7,
        ),
        (
            &["add a", "avail", "reload", "remove a", "reread", "update"],
            "error: unix:///nonexistent/sock no such file\n",
            1,
        ),
        (
            &["shutdown"],
            "ERROR: unix:///nonexistent/sock no such file (already shut down?)\n",
            1,
        ),
    ] {
        for line in lines {
            let ran = run(Path::new("/nonexistent/sock"), line);
            assert_eq!((ran.out.as_str(), ran.code), (text, code), "{line}");
        }
    }
    let daemon = answering(Response::Accepted);
    let stale = daemon.directory().join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    for (line, code) in [("status", 4), ("start a", 4), ("avail", 1), ("shutdown", 1)] {
        let ran = run(&stale, line);
        assert!(ran.out.contains("refused connection"), "{}", ran.out);
        assert_eq!(ran.code, code, "{line}");
    }
}

#[test]
fn a_daemon_of_another_version_is_named() {
    let hello = Hello {
        protocol: 2,
        version: "9.8.7".to_owned(),
        pid: 1,
        identifier: None,
    };
    let daemon = Daemon::greeting(&hello, |_, _| Reaction::Close);
    let ran = run(&daemon.socket(), "version");
    assert_eq!(ran.code, 5);
    assert!(
        ran.out.contains("(version 9.8.7) speaks protocol 2"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("speaks protocol 1"), "{}", ran.out);
    assert_eq!(daemon.requests(), []);
}

#[test]
fn a_daemon_may_decline_instead_of_greeting() {
    let frame = crate::wire::encode(&ServerFrame::Reply {
        id: 0,
        response: Response::Refused(Refusal::Busy),
    })
    .unwrap();
    let daemon = Daemon::greeting_with(frame, |_, _| Reaction::Close);
    let ran = run(&daemon.socket(), "status");
    assert!(
        ran.out
            .ends_with("the daemon has too many clients; try again later\n"),
        "{}",
        ran.out
    );
    assert_eq!(ran.code, 1);
    let daemon = Daemon::greeting_with(b"HTTP/1.0 200 OK\r\n".to_vec(), |_, _| Reaction::Close);
    let ran = run(&daemon.socket(), "status");
    assert!(
        ran.out.contains("not served by a daemon of this kind"),
        "{}",
        ran.out
    );
    assert_eq!(ran.code, 1);
}

#[test]
fn a_broken_answer_ends_the_action_with_a_line() {
    for (bytes, part) in [
        (vec![], "closed the connection"),
        (vec![0, 0, 1, 0, 1, 2], "closed the connection"),
        (vec![0xff; 8], "cannot be read"),
        (vec![0, 0, 0, 1, 0xff], "cannot be read"),
        (crate::wire::encode(&"Teleported").unwrap(), "does not know"),
    ] {
        let daemon = Daemon::new(move |_, _| Reaction::Bytes(bytes.clone()));
        let ran = run(&daemon.socket(), "version");
        assert_eq!(ran.code, 1);
        assert!(
            ran.out.starts_with("error: unix://") && ran.out.contains(part),
            "{}",
            ran.out
        );
    }
}

fn json(socket: &Path, line: &str) -> (Value, u8) {
    let ran = run(socket, &format!("{line} --json"));
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.out);
    assert_eq!(ran.err, "");
    (serde_json::from_str(&ran.out).unwrap(), ran.code)
}

#[test]
fn json_is_one_document_with_the_same_exit_status() {
    let daemon = Daemon::new(|id, request| {
        let response = match request {
            Request::Status { targets } => Response::Status(StatusReply {
                rows: vec![row("web:0", ProcessState::Stopped)],
                unknown: if targets.is_empty() {
                    vec![named("nosuch", Outcome::NoSuchProcess)]
                } else {
                    vec![]
                },
            }),
            Request::Stop { .. } => Response::Results(vec![named("web:0", Outcome::NotRunning)]),
            Request::Pid { targets } if targets.is_empty() => Response::DaemonPid(4700),
            Request::Pid { .. } => Response::Pids(vec![PidRow {
                name: "web:0".to_owned(),
                pid: Some(0),
            }]),
            Request::Tail { .. } => Response::Log(LogChunk {
                data: b"\xff\n".to_vec(),
                size: 2,
            }),
            Request::Version => Response::Version("9.8.7".to_owned()),
            Request::Shutdown => Response::Accepted,
            _ => Response::Refused(Refusal::BadConfig(vec![Diagnostic {
                error: true,
                file: "/t.ini".to_owned(),
                line: 3,
                column: 5,
                message: "bad".to_owned(),
                help: None,
            }])),
        };
        reply(id, response)
    });
    let socket = daemon.socket();
    let (status, code) = json(&socket, "status");
    assert_eq!(code, 3);
    assert_eq!(status["processes"][0]["name"], "web:0");
    assert_eq!(status["processes"][0]["state"], "STOPPED");
    assert_eq!(status["processes"][0]["code"], 0);
    assert_eq!(status["processes"][0]["description"], "Not started");
    assert_eq!(status["processes"][0]["pid"], Value::Null);
    assert_eq!(status["unknown"][0]["outcome"], "no_such_process");
    assert_eq!(
        json(&socket, "stop web").0["results"][0]["outcome"],
        "not_running"
    );
    assert_eq!(json(&socket, "pid").0["pid"], 4700);
    let (pid, code) = json(&socket, "pid web:0");
    assert_eq!((&pid["processes"][0]["pid"], code), (&Value::from(0), 7));
    let (tail, code) = json(&socket, "tail web:0");
    assert_eq!(
        (&tail["logs"][0]["base64"], code),
        (&Value::from("/wo="), 0)
    );
    assert_eq!(json(&socket, "version").0["version"], "9.8.7");
    assert_eq!(json(&socket, "shutdown").0["accepted"], true);
    let (reread, code) = json(&socket, "reread");
    assert_eq!(
        (&reread["error"]["kind"], code),
        (&Value::from("bad_config"), 1)
    );
    assert_eq!(reread["error"]["diagnostics"][0]["line"], 3);
    for (line, kind, code) in [
        ("start", "usage", 2),
        ("tail -f web:0", "usage", 2),
        ("fg web:0", "usage", 2),
        ("nosuch", "unknown_action", 1),
    ] {
        let (document, actual) = json(&socket, line);
        assert_eq!(
            (&document["error"]["kind"], actual),
            (&Value::from(kind), code),
            "{line}"
        );
    }
    let (document, code) = json(Path::new("/nonexistent/sock"), "status");
    assert_eq!(
        (&document["error"]["kind"], code),
        (&Value::from("no_socket"), 4)
    );
    assert_eq!(
        json(&socket, "help").0["actions"].as_array().unwrap().len(),
        26
    );
}

#[test]
fn open_changes_the_daemon_and_never_fails() {
    let daemon = answering(rows(vec![row("web", ProcessState::Stopped)]));
    let url = format!("open unix://{}", daemon.socket().display());
    let ran = console(Path::new("/nonexistent/sock"), |session| {
        let code = actions::run(session, &actions::words([url.as_str()]));
        assert_eq!(session.server().socket, daemon.socket());
        code
    });
    assert_eq!(ran.code, 0);
    assert!(ran.out.starts_with("web "), "{}", ran.out);
    let ran = run(&daemon.socket(), "open unix:///nonexistent/sock");
    assert_eq!(
        (ran.out.as_str(), ran.code),
        ("unix:///nonexistent/sock no such file\n", 0)
    );
}

#[test]
fn supervisors_name_gives_supervisors_words() {
    let daemon = answering(Response::Accepted);
    let ran = console(&daemon.socket(), |session| {
        session.supervisor = true;
        actions::run(session, &strings(&["reload"]))
    });
    assert_eq!(ran.out, "Restarted supervisord\n");
}

#[test]
fn details_go_to_a_person_only() {
    let daemon = answering(Response::Results(vec![named(
        "web",
        Outcome::Failed { errno: 13 },
    )]));
    assert_eq!(run(&daemon.socket(), "clear web").err, "");
    let ran = console(&daemon.socket(), |session| {
        session.output.error_terminal = true;
        actions::run(session, &strings(&["clear", "web"]))
    });
    assert_eq!(ran.out, "web: ERROR (failed)\n");
    assert_eq!(ran.err, "    web: permission denied\n");
}

#[test]
fn an_action_is_carried_out_though_nobody_reads() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let daemon = answering(Response::Results(vec![named(
        "web",
        Outcome::NoSuchProcess,
    )]));
    let mut err = Vec::new();
    let mut closed = Closed;
    {
        let mut session = Session::new(
            Output::new(&mut closed, &mut err),
            Server::at(daemon.socket()),
        );
        assert_eq!(actions::run(&mut session, &strings(&["start", "web"])), 1);
        assert!(!session.output.report_failure());
    }
    assert_eq!(err, b"");
    assert_eq!(daemon.requests().len(), 1);
}

#[test]
fn live_names_come_from_the_daemon() {
    let daemon = Daemon::new(|id, request| match request {
        Request::Status { .. } => reply(id, rows(vec![running("web:0"), running("cat")])),
        _ => reply(
            id,
            Response::Avail(vec![AvailRow {
                name: "new".to_owned(),
                group: "new".to_owned(),
                in_use: false,
                autostart: true,
                group_priority: 999,
                process_priority: 999,
            }]),
        ),
    });
    let names = crate::ctl::complete::LiveNames::fetch(&Server::at(daemon.socket()));
    assert_eq!(names.groups.keys().collect::<Vec<_>>(), ["cat", "web"]);
    assert_eq!(
        names.groups["web"],
        [("web:0".to_owned(), "running".to_owned())]
    );
    assert_eq!(names.inactive.into_iter().collect::<Vec<_>>(), ["new"]);
    let none =
        crate::ctl::complete::LiveNames::fetch(&Server::at(PathBuf::from("/nonexistent/sock")));
    assert_eq!(none, crate::ctl::complete::LiveNames::default());
}
