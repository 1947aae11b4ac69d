//! Changes of state, told above the prompt of somebody who is typing.
//!
//! A thread with a connection of its own subscribes to states and prints through the line editor, which moves the
//! half-typed line down. It tells only where a process came to rest, only while the prompt is open, and nothing right
//! after an action: what that did, it has said itself. A daemon that is gone is told, and looked for until it is back.
//!
//! It never asks for anything but the subscription, so it cannot change anything.

use super::connect::Server;
use super::connection::{Connection, TalkError, Wake, url};
use super::escape;
use crate::wire::{Notice, ProcessState, ServerFrame, Topic};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow};
use rustyline::ExternalPrinter;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two attempts to reach a daemon that is gone, in milliseconds.
const PAUSE: u16 = 1000;
/// How long after an action its own consequences may still arrive.
const AFTERMATH: Duration = Duration::from_millis(250);

/// Whether there is somebody to tell, and from when on.
#[derive(Debug, Clone, Default)]
pub struct Attention(Arc<Mutex<Option<Instant>>>);

impl Attention {
    /// The prompt opens. `acted` says that an action came before it.
    pub fn open(&self, acted: bool) {
        let pause = if acted { AFTERMATH } else { Duration::ZERO };
        self.set(Some(Instant::now() + pause));
    }

    /// The prompt is closed.
    pub fn close(&self) {
        self.set(None);
    }

    fn set(&self, from: Option<Instant>) {
        if let Ok(mut state) = self.0.lock() {
            *state = from;
        }
    }

    /// Whether somebody wants to hear something now.
    ///
    /// Printing waits until the prompt has taken what was printed before. Nothing is locked meanwhile, or a prompt that
    /// is just being closed and the printing would wait for each other.
    fn is_there(&self) -> bool {
        self.0
            .lock()
            .is_ok_and(|state| state.is_some_and(|from| from <= Instant::now()))
    }

    /// Tells as soon as somebody wants to hear it: it must not get lost. False when `stop` came first.
    fn tell_later(&self, stop: &OwnedFd, say: impl FnOnce()) -> bool {
        loop {
            if self.is_there() {
                say();
                return true;
            }
            if stopped(stop, 100) {
                return false;
            }
        }
    }
}

/// A thread that tells. It ends some time after this is dropped: it may wait for a prompt to take its words.
#[derive(Debug)]
pub struct Announcer {
    /// Closing it is the sign to end.
    _stop: OwnedFd,
}

impl Announcer {
    /// Begins to tell what happens at `server`.
    pub fn start(
        server: Server,
        attention: Attention,
        printer: impl ExternalPrinter + Send + 'static,
        colour: bool,
    ) -> io::Result<Self> {
        let (stopped, stop) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        // Signals are for the thread that reads the terminal; the new one inherits the mask.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let thread = std::thread::Builder::new()
            .name("announcer".to_owned())
            .spawn(move || {
                let mut teller = Teller {
                    server,
                    attention,
                    printer,
                    colour,
                    stop: stopped,
                };
                teller.run();
            });
        before.thread_set_mask()?;
        thread?;
        Ok(Self { _stop: stop })
    }
}

struct Teller<Printer> {
    server: Server,
    attention: Attention,
    printer: Printer,
    colour: bool,
    stop: OwnedFd,
}

impl<Printer: ExternalPrinter> Teller<Printer> {
    fn run(&mut self) {
        let mut lost = false;
        loop {
            if let Ok(mut connection) = Connection::open(&self.server, PATIENCE)
                && let Ok(Ok(id)) = connection.subscribe(Topic::States, Some(self.stop.as_fd()))
            {
                let pid = connection.daemon().pid;
                if lost && !self.say_later(&format!("the daemon is back (pid {pid})")) {
                    return;
                }
                if !self.listen(&mut connection, id) {
                    return;
                }
                let gone = format!("the daemon at {} is gone", url(&self.server.socket));
                if !self.say_later(&gone) {
                    return;
                }
                lost = true;
            }
            if stopped(&self.stop, PAUSE) {
                return;
            }
        }
    }

    /// Tells until the daemon is gone. False when it is time to stop.
    fn listen(&mut self, connection: &mut Connection, id: u64) -> bool {
        loop {
            match connection.wait(Some(self.stop.as_fd()), None) {
                Ok(Wake::Frame(ServerFrame::Notice { id: of, notice })) if of == id => {
                    if let Some(text) = words(&notice, self.colour)
                        && self.attention.is_there()
                    {
                        // A terminal that cannot be written to is the other thread's matter.
                        drop(self.printer.print(text));
                    }
                }
                Ok(Wake::Frame(ServerFrame::End { .. })) => return true,
                Ok(Wake::Frame(_) | Wake::Other | Wake::Late) => {}
                Ok(Wake::Interrupted) | Err(TalkError::Interrupted) => return false,
                Err(_) => return true,
            }
        }
    }

    fn say_later(&mut self, text: &str) -> bool {
        let line = framed(text, "1", self.colour);
        let printer = &mut self.printer;
        self.attention
            .tell_later(&self.stop, || drop(printer.print(line)))
    }
}

/// Whether it is time to stop, after waiting for that.
fn stopped(stop: &OwnedFd, millis: u16) -> bool {
    let mut watched = [PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
    poll(&mut watched, PollTimeout::from(millis)).is_ok_and(|ready| ready > 0)
}

/// A notice in words, if it is worth any: where a process came to rest.
fn words(notice: &Notice, colour: bool) -> Option<String> {
    let (text, code) = match notice {
        Notice::State { name, to, .. } => {
            let code = match to {
                ProcessState::Starting | ProcessState::Stopping => return None,
                ProcessState::Running
                | ProcessState::Stopped
                | ProcessState::Backoff
                | ProcessState::Exited
                | ProcessState::Fatal
                | ProcessState::Unknown => super::table::colour_of(*to),
            };
            (format!("{name}: {}", to.name().to_lowercase()), code)
        }
        Notice::GroupAdded { group } => (format!("{group}: added process group"), "2"),
        Notice::GroupRemoved { group } => (format!("{group}: removed process group"), "2"),
        Notice::Gap { lost } => (format!("{lost} changes were left out here"), "2"),
        Notice::Output { .. } => return None,
    };
    Some(framed(&text, code, colour))
}

fn framed(text: &str, code: &str, colour: bool) -> String {
    let text = escape::line(text);
    if colour {
        format!("\x1b[{code}m* {text}\x1b[0m\n")
    } else {
        format!("* {text}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_a_process_rests_is_told() {
        let state = |from, to| Notice::State {
            name: "web\x1b".to_owned(),
            from,
            to,
            pid: None,
        };
        for (notice, expected) in [
            (
                state(ProcessState::Running, ProcessState::Exited),
                Some("* web\\x1b: exited\n"),
            ),
            (state(ProcessState::Exited, ProcessState::Starting), None),
            (state(ProcessState::Running, ProcessState::Stopping), None),
            (
                state(ProcessState::Backoff, ProcessState::Fatal),
                Some("* web\\x1b: fatal\n"),
            ),
            (
                Notice::GroupAdded {
                    group: "g".to_owned(),
                },
                Some("* g: added process group\n"),
            ),
            (Notice::Output { data: vec![] }, None),
        ] {
            assert_eq!(words(&notice, false).as_deref(), expected, "{notice:?}");
        }
    }

    #[test]
    fn nobody_is_told_while_the_prompt_is_closed() {
        let attention = Attention::default();
        assert!(!attention.is_there());
        // Right after an action nobody listens yet.
        attention.open(true);
        assert!(!attention.is_there());
        attention.open(false);
        assert!(attention.is_there());
        attention.close();
        assert!(!attention.is_there());
    }
}
