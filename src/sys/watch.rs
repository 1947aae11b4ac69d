//! Notices when files are removed, moved or replaced, without looking at them from time to time.
//!
//! What is written to a watched file is noticed only where that is asked for, so watching costs nothing while nobody
//! meddles. A file that is replaced must be watched anew.

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Watches files.
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> Result<Self, Errno> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        Ok(Self { inotify })
    }

    /// Watches the file that has this path now, not what a link there leads to. Once more is no harm.
    pub fn add(&self, path: &Path) -> Result<(), Errno> {
        // The last name of an open file going away shows as a change of its attributes.
        let events = AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_DONT_FOLLOW;
        self.inotify.add_watch(path, events).map(drop)
    }

    /// As [`Watch::add`], and notices what is written to the file as well.
    pub fn add_growing(&self, path: &Path) -> Result<(), Errno> {
        let events = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_DONT_FOLLOW;
        self.inotify.add_watch(path, events).map(drop)
    }

    /// Takes note of all that has happened. Never blocks. Call it before looking, so that nothing is missed.
    pub fn drain(&self) {
        while self
            .inotify
            .read_events()
            .is_ok_and(|events| !events.is_empty())
        {}
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::fs;
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    fn has_news(watch: &Watch) -> bool {
        let mut ready = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
        poll(&mut ready, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn removing_moving_and_replacing_are_noticed_and_writing_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let other = directory.path().join("other");
        let meddling: [fn(&Path, &Path); 3] = [
            |path, _| fs::remove_file(path).unwrap(),
            |path, other| fs::rename(path, other).unwrap(),
            |path, other| {
                fs::write(other, "new").unwrap();
                fs::rename(other, path).unwrap();
            },
        ];
        for meddle in meddling {
            let mut file = fs::File::create(&path).unwrap();
            let watch = Watch::new().unwrap();
            watch.add(&path).unwrap();
            file.write_all(b"line\n").unwrap();
            assert!(!has_news(&watch));
            meddle(&path, &other);
            assert!(has_news(&watch));
            watch.drain();
            assert!(!has_news(&watch));
        }
    }

    #[test]
    fn writing_and_emptying_are_noticed_where_they_are_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut file = fs::File::create(&path).unwrap();
        let watch = Watch::new().unwrap();
        watch.add_growing(&path).unwrap();
        assert!(!has_news(&watch));
        file.write_all(b"line\n").unwrap();
        assert!(has_news(&watch));
        watch.drain();
        file.set_len(0).unwrap();
        assert!(has_news(&watch));
    }

    #[test]
    fn a_socket_that_is_listened_on_is_a_file_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let watch = Watch::new().unwrap();
        watch.add(&path).unwrap();
        assert!(!has_news(&watch));
        fs::remove_file(&path).unwrap();
        assert!(has_news(&watch));
    }

    #[test]
    fn what_is_missing_cannot_be_watched() {
        let watch = Watch::new().unwrap();
        assert_eq!(
            watch.add(Path::new("/nonexistent/file")),
            Err(Errno::ENOENT)
        );
    }
}
