//! Finding the configuration file when `-c` is absent, and judging who may write to it.
//!
//! A file that was found rather than named could have been put there by somebody else, so one that others may change is
//! refused. A file that was named is only warned about.

use super::context::Context;
use super::diagnostic::Diagnostic;
use super::host::{FileFacts, FileKind, Host};
use std::path::{Path, PathBuf};

/// Who looks for a file, and under which name it was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role<'a> {
    /// Under our own names.
    Taskmaster,
    /// Called as `supervisord` or `supervisorctl`; the path it was called by leads to the first places.
    Supervisor {
        /// `argv[0]`, made absolute by the caller if it can be.
        executable: &'a Path,
    },
}

/// Why no file is used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// None of the places has a file.
    #[error("no configuration file found at the usual places ({}); name one with -c", list(.tried))]
    NotFound {
        /// The places, in order.
        tried: Vec<PathBuf>,
    },
    /// A file was found that others may write to.
    #[error("refusing {}, which was found and not named: {reason}; put that right, or name the file with -c", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: Distrust,
    },
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    shown.join(", ")
}

/// Why a file is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Group or others may write.
    #[error("mode {mode:04o} lets {} write to it", who(*mode))]
    Writable {
        /// Its mode.
        mode: u32,
    },
    /// Root would obey somebody else's file.
    #[error("it belongs to user {uid}, not to root")]
    Owner {
        /// Its owner.
        uid: u32,
    },
}

fn who(mode: u32) -> &'static str {
    if mode & 0o002 == 0 {
        "its group"
    } else {
        "everybody"
    }
}

/// The first file of the search list.
pub fn find(role: Role<'_>, host: &dyn Host) -> Result<PathBuf, FindError> {
    let tried = places(role, host);
    for path in &tried {
        let absolute = host.current_dir().join(path);
        let Some(facts) = host.facts(&absolute) else {
            continue;
        };
        return match distrust(facts, host.effective_uid()) {
            Some(reason) => Err(FindError::Unsafe {
                path: path.clone(),
                reason,
            }),
            None => Ok(path.clone()),
        };
    }
    Err(FindError::NotFound { tried })
}

/// Every place that is searched, in order.
fn places(role: Role<'_>, host: &dyn Host) -> Vec<PathBuf> {
    match role {
        Role::Taskmaster => {
            let mut places = vec![
                PathBuf::from("./taskmaster.ini"),
                "./taskmasterd.conf".into(),
            ];
            if host.effective_uid() != 0
                && let Some(dir) = user_directory(host)
            {
                places.push(dir.join("taskmaster/taskmaster.ini"));
            }
            places.push("/etc/taskmaster/taskmaster.ini".into());
            places.push("/tmp/taskmaster.d/taskmasterd.conf".into());
            places
        }
        Role::Supervisor { executable } => {
            let mut places = Vec::new();
            if let Some(above) = executable.parent().and_then(Path::parent) {
                places.push(above.join("etc/supervisord.conf"));
                places.push(above.join("supervisord.conf"));
            }
            places.extend(
                [
                    "./supervisord.conf",
                    "./etc/supervisord.conf",
                    "/etc/supervisord.conf",
                    "/etc/supervisor/supervisord.conf",
                ]
                .map(PathBuf::from),
            );
            places
        }
    }
}

/// Where a user keeps configuration: `XDG_CONFIG_HOME`, and by its specification `~/.config` where that is unset, empty or
/// not absolute.
fn user_directory(host: &dyn Host) -> Option<PathBuf> {
    let environment = host.environment();
    let absolute = |name: &str| {
        let dir = environment.get(name).map(PathBuf::from);
        dir.filter(|dir| dir.is_absolute())
    };
    absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))
}

fn distrust(facts: FileFacts, effective_uid: u32) -> Option<Distrust> {
    if facts.kind != FileKind::Other && facts.mode & 0o022 != 0 {
        Some(Distrust::Writable { mode: facts.mode })
    } else if effective_uid == 0 && facts.uid != 0 {
        Some(Distrust::Owner { uid: facts.uid })
    } else {
        None
    }
}

/// Warns about files that others may write to.
pub fn warn_about_access(context: &mut Context<'_>, files: &[PathBuf]) {
    let effective_uid = context.host.effective_uid();
    for path in files {
        let Some(reason) = context
            .facts(path)
            .and_then(|facts| distrust(facts, effective_uid))
        else {
            continue;
        };
        let shown = path.display();
        let warning = Diagnostic::warning("unsafe-file", format!("{shown} is not safe: {reason}"));
        context.report(warning.help(match reason {
            Distrust::Writable { .. } => {
                format!("who can write to it decides what the daemon runs: chmod go-w {shown}")
            }
            Distrust::Owner { .. } => {
                format!("its owner decides what root runs: chown root {shown}")
            }
        }));
    }
}
