//! Requests about a process's streams: the end of a log, emptying it, following it, and its standard input.
//!
//! Log files belong to the capture thread; what it owes is written down in [`super::jobs`] until it reports.

use super::capture::{FollowTarget, LogRef, StreamId};
use super::clients::{Client, ClientId};
use super::event_loop::{Daemon, Wake};
use super::inputs::Progress;
use super::jobs::{Read, SubscribedTo, Subscription, Tail};
use super::status;
use crate::config::model::ProcessSettings;
use crate::engine::Resolution;
use crate::sys::poller::Interest;
use crate::types::{Monotonic, ProcessKey};
use crate::wire::{Channel, LogChunk, NamedResult, Outcome, Refusal, Response, Topic};
use std::path::{Path, PathBuf};

/// Most bytes of a log in one reply.
pub(super) const TAIL_BYTES_MAX: u64 = 16 << 20;
/// Answers of all clients together above which no more logs are read for any.
const UNTAKEN_BYTES_MAX: usize = 64 << 20;
/// Subscriptions that one client may have.
const SUBSCRIPTIONS_MAX: usize = 64;

impl Daemon {
    pub(super) fn tail(
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
        let tail = Tail {
            client,
            request: id,
            name,
        };
        self.queue_tail(tail, LogRef::File(path), bytes);
        Ok(())
    }

    /// Reads the end of a log when its turn comes.
    pub(super) fn queue_tail(&mut self, tail: Tail, log: LogRef, bytes: u64) {
        self.began_log_job(tail.client);
        self.jobs.queue_tail(tail, log, bytes);
        self.read_next_log();
    }

    /// Begins the next read, unless clients have yet to take too much of what was read before.
    pub(super) fn read_next_log(&mut self) {
        if !self.jobs.has_unread()
            || self.clients.values().map(Client::queued).sum::<usize>() > UNTAKEN_BYTES_MAX
        {
            return;
        }
        if let Some(Read { job, log, bytes }) = self.jobs.begin_read() {
            self.capture.tail(job, log, bytes, TAIL_BYTES_MAX);
        }
    }

    fn began_log_job(&mut self, client: ClientId) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.log_jobs += 1;
        }
    }

    fn ended_log_job(&mut self, client: ClientId) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.log_jobs = client.log_jobs.saturating_sub(1);
        }
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
        self.ended_log_job(client);
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

    pub(super) fn clear(
        &mut self,
        client: ClientId,
        id: u64,
        targets: &[String],
    ) -> Option<Response> {
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
                            .filter_map(|target| target.path().map(Path::to_owned))
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
        self.began_log_job(client);
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
            self.ended_log_job(done.client);
            self.reply(
                done.client,
                done.request,
                Response::Results(done.results),
                now,
            );
        }
    }

    pub(super) fn input(&mut self, target: &str, data: &[u8]) -> Response {
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

    /// A program's standard input has room for what waits.
    pub(super) fn on_input_room(&mut self, id: u64) {
        let Some(key) = self.input_tokens.get(&id).cloned() else {
            return;
        };
        let resumed = self.inputs.resume(&key);
        if resumed != Ok(Progress::Waiting) {
            self.input_tokens.remove(&id);
            if let Some(pipe) = self.inputs.pipe(&key) {
                self.unwatch(pipe);
            }
        }
        if resumed.is_err() {
            self.input_failed(&key);
        }
    }

    pub(super) fn watch_input(&mut self, key: &ProcessKey) {
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

    pub(super) fn subscribe(
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
                if !status::is_read(&process.settings, *channel) {
                    return Err(Refusal::NoLog(process.key.to_string()));
                }
                let path = status::log_path(&process.settings, *channel).map(Path::to_owned);
                let stream = StreamId {
                    key: process.key.clone(),
                    channel: *channel,
                };
                let target = match path {
                    Some(path) if status::is_direct(&process.settings, *channel) => {
                        FollowTarget::Written(stream, path)
                    }
                    path => FollowTarget::Stream(stream, path),
                };
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

    /// Logs that programs have open themselves cannot be reopened for them.
    pub(super) fn tell_direct_logs(&self) {
        let direct = |settings: &ProcessSettings| {
            [Channel::Stdout, Channel::Stderr]
                .iter()
                .any(|&channel| status::is_direct(settings, channel))
        };
        let running = self.engine.processes();
        let count = running
            .filter(|process| process.pid.is_some() && direct(&process.settings))
            .count();
        if count > 0 {
            log::warn!(
                "{count} running programs write their logs themselves, and go on with the files they have until they are restarted"
            );
        }
    }
}

fn errno_of(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
