//! Values of the output streams, which come in pairs: two of a process under one name take less than two names.

use super::StreamId;
use crate::types::ProcessKey;
use crate::wire::Channel;
use std::collections::BTreeMap;

/// A value, or none, for each stream.
#[derive(Debug)]
pub(super) struct ByStream<T> {
    pairs: BTreeMap<ProcessKey, Pair<T>>,
}

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
        self.of_process(&stream.key, stream.channel)
    }

    /// As [`ByStream::get`], for a name that is in two parts.
    pub(super) fn of_process(&self, key: &ProcessKey, channel: Channel) -> Option<&T> {
        let Pair { stdout, stderr } = self.pairs.get(key)?;
        match channel {
            Channel::Stdout => stdout.as_ref(),
            Channel::Stderr => stderr.as_ref(),
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
}
