//! States of every version load, and what is no state is told apart.

use super::state::{Asker, State, StateError, VERSION};
use crate::cli::DaemonOptions;
use crate::config::model::{PayloadLength, PoolSettings};
use crate::daemon::access::Access;
use crate::daemon::api::Waiter;
use crate::daemon::capture::WorkState;
use crate::daemon::children::{Children, Waiting};
use crate::daemon::clients::ClientId;
use crate::daemon::event_loop::Counters;
use crate::daemon::jobs::{Jobs, SubscribedTo, Subscription};
use crate::daemon::journal::JournalState;
use crate::daemon::launch::Launcher;
use crate::daemon::listener_output::ListenerOutputs;
use crate::daemon::listeners::ListenersState;
use crate::daemon::loader::Loader;
use crate::daemon::manager::Manager;
use crate::daemon::ticks::Ticks;
use crate::engine::Engine;
use crate::engine::action::Action;
use crate::engine::event::{Command, Event};
use crate::engine::view::State as ProcessState;
use crate::events::{self, Effect, Events};
use crate::sys::handover::Luggage;
use crate::types::{EventType, GroupName, Monotonic, Pid, ProcessKey, ProcessName, Ticket};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FILE: &str = "[taskmasterd]\nlogfile=/tmp/taskmaster.log\n\
    [program.web]\ncommand=/bin/sleep 1000\nautostart=true\nstartsecs=0\nenvironment=A=b\n\
    [program.slow]\ncommand=/bin/sleep 1001\nautostart=true\n\
    [program.down]\ncommand=/bin/sleep 1002\n";

/// A daemon in the middle of much: one program runs, one is told to stop, one was never started.
fn sample() -> State {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tm.ini");
    std::fs::write(&file, FILE).unwrap();
    let loaded = Loader::new(file, &DaemonOptions::default()).load();
    let config = std::sync::Arc::new(loaded.config.unwrap());
    let mut engine = Engine::new(std::sync::Arc::clone(&config));
    let now = Monotonic::from_nanos(5_000_000_000);
    let mut spawns = Vec::new();
    for action in engine.step(now, Event::Boot) {
        if let Action::Spawn {
            key,
            generation,
            settings,
        } = action
        {
            spawns.push(Waiting {
                key,
                generation,
                settings,
            });
        }
    }
    for (number, spawn) in (4000..).zip(&spawns) {
        let (key, generation) = (spawn.key.clone(), spawn.generation);
        let pid = Pid::new(number).unwrap();
        let spawned = Event::Spawned {
            key: key.clone(),
            generation,
            pid,
        };
        let _actions = engine.step(now, spawned);
        let _actions = engine.step(now, Event::Executed { key, generation });
    }
    let ticket = Ticket(3);
    let targets = vec!["slow".to_owned()];
    let command = Command::Stop {
        targets,
        wait: true,
    };
    let _actions = engine.step(now, Event::Command { ticket, command });
    let mut children = Children::new(Launcher::new(None, Vec::new()).unwrap(), false);
    children.enqueue(spawns.remove(0));
    let client = ClientId(7);
    let mut jobs = Jobs::default();
    jobs.subscribe(Subscription {
        client,
        request: 2,
        topic: SubscribedTo::DaemonLog,
    });
    State {
        written_by: "0.1.0".to_owned(),
        pid: 4242,
        background: true,
        executable: PathBuf::from("/usr/bin/taskmaster"),
        descriptors: vec![5, 6, 7],
        limits: vec![("nofile".to_owned(), 1024, 4096)],
        file: PathBuf::from("/etc/taskmaster/taskmaster.ini"),
        started_with: config.daemon.clone(),
        pidfile: Some(PathBuf::from("/run/taskmaster.pid")),
        engine: engine.export(),
        listener: Some(5),
        lock: Some(6),
        logs: None,
        journal: JournalState::default(),
        children: children.export(&mut Luggage::default()).unwrap(),
        inputs: Vec::new(),
        sockets: Vec::new(),
        listeners: Some(listeners()),
        adopted: Vec::new(),
        left: BTreeMap::new(),
        clients: Vec::new(),
        jobs,
        waiters: BTreeMap::from([(ticket, Waiter::Client { client, request: 9 })]),
        counters: Counters::default(),
        access: Access {
            uid: 0,
            gid: 0,
            owner: 0,
            mode: 0o600,
        },
        manager: Manager::from_environment().phase(),
        capture: WorkState::default(),
        pipes: Vec::new(),
        askers: vec![Asker {
            client,
            request: 1,
            reload: false,
        }],
    }
}

/// Two kinds of events were told of so far; whoever listens is not there yet.
fn listeners() -> ListenersState {
    let settings = PoolSettings {
        events: vec![EventType::RemoteCommunication],
        buffer_size: 10,
        length: PayloadLength::Bytes,
    };
    let now = Monotonic::default();
    let mut events = Events::new("before".to_owned());
    events.set_pool(now, &ears().group, &settings);
    events.spawned(now, &ears());
    events.running(now, &ears(), true);
    // In the middle of a word.
    events.heard(now, &ears(), b"REA");
    for data in ["one", "two"] {
        events.publish(now, events::Event::remote("test", data));
    }
    ListenersState {
        events: events.export(),
        outputs: ListenerOutputs::default()
            .export(&mut Luggage::default())
            .unwrap(),
        ticks: Ticks::default(),
        closing_told: false,
    }
}

fn ears() -> ProcessKey {
    ProcessKey {
        group: GroupName::new("ears").unwrap(),
        process: ProcessName::new("ears").unwrap(),
    }
}

/// Demands that listeners go on where [`listeners`] were.
fn judge_listeners(state: ListenersState) {
    let now = Monotonic::default();
    let mut events = Events::import("after".to_owned(), state.events);
    let effects = events.heard(now, &ears(), b"DY\n");
    let delivered = effects.iter().find_map(|effect| match effect {
        Effect::Deliver { data, .. } => Some(String::from_utf8_lossy(data).into_owned()),
        Effect::Note(_) => None,
    });
    assert_eq!(
        delivered.unwrap(),
        "ver:3.0 server:after serial:0 pool:ears poolserial:0 eventname:REMOTE_COMMUNICATION len:13\ntype:test\none"
    );
    assert_eq!(events.view(&ears()).unwrap().waiting, 1);
}

/// Demands that it says what [`sample`] said.
fn judge(state: State) {
    assert_eq!((state.pid, state.background), (4242, true));
    assert_eq!(state.waiters.len(), 1);
    assert_eq!(state.jobs.subscriptions().count(), 1);
    assert_eq!(state.askers[0].client, ClientId(7));
    let mut engine = Engine::import(state.engine);
    let states: Vec<(String, ProcessState)> = engine
        .processes()
        .map(|view| (view.key.to_string(), view.state))
        .collect();
    assert_eq!(
        states,
        [
            ("down".to_owned(), ProcessState::Stopped),
            ("slow".to_owned(), ProcessState::Stopping),
            ("web".to_owned(), ProcessState::Running),
        ]
    );
    // The stop goes on at its time, and whoever waits for it is told.
    let kill_at = engine.next_deadline().unwrap();
    assert_eq!(kill_at, Monotonic::from_nanos(8_000_000_000));
    let kills = |actions: &[Action]| {
        let kill = |action: &&Action| matches!(action, Action::Kill { .. });
        actions.iter().filter(kill).count()
    };
    let early = Monotonic::from_nanos(7_999_999_999);
    assert_eq!(kills(&engine.step(early, Event::Tick)), 0);
    assert!(kills(&engine.step(kill_at, Event::Tick)) > 0);
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/handover")
}

/// A state that was written down once. `UPDATE_EXPECT=1` writes one that is missing as it is written now.
fn fixture(name: &str) -> State {
    let path = fixtures().join(name);
    if !path.exists() && std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(fixtures()).unwrap();
        std::fs::write(&path, sample().encode().unwrap()).unwrap();
    }
    let bytes = std::fs::read(&path)
        .unwrap_or_else(|_| panic!("{} is missing: UPDATE_EXPECT=1 writes it", path.display()));
    State::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_state_of_every_version_loads() {
    judge(State::decode(&sample().encode().unwrap()).unwrap());
    for version in 1..=VERSION {
        judge(fixture(&format!("state-{version}.bin")));
    }
}

#[test]
fn listeners_came_later_and_are_none_where_they_are_left_out() {
    assert!(fixture("state-1.bin").listeners.is_none());
    for mut state in [
        State::decode(&sample().encode().unwrap()).unwrap(),
        fixture("state-1-listeners.bin"),
    ] {
        judge_listeners(state.listeners.take().unwrap());
        judge(state);
    }
}

#[test]
fn what_cannot_be_gone_on_with_is_told_apart() {
    let good = sample().encode().unwrap();
    let mut newer = good.clone();
    let at = newer.iter().position(|&byte| byte == b'\n').unwrap();
    newer[at + 4] += 1;
    assert!(matches!(State::decode(&newer), Err(StateError::Version(2))));
    for foreign in [&b""[..], b"taskmaster", b"\x7fELF"] {
        assert!(matches!(State::decode(foreign), Err(StateError::Foreign)));
    }
    for cut in [at + 5, good.len() / 2, good.len() - 1] {
        let result = State::decode(&good[..cut]);
        assert!(matches!(result, Err(StateError::Damaged(_))), "{cut}");
    }
}
