//! What the actions share: the daemon they talk to, where they write, and how failures become words and exit codes.

use super::actions::{Action, Check};
use super::connect::{ConnectError, Server};
use super::connection::{Answer, Connection, PATIENCE, TalkError, url};
use super::interrupt::Interrupts;
use super::json;
use super::output::Output;
use super::render::{self, Rendered};
use crate::wire::{Refusal, Request, Response, ServerFrame, Topic};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Exit status when the time given with `--timeout` is over, as of timeout(1).
pub const TIMED_OUT: u8 = 124;

/// Why an action came to no answer.
#[derive(Debug)]
pub enum Failure {
    /// It has been told; this is the exit status.
    Reported(u8),
    /// The daemon refused. Worded by the action's name.
    Refused(Refusal),
    /// The daemon's answer is of the wrong kind.
    Unexpected,
}

/// One console at work.
#[derive(Debug)]
pub struct Session<'a> {
    /// Where everything is written.
    pub output: Output<'a>,
    /// Whether replies are printed as JSON.
    pub json: bool,
    /// Whether the words are Supervisor's where the name of the product appears in them.
    pub supervisor: bool,
    /// Ctrl-C, while it does not end the console.
    pub interrupts: Option<Interrupts>,
    /// What `fg` sends to a program.
    pub input: Option<BorrowedFd<'a>>,
    /// Set by `exit`: the shell ends after this action.
    pub leaving: bool,
    server: Server,
    connection: Option<Connection>,
    /// Pid of the daemon last talked to, by which a new one is noticed.
    daemon_pid: Option<u32>,
}

impl<'a> Session<'a> {
    /// A console for a daemon.
    pub fn new(output: Output<'a>, server: Server) -> Self {
        Self {
            output,
            json: false,
            supervisor: false,
            interrupts: None,
            input: None,
            leaving: false,
            server,
            connection: None,
            daemon_pid: None,
        }
    }

    /// The daemon's name in messages.
    pub fn daemon_name(&self) -> &'static str {
        if self.supervisor {
            "supervisord"
        } else {
            "taskmasterd"
        }
    }

    /// The daemon in use.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Talks to another daemon from now on.
    pub fn set_socket(&mut self, socket: PathBuf) {
        self.server = Server::at(socket);
        self.connection = None;
        self.daemon_pid = None;
    }

    /// Asks the daemon; a refusal is a [`Failure`].
    pub fn ask(&mut self, action: &Action, request: Request) -> Result<Response, Failure> {
        self.ask_within(action, request, None)
    }

    /// Asks the daemon for what it has to do within some time. What is not done by then goes on without us.
    pub fn ask_within(
        &mut self,
        action: &Action,
        request: Request,
        limit: Option<Duration>,
    ) -> Result<Response, Failure> {
        let nothing = |_: &[u8], _| None::<Infallible>;
        match self.ask_reading(action, request, limit, nothing)? {
            Answer::Response(response) => Ok(response),
            Answer::Read(never) => match never {},
        }
    }

    /// The same; but what `read` makes of a frame, given the number of the request, is the answer.
    pub fn ask_reading<T>(
        &mut self,
        action: &Action,
        request: Request,
        limit: Option<Duration>,
        read: impl FnMut(&[u8], u64) -> Option<T>,
    ) -> Result<Answer<T>, Failure> {
        self.connect(action)?;
        let interrupts = self.interrupts.as_ref().map(AsFd::as_fd);
        let Some(connection) = self.connection.as_mut() else {
            return Err(Failure::Unexpected);
        };
        let deadline = limit.map(|limit| Instant::now() + limit);
        match connection.call_reading(request, interrupts, deadline, read) {
            Ok(Answer::Response(Response::Refused(refusal))) => Err(Failure::Refused(refusal)),
            Ok(answer) => Ok(answer),
            Err(TalkError::TimedOut) if limit.is_some() => {
                self.hang_up();
                let name = action.name;
                let text = format!("{name}: ERROR (not done in time; the daemon goes on with it)");
                Err(self.fail(action, "timed_out", &text, TIMED_OUT))
            }
            Err(error) => Err(self.lost(action, &error)),
        }
    }

    /// Subscribes; a refusal is a [`Failure`].
    pub fn subscribe(&mut self, action: &Action, topic: Topic) -> Result<u64, Failure> {
        self.connect(action)?;
        let interrupts = self.interrupts.as_ref().map(AsFd::as_fd);
        let Some(connection) = self.connection.as_mut() else {
            return Err(Failure::Unexpected);
        };
        match connection.subscribe(topic, interrupts) {
            Ok(answer) => answer.map_err(Failure::Refused),
            Err(error) => Err(self.lost(action, &error)),
        }
    }

    /// The open connection beside what can be waited for with it.
    pub fn listen(
        &mut self,
    ) -> Option<(
        &mut Connection,
        Option<BorrowedFd<'_>>,
        Option<BorrowedFd<'a>>,
    )> {
        let interrupts = self.interrupts.as_ref().map(AsFd::as_fd);
        self.connection
            .as_mut()
            .map(|connection| (connection, interrupts, self.input))
    }

    /// What the daemon has said already, without waiting for more.
    pub fn arrived(&mut self) -> Option<ServerFrame> {
        self.connection.as_mut().and_then(Connection::arrived)
    }

    /// Gives the connection up; the next action opens another one.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    /// Reports that the conversation broke off.
    pub fn lost(&mut self, action: &Action, error: &TalkError) -> Failure {
        self.hang_up();
        if matches!(error, TalkError::Interrupted) {
            // The terminal stands behind `^C`.
            if !self.json {
                self.output.text("\n");
            }
            return Failure::Reported(130);
        }
        let text = format!("error: {}: {error}", url(&self.server.socket));
        self.fail(action, "connection", &text, 1)
    }

    /// Connects, unless there is a connection that still holds.
    fn connect(&mut self, action: &Action) -> Result<(), Failure> {
        if self.connection.as_mut().is_some_and(Connection::is_alive) {
            return Ok(());
        }
        self.connection = None;
        match Connection::open(&self.server, PATIENCE) {
            Ok(connection) => {
                let pid = connection.daemon().pid;
                if self.daemon_pid.is_some_and(|before| before != pid) {
                    self.output.error_line(&format!(
                        "note: another daemon answers at {} now (pid {pid})",
                        url(&self.server.socket)
                    ));
                }
                self.daemon_pid = Some(pid);
                self.connection = Some(connection);
                Ok(())
            }
            Err(error) => {
                let (text, code) = connect_text(&error, action.check, &url(&self.server.socket));
                Err(self.fail(action, connect_kind(&error), &text, code))
            }
        }
    }

    /// Prints an error of any kind, and is the [`Failure`] that says so.
    pub fn fail(&mut self, action: &Action, kind: &str, text: &str, code: u8) -> Failure {
        if self.json {
            self.print_json(&json!({
                "action": action.name,
                "error": { "kind": kind, "message": text },
            }));
        } else {
            self.output.line(text);
        }
        Failure::Reported(code)
    }

    /// Reports a wrong use of an action, with its help.
    pub fn misused(&mut self, action: &Action, text: &str, code: u8) -> Failure {
        let failure = self.fail(action, "usage", text, code);
        if !self.json {
            for line in action.help() {
                self.output.text(&line);
                self.output.text("\n");
            }
        }
        failure
    }

    /// Prints an answer in the form that is wanted, and is its exit status.
    pub fn finish(&mut self, rendered: &Rendered, json: &Value) -> u8 {
        if self.json {
            self.print_json(json);
        } else {
            for line in &rendered.lines {
                self.output.line(line);
            }
            // Not on the standard output, whose text scripts compare.
            if self.output.error_terminal {
                for detail in &rendered.details {
                    self.output.error_line(&format!("    {detail}"));
                }
            }
        }
        rendered.code
    }

    /// Prints one JSON document.
    pub fn print_json(&mut self, document: &Value) {
        let text = json::document(document);
        self.output.text(&text);
    }

    /// Turns the end of an action into its exit status, telling what has not been told.
    pub fn conclude(&mut self, action: &Action, result: Result<u8, Failure>) -> u8 {
        match result {
            Ok(code) | Err(Failure::Reported(code)) => code,
            Err(Failure::Refused(refusal)) => {
                let rendered = render::refusal(action.name, &refusal);
                let document = json::refusal(action.name, &refusal, &rendered);
                self.finish(&rendered, &document)
            }
            Err(Failure::Unexpected) => match self.lost(action, &TalkError::Unasked) {
                Failure::Reported(code) => code,
                Failure::Refused(_) | Failure::Unexpected => 1,
            },
        }
    }
}

/// Text and exit status of a failed connection, by what the action promises of them.
fn connect_text(error: &ConnectError, check: Check, url: &str) -> (String, u8) {
    let plain = format!("{url} {error}");
    match error {
        ConnectError::Missing | ConnectError::Refused => match check {
            Check::Status => (plain, 4),
            Check::Checked => {
                let code = if matches!(error, ConnectError::Missing) {
                    7
                } else {
                    4
                };
                (plain, code)
            }
            Check::Unchecked => (format!("error: {plain}"), 1),
            Check::Shutdown => (format!("ERROR: {plain} (already shut down?)"), 1),
        },
        ConnectError::Denied { .. } | ConnectError::Untrusted { .. } | ConnectError::Link => {
            (plain, 4)
        }
        ConnectError::Declined(Refusal::Forbidden) => (format!("{url}: {error}"), 4),
        ConnectError::Protocol { .. } | ConnectError::Declined(Refusal::Protocol { .. }) => {
            let code = match check {
                Check::Status => 4,
                Check::Checked => 5,
                Check::Unchecked | Check::Shutdown => 1,
            };
            (format!("error: {url}: {error}"), code)
        }
        ConnectError::PathTooLong
        | ConnectError::Declined(_)
        | ConnectError::NoGreeting(_)
        | ConnectError::Talk(_)
        | ConnectError::System(_) => (format!("error: {url}: {error}"), 1),
    }
}

/// The failure as programs name it.
fn connect_kind(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::Missing => "no_socket",
        ConnectError::Refused => "connection_refused",
        ConnectError::Denied { .. } => "permission_denied",
        ConnectError::Link | ConnectError::Untrusted { .. } => "not_trusted",
        ConnectError::Protocol { .. } => "protocol",
        ConnectError::Declined(_) => "declined",
        ConnectError::PathTooLong
        | ConnectError::NoGreeting(_)
        | ConnectError::Talk(_)
        | ConnectError::System(_) => "connection",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_failures_have_supervisors_texts_and_codes() {
        let denied = || ConnectError::Denied {
            owner: "root (uid 0)".to_owned(),
        };
        let newer = || ConnectError::Protocol {
            theirs: 2,
            version: "9.0.0".to_owned(),
        };
        for (error, check, text, code) in [
            (
                ConnectError::Missing,
                Check::Status,
                "unix:///p no such file",
                4,
            ),
            (
                ConnectError::Missing,
                Check::Checked,
                "unix:///p no such file",
                7,
            ),
            (
                ConnectError::Missing,
                Check::Unchecked,
                "error: unix:///p no such file",
                1,
            ),
            (
                ConnectError::Missing,
                Check::Shutdown,
                "ERROR: unix:///p no such file (already shut down?)",
                1,
            ),
            (
                ConnectError::Refused,
                Check::Status,
                "unix:///p refused connection",
                4,
            ),
            (
                ConnectError::Refused,
                Check::Checked,
                "unix:///p refused connection",
                4,
            ),
            (
                ConnectError::Refused,
                Check::Unchecked,
                "error: unix:///p refused connection",
                1,
            ),
            (
                ConnectError::Refused,
                Check::Shutdown,
                "ERROR: unix:///p refused connection (already shut down?)",
                1,
            ),
            (
                denied(),
                Check::Checked,
                "unix:///p permission denied: the socket belongs to root (uid 0)",
                4,
            ),
            (
                newer(),
                Check::Checked,
                concat!(
                    "error: unix:///p: the daemon (version 9.0.0) speaks protocol 2, this console (version ",
                    env!("CARGO_PKG_VERSION"),
                    ") speaks protocol 1: use the console of the daemon's version"
                ),
                5,
            ),
            (
                ConnectError::Talk(TalkError::TimedOut),
                Check::Status,
                "error: unix:///p: the daemon did not answer within 30 seconds",
                1,
            ),
            (
                ConnectError::Declined(Refusal::Busy),
                Check::Status,
                "error: unix:///p: the daemon has too many clients; try again later",
                1,
            ),
        ] {
            assert_eq!(
                connect_text(&error, check, "unix:///p"),
                (text.to_owned(), code),
                "{error:?} {check:?}"
            );
        }
    }
}
