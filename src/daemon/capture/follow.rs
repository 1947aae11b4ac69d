//! Who follows a log as it is written.
//!
//! A follower first gets the end of the file, then every chunk that comes. Both are done by the thread that alone
//! writes the file, one after the other, so there is neither a gap nor a repetition in between, and a rotation is not
//! even noticed. A follower sees what the programs wrote, also while the disk does not take it.
//!
//! Whoever follows a stream whose log is a file sees all that is written to that file, as `tail -f` would: of two
//! streams that share a file, both. Output that goes elsewhere is followed by stream.

use super::inflight::Place;
use super::queue::Shared;
use super::thread::{WRITTEN, Worker};
use super::{FollowTarget, StreamId, open};
use std::path::{Path, PathBuf};

/// All followers.
#[derive(Debug, Default)]
pub(super) struct Followers {
    list: Vec<Follower>,
}

#[derive(Debug)]
struct Follower {
    subscription: u64,
    /// The stream; `None` for the daemon's own log.
    stream: Option<StreamId>,
    path: Option<Box<Path>>,
}

impl Followers {
    /// Adds one, after giving it the end of what is there. `main` is the path of the daemon's own log.
    pub(super) fn add(
        &mut self,
        shared: &Shared,
        subscription: u64,
        target: FollowTarget,
        main: Option<&Path>,
        backlog: u64,
    ) {
        let (stream, path): (_, Option<Box<Path>>) = match target {
            FollowTarget::Stream(stream, path) => {
                (Some(stream), path.map(PathBuf::into_boxed_path))
            }
            FollowTarget::Written(stream, path) => (Some(stream), Some(path.into())),
            FollowTarget::Main => (None, main.map(Box::from)),
        };
        if let Some(path) = &path
            && backlog > 0
            && let Ok((data, _)) = open::read_end(path, backlog)
        {
            shared.tell_follower(subscription, &data);
        }
        self.remove(subscription);
        self.list.push(Follower {
            subscription,
            stream,
            path,
        });
    }

    pub(super) fn remove(&mut self, subscription: u64) {
        self.list
            .retain(|follower| follower.subscription != subscription);
    }

    /// Passes on what `stream` (`None`: the daemon) has written, to the regular file `path` if there is one.
    pub(super) fn deliver(
        &self,
        shared: &Shared,
        stream: Option<&StreamId>,
        path: Option<&Path>,
        data: &[u8],
    ) {
        for follower in &self.list {
            let same_file = path.is_some() && follower.path.as_deref() == path;
            if same_file || follower.stream.as_ref() == stream {
                shared.tell_follower(follower.subscription, data);
            }
        }
    }
}

impl Worker {
    /// Begins to pass output on to a follower.
    pub(super) fn follow(
        &mut self,
        subscription: u64,
        target: FollowTarget,
        backlog: u64,
        from: Option<Place>,
    ) {
        let target = match target {
            FollowTarget::Written(stream, path) => {
                let follower = (subscription, stream.clone(), path.clone().into());
                let place = (&*self.shared, &self.poller, WRITTEN);
                if self.watched.add(place, follower, backlog, from).is_ok() {
                    return;
                }
                // What cannot be read as a file may still come through a pipe.
                FollowTarget::Stream(stream, Some(path))
            }
            other @ (FollowTarget::Stream(..) | FollowTarget::Main) => other,
        };
        let main = self.main_path();
        let main = main.as_deref();
        self.followers
            .add(&self.shared, subscription, target, main, backlog);
    }
}
