//! The protocol between daemon and console: message types, framing and encoding.
//!
//! A connection is a Unix stream socket. Each side first sends one [`Hello`]; then the client sends [`RequestFrame`]s
//! and the daemon sends [`ServerFrame`]s. Every message is a frame: a 32-bit big-endian length and one CBOR item.
//! Replies are data; the console words them. The types here belong to the protocol alone: no other module's type
//! appears in them, so that an internal change can never change what goes over the wire. Unknown fields are ignored,
//! new fields are optional, so that neighbouring versions understand each other. `taskmaster-protocol(7)` specifies
//! all of this for writers of other clients.

mod codec;
mod environment;
mod frame;
mod listener;
mod message;
mod plan;
mod request;
mod response;
mod rows;
#[cfg(test)]
mod samples;
mod story;
mod wording;

pub use codec::{DEPTH_MAX, DecodeError, EncodeError, decode, encode, request_id};
pub use environment::{EnvironmentReply, Variable, VariableOrigin};
pub use frame::{FrameBuffer, FrameError, HELLO_BYTES_MAX, REPLY_BYTES_MAX, REQUEST_BYTES_MAX};
pub use listener::{ListenerState, ListenerStatus};
pub use message::{
    Hello, Notice, PROTOCOL_VERSION, RequestFrame, ServerFrame, SubscriptionEnd, Topic,
};
pub use plan::{Plan, PlannedGroup, PlannedKey, PlannedProcess, PlannedStep};
pub use request::{Channel, Request};
pub use response::{
    AvailRow, Change, ChangeKind, Diagnostic, ExitStatus, Failure, GroupAnswer, GroupResult,
    LogChunk, LogState, NamedResult, Outcome, PidRow, ProcessState, Refusal, Response, StatusReply,
    StatusRow, Step, Trouble,
};
pub use rows::{BorrowedRow, StatusFrame, decode_reply, read_rows};
pub use story::{Key, Life, Story, Wanted};
