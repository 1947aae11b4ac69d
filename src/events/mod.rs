//! Events and those who listen to them: Supervisor's events, and its protocol for listeners.
//!
//! [`Events`] is told what happens and what listeners say, and answers with [`Effect`]s: bytes to write to a listener, lines
//! for the log. Like the engine it is pure: no clock, no descriptor, no failure.
//!
//! Invariants:
//! - An event that a pool listens to is, until it is processed, either among those that wait, or with exactly one
//!   listener, or was discarded, counted and noted.
//! - A listener has one event at a time, and gets one only when it has said that it takes it and its process counts as
//!   started.
//! - Memory is bounded: by the pools' `buffer_size`, and by one event and a line of text for each listener.
//! - Nobody waits for a listener.
//!
//! All of it can be written down and gone on with ([`Snapshot`]): a listener does not notice that it talks to another image of
//! the daemon.
//!
//! Not here: where events come from, descriptors, and words for people.

mod envelope;
mod event;
mod handover;
mod listener;
mod note;
mod pool;
#[cfg(test)]
mod tests;

pub use event::{Event, Stream};
pub use handover::Snapshot;
pub use listener::ListenerState;
pub use note::Note;
pub use pool::ListenerView;

use crate::config::model::PoolSettings;
use crate::types::{EventType, GroupName, Monotonic, ProcessKey};
use envelope::Serial;
use pool::{Numbered, Pool};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Something to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write this to the standard input of a listener. If that cannot be, [`Events::undelivered`] is to be told.
    Deliver {
        /// Which.
        listener: ProcessKey,
        /// One event, header and all.
        data: Vec<u8>,
    },
    /// Write to the daemon's log.
    Note(Note),
}

/// All pools.
#[derive(Debug)]
pub struct Events {
    server: String,
    serial: Serial,
    pools: BTreeMap<GroupName, Pool>,
}

impl Events {
    /// No pools yet. `server` is the daemon's identifier.
    pub fn new(server: String) -> Self {
        Self {
            server,
            serial: Serial::default(),
            pools: BTreeMap::new(),
        }
    }

    /// A pool that listens from now on; one that did already has new settings.
    pub fn set_pool(
        &mut self,
        now: Monotonic,
        name: &GroupName,
        settings: &PoolSettings,
    ) -> Vec<Effect> {
        let mut out = Vec::new();
        match self.pools.get_mut(name) {
            Some(pool) if pool.settings() == settings => {}
            Some(pool) => pool.adjust(settings.clone(), &mut out),
            None => {
                let pool = Pool::new(name.clone(), settings.clone());
                self.pools.insert(name.clone(), pool);
            }
        }
        self.dispatch(now, name, &mut out);
        out
    }

    /// A pool that listens no more. What waited for it is gone with it, as in Supervisor.
    pub fn remove_pool(&mut self, name: &GroupName) {
        self.pools.remove(name);
    }

    /// Whether anybody listens to a kind of event.
    pub fn anybody_listens_to(&self, kind: EventType) -> bool {
        self.pools
            .values()
            .any(|pool| subscriptions(pool, kind) > 0)
    }

    /// Something happened. It gets a number when anybody listens to it.
    pub fn publish(&mut self, now: Monotonic, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        if !self.anybody_listens_to(event.kind) {
            return out;
        }
        let kind = event.kind;
        let numbered = Arc::new(Numbered {
            serial: self.serial.next(),
            event,
        });
        for pool in self.pools.values_mut() {
            let times = subscriptions(pool, kind);
            if times > 0 {
                pool.accept(&numbered, times, &mut out);
                pool.dispatch(now, &self.server, &mut out);
            }
        }
        out
    }

    /// A listener has a new process, which has yet to say that it takes an event.
    pub fn spawned(&mut self, now: Monotonic, listener: &ProcessKey) -> Vec<Effect> {
        self.with(now, listener, |pool, out| {
            pool.spawned(&listener.process, out);
        })
    }

    /// Whether a listener's process counts as started, and is not asked to stop.
    pub fn running(&mut self, now: Monotonic, listener: &ProcessKey, running: bool) -> Vec<Effect> {
        self.with(now, listener, |pool, _| {
            pool.running(&listener.process, running);
        })
    }

    /// A listener wrote to its standard output.
    pub fn heard(&mut self, now: Monotonic, listener: &ProcessKey, data: &[u8]) -> Vec<Effect> {
        self.with(now, listener, |pool, out| {
            pool.heard(now, &listener.process, data, out);
        })
    }

    /// The event that a listener was given could not be written.
    pub fn undelivered(&mut self, now: Monotonic, listener: &ProcessKey) -> Vec<Effect> {
        self.with(now, listener, |pool, out| {
            pool.undelivered(&listener.process, out);
        })
    }

    /// A listener's process has ended. The event that it had waits again.
    pub fn ended(&mut self, now: Monotonic, listener: &ProcessKey) -> Vec<Effect> {
        self.with(now, listener, |pool, out| {
            pool.ended(&listener.process, out);
        })
    }

    /// When to call [`Events::tick`] if nothing else happens before; `None` when nothing is pending.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.pools.values().filter_map(Pool::next_deadline).min()
    }

    /// Time has passed: offers what has rested.
    pub fn tick(&mut self, now: Monotonic) -> Vec<Effect> {
        let mut out = Vec::new();
        for pool in self.pools.values_mut() {
            pool.dispatch(now, &self.server, &mut out);
        }
        out
    }

    /// Whether there is nothing left that a listener could still hear or answer.
    pub fn everything_is_heard(&self) -> bool {
        self.pools.values().all(Pool::has_heard_everything)
    }

    /// How a listener is doing; `None` for a process that is none.
    pub fn view(&self, process: &ProcessKey) -> Option<ListenerView> {
        Some(self.pools.get(&process.group)?.view(&process.process))
    }

    fn with(
        &mut self,
        now: Monotonic,
        listener: &ProcessKey,
        change: impl FnOnce(&mut Pool, &mut Vec<Effect>),
    ) -> Vec<Effect> {
        let mut out = Vec::new();
        if let Some(pool) = self.pools.get_mut(&listener.group) {
            change(pool, &mut out);
            pool.dispatch(now, &self.server, &mut out);
        }
        out
    }

    fn dispatch(&mut self, now: Monotonic, name: &GroupName, out: &mut Vec<Effect>) {
        if let Some(pool) = self.pools.get_mut(name) {
            pool.dispatch(now, &self.server, out);
        }
    }
}

/// How often a pool wants an event: once for each of its subscriptions that covers it, as Supervisor delivers it.
fn subscriptions(pool: &Pool, kind: EventType) -> usize {
    let wanted = pool.settings().events.iter();
    wanted.filter(|wanted| wanted.covers(kind)).count()
}
