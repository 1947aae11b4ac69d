//! What each request means: the single bridge between the protocol and the daemon's parts.
//!
//! Questions are answered at once from one snapshot of the engine. What changes processes becomes a command to the
//! engine, under a ticket that remembers who is to be answered. What touches a log or a standard input is
//! [`super::streams`]' matter.

use super::clients::ClientId;
use super::convert;
use super::event_loop::Daemon;
use super::jobs::Tail;
use super::upgrade::concerns_daemon_alone;
use crate::daemon::capture::LogRef;
use crate::engine::event::{Command, GroupChangeKind, Reply};
use crate::engine::{self, Resolution};
use crate::events::Event;
use crate::sys::clock;
use crate::types::{Monotonic, Signal, SignalError, Ticket};
use crate::wire::{Diagnostic, Refusal, Request, RequestFrame, Response, SubscriptionEnd};
use nix::unistd::AccessFlags;
use serde::{Deserialize, Serialize};

/// Most targets in one request, and most processes that they name where the daemon has not more of them.
const TARGETS_MAX: usize = 4096;

/// Who is to be answered when a command is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiter {
    /// A client.
    Client {
        /// Which.
        client: ClientId,
        /// The id of its request.
        request: u64,
    },
    /// Nobody: a signal asked. What became of it is logged.
    Signal,
}

impl Daemon {
    /// Handles one request of a client.
    pub(super) fn handle(&mut self, client: ClientId, frame: RequestFrame, now: Monotonic) {
        let RequestFrame { id, request } = frame;
        let request = match self.authorise(client, request) {
            Ok(request) => request,
            Err(response) => return self.reply(client, id, response, now),
        };
        if let Some(response) = self.respond(client, id, request, now) {
            self.reply(client, id, response, now);
        }
    }

    /// The response, or none when it comes later.
    fn respond(
        &mut self,
        client: ClientId,
        id: u64,
        request: Request,
        now: Monotonic,
    ) -> Option<Response> {
        if targets_of(&request).is_some_and(|targets| self.names_too_much(targets)) {
            return Some(Response::Refused(Refusal::TooLarge));
        }
        let command = match request {
            Request::Status { targets } => {
                let frame = self.status_frame(id, &targets, now);
                self.send(client, frame, now);
                return None;
            }
            Request::Pid { targets } if targets.is_empty() => {
                return Some(Response::DaemonPid(std::process::id()));
            }
            Request::Pid { targets } => return Some(Response::Pids(self.pids(&targets))),
            Request::Why { target } => return Some(self.why(&target, now)),
            Request::Environment { target } => return Some(self.environment(&target)),
            Request::Avail => return Some(Response::Avail(self.avail(client))),
            Request::Version => {
                return Some(Response::Version(env!("CARGO_PKG_VERSION").to_owned()));
            }
            Request::Tail {
                target,
                channel,
                bytes,
            } => {
                return self
                    .tail(client, id, &target, channel, bytes)
                    .err()
                    .map(Response::Refused);
            }
            Request::MainTail { bytes } => {
                self.main_tail(client, id, bytes);
                return None;
            }
            Request::Clear { targets } => return self.clear(client, id, &targets),
            Request::Input { target, data } => return Some(self.input(&target, &data)),
            Request::Remote { subject, data } => {
                self.publish_event(Event::remote(&subject, &data));
                return Some(Response::Accepted);
            }
            Request::Subscribe { topic } => {
                return self
                    .subscribe(client, id, &topic, now)
                    .err()
                    .map(Response::Refused);
            }
            Request::Unsubscribe { subscription } => {
                self.end_subscriptions(SubscriptionEnd::Unsubscribed, now, |open| {
                    open.client == client && open.request == subscription
                });
                return Some(Response::Accepted);
            }
            Request::Start { targets, wait } => self.start_command(targets, wait),
            Request::Stop { targets, wait } => Command::Stop { targets, wait },
            Request::Restart { targets, wait } => self.restart_command(targets, wait),
            Request::Signal { targets, signal } => match signal_to_send(&signal) {
                Ok(signal) => Command::Signal { targets, signal },
                Err(_) => return Some(Response::Refused(Refusal::BadSignal(signal))),
            },
            Request::Add { groups } => Command::Add { groups },
            Request::Remove { groups } => Command::Remove { groups },
            Request::Shutdown => Command::Shutdown,
            Request::Reread | Request::Update { .. } | Request::Plan { .. } | Request::Reload
                if self.engine.is_shutting_down() =>
            {
                return Some(Response::Refused(Refusal::ShuttingDown));
            }
            Request::Plan { groups } => return Some(self.plan(&groups, now)),
            Request::Reread => match self.read_file() {
                Ok(config) => Command::Reread { config },
                Err(faults) => return Some(Response::Refused(Refusal::BadConfig(faults))),
            },
            Request::Update { groups } => match self.load_for_update() {
                Ok(config) => Command::Update { config, groups },
                Err(faults) => return Some(Response::Refused(Refusal::BadConfig(faults))),
            },
            Request::Upgrade => {
                self.ask_for_upgrade(client, id, now);
                return None;
            }
            Request::Reload => match self.reload(client, id, now) {
                Ok(Some(command)) => command,
                Ok(None) => return None,
                Err(faults) => return Some(Response::Refused(Refusal::BadConfig(faults))),
            },
        };
        let ticket = self.counters.next_ticket();
        if let Some(client) = self.clients.get_mut(&client) {
            client.waiting.insert(ticket);
        }
        self.waiters.insert(
            ticket,
            Waiter::Client {
                client,
                request: id,
            },
        );
        self.feed(engine::Event::Command { ticket, command });
        None
    }

    fn main_tail(&mut self, client: ClientId, request: u64, bytes: u64) {
        let tail = Tail {
            client,
            request,
            name: self.started_with.identifier.clone(),
        };
        self.queue_tail(tail, LogRef::Main, bytes);
    }

    /// The command that stops everything and starts anew; none where only the daemon's own settings are new, which takes
    /// no stop. The file, and what is to be executed, are tried before anything is stopped for it.
    fn reload(
        &mut self,
        client: ClientId,
        id: u64,
        now: Monotonic,
    ) -> Result<Option<Command>, Vec<Diagnostic>> {
        let config = self.read_file()?;
        self.check_executable()?;
        if self.can_be_handed_over().is_err()
            || !concerns_daemon_alone(&self.started_with, self.engine.config(), &config)
        {
            return Ok(Some(Command::Reload));
        }
        self.ask_for_settings(client, id, config.daemon.clone(), now);
        Ok(None)
    }

    fn start_command(&self, targets: Vec<String>, wait: bool) -> Command {
        Command::Start {
            unrunnable: self.unrunnable(&targets),
            targets,
            wait,
        }
    }

    fn restart_command(&self, targets: Vec<String>, wait: bool) -> Command {
        Command::Restart {
            unrunnable: self.unrunnable(&targets),
            targets,
            wait,
        }
    }

    /// Whether there is something that `reload` can execute.
    fn check_executable(&self) -> Result<(), Vec<Diagnostic>> {
        let file = self.executable.display().to_string();
        nix::unistd::access(&self.executable, AccessFlags::X_OK).map_err(|errno| {
            let message = format!(
                "the daemon can't start anew from its executable: {}",
                errno.desc()
            );
            log::error!("{file}: {message}");
            vec![Diagnostic {
                error: true,
                file,
                line: 0,
                column: 0,
                message,
                help: Some("put the executable back in its place".to_owned()),
            }]
        })
    }

    /// Whether targets are too many, or name so many processes over and over that the answer would be out of proportion.
    fn names_too_much(&self, targets: &[String]) -> bool {
        let most = TARGETS_MAX.max(self.engine.count());
        let mut named = 0;
        targets.len() > TARGETS_MAX
            || targets.iter().any(|target| {
                named += match self.engine.resolve(target) {
                    Resolution::Processes(keys) => keys.len().max(1),
                    Resolution::NoSuchProcess | Resolution::NoSuchGroup => 1,
                };
                named > most
            })
    }

    /// Gives the engine's answer to whoever waits for it.
    pub(super) fn answer(&mut self, ticket: Ticket, reply: Reply) {
        match self.waiters.remove(&ticket) {
            Some(Waiter::Client { client, request }) => {
                if let Some(client) = self.clients.get_mut(&client) {
                    client.waiting.remove(&ticket);
                }
                self.reply(client, request, response(reply), clock::now());
            }
            Some(Waiter::Signal) => {
                log_changes(&reply);
                let more_to_come = self
                    .waiters
                    .values()
                    .any(|waiter| *waiter == Waiter::Signal);
                if !more_to_come {
                    self.tell_updated();
                }
            }
            None => log::error!("bug: an answer for which nobody waits: {reply:?}"),
        }
    }
}

fn targets_of(request: &Request) -> Option<&[String]> {
    match request {
        Request::Status { targets }
        | Request::Start { targets, .. }
        | Request::Stop { targets, .. }
        | Request::Restart { targets, .. }
        | Request::Signal { targets, .. }
        | Request::Pid { targets }
        | Request::Clear { targets }
        | Request::Update { groups: targets }
        | Request::Plan { groups: targets }
        | Request::Add { groups: targets }
        | Request::Remove { groups: targets } => Some(targets),
        Request::Tail { .. }
        | Request::MainTail { .. }
        | Request::Why { .. }
        | Request::Environment { .. }
        | Request::Avail
        | Request::Reread
        | Request::Reload
        | Request::Upgrade
        | Request::Shutdown
        | Request::Version
        | Request::Input { .. }
        | Request::Remote { .. }
        | Request::Subscribe { .. }
        | Request::Unsubscribe { .. } => None,
    }
}

fn response(reply: Reply) -> Response {
    match reply {
        Reply::Results(results) => Response::Results(convert::results(results)),
        Reply::Restarted { stops, starts } => Response::Restarted {
            stops: convert::results(stops),
            starts: convert::results(starts),
        },
        Reply::Changes(changes) => Response::Changes(changes.iter().map(convert::change).collect()),
        Reply::UnknownGroup(group) => Response::Refused(Refusal::NoSuchGroup(group)),
        Reply::Groups(groups) => {
            Response::Groups(groups.into_iter().map(convert::group_result).collect())
        }
        Reply::Accepted => Response::Accepted,
        Reply::ShuttingDown => Response::Refused(Refusal::ShuttingDown),
    }
}

fn log_changes(reply: &Reply) {
    match reply {
        Reply::Changes(changes) if changes.is_empty() => {
            log::info!("update: no changes to processes");
        }
        Reply::Changes(changes) => {
            for change in changes {
                let what = match change.kind {
                    GroupChangeKind::Removed => "removed",
                    GroupChangeKind::Changed => "updated",
                    GroupChangeKind::Added => "added",
                };
                log::info!("update: {} {what}", change.group);
            }
        }
        Reply::ShuttingDown => log::warn!("update: ignored, the daemon is shutting down"),
        Reply::Results(_)
        | Reply::Restarted { .. }
        | Reply::UnknownGroup(_)
        | Reply::Groups(_)
        | Reply::Accepted => log::error!("bug: an update was answered by {reply:?}"),
    }
}

/// The signal that a client names. Unlike a file's `stopsignal` it may be 0, which only asks.
fn signal_to_send(text: &str) -> Result<Signal, SignalError> {
    if text.trim() == "0" {
        return Ok(Signal::NULL);
    }
    text.parse()
}
