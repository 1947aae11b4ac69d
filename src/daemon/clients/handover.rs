//! Connections pass from one image of the daemon to the next: what has arrived and what is to be sent, and what is owed.

use super::{Client, ClientId};
use crate::sys::handover::{self, Luggage};
use crate::sys::peer::Peer;
use crate::sys::poller::Interest;
use crate::types::{Monotonic, Ticket};
use crate::wire::{self, FrameBuffer};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, RawFd};
use std::os::unix::net::UnixStream;

/// A connection, written down.
#[derive(Debug, Serialize, Deserialize)]
pub struct ClientState {
    /// Which.
    pub id: ClientId,
    stream: RawFd,
    peer: Peer,
    #[serde(default)]
    groups: Vec<u32>,
    #[serde(default)]
    denials: u32,
    #[serde(with = "serde_bytes")]
    input: Vec<u8>,
    #[serde(with = "serde_bytes")]
    output: Vec<u8>,
    greeted: bool,
    closing: bool,
    frame_since: Option<Monotonic>,
    stalled_since: Option<Monotonic>,
    waiting: BTreeSet<Ticket>,
    log_jobs: usize,
    subscriptions: BTreeMap<u64, u64>,
}

impl Client {
    /// What is to be written down of it.
    pub fn export(&self, id: ClientId, luggage: &mut Luggage) -> Result<ClientState, Errno> {
        Ok(ClientState {
            id,
            stream: luggage.pack(self.as_fd())?,
            peer: self.peer,
            groups: self.groups.clone(),
            denials: self.denials,
            input: self.input.rest().to_vec(),
            output: self.output.get(self.written..).unwrap_or_default().to_vec(),
            greeted: self.greeted,
            closing: self.closing,
            frame_since: self.frame_since,
            stalled_since: self.stalled_since,
            waiting: self.waiting.clone(),
            log_jobs: self.log_jobs,
            subscriptions: self.subscriptions.clone(),
        })
    }

    /// Goes on where another image was; `None` when the connection did not arrive. It is watched for readability.
    pub fn import(state: ClientState) -> Option<Self> {
        let mut input = FrameBuffer::new(if state.greeted {
            wire::REQUEST_BYTES_MAX
        } else {
            wire::HELLO_BYTES_MAX
        });
        input.push(&state.input);
        Some(Self {
            stream: UnixStream::from(handover::inherit(state.stream)?),
            peer: state.peer,
            groups: state.groups,
            denials: state.denials,
            input,
            output: state.output,
            written: 0,
            greeted: state.greeted,
            closing: state.closing,
            frame_since: state.frame_since,
            stalled_since: state.stalled_since,
            watched: Interest::READABLE,
            waiting: state.waiting,
            log_jobs: state.log_jobs,
            subscriptions: state.subscriptions,
        })
    }
}
