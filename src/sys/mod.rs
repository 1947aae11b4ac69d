//! What the house asks of the kernel, and the only room with unsafe code.
//!
//! Each file is one thing the kernel does for us; every unsafe block holds one operation and says why it is sound.
//! Nothing here knows programs, states or configuration: callers pass numbers, paths and descriptors, and get typed
//! errors with the error number back. Nothing here logs.

pub mod clock;
pub mod descriptors;
pub mod dirs;
pub mod exec;
pub mod handover;
pub mod identity;
pub mod kill;
pub mod limits;
pub mod listen;
pub mod lookup;
pub mod mapping;
pub mod memory;
pub mod mounts;
pub mod notify;
pub mod own_file;
pub mod peer;
pub mod pidfd;
pub mod pidfile;
pub mod pipe;
pub mod poller;
pub mod proc;
pub mod reap;
pub mod signals;
pub mod socket;
pub mod spawn;
#[cfg(test)]
mod testing;
pub mod waker;
pub mod watch;

// The standard library's unwinder, out of the compiler's archive: as a shared library it would be looked for, mapped and
// set up at every start of the console, at a tenth of what the whole start takes.
#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
#[link(name = "gcc_eh")]
unsafe extern "C" {}
