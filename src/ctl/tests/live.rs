//! Logs, as they are and as they are written, and the foreground.

use super::{Ran, console, named, row, rows, run, running, strings};
use crate::ctl::actions;
use crate::ctl::connect::Server;
use crate::ctl::fake::{Daemon, Reaction, reply};
use crate::ctl::interrupt::Interrupts;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::wire::{
    Channel, LogChunk, Notice, Outcome, ProcessState, Refusal, Request, Response, ServerFrame,
    StatusReply, StatusRow, SubscriptionEnd, Topic, encode,
};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A daemon with the processes `web:0` and `web:1`, whose logs hold `line of NAME`.
fn with_logs() -> Daemon {
    Daemon::new(|id, request| match request {
        Request::Status { targets } => {
            let all = [running("web:0"), running("web:1")];
            let wanted = |row: &StatusRow| {
                targets
                    .iter()
                    .any(|target| target == "web" || *target == row.name)
            };
            let found: Vec<StatusRow> = all.into_iter().filter(wanted).collect();
            let unknown = if found.is_empty() {
                vec![named(&targets[0], Outcome::NoSuchProcess)]
            } else {
                vec![]
            };
            reply(
                id,
                Response::Status(StatusReply {
                    rows: found,
                    unknown,
                }),
            )
        }
        Request::Tail {
            target,
            channel: Channel::Stdout,
            ..
        } => reply(
            id,
            Response::Log(LogChunk {
                data: format!("line of {target}\n\x1b[2J").into_bytes(),
                size: 100,
            }),
        ),
        Request::Tail {
            target,
            channel: Channel::Stderr,
            ..
        } => reply(id, Response::Refused(Refusal::NoLog(target.clone()))),
        _ => Reaction::Close,
    })
}

#[test]
fn tail_shows_bytes_and_one_line_feed() {
    let daemon = with_logs();
    for (line, text, code) in [
        ("tail web:0", "line of web:0\n\x1b[2J\n", 0),
        (
            "tail web",
            "==> web:0 <==\nline of web:0\n\x1b[2J\n==> web:1 <==\nline of web:1\n\x1b[2J\n",
            0,
        ),
        ("tail web:0 stderr", "web:0: ERROR (no log file)\n", 1),
        ("tail nosuch", "nosuch: ERROR (no such process name)\n", 1),
    ] {
        let ran = run(&daemon.socket(), line);
        assert_eq!((ran.out.as_str(), ran.code), (text, code), "{line}");
    }
    let ran = console(&daemon.socket(), |session| {
        session.output.terminal = true;
        actions::run(session, &strings(&["tail", "-20", "web:0"]))
    });
    assert_eq!(ran.out, "line of web:0\n\\x1b[2J\n");
    assert!(daemon.requests().contains(&Request::Tail {
        target: "web:0".to_owned(),
        channel: Channel::Stdout,
        bytes: 20
    }));
}

fn notice(id: u64, notice: Notice) -> ServerFrame {
    ServerFrame::Notice { id, notice }
}

fn output(id: u64, data: &[u8]) -> ServerFrame {
    notice(
        id,
        Notice::Output {
            data: data.to_vec(),
        },
    )
}

fn subscribed(id: u64) -> ServerFrame {
    ServerFrame::Reply {
        id,
        response: Response::Subscribed,
    }
}

#[test]
fn following_shows_what_comes_until_it_ends() {
    let daemon = Daemon::new(|id, request| match request {
        Request::Status { .. } => reply(id, rows(vec![running("web")])),
        Request::Subscribe { .. } => Reaction::Say(vec![
            subscribed(id),
            output(id, b"old\n\xff"),
            notice(id, Notice::Gap { lost: 12 }),
            output(id, b"new\n"),
            ServerFrame::End {
                id,
                reason: SubscriptionEnd::Removed,
            },
        ]),
        _ => Reaction::Close,
    });
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = {
        let mut session =
            Session::new(Output::new(&mut out, &mut err), Server::at(daemon.socket()));
        actions::run(&mut session, &strings(&["tail", "-f", "web", "stderr"]))
    };
    assert_eq!(out, b"==> Press Ctrl-C to exit <==\nold\n\xffnew\n");
    assert_eq!(
        String::from_utf8(err).unwrap(),
        "==> 12 bytes were left out here <==\n==> web is no longer configured <==\n"
    );
    assert_eq!(code, 0);
    assert_eq!(
        daemon.requests()[1],
        Request::Subscribe {
            topic: Topic::Output {
                target: "web".to_owned(),
                channel: Channel::Stderr,
                backlog: 1024
            }
        }
    );
}

#[test]
fn several_logs_are_followed_with_headings() {
    let mut last = None;
    let daemon = Daemon::new(move |id, request| match request {
        Request::Status { .. } => reply(id, rows(vec![running("web:0"), running("web:1")])),
        Request::Subscribe { .. } => match last.replace(id) {
            None => Reaction::Say(vec![subscribed(id)]),
            Some(first) => {
                let end = |id| ServerFrame::End {
                    id,
                    reason: SubscriptionEnd::Shutdown,
                };
                Reaction::Say(vec![
                    subscribed(id),
                    output(first, b"a\n"),
                    output(first, b"b\n"),
                    output(id, b"c\n"),
                    output(first, b"d\n"),
                    end(first),
                    end(id),
                ])
            }
        },
        _ => Reaction::Close,
    });
    let ran = run(&daemon.socket(), "tail -f web");
    assert_eq!(
        ran.out,
        "==> Press Ctrl-C to exit <==\n==> web:0 <==\na\nb\n==> web:1 <==\nc\n==> web:0 <==\nd\n"
    );
    assert_eq!(ran.code, 0);
    assert_eq!(ran.err.lines().count(), 2);
}

#[test]
fn following_a_lost_daemon_is_a_failure() {
    let daemon = Daemon::new(|id, _| Reaction::Bytes(encode(&subscribed(id)).unwrap()));
    let ran = run(&daemon.socket(), "maintail -f");
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.ends_with(": the daemon closed the connection\n"),
        "{}",
        ran.out
    );
}

/// An output that presses Ctrl-C when a text has been written.
struct Trigger<'a> {
    written: &'a mut Vec<u8>,
    text: &'static [u8],
    wire: UnixStream,
}

impl Write for Trigger<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        if self.written.ends_with(self.text) {
            self.wire.write_all(b"!")?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn interrupted(daemon: &Daemon, line: &str, text: &'static [u8]) -> (String, u8) {
    let mut written = Vec::new();
    let (wire, given) = UnixStream::pair().unwrap();
    let mut trigger = Trigger {
        written: &mut written,
        text,
        wire,
    };
    let mut err = Vec::new();
    let code = {
        let mut session = Session::new(
            Output::new(&mut trigger, &mut err),
            Server::at(daemon.socket()),
        );
        session.interrupts = Some(Interrupts::Given(OwnedFd::from(given)));
        actions::run(&mut session, &actions::words([line]))
    };
    (String::from_utf8(written).unwrap(), code)
}

#[test]
fn ctrl_c_ends_following() {
    let daemon = Daemon::new(|id, _| Reaction::Say(vec![subscribed(id), output(id, b"new\n")]));
    let (text, code) = interrupted(&daemon, "maintail -f", b"new\n");
    assert_eq!(text, "==> Press Ctrl-C to exit <==\nnew\n");
    assert_eq!(code, 0);
}

#[test]
fn ctrl_c_ends_waiting_for_an_answer_and_the_connection_with_it() {
    let (mut wire, given) = UnixStream::pair().unwrap();
    // No answer but a Ctrl-C; then the version over a connection of its own.
    let daemon = Daemon::new(move |id, request| {
        if *request == Request::Version {
            return reply(id, Response::Version("9.8.7".to_owned()));
        }
        wire.write_all(b"!").unwrap();
        Reaction::Say(vec![])
    });
    let ran = console(&daemon.socket(), |session| {
        session.interrupts = Some(Interrupts::Given(OwnedFd::from(given)));
        assert_eq!(actions::run(session, &strings(&["start", "web"])), 130);
        session.interrupts = None;
        actions::run(session, &strings(&["version"]))
    });
    assert_eq!((ran.out.as_str(), ran.code), ("\n9.8.7\n", 0));
}

/// A daemon with one running process, of whose output there is a line; `react` answers to its input.
fn with_foreground(mut react: impl FnMut(u64, &[u8]) -> Reaction + Send + 'static) -> Daemon {
    Daemon::new(move |id, request| match request {
        Request::Status { targets } => match targets[0].as_str() {
            "web" => reply(id, rows(vec![running("web")])),
            "dead" => reply(id, rows(vec![row("dead", ProcessState::Exited)])),
            "many" => reply(id, rows(vec![running("many:0"), running("many:1")])),
            name => reply(
                id,
                Response::Status(StatusReply {
                    rows: vec![],
                    unknown: vec![named(name, Outcome::NoSuchProcess)],
                }),
            ),
        },
        Request::Subscribe {
            topic:
                Topic::Output {
                    channel: Channel::Stdout,
                    ..
                },
        } => Reaction::Say(vec![subscribed(id), output(id, b"hello\n")]),
        Request::Subscribe {
            topic:
                Topic::Output {
                    channel: Channel::Stderr,
                    ..
                },
        } => reply(id, Response::Refused(Refusal::NoLog("web".to_owned()))),
        Request::Subscribe { .. } => Reaction::Say(vec![subscribed(id)]),
        Request::Input { data, .. } => react(id, data),
        _ => Reaction::Close,
    })
}

fn foreground(daemon: &Daemon, line: &str, typed: &[u8], more: bool) -> Ran {
    let (mut keyboard, input) = UnixStream::pair().unwrap();
    keyboard.write_all(typed).unwrap();
    let _open = more.then_some(keyboard);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = {
        let mut session =
            Session::new(Output::new(&mut out, &mut err), Server::at(daemon.socket()));
        session.input = Some(input.as_fd());
        actions::run(&mut session, &actions::words([line]))
    };
    Ran {
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
        code,
    }
}

#[test]
fn fg_refuses_what_it_cannot_connect_to() {
    let daemon = with_foreground(|_, _| Reaction::Close);
    for (line, text) in [
        ("fg dead", "ERROR: process not running\n"),
        ("fg many", "ERROR: too many process names supplied\n"),
        ("fg nosuch", "ERROR: bad process name supplied\n"),
    ] {
        let ran = run(&daemon.socket(), line);
        assert_eq!((ran.out.as_str(), ran.code), (text, 1), "{line}");
    }
}

#[test]
fn fg_ends_with_ctrl_c_and_with_the_input() {
    let daemon = with_foreground(|_, _| Reaction::Close);
    let text = "==> Press Ctrl-C to exit <==\nhello\nExiting foreground\n";
    assert_eq!(
        interrupted(&daemon, "fg web", b"hello\n"),
        (text.to_owned(), 0)
    );
    let ran = foreground(&daemon, "fg web", b"", false);
    assert_eq!((ran.out.as_str(), ran.code), (text, 0));
}

#[test]
fn fg_sends_what_is_typed_and_ends_with_the_process() {
    for death in [
        ServerFrame::Notice {
            // The subscription to states is the first request of the connection.
            id: 1,
            notice: Notice::State {
                name: "web".to_owned(),
                from: ProcessState::Running,
                to: ProcessState::Exited,
                pid: Some(4711),
            },
        },
        ServerFrame::End {
            id: 3,
            reason: SubscriptionEnd::Removed,
        },
        ServerFrame::Reply {
            id: 9,
            response: Response::Results(vec![named("web", Outcome::NotRunning)]),
        },
    ] {
        let daemon = with_foreground(move |id, data| {
            assert_eq!(data, b"bye\n");
            let sent = ServerFrame::Reply {
                id,
                response: Response::Results(vec![named("web", Outcome::InputSent)]),
            };
            // The subscription to the output is the third.
            Reaction::Say(vec![sent, death.clone(), output(3, b"last words\n")])
        });
        let ran = foreground(&daemon, "fg web", b"bye\n", true);
        assert_eq!(
            ran.out,
            "==> Press Ctrl-C to exit <==\nhello\nlast words\nProcess got killed\nExiting foreground\n"
        );
        assert_eq!((ran.err.as_str(), ran.code), ("", 0));
    }
}
