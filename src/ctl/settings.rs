//! Which daemon to talk to, and how the shell looks.

use super::connect::{Server, Trust};
use crate::cli::CtlOptions;
use crate::config::model::{ConsoleSettings, EditMode};
use crate::config::{self, Diagnostic, FindError, LoadedConsole, RealHost, Role, Sources};
use std::path::{Path, PathBuf};
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
    /// A word that is neither.
    #[error("'{url}' is not a URL: give the daemon's socket as a path with a slash or unix://PATH")]
    NoUrl {
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The daemon to talk to, and whom to trust to be it.
    pub server: Server,
    /// How the shell looks.
    pub console: ConsoleSettings,
}

/// Puts the command line and the configuration file together.
///
/// `-s` beats the file; `-r` beats the file's `history_file`. Without `-c` the file is the one that the search finds;
/// without any file the defaults hold.
pub fn resolve(options: CtlOptions, called_as: &str) -> Result<Settings, SettingsError> {
    let mut console = from_file(&options, called_as)?;
    let server = match options.serverurl {
        Some(url) => Server::at(socket_of_url(&url)?),
        None => Server {
            socket: console.socket.clone(),
            trust: console.server_uid.map_or(Trust::NobodyElse, Trust::User),
        },
    };
    if options.history_file.is_some() {
        console.history_file = options.history_file;
    }
    Ok(Settings { server, console })
}

/// Variable that beats the file's `edit_mode`.
pub const EDIT_MODE_VARIABLE: &str = "TASKMASTERCTL_EDIT_MODE";

/// The keys of the line editor: a variable of the person's own beats a file that others share. A word that is neither
/// changes nothing and is returned.
pub fn edit_mode(settings: &ConsoleSettings, variable: Option<&str>) -> (EditMode, Option<String>) {
    match variable.unwrap_or_default() {
        "" => (settings.edit_mode, None),
        "emacs" => (EditMode::Emacs, None),
        "vi" => (EditMode::Vi, None),
        word => (
            settings.edit_mode,
            Some(format!(
                "warning: {EDIT_MODE_VARIABLE} must be emacs or vi, not '{word}'"
            )),
        ),
    }
}

/// What the file says, or the defaults.
///
/// Only a file that is named with `-c` has to exist. A file that was found and is refused counts when nothing else names
/// the socket.
fn from_file(options: &CtlOptions, called_as: &str) -> Result<ConsoleSettings, SettingsError> {
    let host = RealHost::new();
    let path = match &options.configuration {
        Some(path) => path.clone(),
        None => match config::find(role(called_as, &executable()), &host) {
            Ok(path) => path,
            Err(FindError::NotFound { .. }) => return Ok(defaults(called_as)),
            Err(FindError::Unsafe { .. }) if options.serverurl.is_some() => {
                return Ok(defaults(called_as));
            }
            Err(error) => return Err(SettingsError::File(error.to_string())),
        },
    };
    let LoadedConsole {
        settings,
        diagnostics,
        sources,
    } = config::load_console(&path, &host);
    settings.ok_or_else(|| {
        let errors: Vec<String> = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
            .map(|diagnostic| place_and_message(diagnostic, &sources))
            .collect();
        SettingsError::File(errors.join("\n"))
    })
}

fn place_and_message(diagnostic: &Diagnostic, sources: &Sources) -> String {
    match diagnostic.primary.and_then(|span| sources.location(span)) {
        Some(place) => format!(
            "{}:{}:{}: {}",
            place.path.display(),
            place.line,
            place.column,
            diagnostic.message
        ),
        None => diagnostic.message.clone(),
    }
}

fn executable() -> PathBuf {
    std::env::args_os()
        .next()
        .map(PathBuf::from)
        .unwrap_or_default()
}

fn role<'a>(called_as: &str, executable: &'a Path) -> Role<'a> {
    if called_as == "supervisorctl" {
        Role::Supervisor { executable }
    } else {
        Role::Taskmaster
    }
}

fn defaults(called_as: &str) -> ConsoleSettings {
    let supervisor = called_as == "supervisorctl";
    ConsoleSettings {
        socket: PathBuf::from(DEFAULT_SOCKET),
        server_uid: None,
        prompt: if supervisor {
            "supervisor"
        } else {
            "taskmasterd>"
        }
        .to_owned(),
        history_file: None,
        edit_mode: EditMode::Emacs,
        announce: true,
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
    if !url.starts_with("unix://") && !path.contains('/') {
        return Err(SettingsError::NoUrl {
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
            ("./t.sock", Ok("./t.sock")),
            ("t.sock", Err("is not a URL")),
            ("unix://", Err("names no socket")),
            ("", Err("is not a URL")),
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
        assert_eq!(settings.server.socket, PathBuf::from(DEFAULT_SOCKET));
        assert_eq!(settings.server.trust, Trust::NobodyElse);
        let options = CtlOptions {
            serverurl: Some("unix:///x/y.sock".to_owned()),
            history_file: Some(PathBuf::from("/x/history")),
            ..CtlOptions::default()
        };
        let settings = resolve(options, "taskmasterctl").unwrap();
        assert_eq!(
            settings.server,
            Server {
                socket: PathBuf::from("/x/y.sock"),
                trust: Trust::Anybody
            }
        );
        let history = settings.console.history_file;
        assert_eq!(history, Some(PathBuf::from("/x/history")));
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
