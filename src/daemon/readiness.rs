//! Going into the background, and telling the command that was launched whether the daemon serves.
//!
//! The launching process stays until the daemon has spoken: it exits with 0 only when the daemon serves, else with the
//! daemon's reason and status. A daemon that dies without a word counts as an internal error.

use super::exit::DaemonExit;
use daemonize::{Daemonize, Outcome};
use nix::fcntl::OFlag;
use std::fs::File;
use std::io::{Read, Write};

/// First byte of the message: the daemon serves.
const READY: u8 = 0;

/// Which side of the fork this is.
#[derive(Debug)]
pub enum Side {
    /// The launching command: what it is to print and exit with.
    Launcher {
        /// Exit status.
        status: u8,
        /// What the daemon said, for the standard error.
        message: String,
    },
    /// The daemon, which owes the launching command a word.
    Daemon(Readiness),
}

/// The daemon's promise to tell the launching command how it went.
#[derive(Debug)]
pub struct Readiness {
    /// None in the foreground, where the launching command is the daemon.
    pipe: Option<File>,
}

impl Readiness {
    /// Nobody waits.
    pub fn foreground() -> Self {
        Self { pipe: None }
    }

    /// The daemon serves.
    pub fn ready(self) {
        self.send(READY, "");
    }

    /// The daemon does not serve, for this reason. Returns whether somebody waited to hear it.
    pub fn fail(self, status: DaemonExit, called_as: &str, message: &str) -> bool {
        let waited = self.pipe.is_some();
        self.send(status.code(called_as), message);
        waited
    }

    fn send(self, status: u8, message: &str) {
        if let Some(mut pipe) = self.pipe {
            let mut bytes = vec![status];
            bytes.extend_from_slice(message.as_bytes());
            // An error means that the launching command was killed: nobody is left to tell.
            let _told = pipe.write_all(&bytes);
        }
    }
}

/// Forks into the background. The daemon keeps its working directory; its standard streams are `/dev/null`.
///
/// # Errors
/// The reason why no daemon could be made.
pub fn detach(umask: u32) -> Result<Side, String> {
    let (reader, writer) =
        nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|errno| format!("pipe: {errno}"))?;
    match Daemonize::new()
        .working_directory(".")
        .umask(umask)
        .execute()
    {
        Outcome::Parent(Ok(_)) => {
            drop(writer);
            Ok(wait_for(File::from(reader)))
        }
        Outcome::Child(Ok(_)) => Ok(Side::Daemon(Readiness {
            pipe: Some(File::from(writer)),
        })),
        Outcome::Parent(Err(error)) | Outcome::Child(Err(error)) => Err(error.to_string()),
    }
}

fn wait_for(mut reader: File) -> Side {
    let mut said = Vec::new();
    let heard = reader.read_to_end(&mut said);
    match said.split_first() {
        Some((&READY, _)) if heard.is_ok() => Side::Launcher {
            status: READY,
            message: String::new(),
        },
        Some((&status, message)) => Side::Launcher {
            status,
            message: String::from_utf8_lossy(message).into_owned(),
        },
        None => Side::Launcher {
            status: DaemonExit::Internal as u8,
            message: "the daemon ended before it was ready; its log may say why".to_owned(),
        },
    }
}
