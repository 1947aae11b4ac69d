//! Standard outputs of event listeners: read by the loop, since they are the protocol, and passed on to the capture thread,
//! since they go to a log as well.
//!
//! What is read is written to a pipe of our own whose other end the capture thread reads like that of any program. While
//! that pipe is full the listener's is not read, so that a slow disk slows only the listener, and memory is bounded.
//! A pipe is read until its last writer is gone; only the newest one of each listener is the protocol.

use crate::sys::handover::{self, Luggage};
use crate::sys::pipe;
use crate::types::ProcessKey;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// The most that is read at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// The most that is read of a listener that has ended before others have their turn: no user can make a pipe larger.
const LAST_BYTES: usize = 1024 * 1024;

/// The outputs, by number.
#[derive(Debug, Default)]
pub struct ListenerOutputs {
    open: BTreeMap<u64, Output>,
    newest: BTreeMap<ProcessKey, u64>,
}

#[derive(Debug)]
struct Output {
    key: ProcessKey,
    pipe: OwnedFd,
    /// Where it is passed on; `None` discards.
    log: Option<OwnedFd>,
    /// Read and not yet passed on.
    pending: Vec<u8>,
}

/// The outputs, written down.
#[derive(Debug, Serialize, Deserialize)]
pub struct OutputsState {
    open: Vec<OutputState>,
    newest: BTreeMap<ProcessKey, u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct OutputState {
    id: u64,
    key: ProcessKey,
    pipe: RawFd,
    log: Option<RawFd>,
    #[serde(with = "serde_bytes")]
    pending: Vec<u8>,
}

/// What is to be watched of an output now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Its pipe, for something to read.
    Pipe,
    /// Our pipe to the capture thread, for room.
    Log,
    /// Nothing: it has ended.
    Nothing,
}

/// What a turn brought.
#[derive(Debug)]
pub struct Turn {
    /// The listener, and what it said, where that is the protocol.
    pub said: Option<(ProcessKey, Vec<u8>)>,
    /// What was watched.
    pub before: Watch,
    /// What is to be watched.
    pub after: Watch,
}

impl ListenerOutputs {
    /// What is to be written down of them, for the next image.
    pub fn export(&self, luggage: &mut Luggage) -> Result<OutputsState, Errno> {
        let open = self.open.iter().map(|(&id, output)| {
            let log = output.log.as_ref();
            Ok(OutputState {
                id,
                key: output.key.clone(),
                pipe: luggage.pack(&output.pipe)?,
                log: log.map(|log| luggage.pack(log)).transpose()?,
                pending: output.pending.clone(),
            })
        });
        Ok(OutputsState {
            open: open.collect::<Result<_, _>>()?,
            newest: self.newest.clone(),
        })
    }

    /// Those of another image. One whose pipe did not arrive has ended.
    pub fn import(state: OutputsState) -> Self {
        let open = state.open.into_iter().filter_map(|output| {
            // Both are taken, so that neither stays behind without an owner.
            let pipe = handover::inherit(output.pipe);
            let log = output.log.and_then(handover::inherit);
            let taken = Output {
                key: output.key,
                pipe: pipe?,
                log,
                pending: output.pending,
            };
            Some((output.id, taken))
        });
        Self {
            open: open.collect(),
            newest: state.newest,
        }
    }

    /// Each output, and what is to be watched of it.
    pub fn watches(&self) -> impl Iterator<Item = (u64, Watch)> {
        self.open.iter().map(|(&id, output)| (id, output.watch()))
    }

    /// A listener has a new process. Returns the end of our pipe that the capture thread is to read, if it is logged.
    pub fn open(
        &mut self,
        id: u64,
        key: ProcessKey,
        pipe: OwnedFd,
        logged: bool,
    ) -> io::Result<Option<OwnedFd>> {
        let (reader, log) = if logged {
            let (reader, writer) = pipe::relay()?;
            (Some(reader), Some(writer))
        } else {
            (None, None)
        };
        self.newest.insert(key.clone(), id);
        let output = Output {
            key,
            pipe,
            log,
            pending: Vec::new(),
        };
        self.open.insert(id, output);
        Ok(reader)
    }

    /// What is watched of an output.
    pub fn watched(&self, id: u64, watch: Watch) -> Option<BorrowedFd<'_>> {
        let output = self.open.get(&id)?;
        match watch {
            Watch::Pipe => Some(output.pipe.as_fd()),
            Watch::Log => output.log.as_ref().map(AsFd::as_fd),
            Watch::Nothing => None,
        }
    }

    /// Something can be read, or passed on.
    pub fn serve(&mut self, id: u64) -> Option<Turn> {
        let output = self.open.get_mut(&id)?;
        let before = output.watch();
        let mut said = None;
        let mut ended = false;
        match before {
            Watch::Log => output.pass_on(),
            Watch::Pipe | Watch::Nothing => match output.read() {
                Some(data) if data.is_empty() => {}
                Some(data) => said = Some(data),
                None => ended = true,
            },
        }
        let after = if ended {
            Watch::Nothing
        } else {
            output.watch()
        };
        let key = output.key.clone();
        let said = said
            .filter(|_| self.newest.get(&key) == Some(&id))
            .map(|data| (key, data));
        Some(Turn {
            said,
            before,
            after,
        })
    }

    /// A listener has ended: everything that it said, and the output as [`ListenerOutputs::serve`] would leave it.
    pub fn last_words(&mut self, key: &ProcessKey) -> Option<(u64, Turn)> {
        let id = self.newest.remove(key)?;
        let output = self.open.get_mut(&id)?;
        let before = output.watch();
        let mut words = Vec::new();
        let ended = loop {
            match output.read() {
                Some(data) if data.is_empty() => break false,
                Some(data) => words.extend_from_slice(&data),
                None => break true,
            }
            if words.len() >= LAST_BYTES {
                break false;
            }
        };
        let after = if ended && output.pending.is_empty() {
            Watch::Nothing
        } else {
            output.watch()
        };
        let said = (!words.is_empty()).then(|| (key.clone(), words));
        Some((
            id,
            Turn {
                said,
                before,
                after,
            },
        ))
    }

    /// Closes an output that has ended.
    pub fn close(&mut self, id: u64) {
        self.open.remove(&id);
    }

    /// Passes on what it can before `deadline`, and closes everything.
    pub fn finish(self, deadline: Instant) {
        for mut output in self.open.into_values() {
            while output.watch() == Watch::Log
                && let Some(log) = &output.log
                && wait_for_room(log, deadline)
            {
                output.pass_on();
            }
        }
    }
}

impl Output {
    fn watch(&self) -> Watch {
        if self.pending.is_empty() {
            Watch::Pipe
        } else {
            Watch::Log
        }
    }

    /// Reads once and passes on: nothing for now is empty, and the end is `None`.
    fn read(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let read = loop {
            match nix::unistd::read(&self.pipe, &mut buffer) {
                Ok(0) => return None,
                Ok(read) => break read,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break 0,
                // A pipe has no other failure that would pass.
                Err(_) => return None,
            }
        };
        buffer.truncate(read);
        if self.log.is_some() && read > 0 {
            self.pending.extend_from_slice(&buffer);
            self.pass_on();
        }
        Some(buffer)
    }

    fn pass_on(&mut self) {
        while !self.pending.is_empty() {
            let Some(log) = &self.log else {
                self.pending.clear();
                return;
            };
            match nix::unistd::write(log, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                // The capture thread reads this log no more.
                Err(_) => self.log = None,
            }
        }
    }
}

fn wait_for_room(pipe: &OwnedFd, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let millis = u16::try_from(left.min(Duration::from_mins(1)).as_millis()).unwrap_or(u16::MAX);
    let mut watched = [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)];
    millis > 0 && matches!(poll(&mut watched, PollTimeout::from(millis)), Ok(1..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{GroupName, ProcessName};
    use nix::unistd::write;

    fn key() -> ProcessKey {
        ProcessKey {
            group: GroupName::new("l").unwrap(),
            process: ProcessName::new("l").unwrap(),
        }
    }

    fn read_all(pipe: &OwnedFd) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = nix::unistd::read(pipe, &mut buffer) {
            all.extend_from_slice(&buffer[..count]);
        }
        all
    }

    #[test]
    fn words_are_protocol_and_log() {
        let mut outputs = ListenerOutputs::default();
        let (pipe, writer) = pipe::output().unwrap();
        let log = outputs.open(1, key(), pipe, true).unwrap().unwrap();
        write(&writer, b"READY\n").unwrap();
        let turn = outputs.serve(1).unwrap();
        assert_eq!(turn.said, Some((key(), b"READY\n".to_vec())));
        assert_eq!((turn.before, turn.after), (Watch::Pipe, Watch::Pipe));
        assert_eq!(read_all(&log), b"READY\n");
        assert!(outputs.serve(1).unwrap().said.is_none());
        drop(writer);
        assert_eq!(outputs.serve(1).unwrap().after, Watch::Nothing);
        outputs.close(1);
        assert!(outputs.serve(1).is_none());
        assert_eq!(nix::unistd::read(&log, &mut [0; 8]), Ok(0));
    }

    #[test]
    fn a_log_that_is_not_read_holds_up_its_listener_and_loses_nothing() {
        let mut outputs = ListenerOutputs::default();
        let (pipe, writer) = pipe::relay().unwrap();
        let log = outputs.open(1, key(), pipe, true).unwrap().unwrap();
        let mut sent = 0;
        let mut said = 0;
        let mut blocked = false;
        while !blocked {
            while let Ok(count) = write(&writer, &[b'x'; 4096]) {
                sent += count;
            }
            let turn = outputs.serve(1).unwrap();
            said += turn.said.map_or(0, |(_, data)| data.len());
            blocked = turn.after == Watch::Log;
            assert!(sent < 4 << 20);
        }
        // Nothing is read while the log has no room.
        assert!(outputs.serve(1).unwrap().said.is_none());
        let mut logged = 0;
        while logged < sent {
            logged += read_all(&log).len();
            let turn = outputs.serve(1).unwrap();
            said += turn.said.map_or(0, |(_, data)| data.len());
        }
        assert_eq!((said, logged), (sent, sent));
    }

    #[test]
    fn an_older_output_is_only_logged() {
        let mut outputs = ListenerOutputs::default();
        let (old, old_writer) = pipe::output().unwrap();
        let log = outputs.open(1, key(), old, true).unwrap().unwrap();
        let (new, new_writer) = pipe::output().unwrap();
        assert!(outputs.open(2, key(), new, false).unwrap().is_none());
        write(&old_writer, b"old").unwrap();
        write(&new_writer, b"new").unwrap();
        assert!(outputs.serve(1).unwrap().said.is_none());
        assert_eq!(read_all(&log), b"old");
        let (id, turn) = outputs.last_words(&key()).unwrap();
        assert_eq!((id, turn.after), (2, Watch::Pipe));
        assert_eq!(turn.said, Some((key(), b"new".to_vec())));
        assert!(outputs.last_words(&key()).is_none());
    }

    #[test]
    fn the_next_image_goes_on_where_a_log_was_full() {
        let mut outputs = ListenerOutputs::default();
        let (pipe, writer) = pipe::relay().unwrap();
        let log = outputs.open(7, key(), pipe, true).unwrap().unwrap();
        let mut sent = 0;
        while outputs.serve(7).unwrap().after == Watch::Pipe {
            sent += write(&writer, &[b'x'; 4096]).unwrap();
        }
        let mut luggage = Luggage::default();
        let state = outputs.export(&mut luggage).unwrap();
        assert_eq!(luggage.numbers().len(), 2);
        // As over an execution: whoever owned them is gone, and they are still open.
        std::mem::forget((outputs, luggage));
        let mut outputs = ListenerOutputs::import(state);
        let watches: Vec<_> = outputs.watches().collect();
        assert_eq!(watches, [(7, Watch::Log)]);
        sent += write(&writer, b"last").unwrap();
        let mut logged = Vec::new();
        let mut said = Vec::new();
        while logged.len() < sent {
            logged.extend(read_all(&log));
            let turn = outputs.serve(7).unwrap();
            said.extend(turn.said.into_iter().flat_map(|(_, data)| data));
        }
        assert_eq!(said, b"last", "the rest was told before");
        assert!(logged.ends_with(b"xlast"));
        drop(writer);
        assert_eq!(outputs.serve(7).unwrap().after, Watch::Nothing);
        outputs.close(7);
        assert_eq!(nix::unistd::read(&log, &mut [0; 8]), Ok(0));
    }

    #[test]
    fn what_waits_at_the_end_is_passed_on_in_time_or_not_at_all() {
        let mut outputs = ListenerOutputs::default();
        let (pipe, writer) = pipe::relay().unwrap();
        let log = outputs.open(1, key(), pipe, true).unwrap().unwrap();
        while outputs.serve(1).unwrap().after == Watch::Pipe {
            write(&writer, &[b'x'; 4096]).unwrap();
        }
        let begin = Instant::now();
        let reader = std::thread::spawn(move || {
            let mut count = 0;
            let mut buffer = [0; 4096];
            loop {
                match nix::unistd::read(&log, &mut buffer) {
                    Ok(0) => return count,
                    Ok(more) => count += more,
                    Err(_) => std::thread::yield_now(),
                }
            }
        });
        outputs.finish(begin + Duration::from_secs(20));
        assert!(reader.join().unwrap() > 4096);
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
}
