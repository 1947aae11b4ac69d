//! Letting go of memory that was needed once and may not be needed again for days.
//!
//! Whatever is used after all comes back by itself: the heap grows again, and the executable's pages are still in the
//! kernel's cache of the file, from where they are mapped as they are used.
//!
//! The kernel may take the executable's pages away at any time, too. So nothing new is asked of the file: it has to stay
//! readable, also after it was replaced, and a file system that fails under it kills the daemon, now or when memory is
//! short. Where memory is locked nothing is let go of.

use std::ffi::{c_int, c_void};

/// Gives the free pages of all heaps to the kernel. Of its own accord the allocator only shortens the first of them.
pub fn release_heap() {
    // SAFETY: gives up nothing but what is free, under the allocator's own locks.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Unmaps the executable's code and constants. The kernel maps sixteen pages where one is used, so that after a start
/// nearly all of them are there, although the daemon goes on with few of them.
///
/// A debugger's breakpoints in the daemon are let go of, too: they are the debugger's own copies of pages.
pub fn release_code() {
    // SAFETY: the function only looks at what it is given, which is valid until it returns.
    unsafe { libc::dl_iterate_phdr(Some(release_executable), std::ptr::null_mut()) };
}

/// Called for the executable first. What comes after it is shared with others, and asking for more ends here.
unsafe extern "C" fn release_executable(
    object: *mut libc::dl_phdr_info,
    _size: usize,
    _data: *mut c_void,
) -> c_int {
    // SAFETY: the caller describes an object that is loaded.
    let object = unsafe { &*object };
    let count = usize::from(object.dlpi_phnum);
    // SAFETY: an object that is loaded has this many headers.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, count) };
    for header in headers {
        let is_never_written = header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0;
        let begin = usize::try_from(object.dlpi_addr.wrapping_add(header.p_vaddr));
        let length = usize::try_from(header.p_memsz);
        if is_never_written && let (Ok(begin), Ok(length)) = (begin, length) {
            unmap(begin, length);
        }
    }
    1
}

/// Unmaps pages that are as they are in their file.
fn unmap(begin: usize, length: usize) {
    // SAFETY: asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let Ok(page) = usize::try_from(page) else {
        return;
    };
    let before = begin % page;
    let place = std::ptr::without_provenance_mut(begin - before);
    // SAFETY: what is read next is what was read before, because nobody has written there: relocations, the only writing
    // that comes before the protection, are in segments that may be written. The linker lets code have none.
    unsafe { libc::madvise(place, length + before, libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// KiB of the executable's code that are mapped.
    fn mapped_code() -> u64 {
        let executable = std::env::current_exe().unwrap();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps.lines();
        let code =
            |line: &str| line.contains(" r-xp ") && line.ends_with(executable.to_str().unwrap());
        lines.find(|line| code(line)).unwrap();
        let resident = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        resident
            .trim()
            .strip_suffix(" kB")
            .unwrap()
            .parse()
            .unwrap()
    }

    #[test]
    fn code_that_was_let_go_runs_again_when_it_is_called() {
        let before = mapped_code();
        release_heap();
        release_code();
        let after = mapped_code();
        assert!(after < before, "{after} KiB of {before}");
    }
}
