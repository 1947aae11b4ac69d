//! What every integration test stands on: a sandbox of its own, the real executable in it, and ways to wait.
//!
//! - [`Sandbox`] is a temporary directory with the layout below. When it is dropped it kills whatever still carries
//!   its path in its environment or command line, and, when the test failed, prints all that is known.
//! - [`Daemon`] is a running daemon in a sandbox; [`Daemon::close`] rings the closing bell.
//! - [`Said`] is what a command said: exit code, standard output, standard error.
//! - [`Client`] speaks the wire protocol with framing of its own, as a check that is independent of the crate's.
//! - `wait` waits on conditions with a deadline. Nothing here sleeps blindly.
//!
//! In configurations and zoo commands `$DIR` stands for the sandbox, `$OUT` for the directory that programs write to
//! and `$ZOO` for the command that behaves as its next words say (see `zoo`).

mod client;
mod console;
mod daemon;
pub mod proc;
mod report;
mod sandbox;
pub mod wait;
mod zoo;

pub use client::{Client, body, framed, read_frame};
pub use console::Said;
pub use daemon::{Builder, Daemon};
pub use sandbox::Sandbox;

/// Whether the tests run as root; some behaviours exist only then.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
