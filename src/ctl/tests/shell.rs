//! The shell, for scripts and for people.

use super::{Ran, console, named, row, rows, strings};
use crate::ctl::actions;
use crate::ctl::connect::Server;
use crate::ctl::fake::{Daemon, Reaction, reply};
use crate::ctl::shell::{self, Line, Lines, Script};
use crate::wire::{
    Hello, Outcome, PROTOCOL_VERSION, ProcessState, Request, Response, ServerFrame, encode,
};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

#[test]
fn a_script_runs_line_by_line_and_remembers_the_last_failure() {
    let daemon = Daemon::new(|id, request| match request {
        Request::Version => reply(id, Response::Version("9.8.7".to_owned())),
        Request::Start { .. } => reply(
            id,
            Response::Results(vec![named("a", Outcome::AbnormalTermination)]),
        ),
        Request::Stop { .. } => reply(
            id,
            Response::Results(vec![named("a", Outcome::NoSuchProcess)]),
        ),
        Request::Shutdown => reply(id, Response::Accepted),
        // As a daemon that breaks off.
        _ => Reaction::Close,
    });
    let script = |text: &'static str| {
        console(&daemon.socket(), |session| {
            shell::run(session, &mut Script::new(text.as_bytes()), 0)
        })
    };
    let ran = script("# a comment\n\nversion\r\nstart a\nversion");
    assert_eq!(ran.out, "9.8.7\na: ERROR (abnormal termination)\n9.8.7\n");
    assert_eq!(ran.code, 7);
    assert_eq!(script("start a\nstop a\nversion\n").code, 1);
    assert_eq!(script("version\nexit\nstop a\n").code, 0);
    // No question is asked, and no line taken for the answer.
    let ran = script("shutdown\nversion\n");
    assert_eq!((ran.out.as_str(), ran.code), ("Shut down\n9.8.7\n", 0));
    // The loss is told; the next line connects again.
    let ran = script("avail\nversion\n");
    assert!(
        ran.out
            .ends_with(": the daemon closed the connection\n9.8.7\n"),
        "{}",
        ran.out
    );
    assert_eq!(ran.code, 1);
}

#[test]
fn a_connection_that_was_closed_while_idle_is_opened_again_in_silence() {
    let daemon = Daemon::new(|id, _| {
        let response = Response::Version("9.8.7".to_owned());
        Reaction::Bytes(encode(&ServerFrame::Reply { id, response }).unwrap())
    });
    let ran = console(&daemon.socket(), |session| {
        for _ in 0..3 {
            assert_eq!(actions::run(session, &strings(&["version"])), 0);
            daemon.wait_closed();
        }
        0
    });
    let expected = Ran {
        out: "9.8.7\n9.8.7\n9.8.7\n".to_owned(),
        err: String::new(),
        code: 0,
    };
    assert_eq!(ran, expected);
}

#[test]
fn another_daemon_in_the_old_ones_place_is_noticed() {
    let version = |id, _: &Request| reply(id, Response::Version("9.8.7".to_owned()));
    let mut first = Daemon::new(|id, _| {
        let response = Response::Version("9.8.7".to_owned());
        Reaction::Bytes(encode(&ServerFrame::Reply { id, response }).unwrap())
    });
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("sock");
    first.move_to(&socket);
    let mut second = Daemon::greeting(
        &Hello {
            protocol: PROTOCOL_VERSION,
            version: "9.8.7".to_owned(),
            pid: 4701,
            identifier: None,
        },
        version,
    );
    let ran = console(&socket, |session| {
        assert_eq!(actions::run(session, &strings(&["version"])), 0);
        first.wait_closed();
        drop(first);
        second.move_to(&socket);
        actions::run(session, &strings(&["version"]))
    });
    assert_eq!((ran.out.as_str(), ran.code), ("9.8.7\n9.8.7\n", 0));
    assert_eq!(
        ran.err,
        format!(
            "note: another daemon answers at unix://{} now (pid 4701)\n",
            socket.display()
        )
    );
}

/// A person who types these lines and answers every question the same way.
struct Typist {
    lines: VecDeque<Line>,
    answer: bool,
    asked: Vec<String>,
    socket: PathBuf,
}

impl Lines for Typist {
    fn next(&mut self) -> io::Result<Line> {
        Ok(self.lines.pop_front().unwrap_or(Line::End))
    }

    fn confirm(&mut self, question: &str) -> bool {
        self.asked.push(question.to_owned());
        self.answer
    }

    fn is_person(&self) -> bool {
        true
    }

    fn use_server(&mut self, server: &Server) {
        self.socket.clone_from(&server.socket);
    }
}

fn typed(daemon: &Daemon, lines: &[&str], answer: bool) -> (Ran, Vec<String>) {
    let mut typist = Typist {
        lines: lines
            .iter()
            .map(|&line| match line {
                "^C" => Line::Abandoned,
                line => Line::Text(line.to_owned()),
            })
            .collect(),
        answer,
        asked: vec![],
        socket: PathBuf::new(),
    };
    let ran = console(&daemon.socket(), |session| {
        shell::run(session, &mut typist, 0)
    });
    assert_eq!(typist.socket, daemon.socket());
    (ran, typist.asked)
}

#[test]
fn a_person_sees_the_status_first_and_is_asked_before_the_end() {
    let daemon = Daemon::new(|id, request| match request {
        Request::Status { .. } => reply(id, rows(vec![row("web", ProcessState::Stopped)])),
        Request::Version => reply(id, Response::Version("9.8.7".to_owned())),
        _ => reply(id, Response::Accepted),
    });
    let status = "web                              STOPPED   Not started\n";
    let (ran, asked) = typed(&daemon, &["^C", "", "version"], true);
    assert_eq!(ran.out, format!("{status}9.8.7\n\n"));
    assert_eq!(
        (ran.code, asked.len()),
        (0, 0),
        "the first status is nobody's failure"
    );
    let (ran, asked) = typed(&daemon, &["shutdown --json", "reload", "exit"], false);
    assert_eq!(ran.out, format!("{status}\n"));
    assert_eq!(
        asked,
        [
            "Really shut the remote taskmasterd process down y/N? ",
            "Really restart the remote taskmasterd process y/N? "
        ]
    );
    let (ran, _) = typed(&daemon, &["shutdown", "quit", "version"], true);
    assert_eq!(ran.out, format!("{status}Shut down\n\n"));
    let (ran, _) = typed(&daemon, &["nosuch", "version"], true);
    assert_eq!(ran.code, 1);
}

#[test]
fn only_a_yes_is_a_yes() {
    for (answer, yes) in [
        ("y", true),
        ("Yes", true),
        (" y", true),
        ("", false),
        ("n", false),
        ("oh y", false),
    ] {
        assert_eq!(shell::is_yes(answer), yes, "{answer:?}");
    }
}
