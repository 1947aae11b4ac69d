//! Removal of terminal escape sequences from a stream that arrives in pieces.
//!
//! Recognized are control sequences (`ESC [ … final`), strings (`ESC ]`, `ESC P`, `ESC X`, `ESC ^`, `ESC _` up to BEL
//! or `ESC \`), character set selections (`ESC ( B`) and two-byte escapes. Where the stream was cut makes no
//! difference: the state is kept from piece to piece. A newline always ends a sequence and is always kept, so that one
//! truncated sequence can never swallow more than the line it stands on. Bytes from 0x80 are text: most logs are UTF-8,
//! where the eight-bit control codes are parts of letters.

use serde::{Deserialize, Serialize};

const BELL: u8 = 0x07;
const CANCEL: u8 = 0x18;
const SUBSTITUTE: u8 = 0x1a;
const ESCAPE: u8 = 0x1b;

/// Where in a sequence the last piece ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum AnsiStripper {
    /// In text.
    #[default]
    Text,
    /// After `ESC`.
    Escape,
    /// After `ESC` and an intermediate byte, as in `ESC ( B`.
    Intermediate,
    /// Within a control sequence.
    Control,
    /// Within a string.
    String,
    /// After an `ESC` within a string, which ends it with `\`.
    StringEscape,
}

impl AnsiStripper {
    /// Moves what is text in `buffer` to its front and returns how many bytes that is.
    pub(super) fn strip(&mut self, buffer: &mut [u8]) -> usize {
        let mut kept = 0;
        let mut next = 0;
        while next < buffer.len() {
            if *self == Self::Text {
                let rest = buffer.get(next..).unwrap_or_default();
                let text = rest.iter().position(|&byte| byte == ESCAPE);
                let end = text.map_or(buffer.len(), |length| next + length);
                buffer.copy_within(next..end, kept);
                kept += end - next;
                next = end + 1;
                if text.is_some() {
                    *self = Self::Escape;
                }
                continue;
            }
            let Some(&byte) = buffer.get(next) else { break };
            next += 1;
            if self.advance(byte)
                && let Some(place) = buffer.get_mut(kept)
            {
                *place = byte;
                kept += 1;
            }
        }
        kept
    }

    /// Takes one byte that follows an `ESC`; says whether it is text after all.
    fn advance(&mut self, byte: u8) -> bool {
        if byte == b'\n' {
            *self = Self::Text;
            return true;
        }
        let within = match *self {
            _ if matches!(byte, CANCEL | SUBSTITUTE) => Some(Self::Text),
            Self::String => Some(match byte {
                BELL => Self::Text,
                ESCAPE => Self::StringEscape,
                _ => Self::String,
            }),
            Self::StringEscape if byte == b'\\' => Some(Self::Text),
            _ if byte == ESCAPE => Some(Self::Escape),
            // An escape within a string that does not end it has broken it off and begins something new.
            Self::Escape | Self::StringEscape => match byte {
                b'[' => Some(Self::Control),
                b']' | b'P' | b'X' | b'^' | b'_' => Some(Self::String),
                0x20..=0x2f => Some(Self::Intermediate),
                0x30..=0x7e => Some(Self::Text),
                _ => None,
            },
            Self::Intermediate => match byte {
                0x20..=0x2f => Some(Self::Intermediate),
                0x30..=0x7e => Some(Self::Text),
                _ => None,
            },
            Self::Control => match byte {
                0x20..=0x3f => Some(Self::Control),
                0x40..=0x7e => Some(Self::Text),
                _ => None,
            },
            Self::Text => None,
        };
        *self = within.unwrap_or(Self::Text);
        within.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strip(pieces: &[&[u8]]) -> Vec<u8> {
        let mut stripper = AnsiStripper::default();
        let mut text = Vec::new();
        for piece in pieces {
            let mut buffer = piece.to_vec();
            let kept = stripper.strip(&mut buffer);
            text.extend_from_slice(&buffer[..kept]);
        }
        text
    }

    #[test]
    fn sequences_go_and_text_stays() {
        for (input, expected) in [
            ("plain\n", "plain\n"),
            ("\x1b[31mred\x1b[0m\n", "red\n"),
            ("a\x1b[1;32;4mb\x1b[Kc", "abc"),
            ("\x1b[?25lhidden\x1b[?25h", "hidden"),
            ("\x1b]0;title\x07text", "text"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1bPdevice\x1b\\ok", "ok"),
            ("\x1b(Bset", "set"),
            ("\x1bcreset\x1b7saved\x1b8", "resetsaved"),
            ("\x1b\x1b[1mtwice", "twice"),
            ("\x1b]broken\x1b[1mon", "on"),
            ("cut \x1b[31\nnext", "cut \nnext"),
            ("cut \x1b]0;title\nnext", "cut \nnext"),
            ("\x1b[31é", "é"),
            ("ends with \x1b", "ends with "),
            ("\x1b[3\x18x", "x"),
            ("tab\tbell\x07nul\0", "tab\tbell\x07nul\0"),
            ("ünïcödé ✓", "ünïcödé ✓"),
        ] {
            assert_eq!(
                String::from_utf8(strip(&[input.as_bytes()])).unwrap(),
                expected,
                "{input:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_cut_anywhere_changes_nothing(
            bytes in proptest::collection::vec(
                prop_oneof![
                    3 => Just(ESCAPE),
                    4 => proptest::sample::select(b"[]P(m\\;0\x07\x18\nKa".to_vec()),
                    2 => any::<u8>(),
                ],
                0..80,
            ),
            cuts in proptest::collection::vec(0usize..80, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
            let whole = strip(&[&bytes]);
            prop_assert_eq!(&strip(&pieces), &whole);
            prop_assert!(!whole.contains(&ESCAPE));
            let lines = |text: &[u8]| text.split(|&byte| byte == b'\n').count();
            prop_assert_eq!(lines(&whole), lines(&bytes));
        }
    }
}
