//! A standard stream of the daemon, written by a thread of its own.
//!
//! Whoever has a line puts it into a bounded queue and goes on; the thread takes everything there is and writes it,
//! however long the reader lets it wait. A line that finds the queue full is dropped and counted, and where lines are
//! missing a line says how many. The descriptor is the one that was inherited: it is shared with others, so it is never
//! made non-blocking, and one that somebody else made so is waited for. A reader that is gone costs its lines alone.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// Most bytes that wait for the reader.
pub const QUEUE_BYTES: usize = 1024 * 1024;
/// Bytes for which the thread is woken at once.
const PIECE_BYTES: usize = 128 * 1024;
/// How long a stream that could not be written is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It waits for the reader.
    Queued,
    /// It was dropped.
    Dropped,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Outlet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    fd: OwnedFd,
    queue: Mutex<Queue>,
    /// Something is to be written, or the end has come.
    filled: Condvar,
    /// There is room again, or the thread has ended.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<u8>,
    /// Bytes in the hands of the thread.
    in_flight: usize,
    /// Who began a line that is not ended yet.
    open: Option<u64>,
    /// Lines dropped since the last that was queued.
    dropped: u64,
    trouble: Option<(Errno, Instant)>,
    /// The thread is to be woken when the loop has said all that it has to say.
    held: bool,
    has_thread: bool,
    closing: bool,
    ended: bool,
    /// Until then a full queue is waited for.
    patient_until: Option<Instant>,
}

impl Outlet {
    /// Takes over a descriptor. The thread is started when the first line comes.
    pub fn new(fd: OwnedFd) -> Self {
        Self {
            inner: Arc::new(Inner {
                fd,
                queue: Mutex::default(),
                filled: Condvar::new(),
                emptied: Condvar::new(),
            }),
        }
    }

    /// Puts bytes of `speaker` into the queue: lines, or the part of one. A line that another speaker has not ended is
    /// ended for it. `notice` words what is said in place of so many dropped lines.
    pub fn push(&self, speaker: u64, bytes: &[u8], notice: impl Fn(u64) -> Vec<u8>) -> Fate {
        let mut queue = self.inner.lock();
        let needed = bytes.len() + 1;
        while let Some(until) = queue.patient_until.filter(|_| !queue.has_room(needed)) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || queue.trouble.is_some() || queue.ended {
                break;
            }
            self.inner.filled.notify_one();
            queue = self
                .inner
                .emptied
                .wait_timeout(queue, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(queue, _)| queue);
        }
        let resting = queue
            .trouble
            .is_some_and(|(_, until)| Instant::now() < until);
        let lost = if queue.dropped > 0 {
            notice(queue.dropped)
        } else {
            Vec::new()
        };
        if resting || queue.ended || !queue.has_room(needed + lost.len()) {
            queue.dropped += 1;
            return Fate::Dropped;
        }
        if !lost.is_empty() {
            queue.end_line(None);
            queue.waiting.extend_from_slice(&lost);
            queue.dropped = 0;
        }
        queue.end_line(Some(speaker));
        queue.waiting.extend_from_slice(bytes);
        queue.open = (bytes.last() != Some(&b'\n')).then_some(speaker);
        if !queue.has_thread {
            queue.has_thread = self.start();
            if !queue.has_thread {
                queue.waiting.clear();
                return Fate::Dropped;
            }
        }
        let due = !queue.held || queue.waiting.len() >= PIECE_BYTES;
        drop(queue);
        if due {
            self.inner.filled.notify_one();
        }
        Fate::Queued
    }

    /// From now on the thread is not woken for a line, until [`Outlet::let_go`]: to wake it for each would cost more than
    /// to write them.
    pub fn hold(&self) {
        self.inner.lock().held = true;
    }

    /// Wakes the thread if there is a line.
    pub fn let_go(&self) {
        let mut queue = self.inner.lock();
        queue.held = false;
        let due = !queue.waiting.is_empty();
        drop(queue);
        if due {
            self.inner.filled.notify_one();
        }
    }

    /// Why it cannot be written, if it cannot.
    pub fn trouble(&self) -> Option<Errno> {
        self.inner.lock().trouble.map(|(errno, _)| errno)
    }

    /// From now on, and until then, a reader that is behind is waited for.
    pub fn be_patient(&self, until: Instant) {
        self.inner.lock().patient_until = Some(until);
    }

    /// Waits until everything is written. Says whether that came to be.
    pub fn settle(&self, deadline: Instant) -> bool {
        let mut queue = self.inner.lock();
        queue.end_line(None);
        self.inner.filled.notify_one();
        self.inner.wait_while(queue, deadline, |queue| {
            queue.in_flight > 0 || !queue.waiting.is_empty()
        })
    }

    /// Writes what waits and ends the thread. Says whether the reader took everything by then.
    pub fn finish(&self, deadline: Instant, notice: impl Fn(u64) -> Vec<u8>) -> bool {
        let mut queue = self.inner.lock();
        if queue.dropped > 0 && queue.trouble.is_none() {
            let text = notice(std::mem::take(&mut queue.dropped));
            queue.end_line(None);
            queue.waiting.extend_from_slice(&text);
        }
        queue.closing = true;
        self.inner.filled.notify_one();
        // A thread that is stuck in a write ends with the process.
        self.inner
            .wait_while(queue, deadline, |queue| queue.has_thread && !queue.ended)
    }

    fn start(&self) -> bool {
        let inner = Arc::clone(&self.inner);
        Builder::new()
            .name("lines".into())
            .spawn(move || inner.work())
            .is_ok()
    }
}

impl Queue {
    fn has_room(&self, bytes: usize) -> bool {
        let used = self.waiting.len() + self.in_flight;
        // A notice and a long line always fit into an empty queue.
        used == 0 || used + bytes <= QUEUE_BYTES
    }

    /// Ends the line that somebody else has begun.
    fn end_line(&mut self, speaker: Option<u64>) {
        if self.open.is_some() && self.open != speaker {
            self.waiting.push(b'\n');
            self.open = None;
        }
    }
}

impl Inner {
    /// A thread that panicked leaves whole values behind: nothing in here panics between two changes.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something no longer holds. Says whether that came to be by the deadline.
    fn wait_while(
        &self,
        queue: MutexGuard<'_, Queue>,
        deadline: Instant,
        holds: impl Fn(&Queue) -> bool,
    ) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let (queue, _) = self
            .emptied
            .wait_timeout_while(queue, left, |queue| holds(queue))
            .unwrap_or_else(PoisonError::into_inner);
        !holds(&queue)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            while queue.waiting.is_empty() && !queue.closing {
                queue = self
                    .filled
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if queue.waiting.is_empty() {
                queue.ended = true;
                self.emptied.notify_all();
                return;
            }
            let bytes = std::mem::take(&mut queue.waiting);
            queue.in_flight = bytes.len();
            drop(queue);
            let written = self.write(&bytes);
            queue = self.lock();
            queue.in_flight = 0;
            queue.trouble = match written {
                Ok(()) => None,
                Err(error) => {
                    // What was not taken is lost, as is what waits behind it.
                    let behind = std::mem::take(&mut queue.waiting);
                    let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count() - 1;
                    let lost = lines(bytes.get(error.written..).unwrap_or_default());
                    queue.dropped += (lost + lines(&behind)) as u64;
                    queue.open = None;
                    Some((error.errno, Instant::now() + RETRY))
                }
            };
            self.emptied.notify_all();
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match write(&self.fd, rest) {
                Ok(0) => {
                    return Err(Failure {
                        written,
                        errno: Errno::EIO,
                    });
                }
                Ok(count) => written += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => self.wait(),
                Err(errno) => return Err(Failure { written, errno }),
            }
        }
        Ok(())
    }

    /// Waits for room in a descriptor that somebody has made non-blocking.
    fn wait(&self) {
        let mut watched = [PollFd::new(self.fd.as_fd(), PollFlags::POLLOUT)];
        // Whatever comes of it shows in the next write.
        let _ready = poll(&mut watched, PollTimeout::NONE);
    }
}

struct Failure {
    written: usize,
    errno: Errno,
}

/// A copy of a standard stream that is not inherited by programs.
pub fn copy_of(stream: impl AsFd) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    fn notice(lines: u64) -> Vec<u8> {
        format!("<{lines}>\n").into_bytes()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn read_all(mut reader: UnixStream) -> String {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn lines_arrive_in_order_and_whole() {
        let (reader, writer) = UnixStream::pair().unwrap();
        let outlet = Outlet::new(writer.into());
        for (speaker, bytes) in [
            (1, &b"a\n"[..]),
            (2, b"b\n"),
            (1, b"begun"),
            (1, b" and ended\n"),
            (1, b"begun"),
            (2, b"b\n"),
            (1, b"rest\n"),
        ] {
            assert_eq!(outlet.push(speaker, bytes, notice), Fate::Queued);
        }
        assert!(outlet.finish(soon(), notice));
        drop(outlet);
        assert_eq!(read_all(reader), "a\nb\nbegun and ended\nbegun\nb\nrest\n");
    }

    #[test]
    fn a_reader_that_is_slow_costs_lines_and_no_time_and_is_told() {
        let (reader, writer) = UnixStream::pair().unwrap();
        let outlet = Outlet::new(writer.into());
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        let pushes: u64 = 4096;
        let dropped = (0..pushes)
            .filter(|_| outlet.push(1, &line, notice) == Fate::Dropped)
            .count() as u64;
        // The queue holds a mebibyte, the socket some more.
        assert!(dropped > 0 && dropped < pushes, "{dropped}");
        let taker = std::thread::spawn(move || read_all(reader));
        assert!(outlet.finish(soon(), notice));
        drop(outlet);
        let text = taker.join().unwrap();
        assert!(text.ends_with(&format!("<{dropped}>\n")));
        let kept = text.lines().filter(|line| line.len() == 1023).count() as u64;
        assert_eq!(kept + dropped, pushes);
    }

    #[test]
    fn a_patient_push_waits_for_room() {
        let (reader, writer) = UnixStream::pair().unwrap();
        let outlet = Outlet::new(writer.into());
        outlet.be_patient(soon());
        let taker = std::thread::spawn(move || read_all(reader));
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..4096 {
            assert_eq!(outlet.push(1, &line, notice), Fate::Queued);
        }
        assert!(outlet.finish(soon(), notice));
        drop(outlet);
        assert_eq!(taker.join().unwrap().len(), 4096 * 1024);
    }

    #[test]
    fn a_reader_that_is_gone_is_trouble_and_nothing_more() {
        let (reader, writer) = UnixStream::pair().unwrap();
        drop(reader);
        let outlet = Outlet::new(writer.into());
        assert_eq!(outlet.trouble(), None);
        outlet.push(1, b"a\n", notice);
        let deadline = soon();
        while outlet.trouble() != Some(Errno::EPIPE) {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert_eq!(outlet.push(1, b"b\n", notice), Fate::Dropped);
        assert!(outlet.finish(soon(), notice));
    }

    #[test]
    fn a_thread_that_is_stuck_is_left_behind() {
        let (_reader, writer) = UnixStream::pair().unwrap();
        let outlet = Outlet::new(writer.into());
        while outlet.push(1, &[b'x'; 4096], notice) == Fate::Queued {}
        let deadline = Instant::now() + Duration::from_millis(10);
        assert!(!outlet.finish(deadline, notice));
    }

    #[test]
    fn a_descriptor_made_non_blocking_by_others_is_waited_for() {
        let (reader, writer) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let outlet = Outlet::new(writer.into());
        let big = [&vec![b'x'; 900_000][..], b"\n"].concat();
        assert_eq!(outlet.push(1, &big, notice), Fate::Queued);
        let taker = std::thread::spawn(move || read_all(reader));
        assert!(outlet.finish(soon(), notice));
        drop(outlet);
        assert_eq!(taker.join().unwrap().len(), big.len());
    }
}
