//! The words for a failed start, used by the daemon's log and by the console alike.
//!
//! Where Supervisor has a sentence for the failure, it is Supervisor's.

use super::response::{Failure, Step};
use nix::errno::Errno;
use std::fmt;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.subject;
        let errno = Errno::from_raw(self.errno);
        let reason = lower_first(errno.desc());
        match (self.step, errno) {
            (Step::Environment, _) if self.errno == 0 => write!(f, "bad env_file: {subject}"),
            (Step::Environment, _) => write!(f, "can't read env_file {subject}: {reason}"),
            (Step::Lookup, Errno::ENOENT) => write!(f, "can't find command '{subject}'"),
            (Step::Lookup, Errno::EISDIR) => write!(f, "command at '{subject}' is a directory"),
            (Step::Lookup, Errno::EACCES) => write!(f, "command at '{subject}' is not executable"),
            (Step::Lookup, _) => write!(f, "can't look up command '{subject}': {reason}"),
            (Step::Socket, Errno::EADDRINUSE) => {
                write!(
                    f,
                    "can't listen on {subject}: another program listens there"
                )
            }
            (Step::Socket, Errno::ENOTSOCK) => {
                write!(
                    f,
                    "can't listen on {subject}: a file that is no socket is there"
                )
            }
            (Step::Socket, _) if self.errno == 0 => {
                write!(
                    f,
                    "can't listen on {subject}: the host has no known address"
                )
            }
            (Step::Socket, _) => write!(f, "can't listen on {subject}: {reason}"),
            (Step::Pipe, Errno::EMFILE | Errno::ENFILE) => {
                write!(f, "too many open files to spawn '{subject}'")
            }
            (Step::Pipe, _) => write!(f, "can't make pipes for '{subject}': {reason}"),
            (Step::Fork, Errno::EAGAIN) => {
                write!(
                    f,
                    "Too many processes in process table to spawn '{subject}'"
                )
            }
            (Step::Fork, _) => write!(f, "can't make a process for '{subject}': {reason}"),
            (Step::Session, _) => write!(f, "can't start a session: {reason}"),
            (Step::Descriptors, _) => write!(f, "can't set up descriptors: {reason}"),
            (Step::Limits, _) => write!(f, "can't set limit {subject}: {reason}"),
            (Step::Groups, _) => write!(f, "couldn't set the groups of {subject}: {reason}"),
            (Step::GroupId, _) => write!(f, "couldn't setgid to {subject}: {reason}"),
            (Step::UserId, _) => write!(f, "couldn't setuid to {subject}: {reason}"),
            (Step::Directory, Errno::ENOENT) => write!(f, "chdir to {subject}: no such directory"),
            (Step::Directory, _) => write!(f, "chdir to {subject}: {reason}"),
            (Step::Exec, Errno::EACCES) => write!(f, "no permission to run command '{subject}'"),
            (Step::Exec, Errno::ENOENT) => {
                write!(
                    f,
                    "can't execute '{subject}': the interpreter or loader it names does not exist"
                )
            }
            (Step::Exec, Errno::ENOEXEC) => {
                write!(
                    f,
                    "can't execute '{subject}': not a program (a script begins with a line such as #!/bin/sh)"
                )
            }
            (Step::Orphan, _) => write!(
                f,
                "pid {subject}, left by a daemon that was killed, still runs (on_orphans=leave)"
            ),
            (Step::Exec, _) => write!(f, "can't execute '{subject}': {reason}"),
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(0..1) {
        first.make_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_use_supervisors_words_where_it_has_some() {
        let words = |step, subject: &str, errno: Errno| {
            Failure {
                step,
                subject: subject.to_owned(),
                errno: errno as i32,
            }
            .to_string()
        };
        assert_eq!(
            words(Step::Environment, "/etc/x", Errno::ENOENT),
            "can't read env_file /etc/x: no such file or directory"
        );
        assert_eq!(
            words(Step::Environment, "/etc/x:3:1: oh", Errno::from_raw(0)),
            "bad env_file: /etc/x:3:1: oh"
        );
        assert_eq!(
            words(Step::Lookup, "/nope", Errno::ENOENT),
            "can't find command '/nope'"
        );
        assert_eq!(
            words(Step::Lookup, "/tmp", Errno::EISDIR),
            "command at '/tmp' is a directory"
        );
        assert_eq!(
            words(Step::Lookup, "/x", Errno::EACCES),
            "command at '/x' is not executable"
        );
        let socket = |errno| words(Step::Socket, "unix:///run/x", errno);
        assert_eq!(
            socket(Errno::EADDRINUSE),
            "can't listen on unix:///run/x: another program listens there"
        );
        assert_eq!(
            socket(Errno::ENOTSOCK),
            "can't listen on unix:///run/x: a file that is no socket is there"
        );
        assert_eq!(
            socket(Errno::from_raw(0)),
            "can't listen on unix:///run/x: the host has no known address"
        );
        assert_eq!(
            socket(Errno::EACCES),
            "can't listen on unix:///run/x: permission denied"
        );
        assert_eq!(
            words(Step::Pipe, "web", Errno::EMFILE),
            "too many open files to spawn 'web'"
        );
        assert_eq!(
            words(Step::Fork, "web", Errno::EAGAIN),
            "Too many processes in process table to spawn 'web'"
        );
        assert_eq!(
            words(Step::Directory, "/srv/x", Errno::ENOENT),
            "chdir to /srv/x: no such directory"
        );
        assert_eq!(
            words(Step::Directory, "/srv/x", Errno::EACCES),
            "chdir to /srv/x: permission denied"
        );
        assert_eq!(
            words(Step::UserId, "www", Errno::EPERM),
            "couldn't setuid to www: operation not permitted"
        );
    }
}
