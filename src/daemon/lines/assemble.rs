//! From the bytes of a pipe to lines, without ever holding more than [`LINE_BYTES`].

use serde::{Deserialize, Serialize};

/// Longest line that stays in one piece.
pub const LINE_BYTES: usize = 8192;

/// A line, or a part of one that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'d> {
    /// Its bytes, without the line feed.
    pub bytes: &'d [u8],
    /// The line begins here; else this goes on where the last piece of the stream ended.
    pub begins: bool,
    /// The line ends here.
    pub ends: bool,
}

/// Puts the lines of one stream together.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Assembler {
    /// The beginning of a line, or of a further piece of one.
    #[serde(with = "serde_bytes")]
    partial: Vec<u8>,
    /// Pieces of this line were given out already.
    continues: bool,
}

impl Assembler {
    /// Takes the next bytes, and gives out every piece that is complete.
    pub fn push(&mut self, data: &[u8], mut emit: impl FnMut(Piece<'_>)) {
        let mut rest = data;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, behind) = rest.split_at(at);
            self.add(line, &mut emit);
            self.end(&mut emit);
            rest = behind.get(1..).unwrap_or_default();
        }
        self.add(rest, &mut emit);
    }

    /// Gives out what is left of a stream that has ended: its last line may lack the line feed.
    pub fn finish(&mut self, mut emit: impl FnMut(Piece<'_>)) {
        if self.continues || !self.partial.is_empty() {
            self.end(&mut emit);
        }
    }

    fn add(&mut self, mut bytes: &[u8], emit: &mut impl FnMut(Piece<'_>)) {
        while self.partial.len() + bytes.len() > LINE_BYTES {
            let (fits, behind) = bytes.split_at(LINE_BYTES - self.partial.len());
            self.partial.extend_from_slice(fits);
            bytes = behind;
            let kept = self.partial.split_off(border(&self.partial));
            emit(Piece {
                bytes: &self.partial,
                begins: !self.continues,
                ends: false,
            });
            self.partial = kept;
            self.continues = true;
        }
        self.partial.extend_from_slice(bytes);
    }

    fn end(&mut self, emit: &mut impl FnMut(Piece<'_>)) {
        emit(Piece {
            bytes: &self.partial,
            begins: !self.continues,
            ends: true,
        });
        self.partial.clear();
        self.continues = false;
    }
}

/// Where a full piece is cut: at its end, or before a character of UTF-8 that goes on behind it.
fn border(bytes: &[u8]) -> usize {
    let start = bytes.len().saturating_sub(4);
    let tail = bytes.get(start..).unwrap_or_default();
    let Some(last) = tail.iter().rposition(|byte| byte & 0xc0 != 0x80) else {
        return bytes.len();
    };
    let length = match tail.get(last) {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        Some(_) | None => 1,
    };
    if last + length > tail.len() {
        start + last
    } else {
        bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out for these reads: bytes, whether the line begins and ends there.
    fn pieces(reads: &[&[u8]]) -> Vec<(Vec<u8>, bool, bool)> {
        let mut out = Vec::new();
        let mut assembler = Assembler::default();
        let mut emit = |piece: Piece<'_>| {
            out.push((piece.bytes.to_vec(), piece.begins, piece.ends));
        };
        for read in reads {
            assembler.push(read, &mut emit);
            assert!(assembler.partial.len() <= LINE_BYTES);
        }
        assembler.finish(&mut emit);
        assembler.finish(&mut emit);
        out
    }

    fn whole(text: &str) -> (Vec<u8>, bool, bool) {
        (text.as_bytes().to_vec(), true, true)
    }

    #[test]
    fn lines_come_out_whole_however_they_were_read() {
        let text = b"one\n\ntwo\r\nlast";
        let expected = vec![whole("one"), whole(""), whole("two\r"), whole("last")];
        for cut in 0..=text.len() {
            let (before, after) = text.split_at(cut);
            assert_eq!(pieces(&[before, after]), expected, "{cut}");
        }
        assert_eq!(pieces(&[b""]), []);
        assert_eq!(pieces(&[b"\n"]), [whole("")]);
    }

    #[test]
    fn a_line_of_the_limit_is_whole_and_a_longer_one_is_cut() {
        let full = "x".repeat(LINE_BYTES);
        let line = |text: &str| format!("{text}\n").into_bytes();
        assert_eq!(pieces(&[&line(&full)]), [whole(&full)]);
        assert_eq!(pieces(&[full.as_bytes()]), [whole(&full)]);
        let longer = line(&format!("{full}{full}y"));
        let expected = [
            (full.clone().into_bytes(), true, false),
            (full.clone().into_bytes(), false, false),
            (b"y".to_vec(), false, true),
        ];
        assert_eq!(pieces(&[&longer]), expected);
        let (before, after) = longer.split_at(10_000);
        assert_eq!(pieces(&[before, after]), expected);
        // Whether a line that has filled its piece goes on is known only later.
        assert_eq!(
            pieces(&[full.as_bytes(), b"y"]),
            [
                (full.clone().into_bytes(), true, false),
                (b"y".to_vec(), false, true)
            ]
        );
    }

    #[test]
    fn a_cut_spares_characters() {
        for character in ["é", "€", "😀"] {
            for before in 0..4 {
                let head = "x".repeat(LINE_BYTES - before);
                let text = format!("{head}{character}y");
                let out = pieces(&[text.as_bytes()]);
                for (piece, ..) in &out {
                    assert!(std::str::from_utf8(piece).is_ok(), "{character} {before}");
                }
                let joined: Vec<u8> = out.into_iter().flat_map(|(piece, ..)| piece).collect();
                assert_eq!(joined, text.as_bytes());
            }
        }
        let garbage = vec![0x80; 3 * LINE_BYTES];
        let joined: Vec<u8> = pieces(&[&garbage])
            .into_iter()
            .flat_map(|(piece, ..)| piece)
            .collect();
        assert_eq!(joined, garbage);
    }
}
