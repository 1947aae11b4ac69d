//! Who follows a log that its program writes itself: the file is read as it grows.
//!
//! The kernel tells that it was written to; nothing is looked at from time to time. A file that was emptied is followed
//! from its new beginning. One that was renamed is followed as long as the program that writes to it runs, as the
//! program goes on writing there; a program that was started again has a new file, which is followed then.
//!
//! Invariant: while nobody follows such a log, nothing is watched, and writing to it wakes nobody.

use super::StreamId;
use super::inflight::Place;
use super::open::{self, Readable};
use super::queue::{FOLLOWER_QUEUE_BYTES, Shared};
use crate::sys::poller::{Interest, Poller};
use crate::sys::watch::Watch;
use nix::errno::Errno;
use std::io;
use std::path::Path;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// The followers, and what tells that one of their files was written to.
#[derive(Debug, Default)]
pub(super) struct Watched {
    list: Vec<Reader>,
    watch: Option<Watch>,
}

/// One follower.
#[derive(Debug)]
struct Reader {
    subscription: u64,
    stream: StreamId,
    path: Box<Path>,
    /// Absent while there is no file.
    file: Option<Readable>,
    /// How far it has been read.
    position: u64,
}

impl Watched {
    /// Adds a follower, and gives it the end of what is there. A file that is not there yet may come; one that cannot be
    /// read, or is no regular file, is an error. One that somebody else has followed goes on `from` there, and begins
    /// anew if it is another file by now.
    pub(super) fn add(
        &mut self,
        (shared, poller, token): (&Shared, &Poller, u64),
        (subscription, stream, path): (u64, StreamId, Box<Path>),
        backlog: u64,
        from: Option<Place>,
    ) -> io::Result<()> {
        let file = match open::readable(&path) {
            Ok(file) => Some(file),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(errno.into()),
        };
        let size = file.as_ref().map_or(0, Readable::size);
        let mut reader = Reader {
            subscription,
            stream,
            path,
            file,
            position: size.saturating_sub(backlog),
        };
        if let (Some(from), Some(file)) = (from, &reader.file) {
            let same = file.identity() == (from.device, from.inode);
            reader.position = if same { from.size } else { 0 };
        }
        let watch = match self.watch.take() {
            Some(watch) => watch,
            None => begin(poller, token)?,
        };
        let watch = self.watch.insert(watch);
        reader.watch(watch);
        reader.pass_on(shared);
        self.list.push(reader);
        Ok(())
    }

    /// How far each follower has come in which file.
    pub(super) fn places(&self) -> Vec<(u64, Place)> {
        self.list
            .iter()
            .filter_map(|reader| {
                let (device, inode) = reader.file.as_ref()?.identity();
                let size = reader.position;
                let place = Place {
                    device,
                    inode,
                    size,
                };
                Some((reader.subscription, place))
            })
            .collect()
    }

    /// Ends a subscription.
    pub(super) fn remove(&mut self, poller: &Poller, token: u64, subscription: u64) {
        let before = self.list.len();
        self.list
            .retain(|reader| reader.subscription != subscription);
        if self.list.len() == before {
            return;
        }
        // One that nobody reads any more cannot be singled out: the others may be the same file.
        if let Some(watch) = self.watch.take() {
            poller.remove(&watch).unwrap_or_default();
        }
        if !self.list.is_empty()
            && let Ok(watch) = begin(poller, token)
        {
            for reader in &self.list {
                reader.watch(&watch);
            }
            self.watch = Some(watch);
        }
    }

    /// A process was started that writes its log itself: whoever follows it may have another file to read.
    pub(super) fn renew(&mut self, shared: &Shared, stream: &StreamId) {
        let Some(watch) = &self.watch else { return };
        for reader in self
            .list
            .iter_mut()
            .filter(|reader| reader.stream == *stream)
        {
            reader.renew(shared, watch);
        }
    }

    /// Something was written to at least one of the files.
    pub(super) fn serve(&mut self, shared: &Shared) {
        if let Some(watch) = &self.watch {
            watch.drain();
        }
        for reader in &mut self.list {
            reader.pass_on(shared);
        }
    }
}

fn begin(poller: &Poller, token: u64) -> io::Result<Watch> {
    let watch = Watch::new()?;
    poller.add(&watch, token, Interest::READABLE)?;
    Ok(watch)
}

impl Reader {
    /// A file that cannot be watched is read when another one is written to, or when its program is started again.
    fn watch(&self, watch: &Watch) {
        if self.file.is_some() {
            watch.add_growing(&self.path).unwrap_or_default();
        }
    }

    fn renew(&mut self, shared: &Shared, watch: &Watch) {
        self.pass_on(shared);
        let Ok(new) = open::readable(&self.path) else {
            return;
        };
        if self.file.as_ref().is_none_or(|old| !old.is_same(&new)) {
            self.file = Some(new);
            self.position = 0;
            self.watch(watch);
            self.pass_on(shared);
        }
    }

    /// Passes on what was written since. If it is more than a follower may have waiting, it is not even read.
    fn pass_on(&mut self, shared: &Shared) {
        let Some(file) = &self.file else { return };
        let size = file.size();
        if size < self.position {
            self.position = 0;
        }
        let behind = size - self.position;
        if behind > FOLLOWER_QUEUE_BYTES as u64 {
            shared.skip_for_follower(self.subscription, behind);
            self.position = size;
        }
        let mut piece = vec![0; PIECE_BYTES];
        while self.position < size {
            let count = match file.read_at(&mut piece, self.position) {
                Err(Errno::EINTR) => continue,
                Err(_) | Ok(0) => return,
                Ok(count) => count,
            };
            self.position += count as u64;
            shared.tell_follower(self.subscription, piece.get(..count).unwrap_or_default());
        }
    }
}
