//! An event as listeners get it: its kind, and a text that is Supervisor's to the letter.
//!
//! The text is made when the event happens, so that it tells how things were then, however long it waits.

use crate::engine::action::StateChange;
use crate::engine::view::State;
use crate::types::{EventType, Pid, ProcessKey};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its kind, never a family.
    pub kind: EventType,
    /// What is told of it.
    pub payload: String,
}

/// One of the two outputs of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Event {
    /// A process changed its state.
    pub fn state(change: &StateChange) -> Self {
        let StateChange {
            key,
            from,
            to,
            pid,
            expected,
            tries,
        } = change;
        let (kind, _) = state(*to);
        let (_, from) = state(*from);
        let mut payload = format!(
            "processname:{} groupname:{} from_state:{from}",
            key.process, key.group
        );
        let pid = pid.map_or(0, Pid::as_raw);
        // Writing to a text cannot fail.
        let _written = match to {
            State::Starting | State::Backoff => write!(payload, " tries:{tries}"),
            State::Exited => {
                let expected = u8::from(expected.unwrap_or_default());
                write!(payload, " expected:{expected} pid:{pid}")
            }
            State::Running | State::Stopping | State::Stopped => write!(payload, " pid:{pid}"),
            State::Fatal | State::Unknown => Ok(()),
        };
        Self { kind, payload }
    }

    /// A process wrote something.
    pub fn log(key: &ProcessKey, stream: Stream, pid: Pid, data: &[u8]) -> Self {
        let (kind, channel) = match stream {
            Stream::Stdout => (EventType::ProcessLogStdout, "stdout"),
            Stream::Stderr => (EventType::ProcessLogStderr, "stderr"),
        };
        let payload = format!(
            "processname:{} groupname:{} pid:{pid} channel:{channel}\n{}",
            key.process,
            key.group,
            text_of(data)
        );
        Self { kind, payload }
    }

    /// A process said something between the marks.
    pub fn communication(key: &ProcessKey, stream: Stream, pid: Pid, data: &[u8]) -> Self {
        let kind = match stream {
            Stream::Stdout => EventType::ProcessCommunicationStdout,
            Stream::Stderr => EventType::ProcessCommunicationStderr,
        };
        let payload = format!(
            "processname:{} groupname:{} pid:{pid}\n{}",
            key.process,
            key.group,
            text_of(data)
        );
        Self { kind, payload }
    }

    /// A client told something.
    pub fn remote(subject: &str, data: &str) -> Self {
        Self {
            kind: EventType::RemoteCommunication,
            payload: format!("type:{subject}\n{data}"),
        }
    }

    /// The daemon serves.
    pub fn running() -> Self {
        Self {
            kind: EventType::SupervisorStateChangeRunning,
            payload: String::new(),
        }
    }

    /// The daemon begins to stop everything.
    pub fn stopping() -> Self {
        Self {
            kind: EventType::SupervisorStateChangeStopping,
            payload: String::new(),
        }
    }

    /// Time has passed: `when` is a multiple of the period, in seconds since 1970.
    pub fn tick(kind: EventType, when: u64) -> Self {
        Self {
            kind,
            payload: format!("when:{when}"),
        }
    }

    /// A group came or went.
    pub fn group(group: &str, added: bool) -> Self {
        Self {
            kind: if added {
                EventType::ProcessGroupAdded
            } else {
                EventType::ProcessGroupRemoved
            },
            payload: format!("groupname:{group}\n"),
        }
    }
}

/// The kind of event for a state, and the name of the state.
fn state(state: State) -> (EventType, &'static str) {
    match state {
        State::Stopped => (EventType::ProcessStateStopped, "STOPPED"),
        State::Starting => (EventType::ProcessStateStarting, "STARTING"),
        State::Running => (EventType::ProcessStateRunning, "RUNNING"),
        State::Backoff => (EventType::ProcessStateBackoff, "BACKOFF"),
        State::Stopping => (EventType::ProcessStateStopping, "STOPPING"),
        State::Exited => (EventType::ProcessStateExited, "EXITED"),
        State::Fatal => (EventType::ProcessStateFatal, "FATAL"),
        State::Unknown => (EventType::ProcessStateUnknown, "UNKNOWN"),
    }
}

/// Output as text. What is not UTF-8 is shown as Python shows bytes, since that is what listeners know.
pub(super) fn text_of(data: &[u8]) -> String {
    match std::str::from_utf8(data) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("Undecodable: {}", python_bytes(data)),
    }
}

fn python_bytes(data: &[u8]) -> String {
    let quote = if data.contains(&b'\'') && !data.contains(&b'"') {
        '"'
    } else {
        '\''
    };
    let mut text = format!("b{quote}");
    for &byte in data {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\t' => text.push_str("\\t"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            byte if char::from(byte) == quote => {
                text.push('\\');
                text.push(quote);
            }
            b' '..=b'~' => text.push(char::from(byte)),
            byte => {
                // Writing to a text cannot fail.
                let _written = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push(quote);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{GroupName, ProcessName};

    fn key() -> ProcessKey {
        ProcessKey {
            group: GroupName::new("g").unwrap(),
            process: ProcessName::new("x").unwrap(),
        }
    }

    #[test]
    fn a_state_is_told_with_what_supervisor_tells_of_it() {
        use State::{Backoff, Exited, Fatal, Running, Starting, Stopped, Stopping, Unknown};
        let change = |from, to, pid, expected, tries| StateChange {
            key: key(),
            from,
            to,
            pid: Pid::new(pid),
            expected,
            tries,
        };
        for (change, kind, rest) in [
            (
                change(Stopped, Starting, 0, None, 0),
                EventType::ProcessStateStarting,
                "STOPPED tries:0",
            ),
            (
                change(Starting, Backoff, 7, None, 2),
                EventType::ProcessStateBackoff,
                "STARTING tries:2",
            ),
            (
                change(Starting, Running, 7, None, 0),
                EventType::ProcessStateRunning,
                "STARTING pid:7",
            ),
            (
                change(Running, Exited, 7, Some(true), 0),
                EventType::ProcessStateExited,
                "RUNNING expected:1 pid:7",
            ),
            (
                change(Running, Exited, 7, Some(false), 0),
                EventType::ProcessStateExited,
                "RUNNING expected:0 pid:7",
            ),
            (
                change(Running, Stopping, 7, None, 0),
                EventType::ProcessStateStopping,
                "RUNNING pid:7",
            ),
            (
                change(Stopping, Stopped, 7, None, 0),
                EventType::ProcessStateStopped,
                "STOPPING pid:7",
            ),
            (
                change(Backoff, Stopped, 0, None, 0),
                EventType::ProcessStateStopped,
                "BACKOFF pid:0",
            ),
            (
                change(Backoff, Fatal, 0, None, 4),
                EventType::ProcessStateFatal,
                "BACKOFF",
            ),
            (
                change(Stopping, Unknown, 7, None, 0),
                EventType::ProcessStateUnknown,
                "STOPPING",
            ),
        ] {
            let payload = format!("processname:x groupname:g from_state:{rest}");
            assert_eq!(Event::state(&change), Event { kind, payload });
        }
    }

    #[test]
    fn everything_else_is_told_to_the_letter() {
        let pid = Pid::new(9).unwrap();
        for (event, kind, payload) in [
            (
                Event::log(&key(), Stream::Stdout, pid, "ü\n".as_bytes()),
                EventType::ProcessLogStdout,
                "processname:x groupname:g pid:9 channel:stdout\nü\n",
            ),
            (
                Event::log(&key(), Stream::Stderr, pid, b"\xff\n"),
                EventType::ProcessLogStderr,
                "processname:x groupname:g pid:9 channel:stderr\nUndecodable: b'\\xff\\n'",
            ),
            (
                Event::communication(&key(), Stream::Stdout, pid, b"hello"),
                EventType::ProcessCommunicationStdout,
                "processname:x groupname:g pid:9\nhello",
            ),
            (
                Event::communication(&key(), Stream::Stderr, pid, b""),
                EventType::ProcessCommunicationStderr,
                "processname:x groupname:g pid:9\n",
            ),
            (
                Event::remote("deploy", "v2"),
                EventType::RemoteCommunication,
                "type:deploy\nv2",
            ),
            (
                Event::running(),
                EventType::SupervisorStateChangeRunning,
                "",
            ),
            (
                Event::stopping(),
                EventType::SupervisorStateChangeStopping,
                "",
            ),
            (
                Event::tick(EventType::Tick60, 120),
                EventType::Tick60,
                "when:120",
            ),
            (
                Event::group("g", true),
                EventType::ProcessGroupAdded,
                "groupname:g\n",
            ),
            (
                Event::group("g", false),
                EventType::ProcessGroupRemoved,
                "groupname:g\n",
            ),
        ] {
            let payload = payload.to_owned();
            assert_eq!(event, Event { kind, payload });
        }
    }

    #[test]
    fn bytes_are_shown_as_python_shows_them() {
        for (bytes, shown) in [
            (&b"a\\b\t\n\r\x00\x7f\xe9"[..], r"b'a\\b\t\n\r\x00\x7f\xe9'"),
            (b"it's", "b\"it's\""),
            (b"it's \"so\"", "b'it\\'s \"so\"'"),
            (b"\"so\"", "b'\"so\"'"),
            (b"", "b''"),
        ] {
            assert_eq!(python_bytes(bytes), shown);
        }
    }
}
