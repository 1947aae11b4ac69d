//! Executes the daemon anew in the same process, so that it keeps its pid.
//!
//! The signal mask stays as it is on purpose. The new image blocks the same signals in its first lines; were they let
//! through in between, a `TERM` or `HUP` of that moment would kill the daemon. What arrives stays pending and is read by
//! the new image's [`super::signals::SignalSource`]. Descriptors without the close-on-execution flag stay open.

use super::limits::{self, Limit};
use nix::errno::Errno;
use nix::sys::resource::getrlimit;
use nix::unistd::execve;
use std::ffi::{CStr, CString};

/// Replaces this process's image. Returns only when that failed, with everything as it was before, as far as limits
/// can be raised again.
///
/// `originals` are the limits that the daemon was started with; the new image finds those, not the raised ones.
pub fn replace(program: &CStr, argv: &[CString], envp: &[CString], originals: &[Limit]) -> Errno {
    let mut raised = Vec::with_capacity(originals.len());
    for &original in originals {
        let (resource, _, _) = original;
        let Ok((soft, hard)) = getrlimit(resource) else {
            continue;
        };
        if limits::restore(original).is_ok() {
            raised.push(((resource, soft, hard), original));
        }
    }
    let Err(errno) = execve(program, argv, envp);
    for ((resource, soft, hard), (_, _, original_hard)) in raised {
        if limits::restore((resource, soft, hard)).is_err() {
            // Privileges that raised the hard limit are gone since, so the best left is to use the original one in full.
            let nearest = limits::restore((resource, soft.min(original_hard), original_hard));
            debug_assert!(nearest.is_ok(), "the soft limit may go up to the hard one");
        }
    }
    errno
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::in_fork;
    use nix::sys::resource::{Resource, setrlimit};
    use nix::sys::signal::{SigSet, Signal, raise};

    const LIMIT: Resource = Resource::RLIMIT_NOFILE;

    #[test]
    fn the_process_becomes_the_program_with_the_original_limits() {
        in_fork(|| {
            setrlimit(LIMIT, 300, 400).map_err(|error| error.to_string())?;
            // `sh` leaves with 0 only when it finds the same pid, the limit and the environment.
            let script = format!(
                "test $$ = {} && test $(ulimit -Sn) = 200 && test $(ulimit -Hn) = 350 && test \"$A\" = b",
                std::process::id()
            );
            let argv = [
                c"sh".to_owned(),
                c"-c".to_owned(),
                CString::new(script).map_err(|e| e.to_string())?,
            ];
            let errno = replace(
                c"/bin/sh",
                &argv,
                &[c"A=b".to_owned()],
                &[(LIMIT, 200, 350)],
            );
            Err(errno.to_string())
        });
    }

    #[test]
    fn a_signal_of_that_moment_waits_for_the_new_image() {
        in_fork(|| {
            let failed = |errno: Errno| errno.to_string();
            SigSet::from(Signal::SIGTERM)
                .thread_block()
                .map_err(failed)?;
            raise(Signal::SIGTERM).map_err(failed)?;
            // TERM is bit 14.
            let argv =
                [c"grep", c"-q", c"^SigPnd:.*4000$", c"/proc/self/status"].map(CStr::to_owned);
            Err(replace(c"/bin/grep", &argv, &[], &[]).to_string())
        });
    }

    #[test]
    fn a_failure_leaves_everything_as_it_was() {
        in_fork(|| {
            setrlimit(LIMIT, 300, 400).map_err(|error| error.to_string())?;
            let errno = replace(c"/nonexistent", &[], &[], &[(LIMIT, 200, 350)]);
            let present = getrlimit(LIMIT).map_err(|error| error.to_string())?;
            // Whether the hard limit goes up again depends on privileges.
            if errno == Errno::ENOENT && [(300, 350), (300, 400)].contains(&present) {
                Ok(())
            } else {
                Err(format!("{errno} {present:?}"))
            }
        });
    }
}
