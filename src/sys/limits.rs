//! Raises the daemon's own resource limits, and hands back what they were, so that children get those.

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use std::os::fd::{AsFd, AsRawFd};

/// A resource with its soft and its hard limit.
pub type Limit = (Resource, u64, u64);

/// The daemon takes all the descriptors it may have, up to this number; more would only cost those who count them.
const DESCRIPTORS_MAX: u64 = 1 << 20;

/// Why a limit is too low for what the configuration wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// The hard limit is lower and may not be raised.
    #[error(
        "{} is {wanted}, but the limit of this process ({resource:?}) is {hard} and cannot be raised; \
         lower the setting or raise the limit before the daemon starts", setting(*resource)
    )]
    TooLow {
        /// The resource.
        resource: Resource,
        /// What was asked for.
        wanted: u64,
        /// The hard limit.
        hard: u64,
    },
    /// The kernel refused for another reason.
    #[error("cannot change the limit {resource:?}: {}", errno.desc())]
    Io {
        /// The resource.
        resource: Resource,
        /// The kernel's reason.
        errno: Errno,
    },
}

fn setting(resource: Resource) -> &'static str {
    if resource == Resource::RLIMIT_NOFILE {
        "minfds"
    } else {
        "minprocs"
    }
}

/// Makes room for as many descriptors as are allowed, at least `min`. Returns the limit as it was.
pub fn raise_nofile(min: u64) -> Result<Limit, LimitError> {
    raise(Resource::RLIMIT_NOFILE, min, DESCRIPTORS_MAX)
}

/// Makes room for at least `min` processes of the user. Returns the limit as it was.
pub fn raise_nproc(min: u64) -> Result<Limit, LimitError> {
    raise(Resource::RLIMIT_NPROC, min, min)
}

/// Sets a limit back to what it was.
pub fn restore((resource, soft, hard): Limit) -> Result<(), LimitError> {
    setrlimit(resource, soft, hard).map_err(|errno| LimitError::Io { resource, errno })
}

/// Whether fewer than `room` numbers are left above the one of a descriptor that was just made. The kernel gives the
/// lowest free number, so a high one tells that nearly all are taken, without a count of them.
pub fn is_nearly_the_last(descriptor: impl AsFd, room: u64) -> bool {
    let number = u64::try_from(descriptor.as_fd().as_raw_fd()).unwrap_or(0);
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(RLIM_INFINITY, |(soft, _)| soft);
    number.saturating_add(room) >= limit
}

/// Raises the soft limit to `min`, and beyond, as far as `wished` and the hard limit go. Never lowers anything.
fn raise(resource: Resource, min: u64, wished: u64) -> Result<Limit, LimitError> {
    let failed = |errno| LimitError::Io { resource, errno };
    let (soft, hard) = getrlimit(resource).map_err(failed)?;
    let (new_soft, new_hard) = raised(soft, hard, min, wished);
    if (new_soft, new_hard) != (soft, hard) {
        setrlimit(resource, new_soft, new_hard).map_err(|errno| {
            if new_hard > hard && errno == Errno::EPERM {
                LimitError::TooLow {
                    resource,
                    wanted: min,
                    hard,
                }
            } else {
                failed(errno)
            }
        })?;
    }
    Ok((resource, soft, hard))
}

fn raised(soft: u64, hard: u64, min: u64, wished: u64) -> (u64, u64) {
    // "Unlimited" is the largest number there is, so that comparing works for it too.
    let new_hard = hard.max(min);
    (soft.max(min).max(wished.min(hard)), new_hard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{in_fork, is_root};

    #[test]
    fn limits_only_grow() {
        for (soft, hard, min, wished, expected) in [
            (1024, 4096, 1024, 1 << 20, (4096, 4096)),
            (1024, 4096, 5000, 1 << 20, (5000, 5000)),
            (1024, RLIM_INFINITY, 1024, 1 << 20, (1 << 20, RLIM_INFINITY)),
            (
                RLIM_INFINITY,
                RLIM_INFINITY,
                1024,
                1 << 20,
                (RLIM_INFINITY, RLIM_INFINITY),
            ),
            (100, 4096, 200, 200, (200, 4096)),
            (300, 4096, 200, 200, (300, 4096)),
            (100, 150, 200, 200, (200, 200)),
        ] {
            assert_eq!(
                raised(soft, hard, min, wished),
                expected,
                "{soft} {hard} {min}"
            );
        }
    }

    #[test]
    fn the_limit_is_raised_and_can_be_set_back() {
        in_fork(|| {
            let text = |error: LimitError| error.to_string();
            let start = (Resource::RLIMIT_NOFILE, 100, 200);
            restore(start).map_err(text)?;
            let original = raise_nofile(150).map_err(text)?;
            let now = getrlimit(Resource::RLIMIT_NOFILE).map_err(|e| e.to_string())?;
            if original != start || now != (200, 200) {
                return Err(format!("{original:?} {now:?}"));
            }
            restore(original).map_err(text)?;
            let now = getrlimit(Resource::RLIMIT_NOFILE).map_err(|e| e.to_string())?;
            if now == (100, 200) {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            }
        });
    }

    #[test]
    fn the_last_descriptors_are_recognised() {
        in_fork(|| {
            // Some more than other tests have open at this moment.
            let first = std::fs::File::open("/dev/null").map_err(|e| e.to_string())?;
            // SAFETY: duplicates a number.
            let beyond = unsafe { libc::fcntl(first.as_raw_fd(), libc::F_DUPFD, 500) };
            let limit = beyond + 30;
            let number = u64::try_from(limit).map_err(|e| e.to_string())?;
            restore((Resource::RLIMIT_NOFILE, number, number)).map_err(|e| e.to_string())?;
            let mut files = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                files.push(file);
            }
            let near = |file: &std::fs::File| is_nearly_the_last(file, 10);
            let judged: Vec<bool> = files.iter().map(near).collect();
            let last_ten: Vec<bool> = files
                .iter()
                .map(|file| file.as_raw_fd() >= limit - 10)
                .collect();
            if judged.len() > 10 && judged == last_ten {
                Ok(())
            } else {
                Err(format!("{judged:?}"))
            }
        });
    }

    #[test]
    fn a_hard_limit_that_is_too_low_is_named() {
        if !is_root("a_hard_limit_that_is_too_low_is_named (it gives up its privileges)") {
            return;
        }
        in_fork(|| {
            restore((Resource::RLIMIT_NOFILE, 100, 200)).map_err(|e| e.to_string())?;
            crate::sys::identity::become_user(65_534, 65_534, &[]).map_err(|e| e.to_string())?;
            let expected = LimitError::TooLow {
                resource: Resource::RLIMIT_NOFILE,
                wanted: 300,
                hard: 200,
            };
            let result = raise_nofile(300);
            if result != Err(expected) {
                return Err(format!("{result:?}"));
            }
            let text = expected.to_string();
            if text
                .starts_with("minfds is 300, but the limit of this process (RLIMIT_NOFILE) is 200")
            {
                Ok(())
            } else {
                Err(text)
            }
        });
    }
}
