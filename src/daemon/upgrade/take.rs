//! The new image's side: what the old one handed over becomes a daemon that goes on.

use super::give::followed;
use super::state::{Asker, State};
use crate::cli::DaemonOptions;
use crate::config::model::{Config, DaemonSettings};
use crate::daemon::capture::Capture;
use crate::daemon::children::Children;
use crate::daemon::cleanup::LogDirectory;
use crate::daemon::clients::{Client, ClientState};
use crate::daemon::event_loop::{Daemon, Parts, Wake};
use crate::daemon::inputs::{InputState, Inputs};
use crate::daemon::journal::Journal;
use crate::daemon::launch::Launcher;
use crate::daemon::lines::Lines;
use crate::daemon::listeners::Listeners;
use crate::daemon::loader::Loader;
use crate::daemon::manager::Manager;
use crate::daemon::meeting::rights;
use crate::daemon::reexec::HANDOVER;
use crate::daemon::residue::Residue;
use crate::daemon::runtime_files::RuntimeFiles;
use crate::daemon::sockets::Sockets;
use crate::daemon::startup::{Failure, inflight_beside, open_log};
use crate::engine::Engine;
use crate::sys::clock;
use crate::sys::handover;
use crate::sys::limits::Limit;
use crate::sys::pidfd::PidFd;
use crate::sys::pidfile::Pidfile;
use crate::sys::poller::Interest;
use crate::sys::signals::SignalSource;
use crate::sys::socket::Lock;
use crate::types::{Pid, ProcessKey};
use crate::wire::Response;
use nix::sys::resource::Resource;
use nix::sys::stat::Mode;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixListener;

/// Limits by the name that they have in a state.
pub(super) const LIMITS: [(&str, Resource); 2] = [
    ("nofile", Resource::RLIMIT_NOFILE),
    ("nproc", Resource::RLIMIT_NPROC),
];

/// What an earlier image of this very process handed over. Looked for first of all, before any descriptor is opened
/// or closed. Nothing else is taken for it: not what a stranger put into the environment, nor memory of another process.
pub fn incoming() -> Option<State> {
    let number = std::env::var_os(HANDOVER)?.to_str()?.parse().ok()?;
    let memory = handover::inherit(number)?;
    let bytes = handover::read_sealed(&memory).ok()?;
    let state = State::decode(&bytes).ok()?;
    (state.pid == std::process::id()).then_some(state)
}

/// The limits that the daemon of this state was started with.
pub fn original_limits(state: &State) -> Vec<Limit> {
    state.limits.iter().cloned().filter_map(limit_of).collect()
}

/// Becomes the daemon that the state is of. After a failure descriptors of the state may be open without an owner, until
/// the next execution.
pub fn take_over(
    state: State,
    options: &DaemonOptions,
    signals: SignalSource,
    called_as: &str,
) -> Result<(Daemon, Residue), Failure> {
    let limits = original_limits(&state);
    let State {
        written_by,
        file,
        started_with,
        pidfile,
        engine,
        listener,
        lock,
        logs,
        journal,
        children,
        inputs,
        sockets,
        listeners,
        adopted,
        left,
        clients,
        jobs,
        waiters,
        counters,
        access,
        manager,
        capture,
        pipes,
        askers,
        executable,
        ..
    } = state;
    // These first: whatever goes wrong later, they are given up at once.
    let lock = lock.and_then(handover::inherit);
    let listener = listener.and_then(handover::inherit).map(UnixListener::from);
    let logs = logs.and_then(handover::inherit).map(LogDirectory::inherit);
    let sockets = Sockets::import(sockets);
    let pipes: Vec<_> = pipes.into_iter().map(handover::inherit).collect();

    // By the directory and the environment of the start, as ever.
    let loader = Loader::new(file, options);
    let trouble = enter(&started_with);
    let socket = lock.is_some().then_some(started_with.socket.as_path());
    let inflight = socket.map(inflight_beside);
    let engine = Engine::import(engine);
    let followed = followed(&jobs, &engine);
    let identifier = &started_with.identifier;
    let listeners = listeners.map(|it| Listeners::import(identifier, engine.config(), it));
    let lines = Lines::new(&started_with).map_err(Failure::surroundings)?;
    lines.make_room(engine.config());
    let capture = Capture::resume(
        called_as,
        capture,
        pipes,
        followed,
        inflight.as_deref(),
        lines.clone(),
        listeners
            .as_ref()
            .map(Listeners::wanted)
            .unwrap_or_default(),
    )
    .map_err(Failure::surroundings)?;
    let logger = open_log(&capture, &started_with, lines.clone())?;
    let record = socket.map(Journal::path_beside);
    let journal = Journal::import(record.as_deref(), journal).map_err(Failure::surroundings)?;
    let launcher = Launcher::new(socket, limits.clone()).map_err(Failure::surroundings)?;
    let runtime_files = lock.map(|lock| found_by(&started_with, engine.config(), lock));
    let mut daemon = Daemon::new(Parts {
        engine,
        loader,
        signals,
        listener,
        capture,
        children: Children::import(launcher, called_as == "supervisord", children),
        journal,
        runtime_files,
        executable,
        access,
        manager: Manager::resume(manager),
    })
    .map_err(Failure::surroundings)?;
    let wanted_pidfile = started_with.pidfile.clone();
    daemon.started_with = started_with;
    daemon.left = left;
    daemon.sockets = sockets;
    daemon.jobs = jobs;
    daemon.waiters = waiters;
    daemon.counters = counters;
    daemon.welcome_inputs(inputs);
    daemon.watch_starts();
    daemon.welcome_adopted(adopted);
    daemon.welcome_clients(clients);
    say_so(called_as, &written_by, trouble);
    let pidfile = move_pidfile(pidfile, wanted_pidfile);
    let residue = Residue::new(pidfile, logger, limits, logs, lines);
    daemon.welcome_listeners(listeners);
    daemon.tell_askers(&written_by, &askers);
    // Ends of children that were told in between are told once only.
    daemon.on_child_ends();
    daemon.tend_clients(clock::now());
    Ok((daemon, residue))
}

fn say_so(called_as: &str, written_by: &str, trouble: Option<String>) {
    if let Some(trouble) = trouble {
        log::error!("{trouble}");
    }
    log::info!(
        "{called_as} upgraded from {written_by} to {}, still with pid {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
}

/// Goes where the daemon is to be. Says why that is not possible: the directory was there when the daemon was started, so
/// that is no reason to end. Programs that name no other are started where the daemon is, then.
fn enter(settings: &DaemonSettings) -> Option<String> {
    nix::sys::stat::umask(Mode::from_bits_truncate(settings.umask));
    let directory = settings.directory.as_ref()?;
    let error = std::env::set_current_dir(directory).err()?;
    Some(format!(
        "can't change to directory {}: {error}",
        directory.display()
    ))
}

/// The files by which the daemon is found, which are as the old image made them.
fn found_by(settings: &DaemonSettings, config: &Config, lock: OwnedFd) -> RuntimeFiles {
    let mut config = Config::clone(config);
    config.daemon.clone_from(settings);
    let rights = rights(&config);
    let lock = Lock::inherit(&settings.socket, lock, rights);
    RuntimeFiles::new(&settings.socket, rights, lock)
}

fn limit_of((name, soft, hard): (String, u64, u64)) -> Option<Limit> {
    let (_, resource) = LIMITS.iter().find(|(known, _)| *known == name)?;
    Some((*resource, soft, hard))
}

/// The pid file of the old image, or another one in its place if the settings say so.
fn move_pidfile(
    old: Option<std::path::PathBuf>,
    wanted: Option<std::path::PathBuf>,
) -> Option<Pidfile> {
    let old = old.map(|path| Pidfile::of_this_process(&path));
    if old.as_ref().map(Pidfile::path) == wanted.as_deref() {
        return old;
    }
    if let Some(Err(errno)) = old.map(Pidfile::remove) {
        log::warn!("can't remove the old pid file: {}", errno.desc());
    }
    wanted.and_then(|path| match Pidfile::write(&path) {
        Ok(pidfile) => Some(pidfile),
        Err(error) => {
            log::error!("{error}");
            None
        }
    })
}

impl Daemon {
    fn welcome_inputs(&mut self, states: Vec<InputState>) {
        let (inputs, waiting) = Inputs::import(states);
        self.inputs = inputs;
        for key in waiting {
            self.watch_input(&key);
        }
    }

    fn welcome_adopted(&mut self, adopted: Vec<(ProcessKey, Pid, u64, RawFd)>) {
        for (key, pid, ticks, number) in adopted {
            if let Some(handle) = handover::inherit(number) {
                self.watch_adopted(key, PidFd::inherit(pid, ticks, handle));
            }
        }
    }

    fn welcome_clients(&mut self, clients: Vec<ClientState>) {
        for state in clients {
            let id = state.id;
            if let Some(client) = Client::import(state) {
                self.welcome_back(id, client);
            }
        }
    }

    fn watch_starts(&self) {
        for (pid, status) in self.children.statuses() {
            let wake = Wake::ExecStatus(pid);
            if let Err(error) = self.poller.add(status, wake.token(), Interest::READABLE) {
                log::error!("can't watch the start of pid {pid}: {error}");
            }
        }
    }

    fn tell_askers(&mut self, from: &str, askers: &[Asker]) {
        let now = clock::now();
        for &Asker {
            client,
            request,
            reload,
        } in askers
        {
            let response = if reload {
                Response::Accepted
            } else {
                Response::Upgraded {
                    from: from.to_owned(),
                    to: env!("CARGO_PKG_VERSION").to_owned(),
                }
            };
            self.reply(client, request, response, now);
        }
    }
}
