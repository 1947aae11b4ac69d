//! Envelopes: greeting, request, reply, notice.

use super::request::{Channel, Request};
use super::response::{ProcessState, Response};
use serde::{Deserialize, Serialize};

/// Version of the protocol. Raised when an old peer could misread a message.
///
/// 1: first version.
pub const PROTOCOL_VERSION: u32 = 1;

/// First message of each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The sender's [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// The sender's own version, for messages.
    pub version: String,
    /// Process id of the sender.
    pub pid: u32,
    /// The daemon's identifier; absent from a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
}

/// A request and the number its answers will carry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestFrame {
    /// Chosen by the client; unique among its unanswered requests and subscriptions.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// What the daemon sends after its greeting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ServerFrame {
    /// The one answer to a request.
    Reply {
        /// Of the request.
        id: u64,
        /// The answer.
        response: Response,
    },
    /// Something a subscription asked to hear of.
    Notice {
        /// Of the `Subscribe` request.
        id: u64,
        /// What happened.
        notice: Notice,
    },
    /// A subscription has ended; nothing more comes for it.
    End {
        /// Of the `Subscribe` request.
        id: u64,
        /// Why.
        reason: SubscriptionEnd,
    },
}

/// What a subscription is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Topic {
    /// State changes of all processes, and groups that come and go.
    States,
    /// Output of a process as it is written to its log.
    Output {
        /// Process, as a user writes it.
        target: String,
        /// Which stream.
        channel: Channel,
        /// Bytes of the log sent first.
        backlog: u64,
    },
    /// Lines of the daemon's own log.
    DaemonLog {
        /// Bytes of the log sent first.
        backlog: u64,
    },
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Notice {
    /// A process changed its state.
    State {
        /// Name as shown.
        name: String,
        /// State before.
        from: ProcessState,
        /// State after.
        to: ProcessState,
        /// Its process, where there is or was one.
        pid: Option<u32>,
    },
    /// A group became active.
    GroupAdded {
        /// Its name.
        group: String,
    },
    /// A group is active no more.
    GroupRemoved {
        /// Its name.
        group: String,
    },
    /// New bytes of a log.
    Output {
        /// The bytes.
        #[serde(with = "serde_bytes")]
        data: Vec<u8>,
    },
    /// The subscriber was too slow: this many bytes, or messages, were left out here.
    Gap {
        /// How many.
        lost: u64,
    },
}

/// Why a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionEnd {
    /// The client asked for it.
    Unsubscribed,
    /// The process is no longer configured.
    Removed,
    /// The daemon shuts down.
    Shutdown,
}
