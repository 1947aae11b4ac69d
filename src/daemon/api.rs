//! What each request means: the single bridge between the protocol and the daemon's parts.
//!
//! Questions are answered at once from one snapshot of the engine. What changes processes becomes a command to the
//! engine, under a ticket that remembers who is to be answered. What touches a log goes to the capture thread.

use super::clients::ClientId;
use super::event_loop::{Daemon, Wake};
use super::inputs::Progress;
use super::jobs::{SubscribedTo, Subscription, Tail};
use super::{convert, status};
use crate::config::model::LogTarget;
use crate::daemon::capture::{FollowTarget, LogRef, StreamId};
use crate::engine::Event;
use crate::engine::Resolution;
use crate::engine::event::{Command, Reply};
use crate::engine::view::ProcessView;
use crate::sys::clock;
use crate::sys::poller::Interest;
use crate::types::{Monotonic, ProcessKey, Signal, Ticket};
use crate::wire::{
    AvailRow, Channel, LogChunk, NamedResult, Outcome, PidRow, Refusal, Request, RequestFrame,
    Response, StatusReply, SubscriptionEnd, Topic,
};
use std::path::PathBuf;

/// Most bytes of a log in one reply.
const TAIL_BYTES_MAX: u64 = 16 << 20;
/// Most targets in one request.
const TARGETS_MAX: usize = 4096;
/// Subscriptions that one client may have.
const SUBSCRIPTIONS_MAX: usize = 64;

/// Who is to be answered when a command is done.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        if targets_of(&request).is_some_and(|targets| targets.len() > TARGETS_MAX) {
            return Some(Response::Refused(Refusal::TooLarge));
        }
        let command = match request {
            Request::Status { targets } => {
                return Some(Response::Status(self.status(&targets, now)));
            }
            Request::Pid { targets } if targets.is_empty() => {
                return Some(Response::DaemonPid(std::process::id()));
            }
            Request::Pid { targets } => return Some(Response::Pids(self.pids(&targets))),
            Request::Avail => return Some(Response::Avail(self.avail())),
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
                let tail = Tail {
                    client,
                    request: id,
                    name: self.identifier.clone(),
                };
                let job = self.jobs.begin_tail(tail);
                self.capture.tail(job, LogRef::Main, bytes, TAIL_BYTES_MAX);
                return None;
            }
            Request::Clear { targets } => return self.clear(client, id, &targets),
            Request::Input { target, data } => return Some(self.input(&target, &data)),
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
            Request::Start { targets, wait } => Command::Start { targets, wait },
            Request::Stop { targets, wait } => Command::Stop { targets, wait },
            Request::Restart { targets, wait } => Command::Restart { targets, wait },
            Request::Signal { targets, signal } => match signal.parse::<Signal>() {
                Ok(signal) => Command::Signal { targets, signal },
                Err(_) => return Some(Response::Refused(Refusal::BadSignal(signal))),
            },
            Request::Add { groups } => Command::Add { groups },
            Request::Remove { groups } => Command::Remove { groups },
            Request::Shutdown => Command::Shutdown,
            Request::Reread | Request::Update { .. } | Request::Reload
                if self.engine.is_shutting_down() =>
            {
                return Some(Response::Refused(Refusal::ShuttingDown));
            }
            Request::Reread => match self.loader.load_and_log() {
                Ok(config) => Command::Reread { config },
                Err(faults) => return Some(Response::Refused(Refusal::BadConfig(faults))),
            },
            Request::Update { groups } => match self.loader.load_and_log() {
                Ok(config) => Command::Update { config, groups },
                Err(faults) => return Some(Response::Refused(Refusal::BadConfig(faults))),
            },
            // The file is tried before anything is stopped for it.
            Request::Reload => match self.loader.load_and_log() {
                Ok(_) => Command::Reload,
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
        self.feed(Event::Command { ticket, command });
        None
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
            Some(Waiter::Signal) => log_changes(&reply),
            None => log::error!("bug: an answer for which nobody waits: {reply:?}"),
        }
    }

    fn status(&self, targets: &[String], now: Monotonic) -> StatusReply {
        let row = |process: &ProcessView| {
            let health = |channel| {
                self.capture.health(&StreamId {
                    key: process.key.clone(),
                    channel,
                })
            };
            status::row(
                process,
                now,
                health(Channel::Stdout),
                health(Channel::Stderr),
            )
        };
        if targets.is_empty() || targets.iter().any(|target| target == "all") {
            let rows = self
                .engine
                .processes()
                .map(|process| row(&process))
                .collect();
            return StatusReply {
                rows,
                unknown: Vec::new(),
            };
        }
        let (keys, unknown) = self.resolve_all(targets);
        let rows = keys
            .iter()
            .filter_map(|key| self.engine.process(key))
            .map(|process| row(&process))
            .collect();
        StatusReply { rows, unknown }
    }

    /// The processes that targets name, and a result for each target that names nothing.
    fn resolve_all(&self, targets: &[String]) -> (Vec<ProcessKey>, Vec<NamedResult>) {
        let mut keys = Vec::new();
        let mut unknown = Vec::new();
        for target in targets {
            let outcome = match self.engine.resolve(target) {
                Resolution::Processes(found) => {
                    keys.extend(found);
                    continue;
                }
                Resolution::NoSuchProcess => Outcome::NoSuchProcess,
                Resolution::NoSuchGroup => Outcome::NoSuchGroup,
            };
            unknown.push(NamedResult {
                name: target.clone(),
                outcome,
            });
        }
        (keys, unknown)
    }

    fn pids(&self, targets: &[String]) -> Vec<PidRow> {
        let pid = |process: &ProcessView| process.pid.map_or(0, |pid| pid.as_raw().unsigned_abs());
        let row = |process: ProcessView| PidRow {
            name: process.key.to_string(),
            pid: Some(pid(&process)),
        };
        if targets.iter().any(|target| target == "all") {
            return self.engine.processes().map(row).collect();
        }
        targets
            .iter()
            .flat_map(|target| match self.engine.resolve(target) {
                Resolution::Processes(keys) => keys
                    .iter()
                    .filter_map(|key| self.engine.process(key))
                    .map(row)
                    .collect(),
                Resolution::NoSuchProcess | Resolution::NoSuchGroup => {
                    vec![PidRow {
                        name: target.clone(),
                        pid: None,
                    }]
                }
            })
            .collect()
    }

    fn avail(&self) -> Vec<AvailRow> {
        self.engine
            .avail()
            .into_iter()
            .map(|process| AvailRow {
                name: process.key.to_string(),
                group: process.key.group.to_string(),
                in_use: process.in_use,
                autostart: process.autostart,
                group_priority: process.group_priority,
                process_priority: process.process_priority,
            })
            .collect()
    }

    /// The one process that a target names.
    fn resolve_one(&self, target: &str) -> Result<ProcessView, Refusal> {
        let unknown = || Refusal::NoSuchProcess(target.to_owned());
        match self.engine.resolve(target) {
            Resolution::Processes(keys) => match keys.as_slice() {
                [key] => self.engine.process(key).ok_or_else(unknown),
                [] => Err(unknown()),
                several => Err(Refusal::Ambiguous(
                    several.iter().map(ToString::to_string).collect(),
                )),
            },
            Resolution::NoSuchProcess | Resolution::NoSuchGroup => Err(unknown()),
        }
    }

    fn tail(
        &mut self,
        client: ClientId,
        id: u64,
        target: &str,
        channel: Channel,
        bytes: u64,
    ) -> Result<(), Refusal> {
        let process = self.resolve_one(target)?;
        let name = process.key.to_string();
        let path = status::log_path(&process.settings, channel)
            .ok_or_else(|| Refusal::NoLog(name.clone()))?
            .to_owned();
        let job = self.jobs.begin_tail(Tail {
            client,
            request: id,
            name,
        });
        self.capture
            .tail(job, LogRef::File(path), bytes, TAIL_BYTES_MAX);
        Ok(())
    }

    /// A read of a log has ended.
    pub(super) fn on_tailed(
        &mut self,
        job: u64,
        result: std::io::Result<(Vec<u8>, u64)>,
        now: Monotonic,
    ) {
        let Some(Tail {
            client,
            request,
            name,
        }) = self.jobs.end_tail(job)
        else {
            return;
        };
        let response = match result {
            Ok((data, size)) => Response::Log(LogChunk { data, size }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Response::Refused(Refusal::NoLog(name))
            }
            Err(error) => Response::Refused(Refusal::LogUnreadable {
                name,
                errno: errno_of(&error),
            }),
        };
        self.reply(client, request, response, now);
    }

    fn clear(&mut self, client: ClientId, id: u64, targets: &[String]) -> Option<Response> {
        let mut results = Vec::new();
        let mut logs: Vec<(usize, Vec<PathBuf>)> = Vec::new();
        let all = targets.iter().any(|target| target == "all");
        let everything = [String::from("all")];
        for target in if all { &everything } else { targets } {
            let outcome = match self.engine.resolve(target) {
                Resolution::Processes(keys) => {
                    for process in keys.iter().filter_map(|key| self.engine.process(key)) {
                        let paths = [
                            &process.settings.stdout.target,
                            &process.settings.stderr.target,
                        ];
                        let paths: Vec<PathBuf> = paths
                            .into_iter()
                            .filter_map(|target| match target {
                                LogTarget::File { path, .. } => Some(path.clone()),
                                LogTarget::Discard => None,
                            })
                            .collect();
                        if !paths.is_empty() {
                            logs.push((results.len(), paths));
                        }
                        let name = process.key.to_string();
                        results.push(NamedResult {
                            name,
                            outcome: Outcome::Cleared,
                        });
                    }
                    continue;
                }
                Resolution::NoSuchProcess => Outcome::NoSuchProcess,
                Resolution::NoSuchGroup => Outcome::NoSuchGroup,
            };
            results.push(NamedResult {
                name: target.clone(),
                outcome,
            });
        }
        if logs.is_empty() {
            return Some(Response::Results(results));
        }
        let places: Vec<usize> = logs.iter().map(|(place, _)| *place).collect();
        let jobs = self.jobs.begin_clear(client, id, results, &places);
        for (job, (_, paths)) in jobs.into_iter().zip(logs) {
            self.capture.clear(job, paths);
        }
        None
    }

    /// The logs of one process are emptied, or not.
    pub(super) fn on_cleared(&mut self, job: u64, result: std::io::Result<()>, now: Monotonic) {
        if let Some(done) = self
            .jobs
            .end_clear(job, result.err().map(|error| errno_of(&error)))
        {
            self.reply(
                done.client,
                done.request,
                Response::Results(done.results),
                now,
            );
        }
    }

    fn input(&mut self, target: &str, data: &[u8]) -> Response {
        let process = match self.resolve_one(target) {
            Ok(process) => process,
            Err(refusal) => return Response::Refused(refusal),
        };
        let key = process.key;
        let outcome = if process.pid.is_none() {
            Outcome::NotRunning
        } else {
            match self.inputs.send(&key, data) {
                Ok(progress) => {
                    if progress == Progress::Waiting {
                        self.watch_input(&key);
                    }
                    Outcome::InputSent
                }
                Err(errno) => Outcome::Failed {
                    errno: errno as i32,
                },
            }
        };
        Response::Results(vec![NamedResult {
            name: key.to_string(),
            outcome,
        }])
    }

    fn watch_input(&mut self, key: &ProcessKey) {
        if self.input_tokens.values().any(|watched| watched == key) {
            return;
        }
        let Some(pipe) = self.inputs.pipe(key) else {
            return;
        };
        let id = self.counters.next_input();
        match self
            .poller
            .add(pipe, Wake::Input(id).token(), Interest::WRITABLE)
        {
            Ok(()) => drop(self.input_tokens.insert(id, key.clone())),
            Err(error) => log::error!("{key}: can't watch its standard input: {error}"),
        }
    }

    fn subscribe(
        &mut self,
        client: ClientId,
        id: u64,
        topic: &Topic,
        now: Monotonic,
    ) -> Result<(), Refusal> {
        let Some(connection) = self.clients.get(&client) else {
            return Ok(());
        };
        if connection.subscriptions.len() >= SUBSCRIPTIONS_MAX
            || connection.subscriptions.contains_key(&id)
        {
            return Err(Refusal::Busy);
        }
        let (topic, follow) = match topic {
            Topic::States => (SubscribedTo::States, None),
            Topic::DaemonLog { backlog } => (
                SubscribedTo::DaemonLog,
                Some((FollowTarget::Main, *backlog)),
            ),
            Topic::Output {
                target,
                channel,
                backlog,
            } => {
                let process = self.resolve_one(target)?;
                let path = status::log_path(&process.settings, *channel)
                    .ok_or_else(|| Refusal::NoLog(process.key.to_string()))?;
                let stream = StreamId {
                    key: process.key.clone(),
                    channel: *channel,
                };
                let target = FollowTarget::Stream(stream, Some(path.to_owned()));
                (
                    SubscribedTo::Output(process.key.clone(), *channel),
                    Some((target, *backlog)),
                )
            }
        };
        let number = self.jobs.subscribe(Subscription {
            client,
            request: id,
            topic,
        });
        if let Some(connection) = self.clients.get_mut(&client) {
            connection.subscriptions.insert(id, 0);
        }
        // The answer goes out first: notices must not overtake it.
        self.reply(client, id, Response::Subscribed, now);
        if let Some((target, backlog)) = follow {
            self.capture
                .follow(number, target, backlog.min(TAIL_BYTES_MAX));
        }
        Ok(())
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
        | Request::Add { groups: targets }
        | Request::Remove { groups: targets } => Some(targets),
        Request::Tail { .. }
        | Request::MainTail { .. }
        | Request::Avail
        | Request::Reread
        | Request::Reload
        | Request::Shutdown
        | Request::Version
        | Request::Input { .. }
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
        Reply::Changes(changes) => {
            Response::Changes(changes.into_iter().map(convert::change).collect())
        }
        Reply::UnknownGroup(group) => Response::Refused(Refusal::NoSuchGroup(group)),
        Reply::Groups(groups) => {
            Response::Groups(groups.into_iter().map(convert::group_result).collect())
        }
        Reply::Accepted => Response::Accepted,
        Reply::ShuttingDown => Response::Refused(Refusal::ShuttingDown),
    }
}

fn errno_of(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

fn log_changes(reply: &Reply) {
    match reply {
        Reply::Changes(changes) if changes.is_empty() => {
            log::info!("update: no changes to processes")
        }
        Reply::Changes(changes) => {
            for change in changes {
                log::info!("update: {}: {:?}", change.group, change.kind);
            }
        }
        other => log::warn!("update: {other:?}"),
    }
}
