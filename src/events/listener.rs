//! One listener: what it was given, and how its words are understood.
//!
//! | state | what it says | what follows |
//! |---|---|---|
//! | ACKNOWLEDGED | `READY` and a line feed | READY |
//! | | six other bytes | UNKNOWN |
//! | READY | anything at all | UNKNOWN |
//! | BUSY | a line whose bytes from the eighth on are a number, then so many bytes: `OK` | ACKNOWLEDGED; the event is processed |
//! | | the same with other bytes | ACKNOWLEDGED; the event is rejected |
//! | | another line | UNKNOWN; the event is rejected |
//! | UNKNOWN | anything | nothing, until another process takes its place |
//!
//! From READY to BUSY it comes by being given an event. How the words are cut into pieces makes no difference, and
//! nothing that it says makes it remember more than a line: of a result only its beginning is kept.

use super::event::text_of;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a listener says when it takes an event.
const READY: &[u8] = b"READY\n";
/// Bytes of a result's line before the number. Supervisor does not look at them.
const RESULT_BYTES: usize = b"RESULT ".len();
/// Longest line of a result.
const LINE_BYTES_MAX: usize = 1024;
/// The result that accepts an event.
const OK: &[u8] = b"OK";

/// What a listener does, by Supervisor's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerState {
    /// It has yet to say that it takes an event.
    Acknowledged,
    /// It takes the next event.
    Ready,
    /// It has an event.
    Busy,
    /// It broke the protocol, and gets no events any more.
    Unknown,
}

impl fmt::Display for ListenerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Acknowledged => "ACKNOWLEDGED",
            Self::Ready => "READY",
            Self::Busy => "BUSY",
            Self::Unknown => "UNKNOWN",
        })
    }
}

/// What came of a listener's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard<T> {
    /// It went from one state to another.
    Stepped(ListenerState, ListenerState),
    /// It has dealt with its event.
    Processed,
    /// It gives its event back.
    Rejected(T),
    /// It said something else, shown here as text, instead of a result. It gives its event back.
    BadLine(String, T),
}

/// One listener, and the event that it has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Listener<T> {
    stage: Stage<T>,
    /// Whether its process counts as started.
    pub running: bool,
    /// Whether its standard input was found closed: nothing can be given to this process any more.
    pub deaf: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Stage<T> {
    /// With the beginning of a word.
    Acknowledged(#[serde(with = "serde_bytes")] Vec<u8>),
    Ready,
    Busy(T, Answer),
    Unknown,
}

/// As much of a result as has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Answer {
    /// The beginning of its line.
    Line(#[serde(with = "serde_bytes")] Vec<u8>),
    /// How many bytes are yet to come, and the first of those that came: enough to tell `OK` from all others.
    Body {
        left: u64,
        #[serde(with = "serde_bytes")]
        first: Vec<u8>,
    },
}

impl<T> Listener<T> {
    /// A listener whose process has just been made.
    pub fn new() -> Self {
        Self {
            stage: Stage::Acknowledged(Vec::new()),
            running: false,
            deaf: false,
        }
    }

    pub fn state(&self) -> ListenerState {
        match self.stage {
            Stage::Acknowledged(_) => ListenerState::Acknowledged,
            Stage::Ready => ListenerState::Ready,
            Stage::Busy(..) => ListenerState::Busy,
            Stage::Unknown => ListenerState::Unknown,
        }
    }

    /// Whether it can be given an event.
    pub fn is_free(&self) -> bool {
        self.running && !self.deaf && self.state() == ListenerState::Ready
    }

    /// Gives it an event.
    pub fn give(&mut self, event: T) {
        self.stage = Stage::Busy(event, Answer::Line(Vec::new()));
    }

    /// Takes back an event that could not be written; its state is what it was before.
    pub fn take_back(&mut self) -> Option<T> {
        match std::mem::replace(&mut self.stage, Stage::Ready) {
            Stage::Busy(event, _) => Some(event),
            other @ (Stage::Acknowledged(_) | Stage::Ready | Stage::Unknown) => {
                self.stage = other;
                None
            }
        }
    }

    /// Its process is gone. Returns the event that it had.
    pub fn end(&mut self) -> Option<T> {
        match std::mem::replace(self, Self::new()).stage {
            Stage::Busy(event, _) => Some(event),
            Stage::Acknowledged(_) | Stage::Ready | Stage::Unknown => None,
        }
    }

    /// It said this.
    pub fn hear(&mut self, mut data: &[u8]) -> Vec<Heard<T>> {
        let mut heard = Vec::new();
        while !data.is_empty() {
            let before = self.state();
            let used = match &mut self.stage {
                Stage::Unknown => break,
                Stage::Ready => {
                    self.stage = Stage::Unknown;
                    0
                }
                Stage::Acknowledged(word) => {
                    let used = take(word, data, READY.len());
                    if word.len() == READY.len() {
                        self.stage = if word == READY {
                            Stage::Ready
                        } else {
                            Stage::Unknown
                        };
                    }
                    used
                }
                Stage::Busy(_, answer) => answer.take(data),
            };
            data = data.get(used..).unwrap_or_default();
            self.judge(&mut heard);
            let after = self.state();
            if before != after {
                heard.push(Heard::Stepped(before, after));
            }
            // What else it said in the same breath can only confirm that.
            if after == ListenerState::Unknown {
                break;
            }
        }
        heard
    }

    /// Acts upon a result that is whole, or cannot become one.
    fn judge(&mut self, heard: &mut Vec<Heard<T>>) {
        let Stage::Busy(_, answer) = &mut self.stage else {
            return;
        };
        let verdict = match answer {
            Answer::Line(line) => match line_of(line) {
                Line::Open => return,
                Line::Result(left) => {
                    *answer = Answer::Body {
                        left,
                        first: Vec::new(),
                    };
                    return self.judge(heard);
                }
                Line::Bad(text) => Err(text),
            },
            Answer::Body { left: 1.., .. } => return,
            Answer::Body { first, .. } => Ok(first == OK),
        };
        let next = match verdict {
            Ok(_) => Stage::Acknowledged(Vec::new()),
            Err(_) => Stage::Unknown,
        };
        if let Stage::Busy(event, _) = std::mem::replace(&mut self.stage, next) {
            heard.push(match verdict {
                Ok(true) => Heard::Processed,
                Ok(false) => Heard::Rejected(event),
                Err(text) => Heard::BadLine(text, event),
            });
        }
    }
}

impl Answer {
    /// Takes as much of `data` as belongs to what is being read, and says how much that was.
    fn take(&mut self, data: &[u8]) -> usize {
        match self {
            Self::Line(line) => {
                let end = data.iter().position(|&byte| byte == b'\n');
                let piece = end.map_or(data.len(), |end| end + 1);
                let room = LINE_BYTES_MAX.saturating_sub(line.len());
                let data = data.get(..piece.min(room)).unwrap_or_default();
                line.extend_from_slice(data);
                data.len()
            }
            Self::Body { left, first } => {
                let piece = usize::try_from(*left).map_or(data.len(), |left| left.min(data.len()));
                *left = left.saturating_sub(piece as u64);
                let data = data.get(..piece).unwrap_or_default();
                take(first, data, OK.len() + 1);
                piece
            }
        }
    }
}

/// Moves bytes from `data` to `word` until it has `length`, and says how many.
fn take(word: &mut Vec<u8>, data: &[u8], length: usize) -> usize {
    let missing = length.saturating_sub(word.len());
    let piece = data.get(..missing).unwrap_or(data);
    word.extend_from_slice(piece);
    piece.len()
}

/// What a line of a result says.
enum Line {
    /// It is not whole yet.
    Open,
    /// So many bytes follow.
    Result(u64),
    /// It is no such line.
    Bad(String),
}

fn line_of(line: &[u8]) -> Line {
    let Some(whole) = line.strip_suffix(b"\n") else {
        return if line.len() < LINE_BYTES_MAX {
            Line::Open
        } else {
            Line::Bad(text_of(line))
        };
    };
    let number = whole
        .get(RESULT_BYTES..)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| {
            let digits = digits.trim();
            let digits = digits.strip_prefix('+').unwrap_or(digits);
            digits
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then_some(digits)
        })
        .and_then(|digits| digits.parse().ok());
    number.map_or_else(|| Line::Bad(text_of(whole)), Line::Result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ListenerState::{Acknowledged, Busy, Ready, Unknown};
    use proptest::prelude::*;

    fn listener(state: ListenerState) -> Listener<u8> {
        let mut listener = Listener::new();
        listener.running = true;
        match state {
            Acknowledged => {}
            Ready => listener.stage = Stage::Ready,
            Busy => listener.give(7),
            Unknown => listener.stage = Stage::Unknown,
        }
        assert_eq!(listener.state(), state);
        listener
    }

    #[test]
    fn every_word_in_every_state_has_its_outcome() {
        let rejected = || Heard::Rejected(7);
        let bad = |text: &str| Heard::BadLine(text.to_owned(), 7);
        let step = Heard::Stepped;
        let long = "x".repeat(LINE_BYTES_MAX + 5);
        for (before, said, expected) in [
            (Acknowledged, "", vec![]),
            (Acknowledged, "READY", vec![]),
            (Acknowledged, "xxxxx", vec![]),
            (Acknowledged, "READY\n", vec![step(Acknowledged, Ready)]),
            (Acknowledged, "READY\r", vec![step(Acknowledged, Unknown)]),
            (Acknowledged, "ready\n", vec![step(Acknowledged, Unknown)]),
            (
                Acknowledged,
                "RESULT 2\nOK",
                vec![step(Acknowledged, Unknown)],
            ),
            (
                Acknowledged,
                "READY\nREADY\n",
                vec![step(Acknowledged, Ready), step(Ready, Unknown)],
            ),
            (Ready, "\n", vec![step(Ready, Unknown)]),
            (Ready, "READY\n", vec![step(Ready, Unknown)]),
            (Busy, "RESULT 2", vec![]),
            (Busy, "RESULT 2\nO", vec![]),
            (
                Busy,
                "RESULT 2\nOK",
                vec![Heard::Processed, step(Busy, Acknowledged)],
            ),
            (
                Busy,
                "RESULT 2\nOKREADY\n",
                vec![
                    Heard::Processed,
                    step(Busy, Acknowledged),
                    step(Acknowledged, Ready),
                ],
            ),
            (
                Busy,
                "RESULT 4\nFAIL",
                vec![rejected(), step(Busy, Acknowledged)],
            ),
            (
                Busy,
                "RESULT 3\nOK\nREADY\n",
                vec![
                    rejected(),
                    step(Busy, Acknowledged),
                    step(Acknowledged, Ready),
                ],
            ),
            (
                Busy,
                "RESULT 0\n",
                vec![rejected(), step(Busy, Acknowledged)],
            ),
            (
                Busy,
                "whatever+2 \nOK",
                vec![bad("whatever+2 "), step(Busy, Unknown)],
            ),
            (
                Busy,
                "7bytes:+2 \nOK",
                vec![Heard::Processed, step(Busy, Acknowledged)],
            ),
            (
                Busy,
                "RESULT -2\nOK",
                vec![bad("RESULT -2"), step(Busy, Unknown)],
            ),
            (Busy, "READY\n", vec![bad("READY"), step(Busy, Unknown)]),
            (Busy, "\n", vec![bad(""), step(Busy, Unknown)]),
            (
                Busy,
                "RESULT 99999999999999999999\n",
                vec![bad("RESULT 99999999999999999999"), step(Busy, Unknown)],
            ),
            (
                Busy,
                &long,
                vec![bad(&long[..LINE_BYTES_MAX]), step(Busy, Unknown)],
            ),
            (Unknown, "READY\n", vec![]),
        ] {
            assert_eq!(
                listener(before).hear(said.as_bytes()),
                expected,
                "{before} {said:?}"
            );
        }
        let line = b"RESULT \xff\n";
        let shown = r"Undecodable: b'RESULT \xff'";
        assert_eq!(listener(Busy).hear(line), [bad(shown), step(Busy, Unknown)]);
    }

    #[test]
    fn a_huge_result_is_not_remembered() {
        let mut listener = listener(Busy);
        assert_eq!(listener.hear(b"RESULT 1000000\nOK"), []);
        for _ in 0..999 {
            assert_eq!(listener.hear(&[b'x'; 1000]), []);
        }
        let Stage::Busy(_, Answer::Body { left, first }) = &listener.stage else {
            panic!("{listener:?}");
        };
        assert_eq!((*left, first.as_slice()), (998, &b"OKx"[..]));
        assert_eq!(
            listener.hear(&[b'x'; 998]),
            [Heard::Rejected(7), Heard::Stepped(Busy, Acknowledged)]
        );
    }

    #[test]
    fn an_event_is_given_back_once() {
        let mut one = listener(Busy);
        assert_eq!((one.take_back(), one.state()), (Some(7), Ready));
        assert_eq!((one.take_back(), one.state()), (None, Ready));
        let mut one = listener(Busy);
        assert_eq!((one.end(), one.state()), (Some(7), Acknowledged));
        assert!(!one.running);
        assert_eq!(one.end(), None);
    }

    #[test]
    fn only_a_ready_listener_that_runs_and_hears_is_free() {
        for state in [Acknowledged, Ready, Busy, Unknown] {
            let mut listener = listener(state);
            assert_eq!(listener.is_free(), state == Ready);
            listener.deaf = true;
            assert!(!listener.is_free());
            listener.deaf = false;
            listener.running = false;
            assert!(!listener.is_free());
        }
    }

    /// Says all of `said` in pieces of these lengths. Events are given whenever one is taken.
    fn converse(said: &[u8], cuts: &[usize]) -> (Vec<Heard<u8>>, ListenerState) {
        let mut listener = listener(Busy);
        let mut heard = Vec::new();
        let mut rest = said;
        let mut cuts = cuts.iter().copied().chain(std::iter::repeat(usize::MAX));
        while !rest.is_empty() {
            let (piece, left) = rest.split_at(cuts.next().unwrap().clamp(1, rest.len()));
            heard.extend(listener.hear(piece));
            rest = left;
        }
        (heard, listener.state())
    }

    proptest! {
        #[test]
        fn how_words_are_cut_makes_no_difference(
            words in prop::collection::vec(
                prop_oneof![
                    4 => Just(b"RESULT 2\nOK".to_vec()),
                    3 => Just(b"READY\n".to_vec()),
                    2 => Just(b"RESULT 4\nFAIL".to_vec()),
                    1 => Just(b"RESULT 0\n".to_vec()),
                    1 => prop::collection::vec(any::<u8>(), 0..12),
                ],
                0..6,
            ),
            cuts in prop::collection::vec(1_usize..7, 0..40),
        ) {
            let said = words.concat();
            prop_assert_eq!(converse(&said, &cuts), converse(&said, &[]));
        }
    }
}
