//! What the daemon asks of the kernel, as small safe types without policy.
//!
//! Everything here knows file descriptors, process ids and errors, and nothing of programs or configuration.

pub mod pipe;
pub mod poller;
pub mod waker;
