//! Which mode runs: decided by the name the executable is called by, else by its first argument.
//!
//! Only the last component of the name counts and it must match exactly; any other name (a renamed copy, a versioned
//! one) means that the first argument picks the mode, which clap then resolves.

use std::ffi::OsStr;
use std::path::Path;

/// What the name of the executable says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalledAs {
    /// `taskmasterd`, or `supervisord`.
    Daemon(&'static str),
    /// `taskmasterctl`, or `supervisorctl`.
    Console(&'static str),
    /// Anything else: the first argument picks the mode.
    Multicall,
}

/// Reads the mode off `argv[0]`.
pub fn called_as(argv0: Option<&OsStr>) -> CalledAs {
    let name = argv0
        .and_then(|argv0| Path::new(argv0).file_name())
        .and_then(OsStr::to_str);
    match name {
        Some("taskmasterd") => CalledAs::Daemon("taskmasterd"),
        Some("supervisord") => CalledAs::Daemon("supervisord"),
        Some("taskmasterctl") => CalledAs::Console("taskmasterctl"),
        Some("supervisorctl") => CalledAs::Console("supervisorctl"),
        Some(_) | None => CalledAs::Multicall,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_component_of_the_name_picks_the_mode() {
        for (argv0, expected) in [
            (Some("taskmasterd"), CalledAs::Daemon("taskmasterd")),
            (
                Some("/usr/bin/taskmasterd"),
                CalledAs::Daemon("taskmasterd"),
            ),
            (Some("./supervisord"), CalledAs::Daemon("supervisord")),
            (
                Some("/opt/x/taskmasterctl"),
                CalledAs::Console("taskmasterctl"),
            ),
            (Some("supervisorctl"), CalledAs::Console("supervisorctl")),
            (Some("taskmaster"), CalledAs::Multicall),
            (Some("taskmasterd-1.0"), CalledAs::Multicall),
            (Some("TASKMASTERD"), CalledAs::Multicall),
            (Some("/usr/taskmasterd/taskmaster"), CalledAs::Multicall),
            (Some(""), CalledAs::Multicall),
            (Some("/"), CalledAs::Multicall),
            (None, CalledAs::Multicall),
        ] {
            assert_eq!(called_as(argv0.map(OsStr::new)), expected, "{argv0:?}");
        }
    }
}
