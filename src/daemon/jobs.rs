//! What the capture thread, or the future, owes to clients: reads and clears under way, and subscriptions.

use super::capture::LogRef;
use super::clients::ClientId;
use crate::types::ProcessKey;
use crate::wire::{Channel, NamedResult};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Books of what is owed to whom.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Jobs {
    last: u64,
    tails: BTreeMap<u64, Tail>,
    /// Reads that have not begun, in the order asked for.
    unread: VecDeque<Read>,
    /// The read under way: one at a time, since each may bring megabytes.
    reading: Option<u64>,
    clears: BTreeMap<u64, u64>,
    clearing: BTreeMap<u64, Clearing>,
    subscriptions: BTreeMap<u64, Subscription>,
}

/// A read of a log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tail {
    /// Who asked.
    pub client: ClientId,
    /// The id of the request.
    pub request: u64,
    /// Whose log, for messages.
    pub name: String,
}

/// A read for the capture thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The number to report by.
    pub job: u64,
    /// What to read.
    pub log: LogRef,
    /// How much of its end.
    pub bytes: u64,
}

/// A request that empties logs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Clearing {
    /// Who asked.
    pub client: ClientId,
    /// The id of the request.
    pub request: u64,
    /// Results so far, in the order asked for.
    pub results: Vec<NamedResult>,
    /// Jobs that have not reported, with the place of their result.
    places: BTreeMap<u64, usize>,
}

/// A subscription and where its notices go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Subscription {
    /// Who asked.
    pub client: ClientId,
    /// The id of the request.
    pub request: u64,
    /// Of what.
    pub topic: SubscribedTo,
}

/// What a subscription is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscribedTo {
    /// State changes.
    States,
    /// The output of one process.
    Output(ProcessKey, Channel),
    /// The daemon's log.
    DaemonLog,
}

impl Jobs {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Takes a read into the queue.
    pub fn queue_tail(&mut self, tail: Tail, log: LogRef, bytes: u64) {
        let job = self.next();
        self.tails.insert(job, tail);
        self.unread.push_back(Read { job, log, bytes });
    }

    /// Begins the next read that somebody still waits for, unless one is under way.
    pub fn begin_read(&mut self) -> Option<Read> {
        if self.reading.is_some() {
            return None;
        }
        while let Some(read) = self.unread.pop_front() {
            if self.tails.contains_key(&read.job) {
                self.reading = Some(read.job);
                return Some(read);
            }
        }
        None
    }

    /// Whether a read waits for its turn.
    pub fn has_unread(&self) -> bool {
        self.reading.is_none() && !self.unread.is_empty()
    }

    /// A read has ended.
    pub fn end_tail(&mut self, job: u64) -> Option<Tail> {
        if self.reading == Some(job) {
            self.reading = None;
        }
        self.tails.remove(&job)
    }

    /// Begins to empty logs: `places` says which results wait for a job. Returns the jobs' numbers in that order.
    pub fn begin_clear(
        &mut self,
        client: ClientId,
        request: u64,
        results: Vec<NamedResult>,
        places: &[usize],
    ) -> Vec<u64> {
        let clearing = self.next();
        let jobs: Vec<u64> = places.iter().map(|_| self.next()).collect();
        for &job in &jobs {
            self.clears.insert(job, clearing);
        }
        let places = jobs.iter().copied().zip(places.iter().copied()).collect();
        self.clearing.insert(
            clearing,
            Clearing {
                client,
                request,
                results,
                places,
            },
        );
        jobs
    }

    /// One log is emptied, or not. Returns the whole request when this was its last.
    pub fn end_clear(&mut self, job: u64, failed: Option<i32>) -> Option<Clearing> {
        let clearing = self.clears.remove(&job)?;
        let request = self.clearing.get_mut(&clearing)?;
        let place = request.places.remove(&job)?;
        if let (Some(errno), Some(result)) = (failed, request.results.get_mut(place)) {
            result.outcome = crate::wire::Outcome::Failed { errno };
        }
        if request.places.is_empty() {
            self.clearing.remove(&clearing)
        } else {
            None
        }
    }

    /// Begins a subscription; returns its number.
    pub fn subscribe(&mut self, subscription: Subscription) -> u64 {
        let number = self.next();
        self.subscriptions.insert(number, subscription);
        number
    }

    /// The subscription of this number.
    pub fn subscription(&self, number: u64) -> Option<&Subscription> {
        self.subscriptions.get(&number)
    }

    /// Ends the subscriptions that `ends` picks and returns them.
    pub fn unsubscribe(
        &mut self,
        mut ends: impl FnMut(&Subscription) -> bool,
    ) -> Vec<(u64, Subscription)> {
        self.subscriptions
            .extract_if(.., |_, subscription| ends(subscription))
            .collect()
    }

    /// Everybody who follows something.
    pub fn subscriptions(&self) -> impl Iterator<Item = (u64, &Subscription)> {
        self.subscriptions.iter().map(|(&number, it)| (number, it))
    }

    /// Those who want to hear of states.
    pub fn state_subscriptions(&self) -> Vec<u64> {
        self.subscriptions
            .iter()
            .filter(|(_, subscription)| subscription.topic == SubscribedTo::States)
            .map(|(&number, _)| number)
            .collect()
    }

    /// A client is gone: nothing is owed to it any more. Returns the subscriptions that ended.
    pub fn drop_client(&mut self, client: ClientId) -> Vec<(u64, Subscription)> {
        self.tails.retain(|_, tail| tail.client != client);
        self.clearing
            .retain(|_, clearing| clearing.client != client);
        let open = &self.clearing;
        self.clears
            .retain(|_, clearing| open.contains_key(clearing));
        self.unsubscribe(|subscription| subscription.client == client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Outcome;

    fn cleared(name: &str) -> NamedResult {
        NamedResult {
            name: name.to_owned(),
            outcome: Outcome::Cleared,
        }
    }

    #[test]
    fn a_clear_is_answered_when_its_last_log_has_reported() {
        let mut jobs = Jobs::default();
        let unknown = NamedResult {
            name: "nosuch".to_owned(),
            outcome: Outcome::NoSuchProcess,
        };
        let results = vec![cleared("a"), unknown.clone(), cleared("b")];
        let numbers = jobs.begin_clear(ClientId(1), 9, results, &[0, 2]);
        assert!(jobs.end_clear(numbers[1], Some(5)).is_none());
        let done = jobs.end_clear(numbers[0], None).unwrap();
        assert_eq!((done.client, done.request), (ClientId(1), 9));
        let failed = NamedResult {
            name: "b".to_owned(),
            outcome: Outcome::Failed { errno: 5 },
        };
        assert_eq!(done.results, [cleared("a"), unknown, failed]);
        assert!(
            jobs.end_clear(numbers[0], None).is_none(),
            "a late report is ignored"
        );
    }

    #[test]
    fn nothing_is_owed_to_a_client_that_is_gone() {
        let mut jobs = Jobs::default();
        let tail = |number| Tail {
            client: ClientId(number),
            request: 1,
            name: "a".to_owned(),
        };
        for number in [1, 1, 2] {
            jobs.queue_tail(tail(number), LogRef::Main, number);
        }
        let mine = jobs.begin_read().unwrap();
        assert_eq!(jobs.begin_read(), None, "one at a time");
        let clears = jobs.begin_clear(ClientId(1), 2, vec![cleared("a")], &[0]);
        let subscription = Subscription {
            client: ClientId(1),
            request: 3,
            topic: SubscribedTo::States,
        };
        let number = jobs.subscribe(subscription);
        let ended: Vec<u64> = jobs
            .drop_client(ClientId(1))
            .into_iter()
            .map(|(number, _)| number)
            .collect();
        assert_eq!(ended, [number]);
        assert!(jobs.end_tail(mine.job).is_none());
        assert!(jobs.has_unread());
        let other = jobs.begin_read().unwrap();
        assert_eq!(
            other.bytes, 2,
            "nobody waits for the second of the first client"
        );
        assert!(jobs.end_tail(other.job).is_some());
        assert!(!jobs.has_unread());
        assert!(jobs.end_clear(clears[0], None).is_none());
        assert!(jobs.state_subscriptions().is_empty());
    }
}
