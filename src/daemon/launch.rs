//! From the settings of a process to what the kernel is asked for: words, environment, descriptors.
//!
//! Everything that can be looked up, allocated or explained happens here, before the fork. What a child is given is
//! the same at every start: the environment the daemon was started with, then `SUPERVISOR_*` and `TASKMASTER_*`, then
//! the account's variables, then those of the file.

use super::journal::Details;
use crate::config::fingerprint::Fingerprint;
use crate::config::model::{Environment, ProcessSettings, User};
use crate::engine::event::{SpawnFailure, SpawnStep};
use crate::sys::limits::Limit;
use crate::sys::lookup::{Lookups, lookup};
use crate::sys::mounts::Mounts;
use crate::sys::spawn::{self, Identity, Journal, SpawnSpec, Spawned, Spawner};
use crate::sys::{clock, notify, pipe};
use crate::types::Generation;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Search path where neither the program nor the daemon has one.
const DEFAULT_PATH: &str = "/bin:/usr/bin:/usr/local/bin";

/// Variables that speak to the daemon alone: readiness and socket hand-over of a service manager.
const NOT_FOR_CHILDREN: [&str; 6] = [
    notify::VARIABLE,
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    super::reexec::MARKER,
    super::reexec::HANDOVER,
];

/// What all children have in common.
#[derive(Debug)]
pub struct Launcher {
    environment: BTreeMap<OsString, OsString>,
    /// None where the daemon has no socket.
    server_url: Option<String>,
    limits: Vec<Limit>,
    null: OwnedFd,
    spawner: Spawner,
    lookups: Lookups,
    /// `None` where the kernel does not list them.
    mounts: Option<Mounts>,
    uid: u32,
}

/// A process that was made, and the daemon's ends of its pipes.
#[derive(Debug)]
pub struct Launched {
    /// The process, and how its start went.
    pub spawned: Spawned,
    /// Its standard input, unless that is a listening socket.
    pub stdin: Option<OwnedFd>,
    /// Its standard output, where it is captured.
    pub stdout: Option<OwnedFd>,
    /// Its standard error, where it is captured apart from its output.
    pub stderr: Option<OwnedFd>,
    /// What it has written down about itself.
    pub details: Details,
}

impl Launcher {
    /// Remembers the daemon's own environment and the limits it was started with.
    pub fn new(socket: Option<&Path>, limits: Vec<Limit>) -> std::io::Result<Self> {
        let environment = std::env::vars_os()
            .filter(|(name, _)| !NOT_FOR_CHILDREN.iter().any(|hidden| name == hidden))
            .collect();
        let null = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        Ok(Self {
            environment,
            server_url: socket.map(|socket| format!("unix://{}", socket.display())),
            limits,
            null: null.into(),
            spawner: Spawner::new()?,
            lookups: Lookups::default(),
            mounts: Mounts::read().ok(),
            uid: nix::unistd::geteuid().as_raw(),
        })
    }

    /// Why the program of a process could not be executed, as far as that is seen without trying.
    pub fn look(&self, settings: &ProcessSettings) -> Result<(), SpawnFailure> {
        let launch = &settings.launch;
        let environment = self.environment_of(settings);
        let word = launch.argv.first().map_or("", String::as_str);
        let path = environment
            .get(std::ffi::OsStr::new("PATH"))
            .map(|path| path.to_string_lossy());
        lookup(
            word,
            Some(path.as_deref().unwrap_or(DEFAULT_PATH)),
            launch.directory.as_deref(),
        )
        .map(drop)
        .map_err(|errno| failed(SpawnStep::Lookup, word, errno))
    }

    /// Makes the process. `journal` is where it writes itself down before it executes its program; `listener` becomes its
    /// standard input where it has one.
    pub fn launch(
        &mut self,
        settings: &ProcessSettings,
        generation: Generation,
        journal: BorrowedFd<'_>,
        listener: Option<BorrowedFd<'_>>,
    ) -> Result<Launched, SpawnFailure> {
        let launch = &settings.launch;
        let environment = self.environment_of(settings);
        let word = launch.argv.first().map_or("", String::as_str);
        let path = environment
            .get(std::ffi::OsStr::new("PATH"))
            .map(|path| path.to_string_lossy());
        let found = self.lookups.lookup(
            word,
            Some(path.as_deref().unwrap_or(DEFAULT_PATH)),
            launch.directory.as_deref(),
        );
        let program = found.map_err(|errno| failed(SpawnStep::Lookup, word, errno))?;

        let exec = |errno| failed(SpawnStep::Exec, word, errno);
        let program = c_string(program.into_os_string()).map_err(exec)?;
        let argv = launch
            .argv
            .iter()
            .map(|word| c_string(word.into()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(exec)?;
        let envp = variables(environment).map_err(exec)?;
        let directory = launch
            .directory
            .as_ref()
            .map(|directory| c_string(directory.clone().into_os_string()))
            .transpose()
            .map_err(|errno| failed(SpawnStep::Directory, word, errno))?;
        // Nobody but root can set groups, and nobody needs to who is the user already.
        let foreign = |user: &&User| self.uid == 0 || user.uid != self.uid;
        let identity = launch.user.as_ref().filter(foreign).map(|user| Identity {
            uid: user.uid,
            gid: user.gid,
            groups: user.groups.clone(),
        });

        let name = settings.key.to_string();
        let piped = |error: std::io::Error| {
            let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
            failed(SpawnStep::Pipe, &name, errno)
        };
        let (input, stdin_writer) = if listener.is_some() {
            (None, None)
        } else {
            let (reader, writer) = pipe::input().map_err(piped)?;
            (Some(reader), Some(writer))
        };
        let stdin = listener.or(input.as_ref().map(OwnedFd::as_fd));
        // A listener's output is read whether or not it is logged.
        let stdout = Output::open(launch.listener || settings.stdout.is_read()).map_err(piped)?;
        let stderr = if launch.redirect_stderr {
            Output::Same
        } else {
            Output::open(settings.stderr.is_read()).map_err(piped)?
        };
        let stdout_end = stdout.child_end().unwrap_or(self.null.as_fd());
        let stderr_end = match &stderr {
            Output::Same => stdout_end,
            Output::Null | Output::Pipe { .. } => stderr.child_end().unwrap_or(self.null.as_fd()),
        };

        let numbers = [
            stdin_writer.as_ref().and_then(pipe::identity),
            stdout.child_end().and_then(pipe::identity),
            stderr.child_end().and_then(pipe::identity),
        ];
        let details = details(settings, generation, numbers);
        let prefix = details.line(&settings.key);
        let is_prompt = self
            .mounts
            .as_mut()
            .is_some_and(|mounts| mounts.can_start(&program, directory.as_deref()));
        let spec = SpawnSpec {
            program: &program,
            argv: &argv,
            envp: &envp,
            directory: directory.as_deref(),
            umask: launch.umask,
            identity: identity.as_ref(),
            limits: &self.limits,
            stdin: stdin.unwrap_or(self.null.as_fd()),
            stdout: stdout_end,
            stderr: stderr_end,
            journal: Some(Journal {
                file: journal,
                prefix: prefix.as_bytes(),
            }),
            may_hang: !is_prompt,
        };
        let spawned = self.spawner.spawn(&spec).map_err(|error| {
            failed(
                step(error.step),
                &subject(settings, step(error.step)),
                error.errno,
            )
        })?;
        Ok(Launched {
            spawned,
            stdin: stdin_writer,
            stdout: stdout.into_reader(),
            stderr: stderr.into_reader(),
            details,
        })
    }

    fn environment_of(&self, settings: &ProcessSettings) -> BTreeMap<OsString, OsString> {
        let launch = &settings.launch;
        let mut environment = self.environment.clone();
        let mut set = |name: &str, value: &str| {
            environment.insert(name.into(), value.into());
        };
        set("SUPERVISOR_ENABLED", "1");
        set("TASKMASTER_ENABLED", "1");
        let url = launch.server_url.as_deref().or(self.server_url.as_deref());
        for prefix in ["SUPERVISOR", "TASKMASTER"] {
            if let Some(url) = url {
                set(&format!("{prefix}_SERVER_URL"), url);
            }
            set(
                &format!("{prefix}_PROCESS_NAME"),
                settings.key.process.as_str(),
            );
            set(&format!("{prefix}_GROUP_NAME"), settings.key.group.as_str());
        }
        if let Some(user) = &launch.user {
            account_variables(user, &mut set);
        }
        let Environment(own) = &launch.environment;
        for (name, value) in own {
            set(name, value);
        }
        environment
    }
}

/// Variables as the kernel takes them.
fn variables(environment: BTreeMap<OsString, OsString>) -> Result<Vec<CString>, Errno> {
    let lines = environment.into_iter().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        c_string(name)
    });
    lines.collect()
}

/// What a process writes down about itself.
fn details(settings: &ProcessSettings, generation: Generation, pipes: [Option<u64>; 3]) -> Details {
    Details {
        generation,
        started_at: clock::now(),
        pipes,
        fingerprint: Fingerprint::of(settings),
    }
}

/// A program that runs as another account finds that account's variables, not those of whoever started the daemon.
fn account_variables(user: &User, set: &mut impl FnMut(&str, &str)) {
    set("USER", &user.name);
    set("LOGNAME", &user.name);
    if let Some(home) = &user.home {
        set("HOME", &home.to_string_lossy());
    }
    if let Some(shell) = &user.shell {
        set("SHELL", &shell.to_string_lossy());
    }
}

/// Where one output stream of a child leads.
enum Output {
    /// Nowhere.
    Null,
    /// Into a pipe.
    Pipe { reader: OwnedFd, writer: OwnedFd },
    /// Where the other stream leads.
    Same,
}

impl Output {
    fn open(read: bool) -> std::io::Result<Self> {
        if !read {
            return Ok(Self::Null);
        }
        pipe::output().map(|(reader, writer)| Self::Pipe { reader, writer })
    }

    fn child_end(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Pipe { writer, .. } => Some(writer.as_fd()),
            Self::Null | Self::Same => None,
        }
    }

    fn into_reader(self) -> Option<OwnedFd> {
        match self {
            Self::Pipe { reader, .. } => Some(reader),
            Self::Null | Self::Same => None,
        }
    }
}

/// What a step of the start works on, for the message when it fails.
pub fn subject(settings: &ProcessSettings, step: SpawnStep) -> String {
    let launch = &settings.launch;
    match step {
        SpawnStep::Lookup | SpawnStep::Exec => launch.argv.first().cloned().unwrap_or_default(),
        SpawnStep::Directory => launch
            .directory
            .as_ref()
            .map(|directory| directory.display().to_string())
            .unwrap_or_default(),
        SpawnStep::Groups | SpawnStep::GroupId | SpawnStep::UserId => launch
            .user
            .as_ref()
            .map(|user| user.name.clone())
            .unwrap_or_default(),
        SpawnStep::Socket => launch
            .listen
            .as_ref()
            .map(|listen| listen.address.to_string())
            .unwrap_or_default(),
        SpawnStep::Pipe
        | SpawnStep::Fork
        | SpawnStep::Session
        | SpawnStep::Descriptors
        | SpawnStep::Limits
        | SpawnStep::Orphan => settings.key.to_string(),
    }
}

/// The engine's word for a step of `sys`.
pub fn step(step: spawn::Step) -> SpawnStep {
    match step {
        spawn::Step::Lookup => SpawnStep::Lookup,
        spawn::Step::Pipe => SpawnStep::Pipe,
        spawn::Step::Fork => SpawnStep::Fork,
        spawn::Step::Session => SpawnStep::Session,
        spawn::Step::Descriptors => SpawnStep::Descriptors,
        spawn::Step::Limits => SpawnStep::Limits,
        spawn::Step::Groups => SpawnStep::Groups,
        spawn::Step::GroupId => SpawnStep::GroupId,
        spawn::Step::UserId => SpawnStep::UserId,
        spawn::Step::Directory => SpawnStep::Directory,
        spawn::Step::Exec => SpawnStep::Exec,
    }
}

fn failed(step: SpawnStep, subject: &str, errno: Errno) -> SpawnFailure {
    SpawnFailure {
        step,
        subject: subject.to_owned(),
        errno: errno as i32,
    }
}

fn c_string(text: OsString) -> Result<CString, Errno> {
    CString::new(text.into_vec()).map_err(|_| Errno::EINVAL)
}
