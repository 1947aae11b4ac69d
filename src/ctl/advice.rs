//! What can be done about a process that does not do what it should: one sentence, or none.

use super::story::setting;
use crate::wire::{ExitStatus, Failure, ProcessState, Step, Story, Trouble};
use nix::errno::Errno;

/// Advice for a process in trouble.
pub fn of(story: &Story) -> Option<String> {
    let name = &story.row.name;
    match &story.row.trouble {
        Some(Trouble::Spawn(failure)) => Some(about_spawn(story, failure)),
        Some(Trouble::ExitedTooQuickly(status)) => Some(match killed(status) {
            Some(advice) => advice,
            None => format!(
                "its output tells why it ended (tail {name} stderr); where a short life is right, set startsecs=0"
            ),
        }),
        Some(Trouble::UnexpectedExit(status)) => killed(status).or_else(|| {
            (story.row.state == ProcessState::Exited).then(|| {
                format!(
                    "its output tells why (tail {name} stderr); start it again with: start {name}"
                )
            })
        }),
        None => match story.row.state {
            ProcessState::Stopped => Some(format!("start it with: start {name}")),
            ProcessState::Starting
            | ProcessState::Running
            | ProcessState::Backoff
            | ProcessState::Stopping
            | ProcessState::Exited
            | ProcessState::Fatal
            | ProcessState::Unknown => None,
        },
    }
}

/// A KILL that nobody here sent has mostly one cause.
fn killed(status: &ExitStatus) -> Option<String> {
    match status {
        ExitStatus::Signal { number: 9, .. } => Some(
            "somebody killed it; where nobody did, the machine ran out of memory (see dmesg)"
                .to_owned(),
        ),
        ExitStatus::Signal { .. } | ExitStatus::Code(_) | ExitStatus::Unknown => None,
    }
}

fn about_spawn(story: &Story, failure: &Failure) -> String {
    let subject = &failure.subject;
    let then = format!("then: update, start {}", story.row.name);
    let key = |name| setting(story, name);
    match (failure.step, Errno::from_raw(failure.errno)) {
        (Step::Environment, _) => format!(
            "mend that file, or {}; {then}; what it would get: env {}",
            key("env_file"),
            story.row.name
        ),
        (Step::Lookup, Errno::ENOENT) => {
            format!(
                "correct {}, or install '{subject}' along PATH; {then}",
                key("command")
            )
        }
        (Step::Lookup, Errno::EISDIR) => {
            format!(
                "name a program, not a directory, in {}; {then}",
                key("command")
            )
        }
        (Step::Lookup | Step::Exec, Errno::EACCES) => format!(
            "make '{subject}' executable for the user it runs as (chmod +x), or correct {}",
            key("command")
        ),
        (Step::Exec, Errno::ENOENT) => {
            format!(
                "install the interpreter that the first line of '{subject}' names, or correct that line"
            )
        }
        (Step::Exec, Errno::ENOEXEC) => {
            format!("give '{subject}' a first line such as #!/bin/sh, or a build for this machine")
        }
        (Step::Directory, Errno::ENOENT) => {
            format!(
                "make the directory {subject}, or correct {}; {then}",
                key("directory")
            )
        }
        (Step::Directory, _) => {
            format!(
                "let the user of the program enter {subject}, or correct {}; {then}",
                key("directory")
            )
        }
        (Step::Groups | Step::GroupId | Step::UserId, _) => format!(
            "only a daemon that runs as root can change users: start it as root, or leave out {}",
            key("user")
        ),
        (Step::Socket, Errno::EADDRINUSE) => format!(
            "stop what listens on {subject} (ss -lp shows it), or correct {}; {then}",
            key("socket")
        ),
        (Step::Socket, _) => format!(
            "let the daemon's user listen on {subject}, or correct {}; {then}",
            key("socket")
        ),
        (Step::Pipe, Errno::EMFILE | Errno::ENFILE) => {
            "allow the daemon more open files (minfds, LimitNOFILE=); it tries again by itself"
                .to_owned()
        }
        (Step::Fork, Errno::EAGAIN) => {
            "allow more processes (minprocs, TasksMax=); it tries again by itself".to_owned()
        }
        (Step::Fork | Step::Exec, Errno::ENOMEM) => {
            "the machine is out of memory; it tries again by itself".to_owned()
        }
        (Step::Orphan, _) => format!(
            "stop it (kill {subject}), and this one starts by itself; or set on_orphans=adopt, and a daemon takes it over"
        ),
        (
            Step::Lookup
            | Step::Pipe
            | Step::Fork
            | Step::Session
            | Step::Descriptors
            | Step::Limits
            | Step::Exec,
            _,
        ) => format!(
            "the daemon's log tells more (maintail); the command is {}",
            key("command")
        ),
    }
}
