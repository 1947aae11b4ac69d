//! Recognition of the sections of a stream that a program wants captured rather than logged.
//!
//! Such a section stands between [`BEGIN`] and [`END`]. Where the stream is cut into pieces makes no difference to what
//! is logged and what is captured: what may be the beginning of a token is held back until the next bytes decide it, and
//! never more than that. Of a section longer than the limit the last bytes are kept, as in Supervisor, but to the byte.
//!
//! At the end of the stream nothing has vanished (Supervisor loses up to 24 bytes, and a whole section that was not
//! closed): [`Recognizer::finish`] gives back what was held, and a section without an end as the text it was.
//!
//! Not here: what becomes of the bytes.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What a captured section begins with.
pub(super) const BEGIN: &[u8] = b"<!--XSUPERVISOR:BEGIN-->";
/// What a captured section ends with.
pub(super) const END: &[u8] = b"<!--XSUPERVISOR:END-->";

/// Where in a stream we are.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Recognizer {
    /// The most that is kept of a section.
    limit: usize,
    /// How many bytes of the awaited token the stream ended with.
    held: usize,
    section: Option<Section>,
}

/// A section that is not closed yet.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Section {
    kept: VecDeque<u8>,
    dropped: u64,
}

/// A part of the stream, in the order of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'d> {
    /// Text for the log.
    Log(&'d [u8]),
    /// Text within a section, as it comes.
    Captured(&'d [u8]),
    /// A section is complete; this was in it.
    Section(Vec<u8>),
}

/// What the end of a stream leaves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Remainder {
    /// Text for the log that was withheld so far.
    pub(super) text: Vec<u8>,
    /// Bytes of an unclosed section that were beyond the limit, right after its beginning.
    pub(super) dropped: u64,
    /// Whether the text is an unclosed section.
    pub(super) unclosed: bool,
}

impl Recognizer {
    /// At the beginning of a stream. At most `limit` bytes are kept of a section.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            held: 0,
            section: None,
        }
    }

    /// Takes the next bytes of the stream apart.
    pub(super) fn feed(&mut self, data: &[u8], mut sink: impl FnMut(Piece<'_>)) {
        let joined;
        let mut rest = data;
        if self.held > 0 {
            let held = self.awaited().get(..self.held).unwrap_or_default();
            joined = [held, data].concat();
            rest = &joined;
            self.held = 0;
        }
        loop {
            let token = self.awaited();
            if let Some((before, after)) = split(rest, token) {
                self.pass(before, &mut sink);
                match self.section.take() {
                    None => self.section = Some(Section::default()),
                    Some(section) => sink(Piece::Section(section.kept.into())),
                }
                rest = after;
            } else {
                self.held = begun_at_end(rest, token);
                let sure = rest.len() - self.held;
                self.pass(rest.get(..sure).unwrap_or_default(), &mut sink);
                return;
            }
        }
    }

    /// The stream has ended.
    pub(super) fn finish(&mut self) -> Remainder {
        let held = self.awaited().get(..self.held).unwrap_or_default();
        self.held = 0;
        match self.section.take() {
            None => Remainder {
                text: held.to_vec(),
                ..Remainder::default()
            },
            Some(Section { kept, dropped }) => {
                let mut text = BEGIN.to_vec();
                text.extend(kept);
                text.extend(held);
                Remainder {
                    text,
                    dropped,
                    unclosed: true,
                }
            }
        }
    }

    fn awaited(&self) -> &'static [u8] {
        if self.section.is_some() { END } else { BEGIN }
    }

    fn pass(&mut self, text: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        if text.is_empty() {
            return;
        }
        let Some(section) = &mut self.section else {
            return sink(Piece::Log(text));
        };
        section.keep(text, self.limit);
        sink(Piece::Captured(text));
    }
}

impl Section {
    fn keep(&mut self, text: &[u8], limit: usize) {
        let skipped = text.len().saturating_sub(limit);
        let text = text.get(skipped..).unwrap_or_default();
        let over = (self.kept.len() + text.len()).saturating_sub(limit);
        self.kept.drain(..over);
        self.kept.extend(text);
        self.dropped += (skipped + over) as u64;
    }
}

/// What stands before and after the first `token` in `data`.
fn split<'d>(data: &'d [u8], token: &[u8]) -> Option<(&'d [u8], &'d [u8])> {
    let (first, rest) = token.split_first()?;
    let mut from = 0;
    loop {
        let next = data.get(from..)?.iter().position(|byte| byte == first)?;
        let at = from + next;
        if let Some(after) = data.get(at + 1..)?.strip_prefix(rest) {
            return Some((data.get(..at)?, after));
        }
        from = at + 1;
    }
}

/// How many bytes at the end of `data` may be the beginning of `token`.
fn begun_at_end(data: &[u8], token: &[u8]) -> usize {
    (1..token.len())
        .rev()
        .find(|&count| {
            token
                .get(..count)
                .is_some_and(|begun| data.ends_with(begun))
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a stream of these pieces is taken for: the log, the captured text as it came, the sections, the remainder.
    fn recognize(pieces: &[&[u8]], limit: u64) -> (Vec<u8>, Vec<u8>, Vec<Vec<u8>>, Remainder) {
        let mut recognizer = Recognizer::new(limit);
        let (mut log, mut captured, mut sections) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces {
            recognizer.feed(piece, |piece| match piece {
                Piece::Log(text) => log.extend_from_slice(text),
                Piece::Captured(text) => captured.extend_from_slice(text),
                Piece::Section(section) => sections.push(section),
            });
            assert!(recognizer.held < BEGIN.len());
        }
        let remainder = recognizer.finish();
        (log, captured, sections, remainder)
    }

    const B: &str = "<!--XSUPERVISOR:BEGIN-->";
    const E: &str = "<!--XSUPERVISOR:END-->";

    #[test]
    fn sections_are_taken_out_of_the_log() {
        for (input, limit, log, sections, left) in [
            ("plain\n", 100, "plain\n", vec![], ""),
            ("a<b<!--c", 100, "a<b<!--c", vec![], ""),
            (&format!("{B}x{E}") as &str, 100, "", vec!["x"], ""),
            (&format!("{B}{E}"), 100, "", vec![""], ""),
            (&format!("one{B}x{E}two"), 100, "onetwo", vec!["x"], ""),
            (
                &format!("{B}a{E}-{B}b{E}\n"),
                100,
                "-\n",
                vec!["a", "b"],
                "",
            ),
            // A second beginning within a section is text of it; an end outside of one is text of the log.
            (
                &format!("{B}a{B}b{E}"),
                100,
                "",
                vec!["a<!--XSUPERVISOR:BEGIN-->b"],
                "",
            ),
            (
                &format!("a{E}b"),
                100,
                "a<!--XSUPERVISOR:END-->b",
                vec![],
                "",
            ),
            (&format!("<{B}<x<{E}<"), 100, "<", vec!["<x<"], "<"),
            (
                "<<!--XSUPERVISOR:BEGIN-",
                100,
                "<",
                vec![],
                "<!--XSUPERVISOR:BEGIN-",
            ),
            // The last bytes of a section that is too long.
            (&format!("{B}0123456789{E}"), 4, "", vec!["6789"], ""),
            (&format!("{B}0123{E}"), 4, "", vec!["0123"], ""),
            // Tokens in other words are none.
            (
                "<!--XSUPERVISOR:begin-->x",
                9,
                "<!--XSUPERVISOR:begin-->x",
                vec![],
                "",
            ),
        ] {
            let (got_log, _, got, remainder) = recognize(&[input.as_bytes()], limit);
            assert_eq!(String::from_utf8(got_log).unwrap(), log, "{input:?}");
            let got: Vec<String> = got
                .into_iter()
                .map(|section| String::from_utf8(section).unwrap())
                .collect();
            assert_eq!(got, sections, "{input:?}");
            assert_eq!(
                String::from_utf8(remainder.text).unwrap(),
                left,
                "{input:?}"
            );
        }
    }

    #[test]
    fn a_section_without_an_end_is_given_back() {
        let (log, _, sections, remainder) =
            recognize(&[format!("a{B}0123456789<!--X").as_bytes()], 4);
        assert_eq!(log, b"a");
        assert_eq!(sections, Vec::<Vec<u8>>::new());
        assert_eq!(
            remainder,
            Remainder {
                text: format!("{B}6789<!--X").into_bytes(),
                dropped: 6,
                unclosed: true,
            }
        );
    }

    proptest! {
        #[test]
        fn a_cut_anywhere_changes_nothing_and_no_byte_vanishes(
            words in proptest::collection::vec(
                prop_oneof![
                    3 => Just(BEGIN.to_vec()),
                    3 => Just(END.to_vec()),
                    2 => Just(b"<!--XSUPERVISOR:".to_vec()),
                    1 => Just(b"<".to_vec()),
                    2 => proptest::collection::vec(any::<u8>(), 0..9),
                ],
                0..12,
            ),
            cuts in proptest::collection::vec(0usize..300, 0..20),
            limit in prop_oneof![1u64..6, Just(1000)],
        ) {
            let stream = words.concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect();
            let whole = recognize(&[&stream], limit);
            prop_assert_eq!(&recognize(&pieces, limit), &whole);
            let (log, captured, sections, remainder) = whole;
            for section in &sections {
                prop_assert!(section.len() as u64 <= limit);
            }
            // The tokens and what was kept, dropped or logged are the whole stream.
            let tokens = sections.len() * (BEGIN.len() + END.len());
            let kept_open = remainder.text.len().saturating_sub(BEGIN.len());
            let open = if remainder.unclosed {
                // What is held of the end's beginning was not passed on yet.
                let held = begun_at_end(&stream, END).min(kept_open);
                BEGIN.len() + held
            } else {
                remainder.text.len()
            };
            prop_assert_eq!(log.len() + captured.len() + tokens + open, stream.len());
        }
    }
}
