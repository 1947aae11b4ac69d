//! What the daemon's log says about listeners, as data that others word.

use super::listener::ListenerState;
use crate::types::{GroupName, ProcessKey};

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A listener went from one state to another.
    Stepped {
        /// Which.
        listener: ProcessKey,
        /// State before.
        from: ListenerState,
        /// State after.
        to: ListenerState,
    },
    /// A listener broke the protocol.
    Lost {
        /// Which.
        listener: ProcessKey,
    },
    /// What a listener said is no result.
    BadLine {
        /// Which.
        listener: ProcessKey,
        /// What it said.
        line: String,
    },
    /// A listener has dealt with an event.
    Processed {
        /// Which.
        listener: ProcessKey,
    },
    /// A listener gave an event back.
    Rejected {
        /// Which.
        listener: ProcessKey,
    },
    /// A listener was given an event.
    Sent {
        /// Which.
        listener: ProcessKey,
        /// The event's number.
        serial: u64,
    },
    /// A listener has closed its standard input.
    Deaf {
        /// Which.
        listener: ProcessKey,
        /// Number of the event that it was to get.
        serial: u64,
    },
    /// An event waits again.
    Requeued {
        /// In which pool.
        pool: GroupName,
        /// Its number.
        serial: u64,
        /// Events that waited before.
        waiting: usize,
        /// How many may wait.
        buffer_size: usize,
    },
    /// An event was discarded, because too many wait.
    Discarded {
        /// By which pool.
        pool: GroupName,
        /// Its number.
        serial: u64,
    },
}
