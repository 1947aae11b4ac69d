//! Words shared by the whole house: names, ids, units, signals.
//!
//! Every type here is a newtype whose constructor checks, so that a value that exists is valid. Nothing here does I/O,
//! reads a clock or knows another module of the crate.

mod event_type;
mod exit;
mod names;
mod pid;
mod signal;
mod size;
mod time;

pub use event_type::EventType;
pub use exit::ExitStatus;
pub use names::{GroupName, NameError, ProcessKey, ProcessName, ProgramName};
pub use pid::{Generation, Pid, Ticket};
pub use signal::{Signal, SignalError};
pub use size::{ByteSize, ByteSizeError};
pub use time::Monotonic;
