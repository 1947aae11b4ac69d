//! How event listeners are doing.

use serde::{Deserialize, Serialize};

/// An event listener and its pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// What it does; absent while it has no process.
    pub state: Option<ListenerState>,
    /// Events that wait in its pool.
    pub waiting: u64,
    /// How many may wait.
    pub buffer_size: u64,
    /// Events that its pool discarded since it exists, because too many waited.
    pub discarded: u64,
    /// Times that an event was rejected in its pool.
    pub rejected: u64,
}

/// Supervisor's states of event listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ListenerState {
    /// It has yet to say that it takes an event.
    Acknowledged,
    /// It takes the next event.
    Ready,
    /// It has an event.
    Busy,
    /// It broke the protocol, and gets no events any more.
    Unknown,
}

impl ListenerState {
    /// The word that is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "ACKNOWLEDGED",
            Self::Ready => "READY",
            Self::Busy => "BUSY",
            Self::Unknown => "UNKNOWN",
        }
    }
}
