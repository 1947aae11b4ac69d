//! From the settings of a process to what the kernel is asked for: words, environment, descriptors.
//!
//! Everything that can be looked up, allocated or explained happens here, before the fork. Which variables a child is
//! given is told in [`super::environment`].

use super::capture;
use super::environment::Variables;
use super::journal::Details;
use crate::config::fingerprint::Fingerprint;
use crate::config::model::{LogSettings, ProcessSettings, User};
use crate::engine::event::{SpawnFailure, SpawnStep};
use crate::sys::limits::Limit;
use crate::sys::lookup::{Lookups, lookup};
use crate::sys::mounts::Mounts;
use crate::sys::spawn::{self, Identity, Journal, SpawnSpec, Spawned, Spawner};
use crate::sys::{clock, limits, notify, pipe};
use crate::types::Generation;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Search path where neither the program nor the daemon has one.
const DEFAULT_PATH: &str = "/bin:/usr/bin:/usr/local/bin";
/// Descriptors that programs leave: for the rest of the start that is under way, for logs, and for an operator who comes
/// to see why no more programs start.
const RESERVED_DESCRIPTORS: u64 = 24;

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
            .open("/dev/null")
            .map_err(|error| std::io::Error::other(format!("can't open /dev/null: {error}")))?;
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
        let environment = self.environment_of(settings)?;
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
        let environment = self.environment_of(settings)?;
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
        let identity = self.identity_of(launch.user.as_deref());

        let name = settings.key.to_string();
        let piped = |error: std::io::Error| {
            let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
            failed(SpawnStep::Pipe, &name, errno)
        };
        let (input, stdin_writer) = if listener.is_some() {
            (None, None)
        } else {
            let (reader, writer) = input().map_err(piped)?;
            (Some(reader), Some(writer))
        };
        let stdin = listener.or(input.as_ref().map(OwnedFd::as_fd));
        // A listener's output is read whether or not it is logged.
        let is_read = launch.listener || settings.stdout.is_read();
        let stdout = Output::open(is_read, &settings.stdout).map_err(piped)?;
        let stderr = if launch.redirect_stderr {
            Output::Same
        } else {
            Output::open(settings.stderr.is_read(), &settings.stderr).map_err(piped)?
        };
        let stdout_end = stdout.child_end().unwrap_or(self.null.as_fd());
        let stderr_end = match &stderr {
            Output::Same => stdout_end,
            Output::Null | Output::File(_) | Output::Pipe { .. } => {
                stderr.child_end().unwrap_or(self.null.as_fd())
            }
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

    /// Nobody but root can set groups, and nobody needs to who is the user already.
    fn identity_of(&self, user: Option<&User>) -> Option<Identity> {
        let foreign = |user: &&User| self.uid == 0 || user.uid != self.uid;
        user.filter(foreign).map(|user| Identity {
            uid: user.uid,
            gid: user.gid,
            groups: user.groups.clone(),
        })
    }

    /// What a process would find in its environment.
    pub fn variables<'s>(&self, settings: &'s ProcessSettings) -> Variables<'s> {
        Variables::of(settings, &self.environment, self.server_url.as_deref())
    }

    fn environment_of(
        &self,
        settings: &ProcessSettings,
    ) -> Result<BTreeMap<OsString, OsString>, SpawnFailure> {
        let Variables {
            values,
            failure,
            ignored,
        } = self.variables(settings);
        for problem in ignored {
            log::warn!("{}: optional env_file left out: {problem}", settings.key);
        }
        failure.map_or_else(
            || {
                let values = values.into_iter();
                Ok(values.map(|(name, (value, _))| (name, value)).collect())
            },
            Err,
        )
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

/// The pipe of a standard input, unless that takes one of the descriptors that programs leave.
fn input() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe::input()?;
    if limits::is_nearly_the_last(&writer, RESERVED_DESCRIPTORS) {
        return Err(Errno::EMFILE.into());
    }
    Ok((reader, writer))
}

/// Where one output stream of a child leads.
enum Output {
    /// Nowhere.
    Null,
    /// Into its log.
    File(OwnedFd),
    /// Into a pipe.
    Pipe { reader: OwnedFd, writer: OwnedFd },
    /// Where the other stream leads.
    Same,
}

impl Output {
    /// A log that cannot be opened for the program goes through the daemon after all, which tells what is wrong with it
    /// and tries again.
    fn open(read: bool, log: &LogSettings) -> std::io::Result<Self> {
        if !read {
            return Ok(Self::Null);
        }
        if log.direct
            && let Some(path) = log.target.path()
            && let Ok(file) = capture::open_for_program(path)
        {
            return Ok(Self::File(file));
        }
        pipe::output().map(|(reader, writer)| Self::Pipe { reader, writer })
    }

    fn child_end(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Pipe { writer, .. } | Self::File(writer) => Some(writer.as_fd()),
            Self::Null | Self::Same => None,
        }
    }

    fn into_reader(self) -> Option<OwnedFd> {
        match self {
            Self::Pipe { reader, .. } => Some(reader),
            Self::Null | Self::File(_) | Self::Same => None,
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
        SpawnStep::Environment
        | SpawnStep::Pipe
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
