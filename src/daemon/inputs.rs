//! Standard inputs of the programs: pipes whose writing ends the daemon holds.
//!
//! A program that does not read can neither block the daemon nor make it hold more than [`PENDING_MAX`] bytes: input
//! beyond that is refused whole. An event for a listener is taken whatever its length: a listener has only one at a time.

use crate::sys::handover::{self, Luggage};
use crate::types::ProcessKey;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

/// Bytes held for one program.
pub const PENDING_MAX: usize = 64 * 1024;

/// The pipes, by process.
#[derive(Debug, Default)]
pub struct Inputs {
    pipes: BTreeMap<ProcessKey, Input>,
}

/// One of them, written down.
#[derive(Debug, Serialize, Deserialize)]
pub struct InputState {
    key: ProcessKey,
    pipe: RawFd,
    #[serde(with = "serde_bytes")]
    pending: Vec<u8>,
}

#[derive(Debug)]
struct Input {
    pipe: OwnedFd,
    pending: Vec<u8>,
}

/// Whether the pipe has to be watched for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Everything is written.
    Done,
    /// The rest waits for room.
    Waiting,
}

impl Inputs {
    /// What is to be written down of them, for the next image.
    pub fn export(&self, luggage: &mut Luggage) -> Result<Vec<InputState>, Errno> {
        let pipes = self.pipes.iter().map(|(key, input)| {
            Ok(InputState {
                key: key.clone(),
                pipe: luggage.pack(&input.pipe)?,
                pending: input.pending.clone(),
            })
        });
        pipes.collect()
    }

    /// Those of another image. Returns the processes whose pipes wait for room.
    pub fn import(state: Vec<InputState>) -> (Self, Vec<ProcessKey>) {
        let mut inputs = Self::default();
        let mut waiting = Vec::new();
        for InputState { key, pipe, pending } in state {
            if let Some(pipe) = handover::inherit(pipe) {
                if !pending.is_empty() {
                    waiting.push(key.clone());
                }
                inputs.pipes.insert(key, Input { pipe, pending });
            }
        }
        (inputs, waiting)
    }

    /// A process was spawned: its pipe replaces that of the one before.
    pub fn open(&mut self, key: ProcessKey, pipe: OwnedFd) {
        self.pipes.insert(
            key,
            Input {
                pipe,
                pending: Vec::new(),
            },
        );
    }

    /// A process has ended. Returns the pipe, for whoever watches it.
    pub fn close(&mut self, key: &ProcessKey) -> Option<OwnedFd> {
        self.pipes.remove(key).map(|input| input.pipe)
    }

    /// The pipe, to watch it.
    pub fn pipe(&self, key: &ProcessKey) -> Option<BorrowedFd<'_>> {
        self.pipes.get(key).map(|input| input.pipe.as_fd())
    }

    /// Writes `data`, or keeps what does not fit now. Refuses it whole when too much would be kept.
    pub fn send(&mut self, key: &ProcessKey, data: &[u8]) -> Result<Progress, Errno> {
        let input = self.pipes.get_mut(key).ok_or(Errno::EPIPE)?;
        if input.pending.len() + data.len() > PENDING_MAX {
            return Err(Errno::EAGAIN);
        }
        input.pending.extend_from_slice(data);
        input.write()
    }

    /// Writes an event to a listener, or keeps what does not fit now, however long it is: a listener is given one at a time.
    pub fn deliver(&mut self, key: &ProcessKey, event: &[u8]) -> Result<Progress, Errno> {
        let input = self.pipes.get_mut(key).ok_or(Errno::EPIPE)?;
        input.pending.extend_from_slice(event);
        input.write()
    }

    /// The pipe has room again.
    pub fn resume(&mut self, key: &ProcessKey) -> Result<Progress, Errno> {
        self.pipes
            .get_mut(key)
            .map_or(Ok(Progress::Done), Input::write)
    }
}

impl Input {
    fn write(&mut self) -> Result<Progress, Errno> {
        while !self.pending.is_empty() {
            match nix::unistd::write(&self.pipe, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::EAGAIN) => return Ok(Progress::Waiting),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.pending.clear();
                    return Err(errno);
                }
            }
        }
        Ok(Progress::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{GroupName, ProcessName};

    fn key() -> ProcessKey {
        ProcessKey {
            group: GroupName::new("cat").unwrap(),
            process: ProcessName::new("cat").unwrap(),
        }
    }

    #[test]
    fn a_program_that_does_not_read_is_given_a_bounded_amount() {
        let (reader, writer) = crate::sys::pipe::input().unwrap();
        let mut inputs = Inputs::default();
        assert_eq!(
            inputs.send(&key(), b"x"),
            Err(Errno::EPIPE),
            "no process, no input"
        );
        inputs.open(key(), writer);
        let block = vec![b'x'; 32 * 1024];
        let mut taken = 0;
        let refused = loop {
            match inputs.send(&key(), &block) {
                Ok(_) => taken += block.len(),
                Err(errno) => break errno,
            }
            assert!(taken < 4 << 20);
        };
        assert_eq!(refused, Errno::EAGAIN);
        let mut read = 0;
        let mut buffer = vec![0; 1 << 16];
        while read < taken {
            read += nix::unistd::read(&reader, &mut buffer).unwrap();
            inputs.resume(&key()).unwrap();
        }
        assert_eq!(inputs.resume(&key()), Ok(Progress::Done));
        let event = vec![b'x'; 4 * PENDING_MAX];
        assert_eq!(inputs.deliver(&key(), &event), Ok(Progress::Waiting));
        assert_eq!(inputs.send(&key(), b"x"), Err(Errno::EAGAIN));
        drop(reader);
        assert_eq!(inputs.resume(&key()), Err(Errno::EPIPE));
        assert_eq!(inputs.deliver(&key(), b"x"), Err(Errno::EPIPE));
        assert_eq!(inputs.send(&key(), b"x"), Err(Errno::EPIPE));
        assert!(inputs.close(&key()).is_some());
    }
}
