//! How the logs of many processes are doing, for an answer that tells it of one after the other.

use super::stream::Health;
use super::{LogHealth, StreamId};
use crate::types::ProcessKey;
use crate::wire::Channel;
use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::iter::Peekable;
use std::sync::Arc;

/// What is known of all streams, and a place in it: whoever asks in the order of the keys finds the next one at hand.
#[derive(Debug)]
pub struct Healths<'a> {
    all: &'a BTreeMap<StreamId, Arc<Health>>,
    next: Peekable<Range<'a, StreamId, Arc<Health>>>,
}

impl<'a> Healths<'a> {
    pub(super) fn new(all: &'a BTreeMap<StreamId, Arc<Health>>) -> Self {
        let next = all.range(..).peekable();
        Self { all, next }
    }

    /// How those of a process's standard output and error are doing; all is well with what was never attached.
    pub fn of(&mut self, key: &ProcessKey) -> [LogHealth; 2] {
        if self.next.peek().is_none_or(|(next, _)| next.key != *key) {
            let first = StreamId {
                key: key.clone(),
                channel: Channel::Stdout,
            };
            self.next = self.all.range(first..).peekable();
        }
        let (mut stdout, mut stderr) = (LogHealth::default(), LogHealth::default());
        while let Some((stream, health)) = self.next.next_if(|(next, _)| next.key == *key) {
            match stream.channel {
                Channel::Stdout => stdout = health.read(),
                Channel::Stderr => stderr = health.read(),
            }
        }
        [stdout, stderr]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{GroupName, ProcessName};
    use std::sync::atomic::Ordering;

    #[test]
    fn each_process_gets_its_own_in_whatever_order() {
        let key = |name: &str| ProcessKey {
            group: GroupName::new("group").unwrap(),
            process: ProcessName::new(name).unwrap(),
        };
        let mut all = BTreeMap::new();
        for (name, channel, lost) in [
            ("a", Channel::Stdout, 1),
            ("a", Channel::Stderr, 2),
            ("b", Channel::Stdout, 3),
            ("d", Channel::Stderr, 4),
        ] {
            let health = Health::default();
            health.lost.store(lost, Ordering::Relaxed);
            let key = key(name);
            all.insert(StreamId { key, channel }, Arc::new(health));
        }
        let mut healths = Healths::new(&all);
        for (name, lost) in [
            ("a", [1, 2]),
            ("b", [3, 0]),
            ("c", [0, 0]),
            ("d", [0, 4]),
            ("e", [0, 0]),
            ("d", [0, 4]),
            ("a", [1, 2]),
            ("a", [1, 2]),
        ] {
            let found = healths.of(&key(name)).map(|health| health.lost);
            assert_eq!(found, lost, "{name}");
        }
    }
}
