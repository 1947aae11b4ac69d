//! What a daemon does with the programs that a killed one left.
//!
//! They are not its children: nobody tells it of their end but a handle on each ([`PidFd`]), through which alone they are
//! signalled, so that no number is ever trusted. Their pipes are opened again through `/proc`, which works as long as
//! they have them open; the output that nobody read meanwhile is still in there. Where that cannot be done, a program is
//! stopped, as if the file had asked for it: better a restart than one that nobody can log or reach.
//!
//! `on_orphans` says what is to be done. *Adopt* also brings back what was known of the processes that do not run: those
//! that an operator has stopped stay stopped, retries go on counting. *Stop* and *leave* begin anew with the file; what is
//! left alone keeps its program from being started beside it.

use super::capture::{AttachOptions, StreamId};
use super::event_loop::{Daemon, Wake};
use super::journal::{Birth, Details, Record};
use super::survivors::Stop;
use crate::config::fingerprint::Fingerprint;
use crate::config::model::{Config, OnOrphans, ProcessSettings};
use crate::engine::Memo;
use crate::engine::event::{Event, Found, SpawnFailure, SpawnStep, Survivor};
use crate::sys::pidfd::PidFd;
use crate::sys::pipe::{self, End};
use crate::sys::poller::Interest;
use crate::sys::reap;
use crate::types::{Generation, Pid, ProcessKey, Signal};
use crate::wire::Channel;
use nix::errno::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// How long a survivor may take to stop when its program is no longer configured.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

/// What the last daemon left, sorted out.
#[derive(Debug, Default)]
pub struct Estate {
    /// Programs that go on.
    pub orphans: Vec<Orphan>,
    /// Programs that are left alone.
    pub left: BTreeMap<ProcessKey, Birth>,
    /// What the engine is told.
    pub found: Vec<Found>,
    /// Programs that are stopped.
    pub stops: Vec<Stop>,
}

/// A program that goes on under this daemon.
#[derive(Debug)]
pub struct Orphan {
    /// As it is on record.
    pub birth: Birth,
    handle: PidFd,
    stdin: Option<OwnedFd>,
    outputs: [Option<OwnedFd>; 2],
}

/// Why a program is not taken over.
enum Refusal {
    /// It has ended just now.
    Ended,
    /// For this reason.
    Because(String),
}

impl Estate {
    /// Decides about everything that is on record.
    pub fn sort_out(config: &Config, record: Record) -> Self {
        let mut estate = Self::default();
        let newest = newest_of(&record);
        let policy = config.daemon.on_orphans;
        let mut restarted = BTreeSet::new();
        let mut survivors = BTreeMap::new();
        for birth in record.births.into_iter().filter(Birth::is_alive) {
            let key = birth.key.clone();
            let Some(settings) = config.process(&key) else {
                estate.stop(birth, None, "its program is no longer configured");
                continue;
            };
            let is_newest = newest.get(&key) == Some(&birth.pid);
            let refusal = match policy {
                _ if record.closing => "the shutdown that had begun goes on".to_owned(),
                OnOrphans::Leave => {
                    log::warn!(
                        "leaving '{key}' with pid {} alone, left by a daemon that was killed",
                        birth.pid
                    );
                    estate.left.insert(key, birth);
                    continue;
                }
                OnOrphans::Stop => "on_orphans=stop".to_owned(),
                OnOrphans::Adopt if !is_newest => "there is a newer one".to_owned(),
                OnOrphans::Adopt if settings.launch.listen.is_some() => {
                    "the socket that it listens on ended with its daemon".to_owned()
                }
                OnOrphans::Adopt if settings.launch.listener => {
                    "what it was told of events ended with its daemon".to_owned()
                }
                OnOrphans::Adopt => match Orphan::open(birth.clone()) {
                    Ok((orphan, survivor)) => {
                        survivors.insert(key.clone(), survivor);
                        estate.orphans.push(orphan);
                        continue;
                    }
                    Err(Refusal::Ended) => continue,
                    Err(Refusal::Because(reason)) => reason,
                },
            };
            if is_newest {
                restarted.insert(key);
            }
            estate.stop(birth, Some(settings), &refusal);
        }
        if policy == OnOrphans::Adopt && !record.closing {
            let mut memos = record.memos;
            let processes = config.groups.values().flat_map(|it| it.processes.values());
            for settings in processes.filter(|it| !restarted.contains(&it.key)) {
                let key = &settings.key;
                let memo = memos.remove(key);
                let born = record.last_born.get(key).copied();
                let survivor = survivors.remove(key);
                if memo.is_some() || survivor.is_some() {
                    let outdated = estate.changed_keys(settings);
                    if !outdated.is_empty() {
                        log::warn!(
                            "{key}: {} changed while there was no daemon; starting it anew",
                            outdated.join(", ")
                        );
                    }
                    estate.found.push(Found {
                        key: key.clone(),
                        memo,
                        born,
                        survivor,
                        outdated: !outdated.is_empty(),
                    });
                }
            }
        }
        estate
    }

    fn stop(&mut self, survivor: Birth, settings: Option<&Arc<ProcessSettings>>, why: &str) {
        log::warn!(
            "stopping '{}' with pid {}, left by a daemon that was killed: {why}",
            survivor.key,
            survivor.pid
        );
        let policy = settings.map(|settings| &settings.policy);
        self.stops.push(Stop {
            signal: policy.map_or(Signal::TERM, |policy| policy.stopsignal),
            patience: policy.map_or(DEFAULT_PATIENCE, |policy| policy.stopwaitsecs),
            survivor,
        });
    }

    /// The keys that a program which goes on was started with other values of.
    fn changed_keys(&self, settings: &ProcessSettings) -> Vec<String> {
        let orphan = self
            .orphans
            .iter()
            .rev()
            .find(|orphan| orphan.birth.key == settings.key);
        let details = orphan.and_then(|orphan| orphan.birth.details.as_ref());
        details.map_or_else(Vec::new, |details| {
            details.fingerprint.differences(&Fingerprint::of(settings))
        })
    }

    /// What stays on record of processes.
    pub fn memos(&self) -> impl Iterator<Item = (&ProcessKey, &Memo)> {
        self.found
            .iter()
            .filter_map(|found| Some((&found.key, found.memo.as_ref()?)))
    }

    /// The processes that stay on record.
    pub fn births(&self) -> Vec<Birth> {
        let orphans = self.orphans.iter().map(|orphan| &orphan.birth);
        orphans.chain(self.left.values()).cloned().collect()
    }
}

/// The newest process of each, which alone counts: an older one is a rest that outlived even KILL.
fn newest_of(record: &Record) -> BTreeMap<ProcessKey, Pid> {
    let mut newest: BTreeMap<ProcessKey, (Generation, Pid)> = BTreeMap::new();
    for birth in record.births.iter().filter(|birth| birth.is_alive()) {
        let generation = birth.details.as_ref().map(|details| details.generation);
        let this = (generation.unwrap_or_default(), birth.pid);
        let known = record.memos.get(&birth.key);
        let is_old = known.is_some_and(|memo| this.0 < memo.generation());
        if !is_old {
            let best = newest.entry(birth.key.clone()).or_insert(this);
            *best = (*best).max(this);
        }
    }
    newest
        .into_iter()
        .map(|(key, (_, pid))| (key, pid))
        .collect()
}

impl Orphan {
    /// Takes hold of a program and its pipes.
    fn open(birth: Birth) -> Result<(Self, Survivor), Refusal> {
        let Some(details) = birth.details.clone() else {
            return Err(Refusal::Because(
                "its daemon was of a version that did not write down its pipes".to_owned(),
            ));
        };
        let ended_or = |birth: &Birth, what: &str, errno: Errno| {
            if birth.is_alive() {
                Refusal::Because(format!("{what} can't be opened: {}", errno.desc()))
            } else {
                Refusal::Ended
            }
        };
        let handle = PidFd::open(birth.pid, birth.ticks)
            .map_err(|errno| ended_or(&birth, "a handle on it", errno))?;
        let reopen = |(number, pipe): (i32, Option<u64>)| match pipe {
            None => Ok(None),
            Some(pipe) => {
                let end = if number == 0 { End::Write } else { End::Read };
                pipe::reopen(birth.pid, number, pipe, end)
                    .map_err(|errno| ended_or(&birth, "its pipes", errno))
            }
        };
        let [stdin, stdout, stderr] = details.pipes;
        let opened = Self {
            stdin: reopen((0, stdin))?,
            outputs: [reopen((1, stdout))?, reopen((2, stderr))?],
            handle,
            birth,
        };
        let Details { started_at, .. } = details;
        let pid = opened.birth.pid;
        Ok((opened, Survivor { pid, started_at }))
    }
}

impl Daemon {
    /// Takes over what goes on: watches it, reads its pipes, and tells the engine.
    pub(super) fn inherit(&mut self, estate: Estate) {
        let Estate {
            orphans,
            left,
            found,
            ..
        } = estate;
        self.left = left;
        for orphan in orphans {
            let Orphan {
                birth,
                handle,
                stdin,
                outputs: [stdout, stderr],
            } = orphan;
            let key = birth.key;
            let Some(settings) = self.engine.config().process(&key).cloned() else {
                continue;
            };
            let outputs = [
                (Channel::Stdout, stdout, &settings.stdout),
                (Channel::Stderr, stderr, &settings.stderr),
            ];
            for (channel, pipe, log) in outputs {
                if let Some(pipe) = pipe {
                    let options = AttachOptions {
                        strip_ansi: settings.launch.strip_ansi,
                        adopted: true,
                    };
                    let key = key.clone();
                    let stream = StreamId { key, channel };
                    self.capture.attach(stream, birth.pid, pipe, log, options);
                }
            }
            if let Some(stdin) = stdin {
                self.inputs.open(key.clone(), stdin);
            }
            self.watch_adopted(key, handle);
        }
        if !found.is_empty() {
            self.feed(Event::Recover { found });
        }
    }

    /// Notices the end of a program that is no child, through its handle.
    pub(super) fn watch_adopted(&mut self, key: ProcessKey, handle: PidFd) {
        let wake = Wake::Adopted(handle.pid());
        if let Err(error) = self.poller.add(&handle, wake.token(), Interest::READABLE) {
            log::error!("{key}: can't watch for its end: {error}");
        }
        self.adopted.insert(key, handle);
    }

    /// A program that is no child has ended.
    pub(super) fn on_adopted_end(&mut self, pid: Pid) {
        let Some(handle) = self.adopted.values().find(|handle| handle.pid() == pid) else {
            return;
        };
        self.unwatch(handle);
        // It has become a child, because this daemon is the one that gets orphans: its end is told like that of others.
        if reap::peek_at(pid).is_some() {
            return;
        }
        let status = handle.exit_status();
        let event = self.children.end_of(pid, status);
        self.feed(event);
    }

    /// The handle on a process, if it is no child.
    pub(super) fn adopted(&self, key: &ProcessKey, pid: Pid) -> Option<&PidFd> {
        self.adopted.get(key).filter(|handle| handle.pid() == pid)
    }

    /// Nothing is left of a process: neither is the handle needed.
    pub(super) fn release_adopted(&mut self, key: &ProcessKey) {
        if let Some(handle) = self.adopted.remove(key) {
            // It is watched no more if its end was noticed.
            self.poller.remove(&handle).unwrap_or_default();
        }
    }
}

/// Why a program may not be started: one that was left alone still runs.
pub fn runs_beside(
    left: &mut BTreeMap<ProcessKey, Birth>,
    key: &ProcessKey,
) -> Option<SpawnFailure> {
    let birth = left.get(key)?;
    if !birth.is_alive() {
        left.remove(key);
        return None;
    }
    Some(SpawnFailure {
        step: SpawnStep::Orphan,
        subject: birth.pid.to_string(),
        errno: Errno::EAGAIN as i32,
    })
}
