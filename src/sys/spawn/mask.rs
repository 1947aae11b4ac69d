//! The signal mask, all of it: the C library's own calls leave out the signals that it keeps for itself.

use std::ptr;

/// Every signal is blocked in this thread, until this is dropped.
#[derive(Debug)]
pub(super) struct Blocked {
    before: u64,
}

impl Blocked {
    /// No signal may run a handler of this process in a child, nor stop it before its dispositions are reset.
    pub(super) fn everything() -> Self {
        let mut before = 0;
        set(u64::MAX, &raw mut before);
        Self { before }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        set(self.before, ptr::null_mut());
    }
}

/// Blocks nothing any more. Async-signal-safe.
pub(super) fn clear() {
    set(0, ptr::null_mut());
}

/// Cannot fail: both addresses are valid, and the size is that of the kernel's set of 64 signals.
fn set(mask: u64, before: *mut u64) {
    // SAFETY: reads a local number and writes at most one to where the caller says, which is null or a number of his.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            before,
            size_of::<u64>(),
        )
    };
}
