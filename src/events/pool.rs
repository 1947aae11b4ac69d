//! A pool of listeners and the events that wait for them.
//!
//! The oldest event goes to the first listener that is free, in the order of their names. An event that comes back, because
//! its listener rejected it, died or could not be written to, is the next one again. So an event is lost only when too
//! many wait, and then the oldest is; each such loss is counted and noted.
//!
//! Here this is kinder than Supervisor: an event that was rejected twice rests before it is offered again, a little longer
//! each time, so that a listener that rejects everything costs next to nothing. Events behind it wait as long, so that
//! the order stays.

use super::Effect;
use super::envelope::{Header, Serial};
use super::event::Event;
use super::listener::{Heard, Listener, ListenerState};
use super::note::Note;
use crate::config::model::PoolSettings;
use crate::types::{GroupName, Monotonic, ProcessKey, ProcessName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long an event rests that was rejected twice; each further time twice as long.
const FIRST_REST: Duration = Duration::from_millis(100);
/// How long it rests at most.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// An event with its number among all.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Numbered {
    pub serial: u64,
    pub event: Event,
}

/// An event that waits, or that a listener has.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    numbered: Arc<Numbered>,
    pool_serial: u64,
    rejections: u32,
    /// Not offered before.
    rests_until: Monotonic,
}

/// See the module's documentation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pool {
    name: GroupName,
    settings: PoolSettings,
    serial: Serial,
    waiting: VecDeque<Entry>,
    listeners: BTreeMap<ProcessName, Listener<Entry>>,
    discarded: u64,
    rejected: u64,
}

/// A listener and its pool at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerView {
    /// What it does; nothing while it has no process.
    pub state: Option<ListenerState>,
    /// Events that wait in its pool.
    pub waiting: usize,
    /// How many may wait.
    pub buffer_size: usize,
    /// Events that its pool discarded, because too many waited.
    pub discarded: u64,
    /// Times that an event was rejected in its pool.
    pub rejected: u64,
}

impl Pool {
    pub fn new(name: GroupName, settings: PoolSettings) -> Self {
        Self {
            name,
            settings,
            serial: Serial::default(),
            waiting: VecDeque::new(),
            listeners: BTreeMap::new(),
            discarded: 0,
            rejected: 0,
        }
    }

    pub fn settings(&self) -> &PoolSettings {
        &self.settings
    }

    /// New settings hold from now on. Events that are too many for them are discarded.
    pub fn adjust(&mut self, settings: PoolSettings, out: &mut Vec<Effect>) {
        self.settings = settings;
        while self.waiting.len() > self.settings.buffer_size {
            self.discard_oldest(out);
        }
    }

    /// Takes an event in, `times` times with one number.
    pub fn accept(&mut self, numbered: &Arc<Numbered>, times: usize, out: &mut Vec<Effect>) {
        let pool_serial = self.serial.next();
        for _ in 0..times {
            self.make_room(out);
            self.waiting.push_back(Entry {
                numbered: Arc::clone(numbered),
                pool_serial,
                rejections: 0,
                rests_until: Monotonic::default(),
            });
        }
    }

    fn make_room(&mut self, out: &mut Vec<Effect>) {
        if self.waiting.len() >= self.settings.buffer_size {
            self.discard_oldest(out);
        }
    }

    fn discard_oldest(&mut self, out: &mut Vec<Effect>) {
        if let Some(Entry { numbered, .. }) = self.waiting.pop_front() {
            self.discarded = self.discarded.saturating_add(1);
            out.push(Effect::Note(Note::Discarded {
                pool: self.name.clone(),
                serial: numbered.serial,
            }));
        }
    }

    /// An event that was given away waits again, before all others.
    fn requeue(&mut self, entry: Entry, out: &mut Vec<Effect>) {
        out.push(Effect::Note(Note::Requeued {
            pool: self.name.clone(),
            serial: entry.numbered.serial,
            waiting: self.waiting.len(),
            buffer_size: self.settings.buffer_size,
        }));
        self.make_room(out);
        self.waiting.push_front(entry);
    }

    /// Gives events away, as long as there are some and somebody takes them.
    pub fn dispatch(&mut self, now: Monotonic, server: &str, out: &mut Vec<Effect>) {
        while self
            .waiting
            .front()
            .is_some_and(|entry| entry.rests_until <= now)
            && let Some((name, listener)) = self
                .listeners
                .iter_mut()
                .find(|(_, listener)| listener.is_free())
            && let Some(entry) = self.waiting.pop_front()
        {
            let serial = entry.numbered.serial;
            let header = Header {
                server,
                serial,
                pool: &self.name,
                pool_serial: entry.pool_serial,
                length: self.settings.length,
            };
            let data = header.seal(&entry.numbered.event);
            listener.give(entry);
            let listener = ProcessKey {
                group: self.name.clone(),
                process: name.clone(),
            };
            out.push(Effect::Deliver {
                listener: listener.clone(),
                data,
            });
            out.push(Effect::Note(Note::Sent { listener, serial }));
        }
    }

    /// When an event that rests is to be offered to a listener that is free already.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let free = self.listeners.values().any(Listener::is_free);
        self.waiting
            .front()
            .filter(|_| free)
            .map(|entry| entry.rests_until)
    }

    /// A listener has a new process.
    pub fn spawned(&mut self, process: &ProcessName, out: &mut Vec<Effect>) {
        self.ended(process, out);
        self.listeners.insert(process.clone(), Listener::new());
    }

    /// Whether a listener's process counts as started.
    pub fn running(&mut self, process: &ProcessName, running: bool) {
        if let Some(listener) = self.listeners.get_mut(process) {
            listener.running = running;
        }
    }

    /// A listener said something.
    pub fn heard(
        &mut self,
        now: Monotonic,
        process: &ProcessName,
        data: &[u8],
        out: &mut Vec<Effect>,
    ) {
        let Some(listener) = self.listeners.get_mut(process) else {
            return;
        };
        let heard = listener.hear(data);
        let listener = ProcessKey {
            group: self.name.clone(),
            process: process.clone(),
        };
        let note = |note| Effect::Note(note);
        for heard in heard {
            let listener = listener.clone();
            match heard {
                Heard::Processed => out.push(note(Note::Processed { listener })),
                Heard::Stepped(from, to) => {
                    let lost = (to == ListenerState::Unknown).then(|| Note::Lost {
                        listener: listener.clone(),
                    });
                    out.push(note(Note::Stepped { listener, from, to }));
                    out.extend(lost.map(note));
                }
                Heard::BadLine(line, entry) => {
                    out.push(note(Note::BadLine { listener, line }));
                    self.rejected = self.rejected.saturating_add(1);
                    self.requeue(entry, out);
                }
                Heard::Rejected(mut entry) => {
                    out.push(note(Note::Rejected { listener }));
                    self.rejected = self.rejected.saturating_add(1);
                    entry.rejections = entry.rejections.saturating_add(1);
                    entry.rests_until = now.after(rest(entry.rejections));
                    self.requeue(entry, out);
                }
            }
        }
    }

    /// A listener could not be written to.
    pub fn undelivered(&mut self, process: &ProcessName, out: &mut Vec<Effect>) {
        let Some(listener) = self.listeners.get_mut(process) else {
            return;
        };
        listener.deaf = true;
        if let Some(entry) = listener.take_back() {
            out.push(Effect::Note(Note::Deaf {
                listener: ProcessKey {
                    group: self.name.clone(),
                    process: process.clone(),
                },
                serial: entry.numbered.serial,
            }));
            self.requeue(entry, out);
        }
    }

    /// A listener's process has ended.
    pub fn ended(&mut self, process: &ProcessName, out: &mut Vec<Effect>) {
        let entry = self
            .listeners
            .remove(process)
            .and_then(|mut listener| listener.end());
        if let Some(entry) = entry {
            self.requeue(entry, out);
        }
    }

    /// Whether there is nothing left that a listener could still hear or answer.
    pub fn has_heard_everything(&self) -> bool {
        let mut able = self.listeners.values().filter(|listener| {
            listener.running && !listener.deaf && listener.state() != ListenerState::Unknown
        });
        let busy = |listener: &Listener<Entry>| listener.state() == ListenerState::Busy;
        if self.waiting.is_empty() {
            !able.any(busy)
        } else {
            able.next().is_none()
        }
    }

    pub fn view(&self, process: &ProcessName) -> ListenerView {
        ListenerView {
            state: self.listeners.get(process).map(Listener::state),
            waiting: self.waiting.len(),
            buffer_size: self.settings.buffer_size,
            discarded: self.discarded,
            rejected: self.rejected,
        }
    }
}

/// How long an event rests after so many rejections.
fn rest(rejections: u32) -> Duration {
    match rejections {
        0 | 1 => Duration::ZERO,
        more => {
            let doubled =
                FIRST_REST.saturating_mul(1_u32.checked_shl(more - 2).unwrap_or(u32::MAX));
            doubled.min(LONGEST_REST)
        }
    }
}
