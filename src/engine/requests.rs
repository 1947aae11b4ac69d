//! Who waits for what, and what they are told.
//!
//! A request is registered with its lines, in the order asked for, and with what is already known. What is not known yet
//! waits for a happening of its process. When nothing is left to wait for, the answer goes out, once. A request that is
//! abandoned leaves no trace; what it asked for still happens, because processes know what they are to do and requests
//! only watch.

use super::action::Action;
use super::event::{GroupChange, Outcome, Reply, TargetResult};
use super::outbox::{Happening, Outbox};
use super::process::Verdict;
use super::resolve::Row;
use crate::engine::mutants::mutant;
use crate::types::{ProcessKey, Ticket};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The half of a request that an outcome belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Half {
    /// A stop or a signal.
    Stop,
    /// A start.
    Start,
}

/// The form of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Form {
    /// The outcomes of one half.
    Results(Half, Vec<Row>),
    /// Both halves, with the same lines.
    Restarted(Vec<Row>),
    /// What an update did.
    Changes(Vec<GroupChange>),
}

/// What is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Need {
    /// That it is up.
    Running,
    /// That it exists.
    Spawned,
    /// That nothing is left of it.
    Gone,
    /// That the stop signal was sent.
    Signalled,
}

impl Need {
    /// What a happening means to who waits for this.
    fn outcome(self, happening: &Happening) -> Option<Outcome> {
        match (self, happening) {
            (Self::Running, Happening::Running) | (Self::Spawned, Happening::Spawned) => {
                Some(Outcome::Started)
            }
            (Self::Running | Self::Spawned, Happening::SpawnFailed(failure)) => {
                Some(Outcome::SpawnFailed(failure.clone()))
            }
            (Self::Running | Self::Spawned, Happening::ExitedTooQuickly(status)) => {
                Some(Outcome::ExitedTooQuickly(*status))
            }
            (Self::Running | Self::Spawned, Happening::Cancelled | Happening::NotKilled) => {
                let told = Some(Outcome::AbnormalTermination);
                mutant!(OverruledStartIsNeverAnswered, told, None)
            }
            (Self::Gone | Self::Signalled, Happening::Gone)
            | (Self::Signalled, Happening::Signalled) => Some(Outcome::Stopped),
            (Self::Gone | Self::Signalled, Happening::NotKilled) => Some(Outcome::NotKilled),
            (Self::Running, Happening::Spawned | Happening::Signalled | Happening::Gone)
            | (Self::Spawned, Happening::Running | Happening::Signalled | Happening::Gone)
            | (Self::Gone, Happening::Signalled)
            | (
                Self::Gone | Self::Signalled,
                Happening::Spawned
                | Happening::Running
                | Happening::SpawnFailed(_)
                | Happening::ExitedTooQuickly(_)
                | Happening::Cancelled,
            )
            | (_, Happening::Forgotten) => None,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Request {
    form: Form,
    known: BTreeMap<(ProcessKey, Half), Outcome>,
    open: BTreeMap<ProcessKey, u8>,
    wait: bool,
}

/// Requests that are not answered yet.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Requests {
    requests: BTreeMap<Ticket, Request>,
    waiting: BTreeMap<ProcessKey, BTreeMap<(Ticket, Half), Need>>,
}

impl Requests {
    /// Whether this ticket is not answered yet.
    pub fn is_open(&self, ticket: Ticket) -> bool {
        self.requests.contains_key(&ticket)
    }

    /// Begins a request. `wait` says whether it is answered when the outcome is known or as soon as it is under way.
    pub fn open(&mut self, ticket: Ticket, form: Form, wait: bool) {
        self.requests.insert(
            ticket,
            Request {
                form,
                known: BTreeMap::new(),
                open: BTreeMap::new(),
                wait,
            },
        );
    }

    /// Records what a process said about one half of a request.
    pub fn record(&mut self, ticket: Ticket, key: &ProcessKey, half: Half, verdict: Verdict) {
        let Some(request) = self.requests.get_mut(&ticket) else {
            return;
        };
        let wait = mutant!(AnsweredBeforeTheOutcome, request.wait, false);
        let need = match (verdict, half, wait) {
            (Verdict::Now(outcome), _, _) => {
                request.known.insert((key.clone(), half), outcome);
                return;
            }
            (Verdict::Signalled, Half::Stop, false) => {
                request.known.insert((key.clone(), half), Outcome::Stopped);
                return;
            }
            (Verdict::Later | Verdict::Signalled, Half::Stop, true) => Need::Gone,
            (Verdict::Later, Half::Stop, false) => Need::Signalled,
            (Verdict::Later | Verdict::Signalled, Half::Start, true) => Need::Running,
            (Verdict::Later | Verdict::Signalled, Half::Start, false) => Need::Spawned,
        };
        *request.open.entry(key.clone()).or_default() += 1;
        self.waiting
            .entry(key.clone())
            .or_default()
            .insert((ticket, half), need);
    }

    /// All of a request has been recorded: answers it if nothing is left to wait for.
    pub fn close(&mut self, ticket: Ticket, out: &mut Outbox) {
        if self
            .requests
            .get(&ticket)
            .is_some_and(|request| request.open.is_empty())
            && let Some(request) = mutant!(
                AnsweredIsNotForgotten,
                self.requests.remove(&ticket),
                self.requests.get(&ticket).cloned()
            )
        {
            let reply = request.reply();
            let answer = Action::Reply { ticket, reply };
            mutant!(AnsweredTwice, out.act(answer.clone()));
            out.act(answer);
        }
    }

    /// Tells everybody who waits for this process what happened to it.
    pub fn happened(&mut self, key: &ProcessKey, happening: &Happening, out: &mut Outbox) {
        let Some(waiting) = self.waiting.get_mut(key) else {
            return;
        };
        let mut told = Vec::new();
        waiting.retain(|(ticket, half), need| match need.outcome(happening) {
            Some(outcome) => {
                told.push((*ticket, *half, outcome));
                false
            }
            None => true,
        });
        if waiting.is_empty() {
            self.waiting.remove(key);
        }
        for (ticket, half, outcome) in told {
            if let Some(request) = self.requests.get_mut(&ticket) {
                request.known.insert((key.clone(), half), outcome);
                request.settle(key);
            }
            self.close(ticket, out);
        }
    }

    /// Nobody waits for this ticket any more.
    pub fn abandon(&mut self, ticket: Ticket) {
        let Some(request) = self.requests.remove(&ticket) else {
            return;
        };
        for key in request.open.keys() {
            if let Some(waiting) = self.waiting.get_mut(key) {
                waiting.retain(|(other, _), _| *other != ticket);
                if waiting.is_empty() {
                    self.waiting.remove(key);
                }
            }
        }
    }

    /// The daemon ends: whatever is still open is answered.
    pub fn finish(&mut self, out: &mut Outbox) {
        let keys: Vec<_> = self.waiting.keys().cloned().collect();
        for key in keys {
            self.happened(&key, &Happening::NotKilled, out);
        }
    }
}

#[cfg(test)]
impl Requests {
    /// How many are open, and how many outcomes they wait for.
    pub fn sizes(&self) -> (usize, usize) {
        let awaited = self.waiting.values().map(BTreeMap::len).sum();
        (self.requests.len(), awaited)
    }
}

impl Request {
    fn settle(&mut self, key: &ProcessKey) {
        if let Some(count) = self.open.get_mut(key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.open.remove(key);
            }
        }
    }

    fn reply(self) -> Reply {
        match self.form {
            Form::Results(half, rows) => Reply::Results(results(&rows, half, &self.known)),
            Form::Restarted(rows) => Reply::Restarted {
                stops: results(&rows, Half::Stop, &self.known),
                starts: results(&rows, Half::Start, &self.known),
            },
            Form::Changes(changes) => Reply::Changes(changes),
        }
    }
}

fn results(
    rows: &[Row],
    half: Half,
    known: &BTreeMap<(ProcessKey, Half), Outcome>,
) -> Vec<TargetResult> {
    rows.iter()
        .filter_map(|row| match row {
            Row::Unknown { name, outcome } => Some(TargetResult {
                name: name.clone(),
                outcome: outcome.clone(),
            }),
            Row::Process { key, collective } => {
                let outcome = known.get(&(key.clone(), half))?;
                let idle = matches!(outcome, Outcome::AlreadyStarted | Outcome::NotRunning);
                let left_out = mutant!(IdleMembersAreListed, *collective && idle, false);
                (!left_out).then(|| TargetResult {
                    name: key.to_string(),
                    outcome: outcome.clone(),
                })
            }
        })
        .collect()
}
