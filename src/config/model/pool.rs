//! What the processes of a group are to each other: nothing, or a pool of event listeners.

use crate::types::EventType;
use serde::{Deserialize, Serialize};

/// What the processes of a group are to each other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum GroupKind {
    /// Nothing: they are started and stopped together.
    #[default]
    Programs,
    /// A pool of event listeners, any of which may be given the next event.
    Listeners(PoolSettings),
}

/// A pool of event listeners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSettings {
    /// What it listens to, sorted, none twice. A family stands for all its members; what several of these cover is
    /// delivered as often.
    pub events: Vec<EventType>,
    /// Events that may wait; when one more comes, the oldest is discarded.
    pub buffer_size: usize,
    /// What the `len` of a header counts.
    pub length: PayloadLength,
}

/// What the `len` of an event's header counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayloadLength {
    /// Bytes: what whoever reads bytes needs.
    Bytes,
    /// Characters, as Supervisor counts: what whoever reads text needs, as listeners in Python do.
    Characters,
}

impl std::fmt::Display for PayloadLength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Characters => "characters",
        })
    }
}
