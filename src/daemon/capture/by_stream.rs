//! Values of the output streams, which come in pairs: two of a process under one name take less than two names.

use super::StreamId;
use crate::types::ProcessKey;
use crate::wire::Channel;
use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::iter::Peekable;

/// A value, or none, for each stream.
#[derive(Debug)]
pub(super) struct ByStream<T> {
    pairs: BTreeMap<ProcessKey, Pair<T>>,
}

/// The values of one process.
#[derive(Debug)]
struct Pair<T> {
    stdout: Option<T>,
    stderr: Option<T>,
}

impl<T> ByStream<T> {
    pub(super) fn new() -> Self {
        Self {
            pairs: BTreeMap::new(),
        }
    }

    pub(super) fn get(&self, stream: &StreamId) -> Option<&T> {
        let Pair { stdout, stderr } = self.pairs.get(&stream.key)?;
        match stream.channel {
            Channel::Stdout => stdout.as_ref(),
            Channel::Stderr => stderr.as_ref(),
        }
    }

    /// For who asks of many processes.
    pub(super) fn walk(&self) -> Walk<'_, T> {
        Walk {
            all: self,
            next: self.pairs.range::<ProcessKey, _>(..).peekable(),
        }
    }

    /// Where the value of a stream is, or is to be put.
    pub(super) fn place(&mut self, stream: &StreamId) -> &mut Option<T> {
        let pair = self.pairs.entry(stream.key.clone()).or_insert(Pair {
            stdout: None,
            stderr: None,
        });
        match stream.channel {
            Channel::Stdout => &mut pair.stdout,
            Channel::Stderr => &mut pair.stderr,
        }
    }

    /// Takes the value of one stream away.
    pub(super) fn remove(&mut self, stream: &StreamId) {
        let Some(pair) = self.pairs.get_mut(&stream.key) else {
            return;
        };
        match stream.channel {
            Channel::Stdout => pair.stdout = None,
            Channel::Stderr => pair.stderr = None,
        }
        if pair.stdout.is_none() && pair.stderr.is_none() {
            self.pairs.remove(&stream.key);
        }
    }

    /// Takes both values of a process away.
    pub(super) fn forget(&mut self, key: &ProcessKey) {
        self.pairs.remove(key);
    }

    /// All values, by the names of their streams.
    pub(super) fn iter(&self) -> impl Iterator<Item = (StreamId, &T)> {
        self.pairs.iter().flat_map(|(key, pair)| {
            let both = [
                (Channel::Stdout, &pair.stdout),
                (Channel::Stderr, &pair.stderr),
            ];
            both.into_iter().filter_map(|(channel, value)| {
                let key = key.clone();
                Some((StreamId { key, channel }, value.as_ref()?))
            })
        })
    }
}

/// A place among the values: whoever asks in the order of the keys finds the next ones at hand.
#[derive(Debug)]
pub(super) struct Walk<'a, T> {
    all: &'a ByStream<T>,
    next: Peekable<Range<'a, ProcessKey, Pair<T>>>,
}

impl<'a, T> Walk<'a, T> {
    /// The values of a process's standard output and error.
    pub(super) fn of(&mut self, key: &ProcessKey) -> [Option<&'a T>; 2] {
        if self.next.peek().is_none_or(|(next, _)| *next != key) {
            self.next = self.all.pairs.range(key..).peekable();
        }
        let found = self.next.next_if(|(next, _)| *next == key);
        found.map_or([None, None], |(_, pair)| {
            [pair.stdout.as_ref(), pair.stderr.as_ref()]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{GroupName, ProcessName};

    fn stream(process: &str, channel: Channel) -> StreamId {
        StreamId {
            key: ProcessKey {
                group: GroupName::new("group").unwrap(),
                process: ProcessName::new(process).unwrap(),
            },
            channel,
        }
    }

    #[test]
    fn a_stream_has_a_value_of_its_own() {
        let [out, err] = [Channel::Stdout, Channel::Stderr].map(|channel| stream("a", channel));
        let other = stream("b", Channel::Stderr);
        let mut values = ByStream::new();
        for (number, stream) in [&err, &out, &other].into_iter().enumerate() {
            *values.place(stream) = Some(number);
        }
        let all: Vec<_> = values.iter().map(|(id, &value)| (id, value)).collect();
        assert_eq!(
            all,
            [(out.clone(), 1), (err.clone(), 0), (other.clone(), 2)]
        );
        values.remove(&out);
        assert_eq!([values.get(&out), values.get(&err)], [None, Some(&0)]);
        values.remove(&err);
        values.forget(&other.key);
        assert_eq!(values.iter().count(), 0);
        assert!(values.pairs.is_empty());
    }

    #[test]
    fn whoever_walks_finds_each_process_in_whatever_order() {
        let mut values = ByStream::new();
        for (name, channel, value) in [
            ("a", Channel::Stdout, 1),
            ("a", Channel::Stderr, 2),
            ("b", Channel::Stdout, 3),
            ("d", Channel::Stderr, 4),
        ] {
            *values.place(&stream(name, channel)) = Some(value);
        }
        let mut walk = values.walk();
        for (name, expected) in [
            ("a", [Some(&1), Some(&2)]),
            ("b", [Some(&3), None]),
            ("c", [None, None]),
            ("d", [None, Some(&4)]),
            ("e", [None, None]),
            ("d", [None, Some(&4)]),
            ("a", [Some(&1), Some(&2)]),
            ("a", [Some(&1), Some(&2)]),
        ] {
            let key = stream(name, Channel::Stdout).key;
            assert_eq!(walk.of(&key), expected, "{name}");
        }
    }
}
