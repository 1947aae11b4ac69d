//! The loop: waits for one of a closed set of causes, turns it into events, lets the engine decide, carries out what
//! it decided.
//!
//! It wakes up only for a descriptor or for a deadline that is due; an idle daemon never runs. Work per turn is
//! bounded for every cause, so none can starve the others. No error in here ends the daemon: each belongs to one
//! program or one client.

use super::access::Access;
use super::api::Waiter;
use super::capture::Capture;
use super::children::{Children, SPAWNS_PER_TURN};
use super::clients::{Client, ClientId};
use super::connections::SocketReady;
use super::inputs::Inputs;
use super::jobs::Jobs;
use super::journal::{Birth, Journal};
use super::listeners::Listeners;
use super::loader::Loader;
use super::manager::Manager;
use super::rest::Rest;
use super::runtime_files::RuntimeFiles;
use super::sockets::Sockets;
use super::upgrade::Upgrade;
use crate::config::model::DaemonSettings;
use crate::engine::{Engine, Event};
use crate::sys::pidfd::PidFd;
use crate::sys::poller::{Interest, Poller, Ready};
use crate::sys::signals::SignalSource;
use crate::sys::{clock, reap};
use crate::types::{Monotonic, Pid, ProcessKey, Ticket};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Ends of children handled in one turn.
const REAPS_PER_TURN: usize = 256;

/// Everything the daemon holds while it runs.
#[derive(Debug)]
pub struct Daemon {
    pub(super) engine: Engine,
    pub(super) loader: Loader,
    pub(super) poller: Poller,
    pub(super) signals: SignalSource,
    /// None where nobody is to connect.
    pub(super) listener: Option<UnixListener>,
    pub(super) capture: Capture,
    pub(super) children: Children,
    pub(super) journal: Journal,
    pub(super) inputs: Inputs,
    pub(super) sockets: Sockets,
    pub(super) input_tokens: BTreeMap<u64, ProcessKey>,
    pub(super) clients: BTreeMap<ClientId, Client>,
    pub(super) waiters: BTreeMap<Ticket, Waiter>,
    pub(super) jobs: Jobs,
    pub(super) counters: Counters,
    pub(super) ending: Option<Ending>,
    /// The daemon's own settings, which hold until it starts anew.
    pub(super) started_with: DaemonSettings,
    pub(super) runtime_files: Option<RuntimeFiles>,
    pub(super) executable: PathBuf,
    pub(super) access: Access,
    pub(super) manager: Manager,
    /// Handles on programs that were taken over and are no children.
    pub(super) adopted: BTreeMap<ProcessKey, PidFd>,
    /// Programs of a killed daemon that are left alone.
    pub(super) left: BTreeMap<ProcessKey, Birth>,
    pub(super) upgrade: Option<Upgrade>,
    pub(super) listeners: Listeners,
    queue: VecDeque<Event>,
    more_ends: bool,
    pub(super) rest: Rest,
    pub(super) listener_rests_until: Option<Monotonic>,
    pub(super) listener_complained_at: Option<Monotonic>,
}

/// Numbers that are handed out once.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Counters {
    client: u64,
    ticket: u64,
    input: u64,
}

impl Counters {
    pub(super) fn next_client(&mut self) -> ClientId {
        self.client += 1;
        ClientId(self.client)
    }

    pub(super) fn next_ticket(&mut self) -> Ticket {
        self.ticket += 1;
        Ticket(self.ticket)
    }

    pub(super) fn next_input(&mut self) -> u64 {
        self.input += 1;
        self.input
    }
}

/// How the daemon is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Processes that survived everything.
    pub left: Vec<ProcessKey>,
    /// Start anew instead of ending.
    pub reload: bool,
    /// The exit status of the program for which the daemon ends by itself.
    pub status: Option<u8>,
}

/// What the loop was started with.
#[derive(Debug)]
pub struct Parts {
    /// Decides.
    pub engine: Engine,
    /// Reads the file again.
    pub loader: Loader,
    /// Signals to the daemon.
    pub signals: SignalSource,
    /// The control socket.
    pub listener: Option<UnixListener>,
    /// Owns logs and pipes.
    pub capture: Capture,
    /// Makes processes.
    pub children: Children,
    /// Records them.
    pub journal: Journal,
    /// The files by which the daemon is found.
    pub runtime_files: Option<RuntimeFiles>,
    /// What `reload` executes.
    pub executable: PathBuf,
    /// Who may connect.
    pub access: Access,
    /// Who is told how the daemon is.
    pub manager: Manager,
}

/// Causes of a wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// A signal to the daemon, the end of a child among them.
    Signal,
    /// Somebody connects.
    Listener,
    /// The capture thread has something to tell.
    Capture,
    /// Somebody has meddled with the files by which the daemon is found.
    RuntimeFiles,
    /// A client has sent something or takes more.
    Client(ClientId),
    /// A new process has executed its program, or failed to.
    ExecStatus(Pid),
    /// A program's standard input has room.
    Input(u64),
    /// A program that is no child has ended.
    Adopted(Pid),
    /// An event listener has written something.
    Said(u64),
}

impl Wake {
    pub(super) fn token(self) -> u64 {
        match self {
            Self::Signal => 0,
            Self::Listener => 1,
            Self::Capture => 2,
            Self::RuntimeFiles => 3,
            Self::Client(ClientId(id)) => (1 << 60) | id,
            Self::ExecStatus(pid) => (2 << 60) | u64::from(pid.as_raw().unsigned_abs()),
            Self::Input(id) => (3 << 60) | id,
            Self::Said(id) => (4 << 60) | id,
            Self::Adopted(pid) => (5 << 60) | u64::from(pid.as_raw().unsigned_abs()),
        }
    }

    fn from_token(token: u64) -> Option<Self> {
        let id = token & ((1 << 60) - 1);
        match (token >> 60, id) {
            (0, 0) => Some(Self::Signal),
            (0, 1) => Some(Self::Listener),
            (0, 2) => Some(Self::Capture),
            (0, 3) => Some(Self::RuntimeFiles),
            (1, id) => Some(Self::Client(ClientId(id))),
            (2, pid) => as_pid(pid).map(Self::ExecStatus),
            (3, id) => Some(Self::Input(id)),
            (4, id) => Some(Self::Said(id)),
            (5, pid) => as_pid(pid).map(Self::Adopted),
            _ => None,
        }
    }
}

fn as_pid(number: u64) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::new)
}

impl Daemon {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> io::Result<Self> {
        let Parts {
            engine,
            loader,
            signals,
            listener,
            capture,
            children,
            journal,
            runtime_files,
            executable,
            access,
            manager,
        } = parts;
        let started_with = engine.config().daemon.clone();
        let listeners = Listeners::new(started_with.identifier.clone());
        let poller = Poller::new()?;
        poller.add(&signals, Wake::Signal.token(), Interest::READABLE)?;
        if let Some(listener) = &listener {
            listener.set_nonblocking(true)?;
            poller.add(listener, Wake::Listener.token(), Interest::READABLE)?;
        }
        poller.add(
            capture.waker_fd(),
            Wake::Capture.token(),
            Interest::READABLE,
        )?;
        if let Some(files) = &runtime_files {
            if let Some(watch) = files.watch() {
                poller.add(watch, Wake::RuntimeFiles.token(), Interest::READABLE)?;
            }
            files.watch_all();
        }
        Ok(Self {
            engine,
            loader,
            poller,
            signals,
            listener,
            capture,
            children,
            journal,
            inputs: Inputs::default(),
            sockets: Sockets::default(),
            input_tokens: BTreeMap::new(),
            clients: BTreeMap::new(),
            waiters: BTreeMap::new(),
            jobs: Jobs::default(),
            counters: Counters::default(),
            ending: None,
            started_with,
            runtime_files,
            executable,
            access,
            manager,
            adopted: BTreeMap::new(),
            left: BTreeMap::new(),
            upgrade: None,
            listeners,
            queue: VecDeque::new(),
            more_ends: false,
            rest: Rest::default(),
            listener_rests_until: None,
            listener_complained_at: None,
        })
    }

    /// Starts what is to start by itself.
    pub fn boot(&mut self) {
        self.open_pools();
        self.feed(Event::Boot);
    }

    /// Serves until the engine says that it is over, or until another image is to go on: `None`.
    pub fn serve(&mut self) -> io::Result<Option<Ending>> {
        self.want_events();
        self.rest.owe(clock::now());
        let mut ready = Vec::new();
        loop {
            self.tend_journal();
            if let Some(ending) = &self.ending {
                let ending = ending.clone();
                self.say_goodbye();
                return Ok(Some(ending));
            }
            if self.is_handover_due() {
                return Ok(None);
            }
            ready.clear();
            self.capture.let_go();
            let now = clock::now();
            let timeout = self.timeout(now);
            self.rest_if_due(timeout, now);
            self.poller.wait(&mut ready, timeout)?;
            self.capture.hold();
            let now = clock::now();
            if self
                .engine
                .next_deadline()
                .is_some_and(|deadline| deadline <= now)
            {
                self.feed(Event::Tick);
            }
            for &Ready {
                token,
                readable,
                hangup,
                ..
            } in &ready
            {
                match Wake::from_token(token) {
                    Some(Wake::Signal) => self.on_signals(),
                    Some(Wake::Listener) => self.on_listener(now),
                    Some(Wake::Capture) => self.on_capture(now),
                    Some(Wake::RuntimeFiles) => self.tend_runtime_files(),
                    Some(Wake::Client(id)) => {
                        let ready = match (readable, hangup) {
                            (_, true) => SocketReady::HungUp,
                            (true, false) => SocketReady::Readable,
                            (false, false) => SocketReady::Writable,
                        };
                        self.on_client(id, ready, now);
                    }
                    Some(Wake::ExecStatus(pid)) => self.on_exec_status(pid),
                    Some(Wake::Input(id)) => self.on_input_room(id),
                    Some(Wake::Adopted(pid)) => self.on_adopted_end(pid),
                    Some(Wake::Said(id)) => self.on_listener_output(id),
                    None => log::error!("bug: unknown wake-up {token:#x}"),
                }
            }
            if std::mem::take(&mut self.more_ends) {
                self.on_child_ends();
            }
            self.spawn_some();
            self.put_on_record();
            self.tend_clients(now);
            self.tend_listener(now);
            self.tend_upgrade(now);
            self.tend_sockets();
            self.tend_listeners(now);
        }
    }

    /// Puts everything away but the socket's name, which goes last: what the programs wrote last still reaches their
    /// logs. The record of processes stays where some are left, so that the next daemon does not start them twice.
    pub fn close(self, drain: Duration, processes_left: bool) -> Option<RuntimeFiles> {
        let Self {
            capture,
            journal,
            listener,
            runtime_files,
            listeners,
            sockets,
            ..
        } = self;
        drop((listener, sockets));
        listeners.finish(Instant::now() + drain);
        if !processes_left && let Err(error) = journal.remove() {
            log::warn!("can't remove the record of processes: {error}");
        }
        if !capture.finish(drain) {
            log::warn!("some output could not be written in time");
        }
        runtime_files
    }

    /// Gives an event to the engine and carries out everything that follows from it.
    pub(super) fn feed(&mut self, event: Event) {
        self.queue.push_back(event);
        while let Some(event) = self.queue.pop_front() {
            let ended = if let Event::Exited { pid, .. } = &event {
                Some(*pid)
            } else {
                None
            };
            let now = clock::now();
            self.rest.put_off(now);
            let actions = self.engine.step(now, event);
            self.follow_engine();
            for action in actions {
                if !Self::may_go_unrecorded(&action, ended) {
                    self.put_on_record();
                }
                self.execute(action);
            }
        }
        self.tell_closing();
    }

    /// Adds an event that follows from the action being carried out.
    pub(super) fn follow_up(&mut self, event: Event) {
        self.queue.push_back(event);
    }

    fn timeout(&self, now: Monotonic) -> Option<Duration> {
        let busy = self.children.has_waiting()
            || self.more_ends
            || self.clients.values().any(Client::has_buffered_input);
        if busy {
            return Some(Duration::ZERO);
        }
        let next = self
            .clients
            .values()
            .filter_map(Client::deadline)
            .chain(self.engine.next_deadline())
            .chain(self.listener_rests_until)
            .chain(self.upgrade_deadline())
            .chain(self.listeners.next_deadline())
            .min();
        next.into_iter()
            .chain(self.rest.deadline(next, now))
            .min()
            .map(|deadline| deadline.since(now))
    }

    pub(super) fn on_child_ends(&mut self) {
        let mut next = reap::peek();
        for _ in 0..REAPS_PER_TURN {
            let Some((pid, status)) = next else {
                return;
            };
            if self.is_end_of_check(pid, status, clock::now()) {
                reap::collect(pid);
                next = reap::peek();
                continue;
            }
            self.on_exec_status(pid);
            if let Some(pipe) = self.children.forget(pid) {
                self.unwatch(&pipe);
            }
            let listener = self.last_words(pid);
            let event = self.children.end_of(pid, status);
            self.feed(event);
            if let Some(key) = listener {
                self.listener_ended(&key);
            }
            next = reap::peek();
            if next.is_some_and(|(same, _)| same == pid) {
                log::error!("bug: the end of pid {pid} was told and not collected");
                reap::collect(pid);
                next = reap::peek();
            }
        }
        self.more_ends = next.is_some();
    }

    fn on_exec_status(&mut self, pid: Pid) {
        if let Some((pipe, event)) = self.children.read_status(pid) {
            self.unwatch(&pipe);
            if let Some(event) = event {
                self.feed(event);
            }
        }
    }

    fn spawn_some(&mut self) {
        for _ in 0..SPAWNS_PER_TURN {
            let Some(spawn) = self.children.next_waiting() else {
                return;
            };
            self.spawn(spawn);
        }
    }

    fn tend_listener(&mut self, now: Monotonic) {
        if self.listener_rests_until.is_some_and(|until| until <= now) {
            self.listener_rests_until = None;
            if let Some(listener) = &self.listener
                && let Err(error) =
                    self.poller
                        .modify(listener, Wake::Listener.token(), Interest::READABLE)
            {
                log::error!("can't watch the control socket: {error}");
            }
        }
    }

    pub(super) fn unwatch(&self, fd: impl std::os::fd::AsFd) {
        if let Err(error) = self.poller.remove(fd) {
            log::error!("bug: a descriptor could not be taken out of the loop: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_survives_its_token() {
        for wake in [
            Wake::Signal,
            Wake::Listener,
            Wake::Capture,
            Wake::RuntimeFiles,
            Wake::Client(ClientId(1)),
            Wake::Client(ClientId(u64::from(u32::MAX) + 7)),
            Wake::ExecStatus(Pid::new(1).unwrap()),
            Wake::ExecStatus(Pid::new(i32::MAX).unwrap()),
            Wake::Input(9),
            Wake::Adopted(Pid::new(77).unwrap()),
            Wake::Said(9),
        ] {
            assert_eq!(Wake::from_token(wake.token()), Some(wake));
        }
        assert_eq!(Wake::from_token(4), None);
        assert_eq!(Wake::from_token(u64::MAX), None);
    }
}
