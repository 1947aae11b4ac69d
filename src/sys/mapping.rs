//! Memory that outlives the process: a file that is mapped, so that what was stored there is there for the next one, even
//! when this one is killed in the middle of an instruction.

use nix::errno::Errno;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, compiler_fence};

/// Mapped bytes, ours alone.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: it owns its memory as a vector does; nothing about it belongs to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the first `length` bytes of a file, which must have them and be written by nobody else.
    pub fn of_file(file: &File, length: usize) -> Result<Self, Errno> {
        // Room on the disk is taken now: storing to memory without any would kill the process.
        let size = i64::try_from(length).map_err(|_| Errno::EFBIG)?;
        nix::fcntl::posix_fallocate(file, 0, size)?;
        Self::map(length, 0, file.as_raw_fd())
    }

    /// As much memory that does not outlive the process.
    pub fn anonymous(length: usize) -> Result<Self, Errno> {
        Self::map(length, libc::MAP_ANONYMOUS, -1)
    }

    fn map(length: usize, flags: i32, file: RawFd) -> Result<Self, Errno> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = flags | libc::MAP_SHARED;
        // SAFETY: a new mapping at an address that the kernel chooses touches no memory of ours.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, file, 0) };
        if start == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let start = NonNull::new(start.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Self { start, length })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has this many bytes, all initialised by the kernel, until it is dropped.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    /// The bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else has a reference to it.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }

    /// Stores one byte after everything that was stored before, and before everything that is stored later: whoever
    /// finds it finds the rest as it was at that moment.
    pub fn seal(&mut self, at: usize, value: u8) {
        compiler_fence(Ordering::SeqCst);
        if let Some(place) = self.bytes_mut().get_mut(at) {
            // SAFETY: a valid place of one byte.
            unsafe { std::ptr::write_volatile(place, value) };
        }
        compiler_fence(Ordering::SeqCst);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the mapping any more.
        let unmapped = unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert_eq!(unmapped, 0, "it was mapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{await_end, fork_child};
    use crate::sys::{kill, reap};
    use crate::types::Signal;

    #[test]
    fn what_was_stored_is_there_when_its_process_was_killed() {
        let file = tempfile::tempfile().unwrap();
        let length = 8192;
        let child = fork_child(|| {
            let Ok(mut mapping) = Mapping::of_file(&file, length) else {
                return 1;
            };
            mapping.bytes_mut()[8000..8005].copy_from_slice(b"hello");
            mapping.seal(0, 7);
            loop {
                nix::unistd::pause();
            }
        });
        let mapping = Mapping::of_file(&file, length).unwrap();
        crate::sys::testing::until("it is sealed", || {
            compiler_fence(Ordering::SeqCst);
            // SAFETY: another process stores to it.
            unsafe { std::ptr::read_volatile(&raw const mapping.bytes()[0]) == 7 }
        });
        kill::process(child, Signal::KILL).unwrap();
        await_end(child);
        reap::collect(child).unwrap();
        assert_eq!(&mapping.bytes()[8000..8005], b"hello");
        assert_eq!(file.metadata().unwrap().len(), length as u64);
    }

    #[test]
    fn without_a_file_it_is_memory_like_any_other() {
        let mut mapping = Mapping::anonymous(100).unwrap();
        assert_eq!(mapping.bytes(), [0; 100]);
        mapping.bytes_mut().fill(9);
        mapping.seal(100, 1);
        assert_eq!(mapping.bytes(), [9; 100]);
        assert!(Mapping::anonymous(0).is_err());
    }
}
