//! The daemon as bytes: a line that says what they are, the version of the form, and one CBOR item.
//!
//! The form belongs to this house alone: it is read by the next image of the same process and never leaves the machine's
//! memory, so it may hold environments. A version that adds something gives it a default; one that cannot read an older
//! form says so before anything is done ([`super::check`]). A sample of each version is kept in `tests/handover`.

use crate::config::model::DaemonSettings;
use crate::daemon::access::Access;
use crate::daemon::api::Waiter;
use crate::daemon::capture::WorkState;
use crate::daemon::children::ChildrenState;
use crate::daemon::clients::{ClientId, ClientState};
use crate::daemon::event_loop::Counters;
use crate::daemon::inputs::InputState;
use crate::daemon::jobs::Jobs;
use crate::daemon::journal::{Birth, JournalState};
use crate::daemon::listeners::ListenersState;
use crate::daemon::manager::Phase;
use crate::daemon::sockets::SocketState;
use crate::engine::handover::Snapshot;
use crate::types::{Pid, ProcessKey, Ticket};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::path::PathBuf;

/// The first line of every state.
const MAGIC: &[u8] = b"taskmaster state\n";
/// Version of the form that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// Why bytes are no state that this version can go on from.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// They are something else.
    #[error("this is no state of a daemon")]
    Foreign,
    /// They are of another version.
    #[error("the state has version {0}, and this executable reads version {VERSION}")]
    Version(u32),
    /// They are damaged, or lack something.
    #[error("the state cannot be read: {0}")]
    Damaged(String),
}

/// Somebody who waits for the new image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// Which client.
    pub client: ClientId,
    /// The id of its request.
    pub request: u64,
    /// It asked for a reload, which is done in this way where no program is concerned.
    pub reload: bool,
}

/// Everything that an image hands over. Descriptors are numbers.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    /// Version of the executable that wrote it.
    pub written_by: String,
    /// The process; another one has no use for it.
    pub pid: u32,
    /// Whether the daemon is in the background.
    pub background: bool,
    /// What is executed by the next `reload` or `upgrade`.
    pub executable: PathBuf,
    /// Every descriptor that is handed over.
    pub descriptors: Vec<RawFd>,
    /// Limits that the daemon was started with: name, soft, hard.
    pub limits: Vec<(String, u64, u64)>,
    /// The configuration file.
    pub file: PathBuf,
    /// The daemon's own settings.
    pub started_with: DaemonSettings,
    /// The pid file that there is.
    pub pidfile: Option<PathBuf>,
    /// All decisions.
    pub engine: Snapshot,
    /// The control socket.
    pub listener: Option<RawFd>,
    /// The right to its name.
    pub lock: Option<RawFd>,
    /// The use of the directory of logs.
    pub logs: Option<RawFd>,
    /// What is on record.
    pub journal: JournalState,
    /// Children between two states.
    pub children: ChildrenState,
    /// Standard inputs.
    pub inputs: Vec<InputState>,
    /// Sockets of `FastCGI` programs.
    #[serde(default)]
    pub sockets: Vec<SocketState>,
    /// Event listeners, and what waits for them. Earlier writers, which did not hand over while any ran, left it out.
    #[serde(default)]
    pub listeners: Option<ListenersState>,
    /// Programs that are no children: start time and handle.
    pub adopted: Vec<(ProcessKey, Pid, u64, RawFd)>,
    /// Programs that are left alone.
    pub left: BTreeMap<ProcessKey, Birth>,
    /// Connections.
    pub clients: Vec<ClientState>,
    /// What is owed to them.
    pub jobs: Jobs,
    /// Who waits for which command.
    pub waiters: BTreeMap<Ticket, Waiter>,
    /// Numbers that were handed out.
    pub counters: Counters,
    /// Who may connect.
    pub access: Access,
    /// What the service manager was told last.
    pub manager: Phase,
    /// Logs and pipes.
    pub capture: WorkState,
    /// The pipes.
    pub pipes: Vec<RawFd>,
    /// Who waits for this.
    pub askers: Vec<Asker>,
}

impl State {
    /// As bytes.
    pub fn encode(&self) -> Result<Vec<u8>, StateError> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        ciborium::into_writer(self, &mut bytes)
            .map_err(|error| StateError::Damaged(error.to_string()))?;
        Ok(bytes)
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(StateError::Foreign)?;
        let (version, rest) = rest.split_first_chunk().ok_or(StateError::Foreign)?;
        let version = u32::from_be_bytes(*version);
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        ciborium::from_reader(rest).map_err(|error| StateError::Damaged(error.to_string()))
    }
}
