//! Makes bytes and names harmless for a terminal.
//!
//! What a program prints may hold sequences that retitle the window, rewrite lines above or fake a prompt. On a
//! terminal such characters are shown as text: `\x1b` for bytes and C0 and C1 controls, `\u{202e}` for characters that
//! reorder or hide text. Line feeds and tabs of a log stay. A pipe gets the bytes untouched; that is decided elsewhere.

use std::fmt::Write;

/// Escapes text that has to stay on one line: line feeds and tabs are escaped, too.
pub fn line(text: &str) -> String {
    let mut escaped = text.to_owned();
    line_from(&mut escaped, 0);
    escaped
}

/// The same with what a text holds from a place on.
pub fn line_from(text: &mut String, begin: usize) {
    let added = text.get(begin..).unwrap_or_default();
    if added.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return;
    }
    for c in text.split_off(begin).chars() {
        push(text, c);
    }
}

fn push(escaped: &mut String, c: char) {
    let code = u32::from(c);
    // Writing to a string cannot fail.
    match c {
        '\0'..='\x1f' | '\x7f'..='\u{9f}' => write!(escaped, "\\x{code:02x}").unwrap_or_default(),
        // Marks, embeddings, overrides and isolates that reorder text; separators; characters without a width.
        '\u{061c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => write!(escaped, "\\u{{{code:x}}}").unwrap_or_default(),
        c => escaped.push(c),
    }
}

/// Escapes a stream of bytes that comes in pieces; a character cut in two by a piece's end is put together again.
#[derive(Debug, Default)]
pub struct Stream {
    /// The beginning of a character: at most three bytes.
    cut: Vec<u8>,
}

impl Stream {
    /// The next piece as text.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut input = std::mem::take(&mut self.cut);
        input.extend_from_slice(bytes);
        let mut escaped = String::with_capacity(input.len());
        let mut chunks = input.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            for c in chunk.valid().chars() {
                match c {
                    '\n' | '\t' => escaped.push(c),
                    c => push(&mut escaped, c),
                }
            }
            if chunks.peek().is_none() && may_be_continued(chunk.invalid()) {
                self.cut = chunk.invalid().to_vec();
            } else {
                push_bytes(&mut escaped, chunk.invalid());
            }
        }
        escaped
    }

    /// What was kept back because more of it could have come.
    pub fn finish(&mut self) -> String {
        let mut escaped = String::new();
        push_bytes(&mut escaped, &std::mem::take(&mut self.cut));
        escaped
    }
}

fn push_bytes(escaped: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(escaped, "\\x{byte:02x}").unwrap_or_default();
    }
}

/// Whether these bytes are the beginning of a character rather than wrong.
fn may_be_continued(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => false,
        Err(error) => error.error_len().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_show_what_would_act_on_a_terminal() {
        for (text, shown) in [
            ("web:0", "web:0"),
            ("wéb 日本", "wéb 日本"),
            ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
            ("a\r\nb\tc", "a\\x0d\\x0ab\\x09c"),
            ("\x7f\u{9b}2J", "\\x7f\\x9b2J"),
            ("\u{202e}gpj", "\\u{202e}gpj"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
        ] {
            assert_eq!(line(text), shown);
        }
    }

    #[test]
    fn streams_keep_their_lines() {
        let mut stream = Stream::default();
        assert_eq!(
            stream.push(b"one\ttwo\n\x1b[2J\xff\n"),
            "one\ttwo\n\\x1b[2J\\xff\n"
        );
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn a_character_may_arrive_in_pieces() {
        let text = "wéb 日本 🚀\n";
        for step in 1..=5 {
            let mut stream = Stream::default();
            let mut shown: String = text
                .as_bytes()
                .chunks(step)
                .map(|piece| stream.push(piece))
                .collect();
            shown.push_str(&stream.finish());
            assert_eq!(shown, text);
        }
    }

    #[test]
    fn a_character_that_never_ends_is_shown_as_bytes() {
        let mut stream = Stream::default();
        assert_eq!(stream.push(b"a\xe6\x97"), "a");
        assert_eq!(stream.push(b"b"), "\\xe6\\x97b");
        assert_eq!(stream.push(b"\xe6"), "");
        assert_eq!(stream.finish(), "\\xe6");
    }
}
