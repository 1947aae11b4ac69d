//! What a client can ask for.

use super::message::Topic;
use serde::{Deserialize, Serialize};

/// A request. `targets` are written as a user writes them: `NAME`, `NAME:0`, `GROUP:PROCESS`, `GROUP:*`, `all`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// State of processes; all of them when no target is given. Answered by `Status`.
    Status {
        /// Which processes.
        targets: Vec<String>,
    },
    /// Start processes. Answered by `Results`.
    Start {
        /// Which processes.
        targets: Vec<String>,
        /// Answer when the outcome is known, not as soon as the process is asked for.
        wait: bool,
    },
    /// Stop processes. Answered by `Results`.
    Stop {
        /// Which processes.
        targets: Vec<String>,
        /// Answer when they are gone.
        wait: bool,
    },
    /// Stop, then start. Answered by `Restarted`.
    Restart {
        /// Which processes.
        targets: Vec<String>,
        /// Answer when the outcome is known.
        wait: bool,
    },
    /// Send a signal. Answered by `Results`, or refused as `BadSignal`.
    Signal {
        /// Which processes.
        targets: Vec<String>,
        /// Name or number.
        signal: String,
    },
    /// Process ids. Answered by `Pids`; without a target by the daemon's own.
    Pid {
        /// Which processes.
        targets: Vec<String>,
    },
    /// Empty the logs of processes. Answered by `Results`.
    Clear {
        /// Which processes.
        targets: Vec<String>,
    },
    /// The end of a process's log. Answered by `Log`.
    Tail {
        /// Which process.
        target: String,
        /// Which stream.
        channel: Channel,
        /// How many bytes; 0 for all (up to the limit of a reply).
        bytes: u64,
    },
    /// The end of the daemon's own log. Answered by `Log`.
    MainTail {
        /// How many bytes; 0 for all (up to the limit of a reply).
        bytes: u64,
    },
    /// What led to the state of one process. Answered by `Story`.
    Why {
        /// Which process.
        target: String,
    },
    /// The variables that a process would get at its next start, without secrets. Answered by `Environment`.
    Environment {
        /// Which process.
        target: String,
    },
    /// Every configured process. Answered by `Avail`.
    Avail,
    /// Read the file and say what differs; change nothing. Answered by `Changes`.
    Reread,
    /// Read the file and make it so. Answered by `Changes`.
    Update {
        /// Only these groups; all when empty.
        groups: Vec<String>,
    },
    /// Activate groups of the last file read. Answered by `Groups`.
    Add {
        /// Which groups.
        groups: Vec<String>,
    },
    /// Deactivate groups without a running process. Answered by `Groups`.
    Remove {
        /// Which groups.
        groups: Vec<String>,
    },
    /// Stop everything and start anew in the same process, with the file read again. Answered by `Accepted`.
    Reload,
    /// Replace the daemon's image by what its executable is now; no program notices. Answered by `Upgraded`.
    Upgrade,
    /// Stop everything and end. Answered by `Accepted`.
    Shutdown,
    /// Version of the daemon. Answered by `Version`.
    Version,
    /// Write to the standard input of a process. Answered by `Results`.
    Input {
        /// Which process.
        target: String,
        /// The bytes.
        #[serde(with = "serde_bytes")]
        data: Vec<u8>,
    },
    /// Tell event listeners something, as an event `REMOTE_COMMUNICATION`. Answered by `Accepted`.
    Remote {
        /// What it is about: the `type` of the event.
        subject: String,
        /// What is told.
        data: String,
    },
    /// Hear of something as it happens. Answered by `Subscribed`, then notices with this request's id follow.
    Subscribe {
        /// Of what.
        topic: Topic,
    },
    /// Hear no more. Answered by `Accepted`; the subscription gets its `End`.
    Unsubscribe {
        /// Id of the `Subscribe` request.
        subscription: u64,
    },
    /// Read the file and say what `Update` would do; change nothing. Answered by `Plan`.
    Plan {
        /// Only these groups; all when empty.
        groups: Vec<String>,
    },
}

/// One of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Channel {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
