//! Splitting a command line into words, by the POSIX shell's quoting rules and nothing else of the shell.
//!
//! `'…'` is literal; in `"…"` a backslash escapes `"` and `\`; elsewhere it escapes any character; white space separates.
//! There are no comments, no patterns, no `$`, no `~`, no redirections.

use std::ops::Range;

/// One word: its text without the quotes, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub text: String,
    /// Where it stands, quotes included.
    pub range: Range<usize>,
}

/// Why a text cannot be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A quote is opened and never closed.
    #[error("this {quote} is never closed")]
    Unclosed {
        /// The quote.
        quote: char,
        /// Where it is opened.
        at: usize,
    },
    /// A backslash ends the text.
    #[error("nothing follows this backslash")]
    Dangling {
        /// Where it stands.
        at: usize,
    },
}

impl WordsError {
    /// Where the fault is.
    pub fn at(&self) -> usize {
        match self {
            Self::Unclosed { at, .. } | Self::Dangling { at } => *at,
        }
    }
}

/// Splits `text` into words.
pub fn split(text: &str) -> Result<Vec<Word>, WordsError> {
    let mut words = Vec::new();
    let mut cursor = Cursor::new(text, 0);
    loop {
        cursor.skip_while(char::is_whitespace);
        let start = cursor.offset();
        if cursor.peek().is_none() {
            return Ok(words);
        }
        let mut word = String::new();
        while let Some(next) = cursor.peek() {
            if next.is_whitespace() {
                break;
            }
            cursor.piece(&mut word)?;
        }
        words.push(Word {
            text: word,
            range: start..cursor.offset(),
        });
    }
}

/// Walks over a text and takes quoted pieces out of it.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, offset: usize) -> Self {
        Self { text, offset }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.text.get(self.offset..)?.chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.offset += character.len_utf8();
        Some(character)
    }

    pub(super) fn skip_while(&mut self, mut skip: impl FnMut(char) -> bool) {
        while self.peek().is_some_and(&mut skip) {
            self.next();
        }
    }

    /// Appends the next character, escaped character or quoted piece to `word`.
    pub(super) fn piece(&mut self, word: &mut String) -> Result<(), WordsError> {
        let at = self.offset;
        match self.next() {
            None => Ok(()),
            Some('\\') => {
                word.push(self.next().ok_or(WordsError::Dangling { at })?);
                Ok(())
            }
            Some(quote @ ('\'' | '"')) => self.quoted(quote, at, word),
            Some(character) => {
                word.push(character);
                Ok(())
            }
        }
    }

    fn quoted(&mut self, quote: char, at: usize, word: &mut String) -> Result<(), WordsError> {
        let unclosed = WordsError::Unclosed { quote, at };
        loop {
            let character = self.next().ok_or_else(|| unclosed.clone())?;
            if character == quote {
                return Ok(());
            }
            if character == '\\' && quote == '"' && matches!(self.peek(), Some('"' | '\\')) {
                word.extend(self.next());
            } else {
                word.push(character);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_would() {
        for (text, expected) in [
            ("/bin/cat -n x", vec!["/bin/cat", "-n", "x"]),
            ("  a\t b\n c ", vec!["a", "b", "c"]),
            ("sh -c 'a b; c'", vec!["sh", "-c", "a b; c"]),
            (r#"a "b \" c" d"#, vec!["a", "b \" c", "d"]),
            (r#""a\b" 'c\d' e\f"#, vec![r"a\b", r"c\d", "ef"]),
            (r"a\ b", vec!["a b"]),
            (r#"x"y z"'w'"#, vec!["xy zw"]),
            (r#"a "" b"#, vec!["a", "", "b"]),
            ("a # b $c ~ *", vec!["a", "#", "b", "$c", "~", "*"]),
            ("", vec![]),
            (" \n ", vec![]),
            ("é 'ü'", vec!["é", "ü"]),
        ] {
            let words = split(text).unwrap();
            let found: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
            assert_eq!(found, expected, "{text:?}");
            for word in words {
                assert!(text.get(word.range).is_some(), "{text:?}");
            }
        }
    }

    #[test]
    fn an_open_quote_is_found_at_its_place() {
        for (text, error) in [
            ("a 'b", WordsError::Unclosed { quote: '\'', at: 2 }),
            ("é \"b\\\"", WordsError::Unclosed { quote: '"', at: 3 }),
            ("a b\\", WordsError::Dangling { at: 3 }),
        ] {
            assert_eq!(split(text), Err(error), "{text:?}");
        }
    }
}
