//! The variables of a process, and where each comes from.
//!
//! From the weakest to the strongest: the environment the daemon was started with; `SUPERVISOR_*` and `TASKMASTER_*`;
//! the account's; then the daemon section's `env_file` and `environment`, the program's `env_file` and `environment`.
//! Files are read anew each time, so that an edit takes effect at the next start. One that cannot be used fails the
//! start, unless it is optional: then it is left out, and the log says so if it is there.
//!
//! Values are secrets. They go to the child and, masked, to a client that asks; never into a log or a `Debug` output.

use super::event_loop::Daemon;
use super::{convert, secrets};
use crate::config::ReadError;
use crate::config::env_file::{self, Assignment, EnvFileError};
use crate::config::model::{EnvFile, Environment, KeyOrigin, ProcessSettings, User};
use crate::engine::event::{SpawnFailure, SpawnStep};
use crate::wire::{EnvironmentReply, Response, Variable, VariableOrigin};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

/// Where a variable comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<'s> {
    /// The daemon's own environment.
    Inherited,
    /// The daemon sets it.
    Daemon,
    /// The account that the program runs as.
    Account,
    /// A file, and the line in it.
    File(&'s EnvFile, u32),
    /// The key `environment` of the daemon's section.
    Common,
    /// The key `environment` of the program's section.
    Own,
}

/// The variables of one process.
#[derive(Default)]
pub struct Variables<'s> {
    /// Value and origin of each.
    pub values: BTreeMap<OsString, (OsString, Origin<'s>)>,
    /// Why the process cannot be started with them.
    pub failure: Option<SpawnFailure>,
    /// What is wrong with optional files that are there.
    pub ignored: Vec<String>,
}

impl fmt::Debug for Variables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} variables>", self.values.len())
    }
}

impl<'s> Variables<'s> {
    /// Puts the layers on top of each other. `server_url` is how the daemon is reached, unless the program's settings say
    /// something else.
    pub fn of(
        settings: &'s ProcessSettings,
        inherited: &BTreeMap<OsString, OsString>,
        server_url: Option<&str>,
    ) -> Self {
        let launch = &settings.launch;
        let mut variables = Self::default();
        for (name, value) in inherited {
            let value = (value.clone(), Origin::Inherited);
            variables.values.insert(name.clone(), value);
        }
        variables.set_daemons(settings, server_url);
        if let Some(user) = &launch.user {
            variables.set_accounts(user);
        }
        let layers = &launch.env_layers;
        variables.read(&layers.common_files);
        variables.set_all(&layers.common, Origin::Common);
        variables.read(&layers.files);
        variables.set_all(&launch.environment, Origin::Own);
        variables
    }

    fn set(&mut self, name: &str, value: &str, origin: Origin<'s>) {
        self.values.insert(name.into(), (value.into(), origin));
    }

    fn set_all(&mut self, Environment(given): &Environment, origin: Origin<'s>) {
        for (name, value) in given {
            self.set(name, value, origin);
        }
    }

    fn set_daemons(&mut self, settings: &ProcessSettings, server_url: Option<&str>) {
        let url = settings.launch.server_url.as_deref().or(server_url);
        for prefix in ["SUPERVISOR", "TASKMASTER"] {
            if let Some(url) = url {
                self.set(&format!("{prefix}_SERVER_URL"), url, Origin::Daemon);
            }
            for (name, value) in [
                ("ENABLED", "1"),
                ("PROCESS_NAME", settings.key.process.as_str()),
                ("GROUP_NAME", settings.key.group.as_str()),
            ] {
                self.set(&format!("{prefix}_{name}"), value, Origin::Daemon);
            }
        }
    }

    /// A program that runs as another account finds that account's variables, not those of whoever started the daemon.
    fn set_accounts(&mut self, user: &User) {
        self.set("USER", &user.name, Origin::Account);
        self.set("LOGNAME", &user.name, Origin::Account);
        if let Some(home) = &user.home {
            self.set("HOME", &home.to_string_lossy(), Origin::Account);
        }
        if let Some(shell) = &user.shell {
            self.set("SHELL", &shell.to_string_lossy(), Origin::Account);
        }
    }

    fn read(&mut self, files: &'s [EnvFile]) {
        for file in files {
            match env_file::read(file) {
                Ok(found) => {
                    for Assignment { name, value, line } in found {
                        self.set(&name, &value, Origin::File(file, line));
                    }
                }
                Err(error) if file.optional => {
                    if !error.is_missing() {
                        self.ignored.push(env_file::describe(&file.path, &error));
                    }
                }
                Err(error) => {
                    self.failure.get_or_insert_with(|| failure(file, &error));
                }
            }
        }
    }
}

fn failure(file: &EnvFile, error: &EnvFileError) -> SpawnFailure {
    let (subject, errno) = match error {
        EnvFileError::Unreadable(ReadError::Io(error)) => (
            file.path.display().to_string(),
            error.raw_os_error().unwrap_or(Errno::EIO as i32),
        ),
        EnvFileError::Unreadable(ReadError::NotRegular | ReadError::TooLarge)
        | EnvFileError::Malformed(_) => (env_file::describe(&file.path, error), 0),
    };
    SpawnFailure {
        step: SpawnStep::Environment,
        subject,
        errno,
    }
}

impl Daemon {
    /// What a process would find in its environment if it were started now, without the secrets.
    pub(super) fn environment(&self, target: &str) -> Response {
        let process = match self.resolve_one(target) {
            Ok(process) => process,
            Err(refusal) => return Response::Refused(refusal),
        };
        let settings = &process.settings;
        let Variables {
            values,
            failure,
            ignored,
        } = self.children.launcher().variables(settings);
        let common = &self.engine.config().origins;
        let variables = values
            .into_iter()
            .map(|(name, (value, origin))| {
                let place = match origin {
                    Origin::Common => key(common),
                    Origin::Own => key(&settings.origins),
                    Origin::File(file, line) => Some((file.path.display().to_string(), line)),
                    Origin::Inherited | Origin::Daemon | Origin::Account => None,
                };
                shown(
                    &name.to_string_lossy(),
                    &value.to_string_lossy(),
                    origin,
                    place,
                )
            })
            .collect();
        Response::Environment(Box::new(EnvironmentReply {
            name: process.key.to_string(),
            variables,
            failure: failure.as_ref().map(convert::failure),
            ignored,
        }))
    }
}

/// Where the key `environment` stands.
fn key(origins: &[KeyOrigin]) -> Option<(String, u32)> {
    let origin = origins.iter().find(|origin| origin.key == "environment")?;
    Some((origin.file.display().to_string(), origin.line))
}

fn shown(name: &str, value: &str, origin: Origin<'_>, place: Option<(String, u32)>) -> Variable {
    let (value, masked) = secrets::mask(name, value);
    let (file, line) = place.map_or((None, 0), |(file, line)| (Some(file), line));
    Variable {
        name: name.to_owned(),
        value,
        masked,
        origin: match origin {
            Origin::Inherited => VariableOrigin::Inherited,
            Origin::Daemon => VariableOrigin::Daemon,
            Origin::Account => VariableOrigin::Account,
            Origin::File(..) => VariableOrigin::EnvFile,
            Origin::Common | Origin::Own => VariableOrigin::Key,
        },
        file,
        line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::settings;

    fn environment<const N: usize>(given: [(&str, &str); N]) -> Environment {
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Environment(given.into_iter().collect())
    }

    #[test]
    fn each_layer_beats_those_beneath_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            EnvFile {
                path,
                optional: false,
            }
        };
        // Each variable is called after the strongest layer that sets it.
        let mut process = settings("web");
        process.launch.env_layers.common_files = vec![file("a", "C=1\nD=1\nE=1\nF=1\n")];
        process.launch.env_layers.common = environment([("D", "2"), ("E", "2"), ("F", "2")]);
        process.launch.env_layers.files = vec![file("b", "E=0\nF=0\n"), file("c", "#\nE=3\nF=3\n")];
        process.launch.environment = environment([("F", "4")]);
        let names = ["A", "TASKMASTER_ENABLED", "C", "D", "E", "F"];
        let inherited = names.map(|name| (name.into(), "0".into())).into();
        let variables = Variables::of(&process, &inherited, Some("unix:///x"));
        assert_eq!(variables.failure, None);
        let layers = &process.launch.env_layers;
        let expected = [
            ("0", Origin::Inherited),
            ("1", Origin::Daemon),
            ("1", Origin::File(&layers.common_files[0], 1)),
            ("2", Origin::Common),
            ("3", Origin::File(&layers.files[1], 2)),
            ("4", Origin::Own),
        ];
        for (name, (value, origin)) in names.into_iter().zip(expected) {
            let found = &variables.values[std::ffi::OsStr::new(name)];
            assert_eq!(*found, (value.into(), origin), "{name}");
        }
        assert_eq!(format!("{variables:?}"), "<13 variables>");
    }

    #[test]
    fn only_a_file_that_is_needed_fails_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("bad"), "A=1\nsecret value\n").unwrap();
        let files = |names: &[&str], optional| -> Vec<EnvFile> {
            let file = |name: &&str| EnvFile {
                path: path(name),
                optional,
            };
            names.iter().map(file).collect()
        };
        let mut process = settings("web");
        process.launch.env_layers.files = files(&["none", "bad/none", "bad", "."], true);
        let variables = Variables::of(&process, &BTreeMap::new(), None);
        assert_eq!(variables.failure, None);
        let here = directory.path().display();
        assert_eq!(
            variables.ignored,
            [
                format!("{here}/bad:2:7: expected `=` after the name"),
                format!("cannot read {here}/.: not a regular file")
            ]
        );
        for (name, subject, errno) in [
            ("none", format!("{here}/none"), libc::ENOENT),
            ("bad", variables.ignored[0].clone(), 0),
            (".", variables.ignored[1].clone(), 0),
        ] {
            let mut process = settings("web");
            process.launch.env_layers.files = files(&[name, "none"], false);
            let failure = Variables::of(&process, &BTreeMap::new(), None).failure;
            let expected = SpawnFailure {
                step: SpawnStep::Environment,
                subject,
                errno,
            };
            assert_eq!(failure, Some(expected), "{name}");
        }
    }
}
