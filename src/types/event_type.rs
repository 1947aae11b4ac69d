//! The kinds of events that listeners can ask for, by Supervisor's names.
//!
//! They form a tree whose inner nodes are never published: whoever asks for one is told of everything below it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A kind of event, or a family of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// Every event.
    Event,
    /// A process changed its state.
    ProcessState,
    /// It was stopped.
    ProcessStateStopped,
    /// It ended by itself.
    ProcessStateExited,
    /// It is being started.
    ProcessStateStarting,
    /// It is being stopped.
    ProcessStateStopping,
    /// An attempt to start it failed, and another will follow.
    ProcessStateBackoff,
    /// Too many attempts failed.
    ProcessStateFatal,
    /// It counts as started.
    ProcessStateRunning,
    /// A defect of the daemon.
    ProcessStateUnknown,
    /// A process said something between the marks that `*_capture_maxbytes` enables.
    ProcessCommunication,
    /// On its standard output.
    ProcessCommunicationStdout,
    /// On its standard error.
    ProcessCommunicationStderr,
    /// A process wrote something, and `*_events_enabled` is set.
    ProcessLog,
    /// To its standard output.
    ProcessLogStdout,
    /// To its standard error.
    ProcessLogStderr,
    /// A client of the daemon has something to tell.
    RemoteCommunication,
    /// The daemon changed its state.
    SupervisorStateChange,
    /// It serves.
    SupervisorStateChangeRunning,
    /// It begins to stop everything.
    SupervisorStateChangeStopping,
    /// Time has passed.
    Tick,
    /// A multiple of 5 seconds.
    Tick5,
    /// A multiple of a minute.
    Tick60,
    /// A multiple of an hour.
    Tick3600,
    /// A group came or went.
    ProcessGroup,
    /// It came.
    ProcessGroupAdded,
    /// It went.
    ProcessGroupRemoved,
}

/// Every kind, its name, and the family it belongs to, in the order of Supervisor's table.
const TABLE: [(EventType, &str, EventType); 27] = {
    use EventType::{
        Event, ProcessCommunication, ProcessCommunicationStderr, ProcessCommunicationStdout,
        ProcessGroup, ProcessGroupAdded, ProcessGroupRemoved, ProcessLog, ProcessLogStderr,
        ProcessLogStdout, ProcessState, ProcessStateBackoff, ProcessStateExited, ProcessStateFatal,
        ProcessStateRunning, ProcessStateStarting, ProcessStateStopped, ProcessStateStopping,
        ProcessStateUnknown, RemoteCommunication, SupervisorStateChange,
        SupervisorStateChangeRunning, SupervisorStateChangeStopping, Tick, Tick5, Tick60, Tick3600,
    };
    [
        (Event, "EVENT", Event),
        (ProcessState, "PROCESS_STATE", Event),
        (ProcessStateStopped, "PROCESS_STATE_STOPPED", ProcessState),
        (ProcessStateExited, "PROCESS_STATE_EXITED", ProcessState),
        (ProcessStateStarting, "PROCESS_STATE_STARTING", ProcessState),
        (ProcessStateStopping, "PROCESS_STATE_STOPPING", ProcessState),
        (ProcessStateBackoff, "PROCESS_STATE_BACKOFF", ProcessState),
        (ProcessStateFatal, "PROCESS_STATE_FATAL", ProcessState),
        (ProcessStateRunning, "PROCESS_STATE_RUNNING", ProcessState),
        (ProcessStateUnknown, "PROCESS_STATE_UNKNOWN", ProcessState),
        (ProcessCommunication, "PROCESS_COMMUNICATION", Event),
        (
            ProcessCommunicationStdout,
            "PROCESS_COMMUNICATION_STDOUT",
            ProcessCommunication,
        ),
        (
            ProcessCommunicationStderr,
            "PROCESS_COMMUNICATION_STDERR",
            ProcessCommunication,
        ),
        (ProcessLog, "PROCESS_LOG", Event),
        (ProcessLogStdout, "PROCESS_LOG_STDOUT", ProcessLog),
        (ProcessLogStderr, "PROCESS_LOG_STDERR", ProcessLog),
        (RemoteCommunication, "REMOTE_COMMUNICATION", Event),
        (SupervisorStateChange, "SUPERVISOR_STATE_CHANGE", Event),
        (
            SupervisorStateChangeRunning,
            "SUPERVISOR_STATE_CHANGE_RUNNING",
            SupervisorStateChange,
        ),
        (
            SupervisorStateChangeStopping,
            "SUPERVISOR_STATE_CHANGE_STOPPING",
            SupervisorStateChange,
        ),
        (Tick, "TICK", Event),
        (Tick5, "TICK_5", Tick),
        (Tick60, "TICK_60", Tick),
        (Tick3600, "TICK_3600", Tick),
        (ProcessGroup, "PROCESS_GROUP", Event),
        (ProcessGroupAdded, "PROCESS_GROUP_ADDED", ProcessGroup),
        (ProcessGroupRemoved, "PROCESS_GROUP_REMOVED", ProcessGroup),
    ]
};

impl EventType {
    /// Every kind and every family.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(kind, ..)| *kind)
    }

    /// The kind or family of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// Its name, as it stands in the header of an event.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Whether a subscription to this is told of `other`.
    pub fn covers(self, other: Self) -> bool {
        let mut kind = other;
        loop {
            if kind == self {
                return true;
            }
            let family = kind.row().2;
            if family == kind {
                return false;
            }
            kind = family;
        }
    }

    fn row(self) -> &'static (Self, &'static str, Self) {
        static UNNAMED: (EventType, &str, EventType) =
            (EventType::Event, "EVENT", EventType::Event);
        TABLE
            .iter()
            .find(|(kind, ..)| *kind == self)
            .unwrap_or(&UNNAMED)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_are_those_of_their_kind() {
        for kind in EventType::all() {
            assert_eq!(EventType::named(kind.name()), Some(kind));
            assert_eq!(EventType::named(&kind.name().to_lowercase()), Some(kind));
            assert_eq!(kind.row().0, kind);
        }
        assert_eq!(EventType::named("TICK_6"), None);
        assert_eq!(EventType::named(""), None);
        assert_eq!(EventType::all().count(), TABLE.len());
    }

    #[test]
    fn a_family_covers_what_is_below_it_and_nothing_else() {
        for kind in EventType::all() {
            assert!(EventType::Event.covers(kind));
            assert!(kind.covers(kind));
            // A family's name begins the names of its members, and it has no other sign.
            for other in EventType::all().filter(|other| *other != EventType::Event) {
                let below = kind.name() == other.name()
                    || other.name().starts_with(&format!("{}_", kind.name()));
                let expected = below || kind == EventType::Event;
                assert_eq!(kind.covers(other), expected, "{kind} {other}");
            }
        }
    }
}
