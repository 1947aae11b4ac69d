//! Which daemon to talk to, and how the shell looks.

use crate::cli::CtlOptions;
use crate::config::model::ConsoleSettings;
use std::path::PathBuf;
use thiserror::Error;

/// Where the daemon listens when nothing says otherwise.
pub const DEFAULT_SOCKET: &str = "/tmp/taskmaster.d/taskmasterd.sock";

/// Why there is no daemon to talk to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// A URL of another kind.
    #[error("'{url}' is not supported: give the daemon's socket as a path or unix://PATH")]
    Scheme {
        /// As given.
        url: String,
    },
    /// Nothing after `unix://`, or nothing at all.
    #[error("'{url}' names no socket: give the daemon's socket as a path or unix://PATH")]
    Empty {
        /// As given.
        url: String,
    },
    /// The configuration file cannot be used.
    #[error("{0}")]
    File(String),
}

/// What the command line and the configuration file say.
///
/// `-s` beats the file; `-r` beats the file's `history_file`. Without `-c` the file is the one that the search finds;
/// without any file the defaults hold.
pub fn resolve(options: CtlOptions, called_as: &str) -> Result<ConsoleSettings, SettingsError> {
    let mut settings = from_file(&options, called_as);
    if let Some(url) = options.serverurl {
        settings.socket = socket_of_url(&url)?;
    }
    if options.history_file.is_some() {
        settings.history_file = options.history_file;
    }
    Ok(settings)
}

/// What the file says, or the defaults.
///
/// THE LEAD CONNECTS THIS: `config::find` when `options.configuration` is absent (no file found: the defaults below;
/// a refused file: `SettingsError::File`), then `config::load_console`; it becomes a `Result` with that. This body is the
/// place, and the only one.
fn from_file(_options: &CtlOptions, called_as: &str) -> ConsoleSettings {
    defaults(called_as)
}

fn defaults(called_as: &str) -> ConsoleSettings {
    let supervisor = called_as == "supervisorctl";
    ConsoleSettings {
        socket: PathBuf::from(DEFAULT_SOCKET),
        prompt: if supervisor {
            "supervisor"
        } else {
            "taskmasterd>"
        }
        .to_owned(),
        history_file: None,
        username: None,
        password: None,
    }
}

/// The socket that `unix://PATH`, or a path, names.
pub fn socket_of_url(url: &str) -> Result<PathBuf, SettingsError> {
    let path = url.strip_prefix("unix://").unwrap_or(url);
    if path.contains("://") {
        return Err(SettingsError::Scheme {
            url: url.to_owned(),
        });
    }
    if path.is_empty() {
        return Err(SettingsError::Empty {
            url: url.to_owned(),
        });
    }
    Ok(PathBuf::from(path))
}

/// The prompt as shown: followed by `> `, unless it already ends in `>`.
pub fn shown_prompt(prompt: &str) -> String {
    let prompt = prompt.trim_end();
    if prompt.ends_with('>') {
        format!("{prompt} ")
    } else {
        format!("{prompt}> ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_sockets() {
        for (url, expected) in [
            ("unix:///run/t.sock", Ok("/run/t.sock")),
            ("/run/t.sock", Ok("/run/t.sock")),
            ("t.sock", Ok("t.sock")),
            ("unix://", Err("names no socket")),
            ("", Err("names no socket")),
            ("http://127.0.0.1:9001", Err("is not supported")),
            ("ftp://x", Err("is not supported")),
        ] {
            match (socket_of_url(url), expected) {
                (Ok(path), Ok(expected)) => assert_eq!(path, PathBuf::from(expected)),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (other, _) => panic!("{url}: {other:?}"),
            }
        }
    }

    #[test]
    fn flags_beat_the_defaults() {
        let settings = resolve(CtlOptions::default(), "taskmasterctl").unwrap();
        assert_eq!(settings.socket, PathBuf::from(DEFAULT_SOCKET));
        let options = CtlOptions {
            serverurl: Some("unix:///x/y.sock".to_owned()),
            history_file: Some(PathBuf::from("/x/history")),
            ..CtlOptions::default()
        };
        let settings = resolve(options, "taskmasterctl").unwrap();
        assert_eq!(settings.socket, PathBuf::from("/x/y.sock"));
        assert_eq!(settings.history_file, Some(PathBuf::from("/x/history")));
    }

    #[test]
    fn the_prompt_ends_in_one_angle() {
        for (prompt, shown) in [
            ("taskmasterd>", "taskmasterd> "),
            ("taskmasterd> ", "taskmasterd> "),
            ("supervisor", "supervisor> "),
        ] {
            assert_eq!(shown_prompt(prompt), shown);
        }
    }
}
