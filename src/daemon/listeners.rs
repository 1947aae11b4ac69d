//! The loop's side of event listeners: where events come from, how they get to listeners, and what listeners say.
//!
//! [`Events`] decides; here its effects are carried out. Events come from the engine's actions, from the clock, from the
//! daemon's own life, from clients, and from what programs write. A listener is an ordinary process to the engine. It is never
//! waited for: what it does not read waits in memory, and it gets no second event before it has dealt with the first.

use super::capture::{AttachOptions, StreamId, Wanted};
use super::event_loop::{Daemon, Wake};
use super::inputs::Progress;
use super::listener_output::{ListenerOutputs, OutputsState, Turn, Watch};
use super::sentences;
use super::ticks::Ticks;
use crate::config::model::{Config, GroupKind, LogTarget, ProcessSettings};
use crate::engine::view::State;
use crate::engine::{self, action::StateChange};
use crate::events::{self, Effect, Event, Events, Stream};
use crate::sys::clock;
use crate::sys::handover::Luggage;
use crate::sys::poller::Interest;
use crate::types::{EventType, GroupName, Monotonic, Pid, ProcessKey};
use crate::wire::Channel;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Everything about events and listeners that the loop holds.
#[derive(Debug)]
pub struct Listeners {
    events: Events,
    outputs: ListenerOutputs,
    ticks: Ticks,
    /// When the clock is to be looked at again.
    tick_at: Option<Monotonic>,
    /// What the pools were made from.
    config: Option<Arc<Config>>,
    closing_told: bool,
}

/// All of it, written down.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListenersState {
    /// The pools.
    pub events: events::Snapshot,
    /// What listeners say.
    pub outputs: OutputsState,
    /// The time that was told last.
    pub ticks: Ticks,
    /// Whether the end of everything was told.
    pub closing_told: bool,
}

impl Listeners {
    /// What is to be written down of it, for the next image.
    pub fn export(&self, luggage: &mut Luggage) -> Result<ListenersState, Errno> {
        Ok(ListenersState {
            events: self.events.export(),
            outputs: self.outputs.export(luggage)?,
            ticks: self.ticks.clone(),
            closing_told: self.closing_told,
        })
    }

    /// Goes on where another image was. `config` is what is active, which the pools were made from.
    pub fn import(identifier: &str, config: &Arc<Config>, state: ListenersState) -> Self {
        let ListenersState {
            events,
            outputs,
            ticks,
            closing_told,
        } = state;
        Self {
            events: Events::import(identifier.to_owned(), events),
            outputs: ListenerOutputs::import(outputs),
            ticks,
            tick_at: None,
            config: Some(Arc::clone(config)),
            closing_told,
        }
    }

    /// No listeners yet. `identifier` is the daemon's.
    pub fn new(identifier: String) -> Self {
        Self {
            events: Events::new(identifier),
            outputs: ListenerOutputs::default(),
            ticks: Ticks::default(),
            tick_at: None,
            config: None,
            closing_told: false,
        }
    }

    /// How a listener is doing; `None` for a process that is none.
    pub fn view(&self, key: &ProcessKey) -> Option<events::ListenerView> {
        self.events.view(key)
    }

    /// What of the programs' output anybody listens to.
    pub fn wanted(&self) -> Wanted {
        use EventType::{
            ProcessCommunicationStderr, ProcessCommunicationStdout, ProcessLogStderr,
            ProcessLogStdout,
        };
        let any = |kinds: [EventType; 2]| {
            kinds
                .into_iter()
                .any(|kind| self.events.anybody_listens_to(kind))
        };
        Wanted {
            communicated: any([ProcessCommunicationStdout, ProcessCommunicationStderr]),
            logged: any([ProcessLogStdout, ProcessLogStderr]),
        }
    }

    /// Passes on what listeners said last, and closes everything.
    pub fn finish(self, deadline: Instant) {
        self.outputs.finish(deadline);
    }

    /// When to call [`Daemon::tend_listeners`] if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        [self.events.next_deadline(), self.tick_at]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Daemon {
    /// The daemon begins to serve: every group is told of, in the order in which they start, as each pool comes to be.
    pub(super) fn open_pools(&mut self) {
        let config = Arc::clone(self.engine.config());
        let mut groups: Vec<_> = config.groups.iter().collect();
        groups.sort_by_key(|(name, group)| (group.priority, *name));
        for (name, group) in groups {
            if let GroupKind::Listeners(settings) = &group.kind {
                let effects = self.listeners.events.set_pool(clock::now(), name, settings);
                self.carry_out(effects);
            }
            self.publish_event(Event::group(name.as_str(), true));
        }
        self.listeners.config = Some(config);
        self.want_events();
        self.publish_event(Event::running());
    }

    /// Goes on with listeners that another image had, who are told nothing of it. One that handed over none had none.
    pub(super) fn welcome_listeners(&mut self, listeners: Option<Listeners>) {
        let Some(listeners) = listeners else {
            return self.open_pools();
        };
        let watches: Vec<_> = listeners.outputs.watches().collect();
        self.listeners = listeners;
        for (id, watch) in watches {
            self.watch_output(id, watch);
        }
        self.want_events();
    }

    /// The engine has taken a step, whose actions are still to be carried out.
    pub(super) fn follow_engine(&mut self) {
        let active = self.engine.config();
        let followed = self.listeners.config.as_ref();
        if followed.is_some_and(|config| !Arc::ptr_eq(config, active)) {
            self.follow_config(Arc::clone(active));
        }
        if self.engine.is_shutting_down() && !self.listeners.closing_told {
            self.listeners.closing_told = true;
            self.publish_event(Event::stopping());
        }
    }

    /// Pools listen by the active configuration. One whose group is on its way out listens until that is gone.
    fn follow_config(&mut self, config: Arc<Config>) {
        for (name, group) in &config.groups {
            match &group.kind {
                GroupKind::Listeners(settings) => {
                    let effects = self.listeners.events.set_pool(clock::now(), name, settings);
                    self.carry_out(effects);
                }
                GroupKind::Programs => self.listeners.events.remove_pool(name),
            }
        }
        self.listeners.config = Some(config);
        self.want_events();
    }

    /// Tells whoever listens.
    pub(super) fn publish_event(&mut self, event: Event) {
        let effects = self.listeners.events.publish(clock::now(), event);
        self.carry_out(effects);
    }

    /// A process changed its state, and is perhaps a listener itself.
    pub(super) fn publish_state(&mut self, change: &StateChange) {
        let running = change.to == State::Running;
        let now = clock::now();
        let effects = self.listeners.events.running(now, &change.key, running);
        self.carry_out(effects);
        self.publish_event(Event::state(change));
    }

    /// A group came or went.
    pub(super) fn publish_group(&mut self, group: &GroupName, added: bool) {
        if !added {
            self.listeners.events.remove_pool(group);
            self.want_events();
        }
        self.publish_event(Event::group(group.as_str(), added));
    }

    /// A process wrote something, and its events are enabled.
    pub(super) fn publish_log(&mut self, stream: &StreamId, pid: Pid, data: &[u8]) {
        self.publish_event(Event::log(&stream.key, of(stream.channel), pid, data));
    }

    /// A process said something between the marks.
    pub(super) fn publish_communication(&mut self, stream: &StreamId, pid: Pid, data: &[u8]) {
        let channel = of(stream.channel);
        self.publish_event(Event::communication(&stream.key, channel, pid, data));
    }

    /// A new process is a listener: its output is read here.
    pub(super) fn begin_listening(&mut self, settings: &ProcessSettings, pid: Pid, pipe: OwnedFd) {
        let key = &settings.key;
        let effects = self.listeners.events.spawned(clock::now(), key);
        self.carry_out(effects);
        let id = self.counters.next_input();
        let logged = settings.stdout.target != LogTarget::Discard;
        match self.listeners.outputs.open(id, key.clone(), pipe, logged) {
            Ok(Some(log)) => {
                let stream = StreamId {
                    key: key.clone(),
                    channel: Channel::Stdout,
                };
                let options = AttachOptions {
                    strip_ansi: settings.launch.strip_ansi,
                    adopted: false,
                };
                self.capture
                    .attach(stream, pid, log, &settings.stdout, options);
            }
            Ok(None) => {}
            Err(error) => {
                // Closed with its pipe, so that it ends instead of waiting for an event that cannot come.
                log::error!("{key}: what this event listener says cannot be read: {error}");
                return;
            }
        }
        self.watch_output(id, Watch::Pipe);
    }

    /// An event listener's output has something, or its log has room.
    pub(super) fn on_listener_output(&mut self, id: u64) {
        if let Some(turn) = self.listeners.outputs.serve(id) {
            self.after_turn(id, turn);
        }
    }

    /// A process has ended and that is not told yet: what it said last comes first. Names it, if it is a listener.
    pub(super) fn last_words(&mut self, pid: Pid) -> Option<ProcessKey> {
        let key = self.engine.find_pid(pid).cloned()?;
        let (id, turn) = self.listeners.outputs.last_words(&key)?;
        self.after_turn(id, turn);
        Some(key)
    }

    /// The end of a listener has been told: the event that it had waits again.
    pub(super) fn listener_ended(&mut self, key: &ProcessKey) {
        let effects = self.listeners.events.ended(clock::now(), key);
        self.carry_out(effects);
    }

    /// The standard input of a process was found closed.
    pub(super) fn input_failed(&mut self, key: &ProcessKey) {
        let effects = self.listeners.events.undelivered(clock::now(), key);
        self.carry_out(effects);
    }

    /// Offers events that have rested, and tells the time.
    pub(super) fn tend_listeners(&mut self, now: Monotonic) {
        let events = &self.listeners.events;
        if events
            .next_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            let effects = self.listeners.events.tick(now);
            self.carry_out(effects);
        }
        let wall = clock::wall()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let Listeners { events, ticks, .. } = &mut self.listeners;
        let (due, sleep) = ticks.pass(wall, |kind| events.anybody_listens_to(kind));
        self.listeners.tick_at = sleep.map(|sleep| now.after(sleep));
        for event in due {
            self.publish_event(event);
        }
        self.release_listeners();
    }

    /// Lets the shutdown go on to the listeners once they have heard of everything.
    fn release_listeners(&mut self) {
        if self.engine.waits_for_listeners() && self.listeners.events.everything_is_heard() {
            self.feed(engine::Event::ListenersHeard);
        }
    }

    fn after_turn(&mut self, id: u64, turn: Turn) {
        let Turn {
            said,
            before,
            after,
        } = turn;
        if before != after {
            if let Some(fd) = self.listeners.outputs.watched(id, before) {
                self.unwatch(fd);
            }
            self.watch_output(id, after);
        }
        if after == Watch::Nothing {
            self.listeners.outputs.close(id);
        }
        if let Some((key, data)) = said {
            let effects = self.listeners.events.heard(clock::now(), &key, &data);
            self.carry_out(effects);
        }
    }

    fn watch_output(&mut self, id: u64, watch: Watch) {
        let interest = match watch {
            Watch::Pipe => Interest::READABLE,
            Watch::Log => Interest::WRITABLE,
            Watch::Nothing => return,
        };
        if let Some(fd) = self.listeners.outputs.watched(id, watch)
            && let Err(error) = self.poller.add(fd, Wake::Said(id).token(), interest)
        {
            log::error!("can't watch the output of an event listener: {error}");
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        // Nobody hears of what would not be remembered.
        if !effects.is_empty() {
            self.put_on_record();
        }
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Deliver { listener, data } => match self.inputs.deliver(&listener, &data) {
                    Ok(Progress::Done) => {}
                    Ok(Progress::Waiting) => self.watch_input(&listener),
                    Err(_) => {
                        let now = clock::now();
                        effects.extend(self.listeners.events.undelivered(now, &listener));
                    }
                },
                Effect::Note(note) => {
                    let (level, text) = sentences::about_listeners(&note);
                    log::log!(level, "{text}");
                }
            }
        }
    }
}

fn of(channel: Channel) -> Stream {
    match channel {
        Channel::Stdout => Stream::Stdout,
        Channel::Stderr => Stream::Stderr,
    }
}
