//! The old image's side: everything stands still, is written down, and the new image begins.

use super::Upgrade;
use super::check::ask_now;
use super::state::State;
use crate::daemon::capture::{FollowTarget, StreamId, Work, WorkState};
use crate::daemon::event_loop::Daemon;
use crate::daemon::jobs::{Jobs, SubscribedTo, Subscription};
use crate::daemon::reexec::Origin;
use crate::daemon::residue::Residue;
use crate::daemon::startup::inflight_beside;
use crate::daemon::status;
use crate::engine::Engine;
use crate::sys::clock;
use crate::sys::handover::{self, Luggage};
use crate::sys::limits::Limit;
use nix::errno::Errno;
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long logs may take to come to a point at which somebody else can go on.
const CAPTURE_PATIENCE: Duration = Duration::from_secs(2);
/// How long whoever reads the daemon's standard streams may take to read what waits for it.
const LINES_PATIENCE: Duration = Duration::from_secs(1);

/// What belongs to the process and not to the loop.
#[derive(Debug, Default)]
pub struct Surroundings<'a> {
    /// In the background.
    pub background: bool,
    /// The pid file that there is.
    pub pidfile: Option<PathBuf>,
    /// Limits that the daemon was started with.
    pub limits: &'a [Limit],
    /// The use of the directory of logs.
    pub logs: Option<BorrowedFd<'a>>,
}

impl Daemon {
    /// Hands everything over to the new image. Returns only when that failed: everything is as before then, and whoever
    /// asked is told why.
    pub(in crate::daemon) fn hand_over(&mut self, residue: &Residue, origin: &Origin) {
        let now = clock::now();
        let Some(mut work) = self.capture.hand_over(CAPTURE_PATIENCE) else {
            return self.give_up_upgrade("a log does not take what is written to it", now);
        };
        // What it had to tell is told by this image.
        self.on_capture(now);
        let mut luggage = Luggage::default();
        let Err(reason) = self.replace(residue, origin, &mut work, &mut luggage);
        drop(luggage);
        let inflight = self.inflight();
        let followed = self.followed();
        if let Err(error) = self.capture.go_on(work, followed, inflight.as_deref()) {
            log::error!("bug: logs are not written any more: {error}");
        }
        self.give_up_upgrade(&reason, now);
        self.tend_clients(now);
    }

    fn replace(
        &mut self,
        residue: &Residue,
        origin: &Origin,
        work: &mut Work,
        luggage: &mut Luggage,
    ) -> Result<Infallible, String> {
        let packed = |errno: Errno| format!("descriptors cannot be kept: {}", errno.desc());
        self.put_on_record();
        self.capture.write_down(work);
        let pipes: Result<Vec<RawFd>, Errno> =
            work.pipes.iter().map(|pipe| luggage.pack(pipe)).collect();
        let surroundings = residue.surroundings(origin);
        // Taken out, to be put back when nothing comes of it.
        let capture = std::mem::take(&mut work.state);
        let state = self.state(&surroundings, capture, pipes.map_err(packed)?, luggage);
        let state = state.map_err(packed)?;
        let bytes = state.encode().map_err(|error| error.to_string());
        let upgrade = self.upgrade.as_ref().ok_or("nobody asked")?;
        let begun = bytes.and_then(|bytes| {
            let memory = handover::sealed(&bytes).map_err(|error| error.to_string())?;
            ask_now(&upgrade.program, &memory)?;
            if !residue.lines().settle(Instant::now() + LINES_PATIENCE) {
                return Err("the daemon's standard output is not read".into());
            }
            let number = luggage.pack(&memory).map_err(packed)?;
            let errno = origin.go_on_as(&upgrade.program, number)?;
            Err(format!("it cannot be executed: {}", errno.desc()))
        });
        work.state = state.capture;
        begun
    }

    /// Everything, written down. What travels is packed.
    pub(super) fn state(
        &self,
        surroundings: &Surroundings<'_>,
        capture: WorkState,
        pipes: Vec<RawFd>,
        luggage: &mut Luggage,
    ) -> Result<State, Errno> {
        let mut engine = self.engine.export();
        let mut started_with = self.started_with.clone();
        let mut askers = Vec::new();
        if let Some(Upgrade {
            askers: waiting,
            settings,
            ..
        }) = &self.upgrade
        {
            askers.clone_from(waiting);
            if let Some(settings) = settings {
                started_with.clone_from(settings);
                engine.set_daemon(settings);
            }
        }
        let clients = self
            .clients
            .iter()
            .map(|(&id, client)| client.export(id, luggage));
        let clients = clients.collect::<Result<_, _>>()?;
        let adopted = self.adopted.iter().map(|(key, handle)| {
            let number = luggage.pack(handle)?;
            Ok((key.clone(), handle.pid(), handle.start_ticks(), number))
        });
        let adopted = adopted.collect::<Result<_, _>>()?;
        let mut pack =
            |descriptor: Option<BorrowedFd<'_>>| descriptor.map(|it| luggage.pack(it)).transpose();
        let listener = pack(self.listener.as_ref().map(AsFd::as_fd))?;
        let lock = self
            .runtime_files
            .as_ref()
            .map(|files| files.lock().descriptor());
        let lock = pack(lock)?;
        let logs = pack(surroundings.logs)?;
        let children = self.children.export(luggage)?;
        let inputs = self.inputs.export(luggage)?;
        let sockets = self.sockets.export(luggage)?;
        let listeners = Some(self.listeners.export(luggage)?);
        Ok(State {
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            background: surroundings.background,
            executable: self.executable.clone(),
            descriptors: luggage.numbers().to_vec(),
            limits: surroundings.limits.iter().filter_map(named_limit).collect(),
            file: self.loader.path().to_owned(),
            started_with,
            pidfile: surroundings.pidfile.clone(),
            engine,
            listener,
            lock,
            logs,
            journal: self.journal.export(),
            children,
            inputs,
            sockets,
            listeners,
            adopted,
            left: self.left.clone(),
            clients,
            jobs: self.jobs.clone(),
            waiters: self.waiters.clone(),
            counters: self.counters.clone(),
            access: self.access.clone(),
            manager: self.manager.phase(),
            capture,
            pipes,
            askers,
        })
    }

    /// Where output is kept that has left its pipe; nowhere without a socket.
    pub(super) fn inflight(&self) -> Option<PathBuf> {
        let socket = &self.started_with.socket;
        self.runtime_files.as_ref().map(|_| inflight_beside(socket))
    }

    fn followed(&self) -> Vec<(u64, FollowTarget)> {
        followed(&self.jobs, &self.engine)
    }
}

/// Which logs are followed, by the number of the subscription.
pub(super) fn followed(jobs: &Jobs, engine: &Engine) -> Vec<(u64, FollowTarget)> {
    let target = |(number, subscription): (u64, &Subscription)| {
        let target = match &subscription.topic {
            SubscribedTo::States => return None,
            SubscribedTo::DaemonLog => FollowTarget::Main,
            SubscribedTo::Output(key, channel) => {
                let path = engine.process(key).and_then(|process| {
                    let settings = &process.settings;
                    let path = status::log_path(settings, *channel)?.to_owned();
                    Some((path, status::is_direct(settings, *channel)))
                });
                let stream = StreamId {
                    key: key.clone(),
                    channel: *channel,
                };
                match path {
                    Some((path, true)) => FollowTarget::Written(stream, path),
                    Some((path, false)) => FollowTarget::Stream(stream, Some(path)),
                    None => FollowTarget::Stream(stream, None),
                }
            }
        };
        Some((number, target))
    };
    jobs.subscriptions().filter_map(target).collect()
}

fn named_limit(limit: &Limit) -> Option<(String, u64, u64)> {
    let (resource, soft, hard) = *limit;
    let name = super::take::LIMITS
        .iter()
        .find(|(_, it)| *it == resource)?
        .0;
    Some((name.to_owned(), soft, hard))
}

impl Residue {
    fn surroundings(&self, origin: &Origin) -> Surroundings<'_> {
        Surroundings {
            background: origin.is_in_background(),
            pidfile: self.pidfile_path(),
            limits: self.limits(),
            logs: self.logs(),
        }
    }
}
