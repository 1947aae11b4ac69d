//! The descriptors that the daemon was started with: 0, 1 and 2 are open, and there are no others.
//!
//! Both functions belong to the first lines of the program, before anything has opened a file of its own.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::stat::Mode;
use std::ffi::{c_int, c_uint};
use std::fs;
use std::os::fd::{IntoRawFd, RawFd};

/// Where open descriptors are searched for up to when neither the kernel nor `/proc` tells.
const DESCRIPTORS_MAX: u64 = 1 << 20;

/// Opens `/dev/null` as each of the descriptors 0, 1 and 2 that is closed, so that no socket or log becomes one of them.
pub fn sanitize_standard() -> Result<(), Errno> {
    for number in 0..=2 {
        // SAFETY: asks for the flags of a descriptor; fails when there is none.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } != -1 {
            continue;
        }
        let opened = open("/dev/null", OFlag::O_RDWR, Mode::empty())?.into_raw_fd();
        // The kernel gives the lowest free number, and those below are open by now.
        if opened != number {
            return Err(Errno::EBADF);
        }
    }
    Ok(())
}

/// Closes all descriptors above 2 but those of `keep`, which the next execution closes, in children as well. Only before
/// this process has opened any: it closes them behind their owners' backs.
pub fn close_inherited(keep: &[RawFd]) {
    let mut keep: Vec<c_uint> = keep
        .iter()
        .filter_map(|&number| c_uint::try_from(number).ok())
        .filter(|&number| number > 2)
        .collect();
    keep.sort_unstable();
    let mut first: c_uint = 3;
    for kept in keep {
        if kept > first {
            close_range(first, kept - 1);
        }
        // SAFETY: marks a descriptor; fails when there is none of this number.
        unsafe { libc::fcntl(kept.cast_signed(), libc::F_SETFD, libc::FD_CLOEXEC) };
        first = first.max(kept + 1);
    }
    close_range(first, c_uint::MAX);
}

fn close_range(first: c_uint, last: c_uint) {
    // SAFETY: by this function's contract nothing in this process owns a descriptor of the range.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0 as c_uint) } == -1 {
        close_one_by_one(first, last);
    }
}

/// For kernels before 5.9, which cannot close a range.
fn close_one_by_one(first: c_uint, last: c_uint) {
    let numbers: Vec<c_int> = listed().unwrap_or_else(|| {
        let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(RLIM_INFINITY, |(_, hard)| hard);
        (0..c_int::try_from(hard.min(DESCRIPTORS_MAX)).unwrap_or(c_int::MAX)).collect()
    });
    for number in numbers {
        if c_uint::try_from(number).is_ok_and(|number| (first..=last).contains(&number)) {
            // SAFETY: as above; a number that is not open is refused.
            unsafe { libc::close(number) };
        }
    }
}

/// The open descriptors as `/proc` lists them; the one that read the list is closed by now.
fn listed() -> Option<Vec<c_int>> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    Some(
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::in_fork;

    fn is_open(number: RawFd) -> bool {
        // SAFETY: asks for flags only.
        unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
    }

    /// Opens a descriptor of at least this number.
    fn open_from(number: RawFd) -> Result<RawFd, String> {
        let file = open("/dev/zero", OFlag::O_RDONLY, Mode::empty()).map_err(|e| e.to_string())?;
        // SAFETY: duplicates a number.
        let copy = unsafe { libc::fcntl(file.into_raw_fd(), libc::F_DUPFD, number) };
        Errno::result(copy).map_err(|e| e.to_string())
    }

    #[test]
    fn closed_standard_descriptors_are_opened() {
        for closed in [&[0][..], &[1], &[2], &[0, 2], &[0, 1, 2]] {
            in_fork(|| {
                for &number in closed {
                    // SAFETY: nothing in this fork uses it any more.
                    unsafe { libc::close(number) };
                }
                sanitize_standard().map_err(|error| error.to_string())?;
                for &number in closed {
                    let link = fs::read_link(format!("/proc/self/fd/{number}"))
                        .map_err(|error| error.to_string())?;
                    if link.as_os_str() != "/dev/null" {
                        return Err(format!("{number} is {}", link.display()));
                    }
                }
                Ok(())
            });
        }
    }

    #[test]
    fn inherited_descriptors_are_closed_but_those_kept() {
        for fallback in [false, true] {
            // The report goes through a descriptor that would be closed too, so the exit status alone tells.
            let pid = crate::sys::testing::fork_child(|| {
                // Other tests have descriptors open, too, so that these are not always the same numbers.
                let Ok(low) = open_from(3) else { return 1 };
                let Ok(kept) = open_from(low + 47) else {
                    return 1;
                };
                let Ok(high) = open_from(kept + 40) else {
                    return 1;
                };
                if fallback {
                    let [before, behind] = [kept - 1, kept + 1].map(c_int::unsigned_abs);
                    close_one_by_one(3, before);
                    close_one_by_one(behind, c_uint::MAX);
                } else {
                    close_inherited(&[kept, 0, -1, kept]);
                }
                let as_wanted = !is_open(low) && is_open(kept) && !is_open(high);
                i32::from(!as_wanted || !(0..=2).all(is_open))
            });
            let status = crate::sys::testing::await_end(pid);
            assert_eq!(crate::sys::reap::collect(pid), Some(status));
            assert_eq!(
                status,
                crate::types::ExitStatus::Code(0),
                "fallback: {fallback}"
            );
        }
    }
}
